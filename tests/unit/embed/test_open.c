// What cannot be opened: one line that says why, and nothing is left behind.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/embed/process.h"

static struct process process;
static char reason[512];

static uint32_t count_entries(const char *path)
{
    uint32_t count = 0;
    DIR *directory = opendir(path);
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return count;
}

// The kernel's io_uring workers are tasks of ours too, and end a little later than their ring.
static bool is_soon_at_most(uint32_t threads)
{
    for (uint32_t tries = 0; tries < 100 && count_entries("/proc/self/task") > threads; tries++) {
        usleep(10000);
    }
    return count_entries("/proc/self/task") <= threads;
}

// Tries to open node 1 of `process`, which must fail and leave descriptors, threads and state
// machines as they were.
static int try_open(const struct pontoon_options *options)
{
    struct pontoon *node = NULL;
    uint32_t descriptors = count_entries("/proc/self/fd");
    uint32_t threads = count_entries("/proc/self/task");
    memset(reason, 'x', sizeof(reason));
    int error = pontoon_open(&process.nodes[0].config, options, &node, reason, sizeof(reason));
    CHECK(error < 0);
    CHECK(node == NULL);
    CHECK_EQUAL(count_entries("/proc/self/fd"), descriptors);
    CHECK(is_soon_at_most(threads));
    CHECK_EQUAL(atomic_load(&process.nodes[0].apps), 0);
    CHECK(memchr(reason, '\0', sizeof(reason)) != NULL);
    CHECK(reason[0] != '\0' && strchr(reason, '\n') == NULL);
    return error;
}

static bool says(const char *words)
{
    if (strstr(reason, words) == NULL) {
        printf("    said: %s\n", reason);
    }
    return strstr(reason, words) != NULL;
}

static void an_impossible_configuration(void)
{
    process_init(&process, 1);
    process.nodes[0].config.log_entries = 5000;
    CHECK_EQUAL(try_open(NULL), -EINVAL);
    CHECK(says("log_entries: 5000 is no power of two"));
    CHECK_EQUAL(access(process.nodes[0].config.directory, F_OK), -1); // nothing written
}

static void a_first_start_without_bootstrap(void)
{
    process_init(&process, 1);
    process.nodes[0].config.bootstrap = false;
    CHECK_EQUAL(try_open(NULL), -ENOENT);
    CHECK(says("bootstrap"));
    CHECK_EQUAL(access(process.nodes[0].config.directory, F_OK), -1);
}

static void a_directory_without_a_parent(void)
{
    process_init(&process, 1);
    snprintf(process.nodes[0].config.directory, PONTOON_PATH_BYTES, "%s/no/such/place",
             test_directory());
    CHECK_EQUAL(try_open(NULL), -ENOENT);
    CHECK(says("no/such/place"));
}

static void a_directory_that_is_in_use(void)
{
    static struct process other;
    process_init(&other, 1);
    process_open(&other);
    process_init(&process, 1);
    memcpy(process.nodes[0].config.directory, other.nodes[0].config.directory, PONTOON_PATH_BYTES);
    process.nodes[0].config.bootstrap = false;
    CHECK(try_open(NULL) < 0);
    CHECK(says(other.nodes[0].config.directory));
    process_close(&other);
}

static void a_bootstrap_over_an_older_log(void)
{
    process_init(&process, 1);
    process_open(&process);
    process_close(&process);
    process.nodes[0].config.bootstrap = true;
    CHECK_EQUAL(try_open(NULL), -EEXIST);
}

static void another_nodes_directory(void)
{
    process_init(&process, 1);
    process_open(&process);
    process_close(&process);
    process.nodes[0].config.cluster++;
    CHECK(try_open(NULL) < 0);
    CHECK(says("cluster"));
}

static void an_address_that_is_taken(void)
{
    static struct process other;
    process_init(&other, 1);
    process_open(&other);
    process_init(&process, 1);
    memcpy(process.nodes[0].config.nodes, other.nodes[0].config.nodes,
           sizeof(other.nodes[0].config.nodes));
    CHECK_EQUAL(try_open(NULL), -EADDRINUSE);
    process_close(&other);
}

static int refuse_app(void *context, uint16_t group, struct app **app)
{
    return group == 2 ? -EPERM : sum_open(context, group, app);
}

static void a_state_machine_that_does_not_open(void)
{
    process_init(&process, 1);
    process.nodes[0].config.groups = 3;
    const struct pontoon_options options = {.app_open = refuse_app,
                                            .context = &process.nodes[0].apps};
    CHECK_EQUAL(try_open(&options), -EPERM);
    CHECK(says("group 2: app_open failed"));
}

static void nobody_wants_to_know_why(void)
{
    struct pontoon *node = NULL;
    process_init(&process, 1);
    process.nodes[0].config.log_mib = 1;
    CHECK_EQUAL(pontoon_open(&process.nodes[0].config, NULL, &node, NULL, 0), -EINVAL);
    process_init(&process, 1);
    CHECK_EQUAL(pontoon_open(&process.nodes[0].config, NULL, &node, NULL, 0), 0);
    CHECK(strstr(pontoon_describe(node), "idle: sleep") != NULL);
    pontoon_close(node); // never polled, never stopped
}

static void a_client_place_is_no_node(void)
{
    struct pontoon_config *config = &process.nodes[0].config;
    process_init(&process, 1);
    config->clients[0] = config->nodes[0];
    config->clients[0].ipv4++;
    config->clients[0].links[0].ipv4++;
    config->clients[0].links[0].nodes = 1;
    config->client_count = 1;
    config->node = 0;
    config->client = 1;
    CHECK_EQUAL(try_open(NULL), -EINVAL);
    CHECK(says("client place"));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(an_impossible_configuration),   TEST(a_first_start_without_bootstrap),
        TEST(a_directory_without_a_parent),  TEST(a_directory_that_is_in_use),
        TEST(a_bootstrap_over_an_older_log), TEST(another_nodes_directory),
        TEST(an_address_that_is_taken),      TEST(a_state_machine_that_does_not_open),
        TEST(nobody_wants_to_know_why),      TEST(a_client_place_is_no_node),
    };
    return test_run("embed open", cases, TEST_COUNT(cases), argc, argv);
}
