"""What the benchmark's peers share: the data, the clock and the report. A peer is written for one workload_*.py."""
import argparse
import ctypes
import gzip
import json
import os
import re
import resource
import statistics
import sys
import time

WINDOWS, WARM_UP = 6, 1.0


def arguments(description, work):
    """Of a peer's command; numpy and torch may be imported only after it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=1, help="threads of this process (default 1)")
    parser.add_argument("--seconds", type=float, default=work.SECONDS, help="time to measure after the warm-up, in s")
    parser.add_argument("--blas-core", default="", metavar="NAME", help="kernels of OpenBLAS (default: its own choice)")
    if hasattr(work, "SAMPLES"):
        parser.add_argument("--samples", type=int, default=work.SAMPLES, help="draws of the latent variables of each row")
    options = parser.parse_args()
    set_environment(options.threads, options.blas_core)
    return options


def set_environment(threads, blas_core):
    """Must run before numpy or torch is imported: their libraries read the environment when they are loaded."""
    for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
        del os.environ[name]
    if blas_core:
        os.environ["OPENBLAS_CORETYPE"] = blas_core
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "passive"  # spinning OpenMP threads starve OpenBLAS's own: 76 updates/s, not 193


def mnist():
    """The training images thresholded at 0.5, (60000, 784) uint8 of 0 and 1."""
    import numpy
    folder = os.environ.get("HARMONIUM_DATA")
    if not folder:
        sys.exit("peer: HARMONIUM_DATA is not set; it names the folder that holds mnist/")
    path = os.path.join(folder, "mnist", "train-images-idx3-ubyte.gz")
    with gzip.open(path) as file:
        header = file.read(16)
        if header[:4] != b"\0\0\x08\x03":
            sys.exit(f"peer: {path} is not an IDX file of images")
        images = numpy.frombuffer(file.read(), numpy.uint8).reshape(-1, 784)
    return (images >= 128).astype(numpy.uint8)


def blas():
    """Name, core type and thread count of the OpenBLAS that this process has loaded."""
    with open("/proc/self/maps") as maps:
        paths = set(re.findall(r"/\S*openblas\S*\.so\S*", maps.read()))
    for path in sorted(paths, key=lambda path: "libopenblas" not in path):
        library = ctypes.CDLL(path)
        if hasattr(library, "openblas_get_corename"):
            library.openblas_get_corename.restype = ctypes.c_char_p
            return {"blas": os.path.basename(path), "blas_core": library.openblas_get_corename().decode(),
                    "blas_threads": library.openblas_get_num_threads()}
    return {"blas": "unknown", "blas_core": "unknown", "blas_threads": None}


def measure(update, seconds, agree=lambda value: value):
    """Warms up, then times `WINDOWS` windows of calls of update(); `agree` makes a number the same on every rank.
    Returns updates a second in each window, and the processor time spent per second of the windows."""
    begin, calls = time.perf_counter(), 0
    while agree(time.perf_counter() - begin) < WARM_UP:
        update()
        calls += 1
    calls = max(1, int(calls / WARM_UP * seconds / WINDOWS))
    rates, begin, begin_cpu = [], time.perf_counter(), time.process_time()
    for _ in range(WINDOWS):
        window = time.perf_counter()
        for _ in range(calls):
            update()
        rates.append(calls / agree(time.perf_counter() - window))
    return rates, (time.process_time() - begin_cpu) / (time.perf_counter() - begin)


def report(peer, version, work, threads, ranks, rates, cores, peak_bytes=None):
    """Prints the measurement as one JSON object: the median window counts. work: has BATCH."""
    rate = statistics.median(rates)
    peak_bytes = peak_bytes or peak_memory()
    print(json.dumps({"peer": peer, "version": version, "threads": threads, "ranks": ranks,
                      "updates_per_s": rate, "best_updates_per_s": max(rates), "windows": rates,
                      "samples_per_s": rate * work.BATCH, "cores_used": cores,
                      "peak_bytes": peak_bytes, **blas()}))


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
