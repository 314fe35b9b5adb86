# SPDX-License-Identifier: GPL-2.0-or-later
# Redirection: exit status, signals, job control, and output that cannot be written. The host's own
# kernel answers here, so no guest is needed. $BUILD is the directory of vexec-test.

bats_require_minimum_version 1.5.0

setup() {
	V=${BUILD:-.}/vexec-test
	T=$BATS_TEST_TMPDIR
}

@test "exit status: 127, 126, the program's own, 128 + signal, 3" {
	run -127 "$V" no-such-command
	run "$V" /etc
	[ "$status" -eq 126 ]
	printf '#!/no/such/interpreter\n' >"$T/s"
	chmod +x "$T/s"
	run -127 "$V" "$T/s"
	run "$V" sh -c 'exit 42'
	[ "$status" -eq 42 ]
	run "$V" sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	run "$V" -g 100 ps -ef
	[ "$status" -eq 3 ]
	[[ $output == *"the guest is gone"* ]]
}

@test "stdout: closed, a full disk, a pipe that is closed early" {
	run bash -c "'$V' seq 3 >&-"
	[ "$status" -eq 1 ]
	[[ $output == *"Bad file descriptor"* ]]
	run bash -c "'$V' ps -ef >/dev/full"
	[ "$status" -eq 1 ]
	run env --default-signal=PIPE bash -c "set -o pipefail; '$V' seq 1 1000000 | head -1"
	[ "$status" -eq 141 ]
	[ "${lines[0]}" = 1 ]
}

# wait_for COMMAND...: waits until it succeeds, at most a minute.
wait_for() {
	for _ in {1..1200}; do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}

no_process() { ! pgrep -f "$1"; }

@test "SIGTERM goes to the program; after SIGKILL no process is left" {
	env --default-signal=TERM "$V" sleep "4711.$$" 3>&- &
	wait_for pgrep -fx "sleep 4711.$$"
	kill -TERM $!
	status=0
	wait $! || status=$?
	[ "$status" -eq 143 ]
	"$V" sh -c "sleep 4712.$$ & sleep 4713.$$" 3>&- &
	wait_for pgrep -fx "sleep 4712.$$"
	wait_for pgrep -fx "sleep 4713.$$"
	kill -9 $!
	wait_for no_process "sleep 471[123].$$"
}

# Each call takes half a second, so the file would take hours.
@test "SIGINT ends a program whose reads take hours" {
	local p
	# In the background SIGINT is ignored, and may be so where the tests were started.
	set -m
	env --default-signal=INT "$V" -u 500000 cat /proc/kallsyms >/dev/null 3>&- &
	p=$!
	wait_for pgrep -P $p -x cat
	sleep 1
	kill -INT "$(pgrep -P $p -x cat)"
	ended() { [ ! -e "/proc/$p/exe" ]; }
	wait_for ended || { kill -9 $p; false; }
	status=0
	wait $p || status=$?
	[ "$status" -eq 130 ]
}

@test "background children end with the program" {
	"$V" sh -c "sleep 4714.$$ & :" 3>&-
	wait_for no_process "sleep 4714.$$"
}

state_is() { # PID STATE
	[ "$(ps -o state= -p "$1")" = "$2" ]
}

state_is_not() {
	! state_is "$@"
}

@test "job control: the whole process group stops, continues and is interrupted" {
	set -m
	n=4715.$$ # no other suite's
	env --default-signal=INT,TSTP "$V" sh -c "sleep $n; :" 3>&- &
	p=$!
	wait_for pgrep -fx "sleep $n"
	kill -TSTP -$p
	wait_for state_is $p T
	kill -CONT $p
	wait_for state_is_not $p T
	wait_for state_is "$(pgrep -fx "sleep $n")" S
	kill -INT -$p
	status=0
	wait $p || status=$?
	[ "$status" -eq 130 ]
}
