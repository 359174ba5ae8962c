#!/bin/sh
# Takes frames recorded elsewhere into the frame fuzzer's corpus: each file of DIRECTORY is one frame (a UDP payload).
# Usage: tests/fuzz/import.sh DIRECTORY, before tests/fuzz/run.sh.
set -eu
directory=${1:?usage: $0 DIRECTORY}
directory=$(cd "$directory" && pwd)
cd "$(dirname "$0")/../.."
corpus=build-fuzz/corpus/frame
mkdir -p $corpus
count=0
for frame in "$directory"/*; do
    [ -f "$frame" ] || continue
    cp "$frame" "$corpus/recorded-$(sha1sum <"$frame" | cut -c 1-40)"
    count=$((count + 1))
done
echo "$count frames"
