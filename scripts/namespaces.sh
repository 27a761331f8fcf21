#!/usr/bin/env bash
# Network namespaces on one machine that stand for hosts: each has a link of its own, with a rate and a delay, to a bridge.
# mpirun starts ranks in them as it does on hosts that it reaches by ssh. Needs root, iproute2 and Open MPI.
set -euo pipefail

usage() {
  cat <<'TEXT'
bash scripts/namespaces.sh create NAME [COUNT]         COUNT namespaces (default: 2) NAME-0, NAME-1, ... and the bridge NAME-hub
bash scripts/namespaces.sh shape NAME RATE [DELAY]     rate of each link, as tc writes it (1gbit, 100mbit, or none), and the delay
                                                       of a packet on its way from one namespace to another (50us; default: none)
bash scripts/namespaces.sh hosts NAME                  the addresses, for mpirun --host
bash scripts/namespaces.sh exec NAME INDEX COMMAND...  a command in a namespace
bash scripts/namespaces.sh mpirun NAME ARGUMENTS...    mpirun in the first namespace, one slot a namespace, over TCP alone
bash scripts/namespaces.sh agent NAME HOST COMMAND...  what mpirun calls in place of ssh: --mca plm_rsh_agent
bash scripts/namespaces.sh cut NAME INDEX              takes a namespace's link down (join: up again)
bash scripts/namespaces.sh remove NAME                 removes all of them; processes inside have to be ended before
TEXT
}

fail() { printf 'namespaces: %s\n' "$*" >&2; exit 1; }

self=$(readlink -f "${BASH_SOURCE[0]}")
network=10.201.77

# The bridge lies in a namespace too, so sets of different names can have the same addresses.
address() { printf '%s.%d' "$network" "$(($1 + 1))"; }

count() { ip netns list | awk -v name="$1" '{ if ($1 ~ "^" name "-[0-9]+$") n++ } END { print n + 0 }'; }

existing() {
  local n
  n=$(count "$1")
  [ "$n" -gt 0 ] || fail "there are no namespaces of the name $1: create them first"
  printf '%s' "$n"
}

create() {
  local name=$1 n=${2:-2} i
  [[ $name =~ ^[a-z][a-z0-9]*$ ]] || fail "a name is small letters and digits, not \"$name\""
  [[ $n =~ ^[0-9]+$ ]] && [ "$n" -ge 2 ] && [ "$n" -le 200 ] || fail "2 to 200 namespaces, not \"$n\""
  [ "$(count "$name")" -eq 0 ] || fail "namespaces of the name $name are there already: remove them first"
  trap 'remove "$name"' ERR
  ip netns add "$name-hub"
  ip -n "$name-hub" link add bridge type bridge
  ip -n "$name-hub" link set bridge up
  for ((i = 0; i < n; i++)); do
    ip netns add "$name-$i"
    ip link add eth0 netns "$name-$i" type veth peer name "port$i" netns "$name-hub"
    ip -n "$name-hub" link set "port$i" master bridge up
    ip -n "$name-$i" address add "$(address "$i")/24" dev eth0
    ip -n "$name-$i" link set lo up
    ip -n "$name-$i" link set eth0 up
  done
  trap - ERR
}

# The rate applies to what a namespace sends; the delay is netem's, behind the bucket.
shape() {
  local name=$1 rate=$2 delay=${3:-} n i under=root
  n=$(existing "$name")
  for ((i = 0; i < n; i++)); do
    tc -n "$name-$i" qdisc del dev eth0 root 2> /dev/null || true
    if [ "$rate" != none ]; then
      # A bucket of 128 KiB holds the largest packet (64 KiB) twice, and at 1 Gbit/s one millisecond.
      tc -n "$name-$i" qdisc add dev eth0 root handle 1: tbf rate "$rate" burst 128kb latency 100ms
      under='parent 1:1'
    fi
    if [ -n "$delay" ]; then
      # shellcheck disable=SC2086 # two words
      tc -n "$name-$i" qdisc add dev eth0 $under handle 10: netem delay "$delay" limit 100000 ||
        fail "no delay: this kernel seems to have no netem (module sch_netem)"
    fi
  done
}

hosts() {
  local n i list=()
  n=$(existing "$1")
  for ((i = 0; i < n; i++)); do list+=("$(address "$i")"); done
  (IFS=,; printf '%s\n' "${list[*]}")
}

# A host name of its own keeps MPI from taking the namespaces for one host.
inside() {
  local namespace=$1
  shift
  # shellcheck disable=SC2016 # the inner shell expands these
  exec ip netns exec "$namespace" unshare --uts sh -c 'echo "$0" > /proc/sys/kernel/hostname; exec "$@"' "$namespace" "$@"
}

agent() {
  local name=$1 host=$2
  shift 2
  [[ $host =~ ^${network//./\\.}\.([0-9]+)$ ]] || fail "$host is no address of a namespace"
  inside "$name-$((BASH_REMATCH[1] - 1))" sh -c "$*"
}

run() {
  local name=$1 list
  shift
  list=$(hosts "$name")
  inside "$name-0" mpirun --allow-run-as-root --host "$list" --mca plm rsh --mca plm_rsh_agent "bash $self agent $name" \
    --mca pml ob1 --mca btl self,tcp --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 "$@"
}

remove() {
  local namespace
  for namespace in $(ip netns list | awk -v name="$1" '{ if ($1 ~ "^" name "-([0-9]+|hub)$") print $1 }'); do
    ip netns del "$namespace"
  done
}

case "${1:-}:$#" in
  create:[23]) create "${@:2}" ;;
  shape:[34]) shape "${@:2}" ;;
  hosts:2) hosts "$2" ;;
  exec:[0-3]) usage >&2; exit 1 ;;
  exec:*) existing "$2" > /dev/null; inside "$2-$3" "${@:4}" ;;
  agent:[0-3]) usage >&2; exit 1 ;;
  agent:*) agent "${@:2}" ;;
  mpirun:[01]) usage >&2; exit 1 ;;
  mpirun:*) run "${@:2}" ;;
  cut:3) ip -n "$2-$3" link set eth0 down ;;
  join:3) ip -n "$2-$3" link set eth0 up ;;
  remove:2) remove "$2" ;;
  --help:1 | -h:1) usage ;;
  *) usage >&2; exit 1 ;;
esac
