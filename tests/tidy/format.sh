#!/usr/bin/env bash
# Every C file is as clang-format 14 leaves it. Exit status 77 (skipped): there is no clang-format 14.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

formatter=
for candidate in clang-format-14 clang-format; do
    if command -v "$candidate" >/dev/null && "$candidate" --version | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    echo "format: skipped, there is no clang-format 14"
    exit 77
fi
mapfile -t files < <(find engine drivers bench tests -name '*.[ch]' | sort)
wrong=$(printf '%s\n' "${files[@]}" | xargs "$formatter" --dry-run 2>&1 |
    sed -n 's/^\([^:]*\):[0-9]*:.*clang-format-violations.*/\1/p' | sort -u)
if [ -n "$wrong" ]; then
    echo "format: mend with $formatter -i:"
    echo "$wrong"
    exit 1
fi
echo "format: ${#files[@]} files"
