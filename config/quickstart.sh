#!/usr/bin/env bash
# From nothing to a replicating cluster: set-up, build, demonstration. Arguments go to `pontoon demo`.
# The last line is PASS or "FAIL: reason", the exit status says the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=$(mktemp)
trap 'rm -f "$output"' EXIT

fail() {
    echo "FAIL: $*"
    exit 1
}

echo "== set-up"
config/setup.sh 2>&1 | tee "$output" || fail "$(tail -n 1 "$output")"
echo "== build"
config/build.sh release pontoon || fail "the build failed; see above"
echo "== demonstration"
status=0
build/pontoon demo "$@" 2>&1 | tee "$output" || status=$?
last=$(tail -n 1 "$output")
if [ "$status" -eq 0 ] && [ "$last" = PASS ]; then
    exit 0
fi
case "$last" in
FAIL:*) exit 1 ;;
*) fail "the demonstration ended with status $status: $last" ;;
esac
