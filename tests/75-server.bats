#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A real server (tests/guest/mkserver): systemd, nginx, redis, postgresql, files on
# ext4, pages in the swap space. The applets print what its own programs print.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	# Only root can run debootstrap. Anything else that is missing is a failure.
	[[ $(id -u) -eq 0 ]] || skip "not root"
	need_guest server
	vuname "$(guest server)" >/dev/null
}

setup() {
	g=$(guest server)
}

@test "server: vps -ef, every daemon" {
	local name
	same_as_guest server "ps -ef" "ps aux"
	run --separate-stderr vps "$g" -e -o comm --no-headers
	assert_status 0
	for name in systemd systemd-journal nginx redis-server postgres sshd cron rsyslogd dbus-daemon; do
		grep -qx "$name" <<<"$output" || fail "no $name"
	done
}

@test "server: vlsof" {
	same_as_guest server "lsof -nP -i" "lsof -c nginx" "lsof -p 1"
}

@test "server: vss, vnetstat" {
	same_as_guest server "ss -tlnp" "ss -x" "netstat -i" "ip addr"
	[[ $(vss "$g" -Htln | grep -cE ':(22|80|5432|6379) ') -eq 7 ]] || fail "$(vss "$g" -tln)"
}

@test "server: vfree, vvmstat: its swap space is in use" {
	same_as_guest server "free" "vmstat" "vmstat -s"
	[[ $(vfree "$g" -k | awk '$1 == "Swap:" { print $3 }') -gt 4096 ]]
}

@test "server: vdmesg, vlsmod, vuname" {
	same_as_guest server "dmesg" "uname -a" "lsmod"
}

@test "server: vls, of folders that are in its memory" {
	in_guest server 'ls -la /etc/nginx /etc/systemd/system >/dev/null'
	same_as_guest server "ls -la /etc/nginx" "ls -la /etc/systemd/system"
}

# The PIDs of a list of "PID COMM", without kernel workers, which come and go, and the observer.
pids() { awk '$2 !~ /^(kworker|ps$|sh$)/ { print $1 }' | sort -n; }
same_pids() {
	assert_same "$(in_guest server "ps -e -o pid,comm --no-headers" | pids)" \
		"$(vpslist --no-headers -o pid,comm "$g" | pids)"
}

@test "server: raw views" {
	local port
	tries 3 same_pids
	run --separate-stderr vnetstat --engine=imee --no-headers -o proto,lport,state,comm "$g"
	assert_status 0
	for port in "22 LISTEN sshd" "80 LISTEN nginx" "5432 LISTEN postgres" "6379 LISTEN redis-server"; do
		grep -qx "tcp *${port// / *}" <<<"$output" || fail "no $port: $output"
	done
}

@test "server: memory that is swapped out is reported as swapped out" {
	local group=/sys/fs/cgroup/system.slice/vlens-swapped.service pid
	pid=$(in_guest server "head -n 1 $group/cgroup.procs")
	# The write fails because there is less to reclaim, and reclaims that. Try again: a page
	# that is being written out is still in memory.
	for _ in 1 2 3; do
		in_guest server "echo 64M >$group/memory.reclaim; sync; sleep 0.5" 2>/dev/null || true
	done
	run --separate-stderr vcat "$g" "/proc/$pid/cmdline"
	assert_status 3
	[[ $stderr == "vcat: $g: /proc/$pid/cmdline: memory of the process is in the guest's swap space; "* ]] || fail "$stderr"
	run --separate-stderr vps "$g" -p "$pid" -o pid,args --no-headers
	assert_status 3
	[[ $(xargs <<<"$output") == "$pid [sh]" && $stderr == *": memory of the process is in the guest's swap space; "* ]] || { show_run; fail "not said"; }
	in_guest server "cat /proc/$pid/cmdline" >/dev/null
	run --separate-stderr vcat "$g" "/proc/$pid/cmdline"
	assert_status 0
}

@test "server: vunits has the units that systemd calls running" {
	local own
	# A timer can start a service in between.
	running() {
		own=$(in_guest server "systemctl list-units --type=service,scope --state=running --no-legend --plain" | awk '{ print $1 }' | sort)
		assert_same "$own" "$(vunits --no-headers -o unit "$g" | sed 's/ *$//' | sort)"
	}
	tries 3 running
	run --separate-stderr vunits -J "$g"
	assert_status 0
	jq -e --argjson pid "$(in_guest server "systemctl show -P MainPID redis-server")" '.units[] |
		select(.unit == "redis-server.service") | .pid == $pid and .processes == 1 and .comm == "redis-server" and
		(.args | startswith("/usr/bin/redis-server ")) and .cgroup == "/system.slice/redis-server.service"' <<<"$output"
	jq -e --argjson nr "$(in_guest server "wc -l </sys/fs/cgroup/system.slice/nginx.service/cgroup.procs")" \
		'.units[] | select(.unit == "nginx.service").processes == $nr' <<<"$output"
}

@test "server: vjournal" {
	command -v journalctl >/dev/null || skip "no journalctl"
	in_guest server 'journalctl >/dev/null; cat /etc/machine-id >/dev/null'
	local words ours
	for words in "-u nginx -o short-monotonic" "-k -o cat" "-u redis-server -o short-iso-precise"; do
		# shellcheck disable=SC2086 # words
		ours=$(vjournal "$g" $words)
		assert_same "$(in_guest server "journalctl $words")" "$ours"
		[[ $(wc -l <<<"$ours") -gt 1 ]]
	done
}

@test "server: a program that would ask systemd is told what there is instead" {
	local program
	for program in systemctl loginctl hostnamectl; do
		command -v $program >/dev/null || continue
		run --separate-stderr vexec "$g" $program
		[[ $status -ne 0 && $stderr == *"no service of the guest can be asked from outside; vunits has the units"*"vjournal the journal"* ]] ||
			fail "$program: $stderr"
	done
}

# This test is the last: it drops pages that the others need.
@test "server: with an empty page cache, vlsof does not repeat the questions that fail" {
	in_guest server 'sync; echo 3 >/proc/sys/vm/drop_caches'
	run --separate-stderr vlsof --stats "$g"
	[[ $status -le 1 && $(wc -l <<<"$output") -gt 500 ]] || { show_run; fail "too little"; }
	[[ $stderr == *"they are shown as numbers"* ]] || fail "$stderr"
	[[ $(stat_of "gave up" "$stderr") -lt 200 ]] || fail "$stderr"
}
