#!/bin/sh
# cortex_m4.sh DEFT SOURCE_DIR - emitted C and the freestanding runtime on an emulated Cortex-M4: 500
# recurrent steps, every bit of every action equal to the host's; instructions per step counted. Integers
# and floats, -O2 and -Os, with and without a float unit, and compilers that fuse by default.
# Policies: those that are shipped, and those of $DEFT_REFERENCE_DIR where it is set.
set -eu
deft=$1 src=$2
LC_ALL=C
export LC_ALL
for tool in arm-none-eabi-gcc qemu-system-arm; do
    command -v $tool >/dev/null || { echo "no $tool: skipped"; exit 77; }
done
[ -d /usr/lib/picolibc/arm-none-eabi ] || { echo "no picolibc: skipped"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
steps=500
fpu="-mfpu=fpv4-sp-d16 -mfloat-abi=hard"
link="--specs=picolibc.specs --oslib=semihost --crt0=hosted -Wl,--gc-sections
    -Wl,--defsym=__flash=0,--defsym=__flash_size=0x400000,--defsym=__ram=0x20000000
    -Wl,--defsym=__ram_size=0x100000,--defsym=__stack_size=0x4000"

# What runs on the board: observations come as an array, actions leave as one checksum (FNV-1a over all
# bits, and where it first differs the step). SysTick counts instructions under -icount shift=0, in
# units of 40 ns: one instruction is 1 ns.
cat >"$tmp/board.c" <<'C'
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "data.h"

int policy_open(void);
int policy_act(const float *obs, float *act);

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;

int main(void)
{
    uint64_t ticks = 0;
    if (policy_open()) {
        printf("the self-test failed\n");
        return 1;
    }
    systick[1] = 0xFFFFFF;
    systick[0] = 5;
    for (int t = 0; t < STEPS; t++) {
        float act[N_ACT];
        const uint32_t before = systick[2];
        const int bad = policy_act(&test_obs[t * N_OBS], act);
        ticks += (before - systick[2]) & 0xFFFFFF;
        if (bad || memcmp(act, &test_want[t * N_ACT], sizeof act) != 0) {
            printf("step %d differs from the host's\n", t);
            return 1;
        }
    }
    printf("ticks %lu\n", (unsigned long)ticks);
    return 0;
}
C
cat >"$tmp/emitted.c" <<'C'
#include "c/policy.h"
static policy_state state;
int policy_open(void);
int policy_act(const float *obs, float *act);
int policy_open(void)
{
    const int bad = policy_selftest(&state);
    policy_reset(&state);
    return bad;
}
int policy_act(const float *obs, float *act) { return policy_step(&state, obs, 0, act); }
C
cat >"$tmp/runtime.c" <<'C'
#include "deft/policy.h"
extern const unsigned char image[], image_end[];
static _Alignas(16) unsigned char arena[32768];
static deft_policy policy;
int policy_open(void);
int policy_act(const float *obs, float *act);
int policy_open(void)
{
    const deft_policy_config c = {image, (size_t)(image_end - image), arena, sizeof arena, 0};
    return deft_policy_init(&policy, &c) != DEFT_OK || deft_policy_selftest(&policy) != DEFT_OK;
}
int policy_act(const float *obs, float *act) { return deft_policy_step(&policy, obs, 0, act) != DEFT_OK; }
C
cat >"$tmp/image.s" <<'S'
    .section .rodata.image, "a"
    .balign 16
    .global image, image_end
image:
    .incbin "policy.deft"
image_end:
S

# data IMAGE - observations and the host's actions as $tmp/data.h
data() {
    n_obs=$(sed -n 's/#define POLICY_OBSERVATIONS //p' "$tmp/c/policy.h")
    n_act=$(sed -n 's/#define POLICY_ACTIONS //p' "$tmp/c/policy.h")
    awk -v n="$n_obs" -v steps=$steps 'BEGIN {
        srand(11)
        for (i = 0; i < n; i++) printf "obs%d%s", i, i + 1 < n ? "," : "\n"
        for (t = 0; t < steps; t++)
            for (i = 0; i < n; i++) printf "%.5f%s", 2 * (rand() + rand() + rand() - 1.5), i + 1 < n ? "," : "\n"
    }' >"$tmp/obs.csv"
    "$deft" run "$1" --force --obs "$tmp/obs.csv" -o "$tmp/act.csv" >/dev/null 2>&1
    {
        echo "#define STEPS $steps"
        echo "#define N_OBS $n_obs"
        echo "#define N_ACT $n_act"
        for f in obs act; do
            [ $f = obs ] && array=test_obs || array=test_want
            echo "static const float ${array}[] = {"
            tail -n +2 "$tmp/$f.csv" | sed 's/,/,(float)/g; s/^/(float)/; s/$/,/'
            echo "};"
        done
    } >"$tmp/data.h"
}

# board ROW FILE... - links for the board and runs; prints a row of the table
board() {
    row=$1
    shift
    # shellcheck disable=SC2086
    arm-none-eabi-gcc $cpu $link -std=gnu11 -ffunction-sections -fdata-sections $opt -I"$tmp" -I"$src/include" \
        "$tmp/board.c" "$@" -o "$tmp/board.elf" 2>"$tmp/log" || { cat "$tmp/log"; echo "$row: does not link"; exit 1; }
    timeout 300 qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none \
        -semihosting-config enable=on,target=native -icount shift=0 -kernel "$tmp/board.elf" >"$tmp/out" 2>&1 ||
        { cat "$tmp/out"; echo "$row: FAILED"; exit 1; }
    awk -v row="$row" -v steps=$steps '/^ticks/ { printf "| %s | %d |\n", row, $2 * 40 / steps }' "$tmp/out"
}

# the runtime for everything and that for integers alone, once for each way to compile
runtime_library() {
    cpu="-mcpu=cortex-m4 -mthumb $floats"
    dir="$tmp/rt$opt$(echo "$floats" | tr -d ' ')"
    rm -rf "$dir"
    mkdir -p "$dir/integers" "$dir/all"
    for f in "$src"/src/image/*.c "$src"/src/runtime/*.c; do echo "$f"; done >"$dir/both"
    for f in base/crc32 base/status kernels/kernels_int kernels/kernels_q_ref kernels/kernels_q_pointwise; do
        echo "$src/src/$f.c"
    done >>"$dir/both"
    {
        cat "$dir/both"
        for f in base/math_f32 kernels/kernels_ref kernels/kernels_q_panels; do echo "$src/src/$f.c"; done
    } >"$dir/all/list"
    {
        grep -v -e '/image_layer\.c$' -e '/image_open\.c$' -e '_f32\.c$' -e '/contract\.c$' -e '/defaults\.c$' "$dir/both"
        echo "$src/src/runtime/parts/integers.c"
    } >"$dir/integers/list"
    for part in integers all; do
        while read -r f; do
            # shellcheck disable=SC2086
            arm-none-eabi-gcc $cpu -isystem /usr/lib/picolibc/arm-none-eabi/include -std=c99 -ffreestanding \
                -ffp-contract=off -ffunction-sections $opt -I"$src/include" -I"$src/src" -c "$f" \
                -o "$dir/$part/$(basename "$f").o"
        done <"$dir/$part/list"
        arm-none-eabi-ar rc "$dir/$part/libdeft_rt.a" "$dir/$part"/*.o
    done
}

policy() { # NAME FILE SCHEME REWIRE_OR_NOTHING CALIBRATION...
    name=$1 file=$2 scheme=$3 rewire=$4
    shift 4
    part=integers
    if [ "$scheme" = float32 ]; then
        part=all
        # shellcheck disable=SC2086
        "$deft" convert "$file" $rewire -o "$tmp/policy.deft" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    else
        # shellcheck disable=SC2086
        "$deft" quantize "$file" $rewire "$@" -n 1 --scheme "$scheme" --layout rows -o "$tmp/policy.deft" \
            >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    fi
    rm -rf "$tmp/c"
    "$deft" compile "$tmp/policy.deft" -o "$tmp/c" >"$tmp/log"
    data "$tmp/policy.deft"
    # shellcheck disable=SC2086
    (cd "$tmp" && arm-none-eabi-gcc $cpu -c image.s -o image.o &&
        arm-none-eabi-gcc $cpu -isystem /usr/lib/picolibc/arm-none-eabi/include -std=gnu11 $opt -c c/policy.c -o policy.o)
    flash=$(arm-none-eabi-size "$tmp/policy.o" | awk 'NR == 2 { print $1 }')
    ram=$(sed -n 's/.* memory\[\([0-9]*\)\].*/\1/p' "$tmp/c/policy.h")
    case $scheme in float32) ram=$((4 * ram)) ;; *) ram=$((2 * ram)) ;; esac
    board "$name | $scheme | $how emitted C | $flash | $((ram + 8))" "$tmp/emitted.c" "$tmp/c/policy.c"
    board "$name | $scheme | $how runtime | |" "$tmp/runtime.c" "$tmp/image.o" "$dir/$part/libdeft_rt.a"
}

pendulum() {
    for p in td3 ra-td3; do
        policy "pendulum $p" "$src/models/pendulum/$p.onnx" "$1" '' --env pendulum
    done
}

everything() {
    pendulum "$1"
    for p in "$src"/models/quaid/policies/*.onnx; do
        [ ! -f "$p" ] || policy "quaid $(basename "$p" .onnx)" "$p" "$1" ''
    done
    ref=${DEFT_REFERENCE_DIR-}
    [ -d "$ref/models/onnx" ] || return 0
    policy "paper's TD3" "$ref"/models/onnx/act_*_TD3_*.onnx "$1" ''
    policy "paper's SAC" "$ref"/models/onnx/act_*_SAC_*.onnx "$1" ''
    policy "paper's RA-TD3" "$ref"/models/onnx/aug_*_RA-TD3_*.onnx "$1" '--rewire cascade'
    policy "paper's RA-SAC" "$ref"/models/onnx/aug_*_RA-SAC_*.onnx "$1" '--rewire cascade'
}

echo "| policy | numbers | | flash, bytes | RAM, bytes | instructions a step |"
echo "|---|---|---|---|---|---|"
opt=-O2 floats=$fpu how='-O2,'
runtime_library
for scheme in int8 w4a8 float32; do everything $scheme; done
opt=-Os how='-Os,'
runtime_library
everything int8
opt=-O2 floats=-mfloat-abi=soft how='-O2, no float unit,'
runtime_library
for scheme in int8 float32; do pendulum $scheme; done
echo "every bit of $steps steps equals the host's"
