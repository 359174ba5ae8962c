// What a configuration may say. One table of knobs drives defaults, reading, checks and documents.
//
//     file ──settings_read──▶ settings_file ──settings_links──▶ pontoon_config ──settings_check──▶
//
// A `pontoon_config` is what the engine gets: links are complete there. A `settings_file` is what a
// person wrote: it may say `link: memif` and leave addresses, devices and links to
// settings_links.c. Every refusal is one line: where, what, how to mend.
#ifndef PONTOON_DRIVERS_BUNDLE_SETTINGS_H
#define PONTOON_DRIVERS_BUNDLE_SETTINGS_H

#include "engine/pontoon.h"

enum {
    SETTINGS_LINE_BYTES = 384, // of a refusal, path and line included
    SETTINGS_VALUE_BYTES = 544,
};

// How members are joined. EXPLICIT: by the `links` of each member; all others generate them.
enum settings_link_kind {
    SETTINGS_MEMIF,
    SETTINGS_UDP,
    SETTINGS_AF_PACKET,
    SETTINGS_PORT,
    SETTINGS_EXPLICIT,
};

// `cores`: a list of CPUs.
struct settings_cores {
    int16_t cpu[PONTOON_REACTORS_MAX + 1];
    uint32_t count;
};

// `links` of a member. Zero or empty: not given.
struct settings_link {
    char device[sizeof(((struct pontoon_link *)0)->device)];
    uint32_t ipv4;
    uint32_t prefix_bits;
    uint32_t frame_bytes;
    uint64_t nodes;
    unsigned line;
};

// An item of `nodes` or `clients`. Zero or empty: not given.
struct settings_member {
    uint16_t id;
    uint32_t ipv4;
    char device[sizeof(((struct pontoon_link *)0)->device)];
    char directory[PONTOON_PATH_BYTES];
    char control[PONTOON_PATH_BYTES];
    struct settings_cores cores;
    struct settings_link links[PONTOON_LINKS_MAX];
    uint32_t link_count;
    unsigned line;
};

enum settings_direction { SETTINGS_BOTH, SETTINGS_IN, SETTINGS_OUT };

// An item of `impair`.
struct settings_impair {
    uint16_t at; // the node whose driver injects the fault; 0: every node
    enum settings_direction direction;
    struct pontoon_impair rule; // .inbound is set from direction
    unsigned line;
};

// A file, as written. `config` comes first: knobs of pontoon_config have the same offset in both.
struct settings_file {
    struct pontoon_config config;
    enum settings_link_kind link;
    uint32_t frame_bytes; // 0: by kind of link
    struct settings_member nodes[PONTOON_NODES_MAX];
    uint32_t node_count;
    struct settings_member clients[PONTOON_CLIENTS_MAX];
    uint32_t client_count;
    struct settings_impair impair[PONTOON_IMPAIR_MAX];
    uint32_t impair_count;
};

// --------------------------------------------------------------------------------------- refusals

// Where a refusal goes. path NULL: the configuration was filled in by hand.
struct settings_reason {
    char *text;
    size_t bytes;
    const char *path;
};

// Writes "path:line: ..." (line 0: left out). Result: -EINVAL.
int settings_refuse(const struct settings_reason *reason, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// ------------------------------------------------------------------------------------------ knobs

enum settings_kind {
    SETTINGS_NUMBER,   // decimal, into an unsigned field of 1, 2, 4 or 8 bytes
    SETTINGS_SWITCH,   // true or false, into a bool
    SETTINGS_DURATION, // number and unit (ns, us, ms, s), into uint64_t nanoseconds
    SETTINGS_WORD,     // one of `words`, into an enum
    SETTINGS_WORDS,    // list of `words`, or text with commas, into a bit set: bit `value`
    SETTINGS_TEXT,     // into a char array
    SETTINGS_ADDRESS,  // dotted IPv4, into uint32_t host byte order
    SETTINGS_IDS,      // list of node ids, into a bit set: bit id - 1
    SETTINGS_CORES,    // list of CPUs, into struct settings_cores
    SETTINGS_LIST,     // list of mappings; settings_read.c knows them
};

struct settings_word {
    const char *name;
    int value;
};

struct settings_knob {
    const char *key;
    enum settings_kind kind;
    size_t offset, bytes;              // of the field in the mapping's structure
    uint64_t min, max;                 // NUMBER, DURATION: the range; TEXT: ignored
    uint64_t multiple;                 // NUMBER: the value is a multiple of it (0: any)
    uint64_t value;                    // default of NUMBER, DURATION, SWITCH, WORD
    const char *text;                  // default of TEXT
    const struct settings_word *words; // WORD, WORDS; ends with name NULL
    const char *derived; // documentation of a default that follows from other settings
    const char *meaning;
};

struct settings_knobs {
    const struct settings_knob *knobs;
    size_t count;
};

extern const struct settings_knobs settings_top_knobs;    // of struct settings_file
extern const struct settings_knobs settings_member_knobs; // of struct settings_member
extern const struct settings_knobs settings_link_knobs;   // of struct settings_link
extern const struct settings_knobs settings_impair_knobs; // of struct settings_impair

// Is the knob's field in struct pontoon_config? (Only asked of settings_top_knobs.)
bool settings_knob_is_config(const struct settings_knob *knob);
// Writes every default of the table into `target`.
void settings_knobs_init(const struct settings_knobs *knobs, void *target);
// Sets a scalar knob from its text. 0 or -EINVAL with a reason.
int settings_knob_set(const struct settings_knob *knob, const char *text, void *target,
                      const struct settings_reason *reason, unsigned line);
// Checks the range of the value that stands in the field.
int settings_knob_check(const struct settings_knob *knob, const void *source,
                        const struct settings_reason *reason, unsigned line);
// "30ms", in the largest unit that gives a whole number.
const char *settings_duration_text(uint64_t duration_ns, char text[static 32]);
// "10.77.0.1"
const char *settings_address_text(uint32_t ipv4, char text[static 16]);

// The value that stands in the field, as it would be written in a file. False: a list.
bool settings_value_text(const struct settings_knob *knob, const void *source,
                         char text[static SETTINGS_VALUE_BYTES]);

// ----------------------------------------------------------------------------------------- stages

// Like pontoon_config_load, but for no member in particular: config->node and ->client stay 0.
// Checks what can be checked away from the members' machines, for each of them.
int settings_load_cluster(struct pontoon_config *config, const char *path, char *reason,
                          size_t reason_bytes);

// Reads the file and applies defaults that follow from other settings. -EINVAL, -ENOENT, ...
int settings_read(struct settings_file *file, const struct settings_reason *reason);
// Makes nodes, clients and links of file->config from what the file says.
int settings_links_make(struct settings_file *file, const struct settings_reason *reason);
// Parts of pontoon_config_check: one member, on any machine; all members; everything.
int settings_check_member(const struct pontoon_config *config,
                          const struct settings_reason *reason);
int settings_check_cluster(const struct pontoon_config *config,
                           const struct settings_reason *reason);
int settings_check(const struct pontoon_config *config, const struct settings_reason *reason);

#endif
