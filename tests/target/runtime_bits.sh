#!/bin/sh
# runtime_bits.sh DEFT SOURCE_DIR - the freestanding runtime gives this machine's bits in 32 bits (x87 too,
# where only integers are computed) and on an emulated AArch64: policies of every kind, floats and
# integers, 500 recurrent steps.
set -eu
deft=$1 src=$2
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
steps=500

# runtime NAME SOURCES CC FLAG... - $tmp/NAME
runtime() {
    out=$tmp/$1 list=$2
    shift 2
    # shellcheck disable=SC2046
    "$@" -std=c11 -ffp-contract=off -I"$src/include" -I"$src/src" $(cat "$tmp/$list") "$src/tests/target/replay.c" \
        -o "$out"
}
for f in "$src"/src/image/*.c "$src"/src/runtime/*.c; do echo "$f"; done >"$tmp/both"
{
    cat "$tmp/both"
    for f in base/crc32 base/math_f32 base/status kernels/kernels_ref kernels/kernels_int kernels/kernels_q_panels \
        kernels/kernels_q_ref kernels/kernels_q_pointwise; do echo "$src/src/$f.c"; done
} >"$tmp/all"
{
    grep -v -e '/image_layer\.c$' -e '/image_open\.c$' -e '_f32\.c$' -e '/contract\.c$' -e '/defaults\.c$' "$tmp/both"
    for f in base/crc32 base/status runtime/parts/integers kernels/kernels_int kernels/kernels_q_ref \
        kernels/kernels_q_pointwise; do echo "$src/src/$f.c"; done
} >"$tmp/integers"

float_programs='' integer_programs=''
if echo 'int main(void){return 0;}' | gcc -m32 -x c - -o "$tmp/m32" 2>/dev/null; then
    for o in -O0 -O2 -O3 -Os; do
        runtime "sse$o" all gcc -m32 -msse2 -mfpmath=sse $o
        runtime "x87$o" integers gcc -m32 -mfpmath=387 $o
        float_programs="$float_programs sse$o"
        integer_programs="$integer_programs x87$o"
    done
else
    echo "no gcc -m32: left out"
fi
if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
    runtime arm.bin all aarch64-linux-gnu-gcc -static -O2
    printf '#!/bin/sh\nexec qemu-aarch64 -cpu cortex-a72 "%s/arm.bin" "$@"\n' "$tmp" >"$tmp/aarch64"
    chmod +x "$tmp/aarch64"
    float_programs="$float_programs aarch64"
else
    echo "no aarch64: left out"
fi
[ -n "$float_programs" ] || exit 77

# agree IMAGE PROGRAM...
agree() {
    image=$1
    shift
    "$deft" run "$image" --force --obs "$tmp/obs.csv" -o "$tmp/act.csv" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    for program in "$@"; do
        "$tmp/$program" "$image" "$tmp/obs" >"$tmp/got" || { echo "$name, $program: status $?"; exit 1; }
        n_act=$(head -n 1 "$tmp/got" | tr , '\n' | wc -l)
        tail -n +2 "$tmp/act.csv" | cut -d, -f1-"$n_act" >"$tmp/want"
        cmp -s "$tmp/got" "$tmp/want" || { echo "$name, $program: other actions"; exit 1; }
        [ "$(wc -l <"$tmp/got")" = $steps ] || { echo "$name: fewer than $steps steps"; exit 1; }
        runs=$((runs + 1))
    done
}

observations() { # of the image $1
    n=$("$deft" info "$1" | sed -n 's/^observations *\([0-9]*\).*/\1/p')
    awk -v n="$n" -v steps=$steps 'BEGIN {
        srand(5)
        for (t = 0; t < steps; t++)
            for (i = 0; i < n; i++) printf "%.5f%s", 3 * (rand() + rand() + rand() - 1.5), i + 1 < n ? "," : "\n"
    }' >"$tmp/obs"
    awk -v n="$n" 'BEGIN { for (i = 0; i < n; i++) printf "obs%d%s", i, i + 1 < n ? "," : "\n" } { print }' \
        "$tmp/obs" >"$tmp/obs.csv"
}

# both NAME FILE SCHEME OPTION_OF_BOTH CALIBRATION... - as floats and as integers
both() {
    name=$1 file=$2 scheme=$3 option=$4
    shift 4
    # shellcheck disable=SC2086
    if "$deft" convert "$file" $option -o "$tmp/f.deft" >"$tmp/log" 2>&1; then
        observations "$tmp/f.deft"
        # shellcheck disable=SC2086
        agree "$tmp/f.deft" $float_programs
        policies=$((policies + 1))
    fi
    # shellcheck disable=SC2086
    if "$deft" quantize "$file" $option "$@" --scheme "$scheme" --layout rows -o "$tmp/q.deft" >"$tmp/log" 2>&1; then
        observations "$tmp/q.deft"
        # shellcheck disable=SC2086
        agree "$tmp/q.deft" $float_programs $integer_programs
        policies=$((policies + 1))
    fi
}

policies=0 runs=0 i=0
for onnx in "$src"/tests/golden/policies/*.onnx; do
    i=$((i + 1))
    case $((i % 3)) in 0) scheme=int8 ;; 1) scheme=w4a8 ;; *) scheme=int16 ;; esac
    both "$(basename "$onnx")" "$onnx" "$scheme" "" --calib "${onnx%.onnx}.csv"
done
[ $policies -ge 140 ] || { echo "only $policies images"; exit 1; }
for scheme in int8 w4a8; do
    for p in td3 ra-td3; do
        both "pendulum $p" "$src/models/pendulum/$p.onnx" "$scheme" "" --env pendulum -n 1
    done
done
ref=${DEFT_REFERENCE_DIR-}
if [ -d "$ref/models/onnx" ]; then
    for onnx in "$ref"/models/onnx/a*.onnx; do
        case $onnx in */aug_*) rewire="--rewire cascade" ;; *) rewire= ;; esac
        both "$(basename "$onnx")" "$onnx" int8 "$rewire" -n 1
    done
fi
echo "$policies images, $runs runs of $steps steps: every bit as here"
