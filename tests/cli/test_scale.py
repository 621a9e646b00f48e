"""What an element of the data stands for: bytes of 0 and 1 are 0 and 1 on every way in, grey values are told."""
import struct

import h5py
import numpy

from harmonium import Case, main, messages, parameters

TRUTHS = numpy.random.default_rng(7).integers(0, 2, (40, 6)).astype("uint8")
GREYS = numpy.random.default_rng(8).integers(0, 256, (40, 6)).astype("uint8")


class Scale(Case):
    def npy(self, name, array):
        numpy.save(self.path(name), array)
        return self.path(name)

    def idx(self, name, array):
        return self.write(name, struct.pack(">BBBB2I", 0, 0, 8, 2, *array.shape) + array.tobytes())

    def by_hand(self, version, array, **attributes):
        """A data file that h5py wrote."""
        with h5py.File(self.path("hand.h5"), "w") as file:
            file.attrs.update(format="harmonium-data", format_version=version)
            x = file.create_dataset("train/x", data=array)
            x.attrs.update(attributes)
        return self.path("hand.h5")

    def trained(self, data, binarize="none", name="run"):
        """The folder of an RBM that stays at its start: its visible base rates are those of the data."""
        config = self.write("c.yaml", f"data: {{file: {data}, binarize: {binarize}}}\nmodel: {{family: rbm, hidden: 3}}\n"
                                      "train: {epochs: 1, batch: 40, learning_rate: 0.001}\n")
        return self.path(name), self.succeed("train", config, "-o", self.path(name), "--overwrite")

    def assert_truths(self, data):
        run, _ = self.trained(data)
        numpy.testing.assert_allclose(parameters(run)["base_rate"], TRUTHS.mean(0), rtol=0, atol=0.05)
        report = self.report("evaluate", run, "--method", "exact")
        self.assertNotIn("log_prob_is_expectation", report)

    def test_bytes_of_0_and_1_are_0_and_1_on_every_way_in(self):
        ways = {"npy": ("npy", self.npy("a.npy", TRUTHS)), "bool": ("npy", self.npy("b.npy", TRUTHS.astype(bool))),
                "idx": ("idx", self.idx("a.idx", TRUTHS))}
        for way, (kind, path) in ways.items():
            with self.subTest(way):
                report = self.report("import", kind, path, "-o", self.path(f"{way}.h5"))
                self.assertEqual((report["scale"], report["max"]), (1, 1))
                self.assert_truths(self.path(f"{way}.h5"))
        with self.subTest("by hand, with the attribute"):
            self.assert_truths(self.by_hand(2, TRUTHS, scale=1.0))

    def test_the_likelihood_of_bytes_is_that_of_the_same_floats(self):
        likelihoods = []
        for array in (TRUTHS, TRUTHS.astype("float32")):
            data = self.path(f"{array.dtype}.h5")
            self.succeed("import", "npy", self.npy("a.npy", array), "-o", data)
            run, _ = self.trained(data)
            likelihoods.append(self.report("evaluate", run, "--method", "exact")["exact"]["train_log_prob"])
        self.assertEqual(*likelihoods)

    def test_a_file_by_hand_says_what_a_byte_stands_for(self):
        config = ["train", self.write("c.yaml", f"data: {{file: {self.path('hand.h5')}, binarize: threshold}}\n"
                                                "model: {family: rbm, hidden: 3}\ntrain: {epochs: 1}\n"), "-o", self.path("r")]
        self.by_hand(1, TRUTHS)
        self.refuse(3, ["hand.h5", "bytes of 0 and 1 without the attribute scale", "1.0"], *config)
        self.by_hand(2, GREYS)
        self.refuse(3, ["hand.h5", "without the attribute scale"], *config)
        self.by_hand(2, GREYS, scale=-1.0)
        self.refuse(3, ["attribute scale is -1", "positive"], *config)
        self.by_hand(1, GREYS)
        self.succeed(*config, "--set", "train.batch=40")
        numpy.testing.assert_allclose(parameters(self.path("r"))["base_rate"], (GREYS >= 127.5).mean(0), atol=0.05)

    def test_the_scale_can_be_given(self):
        for name, given, largest in (("a.h5", "1/255", GREYS.max() / 255), ("b.h5", "0.5", GREYS.max() / 2), ("c.h5", "1", GREYS.max())):
            report = self.report("import", "npy", self.npy("g.npy", GREYS), "--scale", given, "-o", self.path(name))
            self.assertAlmostEqual(report["max"], largest)
        for given in ("0", "-1", "1/0", "nan", "big"):
            self.refuse(2, ["--scale", given], "import", "npy", self.path("g.npy"), "--scale", given, "-o", self.path("e.h5"))

    def test_dark_bytes_are_told(self):
        dark = self.npy("dark.npy", GREYS // 8)
        self.assertIn("--scale", said(self.succeed("import", "npy", dark, "-o", self.path("d.h5"))))
        self.assertEqual(messages(self.succeed("import", "npy", dark, "--scale", "1/31", "-o", self.path("e.h5"))), [])

    def test_0_to_255_as_floats_are_the_same_data_or_refused(self):
        self.succeed("import", "npy", self.npy("b.npy", GREYS), "-o", self.path("bytes.h5"))
        self.succeed("import", "npy", self.npy("f.npy", GREYS.astype("float32")), "-o", self.path("floats.h5"))
        self.succeed("import", "npy", self.path("f.npy"), "--scale", "1/255", "-o", self.path("scaled.h5"))
        config = self.config(self.path("floats.h5"), model="hidden: 3", train="epochs: 1, batch: 40")
        self.refuse(3, ["--scale 1/255"], "train", config, "-o", self.path("r"))
        rates = [parameters(self.trained(self.path(f"{name}.h5"), "threshold")[0])["base_rate"] for name in ("bytes", "scaled")]
        numpy.testing.assert_array_equal(*rates)

    def test_grey_values_of_a_binary_model_are_told(self):
        self.succeed("import", "npy", self.npy("g.npy", GREYS), "-o", self.path("d.h5"))
        run, process = self.trained(self.path("d.h5"))
        self.assertIn("data.binarize", said(process))
        for ranks in (0, 2):
            report = self.report("evaluate", run, ranks=ranks)
            self.assertIn("do not quote; train with data.binarize", report["bracket"]["verdict"])
            self.assertIn("log_prob_is_expectation", report)
        self.assertIn("log_prob_is_expectation", self.succeed("info", run).stdout)
        _, process = self.trained(self.path("d.h5"), "threshold")
        self.assertNotIn("data.binarize", said(process))


def said(process):
    return process.stdout + process.stderr


if __name__ == "__main__":
    main()
