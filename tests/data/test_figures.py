"""Quick variants of what scripts/reproduce.sh makes: every published figure's configuration trains, and gets somewhere."""
import os
import sys
import unittest

if not os.environ.get("HARMONIUM_DATA"):
    print("skipped: HARMONIUM_DATA is not set")
    sys.exit(77)
sys.path.insert(0, os.path.join(os.environ.get("HARMONIUM_SOURCE", "."), "tests", "cli"))
sys.path.insert(0, os.path.join(os.environ.get("HARMONIUM_SOURCE", "."), "scripts"))

import reproduce  # noqa: E402
from harmonium import Case  # noqa: E402


class Figures(Case):
    def test_every_configuration_gets_somewhere(self):
        for name, what in reproduce.FIGURES.items():
            with self.subTest(name):
                report, value, error = reproduce.reproduce(name, os.environ["HARMONIUM"], self.folder, quick=True)
                print(f"{name}: {value:.4f} +- {error:.4f}", flush=True)
                self.assertGreaterEqual(value, what.get("least", value))
                self.assertLessEqual(value, what.get("most", value))
                if "reverse_ais" in report:
                    self.assertLess(abs(report["bracket"]["gap"]), 10)


if __name__ == "__main__":
    unittest.main()
