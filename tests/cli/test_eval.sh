#!/bin/sh
# Episodes on the pendulum: the same numbers whatever --jobs is, and good policies earn what such
# policies earn.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

td3=$src/models/pendulum/td3.onnx ra=$src/models/pendulum/ra-td3.onnx
numbers() { grep -v -e _seconds -e inference_us "$dir/out"; }
for j in 1 2 5; do
    expect 0 eval "$td3" "$ra" --env pendulum -n 12 --seed 7 --json --per-episode -j $j
    numbers >"$dir/jobs$j"
    cmp -s "$dir/jobs1" "$dir/jobs$j" || fail "--jobs $j gives other numbers than --jobs 1"
done
json '[x["episodes"] for x in j] == [12, 12] and [x["steps"] for x in j] == [2400, 2400]'
json 'all(len(x["per_episode"]) == 12 for x in j)'
json 'all(set(x["reward"]) == {"mean", "sd", "ci95"} for x in j)'
json 'all(x["distance_cm"]["mean"] is None for x in j)'

expect 0 eval "$td3" --env pendulum -n 100 --json
json '-175 < j["reward"]["mean"] < -120'
json 'abs(j["reward"]["ci95"] - 1.984 * j["reward"]["sd"] / 10) < 0.01 * j["reward"]["ci95"]'
expect 0 eval "$ra" --env pendulum -n 100 --json
json '-175 < j["reward"]["mean"] < -120'

# the image earns exactly what the graph earns
expect 0 convert "$ra" -o "$dir/ra.deft"
expect 0 eval "$ra" "$dir/ra.deft" --env pendulum -n 5 --json
json 'j[0]["reward"] == j[1]["reward"]'
expect 0 compare "$ra" "$dir/ra.deft" --env pendulum -n 3 --json
json 'j["actions"]["max_abs"] == 0 and j["closed_loop"]["reward"]["difference"]["mean"] == 0'
expect 0 compare "$ra" "$td3" --env pendulum -n 3
prints '^closed loop'

expect 0 eval "$td3" --env pendulum -n 2 --max-steps 50
prints '^td3.onnx .* 2 *100 '
expect 0 eval "$td3" --env pendulum -n 3 --unperturbed --json --per-episode
json 'len({x["reward"] for x in j["per_episode"]}) == 1'
if command -v sqlite3 >/dev/null; then
    expect 0 eval "$td3" --env pendulum -n 3 --max-steps 20 --log "$dir/log.sqlite"
    [ "$(sqlite3 "$dir/log.sqlite" 'select count(*) from episodes')" = 3 ] || fail "episodes in the log"
fi

# what does not fit says so
expect 1 eval "$policies/aug_stack.onnx" --env pendulum
says 'aug_stack.onnx.*4 actions.*pendulum'
expect 0 eval "$td3" --env pendulum -n 2 --per-episode
prints '^td3.onnx  *1  *-[0-9.]*  *-  '
expect 1 eval "$td3" --env quaid --scene "$dir/missing.xml"
says 'missing.xml'
expect 1 eval "$td3" --env quaid --scene mars
says 'mars'

# Ctrl-C reports what is finished
"$deft" eval "$td3" --env pendulum -n 1000000 -j 2 --json >"$dir/out" 2>"$dir/err" &
pid=$!
sleep 1
kill -TERM $pid # dash ignores SIGINT in background jobs; both are handled alike
status=0
wait $pid || status=$?
[ $status = 130 ] || fail "status $status after an interrupt"
says 'interrupted: what was finished is reported'
json '0 < j["episodes"] < 1000000'
