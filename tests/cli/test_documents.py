"""Every file that the documentation names is in the repository, and the licence and the citation are whole."""
import os
import re
import tempfile
import unittest

import yaml

SOURCE = os.environ.get("HARMONIUM_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

# Folders that a path is relative to: the repository, and in text also src (as in #include).
ROOTS = ("", "src")
FOLDERS = ("src", "core", "nets", "boltzmann", "models", "infer", "train", "cli", "mpi", "io", "scripts", "slurm", "examples",
           "docs", "tests", "cmake", ".ci")
LINK = r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)"
PATH = r"(?<![\w./$-])((?:%s)/[\w./-]*\.(?:c|h|def|py|sh|sbatch|yaml|md|png|txt|in))\b" % "|".join(map(re.escape, FOLDERS))
# A document by its name alone: one in Markdown, or a word in capitals that is usually the name of one.
DOCUMENT = r"(?<![\w./-])(\w+\.md|DESIGN|SPEC|SPECIFICATION|ROADMAP|TODO|PLAN|NOTES|ISSUES?|LICENSE|CHANGELOG|CONTRIBUTING)\b"
PLACEHOLDERS = r"NAME|CLAIM|TARGET|FAMILY"


def texts(root):
    """(path, text) of every document and, with only their comments, of every source file."""
    for top, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders
                            if not name.startswith((".", "build")) and name not in ("corpus", "quickstart"))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(top, name), root)
            if not name.endswith((".md", ".c", ".h")):
                continue
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read()
            if not name.endswith(".md"):
                text = "\n".join(re.findall(r"/\*.*?\*/|//[^\n]*", text, re.DOTALL))
            yield path, text


def exists(root, path):
    return any(os.path.exists(os.path.join(root, base, path)) for base in ROOTS)


def missing_files(root):
    """'path: what it names' for everything that a text names and the repository does not have."""
    missing = []
    for path, text in texts(root):
        folder = os.path.dirname(path)
        for name in re.findall(LINK, text) if path.endswith(".md") else []:
            if not os.path.exists(os.path.join(root, folder, name)):
                missing.append(f"{path}: {name}")
        for name in re.findall(PATH, text):
            if not re.search(PLACEHOLDERS, name) and not exists(root, name):
                missing.append(f"{path}: {name}")
        for name in re.findall(DOCUMENT, text):
            if not any(os.path.exists(os.path.join(root, base, name + suffix))
                       for base in ("", folder) for suffix in ("", ".md")):
                missing.append(f"{path}: {name}")
    return missing


class Documents(unittest.TestCase):
    def test_every_file_that_is_named_exists(self):
        self.assertGreater(len([path for path, _ in texts(SOURCE) if path.endswith(".md")]), 5, "no documents found")
        missing = missing_files(SOURCE)
        self.assertEqual(missing, [], "\n" + "\n".join(missing))

    def test_the_licence_is_that_of_the_citation(self):
        with open(os.path.join(SOURCE, "LICENSE"), encoding="utf-8") as file:
            licence = file.read()
        for part in ("Apache License\n", "Version 2.0, January 2004", "9. Accepting Warranty", "END OF TERMS AND CONDITIONS"):
            self.assertIn(part, licence)
        with open(os.path.join(SOURCE, "CITATION.cff"), encoding="utf-8") as file:
            citation = yaml.safe_load(file)
        with open(os.path.join(SOURCE, "CMakeLists.txt"), encoding="utf-8") as file:
            version = re.search(r"project\(harmonium VERSION ([\d.]+)", file.read()).group(1)
        # What the schema of CFF 1.2.0 requires, and the types of what is there.
        self.assertEqual(citation["cff-version"], "1.2.0")
        self.assertLessEqual({"cff-version", "message", "title", "authors"}, set(citation))
        self.assertTrue(all(isinstance(author["name"], str) for author in citation["authors"]))
        self.assertEqual((citation["type"], citation["license"], citation["version"]), ("software", "Apache-2.0", version))


class TheCheckItself(unittest.TestCase):
    def test_finds_what_is_missing_alone(self):
        files = {
            "README.md": "[a](docs/a.md#part), `scripts/run.sh`, `core/x.h`, [out](https://x.org/y.md), runs/m.h5, CHANGELOG",
            "CHANGELOG.md": "`src/models/NAME.c`, tests/unit/test_CLAIM.c, config.yaml",
            "docs/a.md": "[back](../README.md), a.md, [gone](b.md), `scripts/gone.sh`, DESIGN put it there",
            "src/core/x.h": "/* As in docs/gone.md. */\nconst char *path = \"docs/other.md\";",
            "scripts/run.sh": "",
        }
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            self.assertEqual(sorted(set(missing_files(root))), [
                "docs/a.md: DESIGN", "docs/a.md: b.md", "docs/a.md: scripts/gone.sh", "src/core/x.h: docs/gone.md"])


if __name__ == "__main__":
    unittest.main()
