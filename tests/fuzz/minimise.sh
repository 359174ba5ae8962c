#!/bin/sh
# Renews the regression corpora: of all inputs in build-fuzz/corpus and tests/fuzz/corpus/NAME, the few that together reach every edge
# the fuzzer NAME knows. Inputs called regression-* stay whatever they reach.
# Usage: tests/fuzz/minimise.sh [NAME...], after tests/fuzz/run.sh.
set -eu
cd "$(dirname "$0")/../.."
names=${*:-$(ls tests/fuzz/corpus)}
for name in $names; do
    few=$(mktemp -d)
    kept="tests/fuzz/corpus/$name"
    mkdir -p "$kept" "build-fuzz/corpus/$name"
    "build-fuzz/tests/fuzz/fuzz_$name" -set_cover_merge=1 -use_counters=0 -verbosity=0 "$few" "$kept" "build-fuzz/corpus/$name"
    find "$kept" -type f ! -name 'regression-*' -delete
    cp "$few"/* "$kept"
    rm -r "$few"
    echo "$name: $(find "$kept" -type f | wc -l) inputs, $(cat "$kept"/* | wc -c) bytes"
done
