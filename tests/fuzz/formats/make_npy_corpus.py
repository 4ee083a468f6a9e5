#!/usr/bin/env python3
# make_npy_corpus.py OUT - the corpus of fuzz_npy: arrays of all types, an archive, damaged headers
import io, os, sys
import numpy as np
out = sys.argv[1]
os.makedirs(out, exist_ok=True)
x = np.arange(12).reshape(4, 3)
def save(name, a):
    np.save(os.path.join(out, name), a)
for t in ("f4", ">f8", "i1", "i8", "u2", "?"):
    save(f"type_{t.strip('>?') or 'b'}.npy", x.astype(t))
save("fortran.npy", np.asfortranarray(x.astype("f4")))
save("one.npy", x[:, 0].astype("f8"))
save("three.npy", x.reshape(2, 2, 3))
save("complex.npy", x.astype("c8"))
np.savez(os.path.join(out, "some.npz"), obs=x.astype("f4"), act=x[:, :1], episode_starts=x[:, 0] == 0)
np.savez_compressed(os.path.join(out, "packed.npz"), observations=x.astype("f4"))
b = io.BytesIO()
np.save(b, x.astype("f4"))
b = b.getvalue()
for name, y in {
    "cut": b[:-5],
    "huge": b.replace(b"(4, 3)", b"(999999999, 99999)"),
    "negative": b.replace(b"(4, 3)", b"(-4, 3)"),
    "code": b.replace(b"'<f4'", b"exit()"),
    "twice": b.replace(b"'shape'", b"'descr'"),
    "version": b[:6] + b"\x09" + b[7:],
    "long": b[:8] + b"\xff\xff" + b[10:],
}.items():
    open(os.path.join(out, name + ".npy"), "wb").write(y)
