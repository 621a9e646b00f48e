"""A peer in numpy and mpi4py: a rank has its part of the batch and of the chains, and the gradients are all-reduced.
`start` before anything else."""
import peers


def start(description, work):
    """The peer's options; numpy and MPI are imported after the environment is set."""
    global numpy, MPI, options
    options = peers.arguments(description, work)
    import numpy
    from mpi4py import MPI
    return numpy


def sigmoid(x):
    """In place."""
    numpy.negative(x, out=x)
    numpy.exp(x, out=x)
    x += 1
    return numpy.reciprocal(x, out=x)


class Peer:
    """A model of a workload module with parameters of the given shapes, and their gradients, in one pack each; `update`
    is the peer's own."""

    def __init__(self, work, shapes):
        self.comm = MPI.COMM_WORLD
        if work.BATCH % self.comm.size:
            raise SystemExit(f"mpi4py peer: {self.comm.size} ranks do not divide a batch of {work.BATCH}")
        self.work, self.batch, self.chains = work, work.BATCH // self.comm.size, work.CHAINS // self.comm.size
        self.data = peers.mnist()[self.comm.rank::self.comm.size].astype(numpy.float32)
        self.random = numpy.random.Generator(numpy.random.SFC64([1, self.comm.rank]))
        self.order, self.next = self.random.permutation(len(self.data)), 0
        self.params, self.gradient = (numpy.zeros(sum(int(numpy.prod(shape)) for shape in shapes), numpy.float32)
                                      for _ in range(2))
        self.views, self.gradients = self.split(self.params, shapes), self.split(self.gradient, shapes)
        for view in self.views:
            if view.ndim == 2:
                view[:] = numpy.random.default_rng(1).normal(0, work.WEIGHT_STD, view.shape)

    @staticmethod
    def split(pack, shapes):
        ends = numpy.cumsum([int(numpy.prod(shape)) for shape in shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(numpy.split(pack, ends), shapes)]

    def bernoulli(self, p):
        return (self.random.random(p.shape, numpy.float32) < p).astype(numpy.float32)

    def rows(self):
        if self.next + self.batch > len(self.order):
            self.order, self.next = self.random.permutation(len(self.data)), 0
        rows = self.data[self.order[self.next:self.next + self.batch]]
        self.next += self.batch
        return rows

    def step(self):
        """Along the mean of all ranks' gradients."""
        if self.comm.size > 1:
            self.comm.Allreduce(MPI.IN_PLACE, self.gradient)
        self.gradient *= self.work.LEARNING_RATE / self.work.BATCH
        self.params += self.gradient


def run(peer, work):
    """Measures updates of peer(work); rank 0 prints one JSON object."""
    comm = MPI.COMM_WORLD
    rates, cores = peers.measure(peer(work).update, options.seconds, lambda value: comm.bcast(value))
    cores = comm.allreduce(cores)
    peak = comm.allreduce(peers.peak_memory(), MPI.MAX)
    if comm.rank == 0:
        peers.report("numpy + mpi4py", numpy.__version__, work, options.threads, comm.size, rates, cores, peak)
