#!/usr/bin/env python3
"""A trajectory of Gymnasium's Pendulum-v1, from its equations, for tests/unit/env/test_pendulum.c.

Writes tests/golden/env/pendulum.csv: 200 steps from theta = 1, speed = -0.5 with torques that reach
both limits. Written after gymnasium/envs/classic_control/pendulum.py (step and angle_normalize), in
double precision as there.
"""
import math
import pathlib
import struct

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/env/pendulum.csv"
G, M, L, DT, MAX_SPEED, MAX_TORQUE = 10.0, 1.0, 1.0, 0.05, 8.0, 2.0


def angle_normalize(x):
    return ((x + math.pi) % (2 * math.pi)) - math.pi


theta, speed = 1.0, -0.5
with open(OUT, "w") as f:
    print("torque,cos,sin,speed,reward", file=f)
    for k in range(200):
        u = min(max(3.0 * math.sin(0.11 * k) * math.cos(0.031 * k * k), -MAX_TORQUE), MAX_TORQUE)
        u = struct.unpack("f", struct.pack("f", u))[0]  # what a float32 policy can say
        costs = angle_normalize(theta) ** 2 + 0.1 * speed**2 + 0.001 * u**2
        speed += (3 * G / (2 * L) * math.sin(theta) + 3.0 / (M * L**2) * u) * DT
        speed = min(max(speed, -MAX_SPEED), MAX_SPEED)
        theta += speed * DT
        print(f"{u:.9g},{math.cos(theta):.9g},{math.sin(theta):.9g},{speed:.9g},{-costs:.12g}", file=f)
