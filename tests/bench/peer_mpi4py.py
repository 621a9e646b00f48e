"""The benchmark's update, hand-written with numpy and mpi4py: a rank has its part of the batch and of the chains, and
the gradients are all-reduced. Rank 0 prints one JSON object.

    HARMONIUM_DATA=... mpirun -n 2 python3 tests/bench/peer_mpi4py.py
"""
import peer_common as common

options = common.arguments(__doc__.splitlines()[0])
common.limit_threads(options.threads)
import numpy  # noqa: E402 - after the environment is set
from mpi4py import MPI  # noqa: E402


def sigmoid(x):
    """In place."""
    numpy.negative(x, out=x)
    numpy.exp(x, out=x)
    x += 1
    return numpy.reciprocal(x, out=x)


class Rbm:
    def __init__(self, data, comm):
        self.comm, self.batch, self.chains = comm, common.BATCH // comm.size, common.CHAINS // comm.size
        self.data = data[comm.rank::comm.size].astype(numpy.float32)
        self.random = numpy.random.Generator(numpy.random.SFC64([1, comm.rank]))
        sizes = [common.VISIBLE * common.HIDDEN, common.VISIBLE, common.HIDDEN]
        self.params, self.gradient = (numpy.zeros(sum(sizes), numpy.float32) for _ in range(2))
        self.W, self.b, self.c = self.views(self.params, sizes)
        self.dW, self.db, self.dc = self.views(self.gradient, sizes)
        self.W[:] = numpy.random.default_rng(1).normal(0, common.WEIGHT_STD, self.W.shape)
        self.chain = self.bernoulli(numpy.full((self.chains, common.HIDDEN), 0.5, numpy.float32))
        self.order, self.next = self.random.permutation(len(self.data)), 0

    @staticmethod
    def views(pack, sizes):
        W, b, c = numpy.split(pack, numpy.cumsum(sizes)[:-1])
        return W.reshape(common.VISIBLE, common.HIDDEN), b, c

    def bernoulli(self, p):
        return (self.random.random(p.shape, numpy.float32) < p).astype(numpy.float32)

    def rows(self):
        if self.next + self.batch > len(self.order):
            self.order, self.next = self.random.permutation(len(self.data)), 0
        rows = self.data[self.order[self.next:self.next + self.batch]]
        self.next += self.batch
        return rows

    def update(self):
        v = self.rows()
        p = sigmoid(v @ self.W + self.c)
        v_model = self.bernoulli(sigmoid(self.chain @ self.W.T + self.b))
        p_model = sigmoid(v_model @ self.W + self.c)
        self.chain = self.bernoulli(p_model)
        numpy.matmul(v.T, p, out=self.dW)
        self.dW -= v_model.T @ p_model
        self.db[:] = v.sum(0) - v_model.sum(0)
        self.dc[:] = p.sum(0) - p_model.sum(0)
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, self.gradient)
        self.gradient *= common.LEARNING_RATE / common.BATCH
        self.params += self.gradient


def main():
    comm = MPI.COMM_WORLD
    if common.BATCH % comm.size:
        raise SystemExit(f"peer_mpi4py: {comm.size} ranks do not divide a batch of {common.BATCH}")
    model = Rbm(common.mnist(), comm)
    rates, cores = common.measure(model.update, options.seconds, lambda value: comm.bcast(value))
    cores = comm.allreduce(cores)
    peak = comm.allreduce(common.peak_memory(), MPI.MAX)
    if comm.rank == 0:
        common.report("numpy + mpi4py", numpy.__version__, options.threads, comm.size, rates, cores, peak)


main()
