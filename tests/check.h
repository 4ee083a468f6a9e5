/* check.h - the smallest test harness that tells what was expected. Runs on hosts and on
 * bare-metal targets alike. Exit status: 0 passed, 1 failed, 77 skipped. */
#ifndef DEFT_CHECK_H
#define DEFT_CHECK_H

#include <stdio.h>
#include <stdlib.h>

static int check_failures, check_count;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        check_count++;                                                                             \
        if (!(cond) && check_failures++ < 20) {                                                    \
            printf("%s:%d: failed: %s: ", __FILE__, __LINE__, #cond);                              \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

#define CHECK_OK(call, err)                                                                        \
    do {                                                                                           \
        const int check_status = (int)(call);                                                      \
        CHECK(check_status >= 0, "status %d: %s", check_status, (err).text);                       \
    } while (0)

/* Ends the test as skipped. */
#define CHECK_SKIP(why)                                                                            \
    do {                                                                                           \
        printf("skipped: %s\n", why);                                                              \
        exit(77);                                                                                  \
    } while (0)

static inline int check_report(void)
{
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures != 0 || check_count == 0;
}

/* $DEFT_REFERENCE_DIR/name in buf, or NULL where the file is not there. */
static inline const char *check_reference(char *buf, size_t n, const char *name)
{
    const char *dir = getenv("DEFT_REFERENCE_DIR");
    const int len = snprintf(buf, n, "%s/%s", dir ? dir : "../shared/reference", name);
    if (len < 0 || (size_t)len >= n) return NULL;
    FILE *f = fopen(buf, "rb");
    if (!f) return NULL;
    fclose(f);
    return buf;
}

/* A file of the source tree. */
static inline const char *check_source(char *buf, size_t n, const char *name)
{
    const char *dir = getenv("DEFT_SOURCE_DIR");
    const int len = snprintf(buf, n, "%s/%s", dir ? dir : ".", name);
    return len < 0 || (size_t)len >= n ? NULL : buf;
}

#endif
