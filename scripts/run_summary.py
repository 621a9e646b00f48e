#!/usr/bin/env python3
"""Print the figures of a trained run as a table, from RUN/model.h5.

    scripts/run_summary.py RUN [--times NAME=SECONDS ...] [--files FILE ...]

One line an estimate of /evaluation: log Z and the mean log-probability of an example, each with its standard error,
and the effective sample size. --times and --files are what scripts/quickstart.sh adds.
"""
import argparse
import os
import sys

import packages
import results

packages.require("h5py")
import h5py  # noqa: E402 - after what is missing has been told


def scalar(group, name):
    return float(group[name][()]) if name in group else None


def with_error(group, name):
    """'-142.56 ± 0.21', or '-' where the estimate does not have it."""
    value, error = scalar(group, name), scalar(group, name + "_stderr")
    if value is None:
        return "-"
    return f"{value:.2f} ± {error:.2f}" if error is not None else f"{value:.2f}"


def sample_size(group):
    ess, chains = scalar(group, "ess"), scalar(group, "chains")
    return "-" if ess is None else f"{ess:.1f}" + (f" of {chains:.0f}" if chains else "")


COLUMNS = [
    ("estimate", lambda method, group: method),
    ("log Z (nats)", lambda method, group: with_error(group, "log_z")),
    ("train log p(x) (nats)", lambda method, group: with_error(group, "train_log_prob")),
    ("test log p(x) (nats)", lambda method, group: with_error(group, "test_log_prob")),
    ("ESS", lambda method, group: sample_size(group)),
]


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  " + "   ".join("-" * width for width in widths))


def print_estimates(path):
    with h5py.File(path, "r") as file:
        estimates = [(method, group) for method, group in results.of(file, "evaluation").items()
                     if isinstance(group, h5py.Group) and {"log_z", "train_log_prob", "test_log_prob"} & set(group)]
        if not estimates:
            sys.exit(f"run_summary.py: {path} has no /evaluation; make some with: harmonium evaluate RUN")
        print_table([[title for title, _ in COLUMNS]] +
                    [[cell(method, group) for _, cell in COLUMNS] for method, group in estimates])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="the folder that `harmonium train` wrote")
    parser.add_argument("--times", nargs="*", default=[], metavar="NAME=SECONDS")
    parser.add_argument("--files", nargs="*", default=[], metavar="FILE")
    options = parser.parse_args()
    model = os.path.join(options.run, "model.h5")
    if not os.path.exists(model):
        sys.exit(f"run_summary.py: {model} does not exist; give the RUN that `harmonium train` wrote")
    print("\n== Figures")
    print_estimates(model)
    if options.times:
        print("\n== Time")
        times = [time.rpartition("=") for time in options.times]
        print("  " + ", ".join(f"{name} {seconds} s" for name, _, seconds in times))
    print("\n== Files")
    for path in [model, os.path.join(options.run, "metrics.h5")] + options.files:
        print("  " + os.path.abspath(path) + ("" if os.path.exists(path) else "  (missing)"))


if __name__ == "__main__":
    main()
