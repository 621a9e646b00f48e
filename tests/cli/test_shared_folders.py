"""Folders that others write in too: no link is followed, nothing but a regular file is waited for, and what a killed
command left goes."""
import os
import signal
import subprocess
import time
import unittest

from harmonium import A_HANG, MPI, Case, command, main


class SharedFolders(Case):
    def setUp(self):
        super().setUp()
        self.data = self.digits()
        self.configuration = self.config(self.data)
        os.mkdir(self.path("run"))

    def train(self):
        return ("train", self.configuration, "-o", self.path("run"), "--quiet")

    def temporaries(self, folder):
        return [name for name in os.listdir(folder) if ".tmp" in name]

    def test_a_lock_that_leads_elsewhere(self):
        lock, precious = self.path("run/.lock"), self.write("precious", "text")
        os.symlink(precious, lock)
        self.refuse(4, [".lock", "link", "remove it"], *self.train())
        os.unlink(lock)
        os.link(precious, lock)
        self.refuse(4, [".lock", "second name"], *self.train())
        os.unlink(lock)
        with open(precious) as file:
            self.assertEqual(file.read(), "text")
        os.mkfifo(lock)
        self.refuse(4, ".lock: not a lock", *self.train())
        os.unlink(lock)
        os.mkdir(lock)
        self.refuse(4, ".lock: not a lock", *self.train())
        os.rmdir(lock)
        self.succeed(*self.train())

    def test_links_under_temporary_names_are_not_followed(self):
        precious = self.write("precious", "text")
        for name in ("config.yaml", "metrics.h5", "checkpoint.h5", "model.h5"):
            os.symlink(precious, self.path(f"run/{name}.tmp"))
            os.symlink(precious, self.path(f"run/{name}.tmp.0123456789abcdef"))
        self.succeed(*self.train())
        with open(precious) as file:
            self.assertEqual(file.read(), "text")

    def test_pipes_are_not_waited_for(self):
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        self.refuse(2, ["pipe", "a named pipe"], "train", pipe, "-o", self.path("other"))
        for kind in ("csv", "npy", "idx"):
            self.refuse(3, ["pipe", "a named pipe"], "import", kind, pipe, "-o", self.path("out.h5"))
        self.refuse(3, "pipe: not a file", "info", pipe)
        self.refuse(3, "pipe: not a file", "whiten", pipe, "-o", self.path("out.h5"))
        os.rename(pipe, self.path("run/checkpoint.h5"))
        self.refuse(3, "checkpoint.h5", "train", "--resume", self.path("run"))

    def test_a_configuration_through_the_shell(self):
        line = f"{command('train')[0]} train <(cat {self.configuration}) -o {self.path('run')} --quiet"
        subprocess.run(["bash", "-c", line], check=True, timeout=A_HANG, env={**os.environ, **MPI})

    def test_what_a_killed_import_left(self):
        output = ("import", "synth", "--kind", "digits", "--rows", 300000, "-o", self.path("large.h5"), "--quiet")
        process = subprocess.Popen(command(*output), env={**os.environ, **MPI})
        while not self.temporaries(self.folder) and process.poll() is None:
            time.sleep(0.01)
        self.succeed("import", "synth", "--kind", "digits", "--rows", 10, "-o", self.path("large.h5"))
        self.assertEqual(len(self.temporaries(self.folder)), 1)  # its writer is alive
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertEqual(len(self.temporaries(self.folder)), 1)
        self.succeed("import", "synth", "--kind", "digits", "--rows", 10, "-o", self.path("large.h5"))
        self.assertEqual(self.temporaries(self.folder), [])


if __name__ == "__main__":
    main()
