#!/usr/bin/env python3
"""Is an ONNX file that Deft wrote valid, and does it compute what it should?

    check_written_onnx.py FILE.onnx [OBS.csv EXPECTED.csv]

Runs onnx.checker and strict shape inference, allows only the operators the writer promises, and
then, where CSVs are given, rolls the policy out in plain numpy (state and previous action fed
back) over the obs* columns of the first and compares with the act* columns of the second (they may
be the same file). Exit status 0 good, 1 not, 77 without the onnx module. Needs python3-onnx and
python3-numpy; nothing of Deft.
"""
import csv
import json
import math
import re
import sys

try:
    import numpy as np
    import onnx
    import onnx.checker
    import onnx.numpy_helper
    import onnx.shape_inference
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

TOLERANCE = 1e-6
F = np.float32
erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    x = x.astype(np.float64)
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def elu(x, alpha):
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0).astype(np.float64)), x)


def layer_norm(x, scale, bias, epsilon):
    x = x.astype(np.float64)
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    y = (x - mean) / np.sqrt(var + epsilon) * scale
    return y if bias is None else y + bias


def clip(x, lo=None, hi=None):
    x = x if lo is None else np.maximum(x, lo)
    return x if hi is None else np.minimum(x, hi)


def gemm(x, w, c, attr):
    y = x.astype(np.float64) @ (w.T if attr.get("transB") else w).astype(np.float64)
    return y if c is None else y + c


def slices(x, start, end, axes):
    index = [slice(None)] * x.ndim
    for a, s, e in zip(axes, start, end):
        index[a] = slice(s, e)
    return x[tuple(index)]


def run_node(op, x, attr, n_out):
    """Results of one node; every float result is rounded to float32 by the caller."""
    get = lambda i: x[i] if i < len(x) else None
    table = {
        "Identity": lambda: x[0],
        "Add": lambda: x[0] + x[1],
        "Sub": lambda: x[0] - x[1],
        "Mul": lambda: x[0] * x[1],
        "Div": lambda: x[0] / x[1],
        "Min": lambda: np.minimum(x[0], x[1]),
        "Max": lambda: np.maximum(x[0], x[1]),
        "Clip": lambda: clip(x[0], get(1), get(2)),
        "MatMul": lambda: x[0].astype(np.float64) @ x[1].astype(np.float64),
        "Gemm": lambda: gemm(x[0], x[1], get(2), attr),
        "Relu": lambda: np.maximum(x[0], 0),
        "LeakyRelu": lambda: np.where(x[0] < 0, F(attr["alpha"]) * x[0], x[0]),
        "Elu": lambda: elu(x[0], attr["alpha"]),
        "Selu": lambda: attr["gamma"] * elu(x[0], attr["alpha"]),
        "Sigmoid": lambda: sigmoid(x[0]),
        "Tanh": lambda: np.tanh(x[0].astype(np.float64)),
        "Erf": lambda: erf(x[0]),
        "Softsign": lambda: x[0] / (1 + np.abs(x[0])),
        "Softplus": lambda: np.logaddexp(0, x[0].astype(np.float64)),
        "LayerNormalization": lambda: layer_norm(x[0], x[1], get(2), attr["epsilon"]),
        "Concat": lambda: np.concatenate(x, attr["axis"]),
        "Slice": lambda: slices(*x),
        "Squeeze": lambda: np.squeeze(x[0], tuple(x[1])),
        "Unsqueeze": lambda: np.expand_dims(x[0], tuple(x[1])),
        "ArgMax": lambda: np.argmax(x[0], attr["axis"]).reshape(1, 1),
    }
    if op == "Split":
        return np.split(x[0], n_out, attr["axis"])
    if op not in table:
        raise SystemExit(f"operator {op} is not one the writer promises")
    return [table[op]()]


class Policy:
    def __init__(self, model):
        self.graph = model.graph
        self.constant = {t.name: onnx.numpy_helper.to_array(t) for t in self.graph.initializer}
        self.inputs = {
            i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in self.graph.input
        }
        meta = {p.key: p.value for p in model.metadata_props}
        self.contract = json.loads(meta["deft.contract"])
        self.reset()

    def reset(self):
        self.state = {n: np.zeros(s, F) for n, s in self.inputs.items() if n != "obs"}
        self.first = True

    def evaluate(self, obs):
        value = dict(self.constant, obs=obs, **self.state)
        for node in self.graph.node:
            attr = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            x = [value[n] if n else None for n in node.input]
            for name, y in zip(node.output, run_node(node.op_type, x, attr, len(node.output))):
                value[name] = y if y.dtype.kind == "i" else np.asarray(y, F)
        return value

    def step(self, obs):
        obs = np.asarray(obs, F).reshape(1, -1)
        if self.first:  # a history that starts full of the first input
            value = self.evaluate(obs)
            for h in self.contract["history"]:
                if h["start"] == "first input":
                    entries = value[h["input"].replace("_in_", "_out_")].reshape(h["depth"], -1)
                    newest = entries[0 if h["newest_first"] else -1]
                    self.state[h["input"]] = np.tile(newest, h["depth"]).reshape(1, -1)
        self.first = False
        value = self.evaluate(obs)
        for name in self.state:
            if name != "prev_action":
                self.state[name] = value[re.sub(r"_in(_\d+)?$", r"_out\1", name)]
        action = value["action"]
        if "prev_action" in self.state:
            act = self.contract["act"]
            y = action - F(act["offset"] or 0)
            self.state["prev_action"] = np.asarray(y / F(act["scale"] or 1), F)
        return action.reshape(-1)


def columns(path, prefix):
    with open(path, newline="") as f:
        rows = list(csv.reader(f))
    index = [i for i, name in enumerate(rows[0]) if re.fullmatch(prefix + r"\d+", name)]
    return np.array([[float(r[i]) for i in index] for r in rows[1:]], np.float64)


def main(argv):
    if len(argv) not in (2, 4):
        print(__doc__)
        return 2
    model = onnx.load(argv[1])
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    policy = Policy(model)
    if len(argv) == 2:
        print(f"{argv[1]}: valid, {len(model.graph.node)} nodes")
        return 0
    obs, expected = columns(argv[2], "obs"), columns(argv[3], "act")
    worst = 0.0
    for row, want in zip(obs, expected):
        worst = max(worst, float(np.abs(policy.step(row) - want).max()))
    print(f"{argv[1]}: valid, {len(obs)} steps, largest difference {worst:.3g}")
    return 0 if len(obs) and worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
