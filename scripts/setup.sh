#!/usr/bin/env bash
# Install what Harmonium needs (Debian 12 or later), skipping what is there, and build it.
#
#   scripts/setup.sh [--with bench] [--with tests] [--deps-only] [--preset release|debug|asan]
#
# --with bench   also the peers that scripts/bench.sh measures against (PyTorch, mpi4py)
# --with tests   also what some tests need: Slurm, clang's fuzzer, Octave, R, xarray. Without them those tests are skipped,
#                so failing to install them is only a warning
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
  python3 python3-numpy python3-h5py python3-yaml python3-matplotlib # scripts and tests that open our files
  procps util-linux                            # ps, mount: the tests' own tools
)
bench_packages=(python3-torch python3-mpi4py)
test_packages=(
  slurm-wlm munge iproute2                     # a cluster of two hosts on one machine
  clang libclang-rt-14-dev libomp-14-dev       # fuzz targets
  clang-format shellcheck                      # style
  octave r-base-core r-bioc-rhdf5          # our files in the tools of others
  python3-xarray python3-h5netcdf xxhash
)
optional=()

preset=release
build=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --with)
      case "${2:-}" in
        bench) packages+=("${bench_packages[@]}") ;;
        tests) optional+=("${test_packages[@]}") ;;
        *) echo "setup.sh: --with takes: bench, tests" >&2; exit 2 ;;
      esac
      shift ;;
    --deps-only) build=no ;;
    --preset) preset="${2:?setup.sh: --preset needs a name}"; shift ;;
    -h|--help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

# Those of the given packages that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || echo "$package"
  done
}
install() {
  echo "setup.sh: installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"
}

mapfile -t missing < <(missing_of "${packages[@]}")
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup.sh: missing packages: ${missing[*]}" >&2
    echo "setup.sh: install them as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  install "${missing[@]}"
fi
mapfile -t missing < <(missing_of ${optional[@]+"${optional[@]}"})
if [ ${#missing[@]} -gt 0 ] && { [ "$(id -u)" -ne 0 ] || ! install "${missing[@]}"; }; then
  echo "setup.sh: warning: some tests will be skipped for want of: ${missing[*]}" >&2
fi

[ "$build" = yes ] || exit 0
cmake --preset "$preset" ${HARMONIUM_WERROR:+-DHARMONIUM_WERROR="$HARMONIUM_WERROR"} >/dev/null # ON: in CI
cmake --build --preset "$preset" -j "$(nproc)"
