// One hop there and back: what a link between two processes (or, over rings, two lcores) costs
// without any work.
//
//     client ──▶ echo ──▶ client        each on a CPU of its own where there are two
#include "bench/harness/options.h"
#include "bench/harness/process.h"
#include "bench/raw/link.h"
#include "bench/raw/ping.h"
#include "bench/raw/report.h"

#include <rte_eth_ring.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_ring.h>
#include <stdio.h>

enum { CLIENT_CPU = 0, ECHO_CPU = 1, START_MS = 20000, LINK_MS = 10000, RING_FRAMES = 4096 };

// Shared by the parent and both ends.
struct hop {
    atomic_bool stop;
    bool hugepages;
    struct link link;
    struct ping_plan plan;
    struct ping_report report;
};

static struct rte_mempool *open_end(const struct hop *hop, struct port *port,
                                    const struct link_end *end, unsigned cpu)
{
    cpu = process_cpu(cpu);
    struct rte_mempool *pool = port_start_eal("raw_link", &cpu, 1, &end, 1, hop->hugepages);
    return pool != NULL && port_open(port, end, pool) ? pool : NULL;
}

static int run_echo(void *context, int ready_fd)
{
    struct hop *hop = context;
    struct port port;
    if (open_end(hop, &port, &hop->link.server, ECHO_CPU) == NULL) {
        return 1;
    }
    process_say_ready(ready_fd);
    ping_echo(&port, &hop->stop);
    return 0;
}

static int run_client(void *context, int ready_fd)
{
    struct hop *hop = context;
    struct port port;
    if (open_end(hop, &port, &hop->link.client, CLIENT_CPU) == NULL ||
        !port_await_link(&port, LINK_MS)) {
        return 1;
    }
    process_say_ready(ready_fd);
    ping_run(&port, &hop->plan, &hop->report);
    return 0;
}

// Two ethdevs of net_ring, each receiving what the other sends.
static bool open_ring_ports(struct port *client, struct port *echo, struct rte_mempool *pool)
{
    unsigned socket = rte_socket_id(), flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
    struct rte_ring *there = rte_ring_create("there", RING_FRAMES, (int)socket, flags);
    struct rte_ring *back = rte_ring_create("back", RING_FRAMES, (int)socket, flags);
    if (there == NULL || back == NULL) {
        return false;
    }
    int client_id = rte_eth_from_rings("client", &back, 1, &there, 1, socket);
    int echo_id = rte_eth_from_rings("echo", &there, 1, &back, 1, socket);
    client->kind = echo->kind = LINK_RING;
    return client_id >= 0 && echo_id >= 0 && port_start_device(client, (uint16_t)client_id, pool) &&
           port_start_device(echo, (uint16_t)echo_id, pool);
}

struct echo_lcore {
    struct port port;
    const atomic_bool *stop;
};

static int run_echo_lcore(void *context)
{
    struct echo_lcore *echo = context;
    ping_echo(&echo->port, echo->stop);
    return 0;
}

// Both ends in one process.
static int run_rings(void *context, int ready_fd)
{
    struct hop *hop = context;
    const unsigned cpus[] = {process_cpu(CLIENT_CPU), process_cpu(ECHO_CPU)};
    struct rte_mempool *pool = port_start_eal("raw_link", cpus, 2, NULL, 0, hop->hugepages);
    static struct port client;
    static struct echo_lcore echo;
    echo.stop = &hop->stop;
    if (pool == NULL || !open_ring_ports(&client, &echo.port, pool) ||
        rte_eal_remote_launch(run_echo_lcore, &echo, 1) != 0) {
        return 1;
    }
    process_say_ready(ready_fd);
    ping_run(&client, &hop->plan, &hop->report);
    atomic_store_explicit(&hop->stop, true, memory_order_relaxed);
    rte_eal_mp_wait_lcore();
    return 0;
}

static bool start_and_await(struct process *process, const char *name, process_function *run,
                            struct hop *hop)
{
    process_start(process, name, run, hop);
    return process_await_ready(process, START_MS);
}

static bool run_hop(struct hop *hop)
{
    struct process echo = {0}, client = {0};
    bool rings = hop->link.client.kind == LINK_RING;
    bool good = rings || start_and_await(&echo, "echo", run_echo, hop);
    good = good && start_and_await(&client, "client", rings ? run_rings : run_client, hop);
    if (good) {
        int limit_ms = (int)(1000 * hop->plan.seconds * hop->plan.rounds) + START_MS;
        good = process_await_end(&client, limit_ms);
    }
    process_kill(&client);
    process_kill(&echo);
    return good;
}

int main(int argc, char **argv)
{
    static const char *const memories[] = {"auto", "normal", NULL};
    uint64_t link = LINK_MEMIF, memory = 0;
    const char *json_path = NULL, *hdr_path = NULL;
    struct hop *hop = process_share(sizeof(*hop));
    hop->plan = (struct ping_plan){.frame_bytes = 64, .window = 1, .rounds = 1, .seconds = 2};
    const struct option_row rows[] = {
        {"link", OPTION_CHOICE, &link, 0, 0, link_names_to_ring, "between client and echo"},
        {"size", OPTION_NUMBER, &hop->plan.frame_bytes, PORT_FRAME_BYTES_MIN, PORT_FRAME_BYTES_MAX,
         NULL, "bytes a frame"},
        {"window", OPTION_NUMBER, &hop->plan.window, 1, PING_WINDOW_MAX, NULL, "frames in flight"},
        {"seconds", OPTION_NUMBER, &hop->plan.seconds, 1, 600, NULL, "a round"},
        {"rounds", OPTION_NUMBER, &hop->plan.rounds, 1, PING_ROUNDS_MAX, NULL,
         "measured one after the other"},
        {"memory", OPTION_CHOICE, &memory, 0, 0, memories, "hugepages when free, or never"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
        {"hdr", OPTION_TEXT, &hdr_path, 0, 0, NULL, "file for the HdrHistogram percentiles"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]), "one hop there and back, without any work",
                  argc, argv);
    hop->hugepages = memory == 0 && port_hugepages_free(2);
    if (!link_make(&hop->link, 1, (enum link_kind)link) || !run_hop(hop)) {
        return 1;
    }
    struct result result;
    result_init(&result, argc, argv);
    result_add_text(&result, "link", link_names_to_ring[link]);
    report_ping(&result, &hop->plan, &hop->report, hop->hugepages);
    return result_finish(&result, &hop->report.histogram, json_path, hdr_path);
}
