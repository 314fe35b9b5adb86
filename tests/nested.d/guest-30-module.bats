#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: the tools read it by imee.ko alone, without a question to
# its hypervisor.

# shellcheck disable=SC2154 # run sets variables

load ../lib/vlens

G=$NESTED_GUEST

setup() {
	[[ -n ${NESTED_MODULE:-} ]] || skip "the module is not built"
	T=$BATS_TEST_TMPDIR
	PID=$(<"$VLENS_TEST_RUN/$G/pid")
}

# All that the module counts, one a line.
held() { grep . /sys/module/imee/parameters/*; }

@test "module: registers and memory as the monitor and the process have them" {
	[[ $(guest "$G") == qemu:* ]] || skip "libvirt has the monitor of $G"
	VLENS_RUN_DIR=$T/run run "$VLENS_BUILD/tests/unit/module-probe" "kvm:$PID" "qemu:$PID"
	assert_status 0
	# The gain is printed, not judged: it depends on the machine.
	grep '^# ' <<<"$output" >&3
}

@test "module: by its process id alone, whatever hypervisor it is" {
	run --separate-stderr vpslist --engine=module --no-headers -o pid,comm "kvm:$PID"
	assert_status 0
	[[ $output == *init* && $output == *kthreadd* ]] || fail "$output"
	run --separate-stderr vps --engine=imee --no-headers -o pid "kvm:$PID"
	assert_status 0
	run --separate-stderr vlens doctor "kvm:$PID"
	assert_status 0
	[[ $output == *"engine module  reads right"* ]] || fail "$output"
}

@test "module: what memory is mapped by it is read by no system call" {
	run --separate-stderr vpslist --stats "kvm:$PID"
	assert_status 0
	[[ $stderr =~ engine:\ +(module|direct) ]] || fail "$stderr"
}

@test "module: nothing is held when all tools have ended; a killed one leaves nothing" {
	local i
	for i in 1 2 3 4 5; do
		vpslist --engine=module "kvm:$PID" >/dev/null 2>&1 &
		sleep "0.0$i"
		kill -KILL $! 2>/dev/null || true
		wait $! 2>/dev/null || true
	done
	# Do not count those of other tests' keepers.
	pkill -f '^vlens keep' || true
	for ((i = 0; i < 100; i++)); do
		held | grep -qv ':0$' || return 0
		sleep 0.1
	done
	fail "$(held)"
}
