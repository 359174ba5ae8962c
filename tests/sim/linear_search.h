// The search for an order of the steps of one key. Private to linear*.c; linear_search.c says how.
#ifndef PONTOON_TESTS_SIM_LINEAR_SEARCH_H
#define PONTOON_TESTS_SIM_LINEAR_SEARCH_H

#include "tests/sim/linear.h"
#include "tests/sim/linear_key.h"

// Neighbours of a firm step that has no moment yet. Place `firm` is the end of both lists.
struct search_links {
    uint32_t call_before, call_behind; // in the order of calls
    uint32_t due_before, due_behind;   // in the order of deadlines
};

// A configuration on the path from the start to here.
struct search_frame {
    uint32_t state;
    uint32_t latest_call; // of the steps that have a moment
    uint32_t trail;       // so many of them
    uint32_t move, move_next, move_end;
    uint64_t mark[2]; // XOR of theirs
};

struct linear_search {
    struct linear_key *key;
    struct search_links *links;
    bool *is_used;   // optional steps that have a moment
    uint32_t *trail; // steps in the order of their moments
    uint32_t *moves; // of all frames
    struct search_frame *frames;
    uint32_t steps_capacity, moves_capacity, frames_capacity;
    uint32_t depth, move_count;
    struct search_frame now;
    uint64_t (*seen)[2];                           // open addressing; a mark is never 0, 0
    uint64_t seen_capacity, seen_size, seen_count; // allocated, in use, taken
    uint64_t configurations;
};

void linear_search_init(struct linear_search *search);
void linear_search_fini(struct linear_search *search);

// Searches at most `budget` configurations; search->configurations tells how many it were.
enum linear_verdict linear_search_run(struct linear_search *search, struct linear_key *key,
                                      uint64_t budget);

#endif
