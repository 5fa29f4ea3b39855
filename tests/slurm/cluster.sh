#!/usr/bin/env bash
# A real Slurm cluster of one node with two pretend GPUs: slurmctld, slurmd and munged on this machine, started by root.
# `down` ends the daemons and removes all that `up` made, packages aside. Both may be called twice.
set -euo pipefail

folder=/run/sacp-slurm
packages=(slurm-wlm munge)
# Slurm's default place: the plugin takes SLURM_CONF from the environment of a job's srun, as it does with all SLURM_*.
link=/etc/slurm/slurm.conf
export SLURM_CONF=$folder/slurm.conf

fail() {
	echo "error: $1" >&2
	exit 1
}

is_installed() {
	local command
	for command in slurmctld slurmd munged sbatch; do
		command -v "$command" >/dev/null || return 1
	done
}

install_packages() {
	command -v apt-get >/dev/null || fail "Slurm is not installed and there is no apt-get; needed: ${packages[*]}"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes "${packages[@]}"; } >/dev/null ||
		fail "apt-get could not install ${packages[*]}"
}

# Whether the daemon of a pid file runs. The file may vanish at any moment: a failing $(<file) would end this script.
runs() {
	local pid comm
	pid=$(cat "$folder/$1.pid" 2>/dev/null) && [[ $pid ]] || return 1
	{ read -r comm <"/proc/$pid/comm"; } 2>/dev/null && [[ $comm == "${1##*/}" ]]
}

is_ours() {
	[[ -L $link && $(readlink "$link") == "$SLURM_CONF" ]]
}

is_gone() {
	! runs "$1"
}

node_is_up() {
	[[ $(sinfo --noheader --format %T 2>/dev/null) =~ ^(idle|mixed|allocated)$ ]]
}

no_job_runs() {
	[[ -z $(squeue --noheader --states running,completing 2>/dev/null) ]]
}

# Until a command succeeds, for so many seconds at most.
wait_for() {
	local end=$((SECONDS + $1))
	until "${@:2}"; do
		((SECONDS < end)) || return 1
		sleep 0.2
	done
}

configure() {
	local name=$1 number
	install -d -m 755 "$folder" "$folder/state" "$folder/spool"
	install -d -m 755 -o munge -g munge "$folder/munge"
	head -c 1024 /dev/urandom | install -m 400 -o munge -g munge /dev/stdin "$folder/munge/key"
	for number in 0 1; do
		rm -f "$folder/gpu$number"
		mknod "$folder/gpu$number" c 1 3 || fail "no device can be made on this machine" # the numbers of /dev/null
	done
	echo "NodeName=$name Name=gpu File=$folder/gpu[0-1]" >"$folder/gres.conf"
	# The node's cores and memory are pretended as well, so that any machine has room for two jobs side by side.
	cat >"$SLURM_CONF" <<-END
		ClusterName=sacp-test
		SlurmctldHost=$name(127.0.0.1)
		SlurmctldPort=26817
		SlurmdPort=26818
		SlurmUser=root
		AuthType=auth/munge
		AuthInfo=socket=$folder/munge/socket
		CredType=cred/munge
		StateSaveLocation=$folder/state
		SlurmdSpoolDir=$folder/spool
		SlurmctldPidFile=$folder/slurmctld.pid
		SlurmdPidFile=$folder/slurmd.pid
		SlurmctldLogFile=$folder/slurmctld.log
		SlurmdLogFile=$folder/slurmd.log
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		MpiDefault=none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core_Memory
		SlurmdParameters=config_overrides
		AccountingStorageType=accounting_storage/none
		JobCompType=jobcomp/none
		MinJobAge=86400
		KillWait=30
		ReturnToService=2
		GresTypes=gpu
		NodeName=$name NodeAddr=127.0.0.1 CPUs=2 RealMemory=32000 Gres=gpu:2 State=UNKNOWN
		PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP
	END
}

up() {
	((EUID == 0)) || fail "a Slurm cluster is started by root"
	is_installed || install_packages
	if [[ -e $link || -L $link ]] && ! is_ours; then
		fail "$link is there: this machine belongs to a Slurm cluster already"
	fi
	[[ -e $SLURM_CONF ]] || configure "$(hostname -s)"
	install -d "${link%/*}"
	ln -sf "$SLURM_CONF" "$link"
	runs munge/munged || runuser -u munge -- munged --key-file "$folder/munge/key" --socket "$folder/munge/socket" \
		--pid-file "$folder/munge/munged.pid" --log-file "$folder/munge/log" --seed-file "$folder/munge/seed"
	runs slurmctld || slurmctld
	runs slurmd || slurmd
	wait_for 30 node_is_up || fail "the node did not come up; see $folder/slurmctld.log and $folder/slurmd.log"
}

down() {
	((EUID == 0)) || fail "a Slurm cluster is ended by root"
	[[ -d $folder ]] || return 0
	scancel --user root 2>/dev/null || true
	wait_for 60 no_job_runs || true # KillWait is over by then
	local daemon
	for daemon in slurmd slurmctld munge/munged; do
		runs "$daemon" || continue
		kill "$(<"$folder/$daemon.pid")"
		wait_for 30 is_gone "$daemon" || fail "$daemon does not end"
	done
	rm -r "$folder"
	if is_ours; then rm "$link"; fi
}

case ${1:-} in
up) up ;;
down) down ;;
*) fail "usage: $0 up|down" ;;
esac
