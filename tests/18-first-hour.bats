#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Errors that a new user meets: each message says what to do. 20-errors.bats has more.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	export T=$BATS_FILE_TMPDIR
}

teardown_file() {
	[[ ! -s $T/pid ]] || kill "$(<"$T/pid")"
}

# Starts a QEMU without a kernel.
boot_nothing() {
	[[ ! -s $T/pid ]] || return 0
	qemu-system-x86_64 -machine pc -accel tcg -m 64 -nodefaults -no-user-config -display none \
		-qmp "unix:$T/sock,server=on,wait=off" -pidfile "$T/pid" -daemonize 3>&- 4>&-
}

# without PROGRAM COMMAND...: runs the command where that program is not installed.
without() {
	local path
	path=$(readlink -f "$(command -v "$1")")
	shift
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m sh -c 'mount --bind /dev/null "$0" && exec "$@"' "$path" "$@"
}

@test "libvirtd is not running" {
	run --separate-stderr vps -c 'qemu+unix:///system?socket=/nonexistent' web1 -ef
	assert_refused vps web1 "cannot connect to libvirt"
	[[ $stderr == *"systemctl start libvirtd"* ]]
}

@test "an invalid libvirt URI" {
	run --separate-stderr vps -c web1 web1 -ef
	assert_refused vps web1 "cannot connect to libvirt"
	[[ $stderr == *"qemu:///system"* ]]
	run --separate-stderr vps -c foo:///bar web1 -ef
	assert_refused vps web1 "cannot connect to libvirt"
	[[ $stderr == *"qemu:///system"* ]]
}

@test "an unknown domain: the message names the URI and the command that lists domains" {
	run --separate-stderr vps -c test:///default web1 -ef
	assert_refused vps web1 "no such domain on test:///default"
	[[ $stderr == *"virsh list --all"* ]]
}

@test "the options of ps before the guest" {
	run --separate-stderr vps -ef web1
	assert_usage vps "vps GUEST -ef"
}

@test "without ps the message names the package procps" {
	unshare -m true 2>/dev/null || skip "no mount namespaces here"
	run -127 --separate-stderr without ps vps web1 -ef
	[[ $stderr == "vps: this host has no program 'ps'; install the package procps" ]]
}

@test "vps works with a PATH that lacks ps" {
	run --separate-stderr env PATH="$VLENS_BUILD" "$VLENS_BUILD/vps" -c test:///default nosuch -ef
	assert_refused vps nosuch "no such domain"
}

@test "an ordinary user is refused root's QEMU, and told to run as root" {
	[[ $(id -u) -eq 0 ]] || skip "only root can become somebody else"
	local dir
	dir=$(mktemp -d "$VLENS_TEST_RUN/private.XXXXXX")
	chmod 755 "$dir"
	install -m 755 "$VLENS_BUILD/vlens" "$dir/vps"
	boot_nothing
	local guest
	guest=qemu:$(<"$T/pid")
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups \
		env -u VLENS_CACHE_DIR -u VLENS_RUN_DIR "$dir/vps" "$guest" -ef
	assert_refused vps "$guest" "ermission"
	[[ $stderr == *"run as root"* ]]
	# vlist lists it, and doctor counts it among those that this user may not read.
	ln "$dir/vps" "$dir/vlist"
	ln "$dir/vps" "$dir/vlens"
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups \
		env -u VLENS_CACHE_DIR -u VLENS_RUN_DIR "$dir/vlist" --no-headers -o SPEC,NOTE
	assert_status 3
	[[ $output == *"$guest "*"ermission"* ]]
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups \
		env -u VLENS_CACHE_DIR -u VLENS_RUN_DIR "$dir/vlens" doctor --json
	jq -e --arg guest "$guest" '.checks[] | select(.check == "guests") |
		(.finding | contains($guest) | not) and (.finding | test("[1-9][0-9]* that this user may not"))' <<<"$output"
}

@test "root without CAP_SYS_PTRACE: doctor names containers and security modules" {
	[[ $(id -u) -eq 0 ]] || skip "only root"
	boot_nothing
	local guest
	guest=qemu:$(<"$T/pid")
	run --separate-stderr setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace \
		vlens doctor "$guest"
	assert_status 3
	[[ $output == *"problem"*"user"*"without CAP_SYS_PTRACE"* ]]
	[[ $output == *"problem"*"memory"*"even to root"* && $output == *"SELinux or AppArmor"* ]]
}
