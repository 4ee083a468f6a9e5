#!/usr/bin/env python3
"""Writes models/quaid/*.xml: the eight-servo quadruped and its worlds, as MuJoCo models.

    tools/make_quaid.py [FOLDER]

One model length is 10 cm; masses, forces and torques are in the units that go with it. World: x
forwards, y left, z up. A leg is drawn in its own plane: forwards of its hip centre, and up; every
hinge turns about the lateral axis, a positive angle turns z to x on the left and x to z on the
right.

A leg is two four-bar linkages. Thigh: servo arm A-B, rod B-C, limb C-D. Knee: servo arm D-E, rod
E-F, calf F-G, where G is the limb's lower end. In the planes of the bars both close; so the limb's
angle is a function of the thigh servo's alone, and the calf's angle against the limb is one of the
knee servo's against the limb. Those functions, fitted as polynomials, are the model's equality
constraints: four hinges and two scalar constraints a leg instead of six hinges and two closed loops.
The rods' mass sits in halves at their ends, and what their hinges add to inertia (the rotors) and
friction is at the hinge that turns as they do.
"""
import math
import os
import struct
import sys
import zlib

HEIGHT = 0.5     # of the trunk's frame above the world's origin, at reset
GROUND = -0.5    # the floor
START_X = 1.05   # of the trunk's frame
HIP_X = {"f": 0.95, "b": -0.88}

# Leg plane: (forwards of the hip centre, up).
A, B = (0.085, 0.11), (0.085, 0.28)      # thigh servo; its arm's end
C, D = (-0.164, 0.26), (-0.085, 0.11)    # the limb's lever; the limb's and the knee servo's hinge
E, F = (-0.225, 0.205), (-0.228, -0.29)  # the knee arm's end; the calf's lever
G = (-0.085, -0.39)                      # the limb's lower end: knee

# Lateral distance of each part from the middle.
Y_ARM, Y_LIMB, Y_KNEE_ARM, Y_ROD, Y_CALF = 0.582, 0.569, 0.604, 0.654, 0.611

ROTOR = 1.0         # reflected inertia of every hinge
SERVO_DAMPING, CALF_DAMPING, BEARING_DAMPING = 10.0, 5.0, 0.05
SERVO_KP, SERVO_KV = 200, 1
# Give of the linkages under load: a few mrad at the thigh, about 0.02 rad of calf at 100 units of
# force at the foot, as the bars' pinned ends have it.
LIMB_GIVE = 'solref="0.02 1" solimp="0.8 0.8 0.001"'
CALF_GIVE = 'solref="0.03 1" solimp="0.7 0.7 0.001"'


# ---- linkages -----------------------------------------------------------------------------------

def turn(p, centre, angle):
    """p about centre by an angle of a left leg: up goes forwards."""
    x, z = p[0] - centre[0], p[1] - centre[1]
    c, s = math.cos(angle), math.sin(angle)
    return (centre[0] + c * x + s * z, centre[1] - s * x + c * z)


def close(p, from_p, q, from_q, near):
    """The point at distance from_p of p and from_q of q on the side of `near`."""
    dx, dz = q[0] - p[0], q[1] - p[1]
    d = math.hypot(dx, dz)
    a = (from_p**2 - from_q**2 + d * d) / (2 * d)
    h = math.sqrt(from_p**2 - a * a)
    both = [(p[0] + (a * dx + s * h * dz) / d, p[1] + (a * dz - s * h * dx) / d) for s in (1, -1)]
    return min(both, key=lambda r: math.dist(r, near))


def angle_between(a, b):
    """From direction a to direction b, as turn() counts it."""
    return math.atan2(a[1] * b[0] - a[0] * b[1], a[0] * b[0] + a[1] * b[1])


def minus(a, b):
    return (a[0] - b[0], a[1] - b[1])


def follow(hinge, arm, lever, lever_hinge, angles):
    """Angle of lever against that of the arm, around a four-bar; starts at 0, small steps."""
    near, out = lever, []
    for t in angles:
        end = turn(arm, hinge, t)
        near = close(end, math.dist(arm, lever), lever_hinge, math.dist(lever, lever_hinge), near)
        out.append(angle_between(minus(lever, lever_hinge), minus(near, lever_hinge)))
    return out


def fit(x, y, degree=4):
    """Least-squares polynomial without a constant; coefficients of x, x^2, ..."""
    n = degree
    m = [[sum(a ** (i + j + 2) for a in x) for j in range(n)] +
         [sum(b * a ** (i + 1) for a, b in zip(x, y))] for i in range(n)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(m[r][i]))
        m[i], m[pivot] = m[pivot], m[i]
        for r in range(n):
            if r != i:
                f = m[r][i] / m[i][i]
                m[r] = [u - f * v for u, v in zip(m[r], m[i])]
    return [m[i][n] / m[i][i] for i in range(n)]


def span(lo, hi, n=200):
    """From 0 down to lo, and from 0 up to hi, so that a linkage can be followed."""
    return [lo * i / n for i in range(n + 1)], [hi * i / n for i in range(n + 1)]


def linkage(lo, hi, hinge, arm, lever, lever_hinge):
    x, y = [], []
    for part in span(lo, hi):
        x += part
        y += follow(hinge, arm, lever, lever_hinge, part)
    return fit(x, y)


LIMB_OF_THIGH = linkage(-0.1, 0.8, A, B, C, D)
CALF_OF_KNEE = linkage(-1.3, 0.6, D, E, F, G)  # both against the limb


# ---- masses -------------------------------------------------------------------------------------

class Mass:
    """m; centre; inertia about it: xx, yy, zz, xy, xz, yz."""

    def __init__(self, m, centre, inertia=(0, 0, 0, 0, 0, 0)):
        self.m, self.centre, self.inertia = m, centre, inertia

    def __add__(self, o):
        m = self.m + o.m
        c = tuple((self.m * p + o.m * q) / m for p, q in zip(self.centre, o.centre))
        total = [0.0] * 6
        for part in (self, o):
            x, y, z = (p - q for p, q in zip(part.centre, c))
            steiner = (y * y + z * z, x * x + z * z, x * x + y * y, -x * y, -x * z, -y * z)
            total = [t + i + part.m * s for t, i, s in zip(total, part.inertia, steiner)]
        return Mass(m, c, total)

    def xml(self, origin):
        c = [p - q for p, q in zip(self.centre, origin)]
        return (f'<inertial mass="{self.m:.5g}" pos="{nums(c)}" '
                f'fullinertia="{nums(self.inertia)}"/>')


TRUNK = Mass(30.566, (0.035, 0, 0.0515), (4.826, 25.73, 29.57, 0, 0, 0))


def leg_masses(x, side):
    """Arm, limb, knee arm, calf of the leg whose hip is x in front of the trunk's frame."""
    def mass(m, at, y, inertia):
        xx, yy, zz, xz = inertia
        return Mass(m, (x + at[0], side * y, at[1]), (xx, yy, zz, 0, xz, 0))

    def end(m, at, y):
        return mass(m, at, y, (0, 0, 0, 0))

    thigh_rod, knee_rod = 0.0945 / 2, 0.2955 / 2
    return {
        "arm": mass(0.1324, (0.085, 0.191), Y_ARM, (6.35e-4, 6.78e-4, 7.5e-5, 0)) +
        end(thigh_rod, B, 0.531),
        "limb": mass(0.8324, (-0.0874, -0.0518), Y_LIMB, (3.736e-2, 3.9e-2, 1.83e-3, 1.82e-3)) +
        end(thigh_rod, C, 0.531),
        "knee_arm": mass(0.3389, (-0.12, 0.135), Y_KNEE_ARM, (9.3e-4, 2.07e-3, 1.41e-3, 7.0e-4)) +
        end(knee_rod, E, Y_ROD),
        "calf": mass(0.6206, (0.042, -0.468), Y_CALF, (7.25e-3, 2.365e-2, 1.655e-2, 1.0e-2)) +
        end(knee_rod, F, Y_ROD),
    }


# ---- writing ------------------------------------------------------------------------------------

def nums(values):
    return " ".join(f"{v + 0:.6g}" for v in values)


class Xml:
    def __init__(self):
        self.lines, self.depth = [], 0

    def __call__(self, text):
        if text.startswith("</"):
            self.depth -= 1
        self.lines.append("  " * self.depth + text)
        opens = text.startswith("<") and not text.startswith(("</", "<!--"))
        if opens and not text.endswith("/>") and "</" not in text:
            self.depth += 1

    def save(self, path):
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join(self.lines) + "\n")


def bar(p, q, y, radius, origin, extra):
    """A capsule from p to q of the leg plane."""
    ends = [p[0] - origin[0], y - origin[1], p[1] - origin[2],
            q[0] - origin[0], y - origin[1], q[1] - origin[2]]
    return f'<geom type="capsule" size="{radius:g}" fromto="{nums(ends)}" {extra}/>'


def shift(p, x):
    return (p[0] + x, p[1])


def hinge(name, side, armature, damping, extra=""):
    return (f'<joint name="{name}" axis="0 {side} 0" armature="{armature:.4g}" '
            f'damping="{damping:.4g}"{extra}/>')


# The calf: rounded ends of its sole, which touch the ground; and its looks (leg plane).
TOE, HEEL, SOLE_RADIUS = (0.35, -0.6367), (0.2557, -0.6388), 0.03
SHIN = [((0.35, -0.6367), (0.2557, -0.6388), 0.03), ((0.2557, -0.6388), (-0.1129, -0.4255), 0.03),
        ((0.35, -0.6367), (0.095, -0.406), 0.03), ((-0.1129, -0.4255), (-0.2243, -0.2923), 0.038)]
KNEE_RADIUS = 0.07


def ball(p, y, radius, origin, extra):
    at = (p[0] - origin[0], y - origin[1], p[1] - origin[2])
    return f'<geom type="sphere" size="{radius:g}" pos="{nums(at)}" {extra}/>'


def write_leg(w, fb, lr):
    side, x, name = (1 if lr == "l" else -1), HIP_X[fb], fb + lr
    masses = leg_masses(x, side)
    y = {k: side * v for k, v in dict(arm=Y_ARM, limb=Y_LIMB, knee=Y_KNEE_ARM, rod=Y_ROD,
                                      calf=Y_CALF).items()}
    thigh_range = "0 0.7854" if side > 0 else "-0.7854 0"

    at = (x + A[0], y["arm"], A[1])
    w(f'<body name="thigh_arm_{name}" pos="{nums(at)}">')
    w(masses["arm"].xml(at))
    # The rod turns about a third as far as the arm, so its hinge on the arm two thirds.
    w(hinge(f"thigh_joint1_{name}", side, ROTOR * 1.45, SERVO_DAMPING + 0.45 * BEARING_DAMPING,
            f' limited="true" range="{thigh_range}"'))
    w(bar(shift(A, x), shift(B, x), y["arm"], 0.03, at, 'class="arm"'))
    w("</body>")

    at = limb_at = (x + D[0], y["limb"], D[1])
    w(f'<body name="limb_{name}" pos="{nums(at)}">')
    w(masses["limb"].xml(at))
    w(hinge(f"limb_joint_{name}", side, ROTOR, BEARING_DAMPING))
    w(ball(shift(G, x), y["limb"], KNEE_RADIUS, at, f'name="knee_{name}" class="part"'))
    w(bar(shift(D, x), shift(G, x), y["limb"], 0.065, at, 'class="part" rgba="0.16 0.42 0.75 1"'))
    w(bar(shift(D, x), shift(C, x), y["limb"], 0.035, at, 'class="arm"'))
    at = (x + G[0], y["calf"], G[1])
    w(f'<body name="calf_{name}" pos="{nums(p - q for p, q in zip(at, limb_at))}">')
    w(masses["calf"].xml(at))
    # Both ends of the knee's rod turn as the calf does against the limb.
    w(hinge(f"calf_joint_{name}", side, 2 * ROTOR, CALF_DAMPING + BEARING_DAMPING))
    for what, p in (("toe", TOE), ("heel", HEEL)):
        w(ball(shift(p, x), y["calf"], SOLE_RADIUS, at, f'name="{what}_{name}" class="part"'))
    for p, q, radius in SHIN:
        w(bar(shift(p, x), shift(q, x), y["calf"], radius - 0.005, at, 'class="part"'))
    w("</body>")
    w("</body>")

    at = (x + D[0], y["knee"], D[1])
    w(f'<body name="knee_arm_{name}" pos="{nums(at)}">')
    w(masses["knee_arm"].xml(at))
    w(hinge(f"knee1_joint_{name}", side, ROTOR, SERVO_DAMPING,
            ' limited="true" range="-0.4363 0.4363"'))
    w(bar(shift(D, x), shift(E, x), y["rod"], 0.03, at, 'class="arm"'))
    w("</body>")


def write_trunk(w):
    w(f'<body name="quaid" pos="{START_X:g} 0 {HEIGHT:g}">')
    w("<freejoint/>")
    w(TRUNK.xml((0, 0, 0)))
    w('<site name="imu" pos="0 0 -0.08" size="0.01"/>')
    w('<geom name="belly" type="sphere" size="0.06" pos="0 0 -0.155" class="part"/>')
    w('<geom type="capsule" size="0.03" fromto="-0.94 0 -0.185 1 0 -0.185" class="part"/>')
    w('<geom name="board" type="box" size="0.3 0.14 0.04" pos="0 0 -0.11" class="part" '
      'rgba="0.1 0.35 0.2 1"/>')
    for fb, x in HIP_X.items():
        for z in (-0.15, 0.27):
            w(f'<geom type="capsule" size="0.03" fromto="{nums((x, -0.43, z, x, 0.43, z))}" '
              'class="part"/>')
        for lr, side in (("l", 1), ("r", -1)):
            for z, what in ((-0.12, "hip"), (0.24, "shoulder")):
                w(f'<geom name="{what}_{fb}{lr}" type="sphere" size="0.06" '
                  f'pos="{nums((x, side * 0.4, z))}" class="part"/>')
            for dx in (0.085, -0.085):
                w(f'<geom type="box" size="0.06 0.12 0.2" pos="{nums((x + dx, side * 0.4, 0.06))}" '
                  'class="part" rgba="0.12 0.12 0.13 1"/>')
    for fb in HIP_X:
        for lr in "lr":
            write_leg(w, fb, lr)
    w("</body>")


LEGS = ("fl", "fr", "bl", "br")


def polycoef(c, side):
    """For a right leg, f(x) becomes -f(-x)."""
    return "0 " + nums(v if side > 0 or i % 2 == 0 else -v for i, v in enumerate(c))


def write_robot(path):
    w = Xml()
    w("<mujoco>")
    w("<!-- The quadruped; scenes include it. Written by tools/make_quaid.py, which explains it. -->")
    w('<compiler angle="radian" inertiafromgeom="false" balanceinertia="true"/>')
    w('<option timestep="0.01" integrator="Euler" gravity="0 0 -9.81" iterations="20"/>')
    w('<size nconmax="100" njmax="500"/>')
    w("<default>")
    w('<joint limited="false"/>')
    w('<geom contype="0" conaffinity="0" friction="1 0.005 0.0001"/>')
    for name, color in (("part", "0.75 0.76 0.78 1"), ("arm", "0.9 0.55 0.15 1"),
                        ("ground", "0.6 0.5 0.38 1")):
        w(f'<default class="{name}">')
        w(f'<geom rgba="{color}"/>')
        w("</default>")
    w("</default>")
    w("<worldbody>")
    write_trunk(w)
    w("</worldbody>")
    w("<tendon>")
    for leg in LEGS:
        w(f'<fixed name="knee_{leg}">')
        w(f'<joint joint="knee1_joint_{leg}" coef="1"/>')
        w(f'<joint joint="limb_joint_{leg}" coef="-1"/>')
        w("</fixed>")
        w(f'<fixed name="calf_{leg}">')
        w(f'<joint joint="calf_joint_{leg}" coef="1"/>')
        w("</fixed>")
    w("</tendon>")
    w("<equality>")
    for leg in LEGS:
        side = 1 if leg[1] == "l" else -1
        w(f'<joint joint1="limb_joint_{leg}" joint2="thigh_joint1_{leg}" '
          f'polycoef="{polycoef(LIMB_OF_THIGH, side)}" {LIMB_GIVE}/>')
        w(f'<tendon tendon1="calf_{leg}" tendon2="knee_{leg}" '
          f'polycoef="{polycoef(CALF_OF_KNEE, side)}" {CALF_GIVE}/>')
    w("</equality>")
    w("<actuator>")
    for leg in LEGS:
        thigh = "0 0.6" if leg[1] == "l" else "-0.6 0"
        for joint, limits in (("knee1_joint", "-0.5 0.5"), ("thigh_joint1", thigh)):
            w(f'<position joint="{joint}_{leg}" kp="{SERVO_KP}" ctrllimited="true" '
              f'ctrlrange="{limits}"/>')
            w(f'<velocity joint="{joint}_{leg}" kv="{SERVO_KV}"/>')
    w("</actuator>")
    w("<sensor>")
    w('<framequat name="orientation" objtype="site" objname="imu"/>')
    w('<framepos name="position" objtype="site" objname="imu"/>')
    w('<accelerometer name="acceleration" site="imu"/>')
    w('<gyro name="gyro" site="imu"/>')
    w('<magnetometer name="magnetometer" site="imu"/>')
    w("</sensor>")
    w("</mujoco>")
    w.save(path)


SOLIDS = ["belly"] + [f"{what}_{leg}" for leg in LEGS
                      for what in ("toe", "heel", "knee", "hip", "shoulder")]


class Scene(Xml):
    """What is written into the world; grounds are named, for the list of what touches what."""

    def __init__(self):
        super().__init__()
        self.grounds, self.assets = [], []

    def ground(self, attributes, contact=""):
        name = f"ground{len(self.grounds)}"
        self.grounds.append((name, contact))
        self(f'<geom name="{name}" class="ground" {attributes}/>')

    def asset(self, text):
        self.assets.append(text)


def scene(folder, name, what, body):
    w = Scene()
    w(f'<mujoco model="quaid {name}">')
    w(f"<!-- {what} Written by tools/make_quaid.py. -->")
    w('<include file="robot.xml"/>')
    w('<statistic center="1 0 0" extent="3"/>')
    w("<visual>")
    w('<headlight ambient="0.35 0.35 0.35" diffuse="0.3 0.3 0.3"/>')
    w("</visual>")
    w("<asset>")
    w('<texture name="sky" type="skybox" builtin="gradient" rgb1="0.75 0.85 0.95" '
      'rgb2="0.95 0.97 1" width="64" height="64"/>')
    w('<texture name="tiles" type="2d" builtin="checker" rgb1="0.46 0.5 0.52" '
      'rgb2="0.42 0.46 0.48" width="64" height="64"/>')
    w('<material name="tiles" texture="tiles" texuniform="true" texrepeat="1 1"/>')
    w("</asset>")
    w("<worldbody>")
    w('<light directional="true" pos="0 -4 8" dir="0.3 0.4 -0.8" diffuse="0.6 0.6 0.6"/>')
    w.ground(f'type="plane" size="0 0 1" pos="0 0 {GROUND:g}" material="tiles" rgba="1 1 1 1"')
    body(w)
    w("</worldbody>")
    if w.assets:
        w("<asset>")
        for text in w.assets:
            w(text)
        w("</asset>")
    # All that can touch, so that MuJoCo need not search for it.
    w("<contact>")
    for solid in SOLIDS:
        for ground, contact in w.grounds:
            w(f'<pair geom1="{solid}" geom2="{ground}"{contact}/>')
    w("</contact>")
    w("</mujoco>")
    w.save(os.path.join(folder, name + ".xml"))


def slab(w, p, q, half_width=3, looks="", contact=""):
    """A box whose upper face runs from p to q (x, height above the floor)."""
    thick = 0.15
    length = math.dist(p, q)
    ux, uz = (q[0] - p[0]) / length, (q[1] - p[1]) / length
    centre = ((p[0] + q[0]) / 2 + uz * thick, 0, GROUND + (p[1] + q[1]) / 2 - ux * thick)
    w.ground(f'type="box" size="{nums((length / 2, half_width, thick))}" pos="{nums(centre)}" '
             f'euler="0 {-math.atan2(uz, ux):.6g} 0"{looks}', contact)


# Ascent, uneven ground, descent: x, height.
OBSTACLE = [(5.237, 0), (7.18, 0.248), (8.264, 0.248), (8.544, 0.192), (8.834, 0.243),
            (9.114, 0.192), (9.418, 0.253), (9.754, 0.192), (10.221, 0.276), (10.828, 0.178),
            (11.295, 0.257), (11.697, 0.192), (13.275, 0.453), (13.827, 0.337), (14.644, 0.337),
            (15.737, 0)]


def obstacle(w):
    for p, q in zip(OBSTACLE, OBSTACLE[1:]):
        slab(w, p, q)


def ramp(w):
    slab(w, (5.237, 0), (65.237, 5), half_width=4)


# A mat gives way by one to three mm under a foot.
MAT = {"looks": ' rgba="0.2 0.35 0.65 1"', "contact": ' solref="0.05 1" solimp="0.6 0.9 0.03"'}


def mat(w, start, end, height=0.12):
    slab(w, (start, 0), (start + 0.5, height), half_width=2, **MAT)
    slab(w, (start + 0.5, height), (end, height), half_width=2, **MAT)


def soft_mat(w):
    mat(w, 3, 60)


# A plank on an axle, its near end on the ground until the robot's weight is past the axle.
PLANK_START, PLANK_HALF, PLANK_TILT, PLANK_THICK = 4.0, 4.0, 0.12, 0.04


def pivot(w):
    c, s = math.cos(PLANK_TILT), math.sin(PLANK_TILT)
    x, height = PLANK_START + PLANK_HALF * c, PLANK_HALF * s
    mass = 20
    inertia = [mass / 3 * v for v in (1.5**2, PLANK_HALF**2, PLANK_HALF**2 + 1.5**2)]
    w(f'<body name="plank" pos="{x:.6g} 0 {GROUND + height:.6g}" euler="0 {-PLANK_TILT:g} 0">')
    # The near half is a little heavier; the stops give, and do not bounce.
    w(f'<inertial mass="{mass}" pos="-0.3 0 {-PLANK_THICK:g}" diaginertia="{nums(inertia)}"/>')
    w(f'<joint name="axle" axis="0 1 0" limited="true" range="0 {2 * PLANK_TILT:g}" '
      'damping="60" solreflimit="0.04 1"/>')
    w.ground(f'type="box" size="{PLANK_HALF:g} 1.5 {PLANK_THICK:g}" pos="0 0 {-PLANK_THICK:g}"')
    w("</body>")
    w(f'<geom type="cylinder" size="0.08 1.6" pos="{x:.6g} 0 {GROUND + height - 0.16:.6g}" '
      'euler="1.5708 0 0" class="arm"/>')
    mat(w, PLANK_START + 2 * PLANK_HALF * c + 0.1, 60, height=0.06)


ROUGH_CELL, ROUGH_COLUMNS, ROUGH_ROWS, ROUGH_HEIGHT, ROUGH_SEED = 0.2, 241, 31, 0.16, 1


def rough_heights():
    """Value noise of two octaves in 0..255; level where the robot starts."""
    state = [ROUGH_SEED]

    def random():  # numbers that no version of Python changes
        state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state[0] >> 33) / 2**31

    def octave(cells):
        n_row, n_column = ROUGH_ROWS // cells + 2, ROUGH_COLUMNS // cells + 2
        knots = [[random() for _ in range(n_column)] for _ in range(n_row)]

        def at(r, c):
            i, j, u, v = r // cells, c // cells, r % cells / cells, c % cells / cells
            u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
            return ((1 - u) * ((1 - v) * knots[i][j] + v * knots[i][j + 1]) +
                    u * ((1 - v) * knots[i + 1][j] + v * knots[i + 1][j + 1]))
        return at

    coarse, fine = octave(6), octave(2)
    return [[round(255 * min(c / 10, 1) * (0.7 * coarse(r, c) + 0.3 * fine(r, c)))
             for c in range(ROUGH_COLUMNS)] for r in range(ROUGH_ROWS)]


def write_png(path, rows):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(r) for r in rows), 9)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) +
                chunk(b"IEND", b""))


def rough(w):
    half = [ROUGH_CELL * (n - 1) / 2 for n in (ROUGH_COLUMNS, ROUGH_ROWS)]
    w.asset(f'<hfield name="rough" file="rough.png" size="{nums(half)} {ROUGH_HEIGHT:g} 0.2"/>')
    w.ground(f'type="hfield" hfield="rough" pos="{2.5 + half[0]:g} 0 {GROUND:g}"')


SCENES = [
    ("flat", "Level ground.", lambda w: None),
    ("obstacle", "The compound obstacle: level approach, ascent, uneven ground, descent, level "
     "exit.", obstacle),
    ("ramp", "A long ramp, five in sixty.", ramp),
    ("pivot", "A plank that tips from incline to decline under the robot, then a mat.", pivot),
    ("soft_mat", "A mat that gives way under the feet.", soft_mat),
    ("rough", "Random rough ground, up to 16 mm.", rough),
]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "models", "quaid")
    os.makedirs(folder, exist_ok=True)
    write_robot(os.path.join(folder, "robot.xml"))
    write_png(os.path.join(folder, "rough.png"), rough_heights())
    for name, what, body in SCENES:
        scene(folder, name, what, body)


if __name__ == "__main__":
    main()
