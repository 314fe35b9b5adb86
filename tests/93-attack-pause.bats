#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# No guest is held for long: nothing renews the budget of a run, and answers need no pause.

# shellcheck disable=SC2154 # bats: run sets variables

load lib/vlens

setup_file() {
	export VLENS_KEEP=0 VLENS_RUN_DIR=$BATS_FILE_TMPDIR/run
	need_guest g61
}

teardown_file() {
	drop_guest busy
}

setup() {
	T=$BATS_TEST_TMPDIR
	G=$(guest g61)
}

# A figure of --stats in the file $2.
figure() { stat_of "$1" "$(<"$2")"; }

# The processes that a list on stdin names, without those that come and go.
steady() { awk '{ print $2, $8 }' | grep -E '(init|sleeper|factory)' | sort; }

@test "--max-pause=0: the guest is never paused, and the answer is right" {
	vps "$G" -ef | steady >"$T/want"
	vps --max-pause=0 --stats "$G" -ef 2>"$T/err" | steady >"$T/got"
	diff "$T/want" "$T/got"
	[[ $(wc -l <"$T/got") -gt 10 ]]
	[[ $(figure pauses "$T/err") == 0 && $(figure 'while it ran' "$T/err") == 0 ]]
	[[ $(($(figure 'at one time' "$T/err") + $(figure validated "$T/err"))) -gt 10 ]]
}

@test "--pause=none: the guest is never paused, and the answers are validated" {
	vps "$G" -ef | steady >"$T/want"
	vps --pause=none --stats "$G" -ef 2>"$T/err" | steady >"$T/got"
	diff "$T/want" "$T/got"
	[[ $(figure pauses "$T/err") == 0 ]]
	[[ $(($(figure 'at one time' "$T/err") + $(figure validated "$T/err"))) -gt 10 ]]
}

@test "the first run of a program, without a working set: its answers are validated" {
	VLENS_RUN_DIR=$T/run vps --stats "$G" -ef 2>"$T/err" | grep -q ' /sbin/init$'
	[[ $(figure validated "$T/err") -gt 10 ]]
}

@test "a run has a budget, whatever it asks" {
	# One pause spends this budget.
	vexec --max-pause=5,5 --stats "$G" sh -c \
		'for i in 1 2 3 4 5 6; do cat /proc/[0-9]*/stat; sleep 0.06; done' 2>"$T/err" >"$T/out"
	[[ $(grep -c '(init)' "$T/out") == 6 ]]
	[[ $(figure pauses "$T/err") -le 13 ]]
}

@test "--max-pause: values that are no budget" {
	for bad in '' x -1 1,x 1,2,3 nan 1e99 99999999999999999999,1 1,99999999999999999999 60001 \
		-1,5 x,1 ,1 0x10 inf 1e1; do
		run --separate-stderr vps --max-pause="$bad" "$G"
		[[ $status -ne 0 && $stderr == *"milliseconds"* ]] || fail "'$bad': $stderr"
	done
}

@test "an answer that may mix several points in time says so, and --strict is a status for it" {
	# The state of its processes changes between any two reads, and no pause is allowed.
	local busy=(vexec --max-pause=0 --stats)
	need_guest busy
	run --separate-stderr vps --strict --stats "$G" -ef
	assert_status "$([[ $(stat_of 'while it ran' "$stderr") == 0 ]] && echo 0 || echo 3)"
	for _ in {1..40}; do
		run --separate-stderr "${busy[@]}" --strict "$(guest busy)" sh -c \
			'for i in 1 2 3 4 5 6 7 8; do cat /proc/stat /proc/[0-9]*/stat; done; true'
		[[ $(stat_of 'while it ran' "$stderr") == 0 ]] || break
	done
	assert_status 3
	[[ $stderr == *"vexec: $(guest busy): $(stat_of 'while it ran' "$stderr") of "*" answers may mix several points in time"* ]]
	run --separate-stderr vexec --max-pause=0 "$(guest busy)" cat /proc/stat
	assert_status 0
	[[ -z $stderr ]]
}

@test "a process of 32,000 mappings: all of them, and the guest is not held for them" {
	local pid
	pid=$(in_guest g61 'factory mappings 32000')
	in_guest g61 "sed 's/ .*//' /proc/$pid/maps" >"$T/want"
	vcat "$G" "/proc/$pid/smaps" | sed -n 's/^\([0-9a-f]*-[0-9a-f]*\) .*/\1/p' >"$T/got"
	vexec --max-pause=0 --stats "$G" sed 's/ .*//' "/proc/$pid/maps" 2>"$T/err" >"$T/unpaused"
	in_guest g61 "kill -9 $pid"
	[[ $(wc -l <"$T/want") -gt 32000 ]]
	cmp "$T/want" "$T/got"
	cmp "$T/want" "$T/unpaused"
	[[ $(figure pauses "$T/err") == 0 ]]
}

@test "a program that asks without a rest sees the changes of the guest" {
	local pid
	pid=$(in_guest g61 'sleep 1 >/dev/null 2>&1 & echo $!')
	# The second run has a working set, so a copy of that answers it.
	timeout 60 vexec "$G" bash -c "while [ -d /proc/$pid ]; do :; done"
	pid=$(in_guest g61 'sleep 1 >/dev/null 2>&1 & echo $!')
	timeout 60 vexec "$G" bash -c "while [ -d /proc/$pid ]; do :; done"
}
