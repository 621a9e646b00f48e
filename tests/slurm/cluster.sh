#!/usr/bin/env bash
# A cluster of two hosts on this machine, for tests: n1 and n2, each with a network, a host name and a /tmp of its own,
# and a Slurm controller. Needs root.
#
#   tests/slurm/cluster.sh up FOLDER         FOLDER, not under /tmp, must not exist; receives everything
#   tests/slurm/cluster.sh down FOLDER       ends what `up` started, and removes FOLDER
#   tests/slurm/cluster.sh on FOLDER n1 COMMAND...     runs a command on a host
#   tests/slurm/cluster.sh boot FOLDER n1              starts a host whose processes were all killed again
#
# After `up`, SLURM_CONF=FOLDER/slurm.conf makes sbatch, squeue ... talk to it. Without its packages or the rights for
# namespaces `up` says what is missing and ends with 77. `hosts FOLDER` is `up` without Slurm.
set -euo pipefail

hosts=(n1 n2)
action=${1:-}
folder=${2:-}
[ -n "$folder" ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }

skip() { echo "cluster.sh: $*" >&2; exit 77; }

# Number of the cluster, 1..250, from which its names and addresses are made.
number() { cat "$folder/id"; }
namespace() { echo "hm$(number)$1"; }
address() { echo "10.99.$(number).${1#n}"; }

# ---- hosts ----

# Runs on the host: in its network, and in its keeper's mount and UTS namespaces.
on() {
  local host=$1 keeper
  shift
  keeper=$(cat "$folder/keeper.$host")
  exec nsenter --target "$keeper" --net --uts --mount -- "$@"
}

start_host() {
  local host=$1 space
  space=$(namespace "$host")
  ip netns add "$space"
  ip link add "hm$(number)$host" type veth peer name "hm$(number)${host}h"
  ip link set "hm$(number)$host" netns "$space" name eth0
  ip link set "hm$(number)${host}h" master "hm$(number)" up
  ip -n "$space" address add "$(address "$host")/24" dev eth0
  ip -n "$space" link set eth0 up
  ip -n "$space" link set lo up
  mkdir -p "$folder/tmp.$host"
  # The keeper holds the namespaces open as long as the cluster is up.
  nsenter --net="/run/netns/$space" unshare -u -m sh -c "
    hostname $host
    mount --bind '$folder/tmp.$host' /tmp
    touch '$folder/ready.$host'
    exec sleep infinity" >"$folder/keeper.$host.log" 2>&1 &
  echo $! >"$folder/keeper.$host"
  for _ in $(seq 100); do
    [ -e "$folder/ready.$host" ] && return
    sleep 0.05
  done
  skip "host $host did not start: $(cat "$folder/keeper.$host.log")"
}

start_hosts() {
  [ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
  command -v ip nsenter unshare >/dev/null || skip "missing: ip (iproute2), nsenter, unshare (util-linux)"
  case "$(realpath -m "$folder")" in /tmp/*) echo "cluster.sh: FOLDER must not be under /tmp" >&2; exit 2 ;; esac
  mkdir -p "$(dirname "$folder")"
  mkdir "$folder"
  chmod 755 "$folder"
  for number in $(shuf -i 1-250); do
    if ip link add "hm$number" type bridge 2>"$folder/bridge.log"; then
      echo "$number" >"$folder/id"
      break
    fi
    grep -q "exists" "$folder/bridge.log" || { message=$(cat "$folder/bridge.log"); rm -r "$folder"; skip "no network: $message"; }
  done
  ip address add "$(address 254)/24" dev "hm$(number)"
  ip link set "hm$(number)" up
  for host in "${hosts[@]}"; do start_host "$host"; done
}

# ---- Slurm ----

write_config() {
  cat >"$folder/slurm.conf" <<CONF
ClusterName=harmonium
SlurmctldHost=controller($(address 254))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CryptoType=crypto/munge
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
SlurmdParameters=config_overrides
SlurmctldPort=$((20000 + $(number)))
SlurmdPort=$((21000 + $(number)))
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
ReturnToService=2
SchedulerParameters=sched_interval=2,sched_min_interval=100000,bf_interval=2
JobRequeue=1
RebootProgram=/bin/true
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeAddr=$(address n1) CPUs=4 State=UNKNOWN
NodeName=n2 NodeAddr=$(address n2) CPUs=4 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10
CONF
}

start_munge() {
  dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
  chmod 400 "$folder/munge.key"
  munged --force --foreground --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" \
    >"$folder/munged.out" 2>&1 &
  echo $! >"$folder/process.munged"
  for _ in $(seq 100); do
    [ -S "$folder/munge.socket" ] && return
    sleep 0.05
  done
  skip "munged did not start: $(cat "$folder/munged.out")"
}

start_slurmd() {
  local host=$1
  mkdir -p "$folder/spool.$host"
  (on "$host" slurmd -D -f "$folder/slurm.conf") >"$folder/slurmd.$host.out" 2>&1 &
  echo $! >"$folder/process.slurmd.$host"
}

start_slurm() {
  for program in munged slurmctld slurmd sbatch srun; do
    command -v "$program" >/dev/null || { stop; skip "missing: $program (Debian: slurm-wlm, munge)"; }
  done
  mkdir "$folder/state"
  write_config
  start_munge
  unshare -u sh -c "hostname controller; exec slurmctld -D -f '$folder/slurm.conf'" >"$folder/slurmctld.out" 2>&1 &
  echo $! >"$folder/process.slurmctld"
  for host in "${hosts[@]}"; do start_slurmd "$host"; done
  for _ in $(seq 150); do
    [ "$(SLURM_CONF="$folder/slurm.conf" sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && return
    sleep 0.2
  done
  echo "cluster.sh: the nodes do not come up:" >&2
  tail -n 5 "$folder"/*.log "$folder"/*.out >&2
  stop
  exit 77
}

# A host that was killed left files of its job's PMIx behind, which keep the requeued job from starting: what lies in
# /tmp and in Slurm's spool does not outlive the boot of a real host either.
boot() {
  find "$folder/spool.$1" "$folder/tmp.$1" -mindepth 1 -delete
  start_slurmd "$1"
}

# ---- the end ----

end_process() {
  local process
  process=$(cat "$1" 2>/dev/null) || return 0
  kill "$process" 2>/dev/null || return 0
  for _ in $(seq 60); do
    kill -0 "$process" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$process" 2>/dev/null || true
}

stop() {
  [ -d "$folder" ] || return 0
  for file in "$folder"/process.*; do end_process "$file"; done
  for host in "${hosts[@]}"; do
    # Whatever jobs left behind lives in the host's network.
    for process in $(ip netns pids "$(namespace "$host")" 2>/dev/null); do kill -KILL "$process" 2>/dev/null || true; done
    ip netns delete "$(namespace "$host")" 2>/dev/null || true
  done
  ip link delete "hm$(number)" 2>/dev/null || true
  rm -rf "$folder"
}

case "$action" in
  up) start_hosts; start_slurm ;;
  hosts) start_hosts ;;
  down) stop ;;
  on) shift 2; on "$@" ;;
  boot) boot "$3" ;;
  *) echo "cluster.sh: unknown action '$action'" >&2; exit 2 ;;
esac
