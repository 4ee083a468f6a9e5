/* gemm.c - OpenBLAS, opened at run time. */
#include "train/gemm.h"

#include <cblas.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { OWN_MOST = 1 << 28 }; // multiplications
/* Of OpenBLAS, for each call that is under way: 128 MB, and what lies around them. */
enum { BUFFER_BYTES = 130 << 20, MOST_BUFFERS = 16 };

struct deft_blas {
    void *library;
    void (*sgemm)(enum CBLAS_ORDER, enum CBLAS_TRANSPOSE, enum CBLAS_TRANSPOSE, blasint, blasint,
                  blasint, float, const float *, blasint, const float *, blasint, float, float *,
                  blasint);
    void (*set_threads)(int);
    char *(*core)(void);
    void *(*take_buffer)(int); // NULL: this OpenBLAS does not show them
    void (*give_buffer)(void *);
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

/* NULL: `why` tells, and is "" where there is no such library. */
static void *open_library(char why[256])
{
    static const char *const name[] = {"libopenblas.so.0", "libopenblas.so"};
    why[0] = '\0';
    for (int i = 0; i < 2; i++) {
        void *const so = dlopen(name[i], RTLD_NOW | RTLD_LOCAL);
        if (so) return so;
        const char *const text = dlerror();
        if (text && !why[0] && !strstr(text, "No such file")) {
            (void)deft_escape(why, 256, text, PATH_MAX);
        }
    }
    return NULL;
}

/* With one thread, and that before it is opened: it starts its threads as it is opened, and each
 * then looks for a buffer without end where memory is limited, which nobody could wait for. */
static void *open_with_one_thread(char why[256])
{
    static const char name[] = "OPENBLAS_NUM_THREADS";
    const char *const there = getenv(name);
    char *const before = there ? strdup(there) : NULL;
    (void)setenv(name, "1", 1);
    void *const so = open_library(why);
    if (before)
        (void)setenv(name, before, 1);
    else
        (void)unsetenv(name);
    free(before);
    return so;
}

/* False: DEFT_E_UNSUPPORTED, with a text. */
static bool load(deft_blas *b, deft_error *err)
{
    char why[256];
    void *const so = open_with_one_thread(why);
    b->library = so;
    if (!so) {
        (void)deft_fail(err, DEFT_E_UNSUPPORTED,
                        why[0] ? "cannot load OpenBLAS, which training needs: %s (is memory "
                                 "limited, by ulimit -v?)"
                               : "training needs OpenBLAS: apt install libopenblas0%s",
                        why);
        return false;
    }
    // POSIX lets a void pointer hold a function's address; ISO C only lets us copy it.
    void *f[5] = {dlsym(so, "cblas_sgemm"), dlsym(so, "openblas_set_num_threads"),
                  dlsym(so, "openblas_get_corename"), dlsym(so, "blas_memory_alloc"),
                  dlsym(so, "blas_memory_free")};
    if (!f[0] || !f[1] || !f[2]) {
        (void)deft_fail(err, DEFT_E_UNSUPPORTED,
                        "training needs OpenBLAS, but libopenblas lacks functions of it");
        return false;
    }
    memcpy(&b->sgemm, &f[0], sizeof f[0]);
    memcpy(&b->set_threads, &f[1], sizeof f[1]);
    memcpy(&b->core, &f[2], sizeof f[2]);
    if (f[3] && f[4]) {
        memcpy(&b->take_buffer, &f[3], sizeof f[3]);
        memcpy(&b->give_buffer, &f[4], sizeof f[4]);
    }
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
    if (!load(b, err)) {
        deft_blas_destroy(b);
        return DEFT_E_UNSUPPORTED;
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

deft_status deft_blas_reserve(const deft_blas *b, int64_t largest, int threads, deft_error *err)
{
    if (threads > MOST_BUFFERS) threads = MOST_BUFFERS;
    if ((b->own && largest <= OWN_MOST) || !b->take_buffer || threads < 1) return DEFT_OK;
    const size_t bytes = (size_t)threads * BUFFER_BYTES;
    void *const room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        return deft_fail(err, DEFT_E_SPACE,
                         "no memory for OpenBLAS, which takes %d MB of addresses for each thread "
                         "(ulimit -v); %d threads",
                         BUFFER_BYTES >> 20, threads);
    }
    (void)munmap(room, bytes);
    void *buffer[MOST_BUFFERS];
    for (int i = 0; i < threads; i++) buffer[i] = b->take_buffer(0);
    for (int i = 0; i < threads; i++) b->give_buffer(buffer[i]);
    return DEFT_OK;
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
