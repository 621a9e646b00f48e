"""Training beside other programs: how long it takes with 0, 1 and 2 busy loops on the cores, by how threads wait.

A busy loop is a process that computes without end; this program starts them and ends them. All contenders run in turn,
round after round, and the shortest time of each counts: what else runs on the machine only makes times longer.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile

import tools
from tools import mpirun, print_cells, processor, run, run_json

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "..", "..", "examples", "rbm-mnist-pcd500.yaml")

# (label, threads, ranks, environment)
CONTENDERS = [
    ("1 thread", 1, 1, {}),
    ("2 threads", 2, 1, {}),
    ("2 threads, OMP_WAIT_POLICY=passive", 2, 1, {"OMP_WAIT_POLICY": "passive"}),
    ("2 threads, OMP_WAIT_POLICY=active", 2, 1, {"OMP_WAIT_POLICY": "active"}),
    ("2 threads, GOMP_SPINCOUNT=300000", 2, 1, {"GOMP_SPINCOUNT": "300000"}),
    ("2 ranks", 1, 2, {}),
]
REFERENCE = "2 threads, OMP_WAIT_POLICY=passive"
LOOPS = (0, 1, 2)


@contextlib.contextmanager
def busy_loops(count):
    """That many loops, which end with the block, however it ends."""
    loops = []
    try:
        for _ in range(count):
            loops.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def train(options, folder, threads, ranks, environment):
    settings = {"data.file": os.path.join(folder, "mnist.h5"), "train.epochs": options.epochs, "threads": threads}
    command = mpirun(ranks) + [options.harmonium, "train", EXAMPLE, "-o", os.path.join(folder, "run"), "--overwrite",
                               "--quiet", "--json"]
    command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return run_json(command, **environment)["seconds"]


def measure(options, folder):
    """{(label, loops): the times of all rounds}"""
    times = {(label, loops): [] for label, *_ in CONTENDERS for loops in LOOPS}
    for round_ in range(options.rounds):
        for label, *how in CONTENDERS:
            for loops in LOOPS:
                with busy_loops(loops):
                    times[label, loops].append(train(options, folder, *how))
                print(f"round {round_ + 1}: {label}, {loops} loops: {times[label, loops][-1]:.2f} s", file=sys.stderr)
    return times


def table(times):
    best = {key: min(values) for key, values in times.items()}
    cells = [["seconds (times those of the passive policy)", *(f"{loops} busy loops" for loops in LOOPS)]]
    for label, *_ in CONTENDERS:
        cells.append([label, *(f"{best[label, loops]:.2f} ({best[label, loops] / best[REFERENCE, loops]:.2f})"
                               for loops in LOOPS)])
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harmonium", default="build/harmonium", metavar="PROGRAM")
    parser.add_argument("--data", default=os.environ.get("HARMONIUM_DATA"), metavar="DIR", help="holds mnist/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="of each measurement")
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the times there, as JSON")
    options = tools.parse_options(parser)
    with tempfile.TemporaryDirectory() as folder:
        run([options.harmonium, "import", "mnist", os.path.join(options.data, "mnist"), "-o",
             os.path.join(folder, "mnist.h5"), "--quiet"])
        times = measure(options, folder)
    print(f"{processor()}, {os.cpu_count()} cores; rbm-mnist-pcd500, {options.epochs} epochs, seed 1; shortest of "
          f"{options.rounds} rounds\n")
    print_cells(table(times))
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump([{"how": label, "busy_loops": loops, "seconds": values} for (label, loops), values in times.items()],
                      file, indent=1)


if __name__ == "__main__":
    main()
