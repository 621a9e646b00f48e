"""Nets and autoencoders against PyTorch from the same initial weights: ten steps of Adam on all rows at once, then the
parameters and what evaluate says. Skipped where PyTorch is not there.
"""
import math
import sys
import unittest

import h5py
import numpy

from harmonium import Case, edited, main, parameters

try:
    import torch
except ImportError:
    print("skipped: PyTorch is not there")
    sys.exit(77)

# An epsilon keeps gradients that are nothing but rounding from becoming whole steps.
ROWS, STEPS, RATE, EPSILON = 60, 10, 0.003, 1e-4


class Layers:
    """The layers of a list, with weights from parameters of the same names as ours."""

    def __init__(self, net, items, parameters, shape=(1, 1, 784)):
        self.steps, self.learnt, number = [], {}, 0
        for item in items:
            words = item.split()
            number += words[0] in ("dense", "maxout", "conv", "transposed_conv", "batch_norm")
            shape = self.add(net, number, words, parameters, shape)

    def tensor(self, net, name, number, parameters):
        key = f"{net}_{name}{number}"
        self.learnt[key] = torch.tensor(parameters[key].astype(float), requires_grad=True)
        return self.learnt[key]

    def add(self, net, number, words, parameters, shape):
        """Images are (rows, height, width, channels) between layers, as they lie in ours."""
        kind, take = words[0], lambda name: self.tensor(net, name, number, parameters)
        options = dict(zip(words[3::2], map(int, words[4::2]))) if kind.endswith("conv") else {}
        place = dict(stride=options.get("stride", 1), padding=options.get("pad", 0))
        if kind == "dense":
            W, b = take("W"), take("b")
            self.steps.append(lambda x: x.flatten(1) @ W + b)
            return (1, 1, int(words[1]))
        if kind == "maxout":
            W, b = take("W"), take("b")
            self.steps.append(lambda x: (x.flatten(1) @ W + b).reshape(len(x), int(words[1]), int(words[2])).max(2).values)
            return (1, 1, int(words[1]))
        if kind == "reshape":
            shape = tuple(map(int, words[1:4]))
            self.steps.append(lambda x: x.reshape(len(x), *shape))
            return shape
        if kind == "conv":
            W, b = take("W"), take("b")
            self.steps.append(lambda x: torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), W.permute(3, 2, 0, 1), b,
                                                                   **place).permute(0, 2, 3, 1))
        elif kind == "transposed_conv":
            W, b, size, channels = take("W"), take("b"), int(words[2]), int(words[1])
            self.steps.append(lambda x: torch.nn.functional.conv_transpose2d(
                x.permute(0, 3, 1, 2), W.reshape(-1, size, size, channels).permute(0, 3, 1, 2), b,
                **place).permute(0, 2, 3, 1))
        elif kind == "batch_norm":
            gamma, beta = take("gamma"), take("beta")
            self.steps.append(lambda x: torch.nn.functional.batch_norm(
                x.reshape(-1, x.shape[-1]), None, None, gamma, beta, training=True).reshape(x.shape))
        else:
            function = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
                        "softplus": torch.nn.functional.softplus,
                        "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, 0.2)}[kind]
            self.steps.append(function)
        return shape

    def __call__(self, x):
        for step in self.steps:
            x = step(x)
        return x.flatten(1)


def adam(tensors, loss):
    optimizer = torch.optim.Adam(tensors, lr=RATE, eps=EPSILON)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


# ---- the normal numbers of the library (src/core/rng.h, kernels.h), in numpy -----------------------------------------------

def philox(counter, key):
    c, k = [numpy.uint64(word) + numpy.zeros_like(counter[0]) for word in counter], list(key)
    for _ in range(10):
        first, second = c[0] * numpy.uint64(0xD2511F53), c[2] * numpy.uint64(0xCD9E8D57)
        low = numpy.uint64(0xFFFFFFFF)
        c = [(second >> numpy.uint64(32)) ^ c[1] ^ numpy.uint64(k[0]), second & low,
             (first >> numpy.uint64(32)) ^ c[3] ^ numpy.uint64(k[1]), first & low]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def uniforms(seed, purpose, step, row, columns):
    column = numpy.arange(columns, dtype=numpy.uint64)
    block = column // 64 * 16 + column % 16
    high = (purpose << 24) | ((step >> 32) & 0xFFF) << 12 | ((row >> 32) & 0xFFF)
    words = philox([block, row % 2**32, step % 2**32, high], [seed % 2**32, seed >> 32])
    word = numpy.choose((column // 16 % 4).astype(int), words)
    return (word >> numpy.uint64(8)).astype(float) * 2.0**-24


def normals(seed, purpose, step, row, columns):
    u = uniforms(seed, purpose, step, row, -(-columns // 128) * 128).reshape(-1, 2, 64)
    radius, angle = numpy.sqrt(-2 * numpy.log(u[:, 0] + 2.0**-24)), 2 * math.pi * u[:, 1]
    return numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], axis=1).reshape(-1)[:columns]


class Torch(Case):
    def trained(self, model, train, rows=ROWS):
        """Parameters before and after ten steps on all rows at once."""
        data = self.path("digits.h5")
        config = self.write("config.yaml", f"seed: 3\nshards: 4\ndata: {{file: {data}, binarize: none}}\nmodel: {{{model}}}\n"
                                           f"train: {{batch: {rows}, epochs: {STEPS}, optimizer: adam, epsilon: 1e-4, {train}}}\n")
        folders = self.path("still"), self.path("run")
        for folder, rate in zip(folders, (0, RATE)):
            self.succeed("train", config, "-o", folder, "--quiet", "--set", f"train.learning_rate={rate}")
        return parameters(folders[0]), parameters(folders[1])

    def rows(self, split="train"):
        with h5py.File(self.path("digits.h5")) as file:
            return torch.tensor(file[split + "/x"][...] / 255.0, dtype=torch.float64), torch.tensor(
                file[split + "/y"][...].astype(numpy.int64))

    def compare(self, learnt, before, after, places):
        """Steps are RATE long at first: what differs by a thousandth of them is rounding."""
        for name, tensor in learnt.items():
            moved = numpy.abs(after[name] - before[name]).max()
            error = numpy.abs(after[name] - tensor.detach().numpy()).max()
            if numpy.abs(before[name] - tensor.detach().numpy()).max() > 0:  # a critic's last bias has no gradient
                self.assertGreater(moved, RATE / 2, name)
            self.assertLess(error, places * RATE, name)

    def check_network(self, layers):
        self.digits(rows=ROWS, test_rows=20)
        before, after = self.trained(f"family: network, layers: [{', '.join(layers)}]", "learning_rate: 0")
        net = Layers("layers", [*layers, "dense 10"], before)
        x, y = self.rows()
        adam(list(net.learnt.values()), lambda: torch.nn.functional.cross_entropy(net(x), y))
        self.compare(net.learnt, before, after, 0.01)

    def test_dense_layers(self):
        self.check_network(["dense 30", "tanh", "dense 20", "sigmoid", "dense 20", "softplus"])

    def test_rectified_and_maxout_layers(self):
        self.check_network(["dense 30", "leaky_relu", "maxout 10 3", "dense 20", "relu"])

    def test_batch_normalisation(self):
        self.check_network(["batch_norm", "dense 30", "tanh", "batch_norm", "dense 20", "tanh", "batch_norm"])

    def test_convolutions(self):
        self.check_network(["reshape 28 28 1", "conv 4 5 stride 3 pad 1", "tanh", "conv 6 3", "tanh", "batch_norm",
                            "transposed_conv 3 4 stride 2 pad 1", "tanh"])

    # ---- autoencoders --------------------------------------------------------------------------------------------------

    def check_vae(self, train, samples, loss):
        """All rows are the same one, so that the order in which the feed takes them does not count."""
        model = "family: vae, encoder: [dense 30, tanh, latent 5], decoder: [dense 20, tanh]"
        self.digits(rows=ROWS, test_rows=20)
        with edited(self.path("digits.h5")) as file:
            file["train/x"][...] = file["train/x"][0]
        before, after = self.trained(model, f"samples: {samples}, {train}")
        encoder = Layers("encoder", ["dense 30", "tanh", "dense 10"], before)
        decoder = Layers("decoder", ["dense 20", "tanh", "dense 784"], before, (1, 1, 5))
        x, _ = self.rows()
        step = 0

        def minus_bound():
            nonlocal step
            noise = torch.tensor(numpy.array([normals(3, self.noise(), step * 8, i, 5) for i in range(ROWS * samples)]),
                                 dtype=torch.float64)
            step += 1
            mean, log_variance = encoder(x).repeat_interleave(samples, 0).chunk(2, 1)
            h = mean + (log_variance / 2).exp() * noise
            v, z = x.repeat_interleave(samples, 0), decoder(h)
            likelihood = (v * z - torch.nn.functional.softplus(z)).sum(1)
            ratio = 0.5 * (log_variance + noise**2 - h**2).sum(1)  # log p(h) - log q(h | v)
            kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
            return -loss(*(value.reshape(ROWS, samples) for value in (likelihood, ratio, kl)))

        learnt = {**encoder.learnt, **decoder.learnt}
        adam(list(learnt.values()), minus_bound)
        self.compare(learnt, before, after, 0.01)

    def noise(self):
        """The number of HM_RNG_NOISE, from the header."""
        import os
        import re
        source = os.path.join(os.environ.get("HARMONIUM_SOURCE", "."), "src/core/rng.h")
        names = re.findall(r"^    (HM_RNG_\w+)", open(source).read(), re.MULTILINE)
        return names.index("HM_RNG_NOISE") + 1

    def test_elbo(self):
        self.check_vae("objective: elbo", 1, lambda likelihood, ratio, kl: (likelihood - kl).mean())

    def test_elbo_from_draws(self):
        self.check_vae("objective: elbo, kl: sampled", 3, lambda likelihood, ratio, kl: (likelihood + ratio).mean())

    def test_importance_weighted(self):
        self.check_vae("objective: iwae", 4, lambda likelihood, ratio, kl: (
            torch.logsumexp(likelihood + ratio, 1) - math.log(4)).mean())


    # ---- adversaries ---------------------------------------------------------------------------------------------------

    def check_gan(self, objective, of_discriminator, of_generator):
        """Ten updates of two turns; all rows of the data are the same one."""
        self.digits(rows=ROWS, test_rows=20)
        with edited(self.path("digits.h5")) as file:
            file["train/x"][...] = file["train/x"][0]
        before, after = self.trained("family: gan, noise_units: 5, generator: [dense 20, tanh, dense 784, sigmoid], "
                                     "discriminator: [dense 20, leaky_relu, dense 10, tanh, dense 1]",
                                     f"objective: {objective}" + ", gradient_penalty: 3" * (objective == "wasserstein"))
        generator = Layers("generator", ["dense 20", "tanh", "dense 784", "sigmoid"], before, (1, 1, 5))
        critic = Layers("discriminator", ["dense 20", "leaky_relu", "dense 10", "tanh", "dense 1"], before)
        x, _ = self.rows()
        players = [(critic, torch.optim.Adam(critic.learnt.values(), lr=RATE, eps=EPSILON)),
                   (generator, torch.optim.Adam(generator.learnt.values(), lr=RATE, eps=EPSILON))]
        for turn in range(2 * STEPS):
            z = torch.tensor(numpy.array([normals(3, self.noise(), turn * 8, i, 5) for i in range(ROWS)]))
            net, optimizer = players[turn % 2]
            made = generator(z)
            if turn % 2 == 0:
                u = torch.tensor(numpy.array([uniforms(3, self.noise(), turn * 8 + 1, i, 1) for i in range(ROWS)]))
                between = (u * x + (1 - u) * made).detach().requires_grad_()
                slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0].norm(dim=1)
                loss = -of_discriminator(critic(x)[:, 0], critic(made.detach())[:, 0], slope).mean()
            else:
                loss = -of_generator(critic(made)[:, 0]).mean()
            for tensor in (*critic.learnt.values(), *generator.learnt.values()):
                tensor.grad = None
            loss.backward()
            optimizer.step()
        self.compare({**generator.learnt, **critic.learnt}, before, after, 0.01)

    def test_non_saturating_adversaries(self):
        log_sigmoid = torch.nn.functional.logsigmoid
        self.check_gan("non_saturating", lambda real, made, slope: log_sigmoid(real) + log_sigmoid(-made), log_sigmoid)

    def test_minimax_adversaries(self):
        log_sigmoid = torch.nn.functional.logsigmoid
        self.check_gan("minimax", lambda real, made, slope: log_sigmoid(real) + log_sigmoid(-made),
                       lambda made: -log_sigmoid(-made))

    def test_least_squares_adversaries(self):
        self.check_gan("least_squares", lambda real, made, slope: -((real - 1)**2 + made**2) / 2,
                       lambda made: -(made - 1)**2 / 2)

    def test_a_critic_with_a_gradient_penalty(self):
        self.check_gan("wasserstein", lambda real, made, slope: real - made - 3 * (slope - 1)**2, lambda made: made)


if __name__ == "__main__":
    main()
