"""Every file that Harmonium writes, read by the tools of others: shared by the tests of this folder."""
import os
import shutil
import subprocess
import sys

import h5py
import numpy

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
from harmonium import *  # noqa: E402,F401,F403
from harmonium import Case, main, run  # noqa: E402,F401

FILES = ("data.h5", "run/model.h5", "run/metrics.h5", "run/checkpoint.h5")


def is_bare_scale(dataset):
    """A dimension without coordinates, as netCDF-4 writes it."""
    return dataset.attrs.get("NAME", b"").startswith(b"This is a netCDF dimension but not a netCDF variable.")


def datasets(path):
    """Path and h5py's values of every dataset of a file, but for those that only name a dimension."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not is_bare_scale(item):
            found["/" + name] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


class Outside(Case):
    """A trained, evaluated and sampled run, and the tool that reads it."""

    tool = None  # a program that must be there

    def setUp(self):
        super().setUp()
        if self.tool and not shutil.which(self.tool):
            self.skipTest(f"{self.tool} is not installed")
        self.succeed("import", "synth", "--kind", "digits", "--rows", "300", "--test-rows", "100", "-o",
                     self.path("data.h5"))
        config = self.write("run.yaml", f"""
model: {{family: rbm, hidden: 20}}
data: {{file: {self.path("data.h5")}}}
train: {{epochs: 3, batch: 20, monitor_every: 5, estimator: pcd, chains: 24, momentum: 0.5}}
ais: {{temperatures: 100, chains: 20}}
""")
        self.succeed("train", config, "-o", self.path("run"))
        self.succeed("evaluate", self.path("run"))
        self.succeed("sample", self.path("run"), "-n", "9")

    def all_datasets(self):
        """(file, path, values) of everything that was written; the tests are worthless if it is not."""
        everything = [(file, name, values) for file in FILES for name, values in datasets(self.path(file)).items()]
        self.assertGreater(len(everything), 80)
        return everything

    def call(self, *command, **options):
        """The tool's output."""
        process = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=self.folder, timeout=400,
                                 **options)
        self.assertEqual(process.returncode, 0, process.stderr)
        return process.stdout

    def check_table(self, table):
        """A tool's lines "FILE PATH COUNT SUM LAST" against what h5py reads; HDF5's order of axes is row-major, so that a
        column-major tool that keeps the bytes in order has the same last element."""
        lines = {tuple(line.split()[:2]): line.split()[2:] for line in table.splitlines()}
        for file, name, values in self.all_datasets():
            values = numpy.asarray(values, dtype=numpy.float64)
            count, total, last = map(float, lines[file, name])
            self.assertEqual(count, values.size, (file, name))
            numpy.testing.assert_allclose(total, values.sum(), rtol=1e-9, atol=1e-9, err_msg=f"{file} {name}")
            numpy.testing.assert_array_equal(last, values.reshape(-1)[-1], f"{file} {name}")
