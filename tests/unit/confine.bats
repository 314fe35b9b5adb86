# SPDX-License-Identifier: GPL-2.0-or-later
# A mirrored program cannot change the host. The host's own kernel answers here, so no guest is
# needed. $BUILD is the directory of vexec-test and attack-host.

bats_require_minimum_version 1.5.0

setup() {
	V=${BUILD:-.}/vexec-test
	A=${BUILD:-.}/attack-host
	T=$BATS_TEST_TMPDIR
	chmod 755 "$BATS_RUN_TMPDIR" "$T"
	sleep 600 3>&- &
	victim=$!
}

teardown() {
	[ -z "${listener:-}" ] || kill "$listener" 2>/dev/null
	kill "$victim"
}

# Starts a listener at sockets in $T, and at others of the same names without a file. It makes
# $T/came if anything connects or sends.
listen() {
	/usr/bin/python3 -c '
import select, socket, sys
all = [socket.socket(socket.AF_UNIX) for _ in "abc"] + [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)]
stream, datagram = (sys.argv[1] + name for name in ("/stream", "/datagram"))
for s, name in zip(all, (stream, "\0" + stream, "\0" + datagram, datagram)):
    s.bind(name)
[s.listen() for s in all[:3]]
open(sys.argv[1] + "/ready", "w")
select.select(all, [], [])
open(sys.argv[1] + "/came", "w")' "$T" 3>&- &
	listener=$!
	until [ -e "$T/ready" ]; do
		kill -0 "$listener" || return 1
		sleep 0.05
	done
	chmod 777 "$T"/stream "$T"/datagram
}

# attack COMMAND...: every attack fails, and the host is unchanged.
attack() {
	listen
	cd "$T" || return
	nice=$(ps -o nice= -p "$victim" | tr -d ' ')
	before=$(ls -la --time-style=full-iso "$T" /usr/bin/env; hostname)
	for s in stream datagram; do
		run "$@" "$A" calls "$victim" "$T/$s"
		echo "$output"
		[ "$status" -eq 0 ]
		[ "$(sed -n 's/^tried //p' <<<"${output//$'\r'/}")" -gt 150 ]
	done
	[ "$before" = "$(ls -la --time-style=full-iso "$T" /usr/bin/env; hostname)" ]
	[ ! -e "$T/came" ]
	[[ $(ps -o stat=,nice= -p "$victim" | tr -s ' ') == S*" $nice" ]]
}

as_user() { setpriv --reuid=4242 --regid=4242 --clear-groups "$@"; }

@test "every system call that affects other processes or the host is refused" {
	attack "$V"
}

@test "the same calls on a terminal: the program cannot type for its shell" {
	command -v script || skip "script is not installed"
	on_terminal() { script -qefc "$V $*" /dev/null </dev/null; }
	attack on_terminal
}

@test "the same calls for an ordinary user" {
	[ "$(id -u)" = 0 ] || skip "needs root to become one"
	as_user test -x "$V" || skip "the build directory is root's alone"
	attack as_user "$V"
}

@test "the caller's output files can be written, but not truncated or otherwise changed" {
	echo head >"$T/log"
	"$V" "$A" append >>"$T/log"
	[ "$(head -n 1 "$T/log")" = head ]
	[[ $(tail -n 1 "$T/log") == "tried "* ]]
	# Programs that seek, in a file of their own and in one that they append to.
	seq 9 | "$V" dd bs=1 seek=3 conv=notrunc status=none >"$T/dd"
	[ "$(tr '\0' . <"$T/dd" | head -n 1)" = ...1 ]
	printf 'b\na\n' | "$V" sort >>"$T/log"
	[ "$(tail -n 2 "$T/log")" = $'a\nb' ]
	# bats has the output of run, so that this needs a status of its own.
	status=0
	"$V" -s truncate -s 0 /dev/stdout >>"$T/log" || status=$?
	[ "$status" -eq 1 ]
	[ "$(head -n 1 "$T/log")" = head ]
	# In the folder of --host-files all of this is allowed.
	mkdir "$T/folder"
	"$V" -F "$T/folder" sh -c "seq 9 >$T/folder/f; truncate -s 4 $T/folder/f; sort -ro $T/folder/f $T/folder/f
		flock -n $T/folder/f echo locked; fallocate -l 100 $T/folder/g"
	[ "$(cat "$T/folder/f")" = $'2\n1' ]
	[ "$(stat -c %s "$T/folder/g")" = 100 ]
}

@test "neither the peer of a socket nor a process group gets a signal" {
	[ -x /usr/bin/python3 ] || skip "python3 is not installed"
	for user in "" as_user; do
		[ "$user" != as_user ] || as_user test -x "$V" || continue
		# shellcheck disable=SC2086 # nothing, or a word
		run $user /usr/bin/python3 -c '
import socket, subprocess, sys
ours, theirs = socket.socketpair()
got = subprocess.run(sys.argv[1:], stdin=theirs, start_new_session=True).returncode
theirs.send(b"x")
sys.exit(got or ours.recv(1) != b"x")' "$V" "$A" peer
		echo "$output"
		[ "$status" -eq 0 ]
		[[ $output == "tried "* ]]
	done
}

@test "a datagram socket as standard input or output is an empty file" {
	[ -x /usr/bin/python3 ] || skip "python3 is not installed"
	/usr/bin/python3 -c '
import socket, subprocess, sys
ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
ours.send(b"x")
for fd in 0, 1:
    got = subprocess.run([sys.argv[1], "sh", "-c", "cat; echo y"], **{("stdin", "stdout")[fd]: theirs},
                         **{("stdout", "stdin")[fd]: subprocess.PIPE if fd == 0 else subprocess.DEVNULL})
    assert got.returncode == 0 and got.stdout == (b"y\n" if fd == 0 else None), got
ours.settimeout(0.1)
try:
    sys.exit(f"sent {ours.recv(9)}")
except TimeoutError:
    pass' "$V"
}

@test "memfds work; a guest's file cannot be mapped as code, by any descriptor number" {
	run "$V" "$A" memory
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "a file that is read again has new content, for root and for an ordinary user" {
	"$V" "$A" again /proc/uptime
	[ "$(id -u)" = 0 ] || return 0
	as_user test -x "$V" || skip "the build directory is root's alone"
	as_user "$V" "$A" again /proc/uptime
}

@test "every refused call is counted by its name" {
	listen
	run "$V" -s "$A" calls "$victim" "$T/stream"
	echo "$output"
	for call in mount umount2 pivot_root chroot swapon reboot sethostname settimeofday init_module \
		kexec_load acct quotactl iopl bpf perf_event_open fanotify_init inotify_add_watch keyctl \
		userfaultfd open_tree fsopen unshare setns ptrace process_vm_readv process_vm_writev \
		pidfd_open pidfd_getfd kcmp kill tkill tgkill rt_sigqueueinfo setpriority ioprio_set \
		sched_setaffinity prlimit64 fcntl prctl openat mkdir mknodat symlink link rename unlink rmdir \
		chmod truncate utimensat setxattr fchmod fchown fsetxattr ftruncate fallocate flock \
		pwritev2 ioctl connect bind listen accept sendto sendmsg socket execve; do
		[[ $output == *"denied: $call "[1-9]* ]] || { echo "no $call"; false; }
	done
	for call in mq_open io_setup modify_ldt io_uring_setup clone3 execveat statmount "number 500" \
		"number 100000" memfd_secret; do
		[[ $output == *"not allowed: $call "[1-9]* ]] || { echo "no $call"; false; }
	done
	# Some hosts' kernels have none, for any program.
	[[ $output == *"no 32-bit calls here"* || $output == *"not allowed: a 32-bit call "[1-9]* ]]
}

@test "the kinds of confinement in force are reported: all for root, fewer for a user" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	"$V" -s true 2>"$T/root"
	grep -q '^confined: [7f]$' "$T/root" || unshare -m true || skip "no new namespaces here"
	grep -q '^confined: [7f]$' "$T/root"
	as_user test -x "$V" || skip "the build directory is root's alone"
	as_user "$V" -s true 2>"$T/user"
	want=$(sed -n 's/^confined: f$/9/p; s/^confined: 7$/1/p' "$T/root")
	grep -q "^confined: $want$" "$T/user"
}

@test "capabilities, mounts and network of the program, as the host sees them" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	"$V" sleep "4716.$$" 3>&- &
	until pgrep -fx "sleep 4716[.]$$" >"$T/pid"; do sleep 0.05; done
	read -r pid <"$T/pid"
	[ "$(grep -c '^Cap\(Inh\|Prm\|Eff\|Bnd\|Amb\):.*[[:space:]]0*$' "/proc/$pid/status")" = 5 ]
	grep -q '^NoNewPrivs:.*1$' "/proc/$pid/status"
	[ "$(cat "/proc/$pid/oom_score_adj")" = 1000 ]
	# shellcheck disable=SC2009
	if [ "$(readlink "/proc/$pid/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]; then
		[ "$(awk '$6 !~ /^ro(,|$)/' "/proc/$pid/mountinfo" | wc -l)" = 0 ]
		[ "$(readlink "/proc/$pid/ns/net" | tr -d '[]:0-9')" = net ]
		[ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
	fi
	kill "$pid"
}

@test "race: another thread changes a path after the check" {
	mkdir -p "$T/guest$T"
	echo SECRET >"$T/secret"
	echo guest >"$T/guest$T/secret"
	run "$V" -r "$T/guest" "$A" race /usr/share/zoneinfo/UTC "$T/secret" "$(stat -c %i "$T/secret")"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == "tried 2"* ]]
	[ "$(cat "$T/secret")" = SECRET ]
	# A program that such a race executes is under the same filter.
	printf '#!/bin/sh\necho ran >%s/ran\nid >%s/ran2\n' "$T" "$T" >"$T/evil"
	chmod 755 "$T/evil"
	"$V" -r "$T/guest" "$A" exec /bin/true "$T/evil"
	[ ! -e "$T/ran" ]
	[ ! -e "$T/ran2" ]
	# A program that the check does not allow ends before its first instruction.
	cp /bin/uname "$T/evil2"
	run "$V" -n -r "$T/guest" "$A" exec /bin/true "$T/evil2"
	echo "$output"
	[[ $output == "tried 40" ]]
}

@test "a copy of a stream keeps its record if the table of records is full" {
	MALLOC_PERTURB_=165 run "$V" "$A" full "$victim"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "race: another thread puts a file of the host behind a descriptor" {
	echo SECRET >"$T/secret"
	seq 1000 >>"$T/secret"
	cp "$T/secret" "$T/before"
	# Not pinned to one CPU (-n), and the guest's calls take 300 us (-u), as real ones do.
	run "$V" -n -u 300 "$A" swap <"$T/secret"
	echo "$output"
	[ "$status" -eq 0 ]
	cmp "$T/secret" "$T/before"
}

@test "the same race with a descriptor for fchmod" {
	mkdir "$T/folder"
	echo SECRET >"$T/secret"
	chmod 600 "$T/secret"
	run "$V" -n -F "$T/folder" "$A" swap-mode "$T/folder/f" <"$T/secret"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(stat -c %a "$T/secret" "$T/folder/f")" = $'600\n777' ]
}

@test "the same race with descriptors for flock, mmap and setsockopt" {
	echo SECRET >"$T/secret"
	mkdir "$T/folder"
	run "$V" -n -F "$T/folder" "$A" swap-lock "$T/folder/f" <"$T/secret"
	echo "$output"
	[ "$status" -eq 0 ]
	cp "$T/secret" "$T/out"
	/usr/bin/python3 -c '
import subprocess, sys
sys.exit(subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "a+")).returncode)' "$T/out" "$V" -n "$A" swap-map || { cat "$T/out"; false; }
	[[ $(cat "$T/out") == SECRET*"tried "* ]]
	run /usr/bin/python3 -c '
import socket, subprocess, sys
ours, theirs = socket.socketpair()
sys.exit(subprocess.run(sys.argv[1:], stdin=theirs).returncode)' "$V" -n "$A" swap-option
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "the program cannot give the terminal to another job of the operator's, or join one" {
	command -v script || skip "script is not installed"
	cat >"$T/jobs" <<-END
		set -m
		sleep 600 &
		"$V" -n "$A" jobs \$!
		echo "status \$?"
		kill %1
	END
	run script -qefc "bash $T/jobs" /dev/null </dev/null
	echo "$output"
	[[ $output == *"status 0"* && $output != *"not ok"* ]]
}

@test "the loader gets libraries of the host only, with any environment" {
	for lib in $(ldd "$(command -v ps)" | awk '{ print $1 }'); do
		mkdir -p "$T/guest/opt/x"
		echo guest | tee "$T/guest/${lib##*/}" >"$T/guest/opt/x/${lib##*/}"
	done
	cd /
	for dirs in : . :/opt/x /opt/x: x:. lib/..; do
		LD_LIBRARY_PATH=$dirs "$V" -r "$T/guest" ps -p 1
		"$V" -r "$T/guest" sh -c "LD_LIBRARY_PATH=$dirs ps -p 1"
	done
	echo guest >"$T/guest/evil.so"
	for how in LD_PRELOAD LD_AUDIT; do
		for lib in ./evil.so evil.so /evil.so; do
			run env $how=$lib "$V" -r "$T/guest" uname
			[[ $output != *"invalid ELF"* && $output != *"too short"* ]]
			run "$V" -r "$T/guest" sh -c "$how=$lib uname"
			echo "$output"
			[[ $output != *"invalid ELF"* && $output != *"too short"* && $output == *Linux* ]]
		done
	done
	# The loader could be told to open any file: it gets libraries only.
	for f in /usr/bin/ldd /lib /etc/shadow; do
		run "$V" -r "$T/guest" "$A" loader $f
		echo "$output"
		[ "$status" -eq 0 ]
		[ "$output" = "tried 1" ]
	done
	run "$V" -r "$T/guest" "$A" loader /usr/bin/env
	[[ $output == *"not ok"* ]]
}

@test "interpreters run no code of the guest: not from the working folder, not from its libraries" {
	g=$T/guest
	py=$(readlink -f /usr/bin/python3)
	py=${py##*/}
	mkdir -p "$g/usr/local/lib/site_perl" "$g/usr/bin/lib/$py" "$g/evil" "$g/lib/$py" "$g$HOME" \
		"$g$T/venv/bin" "$T/venv/bin"
	ln -s /usr/bin/python3 "$T/venv/bin/python3"
	for f in usr/pyvenv.cfg usr/bin/pyvenv.cfg pyvenv.cfg bin/pyvenv.cfg "$T/venv/pyvenv.cfg" \
		"$T/venv/bin/pyvenv.cfg"; do
		mkdir -p "$(dirname "$g/$f")"
		printf 'home = /evil/bin\n' >"$g/$f"
	done
	mkdir -p "$g/evil/lib/$py" "$g/evil/bin"
	for f in evil usr/bin lib; do
		printf 'print("owned")\n' | tee "$g/$f/os.py" "$g/$f/encodings.py" >/dev/null
	done
	for f in evil/lib usr/bin/lib lib; do
		printf 'print("owned")\n' | tee "$g/$f/$py/os.py" "$g/$f/$py/site.py" >/dev/null
	done
	printf 'print("owned")\n' >"$g/vlens_mod.py"
	printf 'print "owned"; 1;\n' | tee "$g/VlensMod.pm" >"$g/usr/local/lib/site_perl/VlensMod.pm"
	printf 'echo owned\n' | tee "$g/env.sh" "$g$HOME/.zshenv" "$g/.zshenv" >/dev/null
	cd /
	for p in /usr/bin/python3 /bin/python3 "$T/venv/bin/python3"; do
		run "$V" -r "$g" "$p" -c 'import os, sys; print("fine", os.__file__)'
		echo "$p: $output"
		[[ $output == "fine /usr/lib/"* ]]
	done
	if /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
		for path in "" : .:/nowhere evil/..; do
			PYTHONPATH=$path run "$V" -r "$g" /usr/bin/python3 -c 'import vlens_mod'
			[[ $status -eq 1 && $output == *ModuleNotFoundError* ]]
			PYTHONPATH=$path run "$V" -r "$g" /usr/bin/python3 -m vlens_mod
			[[ $status -eq 1 && $output == *"No module named"* ]]
		done
	fi
	for path in "" . :; do
		PERL5LIB=$path run "$V" -r "$g" perl -e 'require VlensMod'
		echo "$output"
		[[ $status -ne 0 && $output == "Can't locate"* ]]
	done
	run env BASH_ENV=/env.sh ENV=/env.sh ZDOTDIR=/ PYTHONSTARTUP=/vlens_mod.py "$V" -r "$g" bash -c 'echo fine'
	[ "$output" = fine ]
	run env ENV=/env.sh "$V" -r "$g" sh -ic 'echo fine' </dev/null
	[[ $output == *fine* && $output != *owned* ]]
	command -v zsh || return 0
	run env ZDOTDIR=/ "$V" -r "$g" zsh -c 'echo fine'
	[ "$output" = fine ]
}

@test "a script in the folder of --host-files finds the modules beside it" {
	mkdir "$T/f"
	echo 'print("mine")' >"$T/f/vlens_mod.py"
	echo 'import vlens_mod' >"$T/f/check.py"
	cd "$T/f"
	[ "$("$V" -F "$T/f:ro" /usr/bin/python3 check.py)" = mine ]
	cd /
	[ "$(PYTHONSAFEPATH="" "$V" -F "$T/f:ro" /usr/bin/python3 "$T/f/check.py")" = mine ]
}

@test "a link that the program makes in the folder of --host-files cannot be executed" {
	mkdir "$T/folder"
	cp /bin/uname "$T/secret"
	run -127 "$V" -F "$T/folder" sh -c "ln -s ../secret $T/folder/x; exec $T/folder/x"
	[[ $output != *Linux* ]]
	[ "$("$V" -F "$T/folder" sh -c "cp /bin/uname $T/folder/own 2>/dev/null; ln -s /bin/uname $T/folder/y; exec $T/folder/y")" = Linux ]
}

@test "paths below a descriptor in /proc do not reach files of the host" {
	mkdir "$T/folder" "$T/out"
	echo SECRET | tee "$T/out/s" >"$T/out/comm"
	ln -s "$T/out" "$T/folder/link"
	for base in /proc/self/fd /proc/thread-self/fd /dev/fd; do
		for c in "cat $base/7/link/s" "cat $base/7/link/../out/s" "stat $base/7/link/s" \
			"echo x >$base/7/link/comm" "ls $base/7/link/"; do
			run "$V" -F "$T/folder" bash -c "exec 7<'$T/folder'; $c"
			echo "$c: $output"
			[ "$status" -ne 0 ]
			[[ $output != *SECRET* ]]
		done
	done
	[ "$(cat "$T/out/comm")" = SECRET ]
	# shellcheck disable=SC2016 # bash expands it
	[ "$("$V" -F "$T/folder" bash -c 'read -r x </proc/thread-self/comm; echo "$x"')" = bash ]
	"$V" ls -l /proc/self/fd/ /dev/fd/ /proc/thread-self/fd >"$T/list"
}

@test "netlink: names and comments of the guest are sanitized, numbers are not" {
	[ "$(id -u)" = 0 ] || skip "needs root for a network namespace"
	unshare -n true || skip "no new namespaces here"
	cat >"$T/net" <<-'END'
		e=$(printf 'e\033[31m')
		ip link add "$e" type dummy
		ip rule add iif "$e" oif "$e" table 27
		ip addr add 27.27.27.27/32 dev lo
		# 0x1b1b1b1b is four times ESC.
		ip rule add fwmark 0x1b1b1b1b table 453712667 2>/dev/null
		tc qdisc add dev lo clsact && tc filter add dev lo ingress matchall action simple sdata "$e"
		nft -f - <<-X
		table inet t {
			set s { type ipv4_addr; comment "$e"; elements = { 27.27.27.27 comment "$e" }; }
			chain c { type filter hook input priority 0;
				iifname "$e" oifname "$e*" ip saddr 27.27.27.27 log prefix "$e" counter comment "$e"
				meta mark 0x1b1b1b1b accept; ip6 saddr 1b1b:1b1b:1b1b:1b1b:1b1b:1b1b:1b1b:1b1b accept; }
		}
		X
		iptables -A INPUT -i "$e" -m comment --comment "$e" -m mark --mark 0x1b1b1b1b -j LOG --log-prefix "$e"
		for c in "ip rule" "ip -j rule" "tc filter show dev lo ingress" "nft list ruleset" \
			"nft -j list ruleset" "iptables -S"; do
			command -v ${c%% *} >/dev/null || continue
			echo "== $c" | tee -a "$T/got" >>"$T/want"
			"$V" $c >>"$T/got" || echo "$c: status $?" >>"$T/got"
			# -j writes a control character as \uNNNN.
			$c | tr '\033' '?' | sed 's/\\u001[bB]/?/g' >>"$T/want"
		done
	END
	export V T
	run unshare -n sh "$T/net"
	printf '%s\n' "$output"
	diff "$T/got" "$T/want"
	grep -q 'iif e?\[31m.* oif e?\[31m' "$T/got"
	grep -q 'fwmark 0x1b1b1b1b' "$T/got"
}

@test "open files of the caller are not passed on, except pipes" {
	# shellcheck disable=SC2094 # a descriptor, not a pipeline
	run "$V" "$A" open 7</ 8<"$A" 9<>"$T/new"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$("$V" cat <(echo one) <(echo two))" = $'one\ntwo' ]
	run ! "$V" sh -c 'echo x >&9' 9>"$T/out"
	[ ! -s "$T/out" ]
}

@test "an unknown system call fails with ENOSYS, and is counted by its name" {
	# shellcheck disable=SC2016 # perl expands these
	run "$V" -s /usr/bin/perl -e 'my $x = "/x"; syscall(240, $x, 0, 0, 0) == -1 && $! == 38 or die $!; syscall(500)'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"not allowed: mq_open 1"* ]]
	[[ $output == *"not allowed: number 500 1"* ]]
}

@test "a shell finds commands in the host's PATH, also scripts" {
	mkdir "$T/bin"
	# shellcheck disable=SC2016 # the script expands it
	printf '#!/bin/sh\necho "script $1"\n' >"$T/bin/tool-of-mine"
	chmod 755 "$T/bin/tool-of-mine"
	for shell in bash dash; do
		[ "$(PATH=$T/bin:$PATH "$V" $shell -c 'command -v tool-of-mine && tool-of-mine x')" = \
			"$T/bin/./tool-of-mine"$'\n'"script x" ]
		# A link of the host may lead anywhere.
		mkdir -p "$T/else"
		ln -sf ../else/uname "$T/bin/uname-of-mine"
		cp /bin/uname "$T/else"
		[ "$(PATH=$T/bin:$PATH "$V" $shell -c 'uname-of-mine')" = Linux ]
		# The script sets PATH itself, and the guest's file of that name is on its disk.
		[ "$("$V" -p /usr/bin/cat $shell -c 'PATH=/usr/sbin:/usr/bin; echo a | cat | cat')" = a ]
	done
}

@test "a signal to its process group reaches the program, and no other process of the pipeline" {
	set -m
	run bash -c "'$V' sh -c 'trap \"echo got\" USR1; kill -USR1 0; sleep 0.1; echo on' | (trap 'echo hit' USR1; cat; sleep 0.2)"
	[ "$output" = $'got\non' ]
}
