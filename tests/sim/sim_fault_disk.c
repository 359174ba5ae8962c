// Faults of disks: slow, hanging, failing, full, lying; rot; all of it lost.
#include "tests/sim/sim_fault.h"

#include "engine/wal/wal_state.h"

static void for_disks(struct sim_node *node, void (*change)(struct sim_disk *, uint64_t),
                      uint64_t value)
{
    for (uint32_t which = 0; which < node->sim->options.reactors; which++) {
        change(&node->seats[which]->disk, value);
        change(&node->seats[which]->checkpoint_disk, value);
    }
}

static void set_slow(struct sim_disk *disk, uint64_t factor)
{
    disk->slow_factor = (uint32_t)factor;
}

static void set_fails(struct sim_disk *disk, uint64_t fails)
{
    disk->fails_next = fails != 0;
}

static void set_full(struct sim_disk *disk, uint64_t is_full)
{
    disk->is_full = is_full != 0;
}

static void set_lying(struct sim_disk *disk, uint64_t is_lying)
{
    disk->is_lying = is_lying != 0;
}

void sim_fault_slow_disks(struct sim_node *node, uint64_t factor)
{
    for_disks(node, set_slow, factor);
}

void sim_fault_hang_disks(struct sim_node *node, uint64_t until_ns)
{
    for_disks(node, sim_disk_hang, until_ns);
}

void sim_fault_fail_disks(struct sim_node *node, bool fails)
{
    for_disks(node, set_fails, fails);
}

void sim_fault_fill_disks(struct sim_node *node, bool is_full)
{
    for_disks(node, set_full, is_full);
}

void sim_fault_let_disks_lie(struct sim_node *node, bool is_lying)
{
    for_disks(node, set_lying, is_lying);
}

static bool flip(struct sim *sim, struct sim_disk *disk, const char *name, uint64_t offset)
{
    struct sim_file *file = sim_disk_file(disk, name);
    if (file == NULL || offset >= file->bytes) {
        return false;
    }
    file->image[offset] ^= (uint8_t)(1u << prng_below(&sim->disk_prng, 8));
    sim->nodes[disk->node - 1].is_damaged = true;
    return true;
}

// A byte of the log below the durable mark: rot above it, within the last millisecond before a
// crash, is not claimed to be found out (engine/wal/FORMAT.md).
void sim_fault_rot_log(struct sim *sim, struct sim_node *node, uint32_t strength)
{
    struct sim_seat *seat = node->seats[strength % sim->options.reactors];
    if (seat->reactor == NULL || seat->reactor->is_failed || seat->disk.has_failed) {
        return;
    }
    const struct wal *wal = seat->reactor->wal;
    uint64_t used = wal->floor_position - wal->tail;
    if (used == 0) {
        return;
    }
    uint64_t position = wal->tail + strength % used;
    char name[32];
    snprintf(name, sizeof(name), "log.%u", seat->which);
    if (flip(sim, &seat->disk, name, position % sim->options.log_bytes)) {
        sim_disk_note_damage(&seat->disk);
    }
}

void sim_fault_rot_checkpoint(struct sim *sim, struct sim_node *node, uint32_t strength)
{
    struct sim_seat *seat = node->seats[strength % sim->options.reactors];
    char name[32];
    snprintf(name, sizeof(name), "checkpoint-%u-%u", strength / 2 % sim->options.groups,
             strength / 16 % 2);
    struct sim_file *file = sim_disk_file(&seat->checkpoint_disk, name);
    if (file != NULL && file->bytes > 0) {
        flip(sim, &seat->checkpoint_disk, name, strength % file->bytes);
    }
}

// Of term and vote, only the first copies rot, and of the superblock only one: two bad copies are a
// lost vote, which is refused.
void sim_fault_rot_meta(struct sim *sim, struct sim_node *node, uint32_t strength)
{
    struct sim_seat *seat = node->seats[strength % sim->options.reactors];
    char name[32];
    snprintf(name, sizeof(name), "meta.%u", seat->which);
    uint64_t block = 2 * (strength / 2 % (sim->options.groups + 1));
    flip(sim, &seat->disk, name, block * WAL_BLOCK_BYTES + strength / 64 % 64);
}

// The machine comes back with an empty disk: its vote is lost too, so it is refused without an
// explicit bootstrap.
void sim_fault_lose_disks(struct sim_node *node, uint64_t down_ns)
{
    sim_node_crash(node, true, down_ns);
    for (uint32_t which = 0; which < node->sim->options.reactors && !node->is_up; which++) {
        sim_disk_wipe(&node->seats[which]->disk);
        sim_disk_wipe(&node->seats[which]->checkpoint_disk);
        node->is_damaged = true;
    }
}
