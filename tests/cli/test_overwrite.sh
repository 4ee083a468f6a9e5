#!/bin/sh
# Files of the user's stay as they are, whatever stands in the way of a subcommand that writes: it
# ends with an error, before it has written anything. What Deft wrote itself is written anew.
. "$2/tests/cli/harness.sh"
p=$src/models/pendulum/td3.onnx
mine=$dir/mine work=$dir/work
mkdir "$mine" "$work"

# --- files of the user's ----------------------------------------------------------------------
printf '#include "policy.h"\nint main(void) { return 0; } /* two weeks of work */\n' >"$mine/main.c"
printf 'step,obs0,obs1,obs2,act0\n0,1,0,0,0.5\n1,1,0,0,0.25\n' >"$mine/recording.csv"
printf 'act0\n0.5\n0.25\n' >"$mine/actions.csv" # as 'deft run' would write it
printf 'remember the milk\n' >"$mine/notes.txt"
cp "$p" "$mine/torch.onnx" # an ONNX of PyTorch
printf 'PK\003\004 a checkpoint of sorts' >"$mine/model.pt"
printf '<!DOCTYPE html>\n<html><head><title>mine</title></head></html>\n' >"$mine/page.html"
printf '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>\n' >"$mine/drawing.svg"
printf '{"interval": "mine"}\n' >"$mine/settings.json"
: >"$mine/empty"
printf 'DEFT and more than sixty-four bytes of something that is not an image of a policy at all\n' >"$mine/deft.txt"
/usr/bin/python3 - "$mine" <<'PY'
import sqlite3, sys
for name, pragma in (("other.sqlite", ""), ("ahead.sqlite", "PRAGMA journal_mode = WAL;")):
    d = sqlite3.connect(sys.argv[1] + "/" + name)
    d.executescript(pragma + "CREATE TABLE observations (id INTEGER, note TEXT); INSERT INTO observations VALUES (1, 'mine')")
    d.commit()
    d.close()
PY
kinds='main.c recording.csv actions.csv notes.txt torch.onnx model.pt page.html drawing.svg settings.json empty deft.txt other.sqlite ahead.sqlite'

expect 0 convert "$p" -o "$dir/float.deft"
expect 0 quantize "$p" --env pendulum -n 1 -o "$dir/int8.deft"
printf 'obs0,obs1,obs2,act0\n1,0,0,0\n0.5,0.5,1,0\n' >"$dir/obs.csv"

sums() { (cd "$1" && find . -type f -exec sha256sum {} + | sort && find . | sort); }

# refuses FILE argument... - with FILE in the way of what the command writes to $work/$target
refuses() {
    file=$1
    shift
    rm -rf "$work"
    mkdir "$work"
    cp "$file" "$work/$target"
    sums "$work" >"$dir/before"
    if "$deft" "$@" >"$dir/out" 2>"$dir/err" </dev/null; then fail "$file was in the way: deft $*"; fi
    sums "$work" >"$dir/after"
    cmp -s "$dir/before" "$dir/after" || fail "$file was in the way, and something changed: deft $*"
    grep -q -e "$target" "$dir/err" || fail "the message does not name $target: deft $*"
}

# every_kind argument... - all kinds of files in the way, at $work/$target; $target names the file
every_kind() {
    for kind in $kinds; do
        refuses "$mine/$kind" "$@"
    done
    # a folder, and links: to an input, and to nowhere
    rm -rf "$work"
    mkdir -p "$work/$target"
    echo mine >"$work/$target/file"
    if "$deft" "$@" >"$dir/out" 2>"$dir/err" </dev/null; then fail "a folder was in the way: deft $*"; fi
    [ "$(cat "$work/$target/file")" = mine ] || fail "a folder was changed: deft $*"
    for to in "$input" "$dir/nowhere"; do
        rm -rf "$work" "$dir/nowhere"
        mkdir "$work"
        ln -s "$to" "$work/$target"
        sha256sum <"$input" >"$dir/before"
        if "$deft" "$@" >"$dir/out" 2>"$dir/err" </dev/null; then fail "a link to $to was in the way: deft $*"; fi
        sha256sum <"$input" >"$dir/after"
        cmp -s "$dir/before" "$dir/after" || fail "$input was changed: deft $*"
        [ "$(readlink "$work/$target")" = "$to" ] || fail "a link was replaced: deft $*"
        [ ! -e "$dir/nowhere" ] || fail "what a link leads to was made: deft $*"
    done
}

cp "$p" "$dir/in.onnx"
input=$dir/in.onnx
target=x.deft
every_kind convert "$input" -o "$work/x.deft"
every_kind quantize "$input" --env pendulum -n 1 -o "$work/x.deft"
every_kind quantize "$input" --calib "$dir/obs.csv" -o "$work/x.deft"
target=x.onnx
every_kind convert "$input" -o "$work/x.onnx"
every_kind quantize "$input" --env pendulum --scheme dynamic -o "$work/x.onnx"
target=x
every_kind convert "$input" --format deft -o "$work/x"
every_kind run "$input" --obs "$dir/obs.csv" -o "$work/x"
every_kind compare "$input" "$dir/int8.deft" --obs "$dir/obs.csv" --report "$work/x"
every_kind eval "$input" --env pendulum -n 1 --log "$work/x"
every_kind compare "$input" "$dir/int8.deft" --env pendulum -n 1 --log "$work/x"
target=x.csv
every_kind run "$input" --obs "$dir/obs.csv" -o "$work/x.csv"
every_kind quantize "$input" --env pendulum -n 1 --sweep --bits 8 --returns 2 -o "$work/x.csv"
target=x.svg # beside the CSV
every_kind quantize "$input" --env pendulum -n 1 --sweep --bits 8 --returns 2 -o "$work/x.csv"
target=x.html
every_kind compare "$input" "$dir/int8.deft" --obs "$dir/obs.csv" --report "$work/x.html"
input=$dir/int8.deft
for target in policy.h policy.c main.c; do
    every_kind compile "$dir/int8.deft" -o "$work"
done
input=$dir/in.onnx
for target in config.json progress.csv run.sqlite policy.onnx policy.deft policy-int8.deft last.onnx \
    checkpoint.bin replay.bin result.json report.html summary.json; do
    for kind in $kinds; do
        refuses "$mine/$kind" train --env pendulum --hidden 8 --batch 8 --steps 100 -o "$work"
    done
done
for target in report.html summary.json; do
    for kind in $kinds; do
        refuses "$mine/$kind" train --env pendulum --hidden 8 --batch 8 --steps 100 --seeds 1 -o "$work"
    done
done
target=README.md
for kind in $kinds; do
    refuses "$mine/$kind" docs "$work"
done

# other files of a folder stay
rm -rf "$work"
cp -r "$mine" "$work"
rm "$work/main.c"
sums "$mine" | grep -v main.c >"$dir/before"
expect 0 compile "$dir/int8.deft" -o "$work"
expect 0 train --env pendulum --hidden 8 --batch 8 --steps 100 --eval-every 0 -o "$work"
rm -f "$work"/policy.[ch] "$work/main.c" "$work"/policy*.onnx "$work"/policy*.deft "$work"/last.onnx \
    "$work"/*.bin "$work"/config.json "$work"/result.json "$work"/report.html "$work"/run.sqlite* "$work"/progress.csv \
    "$work"/events.out.*
sums "$work" >"$dir/after"
cmp -s "$dir/before" "$dir/after" || fail "a run or emitted C changed other files of its folder"

# --- inputs, even by force --------------------------------------------------------------------
same() { # same FILE argument... - is refused, and FILE stays
    file=$1
    shift
    sha256sum <"$file" >"$dir/before"
    for force in '' --force; do
        # shellcheck disable=SC2086
        if "$deft" "$@" $force >"$dir/out" 2>"$dir/err" </dev/null; then fail "written over its input: deft $* $force"; fi
        says 'what is read'
        sha256sum <"$file" >"$dir/after"
        cmp -s "$dir/before" "$dir/after" || fail "$file was changed: deft $* $force"
    done
}
ln "$dir/in.onnx" "$dir/hard.onnx"
ln -s in.onnx "$dir/soft.onnx"
same "$dir/in.onnx" convert "$dir/in.onnx" -o "$dir/in.onnx"
same "$dir/in.onnx" convert "$dir/in.onnx" -o "$dir/hard.onnx"
same "$dir/in.onnx" convert "$dir/soft.onnx" -o "$dir/in.onnx"
same "$dir/in.onnx" convert "$dir/in.onnx" -o "$dir/../$(basename "$dir")/soft.onnx"
same "$dir/in.onnx" quantize "$dir/in.onnx" --env pendulum --scheme dynamic -o "$dir/in.onnx"
same "$dir/float.deft" quantize "$dir/float.deft" --env pendulum -n 1 -o "$dir/float.deft"
cp "$dir/obs.csv" "$dir/log.csv"
same "$dir/log.csv" run "$dir/in.onnx" --obs "$dir/log.csv" -o "$dir/log.csv"
cp "$dir/obs.csv" "$dir/calib"
same "$dir/calib" quantize "$dir/in.onnx" --calib "$dir/calib" -o "$dir/calib"
same "$dir/calib" compare "$dir/in.onnx" "$dir/int8.deft" --obs "$dir/calib" --report "$dir/calib"
cp "$dir/int8.deft" "$dir/policy.h"
same "$dir/policy.h" compile "$dir/policy.h" -o "$dir"
rm "$dir/policy.h"
# two outputs that are one file
expect 1 compare "$p" "$p" --env pendulum -n 1 --report "$dir/both" --log "$dir/both"
says 'both'
[ ! -e "$dir/both" ] || fail "something was written"
: >"$dir/one"
ln "$dir/one" "$dir/two"
expect 1 compare "$p" "$p" --env pendulum -n 1 --report "$dir/one" --log "$dir/two" --force
says 'both'
expect 2 compile "$dir/int8.deft" -o "$dir/firmware" --name main

# --- endings ----------------------------------------------------------------------------------
ending() { # ending argument... - is misuse, and nothing is written
    rm -rf "$work"
    mkdir "$work"
    expect 2 "$@"
    says 'ending'
    [ -z "$(ls -A "$work")" ] || fail "something was written: deft $*"
}
ending quantize "$p" --env pendulum -n 1 -o "$work/x.onnx"
ending quantize "$p" --env pendulum -n 1 -o "$work/x.csv" --force
ending quantize "$p" --env pendulum --scheme dynamic -o "$work/x.deft"
ending quantize "$p" --env pendulum --sweep -o "$work/x.svg"
ending convert "$p" --format deft -o "$work/x.ONNX"
ending convert "$p" --format onnx -o "$work/x.deft"
ending run "$p" --obs "$dir/obs.csv" -o "$work/x.deft"
ending compare "$p" "$p" --obs "$dir/obs.csv" --report "$work/x.svg"
ending eval "$p" --env pendulum -n 1 --log "$work/x.csv"
expect 0 convert "$p" --format deft -o "$work/x.bin"
expect 0 run "$p" --obs "$dir/obs.csv" -o "$work/actions.txt"

# --- what Deft wrote --------------------------------------------------------------------------
rm -rf "$work"
mkdir "$work"
for round in 1 2; do
    expect 0 convert "$p" -o "$work/x.deft"
    expect 0 convert "$work/x.deft" -o "$work/x.onnx"
    expect 0 quantize "$p" --env pendulum -n 1 -o "$work/q.deft"
    expect 0 quantize "$p" --env pendulum --scheme dynamic -o "$work/q.onnx"
    expect 0 quantize "$p" --env pendulum -n 1 --sweep --bits 8 --returns 2 -o "$work/s.csv"
    expect 0 compile "$work/q.deft" -o "$work/c"
    expect 0 compare "$p" "$work/q.deft" --env pendulum -n 2 --report "$work/x.html" --log "$work/x.sqlite"
    expect 0 eval "$p" --env pendulum -n 1 --log "$work/x.sqlite"
    expect 0 docs "$work/docs"
    expect $((round - 1)) run "$p" --obs "$dir/obs.csv" -o "$work/x.csv" # nothing tells it from a recording
done
expect 0 run "$p" --obs "$dir/obs.csv" -o "$work/x.csv" --force
# a sweep with other settings, and files that were changed
expect 1 quantize "$p" --env pendulum -n 1 --sweep --bits 8 --returns 3 -o "$work/s.csv"
expect 0 quantize "$p" --env pendulum -n 1 --sweep --bits 8 --returns 3 -o "$work/s.csv" --force
for name in main.c policy.c policy.h; do
    echo '/* mine */' >>"$work/c/$name"
    sums "$work/c" >"$dir/before"
    expect 1 compile "$work/q.deft" -o "$work/c"
    says "$name: was changed"
    sums "$work/c" >"$dir/after"
    cmp -s "$dir/before" "$dir/after" || fail "$name was changed"
    expect 0 compile "$work/q.deft" -o "$work/c" --force
done
echo 'int main(void) { return 0; }' >"$work/c/main.c"
expect 1 compile "$work/q.deft" -o "$work/c"
says 'no-main'
expect 0 compile "$work/q.deft" -o "$work/c" --no-main
[ "$(cat "$work/c/main.c")" = 'int main(void) { return 0; }' ] || fail "--no-main wrote main.c"
# logs from before they had a mark
/usr/bin/python3 - "$work/x.sqlite" <<'PY'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1])
d.execute("PRAGMA application_id = 0")
d.commit()
PY
expect 0 eval "$p" --env pendulum -n 1 --log "$work/x.sqlite"
# what Deft wrote as something else is not to be lost either
cp "$work/x.sqlite" "$work/log"
expect 1 convert "$p" --format deft -o "$work/log"
# a link is followed, and stays
ln -s x.deft "$work/link.deft"
expect 0 quantize "$p" --env pendulum -n 1 -o "$work/link.deft"
[ -L "$work/link.deft" ] || fail "a link was replaced"
cmp -s "$work/x.deft" "$work/q.deft" || fail "what a link leads to was not written"

# --- streams and devices ----------------------------------------------------------------------
expect 0 run "$p" --obs "$dir/obs.csv" -o "$work/want.csv"
for stream in - /dev/stdout; do
    "$deft" run "$p" --obs "$dir/obs.csv" -o "$stream" >"$work/got.csv" || fail "-o $stream"
    cmp -s "$work/want.csv" "$work/got.csv" || fail "-o $stream gives something else"
done
"$deft" run "$p" --obs "$dir/obs.csv" -o /dev/fd/5 5>"$work/got.csv" || fail "-o /dev/fd/5"
cmp -s "$work/want.csv" "$work/got.csv" || fail "-o /dev/fd/5 gives something else"
mkfifo "$work/fifo.deft"
cat "$work/fifo.deft" >"$work/read.deft" &
expect 0 convert "$p" -o "$work/fifo.deft"
wait
[ -p "$work/fifo.deft" ] || fail "the FIFO is a file now"
cmp -s "$work/read.deft" "$work/x.deft" || expect 0 compare "$p" "$work/read.deft" --obs "$dir/obs.csv" --fail-above 1e-6
for _ in 1 2; do
    expect 0 convert "$p" --format deft -o /dev/null
    expect 0 compare "$p" "$p" --obs "$dir/obs.csv" --report /dev/null
done
[ -c /dev/null ] || fail "/dev/null is a file now"
expect 1 eval "$p" --env pendulum -n 1 --log /dev/null
expect 1 eval "$p" --env pendulum -n 1 --log -
expect 2 quantize "$p" --env pendulum --sweep -o -
expect 1 convert "$p" -o "$dir/no/such/folder.deft"
