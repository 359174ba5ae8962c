// One command of a script: words in, effects out.
#ifndef PONTOON_TESTS_SCRIPT_H
#define PONTOON_TESTS_SCRIPT_H

#include "tests/harness/steps.h"

// The group a script acts on; NULL until its first command says how many nodes it has.
struct script {
    struct steps *steps;
    FILE *out; // of effects
    char error[240];
};

// Carries out one line. False: the line makes no sense, `error` says why.
bool script_run(struct script *script, const char *line);
void script_close(struct script *script);

#endif
