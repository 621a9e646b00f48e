"""Running the program as a user does: shared by the tests of this folder and of tests/data."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy

PROGRAM = os.environ.get("HARMONIUM", "build/harmonium")
SOURCE = os.environ.get("HARMONIUM_SOURCE", ".")
# As root, on more ranks than cores; without probing for networks, which takes most of a short command's time (tests/slurm
# has networks).
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,vader"}

A_HANG = 1000  # seconds: a machine that is slow and busy may take minutes for what usually takes half a minute


def command(*arguments, ranks=0):
    """The command line; alone, or on `ranks` ranks."""
    mpirun = ["mpirun", "-n", str(ranks), "--bind-to", "none"] if ranks else []
    return [*mpirun, PROGRAM, *map(str, arguments)]


def run(*arguments, ranks=0, env=None, cwd=None, **options):
    """The finished process."""
    return subprocess.run(command(*arguments, ranks=ranks), capture_output=True, text=True, timeout=A_HANG, cwd=cwd,
                          env={**os.environ, **MPI, **(env or {})}, **options)


def start(*arguments, ranks=0, env=None):
    """The running process."""
    return subprocess.Popen(command(*arguments, ranks=ranks), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, **MPI, **(env or {})})


def finish(process):
    """The process, when it has ended, as run() returns it."""
    out, err = process.communicate(timeout=A_HANG)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def rank_processes(process):
    """Process numbers of the ranks under mpirun, or of the program itself; [] when they are not there yet."""
    if process.args[0] != "mpirun":
        return [process.pid]
    children = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in children.splitlines() if line.split()[1] == "harmonium"]


def parameters(folder):
    with h5py.File(os.path.join(folder, "model.h5")) as file:
        return {name: data[...] for name, data in file["parameters"].items()}


def metrics(folder):
    """All but the seconds, which no two runs share."""
    with h5py.File(os.path.join(folder, "metrics.h5")) as file:
        return {name: data[...] for name, data in file["metrics"].items() if name != "seconds"}


@contextlib.contextmanager
def edited(path):
    """A file of ours that a user changes and means to: open for writing, without digests afterwards."""
    with h5py.File(path, "r+") as file:
        yield file
        file.attrs.pop("digest", None)
        for name in ("train/x", "test/x"):
            if name in file:
                file[name].attrs.pop("digest_rows", None)


def rows_so_far(folder):
    """Rows of the metrics of a run that may not have begun."""
    try:
        with h5py.File(os.path.join(folder, "metrics.h5"), swmr=True) as file:
            return len(file["metrics/step"])
    except (OSError, KeyError):
        return 0


def wait_for_rows(folder, rows, process):
    while rows_so_far(folder) < rows and process.poll() is None:
        time.sleep(0.01)


def messages(process):
    """The program's own lines on stderr (mpirun adds some of its own)."""
    return [line for line in process.stderr.splitlines() if line.startswith("harmonium: ") and "warning" not in line]


def said(process):
    """What stood on stderr beside the lines of progress."""
    return "\n".join(line for line in process.stderr.splitlines() if not line.startswith("training epoch"))


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="harmonium-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.refused_on_two_ranks = False

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        mode = "wb" if isinstance(text, bytes) else "w"
        with open(self.path(name), mode) as file:
            file.write(text)
        return self.path(name)

    def succeed(self, *arguments, **options):
        process = run(*arguments, **options)
        self.assertEqual(process.returncode, 0, said(process))
        return process

    def report(self, *arguments, **options):
        """What the command reports, from its JSON."""
        return json.loads(self.succeed(*arguments, "--json", **options).stdout)

    def refuse(self, code, words, *arguments, **options):
        """The command ends with `code` and one message that holds all of `words`."""
        process = run(*arguments, **options)
        lines = messages(process)
        self.assertEqual(process.returncode, code, said(process))
        self.assertEqual(len(lines), 1, said(process))
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, lines[0])
        return lines[0]

    def small_disk(self, kilobytes):
        """A folder that is a file system of its own, full after so many kilobytes. Needs root."""
        folder = tempfile.mkdtemp(dir=self.folder)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            self.skipTest("a small file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", folder])
        return folder

    def assert_same_arrays(self, ours, theirs):
        self.assertEqual(ours.keys(), theirs.keys())
        for name in ours:
            numpy.testing.assert_array_equal(ours[name], theirs[name], name)

    def assert_same_run(self, ours, theirs):
        """Two folders hold the same parameters and the same rows of metrics, bit for bit."""
        self.assert_same_arrays(parameters(ours), parameters(theirs))
        self.assert_same_arrays(metrics(ours), metrics(theirs))

    def no_leftovers(self, *allowed):
        """Nothing lies in the folder but `allowed`."""
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(allowed))

    def digits(self, rows=400, test_rows=100):
        """A small data file of synthetic digits."""
        self.succeed("import", "synth", "--kind", "digits", "--rows", rows, "--test-rows", test_rows, "-o",
                     self.path("digits.h5"))
        return self.path("digits.h5")

    def config(self, data, name="config.yaml", model="hidden: 12", train="epochs: 2, batch: 40, learning_rate: 0.05",
               more="", family="rbm"):
        return self.write(name, f"data: {{file: {data}, binarize: threshold}}\nmodel: {{family: {family}, {model}}}\n"
                                f"train: {{{train}}}\n{more}\n")


def main():
    """Runs the tests of the file. Ends with 77, which CTest reports as skipped, when none of them could be run."""
    result = unittest.main(exit=False).result
    reasons = {reason for _, reason in result.skipped}
    if result.wasSuccessful() and result.testsRun == len(result.skipped):
        print("skipped:", "; ".join(reasons))
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
