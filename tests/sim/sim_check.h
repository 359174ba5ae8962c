// What must hold, looked at after every poll of a reactor, whatever the poll did.
//
//     election-safety       one leader a term, one vote a term                            vote
//     leader-completeness   a leader's log has what was committed in earlier terms        vote
//     leaders-append        nobody but the leader of a term makes entries of it           truth
//     log-matching          the same (term, index) is the same entry with the same
//                           predecessor, on every node, for ever                          truth
//     majority              an entry becomes committed only when a majority holds it
//                           durably                                                       commit
//     state-machine-safety  what is committed at an index is the same everywhere, and     commit
//                           every replica's state after it                                state
//     exactly-once          a command is executed at one index                            state
//     monotonic             terms, commit, applied, match never fall; a vote never
//                           changes within its term, crash or not                         -
//     durability            what a node reports as durable is in its disk's image,        -
//                           so is what it promised,                                       vote
//                           and it is there after the next start                          restart
//     leak                  what was lent comes back                                      leak
//
// (vote: sim_check_vote.c, and so on; -: sim_check.c.) And raft_check_invariants over the whole
// state, now and then, and always when the log was cut. What is different in parallel groups:
// sim_parallel.c. This header is for these files alone.
#ifndef PONTOON_TESTS_SIM_CHECK_H
#define PONTOON_TESTS_SIM_CHECK_H

#include "tests/sim/sim.h"

// sim_check_truth.c
void sim_check_reserve(struct sim_truth *truth, uint64_t index); // room for what is known of it
struct sim_term *sim_check_term(struct sim_truth *truth, uint64_t term);
// Where (term, index) is, or belongs (index 0).
struct sim_known_entry *sim_check_known(struct sim_truth *truth, uint64_t term, uint64_t index);
struct sim_known_entry *sim_check_entry(struct sim_seat *seat, uint16_t group, uint64_t index,
                                        uint64_t prev_term, const struct raft_entry *entry);

// sim_check_commit.c
// What a replica holds durably at an index, as its entry there (or NULL) says.
struct sim_id sim_check_id(const struct raft_entry *entry);
bool sim_check_is_same(const struct sim *sim, const struct sim_id *has, const struct sim_id *entry);
void sim_check_commit(struct sim_seat *seat, uint16_t group, const struct raft *raft,
                      const struct sim_seen *seen);
void sim_check_committed(struct sim_seat *seat, uint16_t group, struct raft_entry_id id,
                         uint64_t in_term, uint32_t crc);

// sim_check_vote.c
void sim_check_leader(struct sim_seat *seat, uint16_t group, const struct raft *raft);
void sim_check_hard_state(struct sim_seat *seat, uint16_t group, const struct raft *raft);

// sim_check_restart.c: what a node that is down holds durably
const struct sim_shadow *sim_check_shadow(const struct sim_truth *truth,
                                          const struct sim_seen *seen, uint16_t id);
struct sim_id sim_check_in_shadow(const struct sim_shadow *shadow, uint64_t index);

// sim_check.c
void sim_check_look(struct sim_seat *seat, struct group *group);
void sim_check_on_disk(struct sim_seat *seat, uint16_t group, uint64_t index,
                       const struct raft_entry *entry);

#endif
