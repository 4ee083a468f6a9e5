/* sb3.h - private: what an archive of Stable-Baselines3 or sb3-contrib says of its policy. Its
 * entry `data` is JSON; what JSON cannot hold is in it as a pickle (base64), and beside that as
 * text. */
#ifndef DEFT_FORMATS_SB3_H
#define DEFT_FORMATS_SB3_H

#include "formats/torch_private.h"

#include <jansson.h>

typedef enum sb3_algorithm {
    SB3_UNKNOWN = 0,
    SB3_ACTOR_CRITIC, // PPO, A2C, TRPO, MaskablePPO
    SB3_RECURRENT,    // RecurrentPPO
    SB3_SAC,          // SAC, TQC
    SB3_CROSSQ,
    SB3_TD3, // TD3, DDPG
    SB3_DQN,
    SB3_QRDQN,
    SB3_ARS,
} sb3_algorithm;

typedef enum sb3_space_kind {
    SB3_SPACE_NONE = 0, // not said
    SB3_SPACE_BOX,
    SB3_SPACE_DISCRETE,
    SB3_SPACE_MULTI_DISCRETE,
    SB3_SPACE_MULTI_BINARY,
    SB3_SPACE_DICT,
    SB3_SPACE_OTHER,
} sb3_space_kind;

enum { SB3_MAX_PARTS = 256, SB3_MAX_ELEMENTS = 1 << 20 };

typedef struct sb3_space sb3_space;
struct sb3_space {
    sb3_space_kind kind;
    const char *called; // its class, for messages (escape it)
    const char *key;    // in a Dict, else NULL
    int32_t n;       // numbers that a value has: of a Box; 1 for Discrete; parts of a MultiDiscrete
    int32_t choices; // Discrete: n; MultiDiscrete: the sum of its parts; 0: not said
    bool image;      // three dimensions of bytes
    const float *low, *high; // [n] of a Box; NULL: not said
    int32_t n_part;          // of a Dict
    const sb3_space *part;   // [n_part], in its order
};

typedef struct deft_sb3 {
    sb3_algorithm algorithm;
    const char *policy_class; // "stable_baselines3.common.policies.ActorCriticPolicy", or ""
    const char *activation;   // "torch.nn.modules.activation.ReLU"; NULL: the algorithm's own
    const char *extractor;    // likewise
    bool kwargs;              // policy_kwargs is there: what is not in it is the algorithm's own
    int squash;               // squash_output: 1, 0, or -1 where it is not said
    double clip_mean, norm_epsilon;
    bool batch_norm;
    sb3_space observation, action;
} deft_sb3;

/* Reads `data`. The facts live in a. */
deft_status sb3_data_read(deft_bytes data, deft_arena *work, deft_arena *a, const deft_sb3 **out,
                          deft_error *err);

/* A space out of its JSON object: by its pickle where that can be read, else by its text.
 * DEFT_E_MISMATCH where both can and disagree. name: "action_space". */
deft_status sb3_space_read(const json_t *o, const char *name, deft_arena *work, deft_arena *a,
                           sb3_space *out, deft_error *err);
/* The same of a pickled space; false: not one that is known. */
bool sb3_space_of_pickle(const pickle_value *v, deft_arena *a, sb3_space *out);
/* The bytes of ":serialized:" in o as a value, NULL where there are none that can be read. */
const pickle_value *sb3_unpickle(const json_t *o, deft_arena *work);
/* The text of o[key], NULL where it is not a text, or holds a NUL. */
const char *sb3_text(const json_t *o, const char *key);
/* "torch.nn.modules.activation.Mish" of "<class 'torch.nn.modules.activation.Mish'>", copied; text
 * of another kind as it is. */
const char *sb3_class_name(const char *text, deft_arena *a);

#endif
