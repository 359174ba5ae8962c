#!/usr/bin/env bash
# test_demo.sh PONTOON: the demonstration of a small tree passes; of one that cannot be loaded it fails at once, with the reason.
set -euo pipefail
pontoon=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
passed=0
failed=0

# check NAME STATUS LAST_LINE COMMAND...: exit status and the last line.
check() {
    local name=$1 expected=$2 line=$3 status=0
    shift 3
    "$@" >"$directory/output" 2>&1 || status=$?
    if [ "$status" -eq "$expected" ] && [ "$(tail -n 1 "$directory/output")" = "$line" ]; then
        echo "demo: $name: ok"
        passed=$((passed + 1))
    else
        tail -n 20 "$directory/output"
        echo "demo: $name: FAILED (status $status)"
        failed=$((failed + 1))
    fi
}

demo=(timeout 60 "$pontoon" demo --link udp --durability memory --directory "$directory" --seconds 1)

mkdir "$directory/small"
for file in {1..200}; do
    head -c $((file * 37)) /dev/urandom >"$directory/small/$file"
done
check small_tree 0 PASS "${demo[@]}" --data "$directory/small"
check small_tree_parallel 0 PASS "${demo[@]}" --data "$directory/small" --order parallel

deep=$directory/deep # paths that are too long for a key
for level in {1..8}; do
    deep+=/$(printf "%0200d" "$level")
done
mkdir -p "$deep"
touch "$deep"/{1..40}
check load_that_fails 1 "FAIL: kv load failed with status 1" "${demo[@]}" --data "$directory/deep"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
