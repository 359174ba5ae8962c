#!/usr/bin/env bash
# Builds one profile: config/build.sh release|asan|tsan [TARGET...]
# Release goes to build/, the others to build-PROFILE/. A directory that is set up already keeps its options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${1:?usage: config/build.sh release|asan|tsan [TARGET...]}
shift
if [ ! -f "config/meson/$profile.ini" ]; then
    echo "build: there is no profile $profile; config/meson has release, asan and tsan" >&2
    exit 2
fi
directory=build
if [ "$profile" != release ]; then
    directory=build-$profile
fi
if [ ! -f "$directory/build.ninja" ]; then
    meson setup --native-file "config/meson/$profile.ini" "$directory"
fi
exec ninja -C "$directory" -j "$(nproc)" "$@"
