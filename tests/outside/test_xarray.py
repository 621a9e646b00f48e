"""xarray opens data, models and metrics as labelled arrays with named dimensions."""
import importlib.util

import h5py
import numpy

from outside import Outside, main

# Group by group: its dimensions, and one variable with its own.
GROUPS = (("data.h5", "/train", {"row": 300, "visible": 784}, "x", ("row", "visible")),
          ("data.h5", "/test", {"row": 100, "visible": 784}, "y", ("row",)),
          ("run/model.h5", "/parameters", {"visible": 784, "hidden": 20}, "W", ("visible", "hidden")),
          ("run/model.h5", "/evaluation/ais", {"temperature": 100, "chain": 20}, "log_weights", ("chain",)),
          ("run/model.h5", "/samples", {"sample": 9, "visible": 784}, "gibbs", ("sample", "visible")),
          ("run/metrics.h5", "/metrics", {"step": 9}, "weight_norm", ("step",)))


class Xarray(Outside):
    def setUp(self):
        missing = [name for name in ("xarray", "h5netcdf") if not importlib.util.find_spec(name)]
        if missing:
            self.skipTest(f"python3-{missing[0]} is not installed")
        super().setUp()

    def test_dimensions_have_names(self):
        import xarray
        for file, group, sizes, variable, dims in GROUPS:
            with xarray.open_dataset(self.path(file), group=group, engine="h5netcdf") as dataset:
                self.assertEqual(dict(dataset.sizes), sizes, (file, group))
                self.assertEqual(dataset[variable].dims, dims, (file, group))
                with h5py.File(self.path(file)) as plain:
                    numpy.testing.assert_array_equal(dataset[variable].values, plain[group][variable][...])

    def test_metrics_are_indexed_by_step(self):
        import xarray
        with xarray.open_dataset(self.path("run/metrics.h5"), group="metrics", engine="h5netcdf") as metrics:
            self.assertEqual(list(metrics.coords), ["step"])
            self.assertEqual(metrics.weight_norm.sel(step=25).item(), metrics.weight_norm[4].item())
            self.assertEqual(metrics.pseudo_log_likelihood.attrs["units"], "nats")

    def test_samples_of_several_sizes_live_together(self):
        import xarray
        for count, name in ((4, "gibbs"), (25, "more"), (16, "gibbs"), (25, "gibbs")):
            self.succeed("sample", self.path("run"), "-n", count, "--name", name)
        with xarray.open_dataset(self.path("run/model.h5"), group="samples", engine="h5netcdf") as samples:
            self.assertEqual(samples.gibbs.shape, (25, 784))
            self.assertEqual(samples.gibbs.dims, samples.gibbs_mean.dims)
            self.assertEqual(set(samples.sizes.values()), {25, 784})


if __name__ == "__main__":
    main()
