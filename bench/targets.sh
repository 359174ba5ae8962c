#!/usr/bin/env bash
# The targets, measured: three node processes and a client on two CPUs, each target with its
# reference in the same run. One line each on stdout, progress on stderr:
#
#     NAME value=NUMBER unit=UNIT target=NUMBER limit=NUMBER ratio=NUMBER [KEY=VALUE...] ok|short
#
# value and target are in the unit; limit is the reference measured beside it (0: there is none).
# Where rounds compare value and limit, ratio decides: the median of each round's own value / limit
# (rounds.sh), wanted_ratio beside it. Elsewhere value decides, and ratio is value / limit. The exit
# status is not 0 only when something could not be measured.
#
#     bench/targets.sh [--list] [NAME...]
#
# PONTOON_BUILD      build directory of the release profile (default: build)
# PONTOON_BENCH_DIR  directory on the disk to measure (default: /var/tmp)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TARGETS=(rate-64 rate-256 rate-4k latency-memif latency-afpacket fsync-4k fsync-64 fsync-latency
    loss-strict order-depth1 order-loss1 order-tail order-loss5 order-slow order-fsync order-tail-virtual order-loss5-virtual
    steady-alloc instructions-64)

describe() {
    cat <<'LIST'
rate-64            committed, applied and answered a second, 64 bytes, volatile, memif, p99 <= 5 ms: >= 3 million
rate-256           the same with 256 bytes: >= 2 million
rate-4k            the same with 4 KiB: >= 250 thousand
latency-memif      one in flight, volatile, median at the client: <= 3 x the raw chain on memif
latency-afpacket   the same over af_packet on veth pairs: <= 2 x the raw chain there
fsync-4k           payload bytes written on all three, 4 KiB, deep: >= 60 % of three plain writers
fsync-64           committed a second, 64 bytes, durable, deep: >= 1 million
fsync-latency      one in flight, durable, median at the client: <= 1.3 x a 4 KiB durable write by three writers
loss-strict        1 % loss and 20 us one way between nodes, depth 32: >= 75 % of its rate without the loss
order-depth1       parallel against strict, one in flight, no loss, 20 us one way, 4 KiB: median <= 1.03 x
order-loss1        parallel, 1 % loss and 20 us one way between nodes, depth 32, 4 KiB: >= 95 % of its rate
                   without the loss, and p99 <= 1.5 x
order-tail         the same, parallel against strict: p99 <= 0.6 x
order-loss5        the same with 5 % loss: rate >= 1.5 x
order-slow         parallel, a follower 100 x further away: p99 <= 2 x
order-fsync        parallel against strict, durable, each entry its own write, depth 32: rate >= 1 x (the goal is 2 x)
order-tail-virtual, order-loss5-virtual
                   order-tail and order-loss5 in virtual time, where nobody waits for a CPU
steady-alloc       malloc, rte_malloc and mmap of three nodes within three seconds under load: 0
instructions-64    instructions of a 64-byte entry at the leader and at a follower, together: <= 1141, what was
                   written down last and 3 % (the goal is 600 + 300)
LIST
}

case ${1:-} in
--help | -h)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d'
    exit 0
    ;;
--list)
    describe
    exit 0
    ;;
esac

# shellcheck source=bench/cluster.sh
. bench/cluster.sh
# shellcheck source=bench/rounds.sh
. bench/rounds.sh

BUILD=${PONTOON_BUILD:-build}
ROUNDS=5       # of runs that are compared
FSYNC_ROUNDS=2 # beside writers that take four seconds
for name in "$@"; do
    [[ " ${TARGETS[*]} " == *" $name "* ]] || fail "there is no target '$name' (see --list)"
done
for program in pontoon bench/raw_chain bench/raw_cores bench/raw_writers bench/bench_instructions bench/bench_order; do
    [ -x "$BUILD/$program" ] || fail "$BUILD/$program is missing: run config/build.sh release, or set PONTOON_BUILD"
done

WORK=$(mktemp -d "${PONTOON_BENCH_DIR:-/var/tmp}/pontoon-targets.XXXXXX")
trap 'cluster_stop; rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM

# CPUs that others keep busy, looked at while nothing of ours runs: above a few per cent, no rate and
# no latency of the run means anything, `ok` as little as `short`.
OTHERS_BUSY=0
look_at_others() {
    local before after
    before=$(awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $5 + $6 }' /proc/stat)
    sleep 1
    after=$(awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $5 + $6 }' /proc/stat)
    OTHERS_BUSY=$(echo "$before $after" | awk -v cpus="$(nproc)" '{ b = $3 - $1; i = $4 - $2; printf "%.2f", b + i == 0 ? 0 : cpus * b / (b + i) }')
    if awk "BEGIN { exit !($OTHERS_BUSY > 0.1) }"; then
        say "others keep $OTHERS_BUSY CPUs busy: rates and latencies of this run mean nothing"
    fi
}

# verdict VALUE RELATION TARGET; RELATION: ge or le.
verdict() {
    awk -v v="$1" -v r="$2" -v t="$3" 'BEGIN { print (r == "ge" ? v >= t : v <= t) ? "ok" : "short" }'
}

# report_line NAME VALUE UNIT TARGET LIMIT RATIO VERDICT [KEY=VALUE...]. A last argument `short` makes it so whatever the numbers.
report_line() {
    local name=$1 value=$2 unit=$3 target=$4 limit=$5 ratio=$6 verdict=$7
    shift 7
    if [ "${*: -1}" = short ]; then
        verdict=short
        set -- "${@:1:$#-1}"
    fi
    echo "$name value=$value unit=$unit target=$target limit=$limit ratio=$ratio${*:+ $*} others_busy_cpus=$OTHERS_BUSY $verdict"
}

# report NAME VALUE UNIT RELATION TARGET LIMIT [KEY=VALUE...] [short]: the value decides.
report() {
    local ratio
    ratio=$(awk -v v="$2" -v l="$6" 'BEGIN { printf "%.3f", l == 0 ? 0 : v / l }')
    report_line "$1" "$2" "$3" "$5" "$6" "$ratio" "$(verdict "$2" "$4" "$5")" "${@:7}"
}

# report_rounds NAME KEY UNIT DECIMALS RELATION FACTOR OF [KEY=VALUE...] [short]: the median ratio of the rounds' samples KEY and OF
# decides; the medians of both are printed.
report_rounds() {
    local name=$1 key=$2 unit=$3 decimals=$4 relation=$5 factor=$6 of=$7 limit ratio
    limit=$(round "$(rounds_median "$of")" "$decimals")
    ratio=$(round "$(rounds_ratio "$key" "$of")" 3)
    report_line "$name" "$(round "$(rounds_median "$key")" "$decimals")" "$unit" "$(round "$(calculate "$factor * $limit")" "$decimals")" \
        "$limit" "$ratio" "$(verdict "$ratio" "$relation" "$factor")" "wanted_ratio=$factor" "$(rounds_words)" "${@:8}"
}

round() {
    awk -v v="$1" -v d="${2:-0}" 'BEGIN { printf "%.*f", d, v }'
}

# --------------------------------------------------------------------------------------------- rate

# rate NAME SIZE TARGET DEPTH...: the fastest depth that keeps p99 within 5 ms counts; without one,
# the fastest at all, short.
rate() {
    local name=$1 size=$2 target=$3 depth round best=0 best_json="" any=0 any_json="" json
    local -A core_ns others
    shift 3
    cluster_start memif memory
    for round in 1 2; do
        for depth in "$@"; do
            json=$WORK/rate-$depth-$round.json
            round_begin
            looked cluster_bench "$json" --depth "$depth" --size "$size" --seconds 3
            core_ns[$json]=$(round_core_ns) others[$json]=$(round_others_cpus)
            say "$name: depth $depth: $(round "$(number "$json" rate)") a second, p99 $(round "$(number "$json" latency_us p99)") us"
            if awk "BEGIN { exit !($(number "$json" rate) > $any) }"; then
                any=$(number "$json" rate) any_json=$json
            fi
            if awk "BEGIN { exit !($(number "$json" latency_us p99) <= 5000 && $(number "$json" rate) > $best) }"; then
                best=$(number "$json" rate) best_json=$json
            fi
        done
    done
    cluster_stop
    json=${best_json:-$any_json}
    local late=()
    [ -n "$best_json" ] || late=(short)
    report "$name" "$(round "$(number "$json" rate)")" ops/s ge "$target" 0 \
        "depth=$(number "$json" depth)" \
        "p50_us=$(round "$(number "$json" latency_us p50)" 1)" \
        "p99_us=$(round "$(number "$json" latency_us p99)" 1)" \
        "nodes_busy_s_per_million=$(round "$(number "$json" nodes_busy_s_per_million)" 3)" \
        "nodes_cpu_s_per_million=$(round "$(number "$json" nodes_cpu_s_per_million)" 3)" \
        "client_cpu_s_per_million=$(round "$(number "$json" client_cpu_s_per_million)" 3)" \
        "nodes_memory_mib=$(round "$(calculate "$(number "$json" nodes_memory_bytes) / 1048576")")" \
        "applied_on_every_replica=$(number "$json" applied_on_every_replica)" \
        "core_round_trip_ns=${core_ns[$json]}" "others_cpus=${others[$json]}" "durability=memory order=strict" "${late[@]}"
}

# ------------------------------------------------------------------------------------------ latency

# chain LINK: fills WORK/chain.json.
chain() {
    "$BUILD/bench/raw_chain" --link "$1" --size 64 --seconds 2 --json "$WORK/chain.json" >/dev/null || fail "raw_chain"
}

# The leader's own view: from accepting an entry to its answer being with the driver; the median of the whole run, asked for
# when it is over.
leader_view_us() {
    "$BUILD/pontoon" status --config "$WORK/cluster.yaml" --id "$CLUSTER_LEADER" --json >"$WORK/status.json" || fail "pontoon status"
    calculate "$(number "$WORK/status.json" 0 reactors 0 answer_ns p50) / 1000"
}

# lone JSON LINK DURABILITY: a fresh cluster, one in flight. Fills the file and LEADER_VIEW.
LEADER_VIEW=0
lone() {
    local json=$1
    shift
    cluster_start "$@"
    looked cluster_bench "$json" --depth 1 --size 64 --seconds 2
    LEADER_VIEW=$(leader_view_us)
    cluster_stop
}

# latency_round NAME LINK
latency_round() {
    looked chain "$2"
    lone "$WORK/lone.json" "$2" memory
    round_note chain "$(number "$WORK/chain.json" median_us)"
    round_note p50 "$(number "$WORK/lone.json" latency_us p50)"
    round_note p99 "$(number "$WORK/lone.json" latency_us p99)"
    round_note view "$LEADER_VIEW"
    say "$1: chain $(number "$WORK/chain.json" median_us) us, cluster $(number "$WORK/lone.json" latency_us p50) us at the client, $LEADER_VIEW us at the leader"
}

# latency NAME LINK FACTOR
latency() {
    local name=$1 link=$2 factor=$3 udp
    rounds_run "$ROUNDS" latency_round "$name" "$link"
    round_begin
    lone "$WORK/udp.json" udp memory
    udp=$(number "$WORK/udp.json" latency_us p50)
    say "$name: over net_udp $udp us"
    report_rounds "$name" p50 us 2 le "$factor" chain \
        "p99_us=$(round "$(rounds_median p99)" 2)" \
        "leader_us=$(round "$(rounds_median view)" 2)" \
        "udp_us=$(round "$udp" 2)" "udp_leader_us=$(round "$LEADER_VIEW" 2)" "udp_core_ns=$(round_core_ns)" \
        "durability=memory order=strict depth=1"
}

# This script again, in a namespace with veth pairs.
latency_afpacket() {
    if [ "${PONTOON_BENCH_NAMESPACE:-}" = ours ]; then
        veth_pairs
        latency latency-afpacket af_packet 2
    else
        PONTOON_BENCH_NAMESPACE=ours in_namespace bench/targets.sh latency-afpacket
    fi
}

# -------------------------------------------------------------------------------------------- fsync

# writers BYTES DEPTH FIELD
writers() {
    "$BUILD/bench/raw_writers" --directory "$WORK" --writers 3 --bytes "$1" --depth "$2" --seconds 1 \
        --file-mib 64 --json "$WORK/writers.json" >/dev/null || fail "raw_writers"
    number "$WORK/writers.json" "$3"
}

# Megabytes a second of three plain writers, the best size.
best_writers() {
    local best=0 bytes rate
    for bytes in 4096 16384 65536 262144; do
        rate=$(writers "$bytes" 16 mb_s)
        say "three plain writers of $bytes bytes: $rate MB/s"
        best=$(awk -v a="$best" -v b="$rate" 'BEGIN { print (a > b ? a : b) }')
    done
    echo "$best"
}

# fsync_round SIZE DEPTH: fills WORK/fsync.json.
fsync_round() {
    local size=$1 depth=$2
    round_note writers_mb_s "$(best_writers)"
    cluster_start memif fsync
    looked cluster_bench "$WORK/fsync.json" --depth "$depth" --size "$size" --seconds 4
    cluster_stop
    round_note rate "$(number "$WORK/fsync.json" rate)"
    round_note mb_s "$(calculate "$(number "$WORK/fsync.json" rate) * $size * 3 / 1e6")"
    say "fsync, $size bytes: $(round "$(number "$WORK/fsync.json" rate)") a second"
}

fsync_extras() {
    echo "p50_us=$(round "$(number "$WORK/fsync.json" latency_us p50)" 1)" \
        "p99_us=$(round "$(number "$WORK/fsync.json" latency_us p99)" 1)" \
        "nodes_cpu_s_per_million=$(round "$(number "$WORK/fsync.json" nodes_cpu_s_per_million)" 3)" \
        "applied_on_every_replica=$(number "$WORK/fsync.json" applied_on_every_replica)" \
        "durability=fsync order=strict depth=$(number "$WORK/fsync.json" depth)"
}

fsync_4k() {
    rounds_run "$FSYNC_ROUNDS" fsync_round 4096 1024
    report_rounds fsync-4k mb_s MB/s 1 ge 0.6 writers_mb_s "ops_s=$(round "$(rounds_median rate)")" "$(fsync_extras)"
}

# The limit: what the plain writers' bytes are in payloads of 64 bytes, three times each.
fsync_64() {
    rounds_run "$FSYNC_ROUNDS" fsync_round 64 65536
    report fsync-64 "$(round "$(rounds_median rate)")" ops/s ge 1000000 \
        "$(round "$(calculate "$(rounds_median writers_mb_s) * 1e6 / 192")")" "$(rounds_words)" "$(fsync_extras)"
}

fsync_latency_round() {
    round_note writers "$(writers 4096 1 p50_us)"
    lone "$WORK/lone.json" memif fsync
    round_note p50 "$(number "$WORK/lone.json" latency_us p50)"
    round_note p99 "$(number "$WORK/lone.json" latency_us p99)"
    say "fsync-latency: three writers $(number "$WORK/writers.json" p50_us) us, cluster $(number "$WORK/lone.json" latency_us p50) us at the client"
}

fsync_latency() {
    rounds_run "$ROUNDS" fsync_latency_round
    report_rounds fsync-latency p50 us 1 le 1.3 writers "p99_us=$(round "$(rounds_median p99)" 1)" \
        "durability=fsync order=strict depth=1"
}

# --------------------------------------------------------------------------------------------- loss

# impaired KEY LOSS_PPM: every frame between nodes is delayed, and lost by chance, where it leaves. Notes KEY.rate and KEY.p99.
impaired() {
    cluster_start memif memory "impair:" "  - {at: 0, node: 0, direction: out, loss_ppm: $2, delay: 20us}"
    looked cluster_bench "$WORK/loss.json" --depth 32 --size 64 --seconds 2
    cluster_stop
    round_note "$1.rate" "$(number "$WORK/loss.json" rate)"
    round_note "$1.p99" "$(number "$WORK/loss.json" latency_us p99)"
    say "loss-strict: $1: $(round "$(number "$WORK/loss.json" rate)") a second"
}

loss_round() {
    impaired whole 0
    impaired lossy 10000
}

loss_strict() {
    rounds_run "$ROUNDS" loss_round
    report_rounds loss-strict lossy.rate ops/s 0 ge 0.75 whole.rate \
        "p99_us=$(round "$(rounds_median lossy.p99)" 1)" "p99_without_us=$(round "$(rounds_median whole.p99)" 1)" \
        "durability=memory order=strict depth=32"
}

# ------------------------------------------------------------------------------- strict, parallel

# order_start ORDER DURABILITY [LINE...]: a fresh cluster whose links are 20 us long and carry frames of ordinary Ethernet: three for
# a write.
order_start() {
    local order=$1 durability=$2
    shift 2
    cluster_start memif "$durability" "order: $order" "impair_runtime: true" "frame_bytes: 1472" "$@"
    cluster_impair out delay=20us
}

# Loss on every link between nodes, where a frame leaves.
order_lose() {
    cluster_impair out delay=20us "loss_ppm=$1"
}

# order_bench KEY [DEPTH]: writes of 4 KiB under random keys. Notes KEY.rate, KEY.p50 and KEY.p99.
order_bench() {
    local key=$1 json=$WORK/order.json
    looked cluster_bench "$json" --depth "${2:-32}" --size 4096 --conflicts 0 --seconds 2
    round_note "$key.rate" "$(number "$json" rate)"
    round_note "$key.p50" "$(number "$json" latency_us p50)"
    round_note "$key.p99" "$(number "$json" latency_us p99)"
    say "$key: $(round "$(number "$json" rate)") a second, p50 $(number "$json" latency_us p50) us, p99 $(number "$json" latency_us p99) us"
}

order_medians() {
    local key
    for key in "$@"; do
        echo "${key}_ops_s=$(round "$(rounds_median "$key.rate")") ${key}_p50_us=$(round "$(rounds_median "$key.p50")" 1)" \
            "${key}_p99_us=$(round "$(rounds_median "$key.p99")" 1)"
    done | xargs
}

# order_run ORDER LOSS_PPM DEPTH DURABILITY [LINE...]: on a fresh cluster.
order_run() {
    local order=$1 loss_ppm=$2 depth=$3 durability=$4
    shift 4
    order_start "$order" "$durability" "$@"
    order_lose "$loss_ppm"
    order_bench "$order" "$depth"
    cluster_stop
}

# Every other round begins with parallel, so that what drifts favours neither.
order_round() {
    local orders=(strict parallel) order
    ((ROUND % 2 == 1)) || orders=(parallel strict)
    for order in "${orders[@]}"; do
        order_run "$order" "$@"
    done
}

# order_compare NAME KIND UNIT RELATION FACTOR LOSS_PPM DEPTH DURABILITY [LINE...]: strict and parallel. KIND is what decides: rate,
# p50 or p99; strict is the limit.
order_compare() {
    local name=$1 kind=$2 unit=$3 relation=$4 factor=$5
    shift 5
    rounds_run "$ROUNDS" order_round "$@"
    report_rounds "$name" "parallel.$kind" "$unit" 1 "$relation" "$factor" "strict.$kind" "$(order_medians strict parallel)" \
        "loss_ppm=$1" "depth=$2" "durability=$3"
}

# order_disturb COMMAND...: parallel, calm and then disturbed by the command, on one cluster.
order_disturb() {
    order_start parallel memory
    order_bench calm
    "$@"
    order_bench disturbed
    cluster_stop
}

order_loss1() {
    local p99_ratio late=()
    rounds_run "$ROUNDS" order_disturb order_lose 10000
    p99_ratio=$(round "$(rounds_ratio disturbed.p99 calm.p99)" 3)
    [ "$(verdict "$p99_ratio" le 1.5)" = ok ] || late=(short)
    report_rounds order-loss1 disturbed.rate ops/s 1 ge 0.95 calm.rate "p99_ratio=$p99_ratio" "$(order_medians calm disturbed)" \
        "depth=32 durability=memory order=parallel" "${late[@]}"
}

order_slow_follower() {
    cluster_impair peer $((CLUSTER_LEADER % CLUSTER_NODES + 1)) both delay=2ms
}

order_slow() {
    rounds_run "$ROUNDS" order_disturb order_slow_follower
    report_rounds order-slow disturbed.p99 us 1 le 2 calm.p99 "$(order_medians calm disturbed)" \
        "depth=32 durability=memory order=parallel"
}

# order_virtual NAME KIND UNIT RELATION FACTOR LOSS_PPM: bench_order's figure of the kind; strict is the limit.
order_virtual() {
    local name=$1 kind=$2 unit=$3 relation=$4 factor=$5 loss_ppm=$6 order figure figures=()
    "$BUILD/bench/bench_order" --loss-ppm "$loss_ppm" --json "$WORK/virtual.json" >/dev/null || fail "bench_order"
    for order in strict parallel; do
        for figure in rate p50_us p99_us; do
            figures+=("${order}_$figure=$(number "$WORK/virtual.json" "${order}_$figure")")
        done
    done
    local limit
    limit=$(number "$WORK/virtual.json" "strict_$kind")
    report "$name" "$(number "$WORK/virtual.json" "parallel_$kind")" "$unit" "$relation" \
        "$(round "$(calculate "$factor * $limit")" 1)" "$limit" "${figures[@]}" "loss_ppm=$loss_ppm" "depth=32"
}

# -------------------------------------------------------------------------------------- allocations

# Sums of a node's counters: malloc and its relatives, mmap, rte_malloc.
allocations() {
    local id
    for id in 1 2 3; do
        od -An -v -t u8 -w48 "$WORK/allocations-$id" | awk '{ print $1 + $2 + $3 + $4, $5, $6 }'
    done | awk '{ m += $1; p += $2; r += $3 } END { print m, p, r }'
}

# Between the two looks nobody asks a node for its status: that would allocate the answer.
steady_alloc() {
    local before after bench_pid
    [ -e "$BUILD/bench/alloc_count.so" ] || fail "$BUILD/bench/alloc_count.so is missing"
    CLUSTER_PRELOAD=$(realpath "$BUILD/bench/alloc_count.so")
    cluster_start memif memory
    CLUSTER_PRELOAD=
    cluster_bench "$WORK/alloc.json" --depth 4096 --size 64 --seconds 7 &
    bench_pid=$!
    sleep 5
    read -ra before <<<"$(allocations)"
    sleep 3
    read -ra after <<<"$(allocations)"
    wait "$bench_pid" || fail "pontoon bench"
    cluster_stop
    [ "${before[0]}" -gt 0 ] || fail "the shim counted nothing: is LD_PRELOAD honoured?"
    report steady-alloc $((after[0] - before[0] + after[1] - before[1] + after[2] - before[2])) \
        allocations le 0 0 "malloc=$((after[0] - before[0]))" "mmap=$((after[1] - before[1]))" \
        "rte_malloc=$((after[2] - before[2]))" "at_start=$((before[0] + before[1] + before[2]))" \
        "ops_s=$(round "$(number "$WORK/alloc.json" rate)")"
}

# ------------------------------------------------------------------------------------- instructions

instructions_64() {
    local leader follower
    read -r leader follower <<<"$(bench/instructions.sh --numbers "$BUILD" "$WORK")"
    [ -n "$follower" ] || fail "instructions.sh"
    report instructions-64 $((leader + follower)) instructions/entry le 1141 0 "leader=$leader" "follower=$follower" goal=900
}

# ---------------------------------------------------------------------------------------------- run

run_one() {
    case $1 in
    rate-64) rate rate-64 64 3000000 4096 8192 12288 ;;
    rate-256) rate rate-256 256 2000000 2048 4096 8192 ;;
    rate-4k) rate rate-4k 4096 250000 256 512 1024 ;;
    latency-memif) latency latency-memif memif 3 ;;
    latency-afpacket) latency_afpacket ;;
    fsync-4k) fsync_4k ;;
    fsync-64) fsync_64 ;;
    fsync-latency) fsync_latency ;;
    loss-strict) loss_strict ;;
    order-depth1) order_compare order-depth1 p50 us le 1.03 0 1 memory ;;
    order-loss1) order_loss1 ;;
    order-tail) order_compare order-tail p99 us le 0.6 10000 32 memory ;;
    order-loss5) order_compare order-loss5 rate ops/s ge 1.5 50000 32 memory ;;
    order-slow) order_slow ;;
    order-fsync) order_compare order-fsync rate ops/s ge 1 0 32 fsync "log_batch_kib: 4" "log_writes: 32" ;;
    order-tail-virtual) order_virtual order-tail-virtual p99_us us le 0.6 10000 ;;
    order-loss5-virtual) order_virtual order-loss5-virtual rate ops/s ge 1.5 50000 ;;
    steady-alloc) steady_alloc ;;
    instructions-64) instructions_64 ;;
    esac
}

if [ $# = 0 ]; then
    set -- "${TARGETS[@]}"
fi
for name in "$@"; do
    say "== $name"
    look_at_others
    run_one "$name"
done
