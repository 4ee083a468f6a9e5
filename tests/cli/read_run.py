"""Reads the logs of a training run without the libraries that usually do: SQLite through Python, and
TensorBoard's event files by their framing, checksums and three messages. Prints nothing; asserts.

    read_run.py RUN [n_sessions]
"""
import csv
import glob
import math
import sqlite3
import struct
import sys


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c ^= b
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    return c ^ 0xFFFFFFFF


def masked(data):
    c = crc32c(data)
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def records(path):
    """Of a file that a kill may have cut: TensorBoard, too, ends there."""
    data = open(path, "rb").read()
    at = 0
    while at + 16 <= len(data):
        (n,) = struct.unpack_from("<Q", data, at)
        (crc,) = struct.unpack_from("<I", data, at + 8)
        assert crc == masked(data[at : at + 8]), "checksum of a length"
        if at + 16 + n > len(data):
            return
        body = data[at + 12 : at + 12 + n]
        (crc,) = struct.unpack_from("<I", data, at + 12 + n)
        assert crc == masked(body), "checksum of a record"
        yield body
        at += 16 + n


def fields(message):
    """{number: [value]} of a protobuf message; bytes, ints, or raw fixed ones."""
    out, at = {}, 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            b = message[at]
            at += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            n = {1: 8, 5: 4}.get(kind) or varint()
            value = message[at : at + n]
            assert len(value) == n
            at += n
        out.setdefault(key >> 3, []).append(value)
    return out


def events(run):
    """{tag: {step: value}} as TensorBoard would show them, and the number of sessions."""
    shown, sessions = {}, 0
    for path in sorted(glob.glob(run + "/events.out.tfevents.*")):
        for k, body in enumerate(records(path)):
            e = fields(body)
            (wall,) = struct.unpack("<d", e[1][0])
            assert 1.6e9 < wall < 1e11
            step = e.get(2, [0])[0]
            if k == 0:
                assert e[3] == [b"brain.Event:2"]
            elif 7 in e:  # SessionLog.START: forget this step and later ones
                assert k == 1 and fields(e[7][0]) == {1: [1]}
                sessions += 1
                for of in shown.values():
                    for s in [s for s in of if s >= step]:
                        del of[s]
            else:
                v = fields(fields(e[5][0])[1][0])
                tag = v[1][0].decode()
                assert step not in shown.setdefault(tag, {}), (tag, step)
                shown[tag][step] = struct.unpack("<f", v[2][0])[0]
    return shown, sessions


def same(text, value):
    if text in ("", "nan"):
        return value is None
    return value is not None and math.isclose(float(text), value, rel_tol=1e-5, abs_tol=1e-30)


def main(run, n_session=None):
    rows = list(csv.DictReader(open(run + "/progress.csv")))
    assert len(rows) > 3
    assert [int(r["step"]) for r in rows] == sorted({int(r["step"]) for r in rows})
    db = sqlite3.connect(run + "/run.sqlite")
    db.row_factory = sqlite3.Row
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    table = db.execute("SELECT * FROM progress ORDER BY step").fetchall()
    assert len(table) == len(rows), (len(table), len(rows))
    for r, t in zip(rows, table):
        assert int(r["step"]) == t["step"] and int(r["update"]) == t["updates"]
        for name in ("return", "critic_loss", "actor_loss", "q", "alpha"):
            assert same(r[name], t[name]), (name, r[name], t[name])
    seconds = [t["seconds"] for t in table]
    assert seconds == sorted(seconds) and seconds[0] > 0
    evaluated = [r for r in rows if r["eval_return"]]
    table = db.execute("SELECT * FROM evaluations ORDER BY step").fetchall()
    assert len(table) == len(evaluated) > 0
    best = -math.inf
    for r, t in zip(evaluated, table):
        assert int(r["step"]) == t["step"] and same(r["eval_return"], t["return"])
        assert same(r["eval_sd"], t["sd"]) and same(r["eval_distance_cm"], t["distance_cm"])
        trained = int(r["update"]) > 0  # a random policy is never the best
        assert bool(t["best"]) == (trained and t["return"] > best)
        best = max(best, t["return"]) if trained else best
    assert evaluated[-1]["step"] == rows[-1]["step"]  # the policy at the end was evaluated
    config = dict(db.execute("SELECT name, value FROM config").fetchall())
    assert config["algo"] in ("td3", "sac") and config["hidden"].startswith("[")

    shown, sessions = events(run)
    assert sessions == int(n_session or sessions), sessions
    for tag, name, of in (
        ("episode/return", "return", [r for r in rows if r["return"]]),
        ("loss/critic", "critic_loss", [r for r in rows if int(r["update"])]),
        ("evaluation/return", "eval_return", evaluated),
    ):
        assert sorted(shown[tag]) == [int(r["step"]) for r in of], tag
        assert all(same(r[name], shown[tag][int(r["step"])]) for r in of), tag
    assert all(v > 0 for v in shown["speed/steps_per_second"].values())


main(*sys.argv[1:])
