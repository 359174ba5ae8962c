// A memif peer that dies: this process keeps sending to a child, kills it in the middle with
// SIGKILL, starts another one, and must live on. With this process as memif client (it must
// reconnect) and as server (it must let go).
//
// The child echoes every datagram until it is killed, or its parent is gone.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/net_dpdk/net_dpdk.h"
#include "tests/harness/harness.h"

enum { ROUNDS = 4, BURST = 32, PORT = 7800, BUFFERS = 1024, PAYLOAD = 200 };

#define SECOND_NS UINT64_C(1000000000)

extern char **environ;
static const char *self;
static struct clock_tsc clock_tsc;

static struct net *open_end(const char *role, const char *socket, bool is_parent)
{
    static int opened;
    struct net_config config = {
        .link_count = 1, .peer_count = 1, .udp_port = PORT, .reactors = 1, .buffers = BUFFERS};
    snprintf(config.links[0].device, sizeof(config.links[0].device),
             "net_memif%d,role=%s,id=0,socket=%s", opened++, role, socket);
    config.links[0].ipv4 = is_parent ? 1 : 2;
    config.links[0].frame_bytes = 1472;
    config.peers[0] =
        (struct net_peer_config){.node_id = is_parent ? 2 : 1, .ipv4 = is_parent ? 2 : 1};
    struct net *net;
    char reason[512];
    if (net_dpdk_open(&config, NULL, &net, reason, sizeof(reason)) != 0) {
        printf("    %s\n", reason);
        return NULL;
    }
    clock_tsc_init(&clock_tsc);
    return net;
}

static int be_child(const char *role, const char *socket)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct net *net = open_end(role, socket, false);
    while (net != NULL) {
        struct net_frame frames[BURST];
        net->ops->poll(net, clock_now_ns(&clock_tsc.clock));
        uint32_t count = net->ops->receive(net, frames, BURST);
        uint32_t sent = net->ops->send(net, frames, count);
        net->ops->release(net, frames + sent, count - sent);
        if (count == 0) {
            sched_yield();
        }
    }
    return 1;
}

static pid_t start_child(const char *role, const char *socket)
{
    char *arguments[] = {(char *)(uintptr_t)self, (char *)(uintptr_t) "child",
                         (char *)(uintptr_t)role, (char *)(uintptr_t)socket, NULL};
    pid_t child = -1;
    CHECK_EQUAL(posix_spawn(&child, self, NULL, NULL, arguments, environ), 0);
    return child;
}

// Keeps bursts in the air for `duration_ns`, or until `enough` echoes came. Result: how many came.
static uint64_t talk(struct net *net, uint64_t duration_ns, uint64_t enough)
{
    uint64_t start_ns = clock_now_ns(&clock_tsc.clock), now_ns = start_ns, echoes = 0;
    while (now_ns - start_ns < duration_ns && echoes < enough) {
        struct net_frame frames[BURST];
        struct net_endpoint to;
        net->ops->poll(net, now_ns);
        CHECK(net->ops->locate(net, 2, 0, &to));
        uint32_t count = net->ops->acquire(net, 0, NET_USE_PEER, frames, BURST);
        for (uint32_t i = 0; i < count; i++) {
            frames[i].remote = to;
            frames[i].bytes = PAYLOAD;
            memset(frames[i].data, (int)i, PAYLOAD);
        }
        uint32_t sent = net->ops->send(net, frames, count);
        net->ops->release(net, frames + sent, count - sent);
        count = net->ops->receive(net, frames, BURST);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_EQUAL(frames[i].bytes, PAYLOAD);
            CHECK_EQUAL(frames[i].data[0], frames[i].data[PAYLOAD - 1]);
        }
        net->ops->release(net, frames, count);
        echoes += count;
        sched_yield();
        now_ns = clock_now_ns(&clock_tsc.clock);
    }
    return echoes;
}

static void survive(const char *own_role, const char *child_role)
{
    char socket[64];
    snprintf(socket, sizeof(socket), "pontoon-kill-%d-%s", (int)getpid(), own_role);
    struct net *net = open_end(own_role, socket, true);
    CHECK(net != NULL);
    uint32_t whole = net_dpdk_buffers_free(net);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = start_child(child_role, socket);
        uint64_t echoes = talk(net, 8 * SECOND_NS, 5000);
        kill(child, SIGKILL);
        CHECK_EQUAL(waitpid(child, NULL, 0), child);
        uint64_t late = talk(net, SECOND_NS / 10, UINT64_MAX);
        for (int more = 0; more < 100 && net->ops->link_up(net, 0); more++) {
            late += talk(net, SECOND_NS / 10, UINT64_MAX); // a busy machine notices later
        }
        CHECK(echoes >= 5000);
        CHECK(late < 100000);
        struct net_counters counters;
        net->ops->counters(net, &counters);
        CHECK_EQUAL(counters.link_flaps, round + 1);
        CHECK(!net->ops->link_up(net, 0));
        CHECK_EQUAL(net_dpdk_buffers_free(net), whole);
    }
    net->ops->close(net);
}

static void a_client_reconnects_when_its_server_was_killed(void)
{
    survive("client", "server");
}

static void a_server_takes_a_new_client_when_the_old_one_was_killed(void)
{
    survive("server", "client");
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(a_client_reconnects_when_its_server_was_killed),
        TEST(a_server_takes_a_new_client_when_the_old_one_was_killed),
    };
    if (argc == 4 && strcmp(argv[1], "child") == 0) {
        return be_child(argv[2], argv[3]);
    }
    self = "/proc/self/exe";
    return test_run("net memif kill", cases, TEST_COUNT(cases), argc, argv);
}
