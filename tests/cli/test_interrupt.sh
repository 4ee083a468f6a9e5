#!/bin/sh
# A signal asks a long command to end well; one that comes a second later ends it at once, and what is
# on disk stays whole.
. "$2/tests/cli/harness.sh"
[ -r "/proc/$$/status" ] || exit 77
policy=$src/models/pendulum/td3.onnx

# start ARGUMENT... - in the background, until it catches SIGTERM: bit 14 of what it catches
start() {
    "$deft" "$@" >"$dir/out" 2>"$dir/err" </dev/null &
    pid=$!
    tries=0
    while [ $tries -lt 600 ]; do
        case $(sed -n 's/^SigCgt:.*\(.\)...$/\1/p' "/proc/$pid/status" 2>/dev/null) in
        [4567cdef]) return ;;
        esac
        sleep 0.1
        tries=$((tries + 1))
    done
    fail "no handler of signals after a minute: deft $*"
}

# ends STATUS - within a minute
ends() {
    tries=0
    while kill -0 $pid 2>/dev/null && [ $tries -lt 600 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -9 $pid 2>/dev/null || true
    status=0
    wait $pid 2>/dev/null || status=$?
    [ $status = "$1" ] || fail "status $status, not $1"
}

# an evaluation of hours: the first signal waits for its end, the second does not
small="--env pendulum --hidden 16 --batch 16 --warmup 100"
# shellcheck disable=SC2086
start train $small --steps 4000 --eval-every 3000 --eval-episodes 1000 --max-steps 1000000 -o "$dir/run" \
    --checkpoint 0.001
tries=0
while [ ! -f "$dir/run/progress.csv" ] && [ $tries -lt 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
sleep 2 # the first evaluation begins milliseconds after that
for signal in TERM TERM; do kill -$signal $pid; done
sleep 0.3
kill -0 $pid 2>/dev/null || fail "two signals at a time are two"
sleep 1.2
kill -TERM $pid
ends 143

# the checkpoint that was there is one to go on from
# shellcheck disable=SC2086
start train $small --steps 100000000 --eval-every 5000 --eval-episodes 1 -o "$dir/long" --checkpoint 0.001
tries=0
while [ ! -f "$dir/long/checkpoint.bin" ] && [ $tries -lt 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
ends 130
says 'stopped after'

start eval "$policy" --env pendulum -n 1000000
kill -TERM $pid
ends 130
says 'interrupted'
