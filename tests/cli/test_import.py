"""harmonium import: data files as promised, test sets, options of each kind, and memory that does not grow with the data."""
import gzip
import os
import struct
import subprocess
import unittest

import h5py
import numpy

from harmonium import PROGRAM, Case


class DataFiles(Case):
    def test_a_data_file_explains_itself(self):
        report = self.report("import", "synth", "--kind", "digits", "--rows", 300, "--test-rows", 20, "-o", self.path("d.h5"))
        self.assertEqual((report["train_rows"], report["test_rows"], report["columns"], report["labels"]), (300, 20, 784, "yes"))
        self.no_leftovers("d.h5")
        with h5py.File(self.path("d.h5")) as file:
            self.assertEqual(file.attrs["format"], "harmonium-data")
            self.assertEqual(file.attrs["format_version"], 2)
            self.assertRegex(file.attrs["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            for name, rows in (("train", 300), ("test", 20)):
                x, y = file[name]["x"], file[name]["y"]
                self.assertEqual((x.shape, x.dtype, y.shape, y.dtype), ((rows, 784), "uint8", (rows,), "int32"))
                self.assertEqual(list(x.attrs["axes"]), ["row", "visible"])
                self.assertEqual((x.attrs["height"], x.attrs["width"], x.attrs["min"], x.attrs["max"]), (28, 28, 0, 1))
                self.assertAlmostEqual(x.attrs["scale"], 1 / 255)
                self.assertIn("scale", x.attrs["description"])
                self.assertTrue(x.fletcher32 and y.fletcher32 and y.attrs["description"])
                self.assertEqual(x.chunks[1], 784, "chunks are of whole rows")

    def test_every_rank_count_writes_the_same(self):
        for ranks in (0, 2):
            self.succeed("import", "synth", "--kind", "digits", "--rows", 50, "-o", self.path(f"{ranks}.h5"), ranks=ranks)
        with h5py.File(self.path("0.h5")) as alone, h5py.File(self.path("2.h5")) as both:
            for name in ("train/x", "train/y", "test/x", "test/y"):
                numpy.testing.assert_array_equal(alone[name][...], both[name][...])

    def test_all_bars_and_stripes(self):
        self.succeed("import", "synth", "--kind", "bars-and-stripes", "--rows", 0, "--test-rows", 0, "-o", self.path("b.h5"))
        with h5py.File(self.path("b.h5")) as file:
            x = file["train/x"][...]
            self.assertNotIn("test", file)
        self.assertEqual(x.shape, (32, 16))
        self.assertEqual(len(numpy.unique(x, axis=0)), 30)

    def test_what_pandas_writes_is_told_from_data(self):
        def imported(text, *options):
            report = self.report("import", "csv", self.write("p.csv", text), "-o", self.path("p.h5"), *options)
            with h5py.File(self.path("p.h5")) as file:
                return report["header"], report.get("index_column"), file["train/x"][...].tolist()

        self.assertEqual(imported("0,1,2\n4,5,6\n7,8,9\n"), ("header", None, [[4, 5, 6], [7, 8, 9]]))
        self.assertEqual(imported("0,1,2\n4,5,6\n", "--header", "no"), ("data", None, [[0, 1, 2], [4, 5, 6]]))
        self.assertEqual(imported(",a,b\n0,4,5\n1,7,8\n"), ("header", 0, [[4, 5], [7, 8]]))
        self.assertEqual(imported("a,b,id\n4,5,x\n", "--index-column", "id"), ("header", 2, [[4, 5]]))
        whole = imported(",a\n" + "".join(f"{row},{row + 5}\n" for row in range(10)), "--test-fraction", "0.5")
        self.assertEqual((whole[:2], len(whole[2])), (("header", 0), 5))
        self.refuse(3, "--index-column none", "import", "csv", self.write("c.csv", "1,4\n2,6\n3,9\n"), "-o",
                    self.path("p.h5"))
        self.refuse(3, "only missing values", "import", "csv", self.write("m.csv", "NA,NA\n1,0\n"), "-o",
                    self.path("p.h5"))

    def test_a_failure_leaves_the_old_file(self):
        self.succeed("import", "synth", "--kind", "digits", "--rows", 20, "-o", self.path("d.h5"))
        before = self.bytes_of(self.path("d.h5"))
        bad = self.write("bad.csv", "1,2\n3\n")
        self.refuse(3, "bad.csv:2", "import", "csv", bad, "-o", self.path("d.h5"))
        self.assertEqual(self.bytes_of(self.path("d.h5")), before)
        self.refuse(4, "Not a directory", "import", "synth", "--kind", "digits", "-o", self.path("bad.csv/d.h5"))
        self.no_leftovers("bad.csv", "d.h5")

    def test_a_full_disk_leaves_the_old_file(self):
        disk = self.small_disk(1000)
        synth, out = ("import", "synth", "--kind", "digits", "--test-rows", 0, "--rows"), os.path.join(disk, "d.h5")
        self.succeed(*synth, 20, "-o", out)
        before = self.bytes_of(out)
        for ranks in (0, 2):
            self.refuse(4, ["d.h5", "No space left"], *synth, 2000, "-o", out, ranks=ranks)
            self.assertEqual(os.listdir(disk), ["d.h5"])
        self.assertEqual(self.bytes_of(out), before)

    def bytes_of(self, path):
        with open(path, "rb") as file:
            return file.read()


class TestSets(Case):
    def setUp(self):
        super().setUp()
        self.rows = numpy.arange(2000, dtype=numpy.float32).reshape(500, 4)
        numpy.save(self.path("x.npy"), self.rows)
        numpy.save(self.path("y.npy"), numpy.arange(500))
        numpy.savetxt(self.path("x.csv"), numpy.c_[self.rows, numpy.arange(500)], delimiter=",", fmt="%g")
        pixels = (self.rows % 256).astype(numpy.uint8).tobytes()
        with gzip.open(self.path("x.gz"), "wb") as file:
            file.write(struct.pack(">IIII", 0x803, 500, 2, 2) + pixels)

    def split(self, *arguments):
        self.succeed("import", *arguments, "-o", self.path("out.h5"))
        with h5py.File(self.path("out.h5")) as file:
            return [(file[name]["x"][...], file[name]["y"][...] if "y" in file[name] else None) for name in ("train", "test")]

    def test_a_fraction_is_drawn_for_the_test(self):
        by_seed = []
        for seed in (1, 1, 2):
            (train, train_y), (test, test_y) = self.split("npy", self.path("x.npy"), "--labels", self.path("y.npy"),
                                                          "--test-fraction", 0.2, "--seed", seed)
            self.assertEqual((train.shape, test.shape), ((400, 4), (100, 4)))
            numpy.testing.assert_array_equal(train, self.rows[train_y])
            numpy.testing.assert_array_equal(test, self.rows[test_y])
            self.assertEqual(sorted([*train_y, *test_y]), list(range(500)))
            self.assertGreater(numpy.ptp(test_y), 400, "not one end of the file")
            by_seed.append(list(test_y))
        self.assertEqual(by_seed[0], by_seed[1])
        self.assertNotEqual(by_seed[0], by_seed[2])

    def test_every_format_draws_the_same_rows(self):
        (npy, _), (npy_test, _) = self.split("npy", self.path("x.npy"), "--test-fraction", 0.3)
        (csv, _), (csv_test, labels) = self.split("csv", self.path("x.csv"), "--label-column", 4, "--test-fraction", 0.3)
        (idx, _), (idx_test, _) = self.split("idx", self.path("x.gz"), "--test-fraction", 0.3)
        numpy.testing.assert_array_equal(npy, csv)
        numpy.testing.assert_array_equal(npy_test, csv_test)
        numpy.testing.assert_array_equal(csv_test, self.rows[labels])
        numpy.testing.assert_array_equal(npy % 256, idx)
        numpy.testing.assert_array_equal(npy_test % 256, idx_test)

    def test_a_file_of_its_own(self):
        (train, _), (test, test_y) = self.split("npy", self.path("x.npy"), "--test", self.path("x.npy"), "--test-labels",
                                                self.path("y.npy"))
        numpy.testing.assert_array_equal(train, test)
        numpy.testing.assert_array_equal(test_y, range(500))
        numpy.save(self.path("wide.npy"), numpy.ones((5, 3), numpy.float32))
        self.refuse(3, "must be alike", "import", "npy", self.path("x.npy"), "--test", self.path("wide.npy"), "-o",
                    self.path("new.h5"))

    def test_options_that_make_no_sense_are_refused(self):
        npy, out = ("import", "npy", self.path("x.npy")), ("-o", self.path("new.h5"))
        for fraction in ("0", "1", "-0.1", "half", "nan"):
            self.refuse(2, ["--test-fraction", fraction], *npy, "--test-fraction", fraction, *out)
        self.refuse(2, "no rows for one of the sets", *npy, "--test-fraction", "0.0001", *out)
        self.refuse(2, "give one", *npy, "--test-fraction", "0.5", "--test", self.path("x.npy"), *out)
        self.refuse(2, "--test-labels needs", *npy, "--test-labels", self.path("y.npy"), *out)
        self.refuse(2, ["import npy takes no --header", "--labels"], *npy, "--header", "no", *out)
        self.refuse(2, "import csv takes no --labels", "import", "csv", self.path("x.csv"), "--labels", "y", *out)
        self.refuse(2, "import mnist takes no --seed", "import", "mnist", self.folder, "--seed", 3, *out)
        self.refuse(2, "always 28 x 28", "import", "synth", "--kind", "digits", "--size", 5, *out)
        self.refuse(2, "--header: 'maybe'", "import", "csv", self.path("x.csv"), "--header", "maybe", *out)
        self.refuse(2, "--scale: 'inf'", "import", "csv", self.path("x.csv"), "--scale", "inf", *out)
        self.refuse(2, "-o FILE.h5", *npy)
        self.refuse(2, "takes one argument", "import", "npy", *out)
        self.assertNotIn("new.h5", os.listdir(self.folder))


class Memory(Case):
    """Peak memory of an import does not grow with the file. (What is measured is never below this process's own memory,
    from which the program's starts: the files are written row by row.)"""

    def peak(self, *arguments):
        process = subprocess.Popen([PROGRAM, *map(str, arguments), "-o", self.path("out.h5"), "--quiet"])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss / 1024  # MiB

    def test_large_files_stream(self):
        limit = 24  # MiB more than for a small file; each large one is 96 MiB
        def npy(name, rows):
            with open(self.path(name), "wb") as file:
                numpy.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, 1024)})
                for _ in range(rows):
                    file.write(numpy.full(1024, 0.5, numpy.float32).tobytes())
            return self.path(name)

        def idx(name, rows):
            with gzip.open(self.path(name), "wb", 1) as file:
                file.write(struct.pack(">IIII", 0x803, rows, 32, 32))
                for _ in range(rows):
                    file.write(bytes(range(256)) * 4)
            return self.path(name)

        def csv(name, rows):
            with open(self.path(name), "w") as file:
                for row in range(rows):
                    file.write(",".join([f"0.{row % 1000:03}"] * 400) + "\n")
            return self.path(name)

        for kind, make, few, many in (("npy", npy, 100, 24 << 10), ("idx", idx, 100, 96 << 10), ("csv", csv, 100, 40 << 10)):
            small = self.peak("import", kind, make("small", few))
            large = self.peak("import", kind, make("large", many))
            split = self.peak("import", kind, self.path("large"), "--test-fraction", 0.5)
            print(f"{kind}: {small:.0f} MiB for few rows, {large:.0f} for many, {split:.0f} with a split; allowed {limit} more")
            self.assertLess(large, small + limit)
            self.assertLess(split, small + limit)


if __name__ == "__main__":
    unittest.main()
