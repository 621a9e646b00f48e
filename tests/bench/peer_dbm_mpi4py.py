"""The update of scripts/bench.sh dbm, hand-written with numpy and mpi4py: a rank has its part of the batch and of the
chains, and the gradients are all-reduced. Rank 0 prints one JSON object.

    HARMONIUM_DATA=... mpirun -n 2 python3 tests/bench/peer_dbm_mpi4py.py
"""
import peer_common as common
import workload_dbm as work

options = common.arguments(__doc__.splitlines()[0])
common.limit_threads(options.threads)
import numpy  # noqa: E402 - after the environment is set
from mpi4py import MPI  # noqa: E402

SHAPES = [(work.VISIBLE, work.LOWER), (work.LOWER, work.UPPER), (work.VISIBLE,), (work.LOWER,), (work.UPPER,)]


def sigmoid(x):
    """In place."""
    numpy.negative(x, out=x)
    numpy.exp(x, out=x)
    x += 1
    return numpy.reciprocal(x, out=x)


class Dbm:
    def __init__(self, data, comm):
        self.comm, self.batch, self.chains = comm, work.BATCH // comm.size, work.CHAINS // comm.size
        self.data = data[comm.rank::comm.size].astype(numpy.float32)
        self.random = numpy.random.Generator(numpy.random.SFC64([1, comm.rank]))
        size = sum(int(numpy.prod(shape)) for shape in SHAPES)
        self.params, self.gradient = (numpy.zeros(size, numpy.float32) for _ in range(2))
        self.W, self.U, self.b, self.c, self.d = self.views(self.params)
        self.dW, self.dU, self.db, self.dc, self.dd = self.views(self.gradient)
        for weights in (self.W, self.U):
            weights[:] = numpy.random.default_rng(1).normal(0, work.WEIGHT_STD, weights.shape)
        self.chain = self.bernoulli(numpy.full((self.chains, work.LOWER), 0.5, numpy.float32))
        self.order, self.next = self.random.permutation(len(self.data)), 0

    @staticmethod
    def views(pack):
        ends = numpy.cumsum([int(numpy.prod(shape)) for shape in SHAPES])[:-1]
        return [part.reshape(shape) for part, shape in zip(numpy.split(pack, ends), SHAPES)]

    def bernoulli(self, p):
        return (self.random.random(p.shape, numpy.float32) < p).astype(numpy.float32)

    def rows(self):
        if self.next + self.batch > len(self.order):
            self.order, self.next = self.random.permutation(len(self.data)), 0
        rows = self.data[self.order[self.next:self.next + self.batch]]
        self.next += self.batch
        return rows

    def mean_field(self, v):
        below = v @ self.W + self.c
        q1 = sigmoid(2 * below - self.c)
        q2 = sigmoid(q1 @ self.U + self.d)
        for _ in range(work.MEAN_FIELD):
            q1 = sigmoid(q2 @ self.U.T + below)
            q2 = sigmoid(q1 @ self.U + self.d)
        return q1, q2

    def gibbs(self):
        for _ in range(work.GIBBS):
            v = self.bernoulli(sigmoid(self.chain @ self.W.T + self.b))
            h2 = self.bernoulli(sigmoid(self.chain @ self.U + self.d))
            p1 = sigmoid(v @ self.W + h2 @ self.U.T + self.c)
            self.chain = self.bernoulli(p1)
        return v, p1, h2

    def update(self):
        v = self.rows()
        q1, q2 = self.mean_field(v)
        v_model, p1, h2 = self.gibbs()
        for gradient, lower, upper, lower_model, upper_model in ((self.dW, v, q1, v_model, p1),
                                                                 (self.dU, q1, q2, p1, h2)):
            numpy.matmul(lower.T, upper, out=gradient)
            gradient -= lower_model.T @ upper_model
        for gradient, data, model in ((self.db, v, v_model), (self.dc, q1, p1), (self.dd, q2, h2)):
            gradient[:] = data.sum(0) - model.sum(0)
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, self.gradient)
        self.gradient *= work.LEARNING_RATE / work.BATCH
        self.params += self.gradient


def main():
    comm = MPI.COMM_WORLD
    if work.BATCH % comm.size:
        raise SystemExit(f"peer_dbm_mpi4py: {comm.size} ranks do not divide a batch of {work.BATCH}")
    model = Dbm(common.mnist(), comm)
    rates, cores = common.measure(model.update, options.seconds, lambda value: comm.bcast(value))
    cores = comm.allreduce(cores)
    peak = comm.allreduce(common.peak_memory(), MPI.MAX)
    if comm.rank == 0:
        common.report("numpy + mpi4py", numpy.__version__, options.threads, comm.size, rates, cores, peak, work)


main()
