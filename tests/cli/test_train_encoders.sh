#!/bin/sh
# Encoders that learn: killed and resumed, before and behind what they learn, a run ends with the same
# bytes; what it exports is a policy that evaluates as the run said.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

small="--env pendulum-angle --hidden 16,16 --batch 32 --envs 2 --steps 2400 --warmup 600 --eval-every 600 \
    --eval-episodes 2 --encoder-hidden 8 --encoder-layers 2 --sequence 8 --burn-in 4 --seed 3"
for mode in pretrained trained; do
    # shellcheck disable=SC2086
    expect 0 train --algo ra-td3 --encoder-mode $mode --normalize $small -o "$dir/$mode" --threads 1
    if [ $mode = pretrained ]; then prints "encoder's loss [01].* -> 0"; fi
    # shellcheck disable=SC2086
    "$deft" train --algo ra-td3 --encoder-mode $mode --normalize $small -o "$dir/$mode-killed" \
        --checkpoint 0.002 --threads 2 >/dev/null 2>&1 &
    pid=$!
    tries=0
    while [ ! -f "$dir/$mode-killed/checkpoint.bin" ] && [ $tries -lt 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null || true
    [ -f "$dir/$mode-killed/checkpoint.bin" ] || fail "no checkpoint after 30 s"
    expect 0 train --resume "$dir/$mode-killed" --threads 3
    for f in policy.onnx policy.deft policy-int8.deft last.onnx progress.csv; do
        cmp -s "$dir/$mode/$f" "$dir/$mode-killed/$f" || fail "$mode: $f differs after kill -9 and --resume"
    done
    expect 0 eval "$dir/$mode/policy.onnx" "$dir/$mode/policy.deft" --env pendulum-angle -n 10 --json
    json 'j[0]["reward"] == j[1]["reward"]'
    /usr/bin/python3 - "$dir/out" "$dir/$mode/result.json" <<'PY' || fail "result.json"
import json, sys
rows, result = (json.load(open(p)) for p in sys.argv[1:])
assert abs(rows[0]["reward"]["mean"] - result["policy"]["return"]) < 1e-6, (rows, result)
PY
    expect 0 info "$dir/$mode/policy.onnx" --json
    json 'j["recurrent"]["layers"] == 2 and j["recurrent"]["hidden"] == 8'
    grep -q "\"encoder_mode\": \"$mode\"" "$dir/$mode/config.json" || fail "config.json lacks the mode"
done

# a policy with a trained encoder is a start for a frozen one: its encoder stays
small="--env pendulum-angle --hidden 16,16 --batch 32 --encoder-hidden 8 --encoder-layers 2 --normalize"
for mode in frozen pretrained trained; do
    # shellcheck disable=SC2086
    expect 0 train --algo ra-td3 --encoder-mode $mode $small --steps 80 --warmup 1000 \
        --load "$dir/trained/policy.onnx" -o "$dir/warm-$mode"
    cmp -s "$dir/trained/policy.onnx" "$dir/warm-$mode/last.onnx" || fail "warm start, $mode"
done
# shellcheck disable=SC2086
expect 0 train --algo r-sac --encoder mlp --critic-hidden 32,32 --critic-dropout 0.1 --critic-norm \
    --encoder-mode trained $small --steps 400 -o "$dir/mlp"
grep -q '"critic_dropout": 0.1' "$dir/mlp/config.json" || fail "--critic-dropout"
# shellcheck disable=SC2086
expect 0 train --algo r-sac --encoder mlp $small --steps 80 --warmup 1000 --load "$dir/mlp/policy.onnx" -o "$dir/mlp2"
cmp -s "$dir/mlp/policy.onnx" "$dir/mlp2/last.onnx" || fail "warm start behind a perceptron"

# shellcheck disable=SC2086
expect 1 train --algo r-td3 --encoder stack --encoder-mode trained --env pendulum-angle -o "$dir/no"
says 'encoder stack has nothing to learn'
# shellcheck disable=SC2086
expect 1 train --algo r-td3 --encoder-mode trained --n-step 3 $small -o "$dir/no"
says 'n_step 1'
# shellcheck disable=SC2086
expect 2 train --algo r-td3 --critic-hidden 16,x $small -o "$dir/no"
says 'critic-hidden takes widths'
