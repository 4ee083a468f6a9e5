/* Distances between words, and which known word is taken for the one that was meant. */
#include "check.h"
#include "deft/base.h"

#include <string.h>

static void check_distances(void)
{
    static const struct {
        const char *a, *b;
        int32_t distance;
    } pair[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"same", "same", 0},
        {"SAME", "same", 0},
        {"schme", "scheme", 1},      // inserted
        {"schheme", "scheme", 1},    // deleted
        {"scheke", "scheme", 1},     // replaced
        {"shceme", "scheme", 1},     // exchanged
        {"ab", "ba", 1},             //
        {"ca", "abc", 3},            // not 2: no letter is touched twice
        {"kitten", "sitting", 3},    //
        {"sunday", "saturday", 3},   //
        {"abcdef", "badcfe", 3},     // three exchanges
        {"quantise", "quantize", 1}, //
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a", 1000}, // 49 letters
    };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        const int32_t there = deft_word_distance(pair[i].a, pair[i].b);
        const int32_t back = deft_word_distance(pair[i].b, pair[i].a);
        CHECK(there == pair[i].distance, "%s, %s: %d", pair[i].a, pair[i].b, (int)there);
        CHECK(back == there, "%s, %s: %d, the other way round %d", pair[i].a, pair[i].b, (int)there,
              (int)back);
    }
    // the longest that are compared
    static const char longest[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv";
    CHECK(strlen(longest) == 48 && deft_word_distance(longest, longest) == 0, "48 letters");
    CHECK(deft_word_distance(longest, "") == 48, "48 letters and none");
}

static void check_hints(void)
{
    static const char *const known[] = {"scheme", "seed", "seeds", "scene", "symmetric", NULL};
    static const struct {
        const char *word, *hint;
    } row[] = {
        {"schme", "; did you mean 'scheme'?"},
        {"sheme", "; did you mean 'scheme'?"},
        {"sede", "; did you mean 'seed'?"},
        {"SEDES", "; did you mean 'seeds'?"},
        {"sym", "; did you mean 'symmetric'?"}, // a beginning
        {"sy", ""},                             // too short for one
        {"scnee", "; did you mean 'scene'?"},
        {"frobnicate", ""},
        {"", ""},
        {"x", ""},
        {"xy", ""},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char hint[DEFT_HINT];
        (void)deft_nearest_of(row[i].word, known, hint);
        CHECK(strcmp(hint, row[i].hint) == 0, "%s: %s", row[i].word, hint);
    }
    // the first of equals; words that are not kept by the caller
    deft_nearest n;
    char word[8] = "cat", hint[DEFT_HINT];
    deft_nearest_begin(&n, "cab");
    deft_nearest_offer(&n, word);
    memcpy(word, "car", sizeof "car");
    deft_nearest_offer(&n, word);
    CHECK(strcmp(deft_nearest_hint(&n, hint), "; did you mean 'cat'?") == 0, "%s", hint);
}

int main(void)
{
    check_distances();
    check_hints();
    return check_report();
}
