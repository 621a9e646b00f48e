"""h5dump writes the same bytes as h5py reads."""
import numpy

from outside import FILES, Outside, main


class H5dump(Outside):
    tool = "h5dump"

    def test_every_dataset_has_the_same_bytes(self):
        for file, name, values in self.all_datasets():
            self.call("h5dump", "-d", name, "-b", "LE", "-o", "values.bin", file)
            ours = numpy.fromfile(self.path("values.bin"), dtype=numpy.asarray(values).dtype)
            numpy.testing.assert_array_equal(ours, numpy.asarray(values).reshape(-1), f"{file} {name}")

    def test_whole_files_are_dumped(self):
        for file in FILES:
            text = self.call("h5dump", "-H", file)
            self.assertIn('ATTRIBUTE "format_version"', text)


if __name__ == "__main__":
    main()
