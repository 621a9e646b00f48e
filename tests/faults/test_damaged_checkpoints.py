"""Checkpoints cut short or with flipped bits, anywhere: the one before is used with a warning, or the run is refused with a
message; the result is never another one."""
import os
import random
import shutil
import unittest

import h5py

from faults import Broken, finish, messages, parameters, run, said, start, wait_for_rows

VARIANTS = 200


class Damaged(Broken):
    def setUp(self):
        super().setUp()
        # Two checkpoints near the end, so that going on takes no time.
        config = self.begin(epochs=4, hidden=10, chains=44, more="checkpoint: {steps: 80}")  # at updates 80 and 88
        self.run_folder = self.path("run")
        shutil.copytree(self.whole, self.run_folder)
        os.unlink(self.run_folder + "/model.h5")
        self.pristine = self.path("pristine")
        shutil.copytree(self.run_folder, self.pristine)
        self.size = os.path.getsize(self.pristine + "/checkpoint.h5")

    def damage(self, name, chance):
        """Cuts the file or flips a bit of it; says what it did."""
        path = os.path.join(self.run_folder, name)
        at = chance.randrange(self.size)
        if chance.random() < 0.4:
            os.truncate(path, at)
            return f"{name} cut to {at} bytes"
        bit = chance.randrange(8)
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))
        return f"{name}: bit {bit} of byte {at} flipped"

    def renew(self):
        shutil.rmtree(self.run_folder)
        shutil.copytree(self.pristine, self.run_folder)

    def test_no_damage_goes_unnoticed(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}", flush=True)
        chance = random.Random(seed)
        for variant in range(VARIANTS):
            self.renew()
            with self.subTest(self.damage("checkpoint.h5", chance)):
                process = run("train", "--resume", self.run_folder)
                self.assertEqual(process.returncode, 0, said(process))
                self.assertIn("going on from the checkpoint before it, of update 80", process.stderr)
                self.assert_same_run(self.run_folder, self.whole)

    def test_the_damaged_one_does_not_push_out_the_good_one(self):
        chance = random.Random(1)
        self.damage("checkpoint.h5", chance)
        self.succeed("train", "--resume", self.run_folder, "--quiet", ranks=2)
        for name in ("checkpoint.h5", "checkpoint.prev.h5"):
            self.succeed("info", os.path.join(self.run_folder, name))

    def test_both_damaged_is_refused(self):
        chance = random.Random(2)
        for variant in range(5):
            self.renew()
            for name in ("checkpoint.h5", "checkpoint.prev.h5"):
                self.damage(name, chance)
            for arguments in (("--resume", self.run_folder), (self.configuration, "-o", self.run_folder)):
                self.refuse(3, ["damaged", "no better", "--overwrite"], "train", *arguments, ranks=2 * (variant % 2))
            self.assertNotIn("model.h5", os.listdir(self.run_folder))
        self.succeed("train", self.configuration, "-o", self.run_folder, "--overwrite", "--quiet")
        self.assert_same_run(self.run_folder, self.whole)

    def test_info_and_a_missing_newest_one(self):
        self.damage("checkpoint.h5", random.Random(3))
        self.refuse(3, "damaged", "info", self.run_folder + "/checkpoint.h5")
        os.unlink(self.run_folder + "/checkpoint.h5")  # as a crash between two renames leaves it
        process = self.succeed("train", "--resume", self.run_folder)
        self.assertIn("after update 80 of 88", process.stderr)
        self.assert_same_run(self.run_folder, self.whole)


if __name__ == "__main__":
    unittest.main()
