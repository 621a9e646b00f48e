"""Runs that are broken on purpose: shared by the tests of this folder."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
from harmonium import *  # noqa: E402,F401,F403
from harmonium import Case  # noqa: E402


class Broken(Case):
    """A run of a second or two, and what it gives when nobody disturbs it."""

    def begin(self, epochs=60, hidden=100, more="checkpoint: {steps: 40}", chains=200):
        data = self.digits(rows=1000)
        self.configuration = self.config(data, model=f"hidden: {hidden}", more=more,
                                         train=f"epochs: {epochs}, batch: 44, learning_rate: 0.02, monitor_every: 7, "
                                               f"momentum: 0.5, chains: {chains}, k: 3")
        self.whole = self.path("whole")
        self.succeed("train", self.configuration, "-o", self.whole, "--quiet", ranks=2)
        return self.configuration
