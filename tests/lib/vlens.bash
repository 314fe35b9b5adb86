# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded by every tests/*.bats: guests on demand, and common checks.
# tests/setup_suite.bash makes the environment:
#
#   VLENS_BUILD      the build directory under test
#   VLENS_TEST_RUN   the folder of this run's guests; if it is given from
#                    outside, with guests in it, it is used and left as it is
#   VLENS_CACHE_DIR, VLENS_RUN_DIR   the tools' own files, private to this run
#   VLENS_TRUST_DIR, VLENS_TYPES_DIR   likewise, of trusted kernels and of types

# shellcheck disable=SC2154 # run sets variables

bats_require_minimum_version 1.5.0

VT_TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# shellcheck source=guests.bash
. "$VT_TESTS/lib/guests.bash"

# ---- judging ----------------------------------------------------------------

fail() {
	printf '%s\n' "$@" >&2
	return 1
}

# Does this build have the emulator? need_emulator skips a test without it.
has_emulator() { [[ $(vlens --version) != *-unicorn* ]]; }
need_emulator() { has_emulator || skip "a build without Unicorn"; }

# Prints the result of the last `run --separate-stderr`, for the log of a failure.
show_run() {
	printf 'status %s\n--- stdout\n%s\n--- stderr\n%s\n' "$status" \
		"$(head -n 20 <<<"$output" | cut -c1-200)" "$(head -n 20 <<<"$stderr" | cut -c1-200)" >&2
}

assert_status() {
	[[ $status -eq $1 ]] || { show_run; fail "status is $status, not $1"; }
}

# assert_refused APPLET GUEST WORDS [STATUS]: one line on stderr, for this guest,
# with these words and a hint; nothing on stdout.
assert_refused() {
	assert_status "${4:-3}"
	[[ -z $output ]] || { show_run; fail "there is output"; }
	[[ ${#stderr_lines[@]} -eq 1 ]] || { show_run; fail "not one line"; }
	[[ $stderr == "$1: $2: "* ]] || { show_run; fail "does not begin with '$1: $2: '"; }
	[[ $stderr == *"$3"* ]] || { show_run; fail "does not say '$3'"; }
	[[ $stderr == *"; "?* ]] || { show_run; fail "does not say what to do"; }
}

# assert_usage APPLET WORDS [STATUS]: a usage error.
assert_usage() {
	assert_status "${3:-1}"
	[[ -z $output ]] || { show_run; fail "there is output"; }
	[[ ${#stderr_lines[@]} -eq 2 ]] || { show_run; fail "not two lines"; }
	[[ ${stderr_lines[0]} == "$1: "*"$2"* ]] || { show_run; fail "does not say '$2'"; }
	[[ ${stderr_lines[1]} == "Try '$1 --help' for more information." ]] ||
		{ show_run; fail "does not point to --help"; }
}

# eventually SECONDS COMMAND...: true as soon as the command is. The last try begins after
# that time, however slow the tries are. The longer it takes, the longer is the time between two
# tries: they make processes, which take CPU time from the one that is waited for.
eventually() {
	local start=${EPOCHREALTIME/./} end now nap
	end=$((start + $1 * 1000000))
	shift
	while now=${EPOCHREALTIME/./} && ! "$@"; do
		[[ $now -lt $end ]] || return 1
		nap=$(((now - start) / 8000))
		nap=$((nap < 20 ? 20 : nap > 250 ? 250 : nap))
		printf -v nap '0.%03d' "$nap"
		sleep "$nap"
	done
}

# tries N COMMAND...: true if one of N runs is, for values that change between two looks.
tries() {
	local n=$1
	shift
	until "$@"; do
		((--n)) || return 1
	done
}

# open_broken_pipe: $W is a descriptor of a pipe that nobody reads.
open_broken_pipe() {
	local reader
	# shellcheck disable=SC2034 # the caller uses it
	exec {W}> >(:)
	reader=$!
	# bash may have forgotten it already.
	wait "$reader" || eventually 60 test ! -e "/proc/$reader"
}

not_stopped() { [[ $(process_state "$1") != [Tt] ]]; }

# machine_state NAME: the state of the virtual machine, from its monitor.
machine_state() {
	if is_domain "$1"; then virsh -q -c qemu:///system domstate "$1"; else
		qmp "$1" query-status | jq -r .status; fi
}

# assert_runs NAME [SECONDS]: a guest runs (within so many seconds): its process is not
# stopped, and the virtual machine is not paused.
assert_runs() {
	local state
	eventually "${2:-0}" not_stopped "$(guest_pid "$1")" ||
		fail "the process of $1 is stopped"
	state=$(machine_state "$1")
	[[ $state == running ]] || fail "$1 is not running: $state"
}

# ours NAME: the processes of this name that belong to this run, by their environment.
ours() {
	local pid
	for pid in $(pgrep -x "$1"); do
		! tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" |
			grep -qxF "VLENS_RUN_DIR=$VLENS_RUN_DIR" || echo "$pid"
	done
}
guards() { ours vlens-guard; }
no_guards() { [[ -z $(guards) ]]; }
none_below() { ! pgrep -P "$1" >/dev/null; }

# hold [MS]: starts a tool ($TOOL) that asks guest $G (of process $QEMU) without end, and
# returns while the guest is paused. MS is the longest pause.  It uses $T.
hold() {
	local end stat
	for _ in 1 2 3 4; do
		# Make a working set first: without one there is no pause.
		vexec "$G" sh -c 'cat /proc/[0-9]*/stat' >/dev/null 2>&1 3>&- 4>&- || true
		# The program sleeps between questions, so each round makes a new copy. The budget is
		# too large to be used up.
		env --default-signal=INT vexec --pause=freeze --max-pause="${1:-30000},60000" "$G" sh -c \
			'while :; do cat /proc/[0-9]*/stat >/dev/null; sleep 0.06; done' \
			>/dev/null 2>"$T/err" 3>&- 4>&- &
		TOOL=$!
		end=$((SECONDS + 15))
		while [[ $SECONDS -lt $end ]] && read -r stat <"/proc/$QEMU/stat"; do
			[[ $stat != *") T "* ]] || return 0
		done
		# On a loaded machine a run can turn to asking without copies, and stay so.
		kill -9 "$TOOL"
	done
	fail "the guest was never held: $(<"$T/err")"
}

# stat_of NAME TEXT: the value of a line of --stats: milliseconds or a count.
stat_of() { sed -n "s/^$1: *\([0-9.]*\).*/\1/p" <<<"$2"; }

# near A B SECONDS: whether two numbers differ by no more than that.
near() {
	[[ $1 =~ ^-?[0-9.]+$ && $2 =~ ^-?[0-9.]+$ ]] || { fail "no number: '$1', '$2'"; return 1; }
	awk -v a="$1" -v b="$2" -v d="$3" 'BEGIN { exit !((a > b ? a - b : b - a) <= d) }'
}

# between LEAST N MOST: whether N is in that range.
between() {
	[[ $2 =~ ^-?[0-9.]+$ ]] || { fail "no number: '$2'"; return 1; }
	awk -v a="$1" -v n="$2" -v b="$3" 'BEGIN { exit !(a <= n && n <= b) }'
}

# assert_same GUEST-TEXT VLENS-TEXT: prints the differences if there are any. The first text must
# not be empty: two commands that fail print the same.
assert_same() {
	[[ -n $1 ]] || { fail "no text to compare with '$2'"; return 1; }
	[[ $1 == "$2" ]] || { diff <(echo "$1") <(echo "$2") >&2; fail "guest < > vlens"; }
}

assert_empty() { [[ -z $1 ]] || fail "not empty: $1"; }

# same_as_guest NAME COMMAND...: compares the output of each command's applet with the
# output of the command in the guest, before and after, by tests/lib/same.py. If the first two
# are the same, the third would change nothing, and is not made. A value may change between two
# runs, so a difference counts when it is there three times in a row.
# SAME_OPTIONS are options of the applets. Of their lines, those that match SAME_WITHOUT do not count.
same_as_guest() { same_text "$1" "$(guest "$1")" "${@:2}"; }

# same_text NAME ADDRESS COMMAND...: the same, with another name of the guest for the tools.
same_text() {
	local name=$1 address=$2 command t try same=$VT_TESTS/lib/same.py
	shift 2
	for command; do
		t=$BATS_TEST_TMPDIR/same
		for try in 1 2 3; do
			in_guest "$name" "$command" >"$t.guest" || true
			# shellcheck disable=SC2086 # words
			v${command%% *} ${SAME_OPTIONS:-} "$address" ${command#"${command%% *}"} >"$t.vlens" 2>&1 || true
			[[ -z ${SAME_WITHOUT:-} ]] || sed -i "/$SAME_WITHOUT/d" "$t.vlens"
			if cmp -s "$t.guest" "$t.vlens"; then
				cp "$t.guest" "$t.later"
			else
				in_guest "$name" "$command" >"$t.later" || true
			fi
			! "$same" "$command" "$t.guest" "$t.vlens" "$t.later" >"$t.diff" || continue 2
		done
		cat "$t.diff" >&2
		fail "$name: $command differs, $try times (guest < > vlens)"
	done
}

# Does this host's KVM count the exits of a vCPU (KVM_CAP_BINARY_STATS_FD, since 5.14)?
kvm_counts() {
	python3 -c '
import fcntl, os, sys
sys.exit(not fcntl.ioctl(os.open("/dev/kvm", os.O_RDWR), 0xae03, 203))'
}

# occupy SOCKET...: starts a client that connects to these monitors and sends nothing,
# until occupied_no_more. It uses $T.
occupy() {
	rm -f "$T/ready"
	python3 -c '
import socket, sys, time
held = []
for path in sys.argv[1:]:
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(path)
    held[-1].recv(100)
print("ready", flush=True)
time.sleep(600)' "$@" >"$T/ready" 3>&- &
	echo $! >>"$T/pids"
	disown
	eventually 60 test -s "$T/ready"
}

occupied_no_more() { xargs kill -9 <"$T/pids" && rm "$T/pids"; }
