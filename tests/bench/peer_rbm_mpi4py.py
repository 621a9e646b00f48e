"""The update of scripts/bench.sh rbm, hand-written with numpy and mpi4py. Rank 0 prints one JSON object.

    HARMONIUM_DATA=... mpirun -n 2 python3 tests/bench/peer_rbm_mpi4py.py
"""
import mpi4py_peer
import workload_rbm as work
from mpi4py_peer import sigmoid

numpy = mpi4py_peer.start(__doc__.splitlines()[0], work)


class Rbm(mpi4py_peer.Peer):
    def __init__(self, work):
        super().__init__(work, [(work.VISIBLE, work.HIDDEN), (work.VISIBLE,), (work.HIDDEN,)])
        self.W, self.b, self.c = self.views
        self.dW, self.db, self.dc = self.gradients
        self.chain = self.bernoulli(numpy.full((self.chains, work.HIDDEN), 0.5, numpy.float32))

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
        self.step()


mpi4py_peer.run(Rbm, work)
