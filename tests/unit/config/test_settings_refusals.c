// Every way a configuration is refused, with the exact line the operator reads.
#include "tests/harness/harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/config/settings_file.h"

// Text of a file, and the reason behind its path when loaded as node 1.
struct refusal {
    const char *text;
    const char *reason;
};

static void check_refusals(const struct refusal *refusals, size_t count)
{
    static struct pontoon_config config;
    char reason[512], expected[512];
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(settings_file_load(&config, refusals[i].text, 1, 0, reason, sizeof(reason)),
                    -EINVAL);
        snprintf(expected, sizeof(expected), "%s%s", settings_file_path(), refusals[i].reason);
        CHECK_TEXT(reason, expected);
    }
}

#define CHECK_REFUSALS(...)                                                                        \
    do {                                                                                           \
        static const struct refusal refusals[] = {__VA_ARGS__};                                    \
        check_refusals(refusals, TEST_COUNT(refusals));                                            \
    } while (0)

#define NODE1 "nodes:\n  - {id: 1, directory: /d}\n"
#define NODES "nodes:\n  - {id: 1, directory: /d}\n  - {id: 2, directory: /e}\n"

static void unknown_settings_are_named_with_line_and_hint(void)
{
    CHECK_REFUSALS({"cluster: 1\nlog_mb: 64\n" NODE1,
                    ":2: unknown setting \"log_mb\"; did you mean \"log_mib\"?"},
                   {"whatever: 64\n" NODE1,
                    ":1: unknown setting \"whatever\"; config/README.md lists all settings"},
                   {"nodes:\n  - id: 1\n    dir: /d\n",
                    ":3: unknown setting \"dir\" in nodes; did you mean \"directory\"?"},
                   {NODE1 "clients:\n  - id: 1\n    adress: 10.0.0.1\n",
                    ":5: unknown setting \"adress\" in clients; did you mean \"address\"?"},
                   {NODE1 "impair:\n  - lossppm: 1\n",
                    ":4: unknown setting \"lossppm\" in impair; did you mean \"loss_ppm\"?"},
                   {"link: explicit\nnodes:\n  - id: 1\n    links:\n      - dev: x\n",
                    ":5: unknown setting \"dev\" in links; did you mean \"device\"?"});
}

static void what_is_not_a_configuration_is_refused(void)
{
    CHECK_REFUSALS(
        {"", ": is empty; config/cluster.yaml is a sample"},
        {"- a\n", ":1: settings must stand here, as \"key: value\""},
        {"a: [1\nb: 2\n",
         ":2: is not YAML here (did not find expected ',' or ']'); look at indentation, colons "
         "and quotes"},
        {"[a]: 1\n", ":1: a key must be a word"},
        {"cluster: 1\ncluster: 2\n", ":2: cluster: given twice; remove one"},
        {"cluster: [1]\n", ":1: cluster: a list or mapping where one value belongs"},
        {"app: \"k\\0v\"\n", ":1: app: a list or mapping where one value belongs"},
        {"nodes: 3\n", ":1: nodes: must be a list; begin each item with \"- \""},
        {"nodes: [3]\n", ":1: settings must stand here in nodes, as \"key: value\""},
        {"\"a\\nb\": 1\n", ":1: unknown setting \"a?b\"; config/README.md lists all settings"},
        {"cluster: 1\n---\ncluster: 2\n",
         ":3: a second document begins here; a configuration has one"},
        {"cluster: 1\n", ": nodes: 0 given; a cluster has 1 to 7"});
}

static void values_out_of_range_are_refused(void)
{
    CHECK_REFUSALS(
        {"cluster: 0\n", ":1: cluster: 0 is out of range; give 1 to 18446744073709551615"},
        {"cluster: x\n", ":1: cluster: \"x\" is no number; give 1 to 18446744073709551615"},
        {"cluster: -1\n", ":1: cluster: \"-1\" is no number; give 1 to 18446744073709551615"},
        {"cluster: 18446744073709551616\n",
         ":1: cluster: \"18446744073709551616\" is no number; give 1 to 18446744073709551615"},
        {"udp_port: 65473\n", ":1: udp_port: 65473 is out of range; give 1024 to 65472"},
        {"udp_port: 66560\n", ":1: udp_port: 66560 is out of range; give 1024 to 65472"},
        {"udp_port: 7700.5\n", ":1: udp_port: \"7700.5\" is no number; give 1024 to 65472"},
        {"groups: 4097\n", ":1: groups: 4097 is out of range; give 1 to 4096"},
        {"log_mib: 17\n", ":1: log_mib: 17 is no multiple of 4; give 16"},
        {"hugepages: yes\n", ":1: hugepages: \"yes\" is unknown; give true or false"},
        {"link: infiniband\n",
         ":1: link: \"infiniband\" is unknown; give one of memif, udp, af_packet, port, explicit"},
        {"durability: \"\"\n", ":1: durability: \"\" is unknown; give one of fsync, memory"},
        {"heartbeat: 30\n", ":1: heartbeat: \"30\" is no duration; give a whole number and a unit, "
                            "like 30ms (ns, us, ms, s)"},
        {"heartbeat: 99us\n", ":1: heartbeat: 99us is out of range; give 100us to 30s"},
        {"heartbeat: 18446744074s\n", ":1: heartbeat: \"18446744074s\" is no duration; give a "
                                      "whole number and a unit, like 30ms (ns, "
                                      "us, ms, s)"},
        {"app: an_application_name_that_is_too_long\n",
         ":1: app: too long (36 bytes); give at most 31"},
        {"frame_bytes: 533\n", ":1: frame_bytes: 533 is out of range; give 534 to 9000"},
        {"impair: [{loss_ppm: 1000001}]\n",
         ":1: loss_ppm: 1000001 is out of range; give 0 to 1000000"},
        {"impair: [{corrupt_ppm: 1000001}]\n",
         ":1: corrupt_ppm: 1000001 is out of range; give 0 to 1000000"},
        {"impair: [{burst_frames: 0}]\n", ":1: burst_frames: 0 is out of range; give 1 to 10000"},
        {"impair: [{clog: 11s}]\n", ":1: clog: 11s is out of range; give 1us to 10s"},
        {"impair: [{types: [append, votes]}]\n",
         ":1: types: \"votes\" is unknown; give some of pre_vote, pre_vote_reply, vote, "
         "vote_reply, append, append_reply, fetch, append_fragment, snapshot, snapshot_reply"},
        {"impair: [{types: [[append]]}]\n", ":1: a word must stand here"},
        {"impair: [{types: {append: 1}}]\n",
         ":1: types: must be a list; begin each item with \"- \""},
        {NODE1 "app: sql\n", ": app: there is no state machine \"sql\"; give kv, block or null"},
        {NODE1 "app_file: true\n",
         ": app_file: kv keeps its state in memory; only block has a file"},
        {NODE1 "apply: look_behind\n",
         ": apply: strict groups apply in order; give `order: parallel`, or remove it"},
        {NODE1 "order: parallel\napply: in_order\n",
         ":4: apply: \"in_order\" is unknown; give one of depends_on, look_behind"},
        {NODE1 "order: parallel\nlook_behind: 3\n",
         ": look_behind: nobody looks behind; remove it, or say `apply: look_behind`"},
        {NODE1 "order: parallel\napply: look_behind\nlook_behind: 0\n",
         ":5: look_behind: 0 is out of range; give 1 to 2048"},
        {NODE1 "order: parallel\napply: look_behind\nlook_behind: 2049\n",
         ":5: look_behind: 2049 is out of range; give 1 to 2048"},
        {NODE1 "order: parallel\napply: look_behind\nlog_entries: 4096\nwindow_entries: "
               "2048\nlook_behind: 1025\n",
         ": look_behind: 1025 is more than the window of a parallel group with 4096 log_entries; "
         "give at most 1024"});
}

static void impossible_members_are_refused(void)
{
    CHECK_REFUSALS(
        {"nodes:\n  - {directory: /d}\n", ":2: id: missing; give every node a number"},
        {"nodes:\n  - {id: 65}\n", ":2: id: 65 is out of range; give 1 to 64"},
        {"nodes:\n  - {id: 0}\n", ":2: id: 0 is out of range; give 1 to 64"},
        {"nodes:\n  - {id: 2, directory: /d}\n  - {id: 3, directory: /d}\n",
         ": node 1 is not in nodes (2, 3); give one of these ids, or add it"},
        {"nodes:\n  - {id: 1, directory: /d}\n  - {id: 1, directory: /e}\n",
         ": node id 1 is given twice; ids must differ"},
        {NODE1 "clients:\n  - id: 9\n", ":4: id: 9 is out of range; give clients 1 to 8"},
        {NODE1 "clients:\n  - id: 1\n  - id: 1\n", ": client id 1 is given twice; ids must differ"},
        {NODE1 "clients:\n  - {id: 1, directory: /d}\n",
         ":4: clients keep nothing on disk; remove directory and control"},
        {"nodes: [{id: 1}, {id: 2}, {id: 3}, {id: 4}, {id: 5}, {id: 6}, {id: 7},\n  {id: 8}]\n",
         ":2: nodes: more than 7; remove some"},
        {"nodes:\n  - {id: 1, directory: /d, address: 10.0.0}\n",
         ":2: address: \"10.0.0\" is no IPv4 address; give four numbers like 10.77.0.1"},
        {"nodes:\n  - {id: 1, directory: /d, address: 224.0.0.1}\n",
         ": node 1: address 224.0.0.1 is no host's; give one like 10.77.0.1"},
        {"nodes:\n  - {id: 1, directory: /d, address: 10.77.0.2}\n  - {id: 2, directory: /e}\n",
         ": node 2: address 10.77.0.2 is given twice; addresses must differ"},
        {NODE1 "clients:\n  - {id: 1, address: 10.77.0.1}\n",
         ": client 1: address 10.77.0.1 is given twice; addresses must differ"},
        {"nodes:\n  - {id: 1}\n",
         ": node 1: directory missing; give the path where it may keep its files"},
        {"nodes:\n  - {id: 1, directory: /d, cores: [0, 1]}\n",
         ":2: cores: 2 CPUs for 1 reactors; give one each"},
        {"reactors: 2\nnodes:\n  - {id: 1, directory: /d, cores: [0, 0]}\n",
         ": cores: CPU 0 is given to two reactors; give each its own"},
        {"nodes:\n  - {id: 1, directory: /d, cores: 0}\n",
         ":2: cores: must be a list; begin each item with \"- \""});
}

static void long_control_paths_are_refused(void)
{
    static struct pontoon_config config;
    char reason[512], expected[512], text[512], path[128];
    memset(path, 'a', 110);
    path[0] = '/';
    path[110] = '\0';
    snprintf(text, sizeof(text), "nodes:\n  - {id: 1, directory: %s}\n", path);
    CHECK_EQUAL(settings_file_load(&config, text, 1, 0, reason, sizeof(reason)), -EINVAL);
    snprintf(
        expected, sizeof(expected),
        "%s: node 1: path of the control socket has 118 bytes; set control to one of at most 107",
        settings_file_path());
    CHECK_TEXT(reason, expected);
}

static void impossible_links_are_refused(void)
{
    CHECK_REFUSALS(
        {"link: af_packet\n" NODE1,
         ":3: node 1: device missing; give one, like net_af_packet0,iface=eth1"},
        {"link: af_packet\nnodes:\n  - {id: 1, directory: /d, device: net_tap0}\n",
         ":3: node 1: device \"net_tap0\" is no net_af_packet; give one, or say `link: port`"},
        {"nodes:\n  - {id: 1, directory: /d, device: net_tap0}\n",
         ":2: node 1: device given; it needs `link: af_packet` or `link: port`"},
        {"link: explicit\n" NODE1, ":3: node 1: links missing; `link: explicit` needs them"},
        {"nodes:\n  - {id: 1, directory: /d, links: [{device: x}]}\n",
         ":2: node 1: links given; they need `link: explicit`"},
        {"driver: udp\n" NODE1, ": driver: follows from link; remove it, or say `link: explicit`"},
        {"link: af_packet\nframe_bytes: 1473\nnodes:\n  - {id: 1, directory: /d, device: "
         "net_af_packet0}\n",
         ": node 1, link 1: frame_bytes 1473 is more than net_af_packet carries; give at most "
         "1472"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{address: 10.0.0.1}]}\n",
         ": node 1, link 1: device missing; give a DPDK vdev or PCI address"},
        {"link: explicit\ndriver: udp\nnodes:\n  - {id: 1, directory: /d, links: [{device: x}]}\n",
         ": node 1, link 1: device given, but the udp driver has none; remove it"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{device: x}, {device: "
         "\"x,a=1\"}]}\n",
         ": node 1: device x is given twice; devices must differ"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{device: x, nodes: [1]}]}\n",
         ": node 1, link 1: node 1 is not a node to reach; remove it"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{device: x, nodes: [2]}, "
         "{device: y}]}\n"
         "  - {id: 2, directory: /e, links: [{device: x, nodes: []}, {device: y}]}\n",
         ": node 2: no link reaches node 1; add it to the `nodes` of a link"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{device: x, nodes: [2]}, "
         "{device: y, "
         "nodes: [2]}]}\n  - {id: 2, directory: /e, links: [{device: x}]}\n",
         ": node 1: node 2 is reached through two links; name it in one"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{device: x, address: "
         "0.0.0.1}]}\n",
         ": node 1, link 1: address 0.0.0.1/24 is no host's; give one like 10.77.0.1 and a prefix "
         "of 1 to "
         "32 bits"},
        {"link: explicit\nnodes:\n  - {id: 1, directory: /d, links: [{device: x, nodes: [0]}]}\n",
         ":3: nodes: 0 is out of range; give 1 to 64"});
}

static void settings_that_contradict_each_other_are_refused(void)
{
    CHECK_REFUSALS(
        {NODE1 "election_timeout_max: 150ms\n",
         ": election_timeout_max: 150ms is not above election_timeout_min (150ms); twice as much "
         "is usual"},
        {NODE1 "heartbeat: 75ms\n",
         ": heartbeat: 75ms is not below half of election_timeout_min (150ms); a fifth is usual"},
        {NODE1 "log_entries: 65537\n", ": log_entries: 65537 is no power of two; give 65536"},
        {NODE1 "groups: 1024\nlog_entries: 131072\n",
         ": log_entries: 131072 for each of 1024 groups are too many; give at most 65536"},
        {NODE1 "groups: 4096\nsession_pages: 257\n",
         ": session_pages: 257 for each of 4096 groups are too many; give at most 256"},
        {NODE1 "window_entries: 131073\n",
         ": window_entries: 131073 is more than half of log_entries; give at most 131072"},
        {NODE1 "log_mib: 16\nwindow_kib: 8193\n",
         ": window_kib: 8193 is more than half of log_mib; give at most 8192"},
        {NODE1 "checkpoint_mib: 193\n",
         ": checkpoint_mib: 193 is more than three quarters of log_mib; give at most 192"});
}

static void impossible_faults_are_refused(void)
{
    CHECK_REFUSALS({NODES "impair: [{node: 3}]\n",
                    ":4: impair: there is no node 3; give an id of nodes, or 0 for all"},
                   {NODES "impair: [{at: 4}]\n",
                    ":4: impair: there is no node 4; give an id of nodes, or 0 for all"},
                   {NODES "impair: [{at: 1, node: 1}]\n",
                    ":4: impair: node 1 does not talk to itself; name another"},
                   {NODES "impair: [{}, {}, {}, {}, {}, {}, {}, {},\n{}]\n",
                    ":5: impair: more than 16 rules for one node; both directions count as two"});
}

static void files_that_cannot_be_read_say_why(void)
{
    static struct pontoon_config config;
    char reason[512], expected[512], path[300];
    snprintf(path, sizeof(path), "%s/absent.yaml", test_directory());
    CHECK_EQUAL(pontoon_config_load(&config, path, 1, 0, reason, sizeof(reason)), -ENOENT);
    snprintf(expected, sizeof(expected),
             "%s: cannot be read: No such file or directory; check the path after --config", path);
    CHECK_TEXT(reason, expected);
    CHECK_EQUAL(pontoon_config_load(&config, test_directory(), 1, 0, reason, sizeof(reason)),
                -EINVAL);
    snprintf(expected, sizeof(expected), "%s: is no configuration: not a file of at most 1 MiB",
             test_directory());
    CHECK_TEXT(reason, expected);
}

static void configurations_filled_in_by_hand_meet_the_same_rules(void)
{
    static struct pontoon_config config;
    char reason[512];
    pontoon_config_init(&config);
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "nodes: 0 given; a cluster has 1 to 7");
    config.udp_port = 1;
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "udp_port: 1 is out of range; give 1024 to 65472");
    pontoon_config_init(&config);
    config.idle = (enum pontoon_idle)9;
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "idle: 9 names nothing");
    pontoon_config_init(&config);
    memset(config.eal, 'x', sizeof(config.eal));
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "eal: not terminated within 512 bytes");
}

static void a_process_is_one_member(void)
{
    static struct pontoon_config config;
    char reason[512];
    CHECK_EQUAL(settings_file_load(&config, NODE1, 1, 0, reason, sizeof(reason)), 0);
    config.client = 1;
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "a process is one node or one client; give either an id or a client place");
    config.node = 0;
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK_TEXT(reason, "client 1 is not in clients (none); give one of these ids, or add it");
}

static void cpus_that_are_not_there_are_refused(void)
{
    static struct pontoon_config config;
    char reason[512];
    CHECK_EQUAL(settings_file_load(&config, NODE1, 1, 0, reason, sizeof(reason)), 0);
    config.cores[0] = 32000;
    CHECK_EQUAL(pontoon_config_check(&config, reason, sizeof(reason)), -EINVAL);
    CHECK(strncmp(reason, "cores: this machine has no CPU 32000; give 0 to ", 48) == 0);
}

// A refused file leaves the caller's structure alone, and any size of reason will do.
static void a_refusal_changes_nothing(void)
{
    static struct pontoon_config config;
    char reason[8];
    pontoon_config_init(&config);
    config.cluster = 77;
    CHECK_EQUAL(settings_file_load(&config, "cluster: 5\n", 1, 0, reason, sizeof(reason)), -EINVAL);
    CHECK_EQUAL(strlen(reason), sizeof(reason) - 1);
    CHECK_EQUAL(settings_file_load(&config, "cluster: 5\n", 1, 0, NULL, 0), -EINVAL);
    CHECK_EQUAL(config.cluster, 77);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(unknown_settings_are_named_with_line_and_hint),
        TEST(what_is_not_a_configuration_is_refused),
        TEST(values_out_of_range_are_refused),
        TEST(impossible_members_are_refused),
        TEST(long_control_paths_are_refused),
        TEST(impossible_links_are_refused),
        TEST(settings_that_contradict_each_other_are_refused),
        TEST(impossible_faults_are_refused),
        TEST(files_that_cannot_be_read_say_why),
        TEST(configurations_filled_in_by_hand_meet_the_same_rules),
        TEST(a_process_is_one_member),
        TEST(cpus_that_are_not_there_are_refused),
        TEST(a_refusal_changes_nothing),
    };
    return test_run("config refusals", cases, TEST_COUNT(cases), argc, argv);
}
