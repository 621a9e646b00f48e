#!/usr/bin/env bash
# Set up what is missing, build, and run every test.
#
#   scripts/test.sh [CTEST OPTION...]        e.g. scripts/test.sh -L unit, scripts/test.sh -R ais
#
# With root it also installs what only some tests need (scripts/setup.sh --with tests); without, those are skipped.
# Tests on real data (label data) read the folder that HARMONIUM_DATA names and are reported as skipped without it.
# Works without root when the packages are there; names those that are missing when they are not.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac

scripts/setup.sh --with tests
# One more than there are cores: many tests wait, for a timeout or for Slurm.
exec ctest --preset release --output-on-failure -j "$(($(nproc) + 1))" "$@"
