// What the files of faults share; nobody else includes it.
#ifndef PONTOON_TESTS_SIM_FAULT_H
#define PONTOON_TESTS_SIM_FAULT_H

#include "tests/sim/sim.h"

// sim_fault.c: the oldest fault of that kind that is on; NULL: none
const struct sim_fault *sim_fault_active(const struct sim *sim, enum sim_fault_kind kind);

// sim_fault_link.c
void sim_fault_cut(struct sim *sim, uint16_t from, uint16_t to, bool begins);
void sim_fault_cut_both(struct sim *sim, uint16_t a, uint16_t b, bool begins);
void sim_fault_bisect(struct sim *sim, const struct sim_fault *fault, bool begins);
void sim_fault_isolate(struct sim *sim, uint16_t id, bool begins); // from all nodes
void sim_fault_make_noise(struct sim *sim, const struct sim_fault *fault, bool begins);
void sim_fault_slow_links(struct sim *sim, const struct sim_fault *fault, bool begins);
void sim_fault_filter(struct sim *sim, uint32_t type, bool begins);
void sim_fault_send_to_one(struct sim *sim, const struct sim_fault *fault, bool begins);

// sim_fault_disk.c: of all disks of a node
void sim_fault_slow_disks(struct sim_node *node, uint64_t factor); // 1: not slow
void sim_fault_hang_disks(struct sim_node *node, uint64_t until_ns);
void sim_fault_fail_disks(struct sim_node *node, bool fails);
void sim_fault_fill_disks(struct sim_node *node, bool is_full);
void sim_fault_let_disks_lie(struct sim_node *node, bool is_lying);
// Of one file.
void sim_fault_rot_log(struct sim *sim, struct sim_node *node, uint32_t strength);
void sim_fault_rot_checkpoint(struct sim *sim, struct sim_node *node, uint32_t strength);
void sim_fault_rot_meta(struct sim *sim, struct sim_node *node, uint32_t strength);
void sim_fault_lose_disks(struct sim_node *node, uint64_t down_ns);

// sim_fault_hunt.c: SIM_HUNT_LEADERS begins or ends
void sim_fault_choose_favourite(struct sim *sim);
void sim_fault_end_hunt(struct sim *sim);

#endif
