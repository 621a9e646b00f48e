"""The update of scripts/bench.sh dbm, hand-written in PyTorch (float32, CPU). Prints one JSON object.

    HARMONIUM_DATA=... python3 tests/bench/peer_dbm_torch.py --threads 2
"""
import torch_peer
import workload_dbm as work
from torch_peer import bernoulli

torch = torch_peer.start(__doc__.splitlines()[0], work)


class Dbm(torch_peer.Peer):
    def __init__(self, work):
        super().__init__(work)
        self.W = torch.randn(work.VISIBLE, work.LOWER) * work.WEIGHT_STD
        self.U = torch.randn(work.LOWER, work.UPPER) * work.WEIGHT_STD
        self.b, self.c, self.d = (torch.zeros(units) for units in (work.VISIBLE, work.LOWER, work.UPPER))
        self.chain = bernoulli(torch.full((work.CHAINS, work.LOWER), 0.5))

    def mean_field(self, v):
        below = torch.addmm(self.c, v, self.W)
        q1 = (2 * below - self.c).sigmoid_()
        q2 = torch.addmm(self.d, q1, self.U).sigmoid_()
        for _ in range(work.MEAN_FIELD):
            q1 = torch.addmm(below, q2, self.U.t()).sigmoid_()
            q2 = torch.addmm(self.d, q1, self.U).sigmoid_()
        return q1, q2

    def gibbs(self):
        for _ in range(work.GIBBS):
            v = bernoulli(torch.addmm(self.b, self.chain, self.W.t()).sigmoid_())
            h2 = bernoulli(torch.addmm(self.d, self.chain, self.U).sigmoid_())
            p1 = torch.addmm(self.c, v, self.W).addmm_(h2, self.U.t()).sigmoid_()
            self.chain = bernoulli(p1)
        return v, p1, h2

    def update(self):
        v = self.rows()
        q1, q2 = self.mean_field(v)
        v_model, p1, h2 = self.gibbs()
        rate = work.LEARNING_RATE / work.BATCH
        for weights, lower, upper, lower_model, upper_model in ((self.W, v, q1, v_model, p1), (self.U, q1, q2, p1, h2)):
            weights.addmm_(lower.t(), upper, alpha=rate)
            weights.addmm_(lower_model.t(), upper_model, alpha=-rate)
        for bias, data, model in ((self.b, v, v_model), (self.c, q1, p1), (self.d, q2, h2)):
            bias.add_(data.sum(0) - model.sum(0), alpha=rate)


torch_peer.run(Dbm, work)
