#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A mirrored program can change nothing on the host: attacks that once worked, and their right
# results, on a real guest. The home is a folder of this test, on the host and in the guest.
# tests/unit/confine.bats has the system calls one by one.

# shellcheck disable=SC2030,SC2031,SC2154,SC2088 # bats: a test is a subshell; vexec's shell has the ~

load lib/vlens

setup_file() {
	need_guest g61
	vuname "$(guest g61)" >/dev/null
	export HOST_HOME=$BATS_FILE_TMPDIR/home
	in_guest g61 "mkdir -p $HOST_HOME/.ssh; cd $HOST_HOME; for f in .bashrc .ssh/authorized_keys x guest-only; do
		echo guest \$f >\$f; done; mkdir -p /opt /etc/ssl /etc/alternatives
		for f in /opt/v /etc/profile /etc/ssl/v /etc/alternatives/v; do echo guest >\$f; done"
}

teardown_file() {
	in_guest g61 "rm -rf $HOST_HOME /opt/v /etc/profile /etc/ssl/v /etc/alternatives/v"
}

setup() {
	T=$BATS_TEST_TMPDIR
	g=$(guest g61)
	mkdir -p "$HOST_HOME"
	export HOME=$HOST_HOME
	cd "$HOME" || return
	echo host >.bashrc
	echo host >x
	echo host >host-only
}

# untouched: the host's home is as setup made it.
untouched() {
	assert_same $'.bashrc\nhost-only\nx' "$(ls -A)"
	assert_same host "$(cat .bashrc x host-only | sort -u)"
}

# both COMMAND...: runs it without a keeper, then with one.
both() {
	VLENS_KEEP=0 "$@"
	VLENS_KEEP=60 "$@"
}

@test "rm of a file in the home, of a dot file, by a relative name: the host's stays" {
	local command
	# shellcheck disable=SC2016 # vexec's shell expands it
	for command in 'rm ~/x' 'rm ~/.bashrc' 'rm x' 'rm host-only' 'rm -rf . ..' 'rm -rf ~' 'echo x >x' 'echo x >>.bashrc' \
		'echo x >../f' 'echo x >new' 'mv x y' 'mkdir d' 'ln -s x y' 'chmod 0 x' 'touch -d @1 x' 'cp x y' \
		'mkfifo y' 'truncate -s 0 x' 'echo x >/tmp/../tmp/vlens-attack' 'mktemp' 'tee /dev/shm/vlens-attack'; do
		run both vexec "$g" sh -c "$command" </dev/null
		[[ $status -ne 0 ]] || fail "$command: status 0"
		untouched
	done
	[[ ! -e ../f && ! -e /tmp/vlens-attack && ! -e /dev/shm/vlens-attack ]]
	run --separate-stderr vexec --stats "$g" rm x
	[[ $stderr == *"Read-only file system"* && $(stat_of denied "$stderr") -ge 1 ]] || fail "$stderr"
}

@test "files of the home, also by relative names and above it, are the guest's" {
	local f
	for f in .bashrc x .ssh/authorized_keys; do
		assert_same "guest $f" "$(both vexec "$g" cat "$HOME/$f" | sort -u)"
		assert_same "guest $f" "$(both vexec "$g" cat "$f" | sort -u)"
		assert_same "$(in_guest g61 "md5sum $HOME/$f")" "$(vexec "$g" md5sum "$HOME/$f")"
	done
	assert_same "$(in_guest g61 "ls -la $HOME")" "$(vexec "$g" ls -la "$HOME")"
	assert_same "$(in_guest g61 "ls -la $HOME")" "$(vexec "$g" ls -la)"
	assert_same "$(in_guest g61 "cat /etc/passwd")" \
		"$(vexec "$g" sh -c 'cat ../../../../../../../../../../etc/passwd')"
	run vexec "$g" sh -c 'cat ../../../../../../../../../../etc/shadow'
	assert_status 1
	untouched
}

@test "/opt, /etc/profile, /etc/ssl, /etc/alternatives, /usr/bin are the guest's" {
	local f
	for f in /opt/v /etc/profile /etc/ssl/v /etc/alternatives/v; do
		assert_same guest "$(vexec "$g" cat $f)"
	done
	for f in /opt /etc/ssl /etc/alternatives /usr/bin /usr/lib /bin/ /lib/ /; do
		# One of them may be empty.
		assert_same "$f: $(in_guest g61 "ls $f")" "$f: $(vexec "$g" ls $f)"
	done
	assert_same "$(in_guest g61 'md5sum </usr/bin/ps')" "$(vexec "$g" sh -c 'md5sum </usr/bin/ps')"
}

@test "paths show the programs of the guest; a shell's commands run those of this host" {
	local shell here file
	here=$(command -v perl)
	[[ ! $(in_guest g61 "ls $here" 2>&1) == "$here" ]]
	in_guest g61 "cp /bin/busybox /usr/bin/guest-only"
	for shell in sh bash zsh python3; do
		command -v "$shell" >/dev/null || continue
		for file in "$here" /usr/bin/guest-only; do
			case $shell in
			python3) run vexec "$g" /usr/bin/python3 -c "import os, sys; sys.exit(not os.access('$file', os.X_OK))" ;;
			*) run vexec "$g" $shell -c "[ -e $file ] && [ -x $file ]" ;;
			esac
			[[ $status -eq $([[ $file == */guest-only ]]; echo $?) ]] || fail "$shell: $file: $status"
		done
	done
	for shell in sh bash; do
		# With the tool's PATH, with a PATH that the script sets, and without one.
		[[ $(vexec "$g" $shell -c 'perl -e "print 7"; ls -d /') == 7/ ]]
		[[ $(vexec "$g" $shell -c 'PATH=/usr/sbin:/sbin:/usr/bin:/bin; ls -d /') == / ]]
		[[ $(env -u PATH "$(command -v vexec)" "$g" /bin/$shell -c 'ls -d /') == / ]]
		assert_same /usr/bin/guest-only "$(vexec "$g" $shell -c 'command -v guest-only')"
		assert_same "${here%/*}/./perl" "$(vexec "$g" $shell -c 'command -v perl')"
		run -127 vexec "$g" $shell -c guest-only
	done
	assert_same /usr/bin/guest-only "$(vexec "$g" which guest-only)"
	assert_same /usr/bin/guest-only "$(vexec "$g" sh -c 'which guest-only')"
	run vexec "$g" which perl
	assert_status 1
	in_guest g61 "rm /usr/bin/guest-only"
}

@test "data of libraries: the program itself uses the host's, and shows the guest's" {
	local dirs='/usr/share/locale /usr/share/misc /usr/share/terminfo /usr/share/zoneinfo /usr/lib/locale /lib/terminfo'
	in_guest g61 "mkdir -p /usr/share/zoneinfo/Europe /usr/lib/locale/C.utf8 /usr/share/misc
		for f in zoneinfo/Europe/Berlin zoneinfo/Nowhere misc/pci.ids; do echo guest >/usr/share/\$f; done
		echo guest >/usr/lib/locale/C.utf8/LC_CTYPE
		echo nameserver 192.0.2.7 >/etc/resolv.conf; echo 'passwd: guest files' >/etc/nsswitch.conf"
	# shellcheck disable=SC2086 # words
	assert_same "$(in_guest g61 "find $dirs 2>&1 | sort")" "$(vexec "$g" find $dirs 2>&1 | tr -d "\047" | sort)"
	assert_same "$(in_guest g61 "ls -i /usr/share/misc /usr/share/zoneinfo /usr/lib/locale")" \
		"$(vexec "$g" ls -i /usr/share/misc /usr/share/zoneinfo /usr/lib/locale)"
	[[ $(vexec "$g" cat /usr/share/zoneinfo/Europe/Berlin /usr/share/misc/pci.ids /usr/lib/locale/C.utf8/LC_CTYPE) == $'guest\nguest\nguest' ]]
	assert_same "$(in_guest g61 'cat /etc/resolv.conf /etc/nsswitch.conf')" \
		"$(vexec "$g" cat /etc/resolv.conf /etc/nsswitch.conf)"
	run vexec "$g" sh -c '[ -e /usr/share/zoneinfo/America/New_York ]'
	assert_status 1
	# The program's own libraries use the host's files.
	[[ $(LC_ALL=C.UTF-8 vexec "$g" locale charmap) == UTF-8 ]]
	[[ $(TERM=xterm vexec "$g" tput setaf 1 | od -An -c | tr -d ' ') == '033[31m' ]]
	[[ $(TZ=America/New_York vexec "$g" date +%Z) == E?T ]]
	[[ $(vexec "$g" id -un 0) == root ]]
	in_guest g61 "rm -rf /usr/share/zoneinfo /usr/lib/locale /usr/share/misc /etc/resolv.conf /etc/nsswitch.conf"
}

@test "terminfo entries of the guest drive no terminal" {
	in_guest g61 "mkdir -p $HOST_HOME/.terminfo/x /etc/terminfo/x; echo evil >$HOST_HOME/.terminfo/x/xterm; cp $HOST_HOME/.terminfo/x/xterm /etc/terminfo/x"
	[[ $(TERM=xterm vexec "$g" tput setaf 1 | od -An -c | tr -d ' ') == '033[31m' ]]
	in_guest g61 "rm -r $HOST_HOME/.terminfo /etc/terminfo"
}

@test "a program reads its own settings from the host's home, and nothing else there" {
	echo 'echo mine' >.bashrc
	run vexec "$g" bash -ic 'cat ~/.bashrc; cat ~/x' </dev/null
	echo host >.bashrc
	[[ $output == *mine*"guest .bashrc"*"guest x"* ]] || fail "$output"
	mkdir -p .config/htop
	echo 'fields=0 48' >.config/htop/htoprc
	run vexec "$g" cat .config/htop/htoprc
	assert_status 1
	run --separate-stderr vexec --stats "$g" htop --help
	assert_status 0
	rm -r .config
	untouched
}

@test "no system call changes the host, by any descriptor" {
	gcc -Wall -Wextra -O1 -pthread -iquote "$VT_TESTS/../src" -o "$T/attack" "$VT_TESTS"/unit/attack-{host,races}.c
	sleep 600 3>&- &
	local victim=$! out
	echo >"$T/out"
	chmod 644 "$T/out"
	out=$(stat -c '%a %u %g' "$T/out")
	for keep in 0 60; do
		VLENS_KEEP=$keep vexec --stats "$g" "$T/attack" calls $victim /run/none 1<>"$T/out" 2>"$T/err" ||
			fail "$(cat "$T/out" "$T/err")"
		grep -q '^tried [23][0-9][0-9]' "$T/out"
		grep -q '^not allowed: .*mq_open 1' "$T/err"
		assert_same "$out" "$(stat -c '%a %u %g' "$T/out")"
		[[ $(stat -c %Y "$T/out") -gt 1000 ]]
		run vexec "$g" "$T/attack" open 7</ 8<"$T/out"
		assert_status 0
	done
	kill $victim
	untouched
}

@test "a path that another thread changes never opens the host's file" {
	gcc -Wall -Wextra -O1 -pthread -iquote "$VT_TESTS/../src" -o "$T/attack" "$VT_TESTS"/unit/attack-{host,races}.c
	echo SECRET >x
	run both vexec "$g" "$T/attack" race /usr/share/zoneinfo/UTC "$HOME/x" "$(stat -c %i x)"
	assert_status 0
	assert_same SECRET "$(cat x)"
}

@test "two programs of a keeper: each has namespaces of its own, without a network" {
	[[ $(id -u) -eq 0 ]] || skip "needs root"
	unshare -n true || skip "no new namespaces here"
	export VLENS_KEEP=60
	vexec "$g" true
	local i ns pid=() tool=()
	for i in 1 2; do
		vexec "$g" sleep "4717$i.$$" 3>&- 4>&- &
		tool+=($!)
		eventually 60 pgrep -fx "sleep 4717$i.$$"
		pid+=("$(pgrep -fx "sleep 4717$i.$$")")
	done
	for ns in net ipc mnt; do
		assert_same 3 "$(readlink "/proc/self/ns/$ns" "/proc/${pid[0]}/ns/$ns" "/proc/${pid[1]}/ns/$ns" | sort -u | wc -l)"
	done
	for i in 0 1; do
		[[ $(awk '$6 !~ /^ro(,|$)/' "/proc/${pid[i]}/mountinfo" | wc -l) -eq 0 ]]
		# A loopback device that is down, and no address.
		assert_same 'lo:' "$(awk 'NR > 2 { print $1 }' "/proc/${pid[i]}/net/dev")"
		assert_empty "$(cat "/proc/${pid[i]}/net/if_inet6" 2>/dev/null)"
	done
	kill "${pid[@]}"
	wait "${tool[@]}" || true
}

@test "--stats says what a program is confined by" {
	run --separate-stderr vuname --stats "$g"
	[[ $stderr == *"confined:       seccomp"* ]] || fail "$stderr"
	[[ $(id -u) -ne 0 || $stderr == *"no capabilities"* ]]
}
