"""What the benchmarks share: options, running programs without forced settings, and tables."""
import argparse
import json
import os
import shutil
import subprocess
import sys


def option_parser(description, seconds):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harmonium", default="build/harmonium", metavar="PROGRAM")
    parser.add_argument("--data", default=os.environ.get("HARMONIUM_DATA"), metavar="DIR", help="holds mnist/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=seconds, help="of each measurement in a round")
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the figures there, as JSON")
    return parser


def parse_options(parser):
    options = parser.parse_args()
    if not options.data:
        parser.error("HARMONIUM_DATA is not set, and no --data given; it names the folder that holds mnist/")
    if not shutil.which(options.harmonium):
        parser.error(f"{options.harmonium} is not a program; build it with scripts/setup.sh")
    options.harmonium = os.path.abspath(options.harmonium)
    return options


def environment():
    """No forced BLAS kernels and no inherited thread counts; MPI as root and on fewer cores than ranks."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_", "GOMP_", "MKL_"))}
    return {**kept, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def run(command, **more):
    done = subprocess.run(command, env={**environment(), **more}, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"bench: '{' '.join(command)}' ended with {done.returncode}")
    return done.stdout


def run_json(command, **more):
    """The one JSON object that the command prints."""
    output = run(command, **more)
    try:
        return json.loads(output[output.index("{"):])
    except ValueError:
        sys.exit(f"bench: '{' '.join(command)}' printed no JSON object but: {output!r}")


BLAS_CORES = ("", "SkylakeX", "Haswell")  # OpenBLAS's own choice, and those for AVX-512 and AVX2
GEMM = """
import time, numpy
x, w = numpy.ones((100, 784), numpy.float32), numpy.ones((784, 500), numpy.float32)
x @ w
begin, products = time.perf_counter(), 0
while time.perf_counter() - begin < 0.3:
    x @ w
    products += 1
print(products)
"""


def fastest_blas_core():
    """The OPENBLAS_CORETYPE that multiplies fastest here, "" to set none: an OpenBLAS that is older than the processor
    takes kernels of twenty years ago for it, and peers should be at their best."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = file.read()
    able = [core for core in BLAS_CORES if {"SkylakeX": " avx512vl ", "Haswell": " avx2 "}.get(core, "") in flags]
    most = dict.fromkeys(able, 0)
    for core in able * 3:  # in turn, and the best turn counts: what else runs meets all
        chosen = {"OPENBLAS_CORETYPE": core} if core else {}
        done = int(run([sys.executable, "-c", GEMM], OPENBLAS_NUM_THREADS="1", **chosen))
        most[core] = max(most[core], done)
    fastest = max(most, key=most.get)
    chosen = fastest if most[fastest] > 1.2 * most[""] else ""
    print(f"peers: OpenBLAS's {chosen or 'own choice of'} kernels, of {most}", file=sys.stderr)
    return chosen


def mpirun(ranks):
    return ["mpirun", "-n", str(ranks), "--bind-to", "none"] if ranks > 1 else []


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def print_cells(cells):
    """Rows of text as a table; the first row is the header, the first column the labels."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(line, widths))))
