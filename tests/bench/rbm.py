"""Measure Harmonium's RBM against its peers. scripts/bench.sh rbm runs this.

    python3 tests/bench/rbm.py --harmonium build/harmonium --data DIR [--rounds 3] [--seconds 6] [-o FILE.json]
"""
import contest
import workload_rbm as workload


def allowed_bytes(ranks):
    """3 x (parameters + optimiser + a rank's share of the data and chains) + 150 MB."""
    parameters = 4 * (workload.VISIBLE * workload.HIDDEN + workload.VISIBLE + workload.HIDDEN)
    data = contest.ROWS * workload.VISIBLE / ranks
    chains = 4 * workload.CHAINS * (workload.VISIBLE + workload.HIDDEN) / ranks
    return 3 * (2 * parameters + data + chains) + 150 * contest.MEGABYTE


WORK = contest.Work(
    name="rbm",
    title=f"{workload.VISIBLE} x {workload.HIDDEN}, batch {workload.BATCH}, {workload.CHAINS} chains, PCD-1, MNIST thresholded",
    batch=workload.BATCH, flop_per_update=workload.FLOP_PER_UPDATE, seconds=workload.SECONDS,
    peers={"PyTorch": "peer_rbm_torch.py", "numpy + mpi4py": "peer_rbm_mpi4py.py"},
    wanted_speedup={1: 1.3, 2: 1.6}, wanted_of_peak=0.65, allowed_bytes=allowed_bytes)

if __name__ == "__main__":
    contest.hold([WORK], __doc__)
