# SPDX-License-Identifier: GPL-2.0-or-later
# Redirection: a program prints the same as without it. The host's own kernel answers here, so no
# guest is needed. $BUILD is the directory of vexec-test, redirect-probe and redirect-probe-static.

bats_require_minimum_version 1.5.0

setup() {
	V=${BUILD:-.}/vexec-test
	PROBE=${BUILD:-.}/redirect-probe
	T=$BATS_TEST_TMPDIR
}

# private COMMANDS: runs them in a new PID namespace with a hundred processes.
private() {
	unshare -pf --mount-proc bash -c "
		for i in {1..100}; do sleep 10000 & done
		until [ \"\$(pgrep -xc sleep)\" -ge 100 ]; do sleep 0.05; done
		$1" 3>&-
}

# Compares without what moves (CPU use, the time of day) and without the observer itself.
same_ps() {
	[ "$(id -u)" = 0 ] || skip "needs root for a process namespace"
	private "$V $* >$T/a; $* >$T/b"
	[ "$(wc -l <"$T/b")" -gt 100 ]
	for f in a b; do
		grep -v -e vexec-test -e "$1 -e" -e "ps$" "$T/$f" | awk '{ $4 = $7 = ""; print }' >"$T/$f.s"
	done
	diff "$T/a.s" "$T/b.s"
}

@test "ps -ef prints the same" {
	same_ps ps -ef
}

@test "ps with threads prints the same" {
	same_ps ps -eLo pid,tid,ppid,time,stat,user,comm
}

@test "uname, cat, ls, find, stat and others print the same" {
	for cmd in "uname -a" "cat /proc/version /proc/cmdline /proc/modules" \
		"ls -l /sys/class" "ls -a /proc/1" "cat /proc/sys/kernel/ostype" \
		"find /proc/1/net -maxdepth 1" "stat -c %n%a%s%F /proc/1 /proc/1/stat /etc" \
		"readlink /proc/1/ns/uts" "du -s /proc/1/net" "wc -c /proc/cmdline" \
		"head -c 7 /proc/version" "df -P /proc" "ipcs -l" "lsmod" "id" "getent passwd 0" \
		"ionice -p 1" "chrt -p 1" "taskset -p 1" "prlimit -p 1 --nofile"; do
		read -ra words <<<"$cmd"
		for _ in 1 2 3; do
			run "${words[@]}"
			want="status $status $output"
			run "$V" "${words[@]}"
			[ "status $status $output" != "$want" ] || continue 2
		done
		echo "$cmd: status $status $output"
		echo "wanted: $want"
		false
	done
}

@test "programs one after the other, as under a keeper, print the same" {
	want=$(cat /proc/version /proc/cmdline; ls /proc/1/net)
	# Files that were made ahead: the second and third run get them.
	run "$V" -k 3 sh -c 'cat /proc/version /proc/cmdline; ls /proc/1/net'
	[ "$output" = "$want
$want
$want" ]
	# More files at a time than are made ahead, and none of the last run's content.
	# shellcheck disable=SC2016 # for the bash that it starts
	run "$V" -k 2 bash -c 'for i in {1..200}; do exec {fd}</proc/version; done; cat <&$fd'
	[ "$output" = "$(cat /proc/version /proc/version)" ]
}

@test "ioctl: relations of namespaces and flags of files are read, flags are not changed" {
	[ "$(id -u)" = 0 ] || skip "needs root for a process namespace"
	# The program itself is in other namespaces: all of the expected ones must be there.
	private "lsns -n -o NS,TYPE | sort -u >$T/want; $V lsns -n -o NS,TYPE | sort -u >$T/got"
	grep -q user "$T/got"
	run ! grep . <(comm -23 "$T/want" "$T/got")
	[ "$("$V" lsattr -d /sys 2>&1)" = "$(lsattr -d /sys 2>&1)" ]
	run "$V" -s chattr +A /sys/kernel
	[ "$status" -ne 0 ]
}

@test "free, uptime, vmstat, top run" {
	"$V" free | grep -q '^Mem:'
	"$V" uptime | grep -q 'load average'
	[ "$("$V" vmstat 1 2 | wc -l)" -eq 4 ]
	"$V" top -b -n1 | grep -q '^Tasks:'
}

@test "a shell with pipes, a static program, a script" {
	run "$V" sh -c 'cat /proc/version | wc -l; cd /proc/1 && pwd && cat comm | cat >&2'
	[ "${lines[0]}" = 1 ]
	[ "${lines[1]}" = /proc/1 ]
	[ "${lines[2]}" = "$(cat /proc/1/comm)" ]
	# shellcheck disable=SC2016 # the script expands it
	printf '#!/bin/sh\nread x </proc/version; echo "$x $0"\n' >"$T/script"
	chmod +x "$T/script"
	[ "$("$V" "$T/script")" = "$(cat /proc/version) $T/script" ]
	"$V" "$PROBE-static" | cmp - <("$PROBE-static")
}

@test "awkward system calls behave as natively" {
	"$PROBE" >"$T/want"
	"$V" -i 1 "$PROBE" >"$T/got"
	diff "$T/want" "$T/got"
}

@test "a locale is loaded from one file, with the content of its folder" {
	local all="LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY LC_MESSAGES LC_PAPER LC_NAME"
	local l few many
	all+=" LC_ADDRESS LC_TELEPHONE LC_MEASUREMENT LC_IDENTIFICATION"
	# shellcheck disable=SC2086 # words
	for l in C.UTF-8 C.utf8 de_DE.UTF-8 de_DE@euro C ../C.utf8; do
		[ "$(LC_ALL=$l "$V" locale -k $all 2>&1)" = "$(LC_ALL=$l locale -k $all 2>&1)" ]
	done
	[ "$(LC_ALL=C LC_CTYPE=C.UTF-8 LC_TIME=C.utf8 "$V" sh -c 'unset LC_ALL; locale charmap')" = UTF-8 ]
	# A program that reads the archive itself gets the guest's, or none.
	run "$V" -r "$T" cat /usr/lib/locale/locale-archive
	[[ $status -eq 1 && $output == *"No such file"* ]]
	[ -d /usr/lib/locale/C.utf8 ] || return 0
	few=$(LC_ALL=C "$V" -s uname 2>&1 | sed -n 's/^traps \([0-9]*\) .*/\1/p')
	many=$(LC_ALL=C.UTF-8 "$V" -s uname 2>&1 | sed -n 's/^traps \([0-9]*\) .*/\1/p')
	# If the host has an archive, the C library first looks for C.utf8 in it.
	[ -e /usr/lib/locale/locale-archive ] || [ "$many" -le $((few + 4)) ]
}

@test "time: the guest's time zone" {
	[ -e /usr/share/zoneinfo/Asia/Tokyo ] || skip "no zoneinfo on this host"
	mkdir -p "$T/etc"
	ln -s /usr/share/zoneinfo/Asia/Tokyo "$T/etc/localtime"
	[ "$("$V" -r "$T" date +%Z)" = JST ]
	[ "$("$V" -p /etc/localtime date +%Z)" = UTC ]
}

@test "time: the guest's date, although the vDSO has the host's; timeouts keep their length" {
	now=$(date +%s)
	then=$("$V" -t -100000000 date +%s)
	[ $((now - then)) -ge 99999000 ]
	run "$V" -t -100000000 sh -c 'date +%s; exec date +%s'
	[ "${lines[0]}" -lt $((now - 99999000)) ]
	[ "${lines[1]}" -lt $((now - 99999000)) ]
	run -124 "$V" -t -100000000 timeout 0.3 sleep 20
	"$V" -t -100000000 timeout 60 sleep 0.1
}

@test "a large directory is listed in pieces, each in an epoch of its own" {
	mkdir "$T/many"
	(cd "$T/many" && seq -f 'a file with a name that is not short %g' 2000 | tr '\n' '\0' | xargs -0 touch)
	for options in "-s" "-s -b" "-s -b -f 7"; do
		# shellcheck disable=SC2086 # words
		"$V" $options -G "$T" ls -f "$T/many" 2>"$T/err" | sort >"$T/got"
		# shellcheck disable=SC2012 # all names here are ours; the order is what is tested
		diff <(ls -f "$T/many" | sort) "$T/got"
	done
	[ "$(sed -n 's/.* epochs \([0-9]*\) .*/\1/p' "$T/err")" -gt 10 ]
	[ "$("$V" -b find /proc/1 -maxdepth 1 | wc -l)" = "$(find /proc/1 -maxdepth 1 | wc -l)" ]
}

@test "no epoch is open while the program sleeps" {
	run "$V" -s sh -c 'cat /proc/version; sleep 6'
	open=$(sed -n 's/.*open \([0-9]*\).*/\1/p' <<<"$output")
	[ "$open" -lt 5500 ]
}

# The comparison in a new network namespace with an address and a route, because the host's network
# changes.
own_network() {
	unshare -n bash -c "ip link set lo up; ip addr add 10.9.9.1/24 dev lo; ip route add 10.9.8.0/24 via 10.9.9.7
		$(declare -f network); V='$V'; network"
}

network() {
	local cmd words want got
	for cmd in "ip addr" "ip route" "ip -6 route" "ss -tanH" "ifconfig -a" "netstat -rn" "arp -n" \
		"ip link show dev lo"; do
		read -ra words <<<"$cmd"
		command -v "${words[0]}" || continue
		for _ in 1 2 3; do
			# Compare without the counters, which move.
			want=$("${words[@]}" | grep -v -e packets -e errors)
			got=$("$V" "${words[@]}" 2>&1 | grep -v -e packets -e errors)
			[ "$got" != "$want" ] || continue 2
		done
		echo "$cmd: $got"
		echo "wanted: $want"
		return 1
	done
}

@test "network: interfaces and sockets are the same, changes are refused" {
	network
	if [ "$(id -u)" = 0 ] && unshare -n true; then own_network; fi
	run "$V" -s ip link set lo mtu 65000
	[[ $output == *"Operation not permitted"*denied:* ]]
}
