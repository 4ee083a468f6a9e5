#!/bin/sh
# The demo runs through with what the project ships, and shows what it promises.
. "$2/tests/cli/harness.sh"
cd "$src" || exit 1
DEFT_REFERENCE_DIR=/nonexistent DEFT_DEMO_DIR=$dir/demo sh tools/demo.sh "$deft" >"$dir/out" 2>"$dir/err" ||
    fail "the demo stopped"
prints '^verified .* largest difference'
prints 'ra-td3.deft: [0-9]* bytes; the policy was verified'
prints '^ra-td3.deft  *-1[0-9][0-9]\.'
prints '^policy .*step/read'
