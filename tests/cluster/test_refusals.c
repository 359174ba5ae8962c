// Bad input to `pontoon node`: one clear line on stderr, the documented exit status, nothing
// written, and nobody else disturbed.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cluster/bed.h"
#include "tests/cluster/program.h"

enum { CONFIGURATION = 3, ENVIRONMENT = 4, DIRECTORY = 5, NOBODY = 65534 };

static char path[CLUSTER_PATH_BYTES + 64];

// Replaces the first `from` of the configuration by `to`, so that one thing is wrong in it.
static void edit_config(const char *from, const char *to)
{
    char text[8192];
    FILE *file = fopen(bed.config, "r");
    CHECK(file != NULL);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = '\0';
    char *at = strstr(text, from);
    CHECK(at != NULL);
    file = fopen(bed.config, "w");
    CHECK(file != NULL);
    fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    CHECK_EQUAL(fclose(file), 0);
}

static const char *node_path(int id, const char *below)
{
    snprintf(path, sizeof(path), "%s/node-%d%s", bed.directory, id, below);
    return path;
}

static bool exists(const char *name)
{
    return access(name, F_OK) == 0;
}

// One line, with the words that name cause and remedy; the words end with NULL.
static void check_refusal(const struct program_result *result, int status, const char *const *words)
{
    if (result->status != status || result->lines != 1) {
        printf("    status %d, stdout \"%s\", stderr \"%s\"\n", result->status, result->out,
               result->err);
    }
    CHECK_EQUAL(result->status, status);
    CHECK_EQUAL(result->lines, 1);
    CHECK_TEXT(result->out, "");
    CHECK(strncmp(result->err, "pontoon node: ", 14) == 0);
    for (; *words != NULL; words++) {
        if (strstr(result->err, *words) == NULL) {
            printf("    \"%s\" is not in: %s", *words, result->err);
        }
        CHECK(strstr(result->err, *words) != NULL);
    }
}

#define CHECK_REFUSAL(result, status, ...)                                                         \
    check_refusal(&(result), (status), (const char *const[]){__VA_ARGS__, NULL})

static struct program_result run_node(const char *id)
{
    return program_run("pontoon", "node", "--config", bed.config, "--id", id, "--bootstrap");
}

static void configuration_is_refused(void)
{
    static const struct {
        const char *from, *to, *words[3];
    } wrong[] = {
        {"durability: fsync", "durability: fsync\nflush: yes", {"cluster.yaml:", "flush", NULL}},
        {"durability: fsync", "durability: often", {"cluster.yaml:", "durability", "fsync"}},
        {"log_mib: 64", "log_mib: 1", {"cluster.yaml:", "log_mib", NULL}},
        {"  - id: 2\n", "  - id: 1\n", {"id", "twice", NULL}},
        {"  - id: 2\n", "  - id: 2\n    address: 10.77.0.999\n", {"address", "10.77.0.999", NULL}},
        {"  - id: 2\n", "  - id: 2\n    address: 127.77.0.1\n", {"127.77.0.1", NULL, NULL}},
        {"nodes:\n", "nodes\n", {"cluster.yaml", NULL, NULL}},
        {"link: udp", "link: carrier-pigeon", {"cluster.yaml:", "link", "memif"}},
    };
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        if (!bed_create("udp", "fsync", BED_SETTINGS)) {
            return;
        }
        edit_config(wrong[at].from, wrong[at].to);
        struct program_result result = run_node("1");
        CHECK_REFUSAL(result, CONFIGURATION, wrong[at].words[0], wrong[at].words[1],
                      wrong[at].words[2]);
        CHECK(!exists(node_path(1, "")));
    }
    if (bed_create("udp", "fsync", BED_SETTINGS)) {
        struct program_result result = run_node("4");
        CHECK_REFUSAL(result, CONFIGURATION, "node 4", "1, 2, 3");
        result = program_run("pontoon", "node", "--config", "/nonexistent.yaml", "--id", "1");
        CHECK_REFUSAL(result, CONFIGURATION, "/nonexistent.yaml");
    }
    bed_close();
}

static void port_that_does_not_exist(void)
{
    if (!bed_create("af_packet", "fsync", BED_SETTINGS)) {
        return;
    }
    edit_config("iface=p1", "iface=nonexistent");
    struct program_result result = run_node("1");
    CHECK_REFUSAL(result, ENVIRONMENT, "nonexistent", "interface");
    CHECK(!exists(node_path(1, "")));
    edit_config("iface=nonexistent", "face=p1");
    result = run_node("1");
    CHECK(result.status == CONFIGURATION || result.status == ENVIRONMENT);
    CHECK_EQUAL(result.lines, 1);
    CHECK(!exists(node_path(1, "")));
    bed_close();
}

static void address_that_is_not_here(void)
{
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return;
    }
    edit_config("  - id: 1\n", "  - id: 1\n    address: 192.0.2.1\n");
    struct program_result result = run_node("1");
    CHECK_REFUSAL(result, ENVIRONMENT, "192.0.2.1");
    CHECK(!exists(node_path(1, "")));
    bed_close();
}

static void start_and_stop(int id)
{
    struct bed_view view;
    bed_bootstrap(id);
    WAIT_UNTIL(bed_look(id, &view));
    cluster_signal_node(&bed, id, SIGTERM);
    CHECK_EQUAL(bed_await_exit(id), 0);
}

static void move(const char *from, const char *to)
{
    CHECK_EQUAL(program_run("/bin/mv", from, to).status, 0);
}

// S22: the log of another node, or of another cluster.
static void foreign_directory(void)
{
    char other[CLUSTER_PATH_BYTES + 64];
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return;
    }
    start_and_stop(1);
    snprintf(other, sizeof(other), "%s/node-2", bed.directory);
    move(node_path(1, ""), other);
    struct program_result result =
        program_run("pontoon", "node", "--config", bed.config, "--id", "2");
    CHECK_REFUSAL(result, DIRECTORY, "belongs to", "node 1", other, "its own directory");
    char line[64], belongs[64];
    move(other, node_path(1, ""));
    snprintf(line, sizeof(line), "cluster: %llu\n", (unsigned long long)bed.number);
    edit_config(line, "cluster: 99\n");
    result = program_run("pontoon", "node", "--config", bed.config, "--id", "1");
    snprintf(belongs, sizeof(belongs), "belongs to cluster %llu ", (unsigned long long)bed.number);
    CHECK_REFUSAL(result, DIRECTORY, belongs, "not to cluster 99 ");
    edit_config("cluster: 99\n", line);
    struct bed_view view;
    bed_start(1); // nothing was spoilt
    WAIT_UNTIL(bed_look(1, &view));
    CHECK_EQUAL(view.boot, 2);
    bed_close();
}

// S22: term, vote and names of one node, the entries of another.
static void swapped_logs(void)
{
    char one[CLUSTER_PATH_BYTES + 64], other[CLUSTER_PATH_BYTES + 64],
        aside[CLUSTER_PATH_BYTES + 64];
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return;
    }
    start_and_stop(1);
    start_and_stop(2);
    snprintf(one, sizeof(one), "%s/node-1/log-0/log.0", bed.directory);
    snprintf(other, sizeof(other), "%s/node-2/log-0/log.0", bed.directory);
    snprintf(aside, sizeof(aside), "%s/aside", bed.directory);
    move(one, aside);
    move(other, one);
    move(aside, other);
    for (int id = 1; id <= 2; id++) {
        struct program_result result =
            program_run("pontoon", "node", "--config", bed.config, "--id", id == 1 ? "1" : "2");
        CHECK_REFUSAL(result, DIRECTORY, "log file belongs to", id == 1 ? "node 2" : "node 1");
    }
    bed_close();
}

static void overwrite(const char *name)
{
    struct stat status;
    CHECK_EQUAL(stat(name, &status), 0);
    FILE *file = fopen(name, "r+");
    CHECK(file != NULL);
    for (long at = 0; at < status.st_size && at < 65536; at++) {
        fputc((int)(at * 7 + 3) & 0xff, file);
    }
    CHECK_EQUAL(fclose(file), 0);
}

// Garbage where term and vote were: refused for good. A directory that is a file: refused.
static void unreadable_directory(void)
{
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return;
    }
    start_and_stop(1);
    overwrite(node_path(1, "/log-0/meta.0"));
    struct program_result result =
        program_run("pontoon", "node", "--config", bed.config, "--id", "1");
    CHECK_REFUSAL(result, DIRECTORY, "superblock");
    FILE *file = fopen(node_path(2, ""), "w");
    CHECK(file != NULL);
    fclose(file);
    result = run_node("2");
    CHECK_REFUSAL(result, DIRECTORY, "node-2");
    CHECK_EQUAL(mkdir(node_path(3, ""), 0700), 0); // there, and nobody's
    result = program_run("pontoon", "node", "--config", bed.config, "--id", "3");
    CHECK_REFUSAL(result, DIRECTORY, "node-3", "--bootstrap");
    bed_close();
}

// As an ordinary user in a directory of root's.
// A build directory may be closed to other users (mktemp -d): they are given a copy.
static void share_program(void)
{
    char copy[sizeof(bed.directory) + 16];
    snprintf(copy, sizeof(copy), "%s/pontoon", bed.directory);
    CHECK_EQUAL(program_run("/bin/cp", bed.program, copy).status, 0);
    snprintf(bed.program, sizeof(bed.program), "%s", copy);
}

static void missing_permission(void)
{
    const char *const nothing[] = {"/bin/true", (char *)NULL};
    if (!bed_create("udp", "fsync", BED_SETTINGS)) {
        return;
    }
    if (program_run_as(NOBODY, nothing).status != 0) {
        test_skip("who may not become another user cannot lose a permission");
        return;
    }
    start_and_stop(1);
    CHECK_EQUAL(chmod(bed.directory, 0755), 0);
    CHECK_EQUAL(chmod(bed.config, 0644), 0);
    share_program();
    const char *const first[] = {"pontoon", "node", "--config",    bed.config,
                                 "--id",    "2",    "--bootstrap", (char *)NULL};
    struct program_result result = program_run_as(NOBODY, first);
    CHECK_REFUSAL(result, ENVIRONMENT, "node-2", "ermission denied");
    CHECK(!exists(node_path(2, "")));
    const char *const again[] = {"pontoon", "node", "--config",  bed.config,
                                 "--id",    "1",    (char *)NULL};
    result = program_run_as(NOBODY, again);
    CHECK_REFUSAL(result, ENVIRONMENT, "node-1", "ermission denied", "chown");
    bed_close();
    if (bed_create("af_packet", "fsync", BED_SETTINGS)) {
        CHECK_EQUAL(chmod(bed.directory, 0777), 0);
        CHECK_EQUAL(chmod(bed.config, 0644), 0);
        share_program();
        const char *const raw[] = {"pontoon", "node", "--config",    bed.config,
                                   "--id",    "3",    "--bootstrap", (char *)NULL};
        result = program_run_as(NOBODY, raw);
        CHECK_REFUSAL(result, ENVIRONMENT, "root");
        CHECK(!exists(node_path(3, "")));
    }
    bed_close();
}

// N11: a second process with the same id.
static void second_process_of_a_node(void)
{
    static const char *const links[] = {"udp", "memif"};
    for (int link = 0; link < 2; link++) {
        if (!bed_open(links[link], "fsync")) {
            return;
        }
        struct program_result result =
            program_run("pontoon", "node", "--config", bed.config, "--id", "2");
        CHECK_REFUSAL(result, DIRECTORY, "node-2", "in use");
        result = run_node("2");
        CHECK_REFUSAL(result, DIRECTORY, "node-2", "in use");
        bed_await_equal(BED_ALL, 1); // the first one did not mind
        bed_close();
    }
}

// The same id from another directory: its address is taken.
static void second_process_with_another_directory(void)
{
    if (!bed_open("udp", "fsync")) {
        return;
    }
    char first[CLUSTER_PATH_BYTES + 64], second[CLUSTER_PATH_BYTES + 64];
    snprintf(first, sizeof(first), "%s/node-1\n", bed.directory);
    snprintf(second, sizeof(second), "%s/second\n", bed.directory);
    edit_config(first, second);
    second[strlen(second) - 1] = '\0';
    struct program_result result = run_node("1");
    CHECK_REFUSAL(result, ENVIRONMENT, "in use");
    CHECK(!exists(second));
    bed_close();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(configuration_is_refused),
        TEST(port_that_does_not_exist),
        TEST(address_that_is_not_here),
        TEST(foreign_directory),
        TEST(swapped_logs),
        TEST(unreadable_directory),
        TEST(missing_permission),
        TEST(second_process_of_a_node),
        TEST(second_process_with_another_directory),
    };
    return test_run("cluster refusals", cases, TEST_COUNT(cases), argc, argv);
}
