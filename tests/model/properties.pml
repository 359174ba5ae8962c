/*
 * What must hold after every step, and the traps: states that must be reached, so that nothing holds because nothing happens.
 *
 * CHECK is the set of properties that this search looks at: harm is what a client can see, design is what the argument of safety rests
 * on. Spin names the broken one: "assertion violated FreshRead".
 */

#define ONE_LEADER_A_TERM 1      /* harm */
#define APPLIED_COMMITTED 2      /* only committed entries are executed */
#define CHOSEN_UNIQUE 4          /* a committed entry never changes */
#define EXEC_ORDER 8             /* conflicting entries are executed in log order everywhere */
#define FRESH_READ 16            /* a read sees every acknowledged write of its key */
#define READ_ORDER 32            /* what a read missed behind a later answer is never committed */
#define MERGE_COMPLETE 64        /* design: no later SYNC lacks a committed entry */
#define SAME_SYNC 128            /* I2: nodes of the same sync_term agree */
#define LEADER_SYNC 256          /* I4: a leader of T has a majority with sync_term >= T */
#define SYNC_BEHIND_TERM 512     /* I1, I3: sync_term <= current_term, and no entry is newer than sync_term */
#define MERGE_NO_TIE 1024        /* reports of the newest sync_term never contradict each other */
#define MERGE_NEVER_STUCK 2048   /* a merge never has to wait for more than a majority */
#define FRESH_COMMIT 4096        /* a confirmed leader knows everything that is committed */
#define HARM 63
#define EVERYTHING 8191
#define ALL_BUT_WAITING (EVERYTHING - MERGE_NEVER_STUCK)
#define ALL_WITH_ROT (EVERYTHING - SAME_SYNC - MERGE_NEVER_STUCK)
#ifndef CHECK
#define CHECK HARM
#endif

hidden byte OneLeader, AppliedIsCommitted, ChosenUnique, ExecOrder, FreshRead, ReadOrder;
hidden byte MergeComplete, SameSync, LeaderSync, SyncBehindTerm, MergeNoTie, MergeNeverStuck, FreshCommit;

#define HOLD(name, number, condition) \
    name = !(CHECK & number) || (condition); \
    assert(name)

#define ONE_LEADER(condition) HOLD(OneLeader, ONE_LEADER_A_TERM, condition)
#define APPLIED_IS_COMMITTED(condition) HOLD(AppliedIsCommitted, APPLIED_COMMITTED, condition)
#define NEVER_STUCK HOLD(MergeNeverStuck, MERGE_NEVER_STUCK, false)
#define UNIQUE_IN_R(known, slot) HOLD(MergeNoTie, MERGE_NO_TIE, (known) == NONE || (known) == (slot))

/* Entry `slot` is committed at `index` by `term`. */
inline commit_history(index, slot_, term)
{
    if
    :: CHOSEN(index) == NONE ->
        chosen = PUT(chosen, index, slot_);
        chosen_in = chosen_in | ((term) << (3 * ((index) - 1)))
    :: else ->
        HOLD(ChosenUnique, CHOSEN_UNIQUE, CHOSEN(index) == (slot_));
        if
        :: (term) < CHOSEN_IN(index) ->
            chosen_in = (chosen_in & ~(7 << (3 * ((index) - 1)))) | ((term) << (3 * ((index) - 1)))
        :: else
        fi
    fi
}

#define KEYS_CHOSEN(i) FOOTPRINT(CHOSEN(i), i)

#define RAN_EARLY(n, a, b) (HAS(node[n].applied, b) && !HAS(node[n].applied, a) && (KEYS_CHOSEN(a) & KEYS_CHOSEN(b)))
#define EXECUTES_IN_ORDER(n) (!RAN_EARLY(n, 1, 2) && !RAN_EARLY(n, 1, 3) && !RAN_EARLY(n, 2, 3))

/* May n answer a read of the key now? Everything it knows to be committed there is applied. */
#define DOES_NOT_HINDER(n, i, key) \
    (!HAS(node[n].committed, i) || HAS(node[n].applied, i) || \
     (IS_ENTRY(LEADER_SLOT(n, i)) && !(FOOTPRINT(LEADER_SLOT(n, i), i) & (key))))
#define IS_READABLE(n, key) \
    (SERVES(n) && IS_CONFIRMED(n) && DOES_NOT_HINDER(n, 1, key) && DOES_NOT_HINDER(n, 2, key) && DOES_NOT_HINDER(n, 3, key))
#define SEES(n, i, key) (!(KEYS_CHOSEN(i) & (key)) || HAS(node[n].applied, i))
#define READS_FRESH(n, key) (!IS_READABLE(n, key) || (SEES(n, 1, key) && SEES(n, 2, key) && SEES(n, 3, key)))
#define KNOWS_COMMITTED(n, i) (CHOSEN(i) == NONE || (HAS(node[n].committed, i) && LEADER_SLOT(n, i) == CHOSEN(i)))
#define COMMITS_FRESH(n) \
    (!SERVES(n) || !IS_CONFIRMED(n) || (KNOWS_COMMITTED(n, 1) && KNOWS_COMMITTED(n, 2) && KNOWS_COMMITTED(n, 3)))

#if READS
#define NEVER_COMMITS_UNSEEN(j) (!IS_COMMAND(CHOSEN(j)) || !(unseen & ACK_BIT(CHOSEN(j), j)))
#endif

#define CARRIES(t, i) (CHOSEN(i) == NONE || CHOSEN_IN(i) >= (t) || SLOT(FACT(t).sync_log, i) == CHOSEN(i))
#define IS_COMPLETE(t) (!FACT(t).sync_sent || (CARRIES(t, 1) && CARRIES(t, 2) && CARRIES(t, 3)))

#define SLOT_AGREES(n, m, i) \
    (!IS_ENTRY(SLOT(node[n].log, i)) || !IS_ENTRY(SLOT(node[m].log, i)) || SLOT(node[n].log, i) == SLOT(node[m].log, i))
#define IS_SPENT(n) \
    (REDUCED && !node[n].observer && node[n].role == FOLLOWER && node[n].current_term == MAX_TERM && node[n].sync_term < MAX_TERM)
#define AGREE(n, m) \
    (node[n].sync_term != node[m].sync_term || IS_SPENT(n) || IS_SPENT(m) || \
     (node[n].end == node[m].end && SLOT_AGREES(n, m, 1) && SLOT_AGREES(n, m, 2) && SLOT_AGREES(n, m, 3)))
#define SLOT_FITS(n, i) \
    ((i) <= node[n].end -> SLOT(node[n].log, i) != NONE : \
     !IS_ENTRY(SLOT(node[n].log, i)) || TERM_OF(SLOT(node[n].log, i)) == node[n].sync_term)
#define FITS(n) (IS_SPENT(n) || (SLOT_FITS(n, 1) && SLOT_FITS(n, 2) && SLOT_FITS(n, 3)))

#define HAS_SYNC(m, n) (node[m].sync_term >= node[n].current_term)
#define IS_SUPPORTED(n) (node[n].role != LEADER || HAS_SYNC(0, n) + HAS_SYNC(1, n) + HAS_SYNC(2, n) >= MAJORITY)

#define IS_NOT_NEWER(n, i) (!IS_ENTRY(SLOT(node[n].log, i)) || TERM_OF(SLOT(node[n].log, i)) <= node[n].sync_term)
#define IS_BEHIND(n) \
    (node[n].sync_term <= node[n].current_term && \
     (PARTIAL || (IS_NOT_NEWER(n, 1) && IS_NOT_NEWER(n, 2) && IS_NOT_NEWER(n, 3))))

inline check()
{
    HOLD(ExecOrder, EXEC_ORDER, EXECUTES_IN_ORDER(0) && EXECUTES_IN_ORDER(1) && EXECUTES_IN_ORDER(2));
    HOLD(FreshRead, FRESH_READ, READS_FRESH(0, 1) && READS_FRESH(1, 1) && READS_FRESH(2, 1));
    HOLD(FreshRead, FRESH_READ, READS_FRESH(0, 2) && READS_FRESH(1, 2) && READS_FRESH(2, 2));
#if READS
    HOLD(ReadOrder, READ_ORDER, NEVER_COMMITS_UNSEEN(1) && NEVER_COMMITS_UNSEEN(2));
#endif
#if CHECK > HARM
    HOLD(MergeComplete, MERGE_COMPLETE, IS_COMPLETE(2));
#if MAX_TERM >= 3
    HOLD(MergeComplete, MERGE_COMPLETE, IS_COMPLETE(3));
#endif
#if MAX_TERM >= 4
    HOLD(MergeComplete, MERGE_COMPLETE, IS_COMPLETE(4));
#endif
    HOLD(SameSync, SAME_SYNC, PARTIAL || (AGREE(0, 1) && AGREE(0, 2) && AGREE(1, 2) && FITS(0) && FITS(1) && FITS(2)));
    HOLD(LeaderSync, LEADER_SYNC, IS_SUPPORTED(0) && IS_SUPPORTED(1) && IS_SUPPORTED(2));
    HOLD(SyncBehindTerm, SYNC_BEHIND_TERM, IS_BEHIND(0) && IS_BEHIND(1) && IS_BEHIND(2));
    HOLD(FreshCommit, FRESH_COMMIT, COMMITS_FRESH(0) && COMMITS_FRESH(1) && COMMITS_FRESH(2))
#endif
}

/* ---- Traps: each must be sprung ---------------------------------------------------------------------------------------- */

#define HOLE 1                   /* a node holds an entry above a hole */
#define NOOP_COMMITTED 2         /* a hole became a no-op, and that is committed */
#define COMMITTED_OUT_OF_ORDER 3 /* a later entry of the term first */
#define APPLIED_OUT_OF_ORDER 4   /* the same, behind a leader change */
#define GHOST 5                  /* a no-op, a served entry above it, and a node that still holds the old entry there */
#define PART_REPORTED 6          /* the merge hears what a partial install left behind */
#define LANDED_LATE 7            /* an old write lands when the leader of a newer term serves */
#define COMMITTED_LATE 8         /* a leader commits when a majority has promised a newer term: the acks were late */
#define CANDIDATE_CRASHED 9      /* with part of its install written */

#ifdef TRAP
hidden byte Trap;
#define SPRING(trap, condition) \
    Trap = !(TRAP == trap && (condition)); \
    assert(Trap)
#else
#define SPRING(trap, condition) skip
#endif

#define HAS_HOLE(n) (SLOT(node[n].log, 1) == NONE && SLOT(node[n].log, 2) != NONE)
#define COMMITS_AHEAD(t) ((FACT(t).committed & 2) && !(FACT(t).committed & 1) && PROPOSED(t, 1))
#define RUNS_AHEAD(n) ((node[n].applied & 6) && !(node[n].applied & 1) && node[n].current_term > 1)
#define REMEMBERS(n, t, i) (IS_ENTRY(SLOT(node[n].log, i)) && SLOT(node[n].log, i) != SLOT(FACT(t).sync_log, i))
#define GHOST_AT(t, i) \
    (FACT(t).served && IS_NOOP(SLOT(FACT(t).sync_log, i)) && (FACT(t).committed >> (i)) != 0 && \
     (REMEMBERS(0, t, i) || REMEMBERS(1, t, i) || REMEMBERS(2, t, i)))
#define IS_PAST(m, t) (node[m].current_term > (t))

inline check_traps()
{
    SPRING(HOLE, HAS_HOLE(0) || HAS_HOLE(1) || HAS_HOLE(2));
    SPRING(NOOP_COMMITTED, IS_NOOP(CHOSEN(1)) || IS_NOOP(CHOSEN(2)));
    SPRING(COMMITTED_OUT_OF_ORDER, COMMITS_AHEAD(1) || COMMITS_AHEAD(2));
    SPRING(APPLIED_OUT_OF_ORDER, RUNS_AHEAD(0) || RUNS_AHEAD(1) || RUNS_AHEAD(2));
    SPRING(GHOST, GHOST_AT(2, 1) || GHOST_AT(2, 2))
}
