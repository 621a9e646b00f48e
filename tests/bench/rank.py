"""Run one rank's command and write what it used - peak memory, processor and wall time - to OUT.RANK as JSON.

    mpirun -n 2 python3 tests/bench/rank.py OUT COMMAND...
"""
import json
import os
import subprocess
import sys
import time


def main():
    out, command = sys.argv[1], sys.argv[2:]
    begin = time.perf_counter()
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    with open(f"{out}.{os.environ.get('OMPI_COMM_WORLD_RANK', '0')}", "w", encoding="utf-8") as file:
        json.dump({"peak_bytes": usage.ru_maxrss * 1024, "cpu_s": usage.ru_utime + usage.ru_stime,
                   "wall_s": time.perf_counter() - begin}, file)
    sys.exit(child.returncode)


main()
