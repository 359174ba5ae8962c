#!/usr/bin/env bash
# The program from outside: exit statuses, one line for each refusal, JSON that parses. test_program.sh PONTOON
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

passed=0
failed=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# expect NAME STATUS TEXT COMMAND...: its status, and an output that contains TEXT.
expect() {
    local name=$1 wanted=$2 text=$3 status=0 output
    shift 3
    output=$("$@" 2>&1) || status=$?
    if [ "$status" -eq "$wanted" ] && [[ $output == *"$text"* ]]; then
        echo "program: $name: ok"
        passed=$((passed + 1))
    else
        echo "program: $name: FAILED: status $status, want $wanted: $output, want: $text"
        failed=$((failed + 1))
    fi
}

doctor_json() {
    { "$program" doctor --json || [ $? -eq 4 ]; } | python3 -c 'import json, sys
for row in json.load(sys.stdin):
    assert row["verdict"] in ("ok", "warn", "bad") and (row["verdict"] == "ok") == (row["remedy"] == ""), row
print("rows are sound")'
}

man_page() {
    "$program" help --man | grep -c '^\.SS pontoon'
}

printf 'cluster: 1\nlog_mb: 4\n' >"$directory/unknown.yaml"
printf 'nodes: [{id: 1, directory: %s}]\n' "$directory/absent" >"$directory/one.yaml"
printf 'nodes: [{id: 1, directory: /d}, {id: 2, directory: /e}]\n' >"$directory/two.yaml"

expect no_command 2 'which command?' "$program"
expect unknown_command 2 'there is no command "fly"' "$program" fly
expect unknown_option 2 'there is no option --fly' "$program" doctor --fly
expect help_by_option 0 'usage: pontoon config check' "$program" config check --help
expect help_lists_commands 0 'doctor' "$program" --help
expect version 0 'DPDK' "$program" --version
expect man_page_has_every_command 0 "$("$program" help | grep -c '^  [a-z]')" man_page
expect parse_only_runs_nothing 0 '' "$program" --parse-only config check "$directory/absent.yaml"
expect sample_is_good 0 'ok, 3 nodes, 2 clients' "$program" config check config/cluster.yaml
expect unknown_setting 3 'unknown.yaml:2: unknown setting "log_mb"; did you mean "log_mib"?' \
    "$program" config check "$directory/unknown.yaml"
expect absent_file 3 'cannot be read: No such file' "$program" config check "$directory/absent.yaml"
expect absent_node 3 'node 2 is not in nodes (1)' "$program" config check "$directory/one.yaml" --id 2
expect show_names_links 0 'role=server,id=0,socket=pontoon-1-n1-n2' "$program" config show config/cluster.yaml
expect even_clusters_are_noted 0 'note: 2 nodes survive no more failures than 1' \
    "$program" config check "$directory/two.yaml"
expect impair_words 2 '"lose_ppm" is unknown' "$program" impair --config "$directory/two.yaml" lose_ppm=5
expect impair_of_nobody 2 'peer: there is no node 3' "$program" impair --config "$directory/two.yaml" peer 3 cut=true
expect impair_of_itself 2 'node 2 does not talk to itself' \
    "$program" impair --config "$directory/two.yaml" --id 2 peer 2 cut=true
expect impair_without_node 6 'node 2: no answer on /e/control' "$program" impair --config "$directory/two.yaml" clear
printf '# a comment\n\nat 0 node all cut=true\nat 1 node 1 peer 2 sideways\n' >"$directory/script"
expect impair_script_line 2 'script:4: "sideways" is unknown' \
    "$program" impair --config "$directory/two.yaml" --script "$directory/script"
printf 'at 1 node all cut=true\nat 0.5 node 1 clear\n' >"$directory/script"
expect impair_script_order 2 'script:2: is before the line above' \
    "$program" impair --config "$directory/two.yaml" --script "$directory/script"
printf 'at 1 node 3 cut=true\n' >"$directory/script"
expect impair_script_node 2 'script:1: there is no node 3' \
    "$program" impair --config "$directory/two.yaml" --script "$directory/script"
printf 'in 1 node 3 cut=true\n' >"$directory/script"
expect impair_script_form 2 'script:1: give at SECONDS node' \
    "$program" impair --config "$directory/two.yaml" --script "$directory/script"
expect impair_script_alone 2 "--script says all itself" "$program" impair --config "$directory/two.yaml" --script "$directory/script" clear
expect doctor_json_is_sound 0 'rows are sound' doctor_json
expect nothing_is_written 0 '' test ! -e "$directory/absent"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
