/*
 * Bounds, shape and rules of one search, each set by -DNAME=VALUE. A rule is in force (1) unless a variant leaves it out.
 */

/* ---- bounds: 3 nodes ---- */
#ifndef MAX_TERM
#define MAX_TERM 3 /* 2 to 4; term 1 is served at the start */
#endif
#ifndef MAX_IDX
#define MAX_IDX 3 /* 1 to 3 */
#endif

/* Footprints: one key for all; one of two keys, any; any set of two keys; or fixed by index, two conflicting and one not. */
#define A 0
#define FREE 1
#define SETS 2
#define ABA 25
#define AAB 37
#define ABB 41
#ifndef KEY_SET
#define KEY_SET ABA
#endif
#ifndef ALTERNATE
#define ALTERNATE 0 /* 1: what is fixed by index is of the other key in even terms */
#endif

/* ---- faults and shape: 0 or 1 but for CORRUPT ---- */
#ifndef CRASH
#define CRASH 0 /* nodes lose what is volatile, any number of times */
#endif
#ifndef CORRUPT
#define CORRUPT 0 /* so many slots rot */
#endif
#ifndef PARTIAL
#define PARTIAL 0 /* installs stop half-way, before SYNC */
#endif
#ifndef LATE_WRITES
#define LATE_WRITES 0 /* writes land after the node promised a newer term */
#endif
#ifndef SPLIT
#define SPLIT 0 /* several candidates a term */
#endif
#ifndef READS
#define READS 0 /* reads of single keys as steps, for ReadOrder */
#endif
#ifndef FOLD_LEARN
#define FOLD_LEARN 1 /* learning of a commit is part of applying */
#endif
#ifndef OBSERVER
#define OBSERVER 0 /* only one node applies: it stands for every one */
#endif
#ifndef SYMMETRY
#define SYMMETRY 1 /* states that differ by the names of nodes are one */
#endif

#ifndef REDUCED
#define REDUCED 0 /* the reductions of canonical.pml; with OBSERVER, footprints fixed by index, and what install and merge rest on in force */
#endif

/* ---- rules ---- */
#define ALL 0
#define KEEP 1
#define PURGE 2
#define FULL 0
#define EARLY_SERVE 1
#define EARLY_COMMIT 2
#ifndef RESTAMP
#define RESTAMP 1 /* 0: merge by the term that proposed, over all reports, holes skipped */
#endif
#ifndef BARRIER
#define BARRIER FULL /* EARLY_SERVE, EARLY_COMMIT: before "installed" on a majority */
#endif
#ifndef SUSPEND
#define SUSPEND 1 /* no apply between install and barrier */
#endif
#ifndef PURGE_ABOVE
#define PURGE_ABOVE 1 /* install deletes what is above end */
#endif
#ifndef PURGE_MISMATCH
#define PURGE_MISMATCH 1 /* install replaces what differs at or below end */
#endif
#ifndef INSTALL
#define INSTALL ALL /* KEEP, PURGE: only above the commit floor; what differs below it is kept or deleted */
#endif
#ifndef IGNORE_LOWER
#define IGNORE_LOWER 1 /* entries in reports of a lower sync_term do not count */
#endif
#ifndef FAULTY_NOT_NACK
#define FAULTY_NOT_NACK 1 /* a faulty slot is no proof that the entry was not there */
#endif
#ifndef NACK_END
#define NACK_END 1 /* no no-op at or below end(S) */
#endif
#ifndef ELIGIBLE
#define ELIGIBLE 0 /* 1: above end a report lists only entries of its sync_term (what a partial install wrote is not there) */
#endif
#ifndef NOOP_IN_SYNC
#define NOOP_IN_SYNC 1 /* a no-op is there only by SYNC */
#endif
#ifndef VOTE_SYNC
#define VOTE_SYNC 1 /* no vote for a candidate with a lower sync_term */
#endif
#ifndef ACCEPT_SYNC
#define ACCEPT_SYNC 1 /* entries of T are taken only with sync_term = T */
#endif
#ifndef BITS_SYNC
#define BITS_SYNC 1 /* commits of T are heard only with sync_term = T */
#endif
#ifndef FENCE
#define FENCE 1 /* a write that lands after a promise is not acknowledged */
#endif
#ifndef FENCE_INSTALL
#define FENCE_INSTALL 1 /* nor an install of T that ends after promising a newer term */
#endif
#ifndef LAND_LATE
#define LAND_LATE 0 /* 1: an old write may land over a newer install */
#endif
#ifndef DUP_IGNORE
#define DUP_IGNORE 1 /* a SYNC(T) at sync_term = T is only answered */
#endif
#ifndef CONF_COMMIT
#define CONF_COMMIT 1 /* an entry commits behind the earlier ones it conflicts with */
#endif
#ifndef DEP_ALL
#define DEP_ALL 1 /* depends_on looks at applied entries too */
#endif
#ifndef NOOP_COMMIT
#define NOOP_COMMIT 1 /* a no-op counts as applied only when committed */
#endif
#ifndef APPLY_LOCAL
#define APPLY_LOCAL 0 /* 1: apply looks at the slots below instead of depends_on */
#endif
#ifndef PICKS
#define PICKS 0 /* 1: where reports contradict each other, either may be taken */
#endif

#define KEYS_ARE_FIXED (KEY_SET == A || KEY_SET > SETS)
#if REDUCED && !(OBSERVER && SYMMETRY && KEYS_ARE_FIXED && INSTALL == ALL && PURGE_ABOVE && PURGE_MISMATCH && IGNORE_LOWER && RESTAMP && \
                 VOTE_SYNC && DUP_IGNORE && DEP_ALL && !LAND_LATE && !READS && BARRIER != EARLY_SERVE)
#error "REDUCED is not sound with these switches"
#endif
