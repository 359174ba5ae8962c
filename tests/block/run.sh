#!/usr/bin/env bash
# The block volume under clients nobody here wrote: tests/block/run.sh [--long] [BUILD_DIRECTORY]
#
# Three node processes, nbdkit with our plugin, and nbdinfo, nbdcopy, fio (ioengine nbd), nbdfuse + a loop device + ext4. In most cases
# the leader is killed again and again meanwhile; after each, all replicas must have the same digest. What this machine or user cannot
# have is skipped by name. The last line is "N passed, N failed". --long: more of everything, also over memif.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

long=false
if [ "${1-}" = --long ]; then
    long=true
    shift
fi
build=$(realpath "${1:-build}")

# A network of our own: the nodes' addresses are the same in every cluster of this kind. Mounts, too.
if [ -z "${PONTOON_BLOCK_ISOLATED-}" ]; then
    options=(--net --mount)
    [ "$(id -u)" -eq 0 ] || options+=(--map-root-user)
    arguments=("$build")
    ! $long || arguments=(--long "$build")
    if unshare "${options[@]}" true 2>/dev/null; then
        PONTOON_BLOCK_ISOLATED=$(id -u) exec unshare "${options[@]}" "$0" "${arguments[@]}"
    fi
    echo "block: all cases: skipped, no namespaces here: run as root, or allow user namespaces"
    echo "1 skipped"
    echo "0 passed, 0 failed"
    exit 0
fi
ip link set lo up

readonly SPREAD=3 # seconds between deaths of the leader
passed=0
failed=0
skipped=0
why=""
directory=$(mktemp -d /var/tmp/pontoon-block-XXXXXX)
declare -A nodes=() # pid by id
servers=()
server="" # the last of them
killer=""
mounted=""
loop=""
fuse=""

say() {
    echo "block: $*"
}

# ------------------------------------------------------------------------------------------------------------------------- cluster

pontoon() {
    "$build/pontoon" "$@"
}

# end_process PID [SIGNAL]: and waits for it. It may be a child of the killer.
end_process() {
    if [ -n "$1" ] && kill "-${2:-KILL}" "$1" 2>/dev/null; then
        wait "$1" 2>/dev/null || true
        await 10 is_gone "$1" || true
    fi
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

start_node() { # ID [--bootstrap]
    local id=$1
    shift
    "$build/pontoon" node --config "$config" --id "$id" "$@" >>"$directory/node-$id.log" 2>&1 &
    nodes[$id]=$!
}

kill_node() {
    end_process "${nodes[$1]-}"
    nodes[$1]=""
}

kill_all() {
    local id
    for id in 1 2 3; do
        kill_node "$id"
    done
}

start_all() {
    local id
    for id in 1 2 3; do
        start_node "$id"
    done
}

# The id of the node that leads, and that another one follows; nothing: there is none now.
leader() {
    pontoon status --config "$config" --json 2>/dev/null | python3 -c '
import collections, json, sys
try:
    groups = [(node["node"], node["groups"][0]) for node in json.load(sys.stdin) if node.get("groups")]
except ValueError:
    sys.exit()
named = collections.Counter(group["leader"] for _, group in groups)
for node, group in groups:
    if group["role"] == "leader" and named[node] >= 2:
        print(node)'
}

# await SECONDS COMMAND...: until it succeeds.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

has_leader() {
    [ -n "$(leader)" ]
}

# open_cluster LINK DURABILITY [SIZE [BLOCK_BYTES [SETTING]]]: three nodes, and a volume of this size. $order and $log_mib, where a case
# sets them, are settings too.
open_cluster() {
    local id
    close_cluster
    rm -rf "$directory"/node-* "$directory"/socket*
    config=$directory/cluster.yaml
    socket=$directory/socket
    cat >"$config" <<YAML
link: $1
durability: $2
app: block
app_memory_mib: 256
order: ${order-strict}
log_mib: ${log_mib-64}
buffers_mib: 16
hugepages: false
${5-app_file: false}
election_timeout_min: 300ms
nodes:
  - {id: 1, directory: $directory/node-1}
  - {id: 2, directory: $directory/node-2}
  - {id: 3, directory: $directory/node-3}
clients:
  - id: 1
  - id: 2
  - id: 3
YAML
    for id in 1 2 3; do
        start_node "$id" --bootstrap
    done
    await 20 has_leader
    pontoon block create --config "$config" --client 2 --size "${3-64M}" --block-bytes "${4-4096}" >/dev/null
}

close_cluster() {
    local id
    stop_killing
    stop_server
    for id in "${!nodes[@]}"; do
        kill_node "$id"
    done
}

is_served() {
    nbdinfo --size "$uri" >/dev/null 2>&1
}

# serve [OPTION...]: nbdkit with the plugin, over client place 1. The address is in $uri.
serve() {
    uri="nbd+unix:///?socket=$socket"
    rm -f "$socket"
    "$build/pontoon" block serve --config "$config" --socket "$socket" "$@" >>"$directory/nbdkit.log" 2>&1 &
    server=$!
    servers+=("$server")
    await 20 is_served
}

stop_server() {
    local pid
    for pid in "${servers[@]}"; do
        end_process "$pid" TERM
    done
    servers=()
}

# Kills the leader every few seconds, and starts it again a moment later. Says so in $directory/deaths.
kill_leaders() {
    local victim
    trap - EXIT
    while sleep "$SPREAD"; do
        victim=$(leader)
        if [ -n "$victim" ]; then
            kill_node "$victim"
            echo "$victim" >>"$directory/deaths"
            sleep 1
            start_node "$victim"
            echo "$victim ${nodes[$victim]}" >>"$directory/births"
        fi
    done
}

# The killer is a process of its own; which nodes it started is in $directory/births.
start_killing() {
    : >"$directory/deaths"
    : >"$directory/births"
    kill_leaders &
    killer=$!
}

stop_killing() {
    local id pid
    if [ -z "$killer" ]; then
        return 0 # in a trap, a bare return would give what was before it
    fi
    await 10 is_between_deaths || true
    end_process "$killer"
    killer=""
    while read -r id pid; do
        nodes[$id]=$pid
    done <"$directory/births"
}

is_between_deaths() {
    [ "$(wc -l <"$directory/deaths")" -eq "$(wc -l <"$directory/births")" ]
}

deaths() {
    wc -l <"$directory/deaths"
}

# All replicas have the same digest.
replicas_are_equal() {
    pontoon block status --config "$config" --client 2 --timeout 30 >"$directory/status.txt" 2>&1 || {
        why="replicas: $(tail -n 1 "$directory/status.txt")"
        return 1
    }
}

# --------------------------------------------------------------------------------------------------------------------------- cases

# expect WHAT COMMAND...: it must succeed; else the case fails with its output.
expect() {
    local what=$1
    shift
    if ! "$@" >"$directory/output" 2>&1; then
        why="$what: $(tail -n 3 "$directory/output" | tr '\n' ' ')"
        return 1
    fi
}

# refuses STATUS TEXT COMMAND...: exit status and one line with that text.
refuses() {
    local status=0 wanted=$1 text=$2
    shift 2
    "$@" >"$directory/output" 2>&1 || status=$?
    if [ "$status" -ne "$wanted" ] || ! grep -qF "$text" "$directory/output"; then
        why="$*: status $status: $(tail -n 1 "$directory/output")"
        return 1
    fi
}

# answers ERROR_NUMBER REQUEST...: a raw request is answered with it.
answers() {
    local wanted=$1 got
    shift
    got=$(timeout 90 python3 tests/block/raw_nbd.py "$socket" "$@" 2>&1) || true
    if [ "$got" != "$wanted" ]; then
        why="$*: answered $got, not $wanted"
        return 1
    fi
}

server_says() {
    grep -qF "$1" "$directory/nbdkit.log" || {
        why="nbdkit did not say: $1"
        return 1
    }
}

info_says() {
    local line
    expect nbdinfo nbdinfo "$uri" || return 1
    for line in "$@"; do
        grep -qF "$line" "$directory/output" || {
            why="nbdinfo does not say: $line"
            return 1
        }
    done
}

case_durable_volume_tells_what_it_can() {
    open_cluster udp fsync 64M 4096 && serve &&
        info_says "export-size: 67108864" "can_flush: true" "can_fua: true" "can_multi_conn: true" "can_trim: true" \
            "can_zero: true" "can_fast_zero: true" "block_size_minimum: 4096" &&
        answers 0 write 8192 4096 1 && answers 0 write 33554432 4096 1 && maps_only_what_was_written
}

maps_only_what_was_written() {
    local map
    map=$(nbdinfo --map "$uri" | awk '{ print $1, $2, $3 }' | tr '\n' ';')
    [ "$map" = "0 8192 3;8192 4096 0;12288 33542144 3;33554432 4096 0;33558528 33550336 3;" ] || {
        why="nbdinfo --map: $map"
        return 1
    }
}

case_memory_volume_promises_no_flush() {
    open_cluster udp memory 64M 512 && serve &&
        info_says "can_flush: false" "can_fua: false" "can_multi_conn: true" "can_trim: true" "block_size_minimum: 512" &&
        expect "zeroes" nbdcopy -- [ nbdkit --exit-with-parent pattern 1M ] "$uri" && replicas_are_equal
}

case_bad_input_is_refused_with_the_reason() {
    open_cluster udp fsync 64M 4096 && serve &&
        answers 22 write 512 4096 && server_says "4096 bytes at 512: not at the boundary of a block of 4096 bytes" &&
        answers 22 write 0 1000 && answers 22 read 4096 100 && answers 22 zero 1 4096 &&
        answers 28 write 67108864 4096 && answers 28 write 67104768 8192 && answers 22 read 67108864 4096 &&
        answers 0 write 67104768 4096 7 && answers 0 read 67104768 4096 7 && answers 0 zero 67104768 4096 &&
        answers 0 read 67104768 4096 0 &&
        refuses 1 "another geometry" pontoon block create --config "$config" --client 2 --size 128M &&
        refuses 1 "another geometry" pontoon block create --config "$config" --client 2 --size 64M --block-bytes 512 &&
        refuses 2 "give a multiple of 4096" pontoon block create --config "$config" --client 2 --size 5000 &&
        refuses 2 "give a multiple of 512" pontoon block create --config "$config" --client 2 --size 100T --block-bytes 512 &&
        refuses 2 "the configuration has 1" pontoon block create --config "$config" --client 2 --size 1M --group 1 &&
        replicas_are_equal
}

is_long() {
    why="only with --long"
    $long
}

# copy_while_leaders_die LINK: images there and back, until enough leaders were killed.
copy_while_leaders_die() {
    local wanted=2
    ! $long || wanted=20
    open_cluster "$1" fsync 64M 4096 && serve && start_killing || return 1
    while [ "$(deaths)" -lt "$wanted" ]; do
        head -c 64M /dev/urandom >"$directory/image"
        expect "nbdcopy to the volume" timeout 120 nbdcopy "$directory/image" "$uri" &&
            expect "nbdcopy from the volume" timeout 120 nbdcopy "$uri" "$directory/back" &&
            expect "compare" cmp "$directory/image" "$directory/back" || return 1
    done
    stop_killing
    replicas_are_equal
}

case_nbdcopy_both_ways_while_leaders_die() {
    is_long || return 77
    copy_while_leaders_die udp
}

case_nbdcopy_of_a_parallel_volume_while_leaders_die() {
    local order=parallel
    copy_while_leaders_die udp
}

case_memif_volume_is_copied_while_leaders_die() {
    is_long || return 77
    copy_while_leaders_die memif
}

# A follower that misses more than the log holds is given the volume whole. What was zeroed meanwhile is zero there, too.
case_replica_that_was_away_catches_up() {
    local away=1 log_mib=32
    open_cluster udp fsync 32M 4096 "apply_workers: 1" && serve || return 1
    head -c 32M /dev/urandom >"$directory/image"
    expect "nbdcopy to the volume" timeout 60 nbdcopy "$directory/image" "$uri" || return 1
    [ "$(leader)" != "$away" ] || away=2
    kill_node "$away"
    expect "nbdcopy to the volume" timeout 60 nbdcopy "$directory/image" "$uri" &&
        expect "nbdcopy to the volume" timeout 60 nbdcopy "$directory/image" "$uri" &&
        answers 0 zero 0 16777216 || return 1
    start_node "$away"
    replicas_are_equal && grep -q " 8192 blocks of 4096 bytes, 4096 used" "$directory/status.txt"
}

fio_has_nbd() {
    command -v fio >/dev/null && fio --enghelp 2>/dev/null | grep -qw nbd
}

case_fio_verifies_while_leaders_die() {
    verify_while_leaders_die
}

case_fio_verifies_a_parallel_volume_while_leaders_die() {
    local order=parallel
    verify_while_leaders_die
}

verify_while_leaders_die() {
    fio_has_nbd || {
        why="fio with its nbd engine is not installed"
        return 77
    }
    local seconds=8
    ! $long || seconds=120
    open_cluster udp fsync 128M 4096 && serve && start_killing || return 1
    expect "fio" timeout $((seconds * 4 + 60)) fio --name=verify --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --iodepth=32 \
        --size=128M --io_size=4G --time_based --runtime="$seconds" --verify=crc32c --verify_fatal=1 --do_verify=1 \
        --verify_backlog=1024 --verify_state_save=0 --output-format=normal || return 1
    [ "$(deaths)" -ge $((seconds / SPREAD / 2)) ] || {
        why="only $(deaths) deaths"
        return 1
    }
    say "fio: $(grep -E '^ +write: ' "$directory/output" | sed 's/^ *//'), $(deaths) leaders killed"
    stop_killing
    replicas_are_equal
}

leave_file_system() {
    if [ -n "$mounted" ]; then
        umount "$directory/mounted" || return 1
        mounted=""
    fi
}

close_device() {
    umount --lazy "$directory/mounted" 2>/dev/null || true
    mounted=""
    if [ -n "$loop" ]; then
        losetup --detach "$loop" || true
        loop=""
    fi
    if [ -n "$fuse" ]; then
        umount --lazy "$directory/device" 2>/dev/null || true
        end_process "$fuse" TERM
        fuse=""
    fi
}

# A file system in the volume, through the kernel: NBD -> fuse file -> loop device -> ext4.
case_ext4_holds_a_tree_while_leaders_die() {
    local source=engine tool
    ! $long || source=/usr/include
    if [ "$PONTOON_BLOCK_ISOLATED" -ne 0 ] || [ ! -c /dev/fuse ] || [ ! -c /dev/loop-control ]; then
        why="loop devices and fuse need root, /dev/fuse and /dev/loop-control"
        return 77
    fi
    for tool in nbdfuse losetup mkfs.ext4 e2fsck; do
        command -v "$tool" >/dev/null || {
            why="$tool is not installed"
            return 77
        }
    done
    mkdir -p "$directory/mounted"
    : >"$directory/device"
    open_cluster udp fsync 192M 512 "app_file: true" && serve || return 1
    nbdfuse "$directory/device" "$uri" >>"$directory/nbdfuse.log" 2>&1 &
    fuse=$!
    await 10 has_bytes "$directory/device" || return 1
    loop=$(losetup --find --show "$directory/device") || {
        loop=""
        why="no loop device to be had"
        return 77
    }
    start_killing
    expect "mkfs.ext4" mkfs.ext4 -q "$loop" && expect "mount" mount "$loop" "$directory/mounted" || return 1
    mounted=yes
    while [ "$(deaths)" -lt 2 ]; do
        expect "copy" cp -a "$source" "$directory/mounted/tree" && expect "sync" sync -f "$directory/mounted" || return 1
        expect "remount" remount && expect "compare" diff -r --no-dereference "$source" "$directory/mounted/tree" || return 1
        expect "delete" rm -rf "$directory/mounted/tree" && expect "trim" fstrim "$directory/mounted" || return 1
    done
    expect "copy" cp -a "$source" "$directory/mounted/tree" || return 1
    expect "unmount" leave_file_system || return 1
    expect "e2fsck" e2fsck -fn "$loop" || return 1
    stop_killing
    close_device
    replicas_are_equal
}

remount() {
    umount "$directory/mounted" && echo 3 >/proc/sys/vm/drop_caches && mount "$loop" "$directory/mounted"
}

has_bytes() {
    [ "$(stat -c %s "$1")" -gt 0 ]
}

# A server killed in the middle and started anew serves what was answered; checkpoints and recovery carry it over the death of all.
case_what_was_answered_outlives_server_and_nodes() {
    open_cluster udp fsync 64M 4096 "app_file: true" && serve && answers 0 write 8192 4096 9 || return 1
    end_process "$server"
    kill_all
    start_all
    await 20 has_leader && serve && answers 0 read 8192 4096 9 && answers 0 write 4096 4096 3 &&
        answers 0 read 4096 4096 3 && replicas_are_equal
}

# The server that was started last writes; the former is told so, and still reads.
case_former_server_is_fenced() {
    local first first_socket
    open_cluster udp fsync 64M 4096 && serve && answers 0 write 0 4096 1 || return 1
    first=$server
    first_socket=$socket
    socket=$directory/socket-2
    serve --client 3 && answers 0 write 0 4096 2 || return 1
    socket=$first_socket
    answers 1 write 0 4096 3 && server_says "another server has attached" && answers 0 read 0 4096 2 || return 1
    end_process "$first" TERM
    socket=$directory/socket-2
    answers 0 write 0 4096 4 && replicas_are_equal
}

# Without a majority requests wait. They go on when there is one again, fail in the time that was set, or end with the server.
case_requests_are_held_and_bounded() {
    local began held=""
    open_cluster udp fsync 64M 4096 && serve --hold 30 || return 1
    kill_all
    python3 tests/block/raw_nbd.py "$socket" write 0 4096 5 >"$directory/held" 2>&1 &
    held=$!
    sleep 3
    kill -0 "$held" || {
        why="it did not wait: $(cat "$directory/held")"
        return 1
    }
    start_all
    wait "$held" || true
    [ "$(cat "$directory/held")" = 0 ] || {
        why="held write: $(cat "$directory/held")"
        return 1
    }
    answers 0 read 0 4096 5 || return 1
    stop_server
    serve --hold 2 || return 1
    kill_all
    began=$SECONDS
    answers 5 write 0 4096 6 && server_says "no answer in time" && is_quick "$began" 6 || return 1
    start_all
    await 20 has_leader && answers 0 write 4096 4096 7 && answers 0 read 4096 4096 7 && replicas_are_equal || return 1
    stop_server
    serve --hold 0 || return 1
    kill_all
    python3 tests/block/raw_nbd.py "$socket" write 0 4096 8 >"$directory/held" 2>&1 &
    held=$!
    sleep 1
    began=$SECONDS
    end_process "$server" TERM
    wait "$held" || true
    is_quick "$began" 3 && server_says "given up: the connection or the server ends"
}

# is_quick BEGAN SECONDS: it did not take longer than that.
is_quick() {
    [ $((SECONDS - $1)) -le "$2" ] || {
        why="it took $((SECONDS - $1)) s"
        return 1
    }
}

# ----------------------------------------------------------------------------------------------------------------------------- run

clean_up() {
    stop_killing
    close_device
    close_cluster
    if [ -n "${PONTOON_KEEP-}" ]; then
        say "files are in $directory"
    else
        rm -rf "$directory"
    fi
}

run_case() {
    local name=${1#case_} status=0 began=$SECONDS
    why=""
    : >"$directory/nbdkit.log"
    "$1" || status=$?
    stop_killing
    close_device
    case $status in
    0)
        say "$name: ok ($((SECONDS - began)) s)"
        passed=$((passed + 1))
        ;;
    77)
        say "$name: skipped: $why"
        skipped=$((skipped + 1))
        ;;
    *)
        say "$name: FAILED: ${why:-at status $status}"
        tail -n 5 "$directory/nbdkit.log" "$directory"/node-*.log 2>/dev/null || true
        failed=$((failed + 1))
        ;;
    esac
}

trap clean_up EXIT
why_not=""
[ -e "$build/drivers/nbdkit/nbdkit-pontoon-plugin.so" ] || why_not="the plugin was not built: nbdkit-plugin-dev is missing"
for tool in nbdkit nbdinfo nbdcopy; do
    command -v "$tool" >/dev/null || why_not="$tool is not installed (nbdkit, libnbd-bin)"
done
if [ -n "$why_not" ]; then
    say "all cases: skipped, $why_not"
    echo "1 skipped"
    echo "0 passed, 0 failed"
    exit 0
fi
cases=$(declare -F | sed -n 's/^declare -f \(case_.*\)/\1/p')
for name in $cases; do
    if [[ $name == *"${PONTOON_BLOCK_CASE-}"* ]]; then
        run_case "$name"
    fi
done
if [ "$skipped" -gt 0 ]; then
    echo "$skipped skipped"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
