"""Measure Harmonium's importance-weighted autoencoder against PyTorch. scripts/bench.sh vae runs this.

    python3 tests/bench/vae.py --harmonium build/harmonium --data DIR [--rounds 3] [--seconds 5] [-o FILE.json]
"""
import contest
import workload_vae as workload


def allowed_bytes(ranks):
    """3 x (parameters, gradient and two moments + a rank's share of the data) + 150 MB."""
    return 3 * (4 * 4 * workload.PARAMETERS + contest.ROWS * workload.VISIBLE / ranks) + 150 * contest.MEGABYTE


def work(samples):
    return contest.Work(
        name="vae", settings={"train.samples": samples}, peer_options=["--samples", str(samples)],
        title=f"IWAE {workload.VISIBLE}-200-200-50-200-200-{workload.VISIBLE}, batch {workload.BATCH}, k = {samples}, Adam, "
              "MNIST thresholded",
        batch=workload.BATCH, flop_per_update=workload.flop_per_update(samples), seconds=workload.SECONDS,
        peers={"PyTorch": "peer_vae_torch.py"}, wanted_speedup={1: 1.5, 2: 1.5}, wanted_of_peak=0.60,
        allowed_bytes=allowed_bytes)


if __name__ == "__main__":
    contest.hold([work(1), work(5)], __doc__)
