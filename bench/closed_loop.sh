#!/bin/sh
# closed_loop.sh - what integers cost in closed loop: float, int8, w4a8, pow2 and dynamic of four policies.
#
#   bench/closed_loop.sh DEFT REFERENCE OUT [EPISODES [JOBS]]
#
# REFERENCE holds models/onnx and quaid/v2/quaid_v2.xml. Results go to OUT, one JSON file for each policy
# and scheme; those that are there already are kept, so that an interrupted run goes on. At the end prints
# the table: difference to float in percent of float's mean reward, with the 95 % interval of two
# independent means (the chaos of contacts makes even the same start end elsewhere).
set -eu
[ $# -ge 3 ] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
deft=$1 ref=$2 out=$3 episodes=${4:-100} jobs=${5:-2}
schemes=${SCHEMES:-float int8 w4a8 pow2 dynamic}
scene=$ref/quaid/v2/quaid_v2.xml
mkdir -p "$out"

find_policy() { # NAME
    case $1 in
    ra-td3) echo "$ref"/models/onnx/aug_*_RA-TD3_*.onnx ;;
    ra-sac) echo "$ref"/models/onnx/aug_*_RA-SAC_*.onnx ;;
    td3) echo "$ref"/models/onnx/act_*_TD3_*.onnx ;;
    sac) echo "$ref"/models/onnx/act_*_SAC_*.onnx ;;
    esac
}

for scheme in $schemes; do
    for policy in ra-td3 ra-sac td3 sac; do
        result=$out/$policy-$scheme.json
        [ ! -f "$result" ] || continue
        file=$(find_policy $policy)
        set -- --rewire cascade
        case $policy in ra-*) ;; *) set -- ;; esac
        case $scheme in
        float) ;;
        *)
            image=$out/$policy-$scheme.deft
            [ "$scheme" != dynamic ] || image=$out/$policy-$scheme.onnx
            "$deft" quantize "$file" "$@" --scheme "$scheme" --scene "$scene" -o "$image" >"$out/$policy-$scheme.txt"
            file=$image
            set --
            ;;
        esac
        "$deft" eval "$file" "$@" --scene "$scene" -n "$episodes" --jobs "$jobs" --json >"$result.tmp"
        mv "$result.tmp" "$result"
    done
done

# shellcheck disable=SC2086
python3 - "$out" $schemes <<'PYTHON'
import json, math, os, sys
out, schemes = sys.argv[1], sys.argv[2:]
print("| policy | scheme | episodes | reward | difference to float | lower bound | distance, cm |")
print("|---|---|---|---|---|---|---|")
for policy in ("ra-td3", "ra-sac", "td3", "sac"):
    base = None
    for scheme in ["float"] + [s for s in schemes if s != "float"]:
        path = os.path.join(out, f"{policy}-{scheme}.json")
        if not os.path.exists(path):
            continue
        e = json.load(open(path))
        r, d, n = e["reward"], e["distance_cm"], e["episodes"]
        text = f"| {policy} | {scheme} | {n} | {r['mean']:.1f} ± {r['ci95']:.1f} |"
        if base is None:
            base = r
            text += " | |"
        else:
            diff, half = r["mean"] - base["mean"], math.hypot(r["ci95"], base["ci95"])
            scale = 100 / abs(base["mean"])
            text += f" {diff * scale:+.2f} ± {half * scale:.2f} % | {(diff - half) * scale:+.2f} % |"
        print(text + f" {d['mean']:.1f} ± {d['ci95']:.1f} |")
PYTHON
