// net_impair over a toy network and a toy clock: rates, bursts, delays, order, corruption, clogs,
// filters, cuts, bounds, and the same fate for the same seed.
#include <string.h>

#include "drivers/net_impair/net_impair.h"
#include "tests/harness/harness.h"

enum { BUFFERS = 512, BUFFER_BYTES = 2048, FRAME_BYTES = 1472, HELD_MAX = 64 };

#define PEER_IPV4 UINT32_C(0x0a000002)
#define US UINT64_C(1000)

// A network whose wire is a list: what is sent can be looked at, what is received is put there by
// the test.
struct toy {
    struct net net; // first
    uint8_t buffers[BUFFERS][BUFFER_BYTES];
    bool in_use[BUFFERS];
    struct net_frame wire[BUFFERS];
    uint32_t numbers[BUFFERS]; // of the datagrams that send() took, in order
    uint32_t wire_count;
    uint32_t room; // frames that send() still takes
    bool closed;
};

static struct toy toy;
static struct {
    struct clock clock;
    uint64_t now_ns;
} toy_clock;
static struct net *net;

static uint64_t toy_now(struct clock *clock)
{
    (void)clock;
    return toy_clock.now_ns;
}

static uint32_t toy_acquire(struct net *self, uint16_t link, enum net_use use,
                            struct net_frame *frames, uint32_t count)
{
    (void)self, (void)link, (void)use;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < BUFFERS && taken < count; i++) {
        if (!toy.in_use[i]) {
            toy.in_use[i] = true;
            frames[taken++] = (struct net_frame){
                .data = toy.buffers[i], .capacity = FRAME_BYTES, .cookie = toy.buffers[i]};
        }
    }
    return taken;
}

static void toy_release(struct net *self, struct net_frame *frames, uint32_t count)
{
    (void)self;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)((uint8_t(*)[BUFFER_BYTES])frames[i].cookie - toy.buffers);
        CHECK(slot < BUFFERS && toy.in_use[slot]);
        toy.in_use[slot] = false;
    }
}

static uint32_t toy_send(struct net *self, struct net_frame *frames, uint32_t count)
{
    uint32_t taken = count < toy.room ? count : toy.room;
    for (uint32_t i = 0; i < taken; i++) {
        memcpy(&toy.numbers[toy.wire_count % BUFFERS], frames[i].data, sizeof(uint32_t));
        toy.wire[toy.wire_count++ % BUFFERS] = frames[i];
    }
    toy.room -= taken;
    toy_release(self, frames, taken);
    return taken;
}

static uint32_t toy_receive(struct net *self, struct net_frame *frames, uint32_t max)
{
    (void)self;
    uint32_t count = toy.wire_count < max ? toy.wire_count : max;
    memcpy(frames, toy.wire, count * sizeof(frames[0]));
    memmove(toy.wire, toy.wire + count, (toy.wire_count - count) * sizeof(frames[0]));
    toy.wire_count -= count;
    return count;
}

static void toy_poll(struct net *self, uint64_t now_ns)
{
    (void)self, (void)now_ns;
}

static void toy_counters(struct net *self, struct net_counters *out)
{
    (void)self;
    memset(out, 0, sizeof(*out));
}

static void toy_close(struct net *self)
{
    (void)self;
    toy.closed = true;
}

static const struct net_ops toy_ops = {.name = "toy",
                                       .receive = toy_receive,
                                       .release = toy_release,
                                       .acquire = toy_acquire,
                                       .send = toy_send,
                                       .poll = toy_poll,
                                       .counters = toy_counters,
                                       .close = toy_close};

static void open_with(const struct net_impair_rule *rule, uint64_t seed)
{
    struct net_config config = {.link_count = 2, .reactors = 1};
    config.links[0].frame_bytes = config.links[1].frame_bytes = FRAME_BYTES;
    memset(&toy, 0, sizeof(toy));
    toy.net.ops = &toy_ops;
    toy.room = UINT32_MAX;
    toy_clock.clock.now_ns = toy_now;
    toy_clock.now_ns = 1000 * US;
    struct net_impair_options options = {.seed = seed,
                                         .clock = &toy_clock.clock,
                                         .frames_max = HELD_MAX,
                                         .rules = rule,
                                         .rule_count = rule == NULL ? 0 : 1};
    struct net *inner = &toy.net;
    char reason[256];
    CHECK_EQUAL(net_impair_open(&config, &inner, &options, &net, reason, sizeof(reason)), 0);
}

static uint32_t buffers_in_use(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < BUFFERS; i++) {
        count += toy.in_use[i];
    }
    return count;
}

static void close_all(void)
{
    net->ops->close(net);
    CHECK(toy.closed);
    CHECK_EQUAL(buffers_in_use(), 0);
}

static struct net_counters counters(void)
{
    struct net_counters now;
    net->ops->counters(net, &now);
    return now;
}

static void send_one(uint32_t number, uint32_t ipv4, uint16_t link)
{
    struct net_frame frame;
    CHECK_EQUAL(net->ops->acquire(net, link, NET_USE_PEER, &frame, 1), 1);
    memset(frame.data, (int)number, 100);
    memcpy(frame.data, &number, sizeof(number));
    frame.bytes = 100;
    frame.remote =
        (struct net_endpoint){.ipv4 = ipv4, .udp_port = 9, .link = link, .local_port = 8};
    CHECK_EQUAL(net->ops->send(net, &frame, 1), 1);
}

static uint32_t number_of(const struct net_frame *frame)
{
    uint32_t number;
    memcpy(&number, frame->data, sizeof(number));
    return number;
}

static void advance(uint64_t ns)
{
    toy_clock.now_ns += ns;
    net->ops->poll(net, toy_clock.now_ns);
}

// Datagrams come in from the wire.
static void arrive(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct net_frame frame = {0};
        CHECK_EQUAL(toy_acquire(&toy.net, 0, NET_USE_PEER, &frame, 1), 1);
        uint32_t number = first + i;
        memcpy(frame.data, &number, sizeof(number));
        frame.bytes = 50;
        frame.remote = (struct net_endpoint){.ipv4 = PEER_IPV4, .udp_port = 9, .local_port = 8};
        toy.wire[toy.wire_count++] = frame;
    }
}

// Either all rules are taken, or none is and the old ones stay.
static void a_bad_rule_changes_nothing(void)
{
    static struct net_impair_rule many[NET_IMPAIR_RULES_MAX + 1];
    const struct net_impair_rule cut = {.link = NET_IMPAIR_ANY_LINK, .cut = true};
    const struct net_impair_rule bad[] = {
        {.loss_ppm = NET_IMPAIR_PPM + 1},
        {.burst_ppm = 1}, // of no length
        {.burst_ppm = 1, .burst_frames = NET_IMPAIR_BURST_MAX + 1},
        {.duplicate_ppm = NET_IMPAIR_PPM + 1},
        {.reorder_ppm = NET_IMPAIR_PPM + 1},
        {.corrupt_ppm = NET_IMPAIR_PPM + 1},
        {.clog_ppm = 1}, // of no length
        {.clog_ppm = NET_IMPAIR_PPM + 1, .clog_ns = 1},
        {.delay_ns = UINT64_MAX},
        {.jitter_ns = UINT64_MAX},
    };
    open_with(&cut, 1);
    for (size_t at = 0; at < sizeof(bad) / sizeof(bad[0]); at++) {
        const struct net_impair_rule rules[] = {{.link = NET_IMPAIR_ANY_LINK}, bad[at]};
        CHECK_EQUAL(net_impair_set_rules(net, rules, 2), -22);
    }
    CHECK_EQUAL(net_impair_set_rules(net, many, NET_IMPAIR_RULES_MAX + 1), -22);
    send_one(1, PEER_IPV4, 0);
    CHECK_EQUAL(counters().impaired_cut, 1);
    CHECK_EQUAL(net_impair_set_rules(net, many, NET_IMPAIR_RULES_MAX), 0);
    close_all();
    struct net_config config = {.link_count = 1, .reactors = 1};
    const struct net_impair_rule filter = {.kinds = 1};
    config.links[0].frame_bytes = FRAME_BYTES;
    struct net_impair_options options = {.clock = &toy_clock.clock, .frames_max = 1};
    struct net *inner = &toy.net;
    char reason[256];
    toy.closed = false;
    CHECK_EQUAL(net_impair_open(&config, &inner, &options, &net, reason, sizeof(reason)), 0);
    CHECK_EQUAL(net_impair_set_rules(net, &filter, 1), -22); // nobody to ask for kinds
    close_all();
}

static void without_rules_all_pass(void)
{
    open_with(NULL, 1);
    for (uint32_t i = 0; i < 100; i++) {
        send_one(i, PEER_IPV4, 0);
    }
    CHECK_EQUAL(toy.wire_count, 100);
    CHECK_EQUAL(net_impair_held(net), 0);
    close_all();
}

static void loss_has_its_rate(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_OUT, .loss_ppm = 100000};
    open_with(&rule, 3);
    for (uint32_t i = 0; i < 20000; i++) {
        send_one(i, PEER_IPV4, 0);
    }
    uint32_t lost = 20000 - toy.wire_count;
    CHECK(lost > 1800 && lost < 2200); // 2000 expected, deviation 42
    CHECK_EQUAL(counters().impaired_lost, lost);
    close_all();
}

// Lengths of the runs of missing numbers.
static void bursts_have_their_rate_and_length(void)
{
    struct net_impair_rule rule = {.link = NET_IMPAIR_ANY_LINK,
                                   .direction = NET_IMPAIR_OUT,
                                   .burst_ppm = 10000,
                                   .burst_frames = 8};
    open_with(&rule, 3);
    uint32_t runs = 0, run = 0, longest = 0, lost = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t before = toy.wire_count;
        send_one(i, PEER_IPV4, 0);
        if (toy.wire_count == before) {
            runs += run++ == 0;
            lost++;
            longest = run > longest ? run : longest;
        } else {
            run = 0;
        }
    }
    // A burst begins with one of about 104.5 datagrams that are in none: 191 bursts, deviation 14,
    // of 4.5 each; a few begin right behind another.
    CHECK(runs > 140 && runs < 240);
    CHECK(lost > 640 && lost < 1080);
    CHECK(longest >= 8 && longest <= 16);
    CHECK_EQUAL(counters().impaired_lost, lost);
    close_all();
}

static uint32_t bits_wrong(const struct net_frame *frame, uint32_t number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < frame->bytes; i++) {
        uint8_t right = i < sizeof(number) ? (uint8_t)(number >> 8 * i) : 0x5a;
        count += (uint32_t)__builtin_popcount(frame->data[i] ^ right);
    }
    return count;
}

// Both directions: the caller's own buffer stays as it is, some bits of the copy that arrives are
// wrong, never an even number, anywhere in it.
static void corruption_flips_an_odd_number_of_bits(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_IN, .corrupt_ppm = 250000};
    uint32_t corrupted = 0, by_flips[8] = {0}, got = 0;
    struct net_frame frames[4];
    open_with(&rule, 3);
    for (uint32_t i = 0; i < 4000; i++) {
        arrive(i, 1);
        memset(toy.wire[0].data + 4, 0x5a, toy.wire[0].bytes - 4);
        for (int turn = 0; turn < 2; turn++) { // a corrupted one is a copy: it comes with the next
            toy_clock.now_ns += US;
            uint32_t count = net->ops->receive(net, frames, 4);
            for (uint32_t f = 0; f < count; f++) {
                uint32_t wrong = bits_wrong(&frames[f], i);
                CHECK(wrong == 0 || (wrong % 2 == 1 && wrong <= 7));
                corrupted += wrong != 0;
                by_flips[wrong]++;
            }
            net->ops->release(net, frames, count);
            got += count;
        }
    }
    CHECK_EQUAL(got, 4000);
    CHECK(corrupted > 850 && corrupted < 1150); // 1000 expected, deviation 27
    CHECK_EQUAL(counters().impaired_corrupted, corrupted);
    CHECK(by_flips[1] > 180 && by_flips[3] > 180 && by_flips[5] > 180 && by_flips[7] > 180);
    close_all();
}

static void corruption_of_what_is_sent_touches_the_copy_alone(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_OUT, .corrupt_ppm = NET_IMPAIR_PPM};
    struct net_frame frame;
    open_with(&rule, 3);
    CHECK_EQUAL(net->ops->acquire(net, 0, NET_USE_PEER, &frame, 1), 1);
    memset(frame.data, 0, 100);
    frame.bytes = 100;
    frame.remote = (struct net_endpoint){.ipv4 = PEER_IPV4};
    CHECK_EQUAL(net->ops->send(net, &frame, 1), 1);
    CHECK_EQUAL(toy.wire_count, 0);
    advance(US);
    CHECK_EQUAL(toy.wire_count, 1);
    uint32_t ones = 0;
    for (uint32_t i = 0; i < 100; i++) {
        ones += (uint32_t)__builtin_popcount(toy.wire[0].data[i]);
    }
    CHECK_EQUAL(ones % 2, 1);
    CHECK_EQUAL(counters().impaired_corrupted, 1);
    frame.bytes = 0; // nothing to flip
    CHECK_EQUAL(net->ops->acquire(net, 0, NET_USE_PEER, &frame, 1), 1);
    frame.bytes = 0;
    frame.remote = (struct net_endpoint){.ipv4 = PEER_IPV4};
    CHECK_EQUAL(net->ops->send(net, &frame, 1), 1);
    advance(US);
    CHECK_EQUAL(toy.wire_count, 2);
    CHECK_EQUAL(counters().impaired_corrupted, 1);
    close_all();
}

// The first datagram clogs the link: it and what follows come together when the clog ends, in their
// order, and the next after that begins a new one.
static void a_clog_holds_everything_and_releases_it_in_order(void)
{
    struct net_impair_rule rule = {.link = NET_IMPAIR_ANY_LINK,
                                   .direction = NET_IMPAIR_OUT,
                                   .clog_ppm = NET_IMPAIR_PPM,
                                   .clog_ns = 1000 * US};
    open_with(&rule, 3);
    for (uint32_t i = 0; i < 40; i++) {
        send_one(i, PEER_IPV4, 0);
        if (i % 10 == 9) {
            advance(200 * US); // several at a moment, then later ones
        }
    }
    CHECK_EQUAL(toy.wire_count, 0);
    CHECK_EQUAL(net_impair_held(net), 40);
    advance(200 * US);
    advance(US);
    CHECK_EQUAL(toy.wire_count, 40);
    for (uint32_t i = 0; i < 40; i++) {
        CHECK_EQUAL(toy.numbers[i], i);
    }
    CHECK_EQUAL(counters().impaired_clogged, 40);
    send_one(41, PEER_IPV4, 0);
    advance(900 * US);
    CHECK_EQUAL(toy.wire_count, 40);
    CHECK_EQUAL(net_impair_set_rules(net, NULL, 0), 0);
    send_one(42, PEER_IPV4, 0); // no rule: it passes; what is held keeps its time
    CHECK_EQUAL(toy.wire_count, 41);
    advance(101 * US);
    CHECK_EQUAL(toy.wire_count, 42);
    CHECK_EQUAL(toy.numbers[41], 41);
    close_all();
}

static void clogs_have_their_rate(void)
{
    struct net_impair_rule rule = {.link = NET_IMPAIR_ANY_LINK,
                                   .direction = NET_IMPAIR_IN,
                                   .clog_ppm = 20000,
                                   .clog_ns = 10 * US};
    struct net_frame frames[64];
    uint32_t got = 0, next = 0;
    open_with(&rule, 3);
    for (uint32_t i = 0; i < 10000; i++) {
        arrive(i, 1);
        toy_clock.now_ns += US;
        uint32_t count = net->ops->receive(net, frames, 64);
        for (uint32_t f = 0; f < count; f++) {
            CHECK_EQUAL(number_of(&frames[f]), next);
            next++;
        }
        net->ops->release(net, frames, count);
        got += count;
    }
    CHECK_EQUAL(got + net_impair_held(net), 10000);
    // A clog of ten begins with one of fifty: a sixth of all, 1667, deviation about 110.
    uint64_t clogged = counters().impaired_clogged;
    CHECK(clogged > 1300 && clogged < 2100);
    toy_clock.now_ns += 100 * US;
    net->ops->release(net, frames, net->ops->receive(net, frames, 64));
    close_all();
}

static uint64_t kinds_of_number(const void *data, uint32_t bytes)
{
    CHECK(bytes >= sizeof(uint32_t));
    return UINT64_C(1) << *(const uint8_t *)data % 4;
}

// Rules by kind: the first that matches decides, and only about its kinds.
static void filters_pick_their_kinds(void)
{
    const struct net_impair_rule rules[] = {
        {.link = NET_IMPAIR_ANY_LINK, .kinds = 1 << 1 | 1 << 3, .cut = true},
        {.link = NET_IMPAIR_ANY_LINK, .kinds = 1 << 2 | 1 << 3, .delay_ns = 5 * US},
    };
    struct net_config config = {.link_count = 1, .reactors = 1};
    config.links[0].frame_bytes = FRAME_BYTES;
    open_with(NULL, 1);
    close_all();
    toy.closed = false;
    struct net_impair_options options = {.clock = &toy_clock.clock,
                                         .frames_max = HELD_MAX,
                                         .kinds_of = kinds_of_number,
                                         .rules = rules,
                                         .rule_count = 2};
    struct net *inner = &toy.net;
    char reason[256];
    CHECK_EQUAL(net_impair_open(&config, &inner, &options, &net, reason, sizeof(reason)), 0);
    for (uint32_t i = 0; i < 40; i++) {
        send_one(i, PEER_IPV4, 0);
    }
    CHECK_EQUAL(toy.wire_count, 10);
    CHECK_EQUAL(counters().impaired_cut, 20);
    advance(6 * US);
    CHECK_EQUAL(toy.wire_count, 20);
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_EQUAL(toy.numbers[i] % 4, i < 10 ? 0 : 2);
    }
    close_all();
}

static void a_delay_is_kept_to_the_poll_and_order_with_it(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_OUT, .delay_ns = 20 * US};
    open_with(&rule, 3);
    for (uint32_t i = 0; i < 40; i++) {
        send_one(i, PEER_IPV4, 0);
    }
    CHECK_EQUAL(net_impair_held(net), 40);
    CHECK_EQUAL(buffers_in_use(), 0); // copies: the inner driver's buffers are free again
    advance(20 * US - 1);
    CHECK_EQUAL(toy.wire_count, 0);
    advance(US);
    CHECK_EQUAL(toy.wire_count, 40);
    for (uint32_t i = 0; i < 40; i++) {
        CHECK_EQUAL(toy.wire[i].remote.ipv4, PEER_IPV4);
        CHECK_EQUAL(toy.wire[i].bytes, 100);
        CHECK_EQUAL(toy.numbers[i], i);
    }
    CHECK_EQUAL(counters().impaired_delayed, 40);
    CHECK_EQUAL(net_impair_held(net), 0);
    close_all();
}

static void arriving_datagrams_are_delayed_in_order(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_IN, .delay_ns = 50 * US};
    struct net_frame frames[64];
    open_with(&rule, 3);
    arrive(0, 30);
    CHECK_EQUAL(net->ops->receive(net, frames, 64), 0);
    toy_clock.now_ns += 49 * US;
    CHECK_EQUAL(net->ops->receive(net, frames, 64), 0);
    toy_clock.now_ns += 2 * US;
    CHECK_EQUAL(net->ops->receive(net, frames, 64), 30);
    for (uint32_t i = 0; i < 30; i++) {
        CHECK_EQUAL(number_of(&frames[i]), i);
        CHECK_EQUAL(frames[i].bytes, 50);
    }
    // Half are answered from where they are, half given back: both kinds of buffers come home.
    CHECK_EQUAL(net->ops->send(net, frames, 15), 15);
    net->ops->release(net, frames + 15, 15);
    CHECK_EQUAL(toy.wire_count, 15);
    CHECK_EQUAL(net_impair_held(net), 0);
    close_all();
}

static void jitter_stays_in_its_bounds(void)
{
    struct net_impair_rule rule = {.link = NET_IMPAIR_ANY_LINK,
                                   .direction = NET_IMPAIR_OUT,
                                   .delay_ns = 10 * US,
                                   .jitter_ns = 30 * US};
    open_with(&rule, 5);
    uint64_t early = 0, late = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        uint64_t start_ns = toy_clock.now_ns;
        send_one(i, PEER_IPV4, 0);
        for (uint32_t before = toy.wire_count; toy.wire_count == before;) {
            advance(US);
        }
        uint64_t taken_ns = toy_clock.now_ns - start_ns;
        CHECK(taken_ns >= 10 * US && taken_ns <= 41 * US);
        early += taken_ns < 15 * US;
        late += taken_ns > 35 * US;
    }
    CHECK(early > 200 && late > 200);
    close_all();
}

static void duplicates_come_twice(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_OUT, .duplicate_ppm = 500000};
    open_with(&rule, 7);
    for (uint32_t i = 0; i < 400; i++) {
        send_one(i, PEER_IPV4, 0);
        advance(US);
    }
    CHECK_EQUAL(toy.wire_count, 400 + counters().impaired_duplicated);
    CHECK(counters().impaired_duplicated > 140 && counters().impaired_duplicated < 260);
    CHECK_EQUAL(counters().impaired_lost, 0);
    close_all();
}

static void reordered_datagrams_are_overtaken(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_IN, .reorder_ppm = 200000};
    open_with(&rule, 9);
    uint32_t overtaken = 0, got = 0, newest = 0;
    for (uint32_t i = 0; i < 500; i++) {
        struct net_frame frames[16];
        arrive(i + 1, 1);
        toy_clock.now_ns += 10 * US;
        uint32_t count = net->ops->receive(net, frames, 16);
        for (uint32_t f = 0; f < count; f++) {
            overtaken += number_of(&frames[f]) < newest;
            newest = number_of(&frames[f]) > newest ? number_of(&frames[f]) : newest;
        }
        net->ops->release(net, frames, count);
        got += count;
    }
    CHECK(overtaken > 50);
    CHECK_EQUAL(got + net_impair_held(net), 500);
    struct net_frame rest[64];
    toy_clock.now_ns += 1000 * US;
    net->ops->release(net, rest, net->ops->receive(net, rest, 64));
    close_all();
}

static void a_cut_lets_nothing_through_and_can_be_mended(void)
{
    struct net_impair_rule rule = {
        .link = 1, .ipv4 = PEER_IPV4, .direction = NET_IMPAIR_BOTH, .cut = true};
    open_with(&rule, 9);
    send_one(1, PEER_IPV4, 1);
    CHECK_EQUAL(toy.wire_count, 0);
    CHECK_EQUAL(counters().impaired_cut, 1);
    send_one(2, PEER_IPV4, 0);     // another link
    send_one(3, PEER_IPV4 + 1, 1); // another node
    CHECK_EQUAL(toy.wire_count, 2);
    CHECK_EQUAL(net_impair_set_rules(net, NULL, 0), 0);
    send_one(4, PEER_IPV4, 1);
    CHECK_EQUAL(toy.wire_count, 3);
    close_all();
}

static void what_does_not_fit_is_lost_and_counted(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_OUT, .delay_ns = 20 * US};
    open_with(&rule, 3);
    for (uint32_t i = 0; i < HELD_MAX + 10; i++) {
        send_one(i, PEER_IPV4, 0);
    }
    CHECK_EQUAL(net_impair_held(net), HELD_MAX);
    CHECK_EQUAL(counters().impaired_lost, 10);
    toy.room = 5; // the inner driver is slow: what is due waits, in order, nothing leaks
    advance(21 * US);
    CHECK_EQUAL(toy.wire_count, 5);
    CHECK_EQUAL(net_impair_held(net), HELD_MAX - 5);
    toy.room = UINT32_MAX;
    advance(US);
    CHECK_EQUAL(toy.wire_count, HELD_MAX);
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        CHECK_EQUAL(toy.numbers[i], i);
    }
    CHECK_EQUAL(net_impair_held(net), 0);
    close_all();
}

static void a_full_inner_driver_gives_a_prefix(void)
{
    struct net_impair_rule rule = {
        .link = NET_IMPAIR_ANY_LINK, .direction = NET_IMPAIR_OUT, .loss_ppm = 300000};
    open_with(&rule, 3);
    struct net_frame frames[32];
    uint32_t lost = 0, passed = 0, count = 0;
    for (int round = 0; round < 200; round++) {
        count += net->ops->acquire(net, 0, NET_USE_PEER, frames + count, 32 - count);
        for (uint32_t i = 0; i < count; i++) {
            frames[i].bytes = 10;
            frames[i].remote = (struct net_endpoint){.ipv4 = PEER_IPV4};
        }
        toy.room = 7;
        uint32_t wire_before = toy.wire_count;
        uint64_t lost_before = counters().impaired_lost;
        uint32_t sent = net->ops->send(net, frames, count);
        passed += toy.wire_count - wire_before;
        lost += sent - (toy.wire_count - wire_before);
        CHECK(counters().impaired_lost - lost_before >= sent - (toy.wire_count - wire_before));
        memmove(frames, frames + sent, (count - sent) * sizeof(frames[0]));
        count -= sent;
    }
    CHECK_EQUAL(passed, 1400);
    CHECK(lost > 400 && lost < 800);
    net->ops->release(net, frames, count);
    close_all();
}

static uint64_t history(uint64_t seed)
{
    struct net_impair_rule rule = {.link = NET_IMPAIR_ANY_LINK,
                                   .direction = NET_IMPAIR_OUT,
                                   .loss_ppm = 200000,
                                   .burst_ppm = 5000,
                                   .burst_frames = 20,
                                   .duplicate_ppm = 100000,
                                   .reorder_ppm = 100000,
                                   .corrupt_ppm = 50000,
                                   .clog_ppm = 10000,
                                   .clog_ns = 100 * US,
                                   .delay_ns = 5 * US,
                                   .jitter_ns = 20 * US};
    uint64_t digest = 14695981039346656037u;
    open_with(&rule, seed);
    for (uint32_t i = 0; i < 2000; i++) {
        toy.wire_count = 0;
        send_one(i, PEER_IPV4, 0);
        advance(3 * US);
        for (uint32_t f = 0; f < toy.wire_count; f++) {
            digest = (digest ^ toy.numbers[f]) * 1099511628211u;
        }
    }
    close_all();
    return digest;
}

static void the_same_seed_is_the_same_fate(void)
{
    CHECK_EQUAL(history(42), history(42));
    CHECK(history(42) != history(43));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(without_rules_all_pass),
        TEST(a_bad_rule_changes_nothing),
        TEST(loss_has_its_rate),
        TEST(bursts_have_their_rate_and_length),
        TEST(corruption_flips_an_odd_number_of_bits),
        TEST(corruption_of_what_is_sent_touches_the_copy_alone),
        TEST(a_clog_holds_everything_and_releases_it_in_order),
        TEST(clogs_have_their_rate),
        TEST(filters_pick_their_kinds),
        TEST(a_delay_is_kept_to_the_poll_and_order_with_it),
        TEST(arriving_datagrams_are_delayed_in_order),
        TEST(jitter_stays_in_its_bounds),
        TEST(duplicates_come_twice),
        TEST(reordered_datagrams_are_overtaken),
        TEST(a_cut_lets_nothing_through_and_can_be_mended),
        TEST(what_does_not_fit_is_lost_and_counted),
        TEST(a_full_inner_driver_gives_a_prefix),
        TEST(the_same_seed_is_the_same_fate),
    };
    return test_run("net impair", cases, TEST_COUNT(cases), argc, argv);
}
