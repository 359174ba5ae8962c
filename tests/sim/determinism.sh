#!/usr/bin/env bash
# Every compiler must see the same world: tests/sim/determinism.sh [A..B]
#
# Builds the simulator with gcc and clang, optimised and not, outside the tree, runs the seeds A..B (1..40) in each, and compares what
# they print but for the time it took: events, faults, operations, virtual time, hash and verdict of every seed. The builds without
# optimisation start every variable and every allocation with a pattern, so that a byte nobody set is another one there.
# A seed passes when all builds agree. The last line is "N passed, N failed" (seeds), the exit status says the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seeds=${1:-1..40}
if ! [[ $seeds =~ ^([0-9]+)\.\.([0-9]+)$ ]]; then
    echo "usage: $0 [A..B]" >&2
    exit 2
fi
readonly COUNT=$((BASH_REMATCH[2] - BASH_REMATCH[1] + 1))
jobs=$(nproc)
readonly JOBS=$jobs
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# build NAME COMPILER LEVEL: the simulator, in $scratch/NAME.
build() {
    local name=$1 compiler=$2 level=$3 arguments=
    if [ "$level" -eq 0 ]; then
        arguments=-ftrivial-auto-var-init=pattern
    fi
    if ! CC="$compiler" meson setup --buildtype plain -Doptimization="$level" -Dc_args="$arguments" "$scratch/$name" >"$scratch/log" 2>&1 ||
        ! ninja -C "$scratch/$name" -j "$JOBS" sim >"$scratch/log" 2>&1; then
        tail -n 40 "$scratch/log"
        echo "determinism: $name does not build"
        return 1
    fi
}

# run NAME LEVEL: a line a seed into $scratch/NAME.lines.
run() {
    local name=$1 level=$2 began=$SECONDS
    MALLOC_PERTURB_=$((level == 0 ? 165 : 0)) "$scratch/$name/sim" --seeds "$seeds" --jobs "$JOBS" --lines >"$scratch/out" || true
    sed -nE '/^seed=/s/ wall_s=[^ ]*//p' "$scratch/out" >"$scratch/$name.lines"
    echo "$name: $(wc -l <"$scratch/$name.lines") seeds in $((SECONDS - began)) s"
}

names=()
for compiler in gcc clang; do
    if ! command -v "$compiler" >/dev/null; then
        echo "determinism: no $compiler, so it is not compared"
        continue
    fi
    for level in 3 0; do
        name=$compiler-O$level
        build "$name" "$compiler" "$level" || { echo "0 passed, 1 failed"; exit 1; }
        run "$name" "$level"
        names+=("$name")
    done
done

# A line that all builds printed is there as often as there are builds.
cat "$scratch"/*.lines | sort | uniq -c | awk -v builds="${#names[@]}" '$1 == builds { print $2 }' >"$scratch/agreed"
agreed=$(wc -l <"$scratch/agreed")
failed=$((COUNT - agreed))
if [ "$failed" -gt 0 ]; then
    echo "determinism: the first seeds on which builds differ:"
    for name in "${names[@]}"; do
        grep -vwFf "$scratch/agreed" "$scratch/$name.lines" | head -n 5 | sed "s/^/  $name: /" || true
    done
fi
echo "$agreed passed, $failed failed"
[ "$failed" -eq 0 ]
