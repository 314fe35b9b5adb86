#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What takes long says so, on a terminal and nowhere else.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/terminal

setup_file() { need_guest g61; }

setup() {
	T=$BATS_TEST_TMPDIR
	PID=$(guest_pid g61)
}

teardown() {
	kill -CONT "$PID"
	terminal_end
}

# A hypervisor that stands still does not answer: every first contact with it takes long.
@test "a first contact that takes long says so on a terminal, and takes it back" {
	local tool
	terminal
	for tool in vps "vpslist" "vlens doctor"; do
		kill -STOP "$PID"
		keys "clear; VLENS_CACHE_DIR=$T/c VLENS_RUN_DIR=$T/r-${tool// /} VLENS_KEEP=0 $VLENS_BUILD/$tool qemu:$PID; echo it is done" Enter
		shows 'waiting for the guest, [0-9]+ s'
		kill -CONT "$PID"
		shows '^it is done'
		hides 'waiting for the guest'
		shows 'sleeper|contact'
	done
}

@test "nothing of it where standard error is no terminal" {
	kill -STOP "$PID"
	(sleep 2.5 && kill -CONT "$PID") &
	VLENS_CACHE_DIR=$T/c VLENS_RUN_DIR=$T/r VLENS_KEEP=0 \
		run --separate-stderr timeout 60 vps "qemu:$PID" -e
	[[ $stderr != *waiting* ]] || fail "$stderr"
}
