"""The update of scripts/bench.sh vae in PyTorch (float32, CPU): modules, autograd, torch.optim.Adam. Prints one JSON object.

    HARMONIUM_DATA=... python3 tests/bench/peer_vae_torch.py --threads 2 --samples 5
"""
import math

import torch_peer
import workload_vae as work

torch = torch_peer.start(__doc__.splitlines()[0], work)


def net(*units):
    layers = []
    for inputs, outputs in zip(units, units[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


class Vae(torch_peer.Peer):
    def __init__(self, work):
        super().__init__(work)
        self.encoder = net(work.VISIBLE, work.HIDDEN, work.HIDDEN, 2 * work.LATENT)
        self.decoder = net(work.LATENT, work.HIDDEN, work.HIDDEN, work.VISIBLE)
        learnt = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(learnt, lr=work.LEARNING_RATE, eps=work.EPSILON)

    def bound(self, v, k):
        mean, log_variance = self.encoder(v).chunk(2, 1)
        eps = torch.randn(k, *mean.shape)
        h = mean + (log_variance * 0.5).exp() * eps
        likelihood = -torch.nn.functional.binary_cross_entropy_with_logits(
            self.decoder(h.flatten(0, 1)), v.repeat(k, 1), reduction="none").sum(1).reshape(k, -1)
        log_w = likelihood + 0.5 * (log_variance + eps * eps - h * h).sum(2)
        return (torch.logsumexp(log_w, 0) - math.log(k)).mean()

    def update(self):
        with torch.enable_grad():
            self.optimizer.zero_grad(set_to_none=True)
            loss = -self.bound(self.rows(), torch_peer.options.samples)
            loss.backward()
            self.optimizer.step()


torch_peer.run(Vae, work)
