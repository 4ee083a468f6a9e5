/* load_options.c - which option is for which kind of file. One that this kind has no use for is a
 * misunderstanding, and is said to be one. */
#include "app/load_options.h"

#include <string.h>

enum { GRAPH = 1 << DEFT_FORMAT_ONNX, CHECKPOINT = 1 << DEFT_FORMAT_TORCH };

typedef enum value { A_TEXT, A_FLAG, A_NUMBER } value; // const char *, bool, int32_t

typedef struct rule {
    const char *name;
    size_t at;
    value value;
    unsigned kinds; // of files
    const char *use;
} rule;

#define TEXT(field)   offsetof(deft_load_options, field), A_TEXT
#define FLAG(field)   offsetof(deft_load_options, field), A_FLAG
#define NUMBER(field) offsetof(deft_load_options, field), A_NUMBER

static const rule rules[] = {
    {"--encoder", TEXT(encoder), CHECKPOINT | GRAPH,
     "names the encoder whose output an ONNX graph or a checkpoint reads"},
    {"--encoder-output", TEXT(encoder_output), GRAPH | CHECKPOINT,
     "says where the encoder's output stands among what an ONNX graph reads"},
    {"--against", TEXT(against), CHECKPOINT,
     "names the graph to verify a checkpoint against, which has none of its own"},
    {"--obs-size", NUMBER(torchscript.n_obs), CHECKPOINT,
     "says how many observations a TorchScript program reads"},
    {"--arch", TEXT(assemble.arch), CHECKPOINT,
     "says which layers the tensors of a checkpoint belong to"},
    {"--activation", TEXT(assemble.activation), CHECKPOINT,
     "says what comes after the hidden layers of a checkpoint"},
    {"--squash", TEXT(assemble.squash), CHECKPOINT,
     "says what the last layer of a checkpoint goes through"},
    {"--input", TEXT(assemble.input), CHECKPOINT, "says what the actor of a checkpoint reads"},
    {"--action-output", TEXT(understand.action_output), GRAPH,
     "names one of the outputs of an ONNX graph"},
    {"--discrete", FLAG(understand.discrete), GRAPH | CHECKPOINT,
     "says that the outputs of a graph or a checkpoint are values of actions"},
    {"--logits", FLAG(assemble.logits), CHECKPOINT,
     "asks for the values that a checkpoint with discrete actions decides by"},
    {"--normalizer", TEXT(normaliser), CHECKPOINT,
     "names the pickled VecNormalize of a checkpoint's observations"},
};
enum { N_RULE = sizeof rules / sizeof *rules };

static bool given(const deft_load_options *opt, const rule *r)
{
    const char *const p = (const char *)opt + r->at;
    const char *text = NULL;
    if (r->value == A_FLAG) return *(const bool *)p;
    if (r->value == A_NUMBER) return *(const int32_t *)(const void *)p != 0;
    memcpy(&text, p, sizeof text);
    return text != NULL;
}

static void leave_out(deft_load_options *opt, const rule *r)
{
    char *const p = (char *)opt + r->at;
    const char *const none = NULL;
    if (r->value == A_FLAG) {
        *(bool *)p = false;
    } else if (r->value == A_NUMBER) {
        *(int32_t *)(void *)p = 0;
    } else {
        memcpy(p, &none, sizeof none);
    }
}

/* The graph of --against is read by the same options. */
static bool is_for(const rule *r, deft_format f, const deft_load_options *opt)
{
    const bool graph = f == DEFT_FORMAT_ONNX || (f == DEFT_FORMAT_TORCH && opt->against);
    const bool output = r->at == offsetof(deft_load_options, understand.action_output);
    return output ? graph : r->kinds >> f & 1;
}

static const char *called(deft_format f)
{
    return f == DEFT_FORMAT_ONNX    ? "an ONNX graph"
           : f == DEFT_FORMAT_TORCH ? "a checkpoint"
                                    : "a .deft image";
}

deft_status load_options_fit(deft_format format, const deft_load_options *opt,
                             deft_load_options *out, deft_error *err)
{
    *out = *opt;
    if (format == DEFT_FORMAT_UNKNOWN) return DEFT_OK; // which is an error of its own
    for (int i = 0; i < N_RULE; i++) {
        const rule *const r = &rules[i];
        if (!given(opt, r) || is_for(r, format, opt)) continue;
        leave_out(out, r);
        if (opt->several) continue;
        return deft_fail(err, DEFT_E_ARG, "%s %s; this is %s: leave the option out", r->name,
                         r->use, called(format));
    }
    if (format == DEFT_FORMAT_TORCH && opt->assemble.input && !opt->encoder) {
        return deft_fail(err, DEFT_E_ARG,
                         "--input says what an actor reads of its encoder: it goes with --encoder");
    }
    return DEFT_OK;
}

deft_status deft_load_options_check(char *const *path, int32_t n, const deft_load_options *opt,
                                    deft_error *err)
{
    unsigned kinds = 0;
    for (int32_t i = 0; i < n; i++) {
        deft_arena *const a = deft_arena_create(0);
        deft_bytes b = {NULL, 0};
        const bool read = a && deft_file_read(path[i], 0, a, &b, NULL) == DEFT_OK;
        const deft_format f = read ? deft_format_detect(b.data, b.size) : DEFT_FORMAT_UNKNOWN;
        deft_arena_destroy(a);
        if (f == DEFT_FORMAT_UNKNOWN) return DEFT_OK; // which is an error of its own
        kinds |= 1u << f;
    }
    for (int i = 0; i < N_RULE; i++) {
        bool read = !given(opt, &rules[i]);
        for (deft_format f = DEFT_FORMAT_ONNX; f <= DEFT_FORMAT_IMAGE; f++) {
            read = read || ((kinds >> f & 1) && is_for(&rules[i], f, opt));
        }
        if (read) continue;
        return deft_fail(err, DEFT_E_ARG, "%s %s, and none of the files has a use for it",
                         rules[i].name, rules[i].use);
    }
    return DEFT_OK;
}
