// LD_PRELOAD shim: counts what a process allocates, for anybody to read while it runs.
//
// The counters live in the file $PONTOON_ALLOC_COUNT, mapped shared: eight bytes each, host order:
// malloc, calloc, realloc, aligned_alloc and its relatives, mmap, DPDK's rte_malloc and its
// relatives. Reading the file stops nobody (targets.sh reads it twice under load). free and munmap
// are not counted. Without the variable nothing is counted.
//
// glibc's own entry points do the work, so no symbol has to be looked up before malloc can run.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum counter {
    COUNT_MALLOC,
    COUNT_CALLOC,
    COUNT_REALLOC,
    COUNT_ALIGNED,
    COUNT_MMAP,
    COUNT_RTE,
    COUNTERS
};

static _Atomic uint64_t nowhere[COUNTERS];
static _Atomic uint64_t *counters =
    nowhere; // the file once it is open; only the constructor writes it

// Relaxed: nothing depends on the order of counts.
static void count(enum counter which)
{
    atomic_fetch_add_explicit(&counters[which], 1, memory_order_relaxed);
}

__attribute__((constructor)) static void open_file(void)
{
    const char *path = getenv("PONTOON_ALLOC_COUNT");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return;
    }
    if (ftruncate(fd, sizeof(nowhere)) == 0) {
        void *file = (void *)syscall(SYS_mmap, NULL, sizeof(nowhere), PROT_READ | PROT_WRITE,
                                     MAP_SHARED, fd, 0);
        counters = file == MAP_FAILED ? nowhere : file;
    }
    close(fd);
}

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t items, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    count(COUNT_MALLOC);
    return __libc_malloc(bytes);
}

void *calloc(size_t items, size_t bytes)
{
    count(COUNT_CALLOC);
    return __libc_calloc(items, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    count(COUNT_REALLOC);
    return __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count(COUNT_ALIGNED);
    return __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes);
void *memalign(size_t alignment, size_t bytes)
{
    count(COUNT_ALIGNED);
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    count(COUNT_ALIGNED);
    *memory = __libc_memalign(alignment, bytes);
    return *memory == NULL ? ENOMEM : 0;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    count(COUNT_MMAP);
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

// DPDK's: the next one in the order of search does the work. All are called after start, when dlsym
// is safe.
static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) {
        abort(); // called, so it must be somewhere
    }
    return symbol;
}

#define COUNT_RTE_CALL(name, parameters, arguments)                                                \
    void *name parameters;                                                                         \
    void *name parameters                                                                          \
    {                                                                                              \
        static void *(*original)parameters;                                                        \
        count(COUNT_RTE);                                                                          \
        if (original == NULL) {                                                                    \
            original = (void *(*)parameters)(uintptr_t)next(#name);                                \
        }                                                                                          \
        return original arguments;                                                                 \
    }

COUNT_RTE_CALL(rte_malloc, (const char *type, size_t bytes, unsigned align), (type, bytes, align))
COUNT_RTE_CALL(rte_zmalloc, (const char *type, size_t bytes, unsigned align), (type, bytes, align))
COUNT_RTE_CALL(rte_calloc, (const char *type, size_t items, size_t bytes, unsigned align),
               (type, items, bytes, align))
COUNT_RTE_CALL(rte_realloc, (void *memory, size_t bytes, unsigned align), (memory, bytes, align))
COUNT_RTE_CALL(rte_malloc_socket, (const char *type, size_t bytes, unsigned align, int socket),
               (type, bytes, align, socket))
COUNT_RTE_CALL(rte_zmalloc_socket, (const char *type, size_t bytes, unsigned align, int socket),
               (type, bytes, align, socket))
COUNT_RTE_CALL(rte_calloc_socket,
               (const char *type, size_t items, size_t bytes, unsigned align, int socket),
               (type, items, bytes, align, socket))
COUNT_RTE_CALL(rte_realloc_socket, (void *memory, size_t bytes, unsigned align, int socket),
               (memory, bytes, align, socket))
