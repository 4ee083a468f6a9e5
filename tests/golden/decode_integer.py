#!/usr/bin/python3
"""A second decoder of integer policies, written from docs/format.md alone by somebody who had not seen
the C: it shares nothing with the runtime but the page.

    decode_integer.py FILE.deft...                      embedded self-tests; float images are skipped
    decode_integer.py --run FILE.deft OBS.csv ACT.csv   each row of observations, the actions expected,
                                                        and the self-test

Exit 0: every bit agrees; 1: some differ; 2: an input is refused; 77: numpy is not there.
What a reader must refuse beyond what execution relies on is in check_integer.py.
"""
import csv
import hashlib
import math
import os
import struct
import sys
import zlib

try:
    import numpy as np
except ImportError:
    print('no numpy: skipped')
    sys.exit(77)

U8, S16, S8, S4 = 2, 3, 4, 5                                   # "Number formats"
RANGE = {U8: (0, 255), S16: (-32768, 32767)}
DENSE, GRU, LSTM, NORM, ACTIVATION, AFFINE, ADD, MULTIPLY, HISTORY = range(1, 10)
BIAS, BIAS_H, WEIGHT, RESET_BEFORE, NEWEST_FIRST, FILL_FIRST, DOUBLE = 1, 2, 4, 8, 16, 32, 64
FLAGS_KNOWN = {DENSE: BIAS | WEIGHT, GRU: BIAS | BIAS_H | WEIGHT | RESET_BEFORE | DOUBLE,
               LSTM: BIAS | BIAS_H | WEIGHT | DOUBLE, NORM: BIAS | WEIGHT, ACTIVATION: BIAS,
               AFFINE: BIAS | WEIGHT, ADD: BIAS | WEIGHT, MULTIPLY: BIAS | WEIGHT,
               HISTORY: NEWEST_FIRST | FILL_FIRST}
GATES = {DENSE: 1, GRU: 3, LSTM: 4}                            # rows of W per output
FROM_OBS, FROM_PREV, FROM_LAYER, FROM_STATE = 1, 2, 3, 4       # "Segments"

F32 = np.float32

class Refused(Exception):
    """The image or a CSV file is not as format.md says."""

class FloatPolicy(Refused):
    """Of the other family."""

def need(condition, message):
    if not condition:
        raise Refused(message)

def align(x, a):
    return -(-x // a) * a

class Image:
    """The bytes of a file, and which of them a field has covered (padding must be zero)."""
    def __init__(self, data):
        self.data = data
        self.covered = np.zeros(len(data), bool)

class Cursor:
    """Takes fields and arrays in turn from the part [begin, end) of an image."""
    def __init__(self, image, begin, end):
        self.image, self.at, self.end = image, begin, end
        need(end <= len(image.data), 'record beyond the end of the file')

    def bytes(self, count, alignment=1):
        begin = align(self.at, alignment)
        need(begin + count <= self.end, 'payload too short')
        self.image.covered[begin:begin + count] = True
        self.at = begin + count
        return self.image.data[begin:begin + count]

    def fields(self, code):
        return struct.unpack('<' + code, self.bytes(struct.calcsize('<' + code)))

    def array(self, dtype, count, alignment=1):
        dtype = np.dtype(dtype).newbyteorder('<')
        values = np.frombuffer(self.bytes(dtype.itemsize * count, alignment), dtype)
        return values.astype(np.float32 if dtype.kind == 'f' else np.int64)

    def finish(self, what):
        need(self.at == self.end, what + ': payload longer than its contents')

# ---------------------------------------------------------------- matrices ("Layouts")

def low_high(packed):
    return (packed & 15) - 8, (packed >> 4) - 8

def read_matrix(cursor, rows, columns, fmt, layout):
    """One matrix [rows][columns] from where the cursor stands, as int64."""
    if layout == 0 and fmt != S4:
        return cursor.array({S8: 'i1', S16: 'i2'}[fmt], rows * columns).reshape(rows, columns)
    if layout == 0:
        width = (columns + 1) // 2
        low, high = low_high(cursor.array('u1', rows * width).reshape(rows, width))
        both = np.stack([low, high], axis=2).reshape(rows, 2 * width)
        need((both[:, columns:] == -8).all(), 'the half byte behind an odd row is not 0')
        return both[:, :columns]
    matrix = np.empty((rows, columns), np.int64)
    for first in range(0, rows, 128):
        w = min(128, rows - first)
        numbers = panel_numbers(cursor, w * columns, fmt)
        whole = columns - columns % 4
        groups = numbers[:whole * w].reshape(whole // 4, w, 4)  # [group of 4 columns][row][column]
        matrix[first:first + w, :whole] = groups.transpose(1, 0, 2).reshape(w, whole)
        matrix[first:first + w, whole:] = numbers[whole * w:].reshape(w, columns - whole)
    return matrix

def panel_numbers(cursor, count, fmt):
    """The numbers of one panel in their stored order."""
    if fmt == S8:
        return cursor.array('i1', count)
    parts = []
    for begin in range(0, count, 128):                         # blocks of 128 numbers in 64 bytes
        n = min(128, count - begin)
        low, high = low_high(cursor.array('u1', (n + 1) // 2))
        need(n % 2 == 0 or high[-1] == -8, 'the last high half of a block is not 0')
        parts += [low, high[:n // 2]]
    return np.concatenate(parts)

# ---------------------------------------------------------------- integer arithmetic

def clamp16(v):
    return np.minimum(np.maximum(v, -32768), 32767)

def requant(acc, multiplier, shift):
    return ((acc << shift) * multiplier + (1 << 30)) >> 31

def preshifted(acc, p):
    return (acc + (1 << (p - 1))) >> p if p else acc

def round_to(v, b):
    return clamp16(((v + (1 << (b - 1))) >> b) << b) if b else v

def mul(a, b):
    return (a * b + (1 << 14)) >> 15

class Table:
    """Record 6, one table."""
    def __init__(self, k, odd, entries):
        self.odd, self.entries, self.bits = odd, entries, (15 if odd else 16) - k

    def __call__(self, x):
        e, b = self.entries, self.bits
        a = np.minimum(np.abs(x), 32767) if self.odd else x + 32768
        i = a >> b
        value = e[i] + (((e[i + 1] - e[i]) * (a - (i << b)) + (1 << (b - 1))) >> b)
        return np.where(x < 0, -value, value) if self.odd else value

    def sigmoid(self, s):                                      # sig(s) of the GRU
        return (self(clamp16(s)) + 32768) >> 1

def fixed(v, lo, hi):
    """"Front end": v to an integer in lo to hi, half to even; not-a-number gives lo."""
    low, high = F32(lo), F32(hi)
    inside = np.rint(np.where((v >= low) & (v <= high), v, 0)).astype(np.int64)
    return np.where(v > high, hi, np.where(v >= low, inside, lo))

# ---------------------------------------------------------------- records

def read_segments(cursor, count):
    """Segments as (kind, index, offset, length)."""
    segments = [cursor.fields('BBHHH') for _ in range(count)]
    need(not any(s[1] for s in segments), 'reserved byte of a segment is not 0')
    return [(s[0],) + s[2:] for s in segments]

class Layer:
    """Record 4: descriptor, segments and tensors of one layer of an integer policy."""
    def __init__(self, cursor, tables):
        (self.kind, self.activation, self.w_format, self.layout, self.out_format, self.flags,
         n_segment, self.n_in, self.n_out, self.depth, self.in_format, self.wh_format, self.shift,
         self.shift_h, self.preshift, self.preshift_h, self.table, self.gate_round,
         self.state_round, self.cell_shift, self.zero, self.lo, self.hi, self.place) = cursor.fields(
             'BBBBBBHHHHBBBBBBBBBBhhhH')
        need(self.kind in FLAGS_KNOWN and self.layout in (0, 1), 'unknown kind of layer or layout')
        need(n_segment >= 1 and self.n_in >= 1 and self.n_out >= 1, 'empty layer')
        self.check_descriptor(tables)
        self.segments = read_segments(cursor, n_segment)
        need(sum(s[3] for s in self.segments) == self.n_in, 'segments do not add up to n_in')
        self.read_tensors(cursor)

    def has(self, flag):
        return bool(self.flags & flag)

    def check_descriptor(self, tables):
        """What execution relies on; second_checks.py has the other limits."""
        kind, gated, low_high = self.kind, self.kind in (GRU, LSTM), RANGE.get(self.out_format)
        need(not self.flags & ~FLAGS_KNOWN[kind] and (kind > LSTM or self.has(WEIGHT)), 'flags')
        need(low_high and self.in_format in RANGE, 'number format')
        matrix_formats, vector_formats = (S8, S4, S16), (S16 if self.has(WEIGHT) else 0,)
        need(self.w_format in (matrix_formats if kind <= LSTM else vector_formats), 'format of W')
        need(self.wh_format in (matrix_formats if gated else (0,)), 'format of W_h')
        need(self.layout == 0 or kind <= LSTM and S16 not in (self.w_format, self.wh_format),
             'layout')
        need(max(self.shift, self.shift_h, self.gate_round, self.state_round) <= 15
             and max(self.preshift, self.preshift_h) <= 31, 'shifts')
        need(self.cell_shift <= {LSTM: 8, NORM: 24}.get(kind, 0), 'cell_shift')
        need(self.table == 255 or self.table < len(tables) and kind != HISTORY, 'table')
        need(not gated or self.table != 255 and tables[self.table].odd, 'no odd table')
        need(low_high[0] <= self.lo <= self.hi <= low_high[1], 'lo or hi')
        width = {NORM: 1, ACTIVATION: 1, AFFINE: 1, ADD: 2, MULTIPLY: 2}.get(kind)
        need(width is None or self.n_in == width * self.n_out, 'shape')
        need(kind != HISTORY or self.n_out == self.depth * self.n_in, 'shape of a history')

    def read_tensors(self, cursor):
        """The tensors in their order, each aligned; vectors that are not there are zero."""
        H, rows, gated = self.n_out, GATES.get(self.kind, 1) * self.n_out, self.kind in (GRU, LSTM)

        def vector(there, dtype='i4', count=rows):
            return cursor.array(dtype, count, 16) if there else np.zeros(count, np.int64)

        def matrices(shapes, fmt):
            cursor.bytes(0, 64 if self.layout else 16)
            return np.concatenate([read_matrix(cursor, r, c, fmt, self.layout) for r, c in shapes])

        self.bias, self.bias_h = vector(self.has(BIAS)), vector(self.has(BIAS_H))
        self.multiplier, self.multiplier_h = vector(self.kind != HISTORY), vector(gated)
        need(min(self.multiplier.min(), self.multiplier_h.min()) >= 0, 'negative multiplier')
        if self.kind <= LSTM:
            self.weight = matrices([(rows, self.n_in)], self.w_format)
        else:
            self.weight = vector(self.has(WEIGHT), 'i2', self.n_in)
        if gated:
            shapes = [(2 * H, H), (H, H)] if self.has(RESET_BEFORE) else [(rows, H)]
            self.weight_h = matrices(shapes, self.wh_format)
        cursor.finish('layer')

class Policy:
    """A whole image, checked."""
    def __init__(self, data):
        need(len(data) >= 64 and data[:4] == b'DEFT', 'no magic: not a .deft image')
        self.image = image = Image(data)
        (_, version, self.flags, length, crc, self.n_obs, self.n_act, self.n_output, self.n_layer,
         self.period, self.memory, self.policy_id) = Cursor(image, 0, 64).fields('4sHHIIHHHHII32s')
        need(version == 1, 'version %d' % version)
        need(length == len(data) and length % 16 == 0 and length < 2 ** 31, 'wrong length')
        need(zlib.crc32(data[:12] + bytes(4) + data[16:]) == crc, 'wrong CRC')
        need(self.flags in (0, 1), 'unknown flags')
        self.discrete = self.flags == 1
        need(self.n_obs >= 1 and self.n_output >= 1 and self.n_act >= 1
             and (self.discrete or self.n_act == self.n_output), 'n_obs, n_output or n_act')
        self.read_records()
        need(not np.frombuffer(data, np.uint8)[~image.covered].any(), 'padding is not zero')
        self.check_wiring()

    def read_records(self):
        """"Records": walk them, then read each by its type."""
        at, last, records = 64, 0, []
        while at < len(self.image.data):
            kind, flags, size, zero = Cursor(self.image, at, at + 16).fields('HHIQ')
            need(kind > last or kind == last == 4, 'records out of order or repeated')
            need(flags < 2 and zero == 0, 'record flags or reserved words')
            need(flags == (kind <= 7), 'critical record of unknown type, or not critical')
            records.append((kind, at + 16, size))
            last, at = kind, at + 16 + align(size, 16)
        need([r[0] for r in records if r[0] < 6] == [1, 2, 3] + [4] * self.n_layer + [5], 'records')
        self.cursors = {k: Cursor(self.image, at, at + size) for k, at, size in records}
        layers = [(begin, size) for kind, begin, size in records if kind == 4]
        if self.image.data[self.cursors[2].at] != S16:
            raise FloatPolicy('a float policy: this decoder does integers')
        need(1 <= self.n_layer <= 256, 'n_layer')
        directory = self.cursors[1].array('u4', self.n_layer)
        need(list(directory) == [begin for begin, _ in layers], 'directory')
        self.cursors[1].finish('directory')
        self.read_front_end(self.cursors[2])
        self.read_choices(self.cursors.get(7))
        self.read_back_end(self.cursors[3])
        self.tables = self.read_tables(self.cursors[6]) if 6 in self.cursors else []
        self.layers = [Layer(Cursor(self.image, begin, begin + size), self.tables)
                       for begin, size in layers]
        count, rest = divmod(self.cursors[5].end - self.cursors[5].at, 8)
        self.outputs = read_segments(self.cursors[5], count)
        need(rest == 0, 'length of the outputs')
        self.read_self_test(self.cursors.get(32))
        for kind, begin, size in records:                      # for people, and unknown ones
            if kind > 6 and kind != 32:
                self.image.covered[begin:begin + size] = True

    def read_choices(self, cursor):
        """"7: choices": of how many outputs each discrete action is the largest."""
        need((cursor is not None) == (self.discrete and self.n_act > 1), 'choices')
        self.choices = [self.n_output]
        if cursor:
            self.choices = [int(n) for n in cursor.array('u2', self.n_act)]
            need(min(self.choices) >= 1 and sum(self.choices) == self.n_output, 'choices')
            cursor.finish('choices')

    def read_front_end(self, cursor):
        """Arrays that are not there get values that change nothing."""
        _, has, n = cursor.fields('BBH')
        need(has < 32 and n == self.n_obs, 'front end')
        def take(bit, dtype, count, default):
            return cursor.array(dtype, count) if has & bit else np.full(count, default)
        self.in_offset, self.in_scale = take(1, 'f4', n, F32(0)), take(2, 'f4', n, F32(1))
        self.has_prev, self.prev_scale = bool(has & 4), take(4, 'f4', self.n_act, F32(0))
        self.in_lo, self.in_hi = take(8, 'i2', n, -32768), take(16, 'i2', n, 32767)
        cursor.finish('front end')
        need((self.in_lo <= self.in_hi).all(), 'front end: lo > hi')
        for a in (self.in_offset, self.in_scale, self.prev_scale):
            need(np.isfinite(a).all(), 'front end: not finite')

    def read_back_end(self, cursor):
        """As above; the offset that changes nothing is -0, because -0 + 0 is +0."""
        self.y_format, has, n, self.y_zero = cursor.fields('BBHi')
        need(self.y_format in RANGE and has < 16 and n == self.n_act, 'back end')
        need(-32768 <= self.y_zero <= 32767, 'back end: zero')
        self.y_scale = cursor.array('f4', self.n_output)
        self.out_offset, self.out_scale, self.out_lo, self.out_hi = [
            cursor.array('f4', n) if has & 1 << bit else np.full(n, F32(default))
            for bit, default in enumerate((-0.0, 1, -np.inf, np.inf))]
        cursor.finish('back end')
        for a in (self.y_scale, self.out_offset, self.out_scale):
            need(np.isfinite(a).all(), 'back end: not finite')
        need((self.out_scale != 0).all(), 'back end: a scale is 0')
        need((self.out_lo <= self.out_hi).all(), 'back end: lo > hi or NaN')
        for end in RANGE[self.y_format]:
            need(np.isfinite(self.back_end(np.full(self.n_output, end))).all(), 'act may overflow')

    def read_tables(self, cursor):
        begin = cursor.at
        n, zero = cursor.fields('HH')
        need(1 <= n <= 255 and zero == 0, 'tables')
        heads = [cursor.fields('BBBBIffff') for _ in range(n)]
        tables = []
        for k, odd, function, zero, where, *floats in heads:
            need(4 <= k <= 10 and odd <= 1 and function <= 12 and zero == 0, 'head of a table')
            need(np.isfinite(floats).all() and where == cursor.at - begin, 'head of a table')
            entries = cursor.array('i2', (1 << k) + 1)
            need(not odd or (entries >= -32767).all(), 'odd table with -32768')
            tables.append(Table(k, odd, entries))
        cursor.finish('tables')
        return tables

    def read_self_test(self, cursor):
        n, zero = cursor.fields('HH') if cursor else (0, 0)
        need((n >= 1 or not cursor) and zero == 0, 'self-test')
        cursor = cursor or Cursor(self.image, 0, 0)
        self.test_obs = cursor.array('f4', n * self.n_obs).reshape(n, self.n_obs)
        self.test_act = cursor.array('f4', n * self.n_act).reshape(n, self.n_act)
        cursor.finish('self-test')
        need(np.isfinite(self.test_obs).all() and np.isfinite(self.test_act).all(), 'self-test')

    def check_wiring(self):
        """Sources exist, come before where they must, and have the reader's format."""
        readers = [(i, layer.segments, layer.in_format) for i, layer in enumerate(self.layers)]
        readers.append((self.n_layer, self.outputs, self.y_format))
        need(sum(s[3] for s in self.outputs) == self.n_output, 'outputs: wrong sum of lengths')
        for reader, segments, fmt in readers:
            for kind, index, offset, length in segments:
                need(FROM_OBS <= kind <= FROM_STATE and length >= 1, 'kind or length of a segment')
                if kind in (FROM_OBS, FROM_PREV):
                    size, source_format = self.n_obs if kind == FROM_OBS else self.n_act, S16
                    need(index == 0 and (kind == FROM_OBS or self.has_prev), 'index or no PREV')
                else:
                    need(index < (reader if kind == FROM_LAYER else self.n_layer), 'later layer')
                    source = self.layers[index]
                    size, source_format = source.n_out, source.out_format
                    need(kind == FROM_LAYER or source.kind in (GRU, LSTM), 'source without state')
                need(offset + length <= size and source_format == fmt, 'size or format of a source')

    def reset(self):
        self.first = True
        self.prev = np.zeros(self.n_act, np.int64)
        self.h = [np.full(layer.n_out, layer.zero if layer.kind == HISTORY else 0, np.int64)
                  for layer in self.layers]
        self.c = [np.zeros(layer.n_out, np.int64) for layer in self.layers]

    def step(self, obs):
        """One step, no applied action given; obs and the result are float32."""
        need(np.isfinite(obs).all(), 'an observation is not finite')
        observed = fixed((obs - self.in_offset) * self.in_scale, self.in_lo, self.in_hi)
        old, done = list(self.h), []

        def gather(segments):
            parts = []
            for kind, index, offset, length in segments:
                source = (observed if kind == FROM_OBS else self.prev if kind == FROM_PREV
                          else done[index] if kind == FROM_LAYER else old[index])
                parts.append(source[offset:offset + length])
            return np.concatenate(parts)

        for i, layer in enumerate(self.layers):
            done.append(self.run_layer(i, layer, gather(layer.segments)))
        act = self.back_end(gather(self.outputs))
        y = (act - self.out_offset) / self.out_scale           # in the network's own units
        self.prev = fixed(y * self.prev_scale, -32768, 32767)
        self.first = False
        return act

    def back_end(self, q):
        """"Back end": integer outputs to float actions, one binary32 operation at a time."""
        v = (q - self.y_zero).astype(np.float32) * self.y_scale
        if self.discrete:
            parts = np.split(v, np.cumsum(self.choices)[:-1])
            return np.array([np.argmax(part) for part in parts], np.float32)
        v = v * self.out_scale + self.out_offset               # numpy rounds each operation
        return np.where(v < self.out_lo, self.out_lo, np.where(v > self.out_hi, self.out_hi, v))

    def run_layer(self, i, layer, x):
        if layer.kind == HISTORY:
            newest_first, old = layer.has(NEWEST_FIRST), self.h[i]
            parts = [x, old[:-layer.n_in]] if newest_first else [old[layer.n_in:], x]
            fill = self.first and layer.has(FILL_FIRST)
            self.h[i] = np.tile(x, layer.depth) if fill else np.concatenate(parts)
            return self.h[i]
        if layer.kind in (GRU, LSTM):
            run = self.run_gru if layer.kind == GRU else self.run_lstm
            acc = layer.weight @ x + layer.bias
            x = gates(layer, acc, layer.multiplier, layer.shift, layer.preshift)
            return run(i, layer, x, self.tables[layer.table])
        acc = preshifted(accumulate(layer, x), layer.preshift)
        v = requant(acc, layer.multiplier, layer.shift)
        if layer.table == 255:
            return np.clip(v + layer.zero, layer.lo, layer.hi)
        t = self.tables[layer.table](clamp16(v))
        if layer.out_format == U8:
            t = (t + 32768 + 128) >> 8
        return np.clip(t, layer.lo, layer.hi)

    def run_gru(self, i, layer, x, table):
        H, h = layer.n_out, self.h[i]
        u = gates_h(layer, h, 0, (2 if layer.has(RESET_BEFORE) else 3) * H)
        r = table.sigmoid(x[:H] + u[:H])
        z = table.sigmoid(x[H:2 * H] + u[H:2 * H])
        if layer.has(RESET_BEFORE):
            n = table(clamp16(x[2 * H:] + gates_h(layer, mul(r, h), 2 * H, 3 * H)))
        else:
            n = table(clamp16(x[2 * H:] + mul(r, u[2 * H:])))
        self.h[i] = round_to(clamp16(n + mul(z, h - n)), layer.state_round)
        return self.h[i]

    def run_lstm(self, i, layer, x, table):
        H, e = layer.n_out, layer.cell_shift
        s = (x + gates_h(layer, self.h[i], 0, 4 * H)).reshape(4, H)
        (sig_i, f, o), g = table.sigmoid(s[[0, 1, 3]]), table(clamp16(s[2]))
        c = clamp16(mul(f, self.c[i]) + ((sig_i * g + (1 << (14 + e))) >> (15 + e)))
        u = clamp16(c << (e - 3)) if e >= 3 else (c + (1 << (2 - e))) >> (3 - e)
        self.c[i] = c
        self.h[i] = round_to(mul(o, table(u)), layer.state_round)
        return self.h[i]

def gates(layer, acc, multiplier, shift, preshift):
    """X or U of GRU and LSTM from their accumulators."""
    v = requant(preshifted(acc, preshift), multiplier, shift)
    return round_to(clamp16(v), layer.gate_round)

def gates_h(layer, h, first, last):
    """Rows first to last - 1 of U."""
    acc = layer.weight_h[first:last] @ h + layer.bias_h[first:last]
    return gates(layer, acc, layer.multiplier_h[first:last], layer.shift_h, layer.preshift_h)

def accumulate(layer, x):
    """The accumulators of the kinds without state, before the preshift."""
    n, w, bias = layer.n_out, layer.weight, layer.bias
    if layer.kind == DENSE:
        return w @ x + bias
    if layer.kind == NORM:
        x = normalised(layer, x)
    if not layer.has(WEIGHT):
        w = 0 if layer.kind == MULTIPLY else 1
    if layer.kind in (ACTIVATION, NORM, AFFINE):
        return bias + w * x
    terms = bias + (w * x)[:n] + (w * x)[n:]
    return terms + x[:n] * x[n:] if layer.kind == MULTIPLY else terms

def normalised(layer, x):
    n = layer.n_out
    mu = (16 * int(x.sum()) + n // 2) // n
    d = 16 * x - mu
    var = int((d * d).sum()) // n + (layer.depth << layer.cell_shift)  # epsilon and its shift
    sd = math.isqrt(var << 16) or 1
    t = np.minimum(((np.abs(d) << 23) + sd // 2) // sd, (1 << 23) - 1)
    return np.where(d < 0, -t, t)

# ---------------------------------------------------------------- the command

def read_rows(path, columns):
    """The first columns of each row behind the header, as float32."""
    try:
        with open(path, newline='') as file:
            rows = [row[:columns] for row in csv.reader(file)][1:]
        need(rows and all(len(row) == columns for row in rows), path + ': rows or columns missing')
        return np.array([[np.float32(cell) for cell in row] for row in rows], np.float32)
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise Refused('%s: %s' % (path, error))

def first_difference(policy, observations, actions):
    """Runs from a reset; None, or (step, column, computed, expected)."""
    policy.reset()
    for step, (obs, expected) in enumerate(zip(observations, actions)):
        act = policy.step(obs)
        different = act.view(np.uint32) != expected.view(np.uint32)
        if different.any():
            column = int(np.argmax(different))
            return step, column, act[column], expected[column]
    return None

def differs(name, what, policy, observations, actions):
    difference = first_difference(policy, observations, actions)
    if difference:
        print('%s: %s: step %d, action %d: %.9g here, %.9g expected' % ((name, what) + difference))
    return difference is not None

def load(path):
    with open(path, 'rb') as file:
        return Policy(file.read())

def run(path, obs_path, act_path):
    name, policy = os.path.basename(path), load(path)
    observations = read_rows(obs_path, policy.n_obs)
    actions = read_rows(act_path, policy.n_act)
    need(len(observations) == len(actions), 'the two CSV files differ in their number of rows')
    if (differs(name, 'self-test', policy, policy.test_obs, policy.test_act)
            or differs(name, 'run', policy, observations, actions)):
        return 1
    print('%s: %d steps, %d actions, every bit equal' % (name, len(actions), policy.n_act))
    return 0

def main(arguments):
    if len(arguments) == 4 and arguments[0] == '--run':
        return run(*arguments[1:])
    tested = failed = 0
    for path in arguments:
        try:
            policy = load(path)
        except FloatPolicy:
            continue
        tested += 1
        failed += differs(os.path.basename(path), 'self-test', policy, policy.test_obs, policy.test_act)
    print('%d integer images, %d failed' % (tested, failed))
    return 1 if failed or not tested else 0

if __name__ == '__main__':
    np.seterr(all='ignore')
    try:
        sys.exit(main(sys.argv[1:]))
    except (Refused, OSError, MemoryError) as problem:
        print('decode_integer: %s' % problem, file=sys.stderr)
        sys.exit(2)
