// The faults of a running node: shown, and changed.
#ifndef PONTOON_DRIVERS_CLI_IMPAIR_CONTROL_H
#define PONTOON_DRIVERS_CLI_IMPAIR_CONTROL_H

#include <jansson.h>

#include "engine/pontoon.h"

// Every rule in words (impair_words.h), the first that matches a frame decides. NULL: no answer.
json_t *impair_control_rules(struct pontoon *node);
// Takes words in: all of them, or with {"error": ...} none. One caller at a time.
json_t *impair_control_change(struct pontoon *node, const char *words);

#endif
