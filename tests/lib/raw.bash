# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded after vlens.bash by the tests of raw reads: checks that every engine must pass on
# every guest. T is a folder of the test's own, ENGINE the engine. One of SWEEP pages (60)
# is compared.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

need_probes() {
	local probe
	for probe in kvm-probe raw-probe; do
		[[ -x $VLENS_BUILD/tests/unit/$probe ]] ||
			make -s -C "$VLENS_BUILD" "tests/unit/$probe"
	done
}

raw() { timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" --engine="$ENGINE" "$@"; }
probe() { timeout 120 "$VLENS_BUILD/tests/unit/kvm-probe" "$@"; }

# still NAME: stops a guest. go_on, in the teardown, lets it run again.
still() {
	echo "$1" >"$T/stopped"
	stand "$1" stop suspend
}

go_on() {
	[[ ! -e $T/stopped ]] || stand "$(cat "$T/stopped")" cont resume
}

# stand NAME COMMAND VIRSH-COMMAND: sends COMMAND to a guest's monitor. For a domain of libvirt,
# virsh sends VIRSH-COMMAND.
stand() {
	if is_domain "$1"; then virsh -q -c qemu:///system "$3" "$1"; else qmp "$1" "$2" >/dev/null; fi
}

# same_facts NAME GUEST: the version of its kernel, and the name of its idle task.
same_facts() {
	local version
	version=$(in_guest "$1" 'cat /proc/version')
	assert_same "$version" "$(raw "$2" string linux_banner)"
	assert_same "swapper/0" "$(raw "$2" comm)"
}

# The processes of a guest, without the ones that list them.
guest_processes() {
	in_guest "$1" 'exec ps -eo pid=,ruid=,ppid=,comm=' |
		awk '$4 != "ps" && $4 !~ /^kworker/ { print $1, $2 }' | sort
}
raw_processes() { raw "$1" tasks | awk '$1 ~ /^[0-9]+$/ && $3 !~ /^kworker/ { print $1, $2 }' | sort; }

same_processes() {
	local try
	for try in 1 2 3; do
		guest_processes "$1" >"$T/guest"
		raw_processes "$2" >"$T/list"
		# The tree has threads, too. The list has more lines, of names with line feeds.
		raw "$2" pids | sort >"$T/tree"
		cut -d' ' -f1 "$T/list" >"$T/list-pids"
		! diff "$T/guest" "$T/list" >"$T/diff" ||
			[[ -n $(comm -23 "$T/list-pids" "$T/tree") ]] || return 0
	done
	cat "$T/diff" >&2
	fail "$1: the processes differ, $try times (guest < > vlens)"
}

# The first argument of a process, from its own memory by its own page tables.
same_arguments() {
	local pid at
	pid=$(factory_pid "$1" listener)
	at=$(in_guest "$1" "sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f46")
	assert_same "listener" "$(raw "$2" user "$pid" "$at")"
}

each_vcpu() {
	local cpu banner
	banner=$(raw "$2" string linux_banner)
	for ((cpu = 0; cpu < $3; cpu++)); do
		assert_same "$banner" "$(raw "$2" vcpu "$cpu")"
	done
	run --separate-stderr raw "$2" vcpu "$3"
	assert_status 3
	[[ $stderr == *"no vCPU $3"* ]]
}

# A word of the kernel that changes is read from the guest each time: no cache, no snapshot.
moves() {
	local at first
	at=$(raw_symbol "$2" jiffies)
	first=$(raw "$1" bytes "$at" 8)
	# shellcheck disable=SC2317 # by eventually
	moved() { [[ $(raw "$1" bytes "$2" 8) != "$first" ]]; }
	eventually 20 moved "$1" "$at" || fail "jiffies stand still"
}
raw_symbol() { in_guest "$1" "awk '\$3 == \"$2\" { print \"0x\" \$1; exit }' /proc/kallsyms"; }

judge() {
	local g
	need_guest "$1"
	g=$(guest "$1")
	same_facts "$1" "$g"
	same_processes "$1" "$g"
	same_arguments "$1" "$g"
	each_vcpu "$1" "$g" "$2"
	moves "$g" "$1"
	assert_runs "$1"
}

# same_bytes NAME: the kvm engine reads the same bytes of a stopped guest as the direct one,
# at every place of its agent.
same_bytes() {
	still "$1"
	run probe "$(guest "$1")" sweep "${SWEEP:-60}"
	assert_status 0
	[[ $output == *" 0 different"* ]]
	run probe "$(guest "$1")" walks
	assert_status 0
	[[ $output == *"tasks: read, "*" elements, 1 exits"* ]]
	run probe "$(guest "$1")" overlay
	assert_status 0
	[[ $output == *" 0 different"* ]]
}
