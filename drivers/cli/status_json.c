#include "drivers/cli/status_json.h"

#include <inttypes.h>
#include <stdio.h>

#include "drivers/cli/impair_control.h"
#include "engine/base/histogram.h"
#include "engine/embed/idle.h"
#include "engine/embed/pontoon_node.h"

enum { GROUPS_SHOWN_MAX = 256 };

struct collection {
    struct pontoon *node;
    bool want_digest;
    json_t *groups, *reactors;
};

const char *status_role_name(unsigned role)
{
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    return role < 4 ? names[role] : "?";
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *peer_json(const struct raft_peer_view *peer)
{
    const char *state = peer->is_self         ? "self"
                        : peer->is_installing ? "snapshot"
                        : peer->is_probing    ? "probe"
                                              : "stream";
    return json_pack("{s:i, s:b, s:b, s:s, s:o, s:o, s:o, s:o}", "id", (int)peer->id, "active",
                     (int)peer->is_active, "intact", (int)peer->intact, "state", state, "match",
                     number(peer->match), "next", number(peer->next), "boot", number(peer->boot),
                     "round_trip_ns", number(peer->round_trip_ns));
}

static json_t *group_json(uint16_t id, const struct reactor_group_status *status)
{
    const struct raft_view *raft = &status->raft;
    json_t *group = json_pack("{s:i, s:s, s:o, s:i, s:b, s:b, s:b}", "group", (int)id, "role",
                              status_role_name(raft->role), "term", number(raft->term), "leader",
                              (int)raft->leader, "intact", (int)raft->intact, "halted",
                              (int)raft->halted, "failed", (int)raft->failed);
    json_object_set_new(group, "last", number(raft->last));
    json_object_set_new(group, "synced", number(raft->synced));
    json_object_set_new(group, "commit", number(raft->commit));
    json_object_set_new(group, "applied", number(raft->applied));
    json_object_set_new(group, "log_from", number(raft->base + 1));
    json_object_set_new(group, "checkpoint", number(status->checkpoint));
    json_object_set_new(group, "sessions", number(status->sessions));
    if (status->has_digest) {
        char digest[20];
        snprintf(digest, sizeof(digest), "%016" PRIx64, status->digest);
        json_object_set_new(group, "digest", json_string(digest));
    }
    json_t *peers = json_array();
    for (uint32_t at = 0; at < status->peer_count; at++) {
        json_array_append_new(peers, peer_json(&status->peers[at]));
    }
    json_object_set_new(group, "peers", peers);
    return group;
}

static json_t *refusals_json(const struct reactor_counters *counters)
{
    json_t *refusals = json_object();
    for (unsigned reason = WIRE_SHORT; reason < WIRE_REFUSALS; reason++) {
        json_object_set_new(refusals, wire_refusal_name((enum wire_refusal)reason),
                            number(counters->refused[reason]));
    }
    return refusals;
}

static json_t *outcomes_json(const struct reactor_counters *counters)
{
    json_t *outcomes = json_object();
    for (unsigned outcome = 0; outcome < RAFT_OUTCOMES; outcome++) {
        json_object_set_new(outcomes, raft_outcome_name((enum raft_outcome)outcome),
                            number(counters->outcomes[outcome]));
    }
    return outcomes;
}

static json_t *times_json(const struct histogram *times)
{
    json_t *object = json_object();
    json_object_set_new(object, "count", number(times->count));
    json_object_set_new(object, "p50", number(histogram_percentile(times, 50)));
    json_object_set_new(object, "p99", number(histogram_percentile(times, 99)));
    json_object_set_new(object, "p999", number(histogram_percentile(times, 99.9)));
    json_object_set_new(object, "max", number(times->max_ns));
    return object;
}

#define SET(object, counters, field) json_object_set_new(object, #field, number((counters).field))

static json_t *reactor_json(struct reactor *reactor)
{
    struct reactor_counters counters;
    struct wal_counters wal;
    reactor_counters(reactor, &counters);
    reactor_wal_counters(reactor, &wal);
    json_t *object = json_object();
    uint64_t total_ns = counters.busy_ns + counters.idle_ns;
    json_object_set_new(object, "busy_share",
                        json_real(total_ns == 0 ? 0 : (double)counters.busy_ns / (double)total_ns));
    SET(object, counters, busy_ns);
    SET(object, counters, idle_ns);
    SET(object, counters, longest_poll_gap_ns);
    json_object_set_new(object, "shortest_election_timeout_ns",
                        number(idle_shortest_election_ns(counters.longest_poll_gap_ns)));
    SET(object, counters, polls);
    SET(object, counters, busy_polls);
    SET(object, counters, messages_in);
    SET(object, counters, messages_out);
    SET(object, counters, entries_in);
    SET(object, counters, entries_out);
    SET(object, counters, proposals);
    SET(object, counters, proposals_busy);
    SET(object, counters, footprints_all);
    SET(object, counters, proposals_refused);
    SET(object, counters, replies);
    SET(object, counters, reads);
    SET(object, counters, applied);
    SET(object, counters, applied_payload_bytes);
    SET(object, counters, appends_dropped_log_full);
    SET(object, counters, sends_cut_short);
    SET(object, counters, elections);
    SET(object, counters, checkpoints);
    SET(object, counters, snapshots_sent);
    SET(object, counters, snapshots_installed);
    SET(object, wal, batches);
    SET(object, wal, records);
    SET(object, wal, bytes_written);
    SET(object, wal, padding_bytes);
    SET(object, wal, hard_states);
    SET(object, wal, truncates);
    SET(object, wal, syncs);
    SET(object, wal, in_flight_peak);
    json_object_set_new(object, "log_used_bytes", number(reactor_log_used_bytes(reactor)));
    json_object_set_new(object, "answer_ns", times_json(reactor_answer_times(reactor)));
    json_object_set_new(object, "refused", refusals_json(&counters));
    json_object_set_new(object, "outcomes", outcomes_json(&counters));
    return object;
}

json_t *status_net_json(struct pontoon *node, uint32_t which)
{
    struct net *net = node->parts.views[which];
    struct net_counters counters;
    net->ops->counters(net, &counters);
    json_t *object = json_object();
    json_object_set_new(object, "driver", json_string(net->ops->name));
    SET(object, counters, rx_frames);
    SET(object, counters, rx_bytes);
    SET(object, counters, tx_frames);
    SET(object, counters, tx_bytes);
    SET(object, counters, rx_malformed);
    SET(object, counters, rx_no_buffer);
    SET(object, counters, tx_no_buffer);
    SET(object, counters, tx_refused);
    SET(object, counters, tx_unresolved);
    SET(object, counters, link_flaps);
    SET(object, counters, handed_over);
    SET(object, counters, impaired_lost);
    SET(object, counters, impaired_delayed);
    SET(object, counters, impaired_duplicated);
    SET(object, counters, impaired_reordered);
    SET(object, counters, impaired_cut);
    SET(object, counters, impaired_corrupted);
    SET(object, counters, impaired_clogged);
    return object;
}

// What follows up to `ask` runs on the reactor's thread.

static void collect(struct reactor *reactor, void *context)
{
    struct collection *collection = context;
    uint16_t ids[GROUPS_SHOWN_MAX];
    uint32_t count = reactor_groups(reactor, ids, GROUPS_SHOWN_MAX);
    for (uint32_t at = 0; at < count; at++) {
        struct reactor_group_status status;
        if (reactor_group_status(reactor, ids[at], collection->want_digest, &status) == 0) {
            json_array_append_new(collection->groups, group_json(ids[at], &status));
        }
    }
    json_array_append_new(collection->reactors, reactor_json(reactor));
}

// One object of a reactor, or the sums over its groups.
struct question {
    uint16_t group;
    struct status_summary *summary;
    json_t *answer; // NULL: there is no such object
};

static void take_group(struct reactor *reactor, void *context)
{
    struct question *question = context;
    struct reactor_group_status status;
    if (reactor_group_status(reactor, question->group, false, &status) == 0) {
        question->answer = group_json(question->group, &status);
    }
}

static void take_reactor(struct reactor *reactor, void *context)
{
    struct question *question = context;
    question->answer = reactor_json(reactor);
}

static void take_summary(struct reactor *reactor, void *context)
{
    struct status_summary *summary = ((struct question *)context)->summary;
    static _Thread_local uint16_t ids[PONTOON_GROUPS_MAX];
    uint32_t count = reactor_groups(reactor, ids, PONTOON_GROUPS_MAX);
    for (uint32_t at = 0; at < count; at++) {
        struct reactor_group_status status;
        if (reactor_group_status(reactor, ids[at], false, &status) == 0) {
            summary->groups++;
            summary->roles[status.raft.role]++;
            summary->without_leader += status.raft.leader == 0;
            summary->not_intact += !status.raft.intact;
            summary->halted += status.raft.halted;
            summary->failed += status.raft.failed;
        }
    }
}

static json_t *ask(struct pontoon *node, uint32_t which, reactor_call *call,
                   struct question *question)
{
    if (which >= node->parts.reactors ||
        node_call_wait(node, node->reactors[which], call, question) != 0) {
        return NULL;
    }
    return question->answer;
}

json_t *status_group_json(struct pontoon *node, uint16_t group)
{
    struct question question = {.group = group};
    return ask(node, group % 64 % node->parts.reactors, take_group, &question);
}

json_t *status_reactor_json(struct pontoon *node, uint32_t which)
{
    struct question question = {.group = 0};
    return ask(node, which, take_reactor, &question);
}

int status_summary(struct pontoon *node, struct status_summary *summary)
{
    int error = 0;
    struct question question = {.summary = summary};
    *summary = (struct status_summary){.groups = 0};
    for (uint32_t which = 0; which < node->parts.reactors && error == 0; which++) {
        error = node_call_wait(node, node->reactors[which], take_summary, &question);
    }
    return error;
}

json_t *status_node_json(struct pontoon *node)
{
    const struct pontoon_config *config = &node->config;
    const struct wal_recovery *recovery = reactor_recovery(node->reactors[0]);
    static const char *const verdicts[] = {"clean", "torn", "faulty"};
    return json_pack("{s:o, s:i, s:s, s:s, s:s, s:s, s:o, s:s}", "cluster", number(config->cluster),
                     "node", (int)config->node, "durability",
                     config->durability == PONTOON_FSYNC ? "fsync" : "memory", "order",
                     config->order == PONTOON_STRICT ? "strict" : "parallel", "app", config->app,
                     "idle", idle_name(node->idle), "boot", number(recovery->boot), "recovery",
                     verdicts[recovery->verdict]);
}

json_t *status_json(struct pontoon *node, bool want_digest)
{
    struct collection collection = {
        .node = node, .want_digest = want_digest, .groups = json_array(), .reactors = json_array()};
    int error = 0;
    for (uint32_t which = 0; which < node->parts.reactors && error == 0; which++) {
        error = node_call_wait(node, node->reactors[which], collect, &collection);
        json_t *reactor = json_array_get(collection.reactors, which);
        if (error == 0 && reactor != NULL) {
            json_object_set_new(reactor, "net", status_net_json(node, which));
        }
    }
    if (error != 0) {
        json_decref(collection.groups);
        json_decref(collection.reactors);
        return json_pack("{s:s}", "error", "the reactor does not answer");
    }
    json_t *object = status_node_json(node);
    json_object_set_new(object, "groups", collection.groups);
    json_object_set_new(object, "reactors", collection.reactors);
    json_object_set_new(object, "impairments", impair_control_rules(node));
    return object;
}
