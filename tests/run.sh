#!/usr/bin/env bash
# Set-up, build, all default tests: tests/run.sh
#
#     release   every suite but `cluster`, then `cluster` one test at a time (real processes and clocks)
#     block     the block volume under NBD clients nobody here wrote, its leaders killed
#     sim       simulated clusters: the first seeds, which must reach every coverage mark; the same worlds from every compiler; a planted bug
#               that must be found
#     asan      the unit suite with AddressSanitizer, UndefinedBehaviorSanitizer and slow assertions
#     tsan      the threads suite with ThreadSanitizer
#     fuzz      each fuzzer for six seconds, where clang is installed
#
# A step that fails does not stop the others. The last line is "N passed, N failed" (cases), the exit status says the same. What
# this machine or user cannot have is skipped: counted in the line before, and each says why where it stands.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly FUZZ_SECONDS=42
readonly SIM_SEEDS=2400
readonly SIM_CANARY=commit_index_falls
passed=0
failed=0
skipped=0
began=$SECONDS

step() {
    echo "== $* ($((SECONDS - began)) s)"
}

count() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + ${3:-0}))
}

finish() {
    echo "== done in $((SECONDS - began)) s"
    if [ "$skipped" -gt 0 ]; then
        echo "$skipped skipped"
    fi
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# run_suites NAME BUILD_DIRECTORY MESON_TEST_ARGUMENT... : runs and counts. A run without a log counts as one failure, unless
# meson was content: then there is no such test.
run_suites() {
    local name=$1 directory=$2 status=0 numbers
    local log=$directory/meson-logs/$name.json
    shift 2
    step "$name"
    rm -f "$log"
    meson test -C "$directory" --no-rebuild --print-errorlogs --logbase "$name" "$@" || status=$?
    if [ -f "$log" ]; then
        read -ra numbers < <(python3 tests/count.py "$log")
        count "${numbers[@]}"
    elif [ "$status" -ne 0 ]; then
        echo "tests: $name did not run"
        count 0 1
    fi
}

# build PROFILE: false, and one failure, when it does not build.
build() {
    step "build $1"
    if config/build.sh "$1"; then
        return 0
    fi
    echo "tests: the $1 build failed"
    count 0 1
    return 1
}

# counted COMMAND...: runs it and counts by its last line "N passed, N failed" ("N killed, N survived" for mutants); without one, one failure
# unless it was content.
counted() {
    local log status=0 last
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || status=$?
    last=$(tail -n 1 "$log")
    rm -f "$log"
    if [[ $last =~ ^([0-9]+)\ (passed|killed),\ ([0-9]+)\ (failed|survived)$ ]]; then
        count "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]}"
    elif [ "$status" -ne 0 ]; then
        count 0 1
    fi
}

# Seeds are the cases; a mark that was not reached is one more that failed.
simulate() {
    local log status=0
    log=$(mktemp)
    build/sim --seeds "1..$SIM_SEEDS" --jobs "$(nproc)" --require-marks | tee "$log" || status=$?
    if [[ $(tail -n 1 "$log") =~ ^seeds=([0-9]+)\ failed=([0-9]+)\ .*marks_missed=([0-9]+)$ ]]; then
        count $((BASH_REMATCH[1] - BASH_REMATCH[2])) $((BASH_REMATCH[2] + BASH_REMATCH[3]))
    elif [ "$status" -ne 0 ]; then
        count 0 1
    fi
    rm -f "$log"
}

step "set-up"
if ! config/setup.sh; then
    count 0 1
    finish
fi
if build release; then
    run_suites release build --no-suite cluster --no-suite soak --num-processes 2
    run_suites cluster build --suite cluster --num-processes 1
    step "block"
    counted tests/block/run.sh
    step "sim"
    simulate
    counted tests/sim/determinism.sh
    counted tests/sim/mutants/run.sh "$SIM_CANARY"
fi
export ASAN_OPTIONS=detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
if build asan; then
    run_suites asan build-asan --suite unit --num-processes 2 --timeout-multiplier 4
fi
if build tsan; then
    # gcc's ThreadSanitizer does not start where the kernel spreads addresses far.
    run_suites tsan build-tsan --suite threads --num-processes 1 --timeout-multiplier 8 \
        --wrapper "setarch $(uname -m) -R"
fi
if command -v clang >/dev/null; then
    step "fuzz"
    counted tests/fuzz/run.sh "$FUZZ_SECONDS"
else
    echo "tests: no clang, so the fuzzers do not run"
fi
finish
