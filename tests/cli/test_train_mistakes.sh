#!/bin/sh
# What people do to training runs without meaning it: each is an error that says so, and loses nothing.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

small="--env pendulum --hidden 16 --batch 16 --steps 600 --warmup 100 --eval-every 200 --eval-episodes 1"

# catches PID - once the process takes SIGTERM for a wish
catches() {
    tries=0
    while [ $tries -lt 600 ]; do
        case $(sed -n 's/^SigCgt:.*\(.\)...$/\1/p' "/proc/$1/status" 2>/dev/null) in
        [4567cdef]) return ;;
        esac
        sleep 0.1
        tries=$((tries + 1))
    done
    fail "no handler of signals after a minute"
}

# stopped SIGNAL ARGUMENT... - trains for a while
stopped() {
    signal=$1
    shift
    "$deft" train "$@" >"$dir/out" 2>"$dir/err" &
    pid=$!
    catches $pid
    sleep 1
    for _ in 1 2 3; do kill -"$signal" $pid 2>/dev/null; done # more than one at a time is one
    tries=0
    while kill -0 $pid 2>/dev/null && [ $tries -lt 600 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -9 $pid 2>/dev/null
    wait $pid
    [ $? = 130 ] || fail "SIG$signal: not status 130: deft train $*"
}

# the policy at the end is evaluated, and a random one is not the best
# shellcheck disable=SC2086
expect 0 train $small --eval-every 5000 -o "$dir/a" --json
json 'j["last"]["step"] == j["step"] >= 600 and j["best"]["step"] == j["last"]["step"]'
cmp -s "$dir/a/policy.onnx" "$dir/a/last.onnx" || fail "the best policy is not the only trained one"

# a run with more settings than needed, and with nothing to do
expect 2 train --resume "$dir/a" --gamma 0.9
says 'only --steps, --threads, --checkpoint and --json go with --resume'
expect 2 train --resume "$dir/a" --steps 600
says 'above the 600'

# more steps than a run was begun with: as if it had had them from the beginning
# shellcheck disable=SC2086
expect 0 train $small --steps 1200 -o "$dir/long"
# shellcheck disable=SC2086
expect 0 train $small -o "$dir/short"
expect 0 train --resume "$dir/short" --steps 1200 --json
json 'j["step"] >= 1200'
cmp -s "$dir/long/last.onnx" "$dir/short/last.onnx" || fail "a run that was prolonged is another one"
cmp -s "$dir/long/config.json" "$dir/short/config.json" || fail "config.json has the old steps"
# shellcheck disable=SC2086
expect 1 train $small --steps 0 -o "$dir/x"
says 'steps: from 1'
# shellcheck disable=SC2086
expect 1 train $small --warmup 0 -o "$dir/x"
says 'warmup: from 1'
# shellcheck disable=SC2086
expect 0 train ${small%--eval-every*} --eval-every 0 -o "$dir/never" --json
json 'j["last"] is None and j["policy"]["episodes"] == 10'
cmp -s "$dir/never/policy.onnx" "$dir/never/last.onnx" || fail "never evaluated: not the last policy"
for what in '--reward paper' '--target-speed 1' '--wire-reward' '--heading 1' '--eval-reward paper'; do
    # shellcheck disable=SC2086
    expect 1 train $small $what -o "$dir/x"
    says 'pendulum: it has'
done
[ ! -e "$dir/x" ] || fail "a folder of what never began"

# the settings of a run make the same run again
expect 0 train --env pendulum --hidden 16 --batch 16 --steps 600 --warmup 400 -o "$dir/b"
expect 0 train --config "$dir/b/config.json" -o "$dir/c"
cmp -s "$dir/b/config.json" "$dir/c/config.json" || fail "--config changes settings"
cmp -s "$dir/b/last.onnx" "$dir/c/last.onnx" || fail "--config makes another run"

# a policy that takes observations as they are
# shellcheck disable=SC2086
expect 1 train $small --load "$dir/a/policy.onnx" --normalize -o "$dir/x"
says 'takes observations as they are'

# runs that diverge say so, and the others have their summary
printf '{"algo": "sac", "alpha_rate": 1, "target_entropy": 1e6}' >"$dir/bad.json"
printf '{"algo": "sac"}' >"$dir/good.json"
# shellcheck disable=SC2086
"$deft" train --config "$dir/bad.json,$dir/good.json" $small -o "$dir/many" \
    >"$dir/out" 2>"$dir/err" && fail "a run of such rates came to something"
says 'bad-seed-0: training diverged: after'
prints '^good  *1 '
[ -f "$dir/many/summary.json" ] || fail "no summary of what went well"
[ -f "$dir/many/report.html" ] || fail "no report of what went well"

# a command that is none of theirs leaves the summary of many runs alone; so does one in a single folder of them
# shellcheck disable=SC2086
expect 0 train $small --seeds 2 -o "$dir/two"
cp "$dir/two/summary.json" "$dir/summary.before"
# shellcheck disable=SC2086
expect 1 train $small --gamma 0.5 --seeds 2 -o "$dir/two"
cmp -s "$dir/two/summary.json" "$dir/summary.before" || fail "another command's summary"
rm "$dir/two/seed-1/config.json"
# shellcheck disable=SC2086
expect 1 train $small -o "$dir/two/seed-1"
says 'but no run'

# pretraining stops
stopped TERM --env pendulum --algo r-td3 --encoder-mode pretrained --pretrain-steps 10000000 --steps 3000 \
    --warmup 500 -o "$dir/taught"
says 'stopped while the encoder was taught'

# a warm-up that the replay buffer does not hold; a small one otherwise, which is gone on with
printf '{"replay": 2400, "warmup": 1500, "round": 16, "normalize": true}' >"$dir/ring.json"
expect 1 train --config "$dir/ring.json" --env pendulum --hidden 8 --batch 8 --max-steps 1 --steps 3000 -o "$dir/ring"
says 'does not hold the warm-up'
expect 0 train --algo ra-td3 --env pendulum --hidden 8 --batch 8 --encoder-hidden 4 --max-steps 1 --steps 1800 \
    --warmup 1500 --normalize -o "$dir/ones"
printf '{"replay": 300, "warmup": 100}' >"$dir/ring.json"
ring="--config $dir/ring.json --env pendulum --hidden 8 --batch 8 --eval-every 0"
# shellcheck disable=SC2086
expect 0 train $ring --steps 3000 -o "$dir/ring-whole"
# shellcheck disable=SC2086
expect 0 train $ring --steps 1500 --checkpoint 0.001 -o "$dir/ring-parts"
expect 0 train --resume "$dir/ring-parts" --steps 3000
cmp -s "$dir/ring-whole/last.onnx" "$dir/ring-parts/last.onnx" || fail "a full ring was not gone on with"
printf '{"gamma": 2}' >"$dir/bad.json"
expect 1 train --config "$dir/bad.json" --seeds 2 -o "$dir/x"
says 'bad.json: training: gamma: from 0 to 1'
[ ! -e "$dir/x" ] || fail "folders of runs that cannot be"
head -c 50 "$dir/a/checkpoint.bin" >"$dir/cut"
cp -r "$dir/a" "$dir/cut-run"
rm "$dir/cut-run/result.json"
cp "$dir/cut" "$dir/cut-run/checkpoint.bin"
expect 1 train --resume "$dir/cut-run"
says 'checkpoint.bin: cut short'
printf '{"reward": "papr"}' >"$dir/bad.json"
expect 1 train --config "$dir/bad.json" -o "$dir/x"
says 'reward: evaluation or paper'

# kernels of another kind of CPU
if [ "$(uname -m)" = x86_64 ]; then
    run_core() {
        OPENBLAS_CORETYPE=$1
        export OPENBLAS_CORETYPE
        shift
        stopped TERM "$@"
    }
    (run_core Prescott --env pendulum --hidden 16 --batch 16 --steps 10000000 --warmup 200 -o "$dir/core") || exit 1
    (run_core Nehalem --resume "$dir/core" && says 'kernels for Prescott.*other roundings') || exit 1
fi

# a scene that changed
"$deft" eval "$src/models/quaid/policies/td3.onnx" --scene flat -n 1 >/dev/null 2>&1 || exit 0
cp "$src/models/quaid/robot.xml" "$src/models/quaid/flat.xml" "$src/models/quaid/ramp.xml" "$dir"
mv "$dir/flat.xml" "$dir/mine.xml"
# physics that diverges ends an episode, no training and no evaluation
expect 0 train --hidden 16 --batch 16 --max-steps 100 --steps 3000 --warmup 500 --eval-every 500 \
    --vary push_cm_s=1000,push_chance=0.5 -o "$dir/pushed"

stopped HUP --scene "$dir/mine.xml" --hidden 16 --batch 16 --max-steps 50 --steps 10000000 --warmup 200 \
    --eval-episodes 1 -o "$dir/moved"
stopped HUP --resume "$dir/moved"
mv "$dir/mine.xml" "$dir/kept.xml"
cp "$dir/ramp.xml" "$dir/mine.xml"
expect 1 train --resume "$dir/moved"
says 'made in another scene'
