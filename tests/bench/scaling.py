"""How training scales here, where its time goes, and what that means for many ranks. scripts/bench.sh scaling runs this.

    python3 tests/bench/scaling.py --harmonium build/harmonium --data DIR [--rounds 3] [--seconds 4]
                                   [--network NAME,MICROSECONDS,GBIT ...] [-o FILE.json]

The model of an update on P ranks, each with b = B / P rows of a batch of B:

    compute     c0 + c1 b                                 fitted to one rank with batches of several sizes
    reduce      2 log2(P) latency + 2 (1 - 1/P) bytes t   recursive halving and doubling (Thakur, Rabenseifner, Gropp 2005)
    agree       2 log2(P) latency                         a sum of two integers over ranks

latency and t (seconds a byte) are fitted to the all-reduce between two ranks. Nothing is hidden behind computing in the
model, although some of it is in the program: it is an upper bound.
"""
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

import numpy

import tools
from tools import mpirun, run, run_json

HERE = os.path.dirname(os.path.abspath(__file__))
CLUSTER = os.path.join(HERE, "..", "slurm", "cluster.sh")
BATCH, BATCHES, SHARDS = 128, (16, 32, 64, 128, 256, 512), 8
BYTES = 4 * (784 * 500 + 2 * 784 + 2 * 500 + 784)  # of the pack of the workload, rbm.yaml
RANKS = (1, 2, 8, 64, 512)
# Assumed, not measured: (name, latency in microseconds, Gbit/s).
NETWORKS = (("10 Gbit/s Ethernet", 25.0, 10.0), ("100 Gbit/s InfiniBand", 2.0, 100.0))
PACK = 1 << 20  # floats: the 4 MB of the comparison with MPI_Allreduce
WANTED_RATIO = 1.5


# ---- measuring ----

class Bench:
    """Measured numbers of this machine; a launcher starts two ranks somewhere else than mpirun here."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        run([options.harmonium, "import", "mnist", os.path.join(options.data, "mnist"), "-o", self.path("mnist.h5"), "--quiet"])

    def path(self, name):
        return os.path.join(self.folder, name)

    def train(self, ranks=1, threads=1, batch=BATCH, launcher=None):
        """One run of about --seconds: updates a second, and milliseconds an update by what they went to."""
        settings = {"data.file": self.path("mnist.h5"), "threads": threads, "shards": SHARDS, "train.batch": batch,
                    "train.chains": 0}
        command = (launcher or mpirun(ranks)) + [self.options.harmonium, "train", os.path.join(HERE, "rbm.yaml"), "-o",
                                                 self.path("run"), "--overwrite", "--quiet", "--json"]
        expected = 600 * ranks * threads * min(1, BATCH / batch) * (1.6 if batch < BATCH else 1)
        settings["train.epochs"] = max(1, round(self.options.seconds * expected / (60000 // batch)))
        report = run_json(command + [word for key, value in settings.items() for word in ("--set", f"{key}={value}")])
        if (report["ranks"], report["threads"]) != (ranks, threads):
            sys.exit(f"bench: asked for {ranks} ranks and {threads} threads, got {report['ranks']} and {report['threads']}")
        split = {name: 1e3 * seconds / report["updates"] for name, seconds in report["times"].items()}
        return {"updates_per_s": report["updates_per_s"], **split}

    def rounds(self, cases):
        """The medians of each case, all measured in turn."""
        found = {name: [] for name in cases}
        for turn in range(self.options.rounds):
            for name, case in cases.items():
                found[name].append(self.train(**case))
                print(f"round {turn + 1}: {name}: {found[name][-1]['updates_per_s']:.1f} updates/s", file=sys.stderr)
        return {name: {key: statistics.median(one[key] for one in measured) for key in measured[0]}
                for name, measured in found.items()}

    def reductions(self, launcher=None):
        return run_json((launcher or mpirun(2)) + [os.path.join(os.path.dirname(self.options.harmonium), "tests",
                                                                "bench_reduce")])["sizes"]


class Hosts:
    """Two network namespaces with TCP between them, as two hosts (tests/slurm/cluster.sh)."""

    def __init__(self, folder, program):
        self.folder = os.path.join(folder, "hosts")
        self.hidden = any(path.startswith("/tmp/") for path in (os.path.realpath(program), HERE))  # a host has its own /tmp

    def __enter__(self):
        self.there = False
        if self.hidden:
            return self
        try:
            started = subprocess.run([CLUSTER, "hosts", self.folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL).returncode
        except OSError:
            started = 77
        self.there = started == 0
        return self

    def __exit__(self, *_):
        if self.there:
            subprocess.run([CLUSTER, "down", self.folder], stdin=subprocess.DEVNULL)

    def launcher(self):
        variables = ("OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", f"HARMONIUM_CLUSTER={self.folder}")
        return [CLUSTER, "on", self.folder, "n1", "env", *variables, "mpirun", "--host", "n1:1,n2:1", "-n", "2",
                "--bind-to", "none", "--mca", "plm_rsh_agent", os.path.join(HERE, "..", "slurm", "agent.sh"),
                "--mca", "btl", "tcp,vader,self"]


# ---- the model ----

def fit(rows, times):
    """Least squares of relative errors, nothing negative."""
    rows, times = numpy.array(rows), numpy.array(times)
    found = numpy.linalg.lstsq(rows / times[:, None], numpy.ones(len(times)), rcond=None)[0]
    return numpy.maximum(found, 0)


def fit_compute(measured):
    """Milliseconds: constant, and a row's."""
    return fit([[1, batch] for batch in measured], [one["compute"] for one in measured.values()])


def fit_reduce(sizes):
    """Microseconds: a message's latency, and a byte's time; between two ranks."""
    return fit([[2, one["bytes"]] for one in sizes], [one["ours_us"] for one in sizes])


def update_ms(ranks, batch, compute, network):
    latency, a_byte = network
    levels = math.log2(ranks)
    exchanged = 4 * levels * latency + 2 * (1 - 1 / ranks) * BYTES * a_byte
    return compute[0] + compute[1] * batch / ranks + exchanged / 1e3


def pays_until(batch, compute, network, gain=1.25):
    """The largest power of two of ranks up to which each doubling made an update at least `gain` times as fast."""
    ranks = 1
    while 2 * ranks <= batch and update_ms(ranks, batch, compute, network) >= gain * update_ms(2 * ranks, batch, compute, network):
        ranks *= 2
    return ranks


# ---- printing ----

def print_scaling(title, rows):
    """rows: (label, workers, batch, measured)."""
    base = rows[0][3]["updates_per_s"] * rows[0][2]
    cells = [["", "batch", "updates/s", "samples/s", "speed-up", "efficiency", "compute", "wait", "reduce", "files"]]
    for label, workers, batch, one in rows:
        rate = one["updates_per_s"] * batch
        cells.append([label, str(batch), f"{one['updates_per_s']:.1f}", f"{rate:,.0f}", f"{rate / base:.2f}",
                      f"{rate / base / workers:.0%}", *(f"{one[key]:.3f}" for key in ("compute", "wait", "reduce", "io"))])
    print(f"\n{title} (the last four: ms an update, mean over ranks)\n")
    tools.print_cells(cells)


def print_reductions(curves):
    print("\nSums over two ranks, against MPI_Allreduce (microseconds, medians)\n")
    cells = [["bytes", *(f"{name}: {what}" for name in curves for what in ("ours", "MPI", "ratio"))]]
    for at, one in enumerate(next(iter(curves.values()))):
        cells.append([f"{one['bytes']:,}"] + [text for sizes in curves.values() for text in (
            f"{sizes[at]['ours_us']:.1f}", f"{sizes[at]['mpi_us']:.1f}", f"{sizes[at]['ours_us'] / sizes[at]['mpi_us']:.2f}")])
    tools.print_cells(cells)


def print_model(compute, networks, checks):
    print(f"\nModel: an update of b rows computes for {compute[0]:.3f} ms + b x {1e3 * compute[1]:.2f} us; a pack of "
          f"{BYTES / 1e6:.2f} MB is reduced")
    for name, (latency, a_byte) in networks.items():
        print(f"  over {name}: latency {latency:.1f} us, {8e-3 / a_byte:.1f} Gbit/s")
    print("\nModel against measurement, 2 ranks (ms an update)\n")
    tools.print_cells([["", "model", "measured", "ratio"]] + [
        [name, f"{model:.3f}", f"{measured:.3f}", f"{model / measured:.2f}"] for name, model, measured in checks])
    for batch in (128, 1024, 8192):
        print(f"\nStrong scaling by the model, a batch of {batch}: updates/s (speed-up)\n")
        cells = [["ranks", *networks]]
        for ranks in RANKS:
            if ranks <= batch:
                times = [update_ms(ranks, batch, compute, network) for network in networks.values()]
                alone = update_ms(1, batch, compute, (0, 0))
                cells.append([str(ranks), *(f"{1e3 / time:.0f} ({alone / time:.1f})" for time in times)])
        cells.append(["pays until", *(str(pays_until(batch, compute, network)) for network in networks.values())])
        tools.print_cells(cells)
    print(f"\nWeak scaling by the model, {BATCH} rows a rank: efficiency\n")
    cells = [["ranks", *networks]]
    for ranks in RANKS:
        cells.append([str(ranks), *(f"{update_ms(1, BATCH, compute, (0, 0)) / update_ms(ranks, BATCH * ranks, compute, network):.0%}"
                                    for network in networks.values())])
    tools.print_cells(cells)


def arguments():
    parser = tools.option_parser(__doc__, 4)
    parser.add_argument("--network", action="append", default=[], metavar="NAME,MICROSECONDS,GBIT",
                        help="one more network for the model")
    options = tools.parse_options(parser)
    try:
        options.networks = [(name, float(latency), float(gbit))
                            for name, latency, gbit in (one.split(",") for one in options.network)]
    except ValueError:
        parser.error("--network takes NAME,MICROSECONDS,GBIT")
    return options


def main():
    options = arguments()
    # Two hosts have a /tmp each: what they share lies elsewhere.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Hosts(folder, options.harmonium) as hosts:
        bench = Bench(options, folder)
        cases = {"1 thread": {}, "2 threads": {"threads": 2}, "2 ranks": {"ranks": 2},
                 "2 threads, twice the rows": {"threads": 2, "batch": 2 * BATCH},
                 "2 ranks, twice the rows": {"ranks": 2, "batch": 2 * BATCH}}
        if hosts.there:
            cases["2 ranks, TCP"] = {"ranks": 2, "launcher": hosts.launcher()}
        cases.update({f"batch {batch}": {"batch": batch} for batch in BATCHES})
        measured = bench.rounds(cases)
        curves = {"shared memory": bench.reductions()}
        if hosts.there:
            curves["TCP"] = bench.reductions(hosts.launcher())
    print(f"PCD-1, 784 x 500, MNIST thresholded; {tools.processor()}, {os.cpu_count()} cores; median of {options.rounds} rounds "
          f"of about {options.seconds:g} s, in turn" + ("" if hosts.there else "; not between two network namespaces (needs root, and a program outside /tmp)"))
    strong = [(name, workers, BATCH, measured[name]) for name, workers in
              (("1 thread", 1), ("2 threads", 2), ("2 ranks", 2), ("2 ranks, TCP", 2)) if name in measured]
    print_scaling("Strong scaling", strong)
    print_scaling("Weak scaling", [("1 thread", 1, BATCH, measured["1 thread"])] + [
        (name, 2, 2 * BATCH, measured[name]) for name in ("2 threads, twice the rows", "2 ranks, twice the rows")])
    print_reductions(curves)
    print(f"\nTo reach: {4 * PACK / 2 ** 20:.0f} MB in shared memory in at most {WANTED_RATIO} times the time of MPI_Allreduce: " + next(
        f"{one['ours_us'] / one['mpi_us']:.2f}" for one in curves["shared memory"] if one["bytes"] == 4 * PACK))

    compute = fit_compute({batch: measured[f"batch {batch}"] for batch in BATCHES})
    fitted = {name: tuple(fit_reduce(sizes)) for name, sizes in curves.items()}
    # Beside the wire, a byte has to be copied and added, as in shared memory.
    assumed = {f"{name} (assumed)": (latency, 8e-3 / gbit + fitted["shared memory"][1])
               for name, latency, gbit in (*NETWORKS, *options.networks)}
    checks = [(name, update_ms(2, BATCH, compute, fitted[curve]), 1e3 / measured[name]["updates_per_s"])
              for name, curve in (("2 ranks", "shared memory"), ("2 ranks, TCP", "TCP")) if name in measured]
    print_model(compute, {**fitted, **assumed}, checks)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump({"bench": "scaling", "measured": measured, "reductions": curves, "compute_ms": list(compute),
                       "networks": {name: list(network) for name, network in {**fitted, **assumed}.items()}}, file, indent=1)


if __name__ == "__main__":
    main()
