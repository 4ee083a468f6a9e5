#!/bin/sh
# Training on the pendulum: killed at any moment and resumed, a run ends with the same bytes; with any
# number of threads, too; and what it exports is a policy.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

small="--env pendulum --hidden 32,32 --batch 64 --envs 2 --steps 12000 --warmup 600 --eval-every 2000 \
    --eval-episodes 2 --rate 1e-3 --seed 3"
# shellcheck disable=SC2086
expect 0 train --algo td3 $small -o "$dir/whole" --threads 1
prints 'policy.onnx'
[ "$(wc -l <"$dir/whole/progress.csv")" -gt 10 ] || fail "progress.csv is short"

# shellcheck disable=SC2086
"$deft" train --algo td3 $small -o "$dir/killed" --checkpoint 0.01 --threads 2 >/dev/null 2>&1 &
pid=$!
tries=0
while [ ! -f "$dir/killed/checkpoint.bin" ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null || true
[ -f "$dir/killed/checkpoint.bin" ] || fail "no checkpoint after 30 s"
expect 0 train --resume "$dir/killed" --threads 3
for f in policy.onnx policy.deft last.onnx progress.csv; do
    cmp -s "$dir/whole/$f" "$dir/killed/$f" || fail "$f differs after kill -9 and --resume"
done

expect 0 eval "$dir/whole/policy.onnx" "$dir/whole/policy.deft" --env pendulum -n 5 --json
json 'j[0]["reward"] == j[1]["reward"]'
# twelve thousand steps are enough to swing up most of the time
json 'j[0]["reward"]["mean"] > -600'

expect 1 train --algo td3 --env pendulum -o "$dir/whole"
says 'already holds a run'
expect 2 train --algo ppo --env pendulum -o "$dir/x"
says 'ra-sac'
expect 2 train --algo td3
printf '{"env": "pendulum"}' >"$dir/whole/config.json"
expect 1 train --resume "$dir/whole"
says "field 'scene' is missing"
expect 0 train --algo ra-sac --env pendulum --hidden 16,16 --batch 16 --steps 600 --encoder-hidden 8 \
    --encoder-layers 2 --eval-every 300 -o "$dir/ra"
expect 0 info "$dir/ra/policy.onnx" --json
json 'j["recurrent"]["layers"] == 2 and j["recurrent"]["hidden"] == 8'
