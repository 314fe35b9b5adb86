#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The last check of the nested machine: its kernel's log after all tests.

load ../lib/vlens

@test "no warning in the kernel's log" {
	local bad
	dmesg >/results/dmesg.end
	bad=$(diff /results/dmesg.boot /results/dmesg.end | sed -n 's/^> //p' |
		grep -Ef "$BATS_TEST_DIRNAME/complaints" || true)
	[[ -z $bad ]] || fail "$bad"
}
