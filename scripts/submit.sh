#!/usr/bin/env bash
# Fill in slurm/train.sbatch, print it, and submit it.
#
#   scripts/submit.sh CONFIG.yaml -o RUN [--nodes N] [--ranks-per-node N] [--threads N] [--time HH:MM:SS]
#       [--memory 2G] [--partition NAME] [--account NAME] [--name NAME] [--mpi PLUGIN] [--set KEY=VALUE ...] [--no-check]
#       [--dry-run] [-- SBATCH-OPTION ...]
#
# --nodes, --ranks-per-node, --threads, --time, --memory (of a core), --partition, --account, --name (of the job) and --mpi
# (srun's, see `srun --mpi=list`; pmix) go into the script; --set KEY=VALUE to `harmonium train`; what follows -- to sbatch,
# as in -- --qos=long --mail-type=END. Before it queues, `harmonium train --check` must find configuration, data and RUN
# good (--no-check leaves that out). The program is what HARMONIUM names, or `harmonium` in PATH, or that of this folder's
# build. --dry-run prints, and neither checks nor submits. The same call again goes on with a run that was interrupted.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }
fail() { echo "submit.sh: $*" >&2; exit 2; }

# What an option replaces in the template.
declare -A lines=(
  [--nodes]=nodes [--ranks-per-node]=ntasks-per-node [--threads]=cpus-per-task [--time]=time [--memory]=mem-per-cpu
  [--name]=job-name [--partition]=partition [--account]=account
)
declare -A values=()
config='' run='' dry='' check=yes mpi=''
settings=() extra=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) usage; exit 0 ;;
    --dry-run) dry=yes ;;
    --no-check) check='' ;;
    --mpi) mpi=${2:?submit.sh: --mpi needs the name of a plugin}; shift ;;
    --) shift; extra=("$@"); break ;;
    -o|--output) run=${2:?submit.sh: -o needs a folder}; shift ;;
    --set) settings+=("${2:?submit.sh: --set needs KEY=VALUE}"); shift ;;
    -*)
      [ -n "${lines[$1]:-}" ] || fail "unknown option $1 (see --help; sbatch's own go after --)"
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
[[ $mpi =~ ^[A-Za-z0-9_.,-]*$ ]] || fail "--mpi: '$mpi' is not the name of a plugin"
for option in ${extra[@]+"${extra[@]}"}; do
  [[ $option == -* || $option != *.yaml ]] || fail "$option: after -- there are only sbatch's own options"
done

# What the job would end with after hours in the queue is better known now.
check_run() {
  local program=${HARMONIUM:-harmonium} report code=0 shards setting
  local ranks=$((${values[--nodes]:-1} * ${values[--ranks-per-node]:-2})) sets=()
  [ -n "${HARMONIUM:-}" ] || command -v harmonium >/dev/null || program=$here/build/harmonium
  if ! command -v "$program" >/dev/null; then
    echo "submit.sh: not checked: there is no harmonium here (name one in HARMONIUM)" >&2
    return
  fi
  for setting in ${settings[@]+"${settings[@]}"}; do sets+=(--set "$setting"); done
  report=$("$program" train "$config" --check --json -o "$run" ${sets[@]+"${sets[@]}"}) || code=$?
  if [ "$code" -ne 0 ]; then
    echo "submit.sh: not submitted, as the job would end so (--no-check submits it all the same)" >&2
    exit "$code"
  fi
  shards=$(sed -n 's/.*"shards": \([0-9]*\).*/\1/p' <<<"$report")
  [ -z "$shards" ] || [ $((shards % ranks)) -eq 0 ] ||
    fail "$ranks ranks (--nodes times --ranks-per-node) cannot share $shards shards evenly; not submitted"
}

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
[ -z "$mpi" ] || sed -i "s|\"\${HARMONIUM_MPI:-pmix}\"|$mpi|" "$script"
[ -n "$dry" ] || [ -z "$check" ] || check_run
cat "$script"
call=(sbatch ${extra[@]+"${extra[@]}"} "$script" "$config" "$run" ${settings[@]+"${settings[@]}"})
if [ -n "$dry" ]; then
  printf '\n# not submitted: sbatch %sTHIS %s\n' "${extra[*]:+${extra[*]} }" "${call[*]:2+${#extra[@]}}"
else
  "${call[@]}"
fi
