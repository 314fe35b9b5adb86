#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bad input, without a booted guest. For each: one line on stderr that says what to do, nothing on
# stdout, status 3, no long wait, and no guest is left paused.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	export SOCK=$BATS_FILE_TMPDIR/sock
}

teardown() {
	[[ -z ${listener:-} ]] || kill "$listener" || true
	[[ -z ${sleeper:-} ]] || kill "$sleeper" || true
}

teardown_file() {
	local pid
	for pid in "$BATS_FILE_TMPDIR"/*.pid; do
		[[ ! -s $pid ]] || kill "$(<"$pid")" || true
	done
}

# refused_soon WORDS COMMAND...: it is refused with these words within 60 seconds.
refused_soon() {
	local words=$1
	shift
	run --separate-stderr timeout 60 "$@"
	assert_refused vps "$guest" "$words"
}

listen() {
	coproc LISTEN { exec "$VT_TESTS/lib/listen" "$SOCK" "$1" 3>&- 4>&-; }
	# shellcheck disable=SC2034,SC2154 # set by coproc
	listener=$LISTEN_PID
	local ready
	# shellcheck disable=SC2154
	read -r -t 60 ready <&"${LISTEN[0]}"
	[[ $ready == ready ]]
}

unlisten() {
	kill "$listener"
	wait "$listener" || true
	listener=
}

# boot_nothing NAME WORDS...: a QEMU with no kernel to boot.
boot_nothing() {
	local name=$1
	shift
	qemu-system-x86_64 -machine pc -accel tcg -m 64 -nodefaults -no-user-config \
		-display none -qmp "unix:$BATS_FILE_TMPDIR/$name.sock,server=on,wait=off" \
		-pidfile "$BATS_FILE_TMPDIR/$name.pid" -daemonize "$@" 3>&- 4>&-
}

qmp_status() {
	python3 - "$BATS_FILE_TMPDIR/$1.sock" <<-'END'
		import json, socket, sys
		sock = socket.socket(socket.AF_UNIX)
		sock.settimeout(30)
		sock.connect(sys.argv[1])
		lines = sock.makefile("rw")
		lines.readline()
		for command in "qmp_capabilities", "query-status":
		    lines.write(json.dumps({"execute": command}) + "\n")
		    lines.flush()
		    while "return" not in (answer := json.loads(lines.readline())):
		        pass
		print(answer["return"]["status"])
	END
}

# ---- names ------------------------------------------------------------------

@test "no such domain" {
	guest=nosuch
	refused_soon "no such domain" vps -c test:///default nosuch -ef
	refused_soon "no such domain" vlens ps -c test:///default nosuch -ef
}

@test "a domain without a QEMU: by name, id and UUID" {
	local uuid
	uuid=$(virsh -q -c test:///default domuuid test)
	for guest in test 1 ${uuid:+"$uuid"}; do
		refused_soon "no QEMU" vps -c test:///default "$guest" -ef
	done
}

@test "a libvirt that cannot be reached, and an invalid URI" {
	guest=web1
	refused_soon "libvirt" vps -c qemu+unix:///system?socket=/nonexistent web1 -ef
	refused_soon "libvirt" vps -c 'foo:///bar' web1 -ef
	refused_soon "libvirt" vps -c 'no uri at all' web1 -ef
}

@test "without -c LIBVIRT_DEFAULT_URI is used" {
	guest="test"
	LIBVIRT_DEFAULT_URI=test:///default refused_soon "no QEMU" vps test -ef
}

@test "a guest's name with control characters does not reach the terminal" {
	run --separate-stderr vps -c test:///default $'a\e[31mb\nc' -ef
	assert_status 3
	[[ ${#stderr_lines[@]} -eq 1 && $stderr != *$'\e'* ]]
}

@test "every applet's error message begins with its own name" {
	local a args ours
	for a in $(vlens --list); do
		args=() ours=()
		[[ $a != vtop ]] || ours=(-b -n 1)
		[[ $a != vcat ]] || args=(/proc/version)
		[[ $a != vexec ]] || args=(true)
		[[ $a != vpeek ]] || args=(init_task)
		run --separate-stderr timeout 60 "$a" -c test:///default "${ours[@]}" nosuch "${args[@]}"
		assert_refused "$a" nosuch "no such domain"
	done
}

# ---- processes --------------------------------------------------------------

@test "qemu:PID: not a number, no such process, not a QEMU" {
	guest=qemu:abc refused_soon "process" vps qemu:abc -ef
	guest=qemu: refused_soon "process" vps qemu: -ef
	guest=qemu:-5 refused_soon "process" vps qemu:-5 -ef
	guest=qemu:99999999999 refused_soon "process" vps qemu:99999999999 -ef
	guest=qemu:4194305 refused_soon "no such process" vps qemu:4194305 -ef
	sleep 1000 3>&- 4>&- &
	sleeper=$!
	guest=qemu:$sleeper refused_soon "is not a QEMU" vps "qemu:$sleeper" -ef
	[[ $(process_state "$sleeper") == S ]]
}

# ---- sockets ----------------------------------------------------------------

@test "qmp:PATH: it does not exist, is not a socket, or no process listens" {
	guest=qmp:$SOCK.none refused_soon "no such socket" vps "qmp:$SOCK.none" -ef
	guest=qmp: refused_soon "socket" vps qmp: -ef
	guest=qmp:/etc/passwd refused_soon "socket" vps qmp:/etc/passwd -ef
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$SOCK.dead"
	guest=qmp:$SOCK.dead refused_soon "no process listens" vps "qmp:$SOCK.dead" -ef
	local long
	long=/tmp/$(printf 'x%.0s' {1..200})
	guest=qmp:$long refused_soon "socket" vps "qmp:$long" -ef
}

@test "a socket without QMP: it sends nothing, or accepts no connection" {
	guest=qmp:$SOCK
	local mode
	for mode in silent deaf; do
		listen "$mode"
		refused_soon "QMP" vps "$guest" -ef
		unlisten
	done
}

@test "a socket without QMP: it sends garbage, sends without end, or hangs up" {
	guest=qmp:$SOCK
	local mode
	for mode in garbage endless; do
		listen "$mode"
		refused_soon "QMP" vps "$guest" -ef
		unlisten
	done
	listen close
	refused_soon "closed the connection" vps "$guest" -ef
}

@test "a socket that sends QMP's greeting, but is not a QEMU" {
	guest=qmp:$SOCK
	listen greeting
	refused_soon "does not answer qmp_capabilities" vps "$guest" -ef
	unlisten
	listen nojson
	refused_soon "does not speak QMP" vps "$guest" -ef
	unlisten
}

# ---- dumps ------------------------------------------------------------------

@test "a file that is not a dump" {
	cd "$BATS_TEST_TMPDIR"
	guest=/etc/passwd refused_soon "not a memory dump" vps /etc/passwd -ef
	: >empty
	guest=./empty refused_soon "the file is empty" vps ./empty -ef
	head -c 1M /dev/zero >zeros
	guest=./zeros refused_soon "not a memory dump" vps ./zeros -ef
	printf '\x7fELF' >magic
	guest=./magic refused_soon "not a memory dump" vps ./magic -ef
	guest=/bin/sh refused_soon "no dump of an x86 guest" vps /bin/sh -ef
}

@test "a path that does not exist, or is not a regular file" {
	cd "$BATS_TEST_TMPDIR"
	guest=./nothing refused_soon "no such file" vps ./nothing -ef
	guest=/tmp refused_soon "a folder, not a memory dump" vps /tmp -ef
	guest=/dev/null refused_soon "regular file" vps /dev/null -ef
	mkfifo fifo
	guest=./fifo refused_soon "regular file" vps ./fifo -ef
}

@test "a dump in kdump's format" {
	cd "$BATS_TEST_TMPDIR"
	{ printf 'KDUMP   '; head -c 8192 /dev/zero; } >kdump
	guest=./kdump refused_soon "a kdump-compressed dump of version 0" vps ./kdump -ef
	{ printf 'makedumpfile'; head -c 8192 /dev/zero; } >flattened
	guest=./flattened refused_soon "a piece of the flattened file has no place" vps ./flattened -ef
}

@test "a dump with no CPU notes, and no kernel in it" {
	cd "$BATS_TEST_TMPDIR"
	local kind
	for kind in nonotes corenotes; do
		"$VT_TESTS/lib/mkdump" "$kind" "$kind"
		guest=./$kind refused_soon "the memory is nothing but zeros" vps "./$kind" -ef
	done
}

@test "dumps with wrong headers" {
	cd "$BATS_TEST_TMPDIR"
	local kind why
	while read -r kind why; do
		"$VT_TESTS/lib/mkdump" "$kind" "$kind"
		guest=./$kind refused_soon "$why" vps "./$kind" -ef
	done <<-EOF
		emptynote unknown layout
		hugenote nothing but zeros
		beyond truncated
		phnum truncated
		overlap the file does not have the guest's interrupt table, or a page table on the way to it
		elf32 truncated
		arm no dump of an x86 guest
		exec no dump of an x86 guest
		zeros cannot find a Linux kernel
	EOF
}

@test "a truncated dump" {
	cd "$BATS_TEST_TMPDIR"
	"$VT_TESTS/lib/mkdump" zeros whole
	local size
	for size in 5000 1000 200 64; do
		head -c "$size" whole >./cut
		guest=./cut refused_soon "truncated" vps ./cut -ef
	done
	head -c 20 whole >./cut
	guest=./cut refused_soon "not a memory dump" vps ./cut -ef
}

@test "a dump that the user may not read" {
	[[ $(id -u) -eq 0 ]] || skip "only root can become somebody else"
	local dir
	dir=$(mktemp -d "$VLENS_TEST_RUN/private.XXXXXX")
	chmod 755 "$dir"
	install -m 600 /dev/null "$dir/dump"
	# Other users must be able to reach the program, too.
	install -m 755 "$VLENS_BUILD/vlens" "$dir/vps"
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups \
		env -u VLENS_CACHE_DIR -u VLENS_RUN_DIR "$dir/vps" "$dir/dump" -ef
	assert_refused vps "$dir/dump" "ermission"
}

# ---- machines that run no Linux ---------------------------------------------

@test "a guest in its firmware or boot loader" {
	boot_nothing bios
	guest=qemu:$(<"$BATS_FILE_TMPDIR/bios.pid")
	# While SeaBIOS works, and after it has given up.
	for _ in 1 2 3 4 5; do
		refused_soon "firmware or boot loader" vps "$guest" -ef
		sleep 0.3
	done
	guest=qmp:$BATS_FILE_TMPDIR/bios.sock
	refused_soon "firmware or boot loader" vps "$guest" -ef
	[[ $(process_state "$(<"$BATS_FILE_TMPDIR/bios.pid")") == [RSD] ]]
	[[ $(qmp_status bios) == running ]]
}

@test "a guest that runs no Linux" {
	gcc -nostdlib -static -Wl,--build-id=none,--oformat=binary,-Ttext=0x7c00 \
		-o "$BATS_FILE_TMPDIR/sector" "$VT_TESTS/guest/nolinux.S"
	boot_nothing nolinux -drive "file=$BATS_FILE_TMPDIR/sector,format=raw,if=ide"
	guest=qemu:$(<"$BATS_FILE_TMPDIR/nolinux.pid")
	local end=$((SECONDS + 120))
	# Its firmware runs first.
	until [[ ${stderr:-} == *"cannot find a Linux kernel"* || $SECONDS -gt $end ]]; do
		run --separate-stderr timeout 60 vps "$guest" -ef
		assert_refused vps "$guest" ""
		sleep 0.3
	done
	[[ $stderr == *"cannot find a Linux kernel"* ]]
	[[ $(process_state "$(<"$BATS_FILE_TMPDIR/nolinux.pid")") == [RSD] ]]
	[[ $(qmp_status nolinux) == running ]]
}

@test "a guest that was not started (-S) is not started" {
	boot_nothing asleep -S
	guest=qemu:$(<"$BATS_FILE_TMPDIR/asleep.pid")
	refused_soon "firmware or boot loader" vps "$guest" -ef
	[[ $(qmp_status asleep) == prelaunch ]]
}

@test "a QEMU with no QMP socket" {
	qemu-system-x86_64 -machine pc -accel tcg -m 64 -nodefaults -display none \
		-pidfile "$BATS_FILE_TMPDIR/mute.pid" -daemonize 3>&- 4>&-
	guest=qemu:$(<"$BATS_FILE_TMPDIR/mute.pid")
	refused_soon "no QMP socket" vps "$guest" -ef
}

@test "a QEMU of another user" {
	[[ $(id -u) -eq 0 ]] || skip "only root can become somebody else"
	local dir
	dir=$(mktemp -d "$VLENS_TEST_RUN/private.XXXXXX")
	chmod 755 "$dir"
	install -m 755 "$VLENS_BUILD/vlens" "$dir/vps"
	[[ -s $BATS_FILE_TMPDIR/bios.pid ]] || boot_nothing bios
	guest=qemu:$(<"$BATS_FILE_TMPDIR/bios.pid")
	run --separate-stderr timeout 60 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env -u VLENS_CACHE_DIR -u VLENS_RUN_DIR "$dir/vps" "$guest" -ef
	assert_refused vps "$guest" "ermission"
}

@test "no guard process is left behind" {
	eventually 15 no_guards || fail "left: $(guards)"
}
