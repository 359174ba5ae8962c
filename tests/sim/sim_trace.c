// Every state transition of a core, one JSON object a line (tests/sim/README.md: Traces). The names
// of variables are those of the TLA+ specification of the protocol, as far as strict Raft has them.
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

void sim_trace(struct sim_seat *seat, struct group *group, const struct sim_seen *before)
{
    const struct raft *raft = group->raft;
    FILE *file = seat->node->sim->trace;
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
