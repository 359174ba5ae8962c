// Clients record what they were told while leaders are killed under them, and the judge finds one
// order for all of it: on the very binary, disks and sockets that users run.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/app_kv/kv_command.h"
#include "drivers/cli/cli.h"
#include "engine/base/prng.h"
#include "engine/pontoon.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"
#include "tests/sim/linear.h"

enum {
    ASKERS = 4,
    SLOTS = 3, // operations in flight of one client
    KEYS = 3,
    KILLS = 2,
    OPS_A_PHASE = 400,
    // Shorter than any election, so that what is in flight when a leader dies ends as UNKNOWN.
    GIVE_UP_NS = 120000000,
    ATTEMPT_NS = 40000000,
};

struct asker;

// One operation of a client.
struct slot {
    struct asker *asker;
    uint32_t number; // in all clients together: the history's client
    uint32_t id;     // in the history
    bool is_busy;
};

struct asker {
    struct pontoon_client *client;
    struct slot slots[SLOTS];
};

static struct history history;
static struct asker askers[ASKERS];
static struct prng prng;
static uint64_t next_token;
static uint64_t known[KEYS + 1]; // by key: what was read or written last, for the next swap
static uint32_t returned, counts[HISTORY_OPEN];

static void end(struct slot *slot, enum history_outcome outcome, uint64_t read)
{
    const struct history_op *op = &history.ops[slot->id];
    history_return(&history, slot->id, bed_now_ns(), outcome, read);
    if (outcome == HISTORY_OK) {
        known[op->key] = op->value;
    }
    slot->is_busy = false;
    returned++;
    counts[outcome]++;
}

static void on_done(void *context, const struct pontoon_result *result)
{
    enum history_outcome outcome = HISTORY_UNKNOWN;
    if (result->status == PONTOON_DONE) {
        static const enum history_outcome outcomes[] = {[KV_OK] = HISTORY_OK,
                                                        [KV_NOT_FOUND] = HISTORY_NOT_FOUND,
                                                        [KV_MISMATCH] = HISTORY_MISMATCH,
                                                        [KV_MALFORMED] = HISTORY_FAILED,
                                                        [KV_FULL] = HISTORY_FULL};
        CHECK(result->value <= KV_FULL);
        outcome = outcomes[result->value];
    } else if (result->status == PONTOON_EXPIRED) {
        outcome = HISTORY_EXPIRED;
    }
    end(context, outcome, 0);
}

static void on_answer(void *context, enum pontoon_status status, const void *answer, int32_t bytes)
{
    uint64_t token = 0;
    if (status == PONTOON_DONE && bytes >= 0) {
        CHECK_EQUAL(bytes, sizeof(token));
        memcpy(&token, answer, sizeof(token));
    }
    end(context, status == PONTOON_DONE ? HISTORY_OK : HISTORY_UNKNOWN, token);
}

static struct kv_bytes bytes_of(const uint64_t *number)
{
    return (struct kv_bytes){.data = number, .bytes = sizeof(*number)};
}

static int send_get(struct slot *slot, uint64_t key)
{
    uint8_t text[64];
    const struct kv_query query = {.kind = KV_QUERY_GET, .key = bytes_of(&key)};
    uint32_t bytes = kv_command_encode_query(&query, text, sizeof(text));
    return pontoon_client_read(slot->asker->client, 0, text, bytes, on_answer, slot);
}

static int send_command(struct slot *slot, const struct kv_command *command)
{
    uint8_t text[64];
    uint32_t bytes = kv_command_encode(command, text, sizeof(text));
    CHECK(bytes > 0);
    return pontoon_client_propose(slot->asker->client, 0, text, bytes, on_done, slot);
}

// Nothing is polled between the sending and its record, so the order of events is the real one. A
// client that has no room sent nothing: no record.
static void ask(struct slot *slot)
{
    uint64_t key = prng_between(&prng, 1, KEYS), dice = prng_below(&prng, 100);
    uint64_t token = next_token + 1, expected = known[key], called_ns = bed_now_ns();
    struct kv_command command = {.key = bytes_of(&key)};
    enum history_operation operation;
    int error;
    if (dice < 40) {
        operation = HISTORY_GET;
        error = send_get(slot, key);
    } else if (dice < 65) {
        operation = HISTORY_PUT;
        command.operation = KV_PUT;
        command.value = bytes_of(&token);
        error = send_command(slot, &command);
    } else if (dice < 90) {
        operation = HISTORY_SWAP;
        command.operation = KV_COMPARE_AND_SWAP;
        command.value = bytes_of(&token);
        command.expected =
            expected == 0 ? (struct kv_bytes){.bytes = KV_ABSENT} : bytes_of(&expected);
        error = send_command(slot, &command);
    } else {
        operation = HISTORY_DELETE;
        command.operation = KV_DELETE;
        error = send_command(slot, &command);
    }
    CHECK(error == 0 || error == -EAGAIN);
    if (error == 0) {
        bool is_write = operation == HISTORY_PUT || operation == HISTORY_SWAP;
        next_token += is_write;
        slot->is_busy = true;
        slot->id = history_call(&history, slot->number, called_ns, operation, key,
                                is_write ? token : 0, operation == HISTORY_SWAP ? expected : 0);
    }
}

// All clients, until so many more operations returned.
static void run(uint32_t operations)
{
    uint32_t target = returned + operations;
    uint64_t deadline_ns = bed_deadline_ns(BED_PATIENCE_MS);
    while (returned < target) {
        bool was_busy = false;
        for (struct asker *asker = askers; asker < askers + ASKERS; asker++) {
            was_busy |= pontoon_client_poll(asker->client);
            for (struct slot *slot = asker->slots; slot < asker->slots + SLOTS; slot++) {
                if (!slot->is_busy) {
                    ask(slot);
                }
            }
        }
        if (!was_busy) {
            usleep(100);
        }
        if (bed_now_ns() > deadline_ns) {
            bed_report();
            CHECK(!"the operations ended in time");
        }
    }
}

// The bed's configuration has one client place; behind it, more.
static bool open_cluster(int clients)
{
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return false;
    }
    FILE *file = fopen(bed.config, "a");
    CHECK(file != NULL);
    for (int place = 2; place <= clients; place++) {
        fprintf(file, "  - id: %d\n", place);
    }
    CHECK_EQUAL(fclose(file), 0);
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        struct bed_view view;
        WAIT_UNTIL(bed_look(id, &view));
    }
    bed_await_leader(BED_ALL);
    return true;
}

static void open_askers(void)
{
    static struct pontoon_config config;
    const struct pontoon_client_options options = {
        .depth_max = 16, .attempt_timeout_ns = ATTEMPT_NS, .give_up_ns = GIVE_UP_NS};
    char reason[512];
    for (uint16_t at = 0; at < ASKERS; at++) {
        int error =
            pontoon_config_load(&config, bed.config, 0, (uint16_t)(at + 1), reason, sizeof(reason));
        if (error == 0) {
            error =
                pontoon_client_open(&config, &options, &askers[at].client, reason, sizeof(reason));
        }
        if (error != 0) {
            printf("    %s\n", reason);
        }
        CHECK_EQUAL(error, 0);
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
            askers[at].slots[slot] =
                (struct slot){.asker = &askers[at], .number = at * (uint32_t)SLOTS + slot};
        }
    }
}

static void judge_history(enum linear_verdict verdict)
{
    struct linear_result result;
    struct linear *linear = linear_open(LINEAR_BUDGET);
    CHECK(linear != NULL);
    linear_judge(linear, &history, &result);
    if (result.verdict == LINEAR_VIOLATION && verdict == LINEAR) {
        linear_print_violation(&history, &result, stdout);
    }
    CHECK_TEXT(linear_verdict_name(result.verdict), linear_verdict_name(verdict));
    linear_close(linear);
}

static void kill_and_restart_leader(void (*meanwhile)(void))
{
    int leader = bed_await_leader(BED_ALL);
    bed_kill(leader);
    meanwhile();
    bed_await_leader(BED_ALL & ~(1u << leader));
    bed_start(leader);
    meanwhile();
    bed_await_equal(BED_ALL, 1);
}

static void run_a_phase(void)
{
    run(OPS_A_PHASE);
}

// Every kind of operation, four clients, two leaders killed and restarted; what was in flight when
// they died is of unknown outcome, and may take effect late.
static void clients_under_killed_leaders(void)
{
    if (!open_cluster(ASKERS)) {
        return;
    }
    history_reset(&history);
    prng_init(&prng, 11);
    open_askers();
    run(OPS_A_PHASE);
    for (int kill = 0; kill < KILLS; kill++) {
        kill_and_restart_leader(run_a_phase);
    }
    run(OPS_A_PHASE);
    for (struct asker *asker = askers; asker < askers + ASKERS; asker++) {
        pontoon_client_close(asker->client);
    }
    printf("    %u operations: %u ok, %u not found, %u mismatch, %u unknown, %u expired\n",
           history.count, counts[HISTORY_OK], counts[HISTORY_NOT_FOUND], counts[HISTORY_MISMATCH],
           counts[HISTORY_UNKNOWN], counts[HISTORY_EXPIRED]);
    CHECK(counts[HISTORY_OK] >= OPS_A_PHASE);
    CHECK(counts[HISTORY_NOT_FOUND] > 0 && counts[HISTORY_MISMATCH] > 0);
    CHECK(counts[HISTORY_UNKNOWN] > 0);
    judge_history(LINEAR);
    bed_close();
}

static const char *path_in_bed(const char *name)
{
    static char paths[4][CLUSTER_PATH_BYTES + 32];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", bed.directory, name);
    return path;
}

static struct program_result judge_files(const char *option, const char *first, const char *second)
{
    char judge[sizeof(bed.program) + 16];
    snprintf(judge, sizeof(judge), "%.*s/tests/sim/judge",
             (int)(strrchr(bed.program, '/') - bed.program), bed.program);
    return program_run(judge, option, first, second);
}

static pid_t start_bench(const char *place, const char *history_path)
{
    return program_start(
        "bench.log",
        (const char *const[]){"pontoon", "bench",      "--config",  bed.config,   "--client",
                              place,     "--workload", "kv",        "--keys",     "5",
                              "--depth", "6",          "--reads",   "60",         "--size",
                              "8",       "--warm-up",  "0",         "--seconds",  "4",
                              "--seed",  "3",          "--history", history_path, NULL});
}

static void read_history(const char *path)
{
    char reason[256];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    history_reset(&history);
    int error = history_read(&history, file, reason, sizeof(reason));
    if (error != 0) {
        printf("    %s\n", reason);
    }
    CHECK_EQUAL(error, 0);
    fclose(file);
}

static bool is_put_before(const struct history_op *put, uint64_t key, uint32_t event)
{
    return put->operation == HISTORY_PUT && put->outcome == HISTORY_OK && put->key == key &&
           put->returned < event;
}

// The last read is told an older value: one that was put, and put over, before it was called.
static void doctor_history(void)
{
    for (uint32_t id = history.count; id-- > 0;) {
        struct history_op *get = &history.ops[id];
        uint32_t event = get->called;
        if (get->operation != HISTORY_GET || get->outcome != HISTORY_OK) {
            continue;
        }
        const struct history_op *found = NULL;
        for (uint32_t put = id; put-- > 0;) {
            if (!is_put_before(&history.ops[put], get->key, event)) {
                continue;
            }
            if (found != NULL) {
                get->value = history.ops[put].value;
                return;
            }
            found = &history.ops[put];
            event = found->called;
        }
    }
    CHECK(!"the history has a read behind two puts");
}

static bool reads_what_others_wrote(void)
{
    for (uint32_t id = 0; id < history.count; id++) {
        const struct history_op *get = &history.ops[id];
        bool is_written = get->operation != HISTORY_GET || get->value == 0;
        for (uint32_t put = 0; put < history.count && !is_written; put++) {
            is_written =
                history.ops[put].operation == HISTORY_PUT && history.ops[put].value == get->value;
        }
        if (!is_written) {
            return true;
        }
    }
    return false;
}

static void pause_a_little(void)
{
    usleep(300000);
}

// Two processes share their keys; the judge is given both files, and then a doctored one.
static void bench_writes_what_judge_reads(void)
{
    if (!open_cluster(2)) {
        return;
    }
    const char *one = path_in_bed("one.jsonl"), *two = path_in_bed("two.jsonl");
    const char *doctored = path_in_bed("doctored.jsonl");
    pid_t first = start_bench("1", one), second = start_bench("2", two);
    pause_a_little();
    kill_and_restart_leader(pause_a_little);
    int status = program_await(first), other_status = program_await(second);
    // Operations may have been given up, if the machine was very slow. They are in the history.
    CHECK(status == CLI_OK || status == CLI_UNAVAILABLE);
    CHECK(other_status == CLI_OK || other_status == CLI_UNAVAILABLE);
    struct program_result together = judge_files("--together", one, two);
    printf("    %s", together.out);
    CHECK(strstr(together.out, "together: LINEAR operations=") == together.out);
    CHECK_EQUAL(together.status, 0);
    // One of them alone is refused if it reads what it did not write. (On a machine that is busy
    // enough the other may have written nothing meanwhile.)
    read_history(one);
    CHECK_EQUAL(judge_files(one, NULL, NULL).status, reads_what_others_wrote() ? 1 : 0);

    char reason[256];
    FILE *file = fopen(two, "r");
    CHECK_EQUAL(history_read(&history, file, reason, sizeof(reason)), 0);
    fclose(file);
    CHECK(history_merge(&history));
    judge_history(LINEAR);
    doctor_history();
    file = fopen(doctored, "w");
    CHECK(file != NULL);
    CHECK_EQUAL(history_write(&history, file), 0);
    fclose(file);
    struct program_result refused = judge_files(doctored, NULL, NULL);
    printf("    %s%s", refused.out, refused.err);
    CHECK(strstr(refused.out, ": VIOLATION operations=") != NULL);
    CHECK_EQUAL(refused.status, 1);
    struct program_result both = judge_files(path_in_bed("missing.jsonl"), doctored, NULL);
    CHECK(strstr(both.out, "missing.jsonl: UNREADABLE No such file") != NULL);
    CHECK_EQUAL(both.status, 1);
    CHECK_EQUAL(judge_files(bed.config, NULL, NULL).status, 2);
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(clients_under_killed_leaders),
        TEST(bench_writes_what_judge_reads),
    };
    history_init(&history);
    int status = test_run("cluster history", cases, TEST_COUNT(cases), argc, argv);
    history_fini(&history);
    return status;
}
