#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The tools write nothing to a guest's memory. Whatever happens to a tool that holds a guest,
# the guest runs again within a second.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	# Without keepers, which 65-keeper.bats tests. The run folder is this file's own: it has
	# nothing of other test files.
	export VLENS_KEEP=0 VLENS_RUN_DIR=$BATS_FILE_TMPDIR/run
	need_guest g61
	vuname "$(guest g61)" >/dev/null
	# Make the working set of a shell: its later pauses are for copies of that.
	vexec "$(guest g61)" sh -c 'cat /proc/[0-9]*/stat >/dev/null; sleep 0.06; cat /proc/[0-9]*/stat; true' >/dev/null 2>&1
}

setup() {
	T=$BATS_TEST_TMPDIR
	G=$(guest g61)
	QEMU=$(guest_pid g61)
}

teardown() {
	[[ -z ${TOOL:-} ]] || kill -9 "$TOOL" 2>/dev/null || true
	[[ -z ${QEMU:-} ]] || kill -CONT "$QEMU" 2>/dev/null || true
	qmp g61 cont >/dev/null 2>&1 || true
}

# ---- memory -----------------------------------------------------------------

# The hash of a guest's whole memory, wherever QEMU keeps it.
hash_of() {
	local name=$1 fd
	if [[ -e $VLENS_TEST_RUN/$name/ram-file ]]; then
		sha256sum <"$(<"$VLENS_TEST_RUN/$name/ram-file")"
		return
	fi
	for fd in /proc/"$(guest_pid "$name")"/fd/*; do
		if [[ $(readlink "$fd") == /memfd:*mem* ]]; then
			sha256sum <"$fd"
			return
		fi
	done
	# Anonymous: QEMU itself writes it out.
	qmp "$name" pmemsave "{\"val\": 0, \"size\": 536870912, \"filename\": \"$T/ram\"}" >/dev/null
	sha256sum <"$T/ram"
	rm "$T/ram"
}

untouched() {
	local g before
	need_guest "$1"
	g=$(guest "$1")
	vuname "$g" >/dev/null
	qmp "$1" stop >/dev/null
	before=$(hash_of "$1")
	[[ ${#before} -ge 64 ]]
	vps "$g" -ef | grep -q '/sbin/init'
	vps "$g" aux >/dev/null
	vlsmod "$g" | grep -q '^dummy'
	vexec "$g" sh -c 'cat /proc/*/stat /proc/net/tcp; ls -lR /sys/class' >/dev/null
	vcat "$g" /usr/bin/ps /tmp/known >/dev/null
	vfree "$g" >/dev/null
	vuname --pause=suspend "$g" >/dev/null
	vps --as "$(sed -n 's/^container-init //p' <<<"$(vcat "$g" /run/factory/pids)")" "$g" -ef >/dev/null
	VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run vps "$g" -ef >/dev/null
	assert_same "$before" "$(hash_of "$1")"
	# The guest is still paused.
	[[ $(qmp "$1" query-status | jq -r .status) == paused ]]
	qmp "$1" cont >/dev/null
	assert_runs "$1"
}

@test "memory is untouched, a paused guest stays paused: 6.1, memfd" { untouched g61; }
@test "memory is untouched, a paused guest stays paused: 6.12, file" { need_emulator; untouched g612; }
@test "memory is untouched, a paused guest stays paused: 5.10, anonymous" { untouched g510; }

@test "no mapping of the guest's memory is shared and writable" {
	local worker
	vexec "$G" sh -c 'ps -ef >/dev/null; sleep 30' &
	TOOL=$!
	maps_guest() {
		worker=$(pgrep -P "$TOOL" -x vlens-clone) && grep -q memfd "/proc/$worker/maps"
	}
	eventually 60 maps_guest
	# A write to such a mapping would reach the guest.
	! cat "/proc/$TOOL/maps" "/proc/$worker/maps" | grep 'rw.s.*memfd:.*\(ram0\|backend\)' ||
		fail "mapped writable"
	kill "$TOOL"
}

# ---- the guard --------------------------------------------------------------

# Nothing is left of a tool: no guard, no program that it ran.
nothing_left() {
	eventually 15 no_guards || fail "guards are left: $(guards)"
	eventually 15 none_below "$TOOL" || fail "processes are left: $(pgrep -a -g "$TOOL")"
}

# dies SIGNAL: this signal ends a tool that holds the guest, and the guest runs.
dies() {
	local i
	for i in 1 2 3; do
		hold 30000
		kill -s "$1" "$TOOL"
		eventually 5 not_stopped "$QEMU" || fail "still held after SIG$1 ($i)"
		[[ $1 == INT || $1 == TERM ]] || { wait "$TOOL" || true; }
		eventually 15 test ! -e "/proc/$TOOL/exe" || fail "the tool does not end on SIG$1"
		sleep 0.3
		not_stopped "$QEMU" || fail "held again"
		assert_runs g61
		nothing_left
	done
}

@test "kill -9 of a tool that holds the guest" { dies KILL; }
@test "SIGSEGV of a tool that holds the guest" { ulimit -c 0; dies SEGV; }
@test "SIGTERM to a tool that holds the guest" { dies TERM; }
@test "Ctrl-C (SIGINT) to a tool that holds the guest" { dies INT; }

@test "a tool all of whose processes hang (SIGSTOP) while it holds the guest" {
	local i
	for i in 1 2 3; do
		hold 900
		# shellcheck disable=SC2046 # words
		kill -STOP "$TOOL" $(guards) $(pgrep -P "$TOOL")
		eventually 10 not_stopped "$QEMU" || fail "still held after SIGSTOP"
		sleep 0.5
		assert_runs g61
		kill -KILL "$TOOL"
		wait "$TOOL" || true
		nothing_left
	done
}

@test "a tool that hangs (SIGSTOP) while it holds the guest" {
	hold 900
	kill -STOP "$TOOL"
	eventually 10 not_stopped "$QEMU" || fail "still held after SIGSTOP"
	sleep 0.5
	assert_runs g61
	# Another tool is served meanwhile.
	[[ $(vuname "$G" -n) == g61 ]]
	# The tool continues, and ends with an answer or an error, without another pause.
	kill -CONT "$TOOL"
	sleep 0.5
	kill "$TOOL" 2>/dev/null || true
	wait "$TOOL" || true
	[[ $(wc -l <"$T/err") -le 1 ]] || fail "$(<"$T/err")"
	assert_runs g61 5
	nothing_left
}

@test "kill -9 at any moment, with --pause=suspend" {
	local i
	for i in 05 10 15 20 30 40 50; do
		vps --pause=suspend "$G" -ef >/dev/null 2>&1 3>&- 4>&- &
		TOOL=$!
		sleep "0.$i"
		kill -9 "$TOOL" 2>/dev/null || true
		wait "$TOOL" || true
		running() { [[ $(qmp g61 query-status | jq -r .status) == running ]]; }
		eventually 10 running || fail "still paused"
	done 2>/dev/null
	assert_runs g61
	nothing_left
}

@test "kill -9 at any moment of the first attach" {
	local i
	for i in 02 05 10 20 40 60; do
		VLENS_CACHE_DIR=$T/cache$i VLENS_RUN_DIR=$T/run$i \
			vps "$G" -ef >/dev/null 2>&1 3>&- 4>&- &
		TOOL=$!
		sleep "0.$i"
		kill -9 "$TOOL" 2>/dev/null || true
		wait "$TOOL" || true
		eventually 5 not_stopped "$QEMU" || fail "still held"
	done
	assert_runs g61
	# A run works with the folders of one that was killed.
	VLENS_CACHE_DIR=$T/cache20 VLENS_RUN_DIR=$T/run20 vps "$G" -ef | grep -q /sbin/init
}

@test "a QEMU that somebody stopped stays stopped" {
	kill -STOP "$QEMU"
	run --separate-stderr timeout 60 vps "$G" -ef
	# It is read as it stands, unless it stopped within a step that an answer would wait for.
	[[ ($status -eq 0 && $output == */sbin/init*) ||
		($status -eq 3 && -z $output && $stderr == "vps: $G: "*) ]] || { show_run; fail "status"; }
	[[ $(process_state "$QEMU") == T ]] || fail "it was resumed"
	kill -CONT "$QEMU"
	assert_runs g61 5
}

@test "several tools on one guest at once" {
	local i pids=()
	for i in {1..6}; do
		case $((i % 3)) in
		0) vps --pause=suspend "$G" -ef >"$T/out$i" 2>"$T/err$i" & ;;
		*) vps "$G" -ef >"$T/out$i" 2>"$T/err$i" & ;;
		esac
		pids+=($!)
	done 3>&- 4>&-
	for i in "${pids[@]}"; do
		wait "$i" || fail "$(cat "$T"/err*)"
	done
	for i in {1..6}; do
		grep -q ' /sbin/init$' "$T/out$i"
		[[ ! -s $T/err$i ]] || fail "$(<"$T/err$i")"
	done
	assert_runs g61 5
	nothing_left
}

# ---- how long ---------------------------------------------------------------

# Does the guest run during all of the next second?
runs_for_a_second() {
	local i
	for i in {1..50}; do
		not_stopped "$QEMU" || return 1
		sleep 0.02
	done
}

# slow_reader FILE: reads standard input, a pipe, once FILE exists. It makes FILE.ready when
# the pipe has room for one page only, and FILE.full when there are data in the pipe.
slow_reader() {
	python3 -c '
import array, fcntl, os, select, shutil, sys, termios, time
fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, 4096)
open(sys.argv[1] + ".ready", "w").close()
select.select([0], [], [])
waiting = array.array("i", [0])
fcntl.ioctl(0, termios.FIONREAD, waiting)
if waiting[0] > 0:
    open(sys.argv[1] + ".full", "w").close()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)' "$1"
}

# The budget is so large that a pause could last until the reader reads.
@test "a guest is not held while output waits for a slow reader" {
	local command
	mkfifo "$T/pipe"
	for command in "vcat $G /proc/kallsyms" "vps $G -ef"; do
		rm -f "$T"/go*
		# A silent writer keeps the pipe open until the reader has made it small.
		exec 9<>"$T/pipe"
		slow_reader "$T/go" <"$T/pipe" >"$T/out" 3>&- 9>&- &
		eventually 60 test -e "$T/go.ready"
		# shellcheck disable=SC2086 # words
		${command%% *} --max-pause=60000,60000 ${command#* } >"$T/pipe" 2>"$T/err" 3>&- 9>&- &
		exec 9>&-
		eventually 60 test -e "$T/go.full" || fail "$command: no output"
		eventually 30 runs_for_a_second || fail "$command: held while the reader sleeps"
		touch "$T/go"
		wait
		[[ $(wc -c <"$T/out") -gt 5000 && ! -s $T/err ]] || fail "$command: $(<"$T/err")"
	done
}

@test "a guest is not held while a program sleeps" {
	mkfifo "$T/in"
	# shellcheck disable=SC2016 # vexec's shell expands it
	vexec --stats --max-pause=60000,60000 "$G" sh -c 'ps -e >/dev/null; echo sleeps; read x; ps -e' \
		<"$T/in" >"$T/out" 2>"$T/err" 3>&- &
	exec 9>"$T/in"
	eventually 60 grep -q sleeps "$T/out" || fail "$(<"$T/err")"
	eventually 30 runs_for_a_second || fail "held while the program sleeps"
	echo >&9
	exec 9>&-
	wait
	grep -q ' init$' "$T/out"
	[[ $(stat_of epochs "$(<"$T/err")") -ge 2 ]]
}

@test "a reader that goes away ends the tool, and the guest runs" {
	run --separate-stderr timeout 60 env --default-signal=PIPE bash -c "vcat $G /proc/kallsyms | head -n 1"
	assert_status 0
	[[ ${#lines[@]} -eq 1 && -z $stderr ]]
	run --separate-stderr timeout 60 env --default-signal=PIPE bash -c "vps $G -ef | true"
	[[ $status -ne 124 ]] || fail "it goes on"
	assert_runs g61 5
	eventually 15 no_guards || fail "guards are left: $(guards)"
}
