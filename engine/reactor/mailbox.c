// Requests from other threads. Producers take a free slot, fill it and enqueue it; the reactor
// dequeues in bursts.
//
// Both rings are used in RTS mode on the side that many threads share: in the default mode a
// producer that is preempted in the middle stalls all others (engine/README.md has the
// measurement). Pairing: `owner` publishes a slot's fields, to the reactor (pass_on, receive) and
// back (pass_on, take_mail); the rings only carry its address.
#include "engine/reactor/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ring.h>

#include "engine/core/entry_crc.h"

enum { MAIL_BURST = 64 };

static struct rte_ring *make_ring(const char *name, uint32_t slots, unsigned flags)
{
    size_t bytes = (size_t)rte_ring_get_memsize(2 * slots);
    struct rte_ring *ring = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (ring != NULL && rte_ring_init(ring, name, 2 * slots, flags) != 0) {
        free(ring);
        ring = NULL;
    }
    return ring;
}

int mailbox_open(struct reactor *reactor)
{
    uint32_t slots = reactor->config.sizes.mailbox_slots;
    reactor->mails = calloc(slots, sizeof(*reactor->mails));
    reactor->mail_ring = make_ring("mail", slots, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
    reactor->free_mail_ring = make_ring("free_mail", slots, RING_F_SP_ENQ | RING_F_MC_RTS_DEQ);
    if (reactor->mails == NULL || reactor->mail_ring == NULL || reactor->free_mail_ring == NULL) {
        return -ENOMEM;
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        rte_ring_enqueue(reactor->free_mail_ring, &reactor->mails[slot]);
    }
    return 0;
}

void mailbox_close(struct reactor *reactor)
{
    for (uint32_t slot = 0; reactor->mails != NULL && slot < reactor->config.sizes.mailbox_slots;
         slot++) {
        free(reactor->mails[slot].large);
    }
    free(reactor->mails);
    free(reactor->mail_ring);
    free(reactor->free_mail_ring);
}

static void pass_on(struct mail *mail, enum mail_owner to)
{
    atomic_store_explicit(&mail->owner, to, memory_order_release);
}

static void receive(struct mail *mail, enum mail_owner from)
{
    ASSERT_CMP(atomic_load_explicit(&mail->owner, memory_order_acquire), ==, from);
}

static struct mail *take_mail(struct reactor *reactor)
{
    void *free_mail;
    if (rte_ring_dequeue(reactor->free_mail_ring, &free_mail) != 0) {
        return NULL;
    }
    struct mail *mail = free_mail;
    receive(mail, MAIL_CALLERS);
    return mail;
}

// Slots and ring entries are equally many: the ring cannot be full.
static void post(struct reactor *reactor, struct mail *mail)
{
    pass_on(mail, MAIL_POSTED);
    int full = rte_ring_enqueue(reactor->mail_ring, mail);
    ASSERT(full == 0);
}

// A command without a session; sequences begin at 1 all the same (engine/wire/FORMAT.md).
static struct raft_entry_head head_of(uint32_t bytes, uint32_t crc)
{
    return (struct raft_entry_head){
        .sequence = 1, .bytes = bytes, .crc = crc, .kind = RAFT_ENTRY_COMMAND};
}

static void copy_ranges(const struct reactor *reactor, struct mail *mail,
                        const struct wire_ranges *ranges)
{
    bool is_used = reactor->config.order == RAFT_ORDER_PARALLEL;
    mail->range_count = ranges != NULL && is_used ? ranges->count : 0;
    for (uint32_t at = 0; at < mail->range_count; at++) {
        mail->ranges[at] = wire_range_at(ranges, at);
    }
}

static struct wire_ranges ranges_of(const struct mail *mail)
{
    return (struct wire_ranges){.at = mail->ranges, .count = mail->range_count};
}

static int post_payload(struct reactor *reactor, enum mail_kind kind, uint16_t group,
                        const void *payload, uint32_t bytes, const struct wire_ranges *ranges,
                        reactor_done *done, reactor_user *user, void *context)
{
    if (reactor_group(reactor, group) == NULL || bytes > reactor->config.sizes.payload_bytes_max ||
        done == NULL || (ranges != NULL && ranges->count > 0 && !wire_ranges_are_valid(ranges))) {
        return -EINVAL;
    }
    void *large = NULL;
    if (bytes > MAILBOX_INLINE_BYTES && (large = malloc(bytes)) == NULL) {
        return -ENOMEM;
    }
    struct mail *mail = take_mail(reactor);
    if (mail == NULL) {
        free(large);
        return -EAGAIN;
    }
    mail->kind = kind;
    mail->group = group;
    mail->bytes = bytes;
    mail->done = done;
    mail->user = user;
    mail->context = context;
    mail->large = large;
    copy_ranges(reactor, mail, ranges);
    if (bytes > 0) {
        memcpy(large == NULL ? mail->payload : large, payload, bytes);
    }
    if (kind == MAIL_PROPOSE) {
        const struct raft_entry_head head = head_of(bytes, 0);
        mail->crc = raft_entry_crc(&head, payload);
    }
    post(reactor, mail);
    return 0;
}

int reactor_propose_ranges_mt(struct reactor *reactor, uint16_t group, const void *payload,
                              uint32_t bytes, const struct wire_ranges *ranges, reactor_done *done,
                              reactor_user *user, void *context)
{
    return post_payload(reactor, MAIL_PROPOSE, group, payload, bytes, ranges, done, user, context);
}

int reactor_read_ranges_mt(struct reactor *reactor, uint16_t group, const void *query,
                           uint32_t bytes, const struct wire_ranges *ranges, reactor_done *done,
                           reactor_user *user, void *context)
{
    if (bytes > READ_QUERY_BYTES_MAX) {
        return -EINVAL;
    }
    return post_payload(reactor, MAIL_READ, group, query, bytes, ranges, done, user, context);
}

int reactor_call_mt(struct reactor *reactor, reactor_call *call, void *context)
{
    struct mail *mail = take_mail(reactor);
    if (mail == NULL) {
        return -EAGAIN;
    }
    mail->kind = MAIL_CALL;
    mail->call = call;
    mail->context = context;
    post(reactor, mail);
    return 0;
}

static void free_mail(struct reactor *reactor, struct mail *mail)
{
    free(mail->large);
    mail->large = NULL;
    mail->is_placed = false;
    mail->generation++;
    pass_on(mail, MAIL_CALLERS);
    rte_ring_enqueue(reactor->free_mail_ring, mail);
}

static struct origin origin_of(const struct reactor *reactor, const struct mail *mail)
{
    return (struct origin){.slot = ORIGIN_MAILBOX | (uint32_t)(mail - reactor->mails),
                           .generation = mail->generation};
}

// Ends a request: the callback first (it may look at the answer), then the slot is free again.
// Nothing happens when it was answered before (mailbox_leadership_lost).
void mailbox_done(struct reactor *reactor, struct origin origin, const struct reactor_reply *reply)
{
    struct mail *mail = &reactor->mails[origin.slot & ~ORIGIN_MAILBOX];
    if (mail->generation == origin.generation) {
        mail->done(mail->context, mail->user, reply);
        free_mail(reactor, mail);
    }
}

// Proposals that became entries of a leader that is none any more. They are found here and not
// through the entries: a new leader's append may have replaced those before the loss is told.
void mailbox_leadership_lost(struct group *group)
{
    struct reactor *reactor = group->reactor;
    const struct reactor_reply reply = {.status = WIRE_UNKNOWN};
    for (uint32_t slot = 0; slot < reactor->config.sizes.mailbox_slots; slot++) {
        struct mail *mail = &reactor->mails[slot];
        if (mail->is_placed && mail->group == group->id) {
            mailbox_done(reactor, origin_of(reactor, mail), &reply);
        }
    }
}

// Everything accepted is answered once and for all. What was not looked at yet was not done; of the
// rest nobody knows.
void mailbox_abandon(struct reactor *reactor)
{
    const struct reactor_reply reply = {.status = WIRE_UNKNOWN};
    reactor->is_draining = true;
    while (mailbox_poll(reactor)) {
    }
    for (uint32_t slot = 0; slot < reactor->config.sizes.mailbox_slots; slot++) {
        struct mail *mail = &reactor->mails[slot];
        if (atomic_load_explicit(&mail->owner, memory_order_relaxed) == MAIL_REACTORS) {
            mailbox_done(reactor, origin_of(reactor, mail), &reply);
        }
    }
}

bool mailbox_is_idle(const struct reactor *reactor)
{
    return rte_ring_count(reactor->free_mail_ring) == reactor->config.sizes.mailbox_slots;
}

static enum wire_status propose(struct reactor *reactor, struct mail *mail, struct origin origin)
{
    struct group *group = reactor_group(reactor, mail->group);
    const struct raft_entry_head head = head_of(mail->bytes, mail->crc);
    const uint8_t *payload = mail->large == NULL ? mail->payload : mail->large;
    struct raft_view view;
    raft_view(group->raft, &view);
    if (group->is_halted || reactor->is_failed) {
        return WIRE_FAILED;
    }
    if (view.role != RAFT_LEADER || reactor->is_draining) {
        return WIRE_NOT_LEADER;
    }
    struct raft_input input = {.kind = RAFT_IN_PROPOSE, .propose = {.heads = &head, .count = 1}};
    const struct wire_ranges ranges = ranges_of(mail);
    group_fill_footprints(group, &input, &payload, ranges.count > 0 ? &ranges : NULL);
    if (!group_takes_proposals(group, 1, mail->bytes) ||
        group_step(group, &input, &payload, 0) != RAFT_OK) {
        reactor->counters.proposals_busy++;
        return WIRE_BUSY;
    }
    reactor->counters.proposals++;
    timing_begin(group, view.last + 1);
    group->origins[(view.last + 1) & (reactor->config.log_entries - 1)] = origin;
    mail->is_placed = true;
    return WIRE_DONE;
}

static void on_mail(struct reactor *reactor, struct mail *mail)
{
    receive(mail, MAIL_POSTED);
    pass_on(mail, MAIL_REACTORS);
    struct origin origin = origin_of(reactor, mail);
    enum wire_status status = WIRE_DONE;
    if (mail->kind == MAIL_CALL) {
        mail->call(reactor, mail->context);
        free_mail(reactor, mail);
        return;
    }
    if (mail->kind == MAIL_PROPOSE) {
        status = propose(reactor, mail, origin);
    } else {
        const struct wire_read read = {.bytes = mail->bytes,
                                       .query = mail->large == NULL ? mail->payload : mail->large,
                                       .ranges = ranges_of(mail)};
        status = read_request(reactor_group(reactor, mail->group), origin, &read);
    }
    if (status != WIRE_DONE) {
        const struct reactor_reply reply = {.status = status};
        mailbox_done(reactor, origin, &reply);
    }
}

bool mailbox_poll(struct reactor *reactor)
{
    void *mails[MAIL_BURST];
    uint32_t count = rte_ring_sc_dequeue_burst(reactor->mail_ring, mails, MAIL_BURST, NULL);
    for (uint32_t at = 0; at < count; at++) {
        on_mail(reactor, mails[at]);
    }
    return count > 0;
}
