#!/bin/sh
# Many runs under Open MPI's mpirun, which loses a rank.
. "$2/tests/cli/harness.sh"
command -v mpirun >/dev/null || exit 77
mpirun --version | grep -q 'Open MPI' || exit 77
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe

settings="--env pendulum --hidden 32,32 --batch 64 --envs 2 --steps 10000 --warmup 400 --eval-every 2000
    --eval-episodes 2 --seeds 3"
# shellcheck disable=SC2086
expect 0 train $settings -o "$dir/a"

# shellcheck disable=SC2086
mpirun -n 2 --enable-recovery "$deft" train $settings --checkpoint 0.001 -o "$dir/b" >"$dir/out" 2>"$dir/err" &
all=$!
tries=0
while [ ! -f "$dir/b/seed-1/checkpoint.bin" ] && [ $tries -lt 300 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
lost=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$dir/b/seed-1/lease.000001")
kill -9 "$lost" || fail "no rank to lose: '$lost'"
wait $all || fail "mpirun"
[ -f "$dir/b/summary.json" ] || fail "no summary"
for k in 0 1 2; do
    for f in policy.onnx last.onnx progress.csv; do
        cmp -s "$dir/a/seed-$k/$f" "$dir/b/seed-$k/$f" || fail "seed-$k/$f differs"
    done
done
