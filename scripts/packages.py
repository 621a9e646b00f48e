"""The Python packages that a script needs, found before it begins."""
import importlib
import os
import subprocess
import sys

SYSTEM_PYTHON = "/usr/bin/python3"
DEBIAN = {"yaml": "python3-yaml"}  # others are called python3-NAME
PYPI = {"yaml": "pyyaml"}  # others are called NAME


def lacking(names):
    """Those that cannot be imported, each with the reason when it is there but broken."""
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            yield name, "" if error.name == name else f" ({error})"
        except ImportError as error:
            yield name, f" ({error})"


def has(python, names):
    """Can another Python import them?"""
    if not os.access(python, os.X_OK) or os.path.realpath(python) == os.path.realpath(sys.executable):
        return False
    return subprocess.run([python, "-c", "import " + ", ".join(names)], capture_output=True).returncode == 0


def require(*names):
    """Ends the script with 2, saying what is missing and how to get it, unless all can be imported."""
    missing = list(lacking(names))
    if not missing:
        return
    script = sys.argv[0]
    apt = " ".join(DEBIAN.get(name, "python3-" + name) for name, _ in missing)
    pip = " ".join(PYPI.get(name, name) for name, _ in missing)
    ways = [f"apt install {apt}    (Debian and Ubuntu, for {SYSTEM_PYTHON})", f"{sys.executable} -m pip install {pip}"]
    if has(SYSTEM_PYTHON, names):
        ways = [f"{SYSTEM_PYTHON} {script} ...    (it has them)", ways[1]]
    print(f"{os.path.basename(script)}: {sys.executable} cannot import " +
          ", ".join(name + reason for name, reason in missing) + "; one of these helps:\n  " + "\n  ".join(ways),
          file=sys.stderr)
    sys.exit(2)
