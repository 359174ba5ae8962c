#include "drivers/net_dpdk/control.h"

#include <dirent.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <rte_interrupts.h>

#include "drivers/net_dpdk/driver.h"
#include "drivers/net_dpdk/plugs.h"
#include "engine/base/assert.h"

enum {
    DRIVERS_MAX = 64,
    PARK_WITHIN_S = 5,
    ROUNDS_MAX = 64,
    SETTLE_ATTEMPTS = 4,
    BLIND_PERIOD_MS = 20
};

// memif (measured): a client whose server is not there fails to start and may be tried again soon.
// One that has connected but is not up within a second was lost (the server listened before its
// port was started); stopped any sooner, it can crash the other process.
#define TRY_EVERY_NS UINT64_C(100000000)
#define CONNECT_WITHIN_NS UINT64_C(3000000000)

atomic_bool control_gate_closed;

static struct {
    pthread_mutex_t members; // taken first: one driver joins or leaves at a time
    pthread_mutex_t lock;    // of everything else here; the keeper drops it only to sleep
    struct driver *drivers[DRIVERS_MAX];
    uint32_t driver_count;
    bool running;    // the keeper is, and the interrupt thread is parked or on a round
    bool look_again; // at the links, whatever the time
    atomic_bool
        called; // the interrupt thread shall park; who takes this back decides whether it does
    pthread_t keeper;
    int wake_fd;                    // eventfd: keeper, look again
    int park_fd;                    // eventfd: interrupt thread, come and park
    int events_fd;                  // epoll of the interrupt thread, -1: not found
    struct rte_intr_handle *handle; // of park(); made once, stays for good
    sem_t parked, go;
} control = {.members = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void post(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof(one));
    (void)written; // an eventfd that is full is readable, which is all we want
}

static void clear(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof(count));
    (void)got;
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
        ASSERT(errno == EINTR);
    }
}

// Runs in EAL's interrupt thread.
static void park(void *unused)
{
    (void)unused;
    clear(control.park_fd);
    if (atomic_exchange(&control.called, false)) {
        sem_post(&control.parked);
        wait_for(&control.go);
    }
}

// Calls the interrupt thread in: it parks after the turn that it is on.
static void call(void)
{
    atomic_store(&control.called, true);
    post(control.park_fd);
}

// Does this epoll instance belong to the interrupt thread of this process? fdinfo knows numbers
// only, and a program that was started by one with an EAL of its own inherits that one's instance,
// number and all (DPDK 22.11 does not close it on exec). So its entry for our callback is set to
// what it is: there is one only where file and number are ours.
static bool is_interrupt_threads(int fd)
{
    struct epoll_event as_it_is = {.events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP,
                                   .data.fd = control.park_fd};
    return epoll_ctl(fd, EPOLL_CTL_MOD, control.park_fd, &as_it_is) == 0;
}

// EAL makes a new epoll instance whenever a callback is registered or removed, so it is looked for
// after each such round. EAL has no call that tells it.
static void find_events_fd(void)
{
    if (control.events_fd >= 0 && is_interrupt_threads(control.events_fd)) {
        return;
    }
    control.events_fd = -1;
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    while (directory != NULL && control.events_fd < 0 && (entry = readdir(directory)) != NULL) {
        int fd = atoi(entry->d_name); // "." and "..": 0, which is no epoll instance
        if (is_interrupt_threads(fd)) {
            control.events_fd = fd;
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

// Not knowing counts as yes: a plug that stays costs a number, one that goes may cost the process.
static bool is_watched(int fd)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", control.events_fd);
    FILE *file = control.events_fd < 0 ? NULL : fopen(path, "re");
    bool found = file == NULL;
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        int watched;
        found = sscanf(line, "tfd: %d", &watched) == 1 && watched == fd;
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static bool has_events(void)
{
    struct pollfd events = {.fd = control.events_fd, .events = POLLIN};
    return poll(&events, 1, 0) > 0;
}

static void close_gate(void)
{
    atomic_store(&control_gate_closed, true);
    if (control.driver_count == 0) {
        return;
    }
    // Pairs with the compiler fence in driver_enter: afterwards each reactor either shows in_burst
    // or has seen the gate.
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    for (uint32_t d = 0; d < control.driver_count; d++) {
        struct driver *driver = control.drivers[d];
        for (uint16_t v = 0; v < driver->view_count; v++) {
            while (atomic_load_explicit(&driver->views[v].in_burst, memory_order_acquire)) {
                sched_yield(); // its thread was preempted in the middle
            }
        }
    }
}

static void open_gate(void)
{
    atomic_store_explicit(&control_gate_closed, false, memory_order_release);
}

// Lets the interrupt thread work off what it has. Result: it has nothing left.
static bool run_interrupts(void)
{
    bool quiet = false;
    close_gate();
    plugs_fill();
    for (int round = 0; round < ROUNDS_MAX && !quiet; round++) {
        call(); // first, so that it comes back after one turn
        sem_post(&control.go);
        wait_for(&control.parked);
        find_events_fd();
        plugs_release(is_watched);
        quiet = control.events_fd < 0 || !has_events();
        if (!quiet) {
            plugs_fill(); // its next turn may look at its list of sources anew
        }
    }
    open_gate();
    return quiet;
}

// Starts a memif client again when its time has come. The interrupt thread is parked, and no
// reactor touches a link that has been down for this long, so the gate stays open. Result: when to
// look again.
static uint64_t tend(struct link *link, uint64_t now_ns)
{
    if (!link->device.memif_client || link->held_down) {
        return UINT64_MAX;
    }
    if (device_is_up(&link->device)) {
        link->was_up = true;
        link->retry_ns = 0;
        return UINT64_MAX;
    }
    if (link->retry_ns != 0 && now_ns >= link->retry_ns) {
        device_stop(&link->device);
        device_start(&link->device);
        link->was_up = false;
        link->retry_ns = 0;
    }
    if (link->retry_ns == 0) {
        bool is_connecting = link->device.started && !link->was_up;
        link->retry_ns = now_ns + (is_connecting ? CONNECT_WITHIN_NS : TRY_EVERY_NS);
    }
    return link->retry_ns;
}

static uint64_t tend_links(void)
{
    uint64_t now_ns = monotonic_ns(), next_ns = UINT64_MAX;
    for (uint32_t d = 0; d < control.driver_count; d++) {
        struct driver *driver = control.drivers[d];
        for (uint16_t l = 0; l < driver->link_count; l++) {
            next_ns = RTE_MIN(next_ns, tend(&driver->links[l], now_ns));
        }
    }
    return next_ns;
}

// Sleeps until then, or until somebody wakes us or the interrupt thread gets work. is_deaf: not for
// the latter, because an event that nobody clears would keep the gate closed.
static void sleep_until(uint64_t next_ns, bool is_deaf)
{
    struct pollfd fds[2] = {{.fd = control.wake_fd, .events = POLLIN},
                            {.fd = is_deaf ? -1 : control.events_fd, .events = POLLIN}};
    uint64_t now_ns = monotonic_ns();
    uint64_t wait_ms = next_ns <= now_ns ? 0 : (next_ns - now_ns) / 1000000 + 1;
    int timeout = next_ns == UINT64_MAX ? -1 : (int)RTE_MIN(wait_ms, (uint64_t)1000);
    if (fds[1].fd < 0 && (timeout < 0 || timeout > BLIND_PERIOD_MS)) {
        timeout = BLIND_PERIOD_MS;
    }
    pthread_mutex_unlock(&control.lock);
    poll(fds, 2, timeout);
    pthread_mutex_lock(&control.lock);
    clear(control.wake_fd);
}

static void *keep(void *unused)
{
    uint64_t next_ns = 0;
    pthread_mutex_lock(&control.lock);
    while (control.running) {
        bool has_work = control.events_fd < 0 || has_events();
        bool quiet = !has_work || run_interrupts();
        if (has_work || control.look_again || next_ns <= monotonic_ns()) {
            control.look_again = false;
            next_ns = tend_links();
        }
        sleep_until(next_ns, !quiet);
    }
    pthread_mutex_unlock(&control.lock);
    return unused;
}

static int register_park(void)
{
    control.handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
    if (control.wake_fd < 0 || control.park_fd < 0 || control.handle == NULL) {
        return -ENOMEM;
    }
    rte_intr_fd_set(control.handle, control.park_fd);
    rte_intr_type_set(control.handle, RTE_INTR_HANDLE_EXT);
    return rte_intr_callback_register(control.handle, park, NULL);
}

// Once a process. Never undone, because each change of EAL's list of sources sets the interrupt
// thread to work (settle_interrupts).
static int make_handles(void)
{
    if (control.handle != NULL) {
        return 0;
    }
    control.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    control.park_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sem_init(&control.parked, 0, 0);
    sem_init(&control.go, 0, 0);
    int result = register_park();
    if (result != 0) {
        rte_intr_instance_free(control.handle);
        control.handle = NULL;
        close(control.wake_fd);
        close(control.park_fd);
    }
    return result;
}

// False: it did not come in time, and will not park when it does.
static bool park_first(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PARK_WITHIN_S;
    call();
    while (sem_timedwait(&control.parked, &until) != 0) {
        if (errno == ETIMEDOUT && atomic_exchange(&control.called, false)) {
            return false;
        }
    }
    return true;
}

static int start_keeper(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    int result = make_handles();
    if (result == 0 && !park_first()) {
        result = -ETIMEDOUT;
    }
    if (result != 0) {
        return result;
    }
    control.events_fd = -1;
    find_events_fd();
    control.running = true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are for the program's own threads
    result = -pthread_create(&control.keeper, NULL, keep, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0) {
        pthread_setname_np(control.keeper, "pontoon-links");
        return 0;
    }
    control.running = false;
    sem_post(&control.go);
    return result;
}

// Ports were removed, so the interrupt thread has its list of sources to read again; and net_memif
// leaves the sources of its listeners there, in memory that rte_eal_cleanup() unmaps. Whoever calls
// that next would pull it from under the thread: it finishes first.
static void settle_interrupts(void)
{
    for (int attempt = 0; attempt < SETTLE_ATTEMPTS && !run_interrupts(); attempt++) {
        sched_yield();
    }
}

static void stop_keeper(void)
{
    control.running = false;
    post(control.wake_fd);
    pthread_mutex_unlock(&control.lock);
    pthread_join(control.keeper, NULL);
    pthread_mutex_lock(&control.lock);
    settle_interrupts();
    sem_post(&control.go);
}

static uint32_t drivers_with_memif(void)
{
    uint32_t count = 0;
    for (uint32_t d = 0; d < control.driver_count; d++) {
        count += control.drivers[d]->has_memif;
    }
    return count;
}

int control_join(struct driver *driver)
{
    int result = 0;
    pthread_mutex_lock(&control.members);
    pthread_mutex_lock(&control.lock);
    if (control.driver_count == DRIVERS_MAX) {
        result = -EMFILE;
    } else if (driver->has_memif && !control.running) {
        result = start_keeper();
    }
    if (result == 0) {
        control.drivers[control.driver_count++] = driver;
    }
    pthread_mutex_unlock(&control.lock);
    pthread_mutex_unlock(&control.members);
    return result;
}

void control_leave(struct driver *driver)
{
    pthread_mutex_lock(&control.members);
    pthread_mutex_lock(&control.lock);
    for (uint32_t d = 0; d < control.driver_count; d++) {
        if (control.drivers[d] == driver) {
            control.drivers[d] = control.drivers[--control.driver_count];
            break;
        }
    }
    if (control.running && drivers_with_memif() == 0) {
        stop_keeper();
    }
    pthread_mutex_unlock(&control.lock);
    pthread_mutex_unlock(&control.members);
}

void control_begin(void)
{
    pthread_mutex_lock(&control.lock);
    close_gate();
}

void control_end(void)
{
    open_gate();
    pthread_mutex_unlock(&control.lock);
}

void control_wake(void)
{
    pthread_mutex_lock(&control.lock);
    control.look_again = true;
    if (control.running) {
        post(control.wake_fd);
    }
    pthread_mutex_unlock(&control.lock);
}
