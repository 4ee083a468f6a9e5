#!/usr/bin/python3
"""What a reader of `.deft` images must refuse beyond decode_integer.py, likewise from docs/format.md alone:
fields that do not apply, policy_id, bounds, working memory, proofs, numbers of strings.

Usage: check_integer.py IMAGE...
"""
import hashlib
import struct
import sys

import numpy as np

from decode_integer import (BIAS, BIAS_H, DOUBLE, FROM_LAYER, FROM_OBS, FROM_STATE, GATES,
                            GRU, HISTORY, LSTM, MULTIPLY, NORM, RANGE, S16, U8, WEIGHT, Policy,
                            Refused, align, need, preshifted)

SIZE = {U8: 1, S16: 2}


def records_of(data):
    at = 64
    while at < len(data):
        kind, _, size = struct.unpack_from('<HHI', data, at)
        yield kind, data[at + 16:at + 16 + size]
        at += 16 + align(size, 16)


def check_fields(layer):
    """"Layers": fields that do not apply are 0, and what is fixed for a kind."""
    kind, gated = layer.kind, layer.kind in (GRU, LSTM)
    need(layer.activation == 0, 'activation')
    need(not layer.preshift or layer.w_format == S16 or kind >= NORM, 'preshift of S8 or S4')
    need(not layer.preshift_h or layer.wh_format == S16, 'preshift of S8 or S4')
    need(kind != HISTORY or not (layer.shift or layer.preshift), 'shift of a history')
    need(gated or not (layer.shift_h or layer.gate_round or layer.state_round), 'GRU or LSTM only')
    need(kind in (HISTORY, NORM) or layer.depth == 0, 'depth')
    if gated:
        need(layer.out_format == S16 and layer.zero == 0, 'GRU or LSTM')
    if gated or kind == HISTORY:
        need((layer.lo, layer.hi) == RANGE[layer.out_format], 'lo or hi')
    if kind == HISTORY:
        need(layer.in_format == layer.out_format, 'format of a history')
        need(layer.zero == 0 if layer.out_format == S16 else 0 <= layer.zero <= 255, 'zero')


def policy_id(policy):
    """"policy_id": SHA-256 over the canonical form."""
    data, layers = policy.image.data, iter(policy.layers)
    sha = hashlib.sha256(data[6:8] + data[16:24])
    for kind, payload in records_of(data):
        if not 2 <= kind <= 7:
            continue
        if kind == 4:
            layer = next(layers)
            head = bytearray(payload[:32 + 8 * len(layer.segments)])
            head[3], head[30:32] = 0, b'\0\0'                  # layout, place
            head[5] &= ~DOUBLE
            gated = layer.kind in (GRU, LSTM)
            tensors = [(layer.has(BIAS), layer.bias, '<i4'), (layer.has(BIAS_H), layer.bias_h, '<i4'),
                       (layer.kind != HISTORY, layer.multiplier, '<i4'),
                       (gated, layer.multiplier_h, '<i4'), (layer.has(WEIGHT), layer.weight, '<i2')]
            if gated:
                tensors.append((True, layer.weight_h, '<i2'))
            payload = bytes(head) + b''.join(v.astype(t).tobytes() for there, v, t in tensors if there)
        sha.update(struct.pack('<H', kind) + payload)
    return sha.digest()


def input_ranges(policy, layer):
    lo, hi = [], []
    for kind, index, offset, length in layer.segments:
        low, high = np.full(length, -32768), np.full(length, 32767)
        if kind == FROM_OBS:
            low, high = (a[offset:offset + length] for a in (policy.in_lo, policy.in_hi))
        elif kind == FROM_LAYER:
            low[:], high[:] = policy.layers[index].lo, policy.layers[index].hi
        lo.append(low)
        hi.append(high)
    return np.concatenate(lo), np.concatenate(hi)


def worst_of(weight, lo, hi, bias):
    """Per row: the larger of the sums of the positive and of the negative parts."""
    a, b = weight * lo, weight * hi
    positive = np.maximum(np.maximum(a, b), 0).sum(axis=1) + np.maximum(bias, 0)
    negative = np.minimum(np.minimum(a, b), 0).sum(axis=1) + np.minimum(bias, 0)
    return np.maximum(positive, -negative)


def channel_bound(layer, lo, hi):
    if layer.kind <= LSTM:
        return worst_of(layer.weight, lo, hi, layer.bias)
    n, (low, high) = layer.n_out, RANGE[layer.in_format]
    if layer.kind == NORM:
        low, high = -(1 << 23), 1 << 23
    default = 0 if layer.kind == MULTIPLY else 1
    weight = layer.weight if layer.has(WEIGHT) else np.full(layer.n_in, default)
    terms = weight.reshape(-1, n).T                            # [channel][term]
    count = terms.shape[1]
    lows, highs = np.full(count, low), np.full(count, high)
    if layer.kind == MULTIPLY:                                 # the product is one more term
        m = max(-low, high)
        terms = np.concatenate([terms, np.ones((n, 1), np.int64)], axis=1)
        lows, highs = np.append(lows, low * m), np.append(highs, m * m)
    return worst_of(terms, lows, highs, layer.bias)


def check_bounds(policy):
    """"Bounds"; gives the proofs (record 38) as they must be. They are taken before the preshift."""
    proofs = []
    for i, layer in enumerate(policy.layers):
        if layer.kind == HISTORY:
            continue
        matrices = [(channel_bound(layer, *input_ranges(policy, layer)), layer.shift, layer.preshift)]
        if layer.kind in (GRU, LSTM):
            low, high = np.full(layer.n_out, -32768), np.full(layer.n_out, 32767)
            worst = worst_of(layer.weight_h, low, high, layer.bias_h)
            matrices.append((worst, layer.shift_h, layer.preshift_h))
        for which, (worst, shift, preshift) in enumerate(matrices):
            need((preshifted(worst, preshift) < 1 << (30 - shift)).all(), 'bounds')
            largest = int(worst.max())
            proofs.append(struct.pack('<HBBII', i, which | 2 * (largest < 1 << 19),
                                      largest.bit_length() + 1, int(np.argmax(worst)),
                                      min(largest, 2 ** 32 - 1)))
    return b''.join(proofs)


def check_memory(policy):
    """"Working memory": double, places and scratch."""
    need(policy.memory % 16 == 0 and policy.memory < 2 ** 31, 'bytes of working memory')
    end_of_states, blocks, scratches = 0, [], []
    for layer in policy.layers:
        # h, c and the new h are rounded up once, together
        at, parts = 16 * layer.place, 1 + (layer.kind == LSTM) + layer.has(DOUBLE)
        size = align(layer.n_out * SIZE[layer.out_format] * parts, 16)
        if layer.kind in (GRU, LSTM, HISTORY):
            need(at == end_of_states, 'place of a state')
            end_of_states += size
        scratch = 0
        if len(layer.segments) > 1:
            scratch += align(layer.n_in * SIZE[layer.in_format], 16)
        if layer.kind in (GRU, LSTM):
            scratch += align(2 * 2 * GATES[layer.kind] * layer.n_out, 16)
        blocks.append((at, at + size))
        scratches.append((policy.memory - scratch, policy.memory))
    need(end_of_states <= policy.memory, 'states beyond the working memory')
    last_reader = [0] * policy.n_layer
    for reader, segments in enumerate([la.segments for la in policy.layers] + [policy.outputs]):
        for kind, index, _, _ in segments:
            if kind == FROM_LAYER:
                last_reader[index] = reader
            need(kind != FROM_STATE or index >= reader or policy.layers[index].has(DOUBLE), 'double')

    def apart(a, b):
        return a[0] >= b[1] or b[0] >= a[1]

    for i, layer in enumerate(policy.layers):
        need(scratches[i][0] >= end_of_states, 'scratch overlaps states')
        if layer.kind in (GRU, LSTM, HISTORY):
            continue
        need(blocks[i][0] >= end_of_states and blocks[i][1] <= policy.memory, 'place of an output')
        need(apart(blocks[i], scratches[i]), 'scratch overlaps the output')
        for later in range(i + 1, min(last_reader[i] + 1, policy.n_layer)):
            need(apart(blocks[i], blocks[later]) and apart(blocks[i], scratches[later]),
                 'an output is overwritten before it is read')


def check_strings(policy):
    """33 to 37: strings end with a zero byte, and there are as many as there must be."""
    full = 1 + 2 * policy.n_obs + 2 * policy.n_act
    for kind, payload in records_of(policy.image.data):
        if not 33 <= kind <= 37:
            continue
        text = payload[32:] if kind == 35 else payload
        need(text[-1:] == b'\0', 'record %d: string without end' % kind)
        n = text.count(b'\0')
        need({33: n in (1, full), 34: n == policy.n_layer, 35: n == 2, 36: n % 2 == 0}.get(kind, 1),
             'record %d: number of strings' % kind)


def check(policy):
    for layer in policy.layers:
        check_fields(layer)
    need(policy_id(policy) == policy.policy_id, 'policy_id is not that of the policy')
    proofs = check_bounds(policy)
    check_memory(policy)
    return proofs


def main(paths):
    status = 0
    for path in paths:
        try:
            with open(path, 'rb') as file:
                policy = Policy(file.read())
            proofs = check(policy)
            check_strings(policy)
            need(dict(records_of(policy.image.data)).get(38, proofs) == proofs, 'proofs')
        except (Refused, OSError, MemoryError) as problem:
            print('%s: %s' % (path, problem))
            status = 2
    print('%d images checked' % len(paths))
    return status


if __name__ == '__main__':
    np.seterr(all='ignore')
    sys.exit(main(sys.argv[1:]))
