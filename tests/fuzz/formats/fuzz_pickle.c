/* fuzz_pickle.c - any bytes on the pickle machine, without an archive around them. The tensors that
 * come out are gathered from storages made up here, and assembled with an architecture that the
 * input may bring behind its pickle. */
#include "formats/torch_private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_STORAGE = 1 << 16, MAX_TENSORS = 256, MAX_ARCH = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good) abort();
}

/* Reads every element, so that a sanitizer sees what is not there. */
static void touch(const deft_tensor *t)
{
    const uint8_t *p = t->data;
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < (size_t)t->count * deft_dtype_size(t->dtype); i++)
        sum = (uint8_t)(sum + p[i]);
}

static void gather(const torch_found *f, deft_checkpoint *c, deft_arena *a)
{
    for (size_t i = 0; i < f->n && c->n < MAX_TENSORS; i++) {
        const torch_view *v = f->view[i];
        const size_t size = torch_type_size(v->storage->type);
        if (v->storage->count > (int64_t)(MAX_STORAGE / size)) continue;
        const size_t bytes = (size_t)v->storage->count * size;
        uint8_t *storage = malloc(bytes ? bytes : 1);
        deft_error err = {0};
        if (!storage) return;
        for (size_t k = 0; k < bytes; k++) storage[k] = (uint8_t)(k * 37 & 0x3F);
        deft_tensor *t = &c->tensor[c->n];
        const deft_status s = torch_gather(v, (deft_bytes){storage, bytes}, i % 2, a, t, &err);
        check(s == DEFT_OK || err.text[0]);
        if (s == DEFT_OK) {
            touch(t);
            c->name[c->n++] = f->name[i];
        }
        free(storage);
    }
}

static void assemble(deft_checkpoint *c, const char *arch, deft_arena *a)
{
    const deft_assemble_options opt[] = {{.assume = true}, {.arch = arch, .squash = "clip"}};
    for (size_t k = 0; k < 2; k++) {
        deft_model *m = NULL;
        deft_error err = {0};
        const deft_status s = deft_assemble(c, k ? c : NULL, &opt[k], a, &m, &err);
        check((s == DEFT_OK) == (m != NULL) && (s == DEFT_OK || err.text[0]));
        if (m) check(deft_model_check(m, &err) == DEFT_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    deft_arena *a = deft_arena_create((size_t)64 << 20);
    pickle_value *root = NULL;
    torch_found found = {0};
    deft_error err = {0};
    if (!a) return 0;
    const deft_status s = pickle_load((deft_bytes){data, size}, a, &root, &err);
    check((s == DEFT_OK) == (root != NULL) && (s == DEFT_OK || err.text[0]));
    const uint8_t *end = size ? memchr(data, '@', size) : NULL; // no opcode: what follows is text
    const size_t rest = end ? size - (size_t)(end - data) - 1 : 0;
    const char *arch =
        rest ? deft_arena_strndup(a, (const char *)end + 1, rest) : "dense:4,dense:2";
    if (root && torch_collect(root, false, a, &found, &err) == DEFT_OK && arch) {
        deft_checkpoint c = {.source = "fuzz.pt"};
        c.name = DEFT_NEW_ARRAY(a, const char *, MAX_TENSORS);
        c.tensor = DEFT_NEW_ARRAY(a, deft_tensor, MAX_TENSORS);
        c.module_name = found.module;
        c.module_class = found.type;
        c.n_module = (int32_t)(found.n_module < 1000 ? found.n_module : 1000);
        if (c.name && c.tensor) {
            gather(&found, &c, a);
            assemble(&c, strlen(arch) < MAX_ARCH ? arch : "dense:1", a);
        }
    }
    deft_arena_destroy(a);
    return 0;
}
