#!/usr/bin/env bash
# Hours of what no one thought of: tests/soak.sh MINUTES [--from SEED] [--mutants]
#
# First simulated clusters over fresh seeds (from --from, else from the clock; printed). Then, for a fifth of the time, the fuzzers, where
# clang is installed. --mutants adds the planted bugs of tests/sim/mutants, each of which must die: they take a third of
# the time, and those that it does not reach are counted as skipped. Progress goes to standard error every minute.
#
# Ends with a table: seeds, operations, faults by class, marks, speed, and each failure with the command that shows it again. The last
# line is "N passed, N failed" (seeds, fuzzers and mutants), the exit status says the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    echo "usage: $0 MINUTES [--from SEED] [--mutants]" >&2
    exit 2
}

minutes=${1-}
[[ $minutes =~ ^[1-9][0-9]*$ ]] || usage
shift
from=$(date +%s)000000 # a million seeds a second, so that no two soaks meet
with_mutants=false
while [ $# -gt 0 ]; do
    case $1 in
    --from)
        from=${2-}
        [[ $from =~ ^[0-9]+$ ]] || usage
        shift 2
        ;;
    --mutants)
        with_mutants=true
        shift
        ;;
    *) usage ;;
    esac
done
readonly SECONDS_MAX=$((minutes * 60))
jobs=$(nproc)
readonly JOBS=$jobs
readonly SEEDS_MAX=1000000000
fuzz_seconds=0
mutant_seconds=0
if command -v clang >/dev/null; then
    fuzz_seconds=$((SECONDS_MAX / 5))
fi
if $with_mutants; then
    mutant_seconds=$((SECONDS_MAX / 3))
fi
readonly SIM_SECONDS=$((SECONDS_MAX - fuzz_seconds - mutant_seconds))

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
skipped=0

# counted FILE: the "N passed, N failed" a part ended with. Nothing of the kind is one failure.
counted() {
    if [[ $(tail -n 1 "$1") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        failed=$((failed + 1))
    fi
}

simulate() {
    echo "== simulator, $SIM_SECONDS s from seed $from"
    timeout $((SIM_SECONDS + 300)) build/sim --seeds "$from..$((from + SEEDS_MAX))" --seconds "$SIM_SECONDS" --jobs "$JOBS" --marks \
        >"$scratch/sim" || true
    local runs fails
    runs=$(sed -nE 's/^seeds=([0-9]+) failed=([0-9]+).*/\1/p' "$scratch/sim")
    fails=$(sed -nE 's/^seeds=([0-9]+) failed=([0-9]+).*/\2/p' "$scratch/sim")
    if [ -z "$runs" ]; then
        echo "soak: the simulator came to no end"
        fails=1 runs=1
    fi
    passed=$((passed + runs - fails))
    failed=$((failed + fails))
}

mutants() {
    echo "== mutants, $mutant_seconds s"
    timeout "$mutant_seconds" tests/sim/mutants/run.sh >"$scratch/mutants" 2>&1 || true
    cat "$scratch/mutants"
    local patch name
    for patch in tests/sim/mutants/*.patch; do
        name=$(basename "$patch" .patch)
        if grep -q "^mutant=$name killed" "$scratch/mutants"; then
            passed=$((passed + 1))
        elif grep -q "^mutant=$name SURVIVED" "$scratch/mutants"; then
            failed=$((failed + 1))
        elif grep -q "^mutants: $name" "$scratch/mutants"; then # does not build or apply
            failed=$((failed + 1))
        else
            skipped=$((skipped + 1))
        fi
    done
}

fuzz() {
    echo "== fuzzers, $fuzz_seconds s"
    timeout $((fuzz_seconds + 900)) tests/fuzz/run.sh "$fuzz_seconds" >"$scratch/fuzz" 2>&1 || true
    grep -E '^fuzz_' "$scratch/fuzz" || tail -n 40 "$scratch/fuzz"
    counted "$scratch/fuzz"
}

# The summary of the simulator as a table, then what failed and how to see it again.
summary() {
    echo "== summary"
    sed -n '/^faults by class/,/^seeds=/p' "$scratch/sim" | sed '$d'
    sed -n '/^seeds=/p' "$scratch/sim" | tr ' ' '\n' | tr '=' ' ' | column -t | sed 's/^/  /'
    sed -nE '/^seed=.*FAIL: /N; s/\n */: /; s/^seed=([0-9]+).*(FAIL: .*|a job ended.*)$/  seed \1: \2; again: build\/sim --seed \1 --minimise/p' "$scratch/sim"
    if $with_mutants; then
        grep -E '^mutant.*(SURVIVED|does not)' "$scratch/mutants" |
            sed -E 's/^mutants?[=:] ?([a-z_]+).*/  mutant \1 lives; again: tests\/sim\/mutants\/run.sh \1/' || true
    fi
    if [ "$fuzz_seconds" -gt 0 ]; then
        grep -E '^fuzz_.*FAILED' "$scratch/fuzz" | sed -E 's/^fuzz_([a-z]+).*/  fuzz_\1: inputs in build-fuzz\/crashes, again: build-fuzz\/tests\/fuzz\/fuzz_\1 INPUT/' || true
    fi
    if [ "$skipped" -gt 0 ]; then
        echo "$skipped skipped"
    fi
    echo "$passed passed, $failed failed"
}

echo "== build"
if ! config/build.sh release sim >"$scratch/build" 2>&1; then
    cat "$scratch/build"
    echo "0 passed, 1 failed"
    exit 1
fi
simulate
if $with_mutants; then
    mutants
fi
if [ "$fuzz_seconds" -gt 0 ]; then
    fuzz
else
    echo "soak: no clang, so the fuzzers do not run"
fi
summary
[ "$failed" -eq 0 ]
