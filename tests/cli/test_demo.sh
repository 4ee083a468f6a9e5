#!/bin/sh
# The demo runs through with what the project ships, and shows what it promises.
. "$2/tests/cli/harness.sh"
cd "$src" || exit 1
"$deft" eval models/pendulum/td3.onnx --scene flat -n 1 >"$dir/out" 2>&1 || true
! grep -q 'missing when deft was built' "$dir/out" || exit 77
DEFT_REFERENCE_DIR=/nonexistent DEFT_DEMO_DIR=$dir/demo sh tools/demo.sh "$deft" >"$dir/out" 2>"$dir/err" ||
    fail "the demo stopped"
prints '^verified .* largest difference'
prints '^policy.onnx  *-[0-9]' # a pendulum that was just trained
prints 'int8.deft: [0-9]* bytes, int8'
prints '^reward .* +-'
prints '^int8.deft .* +-'
for name in td3 sac ra-sac ra-td3-fast; do
    prints "^$name.onnx .* +-"
    prints "^$name-int8.deft .* +-"
done
prints '^policy .*step/read'
says 'the self-test passed'
grep -q '</html>' "$dir/demo/report.html" || fail "no report"
