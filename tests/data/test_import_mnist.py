"""harmonium import mnist: the real files, pixel for pixel as Python's gzip reads them."""
import gzip
import os
import sys
import unittest
import zlib

if "HARMONIUM_DATA" not in os.environ:
    print("skipped: HARMONIUM_DATA is not set")
    sys.exit(77)
sys.path.insert(0, os.path.join(os.environ.get("HARMONIUM_SOURCE", "."), "tests", "cli"))

import h5py  # noqa: E402
import numpy  # noqa: E402

from harmonium import Case  # noqa: E402

MNIST = os.path.join(os.environ["HARMONIUM_DATA"], "mnist")
SPLITS = {"train": ("train", 60000, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
          "test": ("t10k", 10000, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])}


def elements(name, header):
    with gzip.open(os.path.join(MNIST, name + ".gz")) as file:
        return file.read()[header:]


class ImportMnist(Case):
    def check(self, path):
        with h5py.File(path) as file:
            for split, (prefix, rows, counts) in SPLITS.items():
                x, y = file[split]["x"], file[split]["y"]
                self.assertEqual((x.shape, x.dtype, y.shape), ((rows, 784), "uint8", (rows,)))
                self.assertEqual((x.attrs["height"], x.attrs["width"]), (28, 28))
                pixels = elements(prefix + "-images-idx3-ubyte", 16)
                self.assertEqual(zlib.crc32(x[...].tobytes()), zlib.crc32(pixels))
                self.assertEqual(int(x[...].sum(dtype=numpy.int64)), sum(pixels))
                self.assertEqual(y[...].astype(numpy.uint8).tobytes(), elements(prefix + "-labels-idx1-ubyte", 8))
                self.assertEqual(list(numpy.bincount(y[...])), counts)

    def test_gzip_files(self):
        self.succeed("import", "mnist", MNIST, "-o", self.path("mnist.h5"), ranks=2)
        self.check(self.path("mnist.h5"))
        self.no_leftovers("mnist.h5")

    def test_plain_files(self):
        plain = self.path("plain")
        os.mkdir(plain)
        for prefix, _, _ in SPLITS.values():
            for kind in ("-images-idx3-ubyte", "-labels-idx1-ubyte"):
                with open(os.path.join(plain, prefix + kind), "wb") as file:
                    file.write(elements(prefix + kind, 0))
        self.succeed("import", "mnist", plain, "-o", self.path("mnist.h5"))
        self.check(self.path("mnist.h5"))
        os.remove(os.path.join(plain, "t10k-labels-idx1-ubyte"))
        self.refuse(3, "t10k-labels-idx1-ubyte", "import", "mnist", plain, "-o", self.path("other.h5"))
        self.no_leftovers("mnist.h5", "plain")


if __name__ == "__main__":
    unittest.main()
