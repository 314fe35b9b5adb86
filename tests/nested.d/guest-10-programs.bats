#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: the tools print what the same programs print
# inside it, with every executor.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats: a test is a subshell, run sets variables

load ../lib/vlens
load ../lib/raw

G=$NESTED_GUEST

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() {
	go_on
}

# A call has a time limit. In L1 Unicorn is an emulator that is itself emulated: long calls (all
# processes, a table of all sockets) do not end there in time.
SHORT=("uname -a" "lsmod" "free" "uptime")
LONG=("ps -ef" "netstat -tln")
[[ -z ${NESTED_ALL:-} ]] || LONG+=("ps aux" "ipcs" "lsof -p 1" "ss -tln")

# by ENGINE: it runs the clone.
by() {
	SAME_OPTIONS=--engine=vmst/$1
	run --separate-stderr vuname "$SAME_OPTIONS" "$(guest "$G")"
	[[ $stderr != *"no engine"* ]] || skip "there is no engine vmst/$1 in these tools"
	assert_status 0
}

same_programs() {
	same_as_guest "$G" "${SHORT[@]}" "$@"
	assert_runs "$G"
}

@test "the clone in Unicorn: what programs print in the guest" {
	by unicorn
	[[ -n ${NESTED_ALL:-} ]] || SHORT=("uname -a" "uptime")
	same_programs
}

@test "the clone on KVM: what programs print in the guest" {
	by kvm
	same_programs "${LONG[@]}"
}

@test "the clone on KVM: of a guest that stands still byte for byte what Unicorn gives" {
	local engine command begin try unicorn=0 kvm=0
	by kvm
	still "$G"
	for command in "${SHORT[@]}" "ps -f -p 1"; do
		# Both may see another second, or share of the CPU, by the clock's microseconds: not always.
		for try in 1 2 3; do
			for engine in unicorn kvm; do
				begin=${EPOCHREALTIME/./}
				# shellcheck disable=SC2086 # words
				run --separate-stderr v${command%% *} --engine=vmst/$engine "$(guest "$G")" \
					${command#"${command%% *}"}
				printf -v "$engine" %d $((${!engine} + ${EPOCHREALTIME/./} - begin))
				assert_status 0
				echo "$output" >"$T/$engine"
			done
			! cmp "$T/unicorn" "$T/kvm" || continue 2
		done
		fail "$command differs at try $try: $(diff "$T/unicorn" "$T/kvm")"
	done
	# Printed, not judged: the hardware is emulated here, so an emulator is emulated, too.
	echo "# $G: ${SHORT[*]}: $((kvm / 1000)) ms on KVM, $((unicorn / 1000)) ms in Unicorn" >&3
}

@test "the clone on KVM: at most two exits a call of the guest's kernel" {
	local calls exits i long=(--pause=freeze "--max-pause=1000,10000")
	by kvm
	# Emulated twice, code takes 30 times as long, and so does the copy of a working set.
	for i in 1 2; do
		vps --engine=vmst/kvm "${long[@]}" "$(guest "$G")" -ef >/dev/null
	done
	run --separate-stderr vps --engine=vmst/kvm "${long[@]}" --stats "$(guest "$G")" -ef
	assert_status 0
	[[ $(($(stat_of "at one time" "$stderr") + $(stat_of validated "$stderr"))) -gt 50 ]]
	calls=$(stat_of "kernel calls" "$stderr")
	exits=$(stat_of "kvm exits" "$stderr")
	echo "# $G: $exits exits in $calls calls" >&3
	kvm_counts || skip "this KVM counts no exits"
	[[ $calls -gt 50 && $exits -gt 0 && $exits -le $((2 * calls)) ]] || { show_run; fail "too many"; }
}

@test "files" {
	same_as_guest "$G" "cat /etc/hostname" "cat /proc/version /proc/cmdline"
}
