"""Policies and recordings for test_contract.sh, in plain Python.
   policy FILE N_IN N_ACT [SEED]       a checkpoint: tanh network without a squash at the end
   raw FILE N ROWS [SEED]              a recording of obs0 .. obsN-1
   examples DOC DIR                    the JSON blocks of a page, one file each
   inputs CONTRACT                     prints how many inputs and actions its policy has
   windows CONTRACT RAW POLICY OUT     the actions of a plain policy that is fed by hand
   variants DIR                        more contracts; prints their names
   mistakes CONTRACT DIR               what is refused; prints file|what is said, one a line
   keep WHOLE CSV CONTRACT OUT         a contract before the policy's own normaliser, and a
                                       recording in its units
   differ A B                          prints the largest difference of two recordings' act columns"""
import csv
import json
import math
import os
import random
import re
import struct
import sys


def f32(x):
    return struct.unpack('<f', struct.pack('<f', x))[0]


def policy(path, n_in, n_act, seed=1):
    rng = random.Random(int(seed))
    n_in, n_act, hidden = int(n_in), int(n_act), 16
    shapes = {'actor.0.weight': (hidden, n_in), 'actor.0.bias': (hidden,),
              'actor.2.weight': (n_act, hidden), 'actor.2.bias': (n_act,)}
    head, data = {}, b''
    for name, shape in shapes.items():
        n = math.prod(shape)
        width = math.sqrt(shape[-1])
        more = struct.pack(f'<{n}f', *(rng.uniform(-1, 1) / width for _ in range(n)))
        head[name] = {'dtype': 'F32', 'shape': list(shape),
                      'data_offsets': [len(data), len(data) + len(more)]}
        data += more
    text = json.dumps(head).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text + data)


def write_csv(path, rows):
    with open(path, 'w') as f:
        f.write(','.join(f'obs{i}' for i in range(len(rows[0]))) + '\n')
        for row in rows:
            f.write(','.join(repr(f32(x)) for x in row) + '\n')


def raw(path, n, rows, seed=2):
    rng = random.Random(int(seed))
    write_csv(path, [[rng.gauss(0, 2) for _ in range(int(n))] for _ in range(int(rows))])


def examples(doc, to):
    blocks = re.findall(r'```json\n(.*?)```', open(doc).read(), re.S)
    for k, text in enumerate(blocks):
        open(os.path.join(to, f'example{k}.json'), 'w').write(text)
    print(len(blocks))


def spread(x, n):
    return x if isinstance(x, list) else [x] * n


def ranges(x, n):
    x = x if isinstance(x[0], list) else [x] * n
    return [[-math.inf if a == 'none' else a, math.inf if b == 'none' else b] for a, b in x]


def clip(x, r):
    return min(max(x, r[0]), r[1])


class Contract:
    """Independent of Deft: docs/contract.md in doubles."""
    def __init__(self, path):
        c = self.c = json.load(open(path))
        a = self.a = c['actions']
        n = self.n_act = a.get('size') or len(a['names'])
        pose = c.get('joints', {}).get('default_pose')
        offset = a.get('offset', 0)
        self.scale = spread(a.get('scale', 1), n)
        self.offset = spread(pose if offset == 'default_pose' else offset, n)
        self.clip = ranges(a.get('clip', ['none', 'none']), n)
        self.limits = ranges(a.get('limits', ['none', 'none']), n)
        self.terms = []
        for t in c['observations']:
            size = n if t.get('source') else t.get('size') or len(t.get('names', [0]))
            offset = t.get('offset', 0)
            self.terms.append({
                'previous': 'source' in t, 'size': size,
                'offset': spread(pose if offset == 'default_pose' else offset, size),
                'scale': spread(t.get('scale', 1), size),
                'clip': ranges(t.get('clip', ['none', 'none']), size),
                'history': t.get('history', c.get('history', {'length': 1})), 'frames': None})

    def inputs(self):
        return sum(t['size'] * t['history']['length'] for t in self.terms)

    def action(self, y):
        return [clip(clip(v, c) * s + o, r) for v, c, s, o, r in
                zip(y, self.clip, self.scale, self.offset, self.limits)]

    def fed(self, y):
        if self.a['feedback'] == 'raw':
            return y
        act = self.action(y)
        if self.a['feedback'] == 'applied':
            return act
        return [(v - o) / s for v, o, s in zip(act, self.offset, self.scale)]

    def vector(self, obs, y):
        """The policy's input of this step; y: its last output."""
        at = 0
        for t in self.terms:
            v = self.fed(y) if t['previous'] else obs[at:at + t['size']]
            at += 0 if t['previous'] else t['size']
            x = [clip((a - o) * s, r) for a, o, s, r in
                 zip(v, t['offset'], t['scale'], t['clip'])]
            h = t['history']
            if t['frames'] is None:
                t['frames'] = [x if h.get('start') == 'first_frame' else [0] * len(x)] * h['length']
            t['frames'] = (t['frames'] + [x])[1:]
        out, k = [], 0
        while k < len(self.terms):
            h = self.terms[k]['history']
            group = [self.terms[k]]
            while (h.get('interleaving') == 'by_frame' and k + len(group) < len(self.terms) and
                   self.terms[k + len(group)]['history'] == h):
                group.append(self.terms[k + len(group)])
            k += len(group)
            order = range(h['length'])
            if h.get('order') == 'newest_first':
                order = reversed(order)
            for i in order:
                for t in group:
                    out += t['frames'][i]
        assert at == len(obs)
        return out


def inputs(path):
    c = Contract(path)
    print(c.inputs(), c.n_act, sum(t['size'] for t in c.terms if not t['previous']))


def read(path, prefix):
    rows = list(csv.DictReader(open(path)))
    n = sum(k.startswith(prefix) for k in rows[0])
    return [[float(r[f'{prefix}{i}']) for i in range(n)] for r in rows]


def network(path):
    data = open(path, 'rb').read()
    n = struct.unpack('<Q', data[:8])[0]
    head, body = json.loads(data[8:8 + n]), data[8 + n:]
    def get(name):
        a, b = head[name]['data_offsets']
        return struct.unpack(f'<{(b - a) // 4}f', body[a:b])
    w0, b0, w1, b1 = (get(k) for k in ('actor.0.weight', 'actor.0.bias', 'actor.2.weight',
                                       'actor.2.bias'))
    def dense(w, b, x):
        return [sum(p * q for p, q in zip(w[i * len(x):(i + 1) * len(x)], x)) + b[i]
                for i in range(len(b))]
    return lambda x: dense(w1, b1, [math.tanh(v) for v in dense(w0, b0, x)])


def windows(contract, recording, weights, out):
    c, f = Contract(contract), network(weights)
    y, rows = [0.0] * c.n_act, []
    for obs in read(recording, 'obs'):
        y = f(c.vector(obs, y))
        rows.append(c.action(y))
    with open(out, 'w') as file:
        file.write(','.join(f'act{i}' for i in range(c.n_act)) + '\n')
        for row in rows:
            file.write(','.join(repr(v) for v in row) + '\n')


def differ(a, b):
    x, y = read(a, 'act'), read(b, 'act')
    assert len(x) == len(y) > 0 and len(x[0]) == len(y[0]) > 0
    print(max(abs(p - q) for r, s in zip(x, y) for p, q in zip(r, s)))


def variants(to):
    terms = [{'names': ['a', 'b', 'c'], 'offset': [1, 0, -1], 'scale': 0.5, 'clip': [-0.8, 1]},
             {'name': 'd', 'size': 2, 'scale': [3, -2], 'clip': [[-1, 'none'], ['none', 2]]},
             {'source': 'previous_action', 'scale': 0.5, 'offset': 0.1, 'clip': [-0.4, 0.4]}]
    actions = {'size': 2, 'scale': [0.5, -2], 'offset': [1, 0], 'feedback': 'raw'}
    clipped = {**actions, 'clip': [-0.3, 0.2], 'limits': [[-5, 1.1], [-0.2, 'none']],
               'feedback': 'clipped'}
    def history(n, order, interleaving, start):
        return {'length': n, 'order': order, 'interleaving': interleaving, 'start': start}
    all_of = {}
    for order in 'oldest_first', 'newest_first':
        for how in 'by_term', 'by_frame':
            for start in 'zeros', 'first_frame':
                all_of[f'{order}_{how}_{start}'] = {'history': history(3, order, how, start),
                                                    'actions': actions}
    all_of['by_frame'] = {'history': history(4, 'oldest_first', 'by_frame', 'zeros'),
                          'actions': {**clipped, 'names': ['x', 'y'], 'unit': 'rad'}}
    all_of['clipped'] = {'actions': clipped}
    all_of['applied'] = {'actions': {**clipped, 'feedback': 'applied'}}
    all_of['applied_only'] = {'actions': {**actions, 'feedback': 'applied'}}
    for name, more in all_of.items():
        c = {'deft_contract': 1, 'name': name, 'rate_hz': 100,
             'observations': [{'unit': '1', **t} if 'source' not in t else t for t in terms], **more}
        json.dump(c, open(os.path.join(to, f'{name}.json'), 'w'))
    # the previous action in the middle, and a block of frames between terms of one
    h = history(2, 'newest_first', 'by_frame', 'first_frame')
    mixed = [terms[2], {**terms[0], 'history': h}, {**terms[1], 'history': h}, {'name': 'e'},
             {**terms[2], 'history': history(2, 'oldest_first', 'by_term', 'zeros')}]
    json.dump({'deft_contract': 1, 'name': 'mixed', 'observations': mixed, 'actions': clipped},
              open(os.path.join(to, 'mixed.json'), 'w'))
    print(*all_of, 'mixed')


def keep(whole, recording, contract, out):
    """v = x / 0.5 + 3: the contract gives back x."""
    c = json.load(open(whole))
    rows = read(recording, 'obs')
    n = len(rows[0])
    c['own_scaling'] = 'keep'
    c['observations'] = [{'name': 'v', 'size': n, 'unit': 'u', 'offset': 3, 'scale': 0.5}]
    c['actions'] = {'size': len(read(recording, 'act')[0])}
    json.dump(c, open(contract, 'w'))
    write_csv(out, [[v / 0.5 + 3 for v in row] for row in rows])


def mistakes(contract, to):
    good = open(contract).read()
    made = []

    def wrong(pattern, edit):
        c = json.loads(good)
        text = edit(c)
        name = f'wrong{len(made)}.json'
        open(os.path.join(to, name), 'w').write(text if text is not None else json.dumps(c))
        made.append(f'{name}|{pattern}')

    def put(pattern, value, *path):
        def edit(c):
            for key in path[:-1]:
                c = c[key]
            c[path[-1]] = value
        wrong(pattern, edit)

    def drop(pattern, *path):
        def edit(c):
            for key in path[:-1]:
                c = c[key]
            del c[path[-1]]
        wrong(pattern, edit)

    obs = 'observations'
    put('name is null', None, 'name')
    put('name is empty', '', 'name')
    drop('name is missing', 'name')
    put('deft_contract must be 1', 2, 'deft_contract')
    drop('deft_contract must be 1', 'deft_contract')
    put('period_s is null', None, 'period_s')
    put('period_s must be', 0, 'period_s')
    put('period_s must be a number', '0.02', 'period_s')
    put('rate_hz and period_s', 50, 'rate_hz')
    put('observation is not a key here; there are: .*observations', [], 'observation')
    put('observations must be a list', {}, obs)
    put('observations must be a list', [], obs)
    put(r'observations\[0\].scales is not a key', 1, obs, 0, 'scales')
    put(r'observations\[0\].scale lists 2; it must be 3', [1, 2], obs, 0, 'scale')
    put(r'observations\[0\].scale is 0', 0, obs, 0, 'scale')
    put(r'observations\[0\].scale is 0', 1e-60, obs, 0, 'scale')
    put(r'observations\[0\].scale is null', None, obs, 0, 'scale')
    put(r'observations\[0\].scale\[1\] must be a number', [1, 'x', 1], obs, 0, 'scale')
    put(r'observations\[0\].offset is beyond', 1e39, obs, 0, 'offset')
    put(r'observations\[0\].offset needs joints.default_pose', 'default_pose', obs, 0, 'offset')
    put(r'observations\[0\].clip must be \[low, high\]', 1, obs, 0, 'clip')
    put(r'observations\[0\].clip must be \[low, high\]', [1], obs, 0, 'clip')
    put(r'observations\[0\].clip is empty', [2, 1], obs, 0, 'clip')
    put(r'observations\[0\].limits\[1\] must be a number, or', [0, 'inf'], obs, 0, 'limits')
    put(r'observations\[0\].limits lists 2 ranges', [[0, 1], [0, 1]], obs, 0, 'limits')
    put(r'observations\[0\].size must be a whole number', 2.5, obs, 0, 'size')
    put(r'observations\[0\].size must be a whole number', 0, obs, 0, 'size')
    put(r'observations: the terms make 41 inputs.* has 36', 4, obs, 0, 'size')
    put(r'observations\[0\].name is null', None, obs, 0, 'name')
    put(r'observations\[0\] has both name and names', ['a', 'b', 'c'], obs, 0, 'names')
    def twice(c):
        c[obs][1] = {'names': ['command', 'b']}
    wrong(r"observations has the name 'command' twice", twice)
    put(r'observations\[2\].unit is not a key', 'rad', obs, 2, 'unit')
    put(r'observations\[2\].source must be "previous_action"', 'previous', obs, 2, 'source')
    put(r'observations\[2\]: the previous action has 3 elements', 3, obs, 2, 'size')
    put(r'observations\[3\].history.length must be a whole number from 1 to 1000', 1001, obs, 3,
        'history', 'length')
    put(r'history.order must be "oldest_first" or "newest_first"', 'oldest', 'history', 'order')
    drop(r'history.start is missing: "zeros" or "first_frame"', 'history', 'start')
    drop(r'history.interleaving is missing', 'history', 'interleaving')
    put(r'actions must say names', {}, 'actions')
    put(r'the previous action has 3 elements', {'size': 3, 'feedback': 'raw'}, 'actions')
    drop(r'actions.feedback must say', 'actions', 'feedback')
    put(r'actions.feedback: .raw. cannot be kept', [-1, 1], 'actions', 'limits')
    put(r'actions.feedback must be "raw" or', 'none', 'actions', 'feedback')
    put(r"actions.names has the name 'hip' twice", ['hip', 'hip'], 'actions', 'names')
    put(r'joints.stiffness lists 2; it must be 3', {'names': ['a', 'b', 'c'], 'stiffness': [1, 2]},
        'joints')
    put(r'joints.names\[1\] must be a name without commas', {'names': ['a', 'b,c']}, 'joints')
    put(r'notes.n must be text', {'n': 1}, 'notes')
    put(r'own_scaling must be "keep" or "replace"', 'both', 'own_scaling')
    wrong('line 1, column .*: not JSON', lambda c: '{"deft_contract": 1,}')
    wrong('not JSON: duplicate', lambda c: '{"deft_contract": 1, "name": "a", "name": "b"}')
    wrong('not a JSON object', lambda c: '[]')
    wrong('not JSON', lambda c: '')
    wrong('not JSON', lambda c: '[' * 100000)
    wrong('not JSON', lambda c: good.replace('0.02', 'NaN'))
    wrong('not JSON', lambda c: good.replace('0.02', '1e999'))
    print('\n'.join(made))


if __name__ == '__main__':
    globals()[sys.argv[1]](*sys.argv[2:])
