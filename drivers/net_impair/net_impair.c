#include "drivers/net_impair/net_impair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/net_impair/fate.h"
#include "engine/base/assert.h"
#include "engine/base/heap.h"
#include "engine/base/pool.h"

enum { BURST_MAX = 32, ALIGN_BYTES = 64 };

// A datagram that waits, by the number of its buffer.
struct held {
    struct net_endpoint remote;
    uint32_t bytes;
};

struct view {
    struct net net; // first
    struct net *inner;
    struct clock *clock;
    struct net_config config;
    struct fates fates;
    struct pool pool; // buffers of `frame_capacity` bytes
    struct held *held;
    struct heap arriving, leaving; // by time of release
    struct heap_item *items[2];
    uint32_t *positions[2];
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

// Keeps a copy until it is due. False: no buffer is left, it is lost.
static bool hold(struct view *view, struct heap *heap, const struct net_frame *frame,
                 const struct fate_copy *copy)
{
    void *buffer = pool_acquire(&view->pool);
    if (buffer == NULL) {
        view->fates.counters.impaired_lost++;
        return false;
    }
    uint32_t slot = pool_slot(&view->pool, buffer);
    memcpy(buffer, frame->data, frame->bytes);
    if (copy->is_corrupted) {
        fates_corrupt(&view->fates, buffer, frame->bytes);
    }
    view->held[slot] = (struct held){.remote = frame->remote, .bytes = frame->bytes};
    heap_update(heap, slot, copy->due_ns);
    return true;
}

// Carries out a fate other than passing. Result: the original is still to be delivered.
static bool suffer(struct view *view, struct heap *heap, const struct net_frame *frame,
                   const struct fate *fate)
{
    if (fate->lost) {
        return false;
    }
    bool passes = !fate->copies[0].is_late && !fate->copies[0].is_corrupted;
    if (!passes && hold(view, heap, frame, &fate->copies[0])) {
        view->fates.counters.impaired_delayed += fate->copies[0].is_late;
    }
    if (fate->doubled && hold(view, heap, frame, &fate->copies[1])) {
        view->fates.counters.impaired_duplicated++;
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
    if (view->fates.rule_count == 0 || end == count) {
        return end;
    }
    uint64_t now_ns = clock_now_ns(view->clock);
    for (uint32_t i = count; i < end; i++) {
        struct fate fate;
        if (fates_draw(&view->fates, &frames[i], NET_IMPAIR_IN, now_ns, &fate) ||
            suffer(view, &view->arriving, &frames[i], &fate)) {
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
    bool is_impaired = view->fates.rule_count != 0;
    uint64_t now_ns = is_impaired ? clock_now_ns(view->clock) : 0;
    uint32_t done =
        0; // frames[0..done) are dealt with; [done..i) pass and wait for the next inner send
    for (uint32_t i = 0; i < count; i++) {
        if (is_own(view, frames[i].cookie) && !adopt(view, &frames[i])) {
            count = i; // no buffer now: the rest stays the caller's
            break;
        }
        struct fate fate;
        if (!is_impaired || fates_draw(&view->fates, &frames[i], NET_IMPAIR_OUT, now_ns, &fate)) {
            continue;
        }
        done += inner->ops->send(inner, frames + done, i - done);
        if (done < i) {
            return done;
        }
        if (!suffer(view, &view->leaving, &frames[i], &fate)) {
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
    const struct net_counters *own = &view->fates.counters;
    out->impaired_lost += own->impaired_lost;
    out->impaired_delayed += own->impaired_delayed;
    out->impaired_duplicated += own->impaired_duplicated;
    out->impaired_reordered += own->impaired_reordered;
    out->impaired_cut += own->impaired_cut;
    out->impaired_corrupted += own->impaired_corrupted;
    out->impaired_clogged += own->impaired_clogged;
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

int net_impair_set_rules(struct net *net, const struct net_impair_rule *rules, uint32_t count)
{
    ASSERT(net->ops == &net_impair_ops);
    return fates_set_rules(&view_from(net)->fates, rules, count);
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
    fates_init(&view->fates, options->seed + id, options->kinds_of);
    return view;
}

int net_impair_open(const struct net_config *config, struct net *const *inner,
                    const struct net_impair_options *options, struct net **views, char *reason,
                    size_t reason_bytes)
{
    int result = 0;
    uint32_t made = 0;
    if (options->frames_max == 0) {
        snprintf(reason, reason_bytes, "no frames to hold; use 1 or more");
        return -EINVAL;
    }
    for (; made < config->reactors && result == 0; made++) {
        struct view *view = make_view(config, options, inner[made], made);
        if (view == NULL) {
            snprintf(reason, reason_bytes, "no memory for %u held frames; use fewer",
                     options->frames_max);
            result = -ENOMEM;
            break;
        }
        views[made] = &view->net;
        result = net_impair_set_rules(views[made], options->rules, options->rule_count);
        if (result != 0) {
            snprintf(reason, reason_bytes,
                     "an impairment is out of range; use up to %d rules, chances up to %d, bursts "
                     "of 1 to %d frames, times up to an hour",
                     NET_IMPAIR_RULES_MAX, NET_IMPAIR_PPM, NET_IMPAIR_BURST_MAX);
        }
    }
    while (result != 0 && made > 0) {
        view_free(view_from(views[--made]));
    }
    return result;
}
