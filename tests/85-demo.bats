#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# ./demo: what a newcomer sees first. What it boots stays, and vtop can be opened on it.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

NAME=vt-demo
DEMO=$VT_TESTS/../demo

setup() {
	[[ $(id -u) -eq 0 ]] || skip "as root the demo is a libvirt domain"
	command -v virsh >/dev/null || skip "no virsh here"
}
teardown() { "$DEMO" --stop --name "$NAME" 3>&- 4>&-; }

state() { LC_ALL=C virsh -q -c qemu:///system domstate "$NAME" 2>/dev/null; }

@test "the demo shows its guest, leaves it running, and ends it when asked" {
	local word
	run "$DEMO" --name "$NAME" --build "$VLENS_BUILD" 3>&- 4>&-
	[[ $status -eq 0 ]] || fail "status $status: $output"
	for word in '$ vps' '$ vlsmod' '$ vnetstat' '$ vfree' '$ vuname' '[kthreadd]' 'Used by' \
		'127.0.0.1:4242' 'Mem:' "Linux $NAME " "/vtop $NAME" "--stop"; do
		[[ $output == *"$word"* ]] || fail "does not show '$word': $output"
	done
	[[ $(state) == running ]] || fail "the guest does not run: $(state)"

	# The command that it says opens vtop, typed in a terminal.
	word=$(grep -oE "[^ ]+/vtop $NAME\$" <<<"$output")
	tmux -L "$NAME" -f /dev/null new-session -d -x 100 -y 30 "$word" 3>&- 4>&-
	eventually 20 seen 'kthreadd' || fail "vtop shows: $(screen)"
	tmux -L "$NAME" send-keys q
	tmux -L "$NAME" kill-server 2>/dev/null || true

	# Also when what it keeps of it was lost; and a second time there is nothing to end.
	rm -rf "/var/lib/vlens-demo/$NAME"
	"$DEMO" --stop --name "$NAME"
	[[ -z $(state) ]] || fail "the guest is still there: $(state)"
	"$DEMO" --stop --name "$NAME"
}
screen() { tmux -L "$NAME" capture-pane -p; }
seen() { screen | grep -q "$1"; }

@test "the demo leaves a domain alone that it did not make" {
	local xml=$BATS_TEST_TMPDIR/other.xml
	"$VT_TESTS/guest/libvirtd" 3>&- 4>&-
	cat >"$xml" <<-END
		<domain type='qemu'><name>$NAME</name><memory unit='MiB'>64</memory>
		<os><type arch='x86_64'>hvm</type></os></domain>
	END
	virsh -q -c qemu:///system define "$xml"
	run "$DEMO" --name "$NAME" --build "$VLENS_BUILD" 3>&- 4>&-
	local came=$status said=$output is
	is=$(state)
	virsh -q -c qemu:///system undefine "$NAME"
	[[ $came -eq 1 && $said == *"there is a domain '$NAME'"*"--name"* ]] || fail "$came: $said"
	[[ $is == 'shut off' ]] || fail "it is '$is'"
}

@test "the demo refuses what it does not understand" {
	run "$DEMO" --nonsense
	[[ $status -eq 2 && $output == *"--nonsense"*"--help"* ]] || fail "$status: $output"
	run "$DEMO" --name
	[[ $status -eq 2 ]] || fail "$status: $output"
	run "$DEMO" --help
	[[ $status -eq 0 && $output == "Usage: ./demo"* ]] || fail "$status: $output"
}
