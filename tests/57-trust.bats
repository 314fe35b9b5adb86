#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Trusted kernels: a guest's text is compared with the image of its build. Clean guests have no
# finding. Every change that is planted in a dump has one.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

GUESTS="g510 g61 g612 g7"

setup_file() {
	local name
	bats_require_minimum_version 1.5.0
	[[ -x $VLENS_BUILD/tests/unit/trust-probe ]] ||
		make -s -C "$VLENS_BUILD" tests/unit/trust-probe
	# shellcheck disable=SC2086 # words
	need_guest $GUESTS
	export DUMPS=$VLENS_TEST_RUN/trust-dumps VLENS_TRUST_DIR=$BATS_FILE_TMPDIR/trusted
	rm -rf "$DUMPS"
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
	for name in $GUESTS; do
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
	done
	export D=$DUMPS/g61.elf
	dump_guest g61 "$D"
	ROOT=$(dump_root "$D")
	export ROOT
}

teardown_file() {
	rm -rf "$DUMPS"
}

setup() {
	T=$BATS_TEST_TMPDIR
	undo=()
}

teardown() {
	local i
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
		# shellcheck disable=SC2086 # two words
		"$VT_TESTS/lib/poke" "$D" "$ROOT" ${undo[i]} >/dev/null
	done
}

probe() { timeout 120 "$VLENS_BUILD/tests/unit/trust-probe" "$@"; }
stored() { vlens trust list -J | jq -r ".kernels[] | select(.release | startswith(\"$1\")) | .build_id"; }

# address WHAT: the address of a symbol in the dump. hex ADDRESS N: the N bytes there.
address() { vpeek -J "$D" "$1" 8 2>/dev/null | jq -r '.places[0].address'; }
hex() { vpeek -J "$D" "$(printf '0x%x' "$1")" "$2" | jq -r '.places[0].bytes'; }

# plant ADDRESS HEX: changes the dump, until the end of the test.
plant() {
	local was
	was=$("$VT_TESTS/lib/poke" "$D" "$ROOT" "$(printf '0x%x' "$1")" "$2")
	undo+=("$(printf '0x%x' "$1") $was")
}

# call FROM TO: the bytes of a call instruction at FROM that calls TO.
call() {
	local n
	n=$(printf '%08x' $((($2 - $1 - 5) & 0xffffffff)))
	echo "e8${n:6:2}${n:4:2}${n:2:2}${n:0:2}"
}

# assert_finding STATUS STATE SITE ADDRESS: verify has exactly this finding.
assert_finding() {
	run --separate-stderr vlens trust verify -J "$D"
	assert_same "$1" "$status"
	assert_same "$2 $3 $(printf '0x%x' "$4")" \
		"$(jq -r '.findings[1:][] | "\(.state) \(.site) \(.address)"' <<<"$output")"
}

@test "clean guests have no finding" {
	local name
	for name in $GUESTS; do
		run --separate-stderr vlens trust verify -J "$(guest "$name")"
		assert_same "$name: 0 " "$name: $status $stderr"
		assert_same "verified" "$(jq -r '.findings[].state' <<<"$output")"
	done
}

@test "a guest is not paused" {
	run --separate-stderr vlens trust verify --stats "$(guest g61)"
	assert_same 0 "$status"
	grep -qE '^paused: +0\.000 ' <<<"$stderr" || fail "$stderr"
}

@test "every changed byte is found, unless the change makes another legal form" {
	run probe "$D" "$VLENS_TRUST_DIR/$(stored 6.1.).kernel" 4000 42
	assert_same 0 "$status"
	grep -qx "clean 0" <<<"$output"
	grep -qE '^found text [0-9]{4}$' <<<"$output"
	[[ $output != *missed* ]] || fail "$output"
}

@test "a jump that is retargeted inside a handler is found" {
	local at code before
	at=$(address __x64_sys_getdents64)
	code=$(hex "$at" 256)
	# The first conditional jump with a 32-bit displacement: 0f 8x.
	before=${code%%0f8[2-7]*}
	[[ $before != "$code" && $((${#before} % 2)) -eq 0 ]]
	at=$((at + ${#before} / 2 + 2))
	plant "$at" "$(printf '%02x' $((0x${code:${#before}+4:2} ^ 0x10)))"
	assert_finding 1 changed text "$at"
}

@test "a handler's body that is changed after its entry is found" {
	local at
	at=$(($(address __x64_sys_getdents64) + 0x20))
	plant "$at" 4831c04831c04831c04831c0
	run vlens trust verify "$D"
	assert_same 1 "$status"
	grep -qE '^changed +0x[0-9a-f]+ __x64_sys_getdents64\+0x2' <<<"$output"
}

@test "a call at a trace site is an attachment; a jump or int3 there is a finding" {
	local at to
	at=$(address vfs_read)
	to=$(address filldir64)
	plant "$at" "$(call "$at" "$to")"
	assert_finding 0 attached trace "$at"
	assert_same filldir64 "$(jq -r '.findings[1].to' <<<"$output")"
	plant "$at" "e9$(call "$at" "$to" | cut -c3-)"
	assert_finding 1 changed trace "$at"
	plant "$at" cc
	assert_finding 1 moment trace "$at"
}

@test "tracers and kprobes of a guest are attachments" {
	local state
	in_guest g61 'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing &&
		echo vfs_read >set_ftrace_filter && echo function >current_tracer &&
		echo "p:vlens do_sys_openat2+0x10" >kprobe_events && echo 1 >events/kprobes/vlens/enable'
	run --separate-stderr vlens trust verify -J "$(guest g61)"
	state=$status
	in_guest g61 'cd /sys/kernel/tracing && echo 0 >events/kprobes/vlens/enable && echo >kprobe_events &&
		echo nop >current_tracer && echo >set_ftrace_filter'
	assert_same "0 attached" "$state $(jq -r '.findings[1:][].state' <<<"$output" | sort -u)"
	jq -r '.findings[] | "\(.site) \(.symbol)"' <<<"$output" | grep -qE '^trace vfs_read(\+0x4)?$' || fail "$output"
	jq -r '.findings[] | "\(.site) \(.symbol)"' <<<"$output" | grep -q '^probe do_sys_openat2+0x' || fail "$output"
}

@test "a tracer of many functions leaves room for findings" {
	in_guest g61 'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing &&
		echo "acpi_*" >set_ftrace_filter && echo function >current_tracer'
	run --separate-stderr vlens trust verify -J "$(guest g61)"
	in_guest g61 'cd /sys/kernel/tracing && echo nop >current_tracer && echo >set_ftrace_filter'
	assert_same "0 " "$status $stderr"
	assert_same "1024 some more" "$(jq -r '[.findings[1:][] | select(.state == "attached")] |
		"\(length - 1) \(.[-1].found)"' <<<"$output" | sed 's/[0-9]* more/some more/')"
}

@test "a trampoline that leads elsewhere is found" {
	local site
	site=$(address __SCT__might_resched)
	plant "$site" "e9$(call "$site" $(($(address vfs_read) + 7)) | cut -c3-)"
	run --separate-stderr vlens trust verify -J "$D"
	assert_same 1 "$status"
	# The calls of that key lead elsewhere than the trampoline now.
	assert_same "trampoline __SCT__might_resched vfs_read+0x7" \
		"$(jq -r '.findings[] | select(.site == "trampoline") | "\(.site) \(.symbol) \(.to)"' <<<"$output")"
	assert_same static-call "$(jq -r '.findings[2].site' <<<"$output")"
}

@test "a guest of another build is refused, and the message names both builds" {
	local own other
	own=$(stored 6.1.) other=$(stored 5.10)
	VLENS_TRUST_DIR=$T/none run --separate-stderr vlens trust verify "$D"
	assert_same 3 "$status"
	[[ $stderr == *"no trusted kernel of the guest's build $own"*"vlens trust add"* ]] || fail "$stderr"
	mkdir "$T/wrong"
	cp "$VLENS_TRUST_DIR/$other.kernel" "$T/wrong/$own.kernel"
	VLENS_TRUST_DIR=$T/wrong run --separate-stderr vlens trust verify "$D"
	assert_same 3 "$status"
	[[ $stderr == *"is of build $own, the trusted one of build $other"* ]] || fail "$stderr"
}

@test "an image without a relocation list is refused for a kernel that was moved" {
	local own
	own=$(stored 6.1.)
	mkdir "$T/still"
	"$VT_TESTS/lib/mkkernel" relocations "$VLENS_TRUST_DIR/$own.kernel" "$T/still/$own.kernel"
	VLENS_TRUST_DIR=$T/still run --separate-stderr vlens trust verify "$D"
	assert_same 3 "$status"
	[[ $stderr == *"was moved by 0x"*"no relocation list"* ]] || fail "$stderr"
}

@test "each compression of a kernel is read; a truncated or damaged image is refused" {
	local form size
	{
		printf '\177ELF'
		head -c 300000 "$VLENS_BUILD/vlens"
	} >"$T/elf"
	for form in gzip bzip2 xz lzma zstd lz4 lzo; do
		"$VT_TESTS/lib/mkkernel" "$form" "$T/elf" "$T/image"
		probe unpack "$T/image" >"$T/out" || fail "$form"
		cmp "$T/elf" "$T/out"
		size=$(stat -c %s "$T/image")
		head -c $((size / 2)) "$T/image" >"$T/cut"
		run --separate-stderr probe unpack "$T/cut"
		assert_same "$form 3" "$form $status"
		[[ $stderr == *"cut short"* && $stderr != *$'\n'* ]] || fail "$form: $stderr"
		cp "$T/image" "$T/damaged"
		printf 'damaged, damaged' | dd of="$T/damaged" bs=1 seek=$((size / 2)) conv=notrunc status=none
		run --separate-stderr probe unpack "$T/damaged"
		# A form without a checksum may unpack, to other data.
		[[ $status -eq 3 && $stderr == *damaged* && $stderr != *$'\n'* ]] || ! cmp -s "$T/elf" <(probe unpack "$T/damaged")
	done
}

@test "a broken image is an error, never a crash" {
	local form
	{
		printf '\177ELF'
		head -c 60000 "$VLENS_BUILD/vlens"
	} >"$T/elf"
	for form in gzip bzip2 xz lzma zstd lz4 lzo none; do
		"$VT_TESTS/lib/mkkernel" "$form" "$T/elf" "$T/image"
		run probe break "$T/image" 100 1
		assert_same "$form opened 0 refused 100" "$form $output"
	done
	run probe break "$VLENS_TRUST_DIR/$(stored 5.10.).kernel" 12 2
	[[ $status -eq 0 && $output =~ ^opened\ [0-9]+\ refused\ [1-9][0-9]*$ ]] || fail "$output"
}

@test "the index of a stored kernel says what its image says, and a damaged one does no harm" {
	local name kernel
	for name in 5.10. 6.1. 6.12. 7.; do
		kernel=$VLENS_TRUST_DIR/$(stored "$name").kernel
		run probe index "$kernel" 16 3
		[[ $status -eq 0 && $output == $'same\ntaken '[1-9]*' left '[1-9]* ]] ||
			fail "$name $status $output"
	done
	# A stored kernel can be named, too.
	run --separate-stderr vps --trusted="$kernel" "$(guest g7)" -e
	assert_same 0 "$status"
	assert_same "" "$stderr"
}

@test "a package is trusted by its list of checksums" {
	local image=$VLENS_TEST_RUN/g61/vmlinuz
	mkdir -p "$T/deb/boot" "$T/deb/DEBIAN" "$T/store"
	export VLENS_TRUST_DIR=$T/store
	printf 'Package: linux-image-test\nVersion: 1.2-3\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n' \
		>"$T/deb/DEBIAN/control"
	dpkg-deb --root-owner-group -Zgzip -b "$T/deb" "$T/empty.deb" >/dev/null
	run --separate-stderr vlens trust add "$T/empty.deb"
	assert_same 1 "$status"
	[[ $stderr == *"empty.deb has no kernel in it"* ]] || fail "$stderr"
	cp "$image" "$T/deb/boot/vmlinuz-test"
	(cd "$T/deb" && md5sum boot/* >DEBIAN/md5sums)
	dpkg-deb --root-owner-group -Zgzip -b "$T/deb" "$T/good.deb" >/dev/null
	run --separate-stderr vlens trust add -J -o package,version,member,sha256,checked "$T/good.deb"
	assert_same "0 " "$status $stderr"
	assert_same "linux-image-test 1.2-3 boot/vmlinuz-test $(sha256sum <"$T/good.deb" | cut -d' ' -f1)" \
		"$(jq -r '.kernels[] | "\(.package) \(.version) \(.member) \(.sha256)"' <<<"$output")"
	assert_same "MD5 of the package's list; unsigned" "$(jq -r '.kernels[].checked' <<<"$output")"
	sed -i 's/^..../0000/' "$T/deb/DEBIAN/md5sums"
	dpkg-deb --root-owner-group -Zgzip -b "$T/deb" "$T/bad.deb" >/dev/null
	run --separate-stderr vlens trust add "$T/bad.deb"
	assert_same 1 "$status"
	[[ $stderr == *"boot/vmlinuz-test: its checksum is not the one in the package's list"* ]] || fail "$stderr"
	head -c 4000000 "$T/good.deb" >"$T/cut.deb"
	run --separate-stderr vlens trust add "$T/cut.deb"
	assert_same 1 "$status"
	[[ $stderr == "vlens trust: $T/cut.deb: "*damaged* ]] || fail "$stderr"
	# A directory adds all images and packages in it.
	mkdir "$T/many"
	mv "$T/good.deb" "$T/many"
	cp "$VLENS_TEST_RUN/g7/vmlinuz" "$T/many/vmlinuz-7"
	rm -r "$T/store"
	vlens trust add "$T/many" >/dev/null
	assert_same 2 "$(vlens trust list -J | jq '.kernels | length')"
}

@test "an rpm package is trusted by its checksums" {
	export VLENS_TRUST_DIR=$T/store
	"$VT_TESTS/lib/mkkernel" rpm "$VLENS_TEST_RUN/g61/vmlinuz" "$T/k.rpm"
	run --separate-stderr vlens trust add -J "$T/k.rpm"
	assert_same "0 " "$status $stderr"
	assert_same "kernel-core 1.2.3-4.fc99 SHA-256 of the package's header; unsigned" \
		"$(jq -r '.kernels[] | "\(.package) \(.version) \(.checked)"' <<<"$output")"
	printf x | dd of="$T/k.rpm" bs=1 seek=$(($(stat -c %s "$T/k.rpm") - 100)) conv=notrunc status=none
	run --separate-stderr vlens trust add "$T/k.rpm"
	assert_same 1 "$status"
	[[ $stderr == *"its checksum is not the one in its header"* ]] || fail "$stderr"
}

@test "a file that is not a kernel, a missing command and a missing guest are errors" {
	run --separate-stderr vlens trust add "$VT_TESTS/57-trust.bats" /nonexistent
	assert_same 1 "$status"
	[[ $stderr == *"this is no kernel"*"cannot read /nonexistent"* ]] || fail "$stderr"
	run --separate-stderr vlens trust
	assert_usage "vlens trust" "no command is named; the commands are add, list and verify"
	run --separate-stderr vlens trust verify
	assert_usage "vlens trust" "no guest is named"
}
