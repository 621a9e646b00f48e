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
        self.x[:, 3] = 1
        numpy.save(self.path("x.npy"), self.x)
        self.succeed("import", "npy", self.path("x.npy"), "-o", self.path("x.h5"))
        self.refuse(3, "column 3 never changes", "whiten", self.path("x.h5"), *into, "--epsilon", "0", ranks=2)
        config = self.write("run.yaml", f"data: {{file: {self.path('x.h5')}, binarize: threshold}}\n"
                            "model: {family: rbm, hidden: 20, visible_units: gaussian}\ntrain: {epochs: 3}\n")
        self.refuse(2, ["data.binarize", "takes values as they are"], "train", config, "-o", self.path("run"))
        self.refuse(3, "binary units need values in [0, 1]", "train", config, "-o", self.path("run"), "--set",
                    "data.binarize=none", "--set", "model.visible_units=bernoulli")
        self.refuse(2, "groups of 9", "train", config, "-o", self.path("run"), "--set", "model.visible_units=softmax",
                    "--set", "model.visible_group=9")


if __name__ == "__main__":
    main()
