"""A second implementation of the integer part of docs/format.md: checks images, runs their self-test
in Python's integers and numpy's binary32, and compares every bit.

    decode_integer.py FILE.deft...      exit status 77: numpy is not there; float images are skipped
    decode_integer.py --run FILE.deft OBS.csv ACT.csv   each row of observations, the actions expected"""
import hashlib
import math
import struct
import sys
import zlib

try:
    import numpy as np
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

F = np.float32
np.seterr(all="ignore")
U8, S16, S8, S4 = 2, 3, 4, 5


def align(x, a):
    return (x + a - 1) // a * a


def clamp(v, lo, hi):
    return lo if v < lo else hi if v > hi else v


def clamp16(v):
    return clamp(v, -32768, 32767)


def half(b):
    return 1 << (b - 1) if b else 0


def requant(acc, m, s):
    assert abs(acc << s) < 1 << 30
    return ((acc << s) * m + (1 << 30)) >> 31


def mul(a, b):
    return (a * b + (1 << 14)) >> 15


def rounded(v, b):
    return v if b == 0 else clamp16(((v + half(b)) >> b) << b)


def signed(v, bits):
    return v - (1 << bits) if v >> (bits - 1) else v


class Table:
    def __init__(self, payload, k):
        self.log2, self.odd, _, zero, at = struct.unpack_from("<4BI", payload, 4 + 24 * k)
        assert 4 <= self.log2 <= 10 and self.odd < 2 and zero == 0
        self.e = struct.unpack_from("<%dh" % ((1 << self.log2) + 1), payload, at)
        self.end = at + 2 * len(self.e)

    def __call__(self, x):
        a, b = (min(abs(x), 32767), 15 - self.log2) if self.odd else (x + 32768, 16 - self.log2)
        i = a >> b
        f, e = a - (i << b), self.e
        y = e[i] + (((e[i + 1] - e[i]) * f + half(b)) >> b)
        return -y if self.odd and x < 0 else y

    def sigmoid(self, s):
        return (self(clamp16(s)) + 32768) >> 1


def read_matrix(data, at, form, layout, rows, columns):
    """The rows, and the offset behind them."""
    count = rows * columns
    if form == S16:
        flat = struct.unpack_from("<%dh" % count, data, at)
        return [list(flat[r * columns:(r + 1) * columns]) for r in range(rows)], at + 2 * count
    if layout == 0:
        result, step = [], columns if form == S8 else (columns + 1) // 2
        for r in range(rows):
            row = data[at + r * step:at + (r + 1) * step]
            if form == S8:
                result.append([signed(b, 8) for b in row])
            else:
                n = [v - 8 for b in row for v in (b & 15, b >> 4)]
                assert columns % 2 == 0 or n[-1] == -8
                result.append(n[:columns])
        return result, at + rows * step
    result = [[0] * columns for _ in range(rows)]
    for f in range(0, rows, 128):
        w = min(128, rows - f)
        n = w * columns
        if form == S8:
            stream = [signed(b, 8) for b in data[at:at + n]]
            at += n
        else:
            stream = []
            for block in range(0, n, 128):
                m = min(128, n - block)
                k = (m + 1) // 2
                part = data[at:at + k]
                numbers = [b & 15 for b in part] + [b >> 4 for b in part]
                assert m % 2 == 0 or numbers[-1] == 0
                stream += [v - 8 for v in numbers[:m]]
                at += k
        t = columns % 4
        for r in range(w):
            for c in range(columns):
                whole = columns - t
                number = ((c - c % 4) * w + r * 4 + c % 4 if c < whole else
                          whole * w + r * t + c - whole)
                result[f + r][c] = stream[number]
    return result, at


class Layer:
    def __init__(self, data, at, length):
        p = data[at:]
        (self.kind, zero, self.wf, layout, self.out, flags) = p[:6]
        n_segment, self.n_in, self.n_out, self.depth = struct.unpack_from("<4H", p, 6)
        self.fmt, self.uf = p[14:16]
        self.shift, self.preshift = p[16:18], p[18:20]
        self.table, self.gate_round, self.state_round, self.cell_shift = p[20:24]
        self.zero, self.lo, self.hi, self.place = struct.unpack_from("<3hH", p, 24)
        assert zero == 0
        self.before, self.newest, self.fill = flags & 8, flags & 16, flags & 32
        self.segments = segments(data, at + 32, n_segment)
        gates, h = {1: 1, 2: 3, 3: 4}.get(self.kind, 0), self.n_out
        rows = gates * h if gates else h
        self.data, self.at = data, at + 32 + 8 * n_segment
        head = bytearray(data[at:self.at])
        head[3], head[5], head[30], head[31] = 0, flags & ~64, 0, 0
        self.canonical = head
        self.bias = self.take_i32(rows) if flags & 1 else [0] * rows
        self.bias_h = self.take_i32(rows) if flags & 2 else [0] * rows
        self.m = self.take_i32(rows) if self.kind != 9 else None
        self.m_h = self.take_i32(rows) if gates > 1 else None
        self.w = self.u = None
        if flags & 4:
            self.skip(64 if layout else 16)
            self.w = self.matrix(self.wf, layout, rows if gates else 1, self.n_in)
        if gates > 1:
            self.skip(64 if layout else 16)
            parts = (2 * h, h) if self.before else (rows,)
            self.u = sum((self.matrix(self.uf, layout, r, h) for r in parts), [])
        assert self.at == at + length, "the payload ends with its last tensor"

    def skip(self, alignment):
        start = align(self.at, alignment)
        assert not any(self.data[self.at:start]), "padding"
        self.at = start

    def take_i32(self, n):
        self.skip(16)
        self.canonical += self.data[self.at:self.at + 4 * n]
        x = struct.unpack_from("<%di" % n, self.data, self.at)
        self.at += 4 * n
        return x

    def matrix(self, form, layout, rows, columns):
        m, self.at = read_matrix(self.data, self.at, form, layout, rows, columns)
        for row in m:
            self.canonical += struct.pack("<%dh" % columns, *row)
        return m


def segments(data, at, n):
    return [struct.unpack_from("<B xHHH", data, at + 8 * k) for k in range(n)]


def fixed(v, lo, hi):
    return hi if v > F(hi) else int(np.rint(v)) if v >= F(lo) else lo


class Policy:
    def __init__(self, data):
        length, crc = struct.unpack_from("<II", data, 8)
        assert data[:4] == b"DEFT" and length == len(data)
        assert zlib.crc32(data[:12] + bytes(4) + data[16:]) == crc, "CRC"
        self.n_obs, self.n_act, self.n_output, n_layer = struct.unpack_from("<4H", data, 16)
        self.discrete = data[6] & 1
        self.layers, self.tables, self.test, at = [], [], None, 64
        digest = hashlib.sha256(data[6:8] + data[16:24])
        while at < length:
            kind, _, n = struct.unpack_from("<HHI", data, at)
            start, at = at + 16, align(at + 16 + n, 16)
            payload = canonical = data[start:start + n]
            if kind == 2:
                self.front(payload)
            elif kind == 3:
                self.back(payload)
            elif kind == 4:
                self.layers.append(Layer(data, start, n))
                canonical = bytes(self.layers[-1].canonical)
            elif kind == 5:
                self.out = segments(data, start, n // 8)
            elif kind == 6:
                self.tables = [Table(payload, k) for k in range(struct.unpack_from("<H", payload)[0])]
                assert self.tables[-1].end == n
            elif kind == 32:
                self.test = payload
            if 2 <= kind <= 6:
                digest.update(struct.pack("<H", kind) + canonical)
        assert len(self.layers) == n_layer and digest.digest() == data[32:64], "policy_id"
        self.reset()

    def front(self, p):
        n, at = self.n_obs, 4
        arrays = []
        for bit, count, kind in ((0, n, "<f4"), (1, n, "<f4"), (2, self.n_act, "<f4"),
                                 (3, n, "<i2"), (4, n, "<i2")):
            x = np.frombuffer(p, kind, count, at) if p[1] >> bit & 1 else None
            at += 0 if x is None else x.nbytes
            arrays.append(x)
        assert at == len(p)
        self.obs_offset, self.obs_scale, self.prev_scale, lo, hi = arrays
        self.obs_lo = [-32768] * n if lo is None else [int(v) for v in lo]
        self.obs_hi = [32767] * n if hi is None else [int(v) for v in hi]

    def back(self, p):
        self.out_zero, = struct.unpack_from("<i", p, 4)
        self.out_scale = np.frombuffer(p, "<f4", self.n_output, 8)
        at, arrays = 8 + 4 * self.n_output, []
        for bit in range(4):
            there = p[1] >> bit & 1
            arrays.append(np.frombuffer(p, "<f4", self.n_act, at) if there else None)
            at += 4 * self.n_act * there
        assert at == len(p)
        self.act_offset, self.act_scale, self.act_lo, self.act_hi = arrays

    def reset(self):
        self.h = [[l.zero if l.kind == 9 else 0] * l.n_out for l in self.layers]
        self.c = [[0] * l.n_out for l in self.layers]
        self.prev, self.first = [0] * self.n_act, True

    def gather(self, parts):
        source = {1: lambda i: self.obs, 2: lambda i: self.prev, 3: lambda i: self.y[i],
                  4: lambda i: self.h[i]}
        return [v for k, i, o, n in parts for v in source[k](i)[o:o + n]]

    def scaled(self, l, which, acc, m):
        p = l.preshift[which]
        return requant((acc + half(p)) >> p, m, l.shift[which])

    def output(self, l, v):
        if l.table == 255:
            return clamp(v + l.zero, l.lo, l.hi)
        t = self.tables[l.table](clamp16(v))
        return clamp(t if l.out == S16 else (t + 32768 + 128) >> 8, l.lo, l.hi)

    def gate(self, l, which, rows, x):
        w, b, m = (l.u, l.bias_h, l.m_h) if which else (l.w, l.bias, l.m)
        return [rounded(clamp16(self.scaled(l, which, b[o] + sum(map(int.__mul__, w[o], x)), m[o])),
                        l.gate_round) for o in rows]

    def gru(self, l, x, h):
        n, t = l.n_out, self.tables[l.table]
        X = self.gate(l, 0, range(3 * n), x)
        U = self.gate(l, 1, range(2 * n), h)
        r = [t.sigmoid(a + b) for a, b in zip(X[:n], U[:n])]
        z = [t.sigmoid(a + b) for a, b in zip(X[n:2 * n], U[n:])]
        if l.before:
            un = self.gate(l, 1, range(2 * n, 3 * n), [mul(a, b) for a, b in zip(r, h)])
        else:
            un = [mul(a, b) for a, b in zip(r, self.gate(l, 1, range(2 * n, 3 * n), h))]
        new = [t(clamp16(a + b)) for a, b in zip(X[2 * n:], un)]
        return [rounded(clamp16(c + mul(s, v - c)), l.state_round) for c, s, v in zip(new, z, h)]

    def lstm(self, l, x, h, c):
        n, t, e, out = l.n_out, self.tables[l.table], l.cell_shift, []
        S = [a + b for a, b in zip(self.gate(l, 0, range(4 * n), x), self.gate(l, 1, range(4 * n), h))]
        for k in range(n):
            i, f, o = t.sigmoid(S[k]), t.sigmoid(S[n + k]), t.sigmoid(S[3 * n + k])
            g = t(clamp16(S[2 * n + k]))
            c[k] = clamp16(mul(f, c[k]) + ((i * g + (1 << (14 + e))) >> (15 + e)))
            u = clamp16(c[k] << (e - 3)) if e >= 3 else (c[k] + (1 << (2 - e))) >> (3 - e)
            out.append(rounded(mul(o, t(u)), l.state_round))
        return out

    def normalised(self, l, x):
        n = len(x)
        mu = (16 * sum(x) + n // 2) // n
        d = [16 * v - mu for v in x]
        var = sum(v * v for v in d) // n + (l.depth << l.cell_shift)
        sd = max(1, math.isqrt(var << 16))
        t = [min(((abs(v) << 23) + sd // 2) // sd, (1 << 23) - 1) for v in d]
        return [-a if v < 0 else a for a, v in zip(t, d)]

    def pointwise(self, l, x):
        n = l.n_out
        w = l.w[0] if l.w else [0 if l.kind == 8 else 1] * l.n_in
        if l.kind == 4:
            x = self.normalised(l, x)
        acc = [l.bias[i] + sum(w[j] * x[j] for j in range(i, l.n_in, n)) for i in range(n)]
        if l.kind == 8:
            acc = [a + x[i] * x[n + i] for i, a in enumerate(acc)]
        return [self.output(l, self.scaled(l, 0, a, m)) for a, m in zip(acc, l.m)]

    def layer(self, l, k, x):
        assert len(x) == l.n_in
        if l.kind == 1:
            return [self.output(l, self.scaled(l, 0, l.bias[o] + sum(map(int.__mul__, w, x)), l.m[o]))
                    for o, w in enumerate(l.w)]
        if l.kind == 2:
            return self.gru(l, x, self.h[k])
        if l.kind == 3:
            return self.lstm(l, x, self.h[k], self.c[k])
        if l.kind == 9:
            old = self.h[k]
            if self.first and l.fill:
                return x * l.depth
            return x + old[:l.n_out - l.n_in] if l.newest else old[l.n_in:] + x
        return self.pointwise(l, x)

    def actions(self, q):
        y = [F(v - self.out_zero) * s for v, s in zip(q, self.out_scale)]
        if self.discrete:
            return np.array([int(np.argmax(y))], F)
        v = np.array(y, F)
        v = v if self.act_scale is None else v * self.act_scale
        v = v if self.act_offset is None else v + self.act_offset
        v = v if self.act_lo is None else np.where(v < self.act_lo, self.act_lo, v)
        return v if self.act_hi is None else np.where(v > self.act_hi, self.act_hi, v)

    def step(self, obs):
        v = obs if self.obs_offset is None else obs - self.obs_offset
        v = v if self.obs_scale is None else v * self.obs_scale
        self.obs, self.y = [fixed(*t) for t in zip(v, self.obs_lo, self.obs_hi)], []
        for k, l in enumerate(self.layers):
            self.y.append(self.layer(l, k, self.gather(l.segments)))
        act = self.actions(self.gather(self.out))
        if self.prev_scale is not None:
            v = act if self.act_offset is None else act - self.act_offset
            v = (v if self.act_scale is None else v / self.act_scale) * self.prev_scale
            self.prev = [fixed(t, -32768, 32767) for t in v]
        self.first, self.h = False, [list(y) for y in self.y]
        return act

    def selftest(self):
        steps, _ = struct.unpack_from("<HH", self.test)
        numbers = np.frombuffer(self.test, "<f4", offset=4)
        obs = numbers[:steps * self.n_obs].reshape(steps, self.n_obs)
        act = numbers[steps * self.n_obs:].reshape(steps, self.n_act)
        return sum(self.step(o).astype("<f4").tobytes() == a.tobytes() for o, a in zip(obs, act)), steps


def is_integer(data):
    at = 64
    while at < len(data):
        kind, _, n = struct.unpack_from("<HHI", data, at)
        if kind == 2:
            return data[at + 16] == 3
        at = align(at + 16 + n, 16)
    return False


def main(paths):
    failed = tested = 0
    kinds = set()
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        if not is_integer(data):
            continue
        policy = Policy(data)
        if policy.test is None:
            continue
        good, steps = policy.selftest()
        tested += 1
        kinds |= {(l.kind, l.wf, l.uf, l.fmt, l.out) for l in policy.layers}
        if good != steps:
            failed += 1
            print("%s: %d of %d steps agree; kinds %s" % (path, good, steps,
                                                         [l.kind for l in policy.layers]))
    print("%d integer images, %d failed; %d combinations of kind and formats" % (tested, failed,
                                                                                 len(kinds)))
    return failed != 0 or tested == 0


def read_rows(path):
    with open(path, encoding="utf-8") as f:
        f.readline()
        return [np.array([F(x) for x in line.split(",")]) for line in f]


def run(path, obs_path, act_path):
    with open(path, "rb") as f:
        policy = Policy(f.read())
    obs, act = read_rows(obs_path), read_rows(act_path)
    for t, (o, a) in enumerate(zip(obs, act)):
        got = policy.step(o).astype("<f4")
        if got.tobytes() != a[:policy.n_act].astype("<f4").tobytes():
            print("%s: step %d: %s, not %s" % (path, t, got, a))
            return 1
    print("%s: every bit of %d steps agrees" % (path, len(act)))
    return len(act) != len(obs) or not act


if len(sys.argv) == 5 and sys.argv[1] == "--run":
    sys.exit(run(*sys.argv[2:]))
sys.exit(main(sys.argv[1:]))
