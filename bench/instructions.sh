#!/usr/bin/env bash
# Instructions an entry costs at the leader and at a follower, counted by callgrind: a scripted run
# of twice the entries minus one of once the entries (bench_instructions.c).
#
#     bench/instructions.sh [--bytes N] [--OPTION VALUE...] [BUILD]
#                                                    figures, and the functions that cost most; other
#                                                    options are those of bench_instructions
#     bench/instructions.sh --numbers BUILD WORK     LEADER FOLLOWER, for targets.sh
set -euo pipefail
shopt -s inherit_errexit # a failed count must not pass for 0
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BYTES=64
OPTIONS=()
ENTRIES=20000
NUMBERS=no
while [[ ${1:-} == -* ]]; do
    case $1 in
    --help | -h)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d'
        exit 0
        ;;
    --bytes)
        BYTES=$2
        shift
        ;;
    --numbers)
        NUMBERS=yes
        ;;
    *)
        OPTIONS+=("$1" "$2")
        shift
        ;;
    esac
    shift
done
BUILD=${1:-build}
PROGRAM=$BUILD/bench/bench_instructions

for need in valgrind callgrind_annotate; do
    command -v "$need" >/dev/null || {
        echo "instructions: $need is missing: install the package valgrind" >&2
        exit 1
    }
done
[ -x "$PROGRAM" ] || {
    echo "instructions: $PROGRAM is missing: run config/build.sh release" >&2
    exit 1
}
if [ -n "${2:-}" ]; then
    WORK=$2
else
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
fi

# collected ROLE ENTRIES: instructions of all turns of that role.
collected() {
    local log=$WORK/callgrind-$1-$2
    valgrind --tool=callgrind --callgrind-out-file="$log.out" --toggle-collect="$1_turn" \
        "$PROGRAM" --bytes "$BYTES" --entries "$2" "${OPTIONS[@]}" >/dev/null 2>"$log.err" || {
        tail -n 5 "$log.err" >&2
        exit 1
    }
    awk '/Collected/ { print $NF }' "$log.err"
}

# each ROLE: instructions an entry.
each() {
    local once twice
    once=$(collected "$1" "$ENTRIES")
    twice=$(collected "$1" $((2 * ENTRIES)))
    echo $(((twice - once + ENTRIES / 2) / ENTRIES))
}

# Cost by function, of one entry, its inlined parts added up. (Start-up is not in it: nothing was
# collected then.)
ranking() {
    callgrind_annotate --inclusive=no --auto=no --threshold=100 "$WORK/callgrind-$1-$((2 * ENTRIES)).out" |
        awk -v entries=$((2 * ENTRIES)) '
            /^ *[0-9,]+ \(/ && !/PROGRAM TOTALS/ {
                cost = $1; gsub(",", "", cost)
                name = $0; sub(/^[^:]*:/, "", name); sub(/ \[.*/, "", name); sub(/\.(lto_priv|constprop|part|isra).*/, "", name)
                sum[name] += cost
            }
            END { for (name in sum) if (sum[name] / entries >= 3) printf "%8.1f  %s\n", sum[name] / entries, name }' |
        sort -rn
}

leader=$(each leader)
follower=$(each follower)
if [ "$NUMBERS" = yes ]; then
    echo "$leader $follower"
    exit 0
fi
echo "instructions-$BYTES leader=$leader follower=$follower sum=$((leader + follower)) entries=$ENTRIES"
for role in leader follower; do
    echo
    echo "$role, instructions an entry by function"
    ranking "$role"
done
