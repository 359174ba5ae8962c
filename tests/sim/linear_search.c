// A depth-first search over configurations: which steps have a moment already, and the state they
// left.
//
// Next may come every step whose call is before the earliest deadline of those that wait. The first
// list below gives these steps, the head of the second gives that deadline; a step that gets its
// moment leaves both lists, and comes back when the search turns round (Wing and Gong).
// Configurations that were seen before lead nowhere new (Lowe); they are remembered by 128 bits of
// a hash, so that even a full budget takes two different ones for the same with a chance of less
// than 2^-80.
//
//     by call       A ── C ── D            A: [0..9]  B has its moment  C: [2..4]  D: [7..8]
//     by deadline   C ── D ── A            next: A or C, called before 4
//
// What keeps the search narrow. A *completion* of a configuration is an order of the waiting steps
// (all firm ones, some optional ones) that satisfies all. Each rule leaves a completion if there
// was one.
//
// a. A token is left only when all its readers have read: it never comes back, for it is written
// once. b. A step that changes nothing and is satisfied gets its moment at once. In a completion it
// can be
//    moved to the front: the state does not change under the others, and no waiting step has to
//    come before it, except an optional one with a deadline before its call (c).
// c. `soonest` is the earliest deadline of a waiting optional step that can still get a moment.
// Steps with
//    a later call shut it out, so they are no longer "at once" or "as good as another" but a
//    choice.
// d. Of firm steps that need and leave the same only the one with the earliest deadline is tried,
// of
//    optional ones without a deadline the one called first: in a completion the two can be
//    exchanged.
// e. Optional steps are tried only where a firm one that may come next needs what they leave, as
//    the argument of linear_key.c shows for completions with the fewest optional steps: a delete
//    for VALUE absent (or before an optional cas that expects absence), a put or cas for OTHER. The
//    firm step at the end of the chain is not satisfied now, else it could do without the chain.
//    (While there is a soonest, b may leave satisfied steps between; then all that can be done is
//    tried.)
#include "tests/sim/linear_search.h"

#include <string.h>

enum { SEEN_MIN = 256 };

void linear_search_init(struct linear_search *search)
{
    *search = (struct linear_search){0};
}

void linear_search_fini(struct linear_search *search)
{
    free(search->links);
    free(search->is_used);
    free(search->trail);
    free(search->moves);
    free(search->frames);
    free(search->seen);
    *search = (struct linear_search){0};
}

static void *grow(void *memory, uint64_t count, size_t bytes)
{
    void *grown = realloc(memory, count * bytes);
    ASSERT(grown != NULL);
    return grown;
}

static void reserve_steps(struct linear_search *search, uint32_t count)
{
    if (count + 1 > search->steps_capacity) {
        search->steps_capacity = (count + 1) * 2;
        search->links = grow(search->links, search->steps_capacity, sizeof(*search->links));
        search->is_used = grow(search->is_used, search->steps_capacity, sizeof(*search->is_used));
        search->trail = grow(search->trail, search->steps_capacity, sizeof(*search->trail));
    }
}

// --- the set of configurations -----------------------------------------------------------------

static void seen_clear(struct linear_search *search)
{
    if (search->seen_capacity == 0) {
        search->seen_capacity = SEEN_MIN;
        search->seen = grow(NULL, SEEN_MIN, sizeof(*search->seen));
    }
    search->seen_size = SEEN_MIN;
    search->seen_count = 0;
    memset(search->seen, 0, SEEN_MIN * sizeof(*search->seen));
}

// False: was there.
static bool seen_put(uint64_t (*seen)[2], uint64_t size, const uint64_t mark[2])
{
    uint64_t at = mark[0] & (size - 1);
    while ((seen[at][0] | seen[at][1]) != 0) {
        if (seen[at][0] == mark[0] && seen[at][1] == mark[1]) {
            return false;
        }
        at = (at + 1) & (size - 1);
    }
    memcpy(seen[at], mark, sizeof(seen[at]));
    return true;
}

static void seen_double(struct linear_search *search)
{
    uint64_t size = search->seen_size * 2;
    uint64_t(*grown)[2] = calloc(size, sizeof(*grown));
    ASSERT(grown != NULL);
    for (uint64_t at = 0; at < search->seen_size; at++) {
        if ((search->seen[at][0] | search->seen[at][1]) != 0) {
            seen_put(grown, size, search->seen[at]);
        }
    }
    free(search->seen);
    search->seen = grown;
    search->seen_size = search->seen_capacity = size;
}

// Is this configuration new?
static bool is_new(struct linear_search *search)
{
    uint64_t seed = search->now.state + UINT64_C(0x5ca1ab1e00000000);
    const uint64_t mark[2] = {search->now.mark[0] ^ prng_splitmix(&seed),
                              search->now.mark[1] ^ prng_splitmix(&seed)};
    if (search->seen_count * 2 >= search->seen_size) {
        seen_double(search);
    }
    bool is_fresh = seen_put(search->seen, search->seen_size, mark);
    search->seen_count += is_fresh;
    return is_fresh;
}

// --- steps get a moment, and lose it -----------------------------------------------------------

static void link_all(struct linear_search *search)
{
    const struct linear_key *key = search->key;
    uint32_t end = key->firm;
    uint32_t before = end;
    for (uint32_t at = 0; at < key->firm; at++) {
        uint32_t step = key->by_deadline[at];
        search->links[at].call_before = at == 0 ? end : at - 1;
        search->links[at].call_behind = at + 1;
        search->links[step].due_before = before;
        search->links[before].due_behind = step;
        before = step;
    }
    search->links[end].call_behind = 0;
    search->links[end].call_before = end == 0 ? end : end - 1;
    search->links[end].due_before = before;
    search->links[before].due_behind = end;
}

static bool reads_token(const struct step *step)
{
    return step->need == NEED_VALUE && step->wanted >= STATE_TOKENS;
}

static void give_moment(struct linear_search *search, uint32_t at)
{
    struct linear_key *key = search->key;
    const struct step *step = &key->steps[at];
    if (step->is_optional) {
        search->is_used[at] = true;
    } else {
        const struct search_links *links = &search->links[at];
        search->links[links->call_before].call_behind = links->call_behind;
        search->links[links->call_behind].call_before = links->call_before;
        search->links[links->due_before].due_behind = links->due_behind;
        search->links[links->due_behind].due_before = links->due_before;
        key->readers[step->wanted] -= reads_token(step);
    }
    search->trail[search->now.trail++] = at;
    search->now.mark[0] ^= step->mark[0];
    search->now.mark[1] ^= step->mark[1];
    if (step->leaves != STATE_KEEP) {
        search->now.state = step->leaves;
    }
    if (step->call > search->now.latest_call) {
        search->now.latest_call = step->call;
    }
}

// Back to the configuration of the frame.
static void return_to(struct linear_search *search, const struct search_frame *frame)
{
    struct linear_key *key = search->key;
    while (search->now.trail > frame->trail) {
        uint32_t at = search->trail[--search->now.trail];
        const struct step *step = &key->steps[at];
        if (step->is_optional) {
            search->is_used[at] = false;
            continue;
        }
        const struct search_links *links = &search->links[at];
        search->links[links->call_before].call_behind = at;
        search->links[links->call_behind].call_before = at;
        search->links[links->due_before].due_behind = at;
        search->links[links->due_behind].due_before = at;
        key->readers[step->wanted] += reads_token(step);
    }
    search->now = *frame;
}

// --- what may come next ------------------------------------------------------------------------

// A step whose call is before this event may come next.
static uint32_t limit_of(const struct linear_search *search)
{
    uint32_t head = search->links[search->key->firm].due_behind;
    return head == search->key->firm ? HISTORY_NEVER : search->key->steps[head].deadline;
}

static bool is_satisfied(const struct step *step, uint32_t state)
{
    switch ((enum step_need)step->need) {
    case NEED_ANYTHING:
        return true;
    case NEED_VALUE:
        return state == step->wanted;
    case NEED_OTHER:
        return state != STATE_ABSENT && state != step->wanted;
    }
    return false;
}

static bool is_waiting(const struct linear_search *search, uint32_t at, uint32_t limit)
{
    const struct step *step = &search->key->steps[at];
    return !search->is_used[at] && step->call < limit && step->deadline > search->now.latest_call;
}

// Rule c.
static uint32_t find_soonest(const struct linear_search *search)
{
    const struct linear_key *key = search->key;
    uint32_t soonest = HISTORY_NEVER;
    for (uint32_t at = key->firm; at < key->firm + key->bounded; at++) {
        if (is_waiting(search, at, HISTORY_NEVER) && key->steps[at].deadline < soonest) {
            soonest = key->steps[at].deadline;
        }
    }
    return soonest;
}

// What firm steps that may come next lack.
struct lack {
    bool absent, other;
};

static void note_lack(struct lack *lack, const struct step *step)
{
    lack->absent |= step->need == NEED_VALUE && step->wanted == STATE_ABSENT;
    lack->other |= step->need == NEED_OTHER;
}

static void add_move(struct linear_search *search, uint32_t at)
{
    if (search->move_count == search->moves_capacity) {
        search->moves_capacity = search->moves_capacity == 0 ? 256 : search->moves_capacity * 2;
        search->moves = grow(search->moves, search->moves_capacity, sizeof(*search->moves));
    }
    search->moves[search->move_count++] = at;
}

// Rule b, and the firm steps that could come next instead. Giving moments raises the limit, which
// lets in steps further behind only: one pass is enough.
static struct lack firm_moves(struct linear_search *search, uint32_t soonest)
{
    const struct linear_key *key = search->key;
    struct lack lack = {0};
    uint32_t limit = limit_of(search);
    for (uint32_t at = search->links[key->firm].call_behind;
         at != key->firm && key->steps[at].call < limit;) {
        const struct step *step = &key->steps[at];
        uint32_t behind = search->links[at].call_behind;
        if (!is_satisfied(step, search->now.state)) {
            note_lack(&lack, step);
        } else if (step->leaves == STATE_KEEP && step->call < soonest) {
            give_moment(search, at);
            limit = limit_of(search);
        } else {
            add_move(search, at);
        }
        at = behind;
    }
    return lack;
}

// Rule e.
static void optional_moves(struct linear_search *search, struct lack lack, bool is_anything_useful)
{
    const struct linear_key *key = search->key;
    uint32_t limit = limit_of(search), state = search->now.state;
    if (!lack.absent && !lack.other && !is_anything_useful) {
        return;
    }
    for (uint32_t at = key->firm; at < key->count; at++) {
        const struct step *step = &key->steps[at];
        if (!is_waiting(search, at, limit)) {
            continue;
        }
        // A delete may also serve an optional cas that serves OTHER.
        bool is_useful = is_anything_useful || lack.other || step->leaves == STATE_ABSENT;
        bool is_idle = step->leaves == STATE_ABSENT && state == STATE_ABSENT;
        if (is_useful && !is_idle && is_satisfied(step, state)) {
            add_move(search, at);
        }
    }
}

// Rule a.
static bool may_leave_state(const struct linear_search *search, const struct step *step)
{
    uint32_t own = !step->is_optional && reads_token(step);
    return step->leaves == STATE_KEEP || search->key->readers[search->now.state] == own;
}

// Rule d: can `other` be spared because `step` will be tried?
static bool is_as_good(const struct step *step, const struct step *other, uint32_t soonest)
{
    if (step->need != other->need || step->wanted != other->wanted ||
        step->leaves != other->leaves || step->is_optional != other->is_optional) {
        return false;
    }
    if (step->is_optional) {
        return step->deadline == HISTORY_NEVER && other->deadline == HISTORY_NEVER &&
               step->call < other->call;
    }
    return step->deadline <= other->deadline && (step->call < soonest || step->call < other->call);
}

// Leaves out what rule a forbids, and puts firm steps with the earliest deadline first.
static void sort_moves(struct linear_search *search, uint32_t from)
{
    const struct step *steps = search->key->steps;
    uint32_t *moves = search->moves, end = from;
    for (uint32_t at = from; at < search->move_count; at++) {
        uint32_t move = moves[at], place = end;
        if (!may_leave_state(search, &steps[move])) {
            continue;
        }
        while (place > from && !steps[move].is_optional &&
               steps[move].deadline < steps[moves[place - 1]].deadline) {
            moves[place] = moves[place - 1];
            place--;
        }
        moves[place] = move;
        end++;
    }
    search->move_count = end;
}

static void choose_moves(struct linear_search *search, uint32_t from, uint32_t soonest)
{
    const struct step *steps = search->key->steps;
    uint32_t *moves = search->moves, end = from;
    sort_moves(search, from);
    for (uint32_t at = from; at < search->move_count; at++) {
        bool is_spared = false;
        for (uint32_t other = from; other < end && !is_spared; other++) {
            is_spared = is_as_good(&steps[moves[other]], &steps[moves[at]], soonest);
        }
        if (!is_spared) {
            moves[end++] = moves[at];
        }
    }
    search->move_count = end;
}

// Makes the configuration that was just reached a frame, if it is new. False: it was seen before.
static bool enter(struct linear_search *search)
{
    uint32_t from = search->move_count, soonest = find_soonest(search);
    struct lack lack = firm_moves(search, soonest);
    if (!is_new(search)) {
        search->move_count = from;
        return false;
    }
    optional_moves(search, lack, soonest != HISTORY_NEVER);
    choose_moves(search, from, soonest);
    if (search->depth == search->frames_capacity) {
        search->frames_capacity = search->frames_capacity == 0 ? 256 : search->frames_capacity * 2;
        search->frames = grow(search->frames, search->frames_capacity, sizeof(*search->frames));
    }
    search->now.move = search->now.move_next = from;
    search->now.move_end = search->move_count;
    search->frames[search->depth++] = search->now;
    return true;
}

static void begin(struct linear_search *search, struct linear_key *key)
{
    search->key = key;
    search->depth = 0;
    search->move_count = 0;
    search->configurations = 1;
    search->now = (struct search_frame){.state = STATE_ABSENT};
    reserve_steps(search, key->count);
    memset(search->is_used, 0, key->count * sizeof(*search->is_used));
    link_all(search);
    seen_clear(search);
    enter(search);
}

enum linear_verdict linear_search_run(struct linear_search *search, struct linear_key *key,
                                      uint64_t budget)
{
    begin(search, key);
    while (search->links[key->firm].due_behind != key->firm) {
        struct search_frame *frame = &search->frames[search->depth - 1];
        if (frame->move_next == frame->move_end) {
            search->move_count = frame->move;
            if (--search->depth == 0) {
                return LINEAR_VIOLATION;
            }
            continue;
        }
        if (search->configurations >= budget) {
            return LINEAR_GAVE_UP;
        }
        return_to(search, frame);
        uint32_t move = search->moves[frame->move_next++];
        give_moment(search, move);
        if (enter(search)) {
            search->configurations++;
        }
    }
    return LINEAR;
}
