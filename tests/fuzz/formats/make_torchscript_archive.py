#!/usr/bin/env python3
"""Writes fuzz_torchscript.h: data.pkl and constants.pkl of the archive around which
fuzz_torchscript.c puts its text, and fuzz_torchscript.corpus: texts and archives.

    python3 tests/fuzz/formats/make_torchscript_archive.py
"""
import io
import pathlib
import re
import struct
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent.parent / "golden/torchscript"
CORPUS = HERE / "fuzz_torchscript.corpus"


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def number(n):
    return b"J" + struct.pack("<i", n)


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def tensor(key, shape, kind="FloatStorage", count=256):
    strides, s = [], 1
    for d in reversed(shape):
        strides.insert(0, s)
        s *= d
    storage = tuple_of(text("storage"), b"ctorch\n" + kind.encode() + b"\n", text(key), text("cpu"),
                       number(count)) + b"Q"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n" +
            tuple_of(storage, number(0), tuple_of(*map(number, shape)), tuple_of(*map(number, strides)),
                     b"\x89", b"ccollections\nOrderedDict\n)R") + b"R")


def module(name, **attributes):
    items = b"".join(text(k) + v for k, v in attributes.items())
    where, _, what = name.rpartition(".")
    return f"c{where}\n{what}\n".encode() + b")\x81}(" + items + b"ub"


def listed(*items):
    return b"](" + b"".join(items) + b"e"


def pickles():
    inner = module("__torch__.Inner", weight=tensor("0", [4, 4]), bias=tensor("1", [4]), training=b"\x89")
    root = module("__torch__.Policy", w=tensor("0", [4, 6]), b=tensor("1", [4]), v=tensor("0", [3, 4]),
                  c=tensor("1", [3]), g=tensor("0", [12, 4]), k=tensor("0", [16, 4]), n=tensor("1", [12]),
                  h=tensor("2", [1, 1, 4]), s=tensor("3", [1, 4]), index=tensor("4", [2], "LongStorage", 8),
                  state=b"N", kind=text("relu"), count=number(3), gain=b"G" + struct.pack(">d", 0.5),
                  training=b"\x89", _flat_weights=listed(tensor("0", [12, 6]), tensor("0", [12, 4])),
                  net=inner)
    constants = tuple_of(tensor("0", [4]), tensor("1", [2, 3]))
    return b"\x80\x02" + root + b".", b"\x80\x02" + constants + b"."


def array(name, data):
    rows = [", ".join(f"0x{b:02x}" for b in data[i:i + 12]) for i in range(0, len(data), 12)]
    return f"static const uint8_t {name}[] = {{\n    " + ",\n    ".join(rows) + "};\n"


def adapted(source):
    """A file of a golden archive as the text of Policy."""
    s = re.sub(r"__torch__(\.\w+)*\.(\w+)", "__torch__.Policy", source)
    s = s.replace("forward__0", "forward")
    return re.sub(r"^class \w+", "class Policy", s, count=1)


HEAD = "class Policy(Module):\n  w : Tensor\n  def forward(self: __torch__.Policy,\n    x: Tensor) -> Tensor:\n"
TEXTS = {
    "mlp": "    y = torch.elu(torch.linear(x, self.w, self.b), 1.)\n    return torch.linear(y, self.v, self.c)\n",
    "state": "    h = torch.tanh(torch.add(torch.linear(x, self.w), self.s))\n"
             "    _0 = torch.copy_(torch.slice(self.s, 0, 0, 9223372036854775807), h)\n    return torch.mm(h, torch.t(self.v))\n",
    "gru": "    h = self.h\n    _0, _1 = torch.gru(torch.unsqueeze(x, 0), h, self._flat_weights, False, 1, 0., False, False, False)\n"
           "    _2 = torch.index_put_(h, annotate(List[Optional[Tensor]], [None]), _1)\n    self.h = _1\n    return torch.squeeze(_0, 0)\n",
    "cells": "    a, b, = torch.lstm_cell(torch.linear(x, self.w), [self.s, self.s], self.k, self.k)\n    return torch.sub(a, b, alpha=2)\n",
    "shapes": "    y = torch.view(x, [1, 2, -1])\n    p, q = torch.split(torch.transpose(y, 1, 2), [1, 2], 1)\n"
              "    z = torch.cat([torch.flatten(p, 1), torch.reshape(q, [1, -1])], -1)\n"
              "    u = torch.index(z, [None, self.index])\n    r = torch.repeat(torch.expand(u, [1, 2]), [1, 3])\n"
              "    return torch.where(torch.gt(r, 0.5), r, torch.mean(r, [1], True))\n",
    "control": "    i = 0\n    for k in range(torch.size(x, -1)):\n      i = torch.add(i, k)\n    if torch.eq(self.kind, \"relu\"):\n      y = torch.relu_(x)\n"
               "    elif torch.__is__(self.state, None):\n      y = torch.mul(x, self.gain)\n    else:\n      ops.prim.RaiseException(torch.format(\"{}\", i), \"E\")\n"
               "    l = [y]\n    l2 = torch.append(l, torch.clamp(y, -1., inf))\n    self.state = (y, i)\n    return torch.stack(l, 1)\n",
    "inner": "    net = self.net\n    return (net).forward(torch.linear(x, self.w), x=CONSTANTS.c0, )\n"
             "class Inner(Module):\n  def forward(self, y: Tensor, x: Tensor=None) -> Tensor:\n"
             "    return torch.layer_norm(torch.add(y, x), [4], getattr(self, \"bias\"), self.bias, 1e-05, True)\n",
    "writing": "    y = torch.zeros([1, 4], dtype=6, layout=0)\n    _0 = torch.add_(torch.select(y, 1, 2), torch.sum(x))\n"
               "    _1 = torch.clamp_(torch.slice(y, 1, None, -1, 2), -1, 1)\n    return torch.div(y, torch.norm(y, 2, [1], True))\n",
}


def main():
    data, constants = pickles()
    (HERE / "fuzz_torchscript.h").write_text(
        "/* fuzz_torchscript.h - the pickles around the text; written by make_torchscript_archive.py. */\n" +
        "#include <stdint.h>\n\n" +
        array("data_pkl", data) + array("constants_pkl", constants))
    CORPUS.mkdir(exist_ok=True)
    for old in CORPUS.iterdir():
        old.unlink()
    for name, body in TEXTS.items():
        (CORPUS / f"{name}.py").write_text(HEAD + body)
    for name in ("lstm_exported", "constant_branches", "moving", "writing"):
        with zipfile.ZipFile(GOLDEN / f"{name}.pt") as z:
            sources = [adapted(z.read(n).decode()) for n in z.namelist() if n.endswith(".py")]
        longest = max(sources, key=len)
        (CORPUS / f"golden_{name}.py").write_text(longest)
    for name in ("mlp_frozen", "gru_cell"):
        out = io.BytesIO()
        with zipfile.ZipFile(GOLDEN / f"{name}.pt") as z, zipfile.ZipFile(out, "w") as to:
            for n in z.namelist():
                to.writestr(zipfile.ZipInfo(n), z.read(n))
        (CORPUS / f"{name}.pt").write_bytes(out.getvalue())


main()
