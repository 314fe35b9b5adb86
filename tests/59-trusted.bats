#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Trusted runs: the code of a trusted kernel answers over the guest's data. They show the processes
# and sockets that the laboratory's rootkits hide by changed code, tables or pointers.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	export VLENS_TRUST_DIR=$BATS_FILE_TMPDIR/trusted
	need_guest rk61
	vlens trust add "$VLENS_TEST_RUN/rk61/vmlinuz" >/dev/null
}

teardown_file() { drop_guest rk61 rk510 rk7; }

# victim GUEST: the id of a process to hide; started if need be.
victim() {
	in_guest "$1" '[ -s /run/victim ] || { sleep 100000 >/dev/null 2>&1 & echo $! >/run/victim; }
		cat /run/victim'
}

# hidden GUEST MODULE [LINE]: MODULE hides the victim from the guest's programs and from the guest's own
# code in a run that is not trusted, and not from the trusted code. Standard error has LINE, a pattern, and nothing else.
hidden() {
	local name=$1 module=$2 pid own untrusted
	pid=$(victim "$name")
	in_guest "$name" "insmod /rootkits/$module.ko hide=$pid"
	own=$(in_guest "$name" 'ls /proc')
	untrusted=$(vps "$(guest "$name")" -e -o pid=) || true
	run --separate-stderr vps --trusted=auto "$(guest "$name")" -e -o pid=
	in_guest "$name" "rmmod $module"
	grep -qx 1 <<<"$own" || fail "$module: $own"
	grep -qx "$pid" <<<"$own" && fail "$module does not hide $pid"
	grep -qx ' *1' <<<"$untrusted" || fail "$module: $untrusted"
	grep -qx " *$pid" <<<"$untrusted" && fail "$module does not hide $pid from a run that is not trusted"
	assert_status 0
	grep -qx " *$pid" <<<"$output" || fail "$module hides $pid: $stderr"
	if [[ -n ${3:-} ]]; then
		[[ ${#stderr_lines[@]} -eq 1 ]] || fail "$module: $stderr"
		grep -qE -- "$3" <<<"$stderr" || fail "$module: $stderr"
	else
		assert_same "$module: " "$module: $stderr"
	fi
}

# laboratory GUEST: each module that hides a process or a socket.
laboratory() {
	local name=$1
	need_guest "$name"
	vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
	hidden "$name" inline "trusted: __x64_sys_getdents64(\+0x4)?: changed trace .*leads to 0x[0-9a-f]+ \[inline\]\); the guest's is not used\$"
	hidden "$name" call "trusted: __x64_sys_getdents64\+0x[0-9a-f]+: changed (text|call) .*\[call\]\); the guest's is not used\$"
	# The table of system calls is no way to a handler here: these are called by their names. ftrace and
	# kprobes attach as the kernel allows.
	hidden "$name" ftrace 'trusted: __x64_sys_getdents64(\+0x4)?: ftrace for 0x[0-9a-f]+ \[ftrace\] is attached; it had no effect here$'
	hidden "$name" kprobe 'trusted: filldir64(\+0x4)?: a kprobe is attached; it had no effect here$'
	hidden "$name" procops 'trusted: proc_root_operations\+0x[0-9a-f]+: changed pointer .*\[procops\]'
}

@test "--trusted: shows what each rootkit of the laboratory hides, 6.1" { laboratory rk61; }
@test "--trusted: shows what each rootkit of the laboratory hides, 5.10" { laboratory rk510; }
@test "--trusted: shows what each rootkit of the laboratory hides, 7" { laboratory rk7; }

@test "--trusted: the jump of a kprobe is no finding, and one that an entry of the table claims is" {
	local verified
	# A keeper compares again only what a run uses.
	export VLENS_KEEP=0 VLENS_RUN_DIR=$BATS_TEST_TMPDIR/run
	in_guest rk61 'insmod /rootkits/forge.ko real=1; sleep 1'
	# The kernel has made a jump of it.
	in_guest rk61 'mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
		grep bpf_check /sys/kernel/debug/kprobes/list' | grep -q OPTIMIZED
	run --separate-stderr vps --trusted=auto --stats "$(guest rk61)" -e
	verified=$(vlens trust verify --no-headers "$(guest rk61)") || fail "$verified"
	in_guest rk61 'rmmod forge'
	assert_status 0
	grep -q 'trusted: bpf_check+0x[0-9a-f]*: a kprobe is attached; it had no effect here$' <<<"$stderr" ||
		fail "$stderr"
	[[ $(grep -c trusted: <<<"$stderr") -eq 1 && $stderr == *" 0 findings"* ]] || fail "$stderr"
	grep -qE '^attached .*bpf_check' <<<"$verified" || fail "$verified"
	in_guest rk61 'insmod /rootkits/forge.ko'
	run --separate-stderr vps --trusted=auto "$(guest rk61)" -e
	verified=$(vlens trust verify --no-headers "$(guest rk61)") && fail "$verified"
	in_guest rk61 'rmmod forge'
	assert_status 0
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: bpf_check+"*"changed text"* ]] || fail "$stderr"
	grep -qE '^changed .*bpf_check' <<<"$verified" || fail "$verified"
}

# with_bpf GUEST WHAT KIND: runs bpf-trace in the guest until it is ready. without_bpf GUEST ends it.
with_bpf() {
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest "$1" "/rootkits/bpf-trace $2 $3 >/run/bpf.out 2>&1 & echo \$! >/run/bpf"'
		for i in $(seq 100); do grep -q ready /run/bpf.out && break; sleep 0.1; done
		cat /run/bpf.out' | grep -q ready
}

# shellcheck disable=SC2016 # the guest's shell
without_bpf() { in_guest "$1" 'kill $(cat /run/bpf); sleep 0.3'; }

# attached LINE: the trusted vps is right, and standard error has LINE, a pattern, and nothing else.
attached() {
	local name=$1 line=$2
	run --separate-stderr vps --trusted=auto "$(guest "$name")" -e -o comm=
	assert_same "0 factory" "$status $(grep -m 1 factory <<<"$output")"
	[[ ${#stderr_lines[@]} -eq 1 ]] || fail "$stderr"
	grep -qE -- "trusted: $line is attached; it had no effect here\$" <<<"$stderr" || fail "$stderr"
}

@test "--trusted: of a clean guest nothing is said" {
	local name
	for name in g510 g61 g7; do
		need_guest "$name"
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
		run --separate-stderr vps --trusted=auto --stats --keep=0 "$(guest "$name")" -e -o comm=
		assert_status 0
		[[ $output == *factory* ]] || fail "$output"
		grep -q '^verified:.* 0 attached, 0 findings' <<<"$stderr" || fail "$name $stderr"
		! grep -q '^vps: ' <<<"$stderr" || fail "$name $stderr"
	done
}

@test "--trusted: tracers of a guest with anonymous memory are no finding, without a keeper" {
	need_guest g510
	vlens trust add "$VLENS_TEST_RUN/g510/vmlinuz" >/dev/null
	# The pages of text that have tracers are compared in each run, and what they call is read then.
	in_guest g510 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null
		cd /sys/kernel/tracing && echo "p:one do_sys_open" >kprobe_events &&
		echo 1 >events/kprobes/enable && echo function >current_tracer'
	run --separate-stderr vps --trusted=auto --keep=0 "$(guest g510)" -ef
	in_guest g510 'cd /sys/kernel/tracing; echo nop >current_tracer
		echo 0 >events/kprobes/enable; echo >kprobe_events'
	assert_status 0
	[[ $stderr == *"ftrace "*"is attached; it had no effect here"* ]] || fail "$stderr"
	! grep -v 'it had no effect here$' <<<"$stderr" || fail "$stderr"
}

@test "--trusted: BPF programs at functions, at tracepoints and of the security modules have no effect" {
	local name own
	for name in rk61 rk7; do
		need_guest "$name"
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
		with_bpf "$name" vfs_read fentry
		attached "$name" 'vfs_read(\+0x4)?: BPF \(bpf_trampoline_[0-9_]+\)'
		without_bpf "$name"
		with_bpf "$name" kmem_cache_alloc raw
		attached "$name" 'tracepoint kmem_cache_alloc: a probe'
		without_bpf "$name"
		# These forbid process 1 to open files, and so an answer that is not trusted.
		with_bpf "$name" security_file_open fmod
		own=$(vps "$(guest "$name")" -e -o comm= 2>&1) || true
		attached "$name" 'security_file_open(\+0x4)?: BPF \(bpf_trampoline_[0-9_]+\)'
		without_bpf "$name"
		[[ $own != *factory* ]] || fail "$own"
		with_bpf "$name" bpf_lsm_file_open lsm
		own=$(vps "$(guest "$name")" -e -o comm= 2>&1) || true
		attached "$name" 'bpf_lsm_file_open(\+0x4)?: BPF \(bpf_trampoline_[0-9_]+\)'
		without_bpf "$name"
		[[ $own != *factory* ]] || fail "$own"
		run --separate-stderr vps --trusted=auto "$(guest "$name")" -e -o comm=
		assert_same "0 " "$status $stderr"
	done
}

@test "--trusted: a BPF program of a cgroup has no effect, and an iterator of BPF has no answer" {
	in_guest rk61 'mkdir -p /run/cg && mount -t cgroup2 none /run/cg; mount -t bpf none /sys/fs/bpf || :'
	with_bpf rk61 /run/cg sysctl
	run vcat "$(guest rk61)" /proc/sys/kernel/ostype
	[[ $status -ne 0 && $output == *"not permitted"* ]] || fail "$output"
	run --separate-stderr vcat --trusted=auto "$(guest rk61)" /proc/sys/kernel/ostype
	without_bpf rk61
	assert_same "0 Linux" "$status $output"
	# systemd has such programs on each host: not a line in each run.
	[[ -z $stderr ]] || fail "$stderr"
	with_bpf rk61 bpf_iter_task iter
	assert_same bpf "$(in_guest rk61 'head -n 1 /sys/fs/bpf/iter')"
	run --separate-stderr vcat --trusted=auto "$(guest rk61)" /sys/fs/bpf/iter
	without_bpf rk61
	in_guest rk61 'rm -f /sys/fs/bpf/iter'
	[[ $status -ne 0 && -z $output && ${#stderr_lines[@]} -eq 1 ]] || fail "$status $output$stderr"
	[[ $stderr == *"the answer is that of a BPF program, bpf_prog_"*"; it does not run, "* ]] || fail "$stderr"
}

@test "--trusted: of a kernel with a live patch the image's functions run, and so with uprobes" {
	local own
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest rk61 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null
		echo "p:lab /proc/1/exe:0x1000" >>/sys/kernel/tracing/uprobe_events
		echo 1 >/sys/kernel/tracing/events/uprobes/enable
		insmod /rootkits/livepatch.ko
		for i in $(seq 100); do grep -q 0 /sys/kernel/livepatch/livepatch/transition && break; sleep 0.1; done'
	own=$(vcat "$(guest rk61)" /proc/cmdline)
	run --separate-stderr vcat --trusted=auto "$(guest rk61)" /proc/cmdline
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest rk61 'echo 0 >/sys/kernel/livepatch/livepatch/enabled
		echo 0 >/sys/kernel/tracing/events/uprobes/enable; echo >/sys/kernel/tracing/uprobe_events
		for i in $(seq 100); do rmmod livepatch && break; sleep 0.1; done' 2>/dev/null
	assert_same "0 patched" "$status $own"
	[[ $output == *vlens.host=* ]] || fail "$output"
	grep -q 'trusted: cmdline_proc_show.*: a live patch is attached; it had no effect here$' <<<"$stderr" ||
		fail "$stderr"
}

@test "--trusted: shows a socket that a patch or a table of functions hides" {
	local module own
	for module in seqtext seqops; do
		in_guest rk61 "insmod /rootkits/$module.ko port=4242"
		own=$(vnetstat "$(guest rk61)" -tln)
		run --separate-stderr vnetstat --trusted=auto "$(guest rk61)" -tln
		in_guest rk61 "rmmod $module"
		[[ $own != *:4242\ * ]] || fail "$module does not hide the port"
		assert_status 0
		[[ $output == *:4242\ * && $stderr == *"trusted: tcp4_seq_"*"changed"*"[$module]"* ]] ||
			fail "$module: $output$stderr"
	done
}

@test "--trusted: constants are the image's, whatever function of the kernel the guest has in them" {
	local pid own
	pid=$(victim rk61)
	in_guest rk61 'insmod /rootkits/procops.ko by=empty_dir_readdir'
	own=$(vcat "$(guest rk61)" /proc/1/comm; vps "$(guest rk61)" -e -o pid=) || true
	run --separate-stderr vps --trusted=auto "$(guest rk61)" -e -o pid=
	in_guest rk61 'rmmod procops'
	assert_status 0
	grep -qx " *$pid" <<<"$own" && fail "the guest's own /proc is not empty: $own"
	grep -qx " *$pid" <<<"$output" || fail "$output$stderr"
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: proc_root_operations+"*"changed pointer"*"empty_dir_readdir"* ]] ||
		fail "$stderr"
}

@test "--trusted --diff: what the guest's own code hides is one marked line" {
	local pid
	pid=$(victim rk61)
	in_guest rk61 "insmod /rootkits/inline.ko hide=$pid"
	run --separate-stderr vps --trusted --diff --json -o pid,list,proc,own,mark "$(guest rk61)"
	in_guest rk61 'rmmod inline'
	assert_status 1
	assert_same "$pid true true false hidden from the guest's own /proc" "$(jq -r '.processes[] |
		select(.mark) | "\(.pid) \(.list) \(.proc) \(.own) \(.mark)"' <<<"$output")"
	run --separate-stderr vps --trusted=auto --diff "$(guest rk61)"
	assert_status 0
	assert_same "PID LIST TREE CGROUP PROC OWN MARK COMM" "$(xargs <<<"${lines[0]}")"
}

@test "--trusted: what earlier runs kept of the text hides no change, and spares comparisons" {
	local pid marks i
	pid=$(victim rk61)
	export VLENS_KEEP=0 VLENS_RUN_DIR=$BATS_TEST_TMPDIR/run
	# An untrusted run keeps nothing that a trusted one uses.
	vps "$(guest rk61)" -e >/dev/null
	marks=$(echo "$VLENS_RUN_DIR"/*.marks)
	[[ ! -e $marks ]] || fail "$marks"
	vps --trusted=auto "$(guest rk61)" -e >/dev/null
	marks=$(echo "$VLENS_RUN_DIR"/qemu-*.marks)
	cp "$marks" "$BATS_TEST_TMPDIR/clean"
	for i in 1 2; do
		in_guest rk61 "insmod /rootkits/inline.ko hide=$pid"
		run --separate-stderr vps --trusted=auto "$(guest rk61)" -e -o pid=
		grep -qx " *$pid" <<<"$output" || fail "$i $output"
		[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: __x64_sys_getdents64"*"changed"* ]] || fail "$i $stderr"
		# The same again, by the marks of that run.
		run --separate-stderr vps --trusted=auto "$(guest rk61)" -e -o pid=
		grep -qx " *$pid" <<<"$output" || fail "$i $output"
		[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: __x64_sys_getdents64"*"changed"* ]] || fail "$i $stderr"
		in_guest rk61 'rmmod inline'
		run --separate-stderr vps --trusted=auto "$(guest rk61)" -e -o pid=
		assert_same "0 " "$status $stderr"
	done
	# What is damaged, or of another place of the text, is not used; and it is made anew.
	head -c 5000 "$BATS_TEST_TMPDIR/clean" >"$marks"
	run --separate-stderr vps --trusted=auto "$(guest rk61)" -e -o pid=
	assert_same "0 " "$status $stderr"
	assert_same "$(stat -c %s "$BATS_TEST_TMPDIR/clean")" "$(stat -c %s "$marks")"
	head -c 64 /dev/zero | dd of="$marks" conv=notrunc status=none
	run --separate-stderr vps --trusted=auto "$(guest rk61)" -e -o pid=
	assert_same "0 " "$status $stderr"
	! cmp -s -n 64 /dev/zero "$marks" || fail "they are not made anew"
	# The text is unchanged: the next run uses them as they are.
	cp --preserve "$marks" "$BATS_TEST_TMPDIR/used"
	vps --trusted=auto "$(guest rk61)" -e >/dev/null
	cmp "$marks" "$BATS_TEST_TMPDIR/used"
}

@test "--trusted: a tool reports what its own run found, also beside a keeper of an earlier one" {
	in_guest rk61 'insmod /rootkits/seqops.ko port=4242'
	run --separate-stderr vnetstat --trusted=auto "$(guest rk61)" -tln
	local first=$stderr
	run --separate-stderr vuname --trusted=auto --stats "$(guest rk61)"
	in_guest rk61 'rmmod seqops'
	[[ $first == *"trusted: tcp4_seq_ops+"* ]] || fail "$first"
	grep -qx 'keeper: *yes' <<<"$stderr" || fail "$stderr"
	[[ $stderr != *trusted:* && $stderr == *" 0 findings"* ]] || fail "$stderr"
}

@test "--trusted: a view that reads memory takes the trusted types, and reports the text" {
	local pid
	pid=$(victim rk61)
	in_guest rk61 "insmod /rootkits/inline.ko hide=$pid"
	run --separate-stderr vps --trusted=auto --json "$(guest rk61)"
	in_guest rk61 'rmmod inline'
	assert_status 0
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: __x64_sys_getdents64"*"changed trace"* ]] ||
		fail "$stderr"
	assert_same sleep "$(jq -r --argjson p "$pid" '.processes[] | select(.pid == $p) | .comm' <<<"$output")"
	run --separate-stderr vps --trusted=auto --json --stats "$(guest rk61)"
	assert_status 0
	grep -qE '^verified: +[1-9][0-9]* pages, [1-9][0-9]* sites, [0-9]+ attached, 0 findings$' <<<"$stderr" ||
		fail "$stderr"
}

@test "--trusted: a clean guest gives the same answers, and no finding" {
	run --separate-stderr vps --trusted=auto --stats "$(guest rk61)" -e -o pid,ppid,comm
	assert_status 0
	grep -qE '^verified: +[1-9][0-9]* pages, [1-9][0-9]* sites, [0-9]+ attached, 0 findings$' <<<"$stderr" ||
		fail "$stderr"
	grep -qE '^control: +(not )?checked' <<<"$stderr" || fail "$stderr"
	[[ $stderr != *"trusted:"* ]] || fail "$stderr"
	# The name of a worker of the kernel says what it did last.
	assert_same "$(vps "$(guest rk61)" -e -o pid,ppid,comm | grep -v ' ps$' | sed 's,kworker/.*,kworker,')" \
		"$(grep -v ' ps$' <<<"$output" | sed 's,kworker/.*,kworker,')"
	assert_same "$(vcat "$(guest rk61)" /proc/version)" "$(vcat --trusted=auto "$(guest rk61)" /proc/version)"
}

@test "--trusted: the code of a module runs when it is verified, or when that is allowed" {
	local path=/sys/class/net/vbr/bridge/ageing_time module
	in_guest rk61 'ip link add vbr type bridge'
	run --separate-stderr vcat --trusted=auto "$(guest rk61)" $path
	[[ $status -ne 0 && -z $output && ${#stderr_lines[@]} -eq 1 ]] || fail "$status $output$stderr"
	[[ $stderr == *"the code of module bridge is not verified; "*"vlens trust add PACKAGE"*--allow-unverified* ]] ||
		fail "$stderr"
	[[ $stderr != *0x* ]] || fail "$stderr"
	# The names of users behind such code, as on a disk whose file system is a module.
	in_guest rk61 "mount --bind $path /etc/passwd"
	run --separate-stderr vps --trusted=auto "$(guest rk61)" -p 1 -o user=
	in_guest rk61 'umount /etc/passwd'
	assert_same "0 0" "$status $output"
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *": /etc/passwd had no answer: the code of module bridge is not verified; "* ]] ||
		fail "$stderr"
	run --separate-stderr vcat --trusted=auto --allow-unverified "$(guest rk61)" $path
	assert_same "0 30000 " "$status $output $stderr"
	# It needs symbols of the two others.
	for module in bridge stp llc; do
		vlens trust add "$(find "$("$VT_TESTS/fetch-kernel" 6.1)/" -name "$module.ko*" | head -n 1)" >/dev/null
	done
	run --separate-stderr vcat --trusted=auto "$(guest rk61)" $path
	in_guest rk61 'ip link del vbr'
	assert_same "0 30000 " "$status $output $stderr"
}

@test "--trusted: after a fault in a module the code goes on as the module's file says" {
	local name forge executor own executors
	for name in rk61 rk510; do
		need_guest "$name"
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
		in_guest "$name" 'base64 /rootkits/fixup.ko' | base64 -d >"$BATS_TEST_TMPDIR/fixup.ko"
		vlens trust add "$BATS_TEST_TMPDIR/fixup.ko" >/dev/null
		executors=
		# The host may lack what an executor needs.
		for executor in native unicorn; do
			vuname --trusted=auto "--engine=vmst/$executor" "$(guest "$name")" >/dev/null && executors+=" $executor"
		done
		[[ -n $executors ]] || fail "no executor runs here"
		# The table as it is; with another entry; another table, which the kernel takes.
		for forge in 0 1 2; do
			in_guest "$name" "insmod /rootkits/fixup.ko forge=$forge"
			own=$(vcat "$(guest "$name")" /proc/fixup)
			[[ $forge -eq 0 && $own == own || $forge -gt 0 && $own == other ]] || fail "$forge: $own"
			for executor in $executors; do
				run --separate-stderr vcat --trusted=auto "--engine=vmst/$executor" "$(guest "$name")" /proc/fixup
				if [[ $forge -lt 2 ]]; then
					assert_same "$executor $forge 0 own " "$executor $forge $status $output $stderr"
				else
					[[ $status -ne 0 && -z $output && ${#stderr_lines[@]} -eq 1 ]] || fail "$executor $status $output$stderr"
					[[ $stderr == *"/proc/fixup: the guest's kernel code at went_on+0x"*" resumes to "*"it did not run; "* ]] ||
						fail "$executor $stderr"
				fi
			done
			in_guest "$name" 'rmmod fixup'
		done
	done
}

@test "--trusted: every executor runs the trusted code" {
	local executor pid lost='' ran=''
	pid=$(victim rk61)
	in_guest rk61 "insmod /rootkits/inline.ko hide=$pid"
	for executor in kvm native unicorn; do
		run --separate-stderr vps --trusted=auto "--engine=vmst/$executor" "$(guest rk61)" -e -o pid=
		# The host may lack what an executor needs.
		[[ $status -ne 3 ]] || continue
		ran+=" $executor"
		[[ $status -eq 0 ]] && grep -qx " *$pid" <<<"$output" || lost+=" $executor"
	done
	in_guest rk61 'rmmod inline'
	assert_empty "$lost"
	[[ -n $ran ]] || fail "no executor runs here: $stderr"
}

@test "--trusted: takes a vmlinuz, a directory, or the stored kernel, and each has its keeper" {
	local image=$VLENS_TEST_RUN/rk61/vmlinuz
	mkdir "$BATS_TEST_TMPDIR/many"
	cp "$image" "$BATS_TEST_TMPDIR/many/vmlinuz"
	for kernel in "$image" "$BATS_TEST_TMPDIR/many" auto; do
		run --separate-stderr vuname --trusted "$kernel" --stats "$(guest rk61)" -r
		assert_status 0
		assert_same "$(in_guest rk61 'uname -r')" "$output"
		[[ $stderr == *"verified: "* ]] || fail "$kernel: $stderr"
	done
	run --separate-stderr vuname --trusted --stats "$(guest rk61)" -r
	assert_status 0
	[[ $stderr == *"verified: "* ]] || fail "$stderr"
	run --separate-stderr vuname --stats "$(guest rk61)" -r
	assert_status 0
	[[ $stderr == *"epochs: "* && $stderr != *"verified: "* ]] || fail "$stderr"
}

# build_of GUEST: the build id of its kernel.
build_of() { vuname --stats "$(guest "$1")" 2>&1 >/dev/null | sed -n 's/^kernel: *//p'; }

@test "--trusted=auto: a kernel that was removed is trusted no more, although a keeper has it" {
	local own
	own=$(build_of rk61)
	export VLENS_TRUST_DIR=$BATS_TEST_TMPDIR/store
	vlens trust add "$VLENS_TEST_RUN/rk61/vmlinuz" >/dev/null
	vuname --trusted=auto "$(guest rk61)" >/dev/null
	run --separate-stderr vuname --trusted=auto --stats "$(guest rk61)" -r
	assert_status 0
	[[ $stderr == *"keeper: "*yes* ]] || fail "$stderr"
	vlens trust remove "$own" >/dev/null
	run --separate-stderr vuname --trusted=auto "$(guest rk61)" -r
	assert_refused vuname "$(guest rk61)" "there is no trusted kernel of the guest's build $own, Linux 6.1."
}

@test "--trusted: a kernel of another build is refused in one line, and nothing runs" {
	local own other
	need_guest g510
	vlens trust add "$VLENS_TEST_RUN/g510/vmlinuz" >/dev/null
	own=$(build_of rk61) && other=$(build_of g510)
	[[ -n $own && -n $other && $own != "$other" ]] || fail "$own $other"
	run --separate-stderr vuname --trusted="$VLENS_TEST_RUN/g510/vmlinuz" "$(guest rk61)"
	assert_status 3
	[[ -z $output && ${#stderr_lines[@]} -eq 1 && $stderr == *"is of build $own"*"$other"* ]] ||
		fail "$output$stderr"
	VLENS_TRUST_DIR=$BATS_TEST_TMPDIR/none run --separate-stderr vuname --trusted=auto "$(guest rk61)"
	assert_refused vuname "$(guest rk61)" "there is no trusted kernel of the guest's build $own, Linux 6.1."
}

@test "--trusted: a damaged file, and a file that is not a kernel, are one line each" {
	local kernel expected T=$BATS_TEST_TMPDIR own
	head -c 3000000 "$VLENS_TEST_RUN/rk61/vmlinuz" >"$T/cut"
	cp -L "$VLENS_TEST_RUN/rk61/vmlinuz" "$T/corrupt"
	head -c 4096 /dev/zero | dd of="$T/corrupt" bs=1 seek=3000000 conv=notrunc status=none
	echo no >"$T/text"
	mkdir -p "$T/deb/DEBIAN" "$T/deb/boot"
	printf 'Package: x\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n' \
		>"$T/deb/DEBIAN/control"
	dpkg-deb --root-owner-group -Zgzip -b "$T/deb" "$T/package" >/dev/null
	# The same kernel, but it cannot be moved, and KASLR has moved the guest's.
	own=$(build_of rk61)
	"$VT_TESTS/lib/mkkernel" relocations "$VLENS_TRUST_DIR/$own.kernel" "$T/still"
	while read -r kernel expected; do
		run --separate-stderr vuname --trusted="$T/$kernel" "$(guest rk61)"
		assert_status 3
		[[ -z $output && ${#stderr_lines[@]} -eq 1 && $stderr == *$expected* ]] ||
			fail "$kernel: $output$stderr"
	done <<-END
		cut cut short
		corrupt damaged
		text not a kernel
		package has no kernel in it
		still no relocation list
	END
	run --separate-stderr vuname --trusted=/nonexistent "$(guest rk61)"
	assert_usage vuname "'/nonexistent' is not a file"
}
