#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The applets for files, IPC, the network, the log and the load. They print the same as inside the
# guest. Tools that repeat show the rates of the guest's own counters. Changes are refused.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

# Gives the guest an interface, a route and a neighbour.
setup_file() {
	need_guest g61
	in_guest g61 'ip link add u0 type dummy && ip addr add 10.9.0.1/24 dev u0 &&
		ip link set u0 up && ip route add 10.10.0.0/16 via 10.9.0.7 &&
		ip neigh add 10.9.0.7 lladdr 02:00:00:00:00:07 dev u0'
	# Make the first attach now: a monitor has one client at a time, and some tests run several
	# tools at once.
	vuname "$(guest g61)" >/dev/null
}

teardown_file() {
	in_guest g61 'ip link del u0'
}

setup() {
	T=$BATS_TEST_TMPDIR
	g=$(guest g61)
}

@test "an option of vlens after the guest: the program's error, and a hint to put it before" {
	for a in vps vls vss; do
		run --separate-stderr "$a" "$g" --pause=none
		[[ $status -ne 0 && $stderr == *$'\n'"$a: '--pause' is an option of $a: it goes before the guest" ]] ||
			{ show_run; fail "$a"; }
	done
	# No hint if it is an operand.
	run --separate-stderr vls "$g" -- --pause
	[[ $status -ne 0 && $stderr != *"before the guest"* ]]
}

guest_has() { in_guest g61 "command -v $1" >/dev/null || skip "the guest has no $1"; }

# ---- the same text as inside the guest ---------------------------------------

@test "vlsof: files of a process, of a command, sockets; sizes and offsets" {
	local pid
	pid=$(factory_pid g61 listener)
	same_as_guest g61 "lsof -p 1" "lsof -p $pid" "lsof -nP -i" "lsof -U" "lsof -c listener" \
		"lsof -F pcfn -p $pid" "lsof"
	[[ $(vlsof "$g" -p 1 | head -n 1) == *SIZE/OFF* ]]
	[[ $(vlsof "$g" | wc -l) -gt 300 ]]
}

@test "vipcs: segments, sets, queues; a container has its own" {
	in_guest g61 'ipcmk -M 12345 -p 640; ipcmk -S 3; ipcmk -S 5; ipcmk -Q' >"$T/made"
	same_as_guest g61 "ipcs" "ipcs -a" "ipcs -u" "ipcs -l" "ipcs -p" "ipcs -t" "ipcs -c" \
		"ipcs -m -i $(sed -n 's/Shared memory id: //p' "$T/made")" \
		"ipcs -s -i $(sed -n 's/Semaphore id: //p' "$T/made" | tail -n 1)" \
		"ipcs -q -i $(sed -n 's/Message queue id: //p' "$T/made")"
	[[ $(vipcs "$g" | grep -c '^0x') -eq 4 && $(vipcs "$g" -m) == *12345* ]]
	[[ $(vipcs --as "$(factory_pid g61 container-init)" "$g" | grep -c '^0x') -eq 0 ]]
	in_guest g61 'ipcrm --all'
}

@test "vss, vnetstat: sockets, statistics, routes" {
	same_as_guest g61 "ss -tulpn" "ss -x" "ss -tan" "ss -s" "netstat -tulnp" "netstat -an" "netstat -rn" \
		"netstat -i" "netstat -s" "netstat -g"
	[[ $(vss "$g" -tln) == *127.0.0.1:4242* ]]
	[[ $(vnetstat "$g" -rn) == *10.10.0.0* ]]
}

@test "vss without the guest's sock_diag modules: no call is given up" {
	run --separate-stderr vss --stats "$g" -tan
	assert_status 0
	[[ $(stat_of "gave up" "$stderr") -eq 0 ]]
}

@test "vip, vifconfig, varp: interfaces, addresses, routes, neighbours" {
	same_as_guest g61 "ip link" "ip -s link" "ip addr" "ip route" "ip route show table all" "ip rule" \
		"ip neigh" "ip maddr" "ifconfig -a" "ifconfig lo" "arp -n" "arp -an"
	[[ $(vip "$g" neigh) == *02:00:00:00:00:07* && $(varp "$g" -n) == *02:00:00:00:00:07* ]]
	[[ $(vifconfig "$g" -a) == *u0:* ]]
}

# One socket in the guest serves them all: a list of sockets shows it until the epoch ends.
@test "questions about interfaces take a call each, and one socket" {
	run --separate-stderr vexec --stats "$g" /usr/bin/python3 -c '
import fcntl, socket, struct
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sockets = lambda: len(open("/proc/net/unix").readlines())
index = lambda: struct.unpack("16si", fcntl.ioctl(s, 0x8933, struct.pack("16si", b"lo", 0)))[1]
before = sockets()
assert {index() for i in range(200)} == {1}
assert sockets() <= before + 1'
	assert_status 0
	[[ $(stat_of "kernel calls" "$stderr") -lt 400 ]]
}

@test "vdmesg: every record once and in order, also over many epochs" {
	same_as_guest g61 "dmesg" "dmesg -S" "dmesg -r" "dmesg --level err,warn" "dmesg -T"
	vexec "$g" /usr/bin/python3 -c '
import os, time
log, numbers = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK), []
try:
    while True:
        numbers.append(int(os.read(log, 8192).split(b",")[1]))
        len(numbers) % 50 or time.sleep(0.1)
except BlockingIOError:
    assert len(numbers) > 200 and numbers == sorted(set(numbers)), numbers'
}

@test "vdate: the guest's time, to a second" {
	local a x b
	a=$(in_guest g61 'date +%s')
	x=$(vdate "$g" +%s)
	b=$(in_guest g61 'date +%s')
	[[ $((a - 1)) -le $x && $x -le $((b + 1)) ]] || fail "$x is not in $a ... $b"
	same_as_guest g61 "date -u +%Z" "date +%Y-%m-%d"
}

@test "vvmstat, vmpstat, viostat, vpidstat: the counters, once" {
	same_as_guest g61 "vmstat -d" "vmstat -D"
	same_as_guest g61 "vmstat" "vmstat -s" "vmstat -w" "vmstat -m"
	guest_has mpstat
	same_as_guest g61 "iostat -d"
	same_as_guest g61 "mpstat" "mpstat -P ALL" "iostat" "iostat -c"
	[[ $(vmpstat "$g" -P ALL | grep -cE '^[0-9:]{8}( [AP]M)? +[0-9]+ ') -eq $(in_guest g61 nproc) ]]
	same_as_guest g61 "pidstat -p 1" "pidstat -r -p 1" "pidstat -w -p 1"
}

# ---- tools that repeat -------------------------------------------------------

# Starts a process that uses about half of a CPU, in bursts, until /tmp/work is removed; prints its
# PID.
work() {
	# shellcheck disable=SC2016 # the guest's shell expands it
	in_guest g61 'touch /tmp/work; (while [ -e /tmp/work ]; do i=0
		while [ $i -lt 15000 ]; do i=$((i+1)); done; sleep 0.1; done) >/dev/null 2>&1 & echo $!'
}

# ticks PID: the guest's figures: the clock ticks of this process, then the uptime.
ticks() {
	in_guest g61 "sed 's/.*) //' /proc/$1/stat | awk '{ printf \"%d \", \$12 + \$13 }'
		cut -d' ' -f1 /proc/uptime"
}

# close A B WAY: notes in $T/apart if B differs from A by more than WAY.
close() {
	near "$1" "$2" "$3" || echo "$2 is not within $3 of $1" >>"$T/apart"
}

# The tools do not start at the same time, so each sees a slightly different load.
rates() {
	local pid a b guest vlens
	: >"$T/apart"
	pid=$(work)
	read -ra a < <(ticks "$pid")
	in_guest g61 'vmstat 4 2 | tail -n 1' >"$T/guest" &
	vvmstat "$g" 4 2 >"$T/vmstat" &
	if [[ -n $(command -v pidstat) ]]; then
		vpidstat "$g" -p "$pid" 4 1 >"$T/pidstat" &
		vmpstat "$g" 4 1 >"$T/mpstat" &
	fi
	wait
	read -ra b < <(ticks "$pid")
	in_guest g61 'rm /tmp/work'
	eventually 60 in_guest g61 "[ ! -e /proc/$pid ]"
	cat "$T/guest" "$T"/*stat
	[[ $(wc -l <"$T/vmstat") -eq 4 ]] || { echo "vmstat has other lines" >"$T/apart"; return 1; }
	read -ra guest <"$T/guest"
	read -ra vlens < <(tail -n 1 "$T/vmstat")
	# Context switches (the tools cause some themselves); user; idle.
	close "${guest[11]}" "${vlens[11]}" $((40 + guest[11] / 2))
	close "${guest[12]}" "${vlens[12]}" 15
	close "${guest[14]}" "${vlens[14]}" 15
	[[ ! -e $T/pidstat ]] || close "$(awk "BEGIN { print (${b[0]} - ${a[0]}) / (${b[1]} - ${a[1]}) }")" \
		"$(awk '/^Average:.*[0-9]/ { print $8 }' "$T/pidstat")" 15
	[[ ! -e $T/mpstat ]] || close "${guest[14]}" "$(awk '/^Average: *all/ { print $NF }' "$T/mpstat")" 15
	[[ ! -s $T/apart ]]
}

@test "rates are those of the guest's own counters over the same interval" {
	tries 5 rates || fail "$(<"$T/apart")"
}

shares() {
	vexec "$g" top -b -n 2 -d 1 >"$T/top"
	[[ $(grep -c '^top - ' "$T/top") -eq 2 && $(grep '^%Cpu' "$T/top") != *"100.0 id"* ]]
}

@test "a tool that repeats has a new epoch each time, and the guest runs in between" {
	local ups
	run --separate-stderr vvmstat --stats "$g" 1 3
	assert_status 0
	[[ $(stat_of epochs "$stderr") -ge 3 ]]
	near 0 "$(stat_of paused "$stderr")" 1500
	ups=$(vexec "$g" sh -c 'for i in 1 2 3; do cut -d" " -f1 /proc/uptime; sleep 1; done' | xargs)
	awk '{ exit !($2 - $1 > 0.5 && $3 - $2 > 0.5 && $3 - $1 < 60) }' <<<"$ups" ||
		fail "uptimes a second apart: $ups"
	# top compares two points in time, in its first screen too.
	in_guest g61 'touch /tmp/work; (while [ -e /tmp/work ]; do :; done) >/dev/null 2>&1 &'
	tries 5 shares || fail "$(cat "$T/top")"
	in_guest g61 'rm /tmp/work'
	assert_runs g61
}

@test "the guest ends while a tool runs: one line, status 3" {
	need_guest victim
	local v
	v=$(guest victim)
	(
		sleep 3
		qmp victim quit >/dev/null
	) 3>&- &
	run --separate-stderr timeout 120 vvmstat "$v" 1 100
	assert_status 3
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == "vvmstat: $v: "* ]] || fail "$stderr"
	wait
	drop_guest victim
}

# ---- refused ----------------------------------------------------------------

@test "changes to the guest fail, are counted, and have no effect" {
	local command before
	before=$(in_guest g61 'ip addr; ip neigh; dmesg | head -n 1; cat /proc/sys/kernel/printk')
	for command in 'ip link set u0 down' 'ip addr add 10.9.0.2/24 dev u0' 'ip route del 10.10.0.0/16' \
		'ifconfig u0 down' 'ifconfig lo mtu 1500' 'arp -d 10.9.0.7' 'date -s 2001-01-01' \
		'dmesg -C' 'dmesg -n 1'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr v${command%% *} --stats "$g" ${command#* }
		[[ $status -ne 0 ]] || fail "$command: status 0"
		[[ $stderr == *"ermitted"* ]] || fail "$command: $stderr"
		[[ $(stat_of denied "$stderr") -ge 1 ]] || fail "$command: nothing is counted"
	done
	assert_same "$before" \
		"$(in_guest g61 'ip addr; ip neigh; dmesg | head -n 1; cat /proc/sys/kernel/printk')"
}

@test "a wrong option, before or after the guest, has the mirrored program's status" {
	local a
	for a in vlsof vipcs vifconfig vdate vdmesg vvmstat vpidstat vmpstat viostat vss vip; do
		run --separate-stderr "$a" --nonsense web1
		assert_usage "$a" "--nonsense"
	done
	for a in vnetstat varp; do
		run --separate-stderr "$a" --nonsense web1
		assert_usage "$a" "--nonsense" 3
	done
	run --separate-stderr vipcs "$g" --nonsense
	assert_status 1
	run --separate-stderr vnetstat "$g" --nonsense
	assert_status 3
}

# ---- bad input --------------------------------------------------------------

@test "vexec: a script, a missing interpreter, a file that is no program, set-user-ID, static" {
	printf '#!/bin/sh\nuname -n\n' >"$T/script"
	printf '#!/no/such/interpreter\n' >"$T/none"
	printf '\0\0\0' >"$T/junk"
	chmod +x "$T"/*
	[[ $(vexec "$g" "$T/script") == g61 ]]
	run -127 --separate-stderr vexec "$g" "$T/none"
	assert_refused vexec "$g" "cannot run" 127
	run -126 --separate-stderr vexec "$g" "$T/junk"
	[[ ${#stderr_lines[@]} -eq 1 ]]
	cp "$(command -v uname)" "$T/suid"
	chmod u+s "$T/suid"
	[[ $(vexec "$g" "$T/suid" -n) == g61 ]]
	[[ $(vexec "$g" "$(command -v busybox)" uname -n) == g61 ]] # static
}

@test "vexec: long paths, bad pointers, threads and children at once" {
	gcc -Wall -Wextra -O1 -pthread -o "$T/bad-calls" "$VT_TESTS/lib/bad-calls.c"
	run --separate-stderr timeout 60 vexec --stats "$g" "$T/bad-calls" g61
	assert_status 0
	grep -q '^denied: .*mount 1.*finit_module 1' <<<"$stderr"
	[[ $(in_guest g61 hostname) == g61 ]]
	assert_runs g61
}
