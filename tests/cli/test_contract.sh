#!/bin/sh
# A contract of one's own: what docs/contract.md says, by a second implementation in Python.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77
tools=$src/tests/cli/contract_tools.py
python() { /usr/bin/python3 "$tools" "$@"; }
plain="--activation tanh --squash none"

# same FILE FILE - actions of two recordings are equal up to rounding
same() {
    worst=$(python differ "$1" "$2") || fail "differ $1 $2"
    awk "BEGIN { exit !($worst < ${3:-3e-6}) }" || fail "actions differ by $worst: $1 $2"
}

# by_hand NAME - the policy of a contract, against the same network fed by hand; leaves NAME.*
by_hand() {
    read -r n_in n_act n_obs <<INPUTS
$(python inputs "$dir/$1.json")
INPUTS
    python policy "$dir/$1.safetensors" "$n_in" "$n_act"
    python raw "$dir/$1.raw.csv" "$n_obs" 40
    python windows "$dir/$1.json" "$dir/$1.raw.csv" "$dir/$1.safetensors" "$dir/$1.hand.csv" || fail "by hand: $1"
    # shellcheck disable=SC2086
    expect 0 run "$dir/$1.safetensors" $plain --contract "$dir/$1.json" --obs "$dir/$1.raw.csv" --force -o "$dir/$1.act.csv"
    same "$dir/$1.act.csv" "$dir/$1.hand.csv"
}

# examples of the page
[ "$(python examples "$src/docs/contract.md" "$dir")" = 2 ] || fail "examples"
# every way to say histories and what the policy takes for its previous action
python variants "$dir" >"$dir/variants" || fail "variants"
n=0
for name in example0 example1 $(cat "$dir/variants"); do
    by_hand "$name"
    n=$((n + 1))
done
[ "$n" -ge 14 ] || fail "only $n contracts"

# what is written keeps it: image and graph, by themselves
for name in example0 example1 by_frame; do
    # shellcheck disable=SC2086
    for end in deft onnx; do
        expect 0 convert "$dir/$name.safetensors" $plain --contract "$dir/$name.json" -o "$dir/$name.$end"
        expect 0 run "$dir/$name.$end" --obs "$dir/$name.raw.csv" --force -o "$dir/$name.$end.csv"
        same "$dir/$name.act.csv" "$dir/$name.$end.csv"
        expect 0 info "$dir/$name.$end" --contract-template
        cp "$dir/out" "$dir/$name.$end.json"
        grep -q null "$dir/$name.$end.json" && fail "unknown: $name.$end"
        # nothing is unknown: putting it on changes not a byte
        expect 0 convert "$dir/$name.$end" --contract "$dir/$name.$end.json" -o "$dir/again.$end"
        [ "$end" = onnx ] || cmp "$dir/$name.$end" "$dir/again.$end" || fail "template of $name.$end"
        expect 0 run "$dir/again.$end" --obs "$dir/$name.raw.csv" --force -o "$dir/again.csv"
        cmp "$dir/again.csv" "$dir/$name.$end.csv" || fail "again: $name.$end"
    done
    cmp "$dir/$name.deft.json" "$dir/$name.onnx.json" || fail "templates of $name"
    expect 0 convert "$dir/$name.onnx" -o "$dir/again.deft"
    expect 0 info "$dir/again.deft" --contract-template
    cmp "$dir/out" "$dir/$name.deft.json" || fail "round trip of $name"
    # and as integers
    expect 0 quantize "$dir/$name.deft" --calib "$dir/$name.raw.csv" --scheme int16 -o "$dir/q.deft"
    expect 0 run "$dir/q.deft" --obs "$dir/$name.raw.csv" --force -o "$dir/q.csv"
    same "$dir/q.csv" "$dir/$name.act.csv" 0.02
done

# people see it
for image in "$dir/example0.deft" "$dir/q.deft"; do
    [ "$image" = "$dir/q.deft" ] &&
        expect 0 quantize "$dir/example0.deft" --calib "$dir/example0.raw.csv" -o "$image"
    expect 0 info "$image" --json
    json 'j["contract"] == "my-quadruped" and abs(j["period_s"] - 0.02) < 1e-9'
    json 'j["observations"] == 33 and j["observation_names"][6] == "command.x"'
    json 'j["observation_units"][8] == "rad/s" and j["action_names"][2] == "FL_calf"'
    json 'j["observation_least"][0] == -10 and j["observation_most"][7] == 0.5'
    json 'j["observation_least"][20] is None'
    json '["joint_stiffness", ",".join(["20"] * 12)] in j["notes"]'
    json '["trained by", "me"] in j["notes"]'
    expect 0 info "$image" --contract-table
    prints '^obs 6 *command.x *m/s .*-1 *1$'
    prints '^joint_damping: 0.5,0.5'
    expect 0 compile "$image" -o "$dir/c" --name quadruped
    for text in 'command.x, m/s' 'FL_calf, rad' 'joint_stiffness: 20,20' 'PERIOD_US 20000'; do
        grep -q "$text" "$dir/c/quadruped.h" || fail "quadruped.h has no '$text'"
    done
done

# the policy's own normaliser comes after it, or gives way
for f in sb3_vecnormalize partly_normalised sb3_sac sb3_unscaled; do
    p=$policies/$f.onnx csv=$policies/$f.csv
    expect 0 run "$p" --obs "$csv" --force -o "$dir/own.csv"
    expect 0 info "$p" --contract-template
    sed 's/"name": null/"name": "n"/; s/"unit": null/"unit": "1"/; s/"names": null,//; s/"period_s": null/"period_s": 0.01/' \
        "$dir/out" >"$dir/whole.json"
    expect 0 run "$p" --contract "$dir/whole.json" --obs "$csv" --force -o "$dir/whole.csv"
    cmp "$dir/own.csv" "$dir/whole.csv" || fail "template of $f"
    python keep "$dir/whole.json" "$csv" "$dir/keep.json" "$dir/world.csv" || fail "keep"
    expect 0 run "$p" --contract "$dir/keep.json" --obs "$dir/world.csv" --force -o "$dir/keep.csv"
    same "$dir/own.csv" "$dir/keep.csv" 2e-5
    sed 's/"keep"/"replace"/' "$dir/keep.json" >"$dir/replace.json"
    expect 0 run "$p" --contract "$dir/replace.json" --obs "$dir/world.csv" --force -o "$dir/replace.csv"
done
worst=$(python differ "$dir/own.csv" "$dir/replace.csv")
awk "BEGIN { exit !($worst > 1e-3) }" || fail "replaced nothing"

# never guess: what is null, unsaid or does not fit is refused, by name
p=$dir/example1.safetensors
python mistakes "$dir/example1.json" "$dir" >"$dir/mistakes" || fail "mistakes"
n=0
while IFS='|' read -r file pattern; do
    # shellcheck disable=SC2086
    expect 1 info "$p" $plain --contract "$dir/$file"
    says "$file.*$pattern"
    n=$((n + 1))
done <"$dir/mistakes"
[ "$n" -ge 40 ] || fail "only $n mistakes"
# shellcheck disable=SC2086
expect 0 info "$p" $plain --contract-template
cp "$dir/out" "$dir/template.json"
# shellcheck disable=SC2086
expect 1 info "$p" $plain --contract "$dir/template.json"
says 'template.json: name is null, which stands for what is not known'

expect 1 info "$dir/example0.deft" --contract "$dir/example0.json"
says 'the previous action is listed, but this policy feeds it to itself'
# shellcheck disable=SC2086
expect 1 info "$p" $plain --contract nothing
says 'quaid, quaid-normalised and pendulum'
# shellcheck disable=SC2086
expect 1 info "$p" $plain --contract "$dir/nowhere.json"
says nowhere.json
expect 1 info "$dir/q.deft" --contract-template
says integers
expect 1 info "$dir/q.deft" --contract "$dir/example1.json"
expect 2 info "$p" --contract-template --json

# a known contract, told by its own template
expect 0 convert "$src/models/quaid/policies/ra-td3.onnx" --contract quaid -o "$dir/quaid.deft"
expect 0 info "$dir/quaid.deft" --contract-template
cp "$dir/out" "$dir/quaid.json"
expect 0 convert "$dir/quaid.deft" --contract "$dir/quaid.json" -o "$dir/again.deft"
cmp "$dir/quaid.deft" "$dir/again.deft" || fail "template of quaid"
sed 's/"yaw"/"yawn"/' "$dir/quaid.json" >"$dir/yawn.json"
expect 1 convert "$dir/quaid.deft" --contract "$dir/yawn.json" -o "$dir/again.deft"
says "'quaid' is a contract that Deft knows"
