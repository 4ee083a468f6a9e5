#!/usr/bin/env python3
"""Trains the two pendulum policies that Deft ships, with PyTorch, and exports them as ONNX.

TD3 (Fujimoto et al. 2018) on Gymnasium's Pendulum-v1 dynamics, 2 x 64 ReLU. `td3` sees the three
observations; `ra-td3` sees [previous action, observation] and the top layer of a frozen random
3-layer GRU (hidden 16, no bias, cascade) in front, as in the paper's RA policies. Both give the
torque in [-1, 1]; the factor 2 is the last multiplication of the graph.

    /usr/bin/python3 tools/train_pendulum.py td3|ra-td3 [--seed N] [--steps N] [-o FILE.onnx]
"""
import argparse
import copy
import math

import numpy as np
import torch
from torch import nn

HID, LAYERS = 16, 3


class Pendulum:
    """Gymnasium's Pendulum-v1."""

    def __init__(self, rng):
        self.rng = rng

    def obs(self):
        return np.array([math.cos(self.th), math.sin(self.th), self.thdot], np.float32)

    def reset(self):
        self.th, self.thdot = self.rng.uniform(-math.pi, math.pi), self.rng.uniform(-1, 1)
        return self.obs()

    def step(self, torque):
        u = max(-2.0, min(2.0, torque))
        angle = (self.th + math.pi) % (2 * math.pi) - math.pi
        cost = angle ** 2 + 0.1 * self.thdot ** 2 + 0.001 * u ** 2
        self.thdot = max(-8.0, min(8.0, self.thdot + (15 * math.sin(self.th) + 3 * u) * 0.05))
        self.th += self.thdot * 0.05
        return self.obs(), -cost


def net(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
                         nn.Linear(64, n_out))


class Cell(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.x2h, self.h2h = nn.Linear(n_in, 3 * HID, bias=False), nn.Linear(HID, 3 * HID, bias=False)
        for p in self.parameters():
            nn.init.uniform_(p, -HID ** -0.5, HID ** -0.5)

    def forward(self, x, h):
        (xr, xz, xn), (hr, hz, hn) = self.x2h(x).chunk(3, 1), self.h2h(h).chunk(3, 1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return n + z * (h - n)


class Actor(nn.Module):
    def __init__(self, recurrent):
        super().__init__()
        self.encoder = nn.ModuleList(Cell(4 if i == 0 else HID) for i in range(LAYERS if recurrent else 0))
        self.actor = net(4 + HID if recurrent else 3, 1)

    def encode(self, x, h):
        """One step of the encoder: features and the new state [layers][1][hidden]."""
        y, new = x, []
        for i, cell in enumerate(self.encoder):
            y = cell(y, h[i])
            new.append(y)
        return torch.cat([x, y], 1), torch.stack(new)

    def head(self, features):
        return torch.tanh(self.actor(features))

    def forward(self, x, h=None):
        if not self.encoder:
            return self.head(x) * 2
        f, h = self.encode(x, h)
        return self.head(f) * 2, h


class Episode:
    """What the actor sees, step by step: features of the observation (and of the past)."""

    def __init__(self, actor, env):
        self.actor, self.env = actor, env

    def features(self, obs, action):
        if not self.actor.encoder:
            return torch.from_numpy(obs)
        x = torch.from_numpy(np.concatenate([[action], obs]).astype(np.float32))[None]
        with torch.no_grad():
            f, self.h = self.actor.encode(x, self.h)
        return f[0]

    def reset(self):
        self.h = torch.zeros(LAYERS, 1, HID)
        return self.features(self.env.reset(), 0.0)

    def step(self, action):
        obs, reward = self.env.step(2 * action)
        return self.features(obs, action), reward


def evaluate(actor, seed, episodes=50):
    total = []
    for k in range(episodes):
        e = Episode(actor, Pendulum(np.random.default_rng(seed + k)))
        f, s = e.reset(), 0.0
        for _ in range(200):
            with torch.no_grad():
                f, r = e.step(float(actor.head(f[None])))
            s += r
        total.append(s)
    return np.mean(total), np.std(total)


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    actor = Actor(args.algo == "ra-td3")
    n_f = actor.actor[0].in_features
    critics = nn.ModuleList([net(n_f + 1, 1), net(n_f + 1, 1)])
    target_actor, target_critics = copy.deepcopy(actor), copy.deepcopy(critics)
    opt_a = torch.optim.Adam(actor.actor.parameters(), 1e-3)
    opt_c = torch.optim.Adam(critics.parameters(), 1e-3)
    buf = [np.zeros((args.steps, n), np.float32) for n in (n_f, 1, 1, n_f)]
    env = Episode(actor, Pendulum(rng))
    best = (-1e9, None)
    f = env.reset()
    for t in range(args.steps):
        with torch.no_grad():
            a = float(actor.head(f[None])) + rng.normal(0, 0.1) if t > 1000 else rng.uniform(-1, 1)
        a = max(-1.0, min(1.0, a))
        f2, r = env.step(a)
        for b, v in zip(buf, (f, a, r, f2)):
            b[t] = v
        f = env.reset() if t % 200 == 199 else f2
        if t < 1000:
            continue
        i = rng.integers(0, t + 1, 100)
        s, u, rew, s2 = (torch.from_numpy(b[i]) for b in buf)
        with torch.no_grad():  # a time-out is no termination: always bootstrap
            u2 = target_actor.head(s2) + (torch.randn_like(u) * 0.2).clamp(-0.5, 0.5)
            x2 = torch.cat([s2, u2.clamp(-1, 1)], 1)
            y = rew + 0.99 * torch.min(target_critics[0](x2), target_critics[1](x2))
        x = torch.cat([s, u], 1)
        loss = sum(((c(x) - y) ** 2).mean() for c in critics)
        opt_c.zero_grad()
        loss.backward()
        opt_c.step()
        if t % 2 == 0:
            opt_a.zero_grad()
            (-critics[0](torch.cat([s, actor.head(s)], 1)).mean()).backward()
            opt_a.step()
            with torch.no_grad():
                for m, tm in ((actor, target_actor), (critics, target_critics)):
                    for p, tp in zip(m.parameters(), tm.parameters()):
                        tp.lerp_(p, 0.005)
        if t % 2000 == 1999:
            mean, sd = evaluate(actor, 1000, 10)
            print(f"{t + 1} steps: {mean:.1f} +- {sd:.1f}", flush=True)
            if mean > best[0]:
                best = (mean, copy.deepcopy(actor.state_dict()))
    actor.load_state_dict(best[1])
    print("best, 50 starts: %.1f +- %.1f" % evaluate(actor, 5000))
    return actor


def main():
    p = argparse.ArgumentParser()
    p.add_argument("algo", choices=["td3", "ra-td3"])
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--steps", type=int, default=20000)
    p.add_argument("-o", "--out")
    args = p.parse_args()
    actor = train(args).eval()
    out = args.out or f"models/pendulum/{args.algo}.onnx"
    if actor.encoder:
        torch.onnx.export(actor, (torch.zeros(1, 4), torch.zeros(LAYERS, 1, HID)), out,
                          opset_version=17, input_names=["observations", "h_t_in"],
                          output_names=["action", "h_t"])
    else:
        torch.onnx.export(actor, torch.zeros(1, 3), out, opset_version=17,
                          input_names=["observations"], output_names=["action"])
    print("wrote", out)


if __name__ == "__main__":
    main()
