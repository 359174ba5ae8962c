// What is refused at opening says what, where and how to mend it, in one line, and prints nothing
// itself.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/net_dpdk/net_dpdk.h"
#include "drivers/net_udp/net_udp.h"
#include "tests/harness/harness.h"

static char reason[512];

static struct net_config config_with(const char *device)
{
    struct net_config config = {
        .link_count = 1, .peer_count = 1, .udp_port = 7900, .reactors = 1, .buffers = 512};
    snprintf(config.links[0].device, sizeof(config.links[0].device), "%s", device);
    config.links[0].ipv4 = 0x7f4d0001;
    config.links[0].frame_bytes = 1472;
    config.peers[0] = (struct net_peer_config){.node_id = 2, .ipv4 = 0x7f4d0002};
    return config;
}

// Runs `open_badly` in a process of its own (EAL is one a process) and reads what it prints on
// stdout and stderr.
static void check_refused(int (*open_badly)(void), const char *expected)
{
    int ends[2];
    CHECK_EQUAL(pipe(ends), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        int result = open_badly();
        printf("%d:%s", result != 0, reason);
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    char text[1024] = "";
    size_t at = 0;
    ssize_t got;
    while ((got = read(ends[0], text + at, sizeof(text) - 1 - at)) > 0) {
        at += (size_t)got;
    }
    text[at] = '\0';
    close(ends[0]);
    waitpid(child, NULL, 0);
    if (strncmp(text, "1:", 2) != 0 || strstr(text, expected) == NULL ||
        strstr(text, "; ") == NULL || strchr(text, '\n') != NULL) {
        printf("    said: %s\n", text);
    }
    CHECK(strncmp(text, "1:", 2) == 0); // nothing was printed before it
    CHECK(strstr(text, expected) != NULL);
    CHECK(strstr(text, "; ") != NULL);
    CHECK(strchr(text, '\n') == NULL);
}

static int open_with(const struct net_config *config, const struct eal_options *eal)
{
    struct net *views[NET_DPDK_REACTORS_MAX];
    return net_dpdk_open(config, eal, views, reason, sizeof(reason));
}

static int open_device(const char *device)
{
    struct net_config config = config_with(device);
    return open_with(&config, NULL);
}

static int bad_eal_argument(void)
{
    const char *extra[] = {"--no-such-option"};
    struct eal_options eal = {.extra_count = 1, .extra = extra};
    struct net_config config = config_with("net_memif0,role=server,socket=x");
    return open_with(&config, &eal);
}

static int too_much_memory(void)
{
    struct eal_options eal = {.memory_mib = 1u << 30};
    struct net_config config = config_with("net_memif0,role=server,socket=x");
    return open_with(&config, &eal);
}

static int no_interface(void)
{
    return open_device("net_af_packet0,iface=nosuch0");
}

static int no_interface_argument(void)
{
    return open_device("net_af_packet0");
}

static int no_pci_device(void)
{
    return open_device("ffff:ff:1f.7");
}

static int no_such_driver(void)
{
    return open_device("net_nonsense0");
}

static int no_ring(void)
{
    return open_device("net_ring:nobody");
}

static int bad_memif_argument(void)
{
    return open_device("net_memif0,role=queen,socket=pontoon-refusal");
}

static int no_device(void)
{
    return open_device("");
}

static int too_few_buffers(void)
{
    struct net_config config = config_with("net_memif0");
    config.buffers = 100;
    return open_with(&config, NULL);
}

static int frames_too_large(void)
{
    struct net_config config = config_with("net_af_packet0,iface=lo");
    config.links[0].frame_bytes = 9000;
    return open_with(&config, NULL);
}

static int foreign_address(void)
{
    struct net_config config = config_with("");
    struct net *view;
    config.links[0].ipv4 = 0x08080808;
    return net_udp_open(&config, 4, &view, reason, sizeof(reason));
}

static int address_in_use(void)
{
    struct net_config config = config_with("");
    struct net *view;
    int result = net_udp_open(&config, 4, &view, reason, sizeof(reason));
    return result != 0 ? 0 : net_udp_open(&config, 4, &view, reason, sizeof(reason));
}

static void each_refusal_names_its_cause(void)
{
    static const struct {
        int (*open_badly)(void);
        const char *expected;
    } table[] = {
        {bad_eal_argument, "EAL did not start"},
        {too_much_memory, "MiB of memory are needed"},
        {no_interface, "no network interface \"nosuch0\""},
        {no_interface_argument, "no iface= given"},
        {no_pci_device, "no PCI device ffff:ff:1f.7"},
        {no_such_driver, "net_nonsense0"},
        {no_ring, "net_ring_nobody"},
        {bad_memif_argument, "net_memif0"},
        {no_device, "no device"},
        {too_few_buffers, "too few buffers"},
        {foreign_address, "8.8.8.8:7900"},
        {address_in_use, "running already"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        check_refused(table[i].open_badly, table[i].expected);
    }
    if (geteuid() == 0) {
        check_refused(frames_too_large, "carries datagrams of at most");
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(each_refusal_names_its_cause)};
    return test_run("net refusals", cases, TEST_COUNT(cases), argc, argv);
}
