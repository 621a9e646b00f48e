"""scripts/plot_run.py draws every picture of a run, and says which it cannot draw and why."""
import importlib.util
import os
import subprocess
import sys
import tempfile
import types
import unittest

import h5py
import matplotlib.image
import numpy

SCRIPTS = os.path.join(os.environ.get("HARMONIUM_SOURCE", os.path.join(os.path.dirname(__file__), "..", "..")), "scripts")
SCRIPT = os.path.join(SCRIPTS, "plot_run.py")
HEIGHT, WIDTH, HIDDEN, CHAINS = 6, 4, 150, 80
LOG_Z_BASE = 40.0


def log_mean_exp(x):
    return x.max() + numpy.log(numpy.exp(x - x.max()).mean())


def write_metrics(path, rows=200):
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("metrics")
        group["step"] = numpy.arange(rows, dtype=float)
        group["epoch"] = numpy.arange(rows) / 50.0
        group["seconds"] = numpy.arange(rows) * 0.1
        group["reconstruction_error"] = numpy.exp(-numpy.arange(rows) / 60.0)
        group["reconstruction_error"].attrs["units"] = "nats"
        group["reconstruction_error"].attrs["description"] = "cross-entropy of one reconstruction"


def write_estimate(file, method, log_weights, log_z):
    group = file.create_group("evaluation/" + method)
    group["log_weights"] = log_weights
    for name, value in {"log_z": log_z, "log_z_stderr": 0.1, "log_z_lower": log_z - 0.3, "log_z_upper": log_z + 0.3,
                        "ess": 30.0, "chains": CHAINS, "temperatures": 1000}.items():
        group[name] = value


def write_model(path):
    random = numpy.random.default_rng(1)
    weights, reverse = random.normal(3.0, 1.0, (2, CHAINS))
    with h5py.File(path, "w") as file:
        file.attrs["height"], file.attrs["width"] = HEIGHT, WIDTH
        file["parameters/W"] = random.normal(size=(HEIGHT * WIDTH, HIDDEN)).astype("f4")
        file["parameters/b"] = numpy.zeros(HEIGHT * WIDTH, "f4")
        file["samples/visible"] = random.integers(0, 2, (20, HEIGHT * WIDTH)).astype("u1")
        write_estimate(file, "ais", weights, LOG_Z_BASE + log_mean_exp(weights))
        write_estimate(file, "reverse-ais", reverse, LOG_Z_BASE - log_mean_exp(-reverse))
        file["evaluation/exact/log_z"] = 43.0
        return weights, reverse


class PlotRun(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_folder = os.path.join(folder.name, "run")
        self.out = os.path.join(folder.name, "out")
        os.mkdir(self.run_folder)
        self.metrics = os.path.join(self.run_folder, "metrics.h5")
        self.model = os.path.join(self.run_folder, "model.h5")

    def plot(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, self.run_folder, "-o", self.out, *arguments], text=True,
                              capture_output=True)

    def pictures(self):
        return sorted(os.listdir(self.out)) if os.path.isdir(self.out) else []

    def test_draws_all_four(self):
        write_metrics(self.metrics)
        write_model(self.model)
        done = self.plot()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.pictures(), ["ais.png", "curves.png", "filters.png", "samples.png"])
        for name in self.pictures():
            picture = matplotlib.image.imread(os.path.join(self.out, name))
            self.assertGreater(min(picture.shape[:2]), 200, name)
            self.assertGreater(picture[..., :3].std(), 0.02, f"{name} is blank")

    def test_only_draws_what_is_asked(self):
        write_metrics(self.metrics)
        write_model(self.model)
        self.assertEqual(self.plot("--only", "filters,samples").returncode, 0)
        self.assertEqual(self.pictures(), ["filters.png", "samples.png"])

    def test_filters_follow_the_weights(self):
        pictures = []
        for sign in (1, -1):
            write_model(self.model)
            with h5py.File(self.model, "r+") as file:
                file["parameters/W"][...] = sign * file["parameters/W"][...]
            self.assertEqual(self.plot("--only", "filters").returncode, 0)
            pictures.append(matplotlib.image.imread(os.path.join(self.out, "filters.png"))[..., :3])
        self.assertGreater(numpy.abs(pictures[0] - pictures[1]).mean(), 0.02)

    def test_filters_leave_out_label_units(self):
        write_model(self.model)
        self.assertEqual(self.plot("--only", "filters").returncode, 0)
        with open(os.path.join(self.out, "filters.png"), "rb") as file:
            without = file.read()
        with h5py.File(self.model, "r+") as file:
            weights = file["parameters/W"][...]
            del file["parameters/W"]
            file.attrs["visible"] = len(weights)
            file["parameters/W"] = numpy.vstack([weights, 100 * weights[:3]])
            file["parameters/W"].attrs["axes"] = ["visible_and_label", "hidden"]
        self.assertEqual(self.plot("--only", "filters").returncode, 0)
        with open(os.path.join(self.out, "filters.png"), "rb") as file:
            self.assertEqual(file.read(), without)

    def test_reads_metrics_while_they_are_written(self):
        write_metrics(self.metrics)
        with h5py.File(self.metrics, "r+", libver="latest") as writer:
            writer.swmr_mode = True
            done = self.plot("--only", "curves")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_names_what_is_missing(self):
        write_model(self.model)
        with h5py.File(self.model, "r+") as file:
            del file["samples"], file["evaluation"]
        done = self.plot()
        self.assertEqual((done.returncode, self.pictures()), (0, ["filters.png"]))
        for name, reason in {"curves": "metrics.h5 does not exist", "samples": "has no images in /samples",
                             "ais": "no log-weights"}.items():
            line = next(line for line in done.stderr.splitlines() if f"no {name}.png" in line)
            self.assertIn(reason, line)
        self.assertEqual(self.plot("--only", "filters,samples").returncode, 3)

    def assert_refused(self, done, code, reason):
        self.assertEqual(done.returncode, code)
        self.assertIn(reason, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(self.pictures(), [])

    def test_refuses_a_file_that_is_not_hdf5(self):
        with open(self.model, "w") as file:
            file.write("not HDF5")
        self.assert_refused(self.plot(), 3, "cannot be read as HDF5")

    def test_refuses_an_unknown_picture(self):
        self.assert_refused(self.plot("--only", "filter"), 2, "unknown picture 'filter'")

    def test_refuses_weights_that_are_not_images(self):
        write_model(self.model)
        with h5py.File(self.model, "r+") as file:
            del file.attrs["height"]
        self.assert_refused(self.plot("--only", "filters"), 3, "--shape")
        self.assert_refused(self.plot("--only", "filters", "--shape", "5x5"), 3, "24 columns")
        self.assertEqual(self.plot("--only", "filters", "--shape", "4x6").returncode, 0)

    def test_refuses_weights_with_nan(self):
        write_model(self.model)
        with h5py.File(self.model, "r+") as file:
            file["parameters/W"][0, 0] = numpy.nan
        self.assert_refused(self.plot("--only", "filters"), 3, "NaN")


class Parts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sys.path.insert(0, SCRIPTS)  # of the module that tells which packages are missing
        spec = importlib.util.spec_from_file_location("plot_run", SCRIPT)
        cls.script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(cls.script)

    def test_tiles_lie_in_reading_order(self):
        images = numpy.arange(3 * 2 * 2).reshape(3, 2, 2).astype(float)
        sheet = self.script.tile(images, columns=2)
        self.assertEqual(sheet.shape, (5, 5))
        numpy.testing.assert_array_equal(sheet[:2, :2], images[0])
        numpy.testing.assert_array_equal(sheet[:2, 3:], images[1])
        numpy.testing.assert_array_equal(sheet[3:, :2], images[2])
        self.assertTrue(numpy.isnan(sheet[3:, 3:]).all() and numpy.isnan(sheet[2]).all())

    def test_strongest_filters_come_first(self):
        weights = numpy.array([[1.0, -5.0, 2.0], [0.0, 0.0, 2.0]])
        self.assertEqual(list(self.script.strongest(weights, 2)), [1, 2])
        self.assertEqual(list(self.script.strongest(weights, 3)), [0, 1, 2])

    def test_smoothing_leaves_out_nan(self):
        smooth = self.script.smoothed(numpy.array([1.0, numpy.nan, 3.0, 3.0]), 3)
        numpy.testing.assert_allclose(smooth, [1.0, 2.0, 3.0, 3.0])

    def test_chain_estimates_are_of_log_z_in_both_directions(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.h5")
            weights, reverse = write_model(path)
            with h5py.File(path, "r") as file:
                chains = {method: values for method, _, values in self.script.read_estimates(file)}
                self.assertEqual(self.script.exact_log_z(file), 43.0)
        numpy.testing.assert_allclose(chains["ais"], LOG_Z_BASE + weights, rtol=0, atol=1e-9)
        numpy.testing.assert_allclose(chains["reverse-ais"], LOG_Z_BASE + reverse, rtol=0, atol=1e-9)

    def model(self, change):
        """A model in memory, changed."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "model.h5")
        write_model(path)
        file = h5py.File(path, "r+")
        self.addCleanup(file.close)
        change(file)
        return file

    def test_the_bracket_and_the_verdict_are_those_of_evaluate(self):
        """The larger start may be one that evaluate does not count, as its interval has no end."""
        def change(file):
            write_estimate(file, "ais_uniform", numpy.array([0.0, 50.0]), 99.0)
            write_estimate(file, "reverse_ais", numpy.zeros(4), 45.0)
            file["evaluation/reverse_ais"].attrs["verdict"] = "bracket of so many nats: trustworthy"
            file["evaluation/reverse_ais"].attrs["bracket_forward"] = "ais"
        file = self.model(change)
        low = file["evaluation/ais/log_z"][()]
        stored = self.script.stored_verdict(file)
        self.assertEqual(stored, ("ais", low, "reverse_ais", 45.0, "bracket of so many nats: trustworthy"))
        heading = self.script.headline(stored, None)
        self.assertIn(f"ais (low on average) {low:.2f}, reverse_ais (high on average) 45.00, gap {45 - low:.2f}", heading)
        self.assertIn("verdict: bracket of so many nats: trustworthy", heading)
        self.assertNotIn("99", heading)
        del file["evaluation/reverse_ais"].attrs["bracket_forward"]
        self.assertEqual(self.script.stored_verdict(file)[:4], (None,) * 4)
        del file["evaluation/reverse_ais"].attrs["verdict"]
        self.assertIn("no verdict is stored", self.script.headline(self.script.stored_verdict(file), None))

    def test_weights_are_log_odds_of_bernoulli_units_alone(self):
        config = "model:\n  family: {}\n  visible_units: {}  # what they are\n"
        for family, units, label in (("rbm", "bernoulli", "weight (log-odds per unit)"), ("dbm", "gaussian", "weight"),
                                     ("rbm", "softmax", "weight"), ("gan", "none", "weight"), ("vae", "none", "weight")):
            def change(file):
                file.attrs["family"], file.attrs["config"] = family, config.format(family, units)
            self.assertEqual(self.script.weight_label(self.model(change)), label, (family, units))

    def test_filters_are_of_visible_units(self):
        def change(file):
            del file["parameters/W"]
            file.attrs["visible"] = HEIGHT * WIDTH
            file["parameters/a_generator"] = numpy.zeros((3, HEIGHT * WIDTH))
            file["parameters/discriminator"] = numpy.zeros((HEIGHT * WIDTH, 5))
        self.assertEqual(self.script.first_weights(self.model(change)).name, "/parameters/discriminator")

    def test_samples_are_shown_in_the_units_of_the_data(self):
        options = types.SimpleNamespace(shape=None)
        white = numpy.linspace(-2, 2, 2 * HEIGHT * WIDTH).reshape(2, -1)
        scale = numpy.r_[0, numpy.full(HEIGHT * WIDTH - 1, 4.0)]

        def change(file):
            del file["samples/visible"]
            file["samples/grid"], file["samples/grid_latent"] = white, numpy.zeros((2, 2))
        sheets, whitened = self.script.read_sheets(self.model(change), options)
        self.assertEqual(([name for name, _, _ in sheets], whitened), (["grid"], False))
        self.assertEqual(self.script.grey_range(sheets[0][2], whitened), (-2, 2))

        def whiten(file):
            change(file)
            file["samples/grid_data"] = white
            file["preprocessing/mean"], file["preprocessing/scale"] = numpy.full(HEIGHT * WIDTH, 0.5), scale
        sheets, whitened = self.script.read_sheets(self.model(whiten), options)
        self.assertEqual(([name for name, _, _ in sheets], whitened), (["grid"], True))
        expected = 0.5 + numpy.where(scale > 0, white / 4, 0)
        numpy.testing.assert_allclose(sheets[0][2].reshape(2, -1), expected)
        self.assertEqual(self.script.grey_range(sheets[0][2], whitened), (0, 1))
        self.assertEqual(self.script.grey_range(sheets[0][2] - 0.25, whitened), (expected.min() - 0.25, 1))

    def test_lines_end_with_their_stage(self):
        parts = self.script.stage_parts(numpy.array([1.0, 1, 1, 2, 2, 3]), 6)
        self.assertEqual(parts, [slice(0, 3), slice(3, 5), slice(5, 6)])
        self.assertEqual(self.script.stage_parts(None, 6), [slice(0, 6)])

    def test_constants_are_told_and_not_drawn(self):
        curves = [("error", "", "", numpy.array([1.0, 2.0])), ("learning_rate", "", "", numpy.array([0.1, 0.1])),
                  ("stage", "", "", numpy.array([1.0, 2.0])), ("lost", "", "", numpy.full(2, numpy.nan))]
        changing, told = self.script.split_constants(curves)
        self.assertEqual([curve[0] for curve in changing], ["error", "lost"])
        self.assertEqual(told, "constant: learning rate 0.1")
        changing, told = self.script.split_constants(curves[1:3])
        self.assertEqual(([curve[0] for curve in changing], told), (["learning_rate"], ""))


if __name__ == "__main__":
    unittest.main()
