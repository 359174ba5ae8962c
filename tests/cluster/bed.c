#include "tests/cluster/bed.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "drivers/cli/control.h"

enum { PAUSE_US = 20000, REPORT_LINES = 8 };

struct cluster bed;

static bool is_open;

uint64_t bed_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bed_deadline_ns(uint32_t after_ms)
{
    return bed_now_ns() + after_ms * UINT64_C(1000000);
}

bool bed_pause(uint64_t deadline_ns)
{
    usleep(PAUSE_US);
    return bed_now_ns() < deadline_ns;
}

// The program stands at the top of the build directory: two folders above the tests' own.
static void find_program(void)
{
    ssize_t bytes = readlink("/proc/self/exe", bed.program, sizeof(bed.program) - 16);
    CHECK(bytes > 0);
    bed.program[bytes] = '\0';
    for (int up = 0; up < 3; up++) {
        *strrchr(bed.program, '/') = '\0';
    }
    strcat(bed.program, "/pontoon");
    if (access(bed.program, X_OK) != 0) {
        printf("    no program %s: build it first (ninja -C build pontoon)\n", bed.program);
        CHECK(access(bed.program, X_OK) == 0);
    }
}

void bed_close(void)
{
    if (is_open) {
        for (int id = 1; id <= CLUSTER_NODES; id++) {
            cluster_signal_node(&bed, id, SIGKILL);
        }
        cluster_destroy(&bed, getenv("PONTOON_KEEP") != NULL);
        is_open = false;
    }
}

// Nodes of udp and memif could meet those of another cluster of this machine: a network of their
// own where that is possible.
bool bed_create(const char *link, const char *durability, const char *settings)
{
    static bool is_registered;
    char reason[512] = "";
    bed_close();
    if (!is_registered) {
        is_registered = true;
        setvbuf(stdout, NULL, _IOLBF, 0);
        atexit(bed_close);
    }
    bool needs_network = strcmp(link, "af_packet") == 0;
    for (int is_isolated = 1; is_isolated >= 0; is_isolated--) {
        bed = (struct cluster){.link = link,
                               .durability = durability,
                               .order = getenv("PONTOON_TEST_ORDER"), // NULL: strict
                               .settings = settings,
                               .name = "pontoon-bed",
                               .is_isolated = is_isolated != 0};
        find_program();
        is_open = true;
        int error = cluster_create(&bed, "/var/tmp", reason, sizeof(reason));
        if (error == 0) {
            return true;
        }
        bed_close();
        if (needs_network) {
            break;
        }
    }
    test_skip("%s", reason);
    return false;
}

bool bed_open(const char *link, const char *durability)
{
    return bed_open_with(link, durability, BED_SETTINGS);
}

bool bed_open_with(const char *link, const char *durability, const char *settings)
{
    if (!bed_create(link, durability, settings)) {
        return false;
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        bed_bootstrap(id);
    }
    bed_await_leader(BED_ALL);
    // A majority leads before the last node is there: one that is killed in its first start would
    // have to be bootstrapped again.
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        struct bed_view view;
        WAIT_UNTIL(bed_look(id, &view));
    }
    return true;
}

void bed_start(int id)
{
    CHECK_EQUAL(cluster_start_node(&bed, id, false), 0);
}

void bed_bootstrap(int id)
{
    CHECK_EQUAL(cluster_start_node(&bed, id, true), 0);
}

void bed_kill(int id)
{
    cluster_signal_node(&bed, id, SIGKILL);
}

int bed_await_exit(int id)
{
    int status = 0;
    WAIT_UNTIL(waitpid(bed.nodes[id], &status, WNOHANG) == bed.nodes[id]);
    bed.nodes[id] = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static FILE *open_output(int id)
{
    char path[CLUSTER_PATH_BYTES + 32];
    snprintf(path, sizeof(path), "%s/node-%d.log", bed.directory, id);
    return fopen(path, "r");
}

const char *bed_last_line(int id)
{
    static char last[1024];
    char line[sizeof(last)];
    FILE *file = open_output(id);
    last[0] = '\0';
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        memcpy(last, line, sizeof(last));
    }
    if (file != NULL) {
        fclose(file);
    }
    return last;
}

bool bed_output_has(int id, const char *text)
{
    char line[1024];
    bool has = false;
    FILE *file = open_output(id);
    while (file != NULL && !has && fgets(line, sizeof(line), file) != NULL) {
        has = strstr(line, text) != NULL;
    }
    if (file != NULL) {
        fclose(file);
    }
    return has;
}

static json_t *ask(int id, const char *request)
{
    char path[CLUSTER_PATH_BYTES + 32];
    char *answer = NULL;
    snprintf(path, sizeof(path), "%s/node-%d/control", bed.directory, id);
    if (bed.nodes[id] == 0 || control_ask(path, request, &answer) != 0) {
        return NULL;
    }
    json_t *said = json_loads(answer, 0, NULL);
    free(answer);
    return said;
}

json_t *bed_status(int id)
{
    return ask(id, "status digest");
}

void bed_impair(int id, const char *words)
{
    char request[512];
    snprintf(request, sizeof(request), "impair %s", words);
    json_t *said = ask(id, request);
    bool is_done = json_object_get(said, "impairments") != NULL;
    if (!is_done) {
        const char *error = json_string_value(json_object_get(said, "error"));
        printf("    node %d, %s: %s\n", id, request, error == NULL ? "no answer" : error);
    }
    json_decref(said);
    CHECK(is_done);
}

uint64_t bed_count(const char *part, const char *counter)
{
    uint64_t sum = 0;
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        json_t *status = bed_status(id);
        const json_t *reactor = json_array_get(json_object_get(status, "reactors"), 0);
        const json_t *value = json_object_get(json_object_get(reactor, part), counter);
        CHECK(json_is_integer(value));
        sum += (uint64_t)json_integer_value(value);
        json_decref(status);
    }
    return sum;
}

uint64_t bed_resident_kib(int id)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)bed.nodes[id]);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        sscanf(line, "VmRSS: %llu", &kib);
    }
    fclose(file);
    return kib;
}

void bed_wait(uint32_t ms)
{
    for (uint64_t until_ns = bed_deadline_ns(ms); bed_pause(until_ns);) {
    }
}

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

bool bed_look(int id, struct bed_view *view)
{
    json_t *status = bed_status(id);
    const json_t *group = json_array_get(json_object_get(status, "groups"), 0);
    *view = (struct bed_view){0};
    if (group != NULL) {
        const char *role = json_string_value(json_object_get(group, "role"));
        const char *digest = json_string_value(json_object_get(group, "digest"));
        *view = (struct bed_view){.is_leader = role != NULL && strcmp(role, "leader") == 0,
                                  .intact = json_is_true(json_object_get(group, "intact")),
                                  .halted = json_is_true(json_object_get(group, "halted")),
                                  .failed = json_is_true(json_object_get(group, "failed")),
                                  .leader = (int)number(group, "leader"),
                                  .term = number(group, "term"),
                                  .last = number(group, "last"),
                                  .synced = number(group, "synced"),
                                  .commit = number(group, "commit"),
                                  .applied = number(group, "applied"),
                                  .boot = number(status, "boot")};
        snprintf(view->digest, sizeof(view->digest), "%s", digest == NULL ? "" : digest);
    }
    json_decref(status);
    return group != NULL;
}

int bed_leader_of(unsigned nodes)
{
    int leader = 0, known = 0;
    struct bed_view views[CLUSTER_NODES + 1] = {0};
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        if ((nodes >> id & 1) != 0 && bed_look(id, &views[id]) && views[id].is_leader &&
            (leader == 0 || views[id].term > views[leader].term)) {
            leader = id;
        }
    }
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        known += views[id].leader == leader && views[id].term == views[leader].term;
    }
    return leader != 0 && known > CLUSTER_NODES / 2 ? leader : 0;
}

int bed_await_leader(unsigned nodes)
{
    int leader;
    WAIT_UNTIL((leader = bed_leader_of(nodes)) != 0);
    return leader;
}

static bool is_equal(unsigned nodes, uint64_t index)
{
    struct bed_view first = {0}, view;
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        if ((nodes >> id & 1) == 0) {
            continue;
        }
        if (!bed_look(id, &view) || view.applied < index || !view.intact) {
            return false;
        }
        if (first.digest[0] == '\0') {
            first = view;
        }
        if (view.applied != first.applied || strcmp(view.digest, first.digest) != 0) {
            return false;
        }
    }
    return first.digest[0] != '\0';
}

void bed_await_equal(unsigned nodes, uint64_t index)
{
    WAIT_UNTIL(is_equal(nodes, index));
}

static void print_tail(int id)
{
    char lines[REPORT_LINES][512];
    unsigned count = 0;
    FILE *file = open_output(id);
    while (file != NULL && fgets(lines[count % REPORT_LINES], sizeof(lines[0]), file) != NULL) {
        count++;
    }
    for (unsigned at = count > REPORT_LINES ? count - REPORT_LINES : 0; at < count; at++) {
        printf("        | %s", lines[at % REPORT_LINES]);
    }
    if (file != NULL) {
        fclose(file);
    }
}

void bed_report(void)
{
    for (int id = 1; id <= CLUSTER_NODES; id++) {
        struct bed_view view;
        if (bed.nodes[id] == 0) {
            printf("    node %d: not running\n", id);
        } else if (!bed_look(id, &view)) {
            printf("    node %d: no answer\n", id);
        } else {
            printf("    node %d: %s, leader %d, term %" PRIu64 ", last %" PRIu64 ", commit %" PRIu64
                   ", applied %" PRIu64 ", boot %" PRIu64 ", digest %s%s%s%s\n",
                   id, view.is_leader ? "leads" : "does not lead", view.leader, view.term,
                   view.last, view.commit, view.applied, view.boot, view.digest,
                   view.intact ? "" : ", not intact", view.halted ? ", halted" : "",
                   view.failed ? ", failed" : "");
        }
        print_tail(id);
    }
}
