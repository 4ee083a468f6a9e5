"""Writes files that ask for far more than they hold, as somebody who wants to stop a server would:
images, ONNX models, checkpoints, scenes. Each is refused, or served, at little cost
(tests/cli/test_attack.sh). What is called near_* is within the bounds, but only just.

    make_attack_files.py FOLDER ROBOT.xml [INTEGER.deft]
"""
import hashlib
import io
import os
import pickle
import struct
import sys
import types
import zipfile
import zlib

# --- .deft images of floats (docs/format.md) --------------------------------------------------

WIDEST = 65535
ACTIVATION, HISTORY, ADD = 5, 9, 7
TANH = 3


def record(kind, payload):
    head = struct.pack("<HHIII", kind, 1 if kind < 32 else 0, len(payload), 0, 0)
    return head + payload + bytes(-len(payload) % 16)


def layer(kind, segments, n_out, act=0, depth=0):
    n_in = sum(s[3] for s in segments)
    head = struct.pack("<BBBBBBHHHHH", kind, act, 0, 0, 1, 0, len(segments), n_in, n_out, depth, 0)
    return head + bytes(16) + b"".join(struct.pack("<BBHHH", s[0], 0, *s[1:]) for s in segments)


def image(layers, outputs, steps=0, names=None):
    """One observation, one output. steps: of the self-test, whose actions are zeros."""
    ends = struct.pack("<BBH", 1, 0, 1)
    at = 64 + 16 + (4 * len(layers) + 15) // 16 * 16 + 2 * 32
    places = []
    for x in layers:
        places.append(at + 16)
        at += len(record(4, x))
    counts = struct.pack("<HHHH", 1, 1, 1, len(layers))
    out = struct.pack("<BBHHH", outputs[0], 0, *outputs[1:])
    critical = [(1, b"".join(struct.pack("<I", p) for p in places)), (2, ends), (3, ends)]
    critical += [(4, x) for x in layers] + [(5, out)]
    digest = hashlib.sha256(struct.pack("<H", 0) + counts)
    for kind, payload in critical[1:]:
        digest.update(struct.pack("<H", kind) + payload)
    body = b"".join(record(*r) for r in critical)
    if steps:
        body += record(32, struct.pack("<HH", steps, 0) + bytes(8 * steps))
    if names:
        body += record(34, names)
    head = b"DEFT" + struct.pack("<HHII", 1, 0, 64 + len(body), 0) + counts + bytes(8)
    return sealed(head + digest.digest() + body)


def sealed(data):
    data = data[:12] + bytes(4) + data[16:]
    return data[:12] + struct.pack("<I", zlib.crc32(data)) + data[16:]


OBS, VALUE = 1, 3


def chain(n, width, act):
    """The observation many times, then n functions of everything."""
    first = layer(ACTIVATION, [(OBS, 0, 0, 1)] * width, width, act)
    rest = [layer(ACTIVATION, [(VALUE, k, 0, width)], width, act) for k in range(n - 1)]
    return [first] + rest, (VALUE, n - 1, 0, 1)


def histories(n):
    first = layer(HISTORY, [(OBS, 0, 0, 1)], WIDEST, depth=WIDEST)
    rest = [layer(HISTORY, [(VALUE, k, WIDEST - 1, 1)], WIDEST, depth=WIDEST) for k in range(n - 1)]
    return [first] + rest, (VALUE, n - 1, WIDEST - 1, 1)


def images():
    yield "image_wide.deft", image(*chain(4096, WIDEST, TANH), steps=3)
    yield "image_history.deft", image(*histories(4000))
    yield "image_selftest.deft", image(*chain(64, 2048, TANH), steps=WIDEST)
    yield "near_wide.deft", image(*chain(3, WIDEST, TANH), steps=50)
    yield "near_history.deft", image(*histories(3), steps=8)
    yield "near_layers.deft", image(*chain(4096, 1, TANH), steps=50)
    adds = [layer(ADD, [(OBS, 0, 0, 1)] * 2, 1)]
    adds += [layer(ADD, [(VALUE, k, 0, 1), (VALUE, 0, 0, 1)], 1) for k in range(4095)]
    names = b"".join(b"%s%d\0" % (b"\x1b" * 200, k) for k in range(4096))
    yield "near_names.deft", image(adds, (VALUE, 4095, 0, 1), names=names)


# --- ONNX ------------------------------------------------------------------------------------


def onnx_models(folder):
    try:
        import onnx
        from onnx import TensorProto as T, helper as h, numpy_helper
        import numpy as np
    except ImportError:
        return

    def ints(name, *v):
        return h.make_tensor(name, T.INT64, [len(v)], v)

    def model(nodes, tensors=(), n_obs=4, n_act=4, out="act"):
        g = h.make_graph(
            nodes, "g", [h.make_tensor_value_info("obs", T.FLOAT, [1, n_obs])],
            [h.make_tensor_value_info(out, T.FLOAT, [1, n_act])], list(tensors))
        m = h.make_model(g, opset_imports=[h.make_opsetid("", 17)])
        m.ir_version = 8
        return m.SerializeToString()

    def node(op, ins, out, **attr):
        return h.make_node(op, ins.split(), out if isinstance(out, list) else [out], **attr)

    # squares of constants that take no bytes
    big = [node("ConstantOfShape", "side", "m0", value=h.make_tensor("v", T.FLOAT, [1], [1e-3]))]
    last = [node("ReduceMax", "m%d" % 40, "top", keepdims=0), node("Add", "obs top", "act")]
    squares = [node("MatMul", "m%d m%d" % (k, k), "m%d" % (k + 1)) for k in range(40)]
    yield "products.onnx", model(big + squares + last, [ints("side", 700, 700)])
    anys = [node("ConstantOfShape", "side", "m0", value=h.make_tensor("v", T.INT32, [1], [1]))]
    cast = [node("Cast", "m40", "f", to=T.FLOAT), node("ReduceMax", "f", "top", keepdims=0),
            node("Add", "obs top", "act")]
    yield "products_of_integers.onnx", model(anys + squares + cast, [ints("side", 500, 500)])
    # the same, of what is observed
    grow = [node("Slice", "obs zero one one", "x"), node("Expand", "x side", "m0")]
    yield "products_each_step.onnx", model(
        grow + squares + last, [ints("side", 500, 500), ints("zero", 0), ints("one", 1)])
    # layers that take no bytes
    fill = [node("ConstantOfShape", "side", "w", value=h.make_tensor("v", T.FLOAT, [1], [1e-3]))]
    dense = [node("MatMul", "obs w", "y0"), node("Tanh", "y0", "t0"), node("MatMul", "t0 w", "act")]
    yield "near_weights.onnx", model(fill + dense, [ints("side", 700, 700)], n_obs=700, n_act=700)
    # what the evaluator runs itself
    byte = [node("DynamicQuantizeLinear", "m1", ["q", "s", "z"]), node("DequantizeLinear", "q s z", "m40")]
    yield "integers_each_step.onnx", model(
        grow + squares[:1] + byte + last, [ints("side", 500, 500), ints("zero", 0), ints("one", 1)])
    # If nodes whose conditions multiply
    nodes = [node("ConstantOfShape", "side", "m", value=h.make_tensor("v", T.FLOAT, [1], [1e-3]))]
    x = "obs"
    for k in range(64):
        branch = [h.make_graph([node("Identity", x, "b%d%s" % (k, w))], w, [],
                               [h.make_tensor_value_info("b%d%s" % (k, w), T.FLOAT, [1, 4])])
                  for w in ("yes", "no")]
        nodes += [node("MatMul", "m m", "p%d" % k), node("ReduceMax", "p%d" % k, "t%d" % k, keepdims=0),
                  node("Greater", "t%d two" % k, "c%d" % k),
                  node("If", "c%d" % k, "x%d" % k, then_branch=branch[0], else_branch=branch[1])]
        x = "x%d" % k
    nodes.append(node("Identity", x, "act"))
    yield "ifs.onnx", model(nodes, [ints("side", 480, 480), h.make_tensor("two", T.FLOAT, [], [2])])
    # constants that take no bytes
    for name, make in {
        "fill": [node("ConstantOfShape", "huge", "m40")],
        "range": [node("Range", "from to by", "i"), node("Cast", "i", "m40", to=T.FLOAT)],
        "tile": [node("ConstantOfShape", "thousand", "t"), node("Tile", "t times", "m40")],
        "expand": [node("Expand", "half million", "e%d" % k) for k in range(300)]
        + [node("Sum", " ".join("e%d" % k for k in range(300)), "m40")],
        "concat": [node("ConstantOfShape", "million", "t"), node("Concat", " ".join(["t"] * 200), "m40", axis=0)],
        "pieces": [node("ConstantOfShape", "million", "t0")]
        + [node("Tanh", "t%d" % k, "t%d" % (k + 1)) for k in range(300)]
        + [node("Identity", "t300", "m40")],
    }.items():
        consts = [ints("huge", 60000000), ints("thousand", 1000), ints("times", 60000), ints("million", 1000000),
                  h.make_tensor("half", T.FLOAT, [1], [0.5])]
        consts += [h.make_tensor(n, T.INT64, [], [v]) for n, v in (("from", 0), ("to", 10**8), ("by", 1))]
        yield "constants_%s.onnx" % name, model(make + last, consts)
    # a recurrent layer over a sequence that takes no bytes
    one = [node("Unsqueeze", "obs axis", "u"), node("Expand", "u long", "s"),
           node("GRU", "s w r", ["all", "h"], hidden_size=4), node("Squeeze", "h axis", "act")]
    w = numpy_helper.from_array(np.full((1, 12, 4), 0.1, np.float32), "w")
    r = numpy_helper.from_array(np.full((1, 12, 4), 0.1, np.float32), "r")
    yield "sequence.onnx", model(one, [w, r, ints("axis", 0), ints("long", 250000, 1, 4)])
    # many nodes
    nodes = [node("Tanh", "v%d" % k if k else "obs", "v%d" % (k + 1)) for k in range(20000)]
    yield "many_nodes.onnx", model(nodes, out="v20000")
    # functions of functions, of many elements
    nodes = []
    for k in range(400):
        a = "v%d" % k if k else "obs"
        nodes += [node("Exp", a, "e%d" % k), node("Mul", "e%d %s" % (k, a), "f%d" % k),
                  node("Tanh", "f%d" % k, "v%d" % (k + 1))]
    nodes.append(node("Slice", "v400 zero four one", "act"))
    yield "functions.onnx", model(nodes, [ints("zero", 0), ints("four", 4), ints("one", 1)], n_obs=2000)
    # tensors that all name the same bytes of another file
    with open(os.path.join(folder, "shared.bin"), "wb") as f:
        f.write(bytes(4 << 20))
    nodes, tensors = [], []
    for k in range(200):
        t = T(name="w%d" % k, data_type=T.FLOAT, dims=[1024, 1024])
        t.data_location = T.EXTERNAL
        for key, v in (("location", "shared.bin"), ("offset", "0"), ("length", str(4 << 20))):
            e = t.external_data.add()
            e.key, e.value = key, v
        tensors.append(t)
        nodes.append(node("MatMul", "obs w%d" % k if k == 0 else "y%d w%d" % (k - 1, k), "y%d" % k))
    yield "shared_data.onnx", model(nodes, tensors, n_obs=1024, n_act=1024, out="y199")
    # the other file is none
    for name, what in (("fifo", os.mkfifo), ("folder", os.mkdir)):
        t = T(name="w", data_type=T.FLOAT, dims=[4, 4])
        t.data_location = T.EXTERNAL
        e = t.external_data.add()
        e.key, e.value = "location", "a_%s.bin" % name
        what(os.path.join(folder, "a_%s.bin" % name))
        yield "data_%s.onnx" % name, model([node("MatMul", "obs w", "act")], [t])


# --- checkpoints -----------------------------------------------------------------------------


class Storage:
    def __init__(self, key, n):
        self.key, self.n = key, n


def checkpoints():
    torch = types.ModuleType("torch")
    utils = types.ModuleType("torch._utils")

    class FloatStorage:
        pass

    def _rebuild_tensor_v2(*_):
        pass

    for x, module in ((FloatStorage, "torch"), (_rebuild_tensor_v2, "torch._utils")):
        x.__module__, x.__qualname__ = module, x.__name__
    torch.FloatStorage, torch._utils, utils._rebuild_tensor_v2 = FloatStorage, utils, _rebuild_tensor_v2
    hidden = {k: sys.modules.pop(k) for k in list(sys.modules) if k.split(".")[0] == "torch"}
    sys.modules.update({"torch": torch, "torch._utils": utils})

    class Tensor:
        def __init__(self, storage, size, stride):
            self.of = (storage, 0, size, stride, False, {})

        def __reduce__(self):
            return _rebuild_tensor_v2, self.of

    class Pickler(pickle.Pickler):
        def persistent_id(self, x):
            return ("storage", FloatStorage, x.key, "cpu", x.n) if isinstance(x, Storage) else None

    def archive(tensors, storages, method=zipfile.ZIP_DEFLATED):
        b = io.BytesIO()
        Pickler(b, 2).dump(tensors)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as z:
            z.writestr("a/data.pkl", b.getvalue())
            for key, data in storages.items():
                z.writestr("a/data/%s" % key, data)
        return out.getvalue()

    n = 50 << 20
    s = Storage("0", n)
    zeros = {"0": bytes(4 * n)}
    packed = archive({"actor.mu.0.weight": Tensor(s, (n // 1024, 1024), (1024, 1))}, zeros)
    yield "packed_zeros.pt", packed
    n = 1 << 20
    s = Storage("0", n)
    views = {"actor.%d.weight" % k: Tensor(s, (1024, 1024), (1024, 1)) for k in range(400)}
    yield "views.pt", archive(views, {"0": bytes(4 * n)})
    yield "stored_views.pt", archive(
        {"actor.%d.weight" % k: Tensor(Storage("0", 1 << 16), (1024, 1024), (64, 0)) for k in range(400)},
        {"0": bytes(4 << 16)}, zipfile.ZIP_STORED)
    many = {"actor.%d.weight" % k: Tensor(Storage("0", 4), (2, 2), (2, 1)) for k in range(16000)}
    yield "many_tensors.pt", archive(many, {"0": bytes(16)})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for k in range(20000):
            z.writestr("a/%d" % k, b"")
    yield "many_entries.pt", out.getvalue()
    laugh = ["x"]
    for _ in range(60):
        laugh = [laugh, laugh]
    yield "laughs.pt", archive(laugh, {})
    near = {"actor.%d.weight" % k: Tensor(Storage("0", n), (1000, 1000), (1000, 1)) for k in range(1)}
    yield "near_packed.pt", archive(near, {"0": bytes(4 * n)})
    del sys.modules["torch"], sys.modules["torch._utils"]
    sys.modules.update(hidden)
    header = "{" + ",".join('"a%d.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[%d,%d]}' % (k, 4 * k, 4 * k + 4)
                            for k in range(16000)) + "}"
    yield "many.safetensors", struct.pack("<Q", len(header)) + header.encode() + bytes(64000)
    header = '{"a":' + "[" * 200000 + "}"
    yield "deep.safetensors", struct.pack("<Q", len(header)) + header.encode()


# --- scenes ----------------------------------------------------------------------------------


def png(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    z = zlib.compressobj(9)
    row = bytes(1 + width)
    data = b"".join(z.compress(row) for _ in range(height)) + z.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def scenes(folder, robot):
    def put(name, data):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)

    os.makedirs(os.path.join(folder, "meshes/inner.obj"))
    os.mkfifo(os.path.join(folder, "meshes/pipe.obj"))
    os.mkfifo(os.path.join(folder, "pipe.xml"))
    os.mkfifo(os.path.join(folder, "with\nline.xml"))
    put("with line.xml", b"<mujoco/>")
    put("bomb.png", png(20000, 20000))
    put("overflow.bin", struct.pack("<ii", 65536, 65536) + bytes(64))
    put("loop.xml", b'<mujoco><include file="loop.xml"/></mujoco>')
    put("twice.xml", b'<mujoco>' + b'<include file="scene_twice.xml"/>' * 2 + b"</mujoco>")
    for k in range(70):
        put("deep%d.xml" % k, b'<mujoco><include file="deep%d.xml"/></mujoco>' % (k + 1))
    put("robot.xml", open(robot, "rb").read())
    geom = '<geom type="plane" size="5 5 1"/>'
    whole = '<include file="robot.xml"/><worldbody>%s</worldbody>' % geom
    parts = {
        "include_fifo": '<include file="pipe.xml"/>',
        "include_upper": '<INCLUDE FILE="pipe.xml"/>',
        "include_device": '<include file="/dev/zero"/>',
        "include_folder": '<include file="meshes"/>',
        "include_missing": '<include file="nowhere.xml"/>',
        "include_line_end": '<include file="with&#10;line.xml"/>',
        "include_raw_line_end": '<include file="with\nline.xml"/>',
        "include_loop": '<include file="loop.xml"/>',
        "include_deep": '<include file="deep0.xml"/>',
        "twice": '<include file="twice.xml"/>',
        "mesh_fifo": '<compiler meshdir="meshes"/><asset><mesh name="m" file="pipe.obj"/></asset>',
        "mesh_later": '<asset><mesh name="m" file="x/pipe.obj"/></asset><compiler meshdir="meshes" strippath="true"/>',
        "mesh_folder": '<compiler assetdir="meshes"/><asset><mesh name="m" file="inner.obj"/></asset>',
        "skin_fifo": '<asset><skin file="meshes/pipe.obj"/></asset>',
        "texture_fifo": '<asset><texture type="cube" fileup="meshes/pipe.obj"/></asset>',
        "hfield": '<asset><hfield name="h" nrow="30000" ncol="30000" size="1 1 1 1"/></asset>',
        "hfield_many": "<asset>" + "".join('<hfield name="h%d" nrow="1000" ncol="1000" size="1 1 1 1"/>' % k
                                           for k in range(200)) + "</asset>",
        "hfield_float": '<asset><hfield name="h" nrow="3e4" ncol="3e4" size="1 1 1 1"/></asset>',
        "hfield_png": '<asset><hfield name="h" file="bomb.png" size="1 1 1 1"/></asset>',
        "hfield_overflow": '<asset><hfield name="h" file="overflow.bin" size="1 1 1 1"/></asset>',
        "texture": '<asset><texture name="t" builtin="flat" width="20000" height="20000"/></asset>',
        "texture_cube": '<asset><texture name="t" type="cube" builtin="flat" width="9000"/></asset>',
        "texture_png": '<asset><texture name="t" type="2d" file="bomb.png"/></asset>',
        "size_userdata": '<size nuserdata="2000000000"/>',
        "size_stack": '<size nstack="2000000000"/>',
        "size_contacts": '<size nconmax="1000000" njmax="1000000"/>',
        "size_memory": '<size memory="100G"/>',
        "size_keys": '<size nkey="100000000"/>',
        "size_user": '<size nuser_geom="100000000"/>',
        "numeric": '<custom><numeric name="n" size="2000000000" data="1"/></custom>',
        "sensor": '<sensor><user dim="2000000000"/></sensor>',
        "composite": '<worldbody><body><composite type="grid" count="3000 3000 1" spacing="1"><geom size="1"/></composite></body></worldbody>',
        "replicate": '<worldbody><replicate count="100"><replicate count="100"><replicate count="100"><body/></replicate></replicate></replicate></worldbody>',
        "geoms": "<worldbody>" + '<geom size="1"/>' * 200000 + "</worldbody>",
        "joints": "<worldbody>" + '<body><geom size="1"/><freejoint/></body>' * 3000 + "</worldbody>",
        "bodies_deep": "<worldbody>" + '<body><geom size="1"/>' * 5000 + "</body>" * 5000 + "</worldbody>",
        "iterations": '<option iterations="2000000000" tolerance="0"/>',
        "long_name": '<include file="%s"/>' % ("a/" * 3000),
        "near_size": '<size njmax="4000" nconmax="4000" nstack="8388608" nuserdata="65536"/>' + whole,
        "near_hfield": '<asset><hfield name="h" nrow="1448" ncol="1448" size="9 9 1 1"/><texture name="t" builtin="flat" width="2048" height="2048"/></asset>' + whole,
        "near_geoms": whole + "<worldbody>" + '<geom size="0.01" pos="9 9 9" contype="0" conaffinity="0"/>' * 9000 + "</worldbody>",
    }
    for name, text in parts.items():
        yield "scene_%s.xml" % name, ("<mujoco>%s</mujoco>" % text).encode()
    yield "scene_entities.xml", (
        '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">' + "".join(
            '<!ENTITY %s "%s">' % (chr(98 + k), "&%s;" % chr(97 + k) * 10) for k in range(20))
        + ']><mujoco model="&u;"/>').encode()
    yield "scene_other.xml", b'<robot name="r"><link name="l"/></robot>'
    yield "scene_bytes.xml", bytes(range(256)) * 1000


def main():
    folder, robot = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    for source in (images(), onnx_models(folder), checkpoints(), scenes(folder, robot)):
        for name, data in source:
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
    if len(sys.argv) > 3:  # an integer image that asks for all the memory there is
        data = open(sys.argv[3], "rb").read()
        with open(os.path.join(folder, "integer_memory.deft"), "wb") as f:
            f.write(sealed(data[:28] + struct.pack("<I", 0x40000000) + data[32:]))


if __name__ == "__main__":
    main()
