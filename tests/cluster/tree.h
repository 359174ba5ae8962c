// A directory tree to replicate: some hundred files of many sizes, by a seed.
#ifndef PONTOON_TESTS_CLUSTER_TREE_H
#define PONTOON_TESTS_CLUSTER_TREE_H

#include <stdint.h>

// Makes `files` files below `path` (which must not exist). Sizes: many small ones, some of a few
// frames, an empty one, and where bytes_max allows one that is larger than an entry.
void tree_make(const char *path, uint32_t files, uint32_t bytes_max, uint64_t seed);

#endif
