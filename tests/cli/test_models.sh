#!/bin/sh
# The quadruped's policies that Deft ships: each earns and walks, in floats and in integers, what its page says, give
# or take the spread of few episodes; and its settings are those of a run.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77
dir_of=$src/models/quaid/policies

# NAME LEAST-REWARD LEAST-CM
holds() {
    expect 0 quantize "$dir_of/$1.onnx" --scene obstacle -o "$dir/$1.deft"
    expect 0 eval "$dir_of/$1.onnx" "$dir/$1.deft" --scene obstacle -n 6 --json
    json "all(x['reward']['mean'] > $2 and x['distance_cm']['mean'] > $3 for x in j)"
    json "j[1]['reward']['mean'] > 0.93 * j[0]['reward']['mean']"
    [ -f "$dir_of/$1.csv" ] || fail "$1 has no progress"
    python3 - "$dir_of/$1.json" <<'PY' || fail "$1.json"
import json, sys
c = json.load(open(sys.argv[1]))
assert c["env"] == "quaid" and c["scene"] == "obstacle" and c["algo"] in ("td3", "sac")
PY
}
"$deft" eval "$dir_of/ra-td3.onnx" --scene obstacle -n 1 --max-steps 1 >"$dir/out" 2>"$dir/err" ||
    { grep -q 'needs MuJoCo' "$dir/err" && exit 77; }
holds td3 180 -10
holds sac 260 50
holds ra-td3 850 270
holds ra-sac 614 537
holds ra-td3-fast 614 537
