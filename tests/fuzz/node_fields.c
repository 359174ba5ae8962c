// Values of the fields of messages that fuzz_node sends: what a byte or two of its input say, as
// differences to what the node knows.
#include "tests/fuzz/node.h"

#include "engine/core/parallel.h"

uint64_t node_read_term(struct fuzz_input *input, uint16_t group)
{
    uint64_t term = fuzz_near(input, node_view(group).term, RAFT_TERM_MAX);
    return term == 0 ? 1 : term;
}

static uint64_t read_index(struct fuzz_input *input, uint16_t group)
{
    struct raft_view view = node_view(group);
    const uint64_t known[] = {view.last,   view.commit,  view.held,     view.base,
                              view.synced, view.applied, view.last + 1, 0};
    uint8_t which = fuzz_u8(input);
    return fuzz_near(input, known[which & 7], RAFT_INDEX_MAX);
}

struct raft_entry_id node_read_place(struct fuzz_input *input, uint16_t group, uint64_t term_max)
{
    struct raft_view view = node_view(group);
    struct raft_entry_id id = {.index = read_index(input, group)};
    bool is_ours = id.index >= view.base && id.index <= view.last;
    uint64_t term = is_ours ? raft_id_at(node_group(group)->raft, id.index).term : view.term;
    id.term = fuzz_near(input, term, term_max);
    if (id.index == 0) {
        return (struct raft_entry_id){0};
    }
    id.term = id.term == 0 ? 1 : id.term;
    return id;
}

void node_read_entries(struct fuzz_input *input, struct sample *sample, uint16_t group,
                       uint32_t count)
{
    uint32_t data_at = 0;
    for (uint32_t at = 0; at < count; at++) {
        uint8_t bits = fuzz_u8(input);
        struct raft_entry_head *head = &sample->heads[at];
        *head = (struct raft_entry_head){.kind = RAFT_ENTRY_COMMAND};
        sample->payloads[at] = sample->data + data_at;
        if ((bits & 3) == 1) {
            head->kind = RAFT_ENTRY_NOOP;
        } else if ((bits & 3) == 2) {
            head->kind = RAFT_ENTRY_REGISTER;
            head->client = fuzz_u8(input);
            head->sequence = fuzz_u16(input);
        } else {
            head->client = fuzz_near(input, node_record_session(group), RAFT_INDEX_MAX);
            head->sequence = fuzz_near(input, 1, RAFT_INDEX_MAX);
            head->sequence = head->sequence == 0 ? 1 : head->sequence;
            head->bytes = (bits & 4) != 0 ? 170 : fuzz_u8(input) & 31;
            data_at += head->bytes;
        }
        head->crc = raft_entry_crc(head, sample->payloads[at]) + ((bits & 0xF8) == 0xF8);
    }
    sample->message.payload_bytes = data_at;
}

// What an append of a parallel group says instead of terms: that the log of the term is installed
// and where it ends, or that it answers a fetch; and what its entries depend on.
static void read_sync(struct fuzz_input *input, struct sample *sample, struct raft_append *append,
                      uint16_t group, uint64_t term)
{
    const struct raft_parallel *parallel = node_group(group)->raft->parallel;
    uint8_t bits = fuzz_u8(input);
    append->prev.term = 0;
    append->entries_term = append->count > 0 ? term : 0;
    append->has_sync = (bits & 1) == 0;
    append->is_supply = !append->has_sync && append->count > 0 && (bits & 2) == 0;
    if (append->has_sync) {
        append->sync_from = fuzz_near(input, parallel->sync_term, term - 1);
        append->sync_end = (bits & 4) == 0 ? parallel->sync_end
                                           : fuzz_near(input, append->prev.index, RAFT_INDEX_MAX);
    } else if (append->is_supply) {
        append->round = (bits & 4) == 0 ? parallel->fetch_number : append->round;
        append->sync_end = append->prev.index + append->count + (bits >> 4);
        append->sync_end = append->sync_end < RAFT_INDEX_MAX ? append->sync_end : RAFT_INDEX_MAX;
    }
    if (!raft_append_tells(append)) {
        return;
    }
    for (uint32_t at = 0; at < append->count; at++) {
        uint64_t most = append->prev.index + 1 + at - append->sync_end;
        most = most < RAFT_WINDOW_MAX ? most : RAFT_WINDOW_MAX;
        sample->distances[at] = (uint16_t)(1 + (most - 1) * (bits >> 4) / 15);
    }
    append->distances = sample->distances;
}

static void read_append_place(struct fuzz_input *input, struct raft_append *append, uint16_t group,
                              uint64_t term, uint32_t count)
{
    append->prev = node_read_place(input, group, term);
    append->count = count;
    if (append->prev.index > RAFT_INDEX_MAX - count) {
        append->prev.index = RAFT_INDEX_MAX - count;
    }
    if (count > 0) {
        append->entries_term = fuzz_near(input, term, term);
        append->entries_term =
            append->entries_term < append->prev.term ? append->prev.term : append->entries_term;
        append->entries_term = append->entries_term == 0 ? 1 : append->entries_term;
    }
    append->commit = read_index(input, group);
    append->round = fuzz_u8(input);
    append->echo_ns = fuzz_u8(input);
    if ((append->round & 0x80) != 0) {
        append->rejoin_boot = fuzz_near(input, node.seat->reactor->recovery.boot, UINT64_MAX);
        append->rejoin_index = append->rejoin_boot == 0 ? 0 : read_index(input, group);
    }
}

void node_read_append(struct fuzz_input *input, struct sample *sample, struct raft_append *append,
                      uint16_t group, uint32_t count)
{
    uint64_t term = sample->message.term;
    read_append_place(input, append, group, term, count);
    if (node.is_parallel) {
        read_sync(input, sample, append, group, term);
    }
}

static void read_answer(struct fuzz_input *input, struct raft_append_reply *reply, uint16_t group,
                        uint64_t term)
{
    uint8_t bits = fuzz_u8(input);
    reply->result = (bits & 1) != 0 ? RAFT_APPEND_REJECTED : RAFT_APPEND_OK;
    reply->match = read_index(input, group);
    reply->held = fuzz_near(input, reply->match, RAFT_INDEX_MAX);
    reply->round = fuzz_near(input, node_group(group)->raft->round, UINT64_MAX);
    reply->echo_ns = fuzz_near(input, node.seat->now_ns, UINT64_MAX);
    if (reply->result == RAFT_APPEND_REJECTED) {
        reply->conflict.term = fuzz_near(input, term, term);
        reply->conflict.index = read_index(input, group);
        reply->conflict.index = reply->conflict.index == 0 ? 1 : reply->conflict.index;
    }
    for (uint32_t gaps = (bits >> 1) & 3; reply->gap_count < gaps; reply->gap_count++) {
        uint64_t before =
            reply->gap_count == 0 ? reply->held : reply->gaps[reply->gap_count - 1].last;
        struct raft_range *gap = &reply->gaps[reply->gap_count];
        gap->first = fuzz_near(input, before + 1, RAFT_INDEX_MAX);
        gap->last = fuzz_near(input, gap->first, RAFT_INDEX_MAX);
    }
}

// So many bits, of which the last is set; the first only where it may be.
static void read_bits(struct fuzz_input *input, uint64_t *words, uint32_t bits, bool is_first_free)
{
    for (uint32_t at = 0; at < bits; at += 64) {
        words[at / 64] = fuzz_u8(input) * UINT64_C(0x0101010101010101);
    }
    if (bits > 0) {
        words[(bits - 1) / 64] &= UINT64_MAX >> (63 - (bits - 1) % 64);
        words[(bits - 1) / 64] |= UINT64_C(1) << ((bits - 1) % 64);
        words[0] &= is_first_free ? UINT64_MAX : ~UINT64_C(1);
    }
}

// An answer of a parallel group: OK always, and what is durable beyond the floor.
static void read_acks(struct fuzz_input *input, struct raft_append_reply *reply)
{
    uint8_t bits = fuzz_u8(input);
    reply->result = RAFT_APPEND_OK;
    reply->conflict = (struct raft_entry_id){0};
    reply->held = reply->held > reply->match ? reply->held : reply->match;
    reply->is_installed = (bits & 1) == 0;
    reply->acked_count = (bits >> 1) % 70;
    reply->acked_count -= reply->acked_count == 1;
    if (reply->match > RAFT_INDEX_MAX - reply->acked_count) {
        reply->acked_count = 0;
    }
    read_bits(input, reply->acked, reply->acked_count, !reply->is_installed);
}

void node_read_append_reply(struct fuzz_input *input, struct raft_append_reply *reply,
                            uint16_t group, uint64_t term)
{
    read_answer(input, reply, group, term);
    if (node.is_parallel) {
        read_acks(input, reply);
    }
}

static void read_claim(struct fuzz_input *input, struct raft_entry_id *claim, uint16_t group,
                       uint64_t term)
{
    claim->term = fuzz_near(input, node_group(group)->raft->parallel->sync_term, term);
    claim->index = claim->term == 0 ? 0 : read_index(input, group);
}

void node_read_vote(struct fuzz_input *input, struct raft_entry_id *last, uint16_t group,
                    uint64_t term)
{
    if (node.is_parallel) {
        read_claim(input, last, group, term);
    } else {
        *last = node_read_place(input, group, term);
    }
}

void node_read_report(struct fuzz_input *input, struct raft_report *report, uint16_t group,
                      uint64_t term)
{
    const struct raft_parallel *parallel = node_group(group)->raft->parallel;
    const uint64_t floor_max = RAFT_INDEX_MAX - 200;
    uint8_t bits = fuzz_u8(input);
    uint32_t count = (bits >> 2) & 63, apart = bits & 3;
    report->sync_term = fuzz_near(input, parallel->sync_term, term);
    report->floor = report->sync_term == 0 ? 0 : read_index(input, group);
    report->floor = report->floor < floor_max ? report->floor : floor_max;
    report->sync_end = fuzz_near(input, parallel->sync_end, report->floor);
    report->commit = read_index(input, group);
    apart += apart == 0 && count == 1;
    report->first = report->floor + 1 + (count > 0 ? apart : 0);
    report->last = report->first + count - 1;
    read_bits(input, report->present, count, apart > 0);
}

void node_read_fetch(struct fuzz_input *input, struct raft_fetch *fetch, uint16_t group)
{
    struct raft_wanted *wanted = &fetch->wanted;
    fetch->number = fuzz_near(input, node_group(group)->raft->parallel->fetch.number, UINT64_MAX);
    wanted->count = 1 + fuzz_u8(input) % 200;
    wanted->first = read_index(input, group);
    wanted->first = wanted->first == 0 ? 1 : wanted->first;
    if (wanted->first > RAFT_INDEX_MAX - wanted->count) {
        wanted->first = RAFT_INDEX_MAX - wanted->count;
    }
    read_bits(input, wanted->bits, wanted->count, true);
    wanted->bits[0] |= 1;
}

void node_read_fragment(struct fuzz_input *input, struct sample *sample, uint16_t group)
{
    static const uint32_t sizes[] = {1500,
                                     4096,
                                     12000,
                                     SEAT_PAYLOAD_BYTES_MAX,
                                     SEAT_PAYLOAD_BYTES_MAX + 1,
                                     RAFT_PAYLOAD_BYTES_MAX};
    struct wire_fragment *fragment = &sample->message.fragment;
    uint8_t bits = fuzz_u8(input);
    uint32_t part = (bits & 8) != 0 ? 1000 : 1200;
    fragment->head = (struct raft_entry_head){.kind = RAFT_ENTRY_COMMAND};
    fragment->head.client = fuzz_near(input, node_record_session(group), RAFT_INDEX_MAX);
    fragment->head.sequence = fuzz_near(input, 1, RAFT_INDEX_MAX);
    fragment->head.sequence += fragment->head.sequence == 0;
    fragment->head.bytes = sizes[(bits & 7) % 6];
    fragment->offset = part * (bits >> 4);
    if (fragment->offset >= fragment->head.bytes) {
        fragment->offset = fragment->head.bytes / part * part;
    }
    uint32_t left = fragment->head.bytes - fragment->offset;
    fragment->bytes = left < part ? left : part;
    fragment->data = sample->data; // zeros
    if (fragment->head.bytes <= sizeof(sample->data)) {
        fragment->head.crc = raft_entry_crc(&fragment->head, sample->data);
    }
}
