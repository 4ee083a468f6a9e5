/* onnx_write.h - private: what the files of the ONNX writer share. */
#ifndef DEFT_FORMATS_ONNX_WRITE_H
#define DEFT_FORMATS_ONNX_WRITE_H

#include "deft/formats.h"
#include "formats/onnx_build.h"

/* A value [1][n] of the graph being written. */
typedef struct onnx_operand {
    const char *name;
    int32_t n;
} onnx_operand;

/* A piece of another value, so that equal ones are cut once. */
typedef struct onnx_piece {
    const char *of, *name;
    int32_t offset, length;
} onnx_piece;

typedef struct onnx_writer {
    onnx_builder b;
    const deft_model *m;
    deft_error *err;
    onnx_operand obs, prev; // behind the contract
    const char **prefix;    // [n_layer] unique, of safe characters
    onnx_operand *out;      // [n_layer] outputs
    onnx_operand *old;      // [n_layer] h or history before the step, "" where there is none
    const char **state;     // [n_layer] and after it
    const char **cell_old;  // [n_layer] LSTM
    const char **cell_new;
    onnx_list pieces; // onnx_piece
    bool has_axis;    // the tensor "axis" is there
} onnx_writer;

/* The value that layer k computes from its inputs; sets w->out, w->state and w->cell_new. */
deft_status onnx_write_layer(onnx_writer *w, int32_t k);
/* Segments one after the other; name is that of the concatenation where there are several. */
onnx_operand onnx_write_input(onnx_writer *w, const deft_segment *in, int32_t n, const char *name);
/* Elements offset .. offset + length of x. */
onnx_operand onnx_write_slice(onnx_writer *w, onnx_operand x, int32_t offset, int32_t length);
/* The observation and the previous action as the network wants them; actions as the world does. */
onnx_operand onnx_write_obs_contract(onnx_writer *w, onnx_operand x);
onnx_operand onnx_write_act_contract(onnx_writer *w, onnx_operand y);
/* Inputs and outputs for the state of recurrent and history layers. */
void onnx_write_state_inputs(onnx_writer *w);
void onnx_write_state_outputs(onnx_writer *w);

#endif
