#!/bin/sh
# Logs of a run that continues: what a kill left, what somebody cut, changed, removed or exchanged is noticed,
# restored where it can be, and said; nothing of it is lost without a word.
. "$2/tests/cli/harness.sh"
python=/usr/bin/python3
[ -x $python ] && $python -c 'import sqlite3' 2>/dev/null || exit 77

settings="--env pendulum --hidden 16 --batch 16 --envs 2 --warmup 400 --eval-every 2000 --eval-episodes 1"
# shellcheck disable=SC2086
expect 0 train $settings --steps 8000 --seed 3 -o "$dir/half"
cp -r "$dir/half" "$dir/whole"
expect 0 train --resume "$dir/whole" --steps 16000
silent
rows=$(grep -c '^[0-9]' "$dir/half/progress.csv")
step=$(tail -n 1 "$dir/half/progress.csv" | cut -d, -f1)

sql() { # RUN STATEMENT
    $python - "$1/run.sqlite" "$2" <<'PY' || fail "sqlite: $2"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for row in db.execute(sys.argv[2]):
    print(*row)
db.commit()
PY
}

# tampered NAME - a copy of the half run, named $run
tampered() {
    run=$dir/$1
    cp -r "$dir/half" "$run"
}

# continues - and ends with the bytes of the whole run
continues() {
    expect 0 train --resume "$run" --steps 16000
    cmp -s "$dir/whole/last.onnx" "$run/last.onnx" || fail "$run: other weights"
    cmp -s "$dir/whole/policy.onnx" "$run/policy.onnx" || fail "$run: another best policy"
    cmp -s "$dir/whole/progress.csv" "$run/progress.csv" || [ "$1" = lost ] || fail "$run: another progress.csv"
    [ "$1" = times ] || [ "$1" = lost ] || same_sql
}

# same_sql - all but times
same_sql() {
    for of in "$dir/whole" "$run"; do
        sql "$of" 'SELECT step, updates, episodes, return, critic_loss, q FROM progress ORDER BY step'
        sql "$of" 'SELECT step, return, sd, best FROM evaluations ORDER BY step'
    done >"$dir/rows"
    $python - "$dir/rows" <<'PY' || fail "$run: another run.sqlite"
import sys
a = open(sys.argv[1]).read().split("\n")[:-1]
sys.exit(a[:len(a) // 2] != a[len(a) // 2:])
PY
}

# rows of after the checkpoint, the last one cut
tampered after
awk -F, -v s="$step" 'BEGIN { OFS = "," } { print } END { $1 = s + 500; print; $1 = s + 900; print; printf "%s,1", s + 999 }' \
    "$dir/half/progress.csv" >"$run/progress.csv"
sql "$run" "INSERT INTO progress SELECT step + 500, updates, episodes, return, critic_loss, actor_loss, q, alpha,
    seconds, steps_per_second FROM progress WHERE step = $step"
continues
says "progress.csv: 2 rows of after the checkpoint, at step $step, are dropped"

# cut, removed, changed, by another system's editor: restored
tampered cut
head -n 4 "$dir/half/progress.csv" >"$run/progress.csv"
continues
says "progress.csv holds 3 of the $rows rows up to step $step; restored from run.sqlite.*progress.csv.kept-1"
[ "$(wc -l <"$run/progress.csv.kept-1")" = 4 ] || fail "the file as it was is gone"
tampered removed
rm "$run/progress.csv"
continues
says 'progress.csv is missing; restored from run.sqlite'
tampered changed
sed -i '3s/,[^,]*,/,12345,/' "$run/progress.csv"
continues
says 'progress.csv is not as it was written.*restored from run.sqlite'
tampered dos
sed -i 's/$/\r/' "$run/progress.csv"
continues
says 'line ends of another system'
tampered notes
printf 'a note of mine\n' >>"$run/progress.csv"
continues
says 'lines that deft did not write.*progress.csv.kept-1'
grep -q 'a note of mine' "$run/progress.csv.kept-1" || fail "a note of the user's is gone"
tampered twice
: >"$run/progress.csv"
echo mine >"$run/progress.csv.kept-1"
continues
says 'progress.csv.kept-2'
[ "$(cat "$run/progress.csv.kept-1")" = mine ] || fail "a kept file is written over"

# run.sqlite likewise, without times
tampered no-sql
rm "$run/run.sqlite"
continues times
says 'run.sqlite is missing; made anew from progress.csv, without times'
[ "$(sql "$run" 'SELECT count(*) FROM progress')" = "$(sql "$dir/whole" 'SELECT count(*) FROM progress')" ] ||
    fail "rows of run.sqlite"
[ "$(sql "$run" 'SELECT step, best FROM evaluations')" = "$(sql "$dir/whole" 'SELECT step, best FROM evaluations')" ] ||
    fail "evaluations of run.sqlite"
tampered few
sql "$run" "DELETE FROM progress WHERE step < 3000"
continues times
says "run.sqlite holds [0-9]* of the $rows rows up to step $step"
[ "$(sql "$run" 'SELECT count(*) FROM progress')" = "$(sql "$dir/whole" 'SELECT count(*) FROM progress')" ] ||
    fail "rows of run.sqlite"
tampered damaged
head -c 5000 /dev/zero | tr '\0' x >"$run/run.sqlite"
continues times
says 'run.sqlite is damaged, and made anew.*run.sqlite.kept-1'
cmp -s "$run/run.sqlite.kept-1" "$run/run.sqlite" && fail "the damaged file is not kept"
tampered empty
: >"$run/run.sqlite"
continues times
says 'run.sqlite is empty'
tampered otherwise
sql "$run" "UPDATE progress SET return = 5 WHERE step < 3000"
continues times
says 'run.sqlite: its rows are not those of progress.csv'

# both: what is lost is said, and what is there stays
tampered both
head -n 4 "$dir/half/progress.csv" >"$run/progress.csv"
rm "$run/run.sqlite"
continues lost
says "progress.csv holds 3 of the $rows rows up to step $step, and run.sqlite holds 0; the others are lost"
[ "$(head -n 4 "$run/progress.csv")" = "$(head -n 4 "$dir/half/progress.csv")" ] || fail "rows that were there"
[ -f "$run/progress.csv.kept-1" ] || fail "the file as it was is gone"
tampered nothing
rm "$run/progress.csv" "$run/run.sqlite"
continues lost
says 'progress.csv is missing, and run.sqlite holds 0'

# a checkpoint of before, which says nothing of logs
tampered old
$python - "$run/checkpoint.bin" <<'PY' || fail "a checkpoint of before"
import struct, sys, zlib
b = bytearray(open(sys.argv[1], "rb").read())
assert b[:8] == b"DEFTRUN4"
b = bytearray(b"DEFTRUN3") + b[8:96] + b[128:]
b[12:16] = bytes(4)
b[12:16] = struct.pack("<I", zlib.crc32(bytes(b)))
open(sys.argv[1], "wb").write(b)
PY
head -n 4 "$dir/half/progress.csv" >"$run/progress.csv"
continues
says "progress.csv holds 3 of the $rows rows up to step $step; restored from run.sqlite"

# of another run: refused, and left alone
# shellcheck disable=SC2086
expect 0 train $settings --steps 3000 --seed 4 -o "$dir/other"
tampered mixed
cp "$dir/other/run.sqlite" "$run/run.sqlite"
sum=$(cksum <"$run/progress.csv")
expect 1 train --resume "$run" --steps 16000
says "run.sqlite: is of another run: its 'seed' is not that of config.json"
[ "$(cksum <"$run/progress.csv")" = "$sum" ] || fail "progress.csv of a run that was refused"
[ "$(sql "$run" 'SELECT max(step) FROM progress')" -le 3100 ] || fail "rows of another run"
rm "$run/run.sqlite"
continues times

# files that may grow no further, as on a full disk: an error, and what there is continues
run=$dir/full
status=0
# shellcheck disable=SC2086
(ulimit -f 100 && exec "$deft" train $settings --steps 8000 --seed 3 --checkpoint 0.001 -o "$run") \
    >"$dir/out" 2>"$dir/err" || status=$?
[ $status = 1 ] || fail "status $status, not 1, where files may not grow"
says 'cannot write'
expect 0 train --resume "$run"
cmp -s "$dir/half/progress.csv" "$run/progress.csv" || fail "progress.csv after a full disk"
cmp -s "$dir/half/last.onnx" "$run/last.onnx" || fail "weights after a full disk"

# killed at any moment
# shellcheck disable=SC2086
expect 0 train $settings --steps 16000 --seed 3 -o "$dir/straight"
rm -r "$dir/whole"
mv "$dir/straight" "$dir/whole"
for delay in 0.2 0.35 0.5 0.65; do
    run=$dir/killed-$delay
    # shellcheck disable=SC2086
    "$deft" train $settings --steps 16000 --seed 3 --checkpoint 0.001 -o "$run" >/dev/null 2>&1 &
    pid=$!
    tries=0
    while [ ! -f "$run/config.json" ] && [ $tries -lt 300 ]; do sleep 0.05; tries=$((tries + 1)); done
    sleep $delay
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null || true
    rm -f "$run/result.json"
    expect 0 train --resume "$run"
    for f in last.onnx policy.onnx progress.csv; do
        cmp -s "$dir/whole/$f" "$run/$f" || fail "$f differs after kill -9"
    done
    same_sql
    grep -q 'missing\|lost\|damaged\|restored' "$dir/err" && fail "a kill loses rows of before the checkpoint"
done
exit 0
