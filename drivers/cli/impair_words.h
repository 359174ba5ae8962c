// Faults in words, as `pontoon impair`, its scripts and the control socket take and show them:
//
//     [peer N|all] [in|out|both] KEY=VALUE...      the keys of `impair` in config/README.md
//     [peer N|all] [in|out|both] clear
//
// The latest words that match a frame decide about it; `clear` lets such frames pass. So a rule
// goes in front of the list, and those that can no longer match anything go out of it.
#ifndef PONTOON_DRIVERS_CLI_IMPAIR_WORDS_H
#define PONTOON_DRIVERS_CLI_IMPAIR_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/pontoon.h"

enum { IMPAIR_TEXT_BYTES = 512 };

struct impair_words {
    struct pontoon_impair rule; // without its direction
    bool in, out;
};

struct impair_list {
    struct pontoon_impair rules[PONTOON_IMPAIR_MAX];
    uint32_t count;
};

// Whether the peer exists is not checked here. 0, or -EINVAL with a reason.
int impair_words_read(const char *text, struct impair_words *words, char *reason,
                      size_t reason_bytes);
// 0, or -ENOSPC with a reason: the list is full, and unchanged.
int impair_words_apply(const struct impair_words *words, struct impair_list *list, char *reason,
                       size_t reason_bytes);
// A rule in such words.
void impair_words_write(const struct pontoon_impair *rule, char text[static IMPAIR_TEXT_BYTES]);

#endif
