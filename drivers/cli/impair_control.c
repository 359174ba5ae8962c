#include "drivers/cli/impair_control.h"

#include <string.h>

#include "drivers/cli/impair_words.h"
#include "engine/embed/pontoon_node.h"

enum { REASON_BYTES = 512 };

struct question {
    const struct pontoon *node;
    struct impair_list *list;
};

// On the thread of reactor 0, which owns the list.
static void copy_rules(struct reactor *reactor, void *context)
{
    const struct question *question = context;
    const struct pontoon_config *config = &question->node->config;
    (void)reactor;
    memcpy(question->list->rules, config->impair, sizeof(config->impair));
    question->list->count = config->impair_count;
}

static int ask_rules(struct pontoon *node, struct impair_list *list)
{
    struct question question = {.node = node, .list = list};
    return node_call_wait(node, node->reactors[0], copy_rules, &question);
}

json_t *impair_control_rules(struct pontoon *node)
{
    struct impair_list list;
    if (ask_rules(node, &list) != 0) {
        return NULL;
    }
    json_t *rules = json_array();
    for (uint32_t at = 0; at < list.count; at++) {
        char text[IMPAIR_TEXT_BYTES];
        impair_words_write(&list.rules[at], text);
        json_array_append_new(rules, json_string(text));
    }
    return rules;
}

json_t *impair_control_change(struct pontoon *node, const char *words)
{
    char reason[REASON_BYTES] = "the reactor does not answer";
    struct impair_words change;
    struct impair_list list;
    if (ask_rules(node, &list) != 0 ||
        impair_words_read(words, &change, reason, sizeof(reason)) != 0 ||
        impair_words_apply(&change, &list, reason, sizeof(reason)) != 0 ||
        pontoon_impair_mt(node, list.rules, list.count, reason, sizeof(reason)) != 0) {
        return json_pack("{s:s}", "error", reason);
    }
    return json_pack("{s:o}", "impairments", impair_control_rules(node));
}
