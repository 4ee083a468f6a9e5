/* assemble_private.h - private: what the files that make a policy of named tensors share. */
#ifndef DEFT_FORMATS_ASSEMBLE_PRIVATE_H
#define DEFT_FORMATS_ASSEMBLE_PRIVATE_H

#include "formats/sb3.h"

/* One layer that the names of a checkpoint show. Weights are the checkpoint's. */
typedef struct unit {
    const deft_checkpoint *c;
    deft_layer_kind kind; // DENSE, GRU, LSTM, LAYERNORM, AFFINE (of a BatchNorm)
    const char *name;     // "actor.0": what comes before ".weight"
    int32_t layer;        // of a recurrent module with several, else 0
    int32_t n_in, n_out;
    const float *weight, *bias, *weight_h, *bias_h;
    const float *mean, *variance; // BatchNorm
    float epsilon;                // of it; 0: PyTorch's default
    const char *unsupported;      // why this layer cannot be taken, NULL if it can
} unit;

enum { ASSEMBLE_MAX_TENSORS = 4096, ASSEMBLE_MAX_UNITS = 512 };

typedef struct unit_list {
    unit *unit;
    int32_t n;
    bool discrete; // a Q network: there was no actor
} unit_list;

/* --- names ----------------------------------------------------------------------------------- */

/* The end of the part of a name that begins at s ('.' and '/' separate). */
const char *name_part_end(const char *s);
const char *name_leaf(const char *name); // its last part
/* Does any part of the name contain the word, in any case? */
bool name_contains(const char *name, const char *word);
/* Critics, targets, optimizers, spreads and the like: nothing that an action depends on. */
bool name_is_other(const char *name);
bool name_is_q_network(const char *name);
/* The order of application that names and the order in the file suggest: by number among siblings
 * of one stem ("net.2" before "net.10"), encoders before and heads ("mu", "fc_mean") behind their
 * siblings, else as in the file. < 0: x comes first. */
int name_compare(const deft_checkpoint *c, const char *x, const char *y);
/* Do they differ in the number at the end only? */
bool name_same_stem(const char *x, const char *y);
/* The number behind the last dot of "actor.2", -1 where there is none. */
int64_t name_index(const char *name);

/* What is usual in a framework that gives such names. */
typedef struct framework {
    const char *part;   // of a name, exactly
    const char *called; // for people
    const char *activation, *squash;
    bool squash_certain; // it has nothing else
} framework;
const framework *framework_of(const deft_checkpoint *c); // NULL: none known

const deft_tensor *checkpoint_find(const deft_checkpoint *c, const char *module, const char *leaf);
/* The class of a module without its package ("ReLU"), NULL where the file does not say. */
const char *checkpoint_class(const deft_checkpoint *c, const char *module);

/* --- units ----------------------------------------------------------------------------------- */

/* The layers of a checkpoint in order. all: critics and the like too. */
deft_status units_find(const deft_checkpoint *c, bool all, deft_arena *a, unit_list *out,
                       deft_error *err);

/* The same without cells made of two linear maps: where names are certain. */
deft_status units_plain(const deft_checkpoint *c, deft_arena *a, unit_list *out, deft_error *err);

/* --- functions ------------------------------------------------------------------------------- */

/* Functions by name ("relu", "mish"), or by the name of PyTorch's class ("ReLU"). Mish, which is
 * x tanh(softplus(x)), stays marked until mish_expand. */
bool activation_of(const char *name, deft_activation *out);
bool activation_of_class(const char *name, deft_activation *out);

/* --- the chain ------------------------------------------------------------------------------- */

/* One item of --arch, or of what takes its place. */
typedef struct arch_item {
    deft_layer_kind kind;
    int32_t width; // outputs; 0: any (normalisations)
    bool has_activation;
    deft_activation activation;
} arch_item;
enum { ARCH_MAX_ITEMS = 128 };
/* "gru:64x3,dense:256:elu,layernorm,dense:8" -> items; returns how many, or a status < 0. */
int32_t arch_parse(const char *text, arch_item *item, deft_error *err);

typedef struct assembly {
    const deft_checkpoint *actor, *encoder; // encoder may be NULL
    const deft_assemble_options *opt;
    const framework *style; // NULL: not known
    const unit *unit;       // the encoder's, then the actor's
    int32_t n_unit, n_encoder;
    int32_t n_item; // 0: no architecture given
    arch_item item[ARCH_MAX_ITEMS];
    const unit **from; // [m->n_layer] what each layer was made of
    deft_model *m;
    int32_t n_missing; // facts that the file does not say
    char missing[200]; // "the hidden activation and ..."
    char remedy[600];  // " --activation elu --squash none"
    deft_error *err;
} assembly;

/* The file does not say `fact`: with --assume `likely` is taken and noted, else the fact becomes
 * part of the error that missing_facts makes in the end. likely NULL: the option is a flag. */
deft_status ask(assembly *s, const char *fact, const char *option, const char *likely);
deft_status missing_facts(const assembly *s);

/* Makes the units that belong to the policy its layers, each reading what comes before it. */
deft_status chain_build(assembly *s);
/* Activations between layers and behind the last one. */
deft_status chain_activations(assembly *s);
/* Normalisers, action_scale and action_bias. */
deft_status assemble_contract(assembly *s);
/* Marked layers become three more: softplus, tanh and a product. */
deft_status mish_expand(assembly *s);
/* Statistics that were given beside the policy. */
deft_status normaliser_apply(assembly *s, const deft_normaliser *n);
/* Everything between the tensors and a model that can be checked, where `data` says it. */
deft_status sb3_build(assembly *s, deft_arena *work);

#endif
