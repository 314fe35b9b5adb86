#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine, of a guest on KVM: the tools print what the same programs print
# inside it, with everything that can run the clone.

# shellcheck disable=SC2154 # run sets variables

load ../lib/vlens

G=$NESTED_GUEST

same_programs() {
	same_as_guest "$G" "ps -ef" "ps aux" "lsmod" "uname -a" "free" "uptime" "netstat -tln" "ipcs"
}

@test "the clone under emulation: what programs print in the guest" {
	same_programs
	assert_runs "$G"
}

@test "files" {
	local g
	g=$(guest "$G")
	assert_same "$G" "$(vcat "$g" /etc/hostname)"
	assert_same "$(in_guest "$G" 'cat /proc/version /proc/cmdline')" \
		"$(vcat "$g" /proc/version /proc/cmdline)"
	assert_same "$(in_guest "$G" 'sha256sum </usr/bin/ps')" "$(vcat "$g" /usr/bin/ps | sha256sum)"
}
