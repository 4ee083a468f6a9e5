#!/bin/sh
# The figures of bench have the shape and the order of magnitude they must have.
. "$2/tests/cli/harness.sh"
command -v python3 >/dev/null || exit 77

expect 0 bench "$src"/models/pendulum/*.onnx --rounds 20 --json
json 'len(j) == 2 and all(x["rounds"] == 20 for x in j)'
json 'all(0 < x["ns_min"] <= x["ns_median"] < 1e7 and x["read_ns_median"] > 0 for x in j)'
json '{"model", "format", "ns_min", "ns_median", "read_ns_median", "macs", "kernels"} <= set(j[0])'
expect 0 bench "$src/models/pendulum/td3.onnx" --rounds 5 --kernels ref
prints 'kernels ref'
expect 1 bench "$src/models/pendulum/td3.onnx" --kernels abacus
says 'abacus'
