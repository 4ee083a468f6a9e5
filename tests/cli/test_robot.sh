#!/bin/sh
# The paper's policies walk our robot over our obstacle as they walk the paper's over its own: mean
# rewards there, over twenty starts, are 614, 600, 234 and 239.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77
# the models are what their generator writes (a PNG's compression is zlib's business)
python3 "$src/tools/make_quaid.py" "$dir/quaid" || fail "make_quaid.py"
for f in "$src"/models/quaid/*.xml; do
    cmp "$f" "$dir/quaid/${f##*/}" || fail "$f is not what tools/make_quaid.py writes"
done

onnx=${DEFT_REFERENCE_DIR:-/nonexistent}/models/onnx
[ -d "$onnx" ] || exit 77

expect 0 eval --env quaid --scene obstacle -n 6 --rewire cascade --json \
    "$onnx"/aug_*RA-TD3*.onnx "$onnx"/aug_*RA-SAC*.onnx "$onnx"/act_*TD3*.onnx "$onnx"/act_*SAC*.onnx
json 'all(abs(x["reward"]["mean"] - r) < 0.15 * r for x, r in zip(j, [614, 600, 234, 239]))'
# the plain ones stall at the foot of the obstacle
json 'all(x["distance_cm"]["mean"] > 180 for x in j[:2])'
json 'all(x["distance_cm"]["mean"] < 60 for x in j[2:])'

# what varies is seeded, and costs reward
expect 0 eval --env quaid --scene obstacle -n 6 --vary typical --rewire cascade --json "$onnx"/aug_*RA-SAC*.onnx
json '200 < j["reward"]["mean"] < 540'
cp "$dir/out" "$dir/first"
expect 0 eval --env quaid --scene obstacle -n 6 --vary typical --rewire cascade --json -j 1 "$onnx"/aug_*RA-SAC*.onnx
json 'j["reward"] == json.load(open("'"$dir"'/first"))["reward"]'
