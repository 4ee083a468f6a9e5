#!/usr/bin/env python3
"""Seeds for fuzz_onnx: tiny policies as PyTorch exports them, and files that are wrong on purpose.

    /usr/bin/python3 tests/fuzz/formats/make_onnx_corpus.py

Needs Debian's python3-torch (1.13) and python3-onnx; deterministic.
"""
import io
import pathlib
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent / "fuzz_onnx.corpus"
OBS, ACT, HID = 3, 2, 2


def save(name, data):
    if isinstance(data, onnx.ModelProto):
        del data.graph.value_info[:]
        data.producer_version = ""
        for node in data.graph.node:
            node.doc_string = ""
        data = data.SerializeToString()
    (OUT / name).write_bytes(data)


def export(module, inputs=None, opset=15, **kw):
    torch.manual_seed(1)
    buf = io.BytesIO()
    args = inputs or (torch.zeros(1, OBS),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, args, buf, opset_version=opset, **kw)
    return onnx.load_from_string(buf.getvalue())


class Aug(nn.Module):
    """The quantizable GRU: two linear maps a cell, elementwise operations, activations."""

    def __init__(self, layers=2):
        super().__init__()
        self.w = nn.ModuleList(nn.Linear(OBS if i == 0 else HID, 3 * HID, bias=False) for i in range(layers))
        self.u = nn.ModuleList(nn.Linear(HID, 3 * HID, bias=False) for _ in range(layers))
        self.out = nn.Linear(HID + OBS, ACT)

    def forward(self, obs, h):
        x, new = obs, []
        for i, (w, u) in enumerate(zip(self.w, self.u)):
            wr, wz, wn = w(x).chunk(3, 1)
            ur, uz, un = u(h[i]).chunk(3, 1)
            r, z = torch.sigmoid(wr + ur), torch.sigmoid(wz + uz)
            n = torch.tanh(wn + r * un)
            x = n + z * (h[i] - n)
            new.append(x)
        return torch.tanh(self.out(torch.cat([obs, x], 1))), torch.stack(new)


class Op(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell, self.out = cell(OBS, HID, 1), nn.Linear(HID, ACT)

    def forward(self, obs, *state):
        state = state[0] if len(state) == 1 else state
        x, state = self.cell(obs.unsqueeze(0), state)
        return self.out(x.squeeze(0)), state


def quantized():
    w = numpy_helper.from_array(np.arange(6, dtype=np.int8).reshape(OBS, 2), "w")
    s = numpy_helper.from_array(np.float32(0.1), "s")
    z = numpy_helper.from_array(np.uint8(128), "z")
    zw = numpy_helper.from_array(np.int8(0), "zw")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["m"]),
        helper.make_node("DynamicQuantizeLinear", ["m"], ["q", "qs", "qz"]),
        helper.make_node("MatMulInteger", ["q", "k", "qz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "qs"], ["y"]),
    ]
    k = numpy_helper.from_array(np.array([[1, -2], [3, 4]], np.int8), "k")
    return model(nodes, [w, s, z, zw, k])


def model(nodes, constants=(), x=(1, OBS), opset=15):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def constants():
    def c(name, **kw):
        return helper.make_node("Constant", [], [name], **kw)

    nodes = [
        c("a", value_float=2.0),
        c("b", value_floats=[1.0, 2.0, 3.0]),
        c("i", value_int=1),
        c("j", value_ints=[0, 2]),
        c("h", value=helper.make_tensor("", TensorProto.FLOAT16, [3], np.arange(3, dtype=np.float16))),
        helper.make_node("Mul", ["x", "a"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["n"]),
        helper.make_node("Gather", ["n", "j"], ["o"], axis=1),
        helper.make_node("Unsqueeze", ["o", "i"], ["y"]),
    ]
    return model(nodes)


def scatter():
    index = numpy_helper.from_array(np.array([[[0, 1]]], np.int64), "index")
    update = numpy_helper.from_array(np.array([[5]], np.float32), "update")
    target = numpy_helper.from_array(np.array([1, 3], np.int64), "target")
    zero = numpy_helper.from_array(np.array([0], np.int64), "zero")
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ScatterND", ["zeros", "index", "update"], ["s"]),
        helper.make_node("Expand", ["s", "target"], ["e"]),
        helper.make_node("Greater", ["x", "e"], ["g"]),
        helper.make_node("Where", ["g", "x", "e"], ["w"]),
        helper.make_node("ReduceMean", ["w"], ["r"], axes=[1], keepdims=1),
        helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]),
        helper.make_node("Pow", ["t", "t"], ["p"]),
        helper.make_node("Sqrt", ["p"], ["q"]),
        helper.make_node("Slice", ["q", "zero", "target", "zero"], ["y"]),
    ]
    return model(nodes, [index, update, target, zero])


def branch():
    torch.manual_seed(1)

    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(OBS, ACT)

        def forward(self, x):
            return self.l(x.view(x.shape).unsqueeze(0).squeeze(1).squeeze(0))

    return export(torch.jit.script(Squeeze()), opset=13, input_names=["x"], dynamic_axes={"x": {0: "b"}})


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    names = {"input_names": ["obs", "h_in"], "output_names": ["action", "h_out"]}
    h = torch.zeros(1, 1, HID)
    mlp = export(nn.Sequential(nn.Linear(OBS, 4), nn.ELU(), nn.Linear(4, ACT), nn.Tanh()))
    save("mlp.onnx", mlp)
    save("mlp_opset9.onnx", export(nn.Sequential(nn.Linear(OBS, 4), nn.ReLU(), nn.Linear(4, ACT)), opset=9))
    save("norm.onnx", export(nn.Sequential(nn.LayerNorm(OBS), nn.GELU(), nn.Linear(OBS, ACT), nn.SiLU()), opset=17))
    save("aug.onnx", export(Aug(), (torch.zeros(1, OBS), torch.zeros(2, 1, HID)), **names))
    save("gru.onnx", export(Op(nn.GRU), (torch.zeros(1, OBS), h), **names))
    save("lstm.onnx", export(Op(nn.LSTM), (torch.zeros(1, OBS), h, h), input_names=["obs", "h_in", "c_in"]))
    save("qdq.onnx", quantized())
    save("constants.onnx", constants())
    save("scatter.onnx", scatter())
    save("if.onnx", branch())

    meta = onnx.ModelProto()
    meta.CopyFrom(mlp)
    helper.set_model_props(meta, {
        "joint_names": "hip,knee", "action_scale": "0.5,0.25", "default_joint_pos": "0.1,-0.2",
        "observation_names": "base_ang_vel", "decimation": "4", "sim_dt": "0.005"})
    save("metadata.onnx", meta)
    own = onnx.ModelProto()
    own.CopyFrom(mlp)
    helper.set_model_props(own, {
        "deft.contract": '{"version":1,"folded":true,"name":"n","n_obs":3,"n_act":2,"discrete":false,'
        '"period_s":0.05,"obs":{"name":["a","b","c"],"unit":null,"offset":null,"scale":null,"lo":null,'
        '"hi":null},"act":{"name":null,"unit":null,"scale":[1.0,1],"offset":null,"lo":[null,null],'
        '"hi":null},"prev_action":null,"history":[],"notes":[["k","v"]]}'})
    save("contract.onnx", own)
    external = onnx.ModelProto()
    external.CopyFrom(mlp)
    for t in external.graph.initializer:
        size = len(t.raw_data)
        t.ClearField("raw_data")
        t.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "sub/w.data"), ("offset", "0"), ("length", str(size))):
            t.external_data.add(key=key, value=value)
    save("external.onnx", external)

    data = mlp.SerializeToString()
    save("truncated.onnx", data[: len(data) // 2])
    save("empty.onnx", b"")
    save("no_graph.onnx", data[:2])
    save("cycle.onnx", model([helper.make_node("Add", ["x", "y"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]))
    huge = model([helper.make_node("Add", ["x", "w"], ["y"])],
                 [TensorProto(name="w", data_type=1, dims=[1 << 31, 1 << 31])])
    save("claims_2gb.onnx", huge)
    # graphs in attributes in nodes in graphs; and, in the message types that can, far too deep
    nest = b""
    for i in range(900):
        tag = (b"\x0a", b"\x2a", b"\x32")[(899 - i - 1) % 3] if i < 899 else b"\x3a"
        n, length = len(nest), b""
        while n >= 128:
            length += bytes([n & 127 | 128])
            n >>= 7
        nest = tag + length + bytes([n]) + nest
    save("nested.onnx", nest)
    save("tensor.pb", helper.make_tensor("t", TensorProto.FLOAT16, [2], [1.0, 2.0]).SerializeToString())


main()
