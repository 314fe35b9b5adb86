#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Hypervisors that are known by the mappings of their process only: pid:PID, and kvm:PID without
# the kernel module.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() {
	[[ ! -e $T/pids ]] || xargs -r kill -9 <"$T/pids" 2>/dev/null || true
}

# pretend KIND IMAGE [LOW]: sets $guest to a process with this memory.
pretend() {
	"$VT_TESTS/lib/hypervisor" "$1" "$2" "${3:-0xc0000000}" >"$T/ready" 3>&- &
	guest=pid:$!
	echo $! >>"$T/pids"
	disown
	eventually 60 grep -q ready "$T/ready"
}

# What does not move with the time.
answers() {
	{ vps "$1" -e -o pid,ppid,user,comm | grep -v kworker; } && vlsmod "$1" && vuname "$1" -a && vpidlist "$1" &&
		vcat "$1" /proc/cmdline
}

image() {
	need_guest g61
	[[ -e $VLENS_TEST_RUN/g61.flat ]] && return
	dump_guest g61 "$VLENS_TEST_RUN/g61.elf"
	"$VT_TESTS/lib/image" flat "$VLENS_TEST_RUN/g61.elf" "$VLENS_TEST_RUN/g61.flat"
	answers "$VLENS_TEST_RUN/g61.elf" >"$VLENS_TEST_RUN/g61.text"
	rm "$VLENS_TEST_RUN/g61.elf"
}

teardown_file() {
	rm -f "$VLENS_TEST_RUN"/g61.{flat,text}
}

@test "a live QEMU of memfd, and one of anonymous memory: as by its monitor" {
	local name pid
	for name in g61 g510; do
		need_guest "$name"
		pid=pid:$(guest_pid "$name")
		answers "$(guest "$name")" >"$T/by-monitor"
		answers "$pid" >"$T/by-mappings"
		cmp "$T/by-monitor" "$T/by-mappings" || fail "$(diff "$T/by-monitor" "$T/by-mappings" | head)"
		[[ $(vps --keep=0 "$pid" -e | wc -l) -gt 50 ]]
		assert_runs "$name"
	done
}

@test "as Firecracker, Cloud Hypervisor, crosvm, NUMA nodes: the memory is found in the mappings" {
	local kind
	image
	for kind in firecracker restored cloud-hypervisor crosvm nodes; do
		pretend "$kind" "$VLENS_TEST_RUN/g61.flat"
		answers "$guest" >"$T/text" || fail "$kind is not read"
		cmp "$VLENS_TEST_RUN/g61.text" "$T/text" || fail "$kind: $(diff "$VLENS_TEST_RUN/g61.text" "$T/text" | head)"
		kill -9 "${guest#pid:}"
	done
}

@test "a TiB that was not touched is neither read nor made" {
	local before after
	image
	pretend sparse "$VLENS_TEST_RUN/g61.flat"
	before=$(awk '/^VmPTE/ { print $2 }' "/proc/${guest#pid:}/status")
	[[ $(vuname "$guest" -n) == g61 ]]
	after=$(awk '/^VmPTE/ { print $2 }' "/proc/${guest#pid:}/status")
	[[ $((after - before)) -lt 4096 ]] || fail "$before kB, then $after kB"
}

@test "a process that is no hypervisor, one without KVM, one whose file is cut: one line" {
	image
	sleep 100 3>&- &
	echo $! >>"$T/pids"
	guest=pid:$!
	run --separate-stderr vps "$guest" -ef
	assert_refused vps "$guest" "has no memory of a guest"
	guest=kvm:$!
	run --separate-stderr vps "$guest" -ef
	assert_refused vps "$guest" "no guest on KVM; write pid:$!"
	guest=pid:x
	run --separate-stderr vps "$guest" -ef
	assert_refused vps "$guest" "not a process id"
	pretend liar "$VLENS_TEST_RUN/g61.flat"
	run --separate-stderr timeout 60 vps "$guest" -ef
	assert_refused vps "$guest" ""
	run --separate-stderr vps --pause=suspend "$guest" -ef
	assert_refused vps "$guest" "cannot be suspended"
	# It may be gone before it is asked for.
	kill -9 "${guest#pid:}"
	eventually 10 test ! -e "/proc/${guest#pid:}/exe"
	run --separate-stderr vps "$guest" -ef
	assert_refused vps "$guest" ""
}

@test "vlens dump of such a process: a file without registers, which is read like it" {
	image
	pretend firecracker "$VLENS_TEST_RUN/g61.flat"
	run --separate-stderr vlens dump "$guest" "$T/dump"
	[[ $status -eq 0 && $stderr == *"; no registers: the vCPUs' registers are not known" ]] || fail "$stderr"
	kill -9 "${guest#pid:}"
	answers "$T/dump" >"$T/text"
	cmp "$VLENS_TEST_RUN/g61.text" "$T/text" || fail "$(diff "$VLENS_TEST_RUN/g61.text" "$T/text" | head)"
}

@test "vlens doctor, vmem and vcheck of such a process" {
	image
	pretend firecracker "$VLENS_TEST_RUN/g61.flat"
	run --separate-stderr vlens doctor "$guest"
	[[ $output == *"a hypervisor's process, firecracker, process ${guest#pid:}"* ]] || fail "$output"
	[[ $(vmem -J "$guest" | jq '[.memory[] | select(.what == "RAM")] | length') -eq 1 ]]
	run --separate-stderr vcheck "$guest"
	[[ $output == *"without the module they are not known"* ]] || fail "$output"
}
