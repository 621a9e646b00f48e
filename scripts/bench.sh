#!/usr/bin/env bash
# Measure speed on this machine, which should do nothing else.
#
#   HARMONIUM_DATA=DIR scripts/bench.sh rbm [--rounds N] [--seconds S] [-o FILE.json]
#   HARMONIUM_DATA=DIR scripts/bench.sh dbm [--rounds N] [--seconds S] [-o FILE.json]
#   HARMONIUM_DATA=DIR scripts/bench.sh vae [--rounds N] [--seconds S] [-o FILE.json]
#   HARMONIUM_DATA=DIR scripts/bench.sh gan [--rounds N] [--seconds S] [-o FILE.json]
#   HARMONIUM_DATA=DIR scripts/bench.sh scaling [--rounds N] [--seconds S] [--network NAME,MICROSECONDS,GBIT ...] [-o FILE.json]
#   HARMONIUM_DATA=DIR scripts/bench.sh busy [--rounds N] [--epochs N] [-o FILE.json]
#
# rbm      training against hand-written peers (PyTorch, numpy + mpi4py) on the same cores; about four minutes
# dbm      the same of a deep Boltzmann machine, 784-500-1000; about five minutes
# vae      the same of an importance-weighted autoencoder with one and with five draws, against PyTorch; about four minutes
# gan      the same of adversarial nets with batch normalisation, against PyTorch; about two minutes
# scaling  strong and weak scaling over threads and ranks, where the time goes, sums over ranks against MPI_Allreduce, and
#          a model of many ranks fitted to all that; about four minutes, and with root also between two network namespaces
# busy     training beside 0, 1 and 2 busy loops, which it starts and ends, by how threads wait; about ten minutes, most of them
#          for threads that are told not to sleep
# DIR holds mnist/ with the four IDX files.
set -euo pipefail
cd "$(dirname "$0")/.."
bench=${1:-rbm}
case "$bench" in
  -h|--help) sed -n '2,19s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) bench=rbm ;;
  rbm|dbm|vae|gan|scaling|busy) shift $(($# > 0)) ;;
  *) echo "bench.sh: no benchmark '$bench'; there are: rbm, dbm, vae, gan, scaling, busy" >&2; exit 2 ;;
esac
if [ ! -f "${HARMONIUM_DATA:-}/mnist/train-images-idx3-ubyte.gz" ]; then
  echo "bench.sh: HARMONIUM_DATA must name a folder that holds mnist/train-images-idx3-ubyte.gz" >&2
  exit 2
fi

scripts/setup.sh --with bench
exec /usr/bin/python3 "tests/bench/$bench.py" "$@"
