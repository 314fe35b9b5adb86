#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# ./demo, the first thing that a newcomer runs: its guest stays, and vtop can be opened on it.

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

	# The command that the demo prints opens vtop in a terminal.
	word=$(grep -oE "[^ ]+/vtop $NAME\$" <<<"$output")
	tmux -L "$NAME" -f /dev/null new-session -d -x 100 -y 30 "$word" 3>&- 4>&-
	eventually 60 seen 'kthreadd' || fail "vtop shows: $(screen)"
	tmux -L "$NAME" send-keys q
	tmux -L "$NAME" kill-server 2>/dev/null || true

	# --stop also works without the demo's files, and when there is nothing to stop.
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

@test "the demo: --help, and options that it refuses" {
	run "$DEMO" --nonsense
	[[ $status -eq 2 && $output == *"--nonsense"*"--help"* ]] || fail "$status: $output"
	run "$DEMO" --name
	[[ $status -eq 2 ]] || fail "$status: $output"
	run "$DEMO" --help
	[[ $status -eq 0 && $output == "Usage: ./demo"* ]] || fail "$status: $output"
}

# as_nobody COMMAND...: runs it as a user who has a home, a plain PATH, and nothing else.
as_nobody() {
	(cd "$BATS_TEST_TMPDIR" && exec setpriv --reuid 54321 --regid 54321 --clear-groups \
		env -i HOME="$BATS_TEST_TMPDIR/home" PATH=/usr/local/bin:/usr/bin:/bin "$@" 3>&- 4>&-)
}

@test "the demo of an ordinary user: no depmod in PATH, no mknod, no libvirt" {
	local home=$BATS_TEST_TMPDIR/home cache=$BATS_TEST_TMPDIR/home/.cache/vlens-tests kernel
	kernel=$("$VT_TESTS/fetch-kernel" 6.1)
	# The kernel is in this user's cache. The files that are made from it are not.
	mkdir -p "$cache/kernels" "$cache/apt"
	cp -r "$kernel" "$cache/kernels/"
	touch "$cache/apt/stamp"
	basename "$kernel" >"$cache/kernels/.newest-6.1"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "${BATS_TEST_TMPDIR%/*}"
	chown -R 54321:54321 "$home"
	as_nobody test -x "$VLENS_BUILD/vps" -a -x "$DEMO" ||
		skip "other users cannot enter the source's folder"
	run as_nobody "$DEMO" --name "$NAME" --build "$VLENS_BUILD"
	[[ $status -eq 0 ]] || fail "status $status: $output"
	[[ $output == *'[kthreadd]'*"Linux $NAME "*"/vtop qemu:"* ]] || fail "$output"
	pid=$(grep -oE '/vtop qemu:[0-9]+' <<<"$output" | tr -dc 0-9)
	[[ $(stat -c %u "/proc/$pid") -eq 54321 ]]
	# A second demo replaces the first one's guest. Then --stop ends it.
	run as_nobody "$DEMO" --name "$NAME" --build "$VLENS_BUILD"
	[[ $status -eq 0 && ! -e /proc/$pid/exe ]] || fail "status $status: $output"
	pid=$(grep -oE '/vtop qemu:[0-9]+' <<<"$output" | tr -dc 0-9)
	as_nobody "$DEMO" --stop --name "$NAME"
	eventually 20 test ! -e "/proc/$pid/exe"
	[[ ! -e $home/.local/state/vlens-demo/$NAME ]]
}

@test "an ordinary user is told which packages root has to install" {
	# A machine without one package: dpkg-query does not list it.
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\n/usr/bin/dpkg-query "$@" | grep -v " cpio "\n' >"$BATS_TEST_TMPDIR/bin/dpkg-query"
	chmod -R 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR" "${BATS_TEST_TMPDIR%/*}"
	run as_nobody PATH="$BATS_TEST_TMPDIR/bin:/usr/bin:/bin" "$VT_TESTS/../build-aux/install-deps" --demo
	[[ $status -eq 1 && $output == *"not installed: cpio; as root, run: "*"/install-deps --demo" ]] ||
		fail "$status: $output"
}
