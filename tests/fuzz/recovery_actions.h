// The actions of fuzz_recovery's input, shared with the maker of seeds. An input is one byte of
// options, then actions: a byte that names it, then what fuzz_recovery.c reads for it.
#ifndef PONTOON_TESTS_FUZZ_RECOVERY_ACTIONS_H
#define PONTOON_TESTS_FUZZ_RECOVERY_ACTIONS_H

enum recovery_action {
    RECOVERY_APPEND,
    RECOVERY_TRUNCATE,
    RECOVERY_VOTE,
    RECOVERY_TAIL,
    RECOVERY_COMMIT,
    RECOVERY_SUBMIT,
    RECOVERY_POLL,
    RECOVERY_TURN,
    RECOVERY_TIME,
    RECOVERY_CRASH,
    RECOVERY_STAGE,
    RECOVERY_SYNC,
    RECOVERY_ACTIONS
};

#endif
