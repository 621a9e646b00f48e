"""An interrupted run goes on bit for bit, by the same command or --resume, on any ranks; what would break that is refused."""
import os
import random
import shutil
import signal
import time
import unittest

import h5py

from harmonium import Case, edited, finish, messages, metrics, parameters, rank_processes, run, said, start, wait_for_rows

# One of each: persistent chains and momentum, no chains and Adam, draws that change every epoch.
KINDS = {
    "pcd": "estimator: pcd, momentum: 0.5, chains: 64, k: 3",
    "pt": "estimator: pcd, sampler: pt, temperatures: 3, momentum: 0.5, chains: 16",
    "cd": "estimator: cd, k: 4, optimizer: adam, centered: false, learning_rate: 0.002",
}


class Resume(Case):
    def begin(self, kind="pcd", epochs=120, more=""):
        """A configuration whose training takes seconds, and the folder of its uninterrupted run."""
        data = self.digits(rows=1000)
        rate = "" if "learning_rate" in KINDS[kind] else "learning_rate: 0.02, "
        config = self.config(data, model="hidden: 100", more=more,
                             train=f"epochs: {epochs}, batch: 44, {rate}monitor_every: 7, {KINDS[kind]}")
        with open(config) as file:
            text = file.read()
        self.write("config.yaml", text.replace("binarize: threshold", "binarize: dynamic"))
        self.succeed("train", config, "-o", self.path("whole"), "--overwrite", "--quiet")
        return config, self.path("whole")

    def interrupt(self, *arguments, rows, ranks=0, number=signal.SIGTERM, folder="run", all_ranks=False):
        """Starts a training and signals one of its ranks when it has made so many rows; what it then did."""
        process = start(*arguments, ranks=ranks)
        wait_for_rows(self.path(folder), rows, process)
        ranks = rank_processes(process)
        for rank in ranks if all_ranks else ranks[-1:]:
            os.kill(rank, number)
        return finish(process)

    def test_any_signal_on_any_rank_stops_all_after_the_same_update(self):
        for kind in KINDS:
            config, whole = self.begin(kind)
            folder = self.path("run")
            shutil.rmtree(folder, ignore_errors=True)
            rows = 2
            for ranks, number in ((0, signal.SIGTERM), (2, signal.SIGUSR1), (4, signal.SIGINT), (1, signal.SIGTERM)):
                process = self.interrupt("train", config, "-o", folder, ranks=ranks, rows=rows, number=number)
                self.assertEqual(process.returncode, 6, said(process))
                self.assertEqual(len(messages(process)), 1, said(process))
                self.assertIn("with a checkpoint", messages(process)[0])
                if ranks <= 1:
                    self.assertIn("stopped by SIGTERM", messages(process)[0])
                self.assertEqual("going on with" in process.stderr, rows > 2)  # it says so
                with h5py.File(folder + "/checkpoint.h5") as file, h5py.File(folder + "/metrics.h5") as rows_file:
                    self.assertGreaterEqual(file.attrs["step"], rows_file["metrics/step"][-1])
                    rows = len(rows_file["metrics/step"]) + 8
                    self.assertLess(rows, 340)
                self.assertEqual(sorted(os.listdir(folder))[-2:], ["config.yaml", "metrics.h5"])  # no model yet, no lock
            self.succeed("train", "--resume", folder, "--quiet", ranks=2)
            self.assert_same_run(folder, whole)

    def test_a_signal_to_mpirun_or_all_ranks_is_one_signal(self):
        config, whole = self.begin()
        process = start("train", config, "-o", self.path("run"), ranks=2)
        wait_for_rows(self.path("run"), 3, process)
        process.send_signal(signal.SIGUSR1)  # which mpirun passes on to every rank
        process = finish(process)
        self.assertEqual(process.returncode, 6, said(process))
        process = self.interrupt("train", config, "-o", self.path("run"), ranks=2, rows=20, all_ranks=True)
        self.assertEqual(process.returncode, 6, said(process))
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        self.assert_same_run(self.path("run"), whole)

    def test_a_second_signal_ends_at_once(self):
        # An update that takes minutes: the first signal waits for its end.
        config = self.config(self.digits(), train="epochs: 1, batch: 400, estimator: cd, k: 1000000")
        process = start("train", config, "-o", self.path("run"))
        while not os.path.exists(self.path("run/metrics.h5")) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        self.assertEqual(finish(process).returncode, -signal.SIGINT)
        self.assertLess(time.monotonic() - began, 2)

    def test_settings_that_change_the_result_are_refused_by_name(self):
        config, whole = self.begin(epochs=60)
        folder = self.path("run")
        self.assertEqual(self.interrupt("train", config, "-o", folder, rows=5).returncode, 6)
        before = parameters(whole)
        for words, *sets in ((["train.batch is 50, was 44"], "train.batch=50"),
                             (["seed is 2, was 1", "model.hidden is 101, was 100"], "seed=2", "model.hidden=101"),
                             (["shards is 4, was 8"], "shards=4"), (["data.window is 77"], "data.window=77"),
                             (["train.k is 2, was 3"], "train.k=2"), (["train.epochs is 0"], "train.epochs=0")):
            arguments = [argument for one in sets for argument in ("--set", one)]
            if words != ["train.epochs is 0"]:
                self.refuse(2, words, "train", config, "-o", folder, *arguments)
                self.refuse(2, words, "train", "--resume", folder, *arguments, ranks=2)
        # These change nothing: they may be other ones.
        free = ["threads=2", "ais.chains=7", "checkpoint.steps=50", "timeout=30"]
        self.succeed("train", config, "-o", folder, "--quiet", *[part for one in free for part in ("--set", one)])
        self.assert_same_run(folder, whole)
        self.assert_same_arrays(parameters(whole), before)

    def test_more_epochs_go_on_with_a_finished_run(self):
        config, whole = self.begin(epochs=40)
        folder = self.path("run")
        self.succeed("train", config, "-o", folder, "--set", "train.epochs=25", "--quiet")
        self.succeed("evaluate", folder, "--method", "ais", "--set", "ais.temperatures=20", "--quiet")
        self.assertEqual(self.report("train", "--resume", folder)["state"], "finished before; nothing to do")
        with h5py.File(folder + "/model.h5") as file:
            self.assertIn("evaluation", file)  # untouched
        self.refuse(2, ["finished run", "--resume"], "train", config, "-o", folder)
        report = self.report("train", "--resume", folder, "--set", "train.epochs=40", ranks=2)
        self.assertEqual((report["epochs"], report["resumed_from"]), (40, 25 * 22))
        self.assert_same_run(folder, whole)
        self.refuse(2, ["train.epochs is 20, was 40; a run keeps its settings"], "train", "--resume", folder, "--set",
                    "train.epochs=20")
        linear = ("--set", "train.schedule=linear")
        self.succeed("train", config, "-o", folder, "--overwrite", "--quiet", *linear)
        self.refuse(2, "train.epochs is 50, was 40", "train", "--resume", folder, "--set", "train.epochs=50")

    def test_checkpoints_come_by_updates_and_by_time(self):
        config, whole = self.begin(epochs=60)
        counts = {}
        for name, setting in (("end", "checkpoint.seconds=0"), ("steps", "checkpoint.steps=100"),
                              ("seconds", "checkpoint.seconds=0.05")):
            began = time.monotonic()
            report = self.report("train", config, "-o", self.path(name), "--set", setting, ranks=2)
            wall = time.monotonic() - began
            self.assert_same_run(self.path(name), whole)
            counts[name] = report["checkpoints"]
            self.assertGreater(report["checkpoint_seconds"], 0)
            if name == "seconds":
                self.assertLessEqual(counts[name], wall / 0.05 + 1)
        self.assertEqual((counts["end"], counts["steps"]), (1, 60 * 22 // 100 + 1))
        self.assertGreater(counts["seconds"], 1)

    def test_other_data_are_noticed(self):
        config, _ = self.begin(epochs=60)
        folder = self.path("run")
        self.assertEqual(self.interrupt("train", config, "-o", folder, rows=5).returncode, 6)
        with edited(self.path("digits.h5")) as file:
            file["train/x"][17, 300] ^= 1
        self.refuse(3, ["training data", "has changed"], "train", config, "-o", folder, ranks=2)
        with edited(self.path("digits.h5")) as file:
            file["train/x"][17, 300] ^= 1
        os.rename(self.path("digits.h5"), self.path("moved.h5"))
        self.refuse(3, "digits.h5", "train", "--resume", folder)
        self.succeed("train", "--resume", folder, "--set", "data.file=" + self.path("moved.h5"), "--quiet")
        self.assert_same_run(folder, self.path("whole"))

    def test_a_folder_has_one_job_at_a_time(self):
        config, whole = self.begin()
        folder = self.path("run")
        first = start("train", config, "-o", folder, "--quiet", ranks=2)
        wait_for_rows(folder, 3, first)
        ranks = rank_processes(first)
        for rank in ranks:
            os.kill(rank, signal.SIGSTOP)  # not to end meanwhile
        for again in (("train", config, "-o", folder), ("train", "--resume", folder),
                      ("train", config, "-o", folder, "--overwrite")):
            message = self.refuse(2, ["another job", "process"], *again)
            self.assertIn(str(ranks[0]), message)
        os.kill(ranks[0], signal.SIGKILL)  # leaves .lock, but no lock
        self.assertNotEqual(finish(first).returncode, 0)
        self.assertIn(".lock", os.listdir(folder))
        self.succeed("train", config, "-o", folder, "--quiet")
        self.assertNotIn(".lock", os.listdir(folder))
        self.assert_same_run(folder, whole)

    def test_what_cannot_be_gone_on_with_is_refused(self):
        config = self.config(self.digits())
        self.refuse(2, "nowhere", "train", "--resume", self.path("nowhere"))
        os.mkdir(self.path("empty"))
        self.refuse(2, "holds no run", "train", "--resume", self.path("empty"), ranks=2)
        self.assertEqual(os.listdir(self.path("empty")), [])
        self.refuse(2, "takes no CONFIG", "train", config, "--resume", self.path("empty"))
        self.refuse(2, "takes no CONFIG", "train", "--resume", self.path("empty"), "-o", self.path("other"))
        self.refuse(2, "not a folder", "train", "--resume", config)

    def test_a_run_killed_before_its_first_checkpoint_begins_again(self):
        config, whole = self.begin(epochs=60)
        folder = self.path("run")
        process = start("train", config, "-o", folder, "--quiet")
        wait_for_rows(folder, 5, process)
        process.kill()
        finish(process)
        self.assertNotIn("checkpoint.h5", os.listdir(folder))
        self.refuse(2, "seed is 3, was 1", "train", config, "-o", folder, "--set", "seed=3")
        self.write("run/checkpoint.h5.tmp.123", "half")  # as a killed write leaves it
        self.succeed("train", "--resume", folder, "--quiet")
        self.assert_same_run(folder, whole)
        self.assertEqual([name for name in os.listdir(folder) if "tmp" in name or "lock" in name], [])

    def test_lost_metrics_are_warned_of(self):
        config, whole = self.begin(epochs=60)
        folder = self.path("run")
        self.assertEqual(self.interrupt("train", config, "-o", folder, rows=5).returncode, 6)
        os.unlink(folder + "/metrics.h5")
        process = self.succeed("train", config, "-o", folder)
        self.assertIn("warning: metrics.h5 is gone", process.stderr)
        self.assert_same_arrays(parameters(folder), parameters(whole))
        self.assertLess(len(metrics(folder)["step"]), len(metrics(whole)["step"]))


if __name__ == "__main__":
    unittest.main()
