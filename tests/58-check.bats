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

teardown_file() { drop_guest rk61 rk510 rk7; }

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
		assert_status 0
		[[ $output != *finding* && $output != *"not compared"* && -z $stderr ]] ||
			fail "$name: $output$stderr"
	done
}

@test "vcheck: a check that fails is an error, and the others are made" {
	# On a host with 4-level paging no code of a kernel with 5 levels can run.
	need_guest g612
	run --separate-stderr vcheck "$(guest g612)"
	[[ $output == *restrictions* && $output != *finding* ]] || fail "$output"
	[[ $status -eq 0 && -z $stderr ]] ||
		[[ $status -eq 3 && $stderr == *"could not be checked: the guest's page tables have five levels"* ]] ||
		fail "$status $stderr"
}

@test "vcheck: a guest that forks all the time raises no alarm" {
	need_guest busy
	run --separate-stderr vcheck "$(guest busy)"
	drop_guest busy
	assert_status 0
	[[ $output != *finding* ]] || fail "$output"
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

@test "vcheck: kprobes, ftrace and live patches of a healthy guest are attachments" {
	in_guest rk61 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null
		cd /sys/kernel/tracing && echo "p:lab do_sys_openat2" >kprobe_events &&
		echo 1 >events/kprobes/lab/enable && echo function >current_tracer &&
		insmod /rootkits/livepatch.ko'
	run --separate-stderr vcheck --no-headers -o class,check,what,owner "$(guest rk61)"
	in_guest rk61 'cd /sys/kernel/tracing && echo nop >current_tracer
		echo 0 >events/kprobes/lab/enable && echo >kprobe_events
		echo 0 >/sys/kernel/livepatch/livepatch/enabled'
	assert_status 0
	grep -qE '^attached +kprobes +do_sys_openat2' <<<"$output" || fail "$output"
	grep -qE '^attached +ftrace ' <<<"$output" || fail "$output"
	grep -qE '^attached +live patches .*module livepatch' <<<"$output" || fail "$output"
	[[ $output != *finding* ]] || fail "$output"
}

# laboratory GUEST: each module of the laboratory, one after the other.
laboratory() {
	local name=$1 found pid
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
	with "$name" seqtext port=4242
	expect '^text: tcp4_seq_show: jumps to .*module seqtext' '^sockets: tcp port 4242: hidden from'
	with "$name" seqops port=4242
	expect '^pointers: tcp4_seq_ops\+.*module seqops' '^sockets: tcp port 4242: hidden from'
	with "$name" hidetask "pid=$pid"
	expect "^processes: $pid sleep: hidden from the task list, the tree of ids, /proc"
	with "$name" cred "pid=$(factory_pid "$name" listener)"
	expect '^credentials: process [0-9]+ \(listener\): the kernel.s own'
	with "$name" idt
	expect '^interrupts: vector 5: .*module idt'
}

@test "vcheck: finds each rootkit of the laboratory, 6.1" { laboratory rk61; }
@test "vcheck: finds each rootkit of the laboratory, 5.10" { laboratory rk510; }
@test "vcheck: finds each rootkit of the laboratory, 7" { laboratory rk7; }

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
	expect '^BPF: program [0-9]+: calls bpf_probe_write_user'
}

@test "vcheck: --json has each column by its name" {
	run --separate-stderr vcheck --json "$(guest rk61)"
	assert_status 0
	jq -e '.checks | all(has("class") and has("check") and has("address"))' <<<"$output"
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
