"""The workload of `scripts/bench.sh dbm`: a 784-500-1000 deep Boltzmann machine on MNIST thresholded at 0.5, minibatches
of 100, 100 persistent chains, 10 mean-field updates of both hidden layers, 5 Gibbs steps, plain gradient ascent.

Counted are dense products that every contender makes: v W1 once, h1 W2 of the first pass upward, both products between
the hidden layers in each mean-field update, all four of a Gibbs step (the hidden ones' from both sides), and the
gradients of both weight matrices on the batch and on the chains.
"""
VISIBLE, LOWER, UPPER = 784, 500, 1000
BATCH = CHAINS = 100
MEAN_FIELD, GIBBS = 10, 5
LEARNING_RATE, WEIGHT_STD = 0.005, 0.01
SECONDS = 8.0
_FIRST, _SECOND = VISIBLE * LOWER, LOWER * UPPER
MULTIPLY_ADDS = (BATCH * (_FIRST + _SECOND + MEAN_FIELD * 2 * _SECOND) + CHAINS * GIBBS * 2 * (_FIRST + _SECOND)
                 + (BATCH + CHAINS) * (_FIRST + _SECOND))
FLOP_PER_UPDATE = 2 * MULTIPLY_ADDS
