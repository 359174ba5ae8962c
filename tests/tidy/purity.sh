#!/usr/bin/env bash
# The core and the mechanisms below it ask nothing of the world: purity.sh [BUILD_DIRECTORY]
# What libcore.a and libbase.a leave undefined must be defined in one of the two, be mem*, or belong to the compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly COMPILER='^(mem(cpy|move|set|cmp|chr)|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__cpu_model|__cpu_indicator_init|__cpu_features2|__aarch64_[a-z]+[0-9]+_[a-z_]+|__(u?(div|mod|divmod|mul)|popcount|clz|ctz|ash[lr]|lshr)[a-z]*[0-9]+|__getauxval)$'

build=${1:-build}
archives=$(find "$build" \( -name libcore.a -o -name libbase.a \) | sort)
if [ "$(wc -l <<<"$archives")" -ne 2 ]; then
    echo "purity: libcore.a and libbase.a are not both below $build; build first"
    exit 1
fi
mapfile -t archives <<<"$archives"
defined=$(nm --defined-only --format=posix "${archives[@]}" 2>/dev/null | awk 'NF > 1 { print $1 }' | sort -u)
if [ -z "$defined" ]; then
    echo "purity: the archives show no symbols; were they built with LTO?"
    exit 1
fi
impure=$(nm -u --format=posix "${archives[@]}" | awk 'NF > 1 { print $1 }' | sort -u | comm -23 - <(echo "$defined") |
    grep -Ev "$COMPILER" || true)
if [ -n "$impure" ]; then
    echo "purity: the core asks for:"
    echo "$impure"
    exit 1
fi
echo "purity: $(wc -l <<<"$defined") symbols, none from outside"
