// Every state transition of a core, one JSON object a line (tests/sim/README.md: Traces). The names
// of variables are those of the TLA+ specification of the protocol, as far as strict Raft has them,
// and those of the model in tests/model in parallel groups.
#include "tests/sim/sim.h"

static const char *role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
    return names[role];
}

// New entries of the log as [index, term, checksum].
static void print_entries(FILE *file, const struct raft *raft, uint64_t from)
{
    from = from > raft->log.base.index ? from : raft->log.base.index;
    fprintf(file, ",\"log\":[");
    for (uint64_t index = from + 1; index <= raft->log.last; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        fprintf(file, "%s[%lu,%lu,%u]", index == from + 1 ? "" : ",", index, entry->term,
                entry->head.crc);
    }
    fprintf(file, "]");
}

// ------------------------------------------------------------------------------------------------
// parallel groups

static const char *phase_name(const struct raft *raft)
{
    static const char *const names[] = {"follower", "installing", "installing", "installing",
                                        "leader"};
    bool stands = raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE;
    return stands ? role_name(raft->role) : names[raft->parallel->phase];
}

// What the log holds above `from`, as [index, term, no-op, checksum].
static void print_log(FILE *file, const struct raft *raft, uint64_t from)
{
    const char *between = "";
    from = from > raft->log.base.index ? from : raft->log.base.index;
    fprintf(file, ",\"from\":%lu,\"log\":[", from + 1);
    for (uint64_t index = from + 1; index <= raft->log.held; index++) {
        const struct raft_entry *entry = raft_entry_at(raft, index);
        if (entry != NULL) {
            fprintf(file, "%s[%lu,%lu,%d,%u]", between, index, entry->term,
                    entry->head.kind == RAFT_ENTRY_NOOP, entry->head.crc);
            between = ",";
        }
    }
    fprintf(file, "]");
}

// A set of indexes: everything up to its floor, and these above it.
static void print_set(FILE *file, const char *floor_name, const char *name, uint64_t floor,
                      uint64_t high, const struct bitmap_ring *above)
{
    const char *between = "";
    fprintf(file, ",\"%s\":%lu,\"%s\":[", floor_name, floor, name);
    for (uint64_t index = floor + 1; index <= high; index++) {
        if (bitmap_ring_test(above, index)) {
            fprintf(file, "%s%lu", between, index);
            between = ",";
        }
    }
    fprintf(file, "]");
}

static void print_held(FILE *file, const struct raft *raft)
{
    const char *between = "";
    fprintf(file, ",\"floor\":%lu,\"held\":[", raft->log.last);
    for (uint64_t index = raft->log.last + 1; index <= raft->log.held; index++) {
        if (log_has(&raft->log, index)) {
            fprintf(file, "%s%lu", between, index);
            between = ",";
        }
    }
    fprintf(file, "]");
}

// What a leader believes of others, as bits by the voter's place: who installed the log of the
// term, and who holds each entry that is not below the commit floor.
static void print_beliefs(FILE *file, const struct raft *raft)
{
    const char *between = "";
    fprintf(file, ",\"installed\":%u,\"acked\":[", raft->parallel->installed);
    for (uint64_t index = raft->commit + 1; index <= raft->log.last; index++) {
        uint32_t acks = sim_parallel_acks(raft, index);
        fprintf(file, "%s[%lu,%u]", between, index, acks);
        between = ",";
    }
    fprintf(file, "]");
}

static void print_parallel(FILE *file, const struct sim_seat *seat, const struct group *group,
                           const struct sim_seen *before)
{
    const struct raft *raft = group->raft;
    const struct raft_parallel *parallel = raft->parallel;
    bool is_new_log = raft->log.epoch != before->epoch;
    bool is_barrier_done = parallel->sync_term == raft->term && raft->commit >= parallel->sync_end;
    fprintf(file,
            "{\"t\":%lu,\"node\":%u,\"group\":%u,\"current_term\":%lu,\"voted_for\":%u,"
            "\"role\":\"%s\",\"sync_term\":%lu,\"end\":%lu,\"staging\":%lu,\"base\":%lu,"
            "\"barrier_done\":%d",
            seat->node->sim->now_ns, seat->node->id, group->id, raft->term, raft->voted_for,
            phase_name(raft), parallel->sync_term, parallel->sync_end,
            parallel->is_staging ? parallel->sync.term : 0, raft->log.base.index, is_barrier_done);
    print_held(file, raft);
    print_set(file, "commit_floor", "committed", raft->commit, parallel->commit_high,
              &parallel->committed);
    print_set(file, "applied_floor", "applied", raft->applied, parallel->applied_high,
              &parallel->applied);
    if (parallel->phase == PARALLEL_SERVE) {
        print_beliefs(file, raft);
    }
    print_log(file, raft, is_new_log ? 0 : before->synced);
    fprintf(file, "}\n");
}

// ------------------------------------------------------------------------------------------------
// strict groups

static void print_strict(FILE *file, const struct sim_seat *seat, const struct group *group,
                         const struct sim_seen *before)
{
    const struct raft *raft = group->raft;
    bool is_cut = raft->log.epoch != before->epoch;
    uint64_t from = is_cut ? before->commit : before->last;
    fprintf(file,
            "{\"t\":%lu,\"node\":%u,\"group\":%u,\"term\":%lu,\"vote\":%u,\"role\":\"%s\","
            "\"ldr\":%u,\"com\":%lu,\"app\":%lu,\"base\":[%lu,%lu],\"last\":%lu,\"synced\":%lu,"
            "\"held\":%lu,\"epoch\":%u,\"durable\":[%lu,%u],\"intact\":%s,\"from\":%lu",
            seat->node->sim->now_ns, seat->node->id, group->id, raft->term, raft->voted_for,
            role_name(raft->role), raft->leader, raft->commit, raft->applied, raft->log.base.index,
            raft->log.base.term, raft->log.last, raft->log.synced, raft->log.held, raft->log.epoch,
            raft->hard_synced.term, raft->hard_synced.voted_for, raft->intact ? "true" : "false",
            from + 1);
    print_entries(file, raft, from);
    fprintf(file, "}\n");
}

void sim_trace(struct sim_seat *seat, struct group *group, const struct sim_seen *before)
{
    FILE *file = seat->node->sim->trace;
    if (group->raft->parallel != NULL) {
        print_parallel(file, seat, group, before);
    } else {
        print_strict(file, seat, group, before);
    }
}
