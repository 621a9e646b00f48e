"""The workload of `scripts/bench.sh gan`: the adversarial nets of Baumann's introduction (2018), a generator 100-256-512-1024-784
with leaky ReLU and batch normalisation, tanh on top, and a discriminator 784-512-256-1, on MNIST from -1 to 1, batches of 32, Adam.

An update is a turn of the discriminator, on 32 rows of the data and 32 made ones, and a turn of the generator. Counted are the
dense products that every contender makes.
"""
VISIBLE, NOISE, BATCH = 784, 100, 32
GENERATOR, DISCRIMINATOR = (NOISE, 256, 512, 1024, VISIBLE), (VISIBLE, 512, 256, 1)
LEARNING_RATE, BETA1 = 0.0002, 0.5
SECONDS = 6.0


def _products(units):
    return sum(a * b for a, b in zip(units, units[1:]))


_G, _D = _products(GENERATOR), _products(DISCRIMINATOR)
PARAMETERS = _G + _D + sum(GENERATOR[1:]) + sum(DISCRIMINATOR[1:]) + 4 * (256 + 512 + 1024)
# The discriminator's turn: the generator forward; forward and gradients of weights for twice the rows, and of inputs but the
# data's. The generator's turn: both forward, back through the discriminator, and the generator's gradients, but its input's.
MULTIPLY_ADDS = BATCH * (_G + 2 * (3 * _D - VISIBLE * 512) + _G + _D + _D + 2 * _G - NOISE * 256)
FLOP_PER_UPDATE = 2 * MULTIPLY_ADDS
