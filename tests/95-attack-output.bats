#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016,SC2030,SC2031 # the guest's shell expands; bats: a test is a subshell
#
# Hostile names and texts of a guest drive no terminal, and a failed question does not pass
# for an answer.

load lib/vlens

setup_file() { need_guest g61; }

# A name with ESC, a mark of direction, zero width and a byte that is no UTF-8. setup gives it
# to the host, a file, a line of the log and a process. An interface gets a name with ESC.
HOSTILE=$'h\e[31mX\xe2\x80\xaeY\xe2\x80\x8bZ\xff'
setup() {
	in_guest g61 '
		export LC_ALL=C
		h=$(printf "h\033[31mX\342\200\256Y\342\200\213Z\377")
		echo "$h" >/proc/sys/kernel/hostname
		mkdir -p /tmp/hostile && cd /tmp/hostile && echo content >"$h" && ln -sf "$h" link
		cp /lib/terminfo/d/dumb data; : >"lit\\x1bx"; : >"$(printf "gr\303\274n")"; : >"unit\\x2dname"
		ip link add "$(printf "e\033[31m")" type dummy 2>/dev/null
		printf "<5>vlens %s\n" "$h" >/dev/kmsg
		[ -e /run/hostile.pid ] || { cp /bin/busybox /tmp/sleep
			(exec -a "$h" /tmp/sleep 100000) & echo $! >/run/hostile.pid; }
	' >/dev/null
}

teardown() {
	no_disks
	in_guest g61 '[ -e /proc/1 ] || mount -t proc proc /proc; [ -e /sys/module ] || mount -t sysfs sysfs /sys'
}
teardown_file() {
	in_guest g61 'kill "$(cat /run/hostile.pid)"; rm -rf /run/hostile.pid /tmp/hostile /tmp/sleep
		ip rule del table 27; ip link del "$(printf "e\033[31m")"; hostname -F /etc/hostname' >/dev/null || true
}

# Checks that a text is UTF-8 without control characters (other than line feeds and tabs),
# marks of direction and zero width.
assert_tame() {
	python3 -c '
import sys, unicodedata
data = sys.stdin.buffer.read()
text = data.decode("utf-8")
bad = [c for c in text if c not in "\n\t" and
       unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
sys.exit("hostile: %r" % bad[:5] if bad else 0)'
}

# tame COMMAND...: checks that its output is tame, and prints it.
tame() {
	"$@" >"$BATS_TEST_TMPDIR/out" 2>&1 || true
	assert_tame <"$BATS_TEST_TMPDIR/out" || fail "$*"
	[[ -s $BATS_TEST_TMPDIR/out ]] || fail "$*: no output"
	cat "$BATS_TEST_TMPDIR/out"
}

@test "the host name is tame wherever a program prints it" {
	local g
	g=$(guest g61)
	for command in "vuname $g -a" "vuname $g -n" "vmpstat $g" "viostat $g" "vpidstat $g" \
		"vexec $g hostname" "vexec $g sysctl kernel.hostname" \
		"vexec $g cat /proc/sys/kernel/hostname" "vuname --json $g" "vtop -b -n 1 $g"; do
		# shellcheck disable=SC2086 # words
		tame $command >/dev/null
	done
	[[ $(tame vuname "$g" -n) == 'h?[31mX???Y???Z?' ]]
	[[ $(tame vexec "$g" cat /proc/sys/kernel/hostname) == 'h\x1b[31mX\xe2\x80\xaeY\xe2\x80\x8bZ\xff' ]]
}

@test "names of files are tame, and work as arguments" {
	local g name='h\x1b[31mX\xe2\x80\xaeY\xe2\x80\x8bZ\xff'
	g=$(guest g61)
	run tame vls "$g" /tmp/hostile
	[[ ${lines[*]} == *"grün"* ]]
	[[ $output == *"$name"* && $output == *'lit\x5cx1bx'* && $output == *'unit\x2dname'* ]]
	tame vexec "$g" find /tmp/hostile -type f >/dev/null
	tame vls "$g" -l /tmp/hostile | grep -F "link -> $name"
	[[ $(tame vexec "$g" readlink /tmp/hostile/link) == "$name" ]]
	[[ $(vexec "$g" cat "/tmp/hostile/$name") == content ]]
	[[ $(vexec "$g" find /tmp/hostile -type f -name "h*Z*" -exec cat {} +) == content ]]
	vls "$g" '/tmp/hostile/lit\x5cx1bx' '/tmp/hostile/unit\x2dname' '/tmp/hostile/grün'
	tame vexec "$g" sh -c "cd /tmp/hostile && ls *" >/dev/null
}

@test "--raw-names leaves names as they are" {
	local g
	g=$(guest g61)
	[[ $(vuname --raw-names "$g" -n) == "$HOSTILE" ]]
	vls --raw-names "$g" /tmp/hostile | grep -qF "$HOSTILE"
	vls --raw-names "$g" /tmp/hostile | grep -qxF 'lit\x1bx'
	[[ $(vexec --raw-names --keep=0 "$g" hostname) == "$HOSTILE" ]]
}

@test "the kernel's log is tame, whatever reads it" {
	local g
	g=$(guest g61)
	tame vdmesg "$g" | grep -F 'vlens h\x1b[31mX\xe2\x80\xaeY'
	tame vdmesg "$g" -S | grep -F 'vlens h?[31mX???Y'
	tame vexec "$g" sh -c 'cat /dev/kmsg 2>/dev/null' | grep -F 'vlens h'
	tame vexec "$g" sh -c 'cat </dev/kmsg 2>/dev/null' | grep -F 'vlens h'
}

@test "names of processes and interfaces are tame in a pipe, too" {
	local g pid
	g=$(guest g61)
	pid=$(in_guest g61 'cat /run/hostile.pid
		ip rule add iif "$(printf "e\033[31m")" table 27 >/dev/null 2>&1')
	for command in "vps $g -ef" "vps $g -eo comm,args" "vpidstat $g -l" "vexec $g pgrep -a ." \
		"vexec $g cat /proc/$pid/cmdline" "vexec $g cat /proc/$pid/comm /proc/$pid/stat" \
		"vpslist $g" "vps --json $g" "vlsof $g -p $pid" "vip $g link" "vip $g -j link" "vip $g rule" \
		"vifconfig $g -a" "vls $g /sys/class/net" "vexec $g cat /proc/net/dev"; do
		# shellcheck disable=SC2086 # words
		tame $command | tr -d '\0' >/dev/null
	done
	tame vip "$g" link | grep -F 'e?[31m'
}

@test "binary data passes unchanged" {
	local g
	g=$(guest g61)
	[[ $(vexec "$g" sha256sum /sys/kernel/notes | cut -d' ' -f1) == \
		"$(in_guest g61 'sha256sum /sys/kernel/notes' | cut -d' ' -f1)" ]]
	[[ $(vexec "$g" sha256sum /tmp/hostile/data | cut -d' ' -f1) == \
		"$(in_guest g61 'sha256sum /tmp/hostile/data' | cut -d' ' -f1)" ]]
}

# The rules of a firewall: a set, a comment, and all of iptables' chains.
RULES='table inet vlens {
	set s { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.7 }; }
	chain input {
		type filter hook input priority 0; policy accept;
		tcp dport 2222 counter drop comment "nobody"; ip saddr @s accept;
	}
}
table ip filter {
	chain INPUT { type filter hook input priority 0; policy accept; ip saddr 10.9.8.7 drop; }
	chain FORWARD { type filter hook forward priority 0; policy drop; }
	chain OUTPUT { type filter hook output priority 0; policy accept; }
}'

@test "nft, iptables: the guest's rules, or why there are none; and none can be made" {
	local g before
	g=$(guest g61)
	if ! in_guest g61 'lsmod | grep -q nfnetlink'; then
		run --separate-stderr vexec "$g" nft list ruleset
		# shellcheck disable=SC2154 # run sets it
		[[ $status -ne 0 && ${stderr_lines[-1]} == "vexec: $g: "*"has not loaded nfnetlink; it has no rules"* ]] ||
			{ show_run; fail "does not say why"; }
	fi
	in_guest g61 "for m in /lib/spare/nf_tables/*; do insmod \$m 2>/dev/null; done
nft flush ruleset; nft -f - <<X
$RULES
X"
	before=$(in_guest g61 'nft list ruleset')
	[[ $before == *nobody* ]]
	assert_same "$before" "$(vexec "$g" nft list ruleset)"
	assert_same "sets: $(in_guest g61 'nft list sets')" "sets: $(vexec "$g" nft list sets)"
	# Nothing is changed, and no counter is set back.
	for words in "add rule ip filter INPUT ip saddr 1.2.3.4 drop" "flush ruleset" \
		"delete table ip filter"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr vexec "$g" nft $words
		[[ $status -ne 0 ]] || fail "$words: status 0"
		[[ ${stderr_lines[-1]} == *"a change of the guest's network was refused"* ]] || { show_run; fail "no reason"; }
	done
	assert_same "$before" "$(in_guest g61 'nft list ruleset')"
	run --separate-stderr vexec "$g" iptables -L -n
	[[ $output == *"DROP "*10.9.8.7*"FORWARD (policy DROP)"* ]] || { show_run; fail "not all"; }
	assert_status 0
}

@test "ip netns: the guest's names and numbers" {
	local g in
	g=$(guest g61)
	in=$(in_guest g61 'ip netns add blue; ip link add vt0 type veth peer name vt1 netns blue
		ip netns list')
	run --separate-stderr vip "$g" netns list
	assert_status 0
	assert_same "$in" "$output"
	[[ $output == "blue (id: "* && -z $stderr ]] || { show_run; fail "no number"; }
	vip "$g" link show vt0 | grep -q 'link-netns blue'
	for in in "vexec $g ip netns exec blue true" "vip $g -n blue addr"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $in
		[[ $status -ne 0 && $stderr == *": a program can neither enter nor make a namespace; --as=PROCESS shows "* ]] ||
			{ show_run; fail "$in: why?"; }
	done
	in_guest g61 'ip netns del blue'
}

# disks N: makes N loop devices whose content is not in the guest's memory.
disks() {
	in_guest g61 "for i in \$(seq 0 $(($1 - 1))); do
			head -c 300000 /dev/urandom >/tmp/disk\$i; losetup /dev/loop\$i /tmp/disk\$i
		done; echo 3 >/proc/sys/vm/drop_caches" >/dev/null
}
no_disks() {
	in_guest g61 'for i in 0 1 2; do losetup -d /dev/loop$i 2>/dev/null; rm -f /tmp/disk$i; done
		true' >/dev/null
}

@test "files that are on the guest's disk only are named, and counted" {
	local g
	g=$(guest g61)
	disks 3
	run --separate-stderr vexec "$g" cat /dev/loop0
	assert_status 1
	[[ ${stderr_lines[0]} == "cat: /dev/loop0: Input/output error" ]]
	[[ ${stderr_lines[1]} == "vexec: $g: /dev/loop0 is on the guest's disk, not in its memory" ]]
	[[ ${#stderr_lines[@]} -eq 2 ]]
	run --separate-stderr vexec --keep=0 "$g" cat /dev/loop0 /dev/loop1 /dev/loop2 /dev/loop1
	assert_status 1
	[[ ${stderr_lines[4]} == "vexec: $g: 3 files or folders are on the guest's disk and not in its memory; the first is /dev/loop0" ]]
	# A program that takes the error for an empty file does not end with status 0.
	run --separate-stderr vexec "$g" sh -c 'read -r x </dev/loop0 || echo none'
	assert_status 1
	[[ $output == none ]]
	run --separate-stderr vcat "$g" /dev/loop0
	assert_status 3
	[[ $stderr == "vcat: $g: /dev/loop0: on the guest's disk, not in its memory" ]]
	no_disks
}

@test "a question without an answer: a line of ours says why" {
	local g
	g=$(guest g61)
	# The kernel would wait for work of other CPUs.
	run --separate-stderr vexec "$g" cat /proc/sys/vm/stat_refresh
	assert_status 1
	[[ ${stderr_lines[-1]} == "vexec: $g: /proc/sys/vm/stat_refresh had no answer: the guest's kernel would sleep in "*"; "* ]] ||
		{ show_run; fail "no reason"; }
}

# fails_with TEXT COMMAND...: it fails, and the last line on stderr says why: TEXT.
fails_with() {
	run --separate-stderr vexec "$g" "${@:2}"
	[[ $status -ne 0 && ${stderr_lines[-1]} == "vexec: $g: $1"* ]] || { show_run; fail "does not say: $1"; }
}

@test "a program that fails for lack of a service, terminal, process or program: a line says why" {
	local g connect py=/usr/bin/python3
	g=$(guest g61)
	[[ -x $py ]] || skip "python3 is not installed"
	connect='import socket, sys; socket.socket(int(sys.argv[1])).connect(eval(sys.argv[2]))'
	fails_with "/run/x.sock: no service of the guest can be asked" $py -c "$connect" 1 '"/run/x.sock"'
	fails_with "@abstract: no service of the guest can be asked" $py -c "$connect" 1 '"\0abstract"'
	fails_with "port 6379 of 127.0.0.1: no service of the guest can be asked" $py -c "$connect" 2 '("127.0.0.1", 6379)'
	fails_with "port 80 of ::1: no service of the guest can be asked" $py -c "$connect" 10 '("::1", 80)'
	fails_with "a change of the guest's network was refused" ip link set lo mtu 1400
	fails_with "$BATS_TEST_TMPDIR/x is not run" sh -c "env $BATS_TEST_TMPDIR/x || exit 1"
	if command -v script; then fails_with "a program gets no new terminal" script -qec true /dev/null; fi
	if command -v tmux; then fails_with "a program gets no new terminal" env -u TMUX -u TMUX_PANE tmux new; fi
	if command -v iptables-legacy; then
		fails_with "rules of iptables-legacy cannot be asked for" iptables-legacy -L
		XTABLES_LOCKFILE=$BATS_TEST_TMPDIR/lock run --separate-stderr vexec \
			--host-files="$BATS_TEST_TMPDIR" "$g" iptables-legacy -L
		[[ ${stderr_lines[-1]} == "vexec: $g: rules of iptables-legacy cannot be asked for"* ]] || { show_run; fail "iptables: why?"; }
	fi
	if command -v strace; then fails_with "no process can be traced" strace -p 1; fi
	fails_with "a program can neither enter nor make a namespace" nsenter -t 1 -n true
	fails_with "a program can neither enter nor make a namespace" unshare -n true
	fails_with "/tmp/new is not written" sh -c 'echo x >/tmp/new'
	fails_with "/tmp/new is not written" mkdir /tmp/new
	fails_with "/" sh -c 'ldd /bin/ls'
	[[ ${stderr_lines[-1]} == *"/ldd is not run: it would load libraries of this host; "* ]] || fail "$stderr"
	run --separate-stderr vexec "$g" ldd /bin/ls
	[[ $status -eq 126 && $stderr == "vexec: $g: ldd is not run: it would load libraries of this host; "* ]]
	[[ -z $output ]] || { show_run; fail "ldd: an answer"; }
	# What a library tries on its own is no reason, and a program that succeeds gets no line.
	run --separate-stderr vexec "$g" sh -c 'id root; getent hosts localhost; exit 1'
	[[ $status -eq 1 && $output == *"uid=0(root)"* && -z $stderr ]] || { show_run; fail "a reason of nothing"; }
	run --separate-stderr vexec "$g" sh -c 'ip link set lo mtu 1400 2>/dev/null; true'
	[[ $status -eq 0 && -z $stderr ]] || { show_run; fail "a reason without need"; }
	# The write failed, but the program went on: that is not why it fails.
	run --separate-stderr vexec "$g" sh -c 'mkdir /tmp/new 2>/dev/null; cat /proc/uptime; exit 1'
	[[ $status -eq 1 && -z $stderr ]] || { show_run; fail "a reason that is none"; }
}

@test "vcat: tame on a terminal, unchanged in a pipe" {
	local g pid
	g=$(guest g61)
	pid=$(in_guest g61 'cat /run/hostile.pid; printf "a\033[31mb\n" >/tmp/hostile/esc')
	[[ $(vcat "$g" /tmp/hostile/esc) == $'a\e[31mb' ]]
	command -v script || skip "script is not installed"
	for f in /tmp/hostile/esc "/proc/$pid/cmdline" "/proc/$pid/comm" /proc/sys/kernel/hostname; do
		script -qefc "vcat $g $f" /dev/null </dev/null | tr -d '\r' | assert_tame
	done
	[[ $(script -qefc "vcat $g /tmp/hostile/esc" /dev/null </dev/null | tr -d '\r') == 'a^[[31mb' ]]
}

@test "a run whose questions are all answered prints no such line" {
	run --separate-stderr vps "$(guest g61)" -ef
	assert_status 0
	[[ -z $stderr ]]
}

no_proc() {
	in_guest g61 'umount -l /proc; umount -l /sys; ls /proc /sys | grep -v :'
}

@test "a guest that has not mounted /proc and /sys: everything is shown" {
	local g list modules
	g=$(guest g61)
	vps "$g" -e >/dev/null
	list=$(in_guest g61 'ps -eo pid,args --no-headers' | grep -c '[s]leeper')
	modules=$(in_guest g61 'lsmod')
	no_proc
	run --separate-stderr vps "$g" -eo pid,args
	assert_status 0
	[[ $(grep -c sleeper <<<"$output") -eq $list && -z $stderr ]] || { show_run; fail "not all"; }
	assert_same "$modules" "$(vlsmod --keep=0 "$g")"
	vls "$g" /sys/module | grep -qx loop
	vfree "$g" >/dev/null
	# Where /proc is not mounted, nothing counts as hidden from it.
	run --separate-stderr vps --diff "$g"
	assert_status 0
	run --separate-stderr vlsmod --diff "$g"
	assert_status 0
	# The tools have not mounted them in the guest.
	[[ -z $(in_guest g61 'ls /proc /sys | grep -v :') ]]
	in_guest g61 'mount -t proc proc /proc; mount -t sysfs sysfs /sys'
	[[ $(in_guest g61 "grep -c '^proc /proc ' /proc/mounts") -eq 1 ]]
}

# plant NAME SYMBOL HEX: writes code over the start of a function of the guest's kernel, from
# the host. Prints the old bytes.
plant() {
	local at gpa=''
	at=$(in_guest "$1" "sed -n 's/^\([0-9a-f]*\) . $2\([[:space:]].*\)*\$/\1/p' /proc/kallsyms")
	# In user mode the CPU's page table may lack the kernel: try again.
	for _ in {1..100}; do
		gpa=$(qmp "$1" human-monitor-command "{\"command-line\": \"gva2gpa 0x$at\"}" |
			grep -o '0x[0-9a-f]*' | tail -n 1) && [[ -n $gpa ]] && break
	done
	python3 - "$(guest_pid "$1")" "$gpa" "$3" <<-'END'
		import glob, os, sys
		pid, gpa, new = sys.argv[1], int(sys.argv[2], 0), bytes.fromhex(sys.argv[3])
		fd = next(f for f in glob.glob(f"/proc/{pid}/fd/*") if "memfd:memory-backend" in os.readlink(f))
		with open(fd, "r+b", buffering=0) as ram:
		    ram.seek(gpa)
		    print(ram.read(len(new)).hex())
		    ram.seek(gpa)
		    ram.write(new)
	END
}

@test "a keeper's answer is that of a tool without one, also when the kernel's text was changed" {
	local g was
	g=$(guest g61)
	[[ $(vuname "$g" -n) == "$(vuname --keep=0 "$g" -n)" ]]
	# mov $-38,%eax; ret: no such call.
	was=$(plant g61 __x64_sys_newuname b8daffffffc3)
	run --separate-stderr vuname --keep=0 "$g" -n
	local alone="$status $output $stderr"
	run --separate-stderr vuname "$g" -n
	plant g61 __x64_sys_newuname "$was"
	assert_same "$alone" "$status $output $stderr"
	[[ $status -eq 1 ]] || { show_run; fail "the planted code did not run"; }
	# With the old code back, it has an answer again.
	run --separate-stderr vuname "$g" -n
	assert_status 0
}

@test "a keeper's answer is that of a tool without one, also when a module's code was changed" {
	local g was file max
	g=$(guest g61)
	in_guest g61 'ip link add vtbr type bridge'
	file=/sys/class/net/vtbr/bridge/hash_max
	max=$(in_guest g61 "cat $file")
	[[ $max -gt 1 ]]
	assert_same "$max" "$(vcat "$g" "$file")"
	assert_same "$max" "$(vexec "$g" cat "$file")"
	# movw $'7\n',(%rdx); mov $2,%eax; ret
	was=$(plant g61 hash_max_show 66c702370ab802000000c3)
	local kept kept_program alone
	kept=$(vcat "$g" "$file") kept_program=$(vexec "$g" cat "$file") alone=$(vcat --keep=0 "$g" "$file")
	plant g61 hash_max_show "$was"
	assert_same "7 7 7" "$alone $kept $kept_program"
	assert_same "$max" "$(vcat "$g" "$file")"
	assert_same "$max" "$(vexec "$g" cat "$file")"
	in_guest g61 'ip link del vtbr'
}

@test "a long-running program is answered by the current code of the kernel and its modules" {
	local g file was kernel
	g=$(guest g61)
	in_guest g61 'ip link add vtbr type bridge'
	file=/sys/class/net/vtbr/bridge/hash_max
	mkfifo "$BATS_TEST_TMPDIR/go"
	vexec "$g" bash -c 'cat "$1"; uname -r; read -r _; cat "$1"; uname -r || echo none' - "$file" \
		<"$BATS_TEST_TMPDIR/go" >"$BATS_TEST_TMPDIR/out" 3>&- &
	local pid=$!
	exec 5>"$BATS_TEST_TMPDIR/go"
	for _ in {1..200}; do
		[[ $(wc -l <"$BATS_TEST_TMPDIR/out") -lt 2 ]] || break
		sleep 0.1
	done
	was=$(plant g61 hash_max_show 66c702370ab802000000c3)
	kernel=$(plant g61 __x64_sys_newuname b8daffffffc3)
	# The kernel's own text is compared once a second.
	sleep 1.1
	echo >&5
	exec 5>&-
	wait "$pid"
	plant g61 hash_max_show "$was"
	plant g61 __x64_sys_newuname "$kernel"
	in_guest g61 'ip link del vtbr'
	[[ $(tail -n +3 "$BATS_TEST_TMPDIR/out") == $'7\nnone' ]] || {
		cat "$BATS_TEST_TMPDIR/out"
		fail "old code"
	}
}
