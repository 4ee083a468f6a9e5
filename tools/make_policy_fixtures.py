#!/usr/bin/env python3
"""Policies as PyTorch exporters write them, with what PyTorch computes for them.

Writes tests/golden/policies/NAME.onnx and NAME.csv for every module below. The CSV holds a
recurrent rollout from a zero state: columns obs0.. (what the network was fed, without a flag that
resets) and act0.. (what it answered). Needs Debian's python3-torch (1.13) and python3-onnx; deterministic.

    /usr/bin/python3 tools/make_policy_fixtures.py [NAME...]
"""
import pathlib
import sys
import warnings

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/policies"
OBS, ACT, HID, STEPS = 12, 4, 16, 60
REGISTRY = {}


def policy(opset=15, obs=OBS, steps=STEPS, **export):
    def wrap(make):
        REGISTRY[make.__name__] = (make, opset, obs, steps, export)
        return make

    return wrap


def mlp(sizes, act=nn.ReLU, last=None):
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < len(sizes) - 2:
            layers.append(act())
    if last is not None:
        layers.append(last)
    return nn.Sequential(*layers)


# --- Stable-Baselines3 -------------------------------------------------------------------------
class Sb3Ppo(nn.Module):
    """OnnxableSB3Policy of the SB3 documentation: (actions, values, log_prob) of an
    ActorCriticPolicy; the action is the mean of a diagonal Gaussian, clipped by the caller."""

    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.policy_net = nn.Sequential(nn.Linear(OBS, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.value_net = nn.Sequential(nn.Linear(OBS, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.action_net, self.value_head = nn.Linear(32, ACT), nn.Linear(32, 1)
        self.log_std = nn.Parameter(torch.full((ACT,), -0.5))

    def forward(self, observation):
        x = self.flatten(observation)
        mean = self.action_net(self.policy_net(x))
        std = torch.ones_like(mean) * self.log_std.exp()
        log_prob = -(((mean - mean) ** 2) / (2 * std ** 2) + self.log_std).sum(dim=1)
        return mean, self.value_head(self.value_net(x)), log_prob


@policy(opset=17, outputs=["actions", "values", "log_prob"])
def sb3_ppo():
    return Sb3Ppo()


@policy(opset=14)
def sb3_ppo_clipped():
    class Clipped(Sb3Ppo):
        def forward(self, observation):
            return torch.clamp(super().forward(observation)[0], -1.0, 1.0)

    return Clipped()


@policy(opset=13)
def sb3_sac():
    class Sac(nn.Module):
        def __init__(self):
            super().__init__()
            self.latent_pi = nn.Sequential(nn.Linear(OBS, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.mu, self.log_std = nn.Linear(32, ACT), nn.Linear(32, ACT)

        def forward(self, observation):
            x = self.latent_pi(observation)
            _ = torch.clamp(self.log_std(x), -20, 2)
            return torch.tanh(self.mu(x))

    return Sac()


@policy(opset=9)
def sb3_td3_opset9():
    return mlp([OBS, 32, 24, ACT], last=nn.Tanh())


@policy(opset=11)
def sb3_vecnormalize():
    """VecNormalize in front: clip((obs - mean) / sqrt(var + 1e-8), -10, 10)."""

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.linspace(-1, 1, OBS))
            self.register_buffer("var", torch.linspace(0.2, 3, OBS))
            self.net = mlp([OBS, 32, ACT], nn.Tanh, nn.Tanh())

        def forward(self, observation):
            x = (observation - self.mean) / torch.sqrt(self.var + 1e-8)
            return self.net(torch.clamp(x, -10.0, 10.0))

    return Norm()


@policy(opset=12)
def dqn_argmax():
    class Dqn(nn.Module):
        def __init__(self):
            super().__init__()
            self.q_net = mlp([OBS, 32, 32, 6])

        def forward(self, observation):
            return self.q_net(observation).argmax(dim=1)

    return Dqn()


# --- CleanRL -----------------------------------------------------------------------------------
@policy(opset=15)
def cleanrl_td3_scaled():
    """fc1, fc2, fc_mu; tanh * action_scale + action_bias."""

    class Actor(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc_mu = nn.Linear(OBS, 32), nn.Linear(32, 32), nn.Linear(32, ACT)
            self.register_buffer("action_scale", torch.tensor([2.0, 0.5, 1.0, 3.0]))
            self.register_buffer("action_bias", torch.tensor([0.0, 0.25, -1.0, 0.5]))

        def forward(self, x):
            x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
            return torch.tanh(self.fc_mu(x)) * self.action_scale + self.action_bias

    return Actor()


@policy(opset=16)
def cleanrl_sac_logstd():
    class Actor(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(OBS, 32), nn.Linear(32, 32)
            self.fc_mean, self.fc_logstd = nn.Linear(32, ACT), nn.Linear(32, ACT)

        def forward(self, x):
            x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
            log_std = torch.tanh(self.fc_logstd(x))
            return torch.tanh(self.fc_mean(x)), -5 + 0.5 * 7 * (log_std + 1)

    return Actor()


@policy(opset=17)
def sac_chunked_head():
    """One double-width head, halves split: the actor of the paper and of many repositories."""

    class Actor(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 32, 32, 2 * ACT])

        def forward(self, x):
            mean, _ = self.net(x).chunk(2, dim=-1)
            return torch.tanh(mean)

    return Actor()


@policy(opset=15)
def sac_indexed_head():
    class Actor(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 32, 32, 2 * ACT])

        def forward(self, x):
            return torch.tanh(self.net(x)[0][:ACT])

    return Actor()


# --- rsl_rl, legged_gym, IsaacLab ----------------------------------------------------------------
class EmpiricalNormalization(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.eps = 1e-2
        self.register_buffer("_mean", torch.randn(1, n) * 0.3)
        self.register_buffer("_std", torch.rand(1, n) + 0.3)

    def forward(self, x):
        return (x - self._mean) / (self._std + self.eps)


@policy(opset=11, obs=18)
def rsl_rl_elu():
    return mlp([18, 32, 24, 16, ACT], nn.ELU)


@policy(opset=17, obs=18)
def rsl_rl_normalized():
    return nn.Sequential(EmpiricalNormalization(18), mlp([18, 32, 24, ACT], nn.ELU))


class RslRnn(nn.Module):
    """_OnnxPolicyExporter of rsl_rl: actions, h_out (, c_out) = f(obs, h_in (, c_in))."""

    def __init__(self, kind, layers, norm):
        super().__init__()
        self.rnn = getattr(nn, kind)(OBS, HID, layers)
        self.norm = EmpiricalNormalization(OBS) if norm else nn.Identity()
        self.actor = mlp([HID, 24, ACT], nn.ELU)
        self.kind, self.layers = kind, layers

    def state(self):
        n = 2 if self.kind == "LSTM" else 1
        return [torch.zeros(self.layers, 1, HID) for _ in range(n)]

    names = property(lambda self: (["obs", "h_in", "c_in"], ["actions", "h_out", "c_out"])
                     if self.kind == "LSTM" else (["obs", "h_in"], ["actions", "h_out"]))

    def forward(self, obs, *state):
        hidden = state if self.kind == "LSTM" else state[0]
        y, hidden = self.rnn(self.norm(obs).unsqueeze(0), hidden)
        action = self.actor(y.squeeze(0))
        return (action, *hidden) if self.kind == "LSTM" else (action, hidden)


@policy(opset=11)
def rsl_rl_lstm():
    return RslRnn("LSTM", 1, True)


@policy(opset=17)
def rsl_rl_lstm_2_layers():
    return RslRnn("LSTM", 2, False)


@policy(opset=15)
def rsl_rl_gru():
    return RslRnn("GRU", 1, True)


for _n in (3, 8):
    def _make(n=_n):
        return RslRnn("GRU", n, False)

    _make.__name__ = f"native_gru_{_n}_layers"
    policy(opset=14)(_make)


# --- skrl, brax, others ------------------------------------------------------------------------
@policy(opset=15)
def skrl_gaussian():
    class Gaussian(nn.Module):
        def __init__(self):
            super().__init__()
            self.net_container = mlp([OBS, 32, 32], nn.ELU, nn.ELU())
            self.policy_layer = nn.Linear(32, ACT)
            self.log_std_parameter = nn.Parameter(torch.zeros(ACT))

        def forward(self, states):
            return self.policy_layer(self.net_container(states)), self.log_std_parameter

    return Gaussian()


@policy(opset=17)
def brax_swish():
    """Normaliser, swish, loc and scale split, tanh of loc."""

    class Brax(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.randn(OBS))
            self.register_buffer("std", torch.rand(OBS) + 0.5)
            self.net = mlp([OBS, 32, 32, 2 * ACT], nn.SiLU)

        def forward(self, obs):
            loc, _ = torch.split(self.net((obs - self.mean) / self.std), ACT, dim=-1)
            return torch.tanh(loc)

    return Brax()


@policy(opset=17)
def layernorm_gelu():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1, self.n1, self.l2, self.n2 = (
                nn.Linear(OBS, 32), nn.LayerNorm(32), nn.Linear(32, 32), nn.LayerNorm(32))
            self.out = nn.Linear(32, ACT)

        def forward(self, x):
            x = nn.functional.gelu(self.n1(self.l1(x)))
            x = nn.functional.gelu(self.n2(self.l2(x)))
            return torch.tanh(self.out(x))

    return Net()


@policy(opset=12)
def layernorm_decomposed():
    """Below opset 17 the exporter writes LayerNorm as ReduceMean, Sub, Pow, Sqrt, Div."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1, self.n1, self.out = nn.Linear(OBS, 32), nn.LayerNorm(32), nn.Linear(32, ACT)

        def forward(self, x):
            return torch.tanh(self.out(torch.relu(self.n1(self.l1(x)))))

    return Net()


@policy(opset=13)
def batchnorm():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn0, self.l1, self.bn1, self.out = (
                nn.BatchNorm1d(OBS), nn.Linear(OBS, 32), nn.BatchNorm1d(32), nn.Linear(32, ACT))
            for bn in (self.bn0, self.bn1):
                bn.running_mean.normal_()
                bn.running_var.uniform_(0.5, 2)
                bn.weight.data.uniform_(0.5, 2)
                bn.bias.data.normal_()

        def forward(self, x):
            return torch.tanh(self.out(torch.relu(self.bn1(self.l1(self.bn0(x))))))

    return Net()


@policy(opset=15)
def residual_mlp():
    """SimBa-like: residual blocks with pre-LayerNorm."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Linear(OBS, 24), nn.Linear(24, ACT)
            self.norm = nn.ModuleList(nn.LayerNorm(24) for _ in range(3))
            self.up = nn.ModuleList(nn.Linear(24, 48) for _ in range(2))
            self.down = nn.ModuleList(nn.Linear(48, 24) for _ in range(2))

        def forward(self, x):
            x = self.embed(x)
            for norm, up, down in zip(self.norm, self.up, self.down):
                x = x + down(torch.relu(up(norm(x))))
            return torch.tanh(self.out(self.norm[2](x)))

    return Net()


def _activation_policy(name, module, opset=15):
    def make():
        return mlp([OBS, 24, 24, ACT], module, nn.Tanh())

    make.__name__ = f"activation_{name}"
    policy(opset=opset)(make)


for _name, _module in {
    "leaky_relu": lambda: nn.LeakyReLU(0.05), "elu": lambda: nn.ELU(0.7), "selu": nn.SELU,
    "softplus": nn.Softplus, "softsign": nn.Softsign, "silu": nn.SiLU, "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"), "sigmoid": nn.Sigmoid, "hardtanh": nn.Hardtanh,
    "relu6": nn.ReLU6, "tanh": nn.Tanh,
}.items():
    _activation_policy(_name, _module)


@policy(opset=15)
def goal_and_proprio():
    """Two observation inputs, concatenated."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 32, ACT], nn.ReLU, nn.Tanh())

        def forward(self, proprio, goal):
            return self.net(torch.cat([proprio, goal], dim=-1))

    n = Net()
    n.split = [9, 3]
    n.names = (["proprio", "goal"], ["action"])
    return n


# --- recurrent policies from primitives ----------------------------------------------------------
class AugCell(nn.Module):
    """The paper's quantizable GRU cell: two bias-free linear maps, gates r, z, n."""

    def __init__(self, n_in, hidden, bias=False):
        super().__init__()
        self.x2h = nn.Linear(n_in, 3 * hidden, bias=bias)
        self.h2h = nn.Linear(hidden, 3 * hidden, bias=bias)
        for p in self.parameters():
            nn.init.uniform_(p, -hidden ** -0.5 * 2, hidden ** -0.5 * 2)

    def gates(self, x, h):
        return self.x2h(x).chunk(3, 1), self.h2h(h).chunk(3, 1)

    def forward(self, x, h):
        (xr, xz, xn), (hr, hz, hn) = self.gates(x, h)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return n + z * (h - n)


class AugPolicy(nn.Module):
    """concat(x, top h) -> actor; state [layers][1][hidden]. form: how slices and the new state are
    written, and with them what the exporter makes of it."""

    def __init__(self, form="stack", layers=3, bias=False, delayed=False, cell=AugCell, concat=True):
        super().__init__()
        self.rl_gru = nn.ModuleList(
            cell(OBS if i == 0 else HID, HID, bias) for i in range(layers))
        self.actor = mlp([OBS + HID if concat else HID, 24, 24, ACT], nn.ReLU, nn.Tanh())
        self.form, self.layers, self.delayed, self.concat = form, layers, delayed, concat

    def state(self):
        return [torch.zeros(self.layers, 1, HID)]

    names = (["observations", "h_t_in"], ["action", "h_t"])

    def forward(self, x, h):
        y, new = x, []
        out = torch.zeros_like(h) if self.form == "scatter_zero" else h.clone()
        for i, cell in enumerate(self.rl_gru):
            new.append(cell(y, h[i]))
            if self.form.startswith("scatter"):
                out[i] = new[i]
            y = h[i] if self.delayed else new[i]
        y = new[-1]
        a = self.actor(torch.cat([x, y], 1) if self.concat else y)
        if self.form == "stack":
            return a, torch.stack(new)
        if self.form == "cat":
            return a, torch.cat([n.unsqueeze(0) for n in new], 0)
        return a, out


def _aug(name, opset=15, **kw):
    def make():
        return AugPolicy(**kw)

    make.__name__ = name
    policy(opset=opset)(make)


_aug("aug_stack", 17)
_aug("aug_cat_bias", 13, form="cat", bias=True)
_aug("aug_scatter", 15, form="scatter")
_aug("aug_scatter_zero_opset11", 11, form="scatter_zero")
_aug("aug_delayed", 17, delayed=True)
_aug("aug_delayed_scatter", 15, delayed=True, form="scatter")
_aug("aug_encoder_only", 15, concat=False, layers=1)


class SliceCell(AugCell):
    """Gates by slicing; h' = (1 - z) n + z h."""

    def forward(self, x, h):
        gx, gh, n = self.x2h(x), self.h2h(h), h.shape[1]
        r = torch.sigmoid(gx[:, :n] + gh[:, :n])
        z = torch.sigmoid(gx[:, n:2 * n] + gh[:, n:2 * n])
        new = torch.tanh(gx[:, 2 * n:] + r * gh[:, 2 * n:])
        return (1 - z) * new + z * h


_aug("aug_slices", 15, cell=SliceCell, layers=2, bias=True)
_aug("aug_slices_scatter_delayed", 14, cell=SliceCell, form="scatter", delayed=True)


class GateCell(nn.Module):
    """Six separate maps, as textbooks write it."""

    def __init__(self, n_in, hidden, bias=True):
        super().__init__()
        for g in "rzn":
            setattr(self, "w" + g, nn.Linear(n_in, hidden, bias=bias))
            setattr(self, "u" + g, nn.Linear(hidden, hidden, bias=bias))

    def forward(self, x, h):
        r = torch.sigmoid(self.wr(x) + self.ur(h))
        z = torch.sigmoid(self.wz(x) + self.uz(h))
        n = torch.tanh(self.wn(x) + r * self.un(h))
        return z * h + (1 - z) * n


class KerasCell(GateCell):
    """reset_after=False: the reset gate acts before the matrix product."""

    def forward(self, x, h):
        r = torch.sigmoid(self.wr(x) + self.ur(h))
        z = torch.sigmoid(self.wz(x) + self.uz(h))
        n = torch.tanh(self.wn(x) + self.un(r * h))
        return z * h + (1 - z) * n


class ConcatCell(nn.Module):
    """One map over [x, h] for both gates, one over [x, r * h] (TensorFlow's GRUCell)."""

    def __init__(self, n_in, hidden, bias=True):
        super().__init__()
        self.gates = nn.Linear(n_in + hidden, 2 * hidden, bias=bias)
        self.candidate = nn.Linear(n_in + hidden, hidden, bias=bias)

    def forward(self, x, h):
        z, r = torch.sigmoid(self.gates(torch.cat([x, h], 1))).chunk(2, 1)
        n = torch.tanh(self.candidate(torch.cat([x, r * h], 1)))
        return z * h + (1 - z) * n


_aug("gates_separate", 15, cell=GateCell, bias=True)
_aug("gates_keras_reset_before", 15, cell=KerasCell, bias=True, layers=2)
_aug("gates_concat_reset_before", 15, cell=ConcatCell, bias=True, layers=1)


@policy(opset=15)
def grucell_module():
    """nn.GRUCell, which the exporter turns into primitives or a GRU op."""

    class Net(nn.Module):
        names = (["obs", "h_in"], ["action", "h_out"])

        def __init__(self):
            super().__init__()
            self.cell, self.actor = nn.GRUCell(OBS, HID), mlp([HID, ACT], last=nn.Tanh())

        def state(self):
            return [torch.zeros(1, HID)]

        def forward(self, obs, h):
            h = self.cell(obs, h)
            return self.actor(h), h

    return Net()


@policy(opset=15)
def lstm_primitives():
    class Net(nn.Module):
        names = (["obs", "h_in", "c_in"], ["action", "h_out", "c_out"])

        def __init__(self):
            super().__init__()
            self.x2h, self.h2h = nn.Linear(OBS, 4 * HID), nn.Linear(HID, 4 * HID)
            self.actor = mlp([HID, ACT], last=nn.Tanh())

        def state(self):
            return [torch.zeros(1, HID), torch.zeros(1, HID)]

        def forward(self, obs, h, c):
            i, f, g, o = (self.x2h(obs) + self.h2h(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return self.actor(h), h, c

    return Net()


# --- the same in disguise ------------------------------------------------------------------------
class Parts(nn.Module):
    """Activations written out, as older or hand-made code has them, one a layer."""

    def __init__(self, functions):
        super().__init__()
        n = len(functions)
        self.layer = nn.ModuleList(nn.Linear(OBS if i == 0 else 16, 16) for i in range(n))
        self.out, self.functions = nn.Linear(16, ACT), functions

    def forward(self, x):
        for layer, f in zip(self.layer, self.functions):
            x = f(layer(x))
        return self.out(x)


@policy(opset=15)
def parts_exponential():
    return Parts([
        lambda y: torch.where(y > 0, y, torch.exp(y) - 1),
        lambda y: torch.log(1 + torch.exp(y)),
        lambda y: y / (1 + torch.exp(-y)),
        lambda y: 1 / (1 + torch.exp(-y)),
        lambda y: 2 * torch.sigmoid(2 * y) - 1,
        lambda y: 0.5 * torch.tanh(0.5 * y) + 0.5,
    ])


@policy(opset=13)
def parts_piecewise():
    return Parts([
        lambda y: torch.maximum(y, 0.1 * y),
        lambda y: y * 0.5 * (1 + torch.erf(y * 0.70710678)),
        lambda y: 0.5 * y * (1 + torch.tanh(0.7978845608 * (y + 0.044715 * torch.pow(y, 3)))),
        lambda y: y / (1 + torch.abs(y)),
        lambda y: torch.minimum(torch.maximum(y, torch.tensor(-1.0)), torch.tensor(1.5)),
    ])


@policy(opset=14)
def parts_composed():
    """No activation of ours: hard swish, mish, a slope for each channel, gating."""
    net = Parts([nn.functional.hardswish, nn.functional.mish, nn.PReLU(16),
                 lambda y: y * torch.sigmoid(1.702 * y), lambda y: torch.relu(y) ** 2])
    net.prelu = net.functions[2]
    net.prelu.weight.data.uniform_(0, 0.5)
    return net


@policy(opset=12)
def dueling_q():
    """Q = V + A - mean(A); the action is its argmax."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.v, self.a = nn.Linear(OBS, 24), nn.Linear(24, 1), nn.Linear(24, 5)

        def forward(self, x):
            x = torch.relu(self.body(x))
            a = self.a(x)
            return (self.v(x) + a - a.mean(1, keepdim=True)).argmax(1)

    return Net()


@policy(opset=15)
def sb3_unscaled():
    """SB3's unscale_action: low + 0.5 (a + 1) (high - low)."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, ACT], last=nn.Tanh())
            self.register_buffer("low", torch.tensor([-1.0, -2.0, 0.0, -3.0]))
            self.register_buffer("high", torch.tensor([1.0, 2.0, 5.0, 3.0]))

        def forward(self, x):
            return self.low + 0.5 * (self.net(x) + 1) * (self.high - self.low)

    return Net()


@policy(opset=13)
def box_clipped():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, ACT])
            self.register_buffer("low", torch.tensor([-0.1, -0.2, 0.0, -0.3]))
            self.register_buffer("high", torch.tensor([0.1, 0.2, 0.5, 0.3]))

        def forward(self, x):
            return torch.max(torch.min(self.net(x), self.high), self.low)

    return Net()


@policy(opset=15)
def partly_normalised():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, ACT], last=nn.Tanh())
            self.register_buffer("mean", torch.randn(9))
            self.register_buffer("std", torch.rand(9) + 0.5)

        def forward(self, x):
            return self.net(torch.cat([(x[:, :9] - self.mean) / self.std, x[:, 9:]], 1))

    return Net()


@policy(opset=13)
def batchnorm_behind_relu():
    net = nn.Sequential(nn.Linear(OBS, 24), nn.ReLU(), nn.BatchNorm1d(24), nn.Linear(24, ACT))
    net[2].running_mean.normal_()
    net[2].running_var.uniform_(0.5, 2)
    return net


@policy(opset=15)
def d2rl_weight_norm():
    """Weight normalisation computed in the graph; the observation at every layer."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            norm = nn.utils.weight_norm
            self.l1, self.l2 = norm(nn.Linear(OBS, 24)), norm(nn.Linear(24 + OBS, 24))
            self.out = nn.Linear(24 + OBS, ACT)

        def forward(self, x):
            y = torch.relu(self.l1(x))
            y = torch.relu(self.l2(torch.cat([y, x], 1)))
            return torch.tanh(self.out(torch.cat([y, x], 1)))

    return Net()


@policy(opset=15)
def column_vectors():
    """W @ x with columns, biases added first."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1, self.l2 = nn.Linear(OBS, 24), nn.Linear(24, ACT)

        def forward(self, x):
            y = torch.relu(self.l1.bias[:, None] + self.l1.weight @ x.t())
            return torch.tanh((self.l2.bias[:, None] + self.l2.weight @ y).t())

    return Net()


@policy(opset=14)
def layernorm_by_hand():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1, self.out = nn.Linear(OBS, 24), nn.Linear(24, ACT)
            self.gamma = nn.Parameter(torch.rand(24) + 0.5)
            self.beta = nn.Parameter(torch.randn(24) * 0.1)

        def forward(self, x):
            y = self.l1(x)
            var = y.var(-1, unbiased=False, keepdim=True)
            y = (y - y.mean(-1, keepdim=True)) * torch.rsqrt(var + 1e-6)
            return self.out(torch.tanh(y * self.gamma + self.beta))

    return Net()


@policy(opset=13)
def double_precision():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, ACT], last=nn.Tanh()).double()

        def forward(self, x):
            return self.net(x.double()).float()

    return Net()


class FormCell(AugCell):
    """AugCell with the update written as `form` (of r, z, c, f, h) says."""

    form = None

    def forward(self, x, h):
        (xr, xz, xn), (hr, hz, hn) = self.gates(x, h)
        return type(self).form(torch.sigmoid(xr + hr), torch.sigmoid(xz + hz), xn, hn, h)


def _form(name, form):
    _aug(name, 15, cell=type(name, (FormCell,), {"form": staticmethod(form)}), layers=2, bias=True)


def _candidate(r, z, c, f, h):
    return torch.tanh(c + r * f)


# the gate the other way round (Chung et al. 2014), differences, no reset gate
_form("gru_flipped_gate", lambda *a: (1 - a[1]) * a[4] + a[1] * _candidate(*a))
_form("gru_differences", lambda *a: _candidate(*a) - a[1] * (_candidate(*a) - a[4]))
_form("gru_without_reset", lambda r, z, c, f, h: z * h + (1 - z) * torch.tanh(c + f))


class States(AugPolicy):
    """The state in one tensor a layer, or all layers in one row."""

    def __init__(self, flat, **kw):
        super().__init__(**kw)
        self.flat = flat

    def state(self):
        if self.flat:
            return [torch.zeros(1, self.layers * HID)]
        return [torch.zeros(1, HID) for _ in range(self.layers)]

    names = property(lambda self: (["obs", "hidden"], ["action", "new_hidden"]) if self.flat else (
        ["obs", *(f"h{i}" for i in range(self.layers))],
        ["action", *(f"h{i}_new" for i in range(self.layers))]))

    def forward(self, x, *state):
        a, h = super().forward(x, (state[0].view(self.layers, 1, HID) if self.flat
                                   else torch.stack(state)))
        return (a, h.view(1, -1)) if self.flat else (a, *(h[i] for i in range(self.layers)))


@policy(opset=15)
def states_apart_delayed():
    return States(flat=False, delayed=True)


@policy(opset=17)
def states_in_a_row():
    return States(flat=True, layers=2)


class LstmStack(nn.Module):
    def __init__(self, layers, delayed=False, packed=False):
        super().__init__()
        self.x2h = nn.ModuleList(nn.Linear(HID, 4 * HID) for _ in range(layers))
        self.h2h = nn.ModuleList(nn.Linear(HID, 4 * HID) for _ in range(layers))
        self.embed, self.actor = nn.Linear(OBS, HID), nn.Linear(HID, ACT)
        self.layers, self.delayed, self.packed = layers, delayed, packed

    names = property(lambda self: (["obs", "state"], ["action", "state_new"]) if self.packed else
                     (["obs", "c", "h"], ["action", "c_new", "h_new"]))

    def state(self):
        shape = (2, self.layers, HID) if self.packed else (self.layers, 1, HID)
        return [torch.zeros(shape)] * (1 if self.packed else 2)

    def forward(self, x, *state):
        y, new = torch.tanh(self.embed(x)), ([], [])
        for k in range(self.layers):
            h = state[0][0][k:k + 1] if self.packed else state[1][k]
            c = state[0][1][k:k + 1] if self.packed else state[0][k]
            i, f, g, o = (self.x2h[k](y) + self.h2h[k](h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new[1].append(c)
            new[0].append(torch.sigmoid(o) * torch.tanh(c))
            y = h if self.delayed else new[0][-1]
        a = torch.tanh(self.actor(new[0][-1]))
        if self.packed:
            return a, torch.stack([torch.cat(new[0]), torch.cat(new[1])])
        return a, torch.stack(new[1]), torch.stack(new[0])


@policy(opset=15, obs=HID)
def lstm_observations_as_wide_as_h():
    """Nothing but names and the wiring tells h from the observation."""

    class Net(LstmStack):
        def __init__(self):
            super().__init__(1)
            self.embed = nn.Linear(HID, HID)

        def state(self):
            return [torch.zeros(1, HID)] * 2

        def forward(self, x, c, h):
            a, c, h = super().forward(x, c.unsqueeze(0), h.unsqueeze(0))
            return a, c[0], h[0]

    return Net()


@policy(opset=15)
def lstm_stack_delayed():
    return LstmStack(2, delayed=True)


@policy(opset=13)
def lstm_packed_state():
    return LstmStack(2, packed=True)


@policy(opset=14)
def elman_native():
    """nn.RNN."""
    return RslRnn("RNN", 2, False)


@policy(opset=15)
def elman_by_hand():
    class Net(nn.Module):
        names = (["obs", "h_in"], ["action", "h_out"])

        def __init__(self):
            super().__init__()
            self.cell, self.actor = nn.Linear(OBS + HID, HID), nn.Linear(HID, ACT)

        def state(self):
            return [torch.zeros(1, HID)]

        def forward(self, x, h):
            h = torch.tanh(self.cell(torch.cat([h, x], 1)))
            return torch.tanh(self.actor(h)), h

    return Net()


class Remembers(nn.Module):
    """The last observations, kept outside of the network, some through a shared encoder."""

    names = (["obs", "history"], ["action", "history_out"])

    def __init__(self, newest_first):
        super().__init__()
        self.encoder, self.net = nn.Linear(OBS, 6), mlp([OBS + 5 * 6, 24, ACT], nn.ELU)
        self.newest_first = newest_first

    def state(self):
        return [torch.zeros(1, 5, OBS)]

    def forward(self, x, h):
        rest = h[:, :-1] if self.newest_first else h[:, 1:]
        new = [x.unsqueeze(1), rest] if self.newest_first else [rest, x.unsqueeze(1)]
        h = torch.cat(new, 1)
        e = nn.functional.elu(self.encoder(h)).flatten(1)
        return self.net(torch.cat([x, e], 1)), h


@policy(opset=15)
def history_encoder():
    return Remembers(False)


@policy(opset=17)
def history_newest_first():
    return Remembers(True)


# --- written with onnx.helper: what other exporters make -----------------------------------------
HANDMADE = {}


def handmade(make):
    HANDMADE[make.__name__] = make
    return make


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def onnx_file(name, nodes, inputs, outputs, consts, opset=15, meta=()):
    """inputs, outputs: {name: shape}; consts: {name: array}. Writes the file."""
    h = onnx.helper
    info = [[h.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in d.items()]
            for d in (inputs, outputs)]
    graph = h.make_graph(nodes, name, *info,
                         [onnx.numpy_helper.from_array(v, k) for k, v in consts.items()])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=8,
                         producer_name="fixture")
    for k, v in meta:
        model.metadata_props.add(key=k, value=v)
    onnx.checker.check_model(model)
    onnx.save(model, str(OUT / f"{name}.onnx"))


@handmade
def keras_gru_op(name, rng):
    """tf2onnx writes Keras GRUs as the op, z r h order, reset before or after, with biases."""
    u = lambda *s: rng.uniform(-0.4, 0.4, s).astype(np.float32)
    W, R, B, K, b = u(1, 3 * HID, OBS), u(1, 3 * HID, HID), u(1, 6 * HID), u(HID, ACT), u(ACT)
    node = onnx.helper.make_node
    onnx_file(name, [
        node("Unsqueeze", ["obs", "axis0"], ["x"]),
        node("GRU", ["x", "W", "R", "B", "", "h_in"], ["y", "h_out"], hidden_size=HID,
             linear_before_reset=0),
        node("Squeeze", ["h_out", "axis0"], ["top"]),
        node("MatMul", ["top", "K"], ["k"]), node("Add", ["k", "b"], ["kb"]),
        node("Tanh", ["kb"], ["action"]),
    ], {"obs": [1, OBS], "h_in": [1, 1, HID]}, {"action": [1, ACT], "h_out": [1, 1, HID]},
        {"W": W, "R": R, "B": B, "K": K, "b": b, "axis0": np.array([0], np.int64)})
    Wz, Wr, Wh = np.split(W[0].astype(np.float64), 3)
    Rz, Rr, Rh = np.split(R[0].astype(np.float64), 3)
    bz, br, bh, cz, cr, ch = np.split(B[0].astype(np.float64), 6)
    h = np.zeros(HID)

    def step(x):
        nonlocal h
        z = sigmoid(Wz @ x + Rz @ h + bz + cz)
        r = sigmoid(Wr @ x + Rr @ h + br + cr)
        n = np.tanh(Wh @ x + Rh @ (r * h) + bh + ch)
        h = (1 - z) * n + z * h
        return np.tanh(h @ K + b)

    return OBS, step


@handmade
def weight_only_qdq(name, rng):
    """int8 weights behind DequantizeLinear, per channel: folds to float."""
    q = rng.integers(-127, 128, (OBS, 24)).astype(np.int8)
    s = rng.uniform(0.001, 0.01, 24).astype(np.float32)
    W2, b1, b2 = (rng.normal(0, 0.3, s_).astype(np.float32) for s_ in ((24, ACT), (24,), (ACT,)))
    node = onnx.helper.make_node
    onnx_file(name, [
        node("DequantizeLinear", ["q", "s", "zp"], ["W1"], axis=1),
        node("MatMul", ["obs", "W1"], ["m"]), node("Add", ["m", "b1"], ["a"]),
        node("Relu", ["a"], ["h"]), node("Gemm", ["h", "W2", "b2"], ["o"]),
        node("Tanh", ["o"], ["actions"]),
    ], {"obs": [1, OBS]}, {"actions": [1, ACT]},
        {"q": q, "s": s, "zp": np.zeros(24, np.int8), "W2": W2, "b1": b1, "b2": b2})
    return OBS, lambda x: np.tanh(np.maximum(x @ (q * s) + b1, 0) @ W2 + b2)


@handmade
def float16_weights(name, rng):
    """Weights stored as float16 behind Cast."""
    W1, W2 = (rng.normal(0, 0.3, s_).astype(np.float16) for s_ in ((OBS, 24), (24, ACT)))
    node = onnx.helper.make_node
    onnx_file(name, [
        node("Cast", ["W1h"], ["W1"], to=1), node("Cast", ["W2h"], ["W2"], to=1),
        node("MatMul", ["obs", "W1"], ["m"]), node("Elu", ["m"], ["h"]),
        node("MatMul", ["h", "W2"], ["actions"]),
    ], {"obs": [1, OBS]}, {"actions": [1, ACT]}, {"W1h": W1, "W2h": W2})

    def step(x):
        m = x @ W1.astype(np.float64)
        return np.where(m > 0, m, np.expm1(m)) @ W2.astype(np.float64)

    return OBS, step


@handmade
def isaaclab_metadata(name, rng):
    """The facts that exporters of legged-robot stacks put into metadata_props."""
    W1, W2 = (rng.normal(0, 0.3, s_).astype(np.float32) for s_ in ((OBS, 24), (24, ACT)))
    node = onnx.helper.make_node
    onnx_file(name, [
        node("MatMul", ["obs", "W1"], ["m"]), node("Elu", ["m"], ["h"]),
        node("MatMul", ["h", "W2"], ["actions"]),
    ], {"obs": [1, OBS]}, {"actions": [1, ACT]}, {"W1": W1, "W2": W2}, meta=[
        ("run_path", "team/project/run"), ("joint_names", "hip_l,knee_l,hip_r,knee_r"),
        ("joint_stiffness", "40.0,40.0,40.0,40.0"), ("joint_damping", "1.0,1.0,1.0,1.0"),
        ("default_joint_pos", "0.1,-0.2,0.1,-0.2"), ("action_scale", "0.5,0.5,0.25,0.25"),
        ("command_names", "twist"),
        ("observation_names", "base_ang_vel,projected_gravity,command,joint_pos,joint_vel"),
        ("observation_history_lengths", "1,1,1,1,1"),
    ])

    def step(x):
        m = x @ W1.astype(np.float64)
        return np.where(m > 0, m, np.expm1(m)) @ W2.astype(np.float64)

    return OBS, step


@handmade
def external_data(name, rng):
    """PyTorch 2.9 and later write initializers to NAME.onnx.data."""
    W1, W2 = (rng.normal(0, 0.3, s_).astype(np.float32) for s_ in ((OBS, 64), (64, ACT)))
    node = onnx.helper.make_node
    onnx_file(name, [
        node("MatMul", ["obs", "W1"], ["m"]), node("Relu", ["m"], ["h"]),
        node("MatMul", ["h", "W2"], ["actions"]),
    ], {"obs": [1, OBS]}, {"actions": [1, ACT]}, {"W1": W1, "W2": W2})
    (OUT / f"{name}.onnx.data").unlink(missing_ok=True)
    model = onnx.load(str(OUT / f"{name}.onnx"))
    onnx.save(model, str(OUT / f"{name}.onnx"), save_as_external_data=True,
              location=f"{name}.onnx.data", size_threshold=0)
    return OBS, lambda x: np.maximum(x @ W1.astype(np.float64), 0) @ W2


def build_handmade(name):
    rng = np.random.default_rng(sum(map(ord, name)))
    n_obs, step = HANDMADE[name](name, rng)
    obs = torch.randn(STEPS, n_obs, generator=torch.Generator().manual_seed(1)).numpy()
    rows = [np.concatenate([x, step(x.astype(np.float64))]) for x in obs]
    write_csv(name, n_obs, rows)


def write_csv(name, n_obs, rows):
    header = [f"obs{i}" for i in range(n_obs)] + [f"act{i}" for i in range(len(rows[0]) - n_obs)]
    with open(OUT / f"{name}.csv", "w") as f:
        f.write(",".join(header) + "\n")
        for r in rows:
            f.write(",".join("%.9g" % v for v in r) + "\n")
    print(f"{name}: {(OUT / (name + '.onnx')).stat().st_size} bytes")


# --- fixed batches, flags that reset, constants, convolutions ------------------------------------
@policy(opset=13)
def batch_of_32():
    net = mlp([OBS, 32, ACT], nn.Tanh)
    net.batch = 32
    return net


class BatchGru(nn.Module):
    """A fixed batch with reshapes to it and a state [1][batch][HID]."""

    def __init__(self):
        super().__init__()
        self.batch = 8
        self.gru, self.head = nn.GRU(OBS, HID), nn.Linear(HID, ACT)
        self.names = ["obs", "h_in"], ["actions", "h_out"]

    def state(self):
        return [torch.zeros(1, self.batch, HID)]

    def forward(self, x, h):
        y, h = self.gru(x.reshape(1, self.batch, OBS), h)
        return torch.tanh(self.head(y)).reshape(self.batch, ACT), h


@policy(opset=14)
def batch_of_8_gru():
    return BatchGru()


class Flagged(nn.Module):
    """A state that the graph itself resets: h (1 - flag), or where(flag > 0, 0, h)."""

    flag = True

    def __init__(self, choose):
        super().__init__()
        self.choose = choose
        self.lstm, self.head = nn.LSTM(OBS, HID), nn.Linear(HID, ACT)
        self.names = (["obs", "h_in", "c_in", "episode_starts"],
                      ["actions", "h_out", "c_out"])

    def state(self):
        return [torch.zeros(1, 1, HID), torch.zeros(1, 1, HID)]

    def forward(self, x, h, c, flag):
        if self.choose:
            h, c = (torch.where(flag.reshape(1, 1, 1) > 0.5, torch.zeros_like(s), s) for s in (h, c))
        else:
            h, c = (s * (1.0 - flag).reshape(1, 1, 1) for s in (h, c))
        y, (h, c) = self.lstm(x.unsqueeze(0), (h, c))
        return self.head(y.squeeze(0)), h, c


@policy(opset=13)
def recurrent_ppo_flag():
    return Flagged(False)


@policy(opset=13)
def reset_where():
    return Flagged(True)


@policy(opset=13)
def locked_joint():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, ACT - 1], nn.ELU)

        def forward(self, x):
            y = self.net(x)
            return torch.cat([y[:, :1], torch.full((1, 1), 0.25), y[:, 1:]], 1)

    return Locked()


@policy(opset=13)
def masked_choice():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = mlp([OBS, 24, 6])
            self.register_buffer("allowed", torch.tensor([1, 0, 1, 1, 0, 1]).bool())

        def forward(self, x):
            return self.q(x).masked_fill(~self.allowed, -1e8).argmax(1)

    return Masked()


@policy(opset=13)
def multi_discrete():
    """MultiDiscrete([3, 2, 4]): an argmax for each part of the logits."""

    class Choices(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, 9])

        def forward(self, x):
            parts = torch.split(self.net(x), [3, 2, 4], 1)
            return torch.stack([p.argmax(1) for p in parts], 1)

    return Choices()


@policy(opset=13)
def multi_discrete_equal():
    """Three choices of four as one argmax over a matrix of probabilities."""

    class Choices(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([OBS, 24, 12])

        def forward(self, x):
            return self.net(x).reshape(1, 3, 4).argmax(2)

    return Choices()


@policy(opset=13, obs=60)
def conv1d_history():
    """Ten frames of six numbers, as RMA reads them; strided, then grouped and padded."""

    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv1d(6, 8, 4, stride=2)
            self.second = nn.Conv1d(8, 8, 3, padding=1, groups=2, bias=False)
            self.head = nn.Linear(32, ACT)

        def forward(self, x):
            y = torch.relu(self.first(x.reshape(1, 10, 6).transpose(1, 2)))
            return torch.tanh(self.head(nn.functional.elu(self.second(y)).flatten(1)))

    return Conv()


@policy(opset=13, obs=54)
def conv2d_heights():
    """A map of heights, 7 x 6, beside twelve other observations; dilated."""

    class Heights(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 2, dilation=2)
            self.head = mlp([12 + 2 * 3 * 2, 16, ACT], nn.ELU)

        def forward(self, x):
            y = torch.relu(self.first(x[:, 12:].reshape(1, 1, 7, 6)))
            y = torch.relu(self.second(y)).flatten(1)
            return self.head(torch.cat([x[:, :12], y], 1))

    return Heights()


# --- export --------------------------------------------------------------------------------------
def build(name):
    make, opset, n_obs, steps, export = REGISTRY[name]
    torch.manual_seed(sum(map(ord, name)))
    net = make().eval()
    state = net.state() if hasattr(net, "state") else []
    split = getattr(net, "split", [n_obs])
    names = getattr(net, "names", None) or (["obs"], export.get("outputs", ["actions"]))
    path = OUT / f"{name}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        args = tuple(torch.zeros(getattr(net, "batch", 1), n) for n in split) + tuple(state)
        if hasattr(net, "flag"):
            args += (torch.zeros(1),)
        # constant folding off for some: chains of Shape, Gather and Slice stay in the graph
        torch.onnx.export(net, args, str(path), opset_version=opset, input_names=names[0],
                          output_names=names[1], do_constant_folding=opset != 15)
    onnx.checker.check_model(str(path))

    obs = torch.randn(steps, n_obs, generator=torch.Generator().manual_seed(1))
    rows = []
    if hasattr(net, "batch"):
        net.batch = 1
        state = net.state() if state else []
    with torch.no_grad():
        for t in range(steps):
            x = obs[t:t + 1]
            flag = [torch.full((1,), float(t == 0))] if hasattr(net, "flag") else []
            y = net(*torch.split(x, split, 1), *state, *flag)
            y = list(y) if isinstance(y, tuple) else [y]
            action = y[0].reshape(-1)
            if state:
                state = y[1:]
            rows.append(np.concatenate([x.numpy().ravel(), action.numpy().astype(np.float64)]))
    write_csv(name, n_obs, rows)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for n in sys.argv[1:] or [*REGISTRY, *HANDMADE]:
        (build_handmade if n in HANDMADE else build)(n)
