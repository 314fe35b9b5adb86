#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Offsets of fields, derived from a kernel's code, against the types that the kernel carries, and
# places of variables, and of what is found without a table of symbols, against its symbols. No guest.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

@test "derive: no offset is wrong on a kernel of each series, and most are found" {
	make -s -C "$VLENS_BUILD" tests/unit/derive-probe
	run "$VT_TESTS/derive" 5.10 6.1 6.12 7
	[[ $status -eq 0 ]] || fail "$output"
	[[ $(grep -c ' 0 wrong ' <<<"$output") -eq 4 ]] || fail "$output"
}

@test "derive: no variable is at a wrong place, and most are found" {
	make -s -C "$VLENS_BUILD" tests/unit/derive-probe
	run "$VT_TESTS/derive" --data 5.10 6.1 6.12 7
	[[ $status -eq 0 ]] || fail "$output"
	[[ $(grep -c ' 0 wrong ' <<<"$output") -eq 4 ]] || fail "$output"
}

@test "derive: no name is at a wrong place that is found without a table of symbols" {
	make -s -C "$VLENS_BUILD" tests/unit/derive-probe
	run "$VT_TESTS/derive" --bare 5.10 6.1 6.12 7
	[[ $status -eq 0 ]] || fail "$output"
	[[ $(grep -c ' 0 wrong ' <<<"$output") -eq 4 ]] || fail "$output"
}
