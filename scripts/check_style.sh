#!/usr/bin/env bash
# Check that every C file of the tree is as clang-format and .clang-format would write it (--fix rewrites those that are
# not), and that shellcheck, where installed, has nothing to say about the scripts.
#
#   scripts/check_style.sh [--fix] [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."

action=(--dry-run -Werror)
case "${1:-}" in
  --fix) action=(-i); shift ;;
  -h|--help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
if ! command -v clang-format >/dev/null; then
  echo "check_style.sh: skipped: clang-format is not installed (apt-get install clang-format)" >&2
  exit 77 # as CTest counts a skipped test
fi

files=("$@")
if [ ${#files[@]} -eq 0 ]; then
  mapfile -t files < <(find src mpi io tests -name '*.[ch]' | sort)
fi
clang-format "${action[@]}" "${files[@]}"
echo "check_style.sh: ${#files[@]} files, style as .clang-format says"
if [ $# -eq 0 ] && command -v shellcheck >/dev/null; then
  shellcheck -x scripts/*.sh slurm/*.sbatch tests/slurm/*.sh .ci/run
fi
