/* assemble_arch.c - the text of --arch. */
#include "formats/assemble_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct kind_name {
    const char *name;
    deft_layer_kind kind;
} kind_name;

/* A positive number of at most 7 digits; moves *s behind it. */
static bool positive(const char **s, int32_t *v)
{
    int digits = 0;
    *v = 0;
    for (; isdigit((unsigned char)**s) && digits < 7; (*s)++, digits++) *v = *v * 10 + (**s - '0');
    return *v > 0 && !isdigit((unsigned char)**s);
}

/* Copies up to one of `stop` or the end; moves *s there. */
static void word(const char **s, const char *stop, char *buf, size_t n)
{
    const size_t len = strcspn(*s, stop), most = len < n - 1 ? len : n - 1;
    memcpy(buf, *s, most);
    buf[most] = '\0';
    *s += len;
}

static const char *parse_item(const char **s, arch_item *item, int32_t *count)
{
    static const kind_name kinds[] = {
        {"dense", DEFT_LAYER_DENSE},
        {"linear", DEFT_LAYER_DENSE},
        {"gru", DEFT_LAYER_GRU},
        {"lstm", DEFT_LAYER_LSTM},
        {"layernorm", DEFT_LAYER_LAYERNORM},
        {"batchnorm", DEFT_LAYER_AFFINE},
    };
    char text[32];
    *item = (arch_item){0};
    *count = 1;
    word(s, ":,", text, sizeof text);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(text, kinds[i].name) == 0) item->kind = kinds[i].kind;
    if (!item->kind) return "is no dense, gru, lstm, layernorm or batchnorm";
    const bool norm = item->kind == DEFT_LAYER_LAYERNORM || item->kind == DEFT_LAYER_AFFINE;
    if (**s != ':') return norm ? NULL : "needs a width, as in dense:256";
    ++*s;
    if (isdigit((unsigned char)**s)) {
        if (!positive(s, &item->width)) return "has a width that is out of range";
        if (**s == 'x') {
            ++*s;
            if (!positive(s, count)) return "has a count that is out of range";
        }
        if (**s != ':') return **s && **s != ',' ? "has a width that is no number" : NULL;
        ++*s;
    } else if (!norm) {
        return "needs a width, as in dense:256";
    }
    word(s, ",", text, sizeof text);
    item->has_activation = true;
    if (!activation_of(text, &item->activation)) return "has an unknown activation";
    const bool gates = item->kind == DEFT_LAYER_GRU || item->kind == DEFT_LAYER_LSTM;
    return gates ? "cannot have an activation" : NULL;
}

int32_t arch_parse(const char *text, arch_item *item, deft_error *err)
{
    int32_t n = 0;
    for (const char *s = text;; s++) {
        const char *start = s;
        arch_item one;
        int32_t count = 0;
        const char *why = parse_item(&s, &one, &count);
        if (!why && count > ARCH_MAX_ITEMS - n) why = "makes too many layers";
        if (why) {
            char quoted[80];
            return deft_fail(err, DEFT_E_ARG, "architecture: '%s' %s",
                             deft_escape(quoted, sizeof quoted, start, strcspn(start, ",")), why);
        }
        for (int32_t k = 0; k < count; k++) item[n++] = one;
        if (!*s) return n;
    }
}
