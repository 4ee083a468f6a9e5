#!/bin/sh
# Any policy that Deft reads becomes integers without options, and the program that is made of it passes
# its own test. Recordings of all kinds are read alike by run, compare and quantize.
. "$2/tests/cli/harness.sh"
[ -x /usr/bin/python3 ] || exit 77
cc=${CC:-cc}
n=0

# makes POLICY - quantize, compile, build, test; a long time is told, and a very long one fails
makes() {
    begin=$(date +%s)
    expect 0 quantize "$1" -o "$dir/any.deft"
    rm -rf "$dir/made"
    expect 0 compile "$dir/any.deft" -o "$dir/made"
    "$cc" -O1 -std=c99 -ffp-contract=off "$dir"/made/*.c -lm -o "$dir/program" 2>"$dir/err" || fail "$1: $cc"
    "$dir/program" </dev/null >"$dir/out" 2>&1 || fail "$1: the program"
    grep -q 'self-test passed' "$dir/out" || fail "$1: the self-test"
    took=$(($(date +%s) - begin))
    [ "$took" -le 10 ] || echo "$took s: $1"
    [ "$took" -le 120 ] || fail "$1: $took s"
    n=$((n + 1))
}
for policy in "$src"/models/pendulum/*.onnx "$src"/models/quaid/policies/*.onnx "$policies"/*.onnx; do
    makes "$policy"
done
[ "$n" -ge 60 ] || fail "only $n policies"

# what ranges come from is said; episodes only where the contract names their environment
expect 0 quantize "$policies/sb3_ppo.onnx" -o "$dir/p.deft" --json
says 'calibrated without data'
says 'assumed to have mean 0'
json 'j["calibration"]["source"] == "none" and j["calibration"]["observations"]["assumed"] == 12'
cp "$dir/p.deft" "$dir/q.deft"
expect 0 quantize "$policies/sb3_ppo.onnx" -o "$dir/p.deft"
cmp -s "$dir/p.deft" "$dir/q.deft" || fail "two runs give two images"
expect 0 quantize "$policies/rsl_rl_normalized.onnx" -o "$dir/p.deft" --json
json 'j["calibration"]["observations"]["normalised"] > 0'
expect 0 quantize "$src/models/pendulum/td3.onnx" --contract pendulum -o "$dir/p.deft" --json
says 'environment of its contract'
json 'j["calibration"]["env"] == "pendulum" and j["calibration"]["episodes"] == 4'
expect 0 quantize "$src/models/pendulum/td3.onnx" --contract pendulum --env none -o "$dir/p.deft" --json
json 'j["calibration"]["observations"]["known"] == 3'
expect 0 eval "$src/models/pendulum/td3.onnx" "$dir/p.deft" --env pendulum -n 60 --json
json 'abs(j[0]["reward"]["mean"] - j[1]["reward"]["mean"]) < 12'

# one recording in all forms: the same image
/usr/bin/python3 - "$policies/sb3_ppo.csv" "$dir" <<'PY' || exit 77
import csv, struct, sys, zipfile
rows = list(csv.DictReader(open(sys.argv[1])))
out = sys.argv[2]
n = sum(k.startswith("obs") for k in rows[0])
obs = [[float(r[f"obs{i}"]) for i in range(n)] for r in rows]
names = [k for k in rows[0] if k.startswith("act")]
act = [[float(r[k]) for k in names] for r in rows]
def npy(m, columns, code="f", fortran=False, flat=False):
    cells = [v for r in m for v in r] if not fortran else [r[k] for k in range(columns) for r in m]
    shape = f"({len(m)},)" if flat else f"({len(m)}, {columns})"
    h = "{'descr': '<%s%d', 'fortran_order': %s, 'shape': %s, }" % (
        {"f": "f", "d": "f", "b": "i"}[code], struct.calcsize(code), fortran, shape)
    h += " " * (-(len(h) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(h)) + h.encode() + struct.pack(f"<{len(cells)}{code}", *cells)
open(f"{out}/c.npy", "wb").write(npy(obs, n))
open(f"{out}/f.npy", "wb").write(npy(obs, n, "d", True))
half = len(obs) // 2
starts = [[float(k in (0, half))] for k in range(len(obs))]
with zipfile.ZipFile(f"{out}/a.npz", "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("observations.npy", npy(obs, n))
    z.writestr("actions.npy", npy(act, len(names)))
    z.writestr("episode_starts.npy", npy([[int(v[0])] for v in starts], 1, "b", flat=True))
with zipfile.ZipFile(f"{out}/other.npz", "w") as z:
    z.writestr("images.npy", npy(obs, n))
    z.writestr("labels.npy", npy(act, len(names)))
def text(name, head, make):
    with open(f"{out}/{name}", "w") as f:
        f.write(",".join(head) + "\n")
        for k in range(len(obs)):
            f.write(",".join(repr(v) for v in make(k)) + "\n")
text("obs.csv", [f"obs{i}" for i in range(n)], lambda k: obs[k])
text("shuffled.csv", [f"obs{i}" for i in reversed(range(n))], lambda k: obs[k][::-1])
text("two.csv", ["episode", "step"] + [f"obs{i}" for i in range(n)] + names,
     lambda k: [int(k >= half), k % half] + obs[k] + act[k])
text("surplus.csv", [f"obs{i}" for i in range(n)] + ["ambient", "battery"], lambda k: obs[k] + [1, 2])
wild = [list(r) for r in obs]
for r in wild: r[2] = 0.5
wild[7][1] = 1e4
obs = wild
text("wild.csv", [f"obs{i}" for i in range(n)], lambda k: obs[k])
PY
policy=$policies/sb3_ppo.onnx
expect 0 quantize "$policy" --calib "$dir/obs.csv" -o "$dir/csv.deft"
for f in shuffled.csv c.npy f.npy; do
    expect 0 quantize "$policy" --calib "$dir/$f" -o "$dir/x.deft"
    cmp -s "$dir/csv.deft" "$dir/x.deft" || fail "$f gives another image"
    expect 0 run "$policy" --obs "$dir/$f" --force -o "$dir/x.csv"
done
expect 0 quantize "$policy" --calib "$dir/two.csv" -o "$dir/csv.deft" --json
json 'j["calibration"]["files"][0]["episodes"] == 2 and j["calibration"]["files"][0]["rows"] == 60'
expect 0 quantize "$policy" --calib "$dir/a.npz" -o "$dir/x.deft"
cmp -s "$dir/csv.deft" "$dir/x.deft" || fail "the archive gives another image"
prints 'a.npz: 60 rows, 2 episodes'
expect 0 quantize "$policy" --calib "$dir/obs.csv" --calib "$dir/two.csv,$dir/c.npy" -o "$dir/x.deft" --json
json '[f["rows"] for f in j["calibration"]["files"]] == [60, 60, 60] and j["steps"] == 180'
expect 0 quantize "$policy" --calib "$dir/wild.csv" -o "$dir/x.deft" --json
says 'column obs2 never moves'
says 'column obs1 has 1 outlier: the farthest is 10000 in row 8'
json 'j["calibration"]["files"][0]["never_move"] == ["obs2"]'
json '[(o["column"], o["row"]) for o in j["calibration"]["files"][0]["outliers"]] == [("obs1", 8)]'
for use in "run --obs" "compare --obs" "quantize --calib"; do
    # shellcheck disable=SC2086
    set -- $use
    extra=
    [ "$1" != compare ] || extra=$policy
    # shellcheck disable=SC2086
    expect 1 "$1" "$policy" $extra "$2" "$dir/surplus.csv"
    says 'surplus.csv.*ambient, battery'
    # shellcheck disable=SC2086
    expect 1 "$1" "$policy" $extra "$2" "$dir/other.npz"
    says 'other.npz.*images, labels'
done
expect 2 quantize "$policy" --calib "$dir/obs.csv" --env pendulum -o "$dir/x.deft"

# a new episode is a new state, in run and compare too
f=$policies/aug_stack.onnx
/usr/bin/python3 - "$policies/aug_stack.csv" "$dir/twice.csv" <<'PY'
import sys
head, *rows = open(sys.argv[1]).read().split("\n")
rows = [r for r in rows if r]
with open(sys.argv[2], "w") as f:
    f.write("episode," + head + "\n")
    for e in range(2):
        f.writelines(f"{e},{r}\n" for r in rows)
PY
expect 0 run "$f" --obs "$policies/aug_stack.csv" -o "$dir/once_act.csv"
expect 0 run "$f" --obs "$dir/twice.csv" -o "$dir/twice_act.csv"
{ cat "$dir/once_act.csv"; tail -n +2 "$dir/once_act.csv"; } | cmp -s - "$dir/twice_act.csv" ||
    fail "the second episode is not the first again"
expect 0 compare "$f" --obs "$dir/twice.csv" --fail-above 2e-5

# a log of episodes, by the contract's names; one without observations is refused by name
expect 0 eval "$src/models/pendulum/td3.onnx" --env pendulum -n 1 --log "$dir/log.sqlite"
expect 1 quantize "$src/models/pendulum/td3.onnx" --contract pendulum --calib "$dir/log.sqlite" -o "$dir/x.deft"
says 'log.sqlite.*cos_theta'
/usr/bin/python3 - "$dir/run.sqlite" <<'PY'
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("CREATE TABLE progress (step INTEGER)")
PY
expect 1 run "$src/models/pendulum/td3.onnx" --obs "$dir/run.sqlite"
says 'run.sqlite.*no observations'

# decisions of discrete policies
expect 0 quantize "$policies/dqn_argmax.onnx" -o "$dir/dqn.deft" --json
json 'j["decisions"]["steps"] == 1500 and j["decisions"]["changed"] < 150 and j["decisions"]["median_margin"] > 0'
expect 0 compare "$policies/dqn_argmax.onnx" "$dir/dqn.deft" --obs "$policies/dqn_argmax.csv"
prints 'decisions: .* of 60 differ'

# whatever else can be read
shared=$src/../shared
[ -d "$shared/cases/import" ] && [ -d "$shared/reference/models/onnx" ] || exit 77
before=$n
for policy in "$shared"/reference/models/onnx/*.onnx "$shared"/cases/import/*/*.onnx \
    "$shared"/cases/import/*/*.pt "$shared"/cases/import/*/*.pth "$shared"/cases/import/*/*.zip; do
    [ -f "$policy" ] || continue
    "$deft" info --json "$policy" >"$dir/info" 2>/dev/null || continue
    makes "$policy"
done
echo "$n policies, $((n - before)) of them from elsewhere"
[ "$((n - before))" -ge 12 ] || fail "too few"
