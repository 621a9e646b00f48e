#!/usr/bin/env bash
# Install what Harmonium needs (Debian 12 or later), skipping what is there, and build it.
#
#   scripts/setup.sh [--with bench] [--deps-only] [--preset release|debug|asan]
#
# --with bench   also the peers that scripts/bench.sh measures against (PyTorch, mpi4py)
# --deps-only    install, do not build
# Without root it installs nothing: it names the packages that are missing and ends with 1.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  gcc libc6-dev make cmake pkg-config          # the toolchain
  libopenmpi-dev openmpi-bin                   # MPI
  libhdf5-openmpi-dev hdf5-tools               # parallel HDF5, h5dump
  libopenblas0-pthread libopenblas-pthread-dev # BLAS, LAPACK
  libscalapack-openmpi-dev                     # ScaLAPACK
  librandom123-dev libyaml-dev                 # Philox, configurations
  zlib1g-dev libpng-dev libxxhash-dev          # gzip, pictures, digests
  libcmocka-dev                                # unit tests
  python3 python3-numpy python3-h5py python3-matplotlib # scripts and tests that open our files
)
bench_packages=(python3-torch python3-mpi4py)

preset=release
build=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --with)
      [ "${2:-}" = bench ] || { echo "setup.sh: --with takes: bench" >&2; exit 2; }
      packages+=("${bench_packages[@]}"); shift ;;
    --deps-only) build=no ;;
    --preset) preset="${2:?setup.sh: --preset needs a name}"; shift ;;
    -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup.sh: missing packages: ${missing[*]}" >&2
    echo "setup.sh: install them as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  echo "setup.sh: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "${missing[@]}"
fi

[ "$build" = yes ] || exit 0
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -j "$(nproc)"
