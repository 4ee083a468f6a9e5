#!/bin/sh
# What info says of policies whose facts are known.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

for f in "$policies"/*.onnx "$src"/models/pendulum/*.onnx; do
    expect 0 info --json "$f"
    silent
    json 'j["understood"] and j["parameters"] > 0 and j["macs"] > 0'
    json 'j["observations"] > 0 and j["actions"] > 0 and j["layers"] and j["format"] == "onnx"'
    json 'all(set(w) == {"code", "text"} for w in j["warnings"])'
    json 'j["recurrent"] is None or set(j["recurrent"]) == {"kind", "layers", "hidden", "wiring"}'
    json 'j["verified"] <= 1e-5'
    json 'j["bytes"]["32"] == 4 * j["parameters"] and j["bytes"]["8"] == j["parameters"]'
    expect 0 info "$f" --contract-table
    silent
    prints '^verified  '
    prints '^action = '
done

recurrent() { # recurrent FIXTURE KIND LAYERS HIDDEN WIRING
    expect 0 info --json "$policies/$1.onnx"
    json "j['recurrent'] == {'kind': '$2', 'layers': $3, 'hidden': $4, 'wiring': '$5'}"
}
recurrent rsl_rl_lstm_2_layers lstm 2 16 cascade
recurrent native_gru_3_layers gru 3 16 cascade
recurrent native_gru_8_layers gru 8 16 cascade
recurrent aug_stack gru 3 16 cascade
recurrent aug_delayed gru 3 16 delayed
recurrent aug_delayed_scatter gru 3 16 delayed
json '"delayed-wiring" in [w["code"] for w in j["warnings"]]'
expect 0 info --json --rewire cascade "$policies/aug_delayed.onnx"
json 'j["recurrent"]["wiring"] == "cascade"'
json '"delayed-wiring" not in [w["code"] for w in j["warnings"]]'
