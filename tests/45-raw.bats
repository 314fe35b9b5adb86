#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Raw reads of real guests with the direct engine: the bytes are those that the
# guest has, whatever holds its memory and however deep its page tables are.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	[[ -x $VLENS_BUILD/tests/unit/raw-probe ]] || make -s -C "$VLENS_BUILD" tests/unit/raw-probe
	export DUMPS=$VLENS_TEST_RUN/raw-dumps
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
}

teardown_file() {
	rm -rf "$DUMPS"
	drop_guest deep
}

setup() {
	T=$BATS_TEST_TMPDIR
}

raw() { timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" --engine=direct "$@"; }

# same_facts NAME GUEST: what the kernel says of itself.
same_facts() {
	local version
	version=$(in_guest "$1" 'cat /proc/version')
	assert_same "$version" "$(raw "$2" string linux_banner)"
	assert_same "swapper/0" "$(raw "$2" comm)"
}

# The processes of a guest, without those that its answer takes.
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
		# The tree has more threads, the list more lines of hostile names; both have all.
		raw "$2" pids | sort >"$T/tree"
		cut -d' ' -f1 "$T/list" >"$T/list-pids"
		! diff "$T/guest" "$T/list" >"$T/diff" ||
			[[ -n $(comm -23 "$T/list-pids" "$T/tree") ]] || return 0
	done
	cat "$T/diff" >&2
	fail "$1: the processes differ, $try times (guest < > vlens)"
}

# A process's own memory, through its own page tables: its first argument.
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

# It moves: no cache, no snapshot.
moves() {
	local first
	first=$(raw "$1" bytes "$(raw_symbol "$2" jiffies)" 8)
	sleep 0.1
	[[ $(raw "$1" bytes "$(raw_symbol "$2" jiffies)" 8) != "$first" ]] || fail "jiffies stand still"
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

@test "6.1, mapped, with isolated page tables, 2 CPUs" { judge g61 2; }
@test "6.1, anonymous memory" { judge g61anon 1; }
@test "5.10, anonymous memory" { judge g510 1; }
@test "6.12, 5 levels, a file with a name" { judge g612 1; }
@test "7, 5 levels, mapped, 2 CPUs" { judge deep 2; }

@test "a dump: the same bytes, and an error when it is cut short" {
	local d=$DUMPS/g61.elf
	need_guest g61
	qmp g61 stop >/dev/null
	qmp g61 dump-guest-memory "{\"paging\": false, \"protocol\": \"file:$d\"}" >/dev/null
	raw "$(guest g61)" tasks >"$T/live"
	qmp g61 cont >/dev/null
	same_facts g61 "$d"
	raw "$d" tasks >"$T/dump"
	diff "$T/live" "$T/dump"
	same_arguments g61 "$d"
	each_vcpu g61 "$d" 2
	run --separate-stderr raw "$d" cut "$d"
	assert_status 3
	[[ $stderr == *"the guest's memory has gone"*"cut short"* ]] || { show_run; fail "no such words"; }
}

@test "the fastest engine that is right is taken, and one that cannot is refused" {
	need_guest g61
	run timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" "$(guest g61)" engine
	[[ $output == "direct: "*mapped* ]] || fail "$output"
	run --separate-stderr timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" --engine=crystal \
		"$(guest g61)" engine
	assert_status 3
	[[ $stderr == *"no such engine: crystal; there are direct"* ]] || { show_run; fail "not said"; }
}

@test "addresses that cannot be read" {
	local g address len words
	need_guest g61
	g=$(guest g61)
	while read -r address len words; do
		run --separate-stderr raw "$g" bytes "$address" "$len"
		[[ $status -eq 3 && -z $output && $stderr == *"$words"* ]] ||
			{ show_run; fail "$address $len: not '$words'"; }
	done <<-EOF
		0x0000800000000000 8 not a canonical address
		0xfffffffffffffff0 64 beyond the end of the address space
		0xffff888000000000 1073741825 more than 1 GiB at once
		0xffff800000000000 8 not present
		0 8 not present
	EOF
}

@test "a task that flips its credentials is seen to" {
	local pid
	need_guest g61
	pid=$(in_guest g61 'FACTORY_ROLE=flipper setsid /sbin/init flipper </dev/null >/dev/null 2>&1 &
		echo $!')
	run --separate-stderr raw "$(guest g61)" watch "$pid" 100
	in_guest g61 "kill -9 $pid"
	assert_status 0
	[[ $output == "100 changes"* ]] || fail "$output"
}
