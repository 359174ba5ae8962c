#!/usr/bin/env bash
# Every shell script passes shellcheck. Exit status 77 (skipped): there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v shellcheck >/dev/null; then
    echo "shell: skipped, there is no shellcheck"
    exit 77
fi
mapfile -t files < <(find .ci engine drivers bench tests config -type f \( -name '*.sh' -o -path '.ci/*' \) | sort)
shellcheck "${files[@]}"
echo "shell: ${#files[@]} files"
