"""Scripts say which Python packages are missing and how to get them, whichever Python runs them."""
import glob
import os
import subprocess
import sys

from harmonium import SOURCE, Case, main

PACKAGES = ("h5py", "matplotlib", "numpy", "yaml")
NEEDS = {"plot_run.py": "h5py, matplotlib, numpy", "run_summary.py": "h5py", "sweep_table.py": "h5py, yaml"}


class Packages(Case):
    def script(self, name, reason):
        """The script under a Python whose packages end with `reason` when they are imported."""
        for package in PACKAGES:
            self.write(f"{package}.py", reason.format(package))
        return subprocess.run([sys.executable, os.path.join(SOURCE, "scripts", name), "RUN"], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": self.folder}, timeout=300)

    def test_missing_packages_are_named(self):
        scripts = {os.path.basename(path) for path in glob.glob(os.path.join(SOURCE, "scripts", "*.py"))}
        self.assertEqual(scripts - set(NEEDS), {"packages.py", "reproduce.py", "results.py"})  # which need none
        for name, packages in NEEDS.items():
            process = self.script(name, "raise ModuleNotFoundError('No module named {0}', name='{0}')")
            self.assertEqual((process.returncode, process.stdout), (2, ""), process.stderr)
            self.assertIn(f"{name}: {sys.executable} cannot import {packages}; ", process.stderr)
            pip = packages.replace(",", "").replace("yaml", "pyyaml")
            self.assertIn(f"{sys.executable} -m pip install {pip}\n", process.stderr)
            self.assertNotIn("Traceback", process.stderr)

    def test_a_broken_package_is_told_from_a_missing_one(self):
        process = self.script("sweep_table.py", "raise ImportError('wrong version of {}')")
        self.assertEqual((process.returncode, process.stdout), (2, ""), process.stderr)
        self.assertIn("cannot import h5py (wrong version of h5py), yaml (wrong version of yaml); ", process.stderr)
        self.assertNotIn("Traceback", process.stderr)

    def test_a_script_without_packages_runs_without_them(self):
        path = os.path.join(SOURCE, "scripts", "reproduce.py")
        process = subprocess.run([sys.executable, "-S", path, "--list"], capture_output=True, text=True, timeout=300)
        self.assertEqual(process.returncode, 0, process.stderr)


if __name__ == "__main__":
    main()
