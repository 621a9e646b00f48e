"""The workload of `scripts/bench.sh vae`: the importance-weighted autoencoder of Burda et al. (2016) with one layer of 50
latent variables, 784-200-200-50-200-200-784 with tanh, on MNIST thresholded at 0.5, minibatches of 100, k draws a row,
Adam.

Counted are the dense products that every contender makes: forward, gradients of weights, and of inputs (but those of the
data).
"""
VISIBLE, HIDDEN, LATENT, BATCH = 784, 200, 50, 100
LEARNING_RATE, EPSILON = 0.001, 1e-4
SECONDS = 5.0
SAMPLES = 1  # k; the benchmark sets it
_ENCODER = VISIBLE * HIDDEN + HIDDEN * HIDDEN + HIDDEN * 2 * LATENT
_DECODER = LATENT * HIDDEN + HIDDEN * HIDDEN + HIDDEN * VISIBLE
PARAMETERS = _ENCODER + _DECODER + 4 * HIDDEN + 2 * LATENT + VISIBLE


def flop_per_update(samples):
    return 2 * BATCH * (3 * _ENCODER - VISIBLE * HIDDEN + samples * 3 * _DECODER)
