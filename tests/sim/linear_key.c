// What is known about one key before the search, because every token is written once.
//
// Let H be the part of the history on this key. Each rule below leaves H linearizable if and only
// if it was.
//
// 1. Who is read was there. If a firm step needs VALUE x, x a token, then in every linearization
// the only
//    step that leaves x comes before it. So that step is firm, whatever its client was told, and
//    its moment is before the reader's deadline. Applied until nothing changes: an optional cas
//    that was read needs its own expected value in turn. Without a writer, with one that was called
//    after the deadline, or with two firm cas that consume the same x, there is no linearization.
//
// 2. Junk. A token that no step needs as VALUE or refuses as OTHER is as good as any other such
// token:
//    renaming all of them to one state, JUNK, changes no step's result.
//
// 3. Unread writes that can help nobody. Let P be an optional put or cas; after rule 1 no firm step
// needs
//    what it leaves. Take a linearization with as few optional steps as possible, P in it, and let
//    Y be the step behind P. If Y does not depend on what P left (a put, a delete of unknown
//    outcome, or nothing at all comes behind), P can be left out: a contradiction. So Y depends on
//    it, and is
//    - firm, with VALUE x: only ABSENT and tokens with firm writers are wanted, P left neither;
//    - firm, with OTHER e: possible;
//    - an optional cas of P's token: it is unread itself, and the argument repeats with it in P's
//    place. So at the end of the chain there is a firm step with OTHER, whose moment is after P's
//    call. Without a firm OTHER step whose deadline is after P's call, P is left out.
//
//    Let D be a delete of unknown outcome that found something. Likewise its Y is firm with VALUE
//    absent, or an optional cas that expects absence, which by the above serves a firm OTHER step.
//    Without either after D's call, D is left out.
//
//    An optional cas whose expected token nobody writes never does anything, and is left out.
//
// 4. Zones. The writer of x and the firm steps that need it all have their moments while x is
// there, or, the
//    writer, just before. Let f be the earliest of their deadlines and l the latest of their calls:
//    if f < l, x is there from f to l, its *zone*. Two zones that overlap, and a firm step between
//    f and l that changes the state or is not satisfied by x, have no linearization.
//
//          put x ├──┤            f              l
//          get x        ├────────┤              ┊
//          get x                 ┊     put y    ├───┤       y cannot be between
//                                ┊     ├──┤     ┊
//
//    This finds without any search what broken stores do most: stale reads, lost updates, values
//    that come back.
#include "tests/sim/linear_key.h"

#include <string.h>

// Where x is there for certain: events [from, end].
struct zone {
    uint32_t from, end, state;
};

enum draft { DRAFT_TAKEN, DRAFT_DROPPED, DRAFT_IMPOSSIBLE };

void linear_key_init(struct linear_key *key)
{
    *key = (struct linear_key){0};
}

void linear_key_fini(struct linear_key *key)
{
    void *const memory[] = {key->steps, key->by_deadline, key->sort,      key->readers,
                            key->draft, key->writer,      key->is_tested, key->zones};
    for (size_t at = 0; at < sizeof(memory) / sizeof(memory[0]); at++) {
        free(memory[at]);
    }
    table_fini(&key->states_by_token);
    *key = (struct linear_key){0};
}

static void *grow(void *memory, size_t count, size_t bytes)
{
    void *grown = realloc(memory, count * bytes);
    ASSERT(grown != NULL);
    return grown;
}

// Room for `count` operations. Each names two tokens at most.
static void reserve(struct linear_key *key, uint32_t count)
{
    uint32_t capacity = key->capacity == 0 ? 64 : key->capacity;
    if (count <= key->capacity) {
        return;
    }
    while (capacity < count) {
        capacity *= 2;
    }
    size_t states = (size_t)capacity * 2 + STATE_TOKENS;
    key->steps = grow(key->steps, capacity, sizeof(*key->steps));
    key->draft = grow(key->draft, capacity, sizeof(*key->draft));
    key->by_deadline = grow(key->by_deadline, capacity, sizeof(*key->by_deadline));
    key->sort = grow(key->sort, capacity, sizeof(*key->sort));
    key->readers = grow(key->readers, states, sizeof(*key->readers));
    key->writer = grow(key->writer, states, sizeof(*key->writer));
    key->is_tested = grow(key->is_tested, states, sizeof(*key->is_tested));
    key->zones = grow(key->zones, states, sizeof(*key->zones));
    key->capacity = capacity;
}

static uint32_t state_of(struct linear_key *key, uint64_t token)
{
    if (token == 0) {
        return STATE_ABSENT;
    }
    uint32_t state = table_find_or_add(&key->states_by_token, token, key->states);
    if (state == key->states) {
        key->writer[state] = STEP_NONE;
        key->states++;
    }
    return state;
}

static enum draft want(struct step *step, enum step_need need, uint32_t state)
{
    step->need = (uint8_t)need;
    step->wanted = state;
    return DRAFT_TAKEN;
}

static enum draft draft_delete(struct step *step, enum history_outcome outcome)
{
    switch (outcome) {
    case HISTORY_NOT_FOUND:
        return want(step, NEED_VALUE, STATE_ABSENT);
    case HISTORY_OK:
        step->leaves = STATE_ABSENT;
        return want(step, NEED_OTHER, STATE_ABSENT);
    case HISTORY_EXPIRED:
    case HISTORY_UNKNOWN:
    case HISTORY_OPEN:
        step->leaves = STATE_ABSENT;
        return DRAFT_TAKEN;
    case HISTORY_FAILED:
        return DRAFT_DROPPED;
    case HISTORY_MISMATCH:
    case HISTORY_FULL:
        break;
    }
    return DRAFT_IMPOSSIBLE;
}

static enum draft draft_put(struct linear_key *key, struct step *step, const struct history_op *op,
                            enum history_outcome outcome)
{
    switch (outcome) {
    case HISTORY_FAILED:
    case HISTORY_FULL:
        return DRAFT_DROPPED;
    case HISTORY_OK:
    case HISTORY_EXPIRED:
    case HISTORY_UNKNOWN:
    case HISTORY_OPEN:
        step->leaves = state_of(key, op->value);
        return DRAFT_TAKEN;
    case HISTORY_NOT_FOUND:
    case HISTORY_MISMATCH:
        break;
    }
    return DRAFT_IMPOSSIBLE;
}

static enum draft draft_swap(struct linear_key *key, struct step *step, const struct history_op *op,
                             enum history_outcome outcome)
{
    switch (outcome) {
    case HISTORY_FAILED:
        return DRAFT_DROPPED;
    case HISTORY_NOT_FOUND:
        return op->expected == 0 ? DRAFT_IMPOSSIBLE : want(step, NEED_VALUE, STATE_ABSENT);
    case HISTORY_MISMATCH:
        return want(step, NEED_OTHER, state_of(key, op->expected));
    case HISTORY_FULL:
        break;
    case HISTORY_OK:
    case HISTORY_EXPIRED:
    case HISTORY_UNKNOWN:
    case HISTORY_OPEN:
        step->leaves = state_of(key, op->value);
        break;
    }
    return want(step, NEED_VALUE, state_of(key, op->expected));
}

static enum draft draft_get(struct linear_key *key, struct step *step, const struct history_op *op,
                            enum history_outcome outcome)
{
    switch (outcome) {
    case HISTORY_OK:
        return want(step, NEED_VALUE, state_of(key, op->value));
    case HISTORY_FAILED:
    case HISTORY_EXPIRED:
    case HISTORY_UNKNOWN:
    case HISTORY_OPEN:
        return DRAFT_DROPPED;
    case HISTORY_NOT_FOUND:
    case HISTORY_MISMATCH:
    case HISTORY_FULL:
        break;
    }
    return DRAFT_IMPOSSIBLE;
}

// The table of linear_key.h.
static enum draft draft_step(struct linear_key *key, struct step *step, const struct history_op *op,
                             uint32_t id, bool is_weak)
{
    enum history_outcome outcome = is_weak ? HISTORY_UNKNOWN : (enum history_outcome)op->outcome;
    bool is_late = outcome == HISTORY_UNKNOWN || outcome == HISTORY_OPEN;
    *step = (struct step){.op = id,
                          .call = op->called,
                          .deadline = is_late ? HISTORY_NEVER : op->returned,
                          .leaves = STATE_KEEP,
                          .need = NEED_ANYTHING,
                          .is_optional = is_late || outcome == HISTORY_EXPIRED};
    switch ((enum history_operation)op->operation) {
    case HISTORY_GET:
        return draft_get(key, step, op, outcome);
    case HISTORY_PUT:
        return draft_put(key, step, op, outcome);
    case HISTORY_DELETE:
        return draft_delete(step, outcome);
    case HISTORY_SWAP:
        return draft_swap(key, step, op, outcome);
    }
    return DRAFT_IMPOSSIBLE;
}

// All drafts, and who writes what. Result: their number, or STEP_NONE when one is impossible.
static uint32_t draft_all(struct linear_key *key, const struct history *history,
                          const uint32_t *ids, uint32_t count, const bool *is_weak)
{
    uint32_t taken = 0;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t id = ids[at];
        struct step *step = &key->draft[taken];
        enum draft draft =
            draft_step(key, step, &history->ops[id], id, is_weak != NULL && is_weak[id]);
        if (draft == DRAFT_IMPOSSIBLE) {
            return STEP_NONE;
        }
        if (draft == DRAFT_TAKEN) {
            if (step->leaves != STATE_KEEP && step->leaves >= STATE_TOKENS) {
                ASSERT_CMP(key->writer[step->leaves], ==, STEP_NONE);
                key->writer[step->leaves] = taken;
            }
            taken++;
        }
    }
    return taken;
}

static bool needs_token(const struct step *step)
{
    return step->need == NEED_VALUE && step->wanted >= STATE_TOKENS;
}

// Rule 1, without the check for two consumers. False: no linearization.
static bool spread_deadlines(struct linear_key *key, uint32_t count)
{
    for (uint32_t first = 0; first < count; first++) {
        uint32_t at = first;
        // A reader has one writer, which may need one in turn: a chain, that ends where nothing
        // changes.
        while (!key->draft[at].is_optional && needs_token(&key->draft[at])) {
            uint32_t writer = key->writer[key->draft[at].wanted];
            if (writer == STEP_NONE) {
                return false;
            }
            struct step *step = &key->draft[writer];
            if (!step->is_optional && step->deadline <= key->draft[at].deadline) {
                break;
            }
            step->is_optional = false;
            if (step->deadline > key->draft[at].deadline) {
                step->deadline = key->draft[at].deadline;
            }
            if (step->call > step->deadline) {
                return false;
            }
            at = writer;
        }
    }
    return true;
}

// `readers`, while it counts the firm steps that consume a token: two of one token, and no
// linearization.
static bool is_consumed_twice(struct linear_key *key, uint32_t count)
{
    memset(key->readers, 0, key->states * sizeof(*key->readers));
    for (uint32_t at = 0; at < count; at++) {
        const struct step *step = &key->draft[at];
        if (!step->is_optional && needs_token(step) && step->leaves != STATE_KEEP &&
            ++key->readers[step->wanted] == 2) {
            return true;
        }
    }
    return false;
}

// Until when firm steps can be helped by optional ones.
struct demand {
    uint32_t other;  // latest deadline of a firm OTHER step
    uint32_t absent; // ... of a firm VALUE absent step, or of `other` where an optional cas(absent)
                     // stays
};

static bool is_swap(const struct step *step)
{
    return step->need == NEED_VALUE && step->leaves != STATE_KEEP;
}

// Rule 3 for an optional step.
static bool is_of_use(const struct linear_key *key, const struct step *step,
                      const struct demand *demand)
{
    if (step->leaves == STATE_ABSENT) {
        return step->call < demand->absent;
    }
    if (is_swap(step) && step->wanted != STATE_ABSENT && key->writer[step->wanted] == STEP_NONE) {
        return false;
    }
    return step->call < demand->other;
}

static uint32_t later_of(uint32_t left, uint32_t right)
{
    return left > right ? left : right;
}

static struct demand find_demand(const struct linear_key *key, uint32_t count)
{
    struct demand demand = {0};
    for (uint32_t at = 0; at < count; at++) {
        const struct step *step = &key->draft[at];
        if (!step->is_optional && step->need == NEED_OTHER) {
            demand.other = later_of(demand.other, step->deadline);
        }
        if (!step->is_optional && step->need == NEED_VALUE && step->wanted == STATE_ABSENT) {
            demand.absent = later_of(demand.absent, step->deadline);
        }
    }
    for (uint32_t at = 0; at < count; at++) {
        const struct step *step = &key->draft[at];
        if (step->is_optional && is_swap(step) && step->wanted == STATE_ABSENT &&
            step->call < demand.other) {
            demand.absent = later_of(demand.absent, demand.other);
        }
    }
    return demand;
}

// Copies the drafts of one kind that stay.
static void keep(struct linear_key *key, uint32_t drafts, const struct demand *demand,
                 bool is_optional, bool is_bounded)
{
    for (uint32_t at = 0; at < drafts; at++) {
        const struct step *step = &key->draft[at];
        if (step->is_optional != is_optional ||
            (is_optional &&
             (is_bounded != (step->deadline != HISTORY_NEVER) || !is_of_use(key, step, demand)))) {
            continue;
        }
        key->steps[key->count++] = *step;
    }
}

// Rule 2. Also counts readers, and gives marks.
static void name_states(struct linear_key *key)
{
    memset(key->readers, 0, key->states * sizeof(*key->readers));
    memset(key->is_tested, 0, key->states * sizeof(*key->is_tested));
    for (uint32_t at = 0; at < key->count; at++) {
        struct step *step = &key->steps[at];
        uint64_t seed = at;
        step->mark[0] = prng_splitmix(&seed);
        step->mark[1] = prng_splitmix(&seed);
        if (step->need != NEED_ANYTHING) {
            key->is_tested[step->wanted] = true;
        }
        key->readers[step->wanted] += !step->is_optional && needs_token(step);
    }
    for (uint32_t at = 0; at < key->count; at++) {
        struct step *step = &key->steps[at];
        if (step->leaves != STATE_KEEP && step->leaves >= STATE_TOKENS &&
            !key->is_tested[step->leaves]) {
            step->leaves = STATE_JUNK;
        }
    }
}

static int compare_numbers(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void sort_by_deadline(struct linear_key *key)
{
    for (uint32_t at = 0; at < key->firm; at++) {
        key->sort[at] = (uint64_t)key->steps[at].deadline << 32 | at;
    }
    qsort(key->sort, key->firm, sizeof(*key->sort), compare_numbers);
    for (uint32_t at = 0; at < key->firm; at++) {
        key->by_deadline[at] = (uint32_t)key->sort[at];
    }
}

static int compare_zones(const void *left, const void *right)
{
    const struct zone *a = left, *b = right;
    return a->from < b->from ? -1 : a->from > b->from;
}

static void stretch(struct zone *zone, const struct step *step)
{
    zone->from = step->deadline < zone->from ? step->deadline : zone->from;
    zone->end = step->call > zone->end ? step->call : zone->end;
}

// The zones that are not empty, in their order. Result: how many.
static uint32_t find_zones(struct linear_key *key)
{
    uint32_t count = 0;
    for (uint32_t state = 0; state < key->states; state++) {
        key->zones[state] = (struct zone){.from = HISTORY_NEVER, .end = 0, .state = state};
    }
    for (uint32_t at = 0; at < key->firm; at++) {
        const struct step *step = &key->steps[at];
        if (needs_token(step)) {
            stretch(&key->zones[step->wanted], step);
        }
        if (step->leaves != STATE_KEEP && step->leaves >= STATE_TOKENS) {
            stretch(&key->zones[step->leaves], step);
        }
    }
    for (uint32_t state = STATE_TOKENS; state < key->states; state++) {
        if (key->zones[state].from < key->zones[state].end) {
            key->zones[count++] = key->zones[state];
        }
    }
    qsort(key->zones, count, sizeof(*key->zones), compare_zones);
    return count;
}

static bool disturbs(const struct step *step, uint32_t state)
{
    return step->leaves != STATE_KEEP || (step->need == NEED_VALUE && step->wanted != state) ||
           (step->need == NEED_OTHER && step->wanted == state);
}

// The last zone that begins before the event; NULL: none.
static const struct zone *zone_before(const struct linear_key *key, uint32_t zones, uint32_t event)
{
    uint32_t low = 0, high = zones; // the first that does not is in [low, high]
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (key->zones[middle].from < event) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : &key->zones[low - 1];
}

// Rule 4.
static bool is_zone_disturbed(struct linear_key *key)
{
    uint32_t zones = find_zones(key);
    for (uint32_t at = 1; at < zones; at++) {
        if (key->zones[at].from < key->zones[at - 1].end) {
            return true;
        }
    }
    for (uint32_t at = 0; at < key->firm; at++) {
        const struct step *step = &key->steps[at];
        const struct zone *zone = zone_before(key, zones, step->call);
        if (zone != NULL && step->deadline < zone->end && disturbs(step, zone->state)) {
            return true;
        }
    }
    return false;
}

bool linear_key_prepare(struct linear_key *key, const struct history *history, const uint32_t *ids,
                        uint32_t count, const bool *is_weak)
{
    reserve(key, count);
    table_reset(&key->states_by_token);
    key->states = STATE_TOKENS;
    key->count = 0;
    uint32_t drafts = draft_all(key, history, ids, count, is_weak);
    if (drafts == STEP_NONE || !spread_deadlines(key, drafts) || is_consumed_twice(key, drafts)) {
        return false;
    }
    const struct demand demand = find_demand(key, drafts);
    keep(key, drafts, &demand, false, false);
    key->firm = key->count;
    keep(key, drafts, &demand, true, true);
    key->bounded = key->count - key->firm;
    keep(key, drafts, &demand, true, false);
    name_states(key);
    if (is_zone_disturbed(key)) {
        return false;
    }
    sort_by_deadline(key);
    return true;
}
