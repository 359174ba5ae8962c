#!/usr/bin/env bash
# Every sample configuration parses: samples.sh [BUILD_DIRECTORY]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=${1:-build}
mapfile -t files < <(find config tests bench -name '*.yaml' | sort)
for file in "${files[@]}"; do
    "$build/pontoon" config check "$file"
done
