// Directory trees in the key-value store: `pontoon kv load` and `pontoon kv verify`.
//
// A file's key is its path relative to the directory. A file larger than KV_VALUE_BYTES_MAX is cut
// into chunks of that size with the keys PATH/#0, PATH/#1, ...: no file of a tree can have such a
// path, since PATH is no directory.
#ifndef PONTOON_DRIVERS_CLI_KV_TREE_H
#define PONTOON_DRIVERS_CLI_KV_TREE_H

#include "drivers/cli/cli.h"

#define KV_OPTION_TIMEOUT                                                                          \
    {                                                                                              \
        .name = "timeout", .kind = CLI_NUMBER, .argument = "SECONDS", .min = 1, .max = 3600,       \
        .fallback = "30", .summary = "give up what is not answered after this"                     \
    }

// The group that holds a key.
uint16_t kv_group_of(const struct pontoon_config *config, const void *key, size_t bytes);

#endif
