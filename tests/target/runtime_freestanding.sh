#!/bin/sh
# runtime_freestanding.sh SOURCE_DIR CC - the runtime compiles as freestanding C99, here and, where
# there is a compiler, for a Cortex-M4, whose size of code it reports.
set -eu
src=$1 cc=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
flags="-std=c99 -ffreestanding -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Werror
    -I$src/include -I$src/src"
files="base/crc32 base/math_f32 base/status kernels/kernels_ref kernels/kernels_int"
for f in "$src"/src/kernels/kernels_q_*.c "$src"/src/image/*.c "$src"/src/runtime/*.c; do
    files="$files $(basename "$(dirname "$f")")/$(basename "$f" .c)"
done
for f in $files; do
    # shellcheck disable=SC2086
    "$cc" $flags -O2 -c "$src/src/$f.c" -o "$tmp/host.o"
done
echo "host: compiles"
arm='arm-none-eabi-gcc'
command -v $arm >/dev/null || { echo "no $arm: Cortex-M4 left out"; exit 0; }
# of libc only string.h is used; any will do
for dir in /usr/lib/picolibc/arm-none-eabi/include /usr/lib/arm-none-eabi/include; do
    [ ! -f $dir/string.h ] || libc="-isystem $dir"
done
[ -n "${libc-}" ] || { mkdir "$tmp/libc"; cp "$src/tests/target/string.h" "$tmp/libc"; libc="-isystem $tmp/libc"; }
for f in $files; do
    # shellcheck disable=SC2086
    $arm $flags $libc -Os -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard \
        -ffunction-sections -c "$src/src/$f.c" -o "$tmp/$(basename "$f").o"
done
arm-none-eabi-size -t "$tmp"/[a-gi-z]*.o
