#!/usr/bin/env bash
# Fill in slurm/train.sbatch, print it, and submit it.
#
#   scripts/submit.sh CONFIG.yaml -o RUN [--nodes N] [--ranks-per-node N] [--threads N] [--time HH:MM:SS]
#       [--memory 2G] [--partition NAME] [--account NAME] [--name NAME] [--set KEY=VALUE ...] [--dry-run]
#
# --nodes, --ranks-per-node, --threads, --time, --memory (of a core), --partition, --account, --name (of the job) go into
# the script; --set KEY=VALUE to `harmonium train`. --dry-run prints and does not submit. The same call again goes on with
# a run that was interrupted.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
fail() { echo "submit.sh: $*" >&2; exit 2; }

# What an option replaces in the template.
declare -A lines=(
  [--nodes]=nodes [--ranks-per-node]=ntasks-per-node [--threads]=cpus-per-task [--time]=time [--memory]=mem-per-cpu
  [--name]=job-name [--partition]=partition [--account]=account
)
declare -A values=()
config='' run='' dry=''
settings=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) usage; exit 0 ;;
    --dry-run) dry=yes ;;
    -o|--output) run=${2:?submit.sh: -o needs a folder}; shift ;;
    --set) settings+=("${2:?submit.sh: --set needs KEY=VALUE}"); shift ;;
    -*)
      [ -n "${lines[$1]:-}" ] || fail "unknown option $1 (see --help)"
      [[ -n ${2:-} && $2 != --* ]] || fail "$1 needs a value"
      values[$1]=$2; shift ;;
    *) [ -z "$config" ] || fail "one configuration, please: $config or $1?"; config=$1 ;;
  esac
  shift
done
[ -n "$config" ] || fail "no configuration given (see --help)"
[ -f "$config" ] || fail "$config: no such file"
[ -n "$run" ] || fail "no folder for the results: -o RUN"
for option in --nodes --ranks-per-node --threads; do
  [[ ${values[$option]:-1} =~ ^[1-9][0-9]*$ ]] || fail "$option: '${values[$option]}' is not a number of at least 1"
done
[[ ${values[--time]:-1} =~ ^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$ ]] || fail "--time: '${values[--time]}' is not a time (HH:MM:SS)"
for option in "${!values[@]}"; do
  [[ ${values[$option]} =~ ^[A-Za-z0-9_.,:@%=+/-]+$ ]] || fail "$option: '${values[$option]}' has characters that Slurm's options do not"
done
for setting in ${settings[@]+"${settings[@]}"}; do
  [[ $setting == *=* ]] || fail "--set: '$setting' is not KEY=VALUE"
done

script=$(mktemp)
trap 'rm -f "$script"' EXIT
cp "$here/slurm/train.sbatch" "$script"
for option in "${!values[@]}"; do
  line="#SBATCH --${lines[$option]}=${values[$option]}"
  if grep -q "^#SBATCH --${lines[$option]}=" "$script"; then
    sed -i "s|^#SBATCH --${lines[$option]}=.*|$line|" "$script"
  else
    sed -i "s|^#SBATCH --job-name.*|&\n$line|" "$script"
  fi
done
cat "$script"
call=(sbatch "$script" "$config" "$run" ${settings[@]+"${settings[@]}"})
if [ -n "$dry" ]; then
  printf '\n# not submitted: sbatch THIS %s\n' "${call[*]:2}"
else
  "${call[@]}"
fi
