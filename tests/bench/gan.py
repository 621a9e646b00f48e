"""Measure Harmonium's adversarial nets against PyTorch. scripts/bench.sh gan runs this.

    python3 tests/bench/gan.py --harmonium build/harmonium --data DIR [--rounds 3] [--seconds 6] [-o FILE.json]
"""
import contest
import workload_gan as workload


def allowed_bytes(ranks):
    """3 x (parameters, gradient and moments of both players + a rank's share of the data) + 150 MB."""
    return 3 * (6 * 4 * workload.PARAMETERS + contest.ROWS * workload.VISIBLE / ranks) + 150 * contest.MEGABYTE


WORK = contest.Work(
    name="gan", title=f"GAN 100-256-512-1024-784 against 784-512-256-1, batch {workload.BATCH}, Adam, MNIST",
    batch=workload.BATCH, flop_per_update=workload.FLOP_PER_UPDATE, seconds=workload.SECONDS,
    peers={"PyTorch": "peer_gan_torch.py"}, wanted_speedup={1: 1.5, 2: 1.5}, wanted_of_peak=0.60,
    allowed_bytes=allowed_bytes)

if __name__ == "__main__":
    contest.hold([WORK], __doc__)
