// May commands be applied in either order though they share what room is left in the state machine?
// A leader of a parallel group asks this for each proposal.
//
// As long as every state that some replica may be in has room for what it applies next, no command
// is refused for want of it, and nothing shows in which order they came. Where that is not known
// the proposal is ordered: it depends on everything, and everything behind depends on it.
//
// A replica that comes to entry i has applied everything a window before it. Of what lies between
// it may have applied anything: what takes room, and not what makes some. So what counts is the
// room that was left a window ago or earlier, when everything up to there is applied; and all that
// was asked for since must fit into it, whatever became free meanwhile. An ordered proposal is such
// a point, too.
//
//     ────┬───────────────────┬───────────────────┬───────▶ index
//         older               newer               last       older and newer are a window apart;
//         left      ≥         asked for since ──────────▶    when last is one behind newer they
//         move
//
// Pure. Single thread.
#ifndef PONTOON_REACTOR_APP_ROOM_H
#define PONTOON_REACTOR_APP_ROOM_H

#include <stdbool.h>
#include <stdint.h>

struct app_room_mark {
    uint64_t index;
    uint64_t left;  // room when everything up to index is applied, at least
    uint64_t asked; // bytes, by all proposals before
};

struct app_room {
    bool is_valid;
    struct app_room_mark older, newer;
    uint64_t asked;   // bytes, by all proposals, taken or not
    uint64_t ordered; // last index of the proposal before, if it was told to be ordered; else 0
};

// Leadership begins: everything there is will be applied before anything proposed.
void app_room_forget(struct app_room *room);
// Do the entries last + 1 .. last + count fit, which take `bytes`? `left`: the room when everything
// up to last is applied, at least. False: they are to be ordered. Whether they were proposed shows
// in the next call's `last`.
bool app_room_fits(struct app_room *room, uint64_t last, uint64_t left, uint64_t bytes,
                   uint32_t count);

#endif
