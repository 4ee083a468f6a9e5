"""A second implementation of docs/format.md, written from that page: reads images, checks them, runs
their self-test in numpy's binary32 and compares every bit.

    decode_image.py FILE.deft...      exit status 77: numpy is not there"""
import hashlib
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


def floats(text):
    return [F(x) for x in text.split()]


def horner(coefficients, z):
    p = coefficients[0]
    for c in coefficients[1:]:
        p = p * z + c
    return p


EXP = floats("1.9875691500e-4 1.3981999507e-3 8.3334519073e-3 4.1665795894e-2 1.6666665459e-1 "
             "5.0000001201e-1")
TANH = floats("-5.70498872745e-3 2.06390887954e-2 -5.37397155531e-2 1.33314422036e-1 "
              "-3.33332819422e-1")
LOG = floats("7.0376836292e-2 -1.1514610310e-1 1.1676998740e-1 -1.2420140846e-1 1.4249322787e-1 "
             "-1.6668057665e-1 2.0000714765e-1 -2.4999993993e-1 3.3333331174e-1")
ERF_1 = floats("7.853861353153693e-5 -8.010193625184903e-4 5.188327685732524e-3 "
               "-2.685381193529856e-2 1.128358514861418e-1 -3.761262582423300e-1 "
               "1.128379165726710")
ERF_2 = floats("2.326819970068386e-2 -1.387039388740657e-1 3.687424674597105e-1 "
               "-5.824733027278666e-1 6.210004621745983e-1 -4.944515323274145e-1 "
               "3.404879937665872e-1 -2.741127028184656e-1 5.638259427386472e-1")
ERF_4 = floats("-1.047766399936249e1 1.297719955372516e1 -7.495518717768503 2.921019019210786 "
               "-1.015265279202700 4.218463358204948e-1 -2.820767439740514e-1 "
               "5.641895067754075e-1")


def exp(x):
    if x != x:
        return x
    if x <= F(-104):
        return F(0)
    if x > F(88.722839):
        return F(np.inf)
    t = x * F(1.44269504088896341)
    k = int(t - F(0.5) if t < 0 else t + F(0.5))
    r = (x - F(k) * F(0.693359375)) - F(k) * F(-2.12194440e-4)
    y = horner(EXP, r) * (r * r) + r + F(1)
    k1 = int(k / 2)
    return y * F(2.0 ** k1) * F(2.0 ** (k - k1))


def expm1(x):
    return horner(EXP, x) * (x * x) + x if abs(x) < F(0.34657359) else exp(x) - F(1)


def tanh(x):
    if abs(x) < F(0.625):
        return horner(TANH, x * x) * (x * x) * x + x
    if x != x:
        return x
    a = abs(x)
    y = F(1) if a > F(9.2) else F(1) - F(2) / (exp(a + a) + F(1))
    return -y if x < 0 else y


def sigmoid(x):
    e = exp(-abs(x))
    d = F(1) + e
    if x >= 0 or x != x:
        return F(1) / d
    y, q = e / d, e - (d - F(1))
    return y - y * (F(1) - y) * q


def log(w):
    m, e = np.frexp(w)
    m, e = F(m), int(e)
    if m < F(0.707106781186547524):
        e, m = e - 1, m + m - F(1)
    else:
        m = m - F(1)
    z = m * m
    y = horner(LOG, m) * m * z
    y = y + F(e) * F(-2.12194440e-4)
    y = y - F(0.5) * z
    return (m + y) + F(e) * F(0.693359375)


def softplus(x):
    u = exp(-abs(x))
    w = F(1) + u
    l = u if w == 1 else log(w) * (u / (w - F(1)))
    return x + l if x > 0 else l


def erf(x):
    a = abs(x)
    if a < 1:
        return x * horner(ERF_1, x * x)
    if a > 4:
        y = F(1)
    else:
        q = F(1) / a
        y = F(1) - exp(-(a * a)) * q * horner(ERF_2 if a < 2 else ERF_4, q * q)
    return -y if x < 0 else y


def activation(kind, alpha, beta, x):
    half, one = F(0.5), F(1)
    return {
        0: lambda: x,
        1: lambda: x if x > 0 or x != x else F(0),
        2: lambda: alpha * x if x < 0 else x,
        3: lambda: alpha * expm1(x) if x < 0 else x,
        4: lambda: beta * (alpha * expm1(x)) if x < 0 else beta * x,
        5: lambda: x * sigmoid(x),
        6: lambda: half * x * (one + erf(x * F(0.707106781186547524))),
        7: lambda: half * x * (one + tanh(F(0.797884560802865356) *
                                          (x + F(0.044715) * (x * x * x)))),
        8: lambda: tanh(x),
        9: lambda: sigmoid(x),
        10: lambda: x / (one + abs(x)),
        11: lambda: softplus(x),
        12: lambda: alpha if x < alpha else beta if x > beta else x,
    }[kind]()


def each(f, x):
    return np.array([f(F(v)) for v in x], F)


def affine_map(w, b, x):
    acc = np.zeros(w.shape[0], F)
    for i in range(w.shape[1]):
        acc = acc + w[:, i] * x[i]
    return acc if b is None else acc + b


def align(x, a):
    return (x + a - 1) // a * a


class Layer:
    GATES = {1: 1, 2: 3, 3: 4}

    def __init__(self, data, at, length):
        (self.kind, self.f, number, layout, out, flags, n_segment, self.n_in, self.n_out,
         self.depth, zero, alpha, beta, eps, zero2) = struct.unpack_from("<6B5H3f", data, at) \
            + struct.unpack_from("<I", data, at + 28)
        self.alpha, self.beta, self.epsilon = F(alpha), F(beta), F(eps)
        assert zero == 0 and zero2 == 0 and out == 1 and layout <= 1
        self.before, self.newest, self.fill = flags & 8, flags & 16, flags & 32
        self.segments = segments(data, at + 32, n_segment)
        assert sum(s[3] for s in self.segments) == self.n_in
        gates, h = self.GATES.get(self.kind, 0), self.n_out
        rows = gates * h if gates else h
        self.canonical = bytearray(data[at:at + 32 + 8 * n_segment])
        self.canonical[3] = 0
        self.at, self.data = at + 32 + 8 * n_segment, data
        self.bias = self.take(rows, 16) if flags & 1 else None
        self.bias_h = self.take(rows, 16) if flags & 2 else None
        self.weight = self.weight_h = None
        if gates:
            self.weight = self.matrix(rows, self.n_in, layout)
            if gates > 1 and self.before:
                self.weight_h = np.vstack([self.matrix(2 * h, h, layout),
                                           self.matrix(h, h, layout, follow=True)])
            elif gates > 1:
                self.weight_h = self.matrix(rows, h, layout)
        elif flags & 4:
            self.weight = self.take(rows, 16)
        assert self.at == at + length, "the payload ends with its last tensor"
        assert number == (self.weight is not None or self.bias is not None)

    def take(self, n, alignment, keep=True):
        start = align(self.at, alignment)
        assert not any(self.data[self.at:start]), "padding"
        self.at = start + 4 * n
        x = np.frombuffer(self.data, "<f4", n, start)
        assert np.isfinite(x).all()
        if keep:
            self.canonical += x.tobytes()
        return x

    def matrix(self, rows, columns, layout, follow=False):
        x = self.take(rows * columns, 4 if follow else 64 if layout else 16, keep=False)
        m = np.empty((rows, columns), F)
        if layout == 0:
            m[:] = x.reshape(rows, columns)
        else:
            for first in range(0, rows, 128):
                w = min(128, rows - first)
                part = x[first * columns:(first + w) * columns].reshape(columns, w)
                m[first:first + w] = part.T
        self.canonical += m.astype("<f4").tobytes()
        return m


def segments(data, at, n):
    result = []
    for k in range(n):
        kind, zero, index, offset, length = struct.unpack_from("<BBHHH", data, at + 8 * k)
        assert zero == 0 and length > 0
        result.append((kind, index, offset, length))
    return result


class End:
    def __init__(self, payload, n):
        number, mask, count = struct.unpack_from("<BBH", payload)
        assert number == 1 and mask < 16 and count == n
        arrays, at = [None] * 4, 4
        for k in range(4):
            if mask >> k & 1:
                arrays[k] = np.frombuffer(payload, "<f4", n, at)
                at += 4 * n
        assert at == len(payload)
        self.offset, self.scale, self.lo, self.hi = arrays

    def clip(self, v):
        if self.lo is not None:
            v = np.where(v < self.lo, self.lo, v)
        return v if self.hi is None else np.where(v > self.hi, self.hi, v)

    def front(self, v):
        v = v if self.offset is None else v - self.offset
        v = v if self.scale is None else v * self.scale
        return self.clip(v)

    def back(self, v):
        v = v if self.scale is None else v * self.scale
        v = v if self.offset is None else v + self.offset
        return self.clip(v)

    def inverse(self, v):
        v = v if self.offset is None else v - self.offset
        return v if self.scale is None else v / self.scale


class Policy:
    def __init__(self, data):
        magic, version, flags, length, crc = struct.unpack_from("<4sHHII", data)
        assert magic == b"DEFT" and version == 1 and length == len(data) and length % 16 == 0
        assert zlib.crc32(data[:12] + bytes(4) + data[16:]) == crc, "CRC"
        (self.n_obs, self.n_act, self.n_output, n_layer, self.period, zero) = \
            struct.unpack_from("<HHHHII", data, 16)
        assert zero == 0
        self.discrete = flags & 1
        self.layers, self.test, directory, last = [], None, (), 0
        self.choices = [self.n_output]
        digest = hashlib.sha256(data[6:8] + data[16:24])
        at = 64
        while at < length:
            kind, record_flags, n, a, b = struct.unpack_from("<HHIII", data, at)
            assert a == 0 and b == 0 and (kind > last or kind == last == 4)
            last = kind
            start = at + 16
            payload = data[start:start + n]
            at = align(start + n, 16)
            assert not any(data[start + n:at]), "padding"
            assert record_flags == (1 if kind <= 7 else 0)
            canonical = payload
            if kind == 1:
                directory = struct.unpack("<%dI" % n_layer, payload)
            elif kind == 2:
                self.front = End(payload, self.n_obs)
            elif kind == 3:
                self.back = End(payload, self.n_act)
            elif kind == 4:
                assert directory[len(self.layers)] == start
                self.layers.append(Layer(data, start, n))
                canonical = bytes(self.layers[-1].canonical)
            elif kind == 5:
                self.out = segments(data, start, n // 8)
            elif kind == 7:
                assert self.discrete and self.n_act > 1 and n == 2 * self.n_act
                self.choices = struct.unpack("<%dH" % self.n_act, payload)
                assert min(self.choices) >= 1 and sum(self.choices) == self.n_output
            elif kind == 32:
                self.test = payload
            elif kind == 33:
                assert payload.count(0) in (1, 1 + 2 * (self.n_obs + self.n_act)) and payload[-1] == 0
            if 2 <= kind <= 7:
                digest.update(struct.pack("<H", kind) + canonical)
        assert len(self.layers) == n_layer
        assert not self.discrete or len(self.choices) == self.n_act
        assert digest.digest() == data[32:64], "policy_id"
        self.reset()

    def reset(self):
        self.h = [np.zeros(l.n_out, F) for l in self.layers]
        self.c = [np.zeros(l.n_out, F) for l in self.layers]
        self.last, self.first = np.zeros(self.n_act, F), True

    def gather(self, parts):
        source = {1: lambda i: self.obs, 2: lambda i: self.last, 3: lambda i: self.y[i],
                  4: lambda i: self.h[i]}
        return np.concatenate([source[k](i)[o:o + n] for k, i, o, n in parts])

    def recurrent(self, l, k, x):
        h, n = self.h[k], l.n_out
        X, U = affine_map(l.weight, l.bias, x), affine_map(l.weight_h, l.bias_h, h)
        if l.kind == 3:
            i, f, o = (each(sigmoid, X[s] + U[s]) for s in
                       (slice(0, n), slice(n, 2 * n), slice(3 * n, 4 * n)))
            g = each(tanh, X[2 * n:3 * n] + U[2 * n:3 * n])
            self.c_new[k] = f * self.c[k] + i * g
            return o * each(tanh, self.c_new[k])
        r, z = each(sigmoid, X[:n] + U[:n]), each(sigmoid, X[n:2 * n] + U[n:2 * n])
        if l.before:
            b = None if l.bias_h is None else l.bias_h[2 * n:]
            c = each(tanh, X[2 * n:] + affine_map(l.weight_h[2 * n:], b, r * h))
        else:
            c = each(tanh, X[2 * n:] + r * U[2 * n:])
        return c + z * (h - c)

    def layer(self, l, k, x):
        n = l.n_out
        if l.kind in (2, 3):
            return self.recurrent(l, k, x)
        if l.kind == 9:
            if self.first and l.fill:
                return np.tile(x, l.depth)
            old = self.h[k]
            return np.concatenate([x, old[:n - l.n_in]] if l.newest else [old[l.n_in:], x])
        if l.kind == 1:
            y = affine_map(l.weight, l.bias, x)
        elif l.kind in (4, 6):
            if l.kind == 4:
                total = squares = F(0)
                for v in x:
                    total = total + v
                mean = total / F(n)
                for v in x:
                    squares = squares + (v - mean) * (v - mean)
                x = (x - mean) / np.sqrt(squares / F(n) + l.epsilon)
            y = x if l.weight is None else x * l.weight
            y = y if l.bias is None else y + l.bias
        elif l.kind == 5:
            y = x
        else:
            y = x[:n] + x[n:] if l.kind == 7 else x[:n] * x[n:]
        return each(lambda v: activation(l.f, l.alpha, l.beta, v), y)

    def step(self, obs):
        self.obs, self.y, self.c_new = self.front.front(obs).astype(F), [], list(self.c)
        for k, l in enumerate(self.layers):
            self.y.append(self.layer(l, k, self.gather(l.segments)))
        y = self.gather(self.out)
        if self.discrete:
            act = np.array([np.argmax(part) for part in np.split(y, np.cumsum(self.choices)[:-1])], F)
        else:
            act = self.back.back(y)
        self.last, self.first = self.back.inverse(act), False
        self.h = [y if l.kind in (2, 3, 9) else h for y, h, l in zip(self.y, self.h, self.layers)]
        self.c = self.c_new
        return act

    def selftest(self):
        steps, zero = struct.unpack_from("<HH", self.test)
        numbers = np.frombuffer(self.test, "<f4", offset=4)
        assert zero == 0 and len(numbers) == steps * (self.n_obs + self.n_act)
        obs = numbers[:steps * self.n_obs].reshape(steps, self.n_obs)
        act = numbers[steps * self.n_obs:].reshape(steps, self.n_act)
        return sum(self.step(o).astype("<f4").tobytes() == a.tobytes()
                   for o, a in zip(obs, act)), steps


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
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        if is_integer(data):
            continue  # decode_integer.py
        policy = Policy(data)
        if policy.test is None:
            continue
        good, steps = policy.selftest()
        tested += 1
        if good != steps:
            failed += 1
            print("%s: %d of %d steps agree; kinds %s, activations %s" % (
                path, good, steps, [l.kind for l in policy.layers], [l.f for l in policy.layers]))
    print("%d images, %d self-tests, %d failed" % (len(paths), tested, failed))
    return failed != 0 or tested == 0


sys.exit(main(sys.argv[1:]))
