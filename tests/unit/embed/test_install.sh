#!/usr/bin/env bash
# An embedder's view: test_install.sh BUILD_DIRECTORY COMPILER...
#
# Installs into a directory of its own, then compiles, links and runs a program with what pkg-config says, against the shared and the static
# library. Only pontoon_* may be visible in either.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1
shift
passed=0
failed=0

check() {
    local name=$1
    shift
    if "$@"; then
        echo "install: $name: ok"
        passed=$((passed + 1))
    else
        echo "install: $name: FAILED"
        failed=$((failed + 1))
    fi
}

place=$(mktemp -d "${TMPDIR:-/tmp}/pontoon-install-XXXXXX")
trap 'rm -rf "$place"' EXIT
DESTDIR=$place meson install -C "$build" --no-rebuild --quiet >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$place" -name pontoon.pc)")
libdir=$(dirname "$PKG_CONFIG_PATH")
prefix=$(sed -n 's/^prefix=//p' "$PKG_CONFIG_PATH/pontoon.pc")
export PKG_CONFIG_PATH

# Flags of a library as if it stood where it was installed to, in `flags`.
ask() {
    read -ra flags < <(pkg-config --define-variable=prefix="$place$prefix" --cflags --libs "$1")
}

compiles_and_runs() {
    local name=$1
    shift
    ask "$name"
    "$@" -Wall -Wextra -Werror -o "$place/$name" "$here/installed.c" "${flags[@]}" &&
        LD_LIBRARY_PATH=$libdir timeout 20 "$place/$name" "$place/$name-files"
}

compiles_as_cxx() {
    ask pontoon
    printf '#include <pontoon.h>\n#include <pontoon/app.h>\nint main() { return 0; }\n' |
        "$@" -x c++ -fsyntax-only "${flags[@]/#-l*/}" -
}

# Names that a library defines for others, but ours and the version's.
shows_only_ours() {
    local others
    others=$(nm "$@" --defined-only --extern-only | awk 'NF == 3 { sub(/@.*/, "", $3); print $3 }' | grep -v '^pontoon_\|^PONTOON_0$' || true)
    [ -z "$others" ] || {
        echo "    visible: ${others//$'\n'/ }"
        return 1
    }
    nm "$@" --defined-only --extern-only | grep -q pontoon_open
}

is_inside() {
    [ -x "$1" ] && ! readelf -d "$1" | grep -q libpontoon
}

check "shared library shows only pontoon_*" shows_only_ours -D "$libdir/libpontoon.so"
check "static library shows only pontoon_*" shows_only_ours "$libdir/libpontoon.a"
check "soname" bash -c "readelf -d '$libdir/libpontoon.so' | grep -q 'soname: \[libpontoon.so.0\]'"
check "against the shared library" compiles_and_runs pontoon "$@"
check "against the static library" compiles_and_runs pontoon-static "$@"
check "the static library is inside the program" is_inside "$place/pontoon-static"
check "the program is installed" test -x "$place$prefix/bin/pontoon"
if command -v c++ >/dev/null; then
    check "headers in C++" compiles_as_cxx c++
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
