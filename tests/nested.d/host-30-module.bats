#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine: imee.ko shows a tiny machine of known state (tests/imee) as it is, and
# withstands abuse: all of the rounds with --all, else a tenth.

load ../lib/vlens

setup() {
	[[ -n $NESTED_MODULE ]] || skip "the module was not built"
}

# tap PROGRAM ARG...: runs a program that prints TAP. None of its tests may fail.
tap() {
	run "$@"
	[[ $status -eq 0 && $output == *$'\n'1..[1-9]* && $'\n'$output != *$'\n'"not ok"* ]] ||
		{ show_run; grep -A 3 "^not ok" <<<"$output"; false; }
}

@test "the module shows a machine as it is, follows it, and refuses what is wrong" {
	tap "$VLENS_BUILD/tests/imee/imee-test"
}

@test "the module maps huge pages, and follows those" {
	local rounds=100
	[[ -z $NESTED_ALL ]] || rounds=500
	tap "$VLENS_BUILD/tests/imee/imee-huge" $rounds
}

@test "the module under abuse: kills, deaths, memory that moves" {
	local part=10
	[[ -z $NESTED_ALL ]] || part=1
	tap "$VLENS_BUILD/tests/imee/imee-stress" -n $part
}

@test "the module is loaded and unloaded" {
	# Keepers have it open.
	local tenths
	pkill -x vlens-keeper || true
	for ((tenths = 0; tenths < 300; tenths++)); do
		[[ $(</sys/module/imee/refcnt) -ne 0 ]] || break
		sleep 0.1
	done
	[[ $(</sys/module/imee/refcnt) -eq 0 ]] || fail "it is in use: $(grep . /sys/module/imee/parameters/*)"
	grep -qx 0 /sys/module/imee/parameters/attachments
	tap "$VLENS_BUILD/tests/imee/imee-stress" -n 20 "$NESTED_MODULE"
}
