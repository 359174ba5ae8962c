#include "drivers/net_impair/net_impair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/heap.h"
#include "engine/base/pool.h"
#include "engine/base/prng.h"

enum { BURST_MAX = 32, ALIGN_BYTES = 64, DELAY_SECONDS_MAX = 3600 };

// A datagram that waits, by the number of its buffer.
struct held {
    struct net_endpoint remote;
    uint32_t bytes;
};

struct view {
    struct net net; // first
    struct net *inner;
    struct clock *clock;
    struct prng prng;
    struct net_config config;
    struct net_impair_rule rules[NET_IMPAIR_RULES_MAX];
    bool in_use[NET_IMPAIR_RULES_MAX];
    uint32_t rules_end; // rules[rules_end..] are not in use
    uint64_t stamp_ns;  // given to the last held datagram: grows with each, so equal delays keep
                        // their order
    struct pool pool;   // buffers of `frame_capacity` bytes
    struct held *held;
    struct heap arriving, leaving; // by time of release
    struct heap_item *items[2];
    uint32_t *positions[2];
    struct net_counters counters; // the impaired_ ones
};

// What happens to one datagram.
struct fate {
    bool lost;
    bool doubled;
    uint64_t delay_ns, double_delay_ns;
};

static struct view *view_from(const struct net *net)
{
    return (struct view *)(uintptr_t)net;
}

static bool is_own(const struct view *view, const void *buffer)
{
    const uint8_t *at = buffer;
    return at >= view->pool.memory &&
           at < view->pool.memory + view->pool.capacity * view->pool.object_bytes;
}

static const struct net_impair_rule *match(const struct view *view,
                                           const struct net_endpoint *remote,
                                           enum net_impair_direction direction)
{
    for (uint32_t i = 0; i < view->rules_end; i++) {
        const struct net_impair_rule *rule = &view->rules[i];
        if (view->in_use[i] &&
            (rule->direction == NET_IMPAIR_BOTH || rule->direction == direction) &&
            (rule->link == NET_IMPAIR_ANY_LINK || rule->link == remote->link) &&
            (rule->ipv4 == 0 || rule->ipv4 == remote->ipv4)) {
            return rule;
        }
    }
    return NULL;
}

static bool chance(struct view *view, uint32_t ppm)
{
    return ppm != 0 && prng_chance(&view->prng, ppm, NET_IMPAIR_PPM);
}

static uint64_t draw_delay(struct view *view, const struct net_impair_rule *rule)
{
    uint64_t delay_ns = rule->delay_ns;
    if (rule->jitter_ns != 0) {
        delay_ns += prng_between(&view->prng, 0, rule->jitter_ns);
    }
    if (chance(view, rule->reorder_ppm)) {
        delay_ns += NET_IMPAIR_REORDER_NS;
        view->counters.impaired_reordered++;
    }
    return delay_ns;
}

// Result: the datagram passes as it is.
static bool draw_fate(struct view *view, const struct net_impair_rule *rule, struct fate *fate)
{
    *fate = (struct fate){.lost = true};
    if (rule->cut) {
        view->counters.impaired_cut++;
        return false;
    }
    if (chance(view, rule->loss_ppm)) {
        view->counters.impaired_lost++;
        return false;
    }
    fate->lost = false;
    fate->doubled = chance(view, rule->duplicate_ppm);
    fate->delay_ns = draw_delay(view, rule);
    fate->double_delay_ns = fate->doubled ? draw_delay(view, rule) : 0;
    return !fate->doubled && fate->delay_ns == 0;
}

// Keeps a copy until `delay_ns` from now. False: no buffer is left.
static bool hold(struct view *view, struct heap *heap, const struct net_frame *frame,
                 uint64_t now_ns, uint64_t delay_ns)
{
    void *buffer = pool_acquire(&view->pool);
    if (buffer == NULL) {
        view->counters.impaired_lost++;
        return false;
    }
    view->stamp_ns = now_ns > view->stamp_ns ? now_ns : view->stamp_ns + 1;
    uint32_t slot = pool_slot(&view->pool, buffer);
    memcpy(buffer, frame->data, frame->bytes);
    view->held[slot] = (struct held){.remote = frame->remote, .bytes = frame->bytes};
    heap_update(heap, slot, view->stamp_ns + delay_ns);
    return true;
}

// Carries out a fate other than passing. Result: the original is still to be delivered.
static bool suffer(struct view *view, struct heap *heap, const struct net_frame *frame,
                   uint64_t now_ns, const struct fate *fate)
{
    if (fate->lost) {
        return false;
    }
    bool passes = fate->delay_ns == 0;
    if (!passes && hold(view, heap, frame, now_ns, fate->delay_ns)) {
        view->counters.impaired_delayed++;
    }
    if (fate->doubled && hold(view, heap, frame, now_ns, fate->double_delay_ns)) {
        view->counters.impaired_duplicated++;
    }
    return passes;
}

static uint32_t take_arrived(struct view *view, struct net_frame *frames, uint32_t max)
{
    uint32_t count = 0, slot;
    if (view->arriving.count == 0) {
        return 0;
    }
    uint64_t now_ns = clock_now_ns(view->clock);
    while (count < max && heap_pop_due(&view->arriving, now_ns, &slot)) {
        const struct held *held = &view->held[slot];
        uint8_t *buffer = pool_at(&view->pool, slot);
        frames[count++] =
            (struct net_frame){.data = buffer,
                               .bytes = held->bytes,
                               .capacity = view->config.links[held->remote.link].frame_bytes,
                               .remote = held->remote,
                               .cookie = buffer};
    }
    return count;
}

static uint32_t receive(struct net *net, struct net_frame *frames, uint32_t max)
{
    struct view *view = view_from(net);
    uint32_t count = take_arrived(view, frames, max);
    uint32_t end = count + view->inner->ops->receive(view->inner, frames + count, max - count);
    if (view->rules_end == 0 || end == count) {
        return end;
    }
    uint64_t now_ns = clock_now_ns(view->clock);
    for (uint32_t i = count; i < end; i++) {
        const struct net_impair_rule *rule = match(view, &frames[i].remote, NET_IMPAIR_IN);
        struct fate fate;
        if (rule == NULL || draw_fate(view, rule, &fate) ||
            suffer(view, &view->arriving, &frames[i], now_ns, &fate)) {
            frames[count++] = frames[i];
        } else {
            view->inner->ops->release(view->inner, &frames[i], 1);
        }
    }
    return count;
}

static void release(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct view *view = view_from(net);
    uint32_t run = 0; // frames[i - run .. i) are the inner driver's
    for (uint32_t i = 0; i <= count; i++) {
        bool own = i < count && is_own(view, frames[i].cookie);
        if (i < count && !own) {
            run++;
            continue;
        }
        if (run > 0) {
            view->inner->ops->release(view->inner, &frames[i - run], run);
            run = 0;
        }
        if (own) {
            pool_release(&view->pool, frames[i].cookie);
        }
    }
}

static uint32_t acquire(struct net *net, uint16_t link, enum net_use use, struct net_frame *frames,
                        uint32_t count)
{
    struct net *inner = view_from(net)->inner;
    return inner->ops->acquire(inner, link, use, frames, count);
}

static enum net_use use_of(const struct view *view, const struct net_endpoint *remote)
{
    for (uint32_t i = 0; i < view->config.peer_count; i++) {
        if (view->config.peers[i].ipv4 == remote->ipv4 &&
            view->config.peers[i].link == remote->link) {
            return NET_USE_PEER;
        }
    }
    return NET_USE_CLIENT;
}

// An inner buffer with the content of `bytes` bytes at `data`, to `remote`. False: none to be had.
static bool copy_to_inner(struct view *view, const struct net_endpoint *remote, const void *data,
                          uint32_t bytes, struct net_frame *frame)
{
    struct net *inner = view->inner;
    if (inner->ops->acquire(inner, remote->link, use_of(view, remote), frame, 1) == 0) {
        return false;
    }
    memcpy(frame->data, data, bytes);
    frame->bytes = bytes;
    frame->remote = *remote;
    return true;
}

// A frame that we delivered ourselves and that the caller sends on: moved into a buffer the inner
// driver knows.
static bool adopt(struct view *view, struct net_frame *frame)
{
    struct net_frame moved;
    if (!copy_to_inner(view, &frame->remote, frame->data, frame->bytes, &moved)) {
        return false;
    }
    pool_release(&view->pool, frame->cookie);
    *frame = moved;
    return true;
}

static uint32_t send_frames(struct net *net, struct net_frame *frames, uint32_t count)
{
    struct view *view = view_from(net);
    struct net *inner = view->inner;
    uint64_t now_ns = view->rules_end == 0 ? 0 : clock_now_ns(view->clock);
    uint32_t done =
        0; // frames[0..done) are dealt with; [done..i) pass and wait for the next inner send
    for (uint32_t i = 0; i < count; i++) {
        if (is_own(view, frames[i].cookie) && !adopt(view, &frames[i])) {
            count = i; // no buffer now: the rest stays the caller's
            break;
        }
        const struct net_impair_rule *rule =
            view->rules_end == 0 ? NULL : match(view, &frames[i].remote, NET_IMPAIR_OUT);
        struct fate fate;
        if (rule == NULL || draw_fate(view, rule, &fate)) {
            continue;
        }
        done += inner->ops->send(inner, frames + done, i - done);
        if (done < i) {
            return done;
        }
        if (!suffer(view, &view->leaving, &frames[i], now_ns, &fate)) {
            inner->ops->release(inner, &frames[i], 1);
            done = i + 1;
        }
    }
    return done < count ? done + inner->ops->send(inner, frames + done, count - done) : done;
}

// Sends what is due; what the inner driver does not take now stays due.
static void send_due(struct view *view, uint64_t now_ns)
{
    struct net *inner = view->inner;
    struct net_frame frames[BURST_MAX];
    uint32_t slots[BURST_MAX];
    uint64_t due_ns[BURST_MAX];
    while (heap_next_ns(&view->leaving) <= now_ns) {
        uint32_t count = 0, sent = 0;
        while (count < BURST_MAX && heap_next_ns(&view->leaving) <= now_ns) {
            slots[count] = view->leaving.items[0].id;
            due_ns[count] = heap_next_ns(&view->leaving);
            const struct held *held = &view->held[slots[count]];
            if (!copy_to_inner(view, &held->remote, pool_at(&view->pool, slots[count]), held->bytes,
                               &frames[count])) {
                break;
            }
            heap_remove(&view->leaving, slots[count++]);
        }
        if (count > 0) {
            sent = inner->ops->send(inner, frames, count);
        }
        for (uint32_t i = 0; i < sent; i++) {
            pool_release(&view->pool, pool_at(&view->pool, slots[i]));
        }
        inner->ops->release(inner, frames + sent, count - sent);
        for (uint32_t i = sent; i < count; i++) {
            heap_update(&view->leaving, slots[i], due_ns[i]);
        }
        if (sent < BURST_MAX) {
            return;
        }
    }
}

static void poll(struct net *net, uint64_t now_ns)
{
    struct view *view = view_from(net);
    if (view->leaving.count > 0) {
        send_due(view, now_ns);
    }
    view->inner->ops->poll(view->inner, now_ns);
}

static bool locate(struct net *net, uint16_t node_id, uint8_t class, struct net_endpoint *endpoint)
{
    struct net *inner = view_from(net)->inner;
    return inner->ops->locate(inner, node_id, class, endpoint);
}

static bool link_up(struct net *net, uint16_t link)
{
    struct net *inner = view_from(net)->inner;
    return inner->ops->link_up(inner, link);
}

static uint32_t frame_bytes(struct net *net, uint16_t link)
{
    struct net *inner = view_from(net)->inner;
    return inner->ops->frame_bytes(inner, link);
}

static void counters(struct net *net, struct net_counters *out)
{
    const struct view *view = view_from(net);
    view->inner->ops->counters(view->inner, out);
    out->impaired_lost += view->counters.impaired_lost;
    out->impaired_delayed += view->counters.impaired_delayed;
    out->impaired_duplicated += view->counters.impaired_duplicated;
    out->impaired_reordered += view->counters.impaired_reordered;
    out->impaired_cut += view->counters.impaired_cut;
}

static void view_free(struct view *view)
{
    if (view == NULL) {
        return;
    }
    free(view->pool.memory);
    free(view->held);
    for (int i = 0; i < 2; i++) {
        free(view->items[i]);
        free(view->positions[i]);
    }
    free(view);
}

static void close_view(struct net *net)
{
    struct view *view = view_from(net);
    view->inner->ops->close(view->inner);
    view_free(view);
}

static const struct net_ops net_impair_ops = {
    .name = "impair",
    .receive = receive,
    .release = release,
    .acquire = acquire,
    .send = send_frames,
    .locate = locate,
    .poll = poll,
    .link_up = link_up,
    .frame_bytes = frame_bytes,
    .counters = counters,
    .close = close_view,
};

static bool is_sound(const struct net_impair_rule *rule)
{
    uint64_t most_ns = UINT64_C(1000000000) * DELAY_SECONDS_MAX;
    return rule->loss_ppm <= NET_IMPAIR_PPM && rule->duplicate_ppm <= NET_IMPAIR_PPM &&
           rule->reorder_ppm <= NET_IMPAIR_PPM && rule->delay_ns <= most_ns &&
           rule->jitter_ns <= most_ns;
}

int net_impair_set_rule(struct net *net, uint32_t slot, const struct net_impair_rule *rule)
{
    struct view *view = view_from(net);
    ASSERT(net->ops == &net_impair_ops);
    if (slot >= NET_IMPAIR_RULES_MAX || (rule != NULL && !is_sound(rule))) {
        return -EINVAL;
    }
    view->in_use[slot] = rule != NULL;
    if (rule != NULL) {
        view->rules[slot] = *rule;
    }
    view->rules_end = NET_IMPAIR_RULES_MAX;
    while (view->rules_end > 0 && !view->in_use[view->rules_end - 1]) {
        view->rules_end--;
    }
    return 0;
}

uint32_t net_impair_held(const struct net *net)
{
    return view_from(net)->pool.in_use;
}

static struct view *make_view(const struct net_config *config,
                              const struct net_impair_options *options, struct net *inner,
                              uint32_t id)
{
    struct view *view = calloc(1, sizeof(*view));
    if (view == NULL) {
        return NULL;
    }
    uint32_t most = 0, count = options->frames_max;
    for (uint32_t i = 0; i < config->link_count; i++) {
        most = config->links[i].frame_bytes > most ? config->links[i].frame_bytes : most;
    }
    size_t buffer_bytes = (most + ALIGN_BYTES - 1u) / ALIGN_BYTES * ALIGN_BYTES;
    void *memory = aligned_alloc(ALIGN_BYTES, buffer_bytes * count);
    if (memory != NULL) {
        memset(memory, 0, buffer_bytes * count); // faulted in now, not in the poll loop
        pool_init(&view->pool, memory, buffer_bytes, count);
    }
    view->held = calloc(count, sizeof(*view->held));
    bool whole = memory != NULL && view->held != NULL;
    for (int i = 0; i < 2; i++) {
        view->items[i] = calloc(count, sizeof(*view->items[i]));
        view->positions[i] = calloc(count, sizeof(*view->positions[i]));
        whole = whole && view->items[i] != NULL && view->positions[i] != NULL;
    }
    if (!whole) {
        view_free(view);
        return NULL;
    }
    heap_init(&view->arriving, view->items[0], view->positions[0], count);
    heap_init(&view->leaving, view->items[1], view->positions[1], count);
    view->net.ops = &net_impair_ops;
    view->inner = inner;
    view->clock = options->clock;
    view->config = *config;
    prng_init(&view->prng, options->seed + id);
    return view;
}

int net_impair_open(const struct net_config *config, struct net *const *inner,
                    const struct net_impair_options *options, struct net **views, char *reason,
                    size_t reason_bytes)
{
    if (options->frames_max == 0 || options->rule_count > NET_IMPAIR_RULES_MAX) {
        snprintf(reason, reason_bytes,
                 "no frames to hold, or too many rules; use 1 or more, and up to %d rules",
                 NET_IMPAIR_RULES_MAX);
        return -EINVAL;
    }
    int result = 0;
    uint32_t made = 0;
    for (; made < config->reactors && result == 0; made++) {
        struct view *view = make_view(config, options, inner[made], made);
        if (view == NULL) {
            snprintf(reason, reason_bytes, "no memory for %u held frames; use fewer",
                     options->frames_max);
            result = -ENOMEM;
            break;
        }
        views[made] = &view->net;
        for (uint32_t i = 0; i < options->rule_count && result == 0; i++) {
            result = net_impair_set_rule(views[made], i, &options->rules[i]);
            if (result != 0) {
                snprintf(reason, reason_bytes,
                         "impairment rule %u is out of range; use chances up to 1000000 and delays "
                         "up to %d s",
                         i, DELAY_SECONDS_MAX);
            }
        }
    }
    while (result != 0 && made > 0) {
        view_free(view_from(views[--made]));
    }
    return result;
}
