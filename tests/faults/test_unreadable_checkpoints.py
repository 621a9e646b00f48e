"""A checkpoint that cannot be read for a moment is not a damaged one: nothing is renamed, deleted or begun anew, the message
says why, and the same command goes on later. File systems without locks work."""
import errno
import os
import shutil
import subprocess
import unittest

from faults import Broken, run

HERE = os.path.dirname(os.path.abspath(__file__))


class Unreadable(Broken):
    def setUp(self):
        super().setUp()
        self.configuration = self.begin(epochs=4, hidden=10, chains=44, more="checkpoint: {steps: 80}")
        self.run_folder = self.path("run")
        shutil.copytree(self.whole, self.run_folder)
        os.unlink(self.run_folder + "/model.h5")
        self.library = self.path("refuse.so")
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that refuses")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.library, os.path.join(HERE, "refuse.c"), "-ldl"], check=True)
        if "ASan runtime" in run("--version", env={"LD_PRELOAD": self.library}).stderr:
            self.skipTest("the address sanitizer takes no library before its own")

    def files(self):
        contents = {}
        for name in os.listdir(self.run_folder):
            with open(os.path.join(self.run_folder, name), "rb") as file:
                contents[name] = file.read()
        return contents

    def refusing(self, name, reason, after):
        return {"LD_PRELOAD": self.library, "REFUSE_PATH": name, "REFUSE_ERRNO": str(reason), "REFUSE_AFTER": str(after)}

    def test_reasons_of_the_system(self):
        before = self.files()
        for reason in (errno.EACCES, errno.EMFILE, errno.ESTALE, errno.EIO):
            for after in range(4):  # in the seal's check, and in HDF5
                with self.subTest(reason=errno.errorcode[reason], after=after):
                    self.refuse(4, ["/checkpoint.h5", os.strerror(reason), "nothing was changed"], "train", "--resume",
                                self.run_folder, env=self.refusing("/checkpoint.h5", reason, after))
                    self.assertEqual(self.files(), before)
        self.refuse(4, [os.strerror(errno.ESTALE), "nothing was changed"], "train", self.configuration, "-o",
                    self.run_folder, ranks=2, env=self.refusing("/checkpoint.h5", errno.ESTALE, 0))
        self.assertEqual(self.files(), before)
        self.succeed("train", "--resume", self.run_folder, "--quiet")
        self.assert_same_run(self.run_folder, self.whole)

    def test_the_one_before_cannot_be_read(self):
        os.truncate(self.run_folder + "/checkpoint.h5", 1000)
        before = self.files()
        self.refuse(4, ["/checkpoint.prev.h5", os.strerror(errno.ESTALE), "nothing was changed"], "train", "--resume",
                    self.run_folder, env=self.refusing("/checkpoint.prev.h5", errno.ESTALE, 0))
        self.assertEqual(self.files(), before)
        self.succeed("train", "--resume", self.run_folder, "--quiet")
        self.assertEqual(os.path.getsize(self.run_folder + "/checkpoint.damaged.h5"), 1000)
        self.assert_same_run(self.run_folder, self.whole)

    def test_file_systems_without_locks(self):
        for reason in (errno.ENOLCK, errno.EOPNOTSUPP, 524):
            with self.subTest(reason=reason):
                env = {"LD_PRELOAD": self.library, "FLOCK_ERRNO": str(reason)}
                shutil.rmtree(self.run_folder)
                shutil.copytree(self.whole, self.run_folder)
                os.unlink(self.run_folder + "/model.h5")
                self.succeed("train", "--resume", self.run_folder, "--quiet", env=env)
                self.assert_same_run(self.run_folder, self.whole)
                self.succeed("sample", self.run_folder, "-n", "4", "--steps", "1", "--quiet", env=env)
                self.succeed("info", self.run_folder, env=env)
                self.refuse(3, "set it to FALSE", "info", self.run_folder,
                            env={**env, "HDF5_USE_FILE_LOCKING": "TRUE"})


if __name__ == "__main__":
    unittest.main()
