"""What a model was trained with belongs to it: --set cannot change it, its data are known again, and so is their transform."""
import os

import h5py
import numpy

from harmonium import Case, main, run, said

FEW = ("--set", "ais.temperatures=50", "--set", "ais.chains=16", "--set", "ais.burn_in=10")


class Trained(Case):
    def rows(self, name, values, *arguments):
        """A data file of these values."""
        numpy.save(self.path(name + ".npy"), values.astype(numpy.float32))
        self.succeed("import", "npy", self.path(name + ".npy"), "-o", self.path(name + ".h5"), *arguments)
        return self.path(name + ".h5")

    def train(self, data, name="run", model="hidden: 4, visible_units: gaussian", family="rbm"):
        config = self.write(name + ".yaml", f"data: {{file: {data}}}\nmodel: {{family: {family}, {model}}}\n"
                                            "train: {epochs: 2, batch: 20, learning_rate: 0.01}\n")
        self.succeed("train", config, "-o", self.path(name), "--quiet")
        return self.path(name)

    def whiten(self, data, name, *arguments):
        return self.report("whiten", data, "-o", self.path(name + ".h5"), *arguments)

    def test_set_cannot_change_what_was_trained(self):
        folder = self.train(self.rows("bits", numpy.random.default_rng(1).random((40, 6)) < 0.5), model="hidden: 4")
        for key, value in {"model.hidden": 4, "model.family": "dbm", "model.visible_units": "gaussian",
                           "data.binarize": "threshold", "train.learning_rate": 0.1, "start": "none",
                           "checkpoint.steps": 3}.items():
            for command in ("evaluate", "sample"):
                self.refuse(2, [f"--set {key}: the model was trained with it", "ais, importance, generation"], command, folder,
                            "--set", f"{key}={value}")
        self.refuse(2, "--set model.hidden", "evaluate", folder, "--set", "model.hidden=4", ranks=2)
        self.succeed("evaluate", folder, *FEW, "--set", "seed=5", "--set", "shards=4", "--set", "threads=2", "--quiet")

    def test_another_seed_judges_the_same_rows(self):
        """Rows that are drawn binary once are drawn by the seed of the training."""
        data = self.rows("grey", numpy.random.default_rng(2).random((40, 6)))
        config = self.write("run.yaml", f"data: {{file: {data}, binarize: fixed}}\nmodel: {{family: rbm, hidden: 4}}\n"
                                        "train: {epochs: 2, batch: 20}\n")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        one, two = (self.report("evaluate", self.path("run"), "--method", "exact", "--set", f"seed={seed}") for seed in (1, 2))
        self.assertEqual(one["exact"]["train_log_prob"], two["exact"]["train_log_prob"])

    def test_changed_training_rows_are_told(self):
        values = numpy.random.default_rng(3).random((40, 6)) < 0.5
        data = self.rows("bits", values)
        folder = self.train(data, model="hidden: 4")
        methods = ("--method", "ais,reverse_ais", *FEW)
        for ranks in (0, 2):
            self.assertNotIn("data_changed", self.report("evaluate", folder, *methods, ranks=ranks))
        values[7, 3] ^= True
        self.rows("bits", values)
        for ranks in (0, 2):
            process = run("evaluate", folder, "--json", *methods, ranks=ranks)
            self.assertEqual(process.stderr.count("not those that the model was trained on"), 1, said(process))
        report = self.report("evaluate", folder, *methods)
        self.assertIn("not those that the model was trained on", report["data_changed"])
        self.assertIn("do not quote", report["bracket"]["verdict"])
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            self.assertIn("data_changed", file["evaluation/ais"].attrs)
            self.assertEqual(file["evaluation/reverse_ais"].attrs["bracket_forward"], "ais")
        self.assertIn("evaluation/ais@data_changed", self.succeed("info", folder).stdout)
        self.assertNotIn("data_changed", self.report("evaluate", folder, *methods, "--data", data))  # asked for

    def test_bytes_that_stand_for_other_values_are_told(self):
        data = self.digits()
        folder = self.train(data, model="hidden: 4")
        self.assertNotIn("data_changed", self.report("evaluate", folder, "--method", "exact"))
        with h5py.File(data, "r+") as file:
            for split in ("train", "test"):
                file[split + "/x"].attrs["scale"] = 1 / 510
            del file.attrs["digest"]
        self.assertIn("data_changed", self.report("evaluate", folder, "--method", "exact"))

    def test_the_transform_is_the_models(self):
        generator = numpy.random.default_rng(4)
        raw = self.rows("raw", 5 + 3 * generator.normal(size=(60, 6)), "--test-fraction", "0.2")
        other = self.rows("other", 50 + 30 * generator.normal(size=(60, 6)), "--test-fraction", "0.2")
        for method in ("standardize", "zca", "pca"):
            self.whiten(raw, "white", "--method", method)
            folder = self.train(self.path("white.h5"), method)
            before = self.report("evaluate", folder, "--method", "exact")["exact"]
            after = self.report("evaluate", folder, "--method", "exact", "--data", raw)["exact"]  # whitened as the training was
            for key in ("log_z", "train_log_prob", "test_log_prob"):
                self.assertEqual(after[key], before[key])
            with h5py.File(self.path("white.h5")) as file, h5py.File(os.path.join(folder, "model.h5")) as model:
                for name, value in file["preprocessing"].items():
                    if isinstance(value, h5py.Dataset) and name in ("mean", "scale", "matrix", "inverse"):
                        numpy.testing.assert_array_equal(model["preprocessing/" + name][...], value[...])
                mean = file["preprocessing/mean"][...]
            self.whiten(other, "white", "--method", method)  # another data set lies there now
            self.succeed("sample", folder, "-n", 50, "--steps", 5, "--quiet")
            with h5py.File(os.path.join(folder, "model.h5")) as file:
                self.assertLess(abs(file["samples/gibbs_data"][...] - mean).max(), 12)
            self.refuse(3, ["white.h5", "another transform"], "evaluate", folder, "--data", self.path("white.h5"), ranks=2)
            os.remove(self.path("white.h5"))
            self.succeed("sample", folder, "-n", 50, "--steps", 5, "--quiet")
        plain = self.train(raw, "plain")
        self.whiten(raw, "white")
        self.refuse(3, ["white.h5", "whitened", "were not"], "evaluate", plain, "--data", self.path("white.h5"))

    def test_pictures_tell_what_black_and_white_are(self):
        """In the units of the data where the model keeps a transform; else black is as far below 0 as white is above it."""
        data = self.digits()
        self.whiten(data, "white")
        with h5py.File(self.path("white.h5")) as file:
            rows = file["train/x"][...]
            height, width = (file["train/x"].attrs[name] for name in ("height", "width"))
        shown = ("-n", 9, "--steps", 3, "--png", self.path("x.png"))
        folder = self.train(self.path("white.h5"), "white")
        report = self.report("sample", folder, *shown)
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            means = file["samples/gibbs_data"][...]
            self.assertEqual(means.shape[1], height * width)
        self.assertAlmostEqual(report.get("black", 0), min(0, means.min()), delta=1e-6)
        self.assertAlmostEqual(report.get("white", 1), max(1, means.max()), delta=1e-6)
        elsewhere = self.rows("elsewhere", rows)
        with h5py.File(elsewhere, "r+") as file:
            file["train/x"].attrs["height"], file["train/x"].attrs["width"] = height, width
            del file.attrs["digest"]
        folder = self.train(elsewhere, "plain")
        report = self.report("sample", folder, *shown)
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            far = abs(file["samples/gibbs_mean"][...]).max()
        self.assertAlmostEqual(report["white"], max(1, far), delta=1e-6)
        self.assertEqual(report["black"], -report["white"])
        self.assertEqual(report["mean"], self.report("sample", folder, *shown[:4])["mean"])

    def test_encode_takes_the_models_transform(self):
        generator = numpy.random.default_rng(5)
        raw = self.rows("raw", 5 + 3 * generator.normal(size=(60, 6)))
        self.whiten(raw, "white")
        folder = self.train(self.path("white.h5"), family="vae", model="encoder: [dense 8, latent 2], decoder: [dense 8], likelihood: gaussian")
        self.succeed("encode", folder, "-o", self.path("one.h5"), "--quiet")
        self.succeed("encode", folder, "-o", self.path("two.h5"), "--data", raw, "--quiet")
        with h5py.File(self.path("one.h5")) as one, h5py.File(self.path("two.h5")) as two:
            numpy.testing.assert_array_equal(one["train/x"][...], two["train/x"][...])


if __name__ == "__main__":
    main()
