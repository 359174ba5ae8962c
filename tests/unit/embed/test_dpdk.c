// Nodes on an EAL that the embedding program started: adopted, left as it is, and shared by three
// nodes whose ports are net_ring or net_memif. Cleaned up by the program as soon as they are
// closed.
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "drivers/net_dpdk/net_dpdk.h"
#include "tests/unit/embed/process.h"

enum { RING_SLOTS = 1024 };

static struct process process;

static void start_eal(void)
{
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "embed-%d", (int)getpid());
    char *arguments[] = {"test",          "--no-huge",   "-m",          "128",
                         "--no-pci",      "--no-shconf", "--lcores",    "0@(0)",
                         "--file-prefix", prefix,        "--log-level", "1"};
    setenv("RUNTIME_DIRECTORY", test_directory(), 1);
    if (rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), arguments) < 0) {
        printf("EAL does not start here: %s\n", rte_strerror(rte_errno));
        exit(77);
    }
}

// What names a link, `from` being one end: the same for both but for the direction.
static void name_ring(char *name, size_t bytes, uint32_t from, uint32_t to)
{
    snprintf(name, bytes, "n%un%u", from, to);
}

static void device_ring(char *device, size_t bytes, uint32_t from, uint32_t to)
{
    char name[32], other[32];
    struct eal_fault fault;
    name_ring(name, sizeof(name), from, to);
    name_ring(other, sizeof(other), to, from);
    if (from < to) {
        CHECK_EQUAL(net_dpdk_ring_link(name, other, 1, RING_SLOTS, &fault), 0);
    }
    snprintf(device, bytes, "net_ring:%s", name);
}

static void device_memif(char *device, size_t bytes, uint32_t from, uint32_t to)
{
    uint32_t low = from < to ? from : to, high = from < to ? to : from;
    snprintf(
        device, bytes,
        "net_memif%u,role=%s,id=0,socket=pontoon-embed-%d-%u-%u,socket-abstract=yes,bsize=2112",
        from * 10 + to, from < to ? "server" : "client", (int)getpid(), low, high);
}

typedef void make_device(char *device, size_t bytes, uint32_t from, uint32_t to);

// A full mesh: every node has a port for each of the others.
static void mesh(make_device *make)
{
    for (uint32_t place = 0; place < process.count; place++) {
        struct pontoon_config *config = &process.nodes[place].config;
        config->driver = PONTOON_DRIVER_DPDK;
    }
    for (uint32_t from = 1; from <= process.count; from++) {
        struct pontoon_member member = {.id = (uint16_t)from,
                                        .ipv4 = process.nodes[0].config.nodes[from - 1].ipv4};
        for (uint32_t to = 1; to <= process.count; to++) {
            struct pontoon_link *link = &member.links[member.link_count];
            if (to != from) {
                *link = (struct pontoon_link){.ipv4 = member.ipv4,
                                              .prefix_bits = 24,
                                              .frame_bytes = 1472,
                                              .nodes = UINT64_C(1) << (to - 1)};
                make(link->device, sizeof(link->device), from, to);
                member.link_count++;
            }
        }
        for (uint32_t place = 0; place < process.count; place++) {
            process.nodes[place].config.nodes[from - 1] = member;
        }
    }
}

static void replicate_on(make_device *make, void (*before_close)(void))
{
    struct tally done = {0};
    process_init(&process, 3);
    mesh(make);
    process_open(&process);
    CHECK(strstr(pontoon_describe(process.nodes[0].pontoon), "adopted") != NULL);
    struct process_node *leader = process_leader(&process, 0);
    for (uint64_t number = 1; number <= 500; number++) {
        CHECK_EQUAL(
            pontoon_propose_mt(leader->pontoon, 0, &number, sizeof(number), tally_done, &done), 0);
    }
    WAIT_FOR(&process, atomic_load(&done.total) == 500);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 500);
    process_wait_applied(&process, 501);
    if (before_close != NULL) {
        before_close();
    }
    process_close(&process);
    CHECK(eal_is_up());
}

// EAL's registered threads come and go with the reactors'.
static void three_nodes_with_threads_over_rings(void)
{
    struct tally done = {0};
    process_init(&process, 3);
    mesh(device_ring);
    for (uint32_t place = 0; place < 3; place++) {
        process.nodes[place].config.idle = PONTOON_IDLE_YIELD;
    }
    process_open(&process);
    process_start(&process);
    struct process_node *leader = process_leader(&process, 0);
    for (uint64_t number = 1; number <= 100; number++) {
        CHECK_EQUAL(
            pontoon_propose_mt(leader->pontoon, 0, &number, sizeof(number), tally_done, &done), 0);
    }
    WAIT_FOR(&process, atomic_load(&done.total) == 100);
    CHECK_EQUAL(atomic_load(&done.by_status[PONTOON_DONE]), 100);
    process_close(&process);
}

static void three_nodes_over_rings(void)
{
    replicate_on(device_ring, NULL);
    for (uint32_t from = 1; from <= 3; from++) {
        for (uint32_t to = 1; to <= 3; to++) {
            char name[32];
            name_ring(name, sizeof(name), from, to);
            if (from != to) {
                net_dpdk_ring_unlink(name);
            }
        }
    }
}

static atomic_bool starving;
static pthread_t hog;

static void *keep_busy(void *unused)
{
    while (atomic_load(&starving)) {
    }
    return unused;
}

// The kernel's number of EAL's interrupt thread, 0: there is none.
static pid_t interrupt_thread(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    pid_t thread = 0;
    while (tasks != NULL && thread == 0 && (entry = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL && fgets(name, sizeof(name), file) != NULL &&
            strcmp(name, "eal-intr-thread\n") == 0) {
            thread = atoi(entry->d_name);
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    closedir(tasks);
    return thread;
}

// From now on EAL's interrupt thread has hardly any time: what it has to do is still to be done
// later, when otherwise luck would have it done.
static void starve_interrupt_thread(void)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    pid_t thread = interrupt_thread();
    CHECK(thread != 0);
    CHECK_EQUAL(sched_setaffinity(thread, sizeof(here), &here), 0);
    CHECK_EQUAL(sched_setscheduler(thread, SCHED_IDLE, &(struct sched_param){0}), 0);
    CHECK_EQUAL(sched_setaffinity(0, sizeof(here), &here), 0);
    atomic_store(&starving, true);
    CHECK_EQUAL(pthread_create(&hog, NULL, keep_busy, NULL), 0); // on this CPU, too
}

static void feed_interrupt_thread(void)
{
    if (atomic_exchange(&starving, false)) {
        pthread_join(hog, NULL);
    }
    usleep(20000);
}

// The last case: EAL is cleaned up next, on a starved interrupt thread.
static void three_nodes_over_memif(void)
{
    replicate_on(device_memif, starve_interrupt_thread);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(three_nodes_over_rings),
        TEST(three_nodes_with_threads_over_rings),
        TEST(three_nodes_over_memif),
    };
    start_eal();
    int status = test_run("embed dpdk", cases, TEST_COUNT(cases), argc, argv);
    rte_eal_cleanup();
    feed_interrupt_thread(); // what it had left to do it would do now, on memory that is gone
    return status;
}
