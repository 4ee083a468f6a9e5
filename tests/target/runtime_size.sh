#!/bin/sh
# runtime_size.sh DEFT SOURCE_DIR - what the paper's recurrent policy costs a Cortex-M4 in code, -Os, beside
# its numbers: as emitted C, and as an image with the runtime that checks it. Only ours is counted: startup
# and memcpy belong to the C library. Fails above the budgets. The same runtime then runs on this host: it passes
# the image's test, refuses the image with a bit of any byte changed, and policies that it leaves out.
set -eu
deft=$1 src=$2
for tool in arm-none-eabi-gcc /usr/bin/python3; do
    command -v $tool >/dev/null || { echo "no $tool: skipped"; exit 77; }
done
[ -d /usr/lib/picolibc/arm-none-eabi ] || { echo "no picolibc: skipped"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cpu="-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard"
flags="-std=c99 -ffreestanding -ffp-contract=off -Os -ffunction-sections -fdata-sections
    -isystem /usr/lib/picolibc/arm-none-eabi/include -I$src/include -I$src/src"
link="--specs=picolibc.specs --crt0=minimal -Wl,--gc-sections -Wl,--defsym=__flash=0,--defsym=__flash_size=0x400000
    -Wl,--defsym=__ram=0x20000000,--defsym=__ram_size=0x100000,--defsym=__stack_size=0x1000"

# text TITLE BUDGET ELF - bytes of functions that are ours; beside them those of constants in flash
text() {
    arm-none-eabi-readelf -sW "$3" | /usr/bin/python3 -c '
import re, sys
title, budget = sys.argv[1], int(sys.argv[2])
theirs = re.compile(r"^(_start|main|_.*init.*|_exit|mem.*|__aeabi.*|.*interrupt.*|.*_isr)$")
size, constants = {}, {}
for r in (l.split() for l in sys.stdin):
    if len(r) == 8 and r[3] == "FUNC" and not theirs.match(r[7]):
        size[r[1]] = (int(r[2]), r[7]) # by address: aliases once
    if len(r) == 8 and r[3] == "OBJECT" and int(r[1], 16) < 0x20000000 and not theirs.match(r[7]):
        constants[r[1]] = int(r[2])
ours = sorted(size.values(), reverse=True)
total = sum(n for n, _ in ours)
print(f"{title}: {total} bytes of code, at most {budget}, and {sum(constants.values())} of constants; the largest: "
      + ", ".join(f"{name} {n}" for n, name in ours[:6]))
sys.exit(total > budget or total < 500)' "$1" "$2"
}

policy=$src/models/pendulum/ra-td3.onnx # the same layers as the robot's, so the same code
"$deft" quantize "$policy" --env pendulum -n 1 --layout rows -o "$tmp/policy.deft" >/dev/null 2>&1
"$deft" compile "$tmp/policy.deft" -o "$tmp" >/dev/null
cat >"$tmp/main.c" <<'C'
#include "policy.h"
static policy_state state;
float obs[POLICY_OBSERVATIONS], act[POLICY_ACTIONS];
int main(void)
{
    policy_reset(&state);
    return policy_selftest(&state) || policy_step(&state, obs, 0, act);
}
C
# shellcheck disable=SC2086
arm-none-eabi-gcc $cpu $flags $link "$tmp/main.c" "$tmp/policy.c" -o "$tmp/emitted.elf"
bad=0
text "emitted C" 8192 "$tmp/emitted.elf" || bad=1

cat >"$tmp/main.c" <<'C'
#include "deft/policy.h"
extern const unsigned char image[];
extern const unsigned image_size;
static unsigned char arena[2048] __attribute__((aligned(16)));
static deft_policy policy;
float obs[32], act[32];
int main(void)
{
    const deft_policy_config c = {image, image_size, arena, sizeof arena, 0};
    return deft_policy_init(&policy, &c) || deft_policy_selftest(&policy) || deft_policy_step(&policy, obs, 0, act);
}
C
echo 'const unsigned image_size = 4; const unsigned char image[4] = {1};' >"$tmp/image.c"
set -- base/crc32 kernels/kernels_q_ref runtime/parts/integers_gru
for f in "$src"/src/image/*.c "$src"/src/runtime/*.c; do
    case $f in
    */image_layer.c | */image_open.c | *_f32.c | */contract.c | */defaults.c) ;;
    *) set -- "$@" "$(basename "$(dirname "$f")")/$(basename "$f" .c)" ;;
    esac
done
for f in "$@" ; do set -- "$@" "$src/src/$f.c"; shift; done
# shellcheck disable=SC2086
arm-none-eabi-gcc $cpu $flags $link "$@" "$tmp/main.c" "$tmp/image.c" -o "$tmp/runtime.elf"
text "runtime with its checker, int8 dense and GRU" 8192 "$tmp/runtime.elf" || bad=1

cat >"$tmp/host.c" <<'C'
#include "deft/policy.h"
#include <stdio.h>
static _Alignas(16) unsigned char image[1 << 20], arena[1 << 16];
int main(int argc, char **argv)
{
    for (int k = 1; k < argc; k++) {
        FILE *const f = fopen(argv[k], "rb");
        const size_t size = f ? fread(image, 1, sizeof image, f) : 0;
        const deft_policy_config c = {image, size, arena, sizeof arena, 0};
        deft_policy p;
        const int opened = deft_policy_init(&p, &c), passed = deft_policy_selftest(&p);
        int accepted = 0;
        for (size_t i = 0; i < size; i++) {
            image[i] ^= (unsigned char)(1 << i % 8);
            accepted += deft_policy_size(image, size) > 0;
            image[i] ^= (unsigned char)(1 << i % 8);
        }
        const int refused = deft_policy_size(image, size);
        printf("%d %d %d %d %d\n", opened, passed, accepted, deft_policy_size_kept(image, size) > 0,
               refused < 0 ? refused : 0);
    }
    return 0;
}
C
"$deft" quantize "$policy" --env pendulum -n 1 --layout rows --scheme int16 -o "$tmp/wide.deft" >/dev/null 2>&1
"$deft" quantize "$policy" --env pendulum -n 1 --layout panels -o "$tmp/panels.deft" >/dev/null 2>&1
cc -std=c11 -ffp-contract=off -O1 -I"$src/include" -I"$src/src" "$@" "$tmp/host.c" -o "$tmp/host"
"$tmp/host" "$tmp/policy.deft" "$tmp/wide.deft" "$tmp/panels.deft" >"$tmp/statuses"
# DEFT_OK; DEFT_E_UNSUPPORTED; DEFT_E_LAYOUT
printf '0 0 0 0 0\n-7 -1 0 0 -7\n-8 -1 0 0 -8\n' | diff - "$tmp/statuses" || { echo "the runtime does not do what it should"; bad=1; }
exit $bad
