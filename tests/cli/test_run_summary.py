"""scripts/run_summary.py shows each estimate of a run with its error, and says when there is none."""
import os
import subprocess
import sys
import tempfile
import unittest

import h5py

SCRIPT = os.path.join(os.environ.get("HARMONIUM_SOURCE", os.path.join(os.path.dirname(__file__), "..", "..")), "scripts",
                      "run_summary.py")


class RunSummary(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.model = os.path.join(folder.name, "model.h5")

    def summary(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, self.folder, *arguments], text=True, capture_output=True)

    def row(self, output, method):
        return next(line.split() for line in output.splitlines() if line.split()[:1] == [method])

    def test_every_estimate_has_its_line(self):
        with h5py.File(self.model, "w") as file:
            for name, value in {"ais/log_z": 451.284, "ais/log_z_stderr": 0.126, "ais/test_log_prob": -86.342,
                                "ais/test_log_prob_stderr": 0.131, "ais/ess": 61.04, "ais/chains": 100,
                                "exact/log_z": 451.3}.items():
                file["evaluation/" + name] = value
        done = self.summary("--times", "train on 2 ranks=12", "--files", self.model, "nowhere.png")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.row(done.stdout, "ais"), "ais 451.28 ± 0.13 - -86.34 ± 0.13 61.0 of 100".split())
        self.assertEqual(self.row(done.stdout, "exact"), "exact 451.30 - - -".split())
        self.assertIn("train on 2 ranks 12 s", done.stdout)
        self.assertIn("nowhere.png  (missing)", done.stdout)
        self.assertNotIn("model.h5  (missing)", done.stdout)

    def test_says_what_is_missing(self):
        self.assertIn("does not exist", self.summary().stderr)
        h5py.File(self.model, "w").close()
        done = self.summary()
        self.assertIn("no /evaluation", done.stderr)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
