#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: the tools print what the same programs print
# inside it, with everything that can run the clone.

# shellcheck disable=SC2034,SC2154 # run sets variables

load ../lib/vlens
load ../lib/raw

G=$NESTED_GUEST

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() {
	go_on
}

COMMANDS=("ps -ef" "lsmod" "uname -a" "free" "uptime")
# In Unicorn, which is itself emulated there, these take too long: of the last the kernel goes
# through a table of all sockets, for longer than a call may take.
LONG=("ps aux" "ipcs" "netstat -tln")

# by ENGINE: it runs the clone.
by() {
	SAME_OPTIONS=--engine=vmst/$1
	run --separate-stderr vuname "$SAME_OPTIONS" "$(guest "$G")"
	[[ $stderr != *"no engine"* ]] || skip "there is no engine vmst/$1 in these tools"
	assert_status 0
}

same_programs() {
	same_as_guest "$G" "${COMMANDS[@]}" "$@"
	assert_runs "$G"
}

@test "the clone in Unicorn: what programs print in the guest" {
	by unicorn
	same_programs
}

@test "the clone on KVM: what programs print in the guest" {
	by kvm
	same_programs "${LONG[@]}"
}

@test "the clone on KVM: of a guest that stands still byte for byte what Unicorn gives" {
	local g command
	by kvm
	g=$(guest "$G")
	still "$G"
	for command in "${COMMANDS[@]}"; do
		# shellcheck disable=SC2086 # words
		assert_same "$(v${command%% *} --engine=vmst/unicorn "$g" ${command#"${command%% *}"} 2>&1)" \
			"$(v${command%% *} --engine=vmst/kvm "$g" ${command#"${command%% *}"} 2>&1)"
	done
}

@test "the clone on KVM: at most two exits a call of the guest's kernel" {
	local calls exits
	by kvm
	vps --engine=vmst/kvm "$(guest "$G")" -ef >/dev/null
	run --separate-stderr vps --engine=vmst/kvm --stats "$(guest "$G")" -ef
	assert_status 0
	calls=$(stat_of "kernel calls" "$stderr")
	exits=$(stat_of "kvm exits" "$stderr")
	echo "# $G: $exits exits in $calls calls" >&3
	[[ $calls -gt 50 && $exits -gt 0 && $exits -le $((2 * calls)) ]] || { show_run; fail "too many"; }
}

@test "files" {
	local g
	g=$(guest "$G")
	assert_same "$G" "$(vcat "$g" /etc/hostname)"
	assert_same "$(in_guest "$G" 'cat /proc/version /proc/cmdline')" \
		"$(vcat "$g" /proc/version /proc/cmdline)"
	assert_same "$(in_guest "$G" 'sha256sum </usr/bin/ps')" "$(vcat "$g" /usr/bin/ps | sha256sum)"
}
