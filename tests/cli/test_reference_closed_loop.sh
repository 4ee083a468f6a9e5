#!/bin/sh
# The paper's policies on the paper's robot: one episode each from the unperturbed start earns what
# the golden rollouts earned, as closely as a walking robot repeats itself; the delayed graphs as
# shipped earn much less.
. "$2/tests/cli/harness.sh"
ref=$DEFT_REFERENCE_DIR
scene=$ref/quaid/v2/quaid_v2.xml
[ -f "$scene" ] && command -v python3 >/dev/null || exit 77
"$deft" eval "$src/models/pendulum/td3.onnx" --env quaid --scene "$scene" 2>&1 |
    grep -q 'libmujoco-dev' && exit 77 # built without MuJoCo

earns() { # earns LOW HIGH argument...
    low=$1 high=$2
    shift 2
    expect 0 eval --env quaid --scene "$scene" --unperturbed -n 1 --json "$@"
    json "$low < j['reward']['mean'] < $high and j['steps'] == 500"
    json 'j["physics_seconds"] > 0.9 * j["wall_seconds"]'
}
onnx=$ref/models/onnx
earns 228 246 "$onnx"/act_net_QuaidSIM-v4_TD3_*.onnx
json 'abs(j["reward"]["mean"] - 237.2) < 1.5' # it stalls: nothing is amplified
earns 228 248 "$onnx"/act_net_QuaidSIM-v4_SAC_*.onnx
earns 560 640 "$onnx"/aug_act_net_QuaidSIM-v4_RA-SAC_*.onnx --rewire cascade
earns 580 650 "$onnx"/aug_act_net_QuaidSIM-v4_RA-TD3_*.onnx --rewire cascade
json 'j["distance_cm"]["mean"] > 400 and j["torque"]["mean"] > 0 and j["current_a"]["mean"] > 0'
earns 200 420 "$onnx"/aug_act_net_QuaidSIM-v4_RA-SAC_*.onnx

# a scene that MuJoCo refuses is an error like any
echo '<mujoco><worldbody><body><frobnicate/></body></worldbody></mujoco>' >"$dir/bad.xml"
expect 1 eval "$onnx"/act_net_QuaidSIM-v4_TD3_*.onnx --env quaid --scene "$dir/bad.xml"
says '^deft eval: .*bad.xml'
echo '<mujoco><worldbody><geom type="sphere" size="1"/></worldbody></mujoco>' >"$dir/other.xml"
expect 1 eval "$onnx"/act_net_QuaidSIM-v4_TD3_*.onnx --env quaid --scene "$dir/other.xml"
says '^deft eval: .*other.xml'
