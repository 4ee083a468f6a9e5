#!/bin/sh
# TorchScript archives: the program says what is computed. Answers of PyTorch stand beside them.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77
folder=$src/tests/golden/torchscript

for csv in "$folder"/[!g]*.csv "$folder"/gru*.csv; do # not graph_*: those are no policies
    expect 0 compare "${csv%.csv}.pt" --obs "$csv" --fail-above 2e-5 --json
    json 'j["rows"] == 12 and j["actions"]["first_above"] == -1'
done
for txt in "$folder"/*.txt; do
    expect 1 info "${txt%.txt}.pt"
    grep -E -q -f "$txt" "$dir/err" || fail "stderr does not match $txt"
done

# what the program says must not be said otherwise
policy=$folder/mlp_scripted.pt
expect 0 info "$policy" --json
json 'j["observations"] == 6 and j["actions"] == 3 and not j["assumptions"]'
json '[l["activation"] for l in j["layers"]] == ["elu", "elu", "none"]'
for option in '--arch dense:8' '--activation elu' '--squash tanh' '--logits'; do
    # shellcheck disable=SC2086
    expect 1 info "$policy" $option
    says "${option%% *} is for checkpoints without a program"
done
# an encoder of its own: 6 observations for it, 3 beside what it gives
expect 1 info "$policy" --encoder "$policy"
says '3 outputs and 3 other numbers.*--encoder-output'
expect 0 info "$policy" --encoder "$policy" --encoder-output first --json
json 'j["observations"] == 9 and len(j["layers"]) == 6'
expect 1 info "$policy" --encoder "$src/tests/golden/checkpoints/mlp_state_dict.pt"
says 'mlp_state_dict.pt: the encoder of a TorchScript program must be one'
expect 1 info "$policy" --obs-size 9
says 'torch.linear: 9 inputs for a layer of 6'
expect 0 info "$folder/reads_last.pt" --obs-size 9 --json
json 'j["observations"] == 9'
expect 1 info "$policies/activation_elu.onnx" --obs-size 9
says '--obs-size .*TorchScript program'
expect 1 info "$src/tests/golden/checkpoints/mlp_state_dict.pt" --obs-size 9
says '--obs-size .*TorchScript program'
expect 1 info "$src/tests/golden/checkpoints/script_package.pt"
says 'torch.package'

# nothing is assumed in silence
expect 0 info "$folder/gru_saved_in_an_episode.pt" --json
json '["the archive was saved in the middle" in a for a in j["assumptions"]] == [True]'
expect 0 info "$folder/reads_first.pt" --json
json '"reads the first 6 observations" in j["assumptions"][0]'

# an image of it is the same policy
expect 0 convert "$folder/lstm_exported.pt" -o "$dir/policy.deft"
expect 0 compare "$dir/policy.deft" --obs "$folder/lstm_exported.csv" --fail-above 2e-5
expect 0 convert "$folder/lstm_exported.pt" -o "$dir/policy.onnx"
expect 0 compare "$dir/policy.onnx" --obs "$folder/lstm_exported.csv" --fail-above 2e-5

# archives of before PyTorch 1.4
python3 - "$dir/old.pt" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("old/model.json", "{}")
    z.writestr("old/code/old.py", "op_version_set = 0\n")
PY
expect 1 info "$dir/old.pt"
says 'before PyTorch 1.4'

# small real cases, where they are
for case in "$src"/../shared/cases/import/torchscript-*; do
    [ -f "$case/policy.pt" ] || continue
    case $case in
    *-estimator) # its L2 normalisation is no layer
        expect 1 info "$case/policy.pt"
        says "'ReduceL2' .*functional:7"
        continue
        ;;
    *-pick-and-place) # two of its actions are constants
        "$deft" info "$case/policy.pt" >"$dir/out" 2>"$dir/err" || {
            says 'action 0 is constant'
            continue
        }
        ;;
    esac
    paste -d , "$case/obs.csv" "$case/act.csv" | tr -d '\r' >"$dir/both.csv"
    expect 0 compare "$case/policy.pt" --obs "$dir/both.csv" --fail-above 2e-5 --json
    json 'j["actions"]["first_above"] == -1'
done
