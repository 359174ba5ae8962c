// The control socket of a node: a Unix stream socket that answers requests, one JSON object a line,
// from a thread of its own. The poll loop is only asked for copies.
//
//     status [digest]   everything `pontoon status` shows
//     impair            {"impairments": [...]}: the faults injected now (impair_words.h)
//     impair WORDS      changes them, and answers the same
//
// Any other line is answered {"error": "..."}.
#ifndef PONTOON_DRIVERS_CLI_CONTROL_H
#define PONTOON_DRIVERS_CLI_CONTROL_H

#include <stddef.h>

#include "engine/pontoon.h"

struct control;

// Serves `node` on the socket path of its configuration. 0 or -errno with a reason.
int control_start(struct pontoon *node, const struct pontoon_config *config,
                  struct control **control, char *reason, size_t reason_bytes);
void control_stop(struct control *control);

// The path of a node's socket: config->control, or DIRECTORY/control.
void control_path(const struct pontoon_config *config, char *path, size_t bytes);

// Asks a node. 0 and *answer (to be freed), or -errno.
int control_ask(const char *path, const char *request, char **answer);

#endif
