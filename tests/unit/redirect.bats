# SPDX-License-Identifier: GPL-2.0-or-later
# Redirection. The host's own kernel answers here, so no guest is needed. $BUILD is the directory of
# vexec-test, redirect-probe and redirect-probe-static.

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
			want=$output
			run "$V" "${words[@]}"
			[ "$output" != "$want" ] || continue 2
		done
		echo "$cmd: $output"
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

@test "openssl.cnf is the guest's, and empty for a program that has loaded OpenSSL" {
	mkdir -p "$T/usr/lib/ssl"
	echo guest >"$T/usr/lib/ssl/openssl.cnf"
	[ "$("$V" -r "$T" cat /usr/lib/ssl/openssl.cnf)" = guest ]
	local py=/usr/bin/python3
	[ -x "$py" ] || skip "python3 is not installed"
	run -0 --separate-stderr "$V" -r "$T" "$py" -c 'print(open("/usr/lib/ssl/openssl.cnf").read(), end="")'
	[ "$output" = guest ]
	ldd "$("$py" -c 'import _hashlib; print(_hashlib.__file__)')" | grep -q libcrypto || skip "no module with the library"
	run -0 --separate-stderr "$V" -r "$T" "$py" -c 'import _hashlib
print(open("/usr/lib/ssl/openssl.cnf").read(), end="")'
	[ -z "$output" ]
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

@test "without the guest's passwd ps shows numbers, never the host's names" {
	run "$V" -p /etc/passwd ps -eo user:20
	[ "$status" -eq 0 ]
	[[ $output != *root* ]]
	mkdir -p "$T/etc"
	echo 'superuser:x:0:0::/:/bin/sh' >"$T/etc/passwd"
	[ "$("$V" -r "$T" ps -o user:20= -p 1)" = superuser ]
	# A program that reads the file itself gets an error, not an empty file.
	run "$V" -s -p /etc/passwd ps -eo user:20
	[[ $output == *"names are numbers"* ]]
	run "$V" -s -p /etc/passwd cat /etc/passwd
	[[ $status -eq 1 && $output == *"Input/output error"* && $output != *"names are numbers"* ]]
	run "$V" -s ps -eo user:20
	[[ $output != *"names are numbers"* ]]
}

@test "paths given to the guest by -G are the guest's; the loader's libraries are the host's" {
	mkdir -p "$T/usr/share/vlens-guest" "$T/lib/x86_64-linux-gnu" "$T/root"
	: >"$T/lib/x86_64-linux-gnu/libc.so.6"
	[ "$("$V" -r "$T" -G /usr/share/ ls /usr/share)" = vlens-guest ]
	[ "$("$V" -r "$T" ls /usr/share)" = vlens-guest ]
	mkdir -p "$T/usr/share/locale"
	[ "$("$V" -r "$T" ls /usr/share/locale)" = "" ]
	[ "$("$V" -r "$T" -G /usr/share/locale ls /usr/share/locale)" = "" ]
	[ "$("$V" -r "$T" -G / stat -c %s /lib/x86_64-linux-gnu/libc.so.6)" = 0 ]
	"$V" -r "$T" -G / ls / | grep -qx lib
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

# Makes a home with the same files on the host ($T/home) and in the guest (below $T/guest).
two_homes() {
	mkdir -p "$T/home/.ssh" "$T/guest$T/home/.ssh" "$T/bin"
	export HOME=$T/home
	for f in .bashrc .ssh/authorized_keys data; do
		echo "host $f" >"$T/home/$f"
		echo "guest $f" >"$T/guest$T/home/$f"
	done
}

@test "these files are the guest's: dot files, the working folder, /opt, /etc, /usr" {
	two_homes
	cd "$HOME"
	[ "$("$V" -r "$T/guest" cat ~/.bashrc .bashrc .ssh/authorized_keys "$HOME/data" ./data | sort -u)" = \
		"$(printf 'guest %s\n' .bashrc .ssh/authorized_keys data)" ]
	[ "$("$V" -r "$T/guest" sh -c 'cat ../home/data')" = "guest data" ]
	# shellcheck disable=SC2016 # bash expands it
	[ "$("$V" -r "$T/guest" bash -c 'pwd; read x <~/.bashrc; echo $x')" = "$HOME"$'\n'"guest .bashrc" ]
	rm "$T/home/data"
	[ "$("$V" -r "$T/guest" find . -type f | wc -l)" = 3 ]
	for f in opt/x etc/profile etc/ssl/x etc/alternatives/awk usr/bin/cat usr/lib/x usr/share/x etc/ld.so.preload; do
		mkdir -p "$T/guest/$(dirname $f)"
		echo "guest $f" >"$T/guest/$f"
		[ "$("$V" -r "$T/guest" /usr/bin/cat /$f)" = "guest $f" ]
	done
}

@test "the working folder is / if the guest lacks the host's working folder" {
	mkdir "$T/here"
	cd "$T/here"
	[ "$("$V" -p "$T/here" /bin/pwd)" != "" ]
	rmdir "$T/here"
	[ "$("$V" sh -c 'pwd -P')" = / ]
}

@test "a program's own settings are the host's, for that program only" {
	two_homes
	echo 'echo mine' >"$HOME/.bashrc"
	run "$V" -r "$T/guest" bash -ic 'cat ~/.bashrc' </dev/null
	[[ $output == *mine*"guest .bashrc"* ]]
	ln -s "$T/bin/rc" "$HOME/.dircolors"
	echo "TERM x" >"$T/bin/rc"
	"$V" dircolors -b "$HOME/.dircolors"
}

@test "files of the host cannot be changed" {
	two_homes
	mkdir "$T/work"
	cd "$T/work"
	echo old >file
	for c in 'rm file' 'echo x >file' 'echo x >>file' 'echo x >new' 'mkdir d' 'mv file g' 'ln file g' \
		'ln -s x g' 'chmod 777 file' 'touch file' 'truncate -s 0 file' 'rm ~/.bashrc' 'echo x >../f' \
		'echo x >/dev/shm/vlens-x' 'cp file copy' 'tee new </dev/null' 'mkfifo fifo' 'setfattr -n user.x -v 1 file' \
		'exec 9<>file' '/usr/bin/python3 -c "open(\"file\",\"r+\")"'; do
		[[ $c != setfattr* ]] || command -v setfattr >/dev/null || continue
		run "$V" -s sh -c "$c"
		[ "$status" -ne 0 ] || { echo "$c: status 0"; false; }
		[[ $output == *"Read-only file system"*"denied: "* ]] || { echo "$c: $output"; false; }
	done
	# An inherited descriptor can be written. Its file's mode, owner, times and attributes
	# cannot be changed.
	before=$(stat -c '%a %u %s %i' file)
	"$V" /usr/bin/python3 -c '
import os
for f in (lambda: os.fchmod(1, 0o777), lambda: os.fchown(1, 1, 1), lambda: os.utime(1, (1, 1)),
          lambda: os.setxattr(1, "user.x", b"1"), lambda: os.removexattr(1, "user.x")):
    try: f()
    except OSError as e: print(e.errno)
    else: print("done")' >out
	[ "$(sort -u out)" = 30 ]
	[ "$(stat -c '%a %u %s %i' file)" = "$before" ]
	[ "$(ls)" = $'file\nout' ]
	[ "$(cat file ~/.bashrc)" = $'old\nhost .bashrc' ]
}

@test "output: redirection, /dev/stdout, /proc/self/fd, without more rights than the descriptor" {
	"$V" sh -c 'echo a; echo b >/dev/stderr; echo c | tee /dev/stdout >/dev/null' >"$T/o" 2>"$T/e"
	[ "$(cat "$T/o" "$T/e")" = $'a\nb' ] || [ "$(cat "$T/o" "$T/e")" = $'a\nc\nb' ]
	run "$V" sh -c 'echo x >/dev/stdin' <"$T/o"
	[ "$status" -ne 0 ]
	run "$V" sh -c 'echo x >/proc/self/fd/0' <"$T/o"
	[ "$status" -ne 0 ]
	[ "$("$V" cat <(echo one) <(echo two))" = $'one\ntwo' ]
	[ "$("$V" cat /dev/stdin <<<in)" = in ]
	"$V" sh -c 'echo x >/dev/null; head -c 3 /dev/zero | wc -c' | grep -qx 3
}

@test "the folder of --host-files: writable or read-only, and no path leads out of it" {
	mkdir "$T/f" "$T/out"
	echo secret >"$T/out/s"
	ln -s "$T/out" "$T/f/link"
	ln -s ../out/s "$T/f/s"
	cd "$T/f"
	"$V" -F "$T/f" sh -ec 'pwd; echo a >a; mkdir d; mv a d/b; ln d/b c; ln -s c e; cat e; echo more >>c
		chmod 600 c; touch -d @5 c; rm d/b; rmdir d; cp -p c g; sed -i s/a/z/ g; truncate -s 1 c'
	[ "$(cat g)" = $'z\nmore' ]
	[ "$(stat -c '%s %a' c)" = "1 600" ]
	chmod 4755 "$T/f/g"
	"$V" -F "$T/f" chmod 6755 g
	[ "$(stat -c %a g)" = 755 ]
	for c in 'cat s' 'cat link/s' 'echo x >s' 'echo x >link/n' 'rm link/s' 'echo x >../n' 'mv g ../g' 'ln ../out/s h' \
		'mkdir link/d' "chmod 777 $T/f/../out/s"; do
		run "$V" -F "$T/f" sh -c "$c"
		[ "$status" -ne 0 ] || { echo "$c: status 0"; false; }
	done
	[ ! -e "$T/n" ] && [ ! -e "$T/out/n" ] && [ ! -e "$T/g" ]
	[ "$(cat "$T/out/s")" = secret ]
	for c in 'echo x >g' 'rm g' 'mkdir d' 'touch g'; do
		run "$V" -F "$T/f:ro" sh -c "$c"
		[ "$status" -ne 0 ] || { echo "$c: status 0"; false; }
	done
	[ "$("$V" -F "$T/f:ro" cat g)" = $'z\nmore' ]
	# shellcheck disable=SC2016 # the script expands it
	printf 'echo "script $1"\n' >script.sh
	[ "$("$V" -F "$T/f:ro" sh ./script.sh x)" = "script x" ]
}

@test "commands in the guest's dot files are not run" {
	mkdir -p "$T$HOME"
	echo 'echo owned' | tee "$T$HOME/.bashrc" >"$T/etc-bashrc"
	mkdir -p "$T/etc"
	mv "$T/etc-bashrc" "$T/etc/bash.bashrc"
	run "$V" -r "$T" bash -ic 'echo fine' </dev/null
	[[ $output == *fine* && $output != *owned* ]]
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

@test "exit status: 127, 126, the program's own, 128 + signal, 3" {
	run -127 "$V" no-such-command
	run "$V" /etc
	[ "$status" -eq 126 ]
	printf '#!/no/such/interpreter\n' >"$T/s"
	chmod +x "$T/s"
	run -127 "$V" "$T/s"
	run "$V" sh -c 'exit 42'
	[ "$status" -eq 42 ]
	run "$V" sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	run "$V" -g 100 ps -ef
	[ "$status" -eq 3 ]
	[[ $output == *"the guest is gone"* ]]
}

@test "stdout: closed, a full disk, a pipe that is closed early" {
	run bash -c "'$V' seq 3 >&-"
	[ "$status" -eq 1 ]
	[[ $output == *"Bad file descriptor"* ]]
	run bash -c "'$V' ps -ef >/dev/full"
	[ "$status" -eq 1 ]
	run env --default-signal=PIPE bash -c "set -o pipefail; '$V' seq 1 1000000 | head -1"
	[ "$status" -eq 141 ]
	[ "${lines[0]}" = 1 ]
}

# wait_for COMMAND...: waits until it succeeds, at most a minute.
wait_for() {
	for _ in {1..1200}; do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}

no_process() { ! pgrep -f "$1"; }

@test "SIGTERM goes to the program; after SIGKILL no process is left" {
	env --default-signal=TERM "$V" sleep "4711.$$" 3>&- &
	wait_for pgrep -fx "sleep 4711.$$"
	kill -TERM $!
	status=0
	wait $! || status=$?
	[ "$status" -eq 143 ]
	"$V" sh -c "sleep 4712.$$ & sleep 4713.$$" 3>&- &
	wait_for pgrep -fx "sleep 4712.$$"
	wait_for pgrep -fx "sleep 4713.$$"
	kill -9 $!
	wait_for no_process "sleep 471[123].$$"
}

# Each call takes half a second, so the file would take hours.
@test "SIGINT ends a program whose reads take hours" {
	local p
	# In the background SIGINT is ignored, and may be so where the tests were started.
	set -m
	env --default-signal=INT "$V" -u 500000 cat /proc/kallsyms >/dev/null 3>&- &
	p=$!
	wait_for pgrep -P $p -x cat
	sleep 1
	kill -INT "$(pgrep -P $p -x cat)"
	ended() { [ ! -e "/proc/$p/exe" ]; }
	wait_for ended || { kill -9 $p; false; }
	status=0
	wait $p || status=$?
	[ "$status" -eq 130 ]
}

@test "background children end with the program" {
	"$V" sh -c "sleep 4714.$$ & :" 3>&-
	wait_for no_process "sleep 4714.$$"
}

state_is() { # PID STATE
	[ "$(ps -o state= -p "$1")" = "$2" ]
}

state_is_not() {
	! state_is "$@"
}

@test "job control: the whole process group stops, continues and is interrupted" {
	set -m
	n=4715.$$ # no other suite's
	env --default-signal=INT,TSTP "$V" sh -c "sleep $n; :" 3>&- &
	p=$!
	wait_for pgrep -fx "sleep $n"
	kill -TSTP -$p
	wait_for state_is $p T
	kill -CONT $p
	wait_for state_is_not $p T
	wait_for state_is "$(pgrep -fx "sleep $n")" S
	kill -INT -$p
	status=0
	wait $p || status=$?
	[ "$status" -eq 130 ]
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
	[ "$status" -lt 99 ]
}
