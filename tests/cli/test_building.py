"""Configuring the build: a library of another MPI is refused by name, and compilers' warnings stop nobody who did not ask."""
import os
import shutil
import subprocess
import unittest

from harmonium import PROGRAM, Case

SOURCE = os.environ.get("HARMONIUM_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
OTHER = {"openmpi": "libmpich.so.12", "mpich": "libmpi.so.40"}  # what a library of the other MPI needs


def cache_of(folder):
    """The variables that a build folder was configured with."""
    with open(os.path.join(folder, "CMakeCache.txt"), encoding="utf-8") as file:
        lines = (line.strip().split(":", 1) for line in file if ":" in line and "=" in line and line[0] not in "#/")
        return {name: rest.split("=", 1)[1] for name, rest in lines}


class Building(Case):
    def configure(self, *options):
        process = subprocess.run(["cmake", "-S", SOURCE, "-B", self.path("build"), *options], capture_output=True, text=True)
        return process.returncode, " ".join((process.stdout + process.stderr).split())

    def other_scalapack(self, needed):
        """A shared library that is called ScaLAPACK and is linked with a library called `needed`."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        self.write("empty.c", "")
        for name, flags in ((needed, [f"-Wl,-soname,{needed}"]),
                            ("libscalapack.so", ["-Wl,--no-as-needed", self.path(needed)])):
            subprocess.run([compiler, "-shared", "-o", self.path(name), self.path("empty.c"), *flags], check=True)
        return self.path("libscalapack.so")

    def test_scalapack_of_another_mpi_is_refused(self):
        mpi = "openmpi" if cache_of(os.path.dirname(PROGRAM)).get("HARMONIUM_MPI_IS_OPENMPI") else "mpich"
        scalapack = self.other_scalapack(OTHER[mpi])
        code, said = self.configure(f"-DSCALAPACK_LIBRARY={scalapack}")
        self.assertNotEqual(code, 0, said)
        self.assertIn(f"ScaLAPACK ({scalapack}) was built with another MPI", said)
        self.assertIn(f"Install libscalapack-{mpi}-dev", said)
        self.assertEqual(cache_of(self.path("build"))["HARMONIUM_WERROR"], "OFF")

    def test_a_blas_that_is_not_there_is_told(self):
        code, said = self.configure("-DBLA_VENDOR=NAS")  # of a kind of machine that is no more
        self.assertNotEqual(code, 0, said)
        self.assertIn("Could NOT find BLAS", said)


if __name__ == "__main__":
    unittest.main()
