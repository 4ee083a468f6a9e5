/* c_policy.c - a policy as one .h and one .c for any compiler. The layers are called one after the
 * other with constant arguments; nothing is parsed on the device. */
#include "emit/c_pieces.h"
#include "emit/c_write.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What stands in a comment: nothing that could end it, or the line. */
static void put_comment(FILE *f, const char *s)
{
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        (void)fputc(isalnum(c) || strchr(" _.,:;+-()[]%=<>/^", c) ? c : '_', f);
    }
}

static void put_upper(FILE *f, const char *s)
{
    for (; *s; s++) (void)fputc(toupper((unsigned char)*s), f);
}

static void put_define(FILE *f, const c_writer *w, const char *what, unsigned long value)
{
    (void)fputs("#define ", f);
    put_upper(f, w->name);
    (void)fprintf(f, "_%s %lu\n", what, value);
}

static void put_fact(FILE *f, const char *what, const char *text)
{
    if (!text || !text[0]) return;
    (void)fprintf(f, " * %-12s ", what);
    put_comment(f, text);
    (void)fputc('\n', f);
}

static void put_provenance(FILE *f, const c_writer *w)
{
    char hex[65];
    const deft_model *const m = w->model;
    (void)fputs(" *\n", f);
    deft_hex(w->policy.policy_id, 32, hex);
    put_fact(f, "policy", hex);
    if (m) {
        put_fact(f, "source", m->source ? m->source : "unknown");
        deft_hex(m->source_sha256, 32, hex);
        put_fact(f, "  SHA-256", hex);
        put_fact(f, "contract", m->contract.name);
        for (int32_t k = 0; k < m->n_assumption; k++) put_fact(f, "assumed", m->assumption[k]);
    }
    if (!w->image.integer) put_fact(f, "numbers", "float32");
    if (w->q) {
        put_fact(f, "numbers", w->q->scheme);
        put_fact(f, "calibration", w->q->calibration);
    }
    put_fact(f, "made by", w->tool);
}

/* What else the contract says: gains, default pose, joints. */
static void put_notes(FILE *f, const deft_contract *c)
{
    if (!c->n_note) return;
    (void)fputs("/* Of the contract:\n", f);
    for (int32_t i = 0; i < c->n_note; i++) {
        (void)fputs(" *      ", f);
        put_comment(f, c->note[i].key);
        (void)fputs(": ", f);
        put_comment(f, c->note[i].value);
        (void)fputc('\n', f);
    }
    (void)fputs(" */\n", f);
}

static void put_ports(FILE *f, const char *title, const char *const *name, const char *const *unit,
                      int32_t n)
{
    if (!name) return;
    (void)fprintf(f, "/* %s:\n", title);
    for (int32_t i = 0; i < n; i++) {
        (void)fprintf(f, " * %3d  ", (int)i);
        put_comment(f, name[i] ? name[i] : "");
        if (unit && unit[i] && unit[i][0]) {
            (void)fputs(", ", f);
            put_comment(f, unit[i]);
        }
        (void)fputc('\n', f);
    }
    (void)fputs(" */\n", f);
}

static const char *arithmetic(const c_writer *w)
{
    return w->image.integer ? "integer arithmetic" : "float32 arithmetic";
}

static void put_header(FILE *f, const c_writer *w)
{
    const char *const name = w->name;
    (void)fprintf(f, "/* %s.h - a trained policy in %s, made by 'deft compile'.\n", name,
                  arithmetic(w));
    put_provenance(f, w);
    (void)fprintf(f, " *\n * constants: %zu bytes, which stay in flash; state: %u bytes of RAM\n",
                  w->constants, (unsigned)w->memory * (w->image.integer ? 2 : 4) + 8);
    (void)fputs(" */\n#ifndef ", f);
    put_upper(f, name);
    (void)fputs("_H\n#define ", f);
    put_upper(f, name);
    (void)fputs("_H\n\n#include <stdint.h>\n\n", f);
    put_define(f, w, "OBSERVATIONS", w->policy.n_obs);
    put_define(f, w, "ACTIONS", w->policy.n_act);
    put_define(f, w, "PERIOD_US", w->policy.period_us);
    // behind the memory are two words
    const unsigned long memory = (w->image.integer ? 2ul : 4ul) * w->memory;
    put_define(f, w, "STATE_BYTES", (memory + 3) / 4 * 4 + 8);
    (void)fputs("\n", f);
    if (w->model) {
        const deft_contract *const c = &w->model->contract;
        put_ports(f, "Observations", c->obs_name, c->obs_unit, c->n_obs);
        put_ports(f, "Actions", c->act_name, c->act_unit, c->n_act);
        put_notes(f, c);
    }
    (void)fputs("\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", f);
    (void)fprintf(f,
                  "/* All that changes: the memory of one policy. Several run independently. */\n"
                  "typedef struct %s_state {\n"
                  "    %s memory[%u];\n"
                  "    uint32_t saturated; /* values that were clipped since the reset */\n"
                  "    uint32_t started;\n"
                  "} %s_state;\n\n",
                  name, w->image.integer ? "int16_t" : "float", (unsigned)w->memory, name);
    (void)fprintf(f,
                  "/* Start of an episode; call it before the first step. */\n"
                  "void %s_reset(%s_state *s);\n\n",
                  name, name);
    (void)fprintf(
        f,
        "/* One control step.\n"
        " *   obs [%u]           observations, finite\n"
        " *   applied_prev [%u]  what was really sent to the actuators last time; NULL: the\n"
        " *                     last act\n"
        " *   act [%u]           actions\n"
        " * Returns 0; 1 if a value is not finite: then nothing changes. */\n"
        "int %s_step(%s_state *s, const float *obs, const float *applied_prev, float *act);\n\n",
        (unsigned)w->policy.n_obs, (unsigned)w->policy.n_act, (unsigned)w->policy.n_act, name,
        name);
    (void)fprintf(
        f,
        "/* Takes the recorded steps and compares every bit of the actions: 0 if they agree.\n"
        " * Resets the state before and after. */\n"
        "int %s_selftest(%s_state *s);\n\n",
        name, name);
    (void)fputs("#ifdef __cplusplus\n}\n#endif\n\n#endif\n", f);
}

static void put_main(FILE *f, const c_writer *w)
{
    const char *const n = w->name;
    (void)fprintf(f,
                  "/* main.c - an example, made by 'deft compile': tests the policy, then answers "
                  "observations,\n"
                  " * one line of numbers each, with lines of actions. */\n"
                  "#include \"%s.h\"\n\n#include <stdio.h>\n\n"
                  "static %s_state state;\n\n"
                  "int main(void)\n{\n    float obs[",
                  n, n);
    put_upper(f, n);
    (void)fputs("_OBSERVATIONS], act[", f);
    put_upper(f, n);
    (void)fprintf(f,
                  "_ACTIONS];\n"
                  "    if (%s_selftest(&state) != 0) {\n"
                  "        fprintf(stderr, \"the self-test failed\\n\");\n"
                  "        return 1;\n    }\n"
                  "    fprintf(stderr, \"the self-test passed; memory: %%u bytes\\n\", "
                  "(unsigned)sizeof state);\n"
                  "    %s_reset(&state);\n    for (;;) {\n        for (int i = 0; i < ",
                  n, n);
    put_upper(f, n);
    (void)fprintf(f,
                  "_OBSERVATIONS; i++) {\n"
                  "            if (scanf(\"%%f%%*[, ]\", &obs[i]) != 1) return 0;\n        }\n"
                  "        if (%s_step(&state, obs, NULL, act) != 0) return 1;\n"
                  "        for (int i = 0; i < ",
                  n);
    put_upper(f, n);
    (void)fputs("_ACTIONS; i++) printf(\"%s%.9g\", i ? \",\" : \"\", (double)act[i]);\n"
                "        printf(\"\\n\");\n    }\n}\n",
                f);
}

/* The definitions of the .c file. */
static void put_body(c_writer *w)
{
    const bool integer = w->image.integer;
    if (integer) {
        (void)fprintf(w->f,
                      "/* The policy. Addresses are bytes in the memory of a state. */\n"
                      "static int16_t *at16(%s_state *s, uint32_t byte)\n{\n    return s->memory + "
                      "byte / 2;\n}\n",
                      w->name);
        c_write_tables(w);
    } else {
        (void)fprintf(
            w->f,
            "/* The policy. Addresses are floats in the memory of a state. */\n"
            "static float *at(%s_state *s, uint32_t i)\n{\n    return s->memory + i;\n}\n",
            w->name);
    }
    for (uint32_t k = 0; k < w->image.n_layer; k++) {
        if (integer) {
            c_write_layer(w, k);
        } else {
            c_write_layer_f32(w, k);
        }
    }
    if (integer) {
        c_write_ends(w);
        c_write_api(w);
    } else {
        c_write_ends_f32(w);
        c_write_api_f32(w);
    }
}

/* The lines of a header between its guard. */
static void put_text_of(FILE *f, const char *path)
{
    for (const c_source *s = deft_embedded; s->text; s++) {
        if (strcmp(s->path, path) != 0) continue;
        const char *const define = strstr(s->text, "\n#define ");
        const char *const begin = define ? strchr(define + 1, '\n') : NULL;
        const char *end = s->text + strlen(s->text);
        while (end > s->text && strncmp(end, "#endif", 6) != 0) end--;
        if (begin && begin < end) (void)fwrite(begin + 1, 1, (size_t)(end - begin) - 1, f);
    }
}

/* Each operation on floats rounds by itself, which compilers must be told. Integer policies round
 * by hand where a processor carries more digits; in floats that would be slow. */
static void put_rounding(FILE *f, const c_writer *w)
{
    (void)fputs("/* Every operation on floats rounds by itself. */", f);
    put_text_of(f, "src/base/float_rules.h");
    if (!w->image.integer) {
        (void)fputs("#if FLT_EVAL_METHOD != 0\n"
                    "#error \"floats must not carry extra precision (32-bit x86: -msse2 "
                    "-mfpmath=sse)\"\n"
                    "#endif\n",
                    f);
    }
    (void)fputc('\n', f);
}

/* An AVR reads flash by instructions of its own, and copies other constants to its memory. */
static void put_flash(FILE *f, const c_writer *w)
{
    const bool large = w->constants > 60000; // what 16 bits of address reach, and something else
    (void)fputs(
        "/* Constants stay in flash. An AVR must be told so, in gcc's GNU C (-std=gnu99 and "
        "later); __memx\n * reaches more than 64 KB. -D",
        f);
    put_upper(f, w->name);
    (void)fputs("_FLASH= puts them into memory. */\n#ifdef ", f);
    put_upper(f, w->name);
    (void)fputs("_FLASH\n#define DEFT_FLASH ", f);
    put_upper(f, w->name);
    (void)fprintf(f,
                  "_FLASH\n#elif defined(%s) && !defined(__STRICT_ANSI__) && "
                  "!defined(__cplusplus)\n#define DEFT_FLASH %s\n"
                  "#else\n#define DEFT_FLASH\n#endif\n\n",
                  large ? "__MEMX" : "__FLASH", large ? "__memx" : "__flash");
}

static bool contains(const char *text, size_t size, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= size; i++) {
        if (memcmp(text + i, word, n) == 0) return true;
    }
    return false;
}

static void put_source(FILE *f, const c_writer *w, const c_pieces *p, const char *body, size_t size)
{
    (void)fprintf(f,
                  "/* %s.c - a trained policy in %s, made by 'deft compile'. Needs %s.h\n"
                  " * and string.h.\n",
                  w->name, arithmetic(w), w->name);
    put_provenance(f, w);
    (void)fprintf(f, " */\n#include \"%s.h\"\n\n#include <float.h>\n", w->name);
    if (w->infinite) (void)fputs("#include <math.h>\n", f);
    (void)fputs("#include <string.h>\n\n", f);
    put_rounding(f, w);
    put_flash(f, w);
    (void)fputs("/* Arithmetic. */\n", f);
    c_pieces_write(p, f);
    const bool gates = contains(body, size, "&gate_output");
    if (gates) {
        (void)fputs("static const deft_output_q gate_output = {{NULL, 0, 0}, 0, INT16_MIN, "
                    "INT16_MAX, DEFT_NUM_S16};\n\n",
                    f);
    }
    if (contains(body, size, "at8(")) {
        (void)fprintf(f,
                      "static uint8_t *at8(%s_state *s, uint32_t byte)\n{\n"
                      "    return (uint8_t *)s->memory + byte;\n}\n\n",
                      w->name);
    }
    (void)fwrite(body, 1, size, f);
    (void)fputs("#undef DEFT_FLASH\n", f);
}

static deft_status open_policy(c_writer *w, deft_bytes image, deft_arena *a, deft_error *err)
{
    const int32_t size = deft_policy_size(image.data, image.size);
    if (size < 0) return deft_fail(err, (deft_status)size, "this is no image that can be run");
    deft_policy_config cfg = {
        .image = image.data, .image_size = image.size, .arena_size = (size_t)size};
    cfg.kernels = &deft_kernels_ref;
    cfg.arena = deft_arena_alloc(a, (size_t)size);
    if (!cfg.arena) return deft_fail(err, DEFT_E_SPACE, "out of memory");
    deft_status s = deft_image_open(&w->image, image.data, image.size);
    if (s == DEFT_OK) s = deft_policy_init(&w->policy, &cfg);
    if (s != DEFT_OK) return deft_fail(err, s, "this is no image that can be run");
    w->arena = a;
    if (!w->image.integer) return c_plan_floats(w, err);
    w->step = deft_qstep_of(&w->policy);
    w->memory = w->policy.scratch_offset / 2;
    return DEFT_OK;
}

/* One file's text, through a stream in memory. */
typedef struct text {
    char *data;
    size_t size;
    FILE *f;
} text;

static bool open_text(text *t)
{
    t->data = NULL;
    t->f = open_memstream(&t->data, &t->size);
    return t->f != NULL;
}

static bool close_text(text *t, deft_arena *a, deft_bytes *out)
{
    const bool good = !ferror(t->f) && fclose(t->f) == 0;
    out->data = good ? deft_arena_copy(a, t->data, t->size) : NULL;
    out->size = t->size;
    free(t->data);
    return out->data != NULL;
}

static deft_status write_files(c_writer *w, deft_arena *a, deft_c_files *out, deft_error *err)
{
    c_pieces pieces;
    text t;
    deft_bytes body, plain;
    deft_status s = c_pieces_read(deft_embedded, a, &pieces, err);
    if (s != DEFT_OK) return s;
    if (!open_text(&t)) return deft_fail(err, DEFT_E_SPACE, "out of memory");
    w->f = t.f;
    put_body(w);
    bool good = close_text(&t, a, &body) && !w->no_memory;
    if (good) c_pieces_want(&pieces, (const char *)body.data, body.size);
    static const char gate_types[] = "deft_output_q DEFT_NUM_S16";
    if (good && w->image.integer) c_pieces_want(&pieces, gate_types, sizeof gate_types - 1);
    good = good && open_text(&t);
    if (good) put_source(t.f, w, &pieces, (const char *)body.data, body.size);
    good = good && close_text(&t, a, &plain) && open_text(&t);
    if (good) good = c_pieces_rename(plain, w->name, a, t.f, err) == DEFT_OK;
    good = good && close_text(&t, a, &out->source) && open_text(&t);
    if (good) put_header(t.f, w);
    good = good && close_text(&t, a, &out->header) && open_text(&t);
    if (good) put_main(t.f, w);
    good = good && close_text(&t, a, &out->example);
    return good ? DEFT_OK : deft_fail(err, DEFT_E_SPACE, "out of memory");
}

bool deft_c_name_ok(const char *name)
{
    static const char *const taken[] = {
        "auto",   "break",  "case",   "char",    "const",    "default",  "do",     "double",
        "else",   "enum",   "float",  "for",     "goto",     "if",       "inline", "int",
        "long",   "main",   "return", "short",   "signed",   "static",   "struct", "switch",
        "union",  "void",   "while",  "deft",    "unsigned", "class",    "string", "math",
        "stdint", "stdio",  "stddef", "stdlib",  "limits",   "errno",    "ctype",  "time",
        "assert", "signal", "stdarg", "stdbool", "locale",   "inttypes", "fenv",   "complex"};
    if (!isalpha((unsigned char)name[0]) || strlen(name) > 40) return false;
    for (const char *s = name; *s; s++) {
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (strcmp(taken[i], name) == 0) return false;
    }
    return true;
}

deft_status deft_c_write(const deft_c_policy *p, deft_arena *a, deft_c_files *out, deft_error *err)
{
    memset(out, 0, sizeof *out);
    if (!deft_c_name_ok(p->name)) {
        return deft_fail(err, DEFT_E_ARG,
                         "a name is letters, digits and _, and not a word of C or of its library");
    }
    c_writer w = {.model = p->model, .q = p->q, .name = p->name, .tool = p->tool};
    const deft_status s = open_policy(&w, p->image, a, err);
    return s == DEFT_OK ? write_files(&w, a, out, err) : s;
}
