// The raw path of a replicated request: what four processes and four hops cost on this machine
// without any work.
//
//     client ──▶ leader ──▶ follower ──┐
//       ▲          │  └───▶ follower ──┤     the leader passes each frame on to both followers, and
//       the first answer └──────────┴◀──────────────────┘     back to the client; followers return
//       what they get
//
// Four processes with an EAL each, as the nodes of a cluster have. The leader has a CPU of its own,
// the others share one and yield. This is the limit Pontoon's latency is divided by, so it contains
// nothing of Pontoon.
#include "bench/harness/options.h"
#include "bench/harness/process.h"
#include "bench/raw/link.h"
#include "bench/raw/ping.h"
#include "bench/raw/report.h"

#include <stdio.h>

enum { FOLLOWERS = 2, LINK_CLIENT = 0, LINK_FOLLOWER = 1, LINKS = 1 + FOLLOWERS };
enum { LEADER_CPU = 0, OTHERS_CPU = 1, START_MS = 20000, LINK_MS = 10000 };

// Shared by the parent and the roles.
struct chain {
    atomic_bool stop;
    bool hugepages;
    struct link links[LINKS]; // the client's, then the followers'
    struct ping_plan plan;
    struct ping_report report;
};

// A follower's context: the chain and which of them it is.
struct follower {
    struct chain *chain;
    unsigned number;
};

static struct rte_mempool *start_eal(const struct chain *chain, const char *name, unsigned cpu,
                                     const struct link_end *const *ends, unsigned end_count)
{
    cpu = process_cpu(cpu);
    return port_start_eal(name, &cpu, 1, ends, end_count, chain->hugepages);
}

static int run_follower(void *context, int ready_fd)
{
    const struct follower *follower = context;
    const struct link_end *end = &follower->chain->links[LINK_FOLLOWER + follower->number].server;
    struct rte_mempool *pool = start_eal(follower->chain, "follower", OTHERS_CPU, &end, 1);
    struct port port;
    if (pool == NULL || !port_open(&port, end, pool)) {
        return 1;
    }
    process_say_ready(ready_fd);
    ping_echo(&port, &follower->chain->stop);
    return 0;
}

struct leader {
    struct port client;
    struct port followers[FOLLOWERS];
    uint32_t answered[4 * PING_WINDOW_MAX]; // by sequence: the last one answered, plus one
};

// Both followers get the same mbuf: each port gives back one reference when it has copied the frame
// out.
static bool pass_requests(struct leader *leader)
{
    struct rte_mbuf *frames[PORT_BURST], *again[PORT_BURST];
    uint16_t count = port_receive(&leader->client, frames, PORT_BURST);
    for (uint16_t i = 0; i < count; i++) {
        rte_mbuf_refcnt_update(frames[i], FOLLOWERS - 1);
        again[i] = frames[i];
    }
    if (count > 0) {
        port_send(&leader->followers[0], frames, count);
        port_send(&leader->followers[1], again, count);
    }
    return count > 0;
}

static bool is_first_answer(struct leader *leader, const struct rte_mbuf *frame)
{
    if (!port_is_ours(frame)) {
        return false;
    }
    uint32_t sequence = port_sequence(frame);
    uint32_t *answered = &leader->answered[sequence % (4 * PING_WINDOW_MAX)];
    bool first = *answered != sequence + 1;
    *answered = sequence + 1;
    return first;
}

static bool pass_answers(struct leader *leader, struct port *follower)
{
    struct rte_mbuf *frames[PORT_BURST];
    uint16_t count = port_receive(follower, frames, PORT_BURST), first = 0;
    for (uint16_t i = 0; i < count; i++) {
        if (is_first_answer(leader, frames[i])) {
            frames[first++] = frames[i];
        } else {
            rte_pktmbuf_free(frames[i]);
        }
    }
    if (first > 0) {
        port_send(&leader->client, frames, first);
    }
    return count > 0;
}

static void relay(struct leader *leader, const atomic_bool *stop)
{
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        bool busy = pass_requests(leader);
        for (unsigned i = 0; i < FOLLOWERS; i++) {
            busy |= pass_answers(leader, &leader->followers[i]);
        }
        if (!busy) {
            port_idle();
        }
    }
}

static int run_leader(void *context, int ready_fd)
{
    struct chain *chain = context;
    static struct leader leader;
    const struct link_end *ends[LINKS] = {&chain->links[LINK_CLIENT].server};
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        ends[LINK_FOLLOWER + i] = &chain->links[LINK_FOLLOWER + i].client;
    }
    struct rte_mempool *pool = start_eal(chain, "leader", LEADER_CPU, ends, LINKS);
    bool open = pool != NULL && port_open(&leader.client, ends[LINK_CLIENT], pool);
    for (unsigned i = 0; open && i < FOLLOWERS; i++) {
        open = port_open(&leader.followers[i], ends[LINK_FOLLOWER + i], pool) &&
               port_await_link(&leader.followers[i], LINK_MS);
    }
    if (!open) {
        return 1;
    }
    process_say_ready(ready_fd);
    relay(&leader, &chain->stop);
    return 0;
}

static int run_client(void *context, int ready_fd)
{
    struct chain *chain = context;
    const struct link_end *end = &chain->links[LINK_CLIENT].client;
    struct rte_mempool *pool = start_eal(chain, "client", OTHERS_CPU, &end, 1);
    struct port port;
    if (pool == NULL || !port_open(&port, end, pool) || !port_await_link(&port, LINK_MS)) {
        return 1;
    }
    process_say_ready(ready_fd);
    ping_run(&port, &chain->plan, &chain->report);
    return 0;
}

static bool start_and_await(struct process *process, const char *name, process_function *run,
                            void *context)
{
    process_start(process, name, run, context);
    return process_await_ready(process, START_MS);
}

// Starts who is called before who calls, then waits for the client. Result: whether it measured.
static bool run_chain(struct chain *chain)
{
    struct process followers[FOLLOWERS] = {0}, leader = {0}, client = {0};
    struct follower contexts[FOLLOWERS];
    bool good = true;
    for (unsigned i = 0; good && i < FOLLOWERS; i++) {
        contexts[i] = (struct follower){.chain = chain, .number = i};
        good = start_and_await(&followers[i], "follower", run_follower, &contexts[i]);
    }
    good = good && start_and_await(&leader, "leader", run_leader, chain);
    good = good && start_and_await(&client, "client", run_client, chain);
    if (good) {
        int limit_ms = (int)(1000 * chain->plan.seconds * chain->plan.rounds) + START_MS;
        good = process_await_end(&client, limit_ms);
    }
    atomic_store_explicit(&chain->stop, true, memory_order_relaxed);
    process_kill(&client);
    process_kill(&leader);
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        process_kill(&followers[i]);
    }
    return good;
}

int main(int argc, char **argv)
{
    static const char *const memories[] = {"auto", "normal", NULL};
    uint64_t link = LINK_MEMIF, memory = 0;
    const char *json_path = NULL, *hdr_path = NULL;
    struct chain *chain = process_share(sizeof(*chain));
    chain->plan = (struct ping_plan){.frame_bytes = 64, .window = 1, .rounds = 1, .seconds = 2};
    const struct option_row rows[] = {
        {"link", OPTION_CHOICE, &link, 0, 0, link_names_to_udp, "between the processes"},
        {"size", OPTION_NUMBER, &chain->plan.frame_bytes, PORT_FRAME_BYTES_MIN,
         PORT_FRAME_BYTES_MAX, NULL, "bytes a frame"},
        {"window", OPTION_NUMBER, &chain->plan.window, 1, PING_WINDOW_MAX, NULL,
         "requests in flight"},
        {"seconds", OPTION_NUMBER, &chain->plan.seconds, 1, 600, NULL, "a round"},
        {"rounds", OPTION_NUMBER, &chain->plan.rounds, 1, PING_ROUNDS_MAX, NULL,
         "measured one after the other"},
        {"memory", OPTION_CHOICE, &memory, 0, 0, memories, "hugepages when free, or never"},
        {"json", OPTION_TEXT, &json_path, 0, 0, NULL, "file for the result as JSON"},
        {"hdr", OPTION_TEXT, &hdr_path, 0, 0, NULL, "file for the HdrHistogram percentiles"},
    };
    options_parse(rows, sizeof(rows) / sizeof(rows[0]),
                  "client -> leader -> two followers -> first answer -> client, without any work",
                  argc, argv);
    chain->hugepages = memory == 0 && port_hugepages_free(2 + FOLLOWERS);
    if (!link_make(chain->links, LINKS, (enum link_kind)link) || !run_chain(chain)) {
        return 1;
    }
    struct result result;
    result_init(&result, argc, argv);
    result_add_text(&result, "link", link_names_to_udp[link]);
    report_ping(&result, &chain->plan, &chain->report, chain->hugepages);
    return result_finish(&result, &chain->report.histogram, json_path, hdr_path);
}
