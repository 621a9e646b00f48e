"""Signals, closed outputs and low limits: a word about what happened, no work lost, nothing left behind."""
import os
import resource
import shutil
import signal
import subprocess
import time

from faults import Broken, finish, main, messages, run, said, start, wait_for_rows
from harmonium import MPI, command

HERE = os.path.dirname(os.path.abspath(__file__))
KILO = 1024


def limited(limit, kilobytes):
    return lambda: resource.setrlimit(limit, (kilobytes * KILO, kilobytes * KILO))


class Signals(Broken):
    def test_a_hang_up_stops_training_with_a_checkpoint(self):
        config = self.begin(epochs=200)
        process = start("train", config, "-o", self.path("run"))
        wait_for_rows(self.path("run"), 5, process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)  # a terminal and its shell send one each
        process = finish(process)
        self.assertEqual(process.returncode, 6, said(process))
        self.assertIn("stopped by SIGHUP", messages(process)[0])
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        self.assert_same_run(self.path("run"), self.whole)

    def test_nohup_is_respected(self):
        config = self.begin(epochs=60)
        process = subprocess.Popen(["nohup", *command("train", config, "-o", self.path("run"))], env={**os.environ, **MPI},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_rows(self.path("run"), 5, process)
        process.send_signal(signal.SIGHUP)
        process = finish(process)
        self.assertEqual(process.returncode, 0, said(process))
        self.assert_same_run(self.path("run"), self.whole)

    def test_a_killed_command_leaves_no_temporary_file(self):
        """Importing is the command that has its temporary file for the longest time."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = start("import", "synth", "--kind", "digits", "--rows", 1000000, "-o", self.path("large.h5"))
            while not any(".tmp" in name for name in os.listdir(self.folder)) and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(number)
            self.assertEqual(finish(process).returncode, -number)
            self.no_leftovers()


    def paused(self, name, *arguments):
        """The process, which stands still before it renames its temporary file of `name`."""
        library = self.path("pause.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, os.path.join(HERE, "pause.c"), "-ldl"], check=True)
        process = start(*arguments, env={"LD_PRELOAD": library, "HARMONIUM_PAUSE": name})
        _, state = os.waitpid(process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(state), arguments)
        return process

    def test_a_command_that_is_ended_before_it_renames_leaves_nothing(self):
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that pauses")
        self.succeed("train", self.config(self.digits()), "-o", self.path("run"), "--quiet")
        before = sorted(os.listdir(self.path("run")))
        for number, name, arguments in (
                (signal.SIGTERM, "model.h5", ("sample", self.path("run"), "--steps", 1)),
                (signal.SIGUSR2, "a.png", ("sample", self.path("run"), "--steps", 1, "--png", self.path("run/a.png"))),
                (signal.SIGXCPU, "model.h5", ("evaluate", self.path("run"), "--method", "exact"))):
            with self.subTest(command=arguments, signal=number.name):
                process = self.paused(name, *arguments)
                self.assertNotEqual(sorted(os.listdir(self.path("run"))), before)
                process.send_signal(number)
                process.send_signal(signal.SIGCONT)
                self.assertEqual(finish(process).returncode, -number)
                self.assertEqual(sorted(os.listdir(self.path("run"))), before)

    def test_a_second_signal_ends_a_training_without_temporary_files(self):
        if not shutil.which("cc"):
            self.skipTest("no compiler for the library that pauses")
        config = self.config(self.digits(), more="checkpoint: {steps: 1}")
        process = self.paused("checkpoint.h5", "train", config, "-o", self.path("run"), "--quiet")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # both wait, and are taken one after the other
        process.send_signal(signal.SIGCONT)
        self.assertIn(finish(process).returncode, (-signal.SIGTERM, -signal.SIGINT))
        self.assertEqual([name for name in os.listdir(self.path("run")) if ".tmp" in name], [])

    def test_what_mpirun_ends_with(self):
        """Its own code when it ends the job itself, the ranks' code when it passes the signal on."""
        config = self.config(self.digits(), train="epochs: 100000, batch: 40, learning_rate: 0.001")
        for number, code, words in ((signal.SIGINT, 1, ""), (signal.SIGTERM, 1, ""), (signal.SIGHUP, 1, ""),
                                    (signal.SIGUSR1, 6, "SIGUSR1"), (signal.SIGUSR2, 6, "SIGUSR2")):
            with self.subTest(signal=number.name):
                folder = self.path(number.name)
                process = start("train", config, "-o", folder, "--quiet", ranks=1)
                wait_for_rows(folder, 1, process)
                process.send_signal(number)
                process = finish(process)
                self.assertEqual(process.returncode, code, said(process))
                self.assertIn("stopped by " + words if words else "", process.stderr)


class Outputs(Broken):
    def test_a_closed_output_is_no_full_disk(self):
        config = self.begin(epochs=3)
        for name, words in (("out", "standard output is closed"), ("all", None)):
            closed = ">&-" if words else ">&- 2>&- <&-"
            process = subprocess.run(["sh", "-c", '"$@" ' + closed, "sh", *command("train", config, "-o", self.path(name))],
                                     capture_output=True, text=True, env={**os.environ, **MPI})
            self.assertEqual(process.returncode, 0, said(process))
            self.assertIn(words or "", process.stderr)
            self.assertNotIn("No space", process.stderr)
            self.assert_same_run(self.path(name), self.whole)

    def test_a_reader_that_has_gone_costs_nothing(self):
        config = self.begin(epochs=3)
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run(command("train", config, "-o", self.path("run")), stdout=writing, stderr=writing,
                                 env={**os.environ, **MPI})
        os.close(writing)
        self.assertEqual(process.returncode, 0)
        self.assert_same_run(self.path("run"), self.whole)

    def test_a_full_disk_under_the_output_is_told_as_such(self):
        with open("/dev/full", "w") as full:
            process = subprocess.run(command("doctor"), stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, **MPI})
        self.assertEqual(process.returncode, 4)
        self.assertIn("standard output cannot be written: No space left", process.stderr)


class Limits(Broken):
    def test_a_small_stack_ends_in_a_message_or_works(self):
        config = self.begin(epochs=2)
        for kilobytes in (64, 256, 1024, 2000):
            process = run("train", config, "-o", self.path("run"), preexec_fn=limited(resource.RLIMIT_STACK, kilobytes))
            self.assertEqual(process.returncode, 1, said(process))
            self.assertIn(f"the stack is limited to {kilobytes} kB", process.stderr)
        process = run("train", config, "-o", self.path("run"), "--quiet", "--set", "threads=2",
                      preexec_fn=limited(resource.RLIMIT_STACK, 2048), env={"HARMONIUM_ISA": "scalar"})
        self.assertEqual(process.returncode, 0, said(process))
        self.assert_same_run(self.path("run"), self.whole)

    def test_small_stacks_of_threads_are_not_taken(self):
        config = self.begin(epochs=2)
        process = run("train", config, "-o", self.path("run"), "--quiet", "--set", "threads=2",
                      env={"OMP_STACKSIZE": "64k", "HARMONIUM_ISA": "scalar"})
        self.assertEqual(process.returncode, 0, said(process))
        self.assert_same_run(self.path("run"), self.whole)

    def test_limits_are_told_once(self):
        process = run("doctor", ranks=2, preexec_fn=limited(resource.RLIMIT_STACK, 1024))
        self.assertEqual(process.stderr.count("the stack is limited"), 1, process.stderr)

    def test_a_stack_that_may_be_larger_is_made_so(self):
        config = self.begin(epochs=2)
        soft = lambda: resource.setrlimit(resource.RLIMIT_STACK, (256 * KILO, resource.getrlimit(resource.RLIMIT_STACK)[1]))
        self.assertEqual(run("train", config, "-o", self.path("run"), "--quiet", preexec_fn=soft).returncode, 0)
        self.assert_same_run(self.path("run"), self.whole)

    def test_little_virtual_memory_ends_in_a_message_or_works(self):
        """OpenBLAS would wait forever for threads for whose stacks there is no room."""
        for kilobytes in (100000, 200000, 262143):
            process = run("doctor", preexec_fn=limited(resource.RLIMIT_AS, kilobytes))
            self.assertEqual(process.returncode, 1, said(process))
            self.assertIn(f"virtual memory is limited to {kilobytes} kB", process.stderr)
        config = self.begin(epochs=2)
        for kilobytes in (262144, 400000, 1000000, 2000000):
            process = run("train", config, "-o", self.path(f"run{kilobytes}"), "--quiet",
                          preexec_fn=limited(resource.RLIMIT_AS, kilobytes))
            self.assertIn(process.returncode, (0, 1), said(process))
            if process.returncode == 1:
                self.assertNotEqual(process.stderr, "")
            else:
                self.assert_same_run(self.path(f"run{kilobytes}"), self.whole)
        self.assertEqual(process.returncode, 0, said(process))


if __name__ == "__main__":
    main()
