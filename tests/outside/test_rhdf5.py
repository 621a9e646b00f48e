"""R's rhdf5 (Bioconductor) reads the same numbers."""
import subprocess

from outside import FILES, Outside, main

SCRIPT = """
suppressPackageStartupMessages(library(rhdf5))
for (line in readLines("list.txt")) {
  parts <- strsplit(line, " ")[[1]]
  values <- as.double(h5read(parts[1], parts[2], bit64conversion = "double"))
  cat(sprintf("%s %s %d %.17g %.17g\\n", parts[1], parts[2], length(values), sum(values), values[length(values)]))
}
stopifnot(identical(dim(h5read("run/model.h5", "/parameters/W")), c(20L, 784L)))
stopifnot(h5readAttributes("run/model.h5", "/")$format == "harmonium-model")
"""


class Rhdf5(Outside):
    tool = "Rscript"

    def setUp(self):
        super().setUp()
        if subprocess.run(["Rscript", "-e", "library(rhdf5)"], capture_output=True).returncode != 0:
            self.skipTest("rhdf5 is not installed")

    def test_every_dataset_has_the_same_numbers(self):
        self.write("list.txt", "".join(f"{file} {name}\n" for file, name, _ in self.all_datasets()))
        self.check_table(self.call("Rscript", self.write("read.R", SCRIPT)))
        self.assertEqual(len(FILES), 4)


if __name__ == "__main__":
    main()
