"""The update of scripts/bench.sh rbm, hand-written in PyTorch (float32, CPU). Prints one JSON object.

    HARMONIUM_DATA=... python3 tests/bench/peer_rbm_torch.py --threads 2
"""
import torch_peer
import workload_rbm as work
from torch_peer import bernoulli

torch = torch_peer.start(__doc__.splitlines()[0], work)


class Rbm(torch_peer.Peer):
    def __init__(self, work):
        super().__init__(work)
        self.W = torch.randn(work.VISIBLE, work.HIDDEN) * work.WEIGHT_STD
        self.b, self.c = torch.zeros(work.VISIBLE), torch.zeros(work.HIDDEN)
        self.chain = bernoulli(torch.full((work.CHAINS, work.HIDDEN), 0.5))

    def update(self):
        v = self.rows()
        p = torch.addmm(self.c, v, self.W).sigmoid_()
        v_model = bernoulli(torch.addmm(self.b, self.chain, self.W.t()).sigmoid_())
        p_model = torch.addmm(self.c, v_model, self.W).sigmoid_()
        self.chain = bernoulli(p_model)
        rate = work.LEARNING_RATE / work.BATCH
        self.W.addmm_(v.t(), p, alpha=rate)
        self.W.addmm_(v_model.t(), p_model, alpha=-rate)
        self.b.add_(v.sum(0) - v_model.sum(0), alpha=rate)
        self.c.add_(p.sum(0) - p_model.sum(0), alpha=rate)


torch_peer.run(Rbm, work)
