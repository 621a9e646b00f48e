#!/usr/bin/env bash
# What mpirun calls instead of ssh: agent.sh HOST COMMAND..., on a host of the cluster in HARMONIUM_CLUSTER.
host=$1
shift
exec "$(dirname "$0")/cluster.sh" on "$HARMONIUM_CLUSTER" "$host" sh -c "$*"
