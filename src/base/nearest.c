/* nearest.c - which known word was meant: a distance between words, and the nearest of many. */
#include "deft/base.h"

#include <stdio.h>
#include <string.h>

enum { LONGEST = sizeof((deft_nearest *)NULL)->known - 1, FAR = 1000 };

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static int32_t smaller(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

int32_t deft_word_distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) return FAR;
    // rows i - 2, i - 1 and i of the table of distances between beginnings of a and of b
    int32_t table[3][LONGEST + 1];
    for (size_t j = 0; j <= m; j++) table[0][j] = (int32_t)j;
    for (size_t i = 1; i <= n; i++) {
        int32_t *const row = table[i % 3];
        const int32_t *const above = table[(i + 2) % 3], *const twice = table[(i + 1) % 3];
        row[0] = (int32_t)i;
        for (size_t j = 1; j <= m; j++) {
            const int x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] = smaller(above[j - 1] + (x != y), smaller(above[j], row[j - 1]) + 1);
            const bool exchanged =
                i > 1 && j > 1 && x == lower(b[j - 2]) && lower(a[i - 2]) == y && x != y;
            if (exchanged) row[j] = smaller(row[j], twice[j - 2] + 1);
        }
    }
    return table[n % 3][m];
}

void deft_nearest_begin(deft_nearest *n, const char *word)
{
    *n = (deft_nearest){.word = word, .distance = FAR};
}

/* The beginning of a word, of three letters or more, stands for it. */
static bool begins(const char *word, const char *known)
{
    size_t n = 0;
    while (word[n] && lower(word[n]) == lower(known[n])) n++;
    return n >= 3 && !word[n];
}

void deft_nearest_offer(deft_nearest *n, const char *known)
{
    const size_t length = strlen(n->word);
    const int32_t allowed = length < 4 ? 1 : length < 8 ? 2 : 3;
    int32_t d = deft_word_distance(n->word, known);
    if (d > 1 && begins(n->word, known)) d = 1;
    // a word of which nothing is left was not meant
    if (d > allowed || (size_t)d >= length || d >= n->distance) return;
    n->distance = d;
    (void)snprintf(n->known, sizeof n->known, "%s", known);
}

const char *deft_nearest_hint(const deft_nearest *n, char hint[DEFT_HINT])
{
    hint[0] = '\0';
    if (*n->known) (void)snprintf(hint, DEFT_HINT, "; did you mean '%s'?", n->known);
    return hint;
}

const char *deft_nearest_of(const char *word, const char *const *known, char hint[DEFT_HINT])
{
    deft_nearest n;
    deft_nearest_begin(&n, word);
    for (; *known; known++) deft_nearest_offer(&n, *known);
    return deft_nearest_hint(&n, hint);
}
