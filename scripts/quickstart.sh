#!/usr/bin/env bash
# From a fresh clone to a trained model: install, build, train an RBM on synthetic digits on 2 ranks, measure its
# log-likelihood, draw its filters and samples. Under 3 minutes on 2 cores; needs no download but the packages.
#
#   scripts/quickstart.sh
#
# Everything it makes lies in ./quickstart; running it again makes it anew.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  "") ;;
  -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart.sh: takes no arguments (see --help)" >&2; exit 2 ;;
esac

out=quickstart
harmonium=build/harmonium

# mpirun refuses root and more ranks than cores unless told; a forced OpenBLAS core type would halve the speed.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
unset OPENBLAS_CORETYPE
mpirun=(mpirun -n 2 --bind-to none)
[ "$(nproc)" -ge 2 ] || mpirun+=(--oversubscribe)

# The packages belong to the system's Python, which need not be the first on the path.
python=
for candidate in /usr/bin/python3 python3; do
  if "$candidate" -c "import h5py, matplotlib, numpy" 2>/dev/null; then python=$candidate; break; fi
done

timings=()
step() { # step TITLE COMMAND...: says what is done, does it, remembers how long it took
  local title=$1 begin=$SECONDS
  shift
  printf '\n== %s\n' "$title"
  printf '   %s\n' "$*"
  "$@"
  timings+=("$title=$((SECONDS - begin))")
}

step "set up and build" scripts/setup.sh
if [ -z "$python" ]; then # setup.sh has just installed them
  python=/usr/bin/python3
fi

mkdir -p "$out"
rm -rf "$out/digits.h5" "$out/rbm" "$out/samples.png" "$out/filters.png"
step "make synthetic digits" "$harmonium" import synth --kind digits -o "$out/digits.h5"
step "train on 2 ranks" "${mpirun[@]}" "$harmonium" train examples/rbm-digits.yaml -o "$out/rbm" \
  --set "data.file=$out/digits.h5" --set threads=1
step "measure the log-likelihood" "${mpirun[@]}" "$harmonium" evaluate "$out/rbm"
step "draw samples" "$harmonium" sample "$out/rbm" -n 100 --png "$out/samples.png"
step "draw filters" "$python" scripts/plot_run.py "$out/rbm" --only filters -o "$out"

"$python" scripts/run_summary.py "$out/rbm" --times "${timings[@]}" --files "$out/digits.h5" "$out/filters.png" \
  "$out/samples.png"
