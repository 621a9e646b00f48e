"""Octave's load makes structs of the same numbers (MATLAB's h5read sees the same datasets)."""
from outside import FILES, Outside, main

SCRIPT = """
1;
function walk(file, path, item)
  if isstruct(item)
    for [value, key] = item
      walk(file, [path '/' key], value);
    end
  elseif isnumeric(item)
    item = double(item)(:);
    printf('%s %s %d %.17g %.17g\\n', file, path, numel(item), sum(item), item(end));
  end
end
files = argv();
for at = 1:numel(files)
  walk(files{at}, '', load(files{at}));
end
"""


class Octave(Outside):
    tool = "octave-cli"

    def test_every_dataset_has_the_same_numbers(self):
        script = self.write("walk.m", SCRIPT)
        # `lambda` and the like are names of fields too; Octave keeps them.
        self.check_table(self.call("octave-cli", "--norc", "-q", script, *FILES))

    def test_axes_are_in_reverse(self):
        script = self.write("shapes.m", "run = load('run/model.h5'); printf('%d ', size(run.parameters.W), "
                                      "size(run.samples.gibbs));")
        self.assertEqual(self.call("octave-cli", "--norc", "-q", script).split(), ["20", "784", "784", "9"])


if __name__ == "__main__":
    main()
