"""The layers point one way, nothing below the commands prints or ends the program, and every family has its parts.

src (numerics: no MPI, no files) <- mpi (ranks) <- io (files) <- src/cli (the commands, where the three meet).
"""
import os
import re
import tempfile
import unittest

SOURCE = os.environ.get("HARMONIUM_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

INCLUDE = r"^\s*#\s*include\s*[<\"]"
OUTER_LIBRARIES = INCLUDE + r"(mpi\.h|mpio?\.h|hdf5\.h|H5\w*\.h|hdf5_hl\.h|yaml\.h|png\.h|zlib\.h)[>\"]"


def below(folder):
    return lambda path: path.startswith(folder + "/")


def outside_cli(path):
    return not path.startswith("src/cli/") and path.startswith(("src/", "mpi/", "io/"))


def numerics(path):
    return path.startswith("src/") and not path.startswith("src/cli/")


# What must not be found: (the claim, which files, the pattern in code without comments and, but for includes, strings).
FORBIDDEN = [
    ("src has no MPI and no files: mpi.h, hdf5.h and their like belong to mpi/, io/ and src/cli", numerics,
     OUTER_LIBRARIES),
    ("src does not know mpi/, io/ or the commands", numerics, INCLUDE + r"(\.\./)*(mpi|io|cli)/"),
    ("mpi/ does not know io/ or the commands", below("mpi"), INCLUDE + r"(\.\./)*(io|cli)/"),
    ("io/ does not know the commands", below("io"), INCLUDE + r"(\.\./)*cli/"),
    ("src/core knows no other layer of src", below("src/core"), INCLUDE + r"(nets|boltzmann|models|infer|train)/"),
    ("only the commands print to stdout", outside_cli,
     r"(?<!\w)(printf|vprintf|puts|putchar)\s*\(|\bstdout\b"),
    ("only the commands end the program", outside_cli,
     r"(?<!\w)(exit|_exit|_Exit|quick_exit|abort|MPI_Abort)\s*\("),
    ("ranks come from the command's world, handed down", outside_cli, r"\bMPI_COMM_WORLD\b"),
    ("random numbers come from hm_rng alone, keyed by the seed", outside_cli,
     r"(?<!\w)(rand|srand|random|srandom|drand48|rand_r)\s*\("),
]


def without_comments(code, keep_strings):
    """The code with every comment (and, unless kept, every string's content) blanked, lines where they were."""
    def blank(match):
        token = match.group(0)
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        return token if keep_strings else token[0] + " " * (len(token) - 2) + token[-1]
    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, code, flags=re.DOTALL)


def c_files(root):
    for top in ("src", "mpi", "io"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def violations(root):
    """'path:line: the line - the claim that it breaks' for every line that breaks one."""
    found = []
    for path in c_files(root):
        text = read(root, path)
        for claim, applies, pattern in FORBIDDEN:
            if not applies(path):
                continue
            code = without_comments(text, keep_strings=pattern.startswith(INCLUDE))
            for match in re.finditer(pattern, code, re.MULTILINE):
                line = code.count("\n", 0, match.start() + len(match.group(0)) - 1) + 1
                found.append(f"{path}:{line}: {match.group(0).strip()} - {claim}")
    return found


def families(root):
    return re.findall(r"^HM_MODEL\((\w+)\)", read(root, "src/models/models.def"), re.MULTILINE)


def missing_parts(root):
    """What the families of models.def lack: their file, a test in their name, an example configuration."""
    tests = [name for folder in ("unit", "mpi", "cli", "data") if os.path.isdir(os.path.join(root, "tests", folder))
             for name in os.listdir(os.path.join(root, "tests", folder))]
    examples = [read(root, "examples/" + name) for name in sorted(os.listdir(os.path.join(root, "examples")))
                if name.endswith(".yaml")]
    missing = []
    for family in families(root):
        if not os.path.exists(os.path.join(root, "src/models", family + ".c")):
            missing.append(f"{family}: no src/models/{family}.c")
        if not any(re.match(rf"test_(\w+_)?{family}(_\w+)?\.(c|py)$", name) for name in tests):
            missing.append(f"{family}: no tests/*/test_{family}*")
        if not any(re.search(rf"^\s+family:\s*{family}\b", example, re.MULTILINE) for example in examples):
            missing.append(f"{family}: no examples/*.yaml with 'family: {family}'")
    listed = {family + ".c" for family in families(root)} | {"model.c"}
    stray = [name for name in os.listdir(os.path.join(root, "src/models"))
             if name.endswith(".c") and name not in listed
             and re.search(r"\bhm_model_class\s+hm_model_\w+\s*=", read(root, "src/models/" + name))]
    return missing + [f"src/models/{name} defines a family that models.def does not list" for name in stray]


class Layering(unittest.TestCase):
    def test_layers_point_one_way(self):
        self.assertGreater(len(list(c_files(SOURCE))), 20, "the sources were not found")
        found = violations(SOURCE)
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_family_has_its_parts(self):
        self.assertIn("rbm", families(SOURCE))
        missing = missing_parts(SOURCE)
        self.assertEqual(missing, [], "\n" + "\n".join(missing))


class TheCheckItself(unittest.TestCase):
    """Each rule finds the line that breaks it, and leaves alone what only looks like one."""

    BAD = {
        "src/core/a.c": "#include <mpi.h>",
        "src/models/b.c": '#include "hdf5.h"',
        "src/infer/c.h": '#include "mpi/comm_mpi.h"',
        "src/train/d.c": 'void f(void) { printf("%d", 1); }',
        "src/core/e.c": '#include "models/model.h"',
        "src/core/f.c": "void f(void)\n{\n    exit(1);\n}",
        "src/core/g.c": "int f(void) { return rand(); }",
        "mpi/h.c": '#include "io/store.h"',
        "mpi/i.c": "void f(void) { MPI_Abort(comm, 1); }",
        "io/j.c": "void f(void) { fputs(text, stdout); }",
        "io/k.c": "hm_status s = open_all(MPI_COMM_WORLD);",
        "io/l.c": '#include "cli/cli.h"',
    }
    GOOD = {
        "src/cli/main.c": '#include <mpi.h>\n#include "io/store.h"\nint main(void) { printf("x"); exit(MPI_COMM_WORLD); }',
        "src/core/m.c": '/* printf(1)\n exit(2) */ // mpi.h\nconst char *say = "call exit(1) or abort()";',
        "src/core/n.c": "void f(void) { snprintf(out, 9, format); fprintf(stderr, text); hm_exit(1); at_exit(2); }",
        "mpi/o.c": '#include <mpi.h>\n#include "core/comm.h"',
        "io/p.c": '#include <hdf5.h>\n#include "mpi/comm_mpi.h"',
    }

    def tree(self, files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder.name, path)), exist_ok=True)
            with open(os.path.join(folder.name, path), "w", encoding="utf-8") as file:
                file.write(text + "\n")
        return folder.name

    def test_finds_every_violation(self):
        found = violations(self.tree({**self.BAD, **self.GOOD}))
        self.assertEqual(sorted({line.split(":")[0] for line in found}), sorted(self.BAD))
        self.assertEqual(len(found), len(self.BAD), found)
        self.assertIn("src/core/f.c:3: exit(", "\n".join(found))

    def test_finds_what_a_family_lacks(self):
        whole = {"src/models/models.def": "HM_MODEL(rbm)\nHM_MODEL(dbm)", "src/models/rbm.c": "", "src/models/dbm.c": "",
                 "tests/unit/test_rbm_gradient.c": "", "tests/cli/test_train_dbm.py": "",
                 "examples/a.yaml": "model:\n  family: rbm", "examples/b.yaml": "model:\n  family: dbm"}
        self.assertEqual(missing_parts(self.tree(whole)), [])
        for part in ("src/models/dbm.c", "tests/cli/test_train_dbm.py", "examples/b.yaml"):
            rest = {path: text for path, text in whole.items() if path != part}
            missing = missing_parts(self.tree(rest))
            self.assertEqual([line.split(":")[0] for line in missing], ["dbm"], part)
        stray = {**whole, "src/models/vae.c": "const hm_model_class hm_model_vae = {"}
        self.assertEqual(len(missing_parts(self.tree(stray))), 1)


if __name__ == "__main__":
    unittest.main()
