#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine: config/setup.sh [--dry-run]
#
# Installs by name what is missing, and reserves 2 MiB hugepages. Both need root; without, says what is missing and how to get it.
# Changes nothing that is already right. Exit status 0: Pontoon can be built here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly HUGEPAGES_WANTED=1024 # of 2 MiB: three nodes and a client with default settings
readonly HUGEPAGES=/sys/kernel/mm/hugepages/hugepages-2048kB

# need:package, where need is a program, lib= and the name pkg-config knows, or file= and a pattern. What the build needs, what it
# makes more of where it is there (the block device), what the tests need.
readonly FOR_BUILD="cc:gcc file=/usr/include/stdio.h:libc6-dev ninja:ninja-build meson:meson pkg-config:pkg-config python3:python3 lib=libdpdk:libdpdk-dev
    lib=liburing:liburing-dev lib=cunit:libcunit1-dev lib=yaml-0.1:libyaml-dev lib=jansson:libjansson-dev
    lib=libxxhash:libxxhash-dev"
readonly FOR_MORE="lib=nbdkit:nbdkit-plugin-dev nbdkit:nbdkit"
readonly FOR_TESTS="hugeadm:libhugetlbfs-bin clang:clang
    file=/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a:libclang-rt-dev clang-format:clang-format shellcheck:shellcheck ip:iproute2
    mkfs.ext4:e2fsprogs losetup:mount setarch:util-linux dpdk-telemetry.py:dpdk-dev nbdfuse:libnbd-bin
    nbdcopy:libnbd-bin fio:fio e2fsck:e2fsprogs fstrim:util-linux spin:spin"

dry_run=false
case "${1-}" in
"") ;;
--dry-run) dry_run=true ;;
*)
    echo "usage: config/setup.sh [--dry-run]" >&2
    exit 2
    ;;
esac

say() {
    echo "setup: $*"
}

is_root() {
    [ "$(id -u)" -eq 0 ]
}

has() {
    case "$1" in
    lib=*) command -v pkg-config >/dev/null && pkg-config --exists "${1#lib=}" ;;
    file=*) compgen -G "${1#file=}" >/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

# Prints the packages of the list whose need is not met.
missing_packages() {
    local items item
    read -ra items <<<"${1//$'\n'/ }" # split, but leave patterns as they are
    for item in "${items[@]}"; do
        has "${item%:*}" || echo "${item##*:}"
    done
}

# Words of several lines on one line.
join() {
    tr '\n' ' ' | sed 's/ $//'
}

# Installs all together; where the lists are old, fetches them first; where one package is unknown, the others alone.
apt_install() {
    local packages package
    read -ra packages <<<"$1"
    local -a install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
    if "${install[@]}" "${packages[@]}"; then
        return
    fi
    apt-get update -q || true
    if "${install[@]}" "${packages[@]}"; then
        return
    fi
    for package in "${packages[@]}"; do
        "${install[@]}" "$package" || say "packages: $package could not be installed; see above"
    done
}

install_packages() {
    local packages
    packages=$({
        missing_packages "$FOR_BUILD"
        missing_packages "$FOR_MORE"
        missing_packages "$FOR_TESTS"
    } | sort -u | join)
    if [ -z "$packages" ]; then
        say "packages: nothing is missing"
    elif $dry_run; then
        say "packages: would install: $packages"
    elif ! command -v apt-get >/dev/null; then
        say "packages: missing: $packages. This is no Debian or Ubuntu: install what corresponds to these"
    elif ! is_root; then
        say "packages: missing: $packages. To get them: sudo apt-get install $packages"
    else
        say "packages: installing: $packages"
        apt_install "$packages"
    fi
}

# How many pages to have: what is wanted, or what fits into half of the memory that is available beside those already there.
hugepages_target() {
    local available_kib
    available_kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    local fit=$(($1 + available_kib / 2 / 2048))
    echo $((fit < HUGEPAGES_WANTED ? fit : HUGEPAGES_WANTED))
}

reserve_hugepages() {
    if [ ! -d "$HUGEPAGES" ]; then
        say "hugepages: this kernel has none of 2 MiB; nodes run without, slower"
        return
    fi
    local total target
    total=$(cat "$HUGEPAGES/nr_hugepages")
    target=$(hugepages_target "$total")
    local command="hugeadm --pool-pages-min 2MB:$target"
    if [ "$total" -ge "$target" ]; then
        say "hugepages: $total of 2 MiB are there"
    elif $dry_run; then
        say "hugepages: would reserve $target of 2 MiB ($total are there): $command"
    elif ! is_root; then
        say "hugepages: $total of 2 MiB are there, $target would let a whole cluster use them. To get them: sudo $command"
    elif PATH=$PATH:/usr/sbin:/sbin $command; then
        say "hugepages: $(cat "$HUGEPAGES/nr_hugepages") of 2 MiB are there"
    else
        say "hugepages: could not be reserved; nodes run without, slower"
    fi
}

install_packages
reserve_hugepages
if $dry_run; then
    exit 0
fi
missing=$(missing_packages "$FOR_BUILD" | join)
if [ -n "$missing" ]; then
    say "cannot build without: $missing"
    exit 1
fi
say "ready"
