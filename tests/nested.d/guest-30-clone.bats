#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: vlens chooses KVM for the clone, whose answers are the
# same in each round. guest-10-programs.bats and host-20-dumps.bats compare them with Unicorn's.

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

# The milliseconds of the quickest of three runs, or "-" if one fails: took COMMAND...
took() {
	local start now best=
	for _ in 1 2 3; do
		start=${EPOCHREALTIME/./}
		timeout 60 "$@" >/dev/null 2>&1 3>&- || { echo -; return; }
		now=$(((${EPOCHREALTIME/./} - start) / 1000))
		[[ -n $best && $best -le $now ]] || best=$now
	done
	echo "$best"
}

# These figures show which of the two is better for a short run, on a machine whose KVM is the
# processor's own.
@test "how long short runs take on KVM and by rewritten code: figures only" {
	local command
	for command in "vuname -n" vfree; do
		# shellcheck disable=SC2086 # words
		set -- $command
		echo "# $command: vmst/kvm $(took "$1" --keep=0 --engine=vmst/kvm "$ADDRESS" "${@:2}") ms," \
			"vmst/native $(took "$1" --keep=0 --engine=vmst/native "$ADDRESS" "${@:2}") ms" >&3
	done
}
