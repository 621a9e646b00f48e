"""The update of scripts/bench.sh gan in PyTorch (float32, CPU): modules, autograd, two torch.optim.Adam. Prints one JSON object.

    HARMONIUM_DATA=... python3 tests/bench/peer_gan_torch.py --threads 2
"""
import torch_peer
import workload_gan as work

torch = torch_peer.start(__doc__.splitlines()[0], work)


def net(units, normalised, top):
    layers = []
    for inputs, outputs in zip(units, units[1:]):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.LeakyReLU(0.2)]
        if normalised:
            layers.append(torch.nn.BatchNorm1d(outputs))
    return torch.nn.Sequential(*layers[:-2 if normalised else -1], *top)


class Gan(torch_peer.Peer):
    def __init__(self, work):
        super().__init__(work)
        self.generator = net(work.GENERATOR, True, [torch.nn.Tanh()])
        self.discriminator = net(work.DISCRIMINATOR, False, [])
        self.of_generator, self.of_discriminator = (
            torch.optim.Adam(player.parameters(), lr=work.LEARNING_RATE, betas=(work.BETA1, 0.999))
            for player in (self.generator, self.discriminator))

    def update(self):
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        ones, zeros = torch.ones(self.batch, 1), torch.zeros(self.batch, 1)
        with torch.enable_grad():
            made = self.generator(torch.randn(self.batch, work.NOISE)).detach()
            self.of_discriminator.zero_grad(set_to_none=True)
            judged = self.discriminator(torch.cat([2 * self.rows() - 1, made]))
            loss(judged, torch.cat([ones, zeros])).backward()
            self.of_discriminator.step()
            self.of_generator.zero_grad(set_to_none=True)
            for parameter in self.discriminator.parameters():
                parameter.requires_grad_(False)
            loss(self.discriminator(self.generator(torch.randn(self.batch, work.NOISE))), ones).backward()
            for parameter in self.discriminator.parameters():
                parameter.requires_grad_(True)
            self.of_generator.step()


torch_peer.run(Gan, work)
