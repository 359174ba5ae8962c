// A node's status as JSON: what the control socket and telemetry tell.
#ifndef PONTOON_DRIVERS_CLI_STATUS_JSON_H
#define PONTOON_DRIVERS_CLI_STATUS_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/pontoon.h"

// Asks the node's reactors (from any thread but theirs). Never NULL; {"error": ...} when they do
// not answer.
json_t *status_json(struct pontoon *node, bool want_digest);

// One object of it each. NULL: there is no such object, or its reactor does not answer.
json_t *status_node_json(struct pontoon *node); // without groups and reactors
json_t *status_group_json(struct pontoon *node, uint16_t group);
json_t *status_reactor_json(struct pontoon *node, uint32_t which); // without its net
json_t *status_net_json(struct pontoon *node, uint32_t which);     // which < reactors

// All groups of the node, counted.
struct status_summary {
    uint32_t groups;
    uint32_t roles[4]; // by enum pontoon_role
    uint32_t without_leader, not_intact, halted, failed;
};
// 0, or -ETIMEDOUT.
int status_summary(struct pontoon *node, struct status_summary *summary);

const char *status_role_name(unsigned role);

#endif
