/*
 * What ends every step: facts that no node can use any more are forgotten, nodes and reports are put in an order of their own
 * (SYMMETRY), so that states that differ in nothing that matters are one state to Spin. In C, for speed; it decides nothing of the
 * protocol. In a replay it prints the state instead.
 */

c_code {
    static int refers(unsigned log, int shift, int term)
    {
        return ((log >> shift) & 15) == (unsigned)term;
    }

    /* Does anything still name the proposal (term, index)? */
    static int is_named(int term, int index)
    {
        int shift = 4 * (index - 1);
        if (refers(now.chosen, shift, term)) {
            return 1;
        }
        for (int i = 0; i < NODES; i++) {
            struct replica *r = &now.node[i];
            if (refers(r->log, shift, term) || refers(r->report0 >> 7, shift, term) || refers(r->report1 >> 7, shift, term) ||
                (r->late_term == term && (r->late >> (index - 1) & 1))) {
                return 1;
            }
        }
        for (int i = 0; i < MAX_TERM; i++) {
            if (refers(now.fact[i].sync_log, shift, term)) {
                return 1;
            }
        }
        return 0;
    }

    /* A node can use facts of its term and of later ones. */
    static void forget_facts(void)
    {
        int oldest = MAX_TERM;
        for (int i = 0; i < NODES; i++) {
            oldest = now.node[i].current_term < oldest ? now.node[i].current_term : oldest;
        }
        for (int term = 1; term < oldest; term++) {
            struct facts *f = &now.fact[term - 1];
            unsigned keep = 0;
            for (int index = 1; index <= MAX_IDX; index++) {
                keep |= is_named(term, index) ? 3u << (2 * (index - 1)) : 0;
            }
            unsigned footprint = f->footprint & keep;
            unsigned depends_on = f->depends_on & keep;
            memset(f, 0, sizeof(*f));
            f->footprint = footprint;
            f->depends_on = depends_on;
        }
    }

    static void order_nodes(int a, int b)
    {
        struct replica kept;
        if (memcmp(&now.node[a], &now.node[b], sizeof(kept)) > 0) {
            memcpy(&kept, &now.node[a], sizeof(kept));
            memcpy(&now.node[a], &now.node[b], sizeof(kept));
            memcpy(&now.node[b], &kept, sizeof(kept));
        }
    }

#if REDUCED
    /* What of a node that does not apply can still matter? Not what a former leader knew to be committed; nor the log of a
     * follower that promised the last term (IS_SPENT), for it reports no more and its next install replaces all. */
    static void forget_unused(struct replica *r)
    {
        if (!r->observer && r->role < INSTALLING) {
            r->committed = 0;
        }
        if (!r->observer && r->role == FOLLOWER && r->current_term == MAX_TERM && r->sync_term < MAX_TERM) {
            r->end = 0;
            r->log = 0;
            r->late = 0;
        }
    }

    /* A report of a lower sync_term than the candidate's own is a clean nack, whatever else it says. */
    static unsigned reduce_report(const struct replica *r, unsigned report)
    {
        return report == 0 || (report & 7) == r->sync_term ? report : 1;
    }
#endif

    static void make_canonical(void)
    {
#if REDUCED
        for (int i = 0; i < NODES; i++) {
            struct replica *r = &now.node[i];
            forget_unused(r);
            r->report0 = reduce_report(r, r->report0);
            r->report1 = reduce_report(r, r->report1);
        }
#endif
        forget_facts();
        for (int i = 0; i < NODES; i++) {
            struct replica *r = &now.node[i];
            if (r->report0 < r->report1) {
                unsigned kept = r->report0;
                r->report0 = r->report1;
                r->report1 = kept;
            }
            r->late_term = r->late != 0 ? r->late_term : 0;
            r->barrier_done = !OBSERVER || r->observer ? r->barrier_done : 0;
        }
        if (SYMMETRY) {
            order_nodes(0, 1);
            order_nodes(1, 2);
            order_nodes(0, 1);
        }
    }

    static void show_log(unsigned log)
    {
        for (int i = 0; i < MAX_IDX; i++) {
            unsigned slot = log >> (4 * i) & 15;
            printf(slot == NONE ? " -" : slot == BAD ? " bad" : slot > BAD ? " noop%u" : " %u", slot & 7);
        }
    }

    static void show_set(const char *name, unsigned set)
    {
        printf(" %s{", name);
        for (int i = 1, n = 0; i <= MAX_IDX; i++) {
            if (set >> (i - 1) & 1) {
                printf("%s%d", n++ ? "," : "", i);
            }
        }
        printf("}");
    }

    static void show(void)
    {
        static const char *const roles[] = {"follower", "candidate", "installing", "leader"};
        for (int i = 0; i < NODES; i++) {
            struct replica *r = &now.node[i];
            printf("      %d: term %u sync %u end %u log", i, r->current_term, r->sync_term, r->end);
            show_log(r->log);
            show_set("applied", r->applied);
            show_set("committed", r->committed);
            printf(" %s\n", roles[r->role]);
        }
        printf("      chosen");
        show_log(now.chosen);
        printf("\n");
    }
}

inline settle()
{
    check();
#ifdef TRAP
    check_traps();
#endif
    me = 0;
    at = 0;
    how = 0;
    c_code {
        make_canonical();
#ifdef TRAIL
        show();
#endif
    }
}
