#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine: over dumps that were taken outside, the clone on KVM gives byte for
# byte the answers that Unicorn gave there.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats: a test is a subshell, run sets variables

load ../lib/vlens
load ../lib/clone

@test "dumps: the clone on KVM says what Unicorn said outside" {
	local dump
	[[ -n $NESTED_GUESTS ]] || skip "this L1 is too slow for guests, of which dumps would be"
	compgen -G "$NESTED_DUMPS/*.elf" >/dev/null || fail "there are no dumps in $NESTED_DUMPS"
	for dump in "$NESTED_DUMPS"/*.elf; do
		ask_clone vmst/kvm "$dump" 2
		assert_same "$(<"${dump%.elf}.unicorn")" "$(hashes "$output")"
		few_exits
	done
}
