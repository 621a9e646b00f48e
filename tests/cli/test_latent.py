"""Latent variables from the command line: estimates, encoded data, samples and pictures; what is refused."""
import unittest

import h5py
import numpy

from harmonium import Case, edited, main, parameters

MODEL = "family: vae, encoder: [dense 30, tanh, latent 2], decoder: [dense 30, tanh]"


class Latent(Case):
    def train(self, model=MODEL, train="epochs: 8, batch: 40, optimizer: adam, learning_rate: 0.003", binarize="none"):
        data = self.digits(rows=600, test_rows=200)
        config = self.write("config.yaml", f"data: {{file: {data}, binarize: {binarize}}}\nmodel: {{{model}}}\n"
                                           f"train: {{{train}}}\n")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        return self.path("run")

    def rows(self, split):
        with h5py.File(self.path("digits.h5")) as file:
            return file[split + "/x"][...] / 255.0

    def encoder(self, x):
        net = {name: value.astype(float) for name, value in parameters(self.path("run")).items()}
        hidden = numpy.tanh(x @ net["encoder_W1"] + net["encoder_b1"])
        return numpy.split(hidden @ net["encoder_W2"] + net["encoder_b2"], 2, axis=1)

    def decoder(self, h):
        net = {name: value.astype(float) for name, value in parameters(self.path("run")).items()}
        hidden = numpy.tanh(h @ net["decoder_W1"] + net["decoder_b1"])
        return 1 / (1 + numpy.exp(-(hidden @ net["decoder_W2"] + net["decoder_b2"])))

    def test_what_evaluate_says_is_what_the_parameters_say(self):
        folder = self.train()
        report = self.report("evaluate", folder, "--set", "importance.samples=400")["importance"]
        again = self.report("evaluate", folder, "--set", "importance.samples=400", ranks=2)["importance"]
        report.pop("seconds"), again.pop("seconds")
        self.assertEqual(report, again)
        # An estimate of our own, with other draws.
        random, x = numpy.random.default_rng(1), self.rows("test")
        mean, log_variance = self.encoder(x)
        log_w = []
        for _ in range(400):
            eps = random.normal(size=mean.shape)
            h = mean + numpy.exp(log_variance / 2) * eps
            p = self.decoder(h)
            log_w.append((x * numpy.log(p) + (1 - x) * numpy.log1p(-p)).sum(1)
                         + 0.5 * (log_variance + eps**2 - h**2).sum(1))
        log_w = numpy.array(log_w)
        log_p = numpy.log(numpy.exp(log_w - log_w.max(0)).mean(0)) + log_w.max(0)
        apart = 5 * 2**0.5 * report["test_draws_stderr"]
        self.assertAlmostEqual(report["test_log_prob"], log_p.mean(), delta=apart)
        self.assertAlmostEqual(report["test_elbo"], log_w.mean(), delta=5 * (log_w.std(0).mean() / (200 * 400)**0.5) * 2)
        self.assertAlmostEqual(report["test_elbo"], report["test_log_likelihood"] - report["test_kl"], delta=1e-9)
        self.assertLess(report["test_elbo"], report["test_log_prob"])
        self.assertEqual(report["test_active_units"], int((mean.var(0) > 0.01).sum()))
        with h5py.File(folder + "/model.h5") as file:
            stored = file["evaluation/importance"]
            self.assertEqual(stored["test_log_prob"][()], report["test_log_prob"])
            self.assertAlmostEqual(stored["test_row_log_prob"][...].mean(), report["test_log_prob"], delta=1e-9)
            numpy.testing.assert_allclose(stored["test_latent_variances"][...], mean.var(0), rtol=1e-3, atol=1e-6)
            self.assertEqual(stored["train_row_log_prob"].shape, (600,))

    def test_more_draws_give_a_higher_bound_and_some_training_rows_do(self):
        folder = self.train()
        bounds = [self.report("evaluate", folder, "--split", "train", "--set", f"importance.samples={k}", "--set",
                              "importance.train_rows=100")["importance"] for k in (1, 10, 200)]
        self.assertEqual(sorted(bound["train_log_prob"] for bound in bounds), [bound["train_log_prob"] for bound in bounds])
        self.assertEqual(bounds[0]["train_rows"], 100)
        self.assertAlmostEqual(bounds[0]["train_log_prob"], bounds[0]["train_elbo"], delta=1e-9)
        self.assertIsNone(bounds[0]["train_draws_stderr"])
        self.assertEqual(bounds[0]["train_log_prob_stderr"], bounds[0]["train_elbo_stderr"])

    def test_encoded_data_are_posterior_means(self):
        folder = self.train()
        report = self.report("encode", folder, "-o", self.path("latent.h5"), ranks=2)
        self.assertEqual((report["train_rows"], report["test_rows"], report["columns"]), (600, 200, 2))
        with h5py.File(self.path("latent.h5")) as file, h5py.File(self.path("digits.h5")) as data:
            self.assertEqual(file.attrs["format"], "harmonium-data")
            for split in ("train", "test"):
                numpy.testing.assert_allclose(file[split + "/x"][...], self.encoder(self.rows(split))[0], atol=1e-5)
                numpy.testing.assert_array_equal(file[split + "/y"][...], data[split + "/y"][...])
        # It is a data file as any other.
        config = self.write("next.yaml", f"data: {{file: {self.path('latent.h5')}}}\nmodel: {{family: network, real_data: "
                                         "true, layers: [dense 20, tanh]}\ntrain: {epochs: 20, batch: 40, optimizer: adam}\n")
        self.succeed("train", config, "-o", self.path("next"), "--quiet")
        self.assertLess(self.report("evaluate", self.path("next"))["classification"]["test_error"], 0.75)

    def test_samples_reconstructions_and_a_grid(self):
        folder = self.train()
        self.succeed("sample", folder, "-n", 300, "--png", self.path("prior.png"))
        self.succeed("sample", folder, "-n", 10, "--reconstruct", "--png", self.path("rows.png"), ranks=2)
        self.succeed("sample", folder, "-n", 25, "--grid", "--png", self.path("grid.png"))
        with h5py.File(folder + "/model.h5") as file:
            samples = {name: data[...] for name, data in file["samples"].items()}
        self.assertEqual(set(numpy.unique(samples["prior"])), {0, 1})
        self.assertLess(abs(samples["prior"].mean() - samples["prior_mean"].mean()), 5 * 0.5 / (300 * 784)**0.5)
        x = self.rows("test")[:10]
        numpy.testing.assert_allclose(samples["reconstruction_rows"], x, atol=1e-6)
        numpy.testing.assert_allclose(samples["reconstruction_latent"], self.encoder(x)[0], atol=1e-5)
        numpy.testing.assert_allclose(samples["reconstruction"], self.decoder(samples["reconstruction_latent"]), atol=1e-5)
        # Quantiles 0.1, 0.3 ... of a standard normal, the second unit falling from the top.
        quantiles = [-1.2815516, -0.5244005, 0, 0.5244005, 1.2815516]
        numpy.testing.assert_allclose(samples["grid_latent"][:5, 0], quantiles, atol=1e-6)
        numpy.testing.assert_allclose(samples["grid_latent"][::5, 1], quantiles[::-1], atol=1e-6)
        numpy.testing.assert_allclose(samples["grid"], self.decoder(samples["grid_latent"]), atol=1e-5)
        for picture in ("prior", "rows", "grid"):
            self.assertEqual(open(self.path(picture + ".png"), "rb").read(4), b"\x89PNG")

    def test_reconstructions_of_whitened_data_are_in_its_units(self):
        data = self.digits(rows=600, test_rows=200)
        self.succeed("whiten", data, "-o", self.path("white.h5"))
        config = self.write("white.yaml", f"data: {{file: {self.path('white.h5')}}}\nmodel: {{family: vae, likelihood: gaussian, "
                                          "encoder: [latent 3], decoder: []}\ntrain: {epochs: 1, batch: 40, optimizer: adam}\n")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        self.succeed("sample", self.path("run"), "-n", 20, "--reconstruct", "--png", self.path("rows.png"))
        with h5py.File(self.path("run/model.h5")) as file, h5py.File(self.path("white.h5")) as white, h5py.File(data) as raw:
            samples = {name: rows[...] for name, rows in file["samples"].items()}
            numpy.testing.assert_allclose(samples["reconstruction_rows"], white["test/x"][:20], atol=1e-6)
            x = raw["train/x"][...] / 255
        scale = numpy.sqrt(x.var(0, ddof=1) + 1e-5)
        varying = x.std(0) > 0.1
        expected = samples["reconstruction"] * scale + x.mean(0)
        numpy.testing.assert_allclose(samples["reconstruction_data"][:, varying], expected[:, varying], atol=0.02)

    def test_damaged_test_rows_are_not_none(self):
        folder = self.train()
        with edited(self.path("digits.h5")) as file:
            del file["test/x"]
            file["test/x"] = numpy.zeros((200, 784), "int64")
        for command in (("encode", folder, "-o", self.path("latent.h5")), ("sample", folder, "-n", 5, "--reconstruct"),
                        ("evaluate", folder)):
            self.refuse(3, "/test/x must be a matrix of uint8 or float32", *command)

    def test_samples_are_the_same_on_any_ranks(self):
        folder = self.train()
        found = []
        for ranks in (0, 2):
            self.succeed("sample", folder, "-n", 50, ranks=ranks)
            with h5py.File(folder + "/model.h5") as file:
                found.append(file["samples/prior"][...])
        numpy.testing.assert_array_equal(*found)

    def test_gaussian_data_and_two_layers(self):
        data = self.digits(rows=600, test_rows=200)
        config = self.write("config.yaml", f"data: {{file: {data}}}\nmodel: {{family: vae, likelihood: gaussian, "
                                           "encoder: [dense 30, relu, latent 6, latent 3], decoder: [latent 6, dense 30, relu]}\n"
                                           "train: {epochs: 30, batch: 40, optimizer: adam, learning_rate: 0.003}\n")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        report = self.report("evaluate", self.path("run"), "--set", "importance.samples=200")["importance"]
        standard_normal = -0.5 * 784 * (1 + numpy.log(2 * numpy.pi))
        self.assertGreater(report["train_log_prob"], standard_normal + 100)
        self.assertEqual(report["latent_units"], 9)
        self.succeed("sample", self.path("run"), "-n", 30)

    def test_what_is_wrong_is_said(self):
        data = self.digits()
        bad = [
            ("model.encoder=[dense 5, tanh]", "it must end in `latent N`"),
            ("model.encoder=[dens 5, latent 2]", "there is no layer 'dens'"),
            ("model.decoder=[reshape 3 3 1, latent 4]", "reshape: 3 x 3 x 1 are 9 units, and the layer before has 2"),
            ("model.decoder=dense 5", "model.decoder"),
            ("train.samples=0", "train.samples"),
            ("train.objective=wake", "it knows: elbo, iwae"),
            ("train.path=doubly", "objective iwae"),
            ("train.path=sticking", "set train.kl to sampled"),
            ("model.likelihood=poisson", "bernoulli, gaussian"),
        ]
        config = self.write("config.yaml", f"data: {{file: {data}}}\nmodel: {{{MODEL}}}\ntrain: {{epochs: 2, batch: 40}}\n")
        for setting, words in bad:
            with self.subTest(setting=setting):
                self.refuse(2, words, "train", config, "-o", self.path("bad"), "--set", setting)
        one = self.write("one.yaml", f"shards: 1\ndata: {{file: {data}}}\nmodel: {{{MODEL.replace('tanh, latent', 'batch_norm, latent')}}}\n"
                                     "train: {epochs: 1, batch: 1}\n")
        self.refuse(2, "a batch of one row has no variance", "train", one, "-o", self.path("bad"))
        self.succeed("whiten", data, "-o", self.path("white.h5"))
        self.refuse(3, "values in [0, 1]", "train", config, "-o", self.path("bad"), "--set",
                    f"data.file={self.path('white.h5')}")
        folder = self.train(train="epochs: 1, batch: 40")
        self.refuse(2, "no log Z", "evaluate", folder, "--method", "ais")
        self.refuse(2, "must be a square", "sample", folder, "--grid", "-n", 20)
        self.refuse(2, "exclude each other", "sample", folder, "--grid", "--reconstruct")
        self.refuse(2, "-o FILE.h5", "encode", folder)
        rbm = self.config(data, name="rbm.yaml")
        self.succeed("train", rbm, "-o", self.path("rbm"), "--quiet")
        self.refuse(2, "no latent variables", "encode", self.path("rbm"), "-o", self.path("x.h5"))
        self.refuse(2, "which family rbm has not", "sample", self.path("rbm"), "--grid")
        self.refuse(2, "no latent variables", "evaluate", self.path("rbm"), "--method", "importance")


if __name__ == "__main__":
    main()
