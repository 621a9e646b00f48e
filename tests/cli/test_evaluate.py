"""harmonium evaluate, sample, info and doctor on a trained model: figures against numpy, files as promised."""
import json
import os
import time
import unittest

import h5py
import numpy

from harmonium import Case, run


def softplus(x):
    return numpy.logaddexp(0, x)


class Model:
    """What h5py sees of a run, in float64."""

    def __init__(self, folder):
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            self.W, self.b, self.c = (file["parameters/" + name][...].astype(float) for name in "Wbc")

    def log_z(self):
        """By enumeration of the hidden units, in blocks."""
        units = len(self.c)
        blocks = []
        for begin in range(0, 2 ** units, 4096):
            h = (numpy.arange(begin, min(begin + 4096, 2 ** units))[:, None] >> numpy.arange(units)) & 1
            blocks.append(numpy.logaddexp.reduce(h @ self.c + softplus(self.b + h @ self.W.T).sum(1)))
        return numpy.logaddexp.reduce(blocks)

    def log_p_star(self, v):
        return v @ self.b + softplus(self.c + v @ self.W).sum(1)


class Evaluate(Case):
    def train(self, hidden, epochs=30):
        data = self.digits(rows=2000, test_rows=300)
        config = self.config(data, model=f"hidden: {hidden}",
                             train=f"epochs: {epochs}, batch: 40, learning_rate: 0.05, chains: 80")
        self.succeed("train", config, "-o", self.path("run"), "--quiet", ranks=2)
        return self.path("run")

    def test_exact_log_z_and_log_probabilities_are_numpys(self):
        folder = self.train(13)
        model, report = Model(folder), self.report("evaluate", folder, "--method", "exact", ranks=2)["exact"]
        with h5py.File(self.path("digits.h5")) as file:
            rows = {split: (file[split + "/x"][...] >= 128).astype(float) for split in ("train", "test")}
        self.assertAlmostEqual(report["log_z"], model.log_z(), delta=1e-4)
        for split, v in rows.items():
            log_p = model.log_p_star(v) - model.log_z()
            self.assertAlmostEqual(report[split + "_log_prob"], log_p.mean(), delta=1e-3)
            self.assertAlmostEqual(report[split + "_log_prob_stderr"], log_p.std(ddof=1) / len(v) ** 0.5, delta=1e-3)

    def check_bracket(self, hidden):
        folder = self.train(hidden, epochs=10)
        report = self.report("evaluate", folder, "--set", "ais.chains=1000", "--set", "ais.temperatures=5000", "--set", "ais.burn_in=4000",
                             "--set", "threads=2")
        exact = report["exact"]["log_z"]
        for method in ("ais", "ais_uniform"):
            self.assertLess(abs(report[method]["log_z"] - exact), max(0.1, 4 * report[method]["log_z_stderr"]), method)
            self.assertLessEqual(report[method]["log_z_lower"] or -numpy.inf, report[method]["log_z"])
        self.assertLess(abs(report["ais"]["log_z"] - exact), 0.1)
        self.assertGreater(report["reverse_ais"]["log_z"], exact - 4 * report["reverse_ais"]["log_z_stderr"])
        self.assertLess(report["reverse_ais"]["log_z"], exact + 0.5)
        self.assertIn("trustworthy", report["bracket"]["verdict"])
        self.assertGreater(report["raise"]["log_z"], exact - 4 * report["raise"]["log_z_stderr"])
        self.assertLess(report["raise"]["log_z"], exact + 0.5)
        self.assertEqual((report["raise"]["rows"], report["raise"]["chains"]), (100, 5))
        self.assertNotIn("train_log_prob", report["raise"])  # it speaks of the rows that it annealed
        return folder, report

    def test_ais_is_within_a_tenth_of_a_nat_of_exact_16_hidden(self):
        folder, report = self.check_bracket(16)
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            ais = file["evaluation/ais"]
            self.assertEqual(ais["log_z"].attrs["units"], "nats")
            self.assertAlmostEqual(ais["log_z"][()], report["ais"]["log_z"])
            weights, betas = ais["log_weights"][...], ais["betas"][...]
            self.assertEqual((len(weights), len(betas), ais["chains"][()]), (1000, 5000, 1000))
            self.assertEqual(ais.attrs["base"], "data")
            rate = file["parameters/base_rate"][...].astype(float)
            log_z_base = 16 * numpy.log(2) + softplus(numpy.log(rate / (1 - rate))).sum()
            log_z = log_z_base + numpy.logaddexp.reduce(weights) - numpy.log(1000)
            self.assertAlmostEqual(log_z, report["ais"]["log_z"], delta=1e-3)
            w = numpy.exp(weights - weights.max())
            self.assertAlmostEqual(report["ais"]["ess"], w.sum() ** 2 / (w ** 2).sum(), delta=1e-6 * 1000)
            self.assertAlmostEqual(report["ais"]["log_z_stderr"], w.std(ddof=1) / w.mean() / 1000 ** 0.5, delta=1e-6)
            self.assertEqual(sorted(file["evaluation"]), ["ais", "ais_uniform", "exact", "free_energy", "raise", "reverse_ais"])
            energies = file["evaluation/free_energy/test_free_energy"][...]
            self.assertAlmostEqual(-energies.mean() - file["evaluation/exact/log_z"][()],
                                   file["evaluation/exact/test_log_prob"][()], delta=1e-9)

    def test_ais_is_within_a_tenth_of_a_nat_of_exact_20_hidden(self):
        self.check_bracket(20)

    def test_raise(self):
        """Of as many rows as are asked for; without test rows, of training rows."""
        folder = self.train(12, epochs=2)
        report = self.report("evaluate", folder, "--method", "ais,raise", "--set", "ais.raise_rows=7", "--set",
                             "ais.raise_chains=3", "--set", "ais.temperatures=200")
        self.assertEqual((report["raise"]["rows"], report["raise"]["chains"]), (7, 3))
        self.assertLess(report["raise"]["test_log_prob"], report["ais"]["test_log_prob"] + 0.1)
        self.assertIn("nats", report["bracket"]["verdict"])
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            stored = file["evaluation/raise"]
            costs, ais = stored["row_log_weights"][...], file["evaluation/ais"]
            log_z_base = ais["log_z"][()] - numpy.logaddexp.reduce(ais["log_weights"][...]) + numpy.log(ais["chains"][()])
            self.assertEqual((len(costs), stored["rows"][()], stored["chains"][()]), (7, 7, 3))
            self.assertAlmostEqual(stored["log_z"][()], log_z_base + costs.mean(), delta=1e-6)
            self.assertAlmostEqual(stored["log_z_stderr"][()], costs.std(ddof=1) / 7 ** 0.5, delta=1e-9)
            self.assertIn("verdict", stored.attrs)
        report = self.report("evaluate", folder, "--method", "raise", "--split", "train", "--set", "ais.raise_rows=5")
        self.assertEqual(report["raise"]["rows"], 5)
        self.assertIn("train_log_prob", report["raise"])
        self.refuse(2, "two rows", "evaluate", folder, "--method", "raise", "--set", "ais.raise_rows=1")

    def test_the_verdict_knows_the_exact_log_z(self):
        config = self.config(self.digits(), model="hidden: 12", train="epochs: 30, learning_rate: 0.1")
        self.succeed("train", config, "-o", self.path("far"), "--quiet")
        report = self.report("evaluate", self.path("far"), "--method", "exact,ais_uniform,reverse_ais", "--set",
                             "ais.temperatures=2", "--set", "ais.burn_in=0")
        self.assertLess(report["ais_uniform"]["log_z"], report["exact"]["log_z"] - 5)
        self.assertIn("nats from the exact log Z: do not quote", report["bracket"]["verdict"])

    def test_the_verdict_does_not_trust_one_chain(self):
        """Both estimates near each other, and each the weight of about one chain of few."""
        config = self.config(self.digits(), model="hidden: 12", train="epochs: 30, learning_rate: 0.1")
        self.succeed("train", config, "-o", self.path("one"), "--quiet")
        report = self.report("evaluate", self.path("one"), "--method", "ais,reverse_ais", "--set", "ais.chains=4", "--set",
                             "ais.temperatures=30", "--set", "ais.burn_in=100")
        self.assertIsNone(report["ais"]["log_z_lower"])  # no end
        self.assertLess(abs(report["bracket"]["gap"]), 1)
        self.assertRegex(report["bracket"]["verdict"], r"effective sample size of 1\.\d of 4: do not quote")

    def test_ladders_and_methods(self):
        folder = self.train(12, epochs=2)
        exact = self.report("evaluate", folder, "--method", "exact", "--split", "test")["exact"]["log_z"]
        for settings, count in ((["ais.ladder=salakhutdinov2008"], 14503), (["ais.temperatures=77"], 77),
                                (["ais.ladder=custom", "ais.betas=[0, 0.1, 0.25, 0.5, 0.75, 1]"], 6),
                                (["ais.ladder=adaptive", "ais.ess_target=0.99"], None)):
            sets = [word for setting in settings for word in ("--set", setting)]
            report = self.report("evaluate", folder, "--method", "ais", *sets)
            self.assertEqual(list(report), ["run", "family", "ais"])
            if count:
                self.assertEqual(report["ais"]["temperatures"], count)
            self.assertLess(abs(report["ais"]["log_z"] - exact), 5 * report["ais"]["log_z_stderr"] + 0.02, settings)
        self.refuse(2, ["'magic'", "exact, ais"], "evaluate", folder, "--method", "ais,magic")
        self.refuse(2, "betas", "evaluate", folder, "--method", "ais", "--set", "ais.ladder=custom")
        self.refuse(2, "found by the method ais", "evaluate", folder, "--method", "reverse_ais", "--set", "ais.ladder=adaptive")
        self.refuse(2, ["''", "exact, ais"], "evaluate", folder, "--method", "")
        self.refuse(2, "--split", "evaluate", folder, "--split", "valid")

    def test_what_cannot_be_had_is_refused_before_anything_is_estimated(self):
        folder = self.train(12, epochs=1)
        began = time.monotonic()
        self.refuse(2, "two rows", "evaluate", folder, "--method", "ais,raise", "--set", "ais.raise_rows=1", "--set",
                    "ais.temperatures=1000000")  # minutes, if it began with ais
        self.assertLess(time.monotonic() - began, 30)

    def test_a_verdict_goes_with_what_it_speaks_of(self):
        folder = self.train(12, epochs=1)
        few = ("--set", "ais.temperatures=50", "--set", "ais.chains=16", "--set", "ais.burn_in=10")
        other = self.path("other.h5")
        self.succeed("import", "synth", "--kind", "digits", "--rows", "50", "--test-rows", "50", "-o", other)

        def stored(note):
            with h5py.File(os.path.join(folder, "model.h5")) as file:
                return {name: group.attrs[note] for name, group in file["evaluation"].items() if note in group.attrs}

        self.succeed("evaluate", folder, "--method", "ais,reverse_ais,raise", *few)
        self.assertEqual(sorted(stored("verdict")), ["raise", "reverse_ais"])
        self.assertEqual(sorted(set(map(os.path.basename, stored("data").values()))), ["digits.h5"])
        self.succeed("evaluate", folder, "--method", "ais", "--data", other, *few)
        self.assertEqual(stored("verdict"), {})
        self.assertEqual((stored("data")["ais"], os.path.basename(stored("data")["raise"])), (os.path.realpath(other), "digits.h5"))

    def test_any_split_can_be_asked_for(self):
        """Reverse AIS starts from training rows, whichever split is reported."""
        folder = self.train(12, epochs=1)
        few = ("--set", "ais.temperatures=50", "--set", "ais.chains=16", "--set", "ais.burn_in=10")
        whole = self.report("evaluate", folder, *few)
        for split, other in (("test", "train"), ("train", "test")):
            report = self.report("evaluate", folder, "--split", split, *few)
            self.assertEqual(report["reverse_ais"]["log_z"], whole["reverse_ais"]["log_z"])
            self.assertIn(f"{split}_log_prob", report["ais"])
            self.assertNotIn(f"{other}_log_prob", report["ais"])

    def test_values_outside_0_to_1_are_refused(self):
        folder = self.train(12, epochs=1)
        rows = numpy.full((50, 784), 0.5, "f4")
        rows[31, 5] = 7
        numpy.save(self.path("rows.npy"), rows)
        self.succeed("import", "npy", self.path("rows.npy"), "--test-fraction", "0.2", "-o", self.path("grey.h5"))
        self.refuse(3, ["grey.h5: test/x row", "column 5 is 7", "[0, 1]"], "evaluate", folder, "--method", "exact", "--data",
                    self.path("grey.h5"))

    def test_estimates_do_not_depend_on_ranks_and_threads(self):
        folder = self.train(12, epochs=2)
        reports = [self.report("evaluate", folder, "--set", "ais.temperatures=50", "--set", f"threads={threads}", ranks=ranks)
                   for ranks, threads in ((0, 1), (0, 2), (2, 1), (4, 1))]
        for report in reports:
            for part in report.values():
                if isinstance(part, dict):
                    part.pop("seconds", None)
            self.assertEqual(report, reports[0])


class Sample(Case):
    def test_samples_are_stored_and_drawn(self):
        config = self.config(self.digits())
        folder = self.path("run")
        self.succeed("train", config, "-o", folder, "--quiet")
        self.succeed("evaluate", folder, "--method", "exact", "--quiet")
        self.succeed("sample", folder, "-n", 30, "--steps", 70, "--png", self.path("a.png"), "--quiet")
        with h5py.File(folder + "/model.h5") as file:
            first, mean = file["samples/gibbs"][...], file["samples/gibbs_mean"][...]
            self.assertIn("exact", file["evaluation"])
        self.assertEqual(first.shape, (30, 784))
        self.assertEqual(set(numpy.unique(first)), {0, 1})
        # Draws against their probabilities: a sum of independent units, within 5 standard errors.
        self.assertLess(abs(first.sum() - mean.sum()), 5 * (mean * (1 - mean)).sum() ** 0.5)
        with open(self.path("a.png"), "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        self.succeed("sample", folder, "-n", 30, "--steps", 70, "--name", "again", "--quiet", ranks=2)
        with h5py.File(folder + "/model.h5") as file:
            numpy.testing.assert_array_equal(file["samples/again"][...], first)
            self.assertIn("gibbs", file["samples"])
        self.refuse(2, "-n", "sample", folder, "-n", 0)
        self.refuse(2, "--name", "sample", folder, "--name", "a/b")
        self.refuse(2, "name of an axis", "sample", folder, "--name", "sample")
        self.refuse(2, "name of an axis", "sample", folder, "--name", "visible_784")
        self.refuse(2, "stored beside samples", "sample", folder, "--name", "gibbs_mean")
        self.succeed("sample", folder, "-n", 3, "--steps", 1, "--name", "sampled", "--quiet")
        self.refuse(2, "200 letters", "sample", folder, "--name", "a" * 201)
        self.refuse(4, "nowhere/x.png", "sample", folder, "--png", self.path("nowhere/x.png"))

    def test_full_disk_keeps_the_model(self):
        disk = self.small_disk(400)
        config = self.config(self.digits(rows=100))
        self.succeed("train", config, "-o", disk + "/run", "--quiet")
        stored = []
        for count in (5, 10, 15, 20, 25, 30, 35, 40, 2000):  # somewhere here the samples fit and their means do not
            with open(disk + "/run/model.h5", "rb") as file:
                before = file.read()
            process = run("sample", disk + "/run", "-n", count, "--steps", 1, "--quiet")
            if process.returncode == 0:
                stored.append(count)
                with h5py.File(disk + "/run/model.h5") as file:
                    self.assertEqual((len(file["samples/gibbs"]), len(file["samples/gibbs_mean"])), (count, count))
                continue
            self.assertEqual(process.returncode, 4, process.stderr)
            self.assertIn("cannot be written", process.stderr)
            with open(disk + "/run/model.h5", "rb") as file:
                self.assertEqual(file.read(), before)
        self.assertIn(5, stored)
        self.assertNotIn(2000, stored)
        self.assertEqual([name for name in os.listdir(disk + "/run") if "tmp" in name], [])


class Look(Case):
    def test_info_tells_what_each_file_holds(self):
        config = self.config(self.digits())
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        self.succeed("evaluate", self.path("run"), "--method", "exact", "--quiet")
        for name, kind, dataset in (("digits.h5", "data", "/train/x"), ("run", "model", "/parameters/W"),
                                    ("run/metrics.h5", "metrics", "/metrics/step"), ("run/checkpoint.h5", "checkpoint", "/chains")):
            report = self.report("info", self.path(name))
            self.assertEqual(report["format"], "harmonium-" + kind)
            self.assertIn(dataset, report["datasets"])
        self.assertIsInstance(self.report("info", self.path("run"))["datasets"]["/evaluation/exact/log_z"], float)
        self.assertIn("weights of E(v, h)", self.succeed("info", self.path("run")).stdout)

    def test_doctor_reports_and_warns(self):
        report = self.report("doctor", ranks=2)
        self.assertEqual((report["ranks"], report["hdf5_parallel"], report["scalapack_check"]), (2, "yes", "exact"))
        self.assertGreater(report["peak_gflops_per_core"], 1)
        process = run("doctor", env={"HARMONIUM_ISA": "scalar"})
        self.assertEqual(json.loads(run("doctor", "--json", env={"HARMONIUM_ISA": "scalar"}).stdout)["kernels"], "scalar")
        if report["kernels_best"] != "scalar":
            self.assertIn("HARMONIUM_ISA forces scalar", process.stderr)
        if report["kernels_best"] == "avx512":
            self.assertIn("OPENBLAS_CORETYPE=Haswell forces", run("doctor", env={"OPENBLAS_CORETYPE": "Haswell"}).stderr)
            self.assertNotIn("OpenBLAS", run("doctor", env={"OPENBLAS_CORETYPE": "SkylakeX"}).stderr)
        if report["openblas_core"] == "Prescott" and report["openblas_coretype"] == "not set":
            self.assertIn("OpenBLAS does not know this processor", run("doctor").stderr)

    def test_cores_of_a_rank_are_those_it_was_started_on(self):
        for bind in ("false", "true"):  # mpirun and taskset bind the process; OpenMP is not used
            for cores in (os.sched_getaffinity(0), {min(os.sched_getaffinity(0))}):
                process = run("doctor", "--json", env={"OMP_PROC_BIND": bind},
                              preexec_fn=lambda cores=cores: os.sched_setaffinity(0, cores))
                self.assertEqual(json.loads(process.stdout)["cores_of_rank"], len(cores))


if __name__ == "__main__":
    unittest.main()
