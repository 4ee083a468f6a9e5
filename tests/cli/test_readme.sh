#!/bin/sh
# The commands of README's first five minutes, one after the other, in a folder that holds what a clone holds.
. "$2/tests/cli/harness.sh"
src=$(cd "$src" && pwd)
"$deft" eval "$src/models/quaid/policies/td3.onnx" --scene flat -n 1 >"$dir/out" 2>"$dir/err" ||
    { grep -q 'needs MuJoCo' "$dir/err" && exit 77; }
mkdir "$dir/clone"
for f in "$src"/*; do
    [ "${f##*/}" = build ] || ln -s "$f" "$dir/clone/${f##*/}"
done
sed -n '/^## Five minutes/,/^## Measured/p' "$src/README.md" | grep '^deft ' >"$dir/commands"
[ "$(wc -l <"$dir/commands")" -ge 6 ] || fail "README has no commands"
cd "$dir/clone" || exit 1
PATH=${deft%/*}:$PATH
export PATH
while read -r line; do
    sh -c "$line" >"$dir/out" 2>"$dir/err" </dev/null || fail "$line"
done <"$dir/commands"
[ -f swing/policy.onnx ] || fail "nothing was trained"
