#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Keepers: the process that stays behind a tool serves the next one. Whatever happens to
# either, the guest runs and no tool waits for ever.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	need_guest g61
}

setup() {
	T=$BATS_TEST_TMPDIR
	G=$(guest g61)
	QEMU=$(guest_pid g61)
	# Keepers of this test alone.
	export VLENS_RUN_DIR=$T/run VLENS_KEEP=120
}

teardown() {
	local pid
	for pid in $(keepers) ${TOOL:-}; do
		kill -9 "$pid" 2>/dev/null || true
	done
	kill -CONT "$QEMU"
}

keepers() { ours vlens-keeper; }
no_keepers() { [[ -z $(keepers) ]]; }
nr_keepers() { keepers | wc -l; }

@test "the keeper of the first run serves the second" {
	local first
	run --separate-stderr vuname --stats "$G" -n
	assert_status 0
	[[ $output == g61 ]]
	grep -q '^keeper: *yes$' <<<"$stderr"
	first=$(keepers)
	[[ $(wc -w <<<"$first") -eq 1 ]]
	run --separate-stderr vps --stats "$G" -ef
	assert_status 0
	grep -q ' /sbin/init$' <<<"$output"
	grep -q '^attach: *cached$' <<<"$stderr"
	assert_same "$first" "$(keepers)"
	# The figures are the run's own, not the keeper's.
	run --separate-stderr vuname --stats "$G" -n
	[[ $(stat_of "kernel calls" "$stderr") -lt 50 && $(stat_of "epochs" "$stderr") -le 10 ]]
}

@test "under a keeper the front runs the program; else the whole program does" {
	local options
	vuname "$G" >/dev/null
	for options in "" --stats; do
		# shellcheck disable=SC2086 # no option, or one
		vvmstat $options "$G" 1 99 >"$T/out" 2>/dev/null 3>&- 4>&- &
		TOOL=$!
		eventually 60 grep -q '^ *r ' "$T/out"
		readlink "/proc/$TOOL/exe" >>"$T/exe"
		kill "$TOOL"
		wait "$TOOL" || true
	done
	assert_same "vlens-front vlens" "$(sed 's,.*/,,' "$T/exe" | xargs)"
	[[ $(nr_keepers) -eq 1 ]]
	# Nothing has to be loaded for it, and musl's start asks the processor nothing.
	run -1 grep -F INTERP <<<"$(readelf -lW "$VLENS_BUILD/vlens-front")"
	if type -P musl-gcc; then
		run -1 grep -F GLIBC_TUNABLES "$VLENS_BUILD/vlens-front"
	fi
	# By itself it is of no use.
	mkdir "$T/alone"
	cp "$VLENS_BUILD/vlens-front" "$T/alone/vuname"
	VLENS_KEEP=0 run --separate-stderr "$T/alone/vuname" "$G"
	assert_status 3
	[[ -z $output && $stderr == "vlens: $T/alone/vlens beside vlens-front cannot be run" ]]
}

@test "a keeper that no tool started ends at once, with one line" {
	run --separate-stderr timeout 5 vlens keep 0 qemu:1
	assert_status 1
	assert_same "vlens keep: tools start keepers themselves; --keep=SECONDS sets how long one stays, --keep=0 starts none" "$stderr"
	# A socket, but not a tool's.
	run --separate-stderr timeout 5 python3 -c 'import os, socket, sys
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
os.dup2(a.fileno(), 3)
os.execvp("vlens", ["vlens", "keep", "0", "qemu:1"])'
	assert_status 1
}

@test "a tool prints the same with a keeper and without one" {
	local cmd
	vuname "$G" >/dev/null
	for cmd in "vlsmod" "vuname -a" "vps -e -o pid,ppid,comm" "vls -l /proc/1/ns" \
		"vexec sh -c id;echo\${IFS}x;exit\${IFS}5" "vcat /proc/version"; do
		read -ra words <<<"$cmd"
		run "${words[0]}" --keep=0 "$G" "${words[@]:1}"
		local want=$output code=$status
		run "${words[0]}" "$G" "${words[@]:1}"
		# The kernel's workers come and go, and have changing names.
		assert_same "$(grep -v kworker <<<"$want")" "$(grep -v kworker <<<"$output")"
		[[ $status -eq $code ]] || fail "$cmd: status $status, not $code"
	done
}

@test "--keep=0, VLENS_KEEP=0 and --pause=none leave no keeper behind" {
	vuname --keep=0 "$G" >/dev/null
	VLENS_KEEP=0 vps "$G" -ef >/dev/null
	vuname --pause=none "$G" >/dev/null
	eventually 15 no_keepers
	eventually 15 no_guards
}

# With a subreaper above the tool, it gets the worker whose end the tool has not waited for. The
# worker of a dump has the file mapped up to its end, so the tool waits. It also waits in another
# PID namespace than the first one, where nobody may reap what is left.
@test "a tool without a keeper kills its worker, and leaves that of a live guest to init" {
	local command first
	first=$(stat -Lc %i /proc/self/ns/pid)
	dump_guest g61 "$BATS_TEST_TMPDIR/dump"
	for command in "vuname $G" "vpidlist $G" "vuname $BATS_TEST_TMPDIR/dump" "vpidlist $BATS_TEST_TMPDIR/dump"; do
		# shellcheck disable=SC2086 # words
		VLENS_KEEP=0 LEFT=$([[ $command == *qemu:* && $first -eq 4026531836 ]] && echo 1) \
			python3 - $command <<-'EOF' || fail "$command"
			import ctypes, os, signal, subprocess, sys
			ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
			subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
			left = bool(os.environ["LEFT"])
			ends = []
			try:
			    while True:
			        ends.append(os.WTERMSIG(os.wait()[1]))
			except ChildProcessError:
			    sys.exit((signal.SIGKILL in ends) != left)
		EOF
	done
}

@test "a keeper ends after its time, with its guard and its files" {
	vuname --keep=3 "$G" >/dev/null
	[[ $(nr_keepers) -eq 1 ]]
	eventually 20 no_keepers || fail "it stays: $(keepers)"
	eventually 15 no_guards || fail "its guard stays: $(guards)"
	[[ -z $(compgen -G "$VLENS_RUN_DIR/keep-*") ]] || fail "$(ls "$VLENS_RUN_DIR")"
}

@test "--keep: values that are no time" {
	run --separate-stderr vps --keep=-1 "$G"
	assert_usage vps "'-1' is not a number of seconds"
	run --separate-stderr vps --keep=x "$G"
	assert_usage vps "'x' is not a number of seconds"
}

@test "tools at the same time have a keeper each, up to four" {
	local i pids=()
	mkfifo "$T/in"
	for i in {1..7}; do
		vexec "$G" sh -c 'uname -n; read x; true' <"$T/in" >"$T/out$i" 2>"$T/err$i" 3>&- 4>&- &
		pids+=($!)
	done
	# Each waits for the end of this pipe, so that all run at the same time.
	exec 9>"$T/in"
	for i in {1..7}; do
		eventually 60 grep -q g61 "$T/out$i" || fail "$(cat "$T"/err*)"
	done
	exec 9>&-
	for i in "${pids[@]}"; do
		wait "$i" || fail "$(cat "$T"/err*)"
	done
	for i in {1..7}; do
		[[ $(<"$T/out$i") == g61 && ! -s $T/err$i ]] || fail "$(cat "$T/out$i" "$T/err$i")"
	done
	[[ $(nr_keepers) -eq 4 ]] || fail "$(nr_keepers) keepers"
}

@test "a keeper's program has the tool's folder, input, limits, group and environment" {
	vuname "$G" >/dev/null
	cd /tmp || return
	run bash -c "ulimit -n 2000; echo in | X=5 vexec $G sh -c 'pwd -P; cat; ulimit -n; echo \$X'"
	[[ ${lines[0]} == /tmp && ${lines[1]} == in && ${lines[2]} == 2000 && ${lines[3]} == 5 ]] ||
		fail "$output"
	# It is in the tool's process group, which gets the signals of the terminal.
	set -m
	vexec "$G" sleep "4716.$$" 3>&- 4>&- &
	TOOL=$!
	set +m
	eventually 60 pgrep -fx "sleep 4716.$$" || fail "it does not run"
	assert_same "$TOOL" "$(ps -o pgid= -p "$(pgrep -fx "sleep 4716.$$")" | tr -d ' ')"
	kill "$TOOL"
	wait "$TOOL" || true
	# A keeper does not hold the tool's pipes open: their reader sees the end at once.
	run timeout 45 bash -c "VLENS_RUN_DIR=$T/run2 VLENS_KEEP=60 vuname $G -n | cat"
	assert_status 0
	VLENS_RUN_DIR=$T/run2 kill_keepers
}

kill_keepers() {
	local pid
	for pid in $(keepers); do
		kill "$pid"
	done
}

@test "programs of a keeper share an empty network, and each has an IPC namespace of its own" {
	[[ $EUID -eq 0 ]] || skip "namespaces take root"
	local i pid held net=("$(readlink /proc/self/ns/net)") ipc=("$(readlink /proc/self/ns/ipc)")
	for i in 1 2 3; do
		vexec "$G" sleep "4718$i.$$" 3>&- 4>&- &
		TOOL=$!
		eventually 60 pgrep -fx "sleep 4718$i.$$"
		pid=$(pgrep -fx "sleep 4718$i.$$")
		net+=("$(readlink "/proc/$pid/ns/net")") ipc+=("$(readlink "/proc/$pid/ns/ipc")")
		# Else it would leave its number to the next one.
		# shellcheck disable=SC2034 # it is only held
		exec {held}<"/proc/$pid/ns/ipc"
		kill "$pid"
		wait "$TOOL" || true
	done
	[[ $(nr_keepers) -eq 1 ]]
	assert_same 2 "$(printf '%s\n' "${net[@]}" | sort -u | wc -l)"
	assert_same 4 "$(printf '%s\n' "${ipc[@]}" | sort -u | wc -l)"
}

@test "SIGTERM goes to the program, and the tool has its status: exit, signal, 127, 126" {
	vuname "$G" >/dev/null
	vexec "$G" sh -c 'trap "echo got; exit 9" TERM; uname -n; while :; do sleep 0.1; done' >"$T/out" 3>&- 4>&- &
	TOOL=$!
	eventually 60 grep -q g61 "$T/out"
	kill "$TOOL"
	status=0
	wait "$TOOL" || status=$?
	[[ $status -eq 9 ]] || fail "status $status"
	grep -q got "$T/out"
	run vexec "$G" sh -c 'kill -9 $$'
	assert_status 137
	run -127 vexec "$G" /nonexistent
	run -126 vexec "$G" /etc/passwd
}

@test "Ctrl-C while the guest's monitor does not answer" {
	# A monitor that accepts and says nothing.
	python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8); time.sleep(60)' "$T/mute" 3>&- 4>&- &
	local mute=$!
	eventually 5 test -S "$T/mute"
	env --default-signal=INT vps "qmp:$T/mute" -ef >"$T/out" 2>"$T/err" 3>&- 4>&- &
	TOOL=$!
	has_child() { pgrep -P "$TOOL" >/dev/null; }
	eventually 10 has_child
	sleep 0.5
	# shellcheck disable=SC2046 # words
	kill -INT $(pgrep -P "$TOOL") "$TOOL"
	eventually 15 test ! -e "/proc/$TOOL/exe" || fail "it goes on"
	kill "$mute"
	[[ ! -s $T/out ]]
}

@test "job control: the tool stops and continues with its program" {
	vuname "$G" >/dev/null
	set -m
	mkfifo "$T/in"
	exec 9<>"$T/in"
	env --default-signal=TSTP vexec "$G" sh -c 'uname -n; read x; echo over' <"$T/in" >"$T/out" 3>&- 4>&- 9>&- &
	TOOL=$!
	eventually 60 grep -q g61 "$T/out"
	kill -TSTP -- "-$TOOL"
	stopped() { [[ $(process_state "$TOOL") == T ]]; }
	eventually 15 stopped || fail "the tool does not stop"
	echo >&9
	sleep 1
	! grep -q over "$T/out" || fail "the program went on"
	kill -CONT -- "-$TOOL"
	eventually 60 grep -q over "$T/out" || fail "the program does not go on"
	wait "$TOOL"
	# SIGCONT to the tool alone continues the program, too.
	env --default-signal=TSTP vexec "$G" sh -c 'uname -n; read x; echo over' <"$T/in" >"$T/out" 3>&- 4>&- 9>&- &
	TOOL=$!
	eventually 60 grep -q g61 "$T/out"
	kill -TSTP -- "-$TOOL"
	eventually 15 stopped
	echo >&9
	kill -CONT "$TOOL"
	eventually 60 grep -q over "$T/out" || fail "the program does not go on"
	wait "$TOOL"
	exec 9>&-
}

@test "kill -9 of a tool: its program ends, the keeper serves on" {
	local i first
	vuname "$G" >/dev/null
	first=$(keepers)
	for i in 1 2 3; do
		hold
		pgrep -P "$TOOL" >"$T/program"
		kill -9 "$TOOL"
		eventually 5 not_stopped "$QEMU" || fail "still held"
		program_gone() { [[ ! -e /proc/$(head -n 1 "$T/program")/exe ]]; }
		eventually 15 program_gone || fail "its program goes on"
		[[ $(vuname "$G" -n) == g61 ]]
	done
	grep -qxF "$first" <<<"$(keepers)"
	assert_runs g61 5
}

@test "kill -9 of a keeper that holds the guest: the guest runs, the tool says what happened" {
	local i
	for i in 1 2 3; do
		hold
		kill_keepers_hard
		eventually 5 not_stopped "$QEMU" || fail "still held after SIGKILL"
		status=0
		wait "$TOOL" || status=$?
		[[ $status -eq 3 ]] || fail "status $status"
		# (Before that, the program may print errors of its own, without a line feed.)
		grep -q 'vexec: .* the keeper of this guest has died; try again' "$T/err" || fail "$(<"$T/err")"
		eventually 15 no_guards || fail "guards are left: $(guards)"
		# The next one has a new keeper.
		[[ $(vuname "$G" -n) == g61 ]]
	done
	assert_runs g61 5
}

kill_keepers_hard() {
	local pid
	for pid in $(keepers); do
		kill -9 "$pid"
	done
}

@test "a keeper that hangs: the guest runs, the tool can be killed, the next one is served" {
	hold 200
	# shellcheck disable=SC2046 # words
	kill -STOP $(keepers)
	eventually 10 not_stopped "$QEMU" || fail "still held after SIGSTOP"
	kill -9 "$TOOL"
	eventually 15 test ! -e "/proc/$TOOL/exe"
	# Its lock is free, but it does not answer: the next tool must not wait for ever.
	run timeout 60 vuname "$G" -n
	[[ $output == g61 ]] || fail "$output"
}

@test "a keeper ends with its guest" {
	need_guest victim
	vuname "$(guest victim)" >/dev/null
	[[ $(nr_keepers) -eq 1 ]]
	kill -9 "$(guest_pid victim)"
	eventually 15 no_keepers || fail "it stays"
	drop_guest victim
}

@test "another build of vlens is not served by this one's keeper" {
	vuname "$G" >/dev/null
	cp "$VLENS_BUILD/vlens" "$T/vuname"
	run --separate-stderr "$T/vuname" --stats "$G" -n
	assert_status 0
	[[ $output == g61 ]]
	grep -q '^keeper: *no$' <<<"$stderr"
	# The keeper of the other build ends.
	eventually 15 no_keepers || fail "it stays"
}

@test "a keeper for each identity in a guest; none for a guest that cannot be opened" {
	vuname "$G" -n >/dev/null
	vuname --as 2 "$G" -n >/dev/null
	[[ $(nr_keepers) -eq 2 ]]
	[[ $(vexec --as 2 "$G" sh -c 'echo $$; id -u' | tail -n 1) == 0 ]]
	run --separate-stderr vuname "$T/nonexistent" -n
	assert_status 3
	[[ $(nr_keepers) -eq 2 ]]
	run --separate-stderr vuname qemu:1 -n
	assert_status 3
	[[ ${#stderr_lines[@]} -eq 1 ]]
}

@test "a run directory whose path is too long for a socket: the tool works without a keeper" {
	local long
	long=$T/$(printf 'x%.0s' {1..120})
	run --separate-stderr env VLENS_RUN_DIR="$long" "$VLENS_BUILD/vuname" --stats "$G" -n
	assert_status 0
	[[ $output == g61 ]]
	grep -q '^keeper: *no$' <<<"$stderr"
}

# --- a worker that waits for a raw view ---

standby_waits() { [[ $(ours vlens-standby | wc -w) -eq 1 ]]; }
no_standby() { [[ -z $(ours vlens-standby) ]]; }
another_waits() { standby_waits && [[ $(ours vlens-standby) != "$1" ]]; }
# A worker that sleeps under its filter is in its box, and has reported that.
is_boxed() {
	[[ $(awk '/^Seccomp:/ { print $2 }' "/proc/$1/status") == 2 && $(process_state "$1") == S ]]
}

# have_standby: starts a keeper in which a worker waits ($STANDBY): the first view asks for one.
have_standby() {
	[[ $UID -eq 0 ]] || skip "the files of a worker are root's to read"
	vuname "$G" >/dev/null
	vpidlist "$G" >/dev/null
	eventually 60 standby_waits || fail "no worker waits"
	STANDBY=$(ours vlens-standby)
	eventually 60 is_boxed "$STANDBY"
}

has_init() { grep -qx ' *1' <<<"$1"; }

# hold_view: starts a view ($TOOL) and stops its worker (SIGSTOP).
hold_view() {
	local i
	# A view that the keeper does not answer at once starts a worker of its own: try again.
	for i in {1..20}; do
		have_standby
		kill -STOP "$STANDBY" 2>/dev/null || continue
		vpidlist --no-headers -o PID "$G" >"$T/out" 2>"$T/err" 3>&- 4>&- &
		TOOL=$!
		eventually 60 has_wire_or_ended
		! has_wire || return 0
		wait "$TOOL" || fail "$(cat "$T/err")"
		kill -CONT "$STANDBY" 2>/dev/null || true
	done
	fail "it had a worker of its own each time"
}
# The view has mapped the wire to a waiting worker: its request is sent.
has_wire() { grep -q 'memfd:vlens-wire' "/proc/$TOOL/maps" 2>/dev/null; }
has_wire_or_ended() { has_wire || [[ ! -e /proc/$TOOL/exe ]]; }

@test "a raw view takes the worker that waits, the next view another one" {
	have_standby
	run --separate-stderr vpidlist --no-headers -o PID "$G"
	assert_status 0
	has_init "$output"
	# A worker serves one view. The keeper has another one ready.
	eventually 60 another_waits "$STANDBY" || fail "the same one waits, or none"
	# Each view takes the worker that waits, and prints what it prints without a keeper.
	local cmd with
	for cmd in "vlsmod --engine=imee" vsyscalldump "vuname --json"; do
		eventually 60 standby_waits
		STANDBY=$(ours vlens-standby)
		eventually 60 is_boxed "$STANDBY"
		read -ra words <<<"$cmd"
		run "${words[@]}" "$G"
		assert_status 0
		with=$output
		eventually 60 another_waits "$STANDBY" || fail "$cmd has not used it"
		VLENS_KEEP=0 run "${words[@]}" "$G"
		assert_status 0
		assert_same "$(grep -v '"timestamp"' <<<"$output")" "$(grep -v '"timestamp"' <<<"$with")"
	done
}

@test "a worker that waits is in its box" {
	have_standby
	local says kind worker theirs
	worker=$(ours vlens-clone)
	[[ -n $worker ]]
	says=$(<"/proc/$STANDBY/status")
	grep -q '^NoNewPrivs:[[:space:]]*1$' <<<"$says"
	grep -q '^CapEff:[[:space:]]*0*$' <<<"$says"
	grep -q '^CapBnd:[[:space:]]*0*$' <<<"$says"
	for kind in net mnt ipc uts pid; do
		theirs=$(readlink "/proc/$STANDBY/ns/$kind")
		[[ $theirs == "$kind:"* && $theirs != "$(readlink "/proc/self/ns/$kind")" ]]
	done
	[[ $theirs == pid:* && $theirs != "$(readlink "/proc/$worker/ns/pid")" ]]
	run -0 ls -A "/proc/$STANDBY/root/"
	[[ -z $output ]]
	[[ $(awk '/^Uid:/ { print $3 }' <<<"$says") -gt 2147483647 ]]
	[[ $(awk '/^Uid:/ { print $3 }' <<<"$says") != \
		"$(awk '/^Uid:/ { print $3 }' "/proc/$worker/status")" ]]
	# It has the wire mapped, but no descriptor of its file, which would let it write.
	theirs=$(readlink "/proc/$STANDBY/fd/"*)
	[[ $theirs == *socket:* && $theirs != *vlens-wire* ]]
}

@test "--keep=0, --stats and --engine take no worker that waits; a view starts no keeper" {
	vpidlist "$G" >/dev/null
	[[ -z $(keepers) ]]
	[[ -z $(compgen -G "$VLENS_RUN_DIR/keep-*") ]] || fail "$(ls "$VLENS_RUN_DIR")"
	have_standby
	VLENS_KEEP=0 vpidlist "$G" >/dev/null
	vpidlist --stats "$G" >/dev/null 2>&1
	vpidlist --engine=direct "$G" >/dev/null
	assert_same "$STANDBY" "$(ours vlens-standby)"
}

@test "the worker that waits is killed: the view is right, and another worker waits" {
	have_standby
	kill -9 "$STANDBY"
	run --separate-stderr vpidlist --no-headers -o PID "$G"
	assert_status 0
	has_init "$output"
	[[ -z $stderr ]]
	eventually 60 another_waits "$STANDBY"
}

@test "the keeper is killed with a worker that waits, and with one at work" {
	have_standby
	kill_keepers_hard
	eventually 60 no_standby || fail "it stays"
	run --separate-stderr vpidlist --no-headers -o PID "$G"
	assert_status 0
	has_init "$output"
	[[ -z $stderr ]]
	hold_view
	kill_keepers_hard
	wait "$TOOL" || fail "$(cat "$T/err")"
	has_init "$(<"$T/out")"
	[[ ! -s $T/err ]]
	eventually 60 no_standby || fail "it stays"
}

@test "the tool is killed while its worker is at work: the worker ends" {
	hold_view
	kill -9 "$TOOL"
	eventually 60 another_waits "$STANDBY" || fail "it stays, or no other waits"
}

@test "two views at once, a keeper at work, a keeper that hangs: one has a worker of its own" {
	local i
	hold_view
	run --separate-stderr vpidlist --no-headers -o PID "$G"
	assert_status 0
	has_init "$output"
	[[ -z $stderr ]]
	# The first view ends when its worker continues.
	kill -CONT "$STANDBY"
	wait "$TOOL" || fail "$(cat "$T/err")"
	has_init "$(<"$T/out")"
	eventually 60 another_waits "$STANDBY"
	STANDBY=$(ours vlens-standby)
	eventually 60 is_boxed "$STANDBY"
	vexec "$G" sh -c 'uname -n; sleep 600' >"$T/busy" 2>"$T/err" 3>&- 4>&- &
	TOOL=$!
	eventually 60 grep -q g61 "$T/busy"
	run --separate-stderr vpidlist --no-headers -o PID "$G"
	assert_status 0
	has_init "$output"
	[[ -z $stderr ]]
	assert_same "$STANDBY" "$(ours vlens-standby)"
	kill -9 "$TOOL"
	# shellcheck disable=SC2046 # words
	kill -STOP $(keepers)
	# More views than the keeper's queue of connections holds.
	for i in {1..8}; do
		run --separate-stderr timeout 60 vpidlist --no-headers -o PID "$G"
		assert_status 0
		has_init "$output"
		[[ -z $stderr ]]
	done
}
