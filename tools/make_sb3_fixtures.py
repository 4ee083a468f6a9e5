#!/usr/bin/env python3
"""Archives laid out as Stable-Baselines3 and sb3-contrib write them, with what predict() answers.

Writes tests/golden/sb3/NAME.zip (and NAME.pkl, a VecNormalize, where there is one) and NAME.csv for
every function below; the CSV holds one episode: columns obs0.. and act0... The answers are computed
here with NumPy, from the formulas in stable_baselines3/common/policies.py, sb3_contrib and
vec_normalize.py; Stable-Baselines3 itself is not needed and was not run. Pickles of spaces are made
by classes of the same names, so that their bytes are those of Gymnasium's.
Needs Debian's python3-torch (1.13) and NumPy; deterministic.

    /usr/bin/python3 tools/make_sb3_fixtures.py [NAME...]
"""
import base64
import collections
import io
import json
import pathlib
import pickle
import sys
import types
import zipfile

import numpy as np
import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/sb3"
STEPS = 8
REGISTRY = {}


def archive(make):
    REGISTRY[make.__name__] = make
    return make


# --- classes of the names that pickles hold ----------------------------------------------------
def stub(module, name, bases=(object,)):
    parts = module.split(".")
    for k in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:k]), types.ModuleType(".".join(parts[:k])))
    c = type(name, bases, {"__module__": module})
    setattr(sys.modules[module], name, c)
    return c


Box = stub("gymnasium.spaces.box", "Box")
Discrete = stub("gymnasium.spaces.discrete", "Discrete")
MultiDiscrete = stub("gymnasium.spaces.multi_discrete", "MultiDiscrete")
MultiBinary = stub("gymnasium.spaces.multi_binary", "MultiBinary")
Dict = stub("gymnasium.spaces.dict", "Dict")
VecNormalize = stub("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize")
RunningMeanStd = stub("stable_baselines3.common.running_mean_std", "RunningMeanStd")


def policy(module, name):
    return stub(module, name)


ActorCritic = policy("stable_baselines3.common.policies", "ActorCriticPolicy")
MultiInput = policy("stable_baselines3.common.policies", "MultiInputActorCriticPolicy")
Recurrent = policy("sb3_contrib.common.recurrent.policies", "RecurrentActorCriticPolicy")
Sac = policy("stable_baselines3.sac.policies", "SACPolicy")
Tqc = policy("sb3_contrib.tqc.policies", "TQCPolicy")
CrossQ = policy("sb3_contrib.crossq.policies", "CrossQPolicy")
Td3 = policy("stable_baselines3.td3.policies", "TD3Policy")
Dqn = policy("stable_baselines3.dqn.policies", "DQNPolicy")
Qrdqn = policy("sb3_contrib.qrdqn.policies", "QRDQNPolicy")
ArsLinear = policy("sb3_contrib.ars.policies", "ARSLinearPolicy")
Ars = policy("sb3_contrib.ars.policies", "ARSPolicy")


def box(low, high, shape=None):
    b = Box()
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    if shape is not None:
        low, high = np.full(shape, low, np.float32), np.full(shape, high, np.float32)
    b.__dict__.update(dtype=np.dtype("float32"), _shape=low.shape, low=low, high=high,
                      low_repr=str(low), high_repr=str(high), bounded_below=np.isfinite(low),
                      bounded_above=np.isfinite(high), _np_random=None)
    return b


def discrete(n):
    d = Discrete()
    d.__dict__.update(n=np.int64(n), start=np.int64(0), _shape=(), dtype=np.dtype("int64"))
    return d


def multi_discrete(nvec):
    d = MultiDiscrete()
    d.__dict__.update(nvec=np.array(nvec, np.int64), _shape=(len(nvec),), dtype=np.dtype("int64"))
    return d


def dict_space(**parts):
    d = Dict()
    d.__dict__.update(spaces=collections.OrderedDict(parts), _shape=None, dtype=None)
    return d


Box.__str__ = Box.__repr__ = lambda b: f"Box({b.low.min()}, {b.high.max()}, {b._shape}, {b.dtype})"
Discrete.__str__ = Discrete.__repr__ = lambda d: f"Discrete({d.n})"


# --- data, as data_to_json writes it -----------------------------------------------------------
def plain(x):
    try:
        json.dumps(x)
        return True
    except TypeError:
        return False


def to_json(data, pickles):
    out = {}
    for key, item in data.items():
        if plain(item):
            out[key] = item
            continue
        blob = base64.b64encode(pickle.dumps(item, protocol=5)).decode() if pickles else ""
        o = {":type:": str(type(item)), ":serialized:": blob}
        if isinstance(item, type):
            o = {":type:": "<class 'abc.ABCMeta'>", ":serialized:": blob,
                 "__module__": item.__module__, "__doc__": "Policy \"class\"\n",
                 "__init__": f"<function {item.__name__}.__init__ at 0x7f0000000000>"}
            items = {}
        else:
            items = item if isinstance(item, dict) else item.__dict__
        for name, value in items.items():
            o[name] = value if plain(value) else str(value)
        out[key] = o
    return json.dumps(out, indent=4).encode()


def save(name, cls, tensors, observation, action, kwargs=None, legacy=False, pickles=True, **more):
    data = {"policy_class": cls, "verbose": 0, "policy_kwargs": kwargs or {}, "n_envs": 1,
            "observation_space": observation, "action_space": action, "use_sde": False,
            "target_kl": float("nan"), "max_grad_norm": float("inf"), "gamma": 0.99, **more}
    inner = io.BytesIO()
    state = collections.OrderedDict((k, torch.from_numpy(np.ascontiguousarray(v))) for k, v in tensors.items())
    torch.save(state, inner, _use_new_zipfile_serialization=not legacy)
    with zipfile.ZipFile(OUT / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for entry, content in (("data", to_json(data, pickles)), ("policy.pth", inner.getvalue()),
                               ("_stable_baselines3_version", b"2.3.2"), ("system_info.txt", b"OS\n")):
            z.writestr(zipfile.ZipInfo(entry), content, zipfile.ZIP_DEFLATED)


def expect(name, f, n_obs, scale=1.0, reset=None):
    rng = np.random.RandomState(7)
    rows = []
    for _ in range(STEPS):
        x = (rng.randn(n_obs) * scale).astype(np.float32)
        y = np.atleast_1d(np.asarray(f(x.astype(np.float64)), np.float64))
        rows.append([f"{v:.9g}" for v in [*x.tolist(), *y.tolist()]])
    head = [f"obs{i}" for i in range(n_obs)] + [f"act{i}" for i in range(len(rows[0]) - n_obs)]
    (OUT / f"{name}.csv").write_text("\n".join(",".join(r) for r in [head, *rows]) + "\n")


# --- networks ----------------------------------------------------------------------------------
class Net(collections.OrderedDict):
    """Tensors by name, and layers that read them."""

    def __init__(self, name):
        super().__init__()
        self.rng = np.random.RandomState(sum(map(ord, name)))

    def linear(self, name, n_in, n_out, bias=True, spread=0.5):
        self[f"{name}.weight"] = (self.rng.randn(n_out, n_in) * spread).astype(np.float32)
        if bias:
            self[f"{name}.bias"] = (self.rng.randn(n_out) * 0.3).astype(np.float32)

    def mlp(self, name, sizes, step=2):
        for k in range(len(sizes) - 1):
            self.linear(f"{name}.{step * k}", sizes[k], sizes[k + 1])

    def apply(self, name, x):
        b = self.get(f"{name}.bias")
        return self[f"{name}.weight"].astype(np.float64) @ x + (0 if b is None else b.astype(np.float64))

    def run(self, name, n, act, x, last=False):
        """n layers; the last one without an activation if `last`."""
        for k in range(n):
            x = self.apply(f"{name}.{2 * k}", x)
            x = x if last and k == n - 1 else act(x)
        return x


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


relu = lambda x: np.maximum(x, 0)
elu = lambda x: np.where(x > 0, x, np.expm1(x))
mish = lambda x: x * np.tanh(np.log1p(np.exp(x)))


def unscale(y, space):
    low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
    return low + 0.5 * (y + 1.0) * (high - low)


def clip(y, space):
    return np.clip(y, space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel())


def actor_critic(name, n_obs, n_act, hidden=(8, 6), log_std=True):
    n = Net(name)
    if log_std:
        n["log_std"] = np.zeros(n_act, np.float32)
    n.mlp("mlp_extractor.policy_net", [n_obs, *hidden])
    n.mlp("mlp_extractor.value_net", [n_obs, *hidden])
    last = hidden[-1] if hidden else n_obs
    n.linear("action_net", last, n_act)
    n.linear("value_net", last, 1)
    return n, lambda x, act=np.tanh: n.apply("action_net", n.run("mlp_extractor.policy_net", len(hidden), act, x))


INF = box(-np.inf, np.inf, (4,))


# --- PPO, A2C, TRPO ----------------------------------------------------------------------------
@archive
def ppo_clipped(name):
    n, f = actor_critic(name, 4, 3)
    space = box([-0.2, 0, -np.inf], [0.2, 1, 0.5])
    save(name, ActorCritic, n, INF, space)
    expect(name, lambda x: clip(f(x), space), 4)


@archive
def ppo_texts_only(name):
    """As ppo_clipped, but for pickles that cannot be read: the texts beside them serve."""
    n, f = actor_critic(name, 4, 2)
    space = box([-0.25, 0], [0.5, 1])
    save(name, ActorCritic, n, INF, space, {"activation_fn": torch.nn.ELU, "net_arch": [8, 6]}, pickles=False)
    expect(name, lambda x: clip(f(x, elu), space), 4)


@archive
def ppo_mish(name):
    n, f = actor_critic(name, 4, 2)
    space = box(-1, 1, (2,))
    save(name, ActorCritic, n, INF, space, {"activation_fn": torch.nn.Mish})
    expect(name, lambda x: clip(f(x, mish), space), 4)


@archive
def ppo_no_hidden(name):
    n, f = actor_critic(name, 4, 2, ())
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)), {"net_arch": []})
    expect(name, lambda x: np.clip(f(x), -1, 1), 4)


@archive
def ppo_shared(name):
    """net_arch of Stable-Baselines3 before 1.8: layers that actor and critic share."""
    n = Net(name)
    n["log_std"] = np.zeros(2, np.float32)
    n.mlp("mlp_extractor.policy_net", [8, 6])
    n.mlp("mlp_extractor.value_net", [8, 6])
    n.mlp("mlp_extractor.shared_net", [4, 8])
    n.linear("action_net", 6, 2)
    n.linear("value_net", 6, 1)
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)), {"net_arch": [8, {"pi": [6], "vf": [6]}]}, legacy=True)

    def f(x):
        x = n.run("mlp_extractor.shared_net", 1, np.tanh, x)
        return np.clip(n.apply("action_net", n.run("mlp_extractor.policy_net", 1, np.tanh, x)), -1, 1)

    expect(name, f, 4)


@archive
def ppo_squashed(name):
    """gSDE with squash_output: tanh, then unscaled."""
    n, f = actor_critic(name, 4, 2)
    n["log_std"] = np.zeros((6, 2), np.float32)
    space = box([-3, 1], [1, 2])
    save(name, ActorCritic, n, INF, space, {"squash_output": True}, use_sde=True)
    expect(name, lambda x: unscale(np.tanh(f(x)), space), 4)


@archive
def ppo_matrix(name):
    """Observations and actions of two dimensions, row by row."""
    n, f = actor_critic(name, 6, 4)
    space = box([[-1, -2], [-0.1, 0]], [[1, 0.2], [0.1, 3]])
    save(name, ActorCritic, n, box(-1, 1, (2, 3)), space)
    expect(name, lambda x: clip(f(x), space), 6)


@archive
def ppo_discrete(name):
    n, f = actor_critic(name, 4, 3, log_std=False)
    save(name, ActorCritic, n, INF, discrete(3))
    expect(name, lambda x: np.argmax(f(x)), 4)


@archive
def ppo_multi_discrete(name):
    """Two decisions: refused; with --logits the five values."""
    n, f = actor_critic(name, 4, 5, log_std=False)
    save(name, ActorCritic, n, INF, multi_discrete([3, 2]))
    expect(name, f, 4)


def dict_policy(name, **more):
    """The parts are stored in an order that is not that of the alphabet."""
    space = dict_space(velocity=box(-np.inf, np.inf, (3,)), goal=box(-np.inf, np.inf, (2,)),
                       angle=box(-1, 1, (1,)))
    n, f = actor_critic(name, 6, 2)
    save(name, MultiInput, n, space, box(-1, 1, (2,)), **more)
    return f


@archive
def ppo_dict(name):
    f = dict_policy(name)
    expect(name, lambda x: np.clip(f(x), -1, 1), 6)


@archive
def ppo_dict_texts(name):
    f = dict_policy(name, pickles=False)
    expect(name, lambda x: np.clip(f(x), -1, 1), 6)


# --- recurrent ---------------------------------------------------------------------------------
@archive
def recurrent_ppo(name):
    n = Net(name)
    n["log_std"] = np.zeros(2, np.float32)
    n.mlp("mlp_extractor.policy_net", [5, 6])
    n.mlp("mlp_extractor.value_net", [5, 6])
    n.linear("action_net", 6, 2)
    n.linear("value_net", 6, 1)
    for which in ("lstm_actor", "lstm_critic"):
        for layer, n_in in ((0, 4), (1, 5)):
            for kind, width in (("ih", n_in), ("hh", 5)):
                n[f"{which}.weight_{kind}_l{layer}"] = (n.rng.randn(20, width) * 0.5).astype(np.float32)
                n[f"{which}.bias_{kind}_l{layer}"] = (n.rng.randn(20) * 0.3).astype(np.float32)
    space = box(-1, 1, (2,))
    save(name, Recurrent, n, INF, space, {"lstm_hidden_size": 5, "n_lstm_layers": 2, "net_arch": [6]})
    state = [[np.zeros(5), np.zeros(5)] for _ in range(2)]

    def f(x):
        for layer in range(2):
            h, c = state[layer]
            w = [n[f"lstm_actor.{k}_l{layer}"].astype(np.float64) for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            i, g, o, u = [(w[0] @ x + w[1] @ h + w[2] + w[3])[5 * k:5 * k + 5] for k in (0, 1, 3, 2)]
            c = sigmoid(g) * c + sigmoid(i) * np.tanh(u)
            h = sigmoid(o) * np.tanh(c)
            state[layer] = [h, c]
            x = h
        return clip(n.apply("action_net", n.run("mlp_extractor.policy_net", 1, np.tanh, x)), space)

    expect(name, f, 4)


# --- SAC, TQC, CrossQ, TD3 ---------------------------------------------------------------------
def sac(name, cls, head="actor.mu", **more):
    n = Net(name)
    n.mlp("actor.latent_pi", [4, 8, 6])
    n.linear(head, 6, 2, spread=2.0)
    if head == "actor.mu":
        n.linear("actor.log_std", 6, 2)
    else:
        n["actor.log_std"] = np.zeros((6, 2), np.float32)
    n.mlp("critic.qf0", [6, 8, 1])
    n.mlp("critic_target.qf0", [6, 8, 1])
    space = box([-2, 0], [2, 5])
    save(name, cls, n, INF, space, **more)
    return n, space, lambda x, act=relu: n.apply(head, n.run("actor.latent_pi", 2, act, x))


@archive
def sac_scaled(name):
    n, space, f = sac(name, Sac)
    expect(name, lambda x: unscale(np.tanh(f(x)), space), 4)


@archive
def sac_gsde(name):
    n, space, f = sac(name, Sac, "actor.mu.0", use_sde=True)
    expect(name, lambda x: unscale(np.tanh(np.clip(f(x), -2, 2)), space), 4)


@archive
def tqc_clip_mean(name):
    kwargs = {"clip_mean": 0.5, "use_sde": True, "activation_fn": torch.nn.ELU}
    n, space, f = sac(name, Tqc, "actor.mu.0", kwargs=kwargs, use_sde=True)
    expect(name, lambda x: unscale(np.tanh(np.clip(f(x, elu), -0.5, 0.5)), space), 4)


@archive
def crossq(name):
    """A BatchRenorm before each layer, and one after the last hidden one."""
    n = Net(name)
    sizes = [4, 8, 6]

    def renorm(at, width):
        p = f"actor.latent_pi.{at}"
        n[f"{p}.scale"], n[f"{p}.bias"] = n.rng.rand(width).astype(np.float32) + 0.5, n.rng.randn(width).astype(np.float32)
        n[f"{p}.ra_mean"], n[f"{p}.ra_var"] = n.rng.randn(width).astype(np.float32), n.rng.rand(width).astype(np.float32) * 0.1
        n[f"{p}.steps"] = np.array(7)

    for k in range(2):
        renorm(3 * k, sizes[k])
        n.linear(f"actor.latent_pi.{3 * k + 1}", sizes[k], sizes[k + 1])
    renorm(6, 6)
    n.linear("actor.mu", 6, 2)
    n.linear("actor.log_std", 6, 2)
    space = box([-2, 0], [2, 5])
    save(name, CrossQ, n, INF, space, {"batch_norm_eps": 0.01})

    def norm(at, x):
        scale, bias, mean, var = [n[f"actor.latent_pi.{at}.{k}"].astype(np.float64) for k in ("scale", "bias", "ra_mean", "ra_var")]
        return scale * (x - mean) / np.sqrt(var + 0.01) + bias

    def f(x):
        for k in range(2):
            x = relu(n.apply(f"actor.latent_pi.{3 * k + 1}", norm(3 * k, x)))
        return unscale(np.tanh(n.apply("actor.mu", norm(6, x))), space)

    expect(name, f, 4)


@archive
def td3(name):
    n = Net(name)
    for part in ("actor.mu", "actor_target.mu"):
        n.mlp(part, [4, 8, 6, 2])
    n.mlp("critic.qf0", [6, 8, 1])
    space = box([-2, 0], [2, 5])
    save(name, Td3, n, INF, space)
    expect(name, lambda x: unscale(np.tanh(n.run("actor.mu", 3, relu, x, True)), space), 4)


# --- DQN, QR-DQN, ARS --------------------------------------------------------------------------
@archive
def dqn(name):
    n = Net(name)
    n.mlp("q_net.q_net", [4, 8, 5])
    n.mlp("q_net_target.q_net", [4, 8, 5])
    save(name, Dqn, n, INF, discrete(5))
    expect(name, lambda x: np.argmax(n.run("q_net.q_net", 2, relu, x, True)), 4)


@archive
def qrdqn(name):
    n = Net(name)
    n.mlp("quantile_net.quantile_net", [4, 8, 7 * 3])
    n.mlp("quantile_net_target.quantile_net", [4, 8, 7 * 3])
    save(name, Qrdqn, n, INF, discrete(3), {"n_quantiles": 7})

    def f(x):
        return np.argmax(n.run("quantile_net.quantile_net", 2, relu, x, True).reshape(7, 3).mean(axis=0))

    expect(name, f, 4)


@archive
def ars_linear(name):
    n = Net(name)
    n.linear("action_net", 4, 2, bias=False)
    space = box(-0.5, 1, (2,))
    save(name, ArsLinear, n, INF, space)
    expect(name, lambda x: clip(n.apply("action_net", x), space), 4)


@archive
def ars_mlp(name):
    """ARSPolicy squashes by default."""
    n = Net(name)
    n.mlp("action_net", [4, 8, 2])
    space = box([-2, 0], [2, 5])
    save(name, Ars, n, INF, space, {"net_arch": [8]})
    expect(name, lambda x: unscale(np.tanh(n.run("action_net", 2, relu, x, True)), space), 4)


@archive
def ars_clipped(name):
    n = Net(name)
    n.mlp("action_net", [4, 8, 2])
    space = box(-0.5, 0.5, (2,))
    save(name, Ars, n, INF, space, {"net_arch": [8], "squash_output": False})
    expect(name, lambda x: clip(n.run("action_net", 2, relu, x, True), space), 4)


# --- normalisers -------------------------------------------------------------------------------
def running(rng, n):
    r = RunningMeanStd()
    r.__dict__.update(mean=rng.randn(n), var=rng.rand(n) * 4 + 0.01, count=1000.0)
    return r


def save_normaliser(name, obs_rms, space, **more):
    v = VecNormalize()
    v.__dict__.update(num_envs=1, observation_space=space, action_space=box(-1, 1, (2,)), norm_obs=True,
                      norm_obs_keys=None, obs_rms=obs_rms, ret_rms=running(np.random.RandomState(1), 1),
                      clip_obs=2.5, clip_reward=10.0, gamma=0.99, epsilon=1e-8, training=True,
                      norm_reward=True, old_reward=np.array([]), render_mode=None)
    v.__dict__.update(more)
    (OUT / f"{name}.pkl").write_bytes(pickle.dumps(v, protocol=4))


def normal(r, x):
    return np.clip((x - r.mean) / np.sqrt(r.var + 1e-8), -2.5, 2.5)


@archive
def vecnormalize(name):
    n, f = actor_critic(name, 4, 2)
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)))
    r = running(n.rng, 4)
    save_normaliser(name, r, INF)
    expect(name, lambda x: np.clip(f(normal(r, x)), -1, 1), 4, 3.0)


@archive
def vecnormalize_dict(name):
    f = dict_policy(name)
    rng = np.random.RandomState(3)
    rms = {"goal": running(rng, 2), "velocity": running(rng, 3)}
    save_normaliser(name, rms, None, norm_obs_keys=["goal", "velocity"])

    def g(x):
        return np.clip(f(np.concatenate([normal(rms["velocity"], x[:3]), normal(rms["goal"], x[3:5]), x[5:]])), -1, 1)

    expect(name, g, 6, 3.0)


@archive
def vecnormalize_off(name):
    n, f = actor_critic(name, 4, 2)
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)))
    save_normaliser(name, running(n.rng, 4), INF, norm_obs=False)
    expect(name, lambda x: np.clip(f(x), -1, 1), 4)


# --- refused -----------------------------------------------------------------------------------
@archive
def custom_extractor(name):
    n, f = actor_critic(name, 4, 2)
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)), {"features_extractor_class": policy("my.nets", "Extractor")})


@archive
def custom_policy(name):
    n, f = actor_critic(name, 4, 2)
    save(name, policy("my.nets", "Policy"), n, INF, box(-1, 1, (2,)))


@archive
def custom_activation(name):
    """Refused, but --activation may say that it is a known one."""
    n, f = actor_critic(name, 4, 2)
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)), {"activation_fn": policy("my.nets", "Act")})
    expect(name, lambda x: np.clip(f(x, elu), -1, 1), 4)


@archive
def one_hot(name):
    n, f = actor_critic(name, 6, 2)
    save(name, ActorCritic, n, discrete(6), box(-1, 1, (2,)))


@archive
def image(name):
    n, f = actor_critic(name, 12, 2)
    space = box(0, 255, (2, 2, 3))
    space.dtype = np.dtype("uint8")
    space.low, space.high = space.low.astype(np.uint8), space.high.astype(np.uint8)
    save(name, ActorCritic, n, space, box(-1, 1, (2,)))


@archive
def contradiction(name):
    """The class says SAC, the layers are PPO's."""
    n, f = actor_critic(name, 4, 2)
    save(name, Sac, n, INF, box(-1, 1, (2,)))


@archive
def two_limits(name):
    """Pickle and text of the space disagree."""
    n, f = actor_critic(name, 4, 2)
    space = box(-1, 1, (2,))
    save(name, ActorCritic, n, INF, space)
    with zipfile.ZipFile(OUT / f"{name}.zip") as z:
        entries = [(i.filename, z.read(i)) for i in z.infolist()]
    with zipfile.ZipFile(OUT / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for entry, content in entries:
            z.writestr(zipfile.ZipInfo(entry), content.replace(b'"[1. 1.]"', b'"[1. 9.]"'), zipfile.ZIP_DEFLATED)


@archive
def no_kwargs(name):
    """`data` without policy_kwargs: the activation has to be said."""
    n, f = actor_critic(name, 4, 2)
    save(name, ActorCritic, n, INF, box(-1, 1, (2,)))
    with zipfile.ZipFile(OUT / f"{name}.zip") as z:
        entries = [(i.filename, z.read(i)) for i in z.infolist()]
    with zipfile.ZipFile(OUT / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for entry, content in entries:
            z.writestr(zipfile.ZipInfo(entry), content.replace(b'"policy_kwargs"', b'"other_kwargs"'), zipfile.ZIP_DEFLATED)
    expect(name, lambda x: np.clip(f(x), -1, 1), 4)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, make in REGISTRY.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        make(name)
        print(name)


if __name__ == "__main__":
    main()
