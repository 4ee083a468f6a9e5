#!/usr/bin/env python3
"""Ten gradient steps of the trainer behind an encoder, as PyTorch takes them.

Writes tests/golden/train/NAME.txt, lines "name count values...": the parameters before, the episodes
of the warm-up, the losses of every step, and the parameters after. What the trainer draws at random
(actions of the warm-up, windows, noise) is drawn here by the same generator in the same order.

Windows are cut out of their episodes and encoded one at a time, each as long as it is: there are no
zeros in front, no rows beyond an episode's end, no weights and no masks. Everything is in double
precision. Parameters are one vector, those of a module in PyTorch's order. Needs Debian's
python3-torch; deterministic.

    /usr/bin/python3 tools/make_encoder_fixtures.py
"""
import copy
import itertools
import math
import pathlib

import torch
from torch import nn

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/train"
OBS, ACT, HIDDEN, STEPS, SEED, LEARNER_SEED = 4, 2, (8, 6), 10, 6, 11
BURN_IN, SEQUENCE, WINDOWS, BATCH = 3, 5, 4, 22
RATE, PRETRAIN_RATE, TAU, GAMMA, ALPHA = 3e-3, 1e-3, 0.01, 0.97, 0.5
LENGTHS, TERMINATED = (9, 11, 3, 11, 6), (1, 0, 1, 0, 0)  # the last one still runs
WORD = (1 << 64) - 1


class Random:
    """xoshiro256++ seeded by SplitMix64 (Blackman and Vigna 2019)."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & WORD
            self.s.append(self.mix(seed))

    @staticmethod
    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        return z ^ (z >> 31)

    @classmethod
    def stream(cls, seed, index):
        a = cls.mix((seed + 0x9E3779B97F4A7C15) & WORD)
        b = a ^ ((index + 0xD1B54A32D192ED03) & WORD)
        return cls(cls.mix((b + 0x9E3779B97F4A7C15) & WORD))

    def word(self):
        def rotl(x, k):
            return ((x << k) | (x >> (64 - k))) & WORD

        a, b, c, d = self.s
        out = (rotl((a + d) & WORD, 23) + a) & WORD
        c, d = c ^ a, d ^ b
        self.s = [a ^ d, b ^ c, c ^ ((b << 17) & WORD), rotl(d, 45)]
        return out

    def uniform(self, lo, hi):
        return lo + (hi - lo) * ((self.word() >> 11) * 2.0**-53)

    def normal(self):
        while True:
            u, v = self.uniform(-1, 1), self.uniform(-1, 1)
            s = u * u + v * v
            if 0 < s < 1:
                return u * math.sqrt(-2 * math.log(s) / s)

    def normals(self, *shape):
        n = math.prod(shape)
        return as_float(torch.tensor([self.normal() for _ in range(n)])).reshape(shape)


def as_float(x):
    """Double precision, but values that a float holds."""
    return x.float().double()


class Episode:
    def __init__(self, length, terminated, running):
        self.obs = as_float(torch.randn(length + 1, OBS).cumsum(0) * 0.5 + 0.3)
        self.act = as_float(torch.tensor([[LANE.uniform(-1, 1) for _ in range(ACT)]
                                          for _ in range(length)]))
        self.reward = as_float(torch.randn(length))
        self.discount = torch.full((length,), GAMMA)
        if terminated:
            self.discount[-1] = 0
        # Of a running episode the present observation is not in the buffer yet.
        self.rows = length if running else length + 1
        self.transitions = self.rows - 1

    def inputs(self, previous, offset, scale):
        obs = (self.obs - offset) * scale
        before = torch.cat([torch.zeros(1, ACT), self.act])
        self.x = torch.cat([before, obs], 1) if previous else obs


class Encoder(nn.Module):
    def __init__(self, kind, n_in, layers, hidden):
        super().__init__()
        if kind == "mlp":
            widths = [n_in] + layers * [hidden]
            self.net = nn.Sequential(*itertools.chain.from_iterable(
                (nn.Linear(a, b), nn.ELU()) for a, b in zip(widths, widths[1:])))
        else:
            cell = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
            self.net = cell(n_in, hidden, layers, bias=False, batch_first=True)
        self.remembers = kind != "mlp"

    def forward(self, x, state=None):
        """Inputs [steps][n_in] of one sequence; the top layer's outputs and the state at the end."""
        if not self.remembers:
            return self.net(x), None
        y, state = self.net(x[None], state)
        return y[0], state

    def window(self, x, before):
        """Outputs of all steps but `before` ones, through which no gradient goes."""
        state = None
        if before:
            with torch.no_grad():
                _, state = self(x[:before])
        return self(x[before:], state)[0]


class Window:
    def __init__(self, episode, first):
        self.begin = max(first, 0)
        self.place = self.begin - first  # of its first learned step among SEQUENCE
        self.end = min(first + SEQUENCE, episode.transitions)
        start = max(first - BURN_IN, 0)
        self.x, self.before = episode.x[start:self.end + 1], self.begin - start
        self.act, self.reward, self.discount = (
            v[self.begin:self.end] for v in (episode.act, episode.reward, episode.discount))

    def features(self, encoder):
        """Of the learned steps and of the one after."""
        return torch.cat([self.x[self.before:], encoder.window(self.x, self.before)], 1)

    def noise(self, all_noise, s):
        return all_noise[self.place:self.place + self.end - self.begin, s]


class Buffer:
    def __init__(self, episodes):
        self.episodes = episodes
        self.rows = [(e, i) for e in episodes for i in range(e.rows)]

    def pick(self, rng):
        while True:
            e, i = self.rows[rng.word() % len(self.rows)]
            if i < e.transitions:
                return e, i

    def windows(self, rng):
        out = []
        for _ in range(WINDOWS):
            e, i = self.pick(rng)
            out.append(Window(e, i - rng.word() % SEQUENCE))
        return out

    def observed(self, first):
        """Mean and 1 / sd of the observations, which begin at column `first` of x."""
        x = torch.stack([e.x[i, first:] for e, i in self.rows])
        return as_float(x.mean(0)), as_float(1 / x.std(0, unbiased=False))


def mlp(n_in, n_out):
    layers, width = [], n_in
    for h in HIDDEN:
        layers += [nn.Linear(width, h), nn.ELU()]
        width = h
    return nn.Sequential(*layers, nn.Linear(width, n_out))


def flat(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def sample(actor, features, noise):
    mean, log_sd = actor(features).chunk(2, -1)
    sd = log_sd.clamp(-20, 2).exp()
    u = mean + sd * noise
    log_prob = torch.distributions.Normal(mean, sd).log_prob(u)
    return torch.tanh(u), (log_prob - torch.log1p(-torch.tanh(u)**2)).sum(-1)


class Fixture:
    def __init__(self, name, algo, mode, kind, layers, hidden, previous=True, normalize=False):
        OUT.mkdir(parents=True, exist_ok=True)
        self.file = open(OUT / f"{name}.txt", "w")
        torch.manual_seed(19)
        self.algo, self.mode, self.hidden = algo, mode, hidden
        self.first_obs = ACT if previous else 0
        n_in = self.first_obs + OBS
        self.encoder = Encoder(kind, n_in, layers, hidden)
        self.actor = mlp(n_in + hidden, (2 if algo == "sac" else 1) * ACT)
        self.critics = [mlp(n_in + hidden + ACT, 1) for _ in range(2)]
        for net in (self.encoder, self.actor, *self.critics):
            for p in net.parameters():  # larger than at their birth, so that states matter
                p.data = as_float(p.data * 1.5)
        self.put_networks("", (self.encoder, self.actor, *self.critics), 9)
        self.log_alpha = torch.tensor(math.log(ALPHA), requires_grad=True)

        last = len(LENGTHS) - 1
        episodes = [Episode(n, t, i == last) for i, (n, t) in enumerate(zip(LENGTHS, TERMINATED))]
        for what in ("obs", "act", "reward"):
            self.put(what, torch.cat([getattr(e, what) for e in episodes]))
        self.buffer = Buffer(episodes)
        offset, scale = torch.zeros(OBS), torch.ones(OBS)
        for e in episodes:
            e.inputs(previous, offset, scale)
        if normalize:
            offset, scale = self.buffer.observed(self.first_obs)
            for e in episodes:
                e.inputs(previous, offset, scale)
        self.rng = Random(LEARNER_SEED)
        if mode == "pretrained":
            self.pretrain()
        self.learn()

    def put(self, name, values, digits=9):  # 9: a float comes back as it is
        values = torch.as_tensor(values).detach().reshape(-1).tolist()
        print(name, len(values), *(f"{v:.{digits}g}" for v in values), file=self.file)

    def put_networks(self, prefix, nets, digits):
        for name, net in zip(("encoder", "actor", "critic0", "critic1"), nets):
            self.put(prefix + name, flat(net), digits)

    # The next observation out of the top layer and the action.

    def prediction_loss(self, windows, head, offset, scale):
        wrong = []
        for w in windows:
            top = self.encoder.window(w.x, w.before)[:-1]
            want = (w.x[w.before + 1:, self.first_obs:] - offset) * scale
            wrong.append(head(torch.cat([top, w.act], 1)) - want)
        return (torch.cat(wrong)**2).mean()

    def tested(self, *head):
        rng = Random.stream(SEED ^ 0x70726574, 0)
        with torch.no_grad():
            return sum(self.prediction_loss(self.buffer.windows(rng), *head)
                       for _ in range(16)) / 16

    def pretrain(self):
        head = nn.Linear(self.hidden + ACT, OBS)
        bound = 1 / math.sqrt(self.hidden + ACT)
        for p in head.parameters():
            values = [self.rng.uniform(-bound, bound) for _ in range(p.numel())]
            p.data = as_float(torch.tensor(values)).reshape(p.shape)
        about = head, *self.buffer.observed(self.first_obs)
        before = self.tested(*about)
        optimizer = torch.optim.Adam([*self.encoder.parameters(), *head.parameters()],
                                     PRETRAIN_RATE)
        for _ in range(STEPS):
            loss = self.prediction_loss(self.buffer.windows(self.rng), *about)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.put("pretrained", torch.stack([before, self.tested(*about)]))

    # Batches: features now, features next for the critics' targets and for the policy, action,
    # reward, discount, noise of the next action and of the present one.

    def trained_batch(self, target_encoder):
        windows = self.buffer.windows(self.rng)
        noise = self.rng.normals(SEQUENCE, WINDOWS, ACT)
        noise2 = self.rng.normals(SEQUENCE, WINDOWS, ACT) if self.algo == "sac" else noise
        now, next_target, next_own = [], [], []
        for w in windows:
            own = w.features(self.encoder)
            now.append(own[:-1])
            next_own.append(own[1:].detach())
            with torch.no_grad():
                next_target.append(w.features(target_encoder)[1:])
        rest = [[w.act for w in windows], [w.reward for w in windows],
                [w.discount for w in windows],
                [w.noise(noise, s) for s, w in enumerate(windows)],
                [w.noise(noise2, s) for s, w in enumerate(windows)]]
        return [torch.cat(v) for v in (now, next_target, next_own, *rest)]

    def stored_batch(self):
        picked = [self.buffer.pick(self.rng) for _ in range(BATCH)]
        noise = self.rng.normals(BATCH, ACT)
        noise2 = self.rng.normals(BATCH, ACT) if self.algo == "sac" else noise
        now, after, act, reward, discount = (torch.stack(v) for v in zip(*(
            (e.feature[i], e.feature[i + 1], e.act[i], e.reward[i], e.discount[i])
            for e, i in picked)))
        return now, after, after, act, reward, discount, noise, noise2

    def store_features(self):
        with torch.no_grad():
            for e in self.buffer.episodes:
                e.feature = torch.cat([e.x, self.encoder(e.x)[0]], 1)

    def learn(self):
        actor, critics, sac = self.actor, self.critics, self.algo == "sac"
        nets = [self.encoder, actor, *critics]
        targets = copy.deepcopy(nets)
        target_encoder, target_actor, *target_critics = targets
        if self.mode != "trained":
            self.store_features()
        learned = [p for net in critics for p in net.parameters()]
        if self.mode == "trained":
            learned += self.encoder.parameters()
        critic_optimizer = torch.optim.Adam(learned, RATE)
        actor_optimizer = torch.optim.Adam(actor.parameters(), RATE)
        alpha_optimizer = torch.optim.Adam([self.log_alpha], RATE)

        def value(critic, features, act):
            return critic(torch.cat([features, act], 1))[:, 0]

        for step in range(1, STEPS + 1):
            batch = (self.trained_batch(target_encoder) if self.mode == "trained"
                     else self.stored_batch())
            now, next_target, next_own, act, reward, discount, noise, noise2 = batch
            alpha = self.log_alpha.exp().item()
            with torch.no_grad():
                if sac:
                    next_act, log_prob = sample(actor, next_own, noise)
                    bonus = -alpha * log_prob
                else:
                    smooth = (0.2 * noise).clamp(-0.5, 0.5)
                    next_act = (torch.tanh(target_actor(next_target)) + smooth).clamp(-1, 1)
                    bonus = 0
                q = torch.min(*(value(c, next_target, next_act) for c in target_critics))
                want = reward + discount * (q + bonus)
            q0, q1 = (value(c, now, act) for c in critics)
            critic_loss = nn.functional.mse_loss(q0, want) + nn.functional.mse_loss(q1, want)
            critic_optimizer.zero_grad()
            critic_loss.backward()
            critic_optimizer.step()

            actor_loss = mean_log_prob = torch.tensor(0.0)
            acts = sac or step % 2 == 0
            if acts:
                features = now.detach()
                if sac:
                    mine, log_prob = sample(actor, features, noise2)
                    mean_log_prob = log_prob.mean()
                    alpha_optimizer.zero_grad()
                    (-self.log_alpha * (mean_log_prob.detach() - ACT)).backward()
                    alpha_optimizer.step()
                    q = torch.min(*(value(c, features, mine) for c in critics))
                    actor_loss = (alpha * log_prob - q).mean()
                else:
                    actor_loss = -value(critics[0], features, torch.tanh(actor(features))).mean()
                actor_optimizer.zero_grad()
                actor_loss.backward()
                actor_optimizer.step()
                with torch.no_grad():
                    for net, target in zip(nets, targets):
                        for p, t in zip(net.parameters(), target.parameters()):
                            t += TAU * (p - t)
            self.put("losses", torch.stack([critic_loss, actor_loss, q0.mean(), mean_log_prob,
                                            torch.tensor(alpha if sac else 0.0)]))
        self.put_networks("", nets, 7)
        self.put_networks("target_", targets, 7)
        self.put("log_alpha", self.log_alpha)


def make(*args, **options):
    global LANE
    LANE = Random.stream(SEED ^ 0x65786370, 0)
    Fixture(*args, **options)


torch.set_default_dtype(torch.float64)
make("encoder_gru_td3", "td3", "trained", "gru", 3, 8)
make("encoder_gru_sac", "sac", "trained", "gru", 2, 9, normalize=True)
make("encoder_lstm_td3", "td3", "trained", "lstm", 2, 8)
make("encoder_mlp_td3", "td3", "trained", "mlp", 2, 8, previous=False)
make("encoder_pretrained_td3", "td3", "pretrained", "gru", 2, 8, normalize=True)
make("encoder_frozen_td3", "td3", "frozen", "gru", 2, 8)
