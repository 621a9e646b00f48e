"""harmonium train: the same bits on any ranks and threads, files as promised, refusals that name the way out."""
import json
import os
import unittest

import h5py
import numpy

from harmonium import Case, finish, metrics, parameters, rows_so_far, start


class Train(Case):
    def test_same_bits_on_any_ranks_threads_and_processor(self):
        data = self.digits()
        for estimator in ("estimator: pcd, centered: true", "estimator: cd, k: 2, centered: false, momentum: 0.5",
                          "estimator: pcd, sampler: pt, temperatures: 5, swap_adaptation: 0.1"):
            config = self.config(data, train=f"epochs: 3, batch: 44, learning_rate: 0.5, {estimator}")
            reference = None
            for ranks, threads, isa in ((0, 1, None), (0, 2, None), (2, 1, None), (4, 1, None), (2, 2, None), (0, 1, "avx2")):
                folder = self.path(f"run-{ranks}-{threads}-{isa}")
                self.succeed("train", config, "-o", folder, "--overwrite", "--quiet", "--set", f"threads={threads}",
                             ranks=ranks, env={"HARMONIUM_ISA": isa} if isa else None)
                ours = (parameters(folder), metrics(folder))
                reference = reference or ours
                self.assert_same_arrays(ours[0], reference[0])
                self.assert_same_arrays(ours[1], reference[1])
            self.assertGreater(numpy.abs(reference[0]["W"]).max(), 0.05)  # something was learnt

    def test_resolved_configuration_trains_the_same_model(self):
        config = self.config(self.digits())
        self.succeed("train", config, "-o", self.path("a"), "--set", "train.epochs=3", "--set", "model.hidden=9")
        self.succeed("train", self.path("a/config.yaml"), "-o", self.path("b"))
        self.assertEqual(parameters(self.path("a"))["W"].shape, (784, 9))
        self.assert_same_arrays(parameters(self.path("a")), parameters(self.path("b")))
        with h5py.File(self.path("a/model.h5")) as file:
            self.assertEqual(file.attrs["epochs"], 3)
            self.assertEqual(file.attrs["family"], "rbm")
            with open(self.path("a/config.yaml")) as text:
                self.assertIn("written by harmonium train", text.readline())
                self.assertEqual(file.attrs["config"], text.read())
            self.assertNotIn("metrics", file)
        with h5py.File(self.path("a/metrics.h5")) as file:
            self.assertEqual(len(file["metrics/step"]), 3)

    def test_files_and_reports(self):
        config = self.config(self.digits(), more="checkpoint: {steps: 10}")
        report = json.loads(self.succeed("train", config, "-o", self.path("run"), "--json", ranks=2).stdout)
        self.assertEqual((report["epochs"], report["updates"], report["ranks"]), (2, 20, 2))
        self.assertGreater(report["updates_per_s"], 0)
        self.assertEqual(sorted(os.listdir(self.path("run"))),
                         ["checkpoint.h5", "checkpoint.prev.h5", "config.yaml", "metrics.h5", "model.h5"])
        for name, kind in (("model", "model"), ("metrics", "metrics"), ("checkpoint", "checkpoint")):
            with h5py.File(self.path(f"run/{name}.h5")) as file:
                self.assertEqual(file.attrs["format"], f"harmonium-{kind}")
                for key in ("format_version", "library_version", "created"):
                    self.assertIn(key, file.attrs)
        with h5py.File(self.path("run/checkpoint.h5")) as file:
            self.assertEqual((file.attrs["step"], file.attrs["epoch"]), (20, 2))
            self.assertEqual(file["chains"].shape[0], 40)
            self.assertTrue(file["chains"].fletcher32)
            numpy.testing.assert_array_equal(file["parameters/W"][...], parameters(self.path("run"))["W"])
        quiet = self.succeed("train", config, "-o", self.path("run"), "--overwrite", "--quiet")
        self.assertEqual((quiet.stdout, quiet.stderr), ("", ""))
        lines = self.succeed("train", config, "-o", self.path("run"), "--overwrite").stderr.splitlines()
        self.assertEqual(len([line for line in lines if line.startswith("training epoch")]), 2)  # a line an epoch

    def test_parallel_tempering_reports_its_swaps_and_keeps_its_ladder(self):
        config = self.config(self.digits(), train="epochs: 2, batch: 40, sampler: pt, temperatures: 6, chains: 16")
        report = self.report("train", config, "-o", self.path("run"))
        self.assertTrue(0 < report["swap_rate"] < 1)
        with h5py.File(self.path("run/metrics.h5")) as file:
            self.assertEqual(file["metrics/swap_rate"][-1], report["swap_rate"])
        with h5py.File(self.path("run/checkpoint.h5")) as file:
            betas = [file[f"scalars/beta_{at}"][()] for at in range(6)]
            self.assertEqual((betas[0], betas[-1], sorted(betas, reverse=True)), (1, 0, betas))
            self.assertEqual((len(file["chains"]), file["chains"].attrs["columns"]), (16, 6 * 784))
        self.refuse(2, ["train.sampler", "pcd"], "train", config, "-o", self.path("cd"), "--set", "train.estimator=cd", "--set",
                    "train.chains=0")

    def test_a_run_is_not_overwritten_unasked(self):
        config = self.config(self.digits())
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        before = parameters(self.path("run"))
        self.refuse(2, ["finished run", "--overwrite"], "train", config, "-o", self.path("run"), "--set", "seed=2")
        self.assert_same_arrays(parameters(self.path("run")), before)
        self.succeed("train", config, "-o", self.path("run"), "--set", "seed=2", "--overwrite", "--quiet")
        self.assertFalse(numpy.array_equal(parameters(self.path("run"))["W"], before["W"]))

    def test_rank_counts_that_do_not_fit_are_refused(self):
        config = self.config(self.digits())
        self.refuse(2, ["3 ranks", "8 shards", "1, 2, 4, 8"], "train", config, "-o", self.path("run"), ranks=3)
        self.no_leftovers("digits.h5", "config.yaml")

    def test_more_threads_than_cores_are_warned_of(self):
        config = self.config(self.digits())
        for threads, warned in ((1, False), (os.cpu_count() + 1, True)):
            process = self.succeed("train", config, "-o", self.path("run"), "--overwrite", "--quiet", "--set",
                                   f"threads={threads}")
            self.assertEqual("warning" in process.stderr, warned, process.stderr)

    def test_divergence_ends_with_its_own_code(self):
        config = self.config(self.digits(), train="epochs: 3, batch: 40, learning_rate: 1000, momentum: 0.99, "
                                                  "weight_decay: 10")
        self.refuse(5, ["diverged", "update", "learning_rate"], "train", config, "-o", self.path("run"), ranks=2)
        self.no_leftovers("digits.h5", "config.yaml")

    def test_metrics_are_readable_while_training(self):
        config = self.config(self.digits(rows=2000), train="epochs: 400, batch: 40, monitor_every: 1")
        process = start("train", config, "-o", self.path("run"), "--quiet")
        lengths = set()
        while process.poll() is None and len(lengths) < 4:
            lengths.add(rows_so_far(self.path("run")))
        process.kill()
        finish(process)
        self.assertGreaterEqual(len(lengths), 4)

    def test_full_disk_is_an_output_error_and_leaves_nothing(self):
        config = self.config(self.digits())
        for kilobytes in (4, 24, 64, 120):
            folder = self.small_disk(kilobytes)
            self.refuse(4, "cannot be written", "train", config, "-o", folder + "/run", "--quiet")
            self.assertEqual(os.listdir(folder), [])
        self.write("file", "")
        self.refuse(4, "file/run", "train", config, "-o", self.path("file/run"))


if __name__ == "__main__":
    unittest.main()
