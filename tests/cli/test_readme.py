"""README's run on MNIST does what it says, word for word, as root too: on few images, and with a short schedule."""
import os
import re
import struct
import subprocess

import numpy

from harmonium import A_HANG, MPI, PROGRAM, SOURCE, Case, main


def block_after(heading):
    """The first indented block under a heading of README.md."""
    with open(os.path.join(SOURCE, "README.md")) as file:
        section = file.read().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"(?:^    .*\n)+", section, re.MULTILINE).group()


class Readme(Case):
    def images(self, rows):
        """As the four files of MNIST."""
        os.mkdir(self.path("DIR"))
        random = numpy.random.default_rng(1)
        for part in ("train", "t10k"):
            images = random.integers(0, 256, (rows, 28, 28), dtype=numpy.uint8)
            self.write(f"DIR/{part}-images-idx3-ubyte", struct.pack(">IIII", 0x803, rows, 28, 28) + images.tobytes())
            self.write(f"DIR/{part}-labels-idx1-ubyte", struct.pack(">II", 0x801, rows) + bytes(row % 10 for row in range(rows)))

    def test_the_run_on_mnist(self):
        self.images(200)
        os.mkdir(self.path("build"))
        os.symlink(os.path.abspath(PROGRAM), self.path("build/harmonium"))
        os.symlink(os.path.abspath(os.path.join(SOURCE, "scripts")), self.path("scripts"))
        os.mkdir(self.path("examples"))
        with open(os.path.join(SOURCE, "examples", "rbm-mnist.yaml")) as file:
            short = re.sub(r"(epochs|temperatures|burn_in|monitor_every):( +)\d+", r"\1:\g<2>20", file.read())
        self.write("examples/rbm-mnist.yaml", short)
        given = {name: value for name, value in {**os.environ, **MPI}.items() if "RUN_AS_ROOT" not in name}
        process = subprocess.run(["bash", "-ec", block_after("A run on MNIST")], stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, cwd=self.folder, env=given, timeout=A_HANG)
        self.assertEqual(process.returncode, 0, process.stderr)
        for made in ("mnist.h5", "runs/mnist/model.h5", "samples.png", "plots/filters.png", "plots/ais.png"):
            self.assertTrue(os.path.exists(self.path(made)), made)

    def test_folders_above_a_run_are_made_and_go_after_a_failure(self):
        config = self.config(self.digits(rows=80))
        self.refuse(3, "batch", "train", config, "-o", self.path("a/b/run"), "--set", "train.batch=4000")
        self.no_leftovers("config.yaml", "digits.h5")
        os.mkdir(self.path("a"))
        self.refuse(3, "batch", "train", config, "-o", self.path("a/b/run/"), "--set", "train.batch=4000")
        self.assertEqual(os.listdir(self.path("a")), [])
        self.succeed("train", config, "-o", self.path("a/b/run/"))
        self.assertTrue(os.path.exists(self.path("a/b/run/model.h5")))
        self.refuse(4, "Not a directory", "train", config, "-o", config + "/x/run")


if __name__ == "__main__":
    main()
