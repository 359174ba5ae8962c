# shellcheck shell=bash
# Three node processes and a client on this machine, for the scripts beside it (sourced, not run).
#
#     cluster_start LINK DURABILITY [LINE...]   LINEs go into the configuration as they are
#     cluster_place                             leader on CPU 0, everybody else on CPU 1; durable: the
#                                               leader where the disk's interrupts are
#     cluster_impair WORDS...                   pontoon impair (needs the line impair_runtime: true)
#     cluster_bench JSON ARGUMENT...            pontoon bench as client 1, result into a file
#     cluster_stop
#
# BUILD is the build directory, WORK a directory of our own on the disk to measure. LINK is memif,
# udp, or af_packet (in a namespace where veth_pairs was called: a pair for each two members).

CLUSTER_NODES=3
CLUSTER_PIDS=()
CLUSTER_LEADER=0
LEADER_CPU=0
OTHERS_CPU=$(($(nproc) > 1 ? 1 : 0))

# The CPU that nearly all interrupts of disks go to; nothing, where they are spread or not to be seen.
disk_cpu() {
    awk -v cpus="$(nproc)" '
        /virtio[0-9]+-req|virtio[0-9]+-request|nvme|ahci|megaraid|mpt[23]sas/ {
            for (cpu = 0; cpu < cpus; cpu++) { of[cpu] += $(cpu + 2); all += $(cpu + 2) }
        }
        END { for (cpu = 0; cpu < cpus; cpu++) if (of[cpu] > 0.9 * all) print cpu }' /proc/interrupts 2>/dev/null
}

# There the kernel also completes durable writes, in threads that wait for whoever polls on that CPU: one poller, not all others.
choose_cpus() {
    local durability=$1 disk
    LEADER_CPU=0
    OTHERS_CPU=$(($(nproc) > 1 ? 1 : 0))
    disk=$(disk_cpu)
    if [ "$durability" = fsync ] && [ "$disk" = "$OTHERS_CPU" ]; then
        OTHERS_CPU=$LEADER_CPU
        LEADER_CPU=$disk
    fi
}

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    local log
    say "failed: $*"
    for log in "$WORK"/node-*.log; do
        [ ! -e "$log" ] || say "$(tail -n 6 "$log" | sed "s/^/$(basename "$log"): /")"
    done
    exit 1
}

# number FILE KEY...: a value of a JSON file, by path.
number() {
    python3 -c '
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2:]:
    value = value[int(key) if isinstance(value, list) else key]
print({True: 1, False: 0}.get(value, value) if isinstance(value, bool) else value)' "$@"
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { printf "%.10g\n", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# calculate EXPRESSION: decimal, four significant digits behind the point at most.
calculate() {
    awk "BEGIN { printf \"%.10g\", $1 }"
}

# ------------------------------------------------------------------------------------------- links

# in_namespace COMMAND...: in a network namespace of its own, so that no frame leaves it.
in_namespace() {
    if [ "$(id -u)" = 0 ]; then
        unshare -n -- "$@"
    else
        # EAL takes the mapped user for root, who may write to /var/run.
        RUNTIME_DIRECTORY=${RUNTIME_DIRECTORY:-$WORK} unshare -rn -- "$@"
    fi
}

# Members are 1 to 3 (nodes) and 4 (client); veth vAB is A's end of the pair with B. Interface
# indexes are far apart, because net_af_packet makes its fan-out group of process id and index.
veth_pairs() {
    local a b number=1
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true
    ip link set lo up
    for a in 1 2 3; do
        for ((b = a + 1; b <= 4; b++)); do
            ip link add "v$a$b" index $((number << 12)) type veth peer name "v$b$a" index $(((number + 1) << 12))
            ip link set "v$a$b" up promisc on
            ip link set "v$b$a" up promisc on
            number=$((number + 2))
        done
    done
}

# veth_links MEMBER: its `links` for the configuration.
veth_links() {
    local member=$1 other nodes device=0
    echo "    links:"
    for other in 1 2 3 4; do
        if [ "$other" = "$member" ]; then
            continue
        fi
        nodes="[$other]"
        if [ "$other" = 4 ]; then
            nodes="[]"
        fi
        echo "      - {device: \"net_af_packet$device,iface=v$member$other\", nodes: $nodes}"
        device=$((device + 1))
    done
}

# ----------------------------------------------------------------------------------------- cluster

cluster_write() {
    local link=$1 durability=$2 id
    shift 2
    echo "cluster: $(($$ % 60000 + 1))"
    echo "link: $([ "$link" = af_packet ] && echo explicit || echo "$link")"
    if [ "$link" = af_packet ]; then
        echo "driver: dpdk"
    fi
    echo "durability: $durability"
    echo "app: null"
    echo "election_timeout_min: 600ms" # a starved node is not what is measured
    printf '%s\n' "$@"
    echo "nodes:"
    for ((id = 1; id <= CLUSTER_NODES; id++)); do
        echo "  - id: $id"
        echo "    directory: $WORK/node-$id"
        if [ "$link" = af_packet ]; then
            veth_links "$id"
        fi
    done
    echo "clients:"
    echo "  - id: 1"
    if [ "$link" = af_packet ]; then
        veth_links 4
    fi
}

# The leader as a majority sees it, or 0.
cluster_find_leader() {
    { "$BUILD/pontoon" status --config "$WORK/cluster.yaml" --json 2>/dev/null || true; } | python3 -c '
import collections, json, sys
try:
    nodes = json.load(sys.stdin)
except ValueError:
    nodes = []
seen = collections.Counter(group["leader"] for node in nodes for group in node.get("groups", [])[:1])
leader, votes = max(seen.items(), key=lambda item: item[1], default=(0, 0))
print(leader if votes >= 2 else 0)'
}

cluster_start() {
    local id try
    rm -rf "$WORK"/node-*
    choose_cpus "$2"
    cluster_write "$@" >"$WORK/cluster.yaml"
    CLUSTER_PIDS=()
    for ((id = 1; id <= CLUSTER_NODES; id++)); do
        env ${CLUSTER_PRELOAD:+LD_PRELOAD="$CLUSTER_PRELOAD" PONTOON_ALLOC_COUNT="$WORK/allocations-$id"} \
            "$BUILD/pontoon" node --config "$WORK/cluster.yaml" --id "$id" --bootstrap >"$WORK/node-$id.log" 2>&1 &
        CLUSTER_PIDS+=($!)
    done
    for ((try = 0; try < 200; try++)); do
        for ((id = 1; id <= CLUSTER_NODES; id++)); do
            kill -0 "${CLUSTER_PIDS[id - 1]}" 2>/dev/null || fail "node $id ended: $(tail -n 1 "$WORK/node-$id.log")"
        done
        CLUSTER_LEADER=$(cluster_find_leader)
        if [ "$CLUSTER_LEADER" != 0 ]; then
            cluster_place
            return
        fi
        sleep 0.1
    done
    fail "no leader within 20 s; see $WORK/node-*.log"
}

cluster_place() {
    local id cpu
    for ((id = 1; id <= CLUSTER_NODES; id++)); do
        cpu=$([ "$id" = "$CLUSTER_LEADER" ] && echo "$LEADER_CPU" || echo "$OTHERS_CPU")
        taskset -acp "$cpu" "${CLUSTER_PIDS[id - 1]}" >/dev/null
    done
}

# (A leader may be found before the third node's control socket is there.)
cluster_impair() {
    local try
    for ((try = 0; try < 100; try++)); do
        if "$BUILD/pontoon" impair --config "$WORK/cluster.yaml" "$@" >/dev/null 2>"$WORK/impair.err"; then
            return
        fi
        sleep 0.1
    done
    fail "pontoon impair $*: $(cat "$WORK/impair.err")"
}

cluster_bench() {
    local json=$1
    shift
    taskset -c "$OTHERS_CPU" "$BUILD/pontoon" bench --config "$WORK/cluster.yaml" --client 1 --quiet \
        --pids "$(IFS=,; echo "${CLUSTER_PIDS[*]}")" --json "$json" "$@" >&2 || fail "pontoon bench $*"
}

cluster_stop() {
    local pid
    for pid in "${CLUSTER_PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${CLUSTER_PIDS[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    CLUSTER_PIDS=()
}
