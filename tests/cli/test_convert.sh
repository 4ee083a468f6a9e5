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
expect 1 convert "$src/README.md" --force -o "$dir/keep.deft"
says 'README.md'
[ "$(cat "$dir/keep.deft")" = precious ] || fail "a failed conversion touched its output"
expect 1 convert "$p" -o "$dir/no/such/folder.deft"
says 'no/such/folder.deft'
expect 1 convert "$p" --format deft -o "$dir/"
mkdir "$dir/folder.deft"
expect 1 convert "$p" -o "$dir/folder.deft"
says 'folder.deft'
[ -z "$(find "$dir" -name '*.deft.??????')" ] || fail "temporary files are left"

# images of integers: between layouts and back the bytes are the same; what runs is the same
expect 0 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum -n 1 --layout rows -o "$dir/rows.deft"
expect 0 convert "$dir/rows.deft" --layout panels -o "$dir/panels.deft"
expect 0 convert "$dir/panels.deft" --layout rows -o "$dir/again.deft"
cmp -s "$dir/rows.deft" "$dir/again.deft" || fail "rows, panels, rows: another image"
! cmp -s "$dir/rows.deft" "$dir/panels.deft" || fail "panels are rows"
expect 0 convert "$dir/rows.deft" -o "$dir/again.deft"
cmp -s "$dir/rows.deft" "$dir/again.deft" || fail "a copy is another image"
expect 0 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum -n 1 --layout panels -o "$dir/direct.deft"
cmp -s "$dir/panels.deft" "$dir/direct.deft" || fail "converted is not what quantize writes"
for p in rows panels; do
    expect 0 eval "$dir/$p.deft" --env pendulum -n 3 --json
    sed '/policy\|seconds\|inference_us/d' "$dir/out" >"$dir/$p.json"
done
cmp -s "$dir/rows.json" "$dir/panels.json" || fail "layouts earn different rewards"
expect 0 info "$dir/rows.deft" --json
json 'j["understood"] and j["layout"] == "rows" and j["scheme"] == "int8" and j["selftest_steps"] == 8'
json 'all(0 < l["accumulator_bits"] <= 32 for l in j["layers"])'
expect 0 info "$dir/panels.deft"
prints 'matrices in panels'
expect 1 convert "$dir/rows.deft" -o "$dir/x.onnx"
says 'integers'
# what is written runs on devices as it is: rows, unless somebody wants panels
expect 0 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum -n 1 -o "$dir/default.deft"
cmp -s "$dir/rows.deft" "$dir/default.deft" || fail "quantize does not write rows"
expect 0 convert "$dir/panels.deft" -o "$dir/again.deft"
cmp -s "$dir/rows.deft" "$dir/again.deft" || fail "convert does not write rows"
expect 0 convert "$src/models/pendulum/td3.onnx" -o "$dir/f.deft"
expect 0 convert "$src/models/pendulum/td3.onnx" --layout rows -o "$dir/f_rows.deft"
cmp -s "$dir/f.deft" "$dir/f_rows.deft" || fail "floats are not in rows"
expect 0 convert "$dir/f.deft" --layout panels -o "$dir/f_panels.deft"
! cmp -s "$dir/f.deft" "$dir/f_panels.deft" || fail "panels of floats are rows"
expect 0 convert "$dir/f_panels.deft" -o "$dir/again.deft"
cmp -s "$dir/f.deft" "$dir/again.deft" || fail "floats: rows, panels, rows: another image"
for p in f f_panels; do
    expect 0 eval "$dir/$p.deft" --env pendulum -n 3 --json
    sed '/policy\|seconds\|inference_us/d' "$dir/out" >"$dir/$p.json"
done
cmp -s "$dir/f.json" "$dir/f_panels.json" || fail "layouts of floats earn different rewards"
expect 2 convert "$src/models/pendulum/td3.onnx" --layout rows -o "$dir/x.onnx"
