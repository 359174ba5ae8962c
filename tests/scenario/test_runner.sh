#!/usr/bin/env bash
# The runner itself: test_runner.sh PROGRAM. What is wrong in a script is told with its file and line; what is right passes, and
# --update makes a wrong expectation right.
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
passed=0
failed=0

count() { # count NAME STATUS
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "scenario runner: $1: FAILED"
    fi
}

# refuses NAME TEXT LINE… : a script of these lines fails, and TEXT is in what is printed.
refuses() {
    local name=$1 text=$2 printed status=0
    shift 2
    printf '%s\n' "$@" >"$folder/$name.txt"
    printed=$("$program" "$folder/$name.txt") && status=1
    grep -qF -- "$text" <<<"$printed" || status=1
    count "$name" "$status"
}

refuses wrong_text 'wrong_text.txt:3: expected (-), printed (+)' 'nodes 1' '----' 'something' ''
refuses wrong_text_is_shown '    - something' 'nodes 1' '----' 'something' ''
refuses text_is_missing '    + nothing' 'nodes 1' '----' ''
refuses no_such_command 'no_such_command.txt:5: no such command: jump' 'nodes 1' '----' 'nothing' '' 'jump' '----'
refuses no_separator 'no_separator.txt:2: a block of commands ends with ----' 'nodes 1' '' '----'
refuses no_end 'no_end.txt:2: a block of commands ends with ----' 'nodes 1'
refuses no_group 'no_group.txt:1: a script begins with nodes COUNT' 'show' '----'
refuses no_such_node "no_such_node.txt:2: want a node (n1 …) in place of 'n2'" 'nodes 1' 'campaign n2' '----'
refuses trailing_word "trailing_word.txt:2: cannot read 'now'" 'nodes 1' 'campaign n1 now' '----'
refuses no_message 'no_message.txt:2: no such message from n1 to n2 is under way' 'nodes 2' 'deliver n1->n2' '----'
refuses no_write 'no_write.txt:2: n1 has no w7 under way' 'nodes 2' 'complete n1 w7' '----'
refuses falling_terms 'falling_terms.txt:2: a term is smaller than the one before it' 'nodes 1' 'given n1 log 3 1' '----'
refuses commit_too_far 'commit_too_far.txt:2: the log does not reach that far' 'nodes 1' 'given n1 log 3 commit 2' '----'
refuses node_is_down 'node_is_down.txt:3: n1 is down' 'nodes 1' 'crash n1' 'propose n1' '----'
refuses violation 'it violates the guarantees of Raft' 'nodes 2' 'given n1 term 1 log 1 commit 1' \
    'given n2 term 2 log 2 commit 1' '----' 'VIOLATION: n2 has 2/1 committed, 1/1 was' ''
refuses nothing 'a script without commands' '# only a comment'

status=0
"$program" --update "$folder/wrong_text.txt" >/dev/null || status=1
"$program" "$folder/wrong_text.txt" >/dev/null || status=1
[ "$(cat "$folder/wrong_text.txt")" = $'nodes 1\n----\nnothing' ] || status=1
count update "$status"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
