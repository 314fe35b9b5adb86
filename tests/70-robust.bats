#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests that change under the tools: they fork without pause, boot, are reset, and end.
# Caches and monitors that cannot be used.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

RUNS=${VLENS_BUSY_RUNS:-20}

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown_file() {
	drop_guest busy busy510 busy612 reset victim
}

# many NAME RUNS: so many runs in a row against a guest that forks without pause;
# each must end with status 0 and show PID 1 and all that lives long.
many() {
	local g i expected missing
	need_guest "$1"
	g=$(guest "$1")
	expected=$(vcat "$g" /run/factory/pids | awk '{print $2}' | cat - <(printf '%s\n' 1 2) | sort)
	[[ $(wc -w <<<"$expected") -ge 20 ]]
	for ((i = 1; i <= $2; i++)); do
		timeout 60 vps "$g" -ef >"$T/out" 2>"$T/err" ||
			fail "run $i of $2: status $?: $(<"$T/err")"
		missing=$(comm -23 <(echo "$expected") <(awk 'NR > 1 { print $2 }' "$T/out" | sort) | xargs)
		[[ -z $missing ]] || fail "run $i of $2: without $missing"
		[[ ! -s $T/err ]] || fail "run $i of $2: $(<"$T/err")"
	done
	assert_runs "$1" 5
	drop_guest "$1"
}

# The CPU runs user mode with a page table of its own, of a process that soon ends.
@test "a busy guest, 2 CPUs, 5.10: $RUNS first attaches in a row" {
	local i
	need_guest busy510
	for ((i = 1; i <= RUNS; i++)); do
		rm -rf "$T/cache" "$T/run"
		VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run timeout 60 \
			vuptime --keep=0 "$(guest busy510)" >"$T/out" 2>"$T/err" ||
			fail "run $i of $RUNS: status $?: $(<"$T/err")"
	done
}

@test "a busy guest, 2 CPUs, 6.1: $RUNS runs in a row" { many busy "$RUNS"; }
@test "a busy guest, 2 CPUs, 5.10, anonymous memory" { many busy510 $((RUNS / 2)); }
@test "a busy guest, 2 CPUs, 6.12, 5-level paging" { need_emulator; many busy612 $((RUNS / 2)); }

# watch_boot GUEST NAME BOOTS: until NAME has booted so many times, each run ends with an
# answer or with one line.
watch_boot() {
	local g=$1 name=$2 boots=$3 end=$((SECONDS + 300)) answers=0 refusals=0
	until [[ $(grep -ac 'vlens-guest: ready' "$VLENS_TEST_RUN/$name/console.log") -ge $boots ]]; do
		[[ $SECONDS -lt $end ]] || fail "it does not boot"
		run --separate-stderr timeout 60 vps "$g" -e
		case $status in
		0) answers=$((answers + 1)) ;;
		# Killed, or out of time.
		124 | 13[0-9] | 255) fail "status $status: $stderr" ;;
		# A message of ps itself, which fails before /proc and /sys are mounted.
		[12] | 47) [[ -n $stderr ]] ;;
		*)
			assert_refused vps "$g" ""
			refusals=$((refusals + 1))
			;;
		esac
		sleep 0.1
	done
	echo "# while it booted: $answers answers, $refusals refusals" >&3
	assert_runs "$name" 5
	[[ $(vuname "$g" -n) == "$name" ]]
}

@test "at any moment of a boot, and of the boot after a reset, which moves the kernel" {
	local g old reset
	"$VT_TESTS/guest/start" --name reset --kernel 6.1 --smp 2 --backing memfd --no-wait \
		>/dev/null 3>&- 4>&-
	g=$(guest reset)
	watch_boot "$g" reset 1
	old=$(vcat "$g" /proc/kallsyms | grep ' T _stext$')
	[[ $(vps "$g" -ef | wc -l) -ge 80 ]]
	qmp reset set-action '{"reboot": "reset"}' >/dev/null
	reset=$SECONDS
	qmp reset system_reset >/dev/null
	watch_boot "$g" reset 2
	[[ $(vps "$g" -ef | wc -l) -ge 80 ]]
	near 0 "$(vcat "$g" /proc/uptime | cut -d' ' -f1)" $((SECONDS - reset + 5))
	[[ $(vcat "$g" /proc/kallsyms | grep ' T _stext$') == "$(in_guest reset 'grep " T _stext$" /proc/kallsyms')" ]]
	echo "# _stext: before $old" >&3
	drop_guest reset
}

@test "a guest that ends in mid-run" {
	need_guest victim
	local g tool pid
	export VLENS_RUN_DIR=$T/run
	g=$(guest victim)
	pid=$(guest_pid victim)
	vuname "$g" >/dev/null
	# Its output has no end, so it is at work when the guest is killed.
	timeout 90 vexec "$g" sh -c 'while cat /proc/[0-9]*/stat; do :; done' >/dev/null 2>"$T/err" 3>&- &
	tool=$!
	sleep 1
	kill -9 "$pid"
	eventually 30 test ! -e "/proc/$tool/exe" || fail "it goes on for half a minute"
	wait "$tool" && status=0 || status=$?
	[[ $status -ne 124 && $status -ne 255 ]] || fail "status $status"
	run --separate-stderr timeout 60 vps "$g" -ef
	assert_refused vps "$g" "no such process"
	eventually 15 no_guards || fail "guards are left: $(guards)"
	drop_guest victim
}

@test "a cache that is cut off, garbage, or writable by others" {
	need_guest g61
	local g file kind size
	g=$(guest g61)
	export VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run
	for kind in cut empty garbage zeros; do
		vuname "$g" >/dev/null
		while IFS= read -r file; do
			size=$(stat -c %s "$file")
			case $kind in
			cut) truncate -s $((size / 2)) "$file" ;;
			empty) truncate -s 0 "$file" ;;
			garbage) head -c 4096 /dev/urandom | dd of="$file" conv=notrunc status=none ;;
			zeros) truncate -s 0 "$file" && truncate -s "$size" "$file" ;;
			esac
		done < <(find "$T/cache" "$T/run" -type f)
		run --separate-stderr timeout 60 vps "$g" -ef
		assert_status 0
		[[ -z $stderr && $output == */sbin/init* ]]
	done
	chmod 777 "$T/cache" "$T/run"
	[[ $(vuname "$g" -n) == g61 ]]
	[[ $(VLENS_CACHE_DIR=/etc/passwd/x VLENS_RUN_DIR=/etc/passwd/x vuname "$g" -n) == g61 ]]
}

@test "a directory that is named and cannot be used: one line, and the answer" {
	need_guest g61
	local g tool
	g=$(guest g61)
	for tool in "vuname $g" "vpslist $g" "vlist $g" "vtop -b -n 1 $g" "vpeek $g init_task.comm"; do
		# shellcheck disable=SC2086 # words
		VLENS_CACHE_DIR=/etc/passwd/x run --separate-stderr $tool
		assert_status 0
		[[ -n $output && ${#stderr_lines[@]} -eq 1 ]] || { show_run; fail "$tool: no answer, or more than a line"; }
		[[ $stderr == "${tool%% *}: VLENS_CACHE_DIR: cannot make the directory /etc/passwd/x: Not a directory; "* ]] || fail "$stderr"
	done
	# A run that needs no cache prints no such line.
	VLENS_CACHE_DIR=/etc/passwd/x run --separate-stderr vuname --help
	[[ $output == Usage:* && -z $stderr ]]
}

@test "both monitors are taken by others" {
	need_guest g61
	local g holder
	g=$(guest g61)
	vuname "$g" >/dev/null
	python3 -c '
import socket, sys, time
held = []
for path in sys.argv[1:]:
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(path)
print("ready", flush=True)
time.sleep(600)' "$VLENS_TEST_RUN"/g61/qmp{,2}.sock >"$T/ready" 3>&- &
	holder=$!
	eventually 60 test -s "$T/ready"
	# A known guest needs no monitor. A first attach may need one: then it fails with a line.
	[[ $(vuname "$g" -n) == g61 ]]
	VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run \
		run --separate-stderr timeout 60 vuname "$g" -n
	kill "$holder"
	[[ $status -eq 0 ]] || assert_refused vuname "$g" ""
	assert_runs g61 5
}

@test "few resources: 64 descriptors, no HOME" {
	need_guest g61
	local g
	g=$(guest g61)
	run --separate-stderr bash -c "ulimit -f 1; VLENS_CACHE_DIR=$T/small exec vuname --keep=0 $g -n"
	assert_refused vuname "$g" "File too large"
	run --separate-stderr bash -c "ulimit -n 64; exec vuname $g -n"
	[[ $status -eq 0 ]] || assert_refused vuname "$g" "open files"
	[[ $(cd /; env -i PATH="$PATH" VLENS_CACHE_DIR="$VLENS_CACHE_DIR" VLENS_RUN_DIR="$VLENS_RUN_DIR" \
		vuname "$g" -n) == g61 ]]
	assert_runs g61
}

@test "Ctrl-Z before the program begins stops the tool, and the shell has its terminal" {
	need_guest g61
	# The tool serves it itself, then a keeper does.
	run timeout 120 "$VT_TESTS/lib/early-stop" 15 0.015 vexec --keep=0 "$(guest g61)" sleep 0.2
	assert_status 0
	run timeout 120 "$VT_TESTS/lib/early-stop" 15 0.015 vexec "$(guest g61)" sleep 0.2
	assert_status 0
}
