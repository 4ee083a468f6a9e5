#!/bin/sh
# Images of the paper's policies, names, proofs and self-test included, stay below their budgets.
. "$2/tests/cli/harness.sh"
ref=${DEFT_REFERENCE_DIR-}
[ -d "$ref/models/onnx" ] || exit 77
scene=$src/models/quaid/flat.xml

# fits BYTES FILE OPTION...
fits() {
    most=$1 file=$2
    shift 2
    expect 0 quantize "$file" --contract quaid-normalised --scene "$scene" -n 1 --layout rows -o "$dir/p.deft" "$@"
    bytes=$(wc -c <"$dir/p.deft")
    [ "$bytes" -le "$most" ] || fail "$bytes bytes, at most $most: $*"
    echo "$bytes bytes of at most $most: $(basename "$file") $*"
}
ra=$(echo "$ref"/models/onnx/aug_*_RA-TD3_*.onnx)
fits 168000 "$ra" --rewire cascade
fits 105000 "$ra" --rewire cascade --scheme w4a8
fits 90000 "$ra" --rewire cascade --weight-bits 4 --all-layers
fits 78000 "$(echo "$ref"/models/onnx/act_*_TD3_*.onnx)"
