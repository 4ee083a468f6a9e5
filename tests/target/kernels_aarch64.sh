#!/bin/sh
# kernels_aarch64.sh SOURCE_DIR - the kernel tests, built for AArch64 and run under emulation.
set -eu
src=$1
cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
$cc -std=gnu11 -O3 -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Werror \
    -D_POSIX_C_SOURCE=200809L -static -I"$src/include" -I"$src/src" -I"$src/tests" \
    "$src"/src/base/math_f32.c "$src"/src/base/rng.c "$src"/src/image/matrix.c "$src"/src/kernels/*.c \
    "$src"/tests/unit/kernels/test_kernels.c -lm -o "$tmp/test_kernels"
qemu-aarch64 -cpu cortex-a72 "$tmp/test_kernels"
