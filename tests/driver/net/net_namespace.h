// A network namespace of the test process's own: as root, or rootless in a user namespace. It ends
// with the process.
#ifndef PONTOON_TESTS_NET_NAMESPACE_H
#define PONTOON_TESTS_NET_NAMESPACE_H

#include <stdbool.h>
#include <stddef.h>

// False: not permitted here; `why` says why. Must come before threads.
bool net_namespace_enter(char *why, size_t why_bytes);

// Runs a shell command in it, output thrown away. False: it failed.
bool net_namespace_run(const char *command, char *why, size_t why_bytes);

#endif
