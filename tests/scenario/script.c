// The commands of a script. README.md has the list.
#include "tests/scenario/script.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 160, LINE_MAX_BYTES = 1024 };

struct words {
    char text[LINE_MAX_BYTES];
    char *all[WORDS_MAX];
    uint32_t count, at;
};

static bool refuse(struct script *script, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct script *script, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(script->error, sizeof(script->error), format, arguments);
    va_end(arguments);
    return false;
}

static bool split(struct words *words, const char *line)
{
    if (strlen(line) >= sizeof(words->text)) {
        return false;
    }
    strcpy(words->text, line);
    words->count = words->at = 0;
    char *rest = words->text;
    for (char *word; (word = strtok_r(rest, " \t", &rest)) != NULL;) {
        if (words->count == WORDS_MAX) {
            return false;
        }
        words->all[words->count++] = word;
    }
    return true;
}

// Reading words. Each takes the next word only if it is of its kind.

static const char *peek(const struct words *words)
{
    return words->at < words->count ? words->all[words->at] : NULL;
}

static bool take_word(struct words *words, const char *word)
{
    if (peek(words) == NULL || strcmp(peek(words), word) != 0) {
        return false;
    }
    words->at++;
    return true;
}

static bool parse_number(const char *text, char **end, uint64_t *value)
{
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    *value = strtoull(text, end, 10);
    return true;
}

static bool take_number(struct words *words, uint64_t *value)
{
    char *end;
    if (!parse_number(peek(words), &end, value) || *end != '\0') {
        return false;
    }
    words->at++;
    return true;
}

static bool parse_node(struct script *script, const char **text, uint16_t *id)
{
    char *end;
    uint64_t value;
    if (**text != 'n' || !parse_number(*text + 1, &end, &value) || value < 1 ||
        value > script->steps->options.nodes) {
        return false;
    }
    *id = (uint16_t)value;
    *text = end;
    return true;
}

static bool take_node(struct script *script, struct words *words, uint16_t *id)
{
    const char *text = peek(words);
    *id = 0;
    if (text == NULL || !parse_node(script, &text, id) || *text != '\0') {
        return refuse(script, "want a node (n1 …) in place of '%s'",
                      peek(words) == NULL ? "" : peek(words));
    }
    words->at++;
    return true;
}

// The nodes named, all when there are none.
static bool take_nodes(struct script *script, struct words *words, uint32_t *nodes)
{
    *nodes = 0;
    while (peek(words) != NULL) {
        uint16_t id;
        if (!take_node(script, words, &id)) {
            return false;
        }
        *nodes |= UINT32_C(1) << (id - 1);
    }
    *nodes = *nodes == 0 ? STEPS_EVERYBODY : *nodes;
    return true;
}

static bool take_link(struct script *script, struct words *words, uint16_t *from, uint16_t *to)
{
    const char *text = peek(words);
    *from = *to = 0;
    bool is_link = text != NULL && parse_node(script, &text, from) && strncmp(text, "->", 2) == 0;
    if (is_link) {
        text += 2;
        is_link = parse_node(script, &text, to) && *text == '\0' && *from != *to;
    }
    if (!is_link) {
        return refuse(script, "want a link (n1->n2) in place of '%s'",
                      peek(words) == NULL ? "" : peek(words));
    }
    words->at++;
    return true;
}

static bool take_entry(struct words *words, struct raft_entry_id *id)
{
    char *end;
    if (!parse_number(peek(words), &end, &id->term) || *end != '/' ||
        !parse_number(end + 1, &end, &id->index) || *end != '\0') {
        return false;
    }
    words->at++;
    return true;
}

static bool take_duration(struct words *words, uint64_t *ns)
{
    char *end;
    if (!parse_number(peek(words), &end, ns) ||
        (strcmp(end, "ms") != 0 && strcmp(end, "us") != 0)) {
        return false;
    }
    *ns *= *end == 'm' ? STEPS_MS : STEPS_MS / 1000;
    words->at++;
    return true;
}

static bool take_write(struct words *words, uint32_t *number)
{
    char *end;
    uint64_t value;
    const char *text = peek(words);
    if (text == NULL || *text != 'w' || !parse_number(text + 1, &end, &value) || *end != '\0') {
        return false;
    }
    *number = (uint32_t)value;
    words->at++;
    return true;
}

static bool take_filter(struct script *script, struct words *words, struct steps_filter *filter)
{
    *filter = (struct steps_filter){0};
    if (!take_link(script, words, &filter->from, &filter->to)) {
        return false;
    }
    filter->type = peek(words) == NULL ? 0 : steps_type_of(peek(words));
    words->at += filter->type != 0;
    filter->which = take_word(words, "first")  ? STEPS_FIRST
                    : take_word(words, "last") ? STEPS_LAST
                                               : STEPS_EACH;
    return true;
}

// Passes on what the step said.
static bool done(struct script *script, bool is_done)
{
    return is_done || refuse(script, "%s", script->steps->error);
}

// Commands.

static bool do_nodes(struct script *script, struct words *words)
{
    struct steps_options options;
    steps_default_options(&options);
    uint64_t nodes, value;
    if (script->steps != NULL || !take_number(words, &nodes) || nodes < 1 ||
        nodes > STEPS_NODES_MAX) {
        return refuse(script, "nodes COUNT: once, 1 to %d", STEPS_NODES_MAX);
    }
    options.nodes = (uint32_t)nodes;
    while (peek(words) != NULL) {
        const char *name = words->all[words->at++];
        if (!take_number(words, &value)) {
            return refuse(script, "%s needs a number", name);
        }
        if (strcmp(name, "slots") == 0 && value >= 64 && (value & (value - 1)) == 0) {
            options.slots = (uint32_t)value;
        } else if (strcmp(name, "frame") == 0 && value >= 1 && value <= STEPS_FRAME_MAX) {
            options.frame_entries = (uint32_t)value;
        } else if (strcmp(name, "window") == 0 && value >= 1) {
            options.window_entries = (uint32_t)value;
        } else if (strcmp(name, "window_bytes") == 0 && value >= 1) {
            options.window_bytes = value;
        } else {
            return refuse(script, "%s %" PRIu64 ": no such option or value", name, value);
        }
    }
    script->steps = steps_open(&options, script->out);
    return true;
}

static bool take_given(struct script *script, struct words *words, struct steps_given *given)
{
    uint64_t term;
    if (take_word(words, "term")) {
        return take_number(words, &given->hard_state.term);
    }
    if (take_word(words, "vote")) {
        return take_node(script, words, &given->hard_state.voted_for);
    }
    if (take_word(words, "log")) {
        while (given->log_count < STEPS_INDEXES_MAX && take_number(words, &term)) {
            given->log_terms[given->log_count++] = term;
        }
        return given->log_count > 0;
    }
    if (take_word(words, "commit")) {
        return take_number(words, &given->commit);
    }
    if (take_word(words, "boot")) {
        return take_number(words, &given->boot);
    }
    if (take_word(words, "checkpoint")) {
        return take_entry(words, &given->checkpoint);
    }
    if (take_word(words, "memory")) {
        return given->is_memory = true;
    }
    return take_word(words, "lost") && (given->is_lost = true);
}

static bool do_given(struct script *script, struct words *words)
{
    static struct steps_given given;
    uint16_t id;
    given = (struct steps_given){.boot = 1};
    if (!take_node(script, words, &id)) {
        return false;
    }
    while (peek(words) != NULL) {
        if (!take_given(script, words, &given)) {
            return refuse(script, "cannot read '%s'", peek(words) == NULL ? "" : peek(words));
        }
    }
    return done(script, steps_given(script->steps, id, &given));
}

static bool do_tick(struct script *script, struct words *words)
{
    uint16_t id = 0;
    uint64_t after_ns;
    bool is_all = take_word(words, "all");
    if ((!is_all && !take_node(script, words, &id)) || !take_duration(words, &after_ns)) {
        return refuse(script, "tick NODE|all DURATION (5ms, 300us)");
    }
    if (!is_all) {
        return done(script, steps_tick(script->steps, id, after_ns));
    }
    for (id = 1; id <= script->steps->options.nodes; id++) {
        if (steps_node(script->steps, id)->is_up) {
            steps_tick(script->steps, id, after_ns);
        }
    }
    return true;
}

static bool do_campaign(struct script *script, struct words *words)
{
    uint16_t id;
    return take_node(script, words, &id) && done(script, steps_campaign(script->steps, id));
}

static bool do_elect(struct script *script, struct words *words)
{
    uint16_t id;
    uint32_t voters = STEPS_EVERYBODY;
    if (!take_node(script, words, &id) ||
        (take_word(words, "by") && !take_nodes(script, words, &voters)) ||
        !done(script, steps_elect(script->steps, id, voters))) {
        return false;
    }
    steps_show(script->steps, STEPS_EVERYBODY);
    return true;
}

static bool do_propose(struct script *script, struct words *words)
{
    uint16_t id;
    uint64_t count = 1, bytes = 100;
    if (!take_node(script, words, &id)) {
        return false;
    }
    take_number(words, &count);
    if (take_word(words, "bytes") && !take_number(words, &bytes)) {
        return refuse(script, "bytes needs a number");
    }
    return done(script, steps_propose(script->steps, id, (uint32_t)count, (uint32_t)bytes));
}

static bool do_read(struct script *script, struct words *words)
{
    uint16_t id;
    uint64_t count = 1;
    if (!take_node(script, words, &id)) {
        return false;
    }
    take_number(words, &count);
    return done(script, steps_read(script->steps, id, (uint32_t)count));
}

static bool do_deliver(struct script *script, struct words *words)
{
    struct steps_filter filter;
    return take_filter(script, words, &filter) &&
           done(script, steps_deliver(script->steps, &filter, take_word(words, "keep")));
}

static bool do_drop(struct script *script, struct words *words)
{
    struct steps_filter filter;
    return take_filter(script, words, &filter) && done(script, steps_drop(script->steps, &filter));
}

static bool do_stash(struct script *script, struct words *words)
{
    struct steps_filter filter;
    const char *name = peek(words);
    words->at++;
    return take_filter(script, words, &filter) &&
           done(script, steps_stash(script->steps, name, &filter));
}

static bool do_replay(struct script *script, struct words *words)
{
    const char *name = peek(words);
    words->at++;
    return name == NULL ? refuse(script, "replay NAME")
                        : done(script, steps_replay(script->steps, name));
}

// A link, or a node with all its links.
static bool set_cut(struct script *script, struct words *words, bool is_cut)
{
    uint16_t from, to;
    if (peek(words) != NULL && strstr(peek(words), "->") != NULL) {
        if (!take_link(script, words, &from, &to)) {
            return false;
        }
        steps_cut(script->steps, from, to, is_cut);
        return true;
    }
    if (!take_node(script, words, &from)) {
        return false;
    }
    for (to = 1; to <= script->steps->options.nodes; to++) {
        steps_cut(script->steps, from, to, is_cut);
        steps_cut(script->steps, to, from, is_cut);
    }
    return true;
}

static bool do_cut(struct script *script, struct words *words)
{
    return set_cut(script, words, true);
}

static bool do_heal(struct script *script, struct words *words)
{
    return set_cut(script, words, false);
}

static bool do_unsent(struct script *script, struct words *words)
{
    uint16_t from, to;
    uint64_t index = 0;
    return take_link(script, words, &from, &to) &&
           (take_number(words, &index) || refuse(script, "unsent LINK INDEX")) &&
           done(script, steps_unsent(script->steps, from, to, index));
}

static bool do_complete(struct script *script, struct words *words)
{
    uint16_t id;
    uint32_t number;
    if (!take_node(script, words, &id)) {
        return false;
    }
    do {
        if (!take_write(words, &number)) {
            return refuse(script, "complete NODE w1 …");
        }
        if (!done(script, steps_complete(script->steps, id, number))) {
            return false;
        }
    } while (peek(words) != NULL);
    return true;
}

static bool do_sync(struct script *script, struct words *words)
{
    uint16_t id;
    if (!take_node(script, words, &id)) {
        return false;
    }
    bool only_term = take_word(words, "term"), only_log = !only_term && take_word(words, "log");
    return done(script, steps_sync(script->steps, id, !only_log, !only_term));
}

static bool with_index(struct script *script, struct words *words,
                       bool (*step)(struct steps *, uint16_t, uint64_t))
{
    uint16_t id;
    if (!take_node(script, words, &id)) {
        return false;
    }
    uint64_t index = steps_node(script->steps, id)->view.applied;
    index = step == steps_apply ? 0 : index;
    take_number(words, &index);
    return done(script, step(script->steps, id, index));
}

static bool do_apply(struct script *script, struct words *words)
{
    return with_index(script, words, steps_apply);
}

static bool do_checkpoint(struct script *script, struct words *words)
{
    return with_index(script, words, steps_checkpoint);
}

static bool do_compact(struct script *script, struct words *words)
{
    return with_index(script, words, steps_compact);
}

static bool do_install(struct script *script, struct words *words)
{
    uint16_t from, to;
    return take_link(script, words, &from, &to) &&
           done(script, steps_install(script->steps, from, to));
}

static bool do_installed(struct script *script, struct words *words)
{
    uint16_t peer, leader;
    return take_link(script, words, &peer, &leader) &&
           done(script, steps_installed(script->steps, leader, peer));
}

static bool do_crash(struct script *script, struct words *words)
{
    uint16_t id;
    uint32_t kept[WORDS_MAX], count = 0;
    if (!take_node(script, words, &id)) {
        return false;
    }
    if (take_word(words, "keep")) {
        while (take_write(words, &kept[count])) {
            count++;
        }
    }
    if (!done(script, steps_crash(script->steps, id, kept, count))) {
        return false;
    }
    steps_show(script->steps, UINT32_C(1) << (id - 1));
    return true;
}

static bool do_restart(struct script *script, struct words *words)
{
    uint16_t id;
    if (!take_node(script, words, &id) ||
        !done(script, steps_restart(script->steps, id, take_word(words, "lost")))) {
        return false;
    }
    steps_show(script->steps, UINT32_C(1) << (id - 1));
    return true;
}

static bool do_fail_disk(struct script *script, struct words *words)
{
    uint16_t id;
    return take_node(script, words, &id) && done(script, steps_fail_disk(script->steps, id));
}

static bool do_room(struct script *script, struct words *words)
{
    uint16_t id;
    if (!take_node(script, words, &id)) {
        return false;
    }
    bool has_room = take_word(words, "yes");
    return (has_room || take_word(words, "no") || refuse(script, "room NODE yes|no")) &&
           done(script, steps_room(script->steps, id, has_room));
}

static bool do_stand_down(struct script *script, struct words *words)
{
    uint16_t id;
    return take_node(script, words, &id) && done(script, steps_stand_down(script->steps, id));
}

static bool do_settle(struct script *script, struct words *words)
{
    uint32_t nodes;
    if (!take_nodes(script, words, &nodes) || !done(script, steps_settle(script->steps, nodes))) {
        return false;
    }
    steps_show(script->steps, STEPS_EVERYBODY);
    return true;
}

static bool do_beat(struct script *script, struct words *words)
{
    uint32_t nodes;
    if (!take_nodes(script, words, &nodes) || !done(script, steps_beat(script->steps, nodes))) {
        return false;
    }
    steps_show(script->steps, STEPS_EVERYBODY);
    return true;
}

static bool do_show(struct script *script, struct words *words)
{
    uint32_t nodes;
    if (!take_nodes(script, words, &nodes)) {
        return false;
    }
    steps_show(script->steps, nodes);
    return true;
}

static bool do_peers(struct script *script, struct words *words)
{
    uint16_t id;
    return take_node(script, words, &id) && done(script, steps_show_peers(script->steps, id));
}

static bool do_messages(struct script *script, struct words *words)
{
    (void)words;
    steps_show_messages(script->steps);
    return true;
}

static const struct command {
    const char *name;
    bool (*run)(struct script *script, struct words *words);
} COMMANDS[] = {
    {"nodes", do_nodes},         {"given", do_given},
    {"tick", do_tick},           {"campaign", do_campaign},
    {"elect", do_elect},         {"propose", do_propose},
    {"read", do_read},           {"deliver", do_deliver},
    {"drop", do_drop},           {"stash", do_stash},
    {"replay", do_replay},       {"cut", do_cut},
    {"heal", do_heal},           {"unsent", do_unsent},
    {"complete", do_complete},   {"sync", do_sync},
    {"apply", do_apply},         {"checkpoint", do_checkpoint},
    {"compact", do_compact},     {"install", do_install},
    {"installed", do_installed}, {"crash", do_crash},
    {"restart", do_restart},     {"fail_disk", do_fail_disk},
    {"room", do_room},           {"stand_down", do_stand_down},
    {"settle", do_settle},       {"beat", do_beat},
    {"show", do_show},           {"peers", do_peers},
    {"messages", do_messages},
};

static bool run_command(struct script *script, struct words *words)
{
    const char *name = peek(words);
    if (script->steps == NULL && (name == NULL || strcmp(name, "nodes") != 0)) {
        return refuse(script, "a script begins with nodes COUNT");
    }
    for (size_t at = 0; name != NULL && at < sizeof(COMMANDS) / sizeof(COMMANDS[0]); at++) {
        if (strcmp(COMMANDS[at].name, name) == 0) {
            words->at++;
            return COMMANDS[at].run(script, words) &&
                   (peek(words) == NULL || refuse(script, "cannot read '%s'", peek(words)));
        }
    }
    return refuse(script, "no such command: %s", name == NULL ? "" : name);
}

bool script_run(struct script *script, const char *line)
{
    struct words words;
    script->error[0] = '\0';
    if (!split(&words, line)) {
        return refuse(script, "the line is too long");
    }
    bool is_quiet = take_word(&words, "quietly");
    if (script->steps != NULL) {
        script->steps->is_quiet = is_quiet;
    }
    return run_command(script, &words);
}

void script_close(struct script *script)
{
    if (script->steps != NULL) {
        steps_close(script->steps);
        script->steps = NULL;
    }
}
