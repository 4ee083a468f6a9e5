#!/bin/sh
# What a run on the robot is judged by: the reward it is trained by, or another, and how far it goes.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

# Return and distance of a run's policy.onnx as its result.json tells them, and of 10 episodes that are paid as $2 says.
as_told() { # RUN [OPTIONS OF EVAL]
    run=$1
    shift
    expect 0 eval "$run/policy.onnx" --scene obstacle --max-steps 40 -n 10 --json "$@"
    python3 - "$dir/out" "$run/result.json" <<'PY' || fail "$run is not judged by $*"
import json, sys
row, result = (json.load(open(p)) for p in sys.argv[1:])
for key, told in (("reward", "return"), ("distance_cm", "distance_cm")):
    assert abs(row[key]["mean"] - result["policy"][told]) < 1e-6, (row[key], result["policy"])
PY
}

small="--algo td3 --scene obstacle --max-steps 40 --hidden 16,16 --batch 32 --steps 1600 --warmup 200 --eval-every 300
    --eval-episodes 1 --reward paper --target-speed 1.3 --seed 2 --threads 1"
# shellcheck disable=SC2086
if ! "$deft" train $small -o "$dir/own" >"$dir/out" 2>"$dir/err"; then
    grep -q 'quaid needs MuJoCo' "$dir/err" && exit 77
    fail "train: $(cat "$dir/err")"
fi
as_told "$dir/own" --reward paper --target-speed 1.3
grep -q 'eval_reward\|best_distance' "$dir/own/config.json" && fail "settings that say nothing"

# shellcheck disable=SC2086
expect 0 train $small --eval-reward evaluation -o "$dir/other"
as_told "$dir/other"
cmp -s "$dir/own/last.onnx" "$dir/other/last.onnx" || fail "what evaluations count changes the training"

# the evaluations differ in their distances: ask for the farthest, and for more than there is
far=$(awk -F, 'NR > 1 && $11 != "" && (!n++ || $11 > m) { m = $11 + 0 } END { print m }' "$dir/other/progress.csv")
for need in "$(echo "$far" | awk '{ print ($1 > 0 ? $1 * 0.9999 : 0.001) }')" 1000; do
    # shellcheck disable=SC2086
    expect 0 train $small --eval-reward evaluation --best-distance "$need" -o "$dir/far-$need"
    python3 - "$dir/far-$need/result.json" "$far" <<'PY' || fail "--best-distance $need"
import json, sys
best = json.load(open(sys.argv[1]))["best"]
assert abs(best["distance_cm"] - float(sys.argv[2])) < 1e-3, (best, sys.argv[2])
PY
done
expect 2 train --eval-reward other -o "$dir/x"
says 'evaluation'
