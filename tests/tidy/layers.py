#!/usr/bin/env python3
"""Holds every #include against the table of layers: imports go one way.

A row may include what it lists, and its own folder. Includes of ours are written from the root; headers of libraries belong to
the folders named in LIBRARIES. With --self-test, checks that the checker finds what it must.
"""
import pathlib
import re
import sys

BASE = ["engine/base/"]
TYPES = ["engine/core/types.h", "engine/core/entry_crc.h"]
MESSAGES = TYPES + ["engine/core/message.h"]
API = ["engine/driver_api/"]
PUBLIC = ["engine/pontoon.h"]
BLOCK_CLIENT = ["drivers/app_block/block_command.h", "drivers/app_block/block_format.h"]
DRIVER = BASE + API + TYPES
APP = DRIVER + ["drivers/app_checkpoint/"]
ALL = ["engine/", "drivers/", "bench/", "tests/"]

# The longest matching row counts.
LAYERS = {
    "engine/pontoon.h": [],
    "engine/base/": [],
    "engine/core/": BASE,
    "engine/wire/": BASE + MESSAGES,
    "engine/driver_api/": BASE + MESSAGES,
    "engine/wal/": BASE + API + TYPES,
    "engine/reactor/": BASE + ["engine/core/", "engine/wire/", "engine/wal/"] + API,
    "engine/client/": BASE + MESSAGES + ["engine/wire/"] + API + PUBLIC,
    "engine/embed/": ["engine/"],
    "drivers/": DRIVER,
    "drivers/app_": APP,
    "drivers/bundle/": ALL,
    "drivers/nbdkit/": BASE + PUBLIC + BLOCK_CLIENT,
    "drivers/cli/": ALL,
    "bench/": ALL,
    "tests/": ALL,
}

# Headers of libraries, and who may include them beside bench and tests.
LIBRARIES = [
    (r"rte_(ethdev|mbuf|ether|ip|udp|arp|icmp|bus|dev)\w*\.h", ["drivers/net_dpdk/"]),
    (r"rte_\w+\.h", ["engine/reactor/", "engine/embed/", "drivers/net_dpdk/", "drivers/bundle/", "drivers/cli/"]),
    (r"liburing.*", ["drivers/disk_uring/"]),
    (r"yaml\.h", ["drivers/bundle/"]),
    (r"CUnit/.*", []),
]

# The pure layers see the language, not the system.
PURE = ["engine/base/", "engine/core/", "engine/wire/"]
PURE_HEADERS = re.compile(r"(std(align|arg|atomic|bool|def|int|noreturn)|string|limits|inttypes|errno|assert|(\w+intrin)|cpuid|arm_acle|arm_neon|sys/auxv|asm/hwcap)\.h")

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def may_include_ours(path, header):
    row = max((row for row in LAYERS if path.startswith(row)), key=len)
    own = "/".join(path.split("/")[:2]) + "/"
    return header.startswith(tuple(LAYERS[row] + [own]))


def may_include_library(path, header):
    if path.startswith(("bench/", "tests/")):
        return True
    if path.startswith(tuple(PURE)) and not PURE_HEADERS.fullmatch(header):
        return False
    for pattern, folders in LIBRARIES:
        if re.fullmatch(pattern, header):
            return path.startswith(tuple(folders)) if folders else False
    return True


def complaints(root, path, text):
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        is_ours, header = match.group(1) == '"', match.group(2)
        if is_ours and not (root / header).is_file():
            yield f'{path}:{line}: "{header}" is not a path from the root'
        elif is_ours and not may_include_ours(path, header):
            yield f'{path}:{line}: this layer may not include "{header}"'
        elif not is_ours and not may_include_library(path, header):
            yield f"{path}:{line}: this layer may not include <{header}>"


def sources(root):
    for top in ("engine", "drivers", "bench", "tests"):
        for path in sorted((root / top).rglob("*.[ch]")):
            yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def self_test(root):
    """(path, line of text, how many complaints)"""
    cases = [
        ("engine/core/a.c", '#include "engine/base/assert.h"', 0),
        ("engine/core/a.c", '#include "engine/wire/wire.h"', 1),
        ("engine/core/a.c", '#include "types.h"', 1),
        ("engine/core/a.c", "#include <stdio.h>", 1),
        ("engine/core/a.c", "#include <string.h>", 0),
        ("engine/core/a.c", "#include <rte_ring.h>", 1),
        ("engine/base/a.c", '#include "engine/core/types.h"', 1),
        ("engine/wal/a.c", '#include "engine/core/message.h"', 1),
        ("engine/reactor/a.c", "#include <rte_ring.h>", 0),
        ("engine/reactor/a.c", "#include <rte_mbuf.h>", 1),
        ("engine/reactor/a.c", '#include "engine/pontoon.h"', 1),
        ("engine/embed/a.c", '#include "engine/wal/wal.h"', 0),
        ("drivers/net_udp/a.c", '#include "engine/driver_api/net.h"', 0),
        ("drivers/net_udp/a.c", '#include "drivers/cli/cli.h"', 1),
        ("drivers/net_udp/a.c", '#include "engine/wire/wire.h"', 1),
        ("drivers/net_udp/a.c", "#include <liburing.h>", 1),
        ("drivers/app_kv/a.c", '#include "drivers/app_checkpoint/app_checkpoint.h"', 0),
        ("drivers/app_kv/a.c", '#include "drivers/app_block/app_block.h"', 1),
        ("drivers/disk_uring/a.c", '#include "drivers/app_checkpoint/app_checkpoint.h"', 1),
        ("drivers/nbdkit/a.c", '#include "drivers/app_block/block_command.h"', 0),
        ("drivers/nbdkit/a.c", '#include "drivers/app_block/block_volume.h"', 1),
        ("drivers/cli/a.c", '#include "drivers/bundle/settings.h"', 0),
        ("bench/a.c", "#include <rte_mbuf.h>", 0),
    ]
    wrong = [case for case in cases if len(list(complaints(root, case[0], case[1]))) != case[2]]
    for case in wrong:
        print(f"layers: self-test: {case[0]} with {case[1]}: want {case[2]} complaints")
    return len(wrong)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    if self_test(root) != 0:
        return 1
    found = [text for path, content in sources(root) for text in complaints(root, path, content)]
    print("\n".join(found))
    print(f"layers: {len(found)} includes against the table")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
