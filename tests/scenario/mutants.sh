#!/usr/bin/env bash
# Do the scenarios bite? mutants.sh [NAME...]: plants each bug of tests/sim/mutants that is one of engine/core (or those named) in a copy
# of the tree, and lists the scenarios that fail with it. Fails when one survives.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$root"
git ls-files -z | xargs -0 cp --parents -t "$copy"
cd "$copy"
meson setup build >setup.log 2>&1 || { cat setup.log && exit 1; }

names=("$@")
if [ "$#" -eq 0 ]; then
    for patch in tests/sim/mutants/*.patch; do
        grep -q '^+++ b/engine/core/' "$patch" && names+=("$(basename "$patch" .patch)")
    done
fi
survived=0
for name in "${names[@]}"; do
    patch=tests/sim/mutants/$name.patch
    patch -s -p1 <"$patch"
    ninja -C build tests/scenario/scenario >build.log 2>&1 || { cat build.log && exit 1; }
    printed=$(build/tests/scenario/scenario tests/scenario) || true
    killers=$(sed -n 's/^scenario: \(.*\): FAILED$/\1/p' <<<"$printed")
    if [ -n "$killers" ]; then
        echo "mutant=$name killed by=$(paste -sd, <<<"$killers")"
    else
        echo "mutant=$name SURVIVED"
        survived=$((survived + 1))
    fi
    patch -s -R -p1 <"$patch"
done
echo "$((${#names[@]} - survived)) killed, $survived survived"
[ "$survived" -eq 0 ]
