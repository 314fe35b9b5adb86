#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine: over dumps that were taken outside, the clone on KVM gives byte for
# byte the answers that Unicorn gave there, and a trusted run those of a plain one.

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

@test "dumps: a trusted run on KVM gives the answers of a plain one" {
	local dump options plain
	[[ -n $NESTED_GUESTS ]] || skip "this L1 is too slow for guests, of which dumps would be"
	compgen -G "$NESTED_DUMPS/trust/*.kernel" >/dev/null || fail "there are no kernels in $NESTED_DUMPS/trust"
	export VLENS_TRUST_DIR=$NESTED_DUMPS/trust
	for dump in "$NESTED_DUMPS"/*.elf; do
		for options in "-ef" "-eLo pid,lwp,ruser,comm"; do
			# shellcheck disable=SC2086 # several options
			run --separate-stderr vps --keep=0 --engine=vmst/kvm "$dump" $options
			assert_status 0
			[[ ${#lines[@]} -gt 10 ]] || fail "$output"
			plain=$output
			# shellcheck disable=SC2086
			run --separate-stderr vps --keep=0 --engine=vmst/kvm --trusted=auto --stats "$dump" $options
			assert_status 0
			assert_same "$plain" "$output"
			grep -q '^engine: *vmst/kvm$' <<<"$stderr" || fail "$stderr"
			grep -qE '^verified: +[1-9][0-9]* pages, [1-9][0-9]* sites, 0 attached, 0 findings$' <<<"$stderr" ||
				fail "$stderr"
			grep -q '^control: *not checked' <<<"$stderr" || fail "$stderr"
		done
	done
}
