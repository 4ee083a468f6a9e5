#!/bin/sh
# Actions for recorded observations, against what PyTorch computed.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

n=0
for f in "$policies"/*.onnx; do
    csv=${f%.onnx}.csv
    case $f in */isaaclab_metadata.onnx) continue ;; esac # its metadata scales actions: see below
    expect 0 compare "$f" --obs "$csv" --fail-above 2e-5
    expect 0 compare "$f" --obs "$csv" --json
    json 'j["actions"]["max_abs"] <= 2e-5 and j["rows"] >= 10'
    n=$((n + 1))
done
[ "$n" -ge 40 ] || fail "only $n fixtures"

# joint target = default + scale * network output
expect 0 run "$policies/isaaclab_metadata.onnx" --obs "$policies/isaaclab_metadata.csv"
says 'actions are joint targets'
cp "$dir/out" "$dir/isaaclab.csv"
expect 0 info "$policies/isaaclab_metadata.onnx" --contract-table
/usr/bin/python3 - "$dir/isaaclab.csv" "$policies/isaaclab_metadata.csv" "$dir/out" <<'PY' || fail "isaaclab"
import csv, sys
a, b = (list(csv.DictReader(open(p))) for p in sys.argv[1:3])
rows = [line.split() for line in open(sys.argv[3]) if line.startswith("act ")]
offset, scale = ([float(r[-k]) for r in rows] for k in (4, 3))
assert len(rows) == 4 and any(offset) and any(s != 1 for s in scale)
sys.exit(max(abs(float(x[f"act{k}"]) - offset[k] - scale[k] * float(y[f"act{k}"]))
             for x, y in zip(a, b) for k in range(4)) > 1e-5)
PY

f=$policies/aug_stack.onnx csv=$policies/aug_stack.csv
expect 0 run "$f" --obs "$csv" --hidden
head -n 1 "$dir/out" | grep -q '^act0,act1,act2,act3,h2_0,h2_1,' || fail "header"
[ "$(wc -l <"$dir/out")" = "$(wc -l <"$csv")" ] || fail "rows"
cp "$dir/out" "$dir/stdout.csv"
expect 0 run "$f" --obs "$csv" --hidden -o "$dir/file.csv"
[ ! -s "$dir/out" ] || fail "-o prints"
cmp -s "$dir/stdout.csv" "$dir/file.csv" || fail "-o writes something else"
expect 0 run "$f" --obs "$csv" --hidden --kernels ref
cmp -s "$dir/stdout.csv" "$dir/out" || fail "kernels differ"
/usr/bin/python3 - "$dir/file.csv" "$csv" <<'PY' || fail "actions differ from the recorded ones"
import csv, sys
a, b = (list(csv.DictReader(open(p))) for p in sys.argv[1:])
sys.exit(max(abs(float(x[f"act{k}"]) - float(y[f"act{k}"])) for x, y in zip(a, b) for k in range(4)) > 1e-5)
PY

# errors of recordings name the file and the place
printf 'obs0,obs1\n1,2\n' >"$dir/two.csv"
expect 1 run "$f" --obs "$dir/two.csv"
says 'two.csv'
printf 'obs0,obs2\n1,2\n' >"$dir/gap.csv"
expect 1 run "$f" --obs "$dir/gap.csv"
says 'gap.csv.*obs1'
sed '3s/^[^,]*/nan/' "$csv" >"$dir/nan.csv"
expect 1 run "$f" --obs "$dir/nan.csv"
says 'nan.csv.*row 2.*obs0'
head -n 1 "$csv" >"$dir/header.csv"
expect 1 run "$f" --obs "$dir/header.csv"
says 'header.csv.*no rows'
: >"$dir/empty.csv"
expect 1 run "$f" --obs "$dir/empty.csv"
says 'empty.csv'
expect 1 run "$f" --obs "$dir/missing.csv"
says 'missing.csv'
cut -d, -f1-12 "$csv" >"$dir/obs.csv"
expect 1 run "$f" --obs "$dir/obs.csv" --feed recorded
says 'recorded actions'
expect 1 compare "$f" --obs "$dir/obs.csv"
says 'no columns act0'

# a difference is found and fails
expect 1 compare "$policies/aug_stack.onnx" "$policies/aug_delayed.onnx" --obs "$csv" --fail-above 1e-5
says 'actions differ by up to'

# a flag that only resets the state is not an observation: its column begins episodes
f=$policies/recurrent_ppo_flag.onnx
cut -d, -f1-12 "${f%.onnx}.csv" >"$dir/all.csv"
{ head -n 31 "$dir/all.csv"; sed -n '2,31p' "$dir/all.csv"; } | awk -F, -v OFS=, \
    'NR == 1 { print $0, "obs12" } NR > 1 { print $0, (NR == 2 || NR == 32) }' >"$dir/flagged.csv"
expect 0 run "$f" --obs "$dir/flagged.csv"
says 'resets the state with 1'
[ "$(sed -n '2,31p' "$dir/out")" = "$(sed -n '32,61p' "$dir/out")" ] || fail "the flag does not reset"
head -n 31 "$dir/all.csv" >"$dir/half.csv"
sed -n '2,31p' "$dir/out" >"$dir/first_half"
expect 0 run "$f" --obs "$dir/half.csv"
[ "$(tail -n 30 "$dir/out")" = "$(cat "$dir/first_half")" ] || fail "the flag changes observations"
