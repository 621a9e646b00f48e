"""Made rows from the command line: Parzen windows, scores and coverage against numpy; two players, two optimisers."""
import unittest

import h5py
import numpy

from harmonium import Case, main, parameters

RING = """shards: 8
data: {{file: {data}}}
model:
  family: gan
  noise_units: 2
  range: real
  generator: [dense 64, relu, dense 64, relu, dense 2]
  discriminator: [{discriminator}]
train: {{{train}, batch: 200, optimizer: adam, learning_rate: 0.001, beta1: 0.5, beta2: 0.9}}
"""
CRITIC = "dense 64, leaky_relu, dense 64, leaky_relu, dense 1"


class Generated(Case):
    def ring(self):
        """Data, and a network that tells which Gaussian a point is of."""
        self.succeed("import", "synth", "--kind", "ring", "-o", self.path("ring.h5"))
        config = self.write("modes.yaml", f"data: {{file: {self.path('ring.h5')}}}\nmodel: {{family: network, classes: 8, real_data: "
                                          "true, layers: [dense 32, relu, dense 6, tanh]}\ntrain: {epochs: 20, batch: 200, "
                                          "optimizer: adam, learning_rate: 0.01, schedule: linear}\n")
        self.succeed("train", config, "-o", self.path("modes"), "--quiet")
        return self.path("ring.h5")

    def adversaries(self, train, discriminator=CRITIC, more=""):
        data = self.path("ring.h5")
        config = self.write("gan.yaml", RING.format(data=data, train=train, discriminator=discriminator) + more)
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        return self.path("run")

    def test_a_ring_has_its_modes(self):
        with h5py.File(self.ring()) as file:
            x, y = file["train/x"][...], file["train/y"][...]
        angle = 2 * numpy.pi * y / 8
        centres = numpy.stack([2 * numpy.cos(angle), 2 * numpy.sin(angle)], axis=1)
        self.assertEqual(list(numpy.bincount(y)), [1250] * 8)
        self.assertAlmostEqual((x - centres).std(), 0.05, delta=0.001)
        report = self.report("evaluate", self.path("modes"))["classification"]
        self.assertEqual(report["test_error"], 0)

    def test_a_critic_with_a_penalty_covers_the_ring(self):
        self.ring()
        folder = self.adversaries("objective: wasserstein, adversary_steps: 5, gradient_penalty: 1, epochs: 300")
        scores = self.report("evaluate", folder, "--classifier", self.path("modes"), "--set",
                             "generation.samples=2000")["scores"]
        counts = [scores[f"class_{mode}"] for mode in range(8)]
        self.assertEqual((scores["classes_hit"], scores["classes"], sum(counts)), (8, 8, 2000))
        self.assertGreater(min(counts), 125)  # half of an equal share
        self.assertGreater(scores["inception"], 7)  # 8 at best

    def test_parzen_windows_and_scores_are_those_of_numpy(self):
        data = self.ring()
        folder = self.adversaries("epochs: 30")
        report = self.report("evaluate", folder, "--classifier", self.path("modes"), "--set", "generation.samples=500",
                             "--set", "generation.validation=200", "--set", "generation.nearest=20")
        again = self.report("evaluate", folder, "--classifier", self.path("modes"), "--set", "generation.samples=500",
                            "--set", "generation.validation=200", "--set", "generation.nearest=20", ranks=2)
        for part in ("scores", "parzen"):
            report[part].pop("seconds", None), again[part].pop("seconds", None)
            self.assertEqual(again[part], report[part])
        self.succeed("sample", folder, "-n", 500)
        with h5py.File(folder + "/model.h5") as file, h5py.File(data) as rows:
            made = file["samples/prior_mean"][...].astype(float)
            test, train = rows["test/x"][...].astype(float), rows["train/x"][...].astype(float)
            stored = {name: {key: value[...] for key, value in group.items()} for name, group in file["evaluation"].items()}
        # Parzen windows, and no other width of a fine grid better than the one chosen.
        validation = train[[len(train) // 200 * at for at in range(200)]]

        def density(x, width):
            square = ((x[:, None] - made[None]) ** 2).sum(2)
            exponent = -square / (2 * width**2)
            most = exponent.max(1)
            return numpy.log(numpy.exp(exponent - most[:, None]).mean(1)) + most - numpy.log(2 * numpy.pi * width**2)

        parzen, width = report["parzen"], report["parzen"]["width"]
        self.assertAlmostEqual(parzen["test_log_prob"], density(test, width).mean(), delta=1e-4)
        self.assertAlmostEqual(parzen["test_log_prob_stderr"], density(test, width).std(ddof=1) / len(test)**0.5, delta=1e-4)
        self.assertAlmostEqual(parzen["validation_log_prob"], density(validation, width).mean(), delta=1e-4)
        best = max(density(validation, w).mean() for w in width * numpy.geomspace(0.2, 5, 101))
        self.assertGreater(parzen["validation_log_prob"], best - 0.01)
        # The classifier's opinion.
        net = {name: value.astype(float) for name, value in parameters(self.path("modes")).items()}

        def opinion(x):
            features = numpy.tanh(numpy.maximum(x @ net["layers_W1"] + net["layers_b1"], 0) @ net["layers_W2"] + net["layers_b2"])
            p = numpy.exp(features @ net["layers_W3"] + net["layers_b3"])
            return features, p / p.sum(1, keepdims=True)

        features, p = opinion(made)
        scores = report["scores"]
        self.assertEqual([scores[f"class_{mode}"] for mode in range(8)], list(numpy.bincount(p.argmax(1), minlength=8)))
        parts = [numpy.exp((q * numpy.log(q / q.mean(0))).sum(1).mean()) for q in numpy.split(p, 10)]
        self.assertAlmostEqual(scores["inception"], numpy.mean(parts), delta=1e-3)
        self.assertAlmostEqual(scores["inception_stderr"], numpy.std(parts, ddof=1) / 10**0.5, delta=1e-3)

        def distance(a, b):
            A, B = numpy.cov(a.T), numpy.cov(b.T)
            root = numpy.sqrt(numpy.maximum(numpy.linalg.eigvals(A @ B).real, 0)).sum()
            return ((a.mean(0) - b.mean(0)) ** 2).sum() + numpy.trace(A) + numpy.trace(B) - 2 * root

        real = opinion(test)[0]
        self.assertAlmostEqual(scores["frechet"], distance(features, real), delta=1e-4)
        without = [distance(numpy.delete(features, slice(50 * b, 50 * b + 50), 0), real) for b in range(10)]
        self.assertAlmostEqual(scores["frechet_stderr"], numpy.std(without) * 9**0.5, delta=1e-3)
        square = ((made[:20, None] - train[None]) ** 2).sum(2)
        numpy.testing.assert_allclose(stored["scores"]["nearest_distance"], numpy.sqrt(square.min(1)), atol=2e-3)
        found = square[numpy.arange(20), stored["scores"]["nearest_row"].astype(int)]
        numpy.testing.assert_allclose(numpy.sqrt(found), numpy.sqrt(square.min(1)), atol=2e-3)

    def test_windows_are_as_wide_as_the_data_ask(self):
        self.ring()
        with h5py.File(self.path("ring.h5")) as file:
            x = file["train/x"][...]
        numpy.save(self.path("large.npy"), 10000 * x)
        self.succeed("import", "npy", self.path("large.npy"), "--test-fraction", "0.1", "-o", self.path("large.h5"))
        folder = self.adversaries("epochs: 1")
        narrow, wide = (self.report("evaluate", folder, "--method", "parzen", "--set", "generation.samples=200", *more)["parzen"]
                        for more in ((), ("--data", self.path("large.h5"))))
        self.assertLess(narrow["width"], 5)
        self.assertGreater(wide["width"], 1000)  # the made rows are about the origin, the data 20,000 from it
        on_train = self.report("evaluate", folder, "--method", "parzen", "--set", "generation.samples=200", "--split", "train")
        self.assertEqual((on_train["parzen"]["train_rows"], "test_rows" in on_train["parzen"]), (10000, False))

    def test_each_player_has_its_optimiser(self):
        self.ring()
        folder = self.adversaries("epochs: 1", more="discriminator: {learning_rate: 0}\n")
        with h5py.File(folder + "/checkpoint.h5") as file:
            self.assertEqual(set(file["optimizer"]), {"adversary_moment1", "adversary_moment2", "moment1", "moment2"})
        moved = parameters(folder)
        still = self.adversaries_still()
        for name in moved:
            (self.assertTrue if name.startswith("discriminator") else self.assertFalse)(
                numpy.array_equal(moved[name], still[name]), name)

    def adversaries_still(self):
        config = self.write("still.yaml", RING.format(data=self.path("ring.h5"), train="epochs: 1", discriminator=CRITIC))
        self.succeed("train", config, "-o", self.path("still"), "--quiet", "--set", "train.learning_rate=0")
        return parameters(self.path("still"))

    def test_a_falling_rate_of_either_ties_the_epochs(self):
        self.ring()
        folder = self.adversaries("epochs: 1", more="discriminator: {schedule: linear}\n")
        self.refuse(2, "train.epochs is 2, was 1", "train", "--resume", folder, "--set", "train.epochs=2")

    def test_divergence_names_the_player(self):
        self.ring()
        config = self.write("wild.yaml", RING.format(data=self.path("ring.h5"), train="epochs: 9", discriminator=CRITIC)
                            + "discriminator: {learning_rate: 500}\n")
        self.refuse(5, ["discriminator_W", "lower discriminator.learning_rate (now 500)"], "train", config, "-o",
                    self.path("wild"))

    def test_an_epoch_is_as_many_rows_with_more_turns(self):
        self.ring()
        one, five = (self.report("train", self.write("gan.yaml", RING.format(
            data=self.path("ring.h5"), train=f"epochs: 2, adversary_steps: {steps}", discriminator=CRITIC)), "-o",
            self.path(f"run{steps}"))["updates"] for steps in (1, 5))
        self.assertEqual((one, five), (100, 20))

    def test_what_is_wrong_is_said(self):
        data = self.ring()
        config = self.write("gan.yaml", RING.format(data=data, train="epochs: 1", discriminator=CRITIC))
        bad = [
            ("model.generator=[dense 3]", "it makes rows of 3 units, and the data has 2 columns"),
            ("model.discriminator=[dense 4, relu]", "it must end in one unit"),
            ("model.range=unit", "values in [0, 1]"),
            ("train.adversary_steps=0", "train.adversary_steps"),
            ("discriminator.learning_rate=-1", "discriminator.learning_rate"),
            ("discriminator.max_norm=-1", "discriminator.max_norm"),
            ("train.dropout=0.5", "dropout is a layer"),
            ("train.k=5", "non_saturating of family gan has no use for it"),
            ("train.gradient_penalty=1", "has no use for it"),
            ("train.adversary_steps=51", "an update takes 51 minibatches of 200 rows, and the data has 50 of them"),
        ]
        for setting, words in bad:
            with self.subTest(setting=setting):
                self.refuse(3 if "range" in setting else 2, words, "train", config, "-o", self.path("bad"), "--set", setting)
        self.refuse(2, "has a layer batch_norm", "train", config, "-o", self.path("bad"), "--set", "train.objective=wasserstein",
                    "--set", "model.discriminator=[dense 4, batch_norm, dense 1]")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        self.refuse(2, "family gan does not tell classes", "evaluate", self.path("run"), "--method", "classification")
        self.refuse(2, "--classifier RUN", "evaluate", self.path("run"), "--method", "scores")
        self.refuse(2, "has no features", "evaluate", self.path("run"), "--classifier", self.path("run"))
        for words, run, *more in (
                ("leave --split out", "run", "--split", "test"),
                ("is not among the methods", "run", "--method", "parzen", "--classifier", self.path("modes")),
                ("at least 20 made rows, not 12", "run", "--classifier", self.path("modes"), "--set", "generation.samples=12"),
                ("family network makes no rows", "modes", "--classifier", self.path("modes"))):
            self.refuse(2, words, "evaluate", self.path(run), *more)
        self.refuse(2, "which family gan has not", "sample", self.path("run"), "--reconstruct")
        self.refuse(2, "--steps are of Gibbs sampling", "sample", self.path("run"), "--steps", "10")
        self.refuse(2, "no latent variables", "encode", self.path("run"), "-o", self.path("x.h5"))


if __name__ == "__main__":
    main()
