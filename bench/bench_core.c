// The core alone: what one entry costs in three replicas of a group, without wire, log and disk.
//
// Several groups go through each stage together, so the clock costs nothing. The heads of an append
// message are copied once, as a decoder would leave them. Batches of all sizes are interleaved, and
// the median of the rounds is reported, in nanoseconds an entry:
//
//     propose   leader: step, give bodies
//     send      leader: collect, headers and heads of two appends
//     receive   follower: step, give bodies
//     sync      follower: completion, collect, the answer
//     commit    leader: its own completion, two answers, collect
//     apply     all three: applied; now and then the log is trimmed
//
// Beside it the conflict index of parallel groups: entries of one and of eight ranges under random
// keys, 32 of them under way.
//
// Below callgrind: --rounds 1 --repeats 20 --batch N counts the instructions of one size.
#include "bench/harness/options.h"
#include "bench/report/median.h"
#include "bench/report/result.h"
#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "engine/core/conflict.h"
#include "engine/core/raft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZES = 3, ROUNDS_MAX = 100, GROUPS = 16, NODES = 3, BATCH_MAX = 64, KEY_BYTES = 24 };

enum { CONFLICT_LEAVES = 256, CONFLICT_ENTRIES = 50000, CONFLICT_KEYS = 1 << 20, UNDER_WAY = 32 };

enum stage {
    STAGE_PROPOSE,
    STAGE_SEND,
    STAGE_RECEIVE,
    STAGE_SYNC,
    STAGE_COMMIT,
    STAGE_APPLY,
    STAGES
};
static const char *const stage_names[] = {"propose", "send", "receive", "sync", "commit", "apply"};
static const uint32_t batches[SIZES] = {1, 16, 64};

struct group {
    struct raft *nodes[NODES]; // the first one leads
    struct raft_message to_follower[NODES], to_leader[NODES];
    struct raft_entry_head heads[NODES][BATCH_MAX];
    struct raft_range placed[NODES]; // awaits durability
    struct raft_range apply[NODES];
};

struct bench {
    uint64_t rounds, repeats, batch, log_entries;
    uint64_t now_ns; // virtual
    struct group groups[GROUPS];
    struct raft_entry_head heads[BATCH_MAX];
    struct raft_effects effects;
    struct conflict conflict;
    double conflict_ns[2][ROUNDS_MAX];            // entries of one range, of RAFT_FOOTPRINTS_MAX
    double samples_ns[SIZES][STAGES][ROUNDS_MAX]; // an entry
    char keys[SIZES][STAGES + 1][KEY_BYTES];
};

static double clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void step(struct bench *bench, struct group *group, uint32_t node,
                 const struct raft_input *input)
{
    struct raft_accept accept;
    struct raft *raft = group->nodes[node];
    enum raft_outcome outcome = raft_step(raft, bench->now_ns, input, &accept);
    ASSERT(outcome == RAFT_OK);
    for (uint64_t index = accept.range.first; index <= accept.range.last; index++) {
        if (raft_entry_to_place(raft, index) != NULL) {
            raft_entry_placed(raft, index, index * 64);
        }
    }
    if (accept.range.first <= accept.range.last) {
        group->placed[node] = accept.range;
    }
}

// Everything placed since the last time is durable.
static void sync(struct bench *bench, struct group *group, uint32_t node)
{
    struct raft_range range = group->placed[node];
    if (range.first <= range.last) {
        struct raft_input input = {
            .kind = RAFT_IN_SYNCED,
            .synced = {.range = range,
                       .epoch = raft_entry_at(group->nodes[node], range.first)->epoch}};
        step(bench, group, node, &input);
        group->placed[node] = (struct raft_range){.first = 1, .last = 0};
    }
}

static void receive(struct bench *bench, struct group *group, uint32_t node,
                    const struct raft_message *message)
{
    struct raft_input input = {.kind = RAFT_IN_MESSAGE, .message = message};
    step(bench, group, node, &input);
}

static void collect(struct bench *bench, struct group *group, uint32_t node)
{
    raft_collect(group->nodes[node], bench->now_ns, &bench->effects);
    struct raft_range apply = bench->effects.apply;
    if (apply.first <= apply.last) {
        group->apply[node] = apply;
    }
}

static void propose(struct bench *bench, struct group *group, uint32_t count)
{
    struct raft_input input = {.kind = RAFT_IN_PROPOSE,
                               .propose = {.heads = bench->heads, .count = count}};
    step(bench, group, 0, &input);
}

static void send(struct bench *bench, struct group *group)
{
    collect(bench, group, 0);
    for (uint32_t at = 0; at < bench->effects.send_count; at++) {
        const struct raft_send *sent = &bench->effects.sends[at];
        uint32_t node = sent->to - 1U;
        struct raft_message *message = &group->to_follower[node];
        const struct raft *leader = group->nodes[0];
        raft_append_header(leader, sent->to, sent->range.first, message);
        ASSERT(raft_term_run(leader, sent->range.first, sent->range.last) == sent->range.last);
        message->append.entries_term = message->term;
        message->append.heads = group->heads[node];
        for (uint64_t index = sent->range.first; index <= sent->range.last; index++) {
            group->heads[node][message->append.count++] = raft_entry_at(leader, index)->head;
        }
    }
}

static void answer(struct bench *bench, struct group *group, uint32_t node)
{
    sync(bench, group, node);
    collect(bench, group, node);
    ASSERT(bench->effects.message_count == 1);
    group->to_leader[node] = bench->effects.messages[0];
}

static void apply(struct bench *bench, struct group *group, uint32_t node)
{
    if (group->apply[node].first <= group->apply[node].last) {
        struct raft_input input = {.kind = RAFT_IN_APPLIED, .applied = group->apply[node].last};
        step(bench, group, node, &input);
    }
    struct raft_view view;
    raft_view(group->nodes[node], &view);
    if (view.applied - view.base > bench->log_entries / 2) {
        raft_trim(group->nodes[node], view.applied);
    }
}

static void run_stage(struct bench *bench, struct group *group, enum stage stage, uint32_t count)
{
    switch (stage) {
    case STAGE_PROPOSE:
        propose(bench, group, count);
        break;
    case STAGE_SEND:
        send(bench, group);
        break;
    case STAGE_RECEIVE:
        receive(bench, group, 1, &group->to_follower[1]);
        receive(bench, group, 2, &group->to_follower[2]);
        break;
    case STAGE_SYNC:
        answer(bench, group, 1);
        answer(bench, group, 2);
        break;
    case STAGE_COMMIT:
        sync(bench, group, 0);
        receive(bench, group, 0, &group->to_leader[1]);
        receive(bench, group, 0, &group->to_leader[2]);
        collect(bench, group, 0);
        break;
    case STAGE_APPLY:
        for (uint32_t node = 0; node < NODES; node++) {
            apply(bench, group, node);
        }
        break;
    case STAGES:
        break;
    }
}

static void run_round(struct bench *bench, uint32_t size, uint64_t round)
{
    uint32_t count = batches[size];
    double spent_ns[STAGES] = {0}, entries = (double)(bench->repeats * GROUPS * count);
    for (uint64_t repeat = 0; repeat < bench->repeats; repeat++) {
        bench->now_ns += 1000;
        for (enum stage stage = STAGE_PROPOSE; stage < STAGES; stage++) {
            double start_ns = clock_ns();
            for (uint32_t at = 0; at < GROUPS; at++) {
                run_stage(bench, &bench->groups[at], stage, count);
            }
            spent_ns[stage] += clock_ns() - start_ns;
        }
    }
    for (enum stage stage = STAGE_PROPOSE; stage < STAGES; stage++) {
        bench->samples_ns[size][stage][round] = spent_ns[stage] / entries;
    }
}

// Nanoseconds that the conflict index takes for an entry of so many ranges.
static double run_conflicts(struct bench *bench, uint32_t ranges)
{
    static struct raft_footprint footprints[CONFLICT_ENTRIES][RAFT_FOOTPRINTS_MAX];
    struct prng prng;
    prng_init(&prng, 1);
    for (uint32_t at = 0; at < CONFLICT_ENTRIES * ranges; at++) {
        footprints[at / ranges][at % ranges] =
            (struct raft_footprint){prng_below(&prng, CONFLICT_KEYS), 1};
    }
    conflict_reset(&bench->conflict, 0);
    double start_ns = clock_ns();
    for (uint64_t index = 1; index <= CONFLICT_ENTRIES; index++) {
        conflict_add(&bench->conflict, index, footprints[index - 1], ranges,
                     index > UNDER_WAY ? index - UNDER_WAY : 0);
    }
    return (clock_ns() - start_ns) / CONFLICT_ENTRIES;
}

static void open_conflicts(struct bench *bench)
{
    size_t bytes = (conflict_bytes(CONFLICT_LEAVES) + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, bytes);
    ASSERT(memory != NULL);
    conflict_init(&bench->conflict, memory, CONFLICT_LEAVES);
}

static void open_node(struct bench *bench, struct group *group, uint32_t node)
{
    struct raft_config config = {.self = (uint16_t)(node + 1),
                                 .voters = {1, 2, 3},
                                 .voter_count = NODES,
                                 .order = RAFT_ORDER_STRICT,
                                 .boot = 1,
                                 .intact = true,
                                 .election_timeout_min_ns = UINT64_C(1) << 40,
                                 .election_timeout_max_ns = UINT64_C(1) << 41,
                                 .heartbeat_ns = UINT64_C(1) << 39,
                                 .log_entries = (uint32_t)bench->log_entries,
                                 .window_entries = 4 * BATCH_MAX,
                                 .window_bytes = 1 << 20,
                                 .seed = 1};
    void *memory = aligned_alloc(64, (raft_memory_bytes(&config) + 63) & ~(size_t)63);
    ASSERT(memory != NULL);
    group->nodes[node] = raft_init(memory, &config, bench->now_ns);
    group->placed[node] = group->apply[node] = (struct raft_range){.first = 1, .last = 0};
}

// Node 1 leads in term 1, its no-op is everywhere, and both peers stream.
static void elect(struct bench *bench, struct group *group)
{
    static const enum raft_message_type kinds[] = {RAFT_MSG_PRE_VOTE_REPLY, RAFT_MSG_VOTE_REPLY};
    struct raft_input tick = {.kind = RAFT_IN_TICK};
    step(bench, group, 0, &tick);
    for (uint32_t at = 0; at < 2; at++) {
        struct raft_message granted = {.type = kinds[at],
                                       .from = 2,
                                       .to = 1,
                                       .intact = true,
                                       .boot = 1,
                                       .term = 1,
                                       .vote_reply = {.granted = true}};
        receive(bench, group, 0, &granted);
        struct raft_input synced = {.kind = RAFT_IN_HARD_STATE,
                                    .hard_state = {.term = 1, .voted_for = 1}};
        step(bench, group, 0, &synced);
    }
    send(bench, group);
    for (uint32_t node = 1; node < NODES; node++) {
        receive(bench, group, node, &group->to_follower[node]);
        struct raft_input synced = {.kind = RAFT_IN_HARD_STATE, .hard_state = {.term = 1}};
        step(bench, group, node, &synced);
        answer(bench, group, node);
    }
    run_stage(bench, group, STAGE_COMMIT, 0);
    run_stage(bench, group, STAGE_APPLY, 0);
}

static bool is_chosen(const struct bench *bench, uint32_t size)
{
    return bench->batch == 0 || bench->batch == batches[size];
}

static void describe(struct bench *bench, struct result *result)
{
    result_add_count(result, "groups", GROUPS);
    result_add_count(result, "rounds", bench->rounds);
    for (uint32_t size = 0; size < SIZES; size++) {
        double all_ns = 0;
        for (uint32_t stage = 0; stage <= STAGES && is_chosen(bench, size); stage++) {
            char *key = bench->keys[size][stage];
            snprintf(key, KEY_BYTES, "%s_%u_ns", stage == STAGES ? "all" : stage_names[stage],
                     batches[size]);
            if (stage < STAGES) {
                struct median median =
                    median_of(bench->samples_ns[size][stage], (size_t)bench->rounds);
                result_add_real(result, key, median.median, 2);
                all_ns += median.median;
            } else {
                result_add_real(result, key, all_ns, 2); // sum of the medians
            }
        }
    }
    if (bench->batch == 0) {
        result_add_real(result, "conflict_1_range_ns",
                        median_of(bench->conflict_ns[0], (size_t)bench->rounds).median, 2);
        result_add_real(result, "conflict_8_ranges_ns",
                        median_of(bench->conflict_ns[1], (size_t)bench->rounds).median, 2);
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = {.rounds = 15, .repeats = 500, .log_entries = 512, .now_ns = 1};
    const char *json_path = NULL;
    const struct option_row rows[] = {
        {"rounds", OPTION_NUMBER, &bench.rounds, 1, ROUNDS_MAX, NULL, "interleaved"},
        {"repeats", OPTION_NUMBER, &bench.repeats, 1, 1000000, NULL, "of each batch in 16 groups"},
        {"batch", OPTION_NUMBER, &bench.batch, 0, BATCH_MAX, NULL, "1, 16 or 64 only; 0: all"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "nanoseconds an entry costs in the cores of three replicas", argc, argv);
    for (uint32_t at = 0; at < BATCH_MAX; at++) {
        bench.heads[at] = (struct raft_entry_head){
            .client = 1, .sequence = at + 1, .bytes = 64, .kind = RAFT_ENTRY_COMMAND};
    }
    for (uint32_t at = 0; at < GROUPS; at++) {
        for (uint32_t node = 0; node < NODES; node++) {
            open_node(&bench, &bench.groups[at], node);
        }
    }
    bench.now_ns += UINT64_C(1) << 41;
    for (uint32_t at = 0; at < GROUPS; at++) {
        elect(&bench, &bench.groups[at]);
    }
    open_conflicts(&bench);
    for (uint64_t round = 0; round < bench.rounds; round++) {
        if (bench.batch == 0) {
            bench.conflict_ns[0][round] = run_conflicts(&bench, 1);
            bench.conflict_ns[1][round] = run_conflicts(&bench, RAFT_FOOTPRINTS_MAX);
        }
        for (uint32_t size = 0; size < SIZES; size++) {
            if (is_chosen(&bench, size)) {
                run_round(&bench, size, round);
            }
        }
    }
    struct result result;
    result_init(&result, argc, argv);
    describe(&bench, &result);
    return result_finish(&result, NULL, json_path, NULL);
}
