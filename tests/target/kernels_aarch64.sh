#!/bin/sh
# kernels_aarch64.sh SOURCE_DIR - the kernel tests, built for AArch64 and run under emulation: on a
# CPU without dot products, and on one with everything.
set -eu
src=$1
cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
flags="-std=gnu11 -O3 -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion -Werror
    -D_POSIX_C_SOURCE=200809L -I$src/include -I$src/src -I$src/tests"
for file in "$src"/src/base/math_f32.c "$src"/src/base/rng.c "$src"/src/image/matrix.c \
    "$src"/src/kernels/*.c; do
    machine=
    case $file in *_dot.c) machine=-march=armv8.2-a+dotprod ;; esac
    # shellcheck disable=SC2086
    $cc $flags $machine -c "$file" -o "$tmp/$(basename "$file" .c).o"
done
for test in test_kernels test_kernels_q; do
    # shellcheck disable=SC2086
    $cc $flags -static "$tmp"/*.o "$src/tests/unit/kernels/$test.c" -lm -o "$tmp/$test"
done
for cpu in cortex-a72 max; do
    echo "$cpu"
    qemu-aarch64 -cpu $cpu "$tmp/test_kernels_q"
done
qemu-aarch64 -cpu cortex-a72 "$tmp/test_kernels"
