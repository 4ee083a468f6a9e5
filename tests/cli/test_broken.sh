#!/bin/sh
# Files that are no policies: status 1, one line that names the file, no crash.
. "$2/tests/cli/harness.sh"

broken() { # broken FILE - for every subcommand that reads a policy
    for c in info "convert -o $dir/never.deft" "run --obs $policies/aug_stack.csv" \
        "compare --obs $policies/aug_stack.csv" 'eval --env pendulum' bench; do
        # shellcheck disable=SC2086
        expect 1 $c "$1"
        [ ! -s "$dir/out" ] || fail "stdout is not empty: $c $1"
        says "^deft ${c%% *}: .*$(basename "$1")"
        [ "$(wc -l <"$dir/err")" = 1 ] || fail "more than one line: $c $1"
    done
    [ ! -e "$dir/never.deft" ] || fail "an output was written"
}
p=$src/models/pendulum/ra-td3.onnx
: >"$dir/empty.onnx"
head -c 1000 "$p" >"$dir/cut.onnx"
echo 'not a policy' >"$dir/text.onnx"
head -c 100000 /dev/zero >"$dir/zeros.deft"
mkdir "$dir/folder.onnx"
mkfifo "$dir/pipe.onnx"
for f in empty.onnx cut.onnx text.onnx zeros.deft folder.onnx pipe.onnx missing.onnx; do
    broken "$dir/$f"
done
expect 0 convert "$p" -o "$dir/good.deft"
head -c 2000 "$dir/good.deft" >"$dir/cut.deft"
broken "$dir/cut.deft"
for at in 0 5 70 500 5000; do # any flipped bit is found
    cp "$dir/good.deft" "$dir/flip.deft"
    byte=$(od -An -tu1 -j $at -N 1 "$dir/good.deft" | tr -d ' ')
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o' $((byte ^ 16)))" |
        dd of="$dir/flip.deft" bs=1 seek=$at conv=notrunc 2>/dev/null
    expect 1 info "$dir/flip.deft"
    says 'flip.deft'
done
for f in "$src"/tests/fuzz/formats/fuzz_onnx.corpus/claims_2gb.onnx \
    "$src"/tests/fuzz/formats/fuzz_onnx.corpus/cycle.onnx \
    "$src"/tests/fuzz/formats/fuzz_onnx.corpus/truncated.onnx \
    "$src"/tests/fuzz/formats/fuzz_onnx.corpus/external.onnx \
    "$src"/tests/fuzz/formats/fuzz_onnx.corpus/no_graph.onnx; do
    broken "$f"
done

# names that would reach a terminal are escaped
name=$(printf 'evil\033[31m.onnx')
echo x >"$dir/$name"
expect 1 info "$dir/$name"
says 'evil\\x1b'
# a full disk is not success
if [ -c /dev/full ]; then
    status=0
    "$deft" info "$p" >/dev/full 2>"$dir/err" || status=$?
    [ "$status" = 1 ] || fail "status $status with a full disk"
fi
