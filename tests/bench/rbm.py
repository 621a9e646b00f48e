"""Measure Harmonium against its peers on one workload, and print the table. scripts/bench.sh rbm runs this.

    python3 tests/bench/rbm.py --harmonium build/harmonium --data DIR [--rounds 3] [--seconds 6] [-o FILE.json]

All contenders run in turn, round after round, so that a change of the machine's speed meets all of them; a figure is
the median over the rounds. Every contender's thread count is set, and the one it reports is checked.
"""
import glob
import json
import math
import os
import statistics
import sys
import tempfile

import peer_common as workload
import tools
from tools import mpirun, processor, run, run_json

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = 2
# To reach: times the fastest peer on as many cores, by number of workers; share of the multiply-add peak.
WANTED_SPEEDUP = {1: 1.3, 2: 1.6}
WANTED_OF_PEAK = 0.65
MEGABYTE = 1e6


# ---- contenders ----

class Harmonium:
    """`harmonium train`; its own report says how many updates a second its loop made."""

    def __init__(self, threads, ranks):
        self.threads, self.ranks = threads, ranks
        self.label = "harmonium, " + (f"{ranks} ranks" if ranks > 1 else f"{threads} thread" + "s" * (threads > 1))
        self.epochs = 2  # a first guess; the first round sets it

    def command(self, options, folder):
        settings = {"data.file": os.path.join(folder, "mnist.h5"), "threads": self.threads,
                    "train.epochs": self.epochs}
        usage = os.path.join(folder, "usage")
        command = mpirun(self.ranks) + [sys.executable, os.path.join(HERE, "rank.py"), usage, options.harmonium, "train",
                                        os.path.join(HERE, "rbm.yaml"), "-o", os.path.join(folder, "run"),
                                        "--overwrite", "--quiet", "--json"]
        return command + [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]

    def measure(self, options, folder):
        for old in glob.glob(os.path.join(folder, "usage.*")):
            os.remove(old)
        report = run_json(self.command(options, folder))
        usages = []
        for path in glob.glob(os.path.join(folder, "usage.*")):
            with open(path, encoding="utf-8") as file:
                usages.append(json.load(file))
        return {"updates_per_s": report["updates_per_s"], "threads": report.get("threads", self.threads),
                "ranks": report.get("ranks", self.ranks), "peak_bytes": max(usage["peak_bytes"] for usage in usages),
                "cores_used": sum(usage["cpu_s"] / usage["wall_s"] for usage in usages)}

    def prepare(self, options, folder):
        """A short run that warms the page cache and says how many epochs fill the time to measure."""
        epoch = 60000 // workload.BATCH / self.measure(options, folder)["updates_per_s"]
        self.epochs = max(2, math.ceil(options.seconds / epoch))


class Peer:
    """One of the hand-written loops beside this file."""

    def __init__(self, name, script, threads, ranks):
        self.threads, self.ranks, self.script = threads, ranks, os.path.join(HERE, script)
        self.label = f"{name}, " + (f"{ranks} ranks" if ranks > 1 else f"{threads} thread" + "s" * (threads > 1))

    def prepare(self, options, folder):
        pass

    def measure(self, options, folder):
        return run_json(mpirun(self.ranks) + [sys.executable, self.script, "--threads", str(self.threads), "--seconds",
                                              str(options.seconds)], HARMONIUM_DATA=options.data)


CONTENDERS = [
    Harmonium(1, 1), Peer("PyTorch", "peer_torch.py", 1, 1), Peer("numpy + mpi4py", "peer_mpi4py.py", 1, 1),
    Harmonium(2, 1), Harmonium(1, 2), Peer("PyTorch", "peer_torch.py", 2, 1),
    Peer("numpy + mpi4py", "peer_mpi4py.py", 1, 2),
]


# ---- measuring ----

def workers(contender):
    return contender.threads * contender.ranks


def measure_all(contenders, options, folder):
    """The measurements of every contender, by label: as many as rounds."""
    run([options.harmonium, "import", "mnist", os.path.join(options.data, "mnist"), "-o",
         os.path.join(folder, "mnist.h5"), "--quiet"])
    for contender in contenders:
        contender.prepare(options, folder)
    found = {contender.label: [] for contender in contenders}
    for turn in range(options.rounds):
        for contender in contenders:
            measured = contender.measure(options, folder)
            asked = (contender.threads, contender.ranks)
            if (measured["threads"], measured["ranks"]) != asked:
                sys.exit(f"bench: {contender.label} ran on {measured['threads']} threads and {measured['ranks']} ranks")
            found[contender.label].append(measured)
            print(f"round {turn + 1}: {contender.label:<26} {measured['updates_per_s']:8.1f} updates/s", file=sys.stderr)
    return found


def summarise(contender, measured, peak):
    rates = [one["updates_per_s"] for one in measured]
    rate = statistics.median(rates)
    gflops = rate * workload.FLOP_PER_UPDATE * 1e-9
    return {"label": contender.label, "ours": isinstance(contender, Harmonium), "threads": contender.threads,
            "ranks": contender.ranks, "workers": workers(contender), "updates_per_s": rate, "least": min(rates),
            "most": max(rates), "samples_per_s": rate * workload.BATCH, "gflops": gflops,
            "of_peak": gflops / (peak * workers(contender)),
            "cores_used": statistics.median(one["cores_used"] for one in measured),
            "peak_bytes": max(one["peak_bytes"] for one in measured),
            "blas_core": measured[0].get("blas_core", "-")}


def fastest_peer(rows, count):
    return max(row["updates_per_s"] for row in rows if not row["ours"] and row["workers"] == count)


def allowed_bytes(ranks):
    """3 x (parameters + optimiser + a rank's share of the data and chains) + 150 MB."""
    parameters = 4 * (workload.VISIBLE * workload.HIDDEN + workload.VISIBLE + workload.HIDDEN)
    data = 60000 * workload.VISIBLE / ranks
    chains = 4 * workload.CHAINS * (workload.VISIBLE + workload.HIDDEN) / ranks
    return 3 * (2 * parameters + data + chains) + 150 * MEGABYTE


# ---- printing ----

COLUMNS = [
    ("", lambda row: row["label"]),
    ("threads", lambda row: str(row["threads"])),
    ("ranks", lambda row: str(row["ranks"])),
    ("updates/s", lambda row: f"{row['updates_per_s']:.1f}"),
    ("(range)", lambda row: f"{row['least']:.0f}-{row['most']:.0f}"),
    ("samples/s", lambda row: f"{row['samples_per_s']:,.0f}"),
    ("GFLOP/s", lambda row: f"{row['gflops']:.1f}"),
    ("of peak", lambda row: f"{row['of_peak']:.0%}"),
    ("x peer", lambda row: f"{row['of_peer']:.2f}"),
    ("cores used", lambda row: f"{row['cores_used']:.2f}"),
    ("MB/rank", lambda row: f"{row['peak_bytes'] / MEGABYTE:.0f}"),
    ("BLAS kernels", lambda row: row["blas_core"]),
]


def print_table(rows):
    tools.print_cells([[title for title, _ in COLUMNS]] + [[show(row) for _, show in COLUMNS] for row in rows])


def judge(what, value, wanted, at_least=True, form="{:.2f}"):
    met = value >= wanted if at_least else value <= wanted
    print(f"  {'met    ' if met else 'NOT MET'}  {what}: {form.format(value)}, to reach: "
          f"{'at least' if at_least else 'at most'} {form.format(wanted)}")


def print_verdicts(rows):
    print("\nTo reach:")
    for row in (row for row in rows if row["ours"]):
        judge(f"{row['label']}, times the fastest peer", row["of_peer"], WANTED_SPEEDUP[row["workers"]])
        judge(f"{row['label']}, share of the multiply-add peak", row["of_peak"], WANTED_OF_PEAK, form="{:.0%}")
        judge(f"{row['label']}, peak memory a rank (MB)", row["peak_bytes"] / MEGABYTE,
              allowed_bytes(row["ranks"]) / MEGABYTE, at_least=False, form="{:.0f}")


def arguments():
    options = tools.parse_options(tools.option_parser(__doc__, workload.SECONDS))
    if (os.cpu_count() or 1) < CORES:
        print(f"bench: only {os.cpu_count()} core; figures of {CORES} workers will be too low", file=sys.stderr)
    return options


def main():
    options = arguments()
    peak = run_json([options.harmonium, "doctor", "--json", "--quiet"])["peak_gflops_per_core"]
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(CONTENDERS, options, folder)
    rows = [summarise(contender, found[contender.label], peak) for contender in CONTENDERS]
    for row in rows:
        row["of_peer"] = row["updates_per_s"] / fastest_peer(rows, row["workers"])
    print(f"{workload.VISIBLE} x {workload.HIDDEN}, batch {workload.BATCH}, {workload.CHAINS} chains, PCD-1, MNIST "
          f"thresholded; median of {options.rounds} rounds of {options.seconds:g} s, in turn")
    print(f"{processor()}, {os.cpu_count()} cores; measured multiply-add peak {peak:.0f} GFLOP/s a core (fp32); "
          f"{workload.FLOP_PER_UPDATE * 1e-6:.0f} MFLOP an update\n")
    print_table(rows)
    print_verdicts(rows)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({"bench": "rbm", "peak_gflops_per_core": peak, "contenders": rows}, file, indent=1)


if __name__ == "__main__":
    main()
