"""whiten: standardised, PCA- and ZCA-whitened data files are what numpy makes, on any ranks, and can be undone."""
import unittest

import h5py
import numpy

from harmonium import Case, main, parameters


class Whiten(Case):
    def setUp(self):
        super().setUp()
        generator = numpy.random.default_rng(5)
        mix = generator.normal(size=(70, 70)) * numpy.linspace(3, 0.2, 70)[:, None]
        self.x = (generator.normal(size=(900, 70)) @ mix + generator.normal(size=70)).astype(numpy.float32)
        numpy.save(self.path("x.npy"), self.x)
        self.succeed("import", "npy", self.path("x.npy"), "--test-fraction", "0.2", "-o", self.path("x.h5"))

    def whiten(self, *arguments, ranks=0, name="white.h5"):
        report = self.report("whiten", self.path("x.h5"), "-o", self.path(name), *arguments, ranks=ranks)
        with h5py.File(self.path(name)) as file, h5py.File(self.path("x.h5")) as before:
            out = {"train": file["train/x"][...].astype(float), "test": file["test/x"][...].astype(float),
                   "x": before["train/x"][...].astype(float), "test_x": before["test/x"][...].astype(float)}
            out.update({key: value[...] for key, value in file["preprocessing"].items()
                        if isinstance(value, h5py.Dataset) and value.ndim and key in ("mean", "scale", "matrix", "inverse")})
            out["log_det"] = file["preprocessing"].attrs["log_det"]
        self.assertAlmostEqual(report["log_det"] or 0, 0 if numpy.isnan(out["log_det"]) else out["log_det"], delta=1e-9)
        return out

    def test_standardized_columns(self):
        for ranks in (0, 2, 4):
            out = self.whiten("--epsilon", "0", ranks=ranks)
            numpy.testing.assert_allclose(out["mean"], out["x"].mean(axis=0), atol=1e-6)
            numpy.testing.assert_allclose(out["scale"], 1 / out["x"].std(axis=0), rtol=1e-6)
            for split, x in (("train", "x"), ("test", "test_x")):
                numpy.testing.assert_allclose(out[split], (out[x] - out["mean"]) * out["scale"], atol=1e-5)
            self.assertAlmostEqual(out["log_det"], numpy.log(out["scale"]).sum(), delta=1e-9)

    def test_whitened_columns_are_uncorrelated(self):
        for method in ("zca", "pca"):
            for ranks in (0, 2, 8):
                out = self.whiten("--method", method, "--epsilon", "0", ranks=ranks)
                numpy.testing.assert_allclose(numpy.cov(out["train"].T, bias=True), numpy.eye(70), atol=1e-4)
                values, vectors = numpy.linalg.eigh(numpy.cov(out["x"].T, bias=True))
                if method == "zca":
                    expected = (vectors / numpy.sqrt(values)) @ vectors.T
                    numpy.testing.assert_allclose(out["matrix"], expected, atol=1e-5)
                else:
                    rows = out["matrix"] * numpy.sqrt(values[::-1])[:, None]
                    numpy.testing.assert_allclose(numpy.abs(rows @ vectors[:, ::-1]), numpy.eye(70), atol=1e-6)
                numpy.testing.assert_allclose(out["train"], (out["x"] - out["mean"]) @ out["matrix"].T, atol=1e-4)
                numpy.testing.assert_allclose(out["inverse"] @ out["matrix"], numpy.eye(70), atol=1e-8)
                self.assertAlmostEqual(out["log_det"], -0.5 * numpy.log(values).sum(), delta=1e-6)

    def test_the_largest_components_are_kept(self):
        out = self.whiten("--method", "pca", "--components", "7", "--epsilon", "0.5")
        self.assertEqual(out["train"].shape[1], 7)
        values = numpy.linalg.eigvalsh(numpy.cov(out["x"].T, bias=True))[::-1][:7]
        numpy.testing.assert_allclose(out["train"].var(axis=0), values / (values + 0.5), rtol=1e-4)
        self.assertTrue(numpy.isnan(out["log_det"]))

    def write_rows(self, train, test):
        """x.h5 of these rows."""
        numpy.save(self.path("train.npy"), train.astype("f4"))
        numpy.save(self.path("test.npy"), test.astype("f4"))
        self.succeed("import", "npy", self.path("train.npy"), "--test", self.path("test.npy"), "-o", self.path("x.h5"))

    def test_columns_constant_in_training_become_0(self):
        """Divided by the root of epsilon, other values of test rows would be thousands of standard deviations."""
        generator = numpy.random.default_rng(6)
        train, test = generator.normal(size=(200, 6)), generator.normal(size=(50, 6))
        train[:, 1], test[:, 1] = 0, 0
        train[:, 4], test[:, 4] = 0.1, 0.1  # no number of float32
        test[7, 1], test[9, 4], test[9, 1] = 1, -2, 3
        self.write_rows(train, test)
        for epsilon in ((), ("--epsilon", "0")):
            for ranks in (0, 2):
                out = self.whiten(*epsilon, ranks=ranks)
                report = self.report("whiten", self.path("x.h5"), "-o", self.path("white.h5"), *epsilon, ranks=ranks)
                self.assertEqual(report["constant"], 2)
                numpy.testing.assert_array_equal(out["scale"] == 0, [False, True, False, False, True, False])
                self.assertEqual(abs(out["test"][:, [1, 4]]).max(), 0)
                self.assertTrue(numpy.isnan(out["log_det"]))
                self.assertAlmostEqual(report["test_max"], abs(out["test"]).max(), delta=1e-6)
        said = self.succeed("whiten", self.path("x.h5"), "-o", self.path("white.h5")).stderr
        self.assertIn("2 test rows have another value in a column that is constant", said)
        config = self.write("run.yaml", f"data: {{file: {self.path('white.h5')}}}\n"
                            "model: {family: rbm, hidden: 3, visible_units: gaussian}\ntrain: {epochs: 3, batch: 20}\n")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        report = self.report("evaluate", self.path("run"), "--method", "exact")["exact"]
        self.assertLess(abs(report["test_log_prob"] - report["train_log_prob"]), 3)
        self.succeed("sample", self.path("run"), "-n", "9", "--steps", "3", "--quiet")
        with h5py.File(self.path("run/model.h5")) as file:
            numpy.testing.assert_allclose(file["samples/gibbs_data"][:, 4], 0.1, rtol=1e-6)

    def test_directions_without_variance_are_left_out(self):
        """Constant columns, sums that are fixed, and fewer rows than columns."""
        generator = numpy.random.default_rng(7)
        constant, fixed = generator.normal(size=(2, 200, 9)) + 3
        constant[:, 2] = 0.1
        fixed[:, 8] = 5 - fixed[:, 0]
        few = generator.normal(size=(6, 9))
        for train, rank in ((constant, 8), (fixed, 8), (few, 5)):
            self.write_rows(train, generator.normal(size=(30, 9)) + 3)
            out = self.whiten("--method", "pca", ranks=2)
            self.assertEqual(out["train"].shape[1], rank)
            numpy.testing.assert_allclose(numpy.cov(out["train"].T, bias=True), numpy.eye(rank), atol=1e-4)
            self.assertTrue(numpy.isnan(out["log_det"]))
            numpy.testing.assert_allclose(out["train"] @ out["inverse"].T + out["mean"], out["x"], atol=1e-4)
            report = self.report("whiten", self.path("x.h5"), "-o", self.path("zca.h5"), "--method", "zca")
            self.assertEqual(report["constant"], 9 - rank)
            with h5py.File(self.path("zca.h5")) as file:
                self.assertLess(abs(file["test/x"][...]).max(), 100)  # 1,000 and more where nothing is left out
                values = numpy.linalg.eigvalsh(numpy.cov(file["train/x"][...].T.astype(float), bias=True))
                numpy.testing.assert_allclose(values, [0] * (9 - rank) + [1] * rank, atol=1e-4)
            self.refuse(2, f"vary in {rank} directions", "whiten", self.path("x.h5"), "-o", self.path("y.h5"), "--method",
                        "pca", "--components", rank + 1)

    def test_test_rows_far_away_are_told(self):
        """A column that hardly varies in training is no constant, and its test rows may be far from the training rows."""
        generator = numpy.random.default_rng(8)
        train, test = generator.normal(size=(200, 4)), generator.normal(size=(50, 4))
        train[:, 2] *= 0.003
        self.write_rows(train, test)
        process = self.succeed("whiten", self.path("x.h5"), "-o", self.path("white.h5"))
        self.assertIn("test rows reach", process.stderr)
        self.assertIn("--epsilon", process.stderr)
        self.assertNotIn("test rows reach", self.succeed("whiten", self.path("x.h5"), "-o", self.path("white.h5"), "--epsilon", "1").stderr)

    def test_samples_are_told_in_the_units_of_the_data(self):
        self.whiten("--method", "zca")
        config = self.write("run.yaml", f"data: {{file: {self.path('white.h5')}, binarize: none}}\n"
                            "model: {family: rbm, hidden: 20, visible_units: gaussian, learn_variance: true}\n"
                            "train: {epochs: 3, learning_rate: 0.001, batch: 50}\n")
        self.succeed("train", config, "-o", self.path("run"), "--quiet", ranks=2)
        self.succeed("sample", self.path("run"), "-n", "20", "--steps", "10", "--quiet")
        with h5py.File(self.path("run/model.h5")) as file, h5py.File(self.path("white.h5")) as data:
            samples = file["samples"]
            expected = samples["gibbs_mean"][...] @ data["preprocessing/inverse"][...].T + data["preprocessing/mean"][...]
            numpy.testing.assert_allclose(samples["gibbs_data"][...], expected, atol=1e-4)
        report = self.report("evaluate", self.path("run"), "--set", "ais.temperatures=200", "--set", "ais.burn_in=50")
        self.assertIn("raise", report)
        self.assertLess(abs(report["bracket"]["gap"]), 1)

    def test_a_dbn_of_real_numbers(self):
        self.whiten()
        config = self.write("run.yaml", f"data: {{file: {self.path('white.h5')}}}\n"
                            "model: {family: dbn, hidden: [20, 10], visible_units: gaussian, learn_variance: true}\n"
                            "train: {epochs: 3, batch: 40, learning_rate: 0.01}\nstages:\n"
                            "  - {name: first, objective: pretrain, layer: 1}\n"
                            "  - {name: second, objective: pretrain, layer: 2}\n"
                            "  - {name: all, objective: up_down, estimator: cd}\n")
        self.succeed("train", config, "-o", self.path("one"), "--quiet")
        self.succeed("train", config, "-o", self.path("two"), "--quiet", "--set", "threads=2", ranks=2)
        one, two = parameters(self.path("one")), parameters(self.path("two"))
        for name in one:
            self.assertTrue((one[name] == two[name]).all(), name)
        report = self.report("evaluate", self.path("one"), "--method", "exact,ais,reverse_ais")
        self.assertAlmostEqual(report["ais"]["log_z"], report["exact"]["log_z"], delta=0.1)
        self.assertGreater(report["exact"]["test_log_prob"], -2 * self.x.shape[1])
        self.succeed("sample", self.path("one"), "-n", 30, "--quiet")
        with h5py.File(self.path("one/model.h5")) as file:
            self.assertEqual(file["samples/gibbs"].shape, (30, self.x.shape[1]))
            noise = (file["samples/gibbs"][...] - file["samples/gibbs_mean"][...]) / numpy.exp(one["log_variance"] / 2)
            self.assertAlmostEqual(noise.std(), 1, delta=4.5 / (2 * noise.size) ** 0.5)
        self.assertGreater(abs(one["log_variance"]).max(), 0)

    def test_bad_wishes_are_refused(self):
        into = ("-o", self.path("y.h5"))
        self.refuse(2, "'foo' is not one of: standardize, pca, zca", "whiten", self.path("x.h5"), *into, "--method", "foo")
        self.refuse(2, "--components", "whiten", self.path("x.h5"), *into, "--components", "3")
        self.refuse(2, "--components: 71 of 70", "whiten", self.path("x.h5"), *into, "--method", "pca", "--components",
                    "71", ranks=2)
        self.refuse(2, "--epsilon", "whiten", self.path("x.h5"), *into, "--epsilon", "-1")
        self.refuse(2, "-o OUT.h5", "whiten", self.path("x.h5"))
        self.succeed("whiten", self.path("x.h5"), "-o", self.path("white.h5"))
        self.refuse(2, "white.h5 is whitened already", "whiten", self.path("white.h5"), *into, ranks=2)
        self.refuse(3, "nothing.h5", "whiten", self.path("nothing.h5"), *into, ranks=2)
        numpy.save(self.path("x.npy"), numpy.ones((20, 3), "f4"))
        self.succeed("import", "npy", self.path("x.npy"), "-o", self.path("same.h5"))
        for method in ("standardize", "zca"):
            self.refuse(3, "no column varies", "whiten", self.path("same.h5"), *into, "--method", method, ranks=2)
        config = self.write("run.yaml", f"data: {{file: {self.path('x.h5')}, binarize: threshold}}\n"
                            "model: {family: rbm, hidden: 20, visible_units: gaussian}\ntrain: {epochs: 3}\n")
        self.refuse(2, ["data.binarize", "takes values as they are"], "train", config, "-o", self.path("run"))
        self.refuse(3, "binary units need values in [0, 1]", "train", config, "-o", self.path("run"), "--set",
                    "data.binarize=none", "--set", "model.visible_units=bernoulli")
        self.refuse(2, "groups of 9", "train", config, "-o", self.path("run"), "--set", "model.visible_units=softmax",
                    "--set", "model.visible_group=9")


if __name__ == "__main__":
    main()
