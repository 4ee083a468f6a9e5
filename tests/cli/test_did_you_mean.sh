#!/bin/sh
# Misspelt words are answered with those that were meant; whole numbers may be written as 1e6;
# options that nobody would read are errors.
. "$2/tests/cli/harness.sh"
p=$src/models/pendulum/td3.onnx

meant() { # meant WORD argument... - fails, and names WORD
    word=$1
    shift
    if "$deft" "$@" >"$dir/out" 2>"$dir/err" </dev/null; then fail "taken: deft $*"; fi
    says "did you mean '$word'?"
}

meant quantize quantise "$p"
meant convert help convrt
meant --scheme quantize --schme int8 "$p"
meant --episodes eval --epsiodes 3 "$p"
meant --scheme quantize --schme=int8 "$p"
meant pendulum eval --env pendulm "$p"
meant percentile quantize --calibrator precentile "$p"
meant int8 quantize "$p" --env pendulum --scheme itn8 -o "$dir/x.deft"
says 'there are int8, w8a16, w4a8, w4a16, int16, pow2, dynamic'
meant obstacle eval --scene obstcle "$src/models/quaid/policies/td3.onnx"
says 'there are .*flat'
meant friction eval --scene flat --vary fricton=0.1 "$src/models/quaid/policies/td3.onnx"
meant ra-td3 train --algo ra-dt3 --env pendulum -o "$dir/run"
meant ref run "$p" --kernels reff --obs "$dir/x.csv"
echo '{"step": 100}' >"$dir/c.json"
meant steps train --config "$dir/c.json" -o "$dir/run"
says "field 'step' is not known.*there are env, scene, .*, threads, seed)"
echo '{"env": "pendulun"}' >"$dir/c.json"
meant pendulum train --config "$dir/c.json" -o "$dir/run"
[ ! -e "$dir/run" ] || fail "a folder of a run that was refused"
expect 2 eval "$p" --frobnicate
if grep -q 'did you mean' "$dir/err"; then fail "a guess that is far"; fi
expect 2 train --se 3
says "option '--se' is ambiguous: .*--seed, --seeds"
expect 2 eval "$p" --json=x
says "option '--json' takes no argument"
expect 2 eval "$p" -x
says "unknown option '-x'"
expect 2 eval "$p" -n
says "option '-n' requires an argument"

# whole numbers
expect 0 eval "$p" --env pendulum -n 2e0 --json
json 'j["episodes"] == 2'
expect 0 train --env pendulum --hidden 8 --batch 8 --eval-every 0 --steps 1.5e3 --warmup 1e2 -o "$dir/run"
/usr/bin/python3 - "$dir/run/config.json" <<'PY' || fail "steps and warmup"
import json, sys
c = json.load(open(sys.argv[1]))
sys.exit(not (c["steps"] == 1500 and c["warmup"] == 100))
PY
echo '{"steps": 1e3, "warmup": 1e2, "env": "pendulum", "hidden": [8], "batch": 8.0, "eval_every": 0}' >"$dir/c.json"
expect 0 train --config "$dir/c.json" -o "$dir/run2"
echo '{"steps": 1.5}' >"$dir/c.json"
expect 1 train --config "$dir/c.json" -o "$dir/run3"
says "field 'steps' is not a whole number"
for x in 1e-1 1.5 0x1p3 inf 1e99 1e 1e6x; do
    expect 2 eval "$p" --env pendulum -n "$x"
    expect 2 train --env pendulum --steps "$x" -o "$dir/run3"
done

# options that this kind of file has no use for
/usr/bin/python3 - "$dir/policy.safetensors" <<'PY'
import json, struct, sys
shape = {"actor.0.weight": [4, 3], "actor.0.bias": [4], "actor.2.weight": [1, 4], "actor.2.bias": [1]}
head, at, data = {}, 0, b""
for name, dims in shape.items():
    n = 1
    for d in dims: n *= d
    data += struct.pack("<%df" % n, *[0.1 * (k % 7 - 3) for k in range(n)])
    head[name] = {"dtype": "F32", "shape": dims, "data_offsets": [at, at + 4 * n]}
    at += 4 * n
text = json.dumps(head).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
PY
tensors=$dir/policy.safetensors
expect 0 convert "$p" -o "$dir/image.deft"
expect 0 quantize "$p" --env pendulum -n 1 -o "$dir/int8.deft"
expect 0 info "$tensors" --squash none --activation tanh --arch dense:4,dense:1
refused() { # refused PATTERN FILE option...
    pattern=$1 file=$2
    shift 2
    expect 1 info "$file" "$@"
    says "$pattern"
    says "$file"
}
for file in "$p" "$dir/image.deft" "$dir/int8.deft"; do
    kind='a .deft image'
    [ "$file" != "$p" ] || kind='an ONNX graph'
    for option in 'arch dense:4' 'activation tanh' 'squash none' 'input concat' "against $p"; do
        # shellcheck disable=SC2086
        refused "--${option%% *} .*; this is $kind" "$file" --$option
    done
done
for file in "$tensors" "$dir/image.deft" "$dir/int8.deft"; do
    refused '--action-output ' "$file" --action-output act
done
for file in "$dir/image.deft" "$dir/int8.deft"; do
    refused '--discrete ' "$file" --discrete
done
refused 'goes with --encoder' "$tensors" --input concat
for option in 'rewire cascade' 'contract pendulum' 'previous first'; do
    # shellcheck disable=SC2086
    refused "by --${option%% *}: " "$dir/int8.deft" --$option
done
# of several files one has a use for it, or none
expect 0 eval "$p" "$tensors" --activation relu --squash tanh --env pendulum -n 1
expect 2 eval "$p" "$dir/image.deft" --squash tanh --env pendulum -n 1
says '--squash .* none of the files'

# options and operands that nobody would read
unread() { # unread PATTERN argument...
    pattern=$1
    shift
    expect 2 "$@"
    says "$pattern"
}
printf 'obs0,obs1,obs2\n0,0,0\n1,0,0\n' >"$dir/obs.csv"
unread 'the second operand' convert "$dir/image.deft" "$p" -o "$dir/y.deft"
unread '--env is for' quantize "$p" --calib "$dir/obs.csv" --env pendulum -o "$dir/y.deft"
unread '--episodes is for' quantize "$p" --calib "$dir/obs.csv" -n 3 -o "$dir/y.deft"
unread '--seed is for' quantize "$p" --calib "$dir/obs.csv" --seed 0 -o "$dir/y.deft"
unread '--percentile is for' quantize "$p" --env pendulum --percentile 99 -o "$dir/y.deft"
unread '--returns is for' quantize "$p" --env pendulum --returns 9 -o "$dir/y.deft"
unread '--jobs is for' quantize "$p" --env pendulum -j 2 -o "$dir/y.deft"
unread '--layout is not for --sweep' quantize "$p" --env pendulum --sweep --layout rows -o "$dir/y.csv"
unread '--calib is not for --scheme dynamic' quantize "$p" --scheme dynamic --calib "$dir/obs.csv" -o "$dir/y.onnx"
unread '--bits is not' quantize "$p" --env pendulum --bits 4 --weight-bits 4 --activation-bits 8
unread '--scene is for' compare "$p" --obs "$dir/obs.csv" --scene flat
unread '--feed is for' compare "$p" "$p" --env pendulum --feed own
unread '--jobs is for' train --env pendulum -j 2 -o "$dir/run3"
unread '--stack is for' train --env pendulum --stack 3 -o "$dir/run3"
unread '--encoder-hidden is for' train --env pendulum --encoder-hidden 3 -o "$dir/run3"
unread '--noise is for' train --env pendulum --algo sac --noise 0.2 -o "$dir/run3"
unread '--best-distance is for' train --env pendulum --best-distance 20 -o "$dir/run3"
expect 1 eval "$p" --env pendulum --scene flat
says 'it has no scene'
unread '--contract-table prints' info "$p" --contract-table --json
for file in run3 y.deft y.csv y.onnx; do
    [ ! -e "$dir/$file" ] || fail "$file was written"
done
