/* gemm.c - OpenBLAS, opened at run time. */
#include "train/gemm.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_MOST = 1 << 28 }; // multiplications

struct deft_blas {
    void *library;
    void (*sgemm)(enum CBLAS_ORDER, enum CBLAS_TRANSPOSE, enum CBLAS_TRANSPOSE, blasint, blasint,
                  blasint, float, const float *, blasint, const float *, blasint, float, float *,
                  blasint);
    void (*set_threads)(int);
    char *(*core)(void);
    bool own; // small products are ours
};

/* The newest kernel set of OpenBLAS 0.3.21 that this CPU executes; NULL: leave the choice to it. */
static const char *core_of_cpu(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        return "SkylakeX";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return NULL;
}

static bool load(deft_blas *b)
{
    void *so = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!so) so = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    b->library = so;
    if (!so) return false;
    // POSIX lets a void pointer hold a function's address; ISO C only lets us copy it.
    void *f[3] = {dlsym(so, "cblas_sgemm"), dlsym(so, "openblas_set_num_threads"),
                  dlsym(so, "openblas_get_corename")};
    if (!f[0] || !f[1] || !f[2]) return false;
    memcpy(&b->sgemm, &f[0], sizeof f[0]);
    memcpy(&b->set_threads, &f[1], sizeof f[1]);
    memcpy(&b->core, &f[2], sizeof f[2]);
    b->set_threads(1); // parallelism is ours: over networks and environments, in a fixed order
    return true;
}

deft_status deft_blas_create(const char *core, deft_blas **out, deft_error *err)
{
    *out = NULL;
    deft_blas *b = calloc(1, sizeof *b);
    if (!b) return deft_fail(err, DEFT_E_SPACE, "no memory for BLAS");
    const char *name = core ? core : core_of_cpu();
    if (name) (void)setenv("OPENBLAS_CORETYPE", name, core != NULL);
    if (!load(b)) {
        deft_blas_destroy(b);
        return deft_fail(err, DEFT_E_UNSUPPORTED,
                         "training needs OpenBLAS: apt install libopenblas0");
    }
#if defined(__x86_64__)
    // whoever names an older kernel set wants the results of an older CPU
    b->own = __builtin_cpu_supports("avx512f") && strcmp(b->core(), "SkylakeX") == 0;
#endif
    *out = b;
    return DEFT_OK;
}

void deft_blas_destroy(deft_blas *b)
{
    if (!b) return;
    if (b->library) (void)dlclose(b->library);
    free(b);
}

const char *deft_blas_core(const deft_blas *b)
{
    return b->core();
}

bool deft_blas_gemm(const deft_blas *b, const deft_gemm *g)
{
#if defined(__x86_64__)
    if (b->own && (int64_t)g->m * g->n * g->k <= OWN_MOST && (g->beta == 0 || g->beta == 1)) {
        deft_gemm_avx512(g);
        return true;
    }
#endif
    b->sgemm(CblasRowMajor, g->a_transposed ? CblasTrans : CblasNoTrans,
             g->b_transposed ? CblasTrans : CblasNoTrans, g->m, g->n, g->k, 1, g->a, g->lda, g->b,
             g->ldb, g->beta, g->c, g->ldc);
    return !g->bias && !g->relu;
}
