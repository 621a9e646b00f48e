"""Damage to models, data and metrics is found before anything is computed with them, also where HDF5 does not notice it or
never returns from it."""
import os
import shutil

import h5py

from faults import Case, main
from harmonium import messages, run, said

ZEROS = 512


class DamagedFiles(Case):
    def setUp(self):
        super().setUp()
        self.data = self.digits(rows=200, test_rows=50)
        self.run = self.path("run")
        self.settings = self.config(self.data, model="hidden: 5", train="epochs: 1, batch: 40")
        self.succeed("train", self.settings, "-o", self.run, "--quiet")
        self.model = os.path.join(self.run, "model.h5")

    def zero(self, path, begin, size):
        with open(path, "r+b") as file:
            file.seek(begin)
            file.write(bytes(size))

    def zero_dataset(self, path, name):
        """The stored bytes of the first chunk, with its checksum, as a disk or a copy that lost a block leaves them."""
        with h5py.File(path) as file:
            chunk = file[name].id.get_chunk_info(0)
        self.zero(path, chunk.byte_offset, chunk.size)

    def test_zeros_that_their_checksum_agrees_with(self):
        self.zero_dataset(self.model, "parameters/c")
        with h5py.File(self.model) as file:
            self.assertFalse(file["parameters/c"][...].any(), "HDF5 does not notice")
        for command in (("evaluate", self.run, "--method", "exact"), ("sample", self.run, "-n", 4)):
            self.refuse(3, ["model.h5", "does not have its digest"], *command)
        self.assertEqual(run("info", self.model).returncode, 3)

    def test_zeros_among_the_rows(self):
        self.zero_dataset(self.data, "train/x")
        self.refuse(3, ["digits.h5", "rows 0 to", "/train/x are damaged"], "train", self.settings, "-o", self.path("other"))

    def test_zeros_among_the_metrics(self):
        metrics = os.path.join(self.run, "metrics.h5")
        self.zero_dataset(metrics, "metrics/seconds")
        self.assertEqual(run("info", metrics).returncode, 3)

    def test_files_that_hdf5_does_not_return_from(self):
        """Zeros in the heap of texts: h5dump never ends on such a file."""
        for path in (self.model, self.data):
            with open(path, "rb") as file:
                heap = file.read().index(b"GCOL")
            shutil.copy(path, path + ".sound")
            self.zero(path, heap + ZEROS, 10 * ZEROS)
        for ranks, command in ((0, ("info", self.model)), (2, ("evaluate", self.run)), (0, ("train", self.settings, "-o", self.path("other")))):
            process = run(*command, ranks=ranks)
            self.assertEqual(process.returncode, 3, said(process))
            self.assertIn("damaged", " ".join(messages(process)))
            self.assertLessEqual(len(messages(process)), 1, said(process))


if __name__ == "__main__":
    main()
