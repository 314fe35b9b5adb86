#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# In the nested machine: the list of guests, while workers of vlens have machines of their own.

load ../lib/vlens

# machines NAME...: processes of these names that have a machine on KVM.
machines() {
	local name p
	for name; do
		for p in $(pgrep -x "$name"); do
			! find "/proc/$p/fd" -lname 'anon_inode:kvm-vm' 2>/dev/null | grep -q . || echo "$p"
		done
	done
}

@test "vlist: each guest once, and no worker of vlens" {
	local pid workers='' i
	pid=$(guest_pid "$NESTED_GUEST")
	# A worker with a clone on KVM stays as long as the program.
	vexec --keep=0 --engine=vmst/kvm "$(guest "$NESTED_GUEST")" sh -c 'read -r x </proc/uptime; exec sleep 600' 3>&- &
	for ((i = 0; i < 300 && ! ${#workers}; i++)); do
		sleep 0.2
		workers=$(machines vlens-clone)
	done
	run --separate-stderr vlist -J -o id,pid,note
	kill %1
	[[ -n $workers ]] || fail "no worker of vlens has a machine on KVM"
	[[ $(jq "[.guests[] | select(.pid == $pid)] | length" <<<"$output") == 1 ]] || fail "$output"
	for i in $workers; do
		[[ $output != *"kvm:$i\""* ]] || fail "worker $i is in the list: $output"
	done
}
