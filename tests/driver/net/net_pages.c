// Several processes start at once and there are hugepages for one: every EAL comes up, those that
// find none on ordinary pages; and what they then take is enough.
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/net_dpdk/eal.h"
#include "drivers/net_dpdk/net_dpdk.h"
#include "tests/harness/harness.h"

enum { PROCESSES = 4, EACH_MIB = 48, LEFT_MIB = 64, BUFFERS = 30000 };

static uint64_t free_mib(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
    if (file != NULL) {
        CHECK_EQUAL(fscanf(file, "%llu", &pages), 1);
        fclose(file);
    }
    return 2 * pages;
}

// Starts EAL, tells so, and keeps its memory until `end` closes. Exit status: 0, or 1: did not
// start.
static int run_eal(int started, int end)
{
    const struct eal_options options = {.memory_mib = EACH_MIB};
    struct eal_fault fault;
    char nothing;
    int error = eal_start(&options, NULL, 0, &fault);
    printf("    %s\n", error == 0 ? eal_mode() : fault.cause);
    fflush(stdout);
    CHECK_EQUAL(write(started, "", 1), 1);
    (void)!read(end, &nothing, 1);
    eal_stop();
    return error != 0;
}

static void all_start_though_the_pages_are_for_one(void)
{
    int started[2], end[2];
    char one;
    pid_t children[PROCESSES];
    uint64_t free_before = free_mib();
    if (free_before <= LEFT_MIB) {
        test_skip("%llu MiB of hugepages are free; more than %d are needed",
                  (unsigned long long)free_before, LEFT_MIB);
        return;
    }
    uint64_t taken_bytes = (free_before - LEFT_MIB) << 20;
    void *taken = mmap(NULL, taken_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    if (taken == MAP_FAILED) {
        test_skip("others take hugepages, too");
        return;
    }
    CHECK_EQUAL(pipe(started), 0);
    CHECK_EQUAL(pipe(end), 0);
    fflush(stdout);
    for (int at = 0; at < PROCESSES; at++) {
        children[at] = fork();
        if (children[at] == 0) {
            close(end[1]);
            _exit(run_eal(started[1], end[0]));
        }
    }
    for (int at = 0; at < PROCESSES; at++) {
        CHECK_EQUAL(read(started[0], &one, 1), 1);
    }
    close(end[1]);
    munmap(taken, taken_bytes);
    for (int at = 0; at < PROCESSES; at++) {
        int status;
        CHECK_EQUAL(waitpid(children[at], &status, 0), children[at]);
        CHECK(WIFEXITED(status));
        CHECK_EQUAL(WEXITSTATUS(status), 0);
    }
    close(started[0]);
    close(started[1]);
    close(end[0]);
}

// Opens a network of that many buffers on ordinary pages. Exit status: 0, or 1: it did not open.
static int open_network(const char *device, uint16_t frame_bytes)
{
    struct net_config config = {
        .link_count = 1, .udp_port = 7900, .reactors = 1, .buffers = BUFFERS};
    const struct eal_options options = {.hugepages_forbidden = true};
    struct net *net;
    char reason[512] = "";
    snprintf(config.links[0].device, sizeof(config.links[0].device), "%s", device);
    config.links[0].ipv4 = 1;
    config.links[0].frame_bytes = frame_bytes;
    int error = net_dpdk_open(&config, &options, &net, reason, sizeof(reason));
    printf("    %s, frames of %u: %s\n", device, frame_bytes, error == 0 ? eal_mode() : reason);
    fflush(stdout);
    if (error == 0) {
        net->ops->close(net);
    }
    eal_stop();
    return error != 0;
}

// What EAL is started with is enough for the buffers, though none may lie across two small pages.
static void the_budget_is_enough_for_ordinary_pages(void)
{
    static const struct {
        const char *device;
        uint16_t frame_bytes;
    } networks[] = {{"net_null0", 1472},
                    {"net_memif0,role=server,socket=pontoon-pages", 534},
                    {"net_memif0,role=server,socket=pontoon-pages", 1472},
                    {"net_memif0,role=server,socket=pontoon-pages", 4000},
                    {"net_memif0,role=server,socket=pontoon-pages", 9000}};
    for (size_t at = 0; at < TEST_COUNT(networks); at++) {
        int status;
        fflush(stdout);
        pid_t child = fork(); // EAL starts once in a process
        if (child == 0) {
            _exit(open_network(networks[at].device, networks[at].frame_bytes));
        }
        CHECK_EQUAL(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(all_start_though_the_pages_are_for_one),
        TEST(the_budget_is_enough_for_ordinary_pages),
    };
    return test_run("net pages", cases, TEST_COUNT(cases), argc, argv);
}
