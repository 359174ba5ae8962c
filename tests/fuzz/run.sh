#!/bin/sh
# Builds the fuzzers with clang (address and undefined behaviour sanitizers) in build-fuzz and runs each for an equal share of SECONDS.
# The corpus stays in build-fuzz/corpus and grows from run to run; inputs that crash are kept in build-fuzz/crashes.
# Usage: tests/fuzz/run.sh [SECONDS [NAME...]]; last line "N passed, N failed" (fuzzers).
set -eu

seconds=${1:-60}
case $seconds in
'' | *[!0-9]*)
    echo "usage: $0 [SECONDS [NAME...]]" >&2
    exit 2
    ;;
esac
[ $# -eq 0 ] || shift
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

# Few large blocks in quarantine: they would all be fresh pages.
export ASAN_OPTIONS="quarantine_size_mb=16:${ASAN_OPTIONS:-}"

names=${*:-$(for source in tests/fuzz/fuzz_*.c; do basename "$source" .c | sed 's/^fuzz_//'; done)}
targets=tests/fuzz/make_seeds
count=0
for name in $names; do
    targets="$targets tests/fuzz/fuzz_$name"
    count=$((count + 1))
done
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    mkdir -p "$build/corpus/${name#fuzz_}"
done
mkdir -p $build/crashes
# shellcheck disable=SC2086
ninja -C $build -j 2 $targets
$build/tests/fuzz/make_seeds $build/corpus

# The longest input worth trying: a frame, a file; where a sequence is run, the speed counts.
length_max() {
    case $1 in
    frame | assembly) echo 9000 ;;
    settings) echo 4000 ;;
    *) echo 800 ;;
    esac
}

passed=0
failed=0
share=$((seconds / count))
[ $share -gt 0 ] || share=1
for name in $names; do
    log=$build/fuzz_$name.log
    if timeout $((share + 120)) "$build/tests/fuzz/fuzz_$name" "$build/corpus/$name" "tests/fuzz/corpus/$name" \
        -max_total_time="$share" -max_len="$(length_max "$name")" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$build/crashes/$name-" >"$log" 2>&1; then
        echo "fuzz_$name: ok, $(sed -n 's/stat::number_of_executed_units: *//p' "$log") executions in $share s"
        passed=$((passed + 1))
    else
        tail -n 60 "$log"
        echo "fuzz_$name: FAILED, log in $log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
