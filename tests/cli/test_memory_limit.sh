#!/bin/sh
# With little memory to address, every command ends by itself: well, or with a text that says so. Never
# by a signal, and never without end, as OpenBLAS's threads once had it.
. "$2/tests/cli/harness.sh"
# shellcheck disable=SC3045
(ulimit -v 100000 && "$deft" --version) >/dev/null 2>&1 || exit 77 # a sanitizer takes terabytes
command -v timeout >/dev/null || exit 77
policy=$src/models/pendulum/td3.onnx

# limited KILOBYTES ARGUMENT... - its status is in $status, and what it said in $dir/err
limited() {
    kb=$1
    shift
    status=0
    # shellcheck disable=SC3045
    (ulimit -c 0 && ulimit -v "$kb" && exec timeout -k 1 60 "$deft" "$@") \
        >"$dir/out" 2>"$dir/err" </dev/null || status=$?
    case $status in
    0 | 2) ;;
    1) says 'memory' ;;
    127) ;; # the loader had no room for the program itself
    *) fail "status $status with $kb kB: deft $*" ;;
    esac
}

for kb in 14000 18000 26000 40000 54000 58000 62000 66000 70000 90000 130000 200000; do
    limited "$kb" info "$policy"
    limited "$kb" eval "$policy" --env pendulum -n 2
    limited "$kb" train --env pendulum --hidden 16 --batch 16 --steps 300 --warmup 100 -o "$dir/run-$kb"
done
[ "$status" = 0 ] || [ "$(uname -m)" != x86_64 ] || grep -q 'no memory for OpenBLAS' "$dir/err" ||
    fail "no training in 200 MB"

# what a user says of OpenBLAS's threads changes nothing
OPENBLAS_NUM_THREADS=4 && export OPENBLAS_NUM_THREADS
limited 90000 train --env pendulum --hidden 16 --batch 16 --steps 300 --warmup 100 -o "$dir/threads"
unset OPENBLAS_NUM_THREADS

# kernels of OpenBLAS need its buffers: with them there is training, without a text
if [ "$(uname -m)" = x86_64 ]; then
    OPENBLAS_CORETYPE=Prescott && export OPENBLAS_CORETYPE
    for kb in 90000 180000 600000; do
        limited "$kb" train --env pendulum --hidden 16 --batch 16 --steps 300 --warmup 100 -o "$dir/core-$kb"
        [ "$kb" = 600000 ] || says 'no memory for OpenBLAS'
    done
    [ $status = 0 ] || fail "no training in 600 MB"
    [ ! -e "$dir/core-90000" ] || fail "a folder of a run that never began"
fi
