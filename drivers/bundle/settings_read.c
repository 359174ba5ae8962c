// From YAML text to a settings_file: which key stands where, and what it says.
//
// libyaml gives a tree whose every node knows its line (libcyaml, which sits on top of it, loses
// them), so that each refusal names the line it is about. Anything not in the tables is refused,
// with the nearest known key as a hint.
#include "drivers/bundle/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

enum { FILE_BYTES_MAX = 1 << 20, KEY_BYTES_MAX = 60 };

struct reader {
    yaml_document_t document;
    const struct settings_reason *reason;
    struct settings_file *file;
    uint64_t given; // bit i: settings_top_knobs.knobs[i] is in the file
};

static unsigned line_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

// The text of a scalar, or NULL.
static const char *text_of(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE ||
        strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
        return NULL;
    }
    return (const char *)node->data.scalar.value;
}

// ------------------------------------------------------------------------------------------ hints

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Edits (insert, delete, replace one character) that turn a into b.
static size_t distance(const char *a, const char *b)
{
    size_t row[KEY_BYTES_MAX + 1], columns = strlen(b);
    for (size_t j = 0; j <= columns; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[columns];
}

// The known key that begins with `key`, else the one most like it, or NULL when none is near.
static const char *nearest_key(const struct settings_knobs *knobs, const char *key)
{
    const char *nearest = NULL;
    size_t bytes = strlen(key), best = least(4, bytes / 2 + 1);
    for (size_t i = 0; bytes <= KEY_BYTES_MAX && i < knobs->count; i++) {
        const char *known = knobs->knobs[i].key;
        bool is_start = bytes >= 3 && strncmp(known, key, bytes) == 0;
        size_t edits = is_start ? 0 : distance(key, known);
        if (edits < best) {
            best = edits;
            nearest = known;
        }
    }
    return nearest;
}

static int refuse_key(const struct reader *reader, const struct settings_knobs *knobs,
                      const char *where, const char *key, unsigned line)
{
    const char *nearest = nearest_key(knobs, key);
    if (nearest != NULL) {
        return settings_refuse(reader->reason, line,
                               "unknown setting \"%.60s\"%s; did you mean \"%s\"?", key, where,
                               nearest);
    }
    return settings_refuse(reader->reason, line,
                           "unknown setting \"%.60s\"%s; config/README.md lists all settings", key,
                           where);
}

// ------------------------------------------------------------------------------------------ lists

// Reads item `index` of a list of mappings into the slot the callee chooses.
typedef int read_item(struct reader *reader, const yaml_node_t *item, void *context,
                      uint32_t index);

static int read_list(struct reader *reader, const char *key, const yaml_node_t *node, uint32_t max,
                     read_item *read, void *context, uint32_t *count)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        return settings_refuse(reader->reason, line_of(node),
                               "%s: must be a list; begin each item with \"- \"", key);
    }
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        const yaml_node_t *child = yaml_document_get_node(&reader->document, *item);
        if (*count == max) {
            return settings_refuse(reader->reason, line_of(child), "%s: more than %u; remove some",
                                   key, max);
        }
        int result = read(reader, child, context, *count);
        if (result != 0) {
            return result;
        }
        (*count)++;
    }
    return 0;
}

static int read_id(struct reader *reader, const yaml_node_t *item, void *context, uint32_t index)
{
    static const struct settings_knob id = {
        .key = "nodes", .kind = SETTINGS_NUMBER, .bytes = sizeof(uint64_t), .min = 1, .max = 64};
    uint64_t *nodes = context, value = 0;
    const char *text = text_of(item);
    (void)index;
    if (text == NULL) {
        return settings_refuse(reader->reason, line_of(item),
                               "nodes: must be a list of ids, like [1, 2, 3]");
    }
    int result = settings_knob_set(&id, text, &value, reader->reason, line_of(item));
    if (result == 0) {
        *nodes |= UINT64_C(1) << (value - 1);
    }
    return result;
}

static int read_core(struct reader *reader, const yaml_node_t *item, void *context, uint32_t index)
{
    static const struct settings_knob cpu = {
        .key = "cores", .kind = SETTINGS_NUMBER, .bytes = sizeof(int16_t), .min = 0, .max = 1023};
    struct settings_cores *cores = context;
    const char *text = text_of(item);
    if (text == NULL) {
        return settings_refuse(reader->reason, line_of(item),
                               "cores: must be a list of CPUs, like [2, 3]");
    }
    return settings_knob_set(&cpu, text, &cores->cpu[index], reader->reason, line_of(item));
}

// Items of a list, joined by commas: what settings_knob_set reads.
struct joined {
    char text[SETTINGS_VALUE_BYTES];
    size_t used;
};

static int read_word(struct reader *reader, const yaml_node_t *item, void *context, uint32_t index)
{
    struct joined *joined = context;
    const char *text = text_of(item);
    if (text == NULL || joined->used + strlen(text) + 2 > sizeof(joined->text)) {
        return settings_refuse(reader->reason, line_of(item), "a word must stand here");
    }
    joined->used +=
        (size_t)snprintf(joined->text + joined->used, sizeof(joined->text) - joined->used, "%s%s",
                         index == 0 ? "" : ",", text);
    return 0;
}

static int read_words(struct reader *reader, const struct settings_knob *knob,
                      const yaml_node_t *value, void *target)
{
    struct joined joined = {.used = 0};
    uint32_t count = 0;
    if (text_of(value) != NULL) { // a single word
        return settings_knob_set(knob, text_of(value), target, reader->reason, line_of(value));
    }
    int result = read_list(reader, knob->key, value, 64, read_word, &joined, &count);
    return result != 0 || count == 0
               ? result
               : settings_knob_set(knob, joined.text, target, reader->reason, line_of(value));
}

// --------------------------------------------------------------------------------------- mappings

typedef int read_nested(struct reader *reader, const struct settings_knob *knob,
                        const yaml_node_t *value, void *target);

static int read_value(struct reader *reader, const struct settings_knob *knob,
                      const yaml_node_t *value, void *target, read_nested *nested)
{
    void *field = (uint8_t *)target + knob->offset;
    uint32_t count = 0;
    switch (knob->kind) {
    case SETTINGS_LIST:
        return nested(reader, knob, value, target);
    case SETTINGS_IDS:
        return read_list(reader, knob->key, value, 64, read_id, field, &count);
    case SETTINGS_CORES:
        return read_list(reader, knob->key, value, PONTOON_REACTORS_MAX, read_core, field,
                         &((struct settings_cores *)field)->count);
    case SETTINGS_WORDS:
        return read_words(reader, knob, value, target);
    case SETTINGS_NUMBER:
    case SETTINGS_SWITCH:
    case SETTINGS_DURATION:
    case SETTINGS_WORD:
    case SETTINGS_TEXT:
    case SETTINGS_ADDRESS:
        break;
    }
    const char *text = text_of(value);
    if (text == NULL) {
        return settings_refuse(reader->reason, line_of(value),
                               "%s: a list or mapping where one value belongs", knob->key);
    }
    return settings_knob_set(knob, text, target, reader->reason, line_of(value));
}

static size_t find_knob(const struct settings_knobs *knobs, const char *key)
{
    size_t i = 0;
    while (i < knobs->count && strcmp(knobs->knobs[i].key, key) != 0) {
        i++;
    }
    return i;
}

// Reads every key of a mapping. *given gets bit i for knob i of the table.
static int read_mapping(struct reader *reader, const struct settings_knobs *knobs,
                        const char *where, const yaml_node_t *node, void *target,
                        read_nested *nested, uint64_t *given)
{
    if (node->type != YAML_MAPPING_NODE) {
        return settings_refuse(reader->reason, line_of(node),
                               "settings must stand here%s, as \"key: value\"", where);
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);
        const char *name = text_of(key);
        if (name == NULL) {
            return settings_refuse(reader->reason, line_of(key), "a key must be a word");
        }
        size_t i = find_knob(knobs, name);
        if (i == knobs->count) {
            return refuse_key(reader, knobs, where, name, line_of(key));
        }
        if ((*given >> i & 1) != 0) {
            return settings_refuse(reader->reason, line_of(key), "%s: given twice; remove one",
                                   name);
        }
        *given |= UINT64_C(1) << i;
        int result = read_value(reader, &knobs->knobs[i], value, target, nested);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

static int read_link(struct reader *reader, const yaml_node_t *item, void *context, uint32_t index)
{
    struct settings_link *link = &((struct settings_link *)context)[index];
    uint64_t given = 0;
    link->line = line_of(item);
    return read_mapping(reader, &settings_link_knobs, " in links", item, link, NULL, &given);
}

static int read_links(struct reader *reader, const struct settings_knob *knob,
                      const yaml_node_t *value, void *target)
{
    struct settings_member *member = target;
    return read_list(reader, knob->key, value, PONTOON_LINKS_MAX, read_link, member->links,
                     &member->link_count);
}

static int read_member(struct reader *reader, const yaml_node_t *item, void *context,
                       uint32_t index)
{
    struct settings_member *member = &((struct settings_member *)context)[index];
    bool is_node = context == reader->file->nodes;
    uint64_t given = 0;
    member->line = line_of(item);
    int result = read_mapping(reader, &settings_member_knobs, is_node ? " in nodes" : " in clients",
                              item, member, read_links, &given);
    if (result != 0) {
        return result;
    }
    if (member->id == 0) {
        return settings_refuse(reader->reason, member->line, "id: missing; give every %s a number",
                               is_node ? "node" : "client");
    }
    if (!is_node && member->id > PONTOON_CLIENTS_MAX) {
        return settings_refuse(reader->reason, member->line,
                               "id: %u is out of range; give clients 1 to %u", member->id,
                               PONTOON_CLIENTS_MAX);
    }
    if (!is_node && (member->directory[0] != '\0' || member->control[0] != '\0')) {
        return settings_refuse(reader->reason, member->line,
                               "clients keep nothing on disk; remove directory and control");
    }
    return 0;
}

static int read_impair(struct reader *reader, const yaml_node_t *item, void *context,
                       uint32_t index)
{
    struct settings_impair *impair = &((struct settings_impair *)context)[index];
    uint64_t given = 0;
    impair->line = line_of(item);
    settings_knobs_init(&settings_impair_knobs, impair);
    return read_mapping(reader, &settings_impair_knobs, " in impair", item, impair, NULL, &given);
}

static int read_lists(struct reader *reader, const struct settings_knob *knob,
                      const yaml_node_t *value, void *target)
{
    struct settings_file *file = target;
    if (strcmp(knob->key, "nodes") == 0) {
        return read_list(reader, knob->key, value, PONTOON_NODES_MAX, read_member, file->nodes,
                         &file->node_count);
    }
    if (strcmp(knob->key, "clients") == 0) {
        return read_list(reader, knob->key, value, PONTOON_CLIENTS_MAX, read_member, file->clients,
                         &file->client_count);
    }
    return read_list(reader, knob->key, value, PONTOON_IMPAIR_MAX, read_impair, file->impair,
                     &file->impair_count);
}

// --------------------------------------------------------------------------------------- defaults

static bool is_given(const struct reader *reader, const char *key)
{
    return (reader->given >> find_knob(&settings_top_knobs, key) & 1) != 0;
}

// `whole` shared out among the groups: the largest power of two that fits, at least `least_each`.
static uint32_t share_of_group(uint32_t whole, uint32_t groups, uint32_t most_each,
                               uint32_t least_each)
{
    uint32_t each = most_each;
    while (each > least_each && (uint64_t)each * groups > whole) {
        each /= 2;
    }
    return each;
}

// Defaults that follow from what was given. Many groups share what one group of the default size
// may use sixteen times.
static void derive(struct reader *reader)
{
    struct pontoon_config *config = &reader->file->config;
    if (!is_given(reader, "election_timeout_max")) {
        config->election_timeout_max_ns = 2 * config->election_timeout_min_ns;
    }
    if (!is_given(reader, "heartbeat")) {
        config->heartbeat_ns = config->election_timeout_min_ns / 5;
    }
    if (!is_given(reader, "app_memory_mib")) {
        config->app_memory_mib = config->groups > 256 ? 1 : 256 / config->groups;
    }
    if (!is_given(reader, "log_entries")) {
        config->log_entries = share_of_group(16 * 262144, config->groups, 262144, 1024);
    }
    if (!is_given(reader, "session_pages")) {
        config->session_pages = share_of_group(16 * 1024, config->groups, 1024, 8);
    }
    if (!is_given(reader, "window_entries") && config->window_entries > config->log_entries / 2) {
        config->window_entries = config->log_entries / 2;
    }
    if (!is_given(reader, "window_kib") && config->window_kib > config->log_mib * 128) {
        config->window_kib = config->log_mib * 128;
    }
}

// ------------------------------------------------------------------------------------------- file

static int open_file(const struct settings_reason *reason, FILE **stream)
{
    struct stat status;
    *stream = fopen(reason->path, "r");
    if (*stream == NULL) {
        int error = errno;
        settings_refuse(reason, 0, "cannot be read: %s; check the path after --config",
                        strerror(error));
        return -error;
    }
    if (fstat(fileno(*stream), &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size <= FILE_BYTES_MAX) {
        return 0;
    }
    fclose(*stream);
    return settings_refuse(reason, 0, "is no configuration: not a file of at most 1 MiB");
}

static int read_document(struct reader *reader)
{
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    if (root == NULL) {
        return settings_refuse(reader->reason, 0, "is empty; config/cluster.yaml is a sample");
    }
    int result = read_mapping(reader, &settings_top_knobs, "", root, reader->file, read_lists,
                              &reader->given);
    if (result == 0 && is_given(reader, "driver") && reader->file->link != SETTINGS_EXPLICIT) {
        return settings_refuse(reader->reason, 0,
                               "driver: follows from link; remove it, or say `link: explicit`");
    }
    if (result == 0 && is_given(reader, "look_behind") &&
        reader->file->config.apply != PONTOON_APPLY_LOOK_BEHIND) {
        return settings_refuse(reader->reason, 0,
                               "look_behind: nobody looks behind; remove it, or say `apply: "
                               "look_behind`");
    }
    if (result == 0) {
        derive(reader);
    }
    return result;
}

// What follows the first document ("---") would be read by nobody.
static int check_single(yaml_parser_t *parser, const struct settings_reason *reason)
{
    yaml_document_t next;
    int result = 0;
    if (yaml_parser_load(parser, &next) == 0) {
        return settings_refuse(reason, (unsigned)parser->problem_mark.line + 1, "is not YAML here");
    }
    if (yaml_document_get_root_node(&next) != NULL) {
        result = settings_refuse(reason, line_of(yaml_document_get_root_node(&next)),
                                 "a second document begins here; a configuration has one");
    }
    yaml_document_delete(&next);
    return result;
}

int settings_read(struct settings_file *file, const struct settings_reason *reason)
{
    struct reader reader = {.reason = reason, .file = file};
    yaml_parser_t parser;
    FILE *stream;
    int result = open_file(reason, &stream);
    if (result != 0) {
        return result;
    }
    if (yaml_parser_initialize(&parser) == 0) {
        fclose(stream);
        return -ENOMEM;
    }
    yaml_parser_set_input_file(&parser, stream);
    settings_knobs_init(&settings_top_knobs, file);
    if (yaml_parser_load(&parser, &reader.document) == 0) {
        result = settings_refuse(reason, (unsigned)parser.problem_mark.line + 1,
                                 "is not YAML here (%s); look at indentation, colons and quotes",
                                 parser.problem != NULL ? parser.problem : "unreadable");
    } else {
        result = read_document(&reader);
        if (result == 0) {
            result = check_single(&parser, reason);
        }
        yaml_document_delete(&reader.document);
    }
    yaml_parser_delete(&parser);
    fclose(stream);
    return result;
}
