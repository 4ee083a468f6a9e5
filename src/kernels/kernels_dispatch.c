/* kernels_dispatch.c - the one place that knows which CPU this is. Hosts only. */
#include "deft/kernels.h"
#include "kernels/kernel_set.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

extern const deft_kernels_f32 deft_kernels_f32_avx2, deft_kernels_f32_avx512;
extern const deft_kernels_q deft_kernels_q_avx2, deft_kernels_q_avxvnni, deft_kernels_q_vnni;

static const deft_kernels avx2 = {"avx2", &deft_kernels_f32_avx2, &deft_kernels_q_avx2};
static const deft_kernels avxvnni = {"avxvnni", &deft_kernels_f32_avx2, &deft_kernels_q_avxvnni};
static const deft_kernels avx512 = {"avx512", &deft_kernels_f32_avx512, &deft_kernels_q_avx2};
static const deft_kernels vnni = {"avx512vnni", &deft_kernels_f32_avx512, &deft_kernels_q_vnni};

/* These ask the operating system too: it must save the wide registers. */
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avxvnni(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1;
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("bmi2");
}

static int has_vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

const deft_kernels *const *deft_kernels_all(void)
{
    static const deft_kernels *const everything[] = {&deft_kernels_ref, &avx2, &avxvnni,
                                                     &avx512,           &vnni, NULL};
    static const deft_kernels *const with_vnni[] = {&deft_kernels_ref, &avx2, &avx512, &vnni, NULL};
    static const deft_kernels *const with_avx512[] = {&deft_kernels_ref, &avx2, &avx512, NULL};
    static const deft_kernels *const with_avxvnni[] = {&deft_kernels_ref, &avx2, &avxvnni, NULL};
    static const deft_kernels *const with_avx2[] = {&deft_kernels_ref, &avx2, NULL};
    static const deft_kernels *const baseline[] = {&deft_kernels_ref, NULL};
    if (has_vnni()) return has_avxvnni() ? everything : with_vnni;
    if (has_avx512()) return with_avx512;
    if (has_avxvnni()) return with_avxvnni;
    return has_avx2() ? with_avx2 : baseline;
}
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>
#endif

extern const deft_kernels_f32 deft_kernels_f32_neon;
extern const deft_kernels_q deft_kernels_q_neon, deft_kernels_q_neon_dot;

static const deft_kernels neon = {"neon", &deft_kernels_f32_neon, &deft_kernels_q_neon};
static const deft_kernels neon_dot = {"neondot", &deft_kernels_f32_neon, &deft_kernels_q_neon_dot};

static int has_dot(void)
{
#if defined(__linux__)
    return getauxval(AT_HWCAP) >> 20 & 1; // HWCAP_ASIMDDP
#elif defined(__APPLE__)
    return 1;
#else
    return 0;
#endif
}

const deft_kernels *const *deft_kernels_all(void)
{
    static const deft_kernels *const with_dot[] = {&deft_kernels_ref, &neon, &neon_dot, NULL};
    static const deft_kernels *const baseline[] = {&deft_kernels_ref, &neon, NULL};
    return has_dot() ? with_dot : baseline;
}
#else
const deft_kernels *const *deft_kernels_all(void)
{
    static const deft_kernels *const all[] = {&deft_kernels_ref, NULL};
    return all;
}
#endif

const deft_kernels *deft_kernels_best(void)
{
    const deft_kernels *const *k = deft_kernels_all();
    while (k[1]) k++;
    return *k;
}

const deft_kernels *deft_kernels_find(const char *name)
{
    for (const deft_kernels *const *k = deft_kernels_all(); *k; k++) {
        if (strcmp((*k)->name, name) == 0) return *k;
    }
    return NULL;
}

const char *deft_kernels_name(const deft_kernels *k)
{
    return k->name;
}
