#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vlens doctor on guests that run.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	need_guest g61 g510
}

finding() { jq -r --arg c "$1" '.checks[] | select(.check == $c) | .finding' <<<"$output"; }

@test "neither a first attach nor a second one pauses the guest" {
	local g said
	g=$(guest g61)
	export VLENS_RUN_DIR=$BATS_TEST_TMPDIR/run
	run --separate-stderr vlens doctor --json "$g"
	assert_status 0
	[[ $(finding attach) == *"for the first time: nothing was paused" ]]
	assert_runs g61
	run --separate-stderr vlens doctor --json "$g"
	assert_status 0
	[[ $(finding attach) == *"nothing was paused"* ]]
	jq -e --arg g "$g" '.checks | map(select(.area == $g)) | all(.state == "ok")' <<<"$output"
	[[ $(finding kernel) == "Linux $(in_guest g61 'uname -r'),"* ]]
	[[ $(finding memory) == *"can be mapped"* ]]
	[[ $(finding kind) == "a QEMU without libvirt, "*", process ${g#*:}, running, 2 vCPUs" ]]
	[[ $(finding "page tables") == "4 levels" ]]
	[[ $(finding "engine direct") == "reads right"* ]]
	said=$(finding "engine vmst")
	assert_runs g61
	# The executor that doctor names serves the tools.
	run --separate-stderr vuname --stats "$g"
	[[ $said =~ by\ (vmst/[a-z]+) && $stderr == *"engine: "*"${BASH_REMATCH[1]}"* ]] || fail "$said"
}

@test "memory that cannot be mapped: engine direct reads, and kvm says why it cannot" {
	run --separate-stderr vlens doctor --json "$(guest g510)"
	assert_status 0
	[[ $(finding memory) == *anonymous* ]]
	[[ $(finding "engine direct") == "reads right"* ]]
	[[ $(finding "engine kvm") == *"cannot be mapped"* ]]
}

@test "several guests, one that is not there: status 3, the others are examined" {
	run --separate-stderr vlens doctor "$(guest g61)" qemu:4194305
	assert_status 3
	[[ $output == *"no such process"* && $output == *"engine vmst"* ]]
}
