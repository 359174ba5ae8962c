#include "drivers/cli/impair_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/bundle/settings.h"

// Keys of settings_impair_knobs that are words here.
static bool is_key(const struct settings_knob *knob)
{
    return strcmp(knob->key, "at") != 0 && strcmp(knob->key, "node") != 0 &&
           strcmp(knob->key, "direction") != 0;
}

static const struct settings_knob *find_key(const char *key)
{
    for (size_t i = 0; i < settings_impair_knobs.count; i++) {
        const struct settings_knob *knob = &settings_impair_knobs.knobs[i];
        if (is_key(knob) && strcmp(knob->key, key) == 0) {
            return knob;
        }
    }
    return NULL;
}

static int refuse(char *reason, size_t reason_bytes, const char *word)
{
    size_t used = (size_t)snprintf(reason, reason_bytes,
                                   "\"%.40s\" is unknown; give peer N, in, out, both, clear or "
                                   "KEY=VALUE with one of",
                                   word);
    for (size_t i = 0; i < settings_impair_knobs.count && used < reason_bytes; i++) {
        if (is_key(&settings_impair_knobs.knobs[i])) {
            used += (size_t)snprintf(reason + used, reason_bytes - used, " %s",
                                     settings_impair_knobs.knobs[i].key);
        }
    }
    return -EINVAL;
}

static int read_peer(const char *word, uint16_t *peer, char *reason, size_t reason_bytes)
{
    char *end = NULL;
    unsigned long id = word == NULL ? 0 : strtoul(word, &end, 10);
    if (word != NULL && strcmp(word, "all") == 0) {
        *peer = 0;
        return 0;
    }
    if (word == NULL || *end != '\0' || id < 1 || id > 64) {
        snprintf(reason, reason_bytes, "peer: \"%.40s\" is no node; give its id, or all",
                 word == NULL ? "" : word);
        return -EINVAL;
    }
    *peer = (uint16_t)id;
    return 0;
}

static int read_value(char *word, struct settings_impair *impair, char *reason, size_t reason_bytes)
{
    const struct settings_reason why = {.text = reason, .bytes = reason_bytes};
    char *equals = strchr(word, '=');
    if (equals == NULL) {
        return refuse(reason, reason_bytes, word);
    }
    *equals = '\0';
    const struct settings_knob *knob = find_key(word);
    return knob == NULL ? refuse(reason, reason_bytes, word)
                        : settings_knob_set(knob, equals + 1, impair, &why, 0);
}

static bool read_direction(const char *word, struct impair_words *words)
{
    bool is_both = strcmp(word, "both") == 0;
    bool in = is_both || strcmp(word, "in") == 0, out = is_both || strcmp(word, "out") == 0;
    if (in || out) {
        words->in = in;
        words->out = out;
    }
    return in || out;
}

int impair_words_read(const char *text, struct impair_words *words, char *reason,
                      size_t reason_bytes)
{
    char copy[IMPAIR_TEXT_BYTES], *rest = NULL;
    struct settings_impair impair = {0};
    uint32_t values = 0;
    bool clears = false;
    int result = 0;
    *words = (struct impair_words){.in = true, .out = true};
    if (strlen(text) >= sizeof(copy)) {
        snprintf(reason, reason_bytes, "more than %d characters; say less at once",
                 IMPAIR_TEXT_BYTES - 1);
        return -EINVAL;
    }
    memcpy(copy, text, strlen(text) + 1);
    settings_knobs_init(&settings_impair_knobs, &impair);
    for (char *word = strtok_r(copy, " \t", &rest); word != NULL && result == 0;
         word = strtok_r(NULL, " \t", &rest)) {
        if (strcmp(word, "peer") == 0) {
            result =
                read_peer(strtok_r(NULL, " \t", &rest), &impair.rule.node, reason, reason_bytes);
        } else if (strcmp(word, "clear") == 0) {
            clears = true;
        } else if (!read_direction(word, words)) {
            result = read_value(word, &impair, reason, reason_bytes);
            values++;
        }
    }
    if (result == 0 && clears == (values != 0)) {
        snprintf(reason, reason_bytes,
                 clears ? "clear takes no other values; give one or the other"
                        : "nothing is said to happen; give KEY=VALUE, or clear");
        result = -EINVAL;
    }
    words->rule = impair.rule;
    return result;
}

static bool does_nothing(const struct pontoon_impair *rule)
{
    return !rule->cut && rule->loss_ppm == 0 && rule->burst_ppm == 0 && rule->duplicate_ppm == 0 &&
           rule->reorder_ppm == 0 && rule->corrupt_ppm == 0 && rule->clog_ppm == 0 &&
           rule->delay_ns == 0 && rule->jitter_ns == 0;
}

// Does every frame that `old` matches match `rule`?
static bool covers(const struct pontoon_impair *rule, const struct pontoon_impair *old)
{
    bool every_type = rule->types == 0 || (old->types != 0 && (old->types & ~rule->types) == 0);
    return rule->inbound == old->inbound && (rule->node == 0 || rule->node == old->node) &&
           every_type;
}

// Result: false when it does not fit.
static bool put_in_front(struct impair_list *list, const struct pontoon_impair *rule)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < list->count; at++) {
        if (!covers(rule, &list->rules[at])) {
            list->rules[kept++] = list->rules[at];
        }
    }
    if (kept == PONTOON_IMPAIR_MAX) {
        return false;
    }
    memmove(&list->rules[1], &list->rules[0], kept * sizeof(list->rules[0]));
    list->rules[0] = *rule;
    list->count = kept + 1;
    // The last ones of the list may as well be missing when they let pass.
    while (list->count > 0 && does_nothing(&list->rules[list->count - 1])) {
        list->count--;
    }
    return true;
}

int impair_words_apply(const struct impair_words *words, struct impair_list *list, char *reason,
                       size_t reason_bytes)
{
    struct impair_list changed = *list;
    bool fits = true;
    for (int inbound = 0; inbound <= 1 && fits; inbound++) {
        if (inbound != 0 ? words->in : words->out) {
            struct pontoon_impair rule = words->rule;
            rule.inbound = inbound != 0;
            fits = put_in_front(&changed, &rule);
        }
    }
    if (!fits) {
        snprintf(reason, reason_bytes,
                 "more than %d rules, both directions count as two; clear some first",
                 PONTOON_IMPAIR_MAX);
        return -ENOSPC;
    }
    *list = changed;
    return 0;
}

void impair_words_write(const struct pontoon_impair *rule, char text[static IMPAIR_TEXT_BYTES])
{
    struct settings_impair impair = {.rule = *rule}, usual = {0};
    settings_knobs_init(&settings_impair_knobs, &usual);
    size_t used = 0;
    if (rule->node == 0) {
        used = (size_t)snprintf(text, IMPAIR_TEXT_BYTES, "peer all");
    } else {
        used = (size_t)snprintf(text, IMPAIR_TEXT_BYTES, "peer %u", rule->node);
    }
    used += (size_t)snprintf(text + used, IMPAIR_TEXT_BYTES - used, "%s%s",
                             rule->inbound ? " in" : " out",
                             does_nothing(rule) && rule->types == 0 ? " clear" : "");
    for (size_t i = 0; i < settings_impair_knobs.count; i++) {
        const struct settings_knob *knob = &settings_impair_knobs.knobs[i];
        char value[SETTINGS_VALUE_BYTES], usual_value[SETTINGS_VALUE_BYTES];
        bool is_said = !does_nothing(rule) || knob->kind == SETTINGS_WORDS;
        if (is_key(knob) && is_said && settings_value_text(knob, &impair, value) &&
            settings_value_text(knob, &usual, usual_value) && strcmp(value, usual_value) != 0 &&
            used < IMPAIR_TEXT_BYTES) {
            used +=
                (size_t)snprintf(text + used, IMPAIR_TEXT_BYTES - used, " %s=%s", knob->key, value);
        }
    }
}
