#!/bin/sh
# decode_integer.sh BINARY_DIR SOURCE_DIR - the decoder that was written from docs/format.md alone takes policies
# through 500 recurrent steps and agrees with 'deft run' in every bit: the shipped ones, those of all exporters,
# in every scheme and both layouts, and two of the paper's in $DEFT_REFERENCE_DIR.
. "$2/tests/cli/harness.sh"
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "no numpy: skipped"; exit 77; }
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
slow=
case $1 in *asan*) slow=1 ;; esac

# agrees NAME - the image in $dir/p.deft: its fields, 500 random rows, its self-test
agrees() {
    name=$1
    expect 0 info "$dir/p.deft" --json
    n_obs=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["observations"])' <"$dir/out")
    awk -v n="$n_obs" 'BEGIN {
        srand(5)
        for (i = 0; i < n; i++) printf "obs%d%s", i, i + 1 < n ? "," : "\n"
        for (t = 0; t < 500; t++)
            for (i = 0; i < n; i++) printf "%.5f%s", 2 * (rand() + rand() + rand() - 1.5), i + 1 < n ? "," : "\n"
    }' >"$dir/obs.csv"
    expect 0 run "$dir/p.deft" --force --obs "$dir/obs.csv" -o "$dir/act.csv"
    /usr/bin/python3 "$src/tests/golden/decode_integer.py" --run "$dir/p.deft" "$dir/obs.csv" "$dir/act.csv" ||
        fail "$name"
    /usr/bin/python3 "$src/tests/golden/check_integer.py" "$dir/p.deft" >"$dir/err" || {
        cat "$dir/err"
        fail "$name"
    }
}

# quantized POLICY OPTION...
quantized() {
    policy=$1
    shift
    expect 0 quantize "$policy" -n 1 -o "$dir/p.deft" "$@"
    agrees "$policy $*"
}
for scheme in int8 w8a16 w4a8 w4a16 int16 pow2; do
    quantized "$src/models/pendulum/ra-td3.onnx" --env pendulum --scheme $scheme --layout rows
done
quantized "$src/models/pendulum/ra-td3.onnx" --env pendulum --scheme w4a8 --layout panels
quantized "$src/models/pendulum/td3.onnx" --env pendulum --layout panels

# every kind of layer and of graph
n=0
for onnx in "$policies"/*.onnx; do
    n=$((n + 1))
    if [ -n "$slow" ] && [ $((n % 8)) != 0 ]; then continue; fi
    case $((n % 4)) in 0) scheme=int8 ;; 1) scheme=w4a8 ;; 2) scheme=int16 ;; 3) scheme=w8a16 ;; esac
    layout=rows
    [ $((n % 3)) != 0 ] || layout=panels
    # some are integers already, or have no recording that fits
    "$deft" quantize "$onnx" --calib "${onnx%.onnx}.csv" --scheme "$scheme" --layout $layout -o "$dir/p.deft" \
        >"$dir/out" 2>"$dir/err" || continue
    agrees "$(basename "$onnx") $scheme $layout"
done
ref=${DEFT_REFERENCE_DIR-}
[ -d "$ref/models/onnx" ] || exit 0
for scheme in int8 w4a8; do
    quantized "$(echo "$ref"/models/onnx/aug_*_RA-SAC_*.onnx)" --rewire cascade --scheme $scheme \
        --scene "$src/models/quaid/flat.xml"
done
