#!/bin/sh
# A policy becomes integers: small, close to the float one, and earning as much on the pendulum; the same
# input gives the same bytes.
. "$2/tests/cli/harness.sh"
[ -x /usr/bin/python3 ] || exit 77

for p in td3 ra-td3; do
    policy=$src/models/pendulum/$p.onnx
    expect 0 quantize "$policy" --env pendulum -o "$dir/$p.deft" --json
    json 'j["action_rms"] < 0.05 and len(j["matrices"]) >= 3'
    json 'all(m["accumulator_bits"] <= 31 for m in j["matrices"])'
    expect 0 quantize "$policy" --env pendulum -o "$dir/again.deft"
    prints 'action error'
    cmp -s "$dir/$p.deft" "$dir/again.deft" || fail "$p: two runs give two images"
    expect 0 eval "$policy" "$dir/$p.deft" --env pendulum -n 60 --json
    json 'abs(j[0]["reward"]["mean"] - j[1]["reward"]["mean"]) < 8'
    for scheme in w8a16 w4a8 w4a16 int16 pow2; do
        expect 0 quantize "$policy" --env pendulum --scheme $scheme -o "$dir/$scheme.deft" -n 2
        expect 0 info "$dir/$scheme.deft"
        expect 0 eval "$dir/$scheme.deft" --env pendulum -n 2
    done
done

# ONNX Runtime's way, for comparison: a graph that onnx.checker takes and the evaluator runs
expect 0 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum --scheme dynamic -o "$dir/dynamic.onnx"
/usr/bin/python3 - "$dir/dynamic.onnx" <<'PY' || fail "onnx.checker refuses the graph"
import sys
try:
    import onnx
except ImportError:
    sys.exit(0)
m = onnx.load(sys.argv[1])
onnx.checker.check_model(m)
sys.exit(sum(n.op_type == "MatMulInteger" for n in m.graph.node) < 3)
PY
expect 0 eval "$src/models/pendulum/ra-td3.onnx" "$dir/dynamic.onnx" --env pendulum -n 20 --json
json 'abs(j[0]["reward"]["mean"] - j[1]["reward"]["mean"]) < 40'

# from a recording
expect 0 quantize "$policies/sb3_ppo.onnx" --calib "$policies/sb3_ppo.csv" -o "$dir/ppo.deft" --json
json 'j["action_rms"] < 0.02'

expect 1 quantize "$src/models/pendulum/td3.onnx" --env pendulum --scheme int5 -o "$dir/x.deft"
says 'int5'
expect 1 quantize "$dir/td3.deft" --env pendulum -o "$dir/x.deft"
says 'integer'
expect 1 quantize "$src/models/pendulum/td3.onnx" --calib "$dir/none.csv" -o "$dir/x.deft"
says 'none.csv'
[ ! -e "$dir/x.deft" ] || fail "a failed quantization left a file"

# a sweep over widths: more bits, no less return; it goes on where it was, and refuses another's file
expect 0 quantize "$src/models/pendulum/td3.onnx" --env pendulum -n 1 --bits 2..4 --sweep --returns 6 -o "$dir/sweep.csv"
prints 'float'
[ "$(grep -c '^[0-9]' "$dir/sweep.csv")" = 4 ] || fail "not four rows"
head -n 4 "$dir/sweep.csv" >"$dir/cut.csv" && mv "$dir/cut.csv" "$dir/sweep.csv"
expect 0 quantize "$src/models/pendulum/td3.onnx" --env pendulum -n 1 --bits 2..5 --sweep --returns 6 -o "$dir/sweep.csv" --json
json 'sorted(r["bits"] for r in j) == [2, 3, 4, 5, 32]'
json '{r["bits"]: r["reward"] for r in j}[5] > {r["bits"]: r["reward"] for r in j}[2]'
if command -v gnuplot >/dev/null; then
    grep -q '<svg' "$dir/sweep.svg" || fail "no curve"
fi
expect 1 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum -n 1 --bits 2..4 --sweep --returns 6 -o "$dir/sweep.csv"
says 'a sweep of another policy'
expect 2 quantize "$src/models/pendulum/td3.onnx" --env pendulum --bits 2..4
expect 2 quantize "$src/models/pendulum/td3.onnx" --env pendulum --bits 1
expect 0 quantize "$src/models/pendulum/td3.onnx" --env pendulum -n 1 --bits 6 --json -o "$dir/six.deft"
json 'all(m["bits"] <= 8 for m in j["matrices"])'

# float beside integers: layers, actions, returns, and a page
expect 0 compare "$src/models/pendulum/ra-td3.onnx" "$dir/ra-td3.deft" --env pendulum -n 8 --json --report "$dir/page.html"
json 'len(j["layers"]) == 6 and all(l["snr_db"] > 15 for l in j["layers"])'
json 'abs(j["closed_loop"]["reward"]["difference"]["mean"]) < 5'
json 'j["closed_loop"]["reward"]["independent_ci95"] > j["closed_loop"]["reward"]["difference"]["ci95"] > 0'
grep -q '</html>' "$dir/page.html" || fail "the page does not end"
if command -v gnuplot >/dev/null; then
    [ "$(grep -c '<svg' "$dir/page.html")" -ge 3 ] || fail "the page has no curves"
fi
# worse integers are worse: the measure can tell
expect 0 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum -n 1 --bits 3 --all-layers -o "$dir/three.deft"
expect 0 compare "$src/models/pendulum/ra-td3.onnx" "$dir/three.deft" --env pendulum -n 3 --json
json 'j["layers"][3]["snr_db"] < 20'
