#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vcheck on clean guests, and on guests with each module of the rootkit laboratory.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	export VLENS_TRUST_DIR=$BATS_FILE_TMPDIR/trusted
	need_guest rk61
	in_guest rk61 'sleep 100000 >/dev/null 2>&1 & echo $! >/run/victim'
}

# The last test leaves rk61 with a hidden module. 59-trusted.bats uses the other two.
teardown_file() { drop_guest rk61; }

# findings GUEST: prints a line "check: what: found: owner" for each finding.
findings() {
	run --separate-stderr vcheck --json -o class,check,what,found,owner,sure "$(guest "$1")"
	[[ -z $stderr ]] || fail "$stderr"
	jq -r '.checks[] | select(.class == "finding") |
		[.check, .what, .found, .owner] | map(. // "-") | join(": ")' <<<"$output"
	[[ $status -eq 0 || $status -eq 1 ]]
}

# with GUEST MODULE ARGUMENTS...: sets $found to the findings while the module is loaded.
with() {
	local name=$1 module=$2
	shift 2
	in_guest "$name" "insmod /rootkits/$module.ko $*"
	found=$(findings "$name") || fail "$found"
	in_guest "$name" "rmmod $module"
}

# unlisted GUEST MODULE ARGUMENTS...: the same, while the module is not in the list of modules.
unlisted() {
	local name=$1 module=$2
	shift 2
	in_guest "$name" "insmod /rootkits/$module.ko $* listed=0"
	found=$(findings "$name") || fail "$found"
	in_guest "$name" "echo 1 >/sys/module/$module/parameters/listed; rmmod $module"
}

# clean: $status and $output are those of a vcheck that found nothing.
clean() {
	[[ $status -eq 0 && -z $stderr && ${lines[-1]} == 'no findings'* ]] || fail "$1: $output$stderr"
	! grep -q '^finding' <<<"$output" || fail "$1: $output"
}

# expect PATTERN...: each pattern matches a line of $found.
expect() {
	local pattern
	for pattern; do
		grep -qE -- "$pattern" <<<"$found" || fail "no '$pattern' in: $found"
	done
}

victim() { in_guest "$1" 'cat /run/victim'; }

@test "vcheck: clean guests have no findings" {
	local name
	need_guest g510 g61 g7
	for name in g510 g61 g7; do
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
		run --separate-stderr vcheck "$(guest "$name")"
		clean "$name"
		grep -qE "^note +trusted text +the kernel's text +compared with the trusted kernel" <<<"$output" ||
			fail "$name: $output"
		# These guests' modules are not stored, and the note says so.
		run -1 --separate-stderr vcheck --strict "$(guest "$name")"
		[[ $output == *"the modules' text"*"not compared"* && ${lines[-1]} == 'no findings' ]] ||
			fail "$name: $output$stderr"
		output=$(grep -v "the modules' text" <<<"$output")
		[[ $output != *"not compared"* && $output != *"does not give them"* ]] ||
			fail "$name: $output"
		# Without a trusted kernel the last line says what that means.
		VLENS_TRUST_DIR=$T/none run --separate-stderr vcheck "$(guest "$name")"
		[[ $status -eq 0 && ${lines[-1]} == "no findings; of its text only the entries of functions were checked: there is no trusted kernel"*"(vlens trust add FILE)" ]] ||
			fail "$name: $output$stderr"
	done
}

@test "vcheck: a check that fails is an error, and the others are made" {
	# On a host with 4-level paging no code of a kernel with 5 levels can run.
	need_guest g612
	run --separate-stderr vcheck "$(guest g612)"
	[[ $output == *restrictions* ]] && ! grep -q '^finding' <<<"$output" || fail "$output"
	[[ $status -eq 0 && -z $stderr ]] ||
		[[ $status -eq 3 && $stderr == *"could not be checked: the guest's page tables have five levels"* ]] ||
		fail "$status $stderr"
}

@test "vcheck: page tables without an end are an error, and the other checks are made" {
	in_guest rk61 'insmod /rootkits/maze.ko && insmod /rootkits/nfhook.ko listed=0'
	run --separate-stderr vcheck "$(guest rk61)"
	in_guest rk61 'echo 1 >/sys/module/nfhook/parameters/listed; rmmod nfhook; rmmod maze'
	assert_status 3
	[[ $stderr == *"executable memory outside the modules could not be checked"* ]] || fail "$stderr"
	grep -qE '^finding +netfilter +.*hidden module nfhook' <<<"$output" || fail "$output"
}

@test "vcheck: a trusted kernel that is another's is an error, and no note" {
	local own
	need_guest g510
	own=$(vuname --stats "$(guest rk61)" 2>&1 >/dev/null | sed -n 's/^kernel: *//p')
	mkdir "$BATS_TEST_TMPDIR/wrong"
	VLENS_TRUST_DIR=$BATS_TEST_TMPDIR/wrong vlens trust add "$VLENS_TEST_RUN/g510/vmlinuz" >/dev/null
	mv "$BATS_TEST_TMPDIR/wrong"/*.kernel "$BATS_TEST_TMPDIR/wrong/$own.kernel"
	VLENS_TRUST_DIR=$BATS_TEST_TMPDIR/wrong run --separate-stderr vcheck "$(guest rk61)"
	assert_status 3
	[[ $stderr == *"the trusted text could not be checked: the guest's kernel is of build $own"* ]] ||
		fail "$stderr"
}

@test "vcheck: a guest that forks all the time raises no alarm" {
	need_guest busy
	run --separate-stderr vcheck "$(guest busy)"
	drop_guest busy
	clean busy
}

@test "vcheck: a guest that loads modules and attaches tracers raises no alarm" {
	local bad=
	in_guest rk61 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null
		cd /sys/kernel/tracing && echo "__x64_sys_*" >set_ftrace_filter &&
		{ while echo function >current_tracer && echo nop >current_tracer &&
			insmod /rootkits/kprobe.ko && rmmod kprobe; do :; done >/dev/null 2>&1 &
		echo $! >/run/tracing; }'
	for _ in 1 2 3 4 5; do
		run --separate-stderr vcheck "$(guest rk61)"
		[[ $status -eq 0 && -z $stderr ]] || bad+="$output$stderr"
	done
	# shellcheck disable=SC2016 # the guest's shell
	in_guest rk61 'kill $(cat /run/tracing); sleep 0.5; cd /sys/kernel/tracing
		echo nop >current_tracer; echo >set_ftrace_filter; rmmod kprobe 2>/dev/null; :'
	[[ -z $bad ]] || fail "$bad"
}

@test "vcheck: kprobes, uprobes, ftrace and live patches of a healthy guest are attachments" {
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest rk61 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null
		cd /sys/kernel/tracing && echo "p:lab do_sys_openat2" >kprobe_events &&
		for i in 1 2 3 4 5; do
			echo "p:lab$i /proc/1/exe:0x${i}000" >>uprobe_events || exit
		done
		echo 1 >events/uprobes/enable &&
		echo 1 >events/kprobes/lab/enable && echo function >current_tracer &&
		insmod /rootkits/livepatch.ko'
	run --separate-stderr vcheck --no-headers -o class,check,what,owner,address "$(guest rk61)"
	# The five uprobes have one owner, so they are one row unless all are asked for.
	grep -qE '^attached +uprobes +5, the first is offset 0x[1-5]000 of a file.* -$' <<<"$output" || fail "$output"
	assert_same 1 "$(grep -cE '^attached +uprobes' <<<"$output")"
	assert_same 5 "$(vcheck -J "$(guest rk61)" | jq '[.checks[] | select(.check == "uprobes")] | length')"
	run --separate-stderr vcheck --all-attachments --no-headers -o class,check,what,owner "$(guest rk61)"
	in_guest rk61 'cd /sys/kernel/tracing && echo nop >current_tracer
		echo 0 >events/kprobes/lab/enable && echo >kprobe_events
		echo 0 >events/uprobes/enable && echo >uprobe_events
		echo 0 >/sys/kernel/livepatch/livepatch/enabled'
	assert_status 0
	grep -qE '^attached +kprobes +do_sys_openat2' <<<"$output" || fail "$output"
	assert_same 5 "$(grep -cE '^attached +uprobes +offset 0x[1-5]000 of a file' <<<"$output")"
	grep -qE '^attached +ftrace ' <<<"$output" || fail "$output"
	grep -qE '^attached +live patches .*module livepatch' <<<"$output" || fail "$output"
	! grep -q '^finding' <<<"$output" || fail "$output"
}

@test "vcheck: a BPF program at a function's entry is an attachment" {
	local name
	for name in rk61 rk510 rk7; do
		need_guest "$name"
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
		# shellcheck disable=SC2016 # for the guest's shell
		in_guest "$name" '/rootkits/bpf-trace vfs_mkdir >/run/trace.out 2>&1 & echo $! >/run/trace
			for i in $(seq 100); do grep -q ready /run/trace.out && break; sleep 0.1; done
			cat /run/trace.out'
		run --separate-stderr vcheck --all-attachments --no-headers -o class,check,what "$(guest "$name")"
		# shellcheck disable=SC2016 # the guest's shell
		in_guest "$name" 'kill $(cat /run/trace)'
		[[ $status -eq 0 ]] || fail "$name: $output"
		grep -qE '^attached +BPF +program ' <<<"$output" || fail "$name: $output"
	done
	# It modifies the function's result, so since 6.19 the function jumps to it. Process 1 may open
	# no files then, so its /proc is not compared.
	start_bpf rk7 bpf-trace security_file_open fmod
	run --separate-stderr vcheck --all-attachments --no-headers -o class,check,what "$(guest rk7)"
	stop_bpf rk7
	[[ $status -eq 3 && $stderr == *"/proc could not be compared"* ]] || fail "$output$stderr"
	! grep -q '^finding' <<<"$output" || fail "$output"
	grep -qE '^attached +BPF +program ' <<<"$output" || fail "$output"
}

# start_bpf GUEST PROGRAM ARGUMENTS...: runs a program of the laboratory until it is ready.
start_bpf() {
	local name=$1
	shift
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest "$name" "/rootkits/$* >/run/bpf.out 2>&1 & echo \$! >/run/bpf"'
		for i in $(seq 200); do grep -q ready /run/bpf.out && break; sleep 0.1; done
		cat /run/bpf.out' | grep -q ready
}

# shellcheck disable=SC2016 # the guest's shell
stop_bpf() { in_guest "$1" 'kill $(cat /run/bpf); sleep 0.3'; }

@test "vcheck: BPF that healthy programs use raises no alarm" {
	local name
	for name in rk61 rk510 rk7; do
		need_guest "$name"
		start_bpf "$name" bpf-healthy
		run --separate-stderr vcheck --all-attachments --no-headers -o class,check,what,found "$(guest "$name")"
		stop_bpf "$name"
		[[ $status -eq 0 && -z $stderr ]] || fail "$name: $output$stderr"
		[[ $(grep -cE '^attached +BPF +program .*socket_filter' <<<"$output") -eq 3 ]] ||
			fail "$name: $output"
		[[ $output != *"not verified"* ]] || fail "$name: $output"
		# One of seccomp and one of a socket, and the kernel's own.
		grep -qE '^note +module memory .* [3-9] programs like classic BPF' <<<"$output" ||
			fail "$name: $output"
	done
}

@test "vcheck: healthy processes whose credentials look odd raise no alarm" {
	local name
	for name in rk61 rk510 rk7; do
		need_guest "$name"
		in_guest "$name" 'mkdir -p /tmp/odd && chmod 755 /tmp/odd'
		start_bpf "$name" odd /tmp/odd
		assert_same 0 "$(in_guest "$name" 'grep -c "has ended" /run/bpf.out')"
		run --separate-stderr vcheck --no-headers -o class,check,what,found "$(guest "$name")"
		# shellcheck disable=SC2016 # the guest's shell
		in_guest "$name" 'kill $(cat /run/bpf) $(sed -n "s/ .*//p" /run/bpf.out) 2>/dev/null
			for p in /proc/[0-9]*; do
				case $(readlink $p/exe) in /tmp/odd/*) kill ${p#/proc/} ;; esac
			done; :'
		[[ $status -eq 0 && -z $stderr ]] || fail "$name: $output$stderr"
		# A child of a server that dropped its rights, and one of a set-user-ID program.
		grep -qE '^note +credentials +process [0-9]+ \(sleep\)' <<<"$output" || fail "$name: $output"
	done
}

# factory_user_pid GUEST: a process of the factory that is not root's.
factory_user_pid() {
	# shellcheck disable=SC2016 # the guest's shell
	in_guest "$1" 'for p in /proc/[0-9]*; do
		u=$(sed -n "s/^Uid:[[:space:]]*\([0-9]*\).*/\1/p" $p/status)
		[ "${u:-0}" -eq 0 ] || { echo ${p#/proc/}; break; }
	done'
}

# user_child GUEST: starts a program below another one of a user, and prints its pid.
user_child() {
	# shellcheck disable=SC2016 # the guest's shell
	in_guest "$1" 'su factory -c "sleep 100000 & echo \$! >/tmp/child; wait" >/dev/null 2>&1 &
		for i in $(seq 100); do [ -s /tmp/child ] && break; sleep 0.1; done
		sleep 0.3; cat /tmp/child; rm -f /tmp/child'
}

# laboratory GUEST: each module of the laboratory, one after the other.
laboratory() {
	local name=$1 found pid kind
	need_guest "$name"
	vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
	in_guest "$name" '[ -s /run/victim ] || { sleep 100000 >/dev/null 2>&1 & echo $! >/run/victim; }'
	pid=$(victim "$name")

	with "$name" table "hide=$pid"
	expect '^system calls: 217 getdents64: .*in module table'
	with "$name" inline "hide=$pid"
	expect '^system calls: 217 getdents64: its entry jumps to .*module inline' \
		"^processes: $pid sleep: hidden from /proc"
	with "$name" call "hide=$pid"
	expect '^trusted text: __x64_sys_getdents64\+' "^processes: $pid sleep: hidden from /proc"
	with "$name" procops "hide=$pid"
	expect '^pointers: proc_root_operations\+.*module procops' "^processes: $pid sleep: hidden from"
	with "$name" procops by=empty_dir_readdir
	expect '^trusted text: proc_root_operations\+.*leads to empty_dir_readdir'
	for kind in heap=0 heap=1; do
		with "$name" exec "$kind"
		expect '^executable memory: .*4 KiB of executable memory' \
			'^pointers: proc_root_operations\+.*executable memory without an owner'
	done
	for kind in program=0 program=1; do
		in_guest "$name" "insmod /rootkits/claim.ko listed=0 $kind"
		found=$(findings "$name") || fail "$found"
		in_guest "$name" "echo 1 >/sys/module/claim/parameters/listed; sleep 0.3; rmmod claim"
		expect '^text: vfs_mkdir: calls .*memory with a false owner' \
			'^trusted text: vfs_mkdir.*'
	done
	expect '^BPF: bpf_prog_6deef7357e7b4530: compiled code of no program'
	with "$name" seqtext port=4242
	expect '^text: tcp4_seq_show: jumps to .*module seqtext' '^sockets: tcp port 4242, LISTEN, process [0-9]+ \(.*\): hidden from'
	with "$name" seqops port=4242
	expect '^pointers: tcp4_seq_ops\+.*module seqops' '^sockets: tcp port 4242, LISTEN, .*: hidden from'
	with "$name" hidetask "pid=$pid"
	expect "^processes: $pid sleep: hidden from the task list, the tree of ids, /proc"
	with "$name" hidetask "pid=$pid deep=1"
	expect "^processes: $pid sleep: hidden from the task list, the tree of ids, the cgroups, /proc, found in the slab of tasks"
	with "$name" cred "pid=$(factory_pid "$name" listener)"
	expect '^credentials: process [0-9]+ \(listener\): the kernel.s own'
	with "$name" cred "pid=$(factory_pid "$name" listener) how=2"
	expect '^credentials: process [0-9]+ \(listener\): it acts with the kernel.s own'
	child=$(user_child "$name")
	with "$name" cred "pid=$child how=1"
	in_guest "$name" "kill $child"
	expect "^credentials: process $child \(sleep\): user 0, with the groups of the kernel's first"
	child=$(user_child "$name")
	with "$name" raise "pid=$child what=0"
	expect "^credentials: process $child \(sleep\): it uses the capabilities 0x[0-9a-f]+"
	with "$name" raise "pid=$child what=1"
	expect "^credentials: process $child \(sleep\): all capabilities \(CAP_DAC_OVERRIDE\), and no program"
	with "$name" raise "pid=$child what=2"
	expect "^credentials: process $child \(sleep\): it acts as user 0, and no program"
	with "$name" raise "pid=$child what=3"
	expect "^credentials: process $child \(sleep\): it opens files as user 0, and no program"
	with "$name" raise "pid=$child what=4"
	expect "^credentials: process $child \(sleep\): the capabilities 0xf{16}"
	in_guest "$name" "kill $child"
	with "$name" control reg=0 bit=16
	expect '^protection: CR0.WP of vCPU 0: off' '^protection: CR0.WP of vCPU 1: off'
	with "$name" control reg=4 bit=20
	expect '^protection: CR4.SMEP of vCPU 0: off' '^protection: CR4.SMEP of vCPU 1: off'
	with "$name" control reg=4 bit=21
	expect '^protection: CR4.SMAP of vCPU 0: off' '^protection: CR4.SMAP of vCPU 1: off'
	with "$name" writable
	expect "^protection: the kernel's text: [0-9]+ KiB of code can be written"
	with "$name" writable symbol=linux_banner
	expect "^protection: the kernel's constants: [0-9]+ KiB of constants can be written"
	with "$name" setuid "pid=$(factory_user_pid "$name")"
	expect '^credentials: process [0-9]+ \(.*\): user 0'
	with "$name" idt
	expect '^interrupts: vector 5: .*module idt'
	with "$name" idtr
	expect '^interrupts: IDT of vCPU 0' '^interrupts: IDT of vCPU 1' \
		'^interrupts: vector 5: .*module idtr'
	with "$name" lstar
	expect '^system call entry: LSTAR of vCPU 0: .*module lstar' \
		'^system call entry: LSTAR of vCPU 1: .*module lstar'
	with "$name" ldisc
	expect '^terminals: tty_ldiscs: .*module ldisc'
	unlisted "$name" nfhook
	expect '^netfilter: IPv4: .*hidden module nfhook'
	unlisted "$name" notifier
	expect '^notifiers: module_notify_list: .*hidden module notifier'
	unlisted "$name" keys
	expect '^notifiers: keyboard_notifier_list: .*hidden module keys'
	unlisted "$name" timer
	[[ $(grep -cE '^timers: a timer: .*hidden module timer' <<<"$found") -eq 2 ]] || fail "$found"
	unlisted "$name" kretprobe
	expect '^kretprobes: iterate_dir.*hidden module kretprobe'
	pid=$(factory_pid "$name" listener)
	unlisted "$name" fileops "pid=$pid fd=0"
	expect '^objects: descriptor 0 of process [0-9]+ .*hidden module fileops'
	unlisted "$name" fileops "pid=$pid fd=0 where=1"
	expect '^objects: .*hidden module fileops'
	unlisted "$name" fileops "pid=$pid fd=4 where=2"
	expect "^objects: descriptor 4 of process $pid .*hidden module fileops"
	unlisted "$name" binfmt
	expect '^binary formats: formats: .*hidden module binfmt'
	with "$name" family "pid=$pid"
	expect '^sockets: tcp port 4242, LISTEN, process [0-9]+ \(.*\): hidden from /proc/net'
	child=$(user_child "$name")
	with "$name" cred "pid=$child how=3"
	in_guest "$name" "kill $child"
	expect "^credentials: process $child \(sleep\): user 0, with an empty list of groups of its own"
	pid=$(victim "$name")
	with "$name" userpage "pid=$pid"
	expect "^executable memory: process $pid \(sleep\): 4 KiB of the kernel.s"
	with "$name" shadow "pid=$pid"
	expect "^page tables: process $pid \(sleep\): a page table of its own for the kernel's memory"
	with "$name" shadow "pid=$pid slot=40"
	expect "^page tables: process $pid \(sleep\): executable memory that only it has"
	unlisted "$name" thread
	expect '^kernel threads: kernel thread [0-9]+ \(kworker/u8:8\): .*hidden module thread'
	unlisted "$name" thread ended=1
	expect '^processes: [0-9]+ kworker/u8:8: hidden from .*found in the slab of tasks'
	with "$name" classic
	expect '^shrinkers: shrinker_list: .*executable memory without an owner'
	with "$name" classic odd=1
	expect '^module memory: -: executable memory in use'
	unlisted "$name" claim "program=1 forged=1"
	expect '^BPF: program [0-9]+ lab: its code belongs to an entry of the table that is not a program'
	start_bpf "$name" bpf-trace vfs_rmdir
	with "$name" planted
	expect '^notifiers: module_notify_list: '
	with "$name" planted body=1
	stop_bpf "$name"
	expect '^BPF: program [0-9]+: its code '
}

@test "vcheck: finds each rootkit of the laboratory, 6.1" { laboratory rk61; }

# There the tables of idtr and the code of lstar are not mapped for programs, which ends the guest.
@test "vcheck: finds other tables in a process's second root, 6.1 with page-table isolation" {
	local pid
	need_guest rkpti
	pid=$(in_guest rkpti 'sleep 100000 >/dev/null 2>&1 & echo $!')
	with rkpti shadow "pid=$pid user=1"
	expect "^page tables: process $pid \(sleep\): a page table of its own for the kernel's memory"
	with rkpti shadow "pid=$pid user=1 slot=40"
	expect "^page tables: process $pid \(sleep\): executable memory that only it has"
	with rkpti shadow "pid=$pid user=2"
	expect "^page tables: process $pid \(sleep\): memory of its own that the kernel does not see"
	drop_guest rkpti
}
@test "vcheck: finds each rootkit of the laboratory, 5.10" { laboratory rk510; }
@test "vcheck: finds each rootkit of the laboratory, 7" { laboratory rk7; }

@test "vcheck: a jump that is at another function each time is found" {
	local found
	unlisted rk61 moving
	expect '^text: vfs_(rename|mkdir|rmdir|unlink): jumps to .*hidden module moving'
}

@test "vcheck: hooks by ftrace and kprobes are attachments, with the module that owns them" {
	local pid
	pid=$(victim rk61)
	in_guest rk61 "insmod /rootkits/kprobe.ko hide=$pid; insmod /rootkits/ftrace.ko hide=$pid"
	run --separate-stderr vcheck --no-headers -o class,check,what,owner "$(guest rk61)"
	in_guest rk61 'rmmod kprobe; rmmod ftrace'
	assert_status 1
	grep -qE '^attached +kprobes +filldir64.*module kprobe' <<<"$output" || fail "$output"
	grep -qE '^attached +ftrace .*module ftrace' <<<"$output" || fail "$output"
	grep -qE "^finding +processes +$pid sleep" <<<"$output" || fail "$output"
}

@test "vcheck: functions that a listed module registers are attachments, with their owner" {
	local module
	for module in nfhook notifier keys kretprobe binfmt; do
		in_guest rk61 "insmod /rootkits/$module.ko"
	done
	run --separate-stderr vcheck --no-headers -o class,check,what,owner "$(guest rk61)"
	for module in nfhook notifier keys kretprobe binfmt; do
		in_guest rk61 "rmmod $module"
		grep -qE "^attached .* module $module" <<<"$output" || fail "$module: $output"
	done
	assert_status 0
}

@test "vcheck: a process that is hidden by a mount is a finding" {
	local pid
	need_guest rk61
	pid=$(in_guest rk61 'factory title hidden')
	in_guest rk61 "mkdir -p /tmp/empty && mount --bind /tmp/empty /proc/$pid"
	run vps "$(guest rk61)" -e -o pid=
	assert_status 0
	! grep -qx " *$pid" <<<"$output" || fail "$pid is not hidden"
	run --separate-stderr vcheck "$(guest rk61)"
	in_guest rk61 "umount /proc/$pid && kill -9 $pid"
	assert_status 1
	grep -qE "^finding +mounts +process $pid +behind a mount at /proc/$pid .* likely" <<<"$output" ||
		fail "$output"
}

@test "vcheck: a module that taints the kernel is a note" {
	run --separate-stderr vcheck "$(guest rk61)"
	[[ ${lines[-1]} == 'no findings'* && $output != *"module procops"* ]] || fail "$output"
	in_guest rk61 "insmod /rootkits/procops.ko hide=$(victim rk61)"
	run --separate-stderr vcheck --json -o class,check,what,found "$(guest rk61)"
	in_guest rk61 'rmmod procops'
	found=$(jq -r '.checks[] | select(.check == "taints") | "\(.class): \(.what): \(.found)"' <<<"$output")
	expect '^note: the kernel: .*O.*: .*a module from out of the tree' \
		'^note: module procops: OE?: from out of the tree(, not signed)?$'
}

@test "vcheck: a BPF program that writes to a process is a finding" {
	local pid found
	pid=$(victim rk61)
	in_guest rk61 "/rootkits/bpf-hide $pid >/run/hide.out 2>&1 & echo \$! >/run/hide
		for i in \$(seq 100); do grep -q ready /run/hide.out && break; sleep 0.1; done
		cat /run/hide.out"
	found=$(findings rk61) || fail "$found"
	# shellcheck disable=SC2016 # the guest's shell
	in_guest rk61 'kill $(cat /run/hide)'
	[[ $(wc -l <<<"$found") -eq 1 ]] || fail "$found"
	expect '^BPF: program [0-9]+: calls bpf_probe_write_user.*: process [0-9]+ \(bpf-hide\), '
}

@test "vcheck: the last line has the number of findings" {
	run --separate-stderr vcheck "$(guest rk61)"
	clean rk61
	in_guest rk61 'insmod /rootkits/idt.ko'
	run --separate-stderr vcheck "$(guest rk61)"
	in_guest rk61 'rmmod idt'
	assert_status 1
	[[ ${lines[-1]} == '1 finding'* && ${lines[1]} == finding* ]] || fail "$output"
	# Findings, attachments, notes.
	assert_same "finding attached note" \
		"$(sed -n 's/ .*//p' <<<"$output" | grep -xE 'finding|attached|note' | uniq | xargs)"
}

@test "vcheck: --json has each column by its name" {
	run --separate-stderr vcheck --json "$(guest rk61)"
	assert_status 0
	jq -e '.checks | length > 0 and all(has("class") and has("check") and has("address"))' <<<"$output"
}

# This test is last: the module cannot be unloaded.
@test "vcheck: a module that hides itself, its thread and its kprobe" {
	local found
	in_guest rk61 'insmod /rootkits/hidemod.ko thread=1 probe=1'
	found=$(findings rk61) || fail "$found"
	expect '^modules: hidemod: hidden from the list of modules, the kobjects, /proc/modules' \
		'^kernel threads: kernel thread [0-9]+ \(kworker/u8:9\): .*hidden module hidemod' \
		'^kprobes: vfs_mkdir.*: .*hidden module hidemod'
}
