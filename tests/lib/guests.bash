# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Sourced by vlens.bash and by tests/nested: boots the guests of the tests on demand.
# VT_TESTS is the folder tests/, VLENS_TEST_RUN the folder of this run's guests.

# guest_options NAME: the options of tests/guest/start.
# There are few guests, so each covers several variations: number of CPUs,
# page-table isolation, 4 or 5 levels of paging (a CPU "max" has 5), backing of
# the memory.  A bats file stops the guests that keep a CPU busy; all others live
# until the end of the run.
# Names that begin with n are guests on KVM in the nested machine, see tests/nested.
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
	rkpti) echo "--kernel 6.1 --smp 2 --backing memfd --rootkits --append pti=on" ;;
	rk510 | rk61 | rk7) echo "--kernel $(kernel_of "${1#rk}") --smp 2 --backing memfd --rootkits" ;;
	reset | victim | installed) echo "--kernel 6.1 --smp 1 --backing memfd" ;;
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

# kernel_of NUMBER: the kernel's version, with its dot: 6.1 for 61.
kernel_of() { if [[ ${#1} -gt 1 ]]; then echo "${1:0:1}.${1:1}"; else echo "$1"; fi; }

# The options of all guests on KVM. They are small, because the nested machine is slow.
on_kvm() { echo "--accel kvm --cpu host --smp 1 --mem 384 --procs 60"; }

# need_guest NAME...: boots the guests that do not run yet.
need_guest() {
	local name options
	for name; do
		[[ ! -e $VLENS_TEST_RUN/$name/via || ! -e /proc/$(guest_pid "$name")/exe ]] || continue
		options=$(guest_options "$name") || return
		# Close bats' descriptors: bats waits for all processes that have them.
		# shellcheck disable=SC2086 # words
		"$VT_TESTS/guest/start" --name "$name" $options >/dev/null 3>&- 4>&- && continue
		# Try again: a panic during the boot, or a QEMU that dies, is no fault of vlens.
		echo "need_guest: $name did not come up, once more" >&2
		# shellcheck disable=SC2086 # words
		"$VT_TESTS/guest/start" --name "$name" $options >/dev/null 3>&- 4>&- || return
	done
}

# drop_guest NAME...: stops guests, unless the run folder was given from outside.
drop_guest() {
	local name
	for name; do
		[[ -z ${VLENS_TEST_KEEP:-} && -e $VLENS_TEST_RUN/$name/via ]] || continue
		"$VT_TESTS/guest/stop" "$name" 3>&- 4>&-
	done
}

in_guest() { "$VT_TESTS/guest/run" "$@"; }
qmp() { "$VT_TESTS/guest/qmp" "$@"; }

# dump_guest NAME FILE: dumps the guest's memory by QMP. The guest stands still meanwhile.
dump_guest() {
	qmp "$1" stop >/dev/null
	qmp "$1" dump-guest-memory "{\"paging\": false, \"protocol\": \"file:$2\"}" >/dev/null
	qmp "$1" cont >/dev/null
}

# dump_root DUMP: the guest-physical address of the kernel's page table, for tests/lib/poke.
dump_root() {
	local image at
	image=$(vmem -J "$1" | jq -r '.memory[] | select(.what == "kernel image") | "\(.start) \(.phys)"')
	at=$(vpeek -J "$1" init_top_pgt 8 2>/dev/null | jq -r '.places[0].address')
	printf '0x%x\n' $((at - ${image% *} + ${image#* }))
}

guest_pid() { cat "$VLENS_TEST_RUN/$1/pid"; }
is_domain() { [[ $(<"$VLENS_TEST_RUN/$1/via") == libvirt ]]; }
# The name of a test guest for the tools.
guest() { if is_domain "$1"; then echo "$1"; else printf 'qemu:%s\n' "$(guest_pid "$1")"; fi; }

# guest_label NAME: its one name, as JSON has it: its own, if no other QEMU here has that name.
guest_label() {
	local same
	same=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -A1 -x -e -name | grep -cE "^(guest=)?$1(,|\$)")
	if [[ $same -eq 1 ]]; then echo "$1"; else guest "$1"; fi
}

# factory_pid NAME WHAT: the PID in the guest of the factory's process WHAT.
factory_pid() { in_guest "$1" "sed -n 's/^$2 //p' /run/factory/pids"; }

# The state of a process, as a letter: T is stopped.
process_state() {
	local stat
	read -r stat <"/proc/$1/stat" || return
	stat=${stat##*) }
	echo "${stat%% *}"
}
