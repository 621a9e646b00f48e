#!/usr/bin/env python3
"""One table of many runs: the settings in which they differ, and the figures of their estimates with standard errors.

usage: sweep_table.py FOLDER [FOLDER ...] [--method NAME] [--csv FILE]

A FOLDER is a run, or holds runs (as slurm/sweep.sbatch leaves them). Runs without a model are counted, not listed. The
rows are sorted by the test log-probability, the best first. Ends with 3 when there is no run.
"""
import argparse
import csv
import glob
import os
import re
import sys

import packages
import results

packages.require("h5py", "yaml")
import h5py  # noqa: E402 - after what is missing has been told
import yaml  # noqa: E402

METHODS = ("exact", "ais", "ais_uniform", "reverse_ais", "raise")  # the first one that a run has, unless --method
FIGURES = ("log_z", "train_log_prob", "test_log_prob")


def find_runs(folders):
    for folder in folders:
        if os.path.exists(os.path.join(folder, "config.yaml")):
            yield folder
        else:
            yield from sorted((os.path.dirname(path) for path in glob.glob(os.path.join(folder, "*", "config.yaml"))),
                              key=lambda path: (len(path), path))


def number(value):
    """Versions before 0.1.0 wrote 1e-05, which YAML 1.1 takes for a text."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d+e[+-]?\d+", value) else value


def flatten(sections):
    for section, value in sections.items():
        if isinstance(value, dict):
            yield from ((f"{section}.{key}", number(leaf)) for key, leaf in value.items())
        else:
            yield section, number(value)


def read(folder, method):
    """(settings, method, {figure: (value, standard error)}), or None without a model."""
    try:
        with h5py.File(os.path.join(folder, "model.h5")) as file:
            settings = dict(flatten(yaml.safe_load(file.attrs["config"])))
            estimates = results.of(file, "evaluation")
            chosen = next((name for name in ((method,) if method else METHODS) if name in estimates), None)
            figures = {}
            for figure in FIGURES if chosen else ():
                if figure in estimates[chosen]:
                    error = estimates[chosen].get(figure + "_stderr")
                    figures[figure] = (float(estimates[chosen][figure][()]), float(error[()]) if error is not None else None)
            return settings, chosen, figures
    except OSError:
        return None


def show(value, setting):
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) and not setting else str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--method", help="exact, ais, ... (default: the first of these that a run has)")
    parser.add_argument("--csv", metavar="FILE", help="also as a CSV file")
    arguments = parser.parse_args()
    runs = {folder: read(folder, arguments.method) for folder in find_runs(arguments.folders)}
    done = {folder: run for folder, run in runs.items() if run}
    if not done:
        print("sweep_table.py: no finished run in " + ", ".join(arguments.folders), file=sys.stderr)
        return 3
    keys = list(dict.fromkeys(key for settings, _, _ in done.values() for key in settings))
    differing = [key for key in keys if len({str(settings.get(key)) for settings, _, _ in done.values()}) > 1]
    header = ["run", *differing, "method", *(name for figure in FIGURES for name in (figure, figure + "_stderr"))]

    def worth(folder):
        return done[folder][2].get("test_log_prob", (float("-inf"),))[0]

    rows = [[folder, *(settings.get(key, "") for key in differing), method or "",
             *(part for figure in FIGURES for part in figures.get(figure, (None, None)))]
            for folder in sorted(done, key=worth, reverse=True) for settings, method, figures in (done[folder],)]
    table = [header] + [[show(value, column <= len(differing)) for column, value in enumerate(row)] for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print("  ".join(value.ljust(width) for value, width in zip(row, widths)).rstrip())
    if len(done) < len(runs):
        print(f"{len(runs) - len(done)} of {len(runs)} runs have no model yet", file=sys.stderr)
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            csv.writer(file).writerows([header] + [["" if value is None else value for value in row] for row in rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
