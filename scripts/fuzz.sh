#!/usr/bin/env bash
# Feed the readers of files with inputs that libFuzzer makes up, looking for one that they do not survive.
#
#   scripts/fuzz.sh [--seconds N] [--keep] [TARGET...]    TARGET: idx, npy, csv, yaml, h5; all of them by default
#
# --seconds N   of each target (60)
# --keep        afterwards put what reached new code, minimised, into tests/fuzz/corpus/TARGET
# --build       only build
# --run         only run what is built
#
# Needs clang with its runtime (scripts/setup.sh --with tests); ends with 77 without. What it finds lies in
# build-fuzz/found/TARGET, and is run again by `build-fuzz/tests/fuzz/fuzz_TARGET FILE`.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
keep=no
build=yes
run=yes
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=${2:?fuzz.sh: --seconds needs a number}; shift ;;
    --keep) keep=yes ;;
    --build) run=no ;;
    --run) build=no ;;
    -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "fuzz.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
    *)
      [ -e "tests/fuzz/fuzz_$1.c" ] || { echo "fuzz.sh: no target '$1' (see --help)" >&2; exit 2; }
      targets+=("$1") ;;
  esac
  shift
done
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/fuzz_*.c; do source=${source##*/fuzz_}; targets+=("${source%.c}"); done
fi

if ! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null; then
  echo "fuzz.sh: skipped: clang with libFuzzer is not installed (Debian: clang, libclang-rt-14-dev)"
  exit 77
fi
if [ "$build" = yes ]; then
  cmake --preset fuzz >/dev/null
  cmake --build --preset fuzz -j "$(nproc)"
fi
[ "$run" = yes ] || exit 0

# Sizes must be checked before memory is taken: no single allocation above 256 MB, and none at all without bound.
options=(-timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=256 -max_len=4096 -print_final_stats=1 -verbosity=0)
export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
for target in "${targets[@]}"; do
  program=build-fuzz/tests/fuzz/fuzz_$target
  corpus=build-fuzz/corpus/$target found=build-fuzz/found/$target
  mkdir -p "$corpus" "$found" "tests/fuzz/corpus/$target"
  echo "fuzz.sh: $target, $seconds s"
  "$program" "${options[@]}" -max_total_time="$seconds" -artifact_prefix="$found/" "$corpus" "tests/fuzz/corpus/$target"
  if [ "$keep" = yes ]; then
    rm -rf "$corpus.minimised"
    mkdir "$corpus.minimised"
    "$program" "${options[@]}" -merge=1 "$corpus.minimised" "tests/fuzz/corpus/$target" "$corpus"
    rm -rf "tests/fuzz/corpus/$target"
    mv "$corpus.minimised" "tests/fuzz/corpus/$target"
  fi
done
