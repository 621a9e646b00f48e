"""The benchmark's update, hand-written in PyTorch (float32, CPU). Prints one JSON object.

    HARMONIUM_DATA=... python3 tests/bench/peer_torch.py --threads 2
"""
import peer_common as common

options = common.arguments(__doc__.splitlines()[0])
common.limit_threads(options.threads)
import torch  # noqa: E402 - after the environment is set


def bernoulli(p):
    return (torch.rand_like(p) < p).float()  # three times as fast as torch.bernoulli here


class Rbm:
    def __init__(self, data):
        torch.manual_seed(1)
        self.data = torch.from_numpy(data).float()
        self.W = torch.randn(common.VISIBLE, common.HIDDEN) * common.WEIGHT_STD
        self.b = torch.zeros(common.VISIBLE)
        self.c = torch.zeros(common.HIDDEN)
        self.chain = bernoulli(torch.full((common.CHAINS, common.HIDDEN), 0.5))
        self.order, self.next = torch.randperm(len(self.data)), 0

    def rows(self):
        if self.next + common.BATCH > len(self.order):
            self.order, self.next = torch.randperm(len(self.data)), 0
        rows = self.data[self.order[self.next:self.next + common.BATCH]]
        self.next += common.BATCH
        return rows

    def update(self):
        v = self.rows()
        p = torch.addmm(self.c, v, self.W).sigmoid_()
        v_model = bernoulli(torch.addmm(self.b, self.chain, self.W.t()).sigmoid_())
        p_model = torch.addmm(self.c, v_model, self.W).sigmoid_()
        self.chain = bernoulli(p_model)
        rate = common.LEARNING_RATE / common.BATCH
        self.W.addmm_(v.t(), p, alpha=rate)
        self.W.addmm_(v_model.t(), p_model, alpha=-rate)
        self.b.add_(v.sum(0) - v_model.sum(0), alpha=rate)
        self.c.add_(p.sum(0) - p_model.sum(0), alpha=rate)


def main():
    torch.set_num_threads(options.threads)
    with torch.no_grad():
        rates, cores = common.measure(Rbm(common.mnist()).update, options.seconds)
    if torch.get_num_threads() != options.threads:
        raise SystemExit(f"peer_torch: {torch.get_num_threads()} threads, wanted {options.threads}")
    common.report("torch", torch.__version__, options.threads, 1, rates, cores)


main()
