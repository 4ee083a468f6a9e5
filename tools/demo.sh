#!/bin/sh
# demo.sh DEFT - what Deft does, on the paper's policies and robot where they are, else on the
# pendulum with the policies in models/.
set -eu
deft=$1
out=${DEFT_DEMO_DIR:-out/demo}
mkdir -p "$out"
ref=${DEFT_REFERENCE_DIR:-../shared/reference}

show() {
    printf '\n\033[1m$ deft %s\033[0m\n' "$*"
    "$deft" "$@"
}
title() { printf '\n\033[1;34m== %s\033[0m\n' "$*"; }

if [ -f "$ref/quaid/v2/quaid_v2.xml" ]; then
    env=quaid episodes=8
    policy="$ref/models/onnx/aug_act_net_QuaidSIM-v4_RA-TD3_+614.464_500000.onnx"
    plain="$ref/models/onnx/act_net_QuaidSIM-v4_TD3_+225.827_750000.onnx"
    set -- --env quaid --scene "$ref/quaid/v2/quaid_v2.xml"
    repair="--rewire cascade"
else
    env=pendulum episodes=50
    policy=models/pendulum/ra-td3.onnx
    plain=models/pendulum/td3.onnx
    set -- --env pendulum
    repair=
fi

title "1. Understand a policy that somebody trained elsewhere"
show info "$policy"

title "2. Make it one small checked file; it is verified against the graph on the way"
# shellcheck disable=SC2086
show convert "$policy" $repair -o "$out/policy.deft"
show convert "$plain" -o "$out/plain.deft"
ls -l "$out/policy.deft" "$out/plain.deft"

title "3. Run it in closed loop ($env, $episodes episodes each)"
show eval "$policy" "$out/policy.deft" "$out/plain.deft" "$@" --episodes "$episodes"
if [ "$env" = quaid ]; then
    echo
    echo "The first row is the graph as it was shipped: its encoder reads last step's state of the"
    echo "layer below. The second is the same weights wired as they were trained."
fi

title "4. How fast is a step?"
show bench "$out/policy.deft" "$out/plain.deft"
