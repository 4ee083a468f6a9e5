/* op_conv.h - private: the geometry of a convolution, for evaluating and for understanding it. */
#ifndef DEFT_GRAPH_OP_CONV_H
#define DEFT_GRAPH_OP_CONV_H

#include "graph/op.h"

enum { OP_CONV_AXES = 3 };

/* x [batch][group * c_in][in...], w [group * c_out][c_in][kernel...], y [batch][group *
 * c_out][out...]; over `axes` axes, those that are not there have a size of 1. */
typedef struct op_conv {
    int32_t axes;
    int64_t batch, group, c_in, c_out;
    int64_t in[OP_CONV_AXES], out[OP_CONV_AXES], kernel[OP_CONV_AXES];
    int64_t stride[OP_CONV_AXES], dilation[OP_CONV_AXES], pad[OP_CONV_AXES]; // pad: before
    int64_t n_in, n_out, n_kernel;                                           // products
} op_conv;

/* DEFT_E_FORMAT, DEFT_E_UNSUPPORTED, DEFT_E_RANGE after op_fail. */
deft_status op_conv_read(op_ctx *c, const deft_tensor *x, const deft_tensor *w, op_conv *v);
/* Where element `tap` of the kernel falls for output position `at`: a position of the input, -1 in
 * the padding. */
int64_t op_conv_position(const op_conv *v, int64_t at, int64_t tap);

#endif
