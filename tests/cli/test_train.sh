#!/bin/sh
# Training on the pendulum: killed at any moment and resumed, a run ends with the same bytes; with any
# number of threads, too; and what it exports is a policy.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

small="--env pendulum --hidden 32,32 --batch 64 --envs 2 --steps 12000 --warmup 600 --eval-every 2000 \
    --eval-episodes 2 --rate 1e-3 --seed 3"
# shellcheck disable=SC2086
expect 0 train --algo td3 $small -o "$dir/whole" --threads 1
prints 'policy.onnx'
[ "$(wc -l <"$dir/whole/progress.csv")" -gt 10 ] || fail "progress.csv is short"

# shellcheck disable=SC2086
"$deft" train --algo td3 $small -o "$dir/killed" --checkpoint 0.001 --threads 2 >/dev/null 2>&1 &
pid=$!
tries=0
while [ ! -f "$dir/killed/checkpoint.bin" ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null || true
[ -f "$dir/killed/checkpoint.bin" ] || fail "no checkpoint after 30 s"
rm -f "$dir/killed/result.json" # where it was quicker than the kill: as if killed at the very end
touch "$dir/killed/checkpoint.bin.deft-tmp-aB3dEf" "$dir/killed/policy.onnx.backup"
expect 0 train --resume "$dir/killed" --threads 3
[ -e "$dir/killed/policy.onnx.backup" ] || fail "a file of the user's is gone"
[ ! -e "$dir/killed/checkpoint.bin.deft-tmp-aB3dEf" ] || fail "what a kill left of a file stays"
for f in policy.onnx policy.deft policy-int8.deft last.onnx progress.csv; do
    cmp -s "$dir/whole/$f" "$dir/killed/$f" || fail "$f differs after kill -9 and --resume"
done

[ "$(find "$dir/killed" -name 'events.out.tfevents.*' | wc -l)" = 2 ] || fail "not an event file for each session"
/usr/bin/python3 "$src/tests/cli/read_run.py" "$dir/whole" 1 || fail "logs of the whole run"
/usr/bin/python3 "$src/tests/cli/read_run.py" "$dir/killed" 2 || fail "logs of the killed run"

expect 0 eval "$dir/whole/policy.onnx" "$dir/whole/policy.deft" "$dir/whole/policy-int8.deft" \
    --env pendulum -n 10 --json
json 'j[0]["reward"] == j[1]["reward"]'
/usr/bin/python3 - "$dir/out" "$dir/whole/result.json" <<'PY' || fail "result.json"
import json, sys
rows, result = (json.load(open(p)) for p in sys.argv[1:])
for row, key in ((rows[0], "policy"), (rows[2], "int8")):
    assert abs(row["reward"]["mean"] - result[key]["return"]) < 1e-6, (key, row, result)
assert abs(result["int8"]["return"] - result["policy"]["return"]) < 60
assert result["int8"]["bytes"] < result["policy"]["bytes"]
PY
# twelve thousand steps are enough to swing up most of the time
json 'j[0]["reward"]["mean"] > -600'

# the report is a page that is complete in itself
cat >"$dir/page.py" <<'PY'
import html.parser, sys, urllib.parse
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            assert name not in ("src",) and not (name == "href" and "//" in value), (tag, value)
        if tag not in ("meta", "br"):
            self.open.append(tag)
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
    def handle_data(self, data):
        self.text += data
page = Page()
page.feed(open(sys.argv[1]).read())
page.close()
assert page.open == [], page.open
assert page.tags.count("svg") == int(sys.argv[2]), page.tags.count("svg")
for word in sys.argv[3:]:
    assert word in page.text, word
assert "nan" not in page.text
PY
curves=0
command -v gnuplot >/dev/null && curves=4
/usr/bin/python3 "$dir/page.py" "$dir/whole/report.html" $curves policy_delay 'integers (policy-int8.deft)' ||
    fail "report.html"

# folders above the run's are made; a file in their place is not touched
expect 0 train --algo td3 --env pendulum --hidden 8 --batch 8 --steps 100 -o "$dir/a/b/c"
[ -f "$dir/a/b/c/policy.onnx" ] || fail "no run below folders that were missing"
touch "$dir/a/file"
expect 1 train --algo td3 --env pendulum -o "$dir/a/file/run"
says 'a/file/run: cannot make the folder'

expect 1 train --algo td3 --env pendulum -o "$dir/whole"
says 'already holds a run'
expect 2 train --algo ppo --env pendulum -o "$dir/x"
says 'ra-sac'
expect 2 train --algo td3
printf '{"env": "pendulum"}' >"$dir/whole/config.json"
expect 1 train --resume "$dir/whole"
says "field '.*' is missing"
expect 0 train --algo ra-sac --env pendulum --hidden 16,16 --batch 16 --steps 600 --encoder-hidden 8 \
    --encoder-layers 2 --eval-every 300 -o "$dir/ra"
expect 0 info "$dir/ra/policy.onnx" --json
json 'j["recurrent"]["layers"] == 2 and j["recurrent"]["hidden"] == 8'

[ $curves = 0 ] || curves=5
/usr/bin/python3 "$dir/page.py" "$dir/ra/report.html" $curves Temperature || fail "report.html of SAC"
expect 0 train --resume "$dir/ra"
prints 'finished already'
expect 0 train --resume "$dir/ra" --json
json 'j["step"] >= 600 and j["last"]["step"] == j["step"]'
cp -r "$dir/ra" "$dir/blind"
rm "$dir/blind/result.json" # as a kill at the very end leaves it
# shellcheck disable=SC2123
(PATH=/nowhere && expect 0 train --resume "$dir/blind") || exit 1
/usr/bin/python3 "$dir/page.py" "$dir/blind/report.html" 0 'gnuplot is missing' || fail "report without gnuplot"

# settings of another run, some of them changed
expect 0 train --config "$dir/ra/config.json" --batch 8 --seed 5 -o "$dir/again"
python3 - "$dir/ra/config.json" "$dir/again/config.json" <<'PY' || fail "--config"
import json, sys
a, b = (json.load(open(p)) for p in sys.argv[1:])
sys.exit({k for k in a if a[k] != b[k]} != {"batch", "seed"} or b["seed"] != 5)
PY
printf '{"algo": "r-sac", "env": "pendulum", "steps": 500, "hiden": [8]}' >"$dir/c.json"
expect 1 train --config "$dir/c.json" -o "$dir/x"
says "c.json: field 'hiden' is not known"
printf '{"algo": "r-sac", "env": "pendulum", "steps": "many"}' >"$dir/c.json"
expect 1 train --config "$dir/c.json" -o "$dir/x"
says "field 'steps' is not a whole number"
printf '{"algo": "ppo"}' >"$dir/c.json"
expect 1 train --config "$dir/c.json" -o "$dir/x"
says "no algorithm 'ppo'"
[ ! -e "$dir/x" ] || fail "a folder for a run that never began"
printf '{"algo": "r-sac", "env": "pendulum", "hidden": [8], "batch": 8, "steps": 300, "encoder_hidden": 4}' \
    >"$dir/c.json"
expect 0 train --config "$dir/c.json" --algo ra-td3 -o "$dir/x"
grep -q '"previous_action": true' "$dir/x/config.json" || fail "--algo does not win over --config"

# warm start: before a gradient step, the policy is the one that was loaded
small="--algo ra-sac --env pendulum --hidden 16,16 --batch 16 --encoder-hidden 8 --encoder-layers 2"
for start in policy.onnx policy.deft; do
    # shellcheck disable=SC2086
    expect 0 train $small --steps 80 --warmup 1000 --load "$dir/ra/$start" -o "$dir/warm-$start"
    expect 0 compare "$dir/ra/policy.onnx" "$dir/warm-$start/last.onnx" --env pendulum --json
    json 'j["actions"]["max_abs"] == 0'
    cmp -s "$dir/ra/policy.onnx" "$dir/warm-$start/last.onnx" || fail "$start was not taken over"
done
# shellcheck disable=SC2086
expect 1 train $small --hidden 16,24 --load "$dir/ra/policy.onnx" -o "$dir/y"
says 'layer 4 is dense 16 -> 16 relu in the policy and dense 16 -> 24 relu (actor.1)'
# shellcheck disable=SC2086
expect 1 train $small --encoder lstm --load "$dir/ra/policy.onnx" -o "$dir/y"
says 'layer 1 is gru 4 -> 8 in the policy and lstm 4 -> 8 (encoder.0)'
expect 1 train --algo td3 --env pendulum --load "$dir/ra/policy.onnx" -o "$dir/y"
says 'layer 1 is gru'
[ ! -e "$dir/y/config.json" ] || fail "a run that never began"
expect 2 train --resume "$dir/ra" --load "$dir/ra/policy.onnx"

# observations normalised: the warm start has them likewise, whether it asks for that or not
small="--algo td3 --env pendulum --hidden 8,8 --batch 8"
# shellcheck disable=SC2086
expect 0 train $small --normalize --steps 400 --warmup 100 -o "$dir/normal"
# shellcheck disable=SC2086
expect 0 train $small --normalize --steps 400 --warmup 300 --updates 0.001 --load "$dir/normal/last.onnx" -o "$dir/n2"
cmp -s "$dir/normal/last.onnx" "$dir/n2/policy.onnx" || fail "the normaliser was not taken over"
