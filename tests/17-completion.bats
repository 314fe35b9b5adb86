#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Compares what each shell completes with the lists of `vlens complete`.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup() {
	# libvirt's test driver has the domain "test".
	export LIBVIRT_DEFAULT_URI=test:///default
}

# offers LINE: the completions of shell $S, without "--option=" in front or "=" at the end.
offers() { timeout 60 "$VT_TESTS/lib/complete" "$S" "$1" | sed 's/=$//; s/^--.*=//' | sort -u; }

options() { vlens complete options "$1" | sed 's/=$//' | sort -u; }

# judge SHELL: its completions are exactly the lists.
judge() {
	S=$1
	command -v "$S" >/dev/null || skip "$S is not installed"
	assert_same "$( (vlens complete applets; vlens complete commands) | sort)" \
		"$(offers 'vlens ' | grep -v '^-')"
	local a
	for a in vps vuname vpslist vpeek; do
		assert_same "$(options $a | grep '^--')" "$(offers "$a --")"
	done
	assert_same "$(options vps | grep '^--')" "$(offers 'vlens ps --')"
	assert_same "$(options vvmstat | grep '^--')" "$(offers 'vlens vmstat --')"
	assert_same "$(options doctor | grep '^--')" "$(offers 'vlens doctor --')"
	assert_same "$(vlens complete columns vpslist | sort)" "$(offers 'vpslist -o ')"
	assert_same "$(vlens complete columns vlist | sort)" "$(offers 'vlist --sort ')"
	assert_same "$(vlens complete values vps --engine | sort)" "$(offers 'vps --engine ')"
	assert_same "$(vlens complete values vps --engine | sort)" "$(offers 'vps --engine=')"
	assert_same "$(printf '%s\n' auto freeze none suspend)" "$(offers 'vls --pause=')"
	offers 'vps te' | grep -qx test
	offers 'vpslist te' | grep -qx test
	offers 'vlens doctor te' | grep -qx test
	[[ -z $(offers 'vps nosuchgue') ]]
	# Everything that `vlens help` knows.
	assert_same "$( (vlens complete applets; printf '%s\n' doctor dump export fleet trust types) | sort)" "$(offers 'vlens help ')"
	# A dump is a file.
	: >"$BATS_TEST_TMPDIR/web.dump"
	cd "$BATS_TEST_TMPDIR" || return
	offers 'vps ./web.du' | grep -qx ./web.dump || offers 'vps ./web.du' | grep -qx web.dump
	# A path can follow some prefixes.
	assert_same "$(vlens complete prefixes)" qmp:
	offers 'vps qmp:./web.du' | grep -qxE '(qmp:)?(\./)?web.dump'
	[[ -z $(offers 'vps kvm:./web.du') ]]
}

@test "completion: bash" { judge bash; }
@test "completion: zsh" { judge zsh; }
@test "completion: fish" { judge fish; }

# Domains whose names have characters that a shell interprets, or look like another kind of guest.
odd_guests() {
	cat >"$BATS_TEST_TMPDIR/odd.xml" <<-'END'
		<node>
		<domain type='test'><name>web server</name><memory>8192</memory><os><type>hvm</type></os></domain>
		<domain type='test'><name>web1</name><memory>8192</memory><os><type>hvm</type></os></domain>
		<domain type='test'><name>w$(touch expanded)</name><memory>8192</memory><os><type>hvm</type></os></domain>
		<domain type='test'><name>größe</name><memory>8192</memory><os><type>hvm</type></os></domain>
		<domain type='test'><name>-dash</name><uuid>12345678-1234-1234-1234-123456789000</uuid><memory>8192</memory><os><type>hvm</type></os></domain>
		<domain type='test'><name>7</name><uuid>12345678-1234-1234-1234-123456789001</uuid><memory>8192</memory><os><type>hvm</type></os></domain>
		<domain type='test'><name>qemu:5</name><uuid>12345678-1234-1234-1234-123456789002</uuid><memory>8192</memory><os><type>hvm</type></os></domain>
		</node>
	END
	export LIBVIRT_DEFAULT_URI=test://$BATS_TEST_TMPDIR/odd.xml
}

@test "guest names with blanks and other characters that a shell interprets" {
	odd_guests
	cd "$BATS_TEST_TMPDIR"
	export LC_ALL=C.UTF-8
	local line
	for S in bash zsh fish; do
		command -v $S >/dev/null || continue
		for line in 'vps we' 'vps web\ s' 'vps "web s' "vpslist web1 'web s"; do
			offers "$line" | sed 's/\\//g' | grep -qx 'web server' ||
				fail "$S: $line: $(offers "$line")"
		done
		offers 'vps gr' | grep -qx 'größe' || fail "$S: $(offers 'vps gr')"
		offers 'vps w' >/dev/null
		[[ ! -e expanded ]] || fail "$S runs what is in a name"
	done
}

@test "a guest whose name looks like an option, an id or qemu:PID is listed by its UUID" {
	odd_guests
	local n=0 spec
	while read -r spec; do
		[[ $spec != 7 && $spec != qemu:5 && $spec != -dash ]] || fail "$spec"
		[[ $spec == ????????-????-????-????-???????????? ]] || continue
		n=$((n + 1))
		run --separate-stderr vps "$spec"
		[[ $stderr == *"TEST driver"* ]] || fail "$spec: $stderr"
	done < <(vlens complete guests)
	[[ $n -eq 3 ]] || fail "$n of 3"
}

@test "options after the guest are completed as those of the mirrored program" {
	local n=0
	for S in zsh fish; do
		command -v $S >/dev/null || continue
		offers 'vls web1 --al' | grep -qx -- --all || fail "$S: $(offers 'vls web1 --al')"
		offers 'vexec web1 vuna' | grep -qx vuname || fail "$S: $(offers 'vexec web1 vuna')"
		n=$((n + 1))
	done
	[[ $n -gt 0 ]] || skip "neither zsh nor fish is installed"
}

# Several guests with the same name are listed by their ids alone.
same_names() {
	names=$(vlist --no-headers -o NAME,ID | awk '$2 ~ /^qemu:/ { print $1 }' | sort | uniq -u)
	assert_same "$names" "$(vlens complete guests | grep -v : | grep -vx test | sort)"
}

@test "a QEMU outside of libvirt is completed by its name and by its id" {
	need_guest g61
	local names pid
	pid=$(guest_pid g61)
	vlens complete guests | grep -qx "qemu:$pid"
	# Guests of other tests come and go.
	tries 5 same_names
	if grep -qx g61 <<<"$names"; then
		for S in bash zsh fish; do
			! command -v $S >/dev/null || offers 'vps g6' | grep -qx g61 || fail "$S: $(offers 'vps g6')"
		done
	fi
}

@test "paths, PIDs and symbols of the guest are completed" {
	need_guest g61
	local g pid n=0
	g=$(guest g61)
	vls "$g" / >/dev/null
	pid=$(vpidlist --no-headers -o pid "$g" | tail -n 1 | tr -d ' ')
	for S in bash zsh fish; do
		command -v $S >/dev/null || continue
		offers "vls $g -l /proc/sys/kernel/osrel" | grep -qxE '(/proc/sys/kernel/)?osrelease' || fail "$S: $(offers "vls $g -l /proc/sys/kernel/osrel")"
		offers "vcat $g /proc/sys/ker" | grep -qxE '(/proc/sys/)?kernel/' || fail "$S: $(offers "vcat $g /proc/sys/ker")"
		assert_same "$(vpidlist --no-headers -o pid "$g" | tr -d ' ' | grep "^$pid" | sort)" "$(offers "vps $g -p $pid")"
		offers "vlsof $g -p 1,$pid" | grep -qxE "(1,)?$pid" || fail "$S: $(offers "vlsof $g -p 1,$pid")"
		assert_same init_task "$(offers "vpeek $g init_tas")"
		[[ -z $(offers "vls $g /nosuchfol") ]] || fail "$S: $(offers "vls $g /nosuchfol")"
		n=$((n + 1))
	done
	[[ $n -gt 0 ]]
}

# Readline leaves "$" and "`" of a name without quotes if there is no such file on this host: Enter
# would run what is in it.
@test "no name that the guest chooses is offered if a shell or a terminal takes it for more" {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	local name n=0
	# shellcheck disable=SC2016 # names, as they are
	printf '%s\n' 'plain' 'with space' 'x`reboot`' 'x$HOME' 'x$(reboot)' 'x;reboot' 'x&y' 'x!y' '~root' 'x\y' "x'y" 'x"y' \
		$'x\e[2Jy' $'x\xc2\x9b5my' $'x\x9b5my' $'x\u202ey' 'x*y' 'x>y' >"$BATS_TEST_TMPDIR/names"
	printf '#!/bin/sh\ncat %s/names\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/vls"
	printf '#!/bin/sh\nsed "s/^/0 T sys/; s/ with/with/" %s/names\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/vcat"
	chmod +x "$BATS_TEST_TMPDIR/bin/"*
	export PATH=$BATS_TEST_TMPDIR/bin:$PATH
	for S in bash zsh fish; do
		command -v $S >/dev/null || continue
		assert_same "plain with space" "$(offers "vls web1 /etc/" | sed 's|.*/||' | sort | xargs)"
		[[ -z $(offers "vls web1 /etc/x") ]] || fail "$S: $(offers "vls web1 /etc/x")"
		[[ -z $(offers "vls web1 /etc/~") ]] || fail "$S: $(offers "vls web1 /etc/~")"
		assert_same "sysplain syswith" "$(offers "vpeek web1 sys" | sort | xargs)"
		n=$((n + 1))
	done
	[[ $n -gt 0 ]]
}

@test "completion does not wait for a guest that does not answer" {
	# A tool that never ends, in the place of vls and vpidlist.
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	local name start
	for name in vls vpidlist vcat; do
		printf '#!/bin/sh\necho begun >>%s/begun\nexec sleep 300\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/$name"
		chmod +x "$BATS_TEST_TMPDIR/bin/$name"
	done
	export PATH=$BATS_TEST_TMPDIR/bin:$PATH
	for S in bash zsh fish; do
		command -v $S >/dev/null || continue
		for name in "vls web1 /et" "vps web1 -p 1" "vpeek web1 init"; do
			rm -f "$BATS_TEST_TMPDIR/begun"
			start=$SECONDS
			[[ -z $(offers "$name") ]]
			[[ -s $BATS_TEST_TMPDIR/begun ]] || fail "$S: $name: not asked"
			# The time limit is 3 seconds; the shell itself may be slow to start.
			[[ $((SECONDS - start)) -lt 60 ]] || fail "$S: $name: $((SECONDS - start)) s"
		done
	done
}
