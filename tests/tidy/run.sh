#!/usr/bin/env bash
# All tidy checks: tests/tidy/run.sh [BUILD_DIRECTORY]. The last line is "N passed, N failed".
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
cd "$here/../.."

build=${1:-build}
passed=0
failed=0
for check in layers.py purity.sh format.sh shell.sh mutants.sh samples.sh readme.py; do
    status=0
    "tests/tidy/$check" "$build" || status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77) ;;
    *) failed=$((failed + 1)) ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
