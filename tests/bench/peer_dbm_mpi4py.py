"""The update of scripts/bench.sh dbm, hand-written with numpy and mpi4py. Rank 0 prints one JSON object.

    HARMONIUM_DATA=... mpirun -n 2 python3 tests/bench/peer_dbm_mpi4py.py
"""
import mpi4py_peer
import workload_dbm as work
from mpi4py_peer import sigmoid

numpy = mpi4py_peer.start(__doc__.splitlines()[0], work)


class Dbm(mpi4py_peer.Peer):
    def __init__(self, work):
        super().__init__(work, [(work.VISIBLE, work.LOWER), (work.LOWER, work.UPPER), (work.VISIBLE,), (work.LOWER,),
                                (work.UPPER,)])
        self.W, self.U, self.b, self.c, self.d = self.views
        self.dW, self.dU, self.db, self.dc, self.dd = self.gradients
        self.chain = self.bernoulli(numpy.full((self.chains, work.LOWER), 0.5, numpy.float32))

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
        self.step()


mpi4py_peer.run(Dbm, work)
