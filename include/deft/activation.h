/* activation.h - elementwise functions by number. The numbers are those of the image format. */
#ifndef DEFT_ACTIVATION_H
#define DEFT_ACTIVATION_H

/* Elementwise functions; alpha and beta as noted. */
typedef enum deft_activation_kind {
    DEFT_ACT_NONE = 0,
    DEFT_ACT_RELU,
    DEFT_ACT_LEAKY_RELU, // alpha x for x < 0
    DEFT_ACT_ELU,        // alpha (exp(x) - 1) for x < 0
    DEFT_ACT_SELU,       // beta x, and beta alpha (exp(x) - 1) for x < 0
    DEFT_ACT_SILU,       // x sigmoid(x)
    DEFT_ACT_GELU,       // x Phi(x), with erf
    DEFT_ACT_GELU_TANH,  // its tanh approximation
    DEFT_ACT_TANH,
    DEFT_ACT_SIGMOID,
    DEFT_ACT_SOFTSIGN, // x / (1 + |x|)
    DEFT_ACT_SOFTPLUS, // log(1 + exp(x))
    DEFT_ACT_CLIP,     // min(max(x, alpha), beta)
} deft_activation_kind;

typedef struct deft_activation {
    deft_activation_kind kind;
    float alpha, beta;
} deft_activation;

#endif
