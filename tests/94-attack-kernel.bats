#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# No answer comes from a kernel that no longer runs. Its memory is intact after a reset, while
# the firmware runs and while a capture kernel runs. And no answer is refused because a guest
# is idle, busy or paused.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

teardown_file() {
	drop_guest kdump reset
}

# no_kernel GUEST WORDS: every tool says WORDS, and none shows a process or a figure.
no_kernel() {
	local tool
	for tool in vps vuname vfree vpslist vpidlist vlsmod; do
		run --separate-stderr "$tool" "$1"
		assert_status 3
		[[ $output != *sleeper* && $output != *Linux* && $output != *Mem:* ]] || { show_run; fail "$tool: an answer"; }
		[[ $stderr == *"$2"* ]] || { show_run; fail "$tool does not say '$2'"; }
	done
	run --separate-stderr vps --json "$1"
	assert_status 3
	[[ $(jq '.processes | length' <<<"$output") == 0 ]]
	run --separate-stderr vtop -b -n 1 "$1"
	assert_status 3
	[[ $output != *sleeper* ]]
}

first_line() { head -n 1 <<<"$1"; }

@test "a guest that is reset while its vCPUs are stopped is in its firmware" {
	need_guest reset
	local g
	g=$(guest reset)
	# Make a keeper, a working set and an attach: all of them know the kernel.
	vps "$g" >/dev/null
	vps "$g" | grep -q sleeper
	vpslist "$g" >/dev/null
	qmp reset stop >/dev/null
	qmp reset set-action '{"reboot": "reset"}' >/dev/null
	qmp reset system_reset >/dev/null
	no_kernel "$g" "in its firmware"
	[[ $(vlist -J "$g" | jq -r '.guests[0].note') == *"in its firmware"* ]]
	[[ $(vlist -J "$g" | jq -r '.guests[0].release') == null ]]
	run --separate-stderr vlens doctor "$g"
	[[ $output == *"in its firmware"* ]]
	# Its vCPUs run. When a kernel is up, the answer is that kernel's.
	local start=$SECONDS
	qmp reset cont >/dev/null
	booted() { vps "$g" -e 2>/dev/null | grep -q sleeper; }
	eventually 300 booted
	between 0 "$(vlist -J "$g" | jq '.guests[0].uptime')" $((SECONDS - start + 5))
}

@test "a kernel in early boot: it has processes or is said to boot, and vcheck makes no finding" {
	local g tool seen=''
	export VLENS_TRUST_DIR=$BATS_TEST_TMPDIR/trust
	"$VT_TESTS/guest/start" --name early --kernel 6.1 --backing memfd --no-wait >/dev/null 3>&- 4>&-
	g=$(guest early)
	vlens trust add "$VLENS_TEST_RUN/early/vmlinuz" >/dev/null
	until grep -aq '^vlens-guest: ready' "$VLENS_TEST_RUN/early/console.log"; do
		for tool in "vps" "vps --trusted=auto" vpslist vcheck "vlens trust verify"; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr timeout 120 $tool "$g"
			! grep -qE '^(finding|changed)' <<<"$output" || fail "$tool: $output"
			case $status in
			0) [[ -z $stderr ]] || fail "$tool: $stderr" ;;
			3) [[ ${#stderr_lines[@]} -eq 1 && $stderr == *"; "* && $stderr == *boot* ]] || fail "$tool: $stderr" ;;
			*) fail "$tool: $status $stderr" ;;
			esac
			[[ $stderr != *"is booting, and still changes its own text and constants"* ]] || seen+="${tool##* } "
		done
	done
	drop_guest early
	[[ $seen == *vcheck*verify* || $seen == *verify*vcheck* ]] || fail "no kernel was seen that boots: $seen"
}

@test "a capture kernel (kdump) runs: never the one that crashed" {
	need_guest kdump
	local g
	g=$(guest kdump)
	in_guest kdump '/kdump/load "console=ttyS0 quiet panic=-1 vlens.host=captured vlens.mode=quiet vlens.procs=20 nr_cpus=1"'
	vps "$g" >/dev/null
	run --separate-stderr vuname "$g" -n
	[[ $output == kdump && -z $stderr ]]
	vtop -b -n 1 "$g" | head -n 1 | grep -q ', running$'
	: >"$VLENS_TEST_RUN/kdump/console.log"
	# The command that crashes the guest gets no answer: do not wait for it.
	timeout 300 "$VT_TESTS/guest/run" kdump 'echo c >/proc/sysrq-trigger' >/dev/null 2>&1 3>&- 4>&- &
	local asks=$!
	crashed() { [[ $(vlist -J "$g" | jq -r '.guests[0].state') == crashed ]]; }
	eventually 60 crashed || fail "it does not crash"
	kill "$asks" 2>/dev/null || true
	wait "$asks" || true
	local end=$((SECONDS + 300)) name state
	until grep -aq '^vlens-guest: ready' "$VLENS_TEST_RUN/kdump/console.log"; do
		name=$(vuname "$g" -n 2>/dev/null) || true
		[[ $name != kdump ]] || fail "the name of the kernel that crashed"
		state=$(vlist -J "$g" | jq -r '.guests[0].state')
		[[ $state == crashed ]] || fail "while the capture kernel comes up: $state"
		[[ $SECONDS -lt $end ]] || fail "the capture kernel did not come up"
		sleep 0.3
	done
	run --separate-stderr vuname "$g" -n
	[[ $status == 0 && $output == captured ]]
	[[ $stderr == "vuname: $g: its kernel has crashed; the answer is that of the capture kernel (kdump), which runs now" ]]
	run --separate-stderr vps --keep=0 "$g"
	[[ $status == 0 && $stderr == "vps: $g: its kernel has crashed; "* ]]
	between 100000 "$(vfree "$g" | awk '/^Mem:/ { print $2 }')" 262144
	[[ $(vlist -J "$g" | jq -r '.guests[0].state') == crashed ]]
	[[ $(vlist -J "$g" | jq -r '.guests[0].note') == *"capture kernel"* ]]
	run --separate-stderr vtop -b -n 1 "$g"
	[[ $(first_line "$output") == *", crashed: its capture kernel (kdump) runs" ]]
	run --separate-stderr vlens doctor "$g"
	[[ $output == *"its capture kernel (kdump) runs"* ]]

	# Its memory holds both. With registers the one that runs answers, without them none is chosen.
	local dump=$BATS_TEST_TMPDIR/dump raw=$BATS_TEST_TMPDIR/raw n names=''
	dump_guest kdump "$dump"
	assert_same captured "$(vuname "$dump" -n)"
	"$VT_TESTS/lib/image" raw "$dump" "$raw"
	run --separate-stderr vps "$raw" -ef
	assert_status 3
	[[ $stderr == *"the memory holds 2 kernels: 1: "*", 2: "*"; choose one, as by --kernel=1" ]] || fail "$stderr"
	for n in 1 2 1; do
		names+="$(vuname --kernel="$n" "$raw" -n) "
		vps --kernel="$n" "$raw" -ef >"$BATS_TEST_TMPDIR/a"
		vps --kernel="$n" "$dump" -ef >"$BATS_TEST_TMPDIR/b"
		cmp "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b" || fail "$(diff "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b" | cut -c1-100 | head -6)"
	done
	[[ $names == "kdump captured kdump " || $names == "captured kdump captured " ]] || fail "$names"
	run --separate-stderr vpslist --kernel=3 "$raw"
	assert_status 3
	[[ $stderr == *"there is no kernel 3: the memory holds 2: 1: "*"; choose one of them, as by --kernel=1" ]] || fail "$stderr"
	run --separate-stderr vuname --kernel=2 "$g"
	assert_status 3
	[[ $stderr == *"a running guest has one kernel"* ]] || fail "$stderr"
}

@test "a guest that is paused, or whose hypervisor is stopped, answers, and its state is shown" {
	need_guest reset
	local g pid
	g=$(guest reset)
	pid=$(guest_pid reset)
	vps "$g" >/dev/null
	qmp reset stop >/dev/null
	vps "$g" -e | grep -q sleeper
	vpslist "$g" | grep -q sleeper
	run --separate-stderr vtop -b -n 1 "$g"
	assert_status 0
	[[ $(first_line "$output") == *", paused" ]]
	qmp reset cont >/dev/null
	kill -STOP "$pid"
	run --separate-stderr vtop -b -n 1 "$g"
	vpslist "$g" >"$BATS_TEST_TMPDIR/stopped"
	vlist -J "$g" >"$BATS_TEST_TMPDIR/list"
	vlens doctor "$g" >"$BATS_TEST_TMPDIR/doctor"
	kill -CONT "$pid"
	assert_status 0
	[[ $(first_line "$output") == *", stopped: its hypervisor is stopped by a signal (SIGSTOP)" ]]
	grep -q sleeper "$BATS_TEST_TMPDIR/stopped"
	[[ $(jq -r '.guests[0].state' "$BATS_TEST_TMPDIR/list") == stopped ]]
	grep -qE "^  warning +state +stopped: its hypervisor is stopped by a signal" "$BATS_TEST_TMPDIR/doctor"
	run --separate-stderr vtop -b -n 1 "$g"
	[[ $(first_line "$output") == *", running" ]]
}

@test "idle and paused guests are never refused, and no monitor is asked" {
	local name g i
	for name in g510 g61 g7; do
		need_guest "$name"
		g=$(guest "$name")
		vpidlist "$g" >/dev/null
		for i in {1..60}; do
			vpidlist "$g" >/dev/null || fail "$name: look $i was refused"
		done
		qmp "$name" stop >/dev/null
		for i in {1..20}; do
			vpidlist "$g" >/dev/null || { qmp "$name" cont; fail "$name, paused: look $i was refused"; }
		done
		qmp "$name" cont >/dev/null
		# A silent client has taken both monitors.
		python3 -c '
import socket, subprocess, sys
taken = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for s, path in zip(taken, sys.argv[1:3]):
    s.connect(path)
sys.exit(subprocess.call(["vpidlist", sys.argv[3]], stdout=subprocess.DEVNULL, timeout=60))
' "$VLENS_TEST_RUN/$name/qmp.sock" "$VLENS_TEST_RUN/$name/qmp2.sock" "$g"
	done
}

@test "figures that no running kernel could have are left out, with a reason" {
	# Make a dump to write to.
	need_guest g61
	local d=$BATS_TEST_TMPDIR/d.elf root
	dump_guest g61 "$d"
	address() { vpeek -J "$d" "$1" 8 2>/dev/null | jq -r '.places[0].address'; }
	root=$(dump_root "$d")
	run --separate-stderr vfree --json "$d"
	assert_status 0
	"$VT_TESTS/lib/poke" "$d" "$root" "$(address total_swap_pages)" 0000000000ff0000 >/dev/null
	run --separate-stderr vfree --json "$d"
	assert_status 3
	[[ $stderr == *"does not look like a running kernel's: SWAP_TOTAL"* ]]
	[[ $output != *swap_total*[1-9]* ]]
}
