"""The workload of `scripts/bench.sh rbm`: a 784 x 500 Bernoulli RBM on MNIST thresholded at 0.5, minibatches of 128, 128
persistent chains, PCD-1, plain gradient ascent. The hidden states of the chains are kept between updates, so an update
is five products of 128 x 784 x 500, the same five as ours: v W, h W', v~ W, v'p, v~'p~.
"""
VISIBLE, HIDDEN, BATCH, CHAINS = 784, 500, 128, 128
LEARNING_RATE, WEIGHT_STD = 0.01, 0.01
PRODUCTS = 5
FLOP_PER_UPDATE = PRODUCTS * 2 * BATCH * VISIBLE * HIDDEN
SECONDS = 6.0
