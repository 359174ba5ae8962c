#include "drivers/disk_memory/disk_memory.h"

#include "engine/base/assert.h"
#include "engine/base/prng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILES_MAX = 1024, // in the directory, open or not
    SECTOR_BYTES = 512,
    NAME_BYTES = 64,
    IN_FLIGHT_DEFAULT = 64,
    OPS = DISK_FLUSH + 1,
};

struct file {
    char name[NAME_BYTES];    // "" : free
    uint8_t *cache, *durable; // `bytes` each
    uint64_t *dirty_since;    // a sector: write count when it became dirty; 0: clean
    uint64_t bytes, capacity; // length; allocated
    uint64_t durable_bytes;   // length after a power cut
    uint32_t opened;
};

struct pending {
    struct disk_request request;
    uint64_t due_poll;      // completes at this poll() or later
    uint64_t writes_before; // FLUSH: covers what became dirty up to here
    bool is_used, is_kicked, is_released;
};

struct fault {
    uint64_t skip, count;
    int error;
};

struct disk_memory {
    struct disk disk; // first
    struct disk_memory_options options;
    struct file files[FILES_MAX];
    struct pending *pending; // in_flight_max
    struct fault faults[OPS];
    uint64_t random;
    uint64_t polls, writes;
    uint32_t in_flight;
    bool is_held;
};

static struct disk_memory *self(struct disk *disk)
{
    return (struct disk_memory *)disk;
}

// --- files ---

static struct file *find(struct disk_memory *memory, const char *name)
{
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        if (strcmp(memory->files[i].name, name) == 0) {
            return &memory->files[i];
        }
    }
    return NULL;
}

static void release(struct file *file)
{
    free(file->cache);
    free(file->durable);
    free(file->dirty_since);
    *file = (struct file){0};
}

static uint64_t used_bytes(const struct disk_memory *memory)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        used += memory->files[i].bytes;
    }
    return used;
}

static int grow_one(uint8_t **data, uint64_t from, uint64_t to)
{
    uint8_t *grown = realloc(*data, to);
    if (grown == NULL) {
        return -ENOMEM;
    }
    memset(grown + from, 0, to - from);
    *data = grown;
    return 0;
}

static int grow(struct disk_memory *memory, struct file *file, uint64_t bytes)
{
    uint64_t limit = memory->options.capacity_bytes;
    if (limit != 0 && used_bytes(memory) - file->bytes + bytes > limit) {
        return -ENOSPC;
    }
    if (bytes > file->capacity) {
        uint64_t capacity = (bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
        if (capacity < 2 * file->capacity) {
            capacity = 2 * file->capacity;
        }
        if (grow_one(&file->cache, file->capacity, capacity) != 0 ||
            grow_one(&file->durable, file->capacity, capacity) != 0 ||
            grow_one((uint8_t **)&file->dirty_since, file->capacity / SECTOR_BYTES * 8,
                     capacity / SECTOR_BYTES * 8) != 0) {
            return -ENOMEM;
        }
        file->capacity = capacity;
    }
    file->bytes = bytes;
    return 0;
}

static int create(struct disk_memory *memory, const char *name, uint64_t bytes,
                  struct file **result)
{
    struct file *file = find(memory, "");
    if (file == NULL) {
        return -ENFILE;
    }
    int error = grow(memory, file, bytes);
    if (error != 0) {
        release(file);
        return error;
    }
    strcpy(file->name, name);
    file->durable_bytes = bytes;
    *result = file;
    return 0;
}

static bool name_is_valid(const char *name)
{
    return name[0] != '\0' && strlen(name) < NAME_BYTES && strchr(name, '/') == NULL;
}

static int open_file(struct disk *disk, const char *name, enum disk_open how, uint64_t bytes,
                     uint32_t *number, uint64_t *size)
{
    struct disk_memory *memory = self(disk);
    if (!name_is_valid(name)) {
        return -EINVAL;
    }
    struct file *file = find(memory, name);
    int error = 0;
    switch (how) {
    case DISK_OPEN_EXISTING:
        error = file == NULL ? -ENOENT : 0;
        break;
    case DISK_OPEN_CREATE:
        error = file != NULL ? -EEXIST : create(memory, name, bytes, &file);
        break;
    case DISK_OPEN_REPLACE:
        if (file != NULL) {
            release(file);
        }
        error = create(memory, name, 0, &file);
        break;
    }
    if (error != 0) {
        return error;
    }
    file->opened++;
    *number = (uint32_t)(file - memory->files);
    *size = file->bytes;
    return 0;
}

static void close_file(struct disk *disk, uint32_t number)
{
    struct file *file = &self(disk)->files[number];
    ASSERT_CMP(file->opened, >, 0);
    file->opened--;
}

static int remove_file(struct disk *disk, const char *name)
{
    struct file *file = name_is_valid(name) ? find(self(disk), name) : NULL;
    if (file == NULL) {
        return -ENOENT;
    }
    release(file);
    return 0;
}

static int rename_file(struct disk *disk, const char *from, const char *to)
{
    struct disk_memory *memory = self(disk);
    struct file *file = name_is_valid(from) ? find(memory, from) : NULL;
    if (!name_is_valid(to)) {
        return -EINVAL;
    }
    if (file == NULL) {
        return -ENOENT;
    }
    struct file *old = find(memory, to);
    if (old != NULL && old != file) {
        release(old);
    }
    strcpy(file->name, to);
    return 0;
}

// --- requests ---

static bool submit(struct disk *disk, const struct disk_request *request)
{
    struct disk_memory *memory = self(disk);
    if (memory->in_flight == disk->in_flight_max) {
        return false;
    }
    if (request->op != DISK_FLUSH) {
        ASSERT_CMP((uintptr_t)request->data % disk->block_bytes, ==, 0);
        ASSERT_CMP(request->offset % disk->block_bytes, ==, 0);
        ASSERT_CMP(request->bytes % disk->block_bytes, ==, 0);
    }
    struct pending *pending = memory->pending;
    while (pending->is_used) {
        pending++;
    }
    uint64_t delay = memory->options.delay_polls_max == 0
                         ? 0
                         : prng_splitmix(&memory->random) % (memory->options.delay_polls_max + 1);
    *pending = (struct pending){.request = *request,
                                .due_poll = memory->polls + delay,
                                .writes_before = memory->writes,
                                .is_used = true};
    memory->in_flight++;
    return true;
}

static void kick(struct disk *disk)
{
    struct disk_memory *memory = self(disk);
    for (uint32_t i = 0; memory->in_flight > 0 && i < disk->in_flight_max; i++) {
        memory->pending[i].is_kicked = memory->pending[i].is_used;
    }
}

static void make_durable(struct file *file, uint64_t sector)
{
    memcpy(file->durable + sector * SECTOR_BYTES, file->cache + sector * SECTOR_BYTES,
           SECTOR_BYTES);
    file->dirty_since[sector] = 0;
}

static void write_sector(struct disk_memory *memory, struct file *file, uint64_t sector,
                         const uint8_t *data)
{
    memcpy(file->cache + sector * SECTOR_BYTES, data, SECTOR_BYTES);
    if (file->dirty_since[sector] == 0) {
        file->dirty_since[sector] = memory->writes;
    }
}

static int write_all(struct disk_memory *memory, struct file *file,
                     const struct disk_request *request)
{
    uint64_t end = request->offset + request->bytes;
    int error = end > file->bytes ? grow(memory, file, end) : 0;
    if (error != 0) {
        return error;
    }
    memory->writes++;
    for (uint64_t at = 0; at < request->bytes; at += SECTOR_BYTES) {
        uint64_t sector = (request->offset + at) / SECTOR_BYTES;
        write_sector(memory, file, sector, (const uint8_t *)request->data + at);
        if (request->op == DISK_WRITE_DURABLE) {
            make_durable(file, sector);
        }
    }
    if (request->op == DISK_WRITE_DURABLE && end > file->durable_bytes) {
        file->durable_bytes = end;
    }
    return 0;
}

static int read_all(const struct file *file, const struct disk_request *request)
{
    if (request->offset + request->bytes > file->bytes) {
        return -ENODATA;
    }
    memcpy(request->data, file->cache + request->offset, request->bytes);
    return 0;
}

static int flush(struct file *file, uint64_t writes_before)
{
    for (uint64_t sector = 0; sector * SECTOR_BYTES < file->bytes; sector++) {
        if (file->dirty_since[sector] != 0 && file->dirty_since[sector] <= writes_before) {
            make_durable(file, sector);
        }
    }
    file->durable_bytes = file->bytes;
    return 0;
}

// A write that never completed well: any of its sectors may have reached the medium.
static void tear(struct disk_memory *memory, struct file *file, const struct disk_request *request)
{
    memory->writes++;
    for (uint64_t at = 0; at < request->bytes && request->offset + at < file->bytes;
         at += SECTOR_BYTES) {
        if (prng_splitmix(&memory->random) % 2 == 0) {
            write_sector(memory, file, (request->offset + at) / SECTOR_BYTES,
                         (const uint8_t *)request->data + at);
        }
    }
}

static int perform(struct disk_memory *memory, const struct pending *pending)
{
    const struct disk_request *request = &pending->request;
    struct file *file = &memory->files[request->file];
    struct fault *fault = &memory->faults[request->op];
    if (fault->count > 0 && fault->skip-- == 0) {
        fault->skip = 0;
        fault->count--;
        if (memory->options.tear_failed_writes && request->op != DISK_READ &&
            request->op != DISK_FLUSH) {
            tear(memory, file, request);
        }
        return fault->error;
    }
    if (request->file >= FILES_MAX || file->opened == 0) {
        return -EBADF;
    }
    switch (request->op) {
    case DISK_READ:
        return read_all(file, request);
    case DISK_WRITE:
    case DISK_WRITE_DURABLE:
        return write_all(memory, file, request);
    case DISK_FLUSH:
        return flush(file, pending->writes_before);
    }
    return -EINVAL;
}

static bool is_ready(const struct disk_memory *memory, const struct pending *pending)
{
    return pending->is_used && pending->is_kicked &&
           (memory->is_held ? pending->is_released : pending->due_poll < memory->polls);
}

static uint32_t poll(struct disk *disk, struct disk_completion *completions, uint32_t max)
{
    struct disk_memory *memory = self(disk);
    uint32_t count = 0;
    memory->polls++;
    if (memory->in_flight == 0) {
        return 0;
    }
    uint32_t slots = disk->in_flight_max;
    uint32_t start =
        memory->options.reorder ? (uint32_t)(prng_splitmix(&memory->random) % slots) : 0;
    for (uint32_t i = 0; i < slots && count < max; i++) {
        struct pending *pending = &memory->pending[(start + i) % slots];
        if (is_ready(memory, pending)) {
            completions[count++] = (struct disk_completion){.tag = pending->request.tag,
                                                            .result = perform(memory, pending)};
            pending->is_used = false;
            memory->in_flight--;
        }
    }
    return count;
}

static int register_memory(struct disk *disk, void *data, uint64_t bytes)
{
    return 0;
}

static void close_disk(struct disk *disk)
{
    struct disk_memory *memory = self(disk);
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        release(&memory->files[i]);
    }
    free(memory->pending);
    free(memory);
}

// --- crashes and faults ---

// Sectors of requests in flight reach the cache, each by chance.
static void land_in_flight(struct disk_memory *memory, uint64_t *random, uint32_t keep_percent)
{
    memory->writes++;
    for (uint32_t i = 0; i < memory->disk.in_flight_max; i++) {
        struct pending *pending = &memory->pending[i];
        const struct disk_request *request = &pending->request;
        bool is_write = request->op == DISK_WRITE || request->op == DISK_WRITE_DURABLE;
        struct file *file = &memory->files[request->file];
        for (uint64_t at = 0; pending->is_used && is_write && at < request->bytes;
             at += SECTOR_BYTES) {
            bool is_kept = prng_splitmix(random) % 100 < keep_percent;
            uint64_t offset = request->offset + at;
            if (is_kept && pending->is_kicked && offset < file->bytes) {
                write_sector(memory, file, offset / SECTOR_BYTES,
                             (const uint8_t *)request->data + at);
            }
        }
        pending->is_used = false;
    }
    memory->in_flight = 0;
    memory->is_held = false;
    memset(memory->faults, 0, sizeof(memory->faults));
}

void disk_memory_crash(struct disk *disk, uint64_t seed, uint32_t keep_percent)
{
    struct disk_memory *memory = self(disk);
    land_in_flight(memory, &seed, keep_percent);
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        struct file *file = &memory->files[i];
        file->opened = 0;
        file->bytes = file->durable_bytes;
        for (uint64_t sector = 0; sector * SECTOR_BYTES < file->bytes; sector++) {
            if (file->dirty_since[sector] != 0 && prng_splitmix(&seed) % 100 < keep_percent) {
                make_durable(file, sector);
            }
            file->dirty_since[sector] = 0;
        }
        if (file->capacity > 0) {
            memset(file->durable + file->bytes, 0, file->capacity - file->bytes);
            memcpy(file->cache, file->durable, file->capacity);
        }
    }
}

void disk_memory_kill(struct disk *disk, uint64_t seed, uint32_t keep_percent)
{
    struct disk_memory *memory = self(disk);
    land_in_flight(memory, &seed, keep_percent);
    for (uint32_t i = 0; i < FILES_MAX; i++) {
        memory->files[i].opened = 0;
    }
}

void disk_memory_fail(struct disk *disk, enum disk_op op, uint64_t nth, uint64_t count, int error)
{
    self(disk)->faults[op] = (struct fault){.skip = nth - 1, .count = count, .error = error};
}

void disk_memory_hold(struct disk *disk, bool held)
{
    self(disk)->is_held = held;
}

bool disk_memory_release(struct disk *disk, uint64_t tag)
{
    struct disk_memory *memory = self(disk);
    for (uint32_t i = 0; i < disk->in_flight_max; i++) {
        if (memory->pending[i].is_used && memory->pending[i].request.tag == tag) {
            memory->pending[i].is_released = true;
            return true;
        }
    }
    return false;
}

void disk_memory_set_capacity(struct disk *disk, uint64_t capacity_bytes)
{
    self(disk)->options.capacity_bytes = capacity_bytes;
}

void *disk_memory_image(struct disk *disk, const char *name, uint64_t *bytes)
{
    struct file *file = name_is_valid(name) ? find(self(disk), name) : NULL;
    if (file == NULL) {
        return NULL;
    }
    *bytes = file->durable_bytes;
    return file->durable;
}

uint32_t disk_memory_in_flight(const struct disk *disk)
{
    return ((const struct disk_memory *)disk)->in_flight;
}

static const struct disk_ops ops = {
    .name = "memory",
    .open_file = open_file,
    .close_file = close_file,
    .remove_file = remove_file,
    .rename_file = rename_file,
    .submit = submit,
    .kick = kick,
    .poll = poll,
    .register_memory = register_memory,
    .close = close_disk,
};

int disk_memory_open(struct disk **disk, const struct disk_memory_options *options)
{
    uint32_t block_bytes = options->block_bytes == 0 ? SECTOR_BYTES : options->block_bytes;
    if (block_bytes % SECTOR_BYTES != 0 || block_bytes > DISK_BLOCK_BYTES_MAX) {
        return -EINVAL;
    }
    struct disk_memory *memory = calloc(1, sizeof(*memory));
    uint32_t in_flight_max =
        options->in_flight_max == 0 ? IN_FLIGHT_DEFAULT : options->in_flight_max;
    if (memory == NULL) {
        return -ENOMEM;
    }
    memory->pending = calloc(in_flight_max, sizeof(memory->pending[0]));
    if (memory->pending == NULL) {
        free(memory);
        return -ENOMEM;
    }
    memory->options = *options;
    memory->random = options->seed;
    memory->disk =
        (struct disk){.ops = &ops, .block_bytes = block_bytes, .in_flight_max = in_flight_max};
    *disk = &memory->disk;
    return 0;
}
