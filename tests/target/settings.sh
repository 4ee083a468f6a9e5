#!/bin/sh
# settings.sh DEFT SOURCE_DIR - whatever a compiler is told, and for other machines, big-endian ones too: emitted
# C and the runtime give the host's bits and refuse what is not finite, or are refused by the compiler, or fail
# their self-tests. Prints a table; none may be wrong and unnoticed.
set -eu
LC_ALL=C
export LC_ALL

# one DIR SOURCE_DIR NUMBER CC FLAGS LINK RUNNER - a row of the table, in DIR/row.NUMBER; for xargs
one() {
    tmp=$1 src=$2 number=$3 cc=$4 flags=$5 link=$6 runner=$7
    row="| $cc $flags${link:+, linked with $link} |"
    for program in integers floats runtime; do
        exe=$tmp/$program.$number
        case $program in
        runtime)
            # shellcheck disable=SC2046
            set -- -I"$src/include" -I"$src/src" "$tmp/runtime.c" $(cat "$tmp/runtime.list")
            ;;
        *) set -- -I"$tmp/c" "$tmp/$program.c" ;;
        esac
        case $cc in *gcc) static=-static ;; *) static= ;; esac
        [ -n "$runner" ] || static=
        mkdir "$exe.d"
        # an object first, because some flags are the linker's too
        # shellcheck disable=SC2086
        if ! (cd "$exe.d" && $cc -std=gnu11 $flags -I"$tmp" -c "$@") >"$exe.log" 2>&1; then
            if grep -q -e 'what the policy computes' -e 'extra precision' "$exe.log"; then
                row="$row refused |"
            else
                head -n 5 "$exe.log" >&2
                row="$row DOES NOT COMPILE |"
            fi
            rm -rf "$exe.d"
            continue
        fi
        # shellcheck disable=SC2086
        $cc $flags $link $static "$exe.d"/*.o -o "$exe" >"$exe.log" 2>&1 || {
            head -n 5 "$exe.log" >&2
            row="$row DOES NOT LINK |"
            continue
        }
        rm -rf "$exe.d"
        set --
        [ $program != runtime ] || set -- "$tmp"/*.deft
        # shellcheck disable=SC2086
        $runner "$exe" "$@" >"$exe.out" 2>"$exe.log" || true
        row="$row $(sort "$exe.out" | join -a 1 "$tmp/$program.want" - | awk '
            { n++ }
            $2 == $5 && $3 == "passed" && $4 == "finite" { equal++; next }
            $3 == "unsupported" { unread++; next }
            $3 == "failed" { noticed++; next }
            { wrong = wrong " " $1 }
            END {
                if (wrong) printf "WRONG:%s", wrong
                else if (equal == n) printf "equal"
                else if (unread == n) printf "images refused"
                else printf "%s%d of %d noticed", equal ? "equal, " : "", noticed, n
            }') |"
        rm -f "$exe"
    done
    echo "$row" >"$tmp/row.$number"
}
if [ "$1" = one ]; then
    shift
    one "$@"
    exit
fi

deft=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") src=$(cd "$2" && pwd)
for tool in gcc clang; do
    command -v $tool >/dev/null || { echo "no $tool: skipped"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
steps=500

# What all programs share: observations, a sum over the bits of all actions (FNV-1a), and a line for each
# policy: NAME passed|failed|unsupported finite|accepts SUM
cat >"$tmp/drive.h" <<'C'
#include <stdint.h>
#include <stdio.h>
#include <string.h>
enum { MAX = 64 };
typedef struct policy {
    const char *name;
    int n_obs, n_act;
    void *self;
    int (*test)(void *self);
    void (*reset)(void *self);
    int (*step)(void *self, const float *obs, const float *applied, float *act);
} policy;
static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
/* Observations and applied actions that are not finite are refused, and change nothing. */
static int refuses(const policy *p)
{
    static const uint32_t bad[] = {0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000, 0x7F800001};
    float obs[MAX] = {0}, act[MAX], applied[MAX] = {0};
    int good = 1;
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < p->n_act; i++) act[i] = 777;
        obs[p->n_obs - 1] = from_bits(bad[k]);
        good &= p->step(p->self, obs, NULL, act) != 0 && act[0] == 777;
        obs[p->n_obs - 1] = 0;
        applied[p->n_act - 1] = from_bits(bad[k]);
        good &= p->step(p->self, obs, applied, act) != 0 && act[0] == 777;
        applied[p->n_act - 1] = 0;
    }
    return good;
}
static void drive(const policy *p)
{
    uint32_t g = 1, sum = 2166136261u;
    const int failed = p->test(p->self);
    p->reset(p->self);
    const int good = refuses(p);
    p->reset(p->self);
    for (int t = 0; t < STEPS; t++) {
        float obs[MAX], act[MAX];
        for (int i = 0; i < p->n_obs; i++) {
            g = g * 1664525u + 1013904223u;
            obs[i] = (float)(int16_t)(g >> 16) * (1.0f / 8192.0f);
        }
        if (p->step(p->self, obs, NULL, act)) sum++;
        for (int i = 0; i < p->n_act; i++) {
            uint32_t bits;
            memcpy(&bits, &act[i], sizeof bits);
            sum = (sum ^ bits) * 16777619u;
        }
    }
    printf("%s %s %s %08x\n", p->name, failed ? "failed" : "passed", good ? "finite" : "accepts", sum);
}
C
cat >"$tmp/runtime.c" <<'C'
#include "drive.h"
#include "deft/policy.h"
static union {
    double aligned;
    unsigned char bytes[1 << 20];
} image __attribute__((aligned(64))), arena __attribute__((aligned(64)));
static int test(void *self) { return deft_policy_selftest(self) != DEFT_OK; }
static void reset(void *self) { deft_policy_reset(self); }
static int step(void *self, const float *obs, const float *applied, float *act)
{
    return deft_policy_step(self, obs, applied, act) != DEFT_OK;
}
int main(int argc, char **argv)
{
    for (int k = 1; k < argc; k++) {
        char name[64] = "";
        const char *const slash = strrchr(argv[k], '/');
        strncpy(name, slash ? slash + 1 : argv[k], sizeof name - 1);
        *strchr(name, '.') = 0;
        FILE *const f = fopen(argv[k], "rb");
        deft_policy_config c = {image.bytes, fread(image.bytes, 1, sizeof image, f), arena.bytes, sizeof arena, 0};
        deft_policy p;
        fclose(f);
        const int s = deft_policy_init(&p, &c);
        if (s != DEFT_OK) {
            printf("%s %s - -\n", name, s == DEFT_E_LAYOUT ? "unsupported" : "refused");
            continue;
        }
        const policy d = {name, p.n_obs, p.n_act, &p, test, reset, step};
        drive(&d);
    }
    return 0;
}
C
for f in "$src"/src/image/*.c "$src"/src/runtime/*.c; do echo "$f"; done >"$tmp/runtime.list"
for f in base/crc32 base/math_f32 base/status kernels/kernels_ref kernels/kernels_int kernels/kernels_q_panels \
    kernels/kernels_q_ref kernels/kernels_q_pointwise; do echo "$src/src/$f.c"; done >>"$tmp/runtime.list"

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
cat >"$tmp/sum.c" <<'C'
#include <stdint.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    uint32_t sum = 2166136261u, bits;
    float v;
    while (scanf("%f%*[, ]", &v) == 1) {
        memcpy(&bits, &v, sizeof bits);
        sum = (sum ^ bits) * 16777619u;
    }
    printf("%08x\n", sum);
    return 0;
}
C
gcc "$tmp/sum.c" -o "$tmp/sum"

# policy PROGRAM NAME - of $tmp/NAME.deft: its C into the program, and the host's sum into what is wanted
policy() {
    "$deft" compile "$tmp/$2.deft" -o "$tmp/c" --name "$2" >"$tmp/log"
    upper=$(echo "$2" | tr '[:lower:]' '[:upper:]')
    cat >>"$tmp/$1.c" <<C
#include "$2.c"
static $2_state $2;
static int $2_test(void *s) { return $2_selftest(s); }
static void $2_start(void *s) { $2_reset(s); }
static int $2_go(void *s, const float *o, const float *p, float *a) { return $2_step(s, o, p, a); }
C
    echo "    {\"$2\", ${upper}_OBSERVATIONS, ${upper}_ACTIONS, &$2, $2_test, $2_start, $2_go}," >>"$tmp/$1.all"
    n_obs=$(sed -n "s/#define ${upper}_OBSERVATIONS //p" "$tmp/c/$2.h")
    n_act=$(sed -n "s/#define ${upper}_ACTIONS //p" "$tmp/c/$2.h")
    observations "$n_obs" >"$tmp/obs.csv"
    "$deft" run "$tmp/$2.deft" --force --obs "$tmp/obs.csv" -o "$tmp/act.csv" >"$tmp/log" 2>&1
    echo "$2 $(tail -n +2 "$tmp/act.csv" | cut -d, -f1-"$n_act" | "$tmp/sum")" >>"$tmp/$1.unsorted"
}
quantized() { # NAME FILE SCHEME OPTION...
    name=$1 file=$2 scheme=$3
    shift 3
    "$deft" quantize "$file" --scheme "$scheme" --layout rows "$@" -o "$tmp/$name.deft" >"$tmp/log" 2>&1 ||
        { cat "$tmp/log"; exit 1; }
    policy integers "$name"
}
converted() { # NAME FILE OPTION...
    name=$1 file=$2
    shift 2
    "$deft" convert "$file" "$@" -o "$tmp/$name.deft" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    policy floats "$name"
}
for program in integers floats; do
    echo '#include "drive.h"' >"$tmp/$program.c"
    : >"$tmp/$program.all"
done
golden=$src/tests/golden/policies lstm=rsl_rl_lstm norm=layernorm_gelu
quantized gru_int8 "$src/models/pendulum/ra-td3.onnx" int8 --env pendulum -n 1
quantized gru_w4a8 "$src/models/pendulum/ra-td3.onnx" w4a8 --env pendulum -n 1
quantized gru_int16 "$src/models/pendulum/ra-td3.onnx" int16 --env pendulum -n 1
quantized lstm_int8 "$golden/$lstm.onnx" int8 --calib "$golden/$lstm.csv"
quantized norm_int8 "$golden/$norm.onnx" int8 --calib "$golden/$norm.csv"
converted gru_f32 "$src/models/pendulum/ra-td3.onnx" --contract pendulum --previous last
converted lstm_f32 "$golden/$lstm.onnx"
converted norm_f32 "$golden/$norm.onnx"
converted history_f32 "$golden/history_newest_first.onnx"
for program in integers floats; do
    {
        echo "static const policy all[] = {"
        cat "$tmp/$program.all"
        printf '};\nint main(void)\n{\n    for (unsigned k = 0; k < sizeof all / sizeof all[0]; k++) drive(&all[k]);\n'
        printf '    return 0;\n}\n'
    } >>"$tmp/$program.c"
    sort "$tmp/$program.unsorted" >"$tmp/$program.want"
done
sort "$tmp/integers.want" "$tmp/floats.want" >"$tmp/runtime.want"
sed -i "s/STEPS/$steps/" "$tmp/drive.h"

# the settings, one a line: CC; FLAGS; LINK; RUNNER
fused='' m32=''
! grep -q -w fma /proc/cpuinfo || fused=yes
! echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o "$tmp/m32" 2>/dev/null || m32=yes
associative="-fassociative-math -fno-signed-zeros -fno-trapping-math"
{
    for cc in gcc clang; do
        for o in -O0 -O1 -O2 -O3 -Os -Ofast; do echo "$cc;$o;;"; done
        for f in -ffast-math -funsafe-math-optimizations "$associative" -freciprocal-math -ffinite-math-only \
            -fno-signed-zeros -frounding-math "-fshort-enums -funsigned-char" -ffp-contract=fast; do
            echo "$cc;-O3 $f;;"
        done
        [ -z "$fused" ] || echo "$cc;-O3 -march=haswell;;"
        [ -z "$fused" ] || echo "$cc;-O3 -march=haswell -ffp-contract=fast;;"
        [ -z "$m32" ] || echo "$cc;-O2 -m32 -msse2 -mfpmath=sse;;"
    done
    for f in -O0 -O3; do [ -z "$m32" ] || echo "gcc;$f -m32 -mfpmath=387;;"; done
    [ -z "$m32" ] || echo "gcc;-std=c99 -D_POSIX_C_SOURCE=200809L -O1 -m32 -mfpmath=387;;"
    [ -z "$m32" ] || echo "clang;-O2 -m32 -mno-sse;;"
    echo "gcc;-O2 -fsingle-precision-constant;;"
    echo "gcc;-O2 -flto;;"
    echo "gcc;-O2;-Ofast;"
    echo "clang;-O3 -fno-honor-nans -fno-honor-infinities;;"
    echo "clang;-O3 -ffp-model=fast;;"
    echo "clang;-O1 $associative;;"
    [ -z "$fused" ] || echo "clang;-O3 -march=haswell -funsafe-math-optimizations;;"
    for machine in aarch64:aarch64 s390x:s390x powerpc:ppc; do
        gcc=${machine%:*}-linux-gnu-gcc qemu=qemu-${machine#*:}
        if command -v "$gcc" >/dev/null && command -v "$qemu" >/dev/null; then
            for f in -O0 -O2 "-O3 -ffp-contract=fast" "-O2 -ffast-math"; do echo "$gcc;$f;;$qemu"; done
        else
            echo "no $gcc or $qemu: left out" >&2
        fi
    done
    if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
        for f in -O3 "-O3 -ffp-contract=fast" "-O3 -freciprocal-math" "-O3 $associative"; do
            echo "clang --target=aarch64-linux-gnu;$f;;qemu-aarch64 -L /usr/aarch64-linux-gnu"
        done
    fi
} >"$tmp/settings"
awk -F';' '{ printf "%03d%c%s%c%s%c%s%c%s%c", NR, 0, $1, 0, $2, 0, $3, 0, $4, 0 }' "$tmp/settings" |
    xargs -0 -n 5 -P "$(nproc)" sh "$0" one "$tmp" "$src"
echo "| setting | integers | floats | runtime |"
echo "|---|---|---|---|"
cat "$tmp"/row.*
n=$(wc -l <"$tmp/settings")
[ "$(cat "$tmp"/row.* | wc -l)" = "$n" ] || { echo "rows are missing"; exit 1; }
count() { cut -d'|' -f3- "$tmp"/row.* | tr '|' '\n' | grep -c "^ $1" || true; }
wrong=$(count '[A-Z][A-Z]')
echo "$n settings of three programs: $(count 'equal $') equal, $(count 'refused $') refused by the" \
    "compiler, $(count '.*noticed $') noticed by self-tests, $(count 'images') whose images are refused" \
    "(byte order), $wrong wrong"
# what must be refused and noticed, or this test sees nothing
if [ "$(count 'refused $')" -lt 40 ]; then echo "too few were refused"; exit 1; fi
if [ -n "$fused" ] && [ "$(count '.*noticed $')" -lt 6 ]; then echo "fused floats were not noticed"; exit 1; fi
[ "$wrong" = 0 ]
