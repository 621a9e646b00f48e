#!/usr/bin/env bash
# Measure the speed of training against hand-written peers (PyTorch, numpy + mpi4py) on the same cores.
#
#   HARMONIUM_DATA=DIR scripts/bench.sh [rbm] [--rounds N] [--seconds S] [-o FILE.json]
#
# DIR holds mnist/ with the four IDX files. About four minutes; run it on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  -h|--help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
if [ ! -f "${HARMONIUM_DATA:-}/mnist/train-images-idx3-ubyte.gz" ]; then
  echo "bench.sh: HARMONIUM_DATA must name a folder that holds mnist/train-images-idx3-ubyte.gz" >&2
  exit 2
fi

bench=rbm
case "${1:-}" in
  ""|-*) ;;
  *) bench=$1; shift ;;
esac

scripts/setup.sh --with bench
exec /usr/bin/python3 tests/bench/report.py "$bench" "$@"
