# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Sourced by vlens.bash and by tests/nested: the guests of the tests, on demand. VT_TESTS
# is the folder tests/, VLENS_TEST_RUN where the guests of this run are.

# Few guests, each with several of the things that must work: number of CPUs,
# page-table isolation, 4 or 5 levels of paging (a CPU "max" has 5), what backs
# the memory.  Those that keep a CPU busy are stopped by the file that needs
# them; all others live until the end of the run.
# Those that begin with n are for the nested machine, see tests/nested: they run on KVM.
guest_options() {
	case $1 in
	g510) echo "--kernel 5.10 --smp 1 --backing anon" ;;
	g61) echo "--kernel 6.1 --smp 2 --append pti=on --backing memfd" ;;
	g612) echo "--kernel 6.12 --smp 1 --cpu max --backing file" ;;
	g7) echo "--kernel 7 --smp 2 --backing memfd" ;;
	deep) echo "--kernel 7 --smp 2 --cpu max --backing memfd" ;;
	gmixed) echo "--kernel 6.1 --smp 1 --mem 256 --backing memfd --plug 128" ;;
	g61anon) echo "--kernel 6.1 --smp 1 --backing anon" ;;
	spin) echo "--kernel 6.12 --smp 2 --cpu max --backing memfd --mode spin" ;;
	huge) echo "--kernel 6.1 --smp 2 --backing hugetlbfs --mode spin --append pti=on" ;;
	busy) echo "--kernel 6.1 --smp 2 --backing memfd --mode busy" ;;
	busy510) echo "--kernel 5.10 --smp 2 --backing anon --mode busy" ;;
	busy612) echo "--kernel 6.12 --smp 2 --backing anon --mode busy --cpu max" ;;
	big) echo "--kernel 6.1 --smp 1 --mem 5120 --backing anon" ;;
	wide) echo "--kernel 6.12 --smp 16 --mem 1024 --backing anon" ;;
	reset | victim) echo "--kernel 6.1 --smp 1 --backing memfd" ;;
	server) echo "--kernel 6.1 --server" ;;
	kdump) echo "--kernel 6.1 --smp 2 --backing memfd --kdump" ;;
	vt-dom) echo "--kernel 6.1 --smp 1 --libvirt" ;;
	n61) echo "$(on_kvm) --kernel 6.1 --backing memfd --append pti=on" ;;
	n61anon) echo "$(on_kvm) --kernel 6.1 --backing anon" ;;
	n510) echo "$(on_kvm) --kernel 5.10 --backing memfd --cpu qemu64" ;;
	n612) echo "$(on_kvm) --kernel 6.12 --backing memfd --smp 2" ;;
	n7) echo "$(on_kvm) --kernel 7 --backing memfd --cpu qemu64" ;;
	nvirt) echo "$(on_kvm) --kernel 6.1 --backing anon --libvirt" ;;
	*) echo "no such test guest: $1" >&2; return 1 ;;
	esac
}

# What all guests on KVM have: small, as all that there is there is slow.
on_kvm() { echo "--accel kvm --cpu host --smp 1 --mem 384 --procs 60"; }

# need_guest NAME...: boots those that do not run.
need_guest() {
	local name options
	for name; do
		[[ ! -e $VLENS_TEST_RUN/$name/via || ! -e /proc/$(guest_pid "$name")/exe ]] || continue
		options=$(guest_options "$name") || return
		# The boot's own processes must not hold bats' descriptors.
		# shellcheck disable=SC2086 # words
		"$VT_TESTS/guest/start" --name "$name" $options >/dev/null 3>&- 4>&- && continue
		# A kernel that panics while it boots, or a QEMU that dies, is none of ours.
		echo "need_guest: $name did not come up, once more" >&2
		# shellcheck disable=SC2086 # words
		"$VT_TESTS/guest/start" --name "$name" $options >/dev/null 3>&- 4>&- || return
	done
}

# drop_guest NAME...: stops it, unless the whole run folder is somebody else's.
drop_guest() {
	local name
	for name; do
		[[ -z ${VLENS_TEST_KEEP:-} && -e $VLENS_TEST_RUN/$name/via ]] || continue
		"$VT_TESTS/guest/stop" "$name" 3>&- 4>&-
	done
}

in_guest() { "$VT_TESTS/guest/run" "$@"; }
qmp() { "$VT_TESTS/guest/qmp" "$@"; }

guest_pid() { cat "$VLENS_TEST_RUN/$1/pid"; }
is_domain() { [[ $(<"$VLENS_TEST_RUN/$1/via") == libvirt ]]; }
# What the tools call a test guest.
guest() { if is_domain "$1"; then echo "$1"; else printf 'qemu:%s\n' "$(guest_pid "$1")"; fi; }

# The PID in the guest of what the factory made under this name.
factory_pid() { in_guest "$1" "sed -n 's/^$2 //p' /run/factory/pids"; }

# The state of a process, one letter: T is stopped.
process_state() {
	local stat
	read -r stat <"/proc/$1/stat" || return
	stat=${stat##*) }
	echo "${stat%% *}"
}
