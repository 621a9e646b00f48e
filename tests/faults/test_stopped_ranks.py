"""A rank that stops (SIGSTOP) is named after the stated time, and the job ends; a pause shorter than that does no harm."""
import os
import shutil
import signal
import time
import unittest

from faults import Broken, finish, messages, rank_processes, said, start, wait_for_rows

TIMEOUT = 3
GRACE = 5  # for the roll call
LATER = 8  # in collective file output


class Stopped(Broken):
    def test_the_silent_rank_is_named(self):
        config = self.begin()
        folder = self.path("run")
        # The last two spend most of their time in collective file output, which has a longer limit.
        for ranks, victim, every in ((2, 1, 0), (4, 2, 0), (2, 0, 1), (2, 1, 1)):
            shutil.rmtree(folder, ignore_errors=True)
            process = start("train", config, "-o", folder, "--set", f"timeout={TIMEOUT}", "--set",
                            f"checkpoint.steps={every}", ranks=ranks)
            wait_for_rows(folder, 6, process)
            pids = rank_processes(process)
            os.kill(pids[victim], signal.SIGSTOP)
            began = time.monotonic()
            process = finish(process)
            self.assertEqual(process.returncode, 7, said(process))
            self.assertEqual(len(messages(process)), 1, said(process))
            self.assertRegex(messages(process)[0], rf"rank {victim} \(host .*, process {pids[victim]}\)")
            self.assertNotRegex(messages(process)[0], rf"rank [^{victim}] ")
            self.assertRegex(messages(process)[0], rf"no answer for ({TIMEOUT}|{TIMEOUT + LATER}) s")
            self.assertLess(time.monotonic() - began, TIMEOUT + LATER + GRACE + 5)
            self.succeed("train", config, "-o", folder, "--quiet", ranks=2)
            self.assert_same_run(folder, self.whole)

    def test_a_pause_of_one_or_all_ranks_does_no_harm(self):
        config = self.begin()
        folder = self.path("run")
        process = start("train", config, "-o", folder, "--set", f"timeout={TIMEOUT}", ranks=2)
        wait_for_rows(folder, 6, process)
        pids = rank_processes(process)
        for stopped, seconds in ((pids[:1], 1.5), (pids, TIMEOUT + 2)):
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
        process = finish(process)
        self.assertEqual(process.returncode, 0, said(process))
        self.assert_same_run(folder, self.whole)


if __name__ == "__main__":
    unittest.main()
