"""slurm/train.sbatch on a real Slurm: the loss of a node, and pre-emption, cost no bit of the result."""
import os
import signal

from cluster import BOTH, Cluster, main, rows_so_far


class LostNodes(Cluster):
    def test_a_job_goes_on_after_the_loss_of_a_node(self):
        config = self.training(epochs=120, more="checkpoint: {steps: 100}")
        job = self.submit("train.sbatch", config, self.path("run"), options=(*BOTH, "--time=30"))
        self.wait_until(lambda: os.path.exists(self.path("run/checkpoint.h5")), 40, "the first checkpoint")
        self.kill_host("n2")
        self.wait_until(lambda: self.state(job) == "PENDING", 90, "the requeueing")
        self.script("boot", "n2")
        self.wait_until(lambda: self.slurm("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", 30, "two nodes")
        self.assertEqual(self.wait_for_end(job, 90), "COMPLETED", self.log())
        self.assertIn("going on with", self.log(), self.log("cluster/slurmd.n2.log"))
        self.assert_same_run(self.path("run"), self.path("whole"))

    def test_a_job_goes_on_after_a_pre_emption(self):
        config = self.training(epochs=120)
        job = self.submit("train.sbatch", config, self.path("run"), options=(*BOTH, "--time=30"))
        self.wait_until(lambda: rows_so_far(self.path("run")) > 10, 40, "the first rows")
        self.signal_ranks(signal.SIGSTOP)  # not to end before the urgent job comes; Slurm wakes what it ends
        script = self.write("urgent", "#!/bin/sh\nsleep 3\n")
        urgent = self.slurm("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--ntasks-per-node=4", "--mem-per-cpu=0",
                            "--output=/dev/null", script).strip()
        self.wait_until(lambda: self.state(urgent) == "COMPLETED", 60, "the urgent job")
        self.assertEqual(self.wait_for_end(job, 90), "COMPLETED", self.log())
        self.assertIn("stopped by SIGTERM", self.log())
        self.assertIn("going on with", self.log())
        self.assert_same_run(self.path("run"), self.path("whole"))


if __name__ == "__main__":
    main()
