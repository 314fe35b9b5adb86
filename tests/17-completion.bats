#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What each shell really offers, against what the program says of itself.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup() {
	# Guests that are known.
	export LIBVIRT_DEFAULT_URI=test:///default
}

# offers LINE: what shell $S completes it to, less what stands before "=" and the "=" itself.
offers() { timeout 60 "$VT_TESTS/lib/complete" "$S" "$1" | sed 's/=$//; s/^--.*=//' | sort -u; }

options() { vlens complete options "$1" | sed 's/=$//' | sort -u; }

# judge SHELL: whole lists, with nothing more and nothing less.
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
	# Guests: libvirt's, and those that libvirt does not manage.
	offers 'vps te' | grep -qx test
	offers 'vpslist te' | grep -qx test
	offers 'vlens doctor te' | grep -qx test
	[[ -z $(offers 'vps nosuchgue') ]]
	# What has help.
	assert_same "$( (vlens complete applets; printf '%s\n' doctor trust) | sort)" "$(offers 'vlens help ')"
	# A dump is a file.
	: >"$BATS_TEST_TMPDIR/web.dump"
	cd "$BATS_TEST_TMPDIR" || return
	offers 'vps ./web.du' | grep -qx ./web.dump || offers 'vps ./web.du' | grep -qx web.dump
	# A path stands behind some prefixes.
	assert_same "$(vlens complete prefixes)" qmp:
	offers 'vps qmp:./web.du' | grep -qxE '(qmp:)?(\./)?web.dump'
	[[ -z $(offers 'vps kvm:./web.du') ]]
}

@test "bash" { judge bash; }
@test "zsh" { judge zsh; }
@test "fish" { judge fish; }

# Guests whose names are words to a shell.
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

@test "a guest's name with a blank, or with more that a shell minds" {
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

@test "a guest whose name could be something else is listed by its UUID" {
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

@test "behind the guest: the model's own" {
	local n=0
	for S in zsh fish; do
		command -v $S >/dev/null || continue
		offers 'vls web1 --al' | grep -qx -- --all || fail "$S: $(offers 'vls web1 --al')"
		offers 'vexec web1 vuna' | grep -qx vuname || fail "$S: $(offers 'vexec web1 vuna')"
		n=$((n + 1))
	done
	[[ $n -gt 0 ]] || skip "neither zsh nor fish is installed"
}

# A name that several have is none.
same_names() {
	names=$(vlist --no-headers -o NAME,ID | awk '$2 ~ /^qemu:/ { print $1 }' | sort | uniq -u)
	assert_same "$names" "$(vlens complete guests | grep -v : | grep -vx test | sort)"
}

@test "a QEMU that libvirt does not manage, by its name and by its id" {
	need_guest g61
	local names pid
	pid=$(guest_pid g61)
	vlens complete guests | grep -qx "qemu:$pid"
	# Others come and go.
	tries 5 same_names
	if grep -qx g61 <<<"$names"; then
		for S in bash zsh fish; do
			! command -v $S >/dev/null || offers 'vps g6' | grep -qx g61 || fail "$S: $(offers 'vps g6')"
		done
	fi
}
