"""slurm/sweep.sbatch makes a table of runs; jobs that are cancelled, or could never go on, stay ended."""
import os
import subprocess
import sys

from cluster import BOTH, SOURCE, Cluster, main, rows_so_far


class Sweeps(Cluster):
    def test_a_sweep_makes_one_table(self):
        config = self.training(epochs=20, k=1, more="ais: {temperatures: 200}")
        grid = self.write("grid", "\ufeffseed=1\r\nseed=2 train.learning_rate=0.05\r\n# seed=9\n\nseed=3")
        lines = subprocess.run(["grep", "-c", "", grid], capture_output=True, text=True).stdout.strip()
        job = self.submit("sweep.sbatch", config, grid, self.path("sweep"), options=(f"--array=1-{lines}", "--time=5"))
        self.wait_until(lambda: not self.slurm("squeue", "-h", "-j", job, "-t", "PD,R,CG").strip(), 90, "the end of the sweep")
        table = subprocess.run([sys.executable, os.path.join(SOURCE, "scripts", "sweep_table.py"), self.path("sweep"),
                                "--csv", self.path("table.csv")], capture_output=True, text=True)
        self.assertEqual((table.returncode, len(table.stdout.splitlines())), (0, 4), table.stderr + self.log())
        for words in ("seed", "train.learning_rate", "test_log_prob_stderr"):
            self.assertIn(words, table.stdout.splitlines()[0])
        self.assert_same_run(self.path("sweep/1"), self.path("whole"))
        with open(self.path("table.csv")) as file:
            self.assertEqual(len(file.read().splitlines()), 4)
        self.assertEqual(sorted(os.listdir(self.path("sweep"))), ["1", "2", "5"], self.log())
        self.assertEqual(self.log().count("has no settings: nothing to do"), 2, self.log())

    def test_an_array_that_is_too_short_or_too_long_is_told(self):
        grid = self.write("grid", "seed=1 train.epochs=none\nseed=2")
        for array, words in (("1", "ends at line 1 of " + grid + ", which has 2 lines"), ("3", grid + " has no line 3")):
            job = self.submit("sweep.sbatch", grid, grid, self.path("sweep"), options=(f"--array={array}",))
            self.wait_until(lambda: not self.slurm("squeue", "-h", "-j", job, "-t", "PD,R,CG").strip(), 60, "the end")
            self.assertIn(words, self.log(f"*-{job}_{array}.log"))

    def test_what_cannot_go_on_is_not_requeued(self):
        config = self.training(epochs=5, k=1)
        job = self.submit("train.sbatch", config, self.path("run"), "train.learning_rate=fast", options=BOTH)
        self.assertEqual(self.wait_for_end(job, 30), "FAILED")
        self.assertIn("train.learning_rate", self.log())
        self.assertEqual(self.turns(), 1, self.log())

    def test_a_cancelled_job_keeps_a_checkpoint_and_stays_cancelled(self):
        config = self.training(epochs=100)
        job = self.submit("train.sbatch", config, self.path("run"), options=BOTH)
        self.wait_until(lambda: rows_so_far(self.path("run")) > 30, 40, "the first rows")
        self.slurm("scancel", job)
        self.wait_until(lambda: not self.slurm("squeue", "-h", "-j", job).strip(), 30, "the end")
        self.assertEqual(self.state(job), "CANCELLED", self.log())
        self.assertIn("stopped by SIGTERM", self.log())
        self.assertEqual(self.turns(), 1, self.log())
        job = self.submit("train.sbatch", config, self.path("run"), options=BOTH)
        self.assertEqual(self.wait_for_end(job, 60), "COMPLETED", self.log())
        self.assertIn("going on with", self.log())
        self.assert_same_run(self.path("run"), self.path("whole"))


if __name__ == "__main__":
    main()
