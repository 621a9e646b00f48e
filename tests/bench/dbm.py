"""Measure Harmonium's deep Boltzmann machine against its peers. scripts/bench.sh dbm runs this.

    python3 tests/bench/dbm.py --harmonium build/harmonium --data DIR [--rounds 3] [--seconds 8] [-o FILE.json]
"""
import contest
import workload_dbm as workload


def allowed_bytes(ranks):
    """3 x (parameters + gradient + a rank's share of the data and chains) + 150 MB."""
    parameters = 4 * workload.LOWER * (workload.VISIBLE + workload.UPPER)
    data = contest.ROWS * workload.VISIBLE / ranks
    chains = 4 * workload.CHAINS * (workload.VISIBLE + workload.LOWER + workload.UPPER) / ranks
    return 3 * (2 * parameters + data + chains) + 150 * contest.MEGABYTE


WORK = contest.Work(
    name="dbm",
    title=f"{workload.VISIBLE}-{workload.LOWER}-{workload.UPPER}, batch {workload.BATCH}, {workload.CHAINS} chains, "
          f"{workload.MEAN_FIELD} mean-field updates, {workload.GIBBS} Gibbs steps, MNIST thresholded",
    batch=workload.BATCH, flop_per_update=workload.FLOP_PER_UPDATE, seconds=workload.SECONDS,
    peers={"PyTorch": "peer_dbm_torch.py", "numpy + mpi4py": "peer_dbm_mpi4py.py"},
    wanted_speedup={1: 1.5, 2: 1.5}, wanted_of_peak=0.60, allowed_bytes=allowed_bytes)

if __name__ == "__main__":
    contest.hold([WORK], __doc__)
