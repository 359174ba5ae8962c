// Completions that are fetched instead of called back: slots, two rings, and an eventfd.
//
// A proposal takes a free slot, its completion puts the slot into the done ring, and fetching it
// frees it again: as many slots as ring entries, so neither ring can be full and the reactor never
// waits for the reader.
//
// The descriptor is written when is_signalled turns true, so once between two looks of the reader.
// Pairing: a reactor enqueues, then exchanges is_signalled; the reader empties the descriptor,
// exchanges is_signalled, then dequeues. Whichever exchange is first, either the reader sees the
// completion or the reactor sees false and writes. The reader's exchange must come after its read
// of the descriptor: else a signal between the two would be swallowed.
#include "engine/embed/pontoon_node.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_ring.h>

#include "engine/base/assert.h"

enum { EVENTS_MAX = 1 << 20, TAKE_BURST = 64 };

struct event_slot {
    struct pontoon_events *events;
    atomic_bool
        is_done; // false: the proposer's or on its way; true: the reader's. Release and acquire
    struct pontoon_event event;
};

struct pontoon_events {
    int fd;
    atomic_bool is_signalled;
    struct rte_ring
        *free_ring; // of slots: any thread proposes, the reader and failed proposals give back
    struct rte_ring *done_ring; // of slots: reactors to the reader
    struct event_slot *slots;
};

static struct rte_ring *make_ring(uint32_t slots, unsigned flags)
{
    uint32_t count = 2;
    while (count <= slots) {
        count *= 2;
    }
    size_t bytes = (size_t)rte_ring_get_memsize(count);
    struct rte_ring *ring = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (ring != NULL && rte_ring_init(ring, "events", count, flags) != 0) {
        free(ring);
        ring = NULL;
    }
    return ring;
}

static void put(struct rte_ring *ring, struct event_slot *slot)
{
    int full = rte_ring_enqueue(ring, slot);
    ASSERT(full == 0);
}

static void release(struct pontoon_events *events)
{
    free(events->slots);
    free(events->free_ring);
    free(events->done_ring);
    free(events);
}

int pontoon_events_open(uint32_t capacity, struct pontoon_events **out)
{
    if (capacity == 0 || capacity > EVENTS_MAX) {
        return -EINVAL;
    }
    struct pontoon_events *events = calloc(1, sizeof(*events));
    if (events == NULL) {
        return -ENOMEM;
    }
    events->slots = calloc(capacity, sizeof(*events->slots));
    events->free_ring = make_ring(capacity, RING_F_MP_RTS_ENQ | RING_F_MC_RTS_DEQ);
    events->done_ring = make_ring(capacity, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
    if (events->slots == NULL || events->free_ring == NULL || events->done_ring == NULL) {
        release(events);
        return -ENOMEM;
    }
    events->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (events->fd < 0) {
        int error = errno;
        release(events);
        return -error;
    }
    for (uint32_t at = 0; at < capacity; at++) {
        events->slots[at].events = events;
        put(events->free_ring, &events->slots[at]);
    }
    *out = events;
    return 0;
}

void pontoon_events_close(struct pontoon_events *events)
{
    close(events->fd);
    release(events);
}

int pontoon_events_fd(const struct pontoon_events *events)
{
    return events->fd;
}

// An eventfd's write fails only when its counter is full: it is readable then.
static void signal_reader(struct pontoon_events *events)
{
    const uint64_t one = 1;
    if (!atomic_exchange_explicit(&events->is_signalled, true, memory_order_acq_rel)) {
        ssize_t written = write(events->fd, &one, sizeof(one));
        (void)written;
    }
}

static void on_done(void *context, const struct pontoon_result *result)
{
    struct event_slot *slot = context;
    struct pontoon_events *events = slot->events;
    slot->event.result = *result;
    // Pairs with the reader's load: it sees the event.
    atomic_store_explicit(&slot->is_done, true, memory_order_release);
    put(events->done_ring, slot);
    signal_reader(events);
}

int pontoon_propose_event_ranges_mt(struct pontoon *node, uint16_t group,
                                    const struct pontoon_command *command,
                                    struct pontoon_events *events, uint64_t token)
{
    void *free_slot;
    if (rte_ring_dequeue(events->free_ring, &free_slot) != 0) {
        return -EAGAIN;
    }
    struct event_slot *slot = free_slot;
    ASSERT(!atomic_load_explicit(&slot->is_done, memory_order_acquire));
    slot->event.token = token;
    int error = pontoon_propose_ranges_mt(node, group, command, on_done, slot);
    if (error != 0) {
        put(events->free_ring, slot);
    }
    return error;
}

int pontoon_propose_event_mt(struct pontoon *node, uint16_t group, const void *payload,
                             uint32_t bytes, struct pontoon_events *events, uint64_t token)
{
    const struct pontoon_command command = {.payload = payload, .bytes = bytes};
    return pontoon_propose_event_ranges_mt(node, group, &command, events, token);
}

uint32_t pontoon_events_take(struct pontoon_events *events, struct pontoon_event *array,
                             uint32_t max)
{
    uint64_t signals;
    ssize_t got = read(events->fd, &signals, sizeof(signals)); // EAGAIN: nobody signalled
    (void)got;
    atomic_exchange_explicit(&events->is_signalled, false, memory_order_acq_rel);
    uint32_t taken = 0;
    while (taken < max) {
        void *slots[TAKE_BURST];
        uint32_t want = max - taken < TAKE_BURST ? max - taken : TAKE_BURST;
        uint32_t count = rte_ring_dequeue_burst(events->done_ring, slots, want, NULL);
        if (count == 0) {
            return taken;
        }
        for (uint32_t at = 0; at < count; at++) {
            struct event_slot *slot = slots[at];
            ASSERT(atomic_load_explicit(&slot->is_done, memory_order_acquire));
            array[taken++] = slot->event;
            atomic_store_explicit(&slot->is_done, false, memory_order_release);
            put(events->free_ring, slot);
        }
    }
    if (rte_ring_count(events->done_ring) > 0) {
        signal_reader(events);
    }
    return taken;
}
