#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# An escape from the emulator lands in an empty box: tests/unit/evil-unicorn.c is a
# libunicorn that runs hostile code where the guest's code would run. Each attack fails,
# the tool prints one clear line or the right answer, and the guest runs.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	# A run folder of this file's own: keepers of other test files have workers, too.
	export VLENS_KEEP=0 EVIL=$BATS_FILE_TMPDIR/evil VLENS_RUN_DIR=$BATS_FILE_TMPDIR/run
	need_guest g61
	mkdir "$EVIL"
	local build=("${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -Wall -shared -fPIC -O1
		-iquote "$VT_TESTS/../src" "$VT_TESTS/unit/evil-unicorn.c")
	"${build[@]}" -o "$EVIL/libunicorn.so.2"
	"${build[@]}" -DEVIL_READER -o "$EVIL/reader.so"
	vuname "$(guest g61)" >/dev/null
}

setup() {
	T=$BATS_TEST_TMPDIR
	G=$(guest g61)
	unicorn=$(ldconfig -p | awk '/libunicorn\.so\.2 / { print $NF; exit }')
	rm -f /tmp/evil
}

teardown() {
	local pid
	for pid in $(ours vlens-keeper) ${TOOL:-}; do
		kill -9 "$pid" 2>/dev/null || true
	done
	kill -CONT "$(guest_pid g61)"
}

no_workers() { [[ -z $(ours vlens-clone)$(ours vlens-reader)$(ours vlens-standby) ]]; }

# evil ATTACK APPLET ARGS...: runs the applet with hostile code in the emulator's place.
evil() {
	local attack=$1
	shift
	need_emulator
	run --separate-stderr timeout 120 env LD_LIBRARY_PATH="$EVIL" EVIL_UNICORN="$unicorn" \
		EVIL_ATTACK="$attack" EVIL_AFTER="${after:-0}" EVIL_VICTIM=$$ \
		"$1" --engine=vmst/unicorn "${@:2}"
	assert_runs g61
	[[ ! -e /tmp/evil ]]
	eventually 60 no_workers
}

# The attack fails, and the emulator goes on.
@test "hostile code opens no file" { evil opens vuname "$G" -n && assert_same g61 "$output"; }
@test "hostile code writes to no memory of the guest" { evil writes vuname "$G" -n && assert_same g61 "$output"; }
@test "hostile code kills nobody" { evil kills vuname "$G" -n && assert_same g61 "$output"; }

# The attack ends the worker.
ended() {
	evil "$1" vuname "$G" -n
	assert_refused vuname "$G" "made a forbidden system call"
}
@test "hostile code runs no program" { ended runs; }
@test "hostile code has no network" { ended talks; }
@test "hostile code traces nobody" { ended traces; }
@test "hostile code makes no process" { ended forks; }

@test "an emulator that crashes each time" {
	evil dies vuname "$G" -n
	assert_refused vuname "$G" "has died"
}

@test "an emulator that hangs" {
	local after=30
	evil hangs vps "$G" -ef
	assert_status 3
	[[ $stderr == *"did not answer in time"* ]]
}

@test "a guest that keeps a trusted run busy ends it" {
	local after=30
	export VLENS_TRUST_DIR=$T/trusted
	vlens trust add "$VLENS_TEST_RUN/g61/vmlinuz" >/dev/null
	evil dawdles vps --trusted=auto "$G" -ef
	assert_status 3
	[[ $stderr == *"the trusted run got no answers for 20 s in all"*"dump the guest's memory"* ]] || fail "$stderr"
}

@test "a worker that sends random words" {
	evil babbles vuname "$G" -n
	assert_refused vuname "$G" "the process that runs the guest's code"
}

# The worker goes on, and forges each answer. The program ends, whatever it makes of them.
@test "a worker that goes on, and forges every answer" {
	local after=3 command words seed
	for command in "vps -ef" "vlsof" "vss -tan" "vls -l /proc/1" "vip addr" "vdmesg"; do
		read -ra words <<<"$command"
		for seed in 1 2 3; do
			EVIL_SEED=$seed evil forges "${words[0]}" "$G" "${words[@]:1}"
			[[ $status -lt 124 ]] || { show_run; fail "${words[*]}, $seed"; }
			! LC_ALL=C grep -q $'\033' <<<"$output$stderr" || fail "${words[*]}, $seed: it drives a terminal"
		done
	done
}

# The answers are to questions that no program has asked yet: they come while it works.
@test "a worker that is asked ahead, and counts and changes its answers as it likes" {
	local command words seed
	for command in "vps -ef" "vlsof"; do
		read -ra words <<<"$command"
		evil "" "${words[0]}" "$G" "${words[@]:1}"
		assert_status 0
		for seed in 1 2 3; do
			EVIL_SEED=$seed evil flies "${words[0]}" "$G" "${words[@]:1}"
			[[ $status -lt 124 ]] || { show_run; fail "${words[*]}, $seed"; }
			! LC_ALL=C grep -q $'\033' <<<"$output$stderr" || fail "${words[*]}, $seed: it drives a terminal"
		done
	done
}

@test "a keeper survives its worker's attack, and serves the next tool" {
	export VLENS_RUN_DIR=$T/run VLENS_KEEP=30
	vuname "$G" >/dev/null
	local keeper
	keeper=$(ours vlens-keeper)
	kill -9 "$(ours vlens-clone)"
	run --separate-stderr vuname --stats "$G" -n
	assert_status 0
	assert_same g61 "$output"
	assert_same "$keeper" "$(ours vlens-keeper)"
	[[ $(ours vlens-clone | wc -w) -eq 1 ]]
}

@test "a worker ends with its keeper" {
	export VLENS_RUN_DIR=$T/run VLENS_KEEP=30
	vuname "$G" >/dev/null
	kill -9 "$(ours vlens-keeper)"
	eventually 60 no_workers
}

@test "the box of a worker: its filter, rights, namespaces and descriptors" {
	export VLENS_RUN_DIR=$T/run VLENS_KEEP=30
	local pid kind theirs
	vuname "$G" >/dev/null
	pid=$(ours vlens-clone)
	grep -q '^Seccomp:[[:space:]]*2$' "/proc/$pid/status"
	grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$pid/status"
	grep -q '^CapEff:[[:space:]]*0*$' "/proc/$pid/status"
	grep -q '^CapBnd:[[:space:]]*0*$' "/proc/$pid/status"
	[[ $(awk '/^Uid:/ { print $3 }' "/proc/$pid/status") -gt 2147483647 ]]
	for kind in net mnt ipc uts pid; do
		theirs=$(readlink "/proc/$pid/ns/$kind")
		[[ $theirs == "$kind:"* && $theirs != "$(readlink "/proc/self/ns/$kind")" ]]
	done
	[[ -z $(ls -A "/proc/$pid/root/") ]]
	# When memory is short, the host's kernel kills it before the guest.
	[[ $(cat "/proc/$pid/oom_score_adj") == 1000 ]]
	# Of this host's files, only /dev/null is open for writing.
	for kind in "/proc/$pid/fd/"*; do
		[[ $(readlink "$kind") != /* || $(readlink "$kind") == /dev/null ]] ||
			grep -q '^flags:[[:space:]]*0[0-9]*0$' "/proc/$pid/fdinfo/${kind##*/}"
	done
	run --separate-stderr vuname --stats "$G" -n
	grep -q '^box: *user, network, empty root, IPC, processes, system call filter, limits$' <<<"$stderr"
	run ! grep -q '^box lacks' <<<"$stderr"
}

# --- the same for raw views ---

# evil_view ATTACK APPLET ARGS...: runs it with hostile code where a view makes its rows.
evil_view() {
	local attack=$1
	shift
	run --separate-stderr env LD_PRELOAD="$EVIL/reader.so" EVIL_ATTACK="$attack" \
		EVIL_AFTER="${after:-0}" EVIL_VICTIM=$$ "$@"
	assert_runs g61
	[[ ! -e /tmp/evil ]]
	eventually 60 no_workers
}

# The attack fails, and the view goes on.
view_goes_on() {
	evil_view "$1" vpidlist --no-headers -o PID "$G"
	assert_status 0
	grep -qx ' *1' <<<"$output"
}
@test "hostile code in a view opens no file" { view_goes_on opens; }
@test "hostile code in a view writes to no memory of the guest" { view_goes_on writes; }
@test "hostile code in a view kills nobody" { view_goes_on kills; }

# The attack ends the worker.
view_ended() {
	evil_view "$1" vpslist "$G"
	assert_refused vpslist "$G" "made a forbidden system call"
}
@test "hostile code in a view runs no program" { view_ended runs; }
@test "hostile code in a view has no network" { view_ended talks; }
@test "hostile code in a view traces nobody" { view_ended traces; }
@test "hostile code in a view makes no process" { view_ended forks; }

@test "a view's worker that crashes, or sends random words" {
	evil_view dies vpslist "$G"
	assert_refused vpslist "$G" "has died"
	evil_view babbles vpslist "$G"
	assert_refused vpslist "$G" "the process that reads the guest"
	evil_view lies vps --json "$G"
	assert_status 3
	[[ $stderr == "vps: $G: the process that reads the guest gave a malformed answer"* ]]
}

@test "a view's worker is killed: the tool prints one line and ends with status 3" {
	LD_PRELOAD=$EVIL/reader.so EVIL_ATTACK=hangs vpslist "$G" >"$T/out" 2>"$T/err" 3>&- &
	local tool=$! status=0
	TOOL=$tool
	local reader
	# A view takes some hundredths of a second; the hostile code spins.
	hangs() {
		reader=$(ours vlens-reader)
		[[ $reader =~ ^[0-9]+$ && $(awk '{ print $14 + $15 }' "/proc/$reader/stat") -ge 30 ]]
	}
	eventually 60 hangs
	kill -9 "$reader"
	wait "$tool" || status=$?
	[[ $status -eq 3 && ! -s $T/out && $(wc -l <"$T/err") -eq 1 ]]
	grep -q "^vpslist: $G: the process that reads the guest has died: Killed" "$T/err"
	assert_runs g61
}

@test "vtop: its worker is killed, and the next frame has a new one" {
	vtop -b -n 6 -d 2 "$G" >"$T/out" 2>"$T/err" 3>&- &
	local tool=$! first status=0
	TOOL=$tool
	frames() { [[ $(grep -c '^vtop - ' "$T/out") -ge 1 ]]; }
	eventually 60 frames
	first=$(ours vlens-clone)
	kill -9 "$first"
	wait "$tool" || status=$?
	[[ $status -eq 0 && $(grep -c '^vtop - ' "$T/out") -ge 4 ]]
	grep -q "has died: Killed" "$T/out" "$T/err"
}
