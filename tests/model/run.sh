#!/usr/bin/env bash
# Checks the model of parallel Raft with Spin: tests/model/run.sh [--long] [NAME...]
#                                              tests/model/run.sh --trail NAME
#
# Without a name, the quick searches of variants.txt (less than a minute), or with --long all of them (README.md: how long). A line each:
# name, what came out, how many states, how deep, seconds of the search, MiB. A search passes when exactly what variants.txt says
# comes out. --trail shows the shortest way to what breaks, state by state. One core, at most 6 GiB.
# The last line is "N passed, N failed", the exit status says the same; 77 (skipped): there is no spin or no C compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly MEMORY_MIB=6144
readonly DEPTH=20000
long=false
trail=
names=()

usage() {
    echo "usage: $0 [--long] [NAME...] | --trail NAME" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --long) long=true ;;
    --trail)
        [ $# -eq 2 ] || usage
        trail=$2
        shift
        ;;
    -*) usage ;;
    *) names+=("$1") ;;
    esac
    shift
done
for program in spin cc; do
    if ! command -v "$program" >/dev/null; then
        echo "model: skipped, there is no $program (Debian: apt-get install spin gcc)"
        exit 77
    fi
done

scratch=$(mktemp -d)
cp ./*.pml "$scratch" # Spin leaves its trails beside the model
searching=
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [ -z "$searching" ] || kill "$searching" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# variant NAME: "when outcome switches..." of its line.
variant() {
    sed -nE "s/^$1 +//p" variants.txt
}

# build OPTIMISATION OUTCOME SWITCHES...: the verifier of one search, in $scratch/pan. What must break is searched for breadth first, so that the
# shortest way comes out, but for DEPTH_FIRST. Spin refuses that for models with hidden variables; ours are scratch inside one
# step and never read behind it, so nothing is lost.
build() {
    local level=$1 outcome=$2
    local -a defines=() search=()
    shift 2
    for switch in "$@"; do
        defines+=("-D$switch")
    done
    if [ "$outcome" != holds ] && [[ " $* " != *" DEPTH_FIRST "* ]]; then
        search=(-DBFS)
    fi
    (
        cd "$scratch" &&
            rm -f pan pan.? ./*.trail &&
            spin "${defines[@]}" -a parallel_raft.pml &&
            sed -i '/cannot use BFS on models with variables declared hidden/d' pan.h &&
            cc "$level" -w -DSAFETY -DNOREDUCE -DNOCLAIM -DNOFAIR -DMEMLIM=$MEMORY_MIB "${search[@]}" -o pan pan.c
    ) >"$scratch/build" 2>&1
}

# value PATTERN: what it catches in the last line of what the search printed that has it, or "?".
value() {
    local found
    found=$(sed -nE "s/^(.*[^0-9.e+])?$1.*/\2/p" "$scratch/out" | tail -n 1)
    echo "${found:-?}"
}

# Every minute, how far the search is.
progress() {
    echo "  $1: $(value 'States= *([0-9.e+]+)') states, $(value 'Memory= *([0-9.]+)') MiB, $(value 't= *([0-9.]+)') s"
}

# What came out: the property that broke, "holds", or why the search says nothing.
outcome_found() {
    local broken
    broken=$(sed -nE 's/^pan:[0-9]+: assertion violated ([A-Za-z]+) .*/\1/p' "$scratch/out" | head -n 1)
    if [ -n "$broken" ]; then
        echo "$broken"
    elif grep -qE 'MEMLIM bound|out of memory|max search depth too small|Search not completed|^pan:[0-9]+:' "$scratch/out"; then
        echo "incomplete"
    elif grep -q 'errors: 0' "$scratch/out"; then
        echo "holds"
    else
        echo "crashed"
    fi
}

# search NAME: one line; false when something else came out than variants.txt says.
search() {
    local name=$1 when outcome switches found level slots=22 verdict=ok
    read -r when outcome switches <<<"$(variant "$name")"
    case $when:$outcome in
    long:holds) level=-O2 slots=26 ;;
    quick:holds | long:*) level=-O1 ;;
    *) level=-O0 ;; # compiling takes longer than searching
    esac
    # shellcheck disable=SC2086 # a list
    if ! build $level "$outcome" $switches; then
        cat "$scratch/build"
        echo "$name: does not build: FAILED"
        return 1
    fi
    (cd "$scratch" && exec ./pan -n -m$DEPTH -w$slots >out 2>&1) &
    searching=$!
    until timeout 60 tail -s 0.2 --pid=$searching -f /dev/null; do
        progress "$name"
    done
    wait $searching || true
    searching=
    found=$(outcome_found)
    if [ "$found" != "$outcome" ]; then
        verdict="FAILED, expected $outcome"
    fi
    printf '%-26s %-18s %12s states  depth %4s  %8s s  %8s MiB  %s\n' "$name" "$found" "$(value '([0-9.e+]+) states, stored')" \
        "$(value 'depth reached ([0-9]+),')" "$(value 'elapsed time ([0-9.e+]+) seconds')" \
        "$(value '([0-9.]+)[[:space:]]total actual memory usage')" "$verdict"
    [ "$verdict" = ok ]
}

# The steps to what breaks, with the names of nodes as they are. Spin's own account of each statement is left out.
show_trail() {
    local name=$1 outcome switches
    read -r _ outcome switches <<<"$(variant "$name")"
    if [ "$outcome" = holds ]; then
        echo "model: $name breaks nothing, so there is no trail"
        return
    fi
    # shellcheck disable=SC2086
    build -O1 "$outcome" $switches SYMMETRY=0 TRAIL || {
        cat "$scratch/build"
        return 1
    }
    cd "$scratch"
    ./pan -n -m$DEPTH >out 2>&1 || true
    echo "$name: $switches"
    ./pan -S parallel_raft.pml.trail 2>&1 | sed '/^pan:/Q'
    echo "$(outcome_found) is broken"
}

for name in ${trail:+"$trail"} "${names[@]}"; do
    if [ -z "$(variant "$name")" ]; then
        echo "model: there is no $name in variants.txt" >&2
        exit 2
    fi
done
if [ -n "$trail" ]; then
    show_trail "$trail"
    exit
fi
if [ "${#names[@]}" -eq 0 ]; then
    $long && when='quick|long' || when=quick
    mapfile -t names < <(sed -nE "s/^([a-z0-9_]+) +($when) .*/\1/p" variants.txt)
fi
passed=0
failed=0
for name in "${names[@]}"; do
    if search "$name"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
