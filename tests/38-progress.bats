#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A task that takes long shows a progress message, on a terminal only.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/terminal

setup_file() { need_guest g61; }

setup() {
	T=$BATS_TEST_TMPDIR
	PID=$(guest_pid g61)
}

teardown() {
	[[ ! -e $T/pids ]] || occupied_no_more
	terminal_end
}

monitors_busy() { occupy "$VLENS_TEST_RUN"/g61/qmp{,2}.sock; }

# A first attach waits while other clients have the guest's monitors.
@test "a slow first attach shows a message on a terminal, and removes it at the end" {
	local tool
	terminal
	for tool in vps "vpslist" "vlens doctor"; do
		monitors_busy
		keys "clear; VLENS_CACHE_DIR=$T/c VLENS_RUN_DIR=$T/r-${tool// /} VLENS_KEEP=0 $VLENS_BUILD/$tool qemu:$PID; echo it is done" Enter
		shows 'waiting for the guest, [0-9]+ s'
		occupied_no_more
		shows '^it is done'
		hides 'waiting for the guest'
		shows 'sleeper|attach'
	done
}

@test "no progress message if standard error is not a terminal" {
	monitors_busy
	(sleep 2.5 && occupied_no_more) 3>&- &
	local release=$!
	VLENS_CACHE_DIR=$T/c VLENS_RUN_DIR=$T/r VLENS_KEEP=0 \
		run --separate-stderr timeout 60 vps "qemu:$PID" -e
	wait "$release" || true
	# It has waited, until the monitors were free or it gave up.
	[[ ($status -eq 0 && $output == *sleeper*) || $stderr == *"the monitor is busy"* ]] ||
		{ show_run; fail "it has not waited"; }
	[[ $stderr != *waiting* ]] || fail "$stderr"
}

@test "to add thousands of modules shows a message on a terminal, and removes it at the end" {
	local kernel
	kernel=$("$VT_TESTS/fetch-kernel" 6.1)
	terminal
	keys "clear; VLENS_TRUST_DIR=$T/trusted $VLENS_BUILD/vlens trust add $kernel/root; echo it is done" Enter
	shows 'reading it, [0-9]+ s'
	shows '^it is done'
	hides 'reading it'
}
