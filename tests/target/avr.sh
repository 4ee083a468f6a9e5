#!/bin/sh
# avr.sh DEFT SOURCE_DIR - where int has 16 bits and flash is not memory: emitted C on a simulated ATmega1284P,
# every scheme and floats, 500 recurrent steps, every bit of every action equal to the host's; constants in
# flash, in memory and behind 24-bit pointers; the runtime; quotients of avr-libc.
set -eu
deft=$1 src=$2
LC_ALL=C
export LC_ALL
for tool in avr-gcc simavr cc; do
    command -v $tool >/dev/null || { echo "no $tool: skipped"; exit 77; }
done
[ -f /usr/lib/avr/include/avr/io.h ] || { echo "no avr-libc: skipped"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
steps=500
chip="-mmcu=atmega1284p"

# What runs on the chip: observations are those of observations() below, and what leaves is whether the
# self-test passed and an FNV-1a sum over the bits of all actions.
cat >"$tmp/board.h" <<'C'
#include <stdint.h>
#ifdef __AVR__
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
static void say(const char *s)
{
    UCSR0B = 1 << TXEN0;
    for (; *s; s++) {
        while (!(UCSR0A & (1 << UDRE0))) {
        }
        UDR0 = (uint8_t)*s;
    }
}
static int end(void)
{
    cli();
    sleep_enable();
    sleep_mode();
    return 0;
}
#else
#include <stdio.h>
static void say(const char *s) { fputs(s, stdout); }
static int end(void) { return 0; }
#endif
static void say_sum(uint32_t v)
{
    char text[] = "sum 00000000;\n";
    for (uint8_t k = 0; k < 8; k++) text[4 + k] = "0123456789abcdef"[v >> (28 - 4 * k) & 15];
    say(text);
}
static uint32_t add_bits(uint32_t sum, const float *x, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        uint32_t bits;
        __builtin_memcpy(&bits, x + i, sizeof bits);
        sum = (sum ^ bits) * 16777619u;
    }
    return sum;
}
C
cat >"$tmp/board.c" <<'C'
#include "board.h"
#include "policy.h"
int policy_open(void);
int policy_act(const float *obs, float *act);
int main(void)
{
    static float obs[N_OBS], act[N_ACT];
    uint32_t g = 1, sum = 2166136261u;
    say(policy_open() ? "failed\n" : "passed\n");
    for (uint16_t t = 0; t < STEPS; t++) {
        for (uint16_t i = 0; i < N_OBS; i++) {
            g = g * 1664525u + 1013904223u;
            obs[i] = (float)(int16_t)(g >> 16) * (1.0f / 8192.0f);
        }
        if (policy_act(obs, act)) say("refused\n");
        sum = add_bits(sum, act, N_ACT);
    }
    say_sum(sum);
    return end();
}
C
cat >"$tmp/emitted.c" <<'C'
#include "policy.h"
static policy_state state;
int policy_open(void);
int policy_act(const float *obs, float *act);
int policy_open(void) { return policy_selftest(&state); }
int policy_act(const float *obs, float *act) { return policy_step(&state, obs, 0, act); }
C
cat >"$tmp/runtime.c" <<'C'
#include "deft/policy.h"
extern const unsigned char image[], image_end[];
static unsigned char arena[1600] __attribute__((aligned(16)));
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
    .section .data
    .balign 16
    .global image, image_end
image:
    .incbin "policy.deft"
image_end:
S
# the sum over a file of actions
cat >"$tmp/sum.c" <<'C'
#include "board.h"
int main(void)
{
    uint32_t sum = 2166136261u;
    float v;
    while (scanf("%f%*[, ]", &v) == 1) sum = add_bits(sum, &v, 1);
    say_sum(sum);
    return 0;
}
C
cc -std=gnu11 "$tmp/sum.c" -o "$tmp/sum"

observations() { # N
    awk -v n="$1" -v steps=$steps 'BEGIN {
        for (i = 0; i < n; i++) printf "obs%d%s", i, i + 1 < n ? "," : "\n"
        g = 1
        for (t = 0; t < steps; t++)
            for (i = 0; i < n; i++) {
                g = (g * 1664525 + 1013904223) % 4294967296
                v = int(g / 65536)
                printf "%.13f%s", (v < 32768 ? v : v - 65536) / 8192, i + 1 < n ? "," : "\n"
            }
    }'
}

simulate() { # ELF
    timeout 600 simavr -m atmega1284p -f 20000000 "$1" 2>&1 | tr '\r' '\n'
}

# agrees ROW FLAG... - links and runs; $tmp/want has the host's sum
agrees() {
    row=$1
    shift
    avr-gcc $chip -DSTEPS=$steps -DN_OBS="$n_obs" -DN_ACT="$n_act" -I"$tmp" -I"$tmp/c" "$tmp/board.c" "$@" \
        -o "$tmp/board.elf" 2>"$tmp/log" ||
        { head -n 20 "$tmp/log"; echo "$row: does not build"; exit 1; }
    simulate "$tmp/board.elf" >"$tmp/out"
    grep -q passed "$tmp/out" || { cat "$tmp/out"; echo "$row: the self-test fails"; exit 1; }
    grep -o 'sum [0-9a-f]*' "$tmp/out" >"$tmp/got" || { cat "$tmp/out"; echo "$row: does not end"; exit 1; }
    cmp -s "$tmp/got" "$tmp/want" || { cat "$tmp/out"; echo "$row: other actions than the host's"; exit 1; }
    avr-size "$tmp/board.elf" | awk -v row="$row" 'NR == 2 { printf "| %s | %d | %d |\n", row, $1 + $2, $2 + $3 }'
    runs=$((runs + 1))
}

# policy FILE SCHEME OPTION... - $tmp/policy.deft, its C in $tmp/c and the host's sum
policy() {
    file=$1 scheme=$2
    shift 2
    case $scheme in
    float32) "$deft" convert "$file" "$@" -o "$tmp/policy.deft" >"$tmp/log" 2>&1 ;;
    *) "$deft" quantize "$file" "$@" --scheme "$scheme" --layout rows -o "$tmp/policy.deft" >"$tmp/log" 2>&1 ;;
    esac || { cat "$tmp/log"; exit 1; }
    rm -rf "$tmp/c"
    "$deft" compile "$tmp/policy.deft" -o "$tmp/c" >"$tmp/log"
    n_obs=$(sed -n 's/#define POLICY_OBSERVATIONS //p' "$tmp/c/policy.h")
    n_act=$(sed -n 's/#define POLICY_ACTIONS //p' "$tmp/c/policy.h")
    observations "$n_obs" >"$tmp/obs.csv"
    "$deft" run "$tmp/policy.deft" --force --obs "$tmp/obs.csv" -o "$tmp/act.csv" >"$tmp/log" 2>&1
    tail -n +2 "$tmp/act.csv" | cut -d, -f1-"$n_act" >"$tmp/act"
    [ "$(wc -l <"$tmp/act")" = $steps ] || { echo "$file: fewer than $steps steps"; exit 1; }
    "$tmp/sum" <"$tmp/act" | grep -o 'sum [0-9a-f]*' >"$tmp/want"
}
warnings="-Wall -Wextra -Werror"
emitted() { # ROW FLAG... - warnings are errors
    row=$1
    shift
    # shellcheck disable=SC2086
    agrees "$row, emitted C" $warnings -std=gnu99 -O2 "$@" "$tmp/emitted.c" "$tmp/c/policy.c"
}
runtime() {
    (cd "$tmp" && avr-gcc $chip -c image.s -o image.o)
    # shellcheck disable=SC2046
    agrees "$1, runtime, all in memory" -std=gnu99 -Os -ffunction-sections -fdata-sections -Wl,--gc-sections \
        -I"$src/include" -I"$src/src" "$tmp/runtime.c" "$tmp/image.o" $(cat "$tmp/runtime.list")
}
for f in "$src"/src/image/*.c "$src"/src/runtime/*.c; do
    case $f in
    */image_layer.c | */image_open.c | *_f32.c | */contract.c | */defaults.c) ;;
    *) echo "$f" ;;
    esac
done >"$tmp/runtime.list"
for f in base/crc32 base/status runtime/parts/integers kernels/kernels_int kernels/kernels_q_ref \
    kernels/kernels_q_pointwise; do
    echo "$src/src/$f.c"
done >>"$tmp/runtime.list"

# quotients: normal and subnormal, of every size
cat >"$tmp/quotients.c" <<'C'
#include "board.h"
#include "base/float_ops.h"
static uint32_t g = 1;
static uint32_t next(void)
{
    g = g * 1664525u + 1013904223u;
    return g ^ g >> 9;
}
static float number(uint32_t exponent)
{
    const uint32_t bits = (next() & 0x807FFFFFu) | exponent << 23;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
int main(void)
{
    uint32_t sum = 2166136261u;
    for (uint16_t t = 0; t < 6000; t++) {
        volatile float a = number(t % 3 ? next() % 8 : next() % 255), b = number(120 + next() % (t % 2 ? 24 : 4));
        const float q = deft_divide_f32(a, b);
        sum = add_bits(sum, &q, 1);
    }
    say_sum(sum);
    return end();
}
C
cc -std=gnu11 -ffp-contract=off -I"$src/src" -I"$tmp" "$tmp/quotients.c" -o "$tmp/quotients"
avr-gcc $chip -std=gnu99 -O2 -I"$src/src" -I"$tmp" "$tmp/quotients.c" -o "$tmp/quotients.elf"
"$tmp/quotients" | grep -o 'sum [0-9a-f]*' >"$tmp/want"
simulate "$tmp/quotients.elf" | grep -o 'sum [0-9a-f]*' >"$tmp/got" || true
cmp -s "$tmp/got" "$tmp/want" || { echo "quotients are not the host's"; exit 1; }

runs=0
echo "| policy | flash, bytes | RAM, bytes |"
echo "|---|---|---|"
for scheme in int8 w8a16 w4a8 w4a16 int16 pow2; do
    policy "$src/models/pendulum/td3.onnx" "$scheme" --env pendulum -n 1
    emitted "TD3, $scheme"
    case $scheme in
    int8)
        emitted "TD3, $scheme, constants in memory" -DPOLICY_FLASH=
        emitted "TD3, $scheme, 24-bit pointers" -DPOLICY_FLASH=__memx
        agrees "TD3, $scheme, strict C99, constants in memory" -std=c99 -O0 "$tmp/emitted.c" "$tmp/c/policy.c"
        runtime "TD3, $scheme"
        ;;
    w4a8 | int16) runtime "TD3, $scheme" ;;
    esac
    policy "$src/models/pendulum/ra-td3.onnx" "$scheme" --env pendulum -n 1
    emitted "RA-TD3, $scheme"
done
policy "$src/models/pendulum/td3.onnx" float32 --contract pendulum
emitted "TD3, float32"
policy "$src/models/pendulum/ra-td3.onnx" float32 --contract pendulum --previous last
emitted "RA-TD3, float32"
# what these do not have: LSTM, a GRU that resets before, layer normalisation, history
for name in rsl_rl_lstm gates_concat_reset_before layernorm_gelu history_newest_first dqn_argmax; do
    golden=$src/tests/golden/policies/$name
    policy "$golden.onnx" int8 --calib "$golden.csv"
    emitted "$name, int8"
    policy "$golden.onnx" float32
    emitted "$name, float32"
done
echo "$runs runs of $steps steps: every bit as on this host"
