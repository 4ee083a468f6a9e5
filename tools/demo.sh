#!/bin/sh
# demo.sh DEFT - what Deft does, on the policies and the robot in models/; and, where they are, on the
# paper's own.
set -eu
deft=$1
out=${DEFT_DEMO_DIR:-out/demo}
ref=${DEFT_REFERENCE_DIR:-../shared/reference}
mkdir -p "$out"

if [ -t 1 ]; then bold='\033[1m' blue='\033[1;34m' plain='\033[0m'; else bold='' blue='' plain=''; fi
show() {
    printf '\n%b$ deft %s%b\n' "$bold" "$*" "$plain"
    "$deft" "$@"
}
title() { printf '\n%b== %s%b\n' "$blue" "$*" "$plain"; }

policy=models/quaid/policies/ra-td3.onnx
episodes=20

title "Train a policy, for a few seconds: TD3 on the pendulum"
rm -rf "$out/pendulum"
show train --algo td3 --env pendulum --hidden 64,64 --batch 100 --envs 1 --rate 1e-3 --warmup 1000 \
    --steps 20000 --eval-every 5000 --seed 1 -o "$out/pendulum"
show eval "$out/pendulum/policy.onnx" --env pendulum --episodes 50

title "A policy that was trained in the same way for twenty minutes walks a robot over obstacles"
show info "$policy"

title "Float to integers: a quarter of the size, with a proof that no accumulator overflows"
show quantize "$policy" --scene obstacle -o "$out/int8.deft"
show quantize "$policy" --scene obstacle --scheme w4a8 -o "$out/w4a8.deft"

title "Was anything lost? Float against int8 over the obstacle, $episodes episodes each, the same starts"
show compare "$policy" "$out/int8.deft" --env quaid --scene obstacle --episodes $episodes --report "$out/report.html"
show eval "$policy" "$out/int8.deft" "$out/w4a8.deft" --scene obstacle --episodes $episodes

title "The same for what every algorithm came to here, and for a policy that was asked for speed"
all=''
for name in td3 sac ra-sac ra-td3-fast; do
    "$deft" quantize "models/quaid/policies/$name.onnx" --scene obstacle -o "$out/$name-int8.deft" >/dev/null
    all="$all models/quaid/policies/$name.onnx $out/$name-int8.deft"
done
# shellcheck disable=SC2086
show eval $all --scene obstacle --episodes $episodes

title "How long does a control step take here?"
show bench "$policy" "$out/int8.deft"

title "C for any compiler; it is built and tests itself"
show compile "$out/int8.deft" -o "$out/firmware" --name walk
printf '\n%b$ cc -O2 -ffp-contract=off %s/firmware/walk.c %s/firmware/main.c -o %s/walk && ./%s/walk%b\n' \
    "$bold" "$out" "$out" "$out" "$out" "$plain"
cc -O2 -ffp-contract=off "$out/firmware/walk.c" "$out/firmware/main.c" -o "$out/walk"
echo "0.3 0.3 0.3 0.6 0 0.5 0 0 0.3 0.6 0.7 0.6 0.5 0.6 0.5 0.6 0.7" | "$out/walk"

scene=$ref/quaid/v2/quaid_v2.xml
if [ -f "$scene" ]; then
    title "The paper's policies on the paper's robot; --rewire mends how a graph was exported"
    cp "$ref"/models/onnx/aug_act_net_QuaidSIM-v4_RA-SAC_*.onnx "$out/ra-sac-as-shipped.onnx"
    show convert "$out/ra-sac-as-shipped.onnx" --rewire cascade --contract quaid-normalised -o "$out/ra-sac-repaired.deft"
    show eval "$out/ra-sac-as-shipped.onnx" "$out/ra-sac-repaired.deft" "$policy" --scene "$scene" --episodes 6
fi
echo
echo "Everything is in $out; $out/report.html shows what quantization changed. Next: docs/guide-read-a-policy.md,"
echo "docs/guide-quantize.md, docs/guide-compile.md, docs/guide-train.md."
