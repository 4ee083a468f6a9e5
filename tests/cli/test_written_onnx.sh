#!/bin/sh
# Every kind of model the ONNX writer knows passes onnx.checker, and numpy computes from the file
# what the test's own interpreter computed.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
/usr/bin/python3 -c 'import onnx, numpy' 2>/dev/null || exit 77
"$1/tests/test_onnx_writer" "$dir" || exit 1
for f in "$dir"/*.onnx; do
    csv=${f%.onnx}.csv
    /usr/bin/python3 "$2/tests/golden/check_written_onnx.py" "$f" "$csv" "$csv" || exit 1
done
