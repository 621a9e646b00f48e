"""scripts/sweep_table.py: the settings in which runs differ beside their figures, the best run first."""
import csv
import os
import shutil
import subprocess
import sys

import h5py

from harmonium import SOURCE, Case, main


class SweepTable(Case):
    def table(self, *arguments):
        return subprocess.run([sys.executable, os.path.join(SOURCE, "scripts", "sweep_table.py"), *arguments],
                              capture_output=True, text=True, cwd=self.folder)

    def setUp(self):
        super().setUp()
        self.succeed("import", "synth", "--kind", "digits", "--rows", "200", "--test-rows", "50", "-o", self.path("d.h5"))
        config = self.write("run.yaml", "model: {family: rbm, hidden: 8}\ndata: {file: %s}\ntrain: {epochs: 2, batch: 20}\n"
                            % self.path("d.h5"))
        for task, rate in (("1", 0.00001), ("2", 0.1), ("10", 0.01)):
            run = self.path(f"sweep/{task}")
            os.makedirs(self.path("sweep"), exist_ok=True)
            self.succeed("train", config, "-o", run, "--set", f"train.learning_rate={rate}")
            self.succeed("evaluate", run, "--method", "exact")

    def test_a_table(self):
        process = self.table("sweep", "--csv", "table.csv")
        self.assertEqual(process.returncode, 0, process.stderr)
        with open(self.path("table.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(list(rows[0]), ["run", "train.learning_rate", "method", "log_z", "log_z_stderr", "train_log_prob",
                                         "train_log_prob_stderr", "test_log_prob", "test_log_prob_stderr"])
        figures = [float(row["test_log_prob"]) for row in rows]
        self.assertEqual(figures, sorted(figures, reverse=True))
        for row in rows:
            with h5py.File(os.path.join(self.folder, row["run"], "model.h5")) as file:
                self.assertEqual(float(row["test_log_prob"]), file["evaluation/exact/test_log_prob"][()])
        self.assertEqual({row["run"]: row["train.learning_rate"] for row in rows},
                         {"sweep/1": "1e-05", "sweep/2": "0.1", "sweep/10": "0.01"})
        self.assertEqual(len(process.stdout.splitlines()), 4)
        self.assertEqual(sorted(line.split()[1] for line in process.stdout.splitlines()[1:]), ["0.01", "0.1", "1e-05"])

    def test_numbers_of_earlier_versions(self):
        """They wrote 1e-05, which PyYAML reads as a text."""
        with h5py.File(self.path("sweep/2/model.h5"), "r+") as file:
            file.attrs["config"] = file.attrs["config"].replace("learning_rate: 0.1 ", "learning_rate: 1e-05 ")
        lines = self.table("sweep/1", "sweep/2").stdout.splitlines()
        self.assertNotIn("train.learning_rate", lines[0])

    def test_unfinished_and_missing_runs(self):
        os.remove(self.path("sweep/2/model.h5"))
        process = self.table("sweep")
        self.assertEqual((process.returncode, len(process.stdout.splitlines())), (0, 3))
        self.assertIn("1 of 3 runs", process.stderr)
        shutil.rmtree(self.path("sweep"))
        process = self.table("sweep")
        self.assertEqual(process.returncode, 3)
        self.assertIn("no finished run", process.stderr)


if __name__ == "__main__":
    main()
