#!/usr/bin/env python3
"""Ten optimizer steps of TD3 and SAC as PyTorch takes them.

Writes tests/golden/train/NAME.txt, lines "name count values...": the parameters before, the batches
with their noise, and the parameters after. Parameters of a network are one vector, layer by layer W
then b (then gamma, beta of LayerNorm), as in src/train/net.h. Needs Debian's python3-torch;
deterministic.

    /usr/bin/python3 tools/make_train_fixtures.py
"""
import copy
import pathlib

import torch
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/train"
OBS, ACT, ROWS, STEPS, HIDDEN = 5, 2, 6, 10, (9, 7)
RATE, TAU, GAMMA = 3e-3, 0.01, 0.97


def mlp(n_in, n_out, norm=False, unit=nn.ReLU):
    layers, width = [], n_in
    for h in HIDDEN:
        layers.append(nn.Linear(width, h))
        if norm:
            layers.append(nn.LayerNorm(h))
        layers.append(unit())
        width = h
    return nn.Sequential(*layers, nn.Linear(width, n_out))


def flat(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def sample(net, obs, noise):
    mean, log_std = net(obs).chunk(2, -1)
    std = log_std.clamp(-20, 2).exp()
    u = mean + std * noise
    log_prob = torch.distributions.Normal(mean, std).log_prob(u).sum(-1)
    log_prob -= (2 * (torch.log(torch.tensor(2.0)) - u - nn.functional.softplus(-2 * u))).sum(-1)
    return torch.tanh(u), log_prob


class Writer:
    def __init__(self, name):
        OUT.mkdir(parents=True, exist_ok=True)
        self.file = open(OUT / f"{name}.txt", "w")

    def put(self, name, values):
        values = values.detach().double().reshape(-1).tolist()
        print(name, len(values), *(f"{v:.9g}" for v in values), file=self.file)


def make(name, algo, norm=False, unit=nn.ReLU):
    torch.manual_seed(7)
    w = Writer(name)
    actor = mlp(OBS, 2 * ACT if algo == "sac" else ACT, unit=unit)
    critics = [mlp(OBS + ACT, 1, norm, unit) for _ in range(2)]
    actor_target, critic_targets = copy.deepcopy(actor), copy.deepcopy(critics)
    log_alpha = torch.tensor([-0.7], requires_grad=True)
    w.put("log_alpha", log_alpha)
    for label, net in zip(("actor", "critic0", "critic1"), (actor, *critics)):
        w.put(label, flat(net))
    opt_a = torch.optim.Adam(actor.parameters(), RATE)
    opt_c = [torch.optim.Adam(c.parameters(), RATE) for c in critics]
    opt_alpha = torch.optim.Adam([log_alpha], RATE)

    for step in range(1, STEPS + 1):
        b = {"obs": torch.randn(ROWS, OBS), "act": torch.rand(ROWS, ACT) * 2 - 1,
             "reward": torch.randn(ROWS), "next_obs": torch.randn(ROWS, OBS),
             "discount": GAMMA * (torch.rand(ROWS) > 0.3).float(),
             "noise": torch.randn(ROWS, ACT), "noise2": torch.randn(ROWS, ACT)}
        for k, v in b.items():
            w.put(k, v)
        alpha = log_alpha.exp().item()
        with torch.no_grad():
            if algo == "sac":
                a2, lp2 = sample(actor, b["next_obs"], b["noise"])
            else:
                e = (b["noise"] * 0.2).clamp(-0.5, 0.5)
                a2, lp2 = (torch.tanh(actor_target(b["next_obs"])) + e).clamp(-1, 1), 0
            x2 = torch.cat([b["next_obs"], a2], -1)
            q2 = torch.min(*(c(x2) for c in critic_targets)).squeeze(-1)
            y = b["reward"] + b["discount"] * (q2 - (alpha * lp2 if algo == "sac" else 0))
        x = torch.cat([b["obs"], b["act"]], -1)
        for c, o in zip(critics, opt_c):
            loss = ((c(x).squeeze(-1) - y) ** 2).mean()
            o.zero_grad()
            loss.backward()
            o.step()
        if algo == "td3" and step % 2:
            continue
        if algo == "sac":
            pi, lp = sample(actor, b["obs"], b["noise2"])
            opt_alpha.zero_grad()
            (-(log_alpha * (lp - ACT).detach()).mean()).backward()
            opt_alpha.step()
            q = torch.min(*(c(torch.cat([b["obs"], pi], -1)) for c in critics)).squeeze(-1)
            loss = (alpha * lp - q).mean()
        else:
            pi = torch.tanh(actor(b["obs"]))
            loss = -critics[0](torch.cat([b["obs"], pi], -1)).mean()
        opt_a.zero_grad()
        loss.backward()
        opt_a.step()
        pairs = list(zip(critics, critic_targets)) + ([(actor, actor_target)] if algo == "td3" else [])
        with torch.no_grad():
            for net, target in pairs:
                for p, t in zip(net.parameters(), target.parameters()):
                    t += TAU * (p - t)
    for label, net in zip(("actor", "critic0", "critic1", "target0", "target1"),
                          (actor, *critics, *critic_targets)):
        w.put(label, flat(net))
    w.put("log_alpha", log_alpha)


make("td3", "td3")
make("sac", "sac")
make("td3_norm", "td3", norm=True, unit=nn.Tanh)
make("sac_elu_norm", "sac", norm=True, unit=nn.ELU)
