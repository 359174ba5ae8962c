// The actions of fuzz_node's input, shared with the maker of seeds. An input is one byte of
// options, then actions: a byte that names it, then what fuzz_node reads for it (node_fields.c).
#ifndef PONTOON_TESTS_FUZZ_NODE_ACTIONS_H
#define PONTOON_TESTS_FUZZ_NODE_ACTIONS_H

enum {
    NODE_VOLATILE = 1,    // option: durability `memory`
    NODE_PARALLEL = 0x80, // option: parallel groups
    NODE_NO_POLL = 0x80,  // the reactor does not get to see this action alone
};

enum node_action {
    NODE_MESSAGE,
    NODE_FRAGMENT,
    NODE_SNAPSHOT,
    NODE_SNAPSHOT_REPLY,
    NODE_PROPOSE,
    NODE_ASK,
    NODE_RAW,
    NODE_PASS,
    NODE_POLLS,
    NODE_HOLD_DISK,
    NODE_FAIL_DISK,
    NODE_SHORTAGE,
    NODE_TAKE_CHECKPOINT,
    NODE_MAIL,
    NODE_DRAIN,
    NODE_CRASH,
    NODE_ACTIONS
};

#endif
