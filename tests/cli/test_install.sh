#!/bin/sh
# What 'cmake --install' puts somewhere runs there, and finds its models after the folder was moved.
. "$2/tests/cli/harness.sh"
if ! grep -q '#define MUJOCO\|DEFT_WITH_MUJOCO' "$1/build.ninja" 2>/dev/null; then
    echo "skipped: without MuJoCo there are no scenes"
    exit 77
fi
command -v cmake >/dev/null || exit 77
cmake --install "$1" --prefix "$dir/first" >"$dir/out" 2>"$dir/err" || fail "cmake --install"
mv "$dir/first" "$dir/moved"
deft=$dir/moved/bin/deft
models=$dir/moved/share/deft/models
cd "$dir" || exit 1
unset DEFT_MODELS_DIR DEFT_REFERENCE_DIR
expect 0 eval "$models/quaid/policies/td3.onnx" --scene obstacle -n 1 --max-steps 5
# its own models, not those of the sources: one that is only there
cp "$models/quaid/flat.xml" "$models/quaid/only_here.xml"
expect 0 eval "$models/quaid/policies/td3.onnx" --scene only_here -n 1 --max-steps 5 --json
json 'j["scene"].endswith("/moved/share/deft/models/quaid/only_here.xml") or "moved" in j["scene"]'
expect 1 eval "$models/quaid/policies/td3.onnx" --scene only_her -n 1
says 'did you mean .only_here.'
# by a link, as in ~/bin
ln -s moved/bin/deft link
deft=$dir/link
expect 0 eval "$models/quaid/policies/td3.onnx" --scene only_here -n 1 --max-steps 5
# the variable comes first
mkdir -p "$dir/own/quaid"
cp "$models/quaid/"*.xml "$dir/own/quaid/"
mv "$dir/own/quaid/only_here.xml" "$dir/own/quaid/theirs.xml"
DEFT_MODELS_DIR=$dir/own
export DEFT_MODELS_DIR
expect 0 eval "$models/quaid/policies/td3.onnx" --scene theirs -n 1 --max-steps 5
