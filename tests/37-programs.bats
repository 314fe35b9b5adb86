#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vexec with the programs that operators use. Each prints what it would print in the guest, or says
# clearly that it cannot. The program itself is not one of the guest's processes. Shells and
# full-screen programs work on a terminal.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/terminal

setup_file() {
	need_guest g61 g7
	# Make the first attach now: a monitor has one client at a time, and some tests run several
	# tools at once.
	vuname "$(guest g61)" >/dev/null
	vuname "$(guest g7)" >/dev/null
}

setup() {
	T=$BATS_TEST_TMPDIR
	g=$(guest g61)
}

teardown() {
	terminal_end
}

needs() { command -v "$1" >/dev/null || skip "$1 is not installed"; }

# ---- each program -----------------------------------------------------------

@test "the text is the guest's own: files, users, processes, namespaces" {
	local name command theirs ours
	for name in g61 g7; do
		for command in 'stat -c "%n %F %a %u:%g %s %i %d %h %y" / /tmp/known /etc/passwd /dev/null /dev/full' \
			'stat -f /tmp' 'ls -la /tmp /proc/1/ns /dev/pts' 'ls -laR /sys/class/net' 'cat /proc/1/maps' \
			'cat /proc/self/mountinfo' 'id' 'id alice' 'who' 'w -h' 'pgrep -x init' 'pgrep -u alice -a' \
			'pgrep -P 1 -l' 'vmstat -f' 'uptime -p' 'date +%Z' 'ip -d link' 'ip netconf' 'ip -j addr' \
			'ip mptcp limits' 'ip mptcp endpoint' 'ip tcp_metrics show 127.0.0.1'; do
			# The guest can change between the two: a minute ends, or a kworker starts.
			for _ in 1 2 3; do
				theirs=$(in_guest "$name" "$command") || true
				ours=$(vexec "$(guest "$name")" sh -c "$command" 2>&1) || true
				[[ $theirs != "$ours" ]] || break
			done
			# Some print nothing, as nobody is logged in.
			assert_same "$command: $theirs" "$command: $ours"
		done
	done
}

# Their output is compared with facts that the guest's own programs give.
@test "programs that the guest does not have print the guest's facts" {
	local name v listener
	for name in g61 g7; do
		v="vexec $(guest "$name")"
		listener=$(factory_pid "$name" listener)
		assert_same "$(in_guest "$name" 'stat -f -c %b /tmp')" \
			"$($v df -P -B 4096 /tmp | awk 'NR == 2 { print $2 }')"
		assert_same "$(in_guest "$name" 'cut -d" " -f2 /proc/mounts')" "$($v findmnt -rno TARGET | awk '!seen[$0]++')"
		assert_same "$(in_guest "$name" nproc)" "$($v nproc)"
		assert_same "$(in_guest "$name" nproc)" "$($v lscpu -s / | sed -n 's/^CPU(s): *//p')"
		assert_same "$name" "$($v sysctl -n kernel.hostname)"
		assert_same "$(in_guest "$name" hostname)" "$($v hostname)"
		assert_same "$listener" "$($v pidof listener)"
		assert_same "$listener: /" "$($v pwdx "$listener")"
		assert_same "$(in_guest "$name" 'ls /sys/block | wc -l')" "$($v lsblk -adno NAME | wc -l)"
		assert_same "$(in_guest "$name" 'grep ^Tcp: /proc/net/snmp | tail -n 1 | cut -d" " -f7')" \
			"$($v nstat -asz TcpPassiveOpens | awk '/^Tcp/ { print $2 }')"
		$v slabtop -o | grep -q ' kmalloc-64 '
		$v pmap 1 | grep -q ' init$'
		$v lsipc | grep -q '^SEMMNI .* 0.00%$'
		$v prlimit -p 1 -o RESOURCE --noheadings | grep -qx NOFILE
		[[ $($v taskset -p 1) == "pid 1's current affinity mask: "* ]]
		[[ $($v chrt -p "$(factory_pid "$name" realtime)") == *SCHED_FIFO* ]]
		[[ $($v ionice -p 1) == *": prio "* ]]
		[[ $($v getent passwd 4242) == alice:* ]]
		[[ $($v lsmod) == *veth* && $($v modinfo -F license veth) == GPL* ]]
	done
}

@test "psmisc: pstree, fuser, killall" {
	needs pstree
	local listener
	listener=$(factory_pid g61 listener)
	[[ $(vexec "$g" pstree -p) == *"init(1)-+-"*"listener($listener)"* ]]
	[[ $(vexec "$g" fuser -n tcp 4242 2>/dev/null | xargs) == "$listener" ]]
	vexec "$g" killall -0 init
	run --separate-stderr vexec --stats "$g" killall -9 listener
	[[ $status -eq 1 && $stderr == *"listener($listener): Operation not permitted"* ]] || fail "$stderr"
	[[ $(stat_of denied "$stderr") -eq 1 ]]
	[[ $(in_guest g61 'pidof listener') == "$listener" ]]
}

@test "changes to the guest are refused, with every program" {
	local command before
	before=$(in_guest g61 'mount; lsmod; hostname; ls -la /tmp; cat /proc/1/limits')
	for command in 'mount -t tmpfs x /mnt' 'umount /tmp' 'rmmod dummy' 'hostname x' 'touch /tmp/x' \
		'rm /tmp/known' 'chmod 777 /tmp/known' 'mkdir /tmp/x' 'ln -s a /tmp/x' 'truncate -s 0 /tmp/known' \
		'sysctl -w kernel.hostname=x' 'renice -n 5 -p 1' 'taskset -p 1 1' 'prlimit --nofile=5:5 -p 1' \
		'ionice -c 3 -p 1' 'chroot / id' 'kill -9 1' 'ipcmk -M 100' 'ip mptcp limits set subflows 3' \
		'dmesg -C' 'nsenter -t 1 -n true' 'strace true'; do
		run --separate-stderr vexec --stats "$g" sh -c "exec $command"
		[[ $status -ne 0 ]] || fail "$command: status 0"
		[[ $(stat_of denied "$stderr") -ge 1 ]] || fail "$command: nothing is counted: $stderr"
	done
	assert_same "$before" "$(in_guest g61 'mount; lsmod; hostname; ls -la /tmp; cat /proc/1/limits')"
}

# Without these modules ss reads /proc (35-utilities.bats).
@test "ss asks over sock_diag if the guest has the modules" {
	# shellcheck disable=SC2016 # the guest's shell expands it
	in_guest g7 'for m in inet tcp udp raw unix netlink af_packet; do
		[ -d /sys/module/${m}_diag ] || insmod /lib/spare/${m}_diag.ko*; done'
	same_as_guest g7 "ss -tulpn" "ss -tane" "ss -tanm" "ss -xap" "ss -0p" "ss -w" "ss -s" \
		"ss -o state established" "ss -tn sport = :4242"
	[[ $(vss "$(guest g7)" -tin) == *" cubic "* ]]
	run --separate-stderr vss --stats "$(guest g7)" -tnK state established
	[[ $(stat_of denied "$stderr") -ge 1 ]] || fail "$stderr"
	[[ $(in_guest g7 'ss -Htn state established' | wc -l) -eq 2 ]]
}

# ---- files ------------------------------------------------------------------

@test "files in the guest's memory can be read in a later epoch, too" {
	local i sums
	# shellcheck disable=SC2016 # the guest's shell expands it
	in_guest g61 'for i in 1 2 3 4 5; do head -c 150000 /dev/urandom >/tmp/big$i; done'
	sums=$(in_guest g61 'sha256sum /tmp/big?')
	for i in 1 2 3; do
		# No working set is known: the second epoch finds pages that the first did not have.
		# shellcheck disable=SC2016 # vexec's shell expands it
		assert_same "$sums" "$(VLENS_RUN_DIR=$T/run$i VLENS_KEEP=0 vexec "$g" \
			sh -c 'for i in 1 2 3 4 5; do sleep 0.1; sha256sum /tmp/big$i; done' 2>&1)"
	done
	in_guest g61 'rm /tmp/big?'
}

@test "data that is not in memory: the call fails, and the program goes on" {
	in_guest g61 'head -c 300000 /dev/urandom >/tmp/disk; losetup /dev/loop0 /tmp/disk
		echo 3 >/proc/sys/vm/drop_caches'
	# The kernel would wait for the disk, and for new records of the log.
	# shellcheck disable=SC2016 # vexec's shell expands it
	run --separate-stderr timeout 60 vexec "$g" sh -c \
		'cat /dev/loop0; echo "st=$?"; cat /proc/kmsg >/dev/null; echo "st=$?"; uname -n'
	in_guest g61 'losetup -d /dev/loop0; rm /tmp/disk'
	assert_status 0
	assert_same $'st=1\nst=1\ng61' "$output"
	[[ ${stderr_lines[0]} == "cat: /dev/loop0: Input/output error" ]] || { show_run; fail "not EIO"; }
	[[ ${stderr_lines[1]} == "cat: /proc/kmsg: Resource temporarily unavailable" ]] || { show_run; fail "not EAGAIN"; }
}

@test "files of the working folder are the guest's; with --host-files the host's" {
	mkdir "$T/here"
	echo 'print(open("'"$T"'/here/data").read())' >"$T/here/script.py"
	echo mine >"$T/here/data"
	cd "$T/here"
	assert_same / "$(vexec "$g" pwd)"
	run ! vexec "$g" cat data
	run ! vexec "$g" cat "$T/here/data"
	[[ $(vexec --host-files=. "$g" /usr/bin/python3 script.py) == mine ]]
	[[ $(vexec --host-files=.:ro "$g" sh -c "cat ./data && cat /etc/hostname") == "mine"$'\n'"g61" ]]
	vexec --host-files="$T/here" "$g" sh -c 'uname -n >out; rm data'
	assert_same "g61" "$(<out)"
	[[ ! -e data ]]
	run ! vexec --host-files=.:ro "$g" rm out
	cd /tmp
	echo host >"$T/../vt.$$" && mv "$T/../vt.$$" /tmp/vt.$$
	[[ $(vexec "$g" cat known) == "known content" ]]
	run vexec "$g" cat /tmp/vt.$$
	rm /tmp/vt.$$
	assert_status 1
}

# ---- the program itself -----------------------------------------------------

@test "the program has a PID that the guest does not use, and can signal only itself" {
	assert_same 1 "$(vexec "$g" pgrep -x init)"
	# shellcheck disable=SC2016 # vexec's shell expands it
	{
		[[ $(vexec "$g" sh -c 'echo $$') -ge 4194304 ]]
		[[ $(vexec "$g" sh -c 'a=$$; b=$(sh -c "echo \$PPID"); [ $a = $b ] && cut -d" " -f1 /proc/$$/stat') == 1 ]]
		[[ $(vexec "$g" sh -c 'trap "echo got" USR1; kill -USR1 $$; kill -0 $$ && echo there') == $'got\nthere' ]]
		run vexec "$g" sh -c 'kill -TERM $$; sleep 5'
	}
	assert_status 143
	run --separate-stderr vexec --stats "$g" sh -c 'kill -9 1'
	assert_status 1
	grep -q '^denied: .*kill 1' <<<"$stderr"
	run --separate-stderr vexec --stats "$g" /usr/bin/python3 -c '
import os, signal
signal.pidfd_send_signal(os.open("/proc/1", os.O_RDONLY), 0)
signal.pidfd_send_signal(os.open("/proc/1", os.O_RDONLY), 9)'
	[[ $status -eq 1 && $stderr == *"Operation not permitted"* ]] || fail "$stderr"
	assert_runs g61
}

# ---- on a terminal ----------------------------------------------------------

# job_control COMMAND: every kind of job control in an interactive shell over the guest.
job_control() {
	terminal
	keys "clear; vexec $g $1" Enter
	keys "PS1='in> '" Enter
	shows 'in> *$'
	# The output proves that the job has the terminal.
	keys "sh -c 'uname -n; exec sleep 4711'" Enter
	shows '^g61$'
	keys C-z
	shows 'Stopped .*sleep 4711'
	keys "bg; jobs" Enter
	shows 'Running .*sleep 4711'
	# Keys typed while that runs would appear in front of its output.
	keys "kill %1; wait; clear; echo go''ne" Enter
	shows '^gone'
	keys "cat | sed s/here/there/" Enter
	keys "here" Enter
	shows '^there'
	keys C-z
	shows 'Stopped +cat \| sed'
	keys "clear; fg" Enter
	keys "and here" Enter C-d
	shows '^and there'
	keys "clear; sh -c 'uname -n; exec sleep 4712'" Enter
	shows '^g61$'
	keys C-c
	keys "ps -e | grep ' init\$'; echo st=\$?" Enter
	shows 'st=0'
	has ' 1 \?.* init$' || { screen >&2; fail "no init"; }
	keys "clear; kill -9 1" Enter
	shows 'not permitted'
	keys "clear; exit" Enter
	keys "echo back; vexec $g uname -n" Enter
	shows '^back'
	# The outer shell has the terminal again.
	keys "clear; cat" Enter "typed" Enter C-d
	shows '^typed'
	has_not 'setpgid|process group|job control' || { screen >&2; fail "it complains"; }
	terminal_end
	assert_runs g61
}

@test "an interactive bash: job control" {
	job_control "bash --norc --noprofile -i"
}

@test "an interactive dash: job control" {
	needs dash
	job_control "dash -i"
}

# Starts a process in the guest that uses about half of a CPU, until /tmp/half is removed.
half() {
	# shellcheck disable=SC2016 # the guest's shell expands it
	in_guest g61 'touch /tmp/half; (while [ -e /tmp/half ]; do timeout 0.3 sh -c "while :; do :; done"
		sleep 0.3; done) >/dev/null 2>&1 & '
}

# The CPU time that the guest was busy, and all of it, in ticks, from its own /proc/stat.
busy() { in_guest g61 "awk '/^cpu / { print \$2 + \$3 + \$4, \$2 + \$3 + \$4 + \$5 }' /proc/stat"; }

# stays COMMAND WHAT: runs a program that stays on the terminal and shows WHAT. The guest runs while
# the program sleeps, the program gets keys, and it ends with status 0.
stays() {
	local ups downs i pid
	pid=$(guest_pid g61)
	terminal 120 40
	keys "clear; vexec $g $1; echo st=\$?" Enter
	shows "$2"
	ups=$(in_guest g61 'cut -d. -f1 /proc/uptime')
	downs=0
	for i in {1..100}; do
		not_stopped "$pid" || downs=$((downs + 1))
		sleep 0.03
	done
	# The guest is paused for some milliseconds every second.
	[[ $downs -lt 30 ]] || fail "stopped in $downs of $i looks"
	[[ $(in_guest g61 'cut -d. -f1 /proc/uptime') -ge $((ups + 2)) ]]
	keys q
	shows 'st=0'
	terminal_end
	assert_runs g61
}

@test "top on a terminal: the guest runs while it sleeps" {
	stays "top -d 1" ' PID USER +PR +NI'
}

@test "htop on a terminal: the guest runs while it sleeps" {
	needs htop
	stays "htop -d 10" 'PID +USER +PRI'
}

share() {
	local a b
	read -ra a < <(busy)
	vexec "$g" top -b -n 3 -d 2 >"$T/top"
	read -ra b < <(busy)
	theirs=$(((b[0] - a[0]) * 100 / (b[1] - a[1])))
	ours=$(awk '/^%Cpu/ { idle = $8 } END { print 100 - idle }' "$T/top")
	near "$theirs" "$ours" 20
}

@test "top: the CPU's load is what the guest counts" {
	local theirs ours
	half
	# top's last screen covers only the last 2 seconds.
	tries 5 share || fail "the guest was busy to $theirs%, top says $ours"
	in_guest g61 'rm /tmp/half'
}
