"""What the user has is not lost: nothing is replaced that is not of the kind of the output, and nothing is deleted before what
replaces it can begin."""
import os
import shutil
import unittest

from harmonium import Case, main, parameters


class OwnFiles(Case):
    def setUp(self):
        super().setUp()
        self.data = self.digits()

    def contents(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_a_configuration_in_the_folder_of_the_run(self):
        os.mkdir(self.path("run"))
        config = self.config(self.data, name="run/config.yaml", more="# my notes", train="epochs: 40, batch: 40")
        mine = self.contents("run/config.yaml")
        self.refuse(3, "absent.h5", "train", config, "-o", self.path("run"), "--set", "data.file=absent.h5",
                    "--overwrite")
        self.assertEqual(os.listdir(self.path("run")), ["config.yaml"])
        line = ("train", config, "-o", self.path("run"), "--set", "train.epochs=2")
        self.assertIn("config.resolved.yaml", self.succeed(*line).stderr)
        self.assertEqual(self.contents("run/config.yaml"), mine)
        self.assertIn(b"epochs: 2", self.contents("run/config.resolved.yaml"))
        self.refuse(2, "holds a finished run", *line)
        self.succeed(*line, "--overwrite", "--quiet")
        self.assertEqual(self.contents("run/config.yaml"), mine)
        os.unlink(self.path("run/model.h5"))  # as one that was killed near its end
        self.succeed(*line, "--quiet")
        for name in ("model.h5", "checkpoint.h5", "checkpoint.prev.h5"):  # before its first checkpoint
            if os.path.exists(self.path("run/" + name)):
                os.unlink(self.path("run/" + name))
        self.refuse(2, "seed is 3, was 1", *line, "--set", "seed=3")
        self.succeed("train", "--resume", self.path("run"), "--quiet")
        self.assertEqual(self.contents("run/config.yaml"), mine)

    def test_a_copy_that_was_edited_is_the_users(self):
        self.succeed("train", self.config(self.data), "-o", self.path("run"), "--quiet")
        first = self.contents("run/config.yaml")
        self.succeed("train", self.config(self.data), "-o", self.path("run"), "--overwrite", "--quiet")
        self.assertEqual(self.contents("run/config.yaml"), first)
        self.assertNotIn("config.resolved.yaml", os.listdir(self.path("run")))
        edited = self.write("run/config.yaml", first + b"# mine\n")
        self.succeed("train", edited, "-o", self.path("run"), "--overwrite", "--quiet")
        self.assertEqual(self.contents("run/config.yaml"), first + b"# mine\n")

    def test_overwriting_deletes_nothing_before_the_new_run_begins(self):
        config = self.config(self.data)
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        files = {name: self.contents("run/" + name) for name in os.listdir(self.path("run"))}
        mistakes = ((3, "absent.h5", "data.file=absent.h5"), (3, "fewer than one batch", "train.batch=4096"),
                    (2, "train.epochz", "train.epochz=3"))
        for code, words, setting in mistakes:
            for ranks in (0, 2):
                self.refuse(code, words, "train", config, "-o", self.path("run"), "--overwrite", "--set", setting,
                            ranks=ranks)
                self.assertEqual({name: self.contents("run/" + name) for name in os.listdir(self.path("run"))}, files)
        self.succeed("train", config, "-o", self.path("run"), "--overwrite", "--set", "model.hidden=5", "--quiet")
        self.assertEqual(parameters(self.path("run"))["W"].shape, (784, 5))

    def test_outputs_replace_only_their_kind(self):
        table = self.write("table.csv", "1,0\n0,1\n")
        self.refuse(2, ["table.csv", "not a data file"], "import", "csv", table, "-o", table)
        self.assertEqual(self.contents("table.csv"), b"1,0\n0,1\n")
        self.succeed("train", self.config(self.data), "-o", self.path("run"), "--quiet")
        model = self.contents("run/model.h5")
        for line in (("import", "csv", table, "-o"), ("whiten", self.data, "-o"),
                     ("sample", self.path("run"), "-n", "4", "--steps", "1", "--png")):
            self.refuse(2, ["run/model.h5", "not a"], *line, self.path("run/model.h5"))
            self.refuse(2, ["/dev/null", "a device"], *line, "/dev/null")
            self.assertEqual(self.contents("run/model.h5"), model)
        whole = self.contents("digits.h5")
        os.symlink(self.data, self.path("link.h5"))
        for name in (self.data, self.path("link.h5")):
            self.refuse(2, "is the input", "whiten", self.data, "-o", name, ranks=2)
        self.assertEqual(self.contents("digits.h5"), whole)
        picture = ("sample", self.path("run"), "-n", "4", "--steps", "1", "--png", self.path("a.png"), "--quiet")
        self.succeed(*picture)
        self.succeed(*picture)
        self.succeed("import", "csv", table, "-o", self.path("table.h5"))
        self.succeed("import", "csv", table, "-o", self.path("table.h5"))

    def test_encoding_over_its_own_data(self):
        config = self.config(self.data, family="vae", model="encoder: [dense 8, tanh, latent 2], decoder: [dense 8, tanh]",
                             train="epochs: 1, batch: 40")
        self.succeed("train", config, "-o", self.path("vae"), "--quiet")
        whole = self.contents("digits.h5")
        self.refuse(2, "is the input", "encode", self.path("vae"), "-o", self.data)
        shutil.copy(self.data, self.path("other.h5"))
        self.refuse(2, "is the input", "encode", self.path("vae"), "--data", self.path("other.h5"), "-o",
                    self.path("other.h5"))
        self.assertEqual(self.contents("digits.h5"), whole)


if __name__ == "__main__":
    main()
