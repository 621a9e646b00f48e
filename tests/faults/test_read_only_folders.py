"""A RUN that cannot be written, from the start or half way: exit code 4, and the same command goes on when it can be."""
import os
import shutil
import stat
import subprocess
import unittest

from faults import Broken, finish, messages, run, said, start, wait_for_rows

NOBODY = 65534


class ReadOnly(Broken):
    def setUp(self):
        super().setUp()
        self.begin(epochs=120)
        self.user = {}
        if os.geteuid() == 0:  # whom no permission stops
            os.chmod(self.folder, 0o777)
            self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def run_as_user(self, *arguments):
        return run(*arguments, env={"HOME": self.folder}, **self.user)

    def test_read_only_from_the_start(self):
        os.mkdir(self.path("run"), 0o555)
        for arguments in (("train", self.configuration, "-o", self.path("run")),
                          ("train", self.configuration, "-o", self.path("run/deeper"))):
            process = self.run_as_user(*arguments)
            self.assertEqual(process.returncode, 4, said(process))
            self.assertEqual(len(messages(process)), 1)
            self.assertIn("Permission denied", messages(process)[0])
        self.assertEqual(os.listdir(self.path("run")), [])

    def test_read_only_half_way(self):
        folder = self.path("run")
        process = subprocess.Popen([os.environ["HARMONIUM"], "train", self.configuration, "-o", folder, "--quiet"],
                                   stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": self.folder}, **self.user)
        wait_for_rows(folder, 20, process)
        os.chmod(folder, 0o555)
        process = finish(process)
        self.assertEqual(process.returncode, 4, process.stderr)
        self.assertIn("checkpoint.h5", messages(process)[0])
        self.assertIn("Permission denied", messages(process)[0])
        again = self.run_as_user("train", self.configuration, "-o", folder)
        self.assertEqual(again.returncode, 4, said(again))
        os.chmod(folder, 0o777)
        again = self.run_as_user("train", self.configuration, "-o", folder)
        self.assertEqual(again.returncode, 0, said(again))
        self.assert_same_run(folder, self.whole)


if __name__ == "__main__":
    unittest.main()
