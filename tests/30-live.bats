#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Running guests: the tools print, outside of a guest, the same text as the same programs inside.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown_file() {
	drop_guest spin huge big wide
}

all_ps() {
	need_guest "$1"
	same_as_guest "$1" "ps -ef" "ps aux" "ps -eLf" \
		"ps -eo pid,user,uid,group,ppid,pgid,sid,tty,ni,cls,rtprio,nlwp,vsz,args"
}

other_tools() {
	need_guest "$1"
	same_as_guest "$1" "lsmod" "uname -a" "uname -r" "free" "free -h -w -t" "uptime"
}

same_status() {
	assert_same "$(in_guest "$1" 'cat /proc/version /proc/cmdline /proc/1/status | grep -v ctxt')" \
		"$(vcat "$2" /proc/version /proc/cmdline /proc/1/status | grep -v ctxt)"
}

files() {
	local g cmd
	need_guest "$1"
	g=$(guest "$1")
	assert_same "$1" "$(vcat "$g" /etc/hostname)"
	assert_same "known content" "$(vcat "$g" /tmp/known)"
	assert_same "$(printf '%s\nknown content' "$1")" "$(vcat "$g" /etc/hostname /tmp/known)"
	tries 3 same_status "$1" "$g"
	for cmd in 'ls /tmp' 'ls -la /tmp /etc' 'ls -ln /etc/passwd' 'ls /nowhere' 'ls -d /proc/1' \
		'ls /sys/class/net'; do
		# shellcheck disable=SC2086 # words
		assert_same "$(in_guest "$1" "$cmd")" "$(vls "$g" ${cmd#ls } 2>&1)"
	done
	# Every byte of a file in memory, binary as it is.
	assert_same "$(in_guest "$1" 'sha256sum </usr/bin/ps')" "$(vcat "$g" /usr/bin/ps | sha256sum)"
}

# within A X B: A <= X <= B, give or take a second.
within() {
	awk -v a="$1" -v x="$2" -v b="$3" 'BEGIN { exit !(a - 1 <= x && x <= b + 1) }' ||
		fail "$2 is not in $1 ... $3"
}

times() {
	local g a b x
	need_guest "$1"
	g=$(guest "$1")
	a=$(in_guest "$1" 'cut -d" " -f1 /proc/uptime')
	x=$(vcat "$g" /proc/uptime)
	b=$(in_guest "$1" 'cut -d" " -f1 /proc/uptime')
	within "$a" "${x%% *}" "$b"
	a=$(in_guest "$1" 'date +%s')
	x=$(vexec "$g" date +%s)
	b=$(in_guest "$1" 'date +%s')
	within "$a" "$x" "$b"
	# uptime -s and the start of every process.
	a=$(date -d "$(in_guest "$1" 'uptime -s')" +%s)
	x=$(date -d "$(vuptime "$g" -s)" +%s)
	within "$a" "$x" "$a"
	in_guest "$1" 'ps -eo pid,lstart --no-headers' >"$T/guest"
	vps "$g" -eo pid,lstart --no-headers >"$T/vlens"
	epochs() { sed 's/^ *//' "$1" | while read -r pid when; do echo "$pid $(date -d "$when" +%s)"; done | sort -n; }
	join <(epochs "$T/guest" | sort) <(epochs "$T/vlens" | sort) >"$T/both"
	[[ $(wc -l <"$T/both") -ge 50 ]]
	awk '$2 - $3 > 1 || $3 - $2 > 1 { print; bad = 1 } END { exit bad }' "$T/both" >&2 ||
		fail "$1: start times differ by more than a second"
}

# The newest kernel is in a suite that some mirrors lack.
kernel_7() {
	"$VT_TESTS/fetch-kernel" 7 >/dev/null 2>&1 3>&- ||
		skip "this machine's Debian mirror has no kernel 7"
	"$1" g7
}

# ---- each kernel ------------------------------------------------------------

@test "5.10, anonymous memory, 1 CPU: ps" { all_ps g510; }
@test "5.10: lsmod, uname, free, uptime" { other_tools g510; }
@test "5.10: files" { files g510; }
@test "5.10: times" { times g510; }

@test "6.1, memfd, 2 CPUs, page-table isolation: ps" { all_ps g61; }
@test "6.1: lsmod, uname, free, uptime" { other_tools g61; }
@test "6.1: files" { files g61; }
@test "6.1: times" { times g61; }

@test "6.12, memory in a file, 5-level paging: ps" { need_emulator; all_ps g612; }
@test "6.12: lsmod, uname, free, uptime" { need_emulator; other_tools g612; }
@test "6.12: files" { need_emulator; files g612; }
@test "6.12: times" { need_emulator; times g612; }
# Where the host has four levels only the emulator serves, and a worker has it when it is asked for.
@test "6.12, 5-level paging: comparisons and checks ask the emulator" {
	need_emulator
	need_guest g612
	run --separate-stderr vps --diff "$(guest g612)"
	assert_status 0
	run --separate-stderr vcheck "$(guest g612)"
	assert_status 0
}

@test "7, memfd, 2 CPUs: ps" { kernel_7 all_ps; }
@test "7: lsmod, uname, free, uptime" { kernel_7 other_tools; }
@test "7: files" { kernel_7 files; }
@test "7: times" { kernel_7 times; }

# ---- each kind of machine ---------------------------------------------------

@test "the test guests have page-table isolation and 5-level paging as these tests assume" {
	need_guest g61 g612
	in_guest g61 'cat /sys/devices/system/cpu/vulnerabilities/meltdown /proc/cmdline' | grep -q 'pti=on'
	in_guest g61 'dmesg' | grep -qi 'page tables isolation: enabled'
	in_guest g612 'grep -qw la57 /proc/cpuinfo'
}

@test "user mode on every CPU, 5-level paging, 6.12" {
	need_emulator # of five levels
	need_guest spin
	same_as_guest spin "ps -ef"
	[[ $(vps "$(guest spin)" -eo args | grep -c '^spinner') -eq 2 ]]
	drop_guest spin
}

@test "user mode on every CPU, page-table isolation, huge pages, 6.1" {
	need_guest huge || skip "no huge pages can be had on this machine"
	same_as_guest huge "ps -ef"
	[[ $(vps "$(guest huge)" -eo args | grep -c '^spinner') -eq 2 ]]
	drop_guest huge
}

@test "5 GiB of memory, below and above the PCI hole" {
	[[ $(awk '/^MemAvailable/{print int($2 / 1024)}' /proc/meminfo) -ge 2500 ]] ||
		skip "this machine has too little memory for a guest of 5 GiB"
	need_guest big
	# Make the kernel use the upper part too.
	in_guest big 'dd if=/dev/zero of=/tmp/fill bs=1M count=1200 2>/dev/null'
	all_ps big
	[[ $(vfree "$(guest big)" -m | awk '/^Mem/{print $2}') -gt 4500 ]]
	drop_guest big
}

@test "16 CPUs" {
	need_guest wide
	same_as_guest wide "ps -ef"
	same_as_guest wide "ps -eLf"
	[[ $(vexec "$(guest wide)" grep -c ^processor /proc/cpuinfo) -eq 16 ]]
	drop_guest wide
}

# ---- the processes that the guest's factory made ----------------------------

@test "the name of a QEMU without libvirt is looked up without libvirt" {
	need_guest g61
	run --separate-stderr env VLENS_KEEP=0 LD_DEBUG=files vuname "$(guest g61)" -n
	assert_same g61 "$output"
	[[ $stderr == *libZydis* ]] || fail "no list of libraries: $stderr"
	[[ $stderr != *libvirt* ]]
}

@test "user names are the guest's, never the host's" {
	need_guest g61
	local g
	g=$(guest g61)
	# uid 8 has another name on the host. uid 1 has a name on the host only.
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest g61 'echo gone:x:1:1::/:/bin/sh >>/etc/passwd
		su -s /bin/sh guestmail -c "exec sleep 8080" &
		su -s /bin/sh gone -c "exec sleep 8081" &
		n=0
		until [ "$(pgrep -fx "sleep 808[01]" | wc -l)" = 2 ] || [ $n = 200 ]; do n=$((n+1)); sleep 0.1; done
		sed -i /^gone:/d /etc/passwd'
	grep -q '^mail:x:8:' /etc/passwd
	grep -q '^daemon:x:1:' /etc/passwd
	vps "$g" -eo user:20,group:20,args >"$T/users"
	grep -Eq '^guestmail +guestmail +sleep 8080$' "$T/users"
	grep -Eq '^1 +1 +sleep 8081$' "$T/users"
	[[ $(vps "$g" -eo user:20= | sort -u | xargs) == "1 alice factory guestmail root" ]]
	[[ $(vps "$g" -U alice -o args= | grep -c sleeper) -ge 5 ]]
	# Names that only the host knows are unknown.
	run vps "$g" -U daemon -o args=
	[[ $status -eq 1 && $output == *"user name does not exist"* ]] || { show_run; fail daemon; }
	in_guest g61 'pgrep -x sleep | xargs kill'
}

@test "a zombie, a stopped process, threads, priorities" {
	need_guest g61
	local g pid
	g=$(guest g61)
	pid=$(factory_pid g61 zombie)
	[[ $(vps "$g" -o stat=,args= -p "$pid") =~ ^Z.*\[zombie\]\ \<defunct\>$ ]]
	pid=$(factory_pid g61 stopped)
	[[ $(vps "$g" -o stat= -p "$pid") == T* ]]
	pid=$(factory_pid g61 threads)
	assert_same $'threads\nworker-0\nworker-1\nworker-2\nworker-3' \
		"$(vps "$g" -L -o comm= -p "$pid" | sort)"
	pid=$(factory_pid g61 realtime)
	[[ $(vps "$g" -o cls=,rtprio= -p "$pid" | xargs) == "FF 5" ]]
	pid=$(factory_pid g61 nice)
	[[ $(vps "$g" -o ni= -p "$pid" | xargs) == 7 ]]
}

@test "control characters in names and arguments do not reach a terminal" {
	need_guest g61
	local g pid out
	g=$(guest g61)
	pid=$(factory_pid g61 escape)
	vps "$g" -eo comm,args >"$T/out"
	grep -q 'evil' "$T/out"
	# The only control characters are line feeds; each process has one line.
	[[ -z $(tr -d '\n\040-\176\200-\377' <"$T/out") ]]
	[[ $(vps "$g" -o comm=,args= -p "$pid" | wc -l) -eq 1 ]]
	out=$(script -qec "vps $g -o comm=,args= -p $pid" /dev/null </dev/null)
	[[ $out == *evil* && $out != *$'\e'* && $out != *$'\177'* ]]
	# Likewise with a program that does not filter them itself.
	if [[ -n $(command -v pidstat) ]]; then
		out=$(S_COLORS=never script -qec "vpidstat $g -p $pid; vpidstat $g -l -p $pid" /dev/null </dev/null)
		[[ $out == *evil* && $out == *--name=* && $out != *$'\e'* && $out != *$'\177'* ]] ||
			fail "$(cat -v <<<"$out")"
	fi
}

@test "--as: the view of a process in a container" {
	need_guest g61
	local g pid
	g=$(guest g61)
	pid=$(factory_pid g61 container-init)
	[[ $(vuname --as "$pid" "$g" -n) == container ]]
	[[ $(vuname "$g" -n) == g61 ]]
	assert_same $'1 container\n2 container' "$(vps --as "$pid" "$g" -eo pid=,args= | sed 's/^ *//')"
	assert_same "only the container sees this" "$(vcat --as "$pid" "$g" /mnt/inside)"
	run --separate-stderr vcat "$g" /mnt/inside
	assert_status 1
	run --separate-stderr vps --as 99999 "$g" -e
	assert_refused vps "$g" "no process 99999"
}

# ---- programs ---------------------------------------------------------------

@test "vexec: a shell, its pipes and its children all see the guest" {
	need_guest g61
	local g
	g=$(guest g61)
	[[ $(vexec "$g" sh -c 'ps -e | grep "init$" | grep -v container') =~ ^\ +1\ \?\ +[0-9:]{8}\ init$ ]]
	assert_same "$(in_guest g61 'pgrep -x sleeper | wc -l')" \
		"$(vexec "$g" bash -c 'pgrep -x sleeper | wc -l')"
	assert_same "$(vuname "$g" -r)" "$(vexec "$g" cat /proc/sys/kernel/osrelease)"
	[[ $(vexec "$g" /usr/bin/python3 -c 'import os; print(os.uname().nodename)') == g61 ]]
}

@test "a program that makes calls all the time sees the guest as it is now" {
	need_guest g61
	local g
	g=$(guest g61)
	# Calls that need no guest, for 1.5 seconds.  The second run is answered from a copy.
	for _ in 1 2; do
		# shellcheck disable=SC2016 # Perl's variables
		vexec "$g" perl -e '
			sub interrupts {
				open my $f, "<", "/proc/stat";
				return join("", <$f>) =~ /^intr (\d+)/m;
			}
			my ($before) = interrupts();
			for (1 .. 150) { select undef, undef, undef, 0.01; getppid }
			my ($after) = interrupts();
			exit($after > $before ? 0 : 1);'
	done
}

same_program() {
	# shellcheck disable=SC2086 # words
	assert_same "$(in_guest g61 "$2")" "$(vexec "$1" $2 2>&1)"
}

@test "vexec: more programs print the same as in the guest" {
	need_guest g61
	local g cmd
	g=$(guest g61)
	for cmd in 'pgrep -l sleeper' 'netstat -tln' 'id -u' \
		'cat /proc/net/tcp /proc/modules /proc/mounts' 'stat -c %n:%s:%U /tmp/known'; do
		tries 3 same_program "$g" "$cmd"
	done
	[[ $(vexec "$g" top -bn1 | grep -c sleeper) -ge 10 ]]
	[[ $(vexec "$g" vmstat | wc -l) -eq 3 ]]
}

@test "the exit status is the program's own" {
	need_guest g61
	local g
	g=$(guest g61)
	run --separate-stderr vps "$g" -p 99999
	assert_status 1
	run --separate-stderr vps "$g" --nonsense
	assert_status 1
	run --separate-stderr vls "$g" /nowhere
	assert_status 2
	run --separate-stderr vcat "$g" /nowhere
	assert_status 1
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == "vcat: $g: /nowhere: No such file or directory" ]]
	run --separate-stderr vexec "$g" sh -c 'exit 42'
	assert_status 42
	run --separate-stderr vexec "$g" sh -c 'kill -9 $$'
	assert_status 137
	run -127 --separate-stderr vexec "$g" no-such-program
	assert_refused vexec "$g" "no-such-program" 127
	run --separate-stderr vexec "$g" /etc/passwd
	assert_status 126
	assert_runs g61
}

@test "programs that would change the guest are refused" {
	need_guest g61
	local g pid
	g=$(guest g61)
	pid=$(factory_pid g61 listener)
	run vexec "$g" sh -c "kill -9 $pid"
	[[ $status -eq 1 && $output == *"peration not permitted"* ]] || { show_run; fail kill; }
	run vexec "$g" sh -c "echo changed >/proc/sys/kernel/hostname"
	[[ $status -ne 0 && $output == *"Read-only file system"* ]] || { show_run; fail hostname; }
	run vexec "$g" renice -n 5 -p "$pid"
	[[ $status -eq 1 && $output == *"peration not permitted"* ]] || { show_run; fail renice; }
	run vexec "$g" sh -c 'echo x >/tmp/known'
	[[ $status -ne 0 && $output == *"Read-only file system"* ]] || { show_run; fail known; }
	[[ $(in_guest g61 'cat /tmp/known') == "known content" ]]
	[[ $(in_guest g61 'hostname') == g61 ]]
	in_guest g61 "kill -0 $pid"
	[[ ! -e /tmp/known ]]
}

@test "output to a full disk, and to a closed pipe" {
	need_guest g61
	local g
	g=$(guest g61)
	run --separate-stderr bash -c "exec vuname $g >/dev/full"
	assert_status 1
	run --separate-stderr bash -c "exec vcat $g /proc/version >/dev/full"
	assert_status 1
	run --separate-stderr env --default-signal=PIPE bash -c "set -o pipefail; vps $g -ef | head -n 1"
	[[ ${#lines[@]} -eq 1 && -z $stderr ]]
	assert_runs g61
}

@test "through a QMP socket, with every --pause" {
	need_guest g61
	local how g
	g=qmp:$VLENS_TEST_RUN/g61/qmp.sock
	for how in auto freeze suspend none; do
		[[ $(vuname --pause="$how" "$g" -n) == g61 ]]
		vps --pause="$how" "$g" -ef >"$T/vlens"
		grep -q ' /sbin/init$' "$T/vlens"
		assert_runs g61
	done
}

@test "--stats prints the cost of a run to stderr" {
	need_guest g61
	local g
	g=$(guest g61)
	vuname "$g" >/dev/null
	run --separate-stderr vps --stats "$g" -ef
	assert_status 0
	[[ $(stat_of "epochs" "$stderr") -ge 1 && $(stat_of "kernel calls" "$stderr") -ge 50 ]]
	grep -q '^attach: *cached$' <<<"$stderr"
	grep -q '^engine: *vmst' <<<"$stderr"
	# The machine may be loaded: only the order of magnitude is checked.
	near 0 "$(stat_of "paused longest" "$stderr")" 1000
	VLENS_CACHE_DIR=$T/fresh run --separate-stderr vuname --stats "$g"
	grep -q '^attach: *first$' <<<"$stderr"
}

@test "the first attach works without a cache folder" {
	need_guest g61
	[[ $(VLENS_CACHE_DIR=/proc/nowhere vuname "$(guest g61)" -n) == g61 ]]
}

@test "--netns: the network of another process, and all else as it was" {
	need_guest g61
	local g pid net place
	g=$(guest g61)
	pid=$(in_guest g61 'setsid unshare -n sleep 5555.5 >/dev/null 2>&1 </dev/null &
		sleep 1; pgrep -f "^sleep 5555.5" || pidof -s sleep' | head -n 1)
	net=$(in_guest g61 "readlink /proc/$pid/ns/net" | tr -dc 0-9)
	[[ -n $net && $net != "$(in_guest g61 'readlink /proc/1/ns/net' | tr -dc 0-9)" ]] || fail "pid $pid, net $net"
	for place in "$pid" "$net"; do
		assert_same "$(in_guest g61 "ip -o link show dev lo | cut -d: -f1,2; wc -l </proc/$pid/net/dev" | tail -n 1)" \
			"$(vexec --netns="$place" "$g" cat /proc/net/dev | wc -l)"
		assert_same 1 "$(vip --netns="$place" "$g" -o link | wc -l)"
		assert_same "lo" "$(vifconfig --netns="$place" "$g" -a -s | awk 'NR > 1 { print $1 }')"
	done
	# Not so without it, also by a keeper that is there already.
	[[ $(vip "$g" -o link | wc -l) -gt 1 ]]
	# The processes and the identity are still those of process 1.
	assert_same "$(vps "$g" -p "$pid" -o pid,args)" "$(vps --netns="$net" "$g" -p "$pid" -o pid,args)"
	assert_same 1 "$(vexec --netns="$net" "$g" readlink /proc/self)"
	run --separate-stderr vip --netns=4026539999 "$g" link
	assert_refused vip "$g" "in network namespace 4026539999"
	run --separate-stderr vip --netns=nobody "$g" link
	assert_refused vip "$g" "the guest has no container 'nobody'"
	run --separate-stderr vip --netns=999999 "$g" link
	assert_refused vip "$g" "no process 999999"
	in_guest g61 "kill $pid"
}
