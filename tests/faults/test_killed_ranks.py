"""SIGKILL of any rank at any moment, checkpoints being written all the while: the same command always ends with the same bits."""
import os
import random
import signal
import time
import unittest

import h5py

from faults import Broken, finish, messages, rank_processes, said, start

KILLS = 20


class Killed(Broken):
    def test_twenty_kills_change_nothing(self):
        config = self.begin(epochs=400, hidden=60, more="")
        folder, kills, done, rounds = self.path("run"), 0, [], 0
        while kills < KILLS:
            rounds += 1
            seed = random.randrange(2**32)
            chance = random.Random(seed)
            ranks = chance.choice((1, 2, 4))
            process = start("train", config, "-o", folder, "--set", "checkpoint.steps=5", ranks=ranks)
            pause = chance.uniform(0.3, 1.3)
            time.sleep(pause)
            victims = rank_processes(process)
            if process.poll() is None and victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
            process = finish(process)
            print(f"seed {seed}: {ranks} ranks, killed after {pause:.2f} s, ended with {process.returncode}", flush=True)
            if process.returncode == 0:  # it was faster: begin anew
                self.assert_same_run(folder, self.whole)
                self.succeed("train", config, "-o", folder, "--overwrite", "--quiet", "--set", "train.epochs=1")
                os.unlink(folder + "/model.h5")
                for name in ("checkpoint.h5", "metrics.h5", "config.yaml"):
                    os.unlink(os.path.join(folder, name))
                continue
            kills += 1
            self.assertEqual(messages(process), [], said(process))  # killed, not failed
            if os.path.exists(folder + "/checkpoint.h5"):
                with h5py.File(folder + "/checkpoint.h5") as file:
                    done.append(int(file.attrs["step"]))
        self.assertGreater(len(set(done)), KILLS / 4)  # the run did get on in between
        self.succeed("train", config, "-o", folder, "--quiet", ranks=2)
        self.assert_same_run(folder, self.whole)
        self.assertEqual([name for name in os.listdir(folder) if "tmp" in name or "lock" in name], [])


if __name__ == "__main__":
    unittest.main()
