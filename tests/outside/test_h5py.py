"""h5py reads what the program itself reports, and finds description, axes and units on every dataset."""
import json

import h5py
import numpy

from outside import FILES, Outside, datasets, is_bare_scale, main, run


class H5py(Outside):
    def test_the_numbers_are_those_that_the_program_reports(self):
        report = json.loads(run("evaluate", self.path("run"), "--json").stdout)
        with h5py.File(self.path("run/model.h5")) as model, h5py.File(self.path("run/metrics.h5")) as metrics:
            self.assertEqual(set(model["evaluation"]), {"exact", "ais", "ais_uniform", "reverse_ais", "raise",
                                                              "free_energy"})
            for method, results in model["evaluation"].items():
                for name in set(results) & set(report.get(method, ())) - {"seconds"}:
                    value = report[method][name]
                    if value is not None:  # JSON has no NaN
                        self.assertEqual(results[name][()], value, (method, name))
            weights = model["parameters/W"][...].astype(numpy.float64)
            last = metrics["metrics/weight_norm"][-1]
            self.assertEqual(weights.shape, (784, 20))
            self.assertAlmostEqual(numpy.sqrt((weights ** 2).mean()), last, delta=1e-6 * last)

    def test_every_dataset_explains_itself(self):
        """A description, and for each axis a name: in attribute `axes` and, but for checkpoints, as a dimension scale."""
        for name in FILES:
            with h5py.File(self.path(name)) as file:
                for path in datasets(self.path(name)):
                    dataset = file[path]
                    self.assertTrue(dataset.attrs["description"], (name, path))
                    if dataset.ndim:
                        self.assertEqual(len(dataset.attrs["axes"]), dataset.ndim, (name, path))
                    for axis in range(dataset.ndim if "checkpoint" not in name and path != "/metrics/step" else 0):
                        scale = dataset.dims[axis][0]
                        self.assertEqual(len(scale), dataset.shape[axis], (name, path))
                        self.assertTrue(is_bare_scale(scale) or scale.name == "/metrics/step", (name, path))

    def test_checkpointed_chains_are_bits(self):
        with h5py.File(self.path("run/checkpoint.h5")) as file:
            chains = file["chains"]
            bits = numpy.unpackbits(chains[...], axis=1, bitorder="little")[:, :chains.attrs["columns"]]
            self.assertEqual(bits.shape[0], 24)
            self.assertTrue(0 < bits.mean() < 1)


if __name__ == "__main__":
    main()
