#!/usr/bin/env bash
# DPDK's stock client against a running node: test_telemetry.sh PROGRAM
#
# Exit status 77 (skipped): there is no dpdk-telemetry.py.
set -euo pipefail
program=$1
client=$(command -v dpdk-telemetry.py || true)
if [ -z "$client" ]; then
    echo "telemetry: skipped, there is no dpdk-telemetry.py (package dpdk-dev)"
    exit 77
fi
passed=0
failed=0
place=$(mktemp -d "${TMPDIR:-/tmp}/pontoon-telemetry-XXXXXX")
node=
finish() {
    if [ -n "$node" ]; then
        kill "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    rm -rf "$place"
}
trap finish EXIT

cat >"$place/cluster.yaml" <<END
cluster: $$
link: memif
groups: 3
hugepages: false
durability: memory
app_memory_mib: 8
log_mib: 16
log_entries: 4096
window_entries: 1024
window_kib: 1024
buffers_mib: 16
idle: sleep
nodes:
  - id: 1
    directory: $place/1
clients:
  - id: 1
END

"$program" node --config "$place/cluster.yaml" --id 1 --bootstrap >"$place/out" 2>&1 &
node=$!
for _ in $(seq 200); do
    grep -q '^telemetry: ' "$place/out" && break
    sleep 0.05
done
how=$(sed -n 's/^telemetry: //p' "$place/out")
if [ -z "$how" ]; then
    cat "$place/out"
    echo "0 passed, 1 failed"
    exit 1
fi

# check ENDPOINT EXPRESSION: the reply's object is `it` in the Python expression.
check() {
    local reply
    reply=$(echo "$1" | timeout 10 bash -c "$how" | tail -n 1)
    if python3 -c 'import json, sys
it = json.loads(sys.argv[1])[sys.argv[2].split(",")[0]]
sys.exit(not eval(sys.argv[3]))' "$reply" "$1" "$2"; then
        echo "telemetry: $1: ok"
        passed=$((passed + 1))
    else
        echo "telemetry: $1: FAILED: $2: $reply"
        failed=$((failed + 1))
    fi
}

for _ in $(seq 100); do # elections
    "$program" status --config "$place/cluster.yaml" --id 1 --json >"$place/status" || true
    [ "$(grep -o '"role": *"leader"' "$place/status" | wc -l)" = 3 ] && break
    sleep 0.05
done
check /pontoon/node 'it["node"] == 1 and it["durability"] == "memory" and it["recovery"] == "clean"'
check /pontoon/groups 'it["groups"] == 3 and it["leader"] == 3 and it["follower"] == 0 and it["failed"] == 0'
check /pontoon/group,2 'it["group"] == 2 and it["role"] == "leader" and it["leader"] == 1 and it["applied"] >= 1'
check /pontoon/peers,0 'it["node1/state"] == "self" and it["node1/id"] == 1'
check /pontoon/reactor,0 'it["polls"] > 0 and it["refused/short"] == 0 and 0 <= float(it["busy_share"]) <= 1 and it["answer_ns/count"] == 0'
check /pontoon/net,0 'it["driver"] == "dpdk" and it["rx_malformed"] == 0'
check /pontoon/group,3 'it is None'
check /pontoon/group,x 'it is None'
check /pontoon/group 'it is None'
check /pontoon/reactor,1 'it is None'
check /pontoon/net,99999999999 'it is None'
check / 'sum(name.startswith("/pontoon/") for name in it) == 6'

kill "$node"
if wait "$node"; then
    echo "telemetry: the node ends cleanly: ok"
    passed=$((passed + 1))
else
    echo "telemetry: the node ends cleanly: FAILED"
    failed=$((failed + 1))
fi
node=
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
