#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The kvm engine on running guests. An immersive vCPU reads the same bytes as the direct engine, at
# each place of the agent. Where the engine cannot work, it is refused with the reason.
# tests/unit/test_agent.c has the tests without a guest.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/raw

setup_file() {
	need_probes
}

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() {
	go_on
}

# Replaces the one of lib/raw: these tests pass --engine themselves, or none.
raw() { timeout 60 "$VLENS_BUILD/tests/unit/raw-probe" "$@"; }

# Skips where this host has no KVM, or one that the engine refuses.
need_kvm() {
	[[ -c /dev/kvm ]] || skip "there is no /dev/kvm"
	need_guest "$1"
	run --separate-stderr raw --engine=kvm "$(guest "$1")" engine
	[[ $stderr != *"/dev/kvm"* && $stderr != *"does not run here"* && $stderr != *shadows* && $stderr != *"page walks"* ]] ||
		skip "$stderr"
	assert_status 0
}

@test "6.1, page-table isolation: the same bytes, walks and overlay page as direct" {
	need_kvm g61
	same_bytes g61
}

@test "7: the same bytes, walks and overlay page as direct" {
	need_kvm g7
	same_bytes g7
}

@test "address spaces of processes, and both page tables of each with page-table isolation" {
	need_kvm g61
	still g61
	run probe "$(guest g61)" spaces
	assert_status 0
	[[ $output == *" 0 different"* ]]
	# Both page tables map the entry code, so the agent works in both.
	[[ $output == *" 0 not by the agent" ]]
}

@test "a running guest: a string and the list of tasks" {
	local list
	need_kvm g61
	run raw --engine=kvm "$(guest g61)" string linux_banner
	assert_status 0
	assert_same "$(in_guest g61 'cat /proc/version')" "$output"
	list=$(raw --engine=direct "$(guest g61)" tasks | cut -d' ' -f1 | sort)
	run raw --engine=kvm "$(guest g61)" tasks
	assert_status 0
	[[ $(wc -l <<<"$output") -ge 90 ]]
	# Some may have come and gone.
	[[ $(comm -3 <(cut -d' ' -f1 <<<"$output" | sort) <(echo "$list") | wc -l) -lt 10 ]]
}


@test "poll mode: no exit for a request" {
	need_kvm g61
	still g61
	run probe "$(guest g61)" poll
	assert_status 0
	[[ $output =~ (^|[^0-9])0\ exits\ for\ 200\ reads ]]
}

# The engine uses a mirror where the processor cannot walk the guest's own tables: AMD's and most of
# Intel's.
@test "through a mirror of page tables: the same bytes, walks and overlay page as direct" {
	need_kvm g61
	still g61
	run probe --mirror "$(guest g61)" sweep 100
	assert_status 0
	[[ $output == *" 0 different"* ]]
	run probe --mirror "$(guest g61)" walks
	assert_status 0
	[[ $output == *"tasks: read, "*" elements, 1 exits"* ]]
	run probe --mirror "$(guest g61)" overlay
	assert_status 0
	[[ $output == *" 0 different"* ]]
	run probe --mirror "$(guest g61)" spaces
	assert_status 0
	[[ $output == *" 0 different"* && $output == *" 0 not by the agent" ]]
}

@test "a guest that forks without pause, through a mirror of its page tables" {
	need_kvm busy
	run probe --mirror "$(guest busy)" busy 5
	drop_guest busy
	assert_status 0
	[[ $output == *" 0 different"* ]]
}

@test "hostile page tables and endless code: reads end soon, with the same bytes" {
	need_kvm g61
	still g61
	run probe "$(guest g61)" hostile
	assert_status 0
	[[ $output == *"a loop: soon, 0 different"* ]]
}

@test "RAM that is partly anonymous: the direct engine reads that part" {
	local how
	need_kvm gmixed
	still gmixed
	for how in '' --mirror; do
		# shellcheck disable=SC2086 # a word or none
		run probe $how "$(guest gmixed)" sweep 100
		assert_status 0
		# A third of the guest's 384 MiB is in no memory slot. The guest uses that part first.
		[[ $output == *" 0 different"* && $output != *" 0 not by the agent" ]]
		# shellcheck disable=SC2086 # a word or none
		run probe $how "$(guest gmixed)" spaces
		assert_status 0
		[[ $output == *" 0 different"* ]]
	done
	drop_guest gmixed
	rm "$T/stopped"
}

@test "anonymous RAM is refused with the reason, and read by the next engine" {
	need_guest g510
	run --separate-stderr raw --engine=kvm "$(guest g510)" engine
	assert_status 3
	[[ $stderr == *"cannot be mapped"* ]]
	run --separate-stderr raw "$(guest g510)" engine
	assert_status 0
	[[ $output == direct* ]]
}

@test "a guest with 5-level paging on a host with 4 levels is refused with the reason" {
	[[ -c /dev/kvm ]] || skip "there is no /dev/kvm"
	! grep -qw la57 /proc/cpuinfo || skip "this host's processor has five"
	need_guest g612
	run --separate-stderr raw --engine=kvm "$(guest g612)" engine
	assert_status 3
	[[ $stderr == *"5 levels"* ]]
}

@test "without /dev/kvm the engine is refused with the reason, and another one reads" {
	local g
	[[ $EUID -eq 0 ]] || skip "to hide /dev takes root"
	need_guest g61
	g=$(guest g61)
	raw "$g" engine >/dev/null
	mkdir "$T/dev"
	run --separate-stderr unshare -m bash -c "mount --bind '$T/dev' /dev && exec \
		'$VLENS_BUILD/tests/unit/raw-probe' --engine=kvm '$g' engine"
	assert_status 3
	[[ $stderr == *"/dev/kvm: No such file or directory"* ]]
	run unshare -m bash -c "mount --bind '$T/dev' /dev && exec \
		'$VLENS_BUILD/tests/unit/raw-probe' '$g' engine"
	assert_status 0
	[[ $output == direct* ]]
	# --stats shows the reason.
	run --separate-stderr unshare -m bash -c "mount --bind '$T/dev' /dev && exec \
		'$VLENS_BUILD/vpidlist' --stats '$g'"
	assert_status 0
	[[ $stderr == *"engine:         direct"*"others:"*"kvm: /dev/kvm: No such file or directory"* ]]
	# A /dev/kvm that may not be opened, by root without CAP_DAC_OVERRIDE.
	mknod -m 0 "$T/dev/kvm" c 10 232
	run --separate-stderr unshare -m bash -c "mount --bind '$T/dev' /dev && exec setpriv \
		--bounding-set=-dac_override '$VLENS_BUILD/vpidlist' --stats '$g'"
	assert_status 0
	[[ $stderr == *"others:"*"kvm: /dev/kvm: Permission denied"* ]]
	run --separate-stderr unshare -m bash -c "mount --bind '$T/dev' /dev && exec setpriv \
		--bounding-set=-dac_override '$VLENS_BUILD/vpidlist' --engine=kvm '$g'"
	assert_status 3
	[[ $stderr == *"cannot serve here: /dev/kvm: Permission denied"* ]]
	rm "$T/dev/kvm"
	# A regular file of that name.
	run --separate-stderr unshare -m bash -c "mount --bind '$T/dev' /dev && : >/dev/kvm && exec \
		'$VLENS_BUILD/tests/unit/raw-probe' --engine=kvm '$g' engine"
	assert_status 3
	[[ $stderr == *"/dev/kvm is not KVM: Inappropriate ioctl"* ]] || fail "$stderr"
}
