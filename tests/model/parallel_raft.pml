/*
 * Parallel Raft: strict at the boundary of a term, out of order inside it. One group of three nodes.
 *
 * Decides what a node may do: the steps below, each behind a guard MAY_... . What must hold is in properties.pml, how states are
 * made comparable in canonical.pml, which searches there are in variants.txt. README.md says what is left out.
 *
 * Messages are facts. A proposal, a SYNC, a commit or a barrier of a term stays for ever and may be used late, repeatedly, in any
 * order or never: that is loss, duplication, delay and reordering. What only one volatile process may use (reports at a
 * candidate, acks and answers at a leader) lives as long as that process, and using it late is taking the step late.
 *
 * Term 1 is served at the start: logs are empty, SYNC(1) is on every node. MAX_TERM = 3 therefore means two leader changes.
 *
 * A slot of a log (4 bits) is NONE, BAD (fails its checksum), the term that proposed the command there, or NOOP(term that decided it).
 * With the index this names the entry; its footprint and dependency are facts of that term.
 */

#include "switches.pml"

#define NODES 3
#define MAJORITY 2
#define NACKS_NEEDED (NODES - MAJORITY + 1)

#define FOLLOWER 0
#define CANDIDATE 1
#define INSTALLING 2 /* merged, installed itself, waits for the barrier */
#define LEADER 3

#define NONE 0
#define BAD 7
#define NOOP(term) (8 | (term))
#define IS_ENTRY(slot) ((slot) != NONE && (slot) != BAD)
#define IS_NOOP(slot) ((slot) >= 8)
#define IS_COMMAND(slot) ((slot) != NONE && (slot) < BAD)
#define TERM_OF(slot) ((slot) & 7)

/* Logs are three slots, sets of indexes three bits. */
#define SLOT(log, i) (((log) >> (4 * ((i) - 1))) & 15)
#define PUT(log, i, slot) (((log) & ~(15 << (4 * ((i) - 1)))) | ((slot) << (4 * ((i) - 1))))
#define BIT(i) (1 << ((i) - 1))
#define HAS(set, i) (((set) >> ((i) - 1)) & 1)
#define UP_TO(i) ((1 << (i)) - 1)
#define PREFIX(set) (((set) & 7) == 7 -> 3 : (((set) & 3) == 3 -> 2 : ((set) & 1)))
#define MAX2(a, b) ((a) > (b) -> (a) : (b))
#define LAST(log) (SLOT(log, 3) != NONE -> 3 : (SLOT(log, 2) != NONE -> 2 : (SLOT(log, 1) != NONE)))

/* A report: sync_term, end, commit floor, log; 0 is none (sync_term is never 0). */
#define FLOOR(n) (REDUCED -> 0 : PREFIX(node[n].committed))
#define REPORT(n) (node[n].sync_term | (node[n].end << 3) | (FLOOR(n) << 5) | (node[n].log << 7))
#define R_SYNC(report) ((report) & 7)
#define R_END(report) (((report) >> 3) & 3)
#define R_FLOOR(report) (((report) >> 5) & 3)
#define R_LOG(report) ((report) >> 7)

typedef replica {
    unsigned current_term : 3; /* durable from here */
    unsigned voted_for : 1;    /* in current_term; whom does not matter */
    unsigned sync_term : 3;
    unsigned end : 2;
    unsigned log : 12;
    unsigned applied : 3; /* a set: floor and bits */
    unsigned role : 2;    /* volatile from here */
    unsigned committed : 3;
    unsigned barrier_done : 1;
    unsigned observer : 1;  /* OBSERVER: the one node that applies */
    unsigned acked : 12;    /* [term][index]: the leader of that term has this node's ack */
    unsigned installed : 4; /* [term]: the leader of that term has its answer "installed" */
    unsigned late : 3;      /* writes that were under way when this node promised a newer term */
    unsigned late_term : 3;
    unsigned report0 : 19; /* at a candidate: reports of others, the larger first */
    unsigned report1 : 19
#ifdef TRAP
    ;
    unsigned is_part : 1 /* holds a partial install */
#endif
}

typedef facts {
    unsigned footprint : 6; /* of the proposals, 2 bits of keys each; 0: not proposed */
    unsigned depends_on : 6;
    unsigned sync_log : 12; /* SYNC: the merged log up to sync_end */
    unsigned sync_end : 2;
    unsigned sync_sent : 1;
    unsigned committed : 3;
    unsigned served : 1 /* the barrier is done */
#if INSTALL != ALL
    ;
    unsigned sync_floor : 2
#endif
}

replica node[NODES];
facts fact[MAX_TERM];

/* History: what was committed first at each index, and the lowest term that committed it. */
unsigned chosen : 12;
unsigned chosen_in : 9;
#if CORRUPT
unsigned corrupted : 2;
#endif
#if READS
int unseen; /* [term][index]: a read did not see this entry, so it must not commit any more */
#endif

/* Who does the next step, about what; 0 between steps. */
unsigned me : 2;
unsigned at : 3;
unsigned how : 4;

/* Scratch of one step. */
hidden int peer, idx, lower, the_term, last, slot, mine, theirs, part;
hidden int own_report, report_a, report_b, newest, newest_end;
hidden int in_r, in_q, nacks, merged_log, merged_end, merged_floor, possible;

#define FACT(t) fact[(t) - 1]
#define KEYS(t, i) ((FACT(t).footprint >> (2 * ((i) - 1))) & 3)
#define PROPOSED(t, i) (KEYS(t, i) != 0)
#define FOOTPRINT(slot, i) (IS_COMMAND(slot) -> KEYS(slot, i) : 0)
#define DEPENDS_ON(slot, i) (IS_COMMAND(slot) -> ((FACT(slot).depends_on >> (2 * ((i) - 1))) & 3) : 0)
#define PROPOSED_LAST(t) (PROPOSED(t, 3) -> 3 : (PROPOSED(t, 2) -> 2 : PROPOSED(t, 1)))
#define NEXT_INDEX(n) (1 + MAX2(node[n].end, PROPOSED_LAST(node[n].current_term)))

#define CHOSEN(i) SLOT(chosen, i)
#define CHOSEN_IN(i) ((chosen_in >> (3 * ((i) - 1))) & 7)

#define LEADS(n, t) (node[n].role >= INSTALLING && node[n].current_term == (t))
#define IS_LED(t) (LEADS(0, t) || LEADS(1, t) || LEADS(2, t))
#define ACK_BIT(t, i) (1 << (3 * ((t) - 1) + (i) - 1))
#define ACKED(n, t, i) ((node[n].acked & ACK_BIT(t, i)) != 0)
#define ACKS(t, i) (ACKED(0, t, i) + ACKED(1, t, i) + ACKED(2, t, i))
#define INSTALLED(n, t) ((node[n].installed & BIT(t)) != 0)
#define INSTALLS(t) (INSTALLED(0, t) + INSTALLED(1, t) + INSTALLED(2, t))

#define SERVES(n) (node[n].role == LEADER || (BARRIER == EARLY_SERVE && node[n].role == INSTALLING))
#define CONFIRMS(m, n) (node[m].current_term == node[n].current_term)
#define IS_CONFIRMED(n) (CONFIRMS(0, n) + CONFIRMS(1, n) + CONFIRMS(2, n) >= MAJORITY)

/* What n takes for the content of an index: the leader of a term knows more than its own disk. */
#define LEADER_SLOT(n, i) (PROPOSED(node[n].current_term, i) -> node[n].current_term : SLOT(FACT(node[n].current_term).sync_log, i))
#define KNOWN_SLOT(n, i) (node[n].role >= INSTALLING -> LEADER_SLOT(n, i) : SLOT(node[n].log, i))

/* Keys have no names before the first proposal: it may as well be for the first key. */
#define IS_ANYTHING_PROPOSED (fact[0].footprint | fact[1].footprint | fact[MAX_TERM - 2].footprint | fact[MAX_TERM - 1].footprint)
#define KEYS_OF_INDEX(i) (KEY_SET == A -> 1 : (KEY_SET >> (2 * ((i) - 1))) & 3)
#define FIXED_KEYS(n) \
    (ALTERNATE && (node[n].current_term & 1) == 0 -> 3 - KEYS_OF_INDEX(NEXT_INDEX(n)) : KEYS_OF_INDEX(NEXT_INDEX(n)))
#if KEYS_ARE_FIXED
#define MAY_HAVE_KEYS(n, keys) ((keys) == FIXED_KEYS(n))
#elif KEY_SET == FREE
#define MAY_HAVE_KEYS(n, keys) ((keys) == 1 || ((keys) == 2 && IS_ANYTHING_PROPOSED))
#else
#define MAY_HAVE_KEYS(n, keys) ((keys) != 2 || IS_ANYTHING_PROPOSED)
#endif

#include "canonical.pml"
#include "properties.pml"

/* ---- 1. Promise: fence, durable term and vote, report ---------------------------------------------------------------- */

/* Everything volatile of a leader or candidate goes. */
inline step_down(who)
{
    if
    :: node[who].role >= INSTALLING ->
        for (peer : 0 .. NODES - 1) {
            node[peer].acked = node[peer].acked & ~(7 << (3 * (node[who].current_term - 1)));
            node[peer].installed = node[peer].installed & ~BIT(node[who].current_term)
        }
    :: else
    fi;
    node[who].role = FOLLOWER;
    node[who].report0 = 0;
    node[who].report1 = 0
}

/* The log epoch rises: what is under way may still land, until the next install, but is never acknowledged. Everything proposed
 * in the old term may be under way. */
inline fence(who)
{
#if LATE_WRITES
    if
    :: node[who].late == 0 && node[who].sync_term == node[who].current_term ->
        node[who].late_term = node[who].sync_term;
        for (idx : 1 .. MAX_IDX) {
            if
            :: PROPOSED(node[who].sync_term, idx) && SLOT(node[who].log, idx) != node[who].sync_term ->
                node[who].late = node[who].late | BIT(idx)
            :: else
            fi
        }
    :: else
    fi
#else
    skip
#endif
}

inline promise(who, term)
{
    step_down(who);
    fence(who);
    node[who].current_term = term
}

/* One candidate a term, unless SPLIT. A candidate does not time out again. */
#if SPLIT
#define NEXT_TERM(n) (node[n].current_term + 1)
#else
#define NEXT_TERM(n) (1 + MAX2(node[0].current_term, MAX2(node[1].current_term, node[2].current_term)))
#endif
#define MAY_TIME_OUT(n) (node[n].role != CANDIDATE && NEXT_TERM(n) <= MAX_TERM)

inline time_out()
{
    the_term = NEXT_TERM(me);
    promise(me, the_term);
    node[me].role = CANDIDATE;
    node[me].voted_for = SPLIT;
    printf("node %d stands in term %d\n", me, the_term)
}

#define MAY_VOTE(n, c) \
    ((n) != (c) && node[c].role == CANDIDATE && \
     (node[n].current_term < node[c].current_term || \
      (SPLIT && node[n].current_term == node[c].current_term && !node[n].voted_for)) && \
     (!VOTE_SYNC || node[c].sync_term >= node[n].sync_term))

inline vote()
{
    SPRING(PART_REPORTED, node[me].is_part);
    promise(me, node[at].current_term);
    node[me].voted_for = SPLIT;
    if
    :: node[at].report0 == 0 -> node[at].report0 = REPORT(me)
    :: else -> node[at].report1 = REPORT(me)
    fi;
    printf("node %d promises term %d to node %d and reports\n", me, node[at].current_term, at)
}

#if LATE_WRITES
#define MAY_LAND(n, i) HAS(node[n].late, i)

inline land()
{
    node[me].log = PUT(node[me].log, at, node[me].late_term);
    node[me].late = node[me].late & ~BIT(at);
    SPRING(LANDED_LATE, FACT(node[me].current_term).served);
    printf("node %d: a late write of (%d,%d) lands\n", me, node[me].late_term, at);
    if
    :: !FENCE -> acknowledge(me, node[me].late_term, at)
    :: else
    fi
}
#endif

/* ---- 2. Merge -------------------------------------------------------------------------------------------------------- */

/* Where reports contradict each other (PICKS), the first or the last counts. */
#define PICK(old, new) ((old) == NONE || !PICKS || (how & 4) -> (new) : (old))

/* Looks at one report's slot at i. */
inline hear(report)
{
    if
    :: report == 0
    :: else ->
        slot = SLOT(R_LOG(report), idx);
        slot = (ELIGIBLE && idx > R_END(report) && IS_ENTRY(slot) && TERM_OF(slot) != R_SYNC(report) -> NONE : slot);
        if
        :: R_SYNC(report) < newest -> nacks++
        :: R_SYNC(report) == newest && IS_ENTRY(slot) -> UNIQUE_IN_R(in_r, slot); in_r = PICK(in_r, slot)
        :: else -> nacks = nacks + (slot == NONE || !FAULTY_NOT_NACK)
        fi;
        if
        :: !IS_ENTRY(slot)
        :: !RESTAMP && IS_ENTRY(in_q) && TERM_OF(slot) != TERM_OF(in_q) ->
            in_q = (TERM_OF(slot) > TERM_OF(in_q) -> slot : in_q)
        :: else -> in_q = PICK(in_q, slot)
        fi
    fi
}

/* The content of index i, or possible = 0: more reports are needed. */
inline choose()
{
    in_r = NONE;
    in_q = NONE;
    nacks = 0;
    hear(own_report);
    hear(report_a);
    hear(report_b);
    if
    :: !RESTAMP -> slot = in_q
    :: RESTAMP && INSTALL != ALL && idx <= merged_floor -> slot = SLOT(node[me].log, idx)
    :: else ->
        if
        :: in_r != NONE -> slot = in_r
        :: in_r == NONE && !IGNORE_LOWER && in_q != NONE -> slot = in_q
        :: else ->
            slot = NOOP(node[me].current_term);
            possible = possible &&
                       (idx > merged_floor && (!NACK_END || idx > newest_end) && nacks >= NACKS_NEEDED)
        fi
    fi;
    merged_log = PUT(merged_log, idx, slot)
}

#define IN_R(report) ((report) != 0 && (R_SYNC(report) == newest || !RESTAMP || !IGNORE_LOWER))
#define R_LAST(report) (IN_R(report) -> MAX2(R_END(report), LAST(R_LOG(report))) : 0)
#define END_IF_NEWEST(report) ((report) != 0 && R_SYNC(report) == newest -> R_END(report) : 0)

/* Over the candidate itself and the reports that `how` names. */
inline merge()
{
    own_report = REPORT(me);
    report_a = ((how & 1) -> node[me].report0 : 0);
    report_b = ((how & 2) -> node[me].report1 : 0);
    newest = MAX2(R_SYNC(own_report), MAX2(R_SYNC(report_a), R_SYNC(report_b)));
    newest_end = MAX2(END_IF_NEWEST(own_report), MAX2(END_IF_NEWEST(report_a), END_IF_NEWEST(report_b)));
    merged_floor = MAX2(R_FLOOR(own_report), MAX2(R_FLOOR(report_a), R_FLOOR(report_b)));
    merged_end = MAX2(R_LAST(own_report), MAX2(R_LAST(report_a), R_LAST(report_b)));
    merged_log = 0;
    possible = 1;
    for (idx : 1 .. merged_end) {
        choose()
    }
}

#define MAY_MERGE(n, quorum) \
    (node[n].role == CANDIDATE && (!((quorum) & 1) || node[n].report0 != 0) && (!((quorum) & 2) || node[n].report1 != 0))

/* ---- 3. Install ------------------------------------------------------------------------------------------------------ */

/* slot: what install makes of index i of node who. */
inline install_slot(who, is_own)
{
    mine = SLOT(node[who].log, idx);
    theirs = SLOT(merged_log, idx);
    if
    :: idx > merged_end -> slot = (PURGE_ABOVE -> NONE : mine)
    :: idx <= merged_end && INSTALL != ALL && idx <= merged_floor ->
        slot = (INSTALL == PURGE && !is_own && IS_ENTRY(theirs) && mine != theirs -> NONE : mine)
    :: else -> slot = (!PURGE_MISMATCH && IS_ENTRY(mine) -> mine : theirs)
    fi
}

/* slot: the same before SYNC is written. No-ops of the term are only there by SYNC. */
inline install_slot_early(who, is_own)
{
    install_slot(who, is_own);
    slot = (NOOP_IN_SYNC && slot == NOOP(the_term) -> NONE : slot)
}

inline install_log(who, is_own)
{
    for (idx : 1 .. MAX_IDX) {
        install_slot(who, is_own);
        node[who].log = PUT(node[who].log, idx, slot)
    }
    node[who].end = merged_end;
#ifdef TRAP
    node[who].is_part = 0;
#endif
#if LATE_WRITES
    node[who].late = (LAND_LATE -> node[who].late : 0)
#endif
}

/* A candidate that crashes before its SYNC is written never merged: it sends nothing before. */
inline merge_and_install()
{
    merge();
    if
    :: !possible -> NEVER_STUCK
    :: else ->
        the_term = node[me].current_term;
        ONE_LEADER(!FACT(the_term).sync_sent);
        FACT(the_term).sync_log = merged_log;
        FACT(the_term).sync_end = merged_end;
        FACT(the_term).sync_sent = 1;
#if INSTALL != ALL
        FACT(the_term).sync_floor = merged_floor;
#endif
        install_log(me, 1);
        node[me].sync_term = the_term;
        node[me].role = INSTALLING;
        node[me].barrier_done = 0;
        node[me].report0 = 0;
        node[me].report1 = 0;
        node[me].installed = node[me].installed | BIT(the_term);
        printf("node %d merges term %d, end %d, and installs\n", me, the_term, merged_end)
    fi
}

/* The candidate crashes with the slots of the set `at` written, or deleted. */
inline merge_and_crash()
{
    merge();
    if
    :: !possible
    :: else ->
        the_term = node[me].current_term;
        for (idx : 1 .. MAX_IDX) {
            install_slot_early(me, 1);
            SPRING(CANDIDATE_CRASHED, HAS(at, idx) && SLOT(node[me].log, idx) != slot);
            if
            :: HAS(at, idx) -> node[me].log = PUT(node[me].log, idx, slot)
            :: else
            fi
        }
        forget_volatile(me);
        printf("node %d merges term %d, and crashes in its install (set %d)\n", me, the_term, at)
    fi
}

#if INSTALL != ALL
#define LOAD_FLOOR(t) merged_floor = FACT(t).sync_floor
#else
#define LOAD_FLOOR(t) skip
#endif
inline load_sync()
{
    merged_log = FACT(the_term).sync_log;
    merged_end = FACT(the_term).sync_end;
    LOAD_FLOOR(the_term)
}

#define MAY_INSTALL(n, t) \
    (FACT(t).sync_sent && !LEADS(n, t) && (node[n].current_term <= (t) || !FENCE_INSTALL) && \
     (node[n].sync_term < (t) || (!DUP_IGNORE && node[n].sync_term == (t))))

inline install()
{
    the_term = at;
    load_sync();
    if
    :: node[me].current_term < the_term -> promise(me, the_term); node[me].voted_for = 0
    :: node[me].current_term == the_term -> step_down(me)
    :: else
    fi;
    install_log(me, 0);
    node[me].barrier_done = (node[me].sync_term == the_term -> node[me].barrier_done : 0);
    node[me].sync_term = the_term;
    if
    :: (node[0].role == INSTALLING && LEADS(0, the_term)) || (node[1].role == INSTALLING && LEADS(1, the_term)) ||
       (node[2].role == INSTALLING && LEADS(2, the_term)) ->
        node[me].installed = node[me].installed | BIT(the_term)
    :: else
    fi;
    printf("node %d installs SYNC(%d, %d)\n", me, the_term, merged_end)
}

#if PARTIAL
#define MAY_INSTALL_PART(n, t) (FACT(t).sync_sent && node[n].sync_term < (t) && node[n].current_term <= (t))

/* One slot written or deleted, SYNC not yet written. */
inline install_part()
{
    the_term = at;
    idx = how;
    load_sync();
    install_slot_early(me, 0);
    if
    :: slot == SLOT(node[me].log, how)
    :: else ->
        part = slot;
        if
        :: node[me].current_term < the_term -> promise(me, the_term); node[me].voted_for = 0
        :: else -> step_down(me)
        fi;
        node[me].log = PUT(node[me].log, how, part);
#ifdef TRAP
        node[me].is_part = 1;
#endif
        printf("node %d installs only index %d of SYNC(%d)\n", me, how, the_term)
    fi
}
#endif

/* ---- 4. Barrier: everything up to end is committed -------------------------------------------------------------------- */

#define MAY_PASS_BARRIER(n) \
    (node[n].role == INSTALLING && (BARRIER == EARLY_COMMIT || INSTALLS(node[n].current_term) >= MAJORITY))

inline pass_barrier()
{
    the_term = node[me].current_term;
    printf("node %d leads term %d: everything up to %d is committed\n", me, the_term, node[me].end);
    for (peer : 0 .. NODES - 1) {
        node[peer].installed = node[peer].installed & ~BIT(the_term)
    }
    for (idx : 1 .. node[me].end) {
        slot = SLOT(FACT(the_term).sync_log, idx);
        if
        :: IS_ENTRY(slot) -> commit_history(idx, slot, the_term)
        :: else
        fi
    }
    node[me].role = LEADER;
    node[me].barrier_done = 1;
    node[me].committed = node[me].committed | UP_TO(node[me].end);
#if REDUCED
    propose_all(me);
#endif
    FACT(the_term).served = 1
}

/* ---- 5. Serve: out of order inside the term --------------------------------------------------------------------------- */

#define MAY_PROPOSE(n, keys) (SERVES(n) && NEXT_INDEX(n) <= MAX_IDX && MAY_HAVE_KEYS(n, keys))

/* depends_on: the largest earlier index that conflicts, applied or not. */
inline propose_next(who, keys)
{
    the_term = node[who].current_term;
    last = NEXT_INDEX(who);
    lower = 0;
    for (idx : 1 .. last - 1) {
        lower = ((FOOTPRINT(LEADER_SLOT(who, idx), idx) & (keys)) && (DEP_ALL || !HAS(node[who].applied, idx)) -> idx : lower)
    }
    FACT(the_term).footprint = FACT(the_term).footprint | ((keys) << (2 * (last - 1)));
    FACT(the_term).depends_on = FACT(the_term).depends_on | (lower << (2 * (last - 1)))
}

inline propose()
{
    propose_next(me, at);
    printf("node %d proposes (%d,%d) for keys %d, depends on %d\n", me, the_term, last, at, lower)
}

/* REDUCED: all at once. What nobody has taken is as good as not proposed. */
inline propose_all(who)
{
    do
    :: NEXT_INDEX(who) <= MAX_IDX ->
        part = FIXED_KEYS(who);
        propose_next(who, part)
    :: else -> break
    od
}

/* An ack counts while the leader lives and has not committed the entry. */
inline acknowledge(who, term, index)
{
    if
    :: IS_LED(term) && !HAS(FACT(term).committed, index) ->
        node[who].acked = node[who].acked | ACK_BIT(term, index)
    :: else
    fi
}

/* Any node, the leader's own disk included. A write that becomes durable before the next promise is a write at once. */
#define MAY_ACCEPT(n, i) \
    (PROPOSED(node[n].current_term, i) && SLOT(node[n].log, i) != node[n].current_term && \
     (!ACCEPT_SYNC || node[n].sync_term == node[n].current_term))

inline accept()
{
    the_term = node[me].current_term;
    node[me].log = PUT(node[me].log, at, the_term);
    acknowledge(me, the_term, at);
    printf("node %d makes (%d,%d) durable\n", me, the_term, at)
}

/* ---- 6. Commit and apply ------------------------------------------------------------------------------------------------ */

#define PRECEDES_COMMITTED(n, j, i) \
    ((j) >= (i) || HAS(node[n].committed, j) || \
     !(FOOTPRINT(LEADER_SLOT(n, j), j) & KEYS(node[n].current_term, i)))
#define MAY_COMMIT(n, i) \
    (SERVES(n) && PROPOSED(node[n].current_term, i) && !HAS(FACT(node[n].current_term).committed, i) && \
     ACKS(node[n].current_term, i) >= MAJORITY && \
     (!CONF_COMMIT || (PRECEDES_COMMITTED(n, 1, i) && PRECEDES_COMMITTED(n, 2, i))))

inline commit()
{
    the_term = node[me].current_term;
    printf("node %d commits (%d,%d)\n", me, the_term, at);
    SPRING(COMMITTED_LATE, IS_PAST(0, the_term) + IS_PAST(1, the_term) + IS_PAST(2, the_term) >= MAJORITY);
    FACT(the_term).committed = FACT(the_term).committed | BIT(at);
    node[me].committed = node[me].committed | BIT(at);
    for (peer : 0 .. NODES - 1) {
        node[peer].acked = node[peer].acked & ~ACK_BIT(the_term, at)
    }
    commit_history(at, the_term, the_term)
}

#define HEARS_COMMITS(n) (!BITS_SYNC || node[n].sync_term == node[n].current_term)
#define COMMITS_HEARD(n) \
    (HEARS_COMMITS(n) -> FACT(node[n].current_term).committed | \
                             (FACT(node[n].current_term).served -> UP_TO(FACT(node[n].current_term).sync_end) : 0) : 0)
#define HEARS_BARRIER(n) (node[n].sync_term == node[n].current_term && FACT(node[n].current_term).served)

#if !FOLD_LEARN
#define MAY_LEARN(n) ((COMMITS_HEARD(n) & ~node[n].committed) != 0 || (HEARS_BARRIER(n) && !node[n].barrier_done))

inline learn()
{
    node[me].committed = node[me].committed | COMMITS_HEARD(me);
    node[me].barrier_done = node[me].barrier_done || HEARS_BARRIER(me);
    printf("node %d learns what is committed\n", me)
}
#endif

#define IS_FOLDED(x) (FOLD_LEARN && (x))
#define NOOPS_HELD(n) \
    (IS_NOOP(SLOT(node[n].log, 1)) | (IS_NOOP(SLOT(node[n].log, 2)) << 1) | (IS_NOOP(SLOT(node[n].log, 3)) << 2))
#define DONE(n) (NOOP_COMMIT -> node[n].applied : node[n].applied | NOOPS_HELD(n))
#define MAY_SKIP(n, j, i) \
    ((j) >= (i) || HAS(DONE(n), j) || \
     (IS_ENTRY(KNOWN_SLOT(n, j)) && !(FOOTPRINT(KNOWN_SLOT(n, j), j) & FOOTPRINT(KNOWN_SLOT(n, i), i))))
#define IN_ORDER(n, i) \
    (APPLY_LOCAL -> MAY_SKIP(n, 1, i) && MAY_SKIP(n, 2, i) : PREFIX(DONE(n)) >= DEPENDS_ON(KNOWN_SLOT(n, i), i))
#define MAY_APPLY(n, i) \
    ((!OBSERVER || node[n].observer) && !HAS(node[n].applied, i) && IS_ENTRY(KNOWN_SLOT(n, i)) && \
     (HAS(node[n].committed, i) || IS_FOLDED(HAS(COMMITS_HEARD(n), i))) && \
     (!SUSPEND || node[n].barrier_done || IS_FOLDED(HEARS_BARRIER(n))) && IN_ORDER(n, i))

inline apply()
{
    printf("node %d applies index %d\n", me, at);
    APPLIED_IS_COMMITTED(KNOWN_SLOT(me, at) == CHOSEN(at));
    node[me].applied = node[me].applied | BIT(at);
    node[me].committed = node[me].committed | BIT(at)
}

#if READS
/* After the answer to a write i, a read of a key that misses j < i, j conflicting with i, says that j never happens before i. */
#define IS_UNSEEN(n, j, i, key) \
    ((j) < (i) && HAS(FACT(node[n].current_term).committed, i) && !HAS(node[n].applied, j) && \
     (FOOTPRINT(LEADER_SLOT(n, j), j) & (key)) && (FOOTPRINT(LEADER_SLOT(n, j), j) & KEYS(node[n].current_term, i)))
#define MISSES(n, j, key) \
    ((IS_UNSEEN(n, j, 2, key) || IS_UNSEEN(n, j, 3, key)) && !(unseen & ACK_BIT(LEADER_SLOT(n, j), j)))
#define MAY_READ(n, key) (IS_READABLE(n, key) && (MISSES(n, 1, key) || MISSES(n, 2, key)))

inline read()
{
    for (lower : 1 .. 2) {
        if
        :: MISSES(me, lower, at) -> unseen = unseen | ACK_BIT(LEADER_SLOT(me, lower), lower)
        :: else
        fi
    }
    printf("node %d answers a read of key %d\n", me, at)
}
#endif

/* ---- Faults ---------------------------------------------------------------------------------------------------------------- */

inline forget_volatile(who)
{
    step_down(who);
    node[who].late = 0;
    node[who].committed = node[who].applied;
    node[who].barrier_done = 0
}

#if CRASH
/* Any number of times, where it makes a difference. */
#define MAY_CRASH(n) \
    (node[n].role != FOLLOWER || node[n].late != 0 || node[n].committed != node[n].applied || node[n].barrier_done)

inline crash()
{
    forget_volatile(me);
    printf("node %d crashes\n", me)
}
#endif

#if CORRUPT
#define MAY_ROT(n, i) (corrupted < CORRUPT && IS_ENTRY(SLOT(node[n].log, i)))

inline rot()
{
    node[me].log = PUT(node[me].log, at, BAD);
    corrupted++;
    printf("node %d: index %d rots\n", me, at)
}
#endif

/* ---- The world ----------------------------------------------------------------------------------------------------------- */

#define TRY(may, a, b) \
    :: d_step { may(a, b) -> me = a; at = b }
#define TRY_NODE(may, a) \
    :: d_step { may(a) -> me = a }
#define EACH_NODE(may) TRY_NODE(may, 0) TRY_NODE(may, 1) TRY_NODE(may, 2)
#define EACH_PAIR(may) TRY(may, 0, 1) TRY(may, 0, 2) TRY(may, 1, 0) TRY(may, 1, 2) TRY(may, 2, 0) TRY(may, 2, 1)
#define TRY_THREE(may, a) TRY(may, a, 1) TRY(may, a, 2) TRY(may, a, 3)
#define EACH_KEY_SET(may) TRY_THREE(may, 0) TRY_THREE(may, 1) TRY_THREE(may, 2)
#if MAX_IDX == 1
#define TRY_INDEXES(may, a) TRY(may, a, 1)
#elif MAX_IDX == 2
#define TRY_INDEXES(may, a) TRY(may, a, 1) TRY(may, a, 2)
#else
#define TRY_INDEXES(may, a) TRY_THREE(may, a)
#endif
#define EACH_INDEX(may) TRY_INDEXES(may, 0) TRY_INDEXES(may, 1) TRY_INDEXES(may, 2)
#if MAX_TERM == 2
#define TRY_TERMS(may, a) TRY(may, a, 2)
#elif MAX_TERM == 3
#define TRY_TERMS(may, a) TRY(may, a, 2) TRY(may, a, 3)
#else
#define TRY_TERMS(may, a) TRY(may, a, 2) TRY(may, a, 3) TRY(may, a, 4)
#endif
#define EACH_TERM(may) TRY_TERMS(may, 0) TRY_TERMS(may, 1) TRY_TERMS(may, 2)

/* What a step needs beside node and index: which reports, and which choice where broken rules leave one; which slots. */
#define TRY_QUORUM(quorum, choice) \
    :: d_step { MAY_MERGE(me, quorum) -> how = quorum | choice }
#define TRY_QUORUMS(choice) TRY_QUORUM(1, choice) TRY_QUORUM(2, choice) TRY_QUORUM(3, choice)
#if PICKS
#define WITH_QUORUM if TRY_QUORUMS(0) TRY_QUORUMS(4) fi
#else
#define WITH_QUORUM if TRY_QUORUMS(0) fi
#endif
#define WITH_INDEX if :: how = 1 :: how = 2 :: how = 3 fi
#define WITH_SET if :: at = 1 :: at = 2 :: at = 3 :: at = 4 :: at = 5 :: at = 6 :: at = 7 fi
#define IS_CANDIDATE(n) MAY_MERGE(n, 1)
#define EACH_KEY(may) TRY(may, 0, 1) TRY(may, 0, 2) TRY(may, 1, 1) TRY(may, 1, 2) TRY(may, 2, 1) TRY(may, 2, 2)

init
{
    atomic {
        d_step {
            for (peer : 0 .. NODES - 1) {
                node[peer].current_term = 1;
                node[peer].sync_term = 1;
                node[peer].barrier_done = 1
            }
            FACT(1).sync_sent = 1;
            FACT(1).served = 1;
            node[0].role = LEADER;
#if REDUCED
            propose_all(0)
#endif
        }
#if OBSERVER
        if
        :: node[0].observer = 1
        :: node[1].observer = 1
        fi
#endif
        d_step { settle() }
    }
end:
    do
    :: atomic {
            if
            :: if EACH_NODE(MAY_TIME_OUT) fi; d_step { time_out() }
            :: if EACH_PAIR(MAY_VOTE) fi; d_step { vote() }
            :: if EACH_NODE(IS_CANDIDATE) fi; WITH_QUORUM; d_step { merge_and_install() }
            :: if EACH_TERM(MAY_INSTALL) fi; d_step { install() }
            :: if EACH_NODE(MAY_PASS_BARRIER) fi; d_step { pass_barrier() }
#if !REDUCED
            :: if EACH_KEY_SET(MAY_PROPOSE) fi; d_step { propose() }
#endif
            :: if EACH_INDEX(MAY_ACCEPT) fi; d_step { accept() }
            :: if EACH_INDEX(MAY_COMMIT) fi; d_step { commit() }
            :: if EACH_INDEX(MAY_APPLY) fi; d_step { apply() }
#if !FOLD_LEARN
            :: if EACH_NODE(MAY_LEARN) fi; d_step { learn() }
#endif
#if LATE_WRITES
            :: if EACH_INDEX(MAY_LAND) fi; d_step { land() }
#endif
#if PARTIAL
            :: if EACH_TERM(MAY_INSTALL_PART) fi; WITH_INDEX; d_step { install_part() }
#if CRASH
            :: if EACH_NODE(IS_CANDIDATE) fi; WITH_QUORUM; WITH_SET; d_step { merge_and_crash() }
#endif
#endif
#if READS
            :: if EACH_KEY(MAY_READ) fi; d_step { read() }
#endif
#if CRASH
            :: if EACH_NODE(MAY_CRASH) fi; d_step { crash() }
#endif
#if CORRUPT
            :: if EACH_INDEX(MAY_ROT) fi; d_step { rot() }
#endif
            fi;
            d_step { settle() }
        }
    od
}
