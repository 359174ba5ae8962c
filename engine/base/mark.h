// Coverage marks: a rare branch that tests must keep reaching carries a name.
//
//     MARK(append_conflict_truncates);
//
// In builds with -DPONTOON_MARKS (the simulator's) each mark counts its visits; a default run of
// the simulator fails when one is not visited any more. In all other builds a mark is nothing. The
// names of all marks lie in one section of the program, so no list of them can be out of date.
#ifndef PONTOON_BASE_MARK_H
#define PONTOON_BASE_MARK_H

#include <stdint.h>

#ifdef PONTOON_MARKS
struct mark {
    const char *name;
    uint64_t visits;
};
#define MARK(name)                                                                                 \
    do {                                                                                           \
        static struct mark mark_##name __attribute__((section("marks"), used)) = {#name, 0};       \
        mark_##name.visits++;                                                                      \
    } while (0)
#else
#define MARK(name) ((void)0)
#endif

#endif
