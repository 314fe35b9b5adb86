#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: the clone runs on KVM by itself, and says the same
# again and again. What Unicorn says is compared in guest-10-programs.bats and
# host-20-dumps.bats.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats: a test is a subshell, run sets variables

load ../lib/vlens
load ../lib/raw
load ../lib/clone

G=$NESTED_GUEST

setup() {
	T=$BATS_TEST_TMPDIR
	ADDRESS=$(guest "$G")
}

teardown() {
	go_on
}

@test "the clone is on KVM, with one entry for a call" {
	run --separate-stderr vps --keep=0 --stats "$ADDRESS" -ef
	assert_status 0
	grep -q '^engine: *vmst/kvm$' <<<"$stderr" || fail "$stderr"
	[[ $stderr != *"not kvm:"* ]] || fail "$stderr"
	[[ $(stat_of "kvm entries" "$stderr") -ge $(stat_of "kernel calls" "$stderr") ]]
	run --separate-stderr vuname --engine=vmst/kvm --keep=0 --stats "$ADDRESS" -n
	assert_same "$G" "$output"
	grep -q '^engine: *vmst/kvm$' <<<"$stderr" || fail "$stderr"
	run --separate-stderr vlens doctor "$ADDRESS"
	assert_status 0
	[[ $output == *"by vmst/kvm"* ]] || fail "$output"
}

@test "at most two VM exits for a call that is warm; the same answers each time" {
	local first
	still "$G"
	ask_clone vmst/kvm "$ADDRESS" 4
	few_exits
	first=$(hashes "$output")
	ask_clone vmst/kvm "$ADDRESS" 4
	assert_same "$first" "$(hashes "$output")"
}
