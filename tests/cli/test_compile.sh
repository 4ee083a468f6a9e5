#!/bin/sh
# Emitted C gives the bits of the runtime: every kind of layer; each compiler, language and level of
# optimization that is here; 32 bits; AArch64. Over 500 recurrent steps.
. "$2/tests/cli/harness.sh"
strict="-Wall -Wextra -Wpedantic -Wconversion -Werror"
steps=500

# observations N FILE - steps rows of N numbers, and the same with a header as FILE.csv
observations() {
    awk -v n="$1" -v steps=$steps 'BEGIN {
        srand(7)
        for (t = 0; t < steps; t++)
            for (i = 0; i < n; i++) printf "%.5f%s", 3 * (rand() + rand() + rand() - 1.5), i + 1 < n ? "," : "\n"
    }' >"$2"
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "obs%d%s", i, i + 1 < n ? "," : "\n" } { print }' \
        "$2" >"$2.csv"
}

# emit IMAGE - the C in $dir/c, observations in $dir/obs, the runtime's actions in $dir/want
emit() {
    rm -rf "$dir/c"
    expect 0 compile "$1" -o "$dir/c"
    observations "$(sed -n 's/#define POLICY_OBSERVATIONS //p' "$dir/c/policy.h")" "$dir/obs"
    expect 0 run "$1" --force --obs "$dir/obs.csv" -o "$dir/want.csv"
    tail -n +2 "$dir/want.csv" | cut -d, -f1-"$(sed -n 's/#define POLICY_ACTIONS //p' "$dir/c/policy.h")" >"$dir/want"
    [ "$(wc -l <"$dir/want")" = $steps ] || fail "$1: fewer than $steps steps"
}

# agrees WHAT RUNNER CC FLAG... - builds, runs, compares
agrees() {
    what=$1 runner=$2
    shift 2
    # shellcheck disable=SC2086
    "$@" $strict -x ${lang:-c} "$dir/c/policy.c" "$dir/c/main.c" -o "$dir/prog" 2>"$dir/err" || fail "$what: $*"
    # shellcheck disable=SC2086
    $runner "$dir/prog" <"$dir/obs" >"$dir/got" 2>"$dir/err" || fail "$what: $* does not run"
    cmp -s "$dir/got" "$dir/want" || fail "$what: $*: other actions"
}
have() { command -v "$1" >/dev/null; }

# With sanitizers deft is slow and compilers are what they are: a part of all this will do.
slow=
case $1 in *asan*) slow=1 ;; esac

# every kind of layer that the fixtures have, in integers and in floats
n=0 floats=0 seen=0
for onnx in "$policies"/*.onnx; do
    name=$(basename "$onnx" .onnx)
    seen=$((seen + 1))
    if [ -n "$slow" ] && [ $((seen % 5)) != 0 ]; then continue; fi
    if "$deft" convert "$onnx" -o "$dir/p.deft" >"$dir/out" 2>"$dir/err" </dev/null; then
        emit "$dir/p.deft"
        agrees "$name, float32" "" cc -std=c99 -O1
        floats=$((floats + 1))
    fi
    scheme=int8
    [ $((n % 4)) != 1 ] || scheme=w4a8
    [ $((n % 4)) != 2 ] || scheme=int16
    # some fixtures are integers already, or have no recording that fits
    "$deft" quantize "$onnx" --calib "$policies/$name.csv" --scheme $scheme -o "$dir/p.deft" \
        >"$dir/out" 2>"$dir/err" </dev/null || continue
    emit "$dir/p.deft"
    agrees "$name, $scheme" "" cc -std=c99 -O1
    n=$((n + 1))
done
if [ -z "$slow" ] && { [ $n -lt 50 ] || [ $floats -lt 70 ]; }; then fail "only $n and $floats fixtures became C"; fi
echo "$n fixtures in integers, $floats in floats agree over $steps steps"

# compilers, with what they do to floats by default: policies of GRU layers in int8, int4 and floats
everywhere() {
    [ -z "$slow" ] || return 0
    for cc in gcc clang; do
        have $cc || continue
        for o in -O0 -O1 -O2 -O3 -Os; do agrees "$1" "" $cc -std=c99 $o; done
        agrees "$1" "" $cc -std=c17 -O2
        ! grep -q ' fma ' /proc/cpuinfo || agrees "$1" "" $cc -std=gnu17 -O3 -mfma
    done
    for cxx in g++ clang++; do
        have $cxx || continue
        lang=c++ agrees "$1" "" $cxx -std=c++17 -O2
    done
    if echo 'int main(void){return 0;}' | gcc -m32 -x c - -o "$dir/m32" 2>/dev/null; then
        for o in -O0 -O1 -O2 -O3 -Os; do agrees "$1" "" gcc -std=c99 -m32 -msse2 -mfpmath=sse $o; done
        if [ "$2" = integer ]; then
            for o in -O0 -O2 -O3; do agrees "$1" "" gcc -std=c99 -m32 -mfpmath=387 $o; done
        else
            ! gcc -std=c99 -m32 -mfpmath=387 -c "$dir/c/policy.c" -o "$dir/m32" 2>"$dir/err" || fail "$1: x87"
            says 'extra precision'
        fi
    else
        echo "no -m32: left out"
    fi
    if have aarch64-linux-gnu-gcc && have qemu-aarch64; then
        for o in -O0 -O1 -O2 -O3 -Os; do
            agrees "$1" "qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu cortex-a72" aarch64-linux-gnu-gcc -std=gnu17 $o
        done
        agrees "$1" "qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max" aarch64-linux-gnu-gcc -std=c99 -O2
        ! have clang || agrees "$1" "qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max" clang \
            --target=aarch64-linux-gnu -O3
    else
        echo "no aarch64: left out"
    fi
    ! gcc -ffast-math -c "$dir/c/policy.c" -o "$dir/fast" 2>"$dir/err" || fail "$1: -ffast-math"
    says 'fast-math'
}
for scheme in int8 w4a8; do
    expect 0 quantize "$src/models/pendulum/ra-td3.onnx" --env pendulum -n 2 --scheme $scheme -o "$dir/p.deft"
    emit "$dir/p.deft"
    everywhere "ra-td3 pendulum, $scheme" integer
done
expect 0 convert "$src/models/pendulum/ra-td3.onnx" --contract pendulum --previous last -o "$dir/f.deft"
emit "$dir/f.deft"
everywhere "ra-td3 pendulum, float32" float
ref=${DEFT_REFERENCE_DIR-}
if [ -z "$slow" ] && [ -d "$ref/models/onnx" ]; then
    for onnx in "$ref"/models/onnx/a*.onnx; do
        case $onnx in */aug_*) rewire="--rewire cascade" ;; *) rewire= ;; esac
        # shellcheck disable=SC2086
        expect 0 convert "$onnx" $rewire -o "$dir/p.deft"
        emit "$dir/p.deft"
        agrees "$(basename "$onnx"), float32" "" cc -std=c99 -O2
        for scheme in int8 w4a8; do
            # shellcheck disable=SC2086
            expect 0 quantize "$onnx" $rewire -n 1 --scheme $scheme -o "$dir/p.deft"
            emit "$dir/p.deft"
            agrees "$(basename "$onnx"), $scheme" "" cc -std=c99 -O2
        done
    done
fi

# two policies in one program, one of floats; integers in panels become rows
expect 0 compile "$dir/p.deft" -o "$dir/two" --name walk
expect 0 compile "$dir/f.deft" -o "$dir/two" --name stand
cat >"$dir/two/main.c" <<'C'
#include "stand.h"
#include "walk.h"
static walk_state a;
static stand_state b;
typedef char sizes[sizeof a == WALK_STATE_BYTES && sizeof b == STAND_STATE_BYTES ? 1 : -1];
int main(void) { return walk_selftest(&a) || stand_selftest(&b); }
C
# shellcheck disable=SC2086
cc -std=c99 $strict "$dir/two/main.c" "$dir/two/walk.c" "$dir/two/stand.c" -o "$dir/prog" 2>"$dir/err" || fail "two policies"
"$dir/prog" || fail "two policies in one program"
# and in one file, headers twice and in any order
cat >"$dir/two/one.c" <<'C'
#include "stand.h"
#include "walk.c"
#include "stand.c"
#include "walk.h"
#include "stand.h"
static walk_state a;
static stand_state b;
int main(void) { return walk_selftest(&a) || stand_selftest(&b); }
C
for cc in "cc -std=c99" "c++ -std=c++17 -x c++" "clang -std=c17" "clang++ -std=c++17 -x c++"; do
    have "${cc%% *}" || continue
    # shellcheck disable=SC2086
    $cc $strict -O2 "$dir/two/one.c" -o "$dir/prog" 2>"$dir/err" || fail "two policies in one file: $cc"
    "$dir/prog" || fail "two policies in one file: $cc"
done
# where they come from
"$deft" info --json "$dir/p.deft" >"$dir/out"
id=$(sed -n 's/.*"policy_id": "\([0-9a-f]*\)".*/\1/p' "$dir/out")
for fact in "policy  *$id" 'SHA-256  *[0-9a-f]\{64\}' 'numbers  *w4a8' 'calibration  *[1-9]' 'made by  *deft [0-9]'; do
    grep -q "^ \* *$fact" "$dir/two/walk.h" || fail "the header does not say: $fact"
done
grep -q '^ \* *numbers  *float32' "$dir/two/stand.h" || fail "the header does not say float32"

# a self-test that can fail
for damaged in walk stand; do
    cp "$dir/two/$damaged.c" "$dir/whole"
    sed 's/test_act\[\([0-9]*\)\] = {/&\n    0.123f + /' "$dir/whole" >"$dir/two/$damaged.c"
    cc -std=c99 "$dir/two/main.c" "$dir/two/walk.c" "$dir/two/stand.c" -o "$dir/prog" 2>"$dir/err" || fail "damaged"
    ! "$dir/prog" || fail "the self-test of $damaged passes with other actions"
    cp "$dir/whole" "$dir/two/$damaged.c"
done

# misuse
expect 2 compile "$dir/p.deft"
expect 2 compile "$dir/p.deft" -o "$dir/c" --name 'int'
expect 2 compile "$dir/p.deft" -o "$dir/c" --name '../x'
expect 2 compile "$dir/p.deft" -o "$dir/c" --name string # string.h is taken
expect 1 compile "$src/models/pendulum/td3.onnx" -o "$dir/none"
says 'deft quantize'
says 'convert'
[ ! -e "$dir/none" ] || fail "a failed compile left a folder"
: >"$dir/file"
expect 1 compile "$dir/p.deft" -o "$dir/file"
