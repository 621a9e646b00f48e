"""slurm/train.sbatch on a real Slurm: a job that needs more than its time limit ends with the bits of a quiet run."""
import signal
import time

import h5py

from cluster import BOTH, Cluster, main, rows_so_far


class TimeLimits(Cluster):
    def test_a_job_goes_on_after_its_time_limit(self):
        """Ranks stand still while the time runs out, so that how fast a machine is does not matter. Slurm looks for limits
        every half minute, and warns that much early: the limit becomes short only when the ranks listen."""
        config = self.training(epochs=100)
        began = time.monotonic()
        job = self.submit("train.sbatch", config, self.path("run"), options=(*BOTH, "--time=30", "--signal=B:USR1@90"))
        self.wait_until(lambda: rows_so_far(self.path("run")) > 10, 40, "the first rows")
        self.signal_ranks(signal.SIGSTOP)
        minutes = int((time.monotonic() - began) / 60) + 2
        self.slurm("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")
        self.wait_until(lambda: "time is nearly up" in self.log(), 60, "the warning of the time limit")
        self.signal_ranks(signal.SIGCONT)
        self.wait_until(lambda: self.state(job) != "RUNNING", 30, "the end of the turn")
        self.wait_until(lambda: self.state(job) == "PENDING", 20, "the requeueing")
        self.slurm("scontrol", "update", f"JobId={job}", "TimeLimit=30")
        self.assertEqual(self.wait_for_end(job, 90), "COMPLETED", self.log())
        self.assertIn("stopped by SIGUSR1", self.log())
        self.assertIn("going on with", self.log())
        self.assertEqual(self.turns(), 2, self.log())
        self.assert_same_run(self.path("run"), self.path("whole"))
        # Evaluated on both hosts, the figures are those of one.
        job = self.submit("evaluate.sbatch", self.path("run"), "--set", "ais.temperatures=200", options=BOTH)
        self.assertEqual(self.wait_for_end(job, 60), "COMPLETED", self.log())
        self.succeed("evaluate", self.path("whole"), "--set", "ais.temperatures=200", "--quiet")
        with h5py.File(self.path("run/model.h5")) as ours, h5py.File(self.path("whole/model.h5")) as theirs:
            self.assertEqual(ours["evaluation/ais/log_z"][()], theirs["evaluation/ais/log_z"][()])


if __name__ == "__main__":
    main()
