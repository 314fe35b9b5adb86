#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kill -9 of each process of a run, and of all at once, at random moments: the guest runs on,
# the tool ends, and no process stays behind. tests/kills can do a thousand of each.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	need_guest g61
}

teardown() {
	kill -CONT "$(guest_pid g61)"
}

# kills PROCESS: kills it in 15 runs.
kills() {
	run "$VT_TESTS/kills" --guest g61 --rounds 15 --process "$1" "$VLENS_BUILD"
	echo "$output"
	assert_status 0
	grep -q "^$1 * 15 kills, .* 0 failed" <<<"$output"
	assert_runs g61
}

@test "kill -9 of the tool" { kills tool; }
@test "kill -9 of the guard" { kills guard; }
@test "kill -9 of the keeper" { kills keeper; }
@test "kill -9 of the mirrored program" { kills program; }
@test "kill -9 of the worker" { kills worker; }
@test "kill -9 of the guard and the process that holds the guest, within one pause" { kills both; }
@test "kill -9 of all processes of a run within one pause" { kills all; }

@test "Ctrl-C while the program starts" {
	local keep ms
	vexec "$(guest g61)" true
	for keep in 60 0; do
		for ms in {1..25}; do
			# Status 137: it had to be killed.
			run timeout -k 60 -s INT "0.0$(printf %02d "$ms")" \
				vexec --keep="$keep" "$(guest g61)" cat /proc/uptime
			[[ $status -eq 0 || $status -eq 124 || $status -eq 130 ]] || { show_run; fail "$ms ms: $status"; }
		done
	done
}
