#!/bin/sh
# Builds the fuzzers with clang (address and undefined behaviour sanitizers) in build-fuzz and runs each for an equal share of SECONDS.
# The corpus stays in build-fuzz/corpus and grows from run to run; inputs that crash are kept in build-fuzz/crashes.
# Usage: tests/fuzz/run.sh [SECONDS]; last line "N passed, N failed" (fuzzers).
set -eu

seconds=${1:-60}
case $seconds in
'' | *[!0-9]*)
    echo "usage: $0 [SECONDS]" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/../.."
build='build-fuzz'

if [ ! -f $build/build.ninja ]; then
    CC=clang meson setup $build -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized \
        -Dc_args='-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined' >$build.log 2>&1 || {
        cat $build.log
        rm $build.log
        exit 1
    }
    mv $build.log $build/setup.log
fi

fuzzers=$(for source in tests/fuzz/fuzz_*.c; do basename "$source" .c; done)
targets=tests/fuzz/make_seeds
count=0
for fuzzer in $fuzzers; do
    targets="$targets tests/fuzz/$fuzzer"
    mkdir -p "$build/corpus/${fuzzer#fuzz_}"
    count=$((count + 1))
done
mkdir -p $build/crashes
# shellcheck disable=SC2086
ninja -C $build -j 2 $targets
$build/tests/fuzz/make_seeds $build/corpus

passed=0
failed=0
share=$((seconds / count))
[ $share -gt 0 ] || share=1
for fuzzer in $fuzzers; do
    log=$build/$fuzzer.log
    if timeout $((share + 60)) "$build/tests/fuzz/$fuzzer" "$build/corpus/${fuzzer#fuzz_}" \
        -max_total_time="$share" -max_len=9000 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="$build/crashes/$fuzzer-" >"$log" 2>&1; then
        echo "$fuzzer: ok, $(sed -n 's/stat::number_of_executed_units: *//p' "$log") executions in $share s"
        passed=$((passed + 1))
    else
        tail -n 60 "$log"
        echo "$fuzzer: FAILED, log in $log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
