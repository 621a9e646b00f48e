"""A contest on one workload: Harmonium against hand-written peers, in turn, and the table of it. See rbm.py and dbm.py.

All contenders run in turn, round after round, so that a change of the machine's speed meets all of them; a figure is
the median over the rounds. Every contender's thread count is set, and the one it reports is checked.
"""
import dataclasses
import glob
import json
import math
import os
import statistics
import sys
import tempfile

import tools
from tools import mpirun, processor, run, run_json

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = 2
MEGABYTE = 1e6
ROWS = 60000  # of the training data


@dataclasses.dataclass
class Work:
    """What is to be done, and what is to be reached."""
    name: str  # of the benchmark; NAME.yaml is its configuration
    title: str  # for people
    batch: int
    flop_per_update: float
    seconds: float  # of a measurement
    peers: dict  # label: script
    wanted_speedup: dict  # times the fastest peer on as many cores, by number of workers
    wanted_of_peak: float  # share of the multiply-add peak
    allowed_bytes: object  # by number of ranks
    settings: dict = dataclasses.field(default_factory=dict)  # beside those of the configuration
    peer_options: list = dataclasses.field(default_factory=list)


# ---- contenders ----

class Harmonium:
    """`harmonium train`; its own report says how many updates a second its loop made."""

    def __init__(self, work, threads, ranks):
        self.work, self.threads, self.ranks = work, threads, ranks
        self.label = "harmonium, " + (f"{ranks} ranks" if ranks > 1 else f"{threads} thread" + "s" * (threads > 1))
        self.epochs = 2  # a first guess; the first round sets it

    def command(self, options, folder):
        settings = {"data.file": os.path.join(folder, "mnist.h5"), "threads": self.threads,
                    "shards": self.threads * self.ranks, "train.epochs": self.epochs, **self.work.settings}
        usage = os.path.join(folder, "usage")
        command = mpirun(self.ranks) + [sys.executable, os.path.join(HERE, "rank.py"), usage, options.harmonium, "train",
                                        os.path.join(HERE, self.work.name + ".yaml"), "-o", os.path.join(folder, "run"),
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
        epoch = ROWS // self.work.batch / self.measure(options, folder)["updates_per_s"]
        self.epochs = max(2, math.ceil(options.seconds / epoch))


class Peer:
    """One of the hand-written loops beside this file."""

    def __init__(self, work, name, script, threads, ranks):
        self.work, self.threads, self.ranks, self.script = work, threads, ranks, os.path.join(HERE, script)
        self.label = f"{name}, " + (f"{ranks} ranks" if ranks > 1 else f"{threads} thread" + "s" * (threads > 1))

    def prepare(self, options, folder):
        pass

    def measure(self, options, folder):
        return run_json(mpirun(self.ranks) + [sys.executable, self.script, "--threads", str(self.threads), "--seconds",
                                              str(options.seconds), "--blas-core", options.blas_core,
                                              *self.work.peer_options], HARMONIUM_DATA=options.data)


def contenders_of(work):
    """Everybody on one core and on two; peers in numpy + mpi4py use ranks, others threads."""
    ours = [Harmonium(work, 1, 1), Harmonium(work, 2, 1), Harmonium(work, 1, 2)]
    peers = [Peer(work, label, script, *((1, cores) if "mpi4py" in label else (cores, 1)))
             for cores in (1, 2) for label, script in work.peers.items()]
    return sorted(ours + peers, key=workers)


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


def summarise(work, contender, measured, peak):
    rates = [one["updates_per_s"] for one in measured]
    rate = statistics.median(rates)
    gflops = rate * work.flop_per_update * 1e-9
    return {"label": contender.label, "ours": isinstance(contender, Harmonium), "threads": contender.threads,
            "ranks": contender.ranks, "workers": workers(contender), "updates_per_s": rate, "least": min(rates),
            "most": max(rates), "samples_per_s": rate * work.batch, "gflops": gflops,
            "of_peak": gflops / (peak * workers(contender)),
            "cores_used": statistics.median(one["cores_used"] for one in measured),
            "peak_bytes": max(one["peak_bytes"] for one in measured),
            "blas_core": measured[0].get("blas_core", "-")}


def fastest_peer(rows, count):
    return max(row["updates_per_s"] for row in rows if not row["ours"] and row["workers"] == count)


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


def print_verdicts(work, rows):
    print("\nTo reach:")
    for row in (row for row in rows if row["ours"]):
        judge(f"{row['label']}, times the fastest peer", row["of_peer"], work.wanted_speedup[row["workers"]])
        judge(f"{row['label']}, share of the multiply-add peak", row["of_peak"], work.wanted_of_peak, form="{:.0%}")
        judge(f"{row['label']}, peak memory a rank (MB)", row["peak_bytes"] / MEGABYTE,
              work.allowed_bytes(row["ranks"]) / MEGABYTE, at_least=False, form="{:.0f}")


def arguments(works, description):
    options = tools.parse_options(tools.option_parser(description, works[0].seconds))
    if (os.cpu_count() or 1) < CORES:
        print(f"bench: only {os.cpu_count()} core; figures of {CORES} workers will be too low", file=sys.stderr)
    return options


def hold_one(work, options, peak):
    contenders = contenders_of(work)
    with tempfile.TemporaryDirectory() as folder:
        found = measure_all(contenders, options, folder)
    rows = [summarise(work, contender, found[contender.label], peak) for contender in contenders]
    for row in rows:
        row["of_peer"] = row["updates_per_s"] / fastest_peer(rows, row["workers"])
    print(f"{work.title}; median of {options.rounds} rounds of {options.seconds:g} s, in turn")
    print(f"{processor()}, {os.cpu_count()} cores; measured multiply-add peak {peak:.0f} GFLOP/s a core (fp32); "
          f"{work.flop_per_update * 1e-6:.0f} MFLOP an update\n")
    print_table(rows)
    print_verdicts(work, rows)
    return {"bench": work.name, "title": work.title, "peak_gflops_per_core": peak, "contenders": rows}


def hold(works, description):
    options = arguments(works, description)
    peak = run_json([options.harmonium, "doctor", "--json", "--quiet"])["peak_gflops_per_core"]
    options.blas_core = tools.fastest_blas_core()
    results = []
    for work in works:
        if results:
            print()
        results.append(hold_one(work, options, peak))
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(results if len(results) > 1 else results[0], file, indent=1)
