#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: every engine of raw reads that was built, and
# the same bytes from all of them.

# shellcheck disable=SC2034,SC2154 # run sets variables, lib/raw uses them

load ../lib/vlens
load ../lib/raw

G=$NESTED_GUEST

setup() {
	T=$BATS_TEST_TMPDIR
	ADDRESS=$(guest "$G")
	# With --all as many pages as on this side, else fewer: L1 is slow.
	SWEEP=500
	[[ -z ${NESTED_ALL:-} ]] || SWEEP=60
	VCPUS=$(in_guest "$G" 'grep -c ^processor /proc/cpuinfo')
}

teardown() {
	go_on
}

# need_engine NAME REASON...: skips if it does not serve this guest for one of these
# reasons.
need_engine() {
	local reason
	ENGINE=$1
	shift
	run --separate-stderr raw "$ADDRESS" engine
	[[ $status -ne 0 ]] || return 0
	# RAM that the module maps can be mapped.
	[[ -z ${NESTED_MODULE:-} ]] || set --
	for reason; do
		[[ $stderr != *"$reason"* ]] || skip "$stderr"
	done
	show_run
	fail "the engine $ENGINE does not serve $G"
}

# need_parts: skips what counts exits where KVM takes no parts of huge pages from a mapping
# of the module's: before it stopped to take references to pages (6.13), which the parts of
# a huge page have none of. Such pages are served by the walk, which is right all the same.
need_parts() {
	[[ $(guest_options "$G") == *anon* ]] &&
		! grep -q '^AnonHugePages: *0 kB' "/proc/$(guest_pid "$G")/smaps_rollup" || return 0
	still "$G"
	run probe "$ADDRESS" sweep 2000
	assert_status 0
	[[ $output == *" 0 different"* ]] || fail "$output"
	[[ $output == *" 0 not by the agent"* ]] ||
		skip "of huge pages KVM takes only the first part here: ${output##*, }"
}

# compare ENGINE COMMAND...: the kernel's space and those of all processes, byte by byte
# with the direct engine, while the guest stands still.
compare() {
	local engine=$1
	still "$G"
	run probe --engine="$engine" "$ADDRESS" sweep "$SWEEP"
	assert_status 0
	[[ $output == *" 0 different"* ]] || fail "$output"
	run probe --engine="$engine" "$ADDRESS" spaces
	assert_status 0
	[[ $output == *" 0 different"* ]] || fail "$output"
}

@test "direct: what the guest says of itself" {
	need_engine direct
	judge "$G" "$VCPUS"
}

@test "kvm: what the guest says of itself" {
	need_engine kvm "cannot be mapped"
	judge "$G" "$VCPUS"
}

@test "kvm: the same bytes, walks and overlay page as direct" {
	need_engine kvm "cannot be mapped"
	need_parts
	same_bytes "$G"
	run probe "$ADDRESS" spaces
	assert_status 0
	[[ $output == *" 0 different"* ]] || fail "$output"
}

@test "kvm: no exit for what a polling agent is asked" {
	need_engine kvm "cannot be mapped"
	need_parts
	still "$G"
	run probe "$ADDRESS" poll
	assert_status 0
	[[ $output == "0 exits for 200 reads"* ]] || fail "$output"
	! kvm_counts || [[ $output == *$'\n'"0 by KVM's own count"* ]] || fail "$output"
	! grep -E "^[1-9][0-9]* (exits for|by KVM)" <<<"$output" || fail "$output"
	# The figures, for the record.
	echo "# $G: ${output//$'\n'/$'\n'# $G: }" >&3
}

@test "kvm: a guest that forks without pause is read as by direct" {
	need_engine kvm "cannot be mapped"
	in_guest "$G" "sh -c 'while :; do /bin/true; done' >/dev/null 2>&1 </dev/null &
		echo \$! >/tmp/forks.pid"
	run probe "$ADDRESS" busy $((${#NESTED_ALL} ? 10 : 5))
	in_guest "$G" "kill \$(cat /tmp/forks.pid)"
	assert_status 0
	[[ $output == *" 0 different"* ]] || fail "$output"
	echo "# $G: ${output//$'\n'/$'\n'# $G: }" >&3
}

@test "kvm: page tables that lead astray, and code that never ends, do no harm" {
	need_engine kvm "cannot be mapped"
	still "$G"
	run probe "$ADDRESS" hostile
	assert_status 0
	[[ $output == *"a loop: soon, 0 different"* ]] || fail "$output"
}

@test "kvm: what a read costs, beside direct" {
	need_engine kvm "cannot be mapped"
	need_parts
	run probe "$ADDRESS" bench 100
	assert_status 0
	grep -q "^entered.*read of 4096 bytes: .* 1.00 exits" <<<"$output" || fail "$output"
	grep -q "^direct.*read of 4096 bytes" <<<"$output" || fail "$output"
	# The time is printed, not judged: the hardware is emulated here.
	grep -E "read of (4|4096) bytes|list of" <<<"$output" | sed "s/^/# $G: /" >&3
}

@test "module: what the guest says of itself" {
	[[ -n ${NESTED_MODULE:-} ]] || skip "the module is not built"
	need_engine module
	judge "$G" "$VCPUS"
}

@test "module: the same bytes as direct" {
	[[ -n ${NESTED_MODULE:-} ]] || skip "the module is not built"
	need_engine module
	compare module
}

# Without the module: it would be the source of all that is asked of a process.
@test "by its process alone, whatever hypervisor it is: the processes that its monitor's way shows" {
	local pid
	pid=$(<"$VLENS_TEST_RUN/$G/pid")
	[[ $(guest "$G") == qemu:* ]] || skip "libvirt has the monitor of $G"
	still "$G"
	[[ ! -e /dev/imee ]] || mv /dev/imee "$T/imee"
	vpslist --no-headers -o pid,ppid,comm "$(guest "$G")" >"$T/by-monitor"
	run --separate-stderr vpslist --no-headers -o pid,ppid,comm "pid:$pid"
	[[ ! -e $T/imee ]] || mv "$T/imee" /dev/imee
	assert_status 0
	diff "$T/by-monitor" - <<<"$output"
}
