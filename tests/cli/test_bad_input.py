"""Bad input: one clear line, the right exit code, nothing left behind - alone and on two ranks."""
import gzip
import os
import struct
import unittest

import h5py
import numpy

from harmonium import Case, edited


def idx(images, magic=0x00000803):
    n, h, w = images.shape
    return struct.pack(">IIII", magic, n, h, w) + images.tobytes()


class BadImports(Case):
    def refuse_import(self, code, words, *arguments):
        before = sorted(os.listdir(self.folder))
        self.refuse(code, words, "import", *arguments, "-o", self.path("out.h5"))
        if not self.refused_on_two_ranks:
            self.refuse(code, words, "import", *arguments, "-o", self.path("out.h5"), ranks=2)
            self.refused_on_two_ranks = True
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_idx(self):
        images = numpy.arange(5 * 4 * 3, dtype=numpy.uint8).reshape(5, 4, 3)
        good = idx(images)
        labels = self.write("labels", struct.pack(">II", 0x801, 4) + bytes(4))
        self.refuse_import(3, ["nowhere", "No such file"], "idx", self.path("nowhere"))
        self.refuse_import(3, "not an IDX file", "idx", self.write("magic", idx(images, magic=0x00000903)))
        self.refuse_import(3, "bytes short", "idx", self.write("short", good[:-1]))
        self.refuse_import(3, "longer than", "idx", self.write("long", good + b"x"))
        self.refuse_import(3, "gzip", "idx", self.write("cut.gz", gzip.compress(good)[:-12]))
        self.refuse_import(3, ["labels", "4 labels for 5 rows"], "idx", self.write("good", good), "--labels", labels)
        huge = struct.pack(">IIII", 0x803, 0xffffffff, 0xffffffff, 0xffffffff)
        self.refuse_import(3, "overflow", "idx", self.write("huge", huge))
        self.refuse_import(3, "no data", "idx", self.write("empty", struct.pack(">IIII", 0x803, 0, 28, 28)))
        self.refuse_import(3, "train-images-idx3-ubyte", "mnist", self.folder)

    def test_csv(self):
        self.refuse_import(3, ["ragged:3", "has 2 columns, expected 3"], "csv", self.write("ragged", "3,2,3\n4,5,6\n7,8\n"))
        self.refuse_import(3, ["word:2", "'x'", "not a finite decimal number"], "csv", self.write("word", "1,2\n3,x\n"))
        self.refuse_import(3, ["nan:1", "not a finite decimal number"], "csv", "--header", "no", self.write("nan", "nan,2\n"))
        self.refuse_import(3, "no data", "csv", self.write("empty", ""))
        self.refuse_import(3, "no data", "csv", self.write("head", "a,b\n"))
        self.refuse_import(2, "--label-column", "csv", self.write("good", "a,b\n1,2\n"), "--label-column", "c")
        self.refuse_import(3, ["half:2", "not an integer"], "csv", self.write("half", "a,b\n1,2.5\n"), "--label-column", "b")

    def test_npy(self):
        def saved(name, array):
            numpy.save(self.path(name), array)
            return self.path(name)
        self.refuse_import(3, "Fortran", "npy", saved("f.npy", numpy.asfortranarray(numpy.ones((3, 4)))))
        self.refuse_import(3, "<c16", "npy", saved("c.npy", numpy.ones((3, 4), complex)))
        self.refuse_import(3, "2 dimensions", "npy", saved("1.npy", numpy.ones(3)))
        self.refuse_import(3, "no data", "npy", saved("0.npy", numpy.ones((0, 4))))
        self.refuse_import(3, "not an NPY file", "npy", self.write("text.npy", "hello, hello"))
        self.refuse_import(3, ["row 1, column 2", "finite"], "npy",
                           saved("nan.npy", numpy.array([[0, 0, 0], [0, 0, numpy.nan]])))
        with open(saved("cut.npy", numpy.ones((3, 4))), "rb") as file:
            whole = file.read()
        self.refuse_import(3, "its shape says", "npy", self.write("cut.npy", whole[:-5]))

    def test_generators_and_kinds(self):
        self.refuse_import(2, ["'cats'", "digits"], "synth", "--kind", "cats")
        self.refuse_import(2, "at least 1 row", "synth", "--kind", "digits", "--rows", "0")
        self.refuse_import(2, "between 2 and", "synth", "--kind", "bars-and-stripes", "--size", "1")
        self.refuse_import(2, ["'parquet'", "mnist, idx, csv, npy, synth"], "parquet", "x")

    def test_full_disk_and_bad_folder(self):
        for kilobytes in (4, 64, 200):
            folder = self.small_disk(kilobytes)
            self.refuse(4, "cannot be written", "import", "synth", "--kind", "digits", "--rows", 500, "-o",
                        folder + "/out.h5")
            self.assertEqual(os.listdir(folder), [])
        self.refuse(4, "nowhere/out.h5", "import", "synth", "--kind", "digits", "-o", self.path("nowhere/out.h5"))


class GoodImports(Case):
    def rows(self, *arguments):
        self.succeed("import", *arguments, "-o", self.path("out.h5"))
        with h5py.File(self.path("out.h5")) as file:
            return (file["train/x"][...], file["train/y"][...] if "y" in file["train"] else None,
                    dict(file["train/x"].attrs), file["test/x"][...] if "test" in file else None)

    def test_every_format_keeps_its_numbers(self):
        images = numpy.random.default_rng(1).integers(0, 256, (7, 4, 3), dtype=numpy.uint8)
        x, y, attributes, test = self.rows("idx", self.write("i.gz", gzip.compress(idx(images))), "--labels",
                                           self.write("l", struct.pack(">II", 0x801, 7) + bytes(range(7))), "--test",
                                           self.write("t", idx(images[:2])))
        numpy.testing.assert_array_equal(x, images.reshape(7, 12))
        numpy.testing.assert_array_equal(y, range(7))
        numpy.testing.assert_array_equal(test, images[:2].reshape(2, 12))
        self.assertEqual((attributes["height"], attributes["width"]), (4, 3))
        values = numpy.array([[0.25, 1, 0], [1, 0.125, 0.5]])
        x, y, _, _ = self.rows("csv", self.write("a.csv", "p,label,q,r\r\n0.25,3,1,0\r\n\r\n1,-1,0.125,0.5"),
                               "--label-column", "label")
        numpy.testing.assert_array_equal(x, values.astype(numpy.float32))
        numpy.testing.assert_array_equal(y, [3, -1])
        x, _, _, _ = self.rows("csv", self.write("b.csv", "255,0\n0,51\n"), "--scale", 1 / 255)
        numpy.testing.assert_allclose(x, [[1, 0], [0, 0.2]], rtol=1e-6)
        for kind in ("<f4", "<f8", "<i4", "<i8"):
            numpy.save(self.path("a.npy"), (values * 8).astype(kind))
            numpy.save(self.path("l.npy"), numpy.array([5, 6]))
            x, y, _, _ = self.rows("npy", self.path("a.npy"), "--labels", self.path("l.npy"))
            numpy.testing.assert_array_equal(x, (values * 8).astype(kind).astype(numpy.float32))
            numpy.testing.assert_array_equal(y, [5, 6])
        numpy.save(self.path("b.npy"), values > 0.3)
        numpy.testing.assert_array_equal(self.rows("npy", self.path("b.npy"))[0], values > 0.3)

    def test_bars_and_stripes_are_that(self):
        x, _, _, _ = self.rows("synth", "--kind", "bars-and-stripes", "--rows", 300, "--size", 3)
        patterns = set()
        for image in x.reshape(-1, 3, 3):
            self.assertTrue((image == image[0]).all() or (image.T == image.T[0]).all())
            patterns.add(image.tobytes())
        self.assertEqual(len(patterns), 14)  # 2 (2^3) - 2

    def test_digits_are_deterministic(self):
        first = self.rows("synth", "--kind", "digits", "--rows", 50, "--seed", 3)
        again = self.rows("synth", "--kind", "digits", "--rows", 50, "--seed", 3)
        other = self.rows("synth", "--kind", "digits", "--rows", 50, "--seed", 4)
        numpy.testing.assert_array_equal(first[0], again[0])
        self.assertFalse(numpy.array_equal(first[0], other[0]))
        self.assertEqual(set(first[1]), set(range(10)))


class BadRuns(Case):
    def refuse_train(self, code, words, config, *more):
        before = sorted(os.listdir(self.folder))
        self.refuse(code, words, "train", config, "-o", self.path("run"), *more)
        if not self.refused_on_two_ranks:
            self.refuse(code, words, "train", config, "-o", self.path("run"), *more, ranks=2)
            self.refused_on_two_ranks = True
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_data(self):
        def npy(name, array):
            numpy.save(self.path("x.npy"), array)
            self.succeed("import", "npy", self.path("x.npy"), "-o", self.path(name))
            return self.path(name)
        none = "data: {{file: {0}}}\nmodel: {{family: rbm, hidden: 4}}\ntrain: {{epochs: 1, batch: 8}}\n"
        self.refuse_train(3, "nowhere.h5", self.write("c.yaml", none.format(self.path("nowhere.h5"))))
        self.refuse_train(3, "text.h5", self.write("c.yaml", none.format(self.write("text.h5", "not HDF5"))))
        with h5py.File(self.path("other.h5"), "w") as file:
            file["x"] = numpy.ones(3)
        self.refuse_train(3, ["other.h5", "not a Harmonium data file"], self.write("c.yaml", none.format(self.path("other.h5"))))
        big = npy("big.h5", numpy.full((40, 5), 2.0))
        self.refuse_train(3, ["big.h5: train/x row 0, column 0 is 2", "[0, 1]"], self.write("c.yaml", none.format(big)))
        few = npy("few.h5", numpy.ones((7, 5)))
        self.refuse_train(3, "few.h5: the training data has 7 rows, fewer than one batch of 8", self.write("c.yaml", none.format(few)))
        nan = npy("nan.h5", numpy.ones((20, 5)))
        with edited(nan) as file:
            file["train/x"][11, 2] = numpy.nan
        self.refuse_train(3, ["row 11, column 2", "finite"], self.write("c.yaml", none.format(nan)))
        damaged = self.digits(rows=100)
        with h5py.File(damaged) as file:
            offset = file["train/x"].id.get_chunk_info(0).byte_offset
        with open(damaged, "r+b") as file:
            file.seek(offset + 5000)
            file.write(b"\x55\xaa")
        self.refuse_train(3, "digits.h5", self.write("c.yaml", none.format(damaged)))

    def test_configuration(self):
        data = self.digits()
        good = self.config(data)
        self.refuse_train(2, ["absent.yaml", "No such file"], self.path("absent.yaml"))
        self.refuse_train(2, ["bad.yaml:3", "not YAML"], self.write("bad.yaml", "b: 1\na: [1, 2"))
        self.refuse_train(2, ["c.yaml:3", "'train.lerning_rate'", "did you mean 'learning_rate'", "accepted"],
                          self.config(data, "c.yaml", train="epochs: 1, lerning_rate: 1"))
        self.refuse_train(2, ["c.yaml:3", "train.batch", "'4x'", "an integer between 1 and"],
                          self.config(data, "c.yaml", train="epochs: 1, batch: 4x"))
        self.refuse_train(2, ["c.yaml:3", "train.momentum", "between 0 and 0.9999"],
                          self.config(data, "c.yaml", train="epochs: 1, momentum: 1.5"))
        self.refuse_train(2, ["c.yaml:3", "train.estimator", "exact, cd, pcd"],
                          self.config(data, "c.yaml", train="epochs: 1, estimator: magic"))
        self.refuse_train(2, ["c.yaml:4", "'sauce.hot'", "sections"], self.config(data, "c.yaml", more="sauce: {hot: 1}"))
        self.refuse_train(2, ["c.yaml:3", "twice"], self.config(data, "c.yaml", train="epochs: 1, epochs: 2"))
        self.refuse_train(2, ["train.epochs", "missing"], self.config(data, "c.yaml", train="batch: 10"))
        for wrong in ("[]", "3", "[a, b]", "{name: a, epochs: 2}", "{epochs: 2}"):
            self.refuse_train(2, ["c.yaml:4: stages", "must be a list"],
                              self.config(data, "c.yaml", train="batch: 10", more=f"stages: {wrong}"))
        self.refuse_train(2, ["model.family", "'dragon'", "rbm"], good, "--set", "model.family=dragon")
        self.refuse_train(2, ["--set train.batch", "at least 8"], good, "--set", "train.batch=7")
        self.refuse_train(2, ["--set train.chains", "8 shards"], good, "--set", "train.chains=5")
        for needed, *sets in (("estimator: pcd", "train.chains=50", "train.estimator=cd"),
                              ("estimator: pcd", "train.sampler=pt", "train.estimator=cd"),
                              ("sampler: pt", "train.temperatures=5"), ("sampler: pt", "train.swap_adaptation=0.2"),
                              ("optimizer: sgd", "train.momentum=0.5", "train.optimizer=adam"),
                              ("optimizer: adam", "train.beta1=0.5"), ("optimizer: adam", "train.beta2=0.9"),
                              ("optimizer: adam", "train.epsilon=0.1"), ("schedule: linear", "train.final_learning_rate=0.01"),
                              ("schedule: inverse", "train.half_life=3", "train.schedule=linear"),
                              ("binarize: threshold", "data.threshold=0.3", "data.binarize=dynamic"),
                              ("sparsity_cost", "train.sparsity_target=0.2"), ("ladder: adaptive", "ais.ess_target=0.9"),
                              ("ladder: linear", "ais.temperatures=50", "ais.ladder=adaptive"),
                              ("ladder: custom", "ais.betas=[0, 1]")):
            settings = [word for one in sets for word in ("--set", one)]
            self.refuse_train(2, ["--set " + sets[0].partition("=")[0], "does nothing without " + needed], good, *settings)
        self.refuse_train(2, ["shards", "power of two"], good, "--set", "shards=6")
        self.refuse_train(2, ["train.estimator", "up_down", "cd or pcd"], good, "--set", "model.family=dbn", "--set",
                          "model.hidden=[5, 4]", "--set", "train.objective=up_down", "--set", "train.estimator=exact")
        self.refuse_train(2, ["train.estimator", "exact", "layer 1 is a part"], good, "--set", "model.family=dbn", "--set",
                          "model.hidden=[5, 4]", "--set", "train.objective=pretrain", "--set", "train.layer=1", "--set",
                          "train.estimator=exact")
        self.refuse_train(3, ["row 0: columns 0 to 783 hold", "one 1 in each group"], good, "--set",
                          "model.visible_units=softmax", "--set", "data.binarize=threshold")
        self.refuse_train(2, ["learn_variance", "these are bernoulli"], good, "--set", "model.learn_variance=true")
        self.refuse_train(2, ["visible_group", "these are bernoulli"], good, "--set", "model.visible_group=4")
        self.refuse_train(2, ["label_units", "bernoulli hidden units"], good, "--set", "model.classes=10", "--set",
                          "model.label_units=true", "--set", "model.hidden_units=rectified")
        deep = [good, "--set", "model.family=dbm", "--set", "model.hidden=[5, 4]", "--set", "model.label_units=true"]
        self.refuse_train(2, ["label_units", "set model.classes"], *deep)
        self.refuse_train(2, ["multi_prediction", "model.mean_field_updates may be at most 64"], *deep, "--set",
                          "model.classes=10", "--set", "model.mean_field_updates=65", "--set",
                          "train.objective=multi_prediction")
        self.refuse_train(2, ["multi_prediction", "leave model.label_units out"], *deep, "--set", "model.classes=10",
                          "--set", "train.objective=multi_prediction")
        self.refuse_train(2, ["model", "7 layers", "1 to 6"], *deep, "--set", "model.classes=10", "--set",
                          "model.hidden=[2, 2, 2, 2, 2, 2, 2]")
        self.refuse_train(2, ["train.estimator", "exact", "there is none"], *deep, "--set", "model.classes=10", "--set",
                          "model.visible_units=gaussian", "--set", "data.binarize=none", "--set", "train.estimator=exact")
        self.refuse_train(2, ["classify", "the hidden units are rectified"], good, "--set", "model.classes=10", "--set",
                          "train.objective=classify", "--set", "model.hidden_units=rectified")
        self.refuse_train(2, ["train.estimator", "exact", "at most 16 units"], good, "--set", "train.estimator=exact",
                          "--set", "model.hidden=20")
        self.refuse_train(2, ["--set nonsense", "KEY=VALUE"], good, "--set", "nonsense")

    def test_groups_of_test_rows(self):
        data, run = self.path("hot.h5"), self.path("run")
        train = self.write("train.csv", "1,0,0\n0,1,0\n0,0,1\n" * 8)
        test = self.write("test.csv", "0,1,0\n1,1,0\n")
        self.succeed("import", "csv", train, "--header", "no", "--test", test, "-o", data)
        self.succeed("train", self.config(data, model="hidden: 3, visible_units: softmax", train="epochs: 1, batch: 8"),
                     "-o", run)
        self.refuse(3, ["test/x row 1: columns 0 to 2 hold 2 ones", "one 1 in each group"], "evaluate", run, ranks=2)
        self.succeed("evaluate", run, "--split", "train")

    def test_command_line(self):
        self.refuse(2, ["'fly'", "import, whiten, train"], "fly")
        self.refuse(2, ["--wings", "known"], "train", "x.yaml", "--wings")
        self.refuse(2, "-o RUN", "train", "x.yaml")
        self.refuse(2, "one configuration", "train", "-o", self.path("run"))
        self.refuse(2, "needs a value", "train", "x.yaml", "-o")
        for command in ("import", "train", "evaluate", "sample", "info", "doctor"):
            process = self.succeed(command, "--help", ranks=2 if command == "train" else 0)
            self.assertEqual(process.stdout.count("usage: harmonium " + command), 1)
        self.assertIn("harmonium 0.", self.succeed("--version").stdout)
        self.refuse(3, "nowhere", "evaluate", self.path("nowhere"), ranks=2)
        self.refuse(3, "nowhere", "sample", self.path("nowhere"))
        os.mkdir(self.path("begun"))
        self.write("begun/metrics.h5", "as a run leaves it that was begun")
        self.refuse(3, ["has not ended", "harmonium train --resume"], "evaluate", self.path("begun"))
        self.refuse(3, "nowhere", "info", self.path("nowhere"))


if __name__ == "__main__":
    unittest.main()
