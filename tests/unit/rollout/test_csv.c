/* CSV files as they are found: good ones, and bad ones with the line and the column named. */
#include "check.h"
#include "deft/rollout.h"

#include <locale.h>
#include <math.h>
#include <string.h>

static deft_status read_csv(deft_arena *a, const char *text, size_t n, deft_csv *csv,
                            deft_error *err)
{
    const deft_bytes bytes = {(const uint8_t *)text, n};
    *err = (deft_error){0};
    return deft_csv_read(bytes, "some.csv", a, csv, err);
}

static void check_good(deft_arena *a)
{
    static const char text[] = "\xEF\xBB\xBFstep,\"obs 0\",\"a,\"\"b\"\"\"\r\n"
                               "0,1.5,-2e-3\r\n"
                               "\r\n"
                               " 1 , +.25 ,\r\n"
                               "\"2\",nan,1e308";
    deft_csv c;
    deft_error err;
    CHECK_OK(read_csv(a, text, sizeof text - 1, &c, &err), err);
    CHECK(c.n_column == 3 && c.n_row == 3, "%d x %d", c.n_row, c.n_column);
    if (c.n_column != 3 || c.n_row != 3) return;
    CHECK(strcmp(c.name[0], "step") == 0 && strcmp(c.name[1], "obs 0") == 0 &&
              strcmp(c.name[2], "a,\"b\"") == 0,
          "%s|%s|%s", c.name[0], c.name[1], c.name[2]);
    const double want[] = {0, 1.5, -2e-3, 1, 0.25, (double)NAN, 2, (double)NAN, 1e308};
    for (int i = 0; i < 9; i++)
        CHECK(c.cell[i] == want[i] || (isnan(c.cell[i]) && isnan(want[i])), "%d: %g", i, c.cell[i]);
}

/* Old line ends, an index without a name, no rows. */
static void check_shapes(deft_arena *a)
{
    deft_csv c;
    deft_error err;
    CHECK_OK(read_csv(a, ",x\r1,2\r345678,4", 15, &c, &err), err);
    CHECK(c.n_row == 2 && c.n_column == 2 && c.cell[3] == 4, "CR");
    CHECK_OK(read_csv(a, "a,b\n", 4, &c, &err), err);
    CHECK(c.n_row == 0 && c.n_column == 2, "%d x %d", c.n_row, c.n_column);
}

static void check_bad(deft_arena *a)
{
    static const struct {
        const char *text, *want;
        size_t n; // 0: strlen
    } bad[] = {
        {"", "some.csv:0: no header", 0},
        {"\n\n", "some.csv:2: no header", 0},
        {"1,2\n3,4\n", "some.csv:1: the first line must name the columns", 0},
        {"a,b\n1,2\n3,x y\n", "some.csv:3: column 2 'b': 'x y' is not a number", 0},
        {"a,b\n1,2\n\n3,1.5m\n", "some.csv:4: column 2 'b': '1.5m' is not a number", 0},
        {"a\n1,5\n", "some.csv:2: more cells than the header has columns", 0},
        {"a,b\n1\n", "some.csv:2: 1 cells, the header has 2 columns", 0},
        {"a,b,a\n", "some.csv:1: columns 1 and 3 are both 'a'", 0},
        {"a\n0x10\n", "'0x10' is not a number", 0},
        {"a\n-inf\n", "'-inf' is not a number", 0},
        {"a\nnano\n", "'nano' is not a number", 0},
        {"a\n1e999\n", "'1e999' is out of range", 0},
        {"a\n1 2\n", "'1 2' is not a number", 0},
        {"a\n1\"2\"\n", "some.csv:2: misplaced quotes", 0},
        {"a\n1\n\"2\n3\n", "some.csv:4: misplaced quotes", 0},
        {"a\n1\0"
         "2\n",
         "'1' is not a number", 6},
        {"a\0b\n1\n", "some.csv:1: a NUL byte in the name of a column", 6},
        {"\x1b[31m\n\a\n", "column 1 '\\x1b[31m': '\\x07' is not a number", 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        deft_csv c;
        deft_error err;
        const size_t n = bad[i].n ? bad[i].n : strlen(bad[i].text);
        const deft_status s = read_csv(a, bad[i].text, n, &c, &err);
        CHECK(s == DEFT_E_FORMAT && err.status == s, "%zu: status %d", i, s);
        CHECK(strstr(err.text, bad[i].want), "%zu: '%s', not '%s'", i, err.text, bad[i].want);
        CHECK(c.n_row == 0 && c.cell == NULL, "%zu: something came out", i);
    }
}

static void check_limits(deft_arena *a)
{
    enum { N = 300000 };
    char *text = malloc(N);
    deft_csv c;
    deft_error err;
    if (!text) return;
    memset(text, ',', N);
    CHECK(read_csv(a, text, N, &c, &err) == DEFT_E_FORMAT, "%s", err.text);
    CHECK(strstr(err.text, "4096 columns"), "%s", err.text);
    memset(text, '1', N);
    text[0] = 'a';
    text[1] = '\n';
    CHECK(read_csv(a, text, N, &c, &err) == DEFT_E_FORMAT, "%s", err.text);
    CHECK(strstr(err.text, "some.csv:2: ") && strstr(err.text, "65536"), "%s", err.text);
    free(text);
    deft_arena *small = deft_arena_create(64);
    CHECK(read_csv(small, "a,b\n1,2\n3,4\n5,6\n7,8\n9,0\n", 24, &c, &err) == DEFT_E_SPACE, "%s",
          err.text);
    deft_arena_destroy(small);
}

static void check_locale(deft_arena *a)
{
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    deft_csv c;
    deft_error err;
    for (size_t i = 0; i < sizeof comma / sizeof *comma; i++)
        if (setlocale(LC_ALL, comma[i])) break;
    CHECK_OK(read_csv(a, "a\n1.5\n", 6, &c, &err), err);
    CHECK(c.n_row == 1 && c.cell[0] == 1.5, "%s", localeconv()->decimal_point);
    (void)setlocale(LC_ALL, "C");
}

static void check_golden(deft_arena *a)
{
    char path[512];
    deft_bytes bytes;
    deft_csv c;
    deft_error err = {0};
    if (!check_reference(path, sizeof path, "golden/RA-TD3.csv")) return;
    CHECK_OK(deft_file_read(path, 0, a, &bytes, &err), err);
    CHECK_OK(deft_csv_read(bytes, path, a, &c, &err), err);
    CHECK(c.n_row == 500 && c.n_column == 1 + 17 + 8 + 6 + 64, "%d x %d", c.n_row, c.n_column);
}

int main(void)
{
    deft_arena *a = deft_arena_create(0);
    check_good(a);
    check_shapes(a);
    check_bad(a);
    check_limits(a);
    check_locale(a);
    check_golden(a);
    deft_arena_destroy(a);
    return check_report();
}
