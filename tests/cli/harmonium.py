"""Running the program as a user does: shared by the tests of this folder and of tests/data."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

PROGRAM = os.environ.get("HARMONIUM", "build/harmonium")
SOURCE = os.environ.get("HARMONIUM_SOURCE", ".")
MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
       "OMP_WAIT_POLICY": "passive"}


def run(*arguments, ranks=0, env=None, cwd=None):
    """The finished process; alone, or on `ranks` ranks."""
    command = [PROGRAM, *map(str, arguments)]
    if ranks:
        command = ["mpirun", "-n", str(ranks), "--bind-to", "none", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=cwd, env={**os.environ, **MPI, **(env or {})})


def messages(process):
    """The program's own lines on stderr (mpirun adds some of its own)."""
    return [line for line in process.stderr.splitlines() if line.startswith("harmonium: ") and "warning" not in line]


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
        self.assertEqual(process.returncode, 0, process.stderr)
        return process

    def report(self, *arguments, **options):
        """What the command reports, from its JSON."""
        return json.loads(self.succeed(*arguments, "--json", **options).stdout)

    def refuse(self, code, words, *arguments, **options):
        """The command ends with `code` and one message that holds all of `words`."""
        process = run(*arguments, **options)
        lines = messages(process)
        self.assertEqual(process.returncode, code, process.stderr)
        self.assertEqual(len(lines), 1, process.stderr)
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

    def no_leftovers(self, *allowed):
        """Nothing lies in the folder but `allowed`."""
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(allowed))

    def digits(self, rows=400, test_rows=100):
        """A small data file of synthetic digits."""
        self.succeed("import", "synth", "--kind", "digits", "--rows", rows, "--test-rows", test_rows, "-o",
                     self.path("digits.h5"))
        return self.path("digits.h5")

    def config(self, data, name="config.yaml", model="hidden: 12", train="epochs: 2, batch: 40, learning_rate: 0.05",
               more=""):
        return self.write(name, f"data: {{file: {data}, binarize: threshold}}\nmodel: {{family: rbm, {model}}}\n"
                                f"train: {{{train}}}\n{more}\n")
