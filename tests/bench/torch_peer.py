"""A peer in PyTorch (float32, CPU): its rows, its draws, its clock. `start` before anything else."""
import peers


def start(description, work):
    """The peer's options; torch is imported after the environment is set."""
    global torch, options
    options = peers.arguments(description, work)
    import torch
    return torch


def bernoulli(p):
    return (torch.rand_like(p) < p).float()  # three times as fast as torch.bernoulli here


class Peer:
    """A model of a workload module: `update` is the peer's own."""

    def __init__(self, work):
        torch.manual_seed(1)
        self.batch = work.BATCH
        self.data = torch.from_numpy(peers.mnist()).float()
        self.order, self.next = torch.randperm(len(self.data)), 0

    def rows(self):
        if self.next + self.batch > len(self.order):
            self.order, self.next = torch.randperm(len(self.data)), 0
        rows = self.data[self.order[self.next:self.next + self.batch]]
        self.next += self.batch
        return rows


def run(peer, work):
    """Measures updates of peer(work) and prints one JSON object."""
    torch.set_num_threads(options.threads)
    with torch.no_grad():
        rates, cores = peers.measure(peer(work).update, options.seconds)
    if torch.get_num_threads() != options.threads:
        raise SystemExit(f"torch peer: {torch.get_num_threads()} threads, wanted {options.threads}")
    peers.report("torch", torch.__version__, work, options.threads, 1, rates, cores)
