"""Folders may be called anything, a run does not need what it started from once it has a checkpoint, and texts cannot control a
terminal."""
import json
import os
import subprocess
import unittest

from harmonium import A_HANG, MPI, Case, command, main


class OddNames(Case):
    def test_bytes_that_are_not_utf8_and_control_characters(self):
        for name in (b"m\xfcller", b"a\x01\x7fb", "c\u0085\u009b\u2028d".encode(), "\U0010f7fc".encode(), "ü é".encode()):
            with self.subTest(name=name):
                folder = os.fsencode(self.folder) + b"/" + name
                os.mkdir(folder)
                os.rename(self.digits(rows=80, test_rows=20), folder + b"/digits.h5")
                with open(folder + b"/c.yaml", "wb") as file:
                    file.write(b"data: {file: digits.h5, binarize: threshold}\nmodel: {family: rbm, hidden: 4}\n"
                               b"train: {epochs: 2, batch: 40}\n")
                for line in (["train", "c.yaml", "-o", "r"], ["train", "--resume", "r", "--set", "train.epochs=3"],
                             ["evaluate", "r", "--method", "exact"], ["sample", "r", "-n", "2", "--steps", "1"],
                             ["info", folder + b"/r/model.h5", "--json"]):
                    words = command()[:1] + line
                    done = subprocess.run(words, cwd=folder, env={**os.environ, **MPI}, timeout=A_HANG,
                                          capture_output=True)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertFalse(set("\x01\x7f\u0085\u009b") & set(done.stdout.decode(errors="replace")))
                self.assertEqual(os.fsencode(json.loads(done.stdout)["file"]), line[1])

    def test_a_start_that_was_moved_away(self):
        config = self.config(self.digits())
        self.succeed("train", config, "-o", self.path("pre"), "--quiet")
        line = ("train", config, "-o", "run", "--set", "start=pre", "--quiet")
        self.succeed(*line, cwd=self.folder)
        os.unlink(self.path("run/model.h5"))  # as if killed after its last checkpoint
        os.rename(self.path("pre"), self.path("archived"))
        self.succeed(*line, cwd=self.folder)


if __name__ == "__main__":
    main()
