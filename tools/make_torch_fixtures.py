#!/usr/bin/env python3
"""Checkpoints as people save them, with what PyTorch computes for them.

Writes tests/golden/checkpoints/NAME.pt and NAME.csv for every function below; the CSV holds a
rollout from a zero state: columns obs0.. (what the network was fed) and act0.. (what it answered).
Needs Debian's python3-torch (1.13); deterministic.

    /usr/bin/python3 tools/make_torch_fixtures.py [NAME...]
"""
import collections
import io
import json
import pathlib
import sys
import warnings
import zipfile

import torch
from torch import nn
from torch.package import PackageExporter

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/checkpoints"
OBS, ACT, HID, STEPS = 7, 3, 8, 20
REGISTRY = {}


def checkpoint(make):
    REGISTRY[make.__name__] = make
    return make


def mlp(sizes, act=nn.ReLU, last=None):
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < len(sizes) - 2:
            layers.append(act())
    return nn.Sequential(*layers, *([last] if last else []))


def save(content, name):
    torch.save(content, OUT / f"{name}.pt")


def randomise(module):
    """Statistics and normalisations that are not the identity."""
    for p in module.parameters():
        p.data.copy_(torch.randn_like(p) * 0.4)
    for name, b in module.named_buffers():
        name = name.split(".")[-1]
        if "mean" in name:
            b.copy_(torch.randn_like(b))
        elif "var" in name or "std" in name:
            b.copy_(torch.rand_like(b) + 0.5)
    return module.eval()


def rollout(name, step, obs=OBS, scale=1.0):
    rows, state = [], None
    torch.manual_seed(7)
    with torch.no_grad():
        for _ in range(STEPS):
            x = torch.randn(1, obs) * scale
            y, state = step(x, state)
            rows.append([f"{v:.9g}" for v in [*x.flatten().tolist(), *y.flatten().tolist()]])
    n_act = len(rows[0]) - obs
    head = [f"obs{i}" for i in range(obs)] + [f"act{i}" for i in range(n_act)]
    (OUT / f"{name}.csv").write_text("\n".join(",".join(r) for r in [head, *rows]) + "\n")


def plain(f):
    return lambda x, state: (f(x), None)


def with_extras(module, **extra):
    """An optimizer that has taken a step, as training loops save it."""
    params = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(params, lr=1e-3)
    for p in params:
        p.grad = torch.full_like(p, 1e-9)
    optimizer.step()
    return {**extra, "optimizer_state_dict": optimizer.state_dict(), "iter": 123, "infos": None,
            "lr": 3e-4, "big": 2 ** 80, "shape": torch.Size([1, 2]), "device": torch.device("cpu")}


# --- state_dicts -------------------------------------------------------------------------------
class Mlp(nn.Module):
    def __init__(self, sizes=(OBS, 16, 12, ACT), act=nn.ReLU):
        super().__init__()
        self.net = mlp(sizes, act)

    def forward(self, x):
        return torch.tanh(self.net(x))


@checkpoint
def mlp_state_dict(name):
    m = randomise(Mlp())
    save(m.state_dict(), name)
    rollout(name, plain(m))


@checkpoint
def mlp_deep_sorted(name):
    """Twelve layers of one width in a dict in the order of its characters: net.10 before net.2."""
    m = randomise(Mlp([OBS] + [HID] * 11 + [ACT]))
    save(dict(sorted(m.state_dict().items())), name)
    rollout(name, plain(m))


@checkpoint
def mlp_batchnorm(name):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.BatchNorm1d(OBS), nn.Linear(OBS, 16), nn.BatchNorm1d(16),
                                     nn.ReLU(), nn.Linear(16, ACT))

        def forward(self, x):
            return torch.tanh(self.net(x))

    m = randomise(Net())
    save(m.state_dict(), name)
    rollout(name, plain(m))


@checkpoint
def layernorm_after_activation(name):
    """The numbers say that the activation comes first: 0 Linear, 1, 2 LayerNorm, 3 Linear."""
    net = nn.Sequential(nn.Linear(OBS, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 16),
                        nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, ACT))
    m = randomise(net)
    save({f"pi.{k}": v for k, v in m.state_dict().items()}, name)
    rollout(name, plain(lambda x: torch.tanh(m(x))))


class Sb3Sac(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Module()
        self.actor.latent_pi = nn.Sequential(nn.Linear(OBS, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.actor.mu, self.actor.log_std = nn.Linear(16, ACT), nn.Linear(16, ACT)
        self.critic, self.critic_target = nn.Module(), nn.Module()
        self.critic.qf0 = mlp([OBS + ACT, 16, 1])
        self.critic_target.qf0 = mlp([OBS + ACT, 16, 1])

    def forward(self, x):
        return torch.tanh(self.actor.mu(self.actor.latent_pi(x)))


@checkpoint
def sb3_sac(name):
    m = randomise(Sb3Sac())
    save(m.state_dict(), name)
    rollout(name, plain(m))


@checkpoint
def sb3_td3(name):
    m = nn.Module()
    m.actor, m.actor_target, m.critic = nn.Module(), nn.Module(), nn.Module()
    m.actor.mu = mlp([OBS, 16, 12, ACT], last=nn.Tanh())
    m.actor_target.mu = mlp([OBS, 16, 12, ACT], last=nn.Tanh())
    m.critic.qf0 = mlp([OBS + ACT, 16, 1])
    randomise(m)
    save(m.state_dict(), name)
    rollout(name, plain(m.actor.mu))


@checkpoint
def sb3_ppo_zip(name):
    """model.zip of Stable-Baselines3: an archive of archives, deflated."""
    m = nn.Module()
    m.log_std = nn.Parameter(torch.zeros(ACT))
    m.mlp_extractor = nn.Module()
    m.mlp_extractor.policy_net = nn.Sequential(nn.Linear(OBS, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
    m.mlp_extractor.value_net = nn.Sequential(nn.Linear(OBS, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
    m.action_net, m.value_net = nn.Linear(16, ACT), nn.Linear(16, 1)
    randomise(m)
    inner = io.BytesIO()
    torch.save(m.state_dict(), inner)
    with zipfile.ZipFile(OUT / f"{name}.pt", "w", zipfile.ZIP_DEFLATED) as z:
        for entry, data in (("data", b"{}"), ("policy.pth", inner.getvalue()),
                            ("_stable_baselines3_version", b"2.2.1")):
            z.writestr(zipfile.ZipInfo(entry), data, zipfile.ZIP_DEFLATED)
    rollout(name, plain(lambda x: m.action_net(m.mlp_extractor.policy_net(x))))


@checkpoint
def sb3_dqn(name):
    m = nn.Module()
    m.q_net, m.q_net_target = nn.Module(), nn.Module()
    m.q_net.q_net, m.q_net_target.q_net = mlp([OBS, 16, 5]), mlp([OBS, 16, 5])
    randomise(m)
    save(m.state_dict(), name)
    rollout(name, plain(lambda x: m.q_net.q_net(x).argmax(dim=1).float()))


@checkpoint
def cleanrl_sac(name):
    class Actor(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(OBS, 16), nn.Linear(16, 16)
            self.fc_mean, self.fc_logstd = nn.Linear(16, ACT), nn.Linear(16, ACT)
            self.register_buffer("action_scale", torch.tensor([2.0, 0.5, 1.5]))
            self.register_buffer("action_bias", torch.tensor([0.0, 1.0, -0.25]))

        def forward(self, x):
            x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
            return torch.tanh(self.fc_mean(x)) * self.action_scale + self.action_bias

    m = randomise(Actor())
    save(m.state_dict(), name)
    rollout(name, plain(m))


@checkpoint
def sac_separate_heads(name):
    """Four outputs that are all means, though the name says SAC: the spread has its own head."""
    m = nn.Module()
    m.sac_actor = nn.Module()
    m.sac_actor.fc1 = nn.Linear(OBS, 16)
    m.sac_actor.mean_head, m.sac_actor.log_std_head = nn.Linear(16, 4), nn.Linear(16, 4)
    randomise(m)
    save(m.state_dict(), name)
    rollout(name, plain(lambda x: torch.tanh(m.sac_actor.mean_head(torch.relu(m.sac_actor.fc1(x))))))


@checkpoint
def cleanrl_ppo(name):
    m = nn.Module()
    m.critic = mlp([OBS, 16, 16, 1], nn.Tanh)
    m.actor_mean = mlp([OBS, 16, 16, ACT], nn.Tanh)
    m.actor_logstd = nn.Parameter(torch.zeros(1, ACT))
    randomise(m)
    save(m.state_dict(), name)
    rollout(name, plain(m.actor_mean))


class RslRl(nn.Module):
    def __init__(self, rnn, layers):
        super().__init__()
        self.std = nn.Parameter(torch.ones(ACT))
        self.actor, self.critic = mlp([HID, 16, 12, ACT], nn.ELU), mlp([HID, 16, 12, 1], nn.ELU)
        self.memory_a, self.memory_c = nn.Module(), nn.Module()
        self.memory_a.rnn = rnn(OBS, HID, layers)
        self.memory_c.rnn = rnn(OBS, HID, layers)
        self.actor_obs_normalizer, self.critic_obs_normalizer = nn.Module(), nn.Module()
        for n in (self.actor_obs_normalizer, self.critic_obs_normalizer):
            for b in ("_mean", "_var", "_std"):
                n.register_buffer(b, torch.zeros(1, OBS))
            n.register_buffer("count", torch.tensor(17))

    def step(self, x, state):
        n = self.actor_obs_normalizer
        y, state = self.memory_a.rnn(((x - n._mean) / (n._std + 1e-2)).unsqueeze(0), state)
        return self.actor(y.squeeze(0)), state


@checkpoint
def rsl_rl_gru(name):
    m = randomise(RslRl(nn.GRU, 1))
    save(with_extras(m, model_state_dict=m.state_dict()), name)
    rollout(name, m.step)


@checkpoint
def rsl_rl_lstm(name):
    m = randomise(RslRl(nn.LSTM, 2))
    save(with_extras(m, model_state_dict=m.state_dict()), name)
    rollout(name, m.step)


def rsl_rl_split(name, prefix, recurrent):
    """rsl_rl 4 and 5: a dict for the actor, whose memory is listed after what reads it."""
    width = HID if recurrent else OBS
    actor = nn.Module()
    actor.obs_normalizer, actor.distribution = nn.Module(), nn.Module()
    for b in ("_mean", "_var", "_std"):
        actor.obs_normalizer.register_buffer(b, torch.zeros(1, OBS))
    actor.distribution.std_param = nn.Parameter(torch.ones(ACT))
    actor.mlp = mlp([width, 16, 12, ACT], nn.ELU)
    if recurrent:
        actor.rnn = nn.Module()
        actor.rnn.rnn = nn.GRU(OBS, HID)
    randomise(actor)
    critic = randomise(mlp([OBS, 16, 1], nn.ELU))
    save({prefix: actor.state_dict(), "critic_state_dict": critic.state_dict(), "iter": 3}, name)

    def step(x, state):
        x = (x - actor.obs_normalizer._mean) / (actor.obs_normalizer._std + 1e-2)
        if recurrent:
            x, state = actor.rnn.rnn(x.unsqueeze(0), state)
            x = x.squeeze(0)
        return actor.mlp(x), state

    rollout(name, step)


@checkpoint
def rsl_rl_5(name):
    rsl_rl_split(name, "actor_state_dict", False)


@checkpoint
def rsl_rl_5_gru(name):
    rsl_rl_split(name, "actor_state_dict", True)


@checkpoint
def memory_last(name):
    """The same under a name that nobody knows: --arch says which layer comes first."""
    rsl_rl_split(name, "somebody", True)


@checkpoint
def sample_factory(name):
    """Means and log standard deviations in one matrix; statistics of returns before those of
    observations."""
    m = nn.Module()
    m.encoder = mlp([OBS, HID], nn.ELU)
    m.core, m.critic_linear, m.head = nn.GRU(HID, HID), nn.Linear(HID, 1), nn.Linear(HID, 2 * ACT)
    randomise(m)
    mean, var = torch.randn(OBS).double(), torch.rand(OBS).double() + 0.01
    d = collections.OrderedDict()
    d["returns_normalizer.running_mean"], d["returns_normalizer.running_var"] = torch.zeros(1), torch.ones(1)
    normaliser = "obs_normalizer.running_mean_std.running_mean_std.obs"
    d[f"{normaliser}.running_mean"], d[f"{normaliser}.running_var"] = mean, var
    names = {"encoder": "encoder.encoders.obs.mlp_head", "core": "core.core", "critic_linear": "critic_linear",
             "head": "action_parameterization.distribution_linear"}
    for k, v in m.state_dict().items():
        first, rest = k.split(".", 1)
        d[f"{names[first]}.{rest}"] = v
    save({"train_step": 3, "model": d}, name)

    def step(x, h):
        x = torch.clamp((x - mean.float()) / torch.sqrt(var.float() + 1e-5), -5, 5)
        y, h = m.core(nn.functional.elu(m.encoder(x)).unsqueeze(0), h)
        return m.head(y.squeeze(0))[:, :ACT], h

    rollout(name, step)


@checkpoint
def skrl_agent(name):
    def head(n, layer):
        m = nn.Module()
        if layer == "policy_layer":
            m.log_std_parameter = nn.Parameter(torch.zeros(n))
        m.net_container = nn.Sequential(nn.Linear(OBS, 16), nn.ELU(), nn.Linear(16, 16), nn.ELU())
        setattr(m, layer, nn.Linear(16, n))
        return randomise(m)

    policy, value = head(ACT, "policy_layer"), head(1, "value_layer")
    mean, var = torch.randn(OBS).double(), torch.rand(OBS).double() + 0.01
    pre = {"running_mean": mean, "running_variance": var, "current_count": torch.tensor(5.0)}
    save({"policy": policy.state_dict(), "value": value.state_dict(), "state_preprocessor": pre,
          "value_preprocessor": {"running_mean": torch.zeros(1), "running_variance": torch.ones(1)}},
         name)

    def act(x):
        x = torch.clamp((x - mean.float()) / (torch.sqrt(var.float()) + 1e-8), -5, 5)
        return policy.policy_layer(policy.net_container(x))

    rollout(name, plain(act))


@checkpoint
def rl_games(name):
    net = nn.Module()
    net.actor_mlp = nn.Sequential(nn.Linear(OBS, 16), nn.ELU(), nn.Linear(16, 16), nn.ELU())
    net.value, net.mu = nn.Linear(16, 1), nn.Linear(16, ACT)
    net.sigma = nn.Parameter(torch.zeros(ACT))
    m = nn.Module()
    m.a2c_network, m.running_mean_std = net, nn.Module()
    m.running_mean_std.register_buffer("running_mean", torch.zeros(OBS, dtype=torch.float64))
    m.running_mean_std.register_buffer("running_var", torch.ones(OBS, dtype=torch.float64))
    randomise(m)
    save({"model": m.state_dict(), "epoch": 3, "env_state": None}, name)
    r = m.running_mean_std

    def act(x):
        x = (x - r.running_mean.float()) / torch.sqrt(r.running_var.float() + 1e-5)
        return torch.clamp(net.mu(net.actor_mlp(torch.clamp(x, -5, 5))), -1, 1)

    rollout(name, plain(act))


# --- recurrent ---------------------------------------------------------------------------------
@checkpoint
def gru_cell(name):
    m = nn.Module()
    m.rnn, m.head = nn.GRUCell(OBS, HID), nn.Linear(HID, ACT)
    randomise(m)
    save(m.state_dict(), name)

    def step(x, h):
        h = m.rnn(x, h)
        return torch.tanh(m.head(h)), h

    rollout(name, step)


class AugGru(nn.Module):
    """A GRU of bias-free linear maps, in the two orders in which people keep them."""

    def __init__(self, layers, paired):
        super().__init__()
        sizes = [OBS] + [HID] * layers
        x = [nn.Linear(sizes[k], 3 * HID, bias=False) for k in range(layers)]
        h = [nn.Linear(HID, 3 * HID, bias=False) for k in range(layers)]
        self.paired, self.layers = paired, layers
        if paired:
            self.cells = nn.ModuleList()
            for k in range(layers):
                self.cells.append(nn.ModuleDict({"x2h": x[k], "h2h": h[k]}))
        else:
            self.x2h, self.h2h = nn.ModuleList(x), nn.ModuleList(h)
        self.actor = mlp([OBS + HID, 16, ACT])

    def step(self, x, state):
        state = state or [torch.zeros(1, HID)] * self.layers
        y, new = x, []
        for k, h in enumerate(state):
            w, u = (self.cells[k]["x2h"], self.cells[k]["h2h"]) if self.paired else (self.x2h[k], self.h2h[k])
            wr, wz, wn = w(y).chunk(3, 1)
            ur, uz, un = u(h).chunk(3, 1)
            r, z = torch.sigmoid(wr + ur), torch.sigmoid(wz + uz)
            n = torch.tanh(wn + r * un)
            y = n + z * (h - n)
            new.append(y)
        return torch.tanh(self.actor(torch.cat([x, y], 1))), new


@checkpoint
def sb3_recurrent_ppo(name):
    """RecurrentPPO of sb3_contrib lists its LSTM behind the layers that read it."""
    m = nn.Module()
    m.log_std = nn.Parameter(torch.zeros(ACT))
    m.mlp_extractor = nn.Module()
    m.mlp_extractor.policy_net = nn.Sequential(nn.Linear(HID, 16), nn.Tanh())
    m.mlp_extractor.value_net = nn.Sequential(nn.Linear(HID, 16), nn.Tanh())
    m.action_net, m.value_net = nn.Linear(16, ACT), nn.Linear(16, 1)
    m.lstm_actor, m.lstm_critic = nn.LSTM(OBS, HID), nn.LSTM(OBS, HID)
    randomise(m)
    save(m.state_dict(), name)

    def step(x, state):
        y, state = m.lstm_actor(x.unsqueeze(0), state)
        return m.action_net(m.mlp_extractor.policy_net(y.squeeze(0))), state

    rollout(name, step)


@checkpoint
def aug_gru_cells(name):
    m = randomise(AugGru(3, True))
    save(m.state_dict(), name)
    rollout(name, m.step)


@checkpoint
def aug_gru_lists(name):
    m = randomise(AugGru(2, False))
    save(m.state_dict(), name)
    rollout(name, m.step)


class Inner(nn.Module):
    """What C++ trainers save: a module of one Sequential, without a forward."""

    def __init__(self, name, inner):
        super().__init__()
        setattr(self, name, inner)


@checkpoint
def ra_encoder(name):
    gru = nn.GRU(OBS, HID, 3, bias=False)
    torch.jit.save(torch.jit.script(Inner("rl_gru", randomise(gru))), str(OUT / f"{name}.pt"))
    actor = randomise(mlp([OBS + HID, 16, 2 * ACT]))
    save({f"sac_diag_gaussian_actor.{k}": v for k, v in actor.state_dict().items()}, "ra_actor")

    def step(x, h):
        y, h = gru(x.unsqueeze(0), h)
        return torch.tanh(actor(torch.cat([x, y.squeeze(0)], 1))[:, :ACT]), h

    rollout("ra_actor", step)


# --- TorchScript and whole modules -------------------------------------------------------------
@checkpoint
def script_traced(name):
    m = randomise(nn.Sequential(nn.Linear(OBS, 16), nn.LayerNorm(16), nn.SiLU(), nn.Linear(16, 16),
                                nn.Sigmoid(), nn.Linear(16, ACT), nn.Tanh()))
    torch.jit.save(torch.jit.trace(m, torch.zeros(1, OBS)), str(OUT / f"{name}.pt"))
    rollout(name, plain(m))


@checkpoint
def script_scripted(name):
    m = randomise(nn.Sequential(nn.Linear(OBS, 16), nn.ELU(), nn.Dropout(0.1), nn.Linear(16, 16, bias=False),
                                nn.Linear(16, ACT), nn.Hardtanh()))
    torch.jit.save(torch.jit.script(m), str(OUT / f"{name}.pt"))
    rollout(name, plain(m))


@checkpoint
def whole_module(name):
    m = randomise(nn.Sequential(collections.OrderedDict(
        policy=nn.Sequential(nn.Linear(OBS, 16), nn.GELU(), nn.Linear(16, ACT), nn.Softsign()))))
    save(m, name)
    rollout(name, plain(m))


@checkpoint
def script_package(name):
    """torch.package keeps TorchScript below .data/ts_code."""
    m = randomise(nn.Sequential(nn.Linear(OBS, 16), nn.Softplus(), nn.Linear(16, ACT), nn.Tanh()))
    torch.package.package_exporter._gate_torchscript_serialization = False
    with PackageExporter(str(OUT / f"{name}.pt")) as e:
        e.save_pickle("model", "model.pkl", torch.jit.script(m))
    rollout(name, plain(m))


@checkpoint
def script_frozen(name):
    """Freezing moves the weights to constants.pkl: tensors without the names of their layers."""
    m = torch.jit.freeze(torch.jit.script(randomise(mlp([OBS, 4, ACT]))))
    torch.jit.save(m, str(OUT / f"{name}.pt"))


# --- storages ----------------------------------------------------------------------------------
@checkpoint
def half_and_bfloat(name):
    m = randomise(Mlp())
    d = m.state_dict()
    types = [torch.float16, torch.bfloat16, torch.float64, torch.float16, torch.bfloat16, torch.float32]
    d = {k: v.to(t) for (k, v), t in zip(d.items(), types)}
    m.load_state_dict({k: v.float() for k, v in d.items()})
    save(d, name)
    rollout(name, plain(m))


@checkpoint
def views(name):
    """One storage for all, a transposed weight, one with strides of two, an expanded bias."""
    m = randomise(Mlp())
    d = m.state_dict()
    flat = torch.zeros(1000)
    at = 3
    out = collections.OrderedDict()
    for k, v in d.items():
        part = flat[at:at + v.numel()]
        part.copy_(v.flatten())
        out[k], at = part.view(v.shape), at + v.numel()
    out["net.0.weight"] = d["net.0.weight"].t().contiguous().t()
    wide = torch.zeros(12, 32)
    wide[:, ::2] = d["net.2.weight"]
    out["net.2.weight"] = wide[:, ::2]
    out["net.4.bias"] = torch.tensor([0.25]).expand(ACT)
    m.net[4].bias.data.fill_(0.25)
    save(out, name)
    rollout(name, plain(m))


@checkpoint
def sac_safetensors(name):
    """The layout of safetensors, written out: sorted by alignment, then by name."""
    m = randomise(Sb3Sac())
    tensors = {k: v.contiguous() for k, v in m.state_dict().items()}
    tensors["actor.latent_pi.0.weight"] = tensors["actor.latent_pi.0.weight"].half()
    m.actor.latent_pi[0].weight.data.copy_(tensors["actor.latent_pi.0.weight"].float())
    tensors["steps"] = torch.tensor(12345)
    tag = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for k, v in sorted(tensors.items(), key=lambda kv: (-kv[1].element_size(), kv[0])):
        raw = v.numpy().tobytes()
        header[k] = {"dtype": tag[v.dtype], "shape": list(v.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (OUT / f"{name}.pt").write_bytes(len(text).to_bytes(8, "little") + text + data)
    rollout(name, plain(m))


@checkpoint
def integers(name):
    """Every element type; no policy."""
    save({str(t).split(".")[1]: torch.tensor([[0, 1, 2], [3, 100, 127]]).to(t)
          for t in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)}, name)


@checkpoint
def legacy(name):
    torch.save({"a": torch.zeros(2)}, OUT / f"{name}.pt", _use_new_zipfile_serialization=False)


@checkpoint
def legacy_policy(name):
    """The same with a policy: one storage for two tensors, several types."""
    m = randomise(Mlp())
    d = m.state_dict()
    flat = torch.cat([d["net.2.bias"], d["net.4.bias"]])
    d["net.2.bias"], d["net.4.bias"] = flat[:12], flat[12:]
    d["net.0.weight"] = d["net.0.weight"].double()
    torch.save(d, OUT / f"{name}.pt", _use_new_zipfile_serialization=False)
    rollout(name, plain(m))


@checkpoint
def legacy_module(name):
    m = randomise(nn.Sequential(nn.Linear(OBS, 16), nn.ELU(), nn.Linear(16, ACT), nn.Tanh()))
    torch.save(m, OUT / f"{name}.pt", _use_new_zipfile_serialization=False)
    rollout(name, plain(m))


class Exploit:
    def __reduce__(self):
        import os
        return os.system, ("echo executed > deft-was-exploited",)


@checkpoint
def exploit(name):
    """A pickle that runs a command wherever it is loaded carelessly."""
    save({"net.0.weight": torch.zeros(1, 1), "x": Exploit()}, name)


def main():
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    for name, make in REGISTRY.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        torch.manual_seed(sum(map(ord, name)))
        make(name)
        print(name)


if __name__ == "__main__":
    main()
