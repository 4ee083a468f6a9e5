#!/bin/sh
# demo.sh DEFT - what Deft does, on the paper's policies and robot where they are, else on the
# pendulum with the policies in models/.
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

scene=$ref/quaid/v2/quaid_v2.xml
if [ -f "$scene" ]; then
    # short names for long ones
    cp "$ref"/models/onnx/aug_act_net_QuaidSIM-v4_RA-SAC_*.onnx "$out/ra-sac-as-shipped.onnx"
    cp "$ref"/models/onnx/act_net_QuaidSIM-v4_SAC_*.onnx "$out/sac.onnx"
    policy=$out/ra-sac-as-shipped.onnx other=$out/sac.onnx episodes=6
    set -- --env quaid --scene "$scene"
else
    policy=models/pendulum/ra-td3.onnx other=models/pendulum/td3.onnx episodes=100
    set -- --env pendulum
fi

title "What is this policy? It is verified against its graph on the way; then come warnings"
show info "$policy"

title "Make one small checked file of it"
if [ -f "$scene" ]; then
    echo "The graph lets its encoder's layers read what the layer below computed a step ago. That is"
    echo "not how it was trained: --rewire cascade repairs it, --contract says what the inputs are."
    show convert "$policy" --rewire cascade --contract quaid-normalised -o "$out/ra-sac-repaired.deft"
    better=$out/ra-sac-repaired.deft
else
    show convert "$policy" --previous first --contract pendulum -o "$out/ra-td3.deft"
    better=$out/ra-td3.deft
fi

title "Does it do the same work? $episodes episodes each, the same starts"
show eval "$policy" "$better" "$other" "$@" --episodes "$episodes"

title "How long does a control step take here?"
show bench "$better" "$other"
echo
echo "The files are in $out. Next: docs/guide-read-a-policy.md, docs/guide-evaluate.md."
