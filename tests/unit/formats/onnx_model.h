/* onnx_model.h - a small ONNX model made with protobuf-c, for tests of the reader. */
#ifndef DEFT_TESTS_ONNX_MODEL_H
#define DEFT_TESTS_ONNX_MODEL_H

#include "check.h"
#include "deft/formats.h"

#include <onnx/onnx.pb-c.h>

static inline deft_bytes pack(const ProtobufCMessage *m)
{
    static uint8_t buf[1 << 16];
    CHECK(protobuf_c_message_get_packed_size(m) <= sizeof buf, "too large");
    return (deft_bytes){buf, protobuf_c_message_pack(m, buf)};
}

/* y = Relu(Add(x, w)), to be broken by each case. */
typedef struct model {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset;
    Onnx__NodeProto node[2];
    Onnx__ValueInfoProto x, y;
    Onnx__TensorProto w;
    Onnx__OperatorSetIdProto *opsets[1];
    Onnx__NodeProto *nodes[2];
    Onnx__ValueInfoProto *inputs[2], *outputs[1];
    Onnx__TensorProto *initializers[2];
    char *in0[2], *out0[1], *in1[1], *out1[1];
    int64_t dim;
    float value;
} model;

static inline void make(model *m)
{
    *m = (model){
        .model = ONNX__MODEL_PROTO__INIT,
        .graph = ONNX__GRAPH_PROTO__INIT,
        .opset = ONNX__OPERATOR_SET_ID_PROTO__INIT,
        .node = {ONNX__NODE_PROTO__INIT, ONNX__NODE_PROTO__INIT},
        .x = ONNX__VALUE_INFO_PROTO__INIT,
        .y = ONNX__VALUE_INFO_PROTO__INIT,
        .w = ONNX__TENSOR_PROTO__INIT,
        .in0 = {"x", "w"},
        .out0 = {"s"},
        .in1 = {"s"},
        .out1 = {"y"},
        .dim = 1,
        .value = 2,
    };
    m->model.has_ir_version = 1;
    m->model.ir_version = 8;
    m->model.graph = &m->graph;
    m->model.n_opset_import = 1;
    m->model.opset_import = m->opsets;
    m->opsets[0] = &m->opset;
    m->opset.domain = "";
    m->opset.has_version = 1;
    m->opset.version = 17;
    m->node[0].op_type = "Add";
    m->node[0].n_input = 2;
    m->node[0].input = m->in0;
    m->node[0].n_output = 1;
    m->node[0].output = m->out0;
    m->node[1].op_type = "Relu";
    m->node[1].n_input = 1;
    m->node[1].input = m->in1;
    m->node[1].n_output = 1;
    m->node[1].output = m->out1;
    for (int i = 0; i < 2; i++) m->nodes[i] = &m->node[i];
    m->graph.n_node = 2;
    m->graph.node = m->nodes;
    m->x.name = "x";
    m->y.name = "y";
    m->inputs[0] = m->inputs[1] = &m->x;
    m->outputs[0] = &m->y;
    m->graph.n_input = m->graph.n_output = 1;
    m->graph.input = m->inputs;
    m->graph.output = m->outputs;
    m->w.name = "w";
    m->w.n_dims = 1;
    m->w.dims = &m->dim;
    m->w.has_data_type = 1;
    m->w.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    m->w.n_float_data = 1;
    m->w.float_data = &m->value;
    m->initializers[0] = m->initializers[1] = &m->w;
    m->graph.n_initializer = 1;
    m->graph.initializer = m->initializers;
}

#endif
