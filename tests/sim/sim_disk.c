// The disks of a world: driver_api/disk.h on one image a file, and the list of sectors that a power
// cut may undo.
//
// A durable write lands in the image when it completes. A plain write does too, but what stood
// there before is kept until a flush covers it: a power cut puts the old bytes of each such sector
// back, or not, by chance. Of writes in flight each sector lands, or not, by chance. Requests take
// time, and complete in any order.
//
// Faults: slow (times a factor), stuck until a time, the next write fails, no room to grow, the
// next write of the log is lost though it reports success, or lands elsewhere; the log's flushes do
// nothing for a while; all of it is another machine's from now on. Rot is done by sim_fault_disk.c
// in the image.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/wal/wal_state.h"
#include "tests/sim/sim.h"

enum {
    SECTOR_BYTES = 512,
    FILE_BYTES_MAX = 4 << 20,
    DIRTY_WORDS = FILE_BYTES_MAX / SECTOR_BYTES / 64,
    BLOCK_BYTES = 4096,
};

static struct sim_disk *of(struct disk *disk)
{
    return (struct sim_disk *)disk;
}

// ------------------------------------------------------------------------------------------------
// files

static uint32_t find(const struct sim_disk *disk, const char *name)
{
    uint32_t file = 0;
    while (file < SIM_FILES_MAX && strcmp(disk->files[file].name, name) != 0) {
        file++;
    }
    return file;
}

struct sim_file *sim_disk_file(struct sim_disk *disk, const char *name)
{
    uint32_t file = find(disk, name);
    return file == SIM_FILES_MAX ? NULL : &disk->files[file];
}

static bool is_name(const struct sim_disk *disk, const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL &&
           strlen(name) < sizeof(disk->files[0].name);
}

static void drop_dirty(struct sim_disk *disk, uint32_t at)
{
    const struct sim_dirty *dirty = &disk->dirty[at];
    disk->files[dirty->file].dirty[dirty->sector / 64] &= ~(UINT64_C(1) << dirty->sector % 64);
    disk->dirty[at] = disk->dirty[--disk->dirty_count];
}

static void remove_from(struct sim_disk *disk, uint32_t file)
{
    for (uint32_t at = disk->dirty_count; at > 0; at--) {
        if (disk->dirty[at - 1].file == file) {
            drop_dirty(disk, at - 1);
        }
    }
    munmap(disk->files[file].image, FILE_BYTES_MAX);
    free(disk->files[file].dirty);
    disk->files[file] = (struct sim_file){.name = ""};
}

static int create(struct sim_disk *disk, const char *name, uint64_t bytes)
{
    uint32_t file = find(disk, "");
    ASSERT_CMP(file, <, SIM_FILES_MAX);
    ASSERT_CMP(bytes, <=, FILE_BYTES_MAX);
    void *image =
        mmap(NULL, FILE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(image != MAP_FAILED);
    disk->files[file] = (struct sim_file){.image = image,
                                          .bytes = bytes,
                                          .durable_bytes = bytes,
                                          .dirty = calloc(DIRTY_WORDS, sizeof(uint64_t))};
    strcpy(disk->files[file].name, name);
    return 0;
}

static int open_file(struct disk *base, const char *name, enum disk_open how, uint64_t bytes,
                     uint32_t *out, uint64_t *size)
{
    struct sim_disk *disk = of(base);
    uint32_t file = find(disk, name);
    if (disk->is_dead) {
        return -EIO;
    }
    if (!is_name(disk, name)) {
        return -EINVAL;
    }
    if (how == DISK_OPEN_EXISTING && file == SIM_FILES_MAX) {
        return -ENOENT;
    }
    if (how == DISK_OPEN_CREATE && file < SIM_FILES_MAX) {
        return -EEXIST;
    }
    if (how != DISK_OPEN_EXISTING) {
        if (disk->is_full) {
            return -ENOSPC;
        }
        if (file < SIM_FILES_MAX) {
            remove_from(disk, file);
        }
        create(disk, name, how == DISK_OPEN_CREATE ? bytes : 0);
        file = find(disk, name);
    }
    ASSERT(!disk->files[file].is_open);
    disk->files[file].is_open = true;
    *out = file;
    *size = disk->files[file].bytes;
    return 0;
}

static void close_file(struct disk *base, uint32_t file)
{
    of(base)->files[file].is_open = false;
}

static int remove_file(struct disk *base, const char *name)
{
    uint32_t file = find(of(base), name);
    if (of(base)->is_dead || file == SIM_FILES_MAX) {
        return of(base)->is_dead ? -EIO : -ENOENT;
    }
    remove_from(of(base), file);
    return 0;
}

static int rename_file(struct disk *base, const char *from, const char *to)
{
    struct sim_disk *disk = of(base);
    uint32_t file = find(disk, from), old = find(disk, to);
    if (disk->is_dead || file == SIM_FILES_MAX) {
        return disk->is_dead ? -EIO : -ENOENT;
    }
    if (old < SIM_FILES_MAX) {
        remove_from(disk, old);
    }
    strcpy(disk->files[file].name, to);
    return 0;
}

// ------------------------------------------------------------------------------------------------
// what requests do

static struct sim_dirty *newest(struct sim_disk *disk, uint32_t file, uint32_t sector)
{
    struct sim_dirty *found = NULL;
    for (uint32_t at = 0; at < disk->dirty_count; at++) {
        struct sim_dirty *dirty = &disk->dirty[at];
        bool is_here = dirty->file == file && dirty->sector == sector;
        found = is_here && (found == NULL || dirty->stamp > found->stamp) ? dirty : found;
    }
    return found;
}

static bool is_being_flushed(const struct sim_disk *disk, const struct sim_dirty *dirty)
{
    for (uint32_t number = 0; number < SIM_REQUESTS_MAX; number++) {
        const struct sim_request *pending = &disk->requests[number];
        if (pending->is_used && !pending->is_done && pending->request.op == DISK_FLUSH &&
            pending->request.file == dirty->file && pending->stamp >= dirty->stamp) {
            return true;
        }
    }
    return false;
}

// What a power cut puts back is what stood there before the first write that no flush covers: a
// flush under way may yet cover the one before this.
static void keep_before(struct sim_disk *disk, uint32_t file, uint64_t offset)
{
    uint32_t sector = (uint32_t)(offset / SECTOR_BYTES);
    uint64_t bit = UINT64_C(1) << sector % 64;
    if ((disk->files[file].dirty[sector / 64] & bit) != 0) {
        struct sim_dirty *last = newest(disk, file, sector);
        if (!is_being_flushed(disk, last)) {
            last->stamp = disk->stamp;
            return;
        }
    }
    if (disk->dirty_count == disk->dirty_capacity) {
        disk->dirty_capacity = disk->dirty_capacity == 0 ? 64 : 2 * disk->dirty_capacity;
        disk->dirty = realloc(disk->dirty, disk->dirty_capacity * sizeof(*disk->dirty));
        ASSERT(disk->dirty != NULL);
    }
    struct sim_dirty *dirty = &disk->dirty[disk->dirty_count++];
    *dirty = (struct sim_dirty){.file = file, .sector = sector, .stamp = disk->stamp};
    memcpy(dirty->before, disk->files[file].image + offset, SECTOR_BYTES);
    disk->files[file].dirty[sector / 64] |= bit;
}

// A durable write leaves nothing there to undo.
static void forget_before(struct sim_disk *disk, uint32_t file, uint64_t offset)
{
    uint32_t sector = (uint32_t)(offset / SECTOR_BYTES);
    if ((disk->files[file].dirty[sector / 64] >> sector % 64 & 1) == 0) {
        return;
    }
    for (uint32_t at = disk->dirty_count; at > 0; at--) {
        if (disk->dirty[at - 1].file == file && disk->dirty[at - 1].sector == sector) {
            drop_dirty(disk, at - 1);
        }
    }
}

static bool is_log(const struct sim_disk *disk, const struct disk_request *request)
{
    return strncmp(disk->files[request->file].name, "log.", 4) == 0;
}

static bool lies(const struct sim_disk *disk, const struct disk_request *request)
{
    return disk->is_lying && is_log(disk, request);
}

static void land(struct sim_disk *disk, const struct disk_request *request, uint64_t offset)
{
    struct sim_file *file = &disk->files[request->file];
    bool is_durable = request->op == DISK_WRITE_DURABLE && !lies(disk, request);
    for (uint64_t at = 0; at < request->bytes; at += SECTOR_BYTES) {
        if (is_durable) {
            forget_before(disk, request->file, offset + at);
        } else {
            keep_before(disk, request->file, offset + at);
        }
    }
    memcpy(file->image + offset, request->data, request->bytes);
    uint64_t end = offset + request->bytes;
    file->bytes = end > file->bytes ? end : file->bytes;
    file->durable_bytes = is_durable ? file->bytes : file->durable_bytes;
}

static void flush(struct sim_disk *disk, uint32_t file, uint64_t stamp)
{
    for (uint32_t at = disk->dirty_count; at > 0; at--) {
        if (disk->dirty[at - 1].file == file && disk->dirty[at - 1].stamp <= stamp) {
            drop_dirty(disk, at - 1);
        }
    }
    for (uint32_t at = 0; at < disk->dirty_count; at++) { // sectors written again since
        const struct sim_dirty *dirty = &disk->dirty[at];
        disk->files[dirty->file].dirty[dirty->sector / 64] |= UINT64_C(1) << dirty->sector % 64;
    }
    disk->files[file].durable_bytes = disk->files[file].bytes;
}

static int32_t write_result(struct sim_disk *disk, const struct disk_request *request)
{
    const struct sim_file *file = &disk->files[request->file];
    uint64_t end = request->offset + request->bytes;
    // A mark is due in the log: the process lives until it is there, so no disk of it fails before.
    if (disk->fails_next && !disk->sim->seats[disk->seat].disk.is_mark_due) {
        disk->fails_next = false;
        disk->has_failed = true;
        return -EIO;
    }
    if (end > file->bytes && (disk->is_full || end > FILE_BYTES_MAX)) {
        return -ENOSPC;
    }
    return 0;
}

void sim_disk_note_damage(struct sim_disk *disk)
{
    disk->sim->nodes[disk->node - 1].is_damaged = true;
    disk->is_mark_due = true;
    disk->damaged_position = wal_head(disk->sim->seats[disk->seat].reactor->wal);
}

// Does this batch's header say that all there was when the log was damaged is durable?
static bool has_mark_behind(const struct sim_disk *disk, const struct disk_request *request)
{
    struct wal_batch_header header;
    memcpy(&header, request->data, sizeof(header));
    return is_log(disk, request) && header.durable_position >= disk->damaged_position;
}

static void perform_write(struct sim_disk *disk, const struct disk_request *request)
{
    uint64_t offset = request->offset;
    if (is_log(disk, request) && !disk->has_failed && (disk->loses_next || disk->misdirects_next)) {
        sim_disk_note_damage(disk);
        if (disk->loses_next) {
            disk->loses_next = false;
            return;
        }
        uint64_t blocks = disk->sim->options.log_bytes / BLOCK_BYTES;
        uint64_t room = blocks - request->bytes / BLOCK_BYTES + 1;
        offset = prng_below(&disk->sim->disk_prng, room) * BLOCK_BYTES;
        disk->misdirects_next = false;
    }
    land(disk, request, offset);
}

static void perform(struct sim_disk *disk, struct sim_request *pending)
{
    const struct disk_request *request = &pending->request;
    struct sim_file *file = &disk->files[request->file];
    pending->result = disk->is_dead ? -EIO : 0;
    disk->stamp++;
    if (pending->result != 0) {
        return;
    }
    switch (request->op) {
    case DISK_READ:
        if (request->offset + request->bytes > file->bytes) {
            pending->result = -ENODATA;
        } else {
            memcpy(request->data, file->image + request->offset, request->bytes);
        }
        break;
    case DISK_WRITE:
    case DISK_WRITE_DURABLE:
        pending->result = write_result(disk, request);
        if (pending->result == 0) {
            disk->is_mark_due = disk->is_mark_due && !has_mark_behind(disk, request);
            perform_write(disk, request);
        }
        break;
    case DISK_FLUSH:
        if (!lies(disk, request)) {
            flush(disk, request->file, pending->stamp);
        }
        break;
    }
}

static void complete(struct sim_disk *disk, uint32_t number)
{
    struct sim_request *pending = &disk->requests[number];
    perform(disk, pending);
    pending->is_done = true;
    disk->done[disk->done_count++] = number;
}

void sim_disk_complete(struct sim_disk *disk, uint32_t number)
{
    if (disk->requests[number].is_used && !disk->requests[number].is_done) {
        complete(disk, number);
        sim_seat_wake(&disk->sim->seats[disk->seat]);
    }
}

void sim_disk_hang(struct sim_disk *disk, uint64_t until_ns)
{
    disk->stuck_until_ns = until_ns;
    for (uint32_t number = 0; number < SIM_REQUESTS_MAX; number++) {
        if (heap_contains(&disk->sim->events, disk->events + number)) {
            sim_at(disk->sim, disk->events + number, until_ns + disk->requests[number].takes_ns);
        }
    }
}

// ------------------------------------------------------------------------------------------------
// the driver

static uint64_t duration(struct sim_disk *disk)
{
    struct sim *sim = disk->sim;
    return prng_between(&sim->disk_prng, sim->options.disk_min_ns, sim->options.disk_max_ns) *
           disk->slow_factor;
}

// Dies with this request under way?
static bool is_last(struct sim_disk *disk)
{
    struct sim *sim = disk->sim;
    sim->result->io++;
    if (disk->is_blocking && disk->dies_in > 0 && --disk->dies_in == 0) {
        return true;
    }
    return sim->crash_at_io == sim->result->io;
}

static bool submit(struct disk *base, const struct disk_request *request)
{
    struct sim_disk *disk = of(base);
    struct sim *sim = disk->sim;
    if (disk->requests_out >= disk->disk.in_flight_max) {
        return false;
    }
    ASSERT(disk->files[request->file].is_open || disk->is_dead);
    ASSERT(request->offset % SECTOR_BYTES == 0 && request->bytes % SECTOR_BYTES == 0);
    uint32_t number = 0;
    while (disk->requests[number].is_used) {
        number++;
    }
    disk->requests[number] = (struct sim_request){
        .request = *request, .stamp = disk->stamp, .is_used = true, .is_queued = true};
    disk->requests_out++;
    disk->queued++;
    if (!disk->is_dead && is_last(disk)) {
        if (disk->is_blocking) {
            disk->is_dead = true;
        } else {
            sim->nodes[disk->node - 1].restart_ns = 0; // dies as the next thing that happens
            sim_at(sim, SIM_EVENT_NODE + disk->node - 1u, sim->now_ns);
        }
    }
    if (!disk->is_blocking && !disk->is_dead) {
        disk->requests[number].takes_ns = duration(disk);
    }
    return true;
}

static void hand_over(struct sim_disk *disk, uint32_t number)
{
    struct sim_request *pending = &disk->requests[number];
    uint64_t due_ns = disk->sim->now_ns + pending->takes_ns;
    pending->is_queued = false;
    disk->queued--;
    if (disk->is_blocking || disk->is_dead) {
        complete(disk, number);
    } else if (!disk->is_gone) {
        sim_at(disk->sim, disk->events + number,
               due_ns > disk->stuck_until_ns ? due_ns : disk->stuck_until_ns + pending->takes_ns);
    }
}

static void kick(struct disk *base)
{
    struct sim_disk *disk = of(base);
    for (uint32_t number = 0; disk->queued > 0; number++) {
        if (disk->requests[number].is_queued) {
            hand_over(disk, number);
        }
    }
}

static uint32_t poll(struct disk *base, struct disk_completion *completions, uint32_t max)
{
    struct sim_disk *disk = of(base);
    if (disk->is_dead) {
        kick(base);
    }
    if (disk->is_blocking || disk->is_dead) { // what was under way when that began
        for (uint32_t number = 0; number < SIM_REQUESTS_MAX; number++) {
            const struct sim_request *pending = &disk->requests[number];
            if (pending->is_used && !pending->is_queued && !pending->is_done) {
                heap_remove(&disk->sim->events, disk->events + number);
                complete(disk, number);
            }
        }
    }
    uint32_t count = disk->done_count < max ? disk->done_count : max;
    for (uint32_t at = 0; at < count; at++) {
        struct sim_request *pending = &disk->requests[disk->done[at]];
        completions[at] =
            (struct disk_completion){.tag = pending->request.tag, .result = pending->result};
        pending->is_used = false;
        disk->requests_out--;
    }
    disk->done_count -= count;
    memmove(disk->done, disk->done + count, disk->done_count * sizeof(disk->done[0]));
    return count;
}

static int register_memory(struct disk *base, void *data, uint64_t bytes)
{
    return 0;
}

static void close_disk(struct disk *base)
{
}

static const struct disk_ops ops = {.name = "sim",
                                    .open_file = open_file,
                                    .close_file = close_file,
                                    .remove_file = remove_file,
                                    .rename_file = rename_file,
                                    .submit = submit,
                                    .kick = kick,
                                    .poll = poll,
                                    .register_memory = register_memory,
                                    .close = close_disk};

void sim_disk_open(struct sim_disk *disk, struct sim *sim, uint16_t node, uint16_t seat,
                   uint32_t number)
{
    *disk = (struct sim_disk){.disk = {.ops = &ops,
                                       .block_bytes = SECTOR_BYTES,
                                       .in_flight_max = sim->options.disk_requests},
                              .sim = sim,
                              .node = node,
                              .seat = seat,
                              .events = SIM_EVENT_DISK + number * SIM_REQUESTS_MAX,
                              .slow_factor = 1};
}

void sim_disk_wipe(struct sim_disk *disk)
{
    for (uint32_t file = 0; file < SIM_FILES_MAX; file++) {
        if (disk->files[file].image != NULL) {
            remove_from(disk, file);
        }
    }
}

void sim_disk_close(struct sim_disk *disk)
{
    sim_disk_wipe(disk);
    free(disk->dirty);
}

// ------------------------------------------------------------------------------------------------
// ends

static void land_in_part(struct sim_disk *disk, const struct disk_request *request)
{
    uint64_t keep_percent = prng_below(&disk->sim->disk_prng, 101);
    uint64_t end = request->offset + request->bytes;
    if (end > disk->files[request->file].bytes) {
        return; // it would have grown
    }
    for (uint32_t at = 0; at < request->bytes; at += SECTOR_BYTES) {
        struct disk_request sector = *request;
        sector.data = (uint8_t *)request->data + at;
        sector.offset += at;
        sector.bytes = SECTOR_BYTES;
        if (prng_chance(&disk->sim->disk_prng, keep_percent, 100)) {
            land(disk, &sector, sector.offset);
        }
    }
}

// How much of what no flush covers is kept: often nothing.
static uint64_t draw_keep_percent(struct sim *sim)
{
    return prng_chance(&sim->disk_prng, 1, 4) ? 0 : prng_below(&sim->disk_prng, 101);
}

static void undo(struct sim_disk *disk)
{
    uint64_t keep_percent = draw_keep_percent(disk->sim);
    while (disk->dirty_count > 0) {
        const struct sim_dirty *dirty = &disk->dirty[disk->dirty_count - 1];
        if (!prng_chance(&disk->sim->disk_prng, keep_percent, 100)) {
            memcpy(disk->files[dirty->file].image + (uint64_t)dirty->sector * SECTOR_BYTES,
                   dirty->before, SECTOR_BYTES);
        }
        drop_dirty(disk, disk->dirty_count - 1);
    }
    for (uint32_t file = 0; file < SIM_FILES_MAX; file++) {
        struct sim_file *cut = &disk->files[file];
        if (cut->bytes > cut->durable_bytes && prng_chance(&disk->sim->disk_prng, 1, 2)) {
            memset(cut->image + cut->durable_bytes, 0, cut->bytes - cut->durable_bytes);
            cut->bytes = cut->durable_bytes;
        }
        cut->durable_bytes = cut->bytes;
    }
}

void sim_disk_die(struct sim_disk *disk, bool is_power)
{
    for (uint32_t number = 0; number < SIM_REQUESTS_MAX; number++) {
        struct sim_request *pending = &disk->requests[number];
        if (!pending->is_used || pending->is_done) {
            continue;
        }
        heap_remove(&disk->sim->events, disk->events + number);
        if (!disk->is_dead && !pending->is_queued && pending->request.op >= DISK_WRITE &&
            pending->request.op <= DISK_WRITE_DURABLE) {
            land_in_part(disk, &pending->request);
        }
    }
    if (is_power) {
        undo(disk);
    }
    disk->is_dead = true;
}

void sim_disk_move(struct sim_disk *from, struct sim_disk *to)
{
    sim_disk_die(from, true);
    for (; from->done_count > 0; from->done_count--) { // completed, and not seen
        from->requests[from->done[from->done_count - 1]].is_done = false;
    }
    memcpy(to->files, from->files, sizeof(to->files));
    // What ails it moves with it: the end of a fault is told to whoever has the disk then.
    to->is_full = from->is_full;
    to->is_lying = from->is_lying;
    to->fails_next = from->fails_next;
    to->has_failed = false; // (that was told to the process that is left)
    to->slow_factor = from->slow_factor;
    to->stuck_until_ns = from->stuck_until_ns;
    for (uint32_t file = 0; file < SIM_FILES_MAX; file++) {
        from->files[file].image = NULL;
        from->files[file].dirty = NULL;
    }
    from->is_dead = false;
    from->is_gone = true;
}

void sim_disk_end_gone(struct sim_disk *disk)
{
    disk->is_gone = false;
    disk->is_dead = true;
}

void sim_disk_revive(struct sim_disk *disk, bool is_blocking)
{
    disk->is_dead = false;
    disk->is_blocking = is_blocking;
    disk->fails_next = disk->loses_next = disk->misdirects_next = false;
    if (is_blocking) {
        disk->has_failed = false;
        ASSERT_CMP(disk->requests_out, ==, 0);
        for (uint32_t file = 0; file < SIM_FILES_MAX; file++) {
            disk->files[file].is_open = false;
        }
    }
}

bool sim_disk_holds(struct sim_disk *disk, const char *name, uint64_t offset, const void *data,
                    uint64_t bytes)
{
    const struct sim_file *file = sim_disk_file(disk, name);
    return file != NULL && offset + bytes <= file->durable_bytes &&
           memcmp(file->image + offset, data, bytes) == 0;
}
