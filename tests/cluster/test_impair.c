// Networks that nodes impair themselves (drivers/net_impair), told so at run time: every partition
// of three, every one-way link, and a storm of everything at once by a script, under clients whose
// history is judged.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/prng.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/history_load.h"
#include "tests/cluster/kv_client.h"
#include "tests/cluster/program.h"

enum { PAIRS = 48, SILENT_MS = 400, STABLE_MS = 600, CUTS = 12, CUT_MS = 450 };

static unsigned all_but(int id)
{
    return BED_ALL & ~(1u << id);
}

static bool open_impaired(void)
{
    return bed_open_with("udp", "fsync", BED_SETTINGS_IMPAIR);
}

// A command to one node, which must not say that it is done: not within this time.
static void check_no_ack(struct kv_client *client, int node)
{
    static uint8_t frame[KV_CLIENT_FRAME_BYTES];
    const struct kv_command put = {.operation = KV_PUT,
                                   .key = {.data = "minority", .bytes = 8},
                                   .value = {.data = "x", .bytes = 1}};
    struct wire_message message;
    uint64_t sequence = client->sequence++;
    uint32_t bytes = kv_client_frame(client, (uint16_t)node, sequence, &put, frame);
    kv_client_send(client, (uint16_t)node, frame, bytes);
    while (kv_client_receive(client, SILENT_MS, &message)) {
        for (uint32_t at = 0;
             message.type == WIRE_PROPOSE_REPLY && at < message.propose_reply.count; at++) {
            CHECK(message.propose_reply.results[at].sequence != sequence ||
                  message.propose_reply.results[at].status != WIRE_DONE);
        }
    }
}

// N3: each node alone, and with it each bisection of three; the leader's is one of them, whoever it
// is then. The other two serve, the one does not, and all are one again.
static void every_bisection_serves_and_heals(void)
{
    struct kv_client client, rude;
    struct bed_view view;
    if (!open_impaired() || !kv_client_open(&client, 1) || !kv_client_open(&rude, 2)) {
        return;
    }
    kv_client_fill(&client, 0, PAIRS);
    uint32_t pairs = PAIRS;
    for (int round = 0; round < CLUSTER_NODES + 1; round++) {
        // The last round is for the leader, in case no other was.
        int alone = round < CLUSTER_NODES ? round + 1 : bed_await_leader(BED_ALL);
        bed_impair(alone, "cut=true");
        check_no_ack(&rude, alone);
        bed_await_leader(all_but(alone));
        kv_client_fill(&client, pairs, PAIRS);
        pairs += PAIRS;
        WAIT_UNTIL(bed_look(alone, &view) && !view.is_leader);
        CHECK(view.applied < pairs);
        bed_impair(alone, "clear");
        bed_await_equal(BED_ALL, pairs);
    }
    kv_client_verify(&client, 0, pairs);
    CHECK(bed_count("net", "impaired_cut") > 0);
    kv_client_close(&rude);
    kv_client_close(&client);
    bed_close();
}

// One leader, in one term, for so long.
static bool is_stable(void)
{
    struct bed_view before = {0}, after = {0};
    int leader = bed_leader_of(BED_ALL);
    if (leader == 0 || !bed_look(leader, &before)) {
        return false;
    }
    bed_wait(STABLE_MS);
    return bed_leader_of(BED_ALL) == leader && bed_look(leader, &after) &&
           after.term == before.term;
}

// N4, N5: a link that works one way only, all six. Two nodes that hear each other are a majority:
// the cluster serves and terms do not grow for ever.
static void every_one_way_link_serves(void)
{
    struct kv_client client;
    char words[64];
    if (!open_impaired() || !kv_client_open(&client, 1)) {
        return;
    }
    uint32_t pairs = 0;
    for (int from = 1; from <= CLUSTER_NODES; from++) {
        for (int to = 1; to <= CLUSTER_NODES; to++) {
            if (from == to) {
                continue;
            }
            snprintf(words, sizeof(words), "peer %d out cut=true", to);
            bed_impair(from, words);
            kv_client_fill(&client, pairs, PAIRS);
            pairs += PAIRS;
            WAIT_UNTIL(is_stable());
            bed_impair(from, "clear");
        }
    }
    bed_await_equal(BED_ALL, pairs);
    kv_client_verify(&client, 0, pairs);
    kv_client_close(&client);
    bed_close();
}

// N4: a leader that is heard but hears nobody keeps the others from standing, until check-quorum
// makes it step down; one that hears but is not heard is replaced.
static void leader_deaf_or_mute_is_replaced(void)
{
    static const char *const words[] = {"in cut=true", "out cut=true"};
    struct kv_client client;
    struct bed_view view;
    if (!open_impaired() || !kv_client_open(&client, 1)) {
        return;
    }
    for (uint32_t kind = 0; kind < 2; kind++) {
        int old = bed_await_leader(BED_ALL);
        bed_impair(old, words[kind]);
        bed_await_leader(all_but(old));
        WAIT_UNTIL(bed_look(old, &view) && !view.is_leader);
        kv_client_fill(&client, kind * PAIRS, PAIRS);
        bed_impair(old, "clear");
        bed_await_equal(BED_ALL, (kind + 1) * PAIRS);
    }
    kv_client_verify(&client, 0, 2 * PAIRS);
    kv_client_close(&client);
    bed_close();
}

// The words on the command line and what they are answered, and that a node without impair_runtime
// refuses.
static void command_shows_and_changes(void)
{
    if (!open_impaired()) {
        return;
    }
    struct program_result result =
        program_run("pontoon", "impair", "--config", bed.config, "--id", "1", "peer", "2", "out",
                    "types=append,vote", "loss_ppm=1000", "clog=3ms");
    CHECK_EQUAL(result.status, 0);
    CHECK_TEXT(result.out, "node 1: peer 2 out types=vote,append loss_ppm=1000 clog=3ms\n");
    result = program_run("pontoon", "impair", "--config", bed.config);
    CHECK_EQUAL(result.status, 0);
    CHECK_TEXT(result.out, "node 1: peer 2 out types=vote,append loss_ppm=1000 clog=3ms\n"
                           "node 2: no faults\nnode 3: no faults\n");
    result = program_run("pontoon", "status", "--config", bed.config, "--id", "1");
    CHECK(strstr(result.out, "IMPAIRED on purpose: peer 2 out types=vote,append") != NULL);
    result = program_run("pontoon", "impair", "--config", bed.config, "clear");
    CHECK_TEXT(result.out, "node 1: no faults\nnode 2: no faults\nnode 3: no faults\n");
    bed_kill(3);
    result = program_run("pontoon", "impair", "--config", bed.config, "delay=1ms");
    CHECK_EQUAL(result.status, 6);
    CHECK(strstr(result.err, "node 3: no answer") != NULL);
    CHECK(strstr(result.out, "node 2: peer all out delay=1ms") != NULL); // the others have it
    if (!bed_open("udp", "memory")) {
        return;
    }
    result = program_run("pontoon", "impair", "--config", bed.config, "--id", "1", "cut=true");
    CHECK_EQUAL(result.status, 1);
    CHECK(strstr(result.err, "impair_runtime: true") != NULL);
    bed_close();
}

static const char *write_script(const char *name, const char *text)
{
    static char path[CLUSTER_PATH_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", bed.directory, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_EQUAL(fclose(file), 0);
    return path;
}

static void run_script(const char *text, int steps)
{
    char last[32];
    const char *path = write_script("script", text);
    struct program_result result =
        program_run("pontoon", "impair", "--config", bed.config, "--script", path);
    if (result.status != 0) {
        printf("    %s%s", result.out, result.err);
    }
    CHECK_EQUAL(result.status, 0);
    snprintf(last, sizeof(last), ", %d of %d: ", steps, steps);
    CHECK(strstr(result.out, last) != NULL);
}

#define BAD "loss_ppm=50000 corrupt_ppm=10000 duplicate_ppm=100000 reorder_ppm=100000 jitter=500us"

// N1, N2: corruption, loss, duplicates and reordering all the time, then also bursts and clogs, and
// nodes cut off and let in again in turn. The histories of six clients are linearizable, what was
// corrupted was found, and in the end all are the same.
static void storm_leaves_a_linear_history(void)
{
    if (!open_impaired()) {
        return;
    }
    run_script("at 0 node all " BAD "\n", 1);
    history_load_start(1);
    run_script("at 1.5 node all " BAD " burst_ppm=5000 burst_frames=100\n"
               "at 2.5 node all " BAD " clog_ppm=10000 clog=100ms  # longer than a heartbeat\n"
               "at 3.5 node 1 cut=true\n"
               "at 4.1 node 1 " BAD "\n"
               "at 4.3 node 2 cut=true\n"
               "at 4.9 node 2 " BAD "\n"
               "at 5.1 node 3 cut=true\n"
               "at 5.7 node 3 " BAD "\n"
               "at 5.9 node all cut=true  # everybody alone\n"
               "at 6.3 node all " BAD "\n"
               "at 8 node all clear\n",
               11);
    history_load_finish(300);
    CHECK(bed_count("net", "impaired_corrupted") > 0);
    CHECK(bed_count("refused", "bad_checksum") > 0);
    CHECK(bed_count("net", "impaired_clogged") > 0);
    bed_await_equal(BED_ALL, 1);
    bed_close();
}

// N6: each type of message is lost for a while, everywhere. The cluster may stand still, but says
// nothing wrong, and goes on when they come again.
static void each_type_of_message_may_be_lost(void)
{
    static const char *const types[] = {"pre_vote",   "pre_vote_reply", "vote",
                                        "vote_reply", "append_reply",   "append"};
    char words[96];
    if (!open_impaired()) {
        return;
    }
    history_load_start(2);
    for (size_t at = 0; at < TEST_COUNT(types); at++) {
        snprintf(words, sizeof(words), "types=%s loss_ppm=1000000", types[at]);
        for (int id = 1; id <= CLUSTER_NODES; id++) {
            bed_impair(id, words);
        }
        if (at < 4) { // no use without an election
            int leader = bed_leader_of(BED_ALL);
            cluster_signal_node(&bed, leader, SIGSTOP);
            bed_wait(500);
            cluster_signal_node(&bed, leader, SIGCONT);
        } else {
            bed_wait(700);
        }
        for (int id = 1; id <= CLUSTER_NODES; id++) {
            bed_impair(id, "clear");
        }
        bed_await_leader(BED_ALL);
        bed_wait(300);
    }
    history_load_finish(100);
    CHECK(bed_count("net", "impaired_lost") > 0);
    bed_await_equal(BED_ALL, 1);
    bed_close();
}

// P2: the leader sleeps for 1 to 3 s, wakes, and believes for a moment that it leads. Nobody gets
// an old value from it, nothing is acknowledged twice.
static void sleeping_leader_serves_nothing_stale(void)
{
    static const uint32_t sleeps_ms[] = {1000, 2500};
    if (!bed_open("udp", "fsync")) {
        return;
    }
    history_load_start(3);
    for (size_t at = 0; at < TEST_COUNT(sleeps_ms); at++) {
        bed_wait(400);
        int leader = bed_await_leader(BED_ALL);
        cluster_signal_node(&bed, leader, SIGSTOP);
        bed_wait(sleeps_ms[at]);
        cluster_signal_node(&bed, leader, SIGCONT);
        bed_await_leader(BED_ALL);
    }
    history_load_finish(300);
    bed_await_equal(BED_ALL, 1);
    bed_close();
}

// Leaders are cut off again and again, for longer than it takes to elect another. For a moment
// there may be two: only the one that a majority confirms may answer reads.
static void leaders_cut_off_answer_nothing_stale(void)
{
    if (!open_impaired()) {
        return;
    }
    history_load_start(5);
    for (int round = 0; round < CUTS; round++) {
        int leader = bed_await_leader(BED_ALL);
        bed_impair(leader, "cut=true");
        bed_wait(CUT_MS);
        bed_impair(leader, "clear");
    }
    history_load_finish(300);
    bed_await_equal(BED_ALL, 1);
    bed_close();
}

// P3: every process is kept from its core for 5 to 100 ms, over and over, one after the other.
static void preempted_nodes_keep_a_linear_history(void)
{
    struct prng prng;
    if (!bed_open("udp", "fsync")) {
        return;
    }
    prng_init(&prng, 4);
    history_load_start(4);
    for (uint64_t until_ns = bed_deadline_ns(3000); bed_now_ns() < until_ns;) {
        int id = (int)prng_between(&prng, 1, CLUSTER_NODES);
        cluster_signal_node(&bed, id, SIGSTOP);
        usleep((useconds_t)prng_between(&prng, 5000, 100000));
        cluster_signal_node(&bed, id, SIGCONT);
        usleep((useconds_t)prng_between(&prng, 1000, 20000));
    }
    bed_await_leader(BED_ALL);
    history_load_finish(100);
    bed_await_equal(BED_ALL, 1);
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(command_shows_and_changes),
        TEST(every_bisection_serves_and_heals),
        TEST(every_one_way_link_serves),
        TEST(leader_deaf_or_mute_is_replaced),
        TEST(storm_leaves_a_linear_history),
        TEST(each_type_of_message_may_be_lost),
        TEST(sleeping_leader_serves_nothing_stale),
        TEST(preempted_nodes_keep_a_linear_history),
        TEST(leaders_cut_off_answer_nothing_stale),
    };
    return test_run("cluster impair", cases, TEST_COUNT(cases), argc, argv);
}
