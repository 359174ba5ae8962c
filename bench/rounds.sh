# shellcheck shell=bash
# Rounds of runs that are compared with each other (sourced, not run; needs cluster.sh and WORK).
#
# A round is a command that makes the runs to be compared, one after the other, each of them with a look at how far apart the
# CPUs are before and after and at what else ran meanwhile (looked), and notes what it found (round_note). The host of a virtual
# machine changes the distance when it likes. So a round counts when all looks within it were of one state and nobody else kept a
# CPU busy; another one is repeated.
#
#     rounds_run WANTED COMMAND...   until WANTED rounds count, at most ROUNDS_TRIES times as many rounds
#     looked COMMAND...              within a round: a run. The nodes of an idle cluster do not disturb the looks
#     round_note KEY VALUE           within a round, once a key
#     rounds_median KEY              over the rounds that count
#     rounds_ratio KEY OF            median over the rounds of each round's KEY / OF
#     rounds_words                   for the report: core_round_trip_ns=... rounds=... state=...
#
# When fewer than WANTED counted, ROUNDS_STATE is mixed; then the figures are of those that did, or of all when none did.

ROUNDS_TRIES=2
ROUNDS_STATE_FACTOR=1.5 # as CORES_STATE_FACTOR in cores/cores.h
ROUNDS_OTHERS_MAX=0.1   # CPUs that other processes may keep busy during a run
ROUND=0                 # the number of the running one, from 1
ROUNDS_COUNTED=0
ROUNDS_STATE=one

# Nanoseconds of a cache line from the leader's CPU to the others' and back; 0 on one CPU.
core_round_trip() {
    if [ "$LEADER_CPU" = "$OTHERS_CPU" ]; then
        echo 0
        return
    fi
    "$BUILD/bench/raw_cores" --cpus "$LEADER_CPU,$OTHERS_CPU" --json "$WORK/cores.json" >/dev/null || fail "raw_cores"
    number "$WORK/cores.json" round_trip_ns
}

# is_one_state NUMBER...: is the largest at most ROUNDS_STATE_FACTOR times the smallest?
is_one_state() {
    printf '%s\n' "$@" | awk -v factor="$ROUNDS_STATE_FACTOR" 'NR == 1 || $1 < least { least = $1 } NR == 1 || $1 > most { most = $1 }
        END { exit !(most <= factor * least) }'
}

# Clock ticks that processes were given so far: all of them, and ours. Kernel threads are left out, as the disk's work for us is
# theirs. What a process that ended had used is with whoever waited for it.
cpu_ticks() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v ours="$$ ${CLUSTER_PIDS[*]}" 'BEGIN { n = split(ours, pids, " "); for (i = 1; i <= n; i++) is_ours[pids[i]] = 1 }
        { pid = $1; sub(/.*\) /, "") }
        pid != 2 && $2 != 2 { ticks = $12 + $13 + $14 + $15; all += ticks; own += is_ours[pid] * ticks }
        END { print all + 0, own + 0 }'
}

# others_cpus SECONDS ALL OURS ALL OURS: CPUs that others kept busy between two cpu_ticks.
others_cpus() {
    awk -v seconds="$1" -v ticks="$(getconf CLK_TCK)" -v used="$(($4 - $2 - ($5 - $3)))" 'BEGIN { printf "%.2f\n", used < 0 ? 0 : used / ticks / seconds }'
}

# is_undisturbed NUMBER...: were others idle enough in all runs?
is_undisturbed() {
    printf '%s\n' "$@" | awk -v most="$ROUNDS_OTHERS_MAX" '$1 > most { is_over = 1 } END { exit is_over }'
}

# Files: the directory round for the running one, a file a key; later appended to those in rounds/counted or rounds/torn.
round_begin() {
    rm -rf "$WORK/round"
    mkdir "$WORK/round"
}

looked() {
    local before after start
    core_round_trip >>"$WORK/round/looks"
    start=$EPOCHREALTIME
    read -ra before <<<"$(cpu_ticks)"
    "$@"
    read -ra after <<<"$(cpu_ticks)"
    others_cpus "$(calculate "$EPOCHREALTIME - $start")" "${before[@]}" "${after[@]}" >>"$WORK/round/others"
    core_round_trip >>"$WORK/round/looks"
}

# Median of the looks since round_begin.
round_core_ns() {
    local looks
    mapfile -t looks <"$WORK/round/looks"
    median "${looks[@]}"
}

# Of the runs since round_begin, the one most disturbed.
round_others_cpus() {
    sort -g "$WORK/round/others" | tail -n 1
}

round_note() {
    echo "$2" >"$WORK/round/$1"
}

# round_keep KIND: counted or torn.
round_keep() {
    local file
    round_note core_round_trip_ns "$(round_core_ns)"
    round_note others_cpus "$(round_others_cpus)"
    rm "$WORK/round/looks" "$WORK/round/others"
    mkdir -p "$WORK/rounds/$1"
    for file in "$WORK"/round/*; do
        cat "$file" >>"$WORK/rounds/$1/$(basename "$file")"
    done
}

rounds_run() {
    local wanted=$1 looks
    shift
    rm -rf "$WORK/rounds"
    ROUNDS_COUNTED=0
    ROUNDS_STATE=one
    for ((ROUND = 1; ROUND <= wanted * ROUNDS_TRIES && ROUNDS_COUNTED < wanted; ROUND++)); do
        round_begin
        "$@"
        mapfile -t looks <"$WORK/round/looks"
        if ! is_undisturbed "$(round_others_cpus)"; then
            say "round $ROUND does not count: others kept $(round_others_cpus) CPUs busy"
            round_keep torn
        elif is_one_state "${looks[@]}"; then
            round_keep counted
            ROUNDS_COUNTED=$((ROUNDS_COUNTED + 1))
        else
            say "round $ROUND does not count: the distance of the CPUs changed within it (${looks[*]} ns)"
            round_keep torn
        fi
    done
    if ((ROUNDS_COUNTED < wanted)); then
        ROUNDS_STATE=mixed
        say "only $ROUNDS_COUNTED of $((ROUND - 1)) rounds count, $wanted were wanted"
    fi
}

# The values of a key, a line a round.
rounds_values() {
    cat "$WORK/rounds/$([ "$ROUNDS_COUNTED" = 0 ] && echo torn || echo counted)/$1"
}

rounds_median() {
    local values
    mapfile -t values < <(rounds_values "$1")
    median "${values[@]}"
}

rounds_ratio() {
    local ratios
    mapfile -t ratios < <(paste <(rounds_values "$1") <(rounds_values "$2") | awk '{ printf "%.10g\n", $2 == 0 ? 0 : $1 / $2 }')
    median "${ratios[@]}"
}

rounds_words() {
    echo "core_round_trip_ns=$(rounds_median core_round_trip_ns)" "rounds_core_ns=$(rounds_values core_round_trip_ns | paste -sd,)" \
        "rounds_others_cpus=$(rounds_values others_cpus | paste -sd,)" "rounds=$ROUNDS_COUNTED" "state=$ROUNDS_STATE"
}
