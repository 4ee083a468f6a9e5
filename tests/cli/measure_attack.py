"""Runs the program on hostile files, one subcommand at a time, and measures: every answer comes within
2 s of processor time and 500 MB, with status 0 or 1 and a clear text, and leaves nothing behind.

    measure_attack.py DEFT POLICY SCRATCH exact|slow FILE...

slow: built with sanitizers, which take memory and time for themselves. Scenes (.xml) are run with
POLICY. MEASURE=1 in the environment prints every figure.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import threading

SECONDS, MEGABYTES, HANGS = 2.0, 500, 60


def measured(command, folder):
    """Status (None: killed), processor seconds, megabytes, text."""
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        hung = []
        timer = threading.Timer(HANGS, lambda: (hung.append(1), p.kill()))
        timer.start()
        _, status, used = os.wait4(p.pid, 0)
        timer.cancel()
        p.returncode = 0
        out.seek(0)
        text = out.read().decode(errors="replace")
    code = None if hung or status & 127 else status >> 8
    return code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text


def commands(deft, policy, path, obs):
    near = os.path.basename(path).startswith("near_")
    if path.endswith(".xml"):
        yield [deft, "eval", policy, "--scene", path, "-n", "1", "--max-steps", "5", "-j", "1"]
        return
    say = ["--assume"] if path.endswith(".pt") else []  # what a checkpoint does not say
    yield [deft, "info", path, *say]
    yield [deft, "info", "--contract-table", path, *say]
    yield [deft, "convert", path, *say, "-o", "out.deft"]
    yield [deft, "convert", path, *say, "-o", "out.onnx"]
    yield [deft, "compile", path, "-o", "out"]
    yield [deft, "quantize", path, *say, "--env", "pendulum", "-n", "1", "-o", "out.deft"]
    yield [deft, "run", path, *say, "--obs", obs, "-o", "out.csv"]
    yield [deft, "eval", path, *say, "--env", "pendulum", "-n", "1", "-j", "1"]
    if not near:  # twice the work, and ten thousand steps, of what is asked for
        yield [deft, "compare", path, *say, path, *say, "--obs", obs]
        yield [deft, "bench", path, *say]


def clear(text, code, path):
    """One line that says what is wrong; assumptions may come before it."""
    lines = text.strip().splitlines()
    return code == 0 or bool(lines and lines[-1].startswith("deft ") and len(lines[-1]) > 20)


def main():
    deft, policy, scratch, build = sys.argv[1:5]
    obs = os.path.join(scratch, "obs.csv")
    with open(obs, "w") as f:
        f.write("a\n0\n1\n")
    bad = 0
    for path in sys.argv[5:]:
        if not os.path.isfile(path):
            sys.exit("there is no file %s" % path)
        before = sorted(os.listdir(os.path.dirname(path)))
        for command in commands(deft, policy, path, obs):
            folder = tempfile.mkdtemp(dir=scratch)
            code, seconds, megabytes, text = measured(command, folder)
            made = os.listdir(folder)
            shutil.rmtree(folder)
            why = []
            if code not in (0, 1):
                why.append("status %s" % code)
            if seconds > SECONDS * (10 if build == "slow" else 1):
                why.append("%.1f s" % seconds)
            if megabytes > MEGABYTES and build != "slow":
                why.append("%.0f MB" % megabytes)
            if not clear(text, code, path):
                why.append("no clear text")
            if code != 0 and made:
                why.append("left %s" % made)
            if code == 0 and len(made) > 1:
                why.append("made %s" % made)
            line = "%-30s %-8s status %s %6.2f s %5.0f MB" % (
                os.path.basename(path), command[1], code, seconds, megabytes)
            if os.environ.get("MEASURE"):
                print(line, text.strip().splitlines()[-1:], flush=True)
            if why:
                bad += 1
                print("FAILED: %s: %s\n%s" % (line, ", ".join(why), text[-500:]))
        if sorted(os.listdir(os.path.dirname(path))) != before:
            bad += 1
            print("FAILED: %s: something is left beside it" % path)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
