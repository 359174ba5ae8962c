// A checkpoint for a follower whose log ends before ours begins.
//
// Out: the leader copies the state into memory of its own (stop and copy, a piece each poll
// iteration), then sends it in parts, a window at a time; what is lost is sent again from where the
// follower stands. While it is under way the log behind it is kept. In: parts are gathered in
// any order; the whole is checked and restored; a durable node makes its own checkpoint of it
// before it tells anybody (a checkpoint that is not durable must not stand for log entries that are
// not there).
#include "engine/reactor/internal.h"

#include "engine/base/mark.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES (UINT64_C(512) << 10)
#define RESEND_AFTER_NS UINT64_C(20000000)
// A follower that does not know what we go on with (it restarted, or began with another leader)
// answers nothing: it is sent all from the beginning.
#define RESTART_AFTER_NS UINT64_C(200000000)
// A follower that is silent for this long pins the log no longer: while it is sent parts, which it
// answers at once, and while it puts the whole in place.
#define FORGET_AFTER_NS UINT64_C(300000000)
#define FORGET_WHOLE_AFTER_NS UINT64_C(2000000000)

static uint32_t place_of(const struct reactor *reactor, uint16_t node)
{
    uint32_t place = 0;
    while (place < reactor->config.node_count && reactor->config.nodes[place] != node) {
        place++;
    }
    return place;
}

static void forget_out(struct group *group)
{
    struct snapshot *snapshot = &group->snapshot;
    if (snapshot->is_building) {
        stream_end(&snapshot->stream);
        group_resume(group);
        group_mark_dirty(group);
    }
    free(snapshot->data);
    snapshot->data = NULL;
    snapshot->bytes = snapshot->capacity = 0;
    snapshot->is_ready = snapshot->is_building = false;
    snapshot->users = 0;
    memset(snapshot->peers, 0, sizeof(snapshot->peers));
}

static void forget_in(struct snapshot *snapshot)
{
    free(snapshot->in_data);
    snapshot->in_data = NULL;
    snapshot->in_total = snapshot->in_received = 0;
    snapshot->in_range_count = 0;
}

// The log came to where the checkpoint that we are given would bring us; whoever sent it may have
// stopped.
static void forget_overtaken(struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, &view);
    if (view.commit >= group->snapshot.in_covers.index) {
        forget_in(&group->snapshot);
    }
}

// The core says that these peers (bit (id - 1)) need a checkpoint. Called again and again until
// they have it. Those that are silent must wait: what is kept for them would fill the log.
void snapshot_want(struct group *group, uint64_t peers)
{
    struct reactor *reactor = group->reactor;
    struct snapshot *snapshot = &group->snapshot;
    struct raft_view view;
    raft_view(group->raft, &view);
    bool is_outdated = snapshot->is_ready && snapshot->covers.index < view.base;
    if (is_outdated) {
        forget_out(group);
    }
    struct raft_peer_view views[RAFT_NODES_MAX];
    raft_peer_views(group->raft, views, RAFT_NODES_MAX);
    for (uint32_t place = 0; place < reactor->config.node_count; place++) {
        struct snapshot_peer *peer = &snapshot->peers[place];
        bool is_wanted = (peers >> (views[place].id - 1) & 1) != 0 && views[place].is_active;
        if (is_wanted && !peer->is_active) {
            *peer = (struct snapshot_peer){
                .is_active = true, .heard_ns = reactor->now_ns, .progress_ns = reactor->now_ns};
            snapshot->users++;
        }
    }
    if (snapshot->users > 0 && !snapshot->is_ready && !snapshot->is_building && !group->is_paused &&
        group->applied > 0) {
        snapshot->is_building = true;
        group_pause(group);
    }
}

// Entries above this index must stay while somebody is being given a checkpoint and gets on with
// it. (One that has no place for it, its disk being full, would stop the whole group.)
uint64_t snapshot_pin(const struct group *group)
{
    const struct snapshot *snapshot = &group->snapshot;
    for (uint32_t place = 0; place < RAFT_NODES_MAX && snapshot->is_ready; place++) {
        const struct snapshot_peer *peer = &snapshot->peers[place];
        if (peer->is_active && group->reactor->now_ns <= peer->progress_ns + FORGET_AFTER_NS) {
            return snapshot->covers.index;
        }
    }
    return UINT64_MAX;
}

static bool reserve(struct snapshot *snapshot, uint64_t bytes)
{
    if (snapshot->capacity >= bytes) {
        return true;
    }
    uint64_t capacity = snapshot->capacity == 0 ? 1 << 20 : 2 * snapshot->capacity;
    uint8_t *grown = realloc(snapshot->data, capacity);
    if (grown == NULL) {
        return false;
    }
    snapshot->data = grown;
    snapshot->capacity = capacity;
    return true;
}

static void build(struct group *group)
{
    struct snapshot *snapshot = &group->snapshot;
    if (group->jobs_out > 0) {
        return;
    }
    if (!snapshot->stream.is_active) {
        struct raft_beyond beyond;
        snapshot->covers = raft_id_at(group->raft, group->applied);
        raft_applied_beyond(group->raft, &beyond);
        stream_begin(&snapshot->stream, group, &beyond);
    }
    int64_t count = -ENOMEM;
    if (reserve(snapshot, snapshot->bytes + CHECKPOINT_CHUNK_BYTES)) {
        count = stream_read(&snapshot->stream, snapshot->data + snapshot->bytes,
                            CHECKPOINT_CHUNK_BYTES);
    }
    if (count > 0) {
        snapshot->bytes += (uint64_t)count;
        return;
    }
    stream_end(&snapshot->stream);
    group_resume(group);
    group_mark_dirty(group);
    snapshot->is_building = false;
    snapshot->is_ready = count == 0;
    for (uint32_t place = 0; place < RAFT_NODES_MAX; place++) {
        // the transfer begins now
        snapshot->peers[place].heard_ns = snapshot->peers[place].progress_ns =
            group->reactor->now_ns;
    }
    if (count < 0) {
        forget_out(group); // asked for again as long as it is needed
    }
}

// What was sent and not confirmed in time goes again. Of a checkpoint that was received as a whole
// the last bytes do: to be told when it is installed.
static void rewind_peer(struct reactor *reactor, const struct snapshot *snapshot,
                        struct snapshot_peer *peer)
{
    if (reactor->now_ns < peer->resend_ns) {
        return;
    }
    if (peer->received_bytes < snapshot->bytes &&
        reactor->now_ns > peer->heard_ns + RESTART_AFTER_NS) {
        peer->received_bytes = 0;
    }
    peer->sent_bytes =
        peer->received_bytes < snapshot->bytes ? peer->received_bytes : snapshot->bytes - 1;
    peer->resend_ns = reactor->now_ns + RESEND_AFTER_NS;
}

static bool send_parts(struct group *group, uint32_t place)
{
    struct reactor *reactor = group->reactor;
    struct snapshot *snapshot = &group->snapshot;
    struct snapshot_peer *peer = &snapshot->peers[place];
    struct lane *lane = &reactor->peers[place];
    struct raft_view view;
    raft_view(group->raft, &view);
    rewind_peer(reactor, snapshot, peer);
    bool was_busy = false;
    while (peer->sent_bytes < snapshot->bytes &&
           peer->sent_bytes < peer->received_bytes + WINDOW_BYTES && lane_locate(reactor, lane)) {
        struct wire_writer *writer = lane_next_frame(reactor, lane);
        uint64_t left = snapshot->bytes - peer->sent_bytes;
        uint32_t piece = wire_snapshot_bytes_max(lane_frame_bytes(reactor, lane));
        const struct wire_snapshot part = {.last = snapshot->covers,
                                           .total_bytes = snapshot->bytes,
                                           .offset = peer->sent_bytes,
                                           .bytes = left < piece ? (uint32_t)left : piece,
                                           .data = snapshot->data + peer->sent_bytes};
        if (writer == NULL || !wire_put_snapshot(writer, group->id, view.term, &part)) {
            break;
        }
        peer->sent_bytes += part.bytes;
        was_busy = true;
    }
    return was_busy;
}

static void release_peer(struct group *group, struct snapshot_peer *peer)
{
    struct snapshot *snapshot = &group->snapshot;
    peer->is_active = false;
    if (--snapshot->users == 0) {
        forget_out(group);
    }
}

static bool is_lost(const struct reactor *reactor, const struct snapshot *snapshot,
                    const struct snapshot_peer *peer)
{
    bool is_whole = peer->received_bytes == snapshot->bytes;
    return reactor->now_ns > peer->heard_ns + (is_whole ? FORGET_WHOLE_AFTER_NS : FORGET_AFTER_NS);
}

bool snapshot_poll(struct group *group)
{
    struct reactor *reactor = group->reactor;
    struct snapshot *snapshot = &group->snapshot;
    if (snapshot->in_must_persist) {
        return group->checkpoint.state == CHECKPOINT_IDLE &&
               checkpoint_start_installed(group, snapshot->in_covers);
    }
    if (snapshot->in_data != NULL) {
        forget_overtaken(group);
    }
    if (!snapshot->is_building && !snapshot->is_ready) {
        return false;
    }
    if (group->role != RAFT_LEADER) {
        forget_out(group);
        return true;
    }
    if (snapshot->is_building) {
        build(group);
        return true;
    }
    bool was_busy = false;
    for (uint32_t place = 0; place < reactor->config.node_count && snapshot->is_ready; place++) {
        struct snapshot_peer *peer = &snapshot->peers[place];
        if (peer->is_active && is_lost(reactor, snapshot, peer)) {
            release_peer(group, peer);
        } else if (peer->is_active) {
            was_busy |= send_parts(group, place);
        }
    }
    return was_busy;
}

void on_snapshot_reply(struct group *group, uint16_t from, uint64_t term,
                       const struct wire_snapshot_reply *reply)
{
    struct reactor *reactor = group->reactor;
    struct snapshot *snapshot = &group->snapshot;
    uint32_t place = place_of(reactor, from);
    struct raft_view view;
    raft_view(group->raft, &view);
    if (place == reactor->config.node_count || term != view.term || view.role != RAFT_LEADER) {
        return;
    }
    struct snapshot_peer *peer = &snapshot->peers[place];
    if (reply->installed) {
        const struct raft_input input = {.kind = RAFT_IN_SNAPSHOT_DONE,
                                         .snapshot_done = {.peer = from, .id = reply->last}};
        group_step(group, &input, NULL, 0);
        snapshot->follow_until_ns = reactor->now_ns + FORGET_AFTER_NS;
        if (peer->is_active) {
            reactor->counters.snapshots_sent++;
            release_peer(group, peer);
        }
        return;
    }
    if (!peer->is_active || !snapshot->is_ready ||
        !raft_entry_id_equal(reply->last, snapshot->covers)) {
        return;
    }
    peer->heard_ns = reactor->now_ns;
    if (reply->received_bytes > peer->received_bytes && reply->received_bytes <= snapshot->bytes) {
        peer->received_bytes = reply->received_bytes;
        peer->progress_ns = reactor->now_ns;
        peer->resend_ns = reactor->now_ns + RESEND_AFTER_NS;
        peer->sent_bytes =
            peer->sent_bytes > peer->received_bytes ? peer->sent_bytes : peer->received_bytes;
    }
}

// ------------------------------------------------------------------------------------------------------
// in

// Notes that [first, end) is here, beyond a hole. False: too many holes, the part counts as lost.
static bool note_range(struct snapshot *snapshot, uint64_t first, uint64_t end)
{
    struct byte_range *ranges = snapshot->in_ranges;
    uint32_t at = 0, count = snapshot->in_range_count;
    while (at < count && ranges[at].end < first) {
        at++;
    }
    uint32_t to = at; // ranges [at, to) touch the new one and become part of it
    for (; to < count && ranges[to].first <= end; to++) {
        first = ranges[to].first < first ? ranges[to].first : first;
        end = ranges[to].end > end ? ranges[to].end : end;
    }
    if (at == to && count == SNAPSHOT_RANGES_MAX) {
        return false;
    }
    memmove(&ranges[at + 1], &ranges[to], (count - to) * sizeof(*ranges));
    ranges[at] = (struct byte_range){.first = first, .end = end};
    snapshot->in_range_count = count + 1 - (to - at);
    return true;
}

// Parts come in any order; what is held without a hole from the beginning is what counts.
static void take_part(struct snapshot *snapshot, const struct wire_snapshot *part)
{
    uint64_t end = part->offset + part->bytes;
    if (end <= snapshot->in_received || !note_range(snapshot, part->offset, end)) {
        return;
    }
    memcpy(snapshot->in_data + part->offset, part->data, part->bytes);
    struct byte_range *ranges = snapshot->in_ranges;
    if (ranges[0].first <= snapshot->in_received) {
        snapshot->in_received = ranges[0].end;
        snapshot->in_range_count--;
        memmove(&ranges[0], &ranges[1], snapshot->in_range_count * sizeof(*ranges));
    }
}

static void reply_to(struct group *group, uint16_t to, struct raft_entry_id last, uint64_t received,
                     bool installed)
{
    struct reactor *reactor = group->reactor;
    struct lane *lane = lane_of_node(reactor, to);
    struct raft_view view;
    raft_view(group->raft, &view);
    const struct wire_snapshot_reply reply = {
        .last = last, .received_bytes = received, .installed = installed};
    struct wire_writer *writer = lane_writer(reactor, lane);
    if (writer != NULL && !wire_put_snapshot_reply(writer, group->id, view.term, &reply)) {
        writer = lane_next_frame(reactor, lane);
        if (writer != NULL) {
            wire_put_snapshot_reply(writer, group->id, view.term, &reply);
        }
    }
}

static bool begin_in(struct group *group, uint16_t from, const struct wire_snapshot *part)
{
    struct snapshot *snapshot = &group->snapshot;
    bool is_same = snapshot->in_data != NULL && snapshot->in_from == from &&
                   raft_entry_id_equal(snapshot->in_covers, part->last) &&
                   snapshot->in_total == part->total_bytes;
    if (is_same) {
        return true;
    }
    if (part->offset != 0 || part->total_bytes > group->reactor->config.app_bytes_max) {
        return false;
    }
    forget_in(snapshot);
    snapshot->in_data = malloc(part->total_bytes);
    snapshot->in_total = part->total_bytes;
    snapshot->in_covers = part->last;
    snapshot->in_from = from;
    return snapshot->in_data != NULL;
}

static void tell_core(struct group *group)
{
    struct snapshot *snapshot = &group->snapshot;
    const struct raft_input input = {.kind = RAFT_IN_INSTALLED,
                                     .installed = snapshot->in_covers,
                                     .installed_beyond = &group->restored};
    group_step(group, &input, NULL, 0);
    MARK(checkpoint_installed_from_a_peer);
    group->reactor->counters.snapshots_installed++;
    reply_to(group, snapshot->in_from, snapshot->in_covers, snapshot->in_total, true);
    forget_in(snapshot);
}

// The state is in place; the core goes on behind it. A durable node makes it durable first, paused
// until then.
static void install(struct group *group)
{
    struct reactor *reactor = group->reactor;
    struct snapshot *snapshot = &group->snapshot;
    if (!stream_is_whole(group, snapshot->in_data, snapshot->in_total) ||
        !stream_fits(group, snapshot->in_data, snapshot->in_total)) {
        forget_in(snapshot); // the leader begins again
        return;
    }
    forget_out(group); // we led, and were reading out what is now replaced
    if (stream_restore(group, snapshot->in_data, snapshot->in_total) != 0) {
        // The old state is gone and the new one is no good: nothing may be served from here until
        // one is whole.
        group_halt(group);
        forget_in(snapshot);
        return;
    }
    group->applied = group->apply_last = snapshot->in_covers.index;
    group->apply_next = group->applied + 1;
    if (reactor->config.wal.is_volatile) {
        tell_core(group);
        return;
    }
    group_pause(group);
    snapshot->in_must_persist = true;
}

// The checkpoint that was being made of an installed state ended, well or not: then it is begun
// again (checkpoint.c decides when), and nobody is told until it is durable.
void snapshot_persisted(struct group *group)
{
    struct snapshot *snapshot = &group->snapshot;
    if (raft_entry_id_equal(group->checkpoint.durable, snapshot->in_covers)) {
        snapshot->in_must_persist = false;
        tell_core(group);
    } else {
        group_pause(group);
    }
}

void on_snapshot(struct group *group, uint16_t from, uint64_t term,
                 const struct wire_snapshot *part)
{
    struct snapshot *snapshot = &group->snapshot;
    struct raft_view view;
    raft_view(group->raft, &view);
    if (term != view.term || view.leader != from || group->is_halted) {
        return;
    }
    if (snapshot->in_must_persist) {
        reply_to(group, from, snapshot->in_covers, snapshot->in_total, false); // not durable yet
        return;
    }
    if (part->last.index <= view.commit) {
        forget_in(snapshot);
        reply_to(group, from, part->last, part->total_bytes, true); // we are there already
        return;
    }
    if (group->jobs_out > 0 || group->checkpoint.state != CHECKPOINT_IDLE ||
        !begin_in(group, from, part)) {
        return;
    }
    take_part(snapshot, part);
    if (snapshot->in_received == snapshot->in_total) {
        install(group);
        return;
    }
    reply_to(group, from, part->last, snapshot->in_received, false);
}

// When something of a transfer is due that no frame brings about.
uint64_t snapshot_deadline_ns(const struct group *group)
{
    const struct snapshot *snapshot = &group->snapshot;
    uint64_t deadline = UINT64_MAX;
    if (snapshot->in_must_persist && group->checkpoint.state == CHECKPOINT_IDLE) {
        return group->checkpoint.retry_ns;
    }
    for (uint32_t place = 0; place < RAFT_NODES_MAX && snapshot->is_ready; place++) {
        const struct snapshot_peer *peer = &snapshot->peers[place];
        if (peer->is_active && peer->resend_ns < deadline) {
            deadline = peer->resend_ns;
        }
    }
    return deadline;
}

void snapshot_close(struct group *group)
{
    stream_end(&group->snapshot.stream);
    free(group->snapshot.data);
    free(group->snapshot.in_data);
}
