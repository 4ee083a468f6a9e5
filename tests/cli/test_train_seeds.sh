#!/bin/sh
# Many runs below one folder: each equal to the byte to the run by itself, also when one of the
# processes at work is killed, stopped, or was on a machine that is gone.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

settings="--env pendulum --hidden 16,16 --batch 32 --envs 2 --steps 8000 --warmup 400 --eval-every 2000
    --eval-episodes 2"

# await FILE - until it is there
await() {
    tries=0
    while [ ! -f "$1" ] && [ $tries -lt 1000 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
}

# same DIR - its runs are those of $dir/a
same() {
    for k in 4 5 6; do
        for f in policy.onnx policy.deft last.onnx progress.csv; do
            cmp -s "$dir/a/seed-$k/$f" "$1/seed-$k/$f" || fail "$1/seed-$k/$f differs"
        done
        /usr/bin/python3 "$src/tests/cli/read_run.py" "$1/seed-$k" || fail "$1/seed-$k: logs"
        for lease in "$1/seed-$k"/lease*; do
            [ ! -e "$lease" ] || fail "$lease stays"
        done
    done
}

# shellcheck disable=SC2086
many() { expect 0 train $settings --seed 4 --seeds 3 "$@"; }
many -o "$dir/a" --jobs 3 --json
json 'j["groups"][0]["n"] == 3 and [r["seed"] for r in j["groups"][0]["runs"]] == [4, 5, 6]'
json 'j["groups"][0]["last"]["lo"] <= j["groups"][0]["last"]["iqm"] <= j["groups"][0]["last"]["hi"]'
json 'all(r["best"] >= r["last"] for r in j["groups"][0]["runs"])'
# shellcheck disable=SC2086
expect 0 train $settings --seed 5 -o "$dir/one"
for f in policy.onnx last.onnx progress.csv; do
    cmp -s "$dir/one/$f" "$dir/a/seed-5/$f" || fail "seed 5 by itself: $f differs"
done

# what is finished is left alone; the summary is made again
touch -d '2001-02-03' "$dir/a/seed-6/last.onnx"
rm "$dir/a/summary.json"
many -o "$dir/a"
prints '^all  *3 '
[ -f "$dir/a/summary.json" ] || fail "no summary"
[ "$(find "$dir/a/seed-6/last.onnx" -newermt 2002-01-01)" = "" ] || fail "a finished run was done again"
# shellcheck disable=SC2086
expect 1 train $settings --gamma 0.9 --seed 4 --seeds 3 -o "$dir/a"
says "seed-4: a run with other settings is there ('gamma' differs)"
expect 1 train --env pendulum --seeds 2 -o "$dir/one"
says 'holds a single run'

# Two processes at one folder; one is killed in the middle of a run, which the other goes on with.
# shellcheck disable=SC2086
"$deft" train $settings --seed 4 --seeds 3 -j 1 -o "$dir/b" --checkpoint 0.001 >/dev/null 2>&1 &
lost=$!
await "$dir/b/seed-4/checkpoint.bin"
# shellcheck disable=SC2086
"$deft" train $settings --seed 4 --seeds 3 -j 1 -o "$dir/b" >"$dir/out2" 2>&1 &
other=$!
await "$dir/b/seed-5/config.json"
kill -9 $lost
wait $lost 2>/dev/null || true
wait $other || fail "the other process"
grep -q '^all  *3 ' "$dir/out2" || fail "no summary by the other"
same "$dir/b"
[ "$(cat "$dir"/b/seed-?/events.out.tfevents.* | wc -c)" -gt 0 ] || fail "no events"
n=0
for f in "$dir"/b/seed-?/events.out.tfevents.*; do n=$((n + 1)); done
[ $n = 4 ] || fail "$n sessions for three runs, one of them taken over"

# Ctrl-C, which here only the first process is told: all stop after a checkpoint.
# shellcheck disable=SC2086
"$deft" train $settings --seed 4 --seeds 3 -j 2 -o "$dir/c" >"$dir/out" 2>"$dir/err" &
stopped=$!
await "$dir/c/seed-4/progress.csv"
kill -TERM $stopped
status=0
wait $stopped || status=$?
[ $status = 130 ] || fail "status $status after a signal"
says 'the same command goes on'
many -o "$dir/c"
same "$dir/c"

# A machine that is gone left its lease in the middle of a run.
rm "$dir/c/seed-6/result.json"
printf '{"machine": "elsewhere", "pid": 1, "token": "x", "beat": 3}' >"$dir/c/seed-6/lease.000003"
many -o "$dir/c" --lease 0.5
same "$dir/c"

# Several algorithms and files of settings are groups of the summary.
printf '{"batch": 16, "eval_every": 200}' >"$dir/small.json"
printf '{"batch": 24, "eval_every": 300}' >"$dir/large.json"
expect 0 train --algo td3,ra-sac --config "$dir/small.json,$dir/large.json" --env pendulum --hidden 8 \
    --encoder-hidden 4 --steps 600 --seeds 2 -o "$dir/d" --json
json '[g["name"] for g in j["groups"]] == ["small-td3", "small-ra-sac", "large-td3", "large-ra-sac"]'
json 'all(g["n"] == 2 for g in j["groups"])'
grep -q 'href="small-ra-sac-seed-1/report.html"' "$dir/d/report.html" || fail "no link to a run"
for run in "$dir"/d/*-seed-?; do [ -s "$run/report.html" ] || fail "$run: no report"; done
grep -q '"batch": 24' "$dir/d/large-ra-sac-seed-1/config.json" || fail "not the settings of large.json"
expect 2 train --algo td3,td3 --env pendulum -o "$dir/e"
says 'given twice'
expect 2 train --resume "$dir/a" --seeds 3
expect 1 train --resume "$dir/a"
says 'many runs go on with the command that began them'
