#!/bin/sh
# decode_integer.sh BINARY_DIR SOURCE_DIR - the decoder in Python takes policies through 500 recurrent steps and
# agrees with 'deft run' in every bit: the shipped ones, and one of the paper's in $DEFT_REFERENCE_DIR.
. "$2/tests/cli/harness.sh"
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "no numpy: skipped"; exit 77; }

# agrees N_OBS POLICY OPTION... - quantizes, runs 500 random rows, decodes
agrees() {
    n_obs=$1 policy=$2
    shift 2
    expect 0 quantize "$policy" -n 1 -o "$dir/p.deft" "$@"
    awk -v n="$n_obs" 'BEGIN {
        srand(5)
        for (i = 0; i < n; i++) printf "obs%d%s", i, i + 1 < n ? "," : "\n"
        for (t = 0; t < 500; t++)
            for (i = 0; i < n; i++) printf "%.5f%s", 2 * (rand() + rand() + rand() - 1.5), i + 1 < n ? "," : "\n"
    }' >"$dir/obs.csv"
    expect 0 run "$dir/p.deft" --obs "$dir/obs.csv" -o "$dir/act.csv"
    /usr/bin/python3 "$src/tests/golden/decode_integer.py" --run "$dir/p.deft" "$dir/obs.csv" "$dir/act.csv" ||
        fail "$policy $*"
}
for scheme in int8 w4a8 int16; do
    agrees 3 "$src/models/pendulum/ra-td3.onnx" --env pendulum --scheme $scheme --layout rows
done
agrees 3 "$src/models/pendulum/td3.onnx" --env pendulum --layout panels
ref=${DEFT_REFERENCE_DIR-}
[ -d "$ref/models/onnx" ] || exit 0
agrees 17 "$(echo "$ref"/models/onnx/aug_*_RA-SAC_*.onnx)" --rewire cascade --scene "$src/models/quaid/flat.xml"
