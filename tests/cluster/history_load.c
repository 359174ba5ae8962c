#include "tests/cluster/history_load.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "bench/history/history.h"
#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"
#include "tests/sim/linear.h"

static pid_t clients[HISTORY_LOAD_CLIENTS];

static void name_file(int place, const char *end, char path[static CLUSTER_PATH_BYTES + 32])
{
    snprintf(path, CLUSTER_PATH_BYTES + 32, "%s/history-%d%s", bed.directory, place, end);
}

void history_load_start(uint64_t load)
{
    char program[4096 + 64], number[24];
    snprintf(program, sizeof(program), "%.*s/tests/cluster/history_client",
             (int)(strrchr(bed.program, '/') - bed.program), bed.program);
    snprintf(number, sizeof(number), "%" PRIu64, bed.number);
    for (int place = 1; place <= HISTORY_LOAD_CLIENTS; place++) {
        char place_text[12], reader[12], load_text[24], log[32], file[CLUSTER_PATH_BYTES + 32];
        int node = place - (HISTORY_LOAD_CLIENTS - CLUSTER_NODES);
        snprintf(place_text, sizeof(place_text), "%d", place);
        snprintf(reader, sizeof(reader), "%d", node > 0 ? node : 0);
        snprintf(load_text, sizeof(load_text), "%" PRIu64, load);
        snprintf(log, sizeof(log), "history-%d.log", place);
        name_file(place, ".jsonl", file);
        const char *const words[] = {program, bed.link,  number, bed.directory, place_text,
                                     reader,  load_text, file,   (char *)NULL};
        clients[place - 1] = program_start(log, words);
    }
}

static void print_log(int place)
{
    char path[CLUSTER_PATH_BYTES + 32], line[512];
    name_file(place, ".log", path);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        printf("    client %d: %s", place, line);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void await_clients(void)
{
    bool is_good = true;
    for (int place = 1; place <= HISTORY_LOAD_CLIENTS; place++) {
        kill(clients[place - 1], SIGTERM);
    }
    for (int place = 1; place <= HISTORY_LOAD_CLIENTS; place++) {
        if (program_await(clients[place - 1]) != 0) {
            print_log(place);
            is_good = false;
        }
    }
    CHECK(is_good);
}

static void gather(struct history *history)
{
    history_init(history);
    for (int place = 1; place <= HISTORY_LOAD_CLIENTS; place++) {
        char path[CLUSTER_PATH_BYTES + 32], reason[256];
        name_file(place, ".jsonl", path);
        FILE *file = fopen(path, "r");
        CHECK(file != NULL);
        int error = history_read(history, file, reason, sizeof(reason));
        fclose(file);
        if (error != 0) {
            printf("    %s: %s\n", path, reason);
        }
        CHECK_EQUAL(error, 0);
    }
    CHECK(history_merge(history));
}

void history_load_finish(uint32_t operations_min)
{
    struct history history;
    struct linear_result result;
    uint32_t done = 0, by_readers = 0;
    await_clients();
    gather(&history);
    for (uint32_t id = 0; id < history.count; id++) {
        bool is_done = history.ops[id].outcome < HISTORY_FAILED;
        done += is_done;
        by_readers += is_done && history.ops[id].client > HISTORY_LOAD_CLIENTS - CLUSTER_NODES;
    }
    struct linear *linear = linear_open(LINEAR_BUDGET);
    CHECK(linear != NULL);
    linear_judge(linear, &history, &result);
    printf("    history: %u operations done, %u of them reads of one node alone, %u keys: %s\n",
           done, by_readers, result.keys, linear_verdict_name(result.verdict));
    if (result.verdict == LINEAR_VIOLATION) {
        linear_print_violation(&history, &result, stdout);
    }
    bool is_linear = result.verdict == LINEAR;
    linear_close(linear);
    history_fini(&history);
    CHECK(is_linear);
    CHECK(done >= operations_min);
    CHECK(by_readers > 0);
}
