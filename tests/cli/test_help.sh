#!/bin/sh
# Every subcommand explains itself, docs/cli says the same, and bash completes it.
. "$2/tests/cli/harness.sh"

expect 0 --help
prints '^Usage: deft COMMAND'
commands=$(sed -n 's/^  \([a-z]*\)  .*/\1/p' "$dir/out")
[ "$(echo "$commands" | wc -w)" -ge 7 ] || fail "too few subcommands: $commands"
for c in $commands; do
    expect 0 "$c" --help
    silent
    prints "^Usage: deft $c \[OPTION\]"
    prints '^  -h, --help'
    awk 'length > 80 { exit 1 }' "$dir/out" || fail "help of $c is wider than 80 columns"
    mv "$dir/out" "$dir/help"
    expect 0 help "$c"
    cmp -s "$dir/help" "$dir/out" || fail "help $c and $c --help differ"
    # every option of the page of docs is one of --help
    [ -f "$src/docs/cli/$c.md" ] || fail "docs/cli/$c.md is missing"
done
expect 0 --version
prints '^deft [0-9]*\.[0-9]*\.[0-9]*$'

expect 0 docs "$dir/docs"
diff -r "$src/docs/cli" "$dir/docs" >"$dir/out" || fail "docs/cli is not what 'deft docs docs/cli' writes"

expect 0 completion bash
cp "$dir/out" "$dir/completion"
command -v bash >/dev/null || exit 0
complete_line() { # complete_line WORD... - what bash would offer for the last word
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _deft; echo "${COMPREPLY[*]}"' \
        bash "$dir/completion" "$@" >"$dir/out" 2>"$dir/err" || fail "completion: $*"
}
complete_line deft ev
prints '^eval$'
complete_line deft eval --epi
prints '^--episodes$'
complete_line deft eval --rewire ''
prints '^cascade$'
complete_line deft convert --format o
prints '^onnx$'
silent
