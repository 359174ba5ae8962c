#!/usr/bin/env bash
# One archive for embedders, with everything of ours in it and nothing but pontoon_* visible:
#
#     merge.sh OUTPUT WORK_DIRECTORY ARCHIVE... -- COMPILER...
#
# The archives are linked into one object (link-time optimised there, when they were compiled for it: what comes out is plain machine
# code that any linker takes), and its hidden symbols are made local, so that none can meet a name of the embedding program.
set -euo pipefail

output=$1
work=$2
shift 2
archives=()
while [ "$1" != -- ]; do
    archives+=("$1")
    shift
done
shift
mkdir -p "$work"
"$@" -r -nostdlib -o "$work/pontoon.o" -Wl,--whole-archive "${archives[@]}" -Wl,--no-whole-archive
objcopy --localize-hidden "$work/pontoon.o"
rm -f "$output"
ar rcsD "$output" "$work/pontoon.o"
