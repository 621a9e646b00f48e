#!/usr/bin/env bash
# Train and evaluate what a published figure was of, and print ours beside it.
#
#   HARMONIUM_DATA=DIR scripts/reproduce.sh NAME [--ranks N] [--threads N] [--set SECTION.NAME=VALUE ...] [--folder DIR] [--quick]
#   scripts/reproduce.sh --list
#
# Minutes to two hours; docs/results.md has what came out. DIR holds mnist/ and freyfaces/ with their IDX files.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ -x "$root/build/harmonium" ] || "$root/scripts/setup.sh"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # mpirun refuses root otherwise
exec /usr/bin/python3 "$root/scripts/reproduce.py" "$@"
