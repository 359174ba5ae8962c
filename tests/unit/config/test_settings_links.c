// What files come to: defaults, derived values, and the links that `link: KIND` generates.
#include "tests/harness/harness.h"

#include <stdio.h>
#include <string.h>

#include "drivers/bundle/settings.h"
#include "engine/wire/wire.h"
#include "tests/unit/config/settings_file.h"

#define THREE                                                                                      \
    "nodes:\n  - {id: 1, directory: /d1}\n  - {id: 2, directory: /d2}\n  - {id: 3, directory: "    \
    "/d3}\n"

static struct pontoon_config config;

static void load(const char *text, uint16_t node, uint16_t client)
{
    char reason[512];
    int result = settings_file_load(&config, text, node, client, reason, sizeof(reason));
    CHECK_TEXT(reason, "");
    CHECK_EQUAL(result, 0);
}

static void check_link(const struct pontoon_link *link, const char *device, uint64_t nodes)
{
    CHECK_TEXT(link->device, device);
    CHECK_EQUAL(link->nodes, nodes);
}

static void defaults_are_those_of_the_header(void)
{
    pontoon_config_init(&config);
    CHECK_EQUAL(config.cluster, 1);
    CHECK_EQUAL(config.election_timeout_min_ns, 150000000);
    CHECK_EQUAL(config.election_timeout_max_ns, 300000000);
    CHECK_EQUAL(config.heartbeat_ns, 30000000);
    CHECK_EQUAL(config.log_mib, 256);
    CHECK_EQUAL(config.log_batch_kib, 1024);
    CHECK_EQUAL(config.log_writes, 2);
    CHECK_EQUAL(config.buffers_mib, 64);
    CHECK_EQUAL(config.log_entries, 262144);
    CHECK_EQUAL(config.window_entries, 65536);
    CHECK_EQUAL(config.session_pages, 1024);
    CHECK_EQUAL(config.reactors, 1);
    CHECK_EQUAL(config.hugepages, true);
    CHECK_EQUAL(config.idle, PONTOON_IDLE_AUTO);
    CHECK_EQUAL(config.durability, PONTOON_FSYNC);
    CHECK_EQUAL(config.bootstrap, false);
    CHECK_TEXT(config.app, "kv");
    for (unsigned i = 0; i <= PONTOON_REACTORS_MAX; i++) {
        CHECK_EQUAL((uint16_t)config.cores[i], UINT16_MAX);
    }
}

static void every_value_of_a_file_arrives(void)
{
    load("cluster: 18446744073709551615\nlink: udp\nframe_bytes: 1000\nudp_port: "
         "9000\nbuffers_mib: 32\n"
         "hugepages: false\neal: \"--log-level 8\"\ngroups: 3\norder: strict\napp: "
         "\"null\"\napp_memory_mib: 7\n"
         "log_entries: 2048\nsession_pages: 9\nwindow_entries: 100\nwindow_kib: 2000\ndurability: "
         "memory\n"
         "log_mib: 64\nlog_batch_kib: 4\nlog_writes: 32\ncheckpoint_mib: 5\nelection_timeout_min: "
         "4ms\nelection_timeout_max: 9000us\n"
         "heartbeat: 1ms\nreactors: 1\napply_workers: 2\nidle: sleep\nimpair_seed: 8\n"
         "nodes:\n  - {id: 5, directory: /d, control: /c, cores: [0], address: 127.0.0.5}\n",
         5, 0);
    CHECK_EQUAL(config.cluster, UINT64_MAX);
    CHECK_EQUAL(config.driver, PONTOON_DRIVER_UDP);
    CHECK_EQUAL(config.udp_port, 9000);
    CHECK_EQUAL(config.buffers_mib, 32);
    CHECK_EQUAL(config.hugepages, false);
    CHECK_TEXT(config.eal, "--log-level 8");
    CHECK_EQUAL(config.groups, 3);
    CHECK_TEXT(config.app, "null");
    CHECK_EQUAL(config.app_memory_mib, 7);
    CHECK_EQUAL(config.log_entries, 2048);
    CHECK_EQUAL(config.session_pages, 9);
    CHECK_EQUAL(config.window_entries, 100);
    CHECK_EQUAL(config.window_kib, 2000);
    CHECK_EQUAL(config.durability, PONTOON_MEMORY);
    CHECK_EQUAL(config.log_mib, 64);
    CHECK_EQUAL(config.log_batch_kib, 4);
    CHECK_EQUAL(config.log_writes, 32);
    CHECK_EQUAL(config.checkpoint_mib, 5);
    CHECK_EQUAL(config.election_timeout_min_ns, 4000000);
    CHECK_EQUAL(config.election_timeout_max_ns, 9000000);
    CHECK_EQUAL(config.heartbeat_ns, 1000000);
    CHECK_EQUAL(config.apply_workers, 2);
    CHECK_EQUAL(config.idle, PONTOON_IDLE_SLEEP);
    CHECK_EQUAL(config.impair_seed, 8);
    CHECK_EQUAL(config.node, 5);
    CHECK_TEXT(config.directory, "/d");
    CHECK_TEXT(config.control, "/c");
    CHECK_EQUAL(config.cores[0], 0);
    CHECK_EQUAL(config.nodes[0].ipv4, 0x7F000005);
    CHECK_EQUAL(config.nodes[0].links[0].frame_bytes, 1000);
}

static void apply_arrives(void)
{
    load("order: parallel\n" THREE, 2, 0);
    CHECK_EQUAL(config.order, PONTOON_PARALLEL);
    CHECK_EQUAL(config.apply, PONTOON_APPLY_DEPENDS_ON);
    CHECK_EQUAL(config.look_behind, 2);
    load("order: parallel\napply: look_behind\n" THREE, 2, 0);
    CHECK_EQUAL(config.apply, PONTOON_APPLY_LOOK_BEHIND);
    CHECK_EQUAL(config.look_behind, 2);
    load("order: parallel\napply: look_behind\nlook_behind: 2048\n" THREE, 2, 0);
    CHECK_EQUAL(config.look_behind, 2048);
}

static void defaults_follow_from_what_is_given(void)
{
    load("election_timeout_min: 5ms\ngroups: 1000\nlog_mib: 64\n" THREE, 2, 0);
    CHECK_EQUAL(config.election_timeout_max_ns, 10000000);
    CHECK_EQUAL(config.heartbeat_ns, 1000000);
    CHECK_EQUAL(config.app_memory_mib, 1);
    CHECK_EQUAL(config.log_entries, 4096);
    CHECK_EQUAL(config.session_pages, 16);
    CHECK_EQUAL(config.window_entries, 2048);
    CHECK_EQUAL(config.window_kib, 8192);
    CHECK_TEXT(config.directory, "/d2");
}

static void memif_is_a_full_mesh(void)
{
    load("cluster: 42\n" THREE "clients:\n  - id: 2\n", 1, 0);
    const struct pontoon_member *one = &config.nodes[0], *two = &config.nodes[1],
                                *client = &config.clients[0];
    CHECK_EQUAL(config.driver, PONTOON_DRIVER_DPDK);
    CHECK_EQUAL(one->ipv4, 0x0A4D0001);
    CHECK_EQUAL(one->link_count, 3);
    check_link(&one->links[0],
               "net_memif0,role=server,id=0,socket=pontoon-42-n1-n2,socket-abstract=yes,bsize=9024",
               1 << 1);
    check_link(&one->links[1],
               "net_memif1,role=server,id=0,socket=pontoon-42-n1-n3,socket-abstract=yes,bsize=9024",
               1 << 2);
    check_link(&one->links[2],
               "net_memif2,role=server,id=0,socket=pontoon-42-n1-c2,socket-abstract=yes,bsize=9024",
               0);
    check_link(&two->links[0],
               "net_memif0,role=client,id=0,socket=pontoon-42-n1-n2,socket-abstract=yes,bsize=9024",
               1 << 0);
    check_link(&two->links[1],
               "net_memif1,role=server,id=0,socket=pontoon-42-n2-n3,socket-abstract=yes,bsize=9024",
               1 << 2);
    CHECK_EQUAL(client->ipv4, 0x0A4D0066);
    CHECK_EQUAL(client->link_count, 3);
    check_link(&client->links[2],
               "net_memif2,role=client,id=0,socket=pontoon-42-n3-c2,socket-abstract=yes,bsize=9024",
               1 << 2);
    CHECK_EQUAL(one->links[0].frame_bytes, 8960);
    CHECK_EQUAL(one->links[0].ipv4, one->ipv4);
    CHECK_EQUAL(one->links[0].prefix_bits, 24);
}

// Both ends of every pair name the same socket, one as server and one as client, and no socket is
// used twice.
static void memif_ends_fit_together_at_full_size(void)
{
    load("nodes: [{id: 1, directory: /d}, {id: 9, directory: /d}, {id: 17, directory: /d}, {id: "
         "64, directory: /d},\n"
         "  {id: 5, directory: /d}, {id: 33, directory: /d}, {id: 2, directory: /d}]\n"
         "clients: [{id: 1}, {id: 2}, {id: 3}, {id: 4}, {id: 5}, {id: 6}, {id: 7}, {id: 8}]\n",
         17, 0);
    unsigned servers = 0, clients = 0;
    static const char *ends[2][128];
    for (uint32_t i = 0; i < config.node_count + config.client_count; i++) {
        const struct pontoon_member *member =
            i < config.node_count ? &config.nodes[i] : &config.clients[i - config.node_count];
        CHECK_EQUAL(member->link_count, i < config.node_count ? 6 + 8 : 7);
        for (uint32_t j = 0; j < member->link_count; j++) {
            const char *device = member->links[j].device;
            bool is_server = strstr(device, "role=server") != NULL;
            ends[is_server][is_server ? servers++ : clients++] = strstr(device, ",id=0");
        }
    }
    CHECK_EQUAL(servers, 7 * 6 / 2 + 7 * 8);
    CHECK_EQUAL(clients, servers);
    for (unsigned i = 0; i < servers; i++) {
        unsigned same = 0, twice = 0;
        for (unsigned j = 0; j < servers; j++) {
            same += strcmp(ends[1][i], ends[0][j]) == 0;
            twice += strcmp(ends[1][i], ends[1][j]) == 0;
        }
        CHECK_EQUAL(same, 1);
        CHECK_EQUAL(twice, 1);
    }
}

static void buffers_hold_a_frame_in_an_odd_number_of_lines(void)
{
    load("frame_bytes: 1472\n" THREE, 1, 0); // 1514 bytes: 24 lines, made 25
    check_link(&config.nodes[0].links[0],
               "net_memif0,role=server,id=0,socket=pontoon-1-n1-n2,socket-abstract=yes,bsize=1600",
               1 << 1);
    CHECK_EQUAL(config.nodes[0].links[0].frame_bytes, 1472);
}

static void udp_reaches_everybody_through_one_link(void)
{
    load("link: udp\n" THREE "clients: [{id: 1}]\n", 0, 1);
    CHECK_EQUAL(config.client, 1);
    CHECK_EQUAL(config.nodes[2].ipv4, 0x7F4D0003);
    CHECK_EQUAL(config.nodes[2].link_count, 1);
    check_link(&config.nodes[2].links[0], "", 1 << 0 | 1 << 1);
    CHECK_EQUAL(config.clients[0].ipv4, 0x7F4D0065);
    check_link(&config.clients[0].links[0], "", 7);
    CHECK_EQUAL(config.clients[0].links[0].frame_bytes, 8960);
    load("link: udp\nnodes: [{id: 1, directory: /d, address: 192.168.1.5}]\n", 1, 0);
    CHECK_EQUAL(config.nodes[0].links[0].frame_bytes, 1472);
}

static void af_packet_and_port_have_one_device_a_member(void)
{
    load("link: af_packet\nnodes: [{id: 1, directory: /d, device: \"net_af_packet0,iface=v1\"},\n"
         "  {id: 2, directory: /d, device: \"net_af_packet0,iface=v2\"}]\n",
         1, 0);
    check_link(&config.nodes[0].links[0], "net_af_packet0,iface=v1", 1 << 1);
    CHECK_EQUAL(config.nodes[0].links[0].frame_bytes, 1472);
    load("link: port\nframe_bytes: 8000\nnodes: [{id: 1, directory: /d, device: "
         "\"0000:3b:00.0\"}]\n",
         1, 0);
    check_link(&config.nodes[0].links[0], "0000:3b:00.0", 0);
    CHECK_EQUAL(config.nodes[0].links[0].frame_bytes, 8000);
}

static void explicit_links_are_taken_as_given(void)
{
    load("link: explicit\nnodes:\n"
         "  - id: 1\n    directory: /d\n    address: 10.1.0.1\n    links:\n"
         "      - {device: net_tap0, address: 10.2.0.1, prefix_bits: 16, frame_bytes: 600, nodes: "
         "[2]}\n"
         "      - {device: \"0000:01:00.0\", nodes: [3]}\n"
         "  - {id: 2, directory: /d, links: [{device: net_tap0}]}\n"
         "  - {id: 3, directory: /d, links: [{device: net_tap0}]}\n",
         1, 0);
    const struct pontoon_member *one = &config.nodes[0];
    CHECK_EQUAL(one->link_count, 2);
    CHECK_EQUAL(one->links[0].ipv4, 0x0A020001);
    CHECK_EQUAL(one->links[0].prefix_bits, 16);
    CHECK_EQUAL(one->links[0].frame_bytes, 600);
    CHECK_EQUAL(one->links[1].ipv4, 0x0A010001);
    CHECK_EQUAL(one->links[1].prefix_bits, 24);
    CHECK_EQUAL(one->links[1].frame_bytes, 1472);
    CHECK_EQUAL(config.nodes[1].links[0].nodes, 1 << 0 | 1 << 2);
}

static void faults_go_to_the_node_that_injects_them(void)
{
    static const char text[] =
        THREE "impair:\n  - {at: 1, node: 2, direction: in, loss_ppm: 10000, delay: 20us}\n"
              "  - {node: 3, cut: true}\n  - {direction: out, jitter: 1ms}\n";
    load(text, 1, 0);
    CHECK_EQUAL(config.impair_count, 4);
    CHECK_EQUAL(config.impair[0].node, 2);
    CHECK_EQUAL(config.impair[0].inbound, true);
    CHECK_EQUAL(config.impair[0].loss_ppm, 10000);
    CHECK_EQUAL(config.impair[0].delay_ns, 20000);
    CHECK_EQUAL(config.impair[1].node, 3);
    CHECK_EQUAL(config.impair[1].inbound, true);
    CHECK_EQUAL(config.impair[2].inbound, false);
    CHECK_EQUAL(config.impair[2].cut, true);
    CHECK_EQUAL(config.impair[3].inbound, false);
    CHECK_EQUAL(config.impair[3].jitter_ns, 1000000);
    load(text, 3, 0); // node 3 does not talk to itself
    CHECK_EQUAL(config.impair_count, 1);
    load(text, 2, 0);
    CHECK_EQUAL(config.impair_count, 3);
    load(THREE "impair_runtime: true\nimpair:\n  - {types: [vote, append], burst_ppm: 5, "
               "corrupt_ppm: 6, clog_ppm: 7}\n  - {types: snapshot, clog: 3ms, burst_frames: "
               "9}\n",
         1, 0);
    CHECK(config.impair_runtime);
    CHECK_EQUAL(config.impair_count, 4);
    CHECK_EQUAL(config.impair[0].types, UINT64_C(1) << RAFT_MSG_VOTE | UINT64_C(1)
                                                                           << RAFT_MSG_APPEND);
    CHECK_EQUAL(config.impair[0].burst_ppm, 5);
    CHECK_EQUAL(config.impair[0].burst_frames, 16); // the default
    CHECK_EQUAL(config.impair[0].corrupt_ppm, 6);
    CHECK_EQUAL(config.impair[0].clog_ppm, 7);
    CHECK_EQUAL(config.impair[0].clog_ns, 50000000);
    CHECK_EQUAL(config.impair[2].types, UINT64_C(1) << WIRE_SNAPSHOT);
    CHECK_EQUAL(config.impair[2].clog_ns, 3000000);
    CHECK_EQUAL(config.impair[2].burst_frames, 9);
}

static void a_cluster_is_checked_for_every_member(void)
{
    char reason[512], expected[512];
    load("nodes: [{id: 1, directory: /d}, {id: 2}]\n", 1, 0);
    CHECK(settings_load_cluster(&config, settings_file_path(), reason, sizeof(reason)) < 0);
    snprintf(expected, sizeof(expected),
             "%s: node 2: directory missing; give the path where it may keep its files",
             settings_file_path());
    CHECK_TEXT(reason, expected);
    load("nodes: [{id: 1, directory: /d}, {id: 2, directory: /d, cores: [1000]}]\n", 1, 0);
    CHECK_EQUAL(settings_load_cluster(&config, settings_file_path(), reason, sizeof(reason)), 0);
    CHECK_EQUAL(config.node, 0);
    CHECK_TEXT(config.directory, "");
    CHECK_EQUAL((uint16_t)config.cores[0], UINT16_MAX);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(defaults_are_those_of_the_header),
        TEST(every_value_of_a_file_arrives),
        TEST(apply_arrives),
        TEST(defaults_follow_from_what_is_given),
        TEST(memif_is_a_full_mesh),
        TEST(memif_ends_fit_together_at_full_size),
        TEST(buffers_hold_a_frame_in_an_odd_number_of_lines),
        TEST(udp_reaches_everybody_through_one_link),
        TEST(af_packet_and_port_have_one_device_a_member),
        TEST(explicit_links_are_taken_as_given),
        TEST(faults_go_to_the_node_that_injects_them),
        TEST(a_cluster_is_checked_for_every_member),
    };
    return test_run("config links", cases, TEST_COUNT(cases), argc, argv);
}
