#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Raw reads of running guests with the direct engine give the guest's own bytes, for each kind of
# memory backing and each depth of page tables.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/raw

setup_file() {
	need_probes
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
	ENGINE=direct
}

@test "6.1, mapped, with isolated page tables, 2 CPUs" { judge g61 2; }
@test "6.1, anonymous memory" { judge g61anon 1; }
@test "5.10, anonymous memory" { judge g510 1; }
@test "6.12, 5 levels, a file with a name" { judge g612 1; }
@test "7, 5 levels, mapped, 2 CPUs" { judge deep 2; }

# The symbols that are parsed from the kernel's image are all of those in /proc/kallsyms, without
# the symbols of modules.
same_symbols() {
	need_guest "$1"
	want=$(in_guest -t 300 "$1" 'echo 0 >/proc/sys/kernel/kptr_restrict
		cut -d" " -f1,3 /proc/kallsyms | grep -v "\[" | md5sum')
	raw "$(guest "$1")" symbols >"$T/parsed"
	[[ $(wc -l <"$T/parsed") -gt 50000 ]]
	[[ $(md5sum <"$T/parsed") == "$want" ]]
}

@test "symbols: 5.10" { same_symbols g510; }
@test "symbols: 6.1, with isolated page tables" { same_symbols g61; }
@test "symbols: 6.12, 5 levels" { same_symbols g612; }
@test "symbols: 7, 5 levels" { same_symbols deep; }

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

@test "the fastest engine that works is taken, and an unknown one is refused" {
	need_guest g61
	run timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" "$(guest g61)" engine
	[[ $output == "direct: "*mapped* ]] || fail "$output"
	run --separate-stderr timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" --engine=crystal \
		"$(guest g61)" engine
	assert_status 3
	[[ $stderr == *"no such engine: crystal; there are direct"* ]] || { show_run; fail "not said"; }
}

@test "addresses that cannot be read: an error with the reason" {
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

@test "each change of a task's credentials is read" {
	local pid
	need_guest g61
	pid=$(in_guest g61 'FACTORY_ROLE=flipper setsid /sbin/init flipper </dev/null >/dev/null 2>&1 &
		echo $!')
	run --separate-stderr raw "$(guest g61)" watch "$pid" 100
	in_guest g61 "kill -9 $pid"
	assert_status 0
	[[ $output == "100 changes"* ]] || fail "$output"
}
