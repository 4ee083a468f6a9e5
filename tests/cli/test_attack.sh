#!/bin/sh
# Files that ask for far more than they hold: an answer within 2 s and 500 MB from every subcommand.
. "$2/tests/cli/harness.sh"
python=/usr/bin/python3
[ -x "$python" ] || exit 77
build=exact
case $1 in *asan* | *fuzz*) build=slow ;; esac
policy=$src/models/quaid/policies/td3.onnx

expect 0 quantize "$src/models/pendulum/td3.onnx" --env pendulum -n 1 -o "$dir/integer.deft"
$python "$src/tools/make_attack_files.py" "$dir/made" "$src/models/quaid/robot.xml" \
    "$dir/integer.deft" || fail "the files cannot be made"

# Those in which the scenes name others are no files to try by themselves.
files=$(ls "$dir"/made/*.deft "$dir"/made/*.onnx "$dir"/made/*.pt "$dir"/made/*.safetensors \
    "$dir"/made/scene_*.xml 2>/dev/null) # without python3-onnx there are no .onnx
cases=$src/../shared/cases/attack
if [ -d "$cases" ]; then
    mkdir "$dir/cases"
    for f in "$cases"/*; do
        case $f in *.deft | *.onnx | *.pt | *.xml) cp "$f" "$dir/cases/" ;; esac
    done
    chmod -R u+w "$dir/cases"
    mkfifo "$dir/cases/fifo.bin"
    files="$files $(ls "$dir"/cases/*.deft "$dir"/cases/*.onnx "$dir"/cases/*.pt "$dir"/cases/*.xml)"
fi
mkdir "$dir/scratch"
# shellcheck disable=SC2086
$python "$src/tests/cli/measure_attack.py" "$deft" "$policy" "$dir/scratch" $build $files || exit 1

# What is just within the bounds is served, and by what is beyond them one learns why.
expect 0 info "$dir/made/near_wide.deft"
expect 0 info "$dir/made/near_packed.pt" --assume
expect 1 info "$dir/made/image_selftest.deft"
says 'self-test of 65535 steps would take'
expect 1 info "$dir/made/packed_zeros.pt"
says 'more than a checkpoint may take'
expect 1 info "$dir/made/views.pt"
says 'more than the [0-9]* bytes that an archive of this size may hold'
if [ -e "$dir/made/ifs.onnx" ]; then
    expect 0 info "$dir/made/near_weights.onnx"
    expect 1 info "$dir/made/ifs.onnx"
    says "node [0-9]* 'MatMul': takes more operations than a file of this size may ask for"
    expect 1 info "$dir/made/shared_data.onnx"
    says 'take more bytes than their files hold'
    expect 1 info "$dir/made/data_fifo.onnx"
    says 'no such regular file'
fi
if "$deft" eval "$policy" --scene flat -n 1 --max-steps 1 >/dev/null 2>&1; then # built with MuJoCo
    expect 0 eval "$policy" --scene "$dir/made/scene_near_hfield.xml" -n 1 --max-steps 1
    expect 1 eval "$policy" --scene "$dir/made/scene_hfield.xml" -n 1
    says 'scene_hfield.xml:1: height fields of 9e+08 samples'
    expect 1 eval "$policy" --scene "$dir/made/scene_include_fifo.xml" -n 1
    says 'scene_include_fifo.xml:1: included: .*pipe.xml: not a regular file'
fi
