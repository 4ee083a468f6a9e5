/* test_npy.c - arrays of NumPy: types, orders, and headers that are not what they seem. */
#include "check.h"
#include "deft/formats.h"

#include <string.h>

static deft_bytes array(const char *header, const void *data, size_t size, deft_arena *a)
{
    const size_t n = strlen(header);
    uint8_t *const p = DEFT_NEW_ARRAY(a, uint8_t, 10 + n + size);
    memcpy(p, "\x93NUMPY\1\0", 8);
    p[8] = (uint8_t)n;
    p[9] = (uint8_t)(n >> 8);
    memcpy(p + 10, header, n);
    if (size) memcpy(p + 10 + n, data, size);
    return (deft_bytes){p, 10 + n + size};
}

static void test_types(deft_arena *a)
{
    static const float f[] = {1, 2, 3, 4, 5, 6};
    static const uint8_t big[] = {0xff, 0xfe, 0, 3};
    static const int8_t bytes[] = {-128, 127};
    deft_error err = {0};
    deft_npy x;
    deft_bytes b =
        array("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", f, sizeof f, a);
    CHECK_OK(deft_npy_read(b, a, &x, &err), err);
    CHECK(x.n_row == 2 && x.n_column == 3 && x.value[2] == 3 && x.value[3] == 4, "C order");
    b = array("{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"<f4\"}\n", f, sizeof f, a);
    CHECK_OK(deft_npy_read(b, a, &x, &err), err);
    CHECK(x.value[0] == 1 && x.value[1] == 3 && x.value[3] == 2, "Fortran's order");
    b = array("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", big, sizeof big, a);
    CHECK_OK(deft_npy_read(b, a, &x, &err), err);
    CHECK(x.rank == 1 && x.n_column == 1 && x.value[0] == -2 && x.value[1] == 3, "big-endian");
    b = array("{'descr': '|i1', 'fortran_order': False, 'shape': (2, 1)}", bytes, 2, a);
    CHECK_OK(deft_npy_read(b, a, &x, &err), err);
    CHECK(x.value[0] == -128 && x.value[1] == 127, "%g", x.value[0]);
}

static void test_bad(deft_arena *a)
{
    static const char *const bad[] = {
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1, 1)}",
        "{'descr': exit(), 'fortran_order': False, 'shape': (1, 1)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1, 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)} or 1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 32767)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}",
        "(1,)",
        "{",
        "",
    };
    static const float one = 1;
    deft_npy x;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        deft_error err = {0};
        const deft_bytes b = array(bad[k], &one, sizeof one, a);
        CHECK(deft_npy_read(b, a, &x, &err) < 0 && err.text[0], "case %zu is taken", k);
    }
    deft_error err = {0};
    const deft_bytes good =
        array("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", &one, sizeof one, a);
    for (size_t n = 0; n < good.size; n++)
        CHECK(deft_npy_read((deft_bytes){good.data, n}, a, &x, &err) < 0, "cut at %zu", n);
    CHECK(deft_npz_open(good, a, &(deft_npz){.n = 0}, &err) < 0, "not an archive");
}

int main(void)
{
    deft_arena *const a = deft_arena_create(0);
    test_types(a);
    test_bad(a);
    deft_arena_destroy(a);
    return check_report();
}
