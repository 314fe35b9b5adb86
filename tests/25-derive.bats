#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Offsets of fields that are derived from a kernel's code are compared with its types (BTF). Places
# of variables, and of functions without a table of symbols, are compared with its symbols. Needs no
# guest.

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

@test "derive: the search of the exception table is found where no caller of it has a name" {
	local kernel
	make -s -C "$VLENS_BUILD" tests/unit/derive-probe
	for kernel in 5.10-cloud 6.1-cloud 6.12-cloud; do
		run "$VLENS_BUILD/tests/unit/derive-probe" "$("$VT_TESTS/fetch-kernel" $kernel)/vmlinuz" \
			--bare --compare
		[[ $status -eq 0 && $output != *WRONG* ]] || fail "$kernel"
		grep -qx "equal fixup_exception" <<<"$output" || fail "$kernel"
	done
}
