"""harmonium info: what each kind of file holds, as a table and as JSON; what is not ours is refused."""
import os
import shutil
import unittest

import h5py
import numpy

from harmonium import Case, main, run


class Info(Case):
    def trained(self):
        self.succeed("train", self.config(self.digits()), "-o", self.path("run"), "--quiet")
        self.succeed("evaluate", self.path("run"), "--method", "exact,ais", "--quiet", "--set", "ais.chains=16")
        return self.path("run")

    def test_a_data_file(self):
        data = self.digits(rows=300, test_rows=40)
        report = self.report("info", data)
        self.assertEqual((report["file"], report["format"]), (data, "harmonium-data"))
        x = report["datasets"]["/train/x"]
        self.assertEqual((x["type"], x["shape"], x["height"], x["width"], x["min"], x["max"]), ("uint8", "300 x 784", 28, 28, 0, 1))
        self.assertAlmostEqual(x["scale"], 1 / 255)
        self.assertEqual(report["datasets"]["/test/y"]["shape"], "40")
        table = self.succeed("info", data).stdout
        self.assertRegex(table, r"/train/x +uint8 \(300 x 784\), height 28, width 28, scale 0.00392157, min 0, max 1 ")
        self.assertRegex(table, r"/test/y +int32 \(40\)")
        self.assertEqual(self.succeed("info", data, "--quiet").stdout, "")
        self.assertEqual(self.succeed("info", data, ranks=2).stdout, table)

    def test_a_seed_is_shown_with_all_its_bits(self):
        data = self.digits(rows=20)
        for seed, shown in ((7, 7), (2**63 - 1, 2**63 - 1), (2**64 - 1, str(2**64 - 1))):
            with h5py.File(data, "r+") as file:
                file.attrs["seed"] = numpy.uint64(seed)
                file.attrs.pop("digest", None)
            self.assertEqual(self.report("info", data)["seed"], shown)
            self.assertRegex(self.succeed("info", data).stdout, rf"seed +{seed}\n")

    def test_a_changed_file_is_told(self):
        data = self.digits(rows=20)
        self.assertEqual(self.report("info", data)["digest"], "as stored")
        with h5py.File(data, "r+") as file:
            file["train/y"][3] = 11
        for ranks in (0, 2):
            process = run("info", data, ranks=ranks)
            self.assertEqual(process.returncode, 3)
            self.assertIn("/train/y", process.stdout)
            self.assertEqual(len([line for line in process.stderr.splitlines() if "damaged, or changed" in line]), 1)
        self.refuse(3, ["digits.h5", "does not have its digest"], "train", self.config(data), "-o", self.path("r"))
        with h5py.File(data, "r+") as file:
            del file.attrs["digest"]
        self.assertEqual(self.report("info", data)["digest"], "none")

    def test_the_files_of_a_run(self):
        run = self.trained()
        model = self.report("info", os.path.join(run, "model.h5"))
        self.assertEqual((model["format"], model["family"], model["visible"], model["height"]), ("harmonium-model", "rbm", 784, 28))
        with h5py.File(os.path.join(run, "model.h5")) as file:
            for name in ("exact/log_z", "exact/test_log_prob", "ais/log_z_stderr", "ais/chains"):
                self.assertEqual(model["datasets"]["/evaluation/" + name], file["evaluation"][name][()])
            self.assertEqual(model["datasets"]["/evaluation/ais@base"], file["evaluation/ais"].attrs["base"])
        self.assertEqual(model["datasets"]["/parameters/W"]["shape"], "784 x 12")
        self.assertEqual({**self.report("info", run), "file": 0}, {**model, "file": 0}, "a folder stands for its model")
        self.assertRegex(self.succeed("info", run).stdout, r"/evaluation/exact/log_z +-?\d+\.\d{4} nats")
        metrics = self.report("info", os.path.join(run, "metrics.h5"))
        self.assertEqual(metrics["format"], "harmonium-metrics")
        self.assertEqual(metrics["datasets"]["/metrics/seconds"]["units"], "s")
        checkpoint = self.report("info", os.path.join(run, "checkpoint.h5"))
        self.assertEqual((checkpoint["format"], checkpoint["epoch"], checkpoint["step"]), ("harmonium-checkpoint", 2, 20))
        os.remove(os.path.join(run, "model.h5"))
        self.assertEqual(self.report("info", run)["format"], "harmonium-checkpoint", "a run that is not finished")

    def test_metrics_that_are_still_written(self):
        """h5py in SWMR mode stands for a training that goes on: the file is open for writing, and can be looked at."""
        run = self.trained()
        growing = self.path("growing.h5")
        with h5py.File(os.path.join(run, "metrics.h5")) as old, h5py.File(growing, "w", libver="latest") as new:
            for name in old.attrs.keys() - {"digest"}:
                new.attrs[name] = old.attrs[name]
            new.create_dataset("metrics/step", data=[1, 2], maxshape=(None,), chunks=(16,))
            new.swmr_mode = True
            # Another process has no lock on it where HDF5 locks files: that is the reader's setting.
            report = self.report("info", growing, env={"HDF5_USE_FILE_LOCKING": "FALSE"})
        self.assertEqual(report["datasets"]["/metrics/step"]["shape"], "2")

    def test_what_is_not_ours(self):
        self.refuse(3, ["nowhere.h5", "No such file"], "info", self.path("nowhere.h5"))
        self.refuse(3, ["text.h5", "not a Harmonium file"], "info", self.write("text.h5", "hello"))
        with h5py.File(self.path("other.h5"), "w") as file:
            file["x"] = numpy.ones(3)
        self.refuse(3, ["other.h5", "not a Harmonium file"], "info", self.path("other.h5"), ranks=2)
        data = self.digits(rows=20)
        with h5py.File(data, "r+") as file:
            file.attrs["format_version"] = 99
        self.refuse(3, ["version 99", "update Harmonium"], "info", data)
        with h5py.File(data, "r+") as file:
            file.attrs["format"] = "harmonium-weather"
        self.refuse(3, "not a Harmonium file", "info", data)
        shutil.copy(data, self.path("cut.h5"))
        os.truncate(self.path("cut.h5"), os.path.getsize(data) // 2)
        self.refuse(3, "cut.h5", "info", self.path("cut.h5"))
        self.refuse(3, "without model.h5", "info", self.folder)
        self.refuse(2, "one file", "info")


if __name__ == "__main__":
    unittest.main()
