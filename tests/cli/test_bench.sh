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

# Peers that are not there are left out, with a word why; one that is gives rows of its own.
peers=$dir/peers
mkdir "$peers"
export DEFT_PEERS_DIR="$peers"
expect 0 bench "$src/models/pendulum/td3.onnx" --rounds 5 --peers
prints 'OpenBLAS: left out: not built'
cat > "$peers/peer_openblas" <<'EOF'
#!/bin/sh
echo "OpenBLAS of this test, $1"
while read -r n; do echo "$((n * 1000))"; done
EOF
printf '#!/bin/sh\necho "failed: on purpose"\n' > "$peers/peer_onednn"
printf '#!/bin/sh\necho LibTorch\n' > "$peers/peer_libtorch"
chmod +x "$peers"/*
expect 0 bench "$src/models/pendulum/td3.onnx" --rounds 5 --peers --json
json '[x for x in j if x["format"].startswith("OpenBLAS of this test, dense:")][0]["ns_median"] == 1000'
expect 0 bench "$src/models/pendulum/td3.onnx" --rounds 5 --peers
prints 'oneDNN: left out: failed: on purpose'
prints 'LibTorch: left out: it ended while it was measured'
