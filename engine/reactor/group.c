// A group's core and the world: carries out what raft_step accepts and what raft_collect wants.
#include "engine/reactor/internal.h"

#include "engine/base/mark.h"
#include "engine/core/conflict.h"

void group_mark_dirty(struct group *group)
{
    if (!group->is_dirty) {
        group->is_dirty = true;
        group->reactor->dirty[group->reactor->dirty_count++] = group->slot;
    }
}

// Is every entry within payload_bytes_max? The gateway for whoever was set up with larger ones.
bool group_takes_sizes(const struct group *group, const struct raft_entry_head *heads,
                       uint32_t count)
{
    uint32_t max = group->reactor->config.sizes.payload_bytes_max;
    uint32_t at = 0;
    while (at < count && heads[at].bytes <= max) {
        at++;
    }
    return at == count;
}

// Room for new entries, with a reserve for what must always find a place: two more entries, or the
// largest would never have room; and what may have to move out of the oldest segment.
bool group_log_has_room(const struct group *group, uint32_t entries, uint64_t bytes)
{
    const struct reactor *reactor = group->reactor;
    uint64_t apart = WAL_RESERVE_BYTES + reactor->tail.to_move_bytes;
    return wal_has_room(reactor->wal, entries + 2 + (uint32_t)(apart / LOG_ENTRY_BYTES),
                        bytes + reactor->config.sizes.payload_bytes_max + apart);
}

// The same for proposals, of which no group may take all the room there is.
bool group_takes_proposals(const struct group *group, uint32_t entries, uint64_t bytes)
{
    return group_log_has_room(group, entries, bytes) && tail_lets_grow(group);
}

void group_forget_origins(struct group *group, uint64_t first, uint64_t last)
{
    uint64_t mask = group->reactor->config.log_entries - 1;
    for (uint64_t index = first; index <= last; index++) {
        group->origins[index & mask].slot = 0;
    }
}

// Do the commands of the proposal, and all that may be applied before or after them, fit into the
// state machine?
static bool has_app_room(struct group *group, const struct raft_input *input)
{
    if (group->app->ops->room == NULL) {
        return true;
    }
    uint64_t count, need = 0, under_way = raft_bytes_under_way(group->raft, &count);
    uint64_t room = group->app->ops->room(group->app), last = raft_applied(group->raft) + count;
    under_way += count * APP_COMMAND_BYTES;
    for (uint32_t at = 0; at < input->propose.count; at++) {
        need += input->propose.heads[at].bytes + APP_COMMAND_BYTES;
    }
    return app_room_fits(&group->app_room, last, room > under_way ? room - under_way : 0, need,
                         input->propose.count);
}

// What a command (or query) touches, into `out`, as the state machine says it. One that names
// ranges nobody can mean conflicts with everything: slow, never wrong. Result: how many, or
// RAFT_FOOTPRINT_ALL.
uint8_t group_ask_footprint(app_footprint_of *footprint, const void *payload, uint32_t bytes,
                            struct raft_footprint *out)
{
    struct app_footprint ranges[RAFT_FOOTPRINTS_MAX];
    int32_t count = footprint(payload, bytes, ranges, RAFT_FOOTPRINTS_MAX);
    bool is_valid = count >= 0 && count <= RAFT_FOOTPRINTS_MAX;
    for (int32_t range = 0; is_valid && range < count; range++) {
        out[range] = (struct raft_footprint){ranges[range].start, ranges[range].length};
        is_valid = raft_footprint_is_valid(out[range]);
    }
    return is_valid ? (uint8_t)count : RAFT_FOOTPRINT_ALL;
}

// The same, as its proposer declared it. Precondition: wire_ranges_are_valid.
uint8_t group_copy_footprint(const struct wire_ranges *declared, struct raft_footprint *out)
{
    for (uint32_t range = 0; range < declared->count; range++) {
        out[range] = wire_range_at(declared, range);
    }
    return declared->count == 0 ? RAFT_FOOTPRINT_ALL : declared->count;
}

// What the commands of a proposal touch: as the state machine says, or, of one that does not say
// it, as was declared with them (`declared`: one a command, or NULL).
void group_fill_footprints(struct group *group, struct raft_input *input,
                           const uint8_t *const *payloads, const struct wire_ranges *declared)
{
    struct reactor *reactor = group->reactor;
    if (!is_parallel(group)) {
        return;
    }
    ASSERT_CMP(input->propose.count, <=, WIRE_ENTRIES_MAX);
    if (raft_room(group->raft) < input->propose.count) {
        return; // it will not be taken
    }
    const struct app_ops *ops = group->app->ops;
    bool is_said = ops->footprint != NULL || declared != NULL;
    bool has_room = has_app_room(group, input); // it notes what is asked for, whoever says what
    if (!is_said || !has_room) {
        reactor->counters.footprints_all += input->propose.count;
        return; // without footprints everything conflicts
    }
    for (uint32_t at = 0; at < input->propose.count; at++) {
        struct raft_footprint *out = reactor->footprints + (size_t)at * RAFT_FOOTPRINTS_MAX;
        const struct raft_entry_head *head = &input->propose.heads[at];
        uint8_t count = head->kind != RAFT_ENTRY_COMMAND ? RAFT_FOOTPRINT_ALL
                        : ops->footprint != NULL
                            ? group_ask_footprint(ops->footprint, payloads[at], head->bytes, out)
                            : group_copy_footprint(&declared[at], out);
        reactor->counters.footprints_all += count == RAFT_FOOTPRINT_ALL;
        reactor->footprint_counts[at] = count;
    }
    input->propose.footprints = reactor->footprints;
    input->propose.footprint_counts = reactor->footprint_counts;
}

// What came with an input: entries from index `first` on, all of one term. Without payloads: what
// the core made itself, one entry (the no-op of a new leader).
struct content {
    const struct raft_entry_head *heads;
    const uint8_t *const *payloads;
    uint64_t first;
};

// Gives `count` entries, from `index` on, their places in the log: the one copy of their payloads.
static void place_span(struct group *group, struct raft_entry *entry, uint64_t index,
                       uint32_t count, uint64_t prev_term, const struct content *content)
{
    struct wal *wal = group->reactor->wal;
    const uint8_t *const none = NULL;
    while (count > 0) {
        const struct raft_entry_id id = {.term = entry->term, .index = index};
        uint64_t at = index - content->first, body;
        uint32_t put =
            content->payloads == NULL
                ? wal_append_run(wal, group->id, entry->epoch, id, prev_term, &entry->head, &none,
                                 1, &body)
                : wal_append_run(wal, group->id, entry->epoch, id, prev_term, content->heads + at,
                                 content->payloads + at, count, &body);
        count -= put;
        index += put;
        for (; put > 0; put--, entry++) {
            entry->body = body;
            entry->is_placed = true;
            body += entry->head.bytes + WAL_RECORD_OVERHEAD_BYTES;
        }
        prev_term = id.term;
    }
}

static void place(struct group *group, const struct raft_accept *accept,
                  const struct content *content)
{
    uint64_t prev_term = accept->prev_term;
    for (uint64_t index = accept->range.first; index <= accept->range.last;) {
        uint32_t count;
        struct raft_entry *entry =
            raft_entry_span_to_place(group->raft, index, accept->range.last, &count);
        if (count == 0) {
            index++; // it was placed when it came over a hole
            continue;
        }
        place_span(group, entry, index, count, prev_term, content);
        prev_term = entry->term;
        index += count;
    }
}

enum raft_outcome group_step(struct group *group, const struct raft_input *input,
                             const uint8_t *const *payloads, uint64_t payloads_first)
{
    struct reactor *reactor = group->reactor;
    struct raft_accept accept;
    enum raft_outcome outcome = raft_step(group->raft, reactor->now_ns, input, &accept);
    reactor->counters.outcomes[outcome]++;
    if (accept.truncate_from != 0) {
        wal_truncate(reactor->wal, group->id, accept.truncate_from);
    }
    if (accept.range.first <= accept.range.last) {
        if (is_parallel(group)) {
            wal_note_commit(reactor->wal, group->id, raft_commit_to_note(group->raft));
            wal_stage(reactor->wal, group->id, accept.is_staged);
        }
        bool is_proposal = input->kind == RAFT_IN_PROPOSE;
        const struct content content = {.heads = payloads == NULL ? NULL
                                                 : is_proposal    ? input->propose.heads
                                                                  : input->message->append.heads,
                                        .payloads = payloads,
                                        .first = is_proposal ? accept.range.first : payloads_first};
        group_forget_origins(group, accept.range.first, accept.range.last);
        place(group, &accept, &content);
        if (accept.is_staged) {
            wal_stage(reactor->wal, group->id, false);
        }
    }
    group_mark_dirty(group);
    return outcome;
}

// The term that entries travel under. Those of a parallel group are, or with a supply become,
// entries of the message's term, whatever log they are in here.
static uint64_t travel_term(const struct group *group, const struct raft_message *message,
                            uint64_t term)
{
    return is_parallel(group) ? message->term : term;
}

// What an entry is told to depend on takes this much beside it.
static uint32_t told_bytes_max(const struct group *group)
{
    return is_parallel(group) ? WIRE_DISTANCE_BYTES : 0;
}

static void tell_distances(struct group *group, struct raft_append *append)
{
    if (raft_append_tells(append)) {
        append->distances = group->reactor->distances;
        raft_distances(group->raft, append->prev.index + 1, append->count,
                       group->reactor->distances);
    }
}

// Sends one entry that is larger than a frame, in fragments. False when frames ran out: all of it
// counts as unsent, but the next attempt goes on where this one ended (else an entry of more
// fragments than the driver takes at once would never be whole).
static bool send_fragments(struct group *group, struct lane *lane, uint64_t index,
                           uint64_t sealed_max)
{
    struct reactor *reactor = group->reactor;
    struct fragment_cursor *cursor = &group->cursors[lane - reactor->peers];
    const struct raft_entry *entry = raft_entry_at(group->raft, index);
    const uint8_t *payload = wal_payload(reactor->wal, entry->body);
    struct raft_message message;
    raft_append_header(group->raft, lane->node, index, &message);
    message.append.entries_term = travel_term(group, &message, entry->term);
    message.append.count = 1;
    tell_distances(group, &message.append);
    uint32_t piece = wire_fragment_bytes(lane_frame_bytes(reactor, lane)) - told_bytes_max(group);
    const struct raft_entry_id id = {.term = entry->term, .index = index};
    uint32_t offset = raft_entry_id_equal(cursor->id, id) ? cursor->offset : 0;
    for (; offset < entry->head.bytes; offset += piece) {
        uint32_t left = entry->head.bytes - offset;
        const struct wire_fragment fragment = {.head = entry->head,
                                               .offset = offset,
                                               .bytes = left < piece ? left : piece,
                                               .data = payload + offset,
                                               .append = message.append};
        struct wire_writer *writer =
            reactor->outbox.sealed < sealed_max ? lane_next_frame(reactor, lane) : NULL;
        if (writer == NULL || !wire_put_append_fragment(writer, group->id, &message, &fragment)) {
            MARK(fragments_cut_short_for_frames);
            *cursor = (struct fragment_cursor){.id = id, .offset = offset};
            return false;
        }
    }
    *cursor = (struct fragment_cursor){.offset = 0};
    reactor->counters.entries_out++;
    return true;
}

// How many of the entries lie back to back in the log, from the first on.
static uint32_t count_adjacent(const struct raft_entry *entry, uint32_t count)
{
    uint32_t run = 1;
    while (run < count && entry[run].body == entry[run - 1].body + entry[run - 1].head.bytes +
                                                 WAL_RECORD_OVERHEAD_BYTES) {
        run++;
    }
    return run;
}

// Sends as many entries of one term, from first to at most last, as one message of the open frame
// holds. Result: the next index to send; `first` when frames ran out.
static uint64_t send_message(struct group *group, struct lane *lane, uint64_t first, uint64_t last)
{
    struct reactor *reactor = group->reactor;
    struct wire_writer *writer = lane_writer(reactor, lane);
    const struct raft_entry *entry = raft_entry_at(group->raft, first);
    uint32_t told_bytes = told_bytes_max(group);
    if (writer != NULL && !wire_append_takes(writer, 1, entry->head.bytes + told_bytes)) {
        writer = lane_next_frame(reactor, lane);
    }
    if (writer == NULL) {
        return first;
    }
    uint64_t term = entry->term;
    uint32_t span, count = 0, used = 0, room = wire_append_room(writer);
    entry = raft_entry_span(group->raft, first, last, &span);
    for (; count < span && count < WIRE_ENTRIES_MAX && entry[count].term == term; count++) {
        uint32_t need = WIRE_HEAD_BYTES + told_bytes + entry[count].head.bytes;
        if (need > room - used) {
            break;
        }
        used += need;
    }
    uint32_t bytes = used - count * (WIRE_HEAD_BYTES + told_bytes);
    struct raft_message message;
    raft_append_header(group->raft, lane->node, first, &message);
    message.append.entries_term = travel_term(group, &message, term);
    message.append.count = count;
    tell_distances(group, &message.append);
    struct wire_append_writer append;
    if (count == 0 || !wire_append_open(&append, writer, group->id, &message, count, bytes)) {
        return first;
    }
    for (uint32_t at = 0, run; at < count; at += run) {
        run = count_adjacent(entry + at, count - at);
        wire_append_put_records(&append, wal_record(reactor->wal, entry[at].body), run);
    }
    reactor->counters.entries_out += count;
    reactor->counters.messages_out++;
    return first + count;
}

// At most SEND_FRAMES_MAX frames: not every driver refuses what is too much for one iteration.
// Where each frame is a way through the kernel (net_af_packet, net_udp) a whole window of 32 MiB
// would take longer than an election timeout, and a leader that does not poll is deposed
// (measured: 1.8 s).
//
// What could not be sent for want of frames is taken back: the core must not believe it is under
// way. What cannot be sent because the peer is not reached counts as lost, or we would try in every
// iteration.
static void send_entries(struct group *group, const struct raft_send *send)
{
    struct reactor *reactor = group->reactor;
    struct lane *lane = lane_of_node(reactor, send->to);
    uint64_t index = send->range.first;
    uint64_t sealed_max = reactor->outbox.sealed + SEND_FRAMES_MAX;
    bool is_reached = lane_locate(reactor, lane);
    uint32_t payload_max = is_reached ? wire_append_payload_max(lane_frame_bytes(reactor, lane)) -
                                            told_bytes_max(group)
                                      : 0;
    struct raft_range run;
    while (is_reached && reactor->outbox.sealed < sealed_max && raft_send_next(send, index, &run)) {
        index = run.first;
        const struct raft_entry *entry = raft_entry_at(group->raft, index);
        uint64_t next;
        if (entry->head.bytes > payload_max) {
            next = send_fragments(group, lane, index, sealed_max) ? index + 1 : index;
        } else {
            next = send_message(group, lane, index, run.last);
        }
        if (next == index) {
            break;
        }
        index = next;
    }
    if (is_reached && raft_send_next(send, index, &run)) {
        MARK(send_cut_short_for_frames);
        reactor->counters.sends_cut_short++;
        const struct raft_input input = {.kind = RAFT_IN_UNSENT,
                                         .unsent = {.peer = send->to, .index = index}};
        group_step(group, &input, NULL, 0);
    }
}

static void send_messages(struct group *group, const struct raft_effects *effects)
{
    struct reactor *reactor = group->reactor;
    for (uint32_t at = 0; at < effects->message_count; at++) {
        const struct raft_message *message = &effects->messages[at];
        struct lane *lane = lane_of_node(reactor, message->to);
        struct wire_writer *writer = lane_writer(reactor, lane);
        if (writer != NULL && !wire_put_raft(writer, group->id, message)) {
            writer = lane_next_frame(reactor, lane);
            if (writer != NULL && !wire_put_raft(writer, group->id, message)) {
                writer = NULL;
            }
        }
        reactor->counters.messages_out += writer != NULL;
    }
}

// Whoever waits for an entry of a leader that is none any more learns that the outcome is not known
// here.
void group_leadership_lost(struct group *group)
{
    struct reactor *reactor = group->reactor;
    timing_forget(group);
    struct raft_view view;
    raft_view(group->raft, &view);
    uint64_t mask = reactor->config.log_entries - 1;
    for (uint64_t index = group->applied + 1; index <= view.last; index++) {
        struct origin origin = group->origins[index & mask];
        const struct raft_entry *entry = raft_entry_at(group->raft, index);
        if (origin.slot == 0 || entry == NULL) {
            continue;
        }
        const struct wire_result result = {.sequence = entry->head.sequence,
                                           .status = WIRE_UNKNOWN};
        group->origins[index & mask].slot = 0;
        client_result(reactor, origin, group->id, entry->head.client, &result, index);
    }
    mailbox_leadership_lost(group);
}

static void on_role_change(struct group *group)
{
    struct reactor *reactor = group->reactor;
    struct raft_view view;
    raft_view(group->raft, &view);
    if (group->role == RAFT_LEADER && view.role != RAFT_LEADER) {
        group_leadership_lost(group);
    }
    reactor->counters.elections += view.role == RAFT_CANDIDATE && group->role != RAFT_CANDIDATE;
    group->role = view.role;
    app_room_forget(&group->app_room);
    if (reactor->config.role_change != NULL) {
        reactor->config.role_change(reactor->config.context, group->id, view.role, view.term,
                                    view.leader);
    }
}

// The SYNC record of a parallel group, when there is room for it: an install waits until then.
static void put_sync(struct group *group)
{
    if (!wal_has_room(group->reactor->wal, 1, 0)) {
        group_mark_dirty(group);
        return;
    }
    wal_sync(group->reactor->wal, group->id, &group->sync);
    group->sync.term = 0;
}

static void collect(struct group *group)
{
    struct reactor *reactor = group->reactor;
    struct raft_effects *effects = &reactor->effects;
    raft_collect(group->raft, reactor->now_ns, effects);
    heap_update(&reactor->timers, group->slot, effects->deadline_ns);
    if (effects->hard_state_due) {
        wal_put_hard_state(reactor->wal, group->id, effects->hard_state);
    }
    if (effects->role_changed) {
        on_role_change(group);
    }
    send_messages(group, effects);
    for (uint32_t at = 0; at < effects->send_count; at++) {
        send_entries(group, &effects->sends[at]);
    }
    if (effects->sync_due) {
        group->sync = effects->sync;
    }
    if (group->sync.term != 0) {
        put_sync(group);
    }
    if (effects->apply.first <= effects->apply.last) {
        group->apply_last = effects->apply.last;
        wal_note_commit(reactor->wal, group->id, raft_commit_to_note(group->raft));
    }
    reads_aborted(group, effects->reads_aborted_upto);
    if (effects->reads_granted) {
        reads_granted(group, effects->reads_upto, effects->reads_index);
    }
    if (effects->snapshot_peers != 0) {
        snapshot_want(group, effects->snapshot_peers);
    }
    apply_dispatch(group);
}

// Groups that were stepped since the last time. A step during collect (unsent, applied) marks its
// group for the next iteration.
void group_collect_all(struct reactor *reactor)
{
    uint32_t count = reactor->dirty_count;
    for (uint32_t at = 0; at < count; at++) {
        struct group *group = &reactor->groups[reactor->dirty[at]];
        group->is_dirty = false;
        collect(group);
    }
    uint32_t left = reactor->dirty_count - count;
    for (uint32_t at = 0; at < left; at++) {
        reactor->dirty[at] = reactor->dirty[count + at];
    }
    reactor->dirty_count = left;
}

// Memory or state is damaged: the group serves nothing any more, here.
void group_halt(struct group *group)
{
    const struct raft_input input = {.kind = RAFT_IN_DISK_FAILED};
    group->is_halted = true;
    group_step(group, &input, NULL, 0);
    reads_fail(group);
}

// Nothing will be durable any more: every group steps down for good.
void group_device_failed(struct reactor *reactor)
{
    MARK(device_fails_for_good);
    reactor->is_failed = true;
    const struct raft_input input = {.kind = RAFT_IN_DISK_FAILED};
    for (uint32_t slot = 0; slot < reactor->group_count; slot++) {
        group_step(&reactor->groups[slot], &input, NULL, 0);
    }
}

static void on_wal_event(struct reactor *reactor, const struct wal_event *event)
{
    struct raft_input input = {.kind = RAFT_IN_SYNCED};
    if (event->kind == WAL_EVENT_FAILED) {
        group_device_failed(reactor);
        return;
    }
    struct group *group = reactor_group(reactor, event->group);
    if (group == NULL) {
        return;
    }
    if (event->kind == WAL_EVENT_HARD_STATE) {
        input.kind = RAFT_IN_HARD_STATE;
        input.hard_state = event->hard_state;
    } else if (event->kind == WAL_EVENT_SYNC) {
        input.kind = RAFT_IN_SYNC;
        input.sync_term = event->sync_term;
    } else {
        input.synced.range = event->range;
        input.synced.epoch = event->epoch;
    }
    group_step(group, &input, NULL, 0);
}

bool group_poll_wal(struct reactor *reactor)
{
    uint32_t max = sizeof(reactor->events) / sizeof(reactor->events[0]);
    uint32_t count, total = 0;
    do {
        count = wal_poll(reactor->wal, reactor->events, max);
        for (uint32_t at = 0; at < count; at++) {
            on_wal_event(reactor, &reactor->events[at]);
        }
        total += count;
    } while (count == max);
    return total > 0;
}

// Whoever wins an election needs a place for its no-op: without room for one of every group none
// stands.
static bool has_room_for_no_ops(const struct reactor *reactor)
{
    return wal_has_room(reactor->wal, reactor->group_count, 0);
}

bool group_poll_timers(struct reactor *reactor)
{
    const struct raft_input input = {.kind = RAFT_IN_TICK};
    bool was_due = false;
    uint32_t slot;
    while (heap_pop_due(&reactor->timers, reactor->now_ns, &slot)) {
        struct group *group = &reactor->groups[slot];
        was_due = true;
        if (group->role == RAFT_LEADER || has_room_for_no_ops(reactor)) {
            group_step(group, &input, NULL, 0);
        } else {
            heap_update(&reactor->timers, slot,
                        reactor->now_ns + reactor->config.election_timeout_min_ns);
        }
    }
    return was_due;
}
