// A node's status as JSON: what the control socket and telemetry tell.
#ifndef PONTOON_DRIVERS_CLI_STATUS_JSON_H
#define PONTOON_DRIVERS_CLI_STATUS_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/pontoon.h"

// Asks the node's reactors (from any thread but theirs). Never NULL; {"error": ...} when they do
// not answer.
json_t *status_json(struct pontoon *node, bool want_digest);

const char *status_role_name(unsigned role);

#endif
