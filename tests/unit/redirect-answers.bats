# SPDX-License-Identifier: GPL-2.0-or-later
# Redirection: calls that have no answer, a denied one, or a wrong one. The host's own kernel answers
# here, so no guest is needed. $BUILD is the directory of vexec-test and redirect-probe.

bats_require_minimum_version 1.5.0

setup() {
	V=${BUILD:-.}/vexec-test
	PROBE=${BUILD:-.}/redirect-probe
}

@test "calls that would change the guest are denied and counted" {
	run "$V" -s "$PROBE" redirected
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"denied: sethostname 1"* ]]
}

@test "a directory whose only descriptor is in a socket is dropped: an error, which is counted" {
	run "$V" -s "$PROBE" on-its-way
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output =~ unanswered\ [1-9] ]]
}

@test "a kernel that sometimes gives no answer: the call is retried, and right" {
	run "$V" -s -i 1 -f 23 "$PROBE"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output != *"retries 0 "* ]]
	[[ $output == *"gave up 0 "* ]]
}

@test "a file that never has an answer: EIO, and the program goes on" {
	run "$V" -p /proc/meminfo cat /proc/meminfo /proc/version
	[ "$status" -eq 1 ]
	[[ $output == *"/proc/meminfo: Input/output error"*"Linux version"* ]]
}

@test "calls without an answer are counted by their reason" {
	run --separate-stderr "$V" -s -p /proc/meminfo cat /proc/meminfo /proc/meminfo
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *"on disk 0 () unanswered 2 (injected) main"* ]]
	run --separate-stderr "$V" -s -p /var/lib/x cat /var/lib/x /var/lib/x
	[[ $stderr == *"on disk 1 (/var/lib/x) unanswered 0 () main"* ]]
	run --separate-stderr "$V" -s -p /var/lib/x sh -c 'cat /var/lib/x; true'
	[[ $stderr == *"on disk 1 (/var/lib/x) unanswered 0 () child"* ]]
	run --separate-stderr "$V" -s -p /etc/passwd ps -eo user:20
	[[ $stderr == *"on disk 0 () unanswered 0 () child"* ]]
}

@test "files that libraries look for are not reported as missing, files that the user names are" {
	export LC_ALL=C.UTF-8
	local softdep path cmd
	softdep=/lib/modules/$(uname -r)/modules.softdep
	while read -r path cmd; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr "$V" -s -p "$path" $cmd
		[[ $stderr == *"on disk 0 () unanswered 0 ()"* ]] || { echo "$cmd: $stderr"; false; }
		run --separate-stderr "$V" -s -p "$path" cat "$path"
		[[ $status -eq 1 && $stderr == *"on disk 1 ($path)"* ]] || { echo "cat $path: $stderr"; false; }
	done <<-EOF
		/selinux ls -d /
		/etc/selinux/config ls -d /
		/var/run/utmpx who
		/etc/host.conf getent ahosts localhost
		$softdep lsmod
	EOF
	# modprobe needs it.
	run --separate-stderr "$V" -s -p "$softdep" modprobe --show-depends vlens_none
	[[ $stderr == *"on disk 1 ($softdep)"* ]]
	# The C library opens this one for itself, by the same calls as cat.
	run --separate-stderr "$V" -s -p /usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache ls -d /
	[[ $stderr == *"on disk 0 () unanswered 0 ()"* ]]
	run --separate-stderr "$V" -s -p /selinux sh -c '[ -e /selinux ] || ! echo none'
	[[ $stderr == *"on disk 1 (/selinux)"* ]]
}

@test "the guest is not asked for files that ps opens but does not show" {
	local sleeper file missed words try
	sleep 1000 3>&- &
	sleeper=$!
	while read -r file missed words; do
		# A process of this host that ends meanwhile may have no answer, either.
		for try in 1 2 3; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr "$V" -s -p "/proc/$sleeper/$file" ps $words
			[[ $stderr != *"gave up $missed open"*"unanswered $missed ("* ]] || continue 2
		done
		echo "$file, ps $words, $try times: $stderr"
		false
	done <<-EOF
		environ 0 -ef
		environ 0 aux
		environ 0 -eo pid,etime
		environ 0 -o etime -e
		environ 0 axo etime
		environ 0 -p $$ e
		environ 0 -C sleep -o pid,args
		environ 1 axe
		environ 1 auxeww
		environ 1 -axe
		environ 1 -auxeww
		environ 1 -eaux
		environ 1 -ax -e
		environ 1 -p $$,$sleeper e
		environ 1 -p $sleeper -fN e
		cmdline 0 -p $$
		cmdline 0 -fp $$
		cmdline 0 $$
		cmdline 0 p $$ uw
		cmdline 0 --pid $$ -o args
		cmdline 0 --pid=$$,1 --no-headers
		cmdline 0 -o args -q $$
		cmdline 1 -ef
		cmdline 1 aux
		cmdline 1 -p $sleeper
		cmdline 1 -p $$ -C sleep
		cmdline 1 -p $$ a
		cmdline 1 -p $$ -N
		cmdline 1 -u root -p $$
		cmdline 1 --ppid $$
	EOF
	kill "$sleeper"
}

@test "programs whose answer would be about the host are not run" {
	local name
	for name in systemd-detect-virt ldd; do
		command -v "$name" >/dev/null || continue
		run --separate-stderr "$V" "$name" /bin/ls
		[[ $status -eq 126 && -z $output && $stderr == *"is not run"* ]]
		run --separate-stderr "$V" sh -c "$name /bin/ls"
		[[ $status -eq 126 && -z $output && $stderr == *"Permission denied"* ]]
	done
}

@test "a name like socket:[1] is not reported as a file on the guest's disk" {
	cd /
	run "$V" -s -p "/socket:[1]" stat "socket:[1]"
	[[ $status -eq 1 && $output == *"No such file"*"unanswered 0 "* ]]
}

# A hostile kernel returns a wrong length. The call must fail: the program trusts a length as it
# trusts its own kernel. No buffer is overrun, in the supervisor or in the program.
@test "a wrong length from the guest's kernel is an error" {
	for lie in 16777216 2147483648 4294967296 0x7fffffffffffffff -4096 -1099511627776; do
		for row in "read cat /proc/version" "getdents64 ls /proc/1" \
			"readlink readlink /proc/1/ns/uts" "readlinkat find /proc/1/ns -printf %l" \
			"recvfrom ss -tan" "getgroups id -G" "sched_getaffinity taskset -p 1" \
			"semctl ipcs -s" "all ls -l /proc/1/ns" "all ps -ef"; do
			read -ra words <<<"$row"
			run --separate-stderr "$V" -l "${words[0]}" -L "$lie" "${words[@]:1}"
			[ "$status" -lt 99 ] || { echo "$row, $lie: $status $stderr"; false; }
		done
		run -1 --separate-stderr "$V" -l read -L "$lie" cat /proc/version
		[ -z "$output" ]
		[[ $stderr == *"Input/output error"* ]]
	done
}

@test "a directory listing without end ends with an error" {
	run timeout 120 "$V" -l getdents64 -L 1 ls /proc/1
	[ "$status" -eq 2 ]
	[[ $output == *"Input/output error"* ]]
}
