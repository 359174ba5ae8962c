#!/usr/bin/env bash
# Builds the simulator with one planted bug after the other and has it find them: tests/sim/mutants/run.sh [--seconds S] [--order O] [NAME...]
#
# A mutant is NAME.patch in this folder. Each prints
#     mutant=NAME killed seed=N seconds=T by=INVARIANT    or    mutant=NAME SURVIVED seeds=N seconds=T
# seconds are CPU seconds of the search, over both jobs; at most S of them (600). --order is the simulator's. The tree is copied; nothing in it changes. Exit status: 0
# when all died.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

seconds_max=600
if [ "${1-}" = --seconds ]; then
    seconds_max=${2:?--seconds wants a number}
    shift 2
fi
order=()
if [ "${1-}" = --order ]; then
    order=(--order "${2:?--order wants strict or parallel}")
    shift 2
fi
jobs=$(nproc)
readonly JOBS=$jobs
readonly BATCH=40 # seeds a call

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
    for patch in tests/sim/mutants/*.patch; do
        names+=("$(basename "$patch" .patch)")
    done
fi
for name in "${names[@]}"; do
    if [ ! -f "tests/sim/mutants/$name.patch" ]; then
        echo "mutants: there is no $name; tests/sim/mutants has: $(cd tests/sim/mutants && ls -- *.patch)" >&2
        exit 2
    fi
done

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -r engine drivers bench tests config meson.build meson_options.txt README.md LICENSE "$tree"
meson setup --native-file config/meson/mutants.ini "$tree/build" "$tree" >"$tree/log"

build() {
    ninja -C "$tree/build" -j "$JOBS" sim >"$tree/log" 2>&1 || {
        cat "$tree/log"
        echo "mutants: $1 does not build"
        return 1
    }
}

# value NAME: of key=value in the last line of the batch.
value() {
    tail -n 1 "$tree/batch" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# hunt NAME: runs seeds until one fails or the time is used up.
hunt() {
    local name=$1 seed=1 spent=0 line
    while [ "$spent" -lt "$seconds_max" ]; do
        timeout 300 "$tree/build/sim" --seeds "$seed..$((seed + BATCH - 1))" --jobs "$JOBS" "${order[@]}" --stop >"$tree/batch" 2>/dev/null || true
        line=$(grep -m 1 -E 'FAIL: |a job ended' "$tree/batch" || true)
        spent=$((spent + $(value core_s || echo 0) + 0))
        if [[ $line =~ seed=([0-9]+).*FAIL:\ (.*) ]]; then
            echo "mutant=$name killed seed=${BASH_REMATCH[1]} seconds=$spent by=${BASH_REMATCH[2]}"
            return 0
        fi
        if [ -n "$line" ] || ! grep -q '^seeds=' "$tree/batch"; then
            echo "mutant=$name killed seed=$seed..$((seed + BATCH - 1)) seconds=$spent by=crash-or-hang"
            return 0
        fi
        seed=$((seed + BATCH))
    done
    echo "mutant=$name SURVIVED seeds=$((seed - 1)) seconds=$spent"
    return 1
}

survived=0
for name in "${names[@]}"; do
    if ! patch -s -f -p1 -d "$tree" <"tests/sim/mutants/$name.patch"; then
        echo "mutants: $name.patch does not apply"
        exit 2
    fi
    build "$name"
    hunt "$name" || survived=$((survived + 1))
    patch -s -R -p1 -d "$tree" <"tests/sim/mutants/$name.patch"
done
echo "$((${#names[@]} - survived)) killed, $survived survived"
[ "$survived" -eq 0 ]
