#!/bin/sh
# A policy survives .onnx -> .deft -> .onnx -> .deft; outputs are whole or untouched.
. "$2/tests/cli/harness.sh"

for f in "$policies"/*.onnx "$src"/models/pendulum/*.onnx; do
    expect 0 convert "$f" -o "$dir/a.deft"
    prints 'verified to '
    expect 0 convert "$dir/a.deft" -o "$dir/b.onnx"
    expect 0 convert "$dir/b.onnx" -o "$dir/c.deft"
    csv=${f%.onnx}.csv
    [ -f "$csv" ] || continue
    expect 0 compare "$f" "$dir/a.deft" --obs "$csv" --fail-above 0
    expect 0 compare "$f" "$dir/c.deft" --obs "$csv" --fail-above 1e-6
done

p=$src/models/pendulum/td3.onnx
expect 0 convert "$p" -o "$dir/file.deft"
expect 0 convert "$p" --format deft -o -
silent
cmp -s "$dir/out" "$dir/file.deft" || fail "-o - gives other bytes than a file"
expect 0 convert "$p" --format deft -o "$dir/noending"
cmp -s "$dir/noending" "$dir/file.deft" || fail "--format gives other bytes"
expect 0 convert "$p" -o "$dir/again.deft"
cmp -s "$dir/again.deft" "$dir/file.deft" || fail "the same conversion gives other bytes"

# an existing output stays as it is when the conversion fails
echo precious >"$dir/keep.deft"
expect 1 convert "$src/README.md" -o "$dir/keep.deft"
says 'README.md'
[ "$(cat "$dir/keep.deft")" = precious ] || fail "a failed conversion touched its output"
expect 1 convert "$p" -o "$dir/no/such/folder.deft"
says 'no/such/folder.deft'
expect 1 convert "$p" --format deft -o "$dir/"
mkdir "$dir/folder.deft"
expect 1 convert "$p" -o "$dir/folder.deft"
says 'folder.deft'
[ -z "$(find "$dir" -name '*.deft.??????')" ] || fail "temporary files are left"
