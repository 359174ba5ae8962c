// The table of knobs, and how one value is read, checked and printed.
#include "drivers/bundle/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/core/types.h"
#include "engine/driver_api/net.h"
#include "engine/wire/wire.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

#define AT(type, field) .offset = offsetof(type, field), .bytes = sizeof(((type *)0)->field)
#define CONFIG(name, field) .key = name, AT(struct pontoon_config, field)
#define FILE_(name, field) .key = name, AT(struct settings_file, field)
#define MEMBER(name, field) .key = name, AT(struct settings_member, field)
#define LINK(name, field) .key = name, AT(struct settings_link, field)
#define IMPAIR(name, field) .key = name, AT(struct settings_impair, field)

static const struct settings_word link_words[] = {
    {"memif", SETTINGS_MEMIF}, {"udp", SETTINGS_UDP},           {"af_packet", SETTINGS_AF_PACKET},
    {"port", SETTINGS_PORT},   {"explicit", SETTINGS_EXPLICIT}, {NULL, 0},
};
static const struct settings_word driver_words[] = {
    {"dpdk", PONTOON_DRIVER_DPDK}, {"udp", PONTOON_DRIVER_UDP}, {NULL, 0}};
static const struct settings_word durability_words[] = {
    {"fsync", PONTOON_FSYNC}, {"memory", PONTOON_MEMORY}, {NULL, 0}};
static const struct settings_word order_words[] = {
    {"strict", PONTOON_STRICT}, {"parallel", PONTOON_PARALLEL}, {NULL, 0}};
static const struct settings_word apply_words[] = {{"depends_on", PONTOON_APPLY_DEPENDS_ON},
                                                   {"look_behind", PONTOON_APPLY_LOOK_BEHIND},
                                                   {NULL, 0}};
static const struct settings_word idle_words[] = {
    {"auto", PONTOON_IDLE_AUTO},
    {"spin", PONTOON_IDLE_SPIN},
    {"yield", PONTOON_IDLE_YIELD},
    {"sleep", PONTOON_IDLE_SLEEP},
    {NULL, 0},
};
static const struct settings_word direction_words[] = {
    {"both", SETTINGS_BOTH}, {"in", SETTINGS_IN}, {"out", SETTINGS_OUT}, {NULL, 0}};
static const struct settings_word type_words[] = {
    {"pre_vote", RAFT_MSG_PRE_VOTE},
    {"pre_vote_reply", RAFT_MSG_PRE_VOTE_REPLY},
    {"vote", RAFT_MSG_VOTE},
    {"vote_reply", RAFT_MSG_VOTE_REPLY},
    {"append", RAFT_MSG_APPEND},
    {"append_reply", RAFT_MSG_APPEND_REPLY},
    {"fetch", RAFT_MSG_FETCH},
    {"append_fragment", WIRE_APPEND_FRAGMENT},
    {"snapshot", WIRE_SNAPSHOT},
    {"snapshot_reply", WIRE_SNAPSHOT_REPLY},
    {NULL, 0},
};

static const struct settings_knob top_knobs[] = {
    {CONFIG("cluster", cluster), .kind = SETTINGS_NUMBER, .min = 1, .max = UINT64_MAX, .value = 1,
     .meaning = "number of the cluster; nodes of another cluster are not heard"},
    {FILE_("link", link), .kind = SETTINGS_WORD, .words = link_words, .value = SETTINGS_MEMIF,
     .meaning = "how members are joined; see below"},
    {FILE_("frame_bytes", frame_bytes), .kind = SETTINGS_NUMBER, .min = NET_FRAME_BYTES_MIN,
     .max = NET_FRAME_BYTES_MAX, .derived = "8960 on memif and loopback, else 1472",
     .meaning = "largest UDP payload of a frame"},
    {FILE_("nodes", nodes), .kind = SETTINGS_LIST, .meaning = "the voting members, 1 to 7"},
    {FILE_("clients", clients), .kind = SETTINGS_LIST,
     .meaning = "places for clients, 0 to 8: each serves one client process at a time"},

    {CONFIG("driver", driver), .kind = SETTINGS_WORD, .words = driver_words,
     .value = PONTOON_DRIVER_DPDK, .derived = "follows from `link`",
     .meaning = "network driver of `link: explicit`"},
    {CONFIG("udp_port", udp_port), .kind = SETTINGS_NUMBER, .min = 1024, .max = 65535 - 63,
     .value = 7700, .meaning = "UDP port of steering class 0; the 63 ports above it are used too"},
    {CONFIG("buffers_mib", buffers_mib), .kind = SETTINGS_NUMBER, .min = 8, .max = 65536,
     .value = 64, .meaning = "memory for frame buffers"},
    {CONFIG("hugepages", hugepages), .kind = SETTINGS_SWITCH, .value = true,
     .meaning = "use hugepages when there are any"},
    {CONFIG("eal", eal), .kind = SETTINGS_TEXT, .text = "",
     .meaning = "further EAL arguments, separated by spaces"},

    {CONFIG("groups", groups), .kind = SETTINGS_NUMBER, .min = 1, .max = PONTOON_GROUPS_MAX,
     .value = 1, .meaning = "number of Raft groups; ids are 0 to groups - 1"},
    {CONFIG("order", order), .kind = SETTINGS_WORD, .words = order_words, .value = PONTOON_STRICT,
     .meaning =
         "strict Raft, or parallel: what does not conflict is not ordered (for good, at creation)"},
    {CONFIG("apply", apply), .kind = SETTINGS_WORD, .words = apply_words,
     .value = PONTOON_APPLY_DEPENDS_ON,
     .meaning =
         "order: parallel: what is applied beyond missing entries: depends_on: what does not "
         "depend on them; look_behind: as PolarFS, only what `look_behind` reaches"},
    {CONFIG("look_behind", look_behind), .kind = SETTINGS_NUMBER, .min = 1, .max = RAFT_WINDOW_MAX,
     .value = 2,
     .meaning = "apply: look_behind: nothing is applied beyond more missing entries in "
                "a row than this; at most a quarter of log_entries"},
    {CONFIG("app", app), .kind = SETTINGS_TEXT, .text = "kv",
     .meaning = "state machine: kv (key-value store), block (a volume) or null (counts)"},
    {CONFIG("app_memory_mib", app_memory_mib), .kind = SETTINGS_NUMBER, .min = 1, .max = 1048576,
     .value = 256, .derived = "256 / groups, at least 1",
     .meaning = "memory limit of one group's state machine"},
    {CONFIG("app_file", app_file), .kind = SETTINGS_SWITCH,
     .meaning = "block: keep the content in a file of the directory, not in memory"},
    {CONFIG("log_entries", log_entries), .kind = SETTINGS_NUMBER, .min = 1024, .max = 1 << 24,
     .value = 262144, .derived = "262144; less above 16 groups",
     .meaning = "entries of one group kept in memory; a power of two"},
    {CONFIG("session_pages", session_pages), .kind = SETTINGS_NUMBER, .min = 8, .max = 65536,
     .value = 1024, .derived = "1024; less above 16 groups",
     .meaning = "pages of 1024 client sequences, a group; the same on every node"},
    {CONFIG("window_entries", window_entries), .kind = SETTINGS_NUMBER, .min = 16, .max = 1 << 24,
     .value = 65536, .derived = "65536, at most log_entries / 2",
     .meaning = "entries in flight to one peer"},
    {CONFIG("window_kib", window_kib), .kind = SETTINGS_NUMBER, .min = 1024, .max = 1 << 22,
     .value = 32768, .derived = "32768, at most an eighth of log_mib",
     .meaning = "payload in flight to one peer"},

    {CONFIG("durability", durability), .kind = SETTINGS_WORD, .words = durability_words,
     .value = PONTOON_FSYNC,
     .meaning = "fsync: an entry is acknowledged when on disk; memory: entries are never written"},
    {CONFIG("log_mib", log_mib), .kind = SETTINGS_NUMBER, .min = 16, .max = 1048576, .multiple = 4,
     .value = 256, .meaning = "log of one reactor: memory, and file of the same size"},
    {CONFIG("log_batch_kib", log_batch_kib), .kind = SETTINGS_NUMBER, .min = 4, .max = 1024,
     .value = 1024,
     .meaning = "a write to the log is closed when it holds so much; 4: each entry of 4 KiB is its "
                "own write"},
    {CONFIG("log_writes", log_writes), .kind = SETTINGS_NUMBER, .min = 1, .max = 32, .value = 2,
     .meaning = "writes to the log under way at once: few large ones cost least, as each ends in a "
                "flush"},
    {CONFIG("checkpoint_mib", checkpoint_mib), .kind = SETTINGS_NUMBER, .min = 0, .max = 1048576,
     .value = 0, .meaning = "checkpoint after so much new log; 0: half of log_mib"},

    {CONFIG("election_timeout_min", election_timeout_min_ns), .kind = SETTINGS_DURATION, .min = MS,
     .max = 60 * S, .value = 150 * MS,
     .meaning = "a follower stands for election when it heard no leader for so long, at least"},
    {CONFIG("election_timeout_max", election_timeout_max_ns), .kind = SETTINGS_DURATION, .min = MS,
     .max = 120 * S, .value = 300 * MS, .derived = "twice election_timeout_min",
     .meaning = "... and at most"},
    {CONFIG("heartbeat", heartbeat_ns), .kind = SETTINGS_DURATION, .min = MS / 10, .max = 30 * S,
     .value = 30 * MS, .derived = "a fifth of election_timeout_min",
     .meaning = "a leader without entries to send says so this often"},

    {CONFIG("reactors", reactors), .kind = SETTINGS_NUMBER, .min = 1, .max = PONTOON_REACTORS_MAX,
     .value = 1, .meaning = "poll-mode cores of a node"},
    {CONFIG("apply_workers", apply_workers), .kind = SETTINGS_NUMBER, .min = 0, .max = 8,
     .value = 0, .meaning = "threads that apply entries; 0: the reactors do it themselves"},
    {CONFIG("idle", idle), .kind = SETTINGS_WORD, .words = idle_words, .value = PONTOON_IDLE_AUTO,
     .meaning = "what a poll without work does; auto compares pollers with cores"},

    {FILE_("impair", impair), .kind = SETTINGS_LIST,
     .meaning = "faults to inject between nodes, for tests and experiments"},
    {CONFIG("impair_seed", impair_seed), .kind = SETTINGS_NUMBER, .min = 0, .max = UINT64_MAX,
     .value = 1, .meaning = "seed of the faults: the same seed gives the same faults"},
    {CONFIG("impair_runtime", impair_runtime), .kind = SETTINGS_SWITCH,
     .meaning = "`pontoon impair` may change the faults of running nodes"},
};

static const struct settings_knob member_knobs[] = {
    {MEMBER("id", id), .kind = SETTINGS_NUMBER, .min = 1, .max = RAFT_NODE_ID_MAX,
     .derived = "must be given", .meaning = "nodes: 1 to 64; clients: 1 to 8"},
    {MEMBER("address", ipv4), .kind = SETTINGS_ADDRESS,
     .derived = "10.77.0.ID, clients 10.77.0.(100+ID); udp: 127.77.0....",
     .meaning = "IPv4 address that others use"},
    {MEMBER("directory", directory), .kind = SETTINGS_TEXT, .derived = "nodes: must be given",
     .meaning = "where the node keeps term, vote, log and checkpoints"},
    {MEMBER("control", control), .kind = SETTINGS_TEXT, .derived = "DIRECTORY/control",
     .meaning = "path of the control socket of `pontoon status`"},
    {MEMBER("device", device), .kind = SETTINGS_TEXT,
     .derived = "link af_packet, port: must be given",
     .meaning = "DPDK vdev with arguments, or PCI address"},
    {MEMBER("cores", cores), .kind = SETTINGS_CORES, .derived = "not pinned",
     .meaning = "CPU of each reactor; for a client: one CPU"},
    {MEMBER("links", links), .kind = SETTINGS_LIST, .derived = "link explicit: must be given",
     .meaning = "the ports of this member, and who is reached through each"},
};

static const struct settings_knob link_knobs[] = {
    {LINK("device", device), .kind = SETTINGS_TEXT, .derived = "dpdk: must be given",
     .meaning = "DPDK vdev with arguments, or PCI address"},
    {LINK("address", ipv4), .kind = SETTINGS_ADDRESS, .derived = "the member's address",
     .meaning = "our IPv4 address on this link"},
    {LINK("prefix_bits", prefix_bits), .kind = SETTINGS_NUMBER, .min = 1, .max = 32,
     .derived = "24", .meaning = "length of the subnet's prefix"},
    {LINK("frame_bytes", frame_bytes), .kind = SETTINGS_NUMBER, .min = NET_FRAME_BYTES_MIN,
     .max = NET_FRAME_BYTES_MAX, .derived = "the file's frame_bytes, else 1472",
     .meaning = "largest UDP payload of a frame"},
    {LINK("nodes", nodes), .kind = SETTINGS_IDS, .derived = "only link: all; else none",
     .meaning = "ids of the nodes reached through it"},
};

static const struct settings_knob impair_knobs[] = {
    {IMPAIR("at", at), .kind = SETTINGS_NUMBER, .min = 0, .max = RAFT_NODE_ID_MAX,
     .meaning = "node that injects the fault; 0: every node"},
    {IMPAIR("node", rule.node), .kind = SETTINGS_NUMBER, .min = 0, .max = RAFT_NODE_ID_MAX,
     .meaning = "traffic with that node; 0: with every node (never with clients)"},
    {IMPAIR("direction", direction), .kind = SETTINGS_WORD, .words = direction_words,
     .value = SETTINGS_BOTH, .meaning = "seen from the node that injects: in, out or both"},
    {IMPAIR("types", rule.types), .kind = SETTINGS_WORDS, .words = type_words,
     .derived = "every frame",
     .meaning = "list: only frames that carry a message of one of these types"},
    {IMPAIR("loss_ppm", rule.loss_ppm), .kind = SETTINGS_NUMBER, .max = 1000000,
     .meaning = "frames lost, of a million"},
    {IMPAIR("burst_ppm", rule.burst_ppm), .kind = SETTINGS_NUMBER, .max = 1000000,
     .meaning = "frames with which a burst of losses begins, of a million"},
    {IMPAIR("burst_frames", rule.burst_frames), .kind = SETTINGS_NUMBER, .min = 1, .max = 10000,
     .value = 16, .meaning = "a burst takes 1 to so many frames"},
    {IMPAIR("duplicate_ppm", rule.duplicate_ppm), .kind = SETTINGS_NUMBER, .max = 1000000,
     .meaning = "frames doubled, of a million"},
    {IMPAIR("reorder_ppm", rule.reorder_ppm), .kind = SETTINGS_NUMBER, .max = 1000000,
     .meaning = "frames overtaken by later ones, of a million"},
    {IMPAIR("corrupt_ppm", rule.corrupt_ppm), .kind = SETTINGS_NUMBER, .max = 1000000,
     .meaning = "frames with some bits flipped, of a million"},
    {IMPAIR("clog_ppm", rule.clog_ppm), .kind = SETTINGS_NUMBER, .max = 1000000,
     .meaning = "frames with which the link clogs, of a million"},
    {IMPAIR("clog", rule.clog_ns), .kind = SETTINGS_DURATION, .min = 1000, .max = 10 * S,
     .value = 50 * MS, .meaning = "a clogged link holds all frames so long, then delivers them"},
    {IMPAIR("delay", rule.delay_ns), .kind = SETTINGS_DURATION, .max = 10 * S,
     .meaning = "added to every frame"},
    {IMPAIR("jitter", rule.jitter_ns), .kind = SETTINGS_DURATION, .max = 10 * S,
     .meaning = "random time from 0 to this, added to delay"},
    {IMPAIR("cut", rule.cut), .kind = SETTINGS_SWITCH, .meaning = "no frame passes"},
};

#define KNOBS(table)                                                                               \
    {                                                                                              \
        table, sizeof(table) / sizeof((table)[0])                                                  \
    }
const struct settings_knobs settings_top_knobs = KNOBS(top_knobs);
const struct settings_knobs settings_member_knobs = KNOBS(member_knobs);
const struct settings_knobs settings_link_knobs = KNOBS(link_knobs);
const struct settings_knobs settings_impair_knobs = KNOBS(impair_knobs);

bool settings_knob_is_config(const struct settings_knob *knob)
{
    return knob->offset < sizeof(struct pontoon_config);
}

int settings_refuse(const struct settings_reason *reason, unsigned line, const char *format, ...)
{
    va_list arguments;
    char what[SETTINGS_LINE_BYTES], where[SETTINGS_LINE_BYTES] = "";
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    for (char *c = what; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 127 ? '?' : *c; // what was quoted from a file
    }
    if (reason->path != NULL && line != 0) {
        snprintf(where, sizeof(where), "%s:%u: ", reason->path, line);
    } else if (reason->path != NULL) {
        snprintf(where, sizeof(where), "%s: ", reason->path);
    }
    if (reason->bytes != 0) {
        snprintf(reason->text, reason->bytes, "%s%s", where, what);
    }
    return -EINVAL;
}

// ----------------------------------------------------------------------------------------- fields

// Little-endian machines only, as are DPDK's x86 and arm64 builds.
static uint64_t load_field(const struct settings_knob *knob, const void *source)
{
    uint64_t value = 0;
    ASSERT(knob->bytes <= sizeof(value));
    memcpy(&value, (const uint8_t *)source + knob->offset, knob->bytes);
    return value;
}

static void store_field(const struct settings_knob *knob, uint64_t value, void *target)
{
    memcpy((uint8_t *)target + knob->offset, &value, knob->bytes);
}

void settings_knobs_init(const struct settings_knobs *knobs, void *target)
{
    for (size_t i = 0; i < knobs->count; i++) {
        const struct settings_knob *knob = &knobs->knobs[i];
        switch (knob->kind) {
        case SETTINGS_NUMBER:
        case SETTINGS_SWITCH:
        case SETTINGS_DURATION:
        case SETTINGS_WORD:
        case SETTINGS_WORDS:
        case SETTINGS_ADDRESS:
        case SETTINGS_IDS:
            store_field(knob, knob->value, target);
            break;
        case SETTINGS_TEXT:
            if (knob->text != NULL) {
                snprintf((char *)target + knob->offset, knob->bytes, "%s", knob->text);
            }
            break;
        case SETTINGS_CORES:
        case SETTINGS_LIST:
            break;
        }
    }
}

// --------------------------------------------------------------------------------------- printing

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {{"s", S}, {"ms", MS}, {"us", 1000}, {"ns", 1}};

const char *settings_duration_text(uint64_t duration_ns, char text[static 32])
{
    size_t unit = 0;
    while (duration_ns % units[unit].ns != 0) {
        unit++;
    }
    snprintf(text, 32, "%" PRIu64 "%s", duration_ns / units[unit].ns, units[unit].name);
    return text;
}

const char *settings_address_text(uint32_t ipv4, char text[static 16])
{
    snprintf(text, 16, "%u.%u.%u.%u", ipv4 >> 24, ipv4 >> 16 & 255, ipv4 >> 8 & 255, ipv4 & 255);
    return text;
}

static const char *word_text(const struct settings_word *words, uint64_t value)
{
    while (words->name != NULL && (uint64_t)words->value != value) {
        words++;
    }
    return words->name;
}

// "append,vote"
static void words_text(const struct settings_word *words, uint64_t set,
                       char text[static SETTINGS_VALUE_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (; words->name != NULL; words++) {
        if ((set >> words->value & 1) != 0) {
            used += (size_t)snprintf(text + used, SETTINGS_VALUE_BYTES - used, "%s%s",
                                     used == 0 ? "" : ",", words->name);
        }
    }
}

bool settings_value_text(const struct settings_knob *knob, const void *source,
                         char text[static SETTINGS_VALUE_BYTES])
{
    char part[32];
    switch (knob->kind) {
    case SETTINGS_NUMBER:
        snprintf(text, SETTINGS_VALUE_BYTES, "%" PRIu64, load_field(knob, source));
        return true;
    case SETTINGS_SWITCH:
        snprintf(text, SETTINGS_VALUE_BYTES, "%s",
                 load_field(knob, source) != 0 ? "true" : "false");
        return true;
    case SETTINGS_DURATION:
        settings_duration_text(load_field(knob, source), part);
        snprintf(text, SETTINGS_VALUE_BYTES, "%s", part);
        return true;
    case SETTINGS_WORD:
        snprintf(text, SETTINGS_VALUE_BYTES, "%s",
                 word_text(knob->words, load_field(knob, source)));
        return true;
    case SETTINGS_WORDS:
        words_text(knob->words, load_field(knob, source), text);
        return true;
    case SETTINGS_TEXT:
        snprintf(text, SETTINGS_VALUE_BYTES, "\"%s\"", (const char *)source + knob->offset);
        return true;
    case SETTINGS_ADDRESS:
        settings_address_text((uint32_t)load_field(knob, source), part);
        snprintf(text, SETTINGS_VALUE_BYTES, "%s", part);
        return true;
    case SETTINGS_IDS:
    case SETTINGS_CORES:
    case SETTINGS_LIST:
        return false;
    }
    return false;
}

// ---------------------------------------------------------------------------------------- reading

// A decimal number without sign, blanks or surplus; *end is the first character behind it.
static bool read_number(const char *text, uint64_t *value, char **end)
{
    errno = 0;
    *value = strtoull(text, end, 10);
    return text[0] >= '0' && text[0] <= '9' && errno == 0;
}

static bool read_duration(const char *text, uint64_t *duration_ns)
{
    char *end;
    uint64_t number;
    if (!read_number(text, &number, &end)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) == 0) {
            return !__builtin_mul_overflow(number, units[i].ns, duration_ns);
        }
    }
    return number == 0 && *end == '\0' && (*duration_ns = 0, true);
}

static int refuse_word(const struct settings_knob *knob, const char *text,
                       const struct settings_reason *reason, unsigned line)
{
    char known[192] = "";
    for (const struct settings_word *word = knob->words; word->name != NULL; word++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", used == 0 ? "" : ", ", word->name);
    }
    return settings_refuse(reason, line, "%s: \"%.60s\" is unknown; give %s of %s", knob->key, text,
                           knob->kind == SETTINGS_WORD ? "one" : "some", known);
}

static const struct settings_word *find_word(const struct settings_knob *knob, const char *text,
                                             size_t bytes)
{
    for (const struct settings_word *word = knob->words; word->name != NULL; word++) {
        if (strlen(word->name) == bytes && memcmp(word->name, text, bytes) == 0) {
            return word;
        }
    }
    return NULL;
}

static int set_word(const struct settings_knob *knob, const char *text, void *target,
                    const struct settings_reason *reason, unsigned line)
{
    const struct settings_word *word = find_word(knob, text, strlen(text));
    if (word == NULL) {
        return refuse_word(knob, text, reason, line);
    }
    store_field(knob, (uint64_t)word->value, target);
    return 0;
}

static int set_words(const struct settings_knob *knob, const char *text, void *target,
                     const struct settings_reason *reason, unsigned line)
{
    uint64_t set = 0;
    for (const char *at = text; at != NULL;) {
        size_t bytes = strcspn(at, ",");
        const struct settings_word *word = find_word(knob, at, bytes);
        if (word == NULL) {
            char wrong[64];
            snprintf(wrong, sizeof(wrong), "%.*s", bytes < 60 ? (int)bytes : 60, at);
            return refuse_word(knob, wrong, reason, line);
        }
        set |= UINT64_C(1) << word->value;
        at = at[bytes] == ',' ? at + bytes + 1 : NULL;
    }
    store_field(knob, set, target);
    return 0;
}

static int set_text(const struct settings_knob *knob, const char *text, void *target,
                    const struct settings_reason *reason, unsigned line)
{
    if (strlen(text) >= knob->bytes) {
        return settings_refuse(reason, line, "%s: too long (%zu bytes); give at most %zu",
                               knob->key, strlen(text), knob->bytes - 1);
    }
    snprintf((char *)target + knob->offset, knob->bytes, "%s", text);
    return 0;
}

static int set_address(const struct settings_knob *knob, const char *text, void *target,
                       const struct settings_reason *reason, unsigned line)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1) {
        return settings_refuse(reason, line,
                               "%s: \"%.60s\" is no IPv4 address; give four numbers like 10.77.0.1",
                               knob->key, text);
    }
    store_field(knob, ntohl(address.s_addr), target);
    return 0;
}

int settings_knob_set(const struct settings_knob *knob, const char *text, void *target,
                      const struct settings_reason *reason, unsigned line)
{
    uint64_t value;
    char *end;
    switch (knob->kind) {
    case SETTINGS_NUMBER:
        if (!read_number(text, &value, &end) || *end != '\0') {
            return settings_refuse(reason, line,
                                   "%s: \"%.60s\" is no number; give %" PRIu64 " to %" PRIu64,
                                   knob->key, text, knob->min, knob->max);
        }
        if (knob->bytes < sizeof(value) && value >> 8 * knob->bytes != 0) {
            return settings_refuse(reason, line,
                                   "%s: %s is out of range; give %" PRIu64 " to %" PRIu64,
                                   knob->key, text, knob->min, knob->max);
        }
        store_field(knob, value, target);
        return settings_knob_check(knob, target, reason, line);
    case SETTINGS_DURATION:
        if (!read_duration(text, &value)) {
            return settings_refuse(
                reason, line,
                "%s: \"%.60s\" is no duration; give a whole number and a unit, like 30ms "
                "(ns, us, ms, s)",
                knob->key, text);
        }
        store_field(knob, value, target);
        return settings_knob_check(knob, target, reason, line);
    case SETTINGS_SWITCH:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return settings_refuse(reason, line, "%s: \"%.60s\" is unknown; give true or false",
                                   knob->key, text);
        }
        store_field(knob, text[0] == 't', target);
        return 0;
    case SETTINGS_WORD:
        return set_word(knob, text, target, reason, line);
    case SETTINGS_WORDS:
        return set_words(knob, text, target, reason, line);
    case SETTINGS_TEXT:
        return set_text(knob, text, target, reason, line);
    case SETTINGS_ADDRESS:
        return set_address(knob, text, target, reason, line);
    case SETTINGS_IDS:
    case SETTINGS_CORES:
    case SETTINGS_LIST:
        break;
    }
    return settings_refuse(reason, line, "%s: one value where a list belongs; give [...]",
                           knob->key);
}

// --------------------------------------------------------------------------------------- checking

static int check_number(const struct settings_knob *knob, uint64_t value,
                        const struct settings_reason *reason, unsigned line)
{
    if (value < knob->min || value > knob->max) {
        return settings_refuse(reason, line,
                               "%s: %" PRIu64 " is out of range; give %" PRIu64 " to %" PRIu64,
                               knob->key, value, knob->min, knob->max);
    }
    if (knob->multiple != 0 && value % knob->multiple != 0) {
        return settings_refuse(
            reason, line, "%s: %" PRIu64 " is no multiple of %" PRIu64 "; give %" PRIu64, knob->key,
            value, knob->multiple, value / knob->multiple * knob->multiple);
    }
    return 0;
}

static int check_duration(const struct settings_knob *knob, uint64_t value_ns,
                          const struct settings_reason *reason, unsigned line)
{
    char value[32], min[32], max[32];
    if (value_ns >= knob->min && value_ns <= knob->max) {
        return 0;
    }
    return settings_refuse(reason, line, "%s: %s is out of range; give %s to %s", knob->key,
                           settings_duration_text(value_ns, value),
                           settings_duration_text(knob->min, min),
                           settings_duration_text(knob->max, max));
}

int settings_knob_check(const struct settings_knob *knob, const void *source,
                        const struct settings_reason *reason, unsigned line)
{
    const char *text = (const char *)source + knob->offset;
    switch (knob->kind) {
    case SETTINGS_NUMBER:
        return check_number(knob, load_field(knob, source), reason, line);
    case SETTINGS_DURATION:
        return check_duration(knob, load_field(knob, source), reason, line);
    case SETTINGS_WORD:
        if (word_text(knob->words, load_field(knob, source)) == NULL) {
            return settings_refuse(reason, line, "%s: %" PRIu64 " names nothing", knob->key,
                                   load_field(knob, source));
        }
        return 0;
    case SETTINGS_TEXT:
        if (memchr(text, '\0', knob->bytes) == NULL) {
            return settings_refuse(reason, line, "%s: not terminated within %zu bytes", knob->key,
                                   knob->bytes);
        }
        return 0;
    case SETTINGS_SWITCH:
    case SETTINGS_WORDS:
    case SETTINGS_ADDRESS:
    case SETTINGS_IDS:
    case SETTINGS_CORES:
    case SETTINGS_LIST:
        return 0;
    }
    return 0;
}
