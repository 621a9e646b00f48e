"""The templates of slurm/ on a real Slurm: time limits, lost nodes and sweeps, each ending with the bits of a quiet run."""
import os
import subprocess
import sys
import time

import h5py

from cluster import SOURCE, Cluster, main, rows_so_far

BOTH = ("--nodes=2", "--ntasks-per-node=1")


class Jobs(Cluster):
    def test_a_job_goes_on_after_its_time_limit(self):
        """Half a minute before a limit that is a minute away, the shortest one."""
        config = self.training(epochs=700, k=10)
        job = self.submit("train.sbatch", config, self.path("run"), options=(*BOTH, "--time=1", "--signal=B:USR1@30"))
        self.wait_until(lambda: self.state(job) == "RUNNING", 20, "the start")
        self.wait_until(lambda: self.state(job) != "RUNNING", 60, "the time limit")
        self.wait_until(lambda: self.state(job) == "PENDING", 20, "the requeueing")
        self.slurm("scontrol", "update", f"JobId={job}", "TimeLimit=10")
        self.assertEqual(self.wait_for_end(job, 90), "COMPLETED", self.log())
        self.assertIn("time is nearly up", self.log())
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

    def test_a_job_goes_on_after_the_loss_of_a_node(self):
        config = self.training(epochs=200, k=10, more="checkpoint: {seconds: 0.5}")
        job = self.submit("train.sbatch", config, self.path("run"), options=(*BOTH, "--time=30"))
        self.wait_until(lambda: rows_so_far(self.path("run")) > 300, 40, "the first rows")
        self.kill_host("n2")
        self.wait_until(lambda: self.state(job) == "PENDING", 90, "the requeueing")
        self.script("boot", "n2")
        self.wait_until(lambda: self.slurm("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", 30, "two nodes")
        self.assertEqual(self.wait_for_end(job, 90), "COMPLETED", self.log())
        self.assertIn("going on with", self.log(), self.log("cluster/slurmd.n2.log"))
        self.assert_same_run(self.path("run"), self.path("whole"))

    def kill_host(self, host):
        """Every process of the host but the one that keeps its namespaces."""
        with open(os.path.join(self.cluster, "id")) as number, open(os.path.join(self.cluster, f"keeper.{host}")) as keeper:
            keeper, space = keeper.read().strip(), f"hm{number.read().strip()}{host}"
        for process in subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True).stdout.split():
            if process != keeper:
                os.kill(int(process), 9)

    def test_a_sweep_makes_one_table(self):
        config = self.training(epochs=20)
        grid = self.write("grid", "seed=1\nseed=2 train.learning_rate=0.05\nseed=3\n")
        job = self.submit("sweep.sbatch", config, grid, self.path("sweep"), options=("--array=1-3", "--time=5"))
        self.wait_until(lambda: not self.slurm("squeue", "-h", "-j", job, "-t", "PD,R,CG").strip(), 90, "the end of the sweep")
        table = subprocess.run([sys.executable, os.path.join(SOURCE, "scripts", "sweep_table.py"), self.path("sweep"),
                                "--csv", self.path("table.csv")], capture_output=True, text=True)
        self.assertEqual((table.returncode, len(table.stdout.splitlines())), (0, 4), table.stderr + self.log())
        for words in ("seed", "train.learning_rate", "test_log_prob_stderr"):
            self.assertIn(words, table.stdout.splitlines()[0])
        self.assert_same_run(self.path("sweep/1"), self.path("whole"))
        with open(self.path("table.csv")) as file:
            self.assertEqual(len(file.read().splitlines()), 4)

    def test_what_cannot_go_on_is_not_requeued(self):
        config = self.training(epochs=5)
        job = self.submit("train.sbatch", config, self.path("run"), "train.learning_rate=fast", options=BOTH)
        self.assertEqual(self.wait_for_end(job, 30), "FAILED")
        self.assertIn("train.learning_rate", self.log())
        self.assertEqual(self.turns(), 1, self.log())


if __name__ == "__main__":
    main()
