#!/usr/bin/env bash
# Which rounds of runs count, and what is made of them (bench/rounds.sh), with looks that are given instead of measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# shellcheck source=bench/cluster.sh
. bench/cluster.sh
# shellcheck source=bench/rounds.sh
. bench/rounds.sh

PASSED=0 FAILED=0

# check WHAT ACTUAL EXPECTED
check() {
    if [ "$2" = "$3" ]; then
        PASSED=$((PASSED + 1))
    else
        FAILED=$((FAILED + 1))
        echo "$1: '$2', expected '$3'"
    fi
}

state_of() {
    if is_one_state "$@"; then echo one; else echo mixed; fi
}

check "one look" "$(state_of 525)" one
check "near looks" "$(state_of 100 104 98.5 110)" one
check "the border" "$(state_of 100 150)" one
check "beyond the border" "$(state_of 100 150.1)" mixed
check "a flip and back" "$(state_of 101 525 102)" mixed
check "a flip for good" "$(state_of 525 524 99 101)" mixed
check "nine and ten are numbers" "$(state_of 9.5 10.5)" one
check "one CPU" "$(state_of 0 0 0)" one

# 100 ticks a second: in 2 s all had 350, of which 330 were ours.
getconf() {
    echo 100
}
check "others' share" "$(others_cpus 2 1000 500 1350 830)" 0.10
check "time that went to nobody" "$(others_cpus 2 1000 500 1350 860)" 0.00
check "a tenth of a CPU is quiet" "$(is_undisturbed 0 0.1 && echo yes)" yes
check "more is not" "$(is_undisturbed 0 0.11 0 || echo no)" no
unset -f getconf
read -ra before <<<"$(cpu_ticks)"
timeout 0.5 sha1sum /dev/zero || true
read -ra after <<<"$(cpu_ticks)"
check "our own children are ours" "$((after[1] - before[1] >= 3))" 1
DISTURBED=""

# Takes the looks from a list: a file, as looks are made in subshells too.
core_round_trip() {
    head -n 1 "$WORK/script"
    sed -i 1d "$WORK/script"
}

# Nobody runs, but in the runs of the numbers in DISTURBED.
RUN=0
cpu_ticks() {
    echo 0 0
}
others_cpus() {
    RUN=$((RUN + 1))
    if [[ " $DISTURBED " == *" $RUN "* ]]; then echo 0.75; else echo 0.02; fi
}

# A round of two runs: A takes 10 times the round's number, B 10 more than that.
two_runs() {
    looked round_note a $((10 * ROUND))
    looked round_note b $((10 * ROUND + 10))
}

# play WANTED LOOK...
play() {
    printf '%s\n' "${@:2}" >"$WORK/script"
    RUN=0
    rounds_run "$1" two_runs 2>"$WORK/said"
}

play 2 100 101 102 103 500 510 505 500
check "both rounds count" "$ROUNDS_COUNTED $ROUNDS_STATE" "2 one"
check "no look is left over" "$(wc -l <"$WORK/script")" 0
check "states may differ between rounds" "$(rounds_values core_round_trip_ns | paste -sd,)" 101.5,502.5
check "nothing to say" "$(cat "$WORK/said")" ""
check "median of a key" "$(rounds_median b)" 25
check "the rounds' own ratios, not the medians'" "$(rounds_ratio a b)" "$(calculate "(10 / 20 + 20 / 30) / 2")"

play 2 100 101 102 520 100 100 100 100 99 99 99 99
check "a torn round is repeated" "$ROUNDS_COUNTED $ROUNDS_STATE" "2 one"
check "and its samples do not count" "$(rounds_values a | paste -sd,)" 20,30
check "which is said" "$(grep -c "round 1 does not count" "$WORK/said")" 1
check "words" "$(rounds_words)" "core_round_trip_ns=99.5 rounds_core_ns=100,99 rounds_others_cpus=0.02,0.02 rounds=2 state=one"

play 2 100 520 100 520 100 100 100 100 520 100 520 100 100 520 100 100
check "tries end" "$ROUNDS_COUNTED $ROUNDS_STATE" "1 mixed"
check "then those that count do" "$(rounds_values a | paste -sd,)" 20
check "which is said too" "$(tail -n 1 "$WORK/said")" "only 1 of 4 rounds count, 2 were wanted"

play 1 100 520 100 100 100 100 520 520
check "no round counts" "$ROUNDS_COUNTED $ROUNDS_STATE" "0 mixed"
check "then all are shown" "$(rounds_values a | paste -sd,)" 10,20

DISTURBED="2 5"
play 2 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100 100
check "so is a disturbed round" "$ROUNDS_COUNTED $ROUNDS_STATE" "2 one"
check "whichever of its runs was" "$(rounds_values a | paste -sd,)" 20,40
check "which is said, and why" "$(grep -c "does not count: others kept 0.75 CPUs busy" "$WORK/said")" 2

echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
