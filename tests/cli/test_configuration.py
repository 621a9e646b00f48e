"""Configurations and command lines: what other readers of YAML take ours for, and what is refused in words."""
import os

import h5py
import yaml

from harmonium import Case, main


class Configuration(Case):
    def setUp(self):
        super().setUp()
        self.data = self.digits(80, 0)

    def train(self, config, *options, folder="run"):
        return self.succeed("train", config, "-o", self.path(folder), "--quiet", *options)

    def refuse_text(self, words, text, code=2):
        message = self.refuse(code, words, "train", self.write("c.yaml", text), "-o", self.path("run"))
        self.assertFalse(os.path.exists(self.path("run")))
        return message

    def test_numbers_are_numbers_for_readers_of_yaml_1_1(self):
        """PyYAML takes 1e-05 for a text."""
        small = {"train.learning_rate": 1e-5, "train.weight_decay": 2.5e-7, "timeout": 1e6, "checkpoint.seconds": 1e9}
        sets = [part for key, value in small.items() for part in ("--set", f"{key}={value!r}")]
        self.train(self.config(self.data), "--set", "ais.ladder=custom", "--set", "ais.betas=[0, 1e-6, 1]", *sets)
        with open(self.path("run/config.yaml")) as file:
            written = file.read()
        with h5py.File(self.path("run/model.h5")) as file:
            self.assertIn(file.attrs["config"], written)  # which has a heading
        read = yaml.safe_load(written)
        for key, value in small.items():
            section, _, name = key.rpartition(".")
            found = (read[section] if section else read)[name]
            self.assertIsInstance(found, (int, float), key)
            self.assertEqual(found, value)
        self.assertEqual(read["ais"]["betas"], [0, 1e-6, 1])
        texts = [value for section in read.values() if isinstance(section, dict) for value in section.values()
                 if isinstance(value, str)]
        for text in texts:
            with self.assertRaises(ValueError, msg=text):
                float(text)
        process = self.report("train", "--resume", self.path("run"), *sets)  # our own reader has them unchanged
        self.assertIn("finished", process["state"])

    def test_a_second_document_is_refused(self):
        with open(self.config(self.data)) as file:
            one = file.read()
        self.refuse_text(["c.yaml:5", "second document"], one.rstrip() + "\n\n---\n" + one)
        self.refuse_text(["c.yaml:4", "second document"], one.rstrip() + "\n---\n")
        self.train(self.write("c.yaml", "---\n" + one.rstrip() + "\n...\n"))

    def test_an_empty_section_sets_nothing(self):
        text = f"data: {{file: {self.data}, binarize: threshold}}\nmodel: {{family: rbm, hidden: 4}}\ntrain:\n"
        self.refuse_text(["train.epochs", "is missing"], text)
        self.refuse_text(["c.yaml:4: ais", "is a section"], text + "ais: 5\n")
        for nothing in ("", " ~", " null", " {}", " []"):
            self.train(self.write("c.yaml", text + f"ais:{nothing}\n"), "--set", "train.epochs=1", "--set", "train.batch=40",
                       folder="run" + nothing.strip())
        self.refuse(2, ["--set ais", "is a section"], "train", self.write("c.yaml", text), "-o", self.path("new"), "--set", "ais=")

    def test_a_section_twice_is_refused(self):
        with open(self.config(self.data)) as file:
            text = file.read()
        self.refuse_text(["c.yaml:4", "'train' is given twice", "line 3"], text.rstrip() + "\ntrain: {momentum: 0.5}\n")

    def test_deep_nesting_is_refused(self):
        """libyaml takes minutes to load these."""
        for text in ("a: " + "[" * 200000, "a: " + "[" * 200000 + "]" * 200000, "- " * 200000, "? " * 200000,
                     "{a: " * 100000):
            self.refuse_text(["c.yaml:1", "nested more than 16 deep"], text)

    def test_aliases_do_not_multiply(self):
        self.refuse_text(["c.yaml:2", "1 MiB"], "a: &a " + "x" * 100000 + "\nb: [" + "*a, " * 100000 + "1]\n")

    def test_slips_are_told_what_was_meant(self):
        train = "train", self.config(self.data), "-o", self.path("run")
        for meant, *words in (("'train.epochs'", "--set", "epochs=3"), ("'train.epochs'", "--set", "epoch=3"),
                              ("'train.epochs'", "--set", "tain.epochs=3"), ("'train.batch'", "--set", "model.batch=3"),
                              ("'epochs'", "--set", "train.epoch=3"), ("--set train.batch=64", "--set", "train.batch", "64"),
                              ("--set train.batch=...", "--set", "train.batch", "--quiet"),
                              ("--set train.batch=64", "--set", "train.batch", "=", "64"),
                              ("--set train.batch=64", "--set", "train.batch", "=64"),
                              ("--set train.batch=64", "--set", "train.batch=", "64"),
                              ("--set train.x=-1", "--set", "train.x", "-1"), ("--set train.batch=64", "train.batch=64"),
                              ("--set?", "--ste", "train.batch=64"),
                              ("--overwrite?", "--overwite"), ("--quiet?", "--quite")):
            self.assertIn(meant, self.refuse(2, [], *train, *words), words)
        self.refuse(2, ["unknown command 'trian'", "did you mean 'train'?"], "trian", "c.yaml")
        self.refuse(2, ["'cvs' is not a kind", "did you mean 'csv'?"], "import", "cvs", "-o", self.path("new.h5"))
        for stranger in (["weather"], [*train, "--frobnicate"], [*train, "--set", "sauce.piquancy=1"]):
            self.assertNotIn("did you mean", self.refuse(2, "known", *stranger))
        self.no_leftovers("digits.h5", "config.yaml")
        self.assertIn("docs/models.md", self.succeed("train", "--help").stdout)

    def test_a_check_writes_nothing(self):
        """It ends as training would have ended before its first update."""
        config = self.config(self.data)
        check = "train", config, "--check"
        self.assertEqual(self.report(*check, "--set", "train.epochs=5")["minibatches"], 10)
        self.assertEqual(self.report(*check)["parameters"], 784 * 12 + 784 + 12)
        self.succeed(*check, "-o", self.path("run"), ranks=2)
        self.no_leftovers("digits.h5", "config.yaml")
        self.refuse(2, "train.epochs", *check, "--set", "train.epochs=none")
        self.refuse(3, "nowhere.h5", *check, "--set", "data.file=nowhere.h5")
        self.refuse(3, "80 rows, fewer than one batch", *check, "--set", "train.batch=160")
        for place, words in ((config, "not a folder"), (config + "/run", "Not a directory")):
            self.refuse(4, words, *check, "-o", place)
        self.refuse(2, "holds no run", "train", "--resume", self.path("run"), "--check")
        self.no_leftovers("digits.h5", "config.yaml")
        self.train(config)
        before = {name: os.stat(self.path(f"run/{name}")).st_mtime_ns for name in os.listdir(self.path("run"))}
        self.refuse(2, ["'asi' is not a method", "did you mean 'ais'?"], "evaluate", self.path("run"), "--method", "asi")
        self.refuse(2, "holds a finished run", *check, "-o", self.path("run"))
        self.succeed(*check, "-o", self.path("run"), "--overwrite")
        self.succeed("train", "--resume", self.path("run"), "--check", "--set", "train.epochs=9")
        os.unlink(self.path("run/model.h5"))
        self.succeed(*check, "-o", self.path("run"))
        self.refuse(2, "train.k is 3, was 1", *check, "-o", self.path("run"), "--set", "train.k=3")
        del before["model.h5"]
        self.assertEqual(before, {name: os.stat(self.path(f"run/{name}")).st_mtime_ns for name in os.listdir(self.path("run"))})


if __name__ == "__main__":
    main()
