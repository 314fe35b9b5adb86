#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The store of trusted kernels: files and packages that can be added, damaged ones, and which users
# may read and remove them.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/trust

setup_file() { trust_begin; }

setup() {
	T=$BATS_TEST_TMPDIR
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
	local name kernel same=$'^same\ntaken [0-9]+ left [1-9][0-9]*$'
	for name in 5.10. 6.1. 6.12. 7.; do
		kernel=$VLENS_TRUST_DIR/$(stored "$name").kernel
		run probe index "$kernel" 16 3
		# What the checksum covers is the same wherever a broken index is used.
		[[ $status -eq 0 && $output =~ $same ]] ||
			fail "$name $status $output"
	done
	# A file of the store that was cut short is named, and not the guest.
	local k=${kernel##*/} cut
	mkdir "$T/cut"
	cp "${kernel%.kernel}.origin" "$T/cut"
	for cut in 100 5000000 30000000; do
		head -c -$cut "$kernel" >"$T/cut/$k"
		for tool in "vps --trusted=auto" "vlens trust verify"; do
			# shellcheck disable=SC2086 # words
			VLENS_TRUST_DIR=$T/cut run --separate-stderr $tool "$(guest g7)"
			assert_same 3 "$status"
			[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"the stored trusted kernel of build ${k%.kernel} is damaged"*"vlens trust add FILE"* ]] ||
				fail "$tool $cut $stderr"
		done
	done
	# A stored kernel can be named, too.
	run --separate-stderr vps --trusted="$kernel" "$(guest g7)" -e
	assert_same 0 "$status"
	assert_empty "$stderr"
}

@test "a stored kernel or module that was damaged is refused, also after runs that used it" {
	local id tool k at module
	export VLENS_TRUST_DIR=$T/store VLENS_RUN_DIR=$T/run VLENS_KEEP=0
	vlens trust add "$VLENS_TEST_RUN/g61/vmlinuz" >/dev/null
	id=$(stored 6.1.)
	k=$VLENS_TRUST_DIR/$id.kernel
	vps --trusted=auto "$(guest g61)" -e >/dev/null
	[[ -s $T/run/trusted-$id.right ]] || fail "nothing is kept of the comparison"
	cp --preserve "$k" "$T/whole"
	# In the text, in the data, in the index; and with the time of the last change set back.
	for at in $((3 << 20)) $((30 << 20)) $(($(stat -c %s "$k") - 4000)); do
		printf 'damaged' | dd of="$k" bs=1 seek="$at" conv=notrunc status=none
		touch -r "$T/whole" "$k"
		for tool in "vps --trusted=auto" "vlens trust verify"; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr $tool "$(guest g61)"
			assert_same 3 "$status"
			[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"the stored trusted kernel of build $id is damaged: its checksum is another one"*"vlens trust add FILE"* ]] ||
				fail "$tool $at $stderr"
		done
		run --separate-stderr vlens trust list --no-headers -o state
		assert_same "1 the kernel is damaged: its checksum is another one " "$status $output $stderr"
		cp "$T/whole" "$k"
	done
	truncate -s -100 "$k"
	run --separate-stderr vlens trust list -J
	assert_same "1 the kernel is damaged: its file is cut short" "$status $(jq -r '.kernels[].state' <<<"$output")"
	cp "$T/whole" "$k"
	# The first form of its end, which had no checksum in front of it.
	printf 'vlens index\0\0\0\0\0' | dd of="$k" bs=1 seek=$(($(stat -c %s "$k") - 32)) conv=notrunc status=none
	for tool in "vps --trusted=auto" "vlens trust verify" vcheck; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $tool "$(guest g61)"
		assert_same 3 "$status"
		[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"the stored trusted kernel of build $id has no checksum: an older vlens stored it"*"vlens trust add FILE"* ]] ||
			fail "$tool $stderr"
	done
	cp "$T/whole" "$k"
	run --separate-stderr vps --trusted=auto "$(guest g61)" -e
	assert_same "0 " "$status $stderr"
	run --separate-stderr vlens trust list --no-headers -o state
	assert_same "0 sound " "$status $output $stderr"
	# A module of which one byte is another one is not taken, and neither is one of a damaged index.
	module=$(find "$("$VT_TESTS/fetch-kernel" 6.1)/" -name 'dummy.ko*' | head -n 1)
	vlens trust add "$module" >/dev/null
	run vlens trust verify -J "$(guest g61)"
	assert_same verified "$(jq -r '.findings[] | select(.symbol == "[dummy]") | .state' <<<"$output")"
	k=$(echo "$VLENS_TRUST_DIR"/*.modules)
	cp "$k" "$T/whole"
	for at in 100 $(($(stat -c %s "$k") - 4000)); do
		printf 'damaged' | dd of="$k" bs=1 seek="$at" conv=notrunc status=none
		run vlens trust verify -J "$(guest g61)"
		jq -r '.findings[] | select(.symbol == "[dummy]") | "\(.state) \(.found)"' <<<"$output" |
			grep -q '^unverified .*damaged.*add .* package again$' || fail "$at $output"
		run --separate-stderr vlens trust list --no-headers -o state
		[[ $status -eq 1 && $output == the\ *module*damaged ]] || fail "$status $output"
		cp "$T/whole" "$k"
	done
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
	# A second name of the same file has no content in the package.
	ln "$T/deb/boot/vmlinuz-test" "$T/deb/boot/vmlinuz-too"
	(cd "$T/deb" && md5sum boot/* >DEBIAN/md5sums)
	dpkg-deb --root-owner-group -Zgzip -b "$T/deb" "$T/good.deb" >/dev/null
	run --separate-stderr vlens trust add -J -o package,version,member,sha256,checked "$T/good.deb"
	assert_same "0 " "$status $stderr"
	assert_same "linux-image-test 1.2-3 $(sha256sum <"$T/good.deb" | cut -d' ' -f1)" \
		"$(jq -r '.kernels[] | "\(.package) \(.version) \(.sha256)"' <<<"$output")"
	[[ $(jq -r '.kernels[].member' <<<"$output") =~ ^boot/vmlinuz-(test|too)$ ]] || fail "$output"
	assert_same "MD5 verified; no signature in it" "$(jq -r '.kernels[].checked' <<<"$output")"
	sed -i 's/^..../0000/' "$T/deb/DEBIAN/md5sums"
	dpkg-deb --root-owner-group -Zgzip -b "$T/deb" "$T/bad.deb" >/dev/null
	run --separate-stderr vlens trust add "$T/bad.deb"
	assert_same 1 "$status"
	[[ $stderr == *"boot/vmlinuz-t"*": its checksum is not the one in the package's list"* ]] || fail "$stderr"
	head -c 4000000 "$T/good.deb" >"$T/cut.deb"
	run --separate-stderr vlens trust add "$T/cut.deb"
	assert_same 1 "$status"
	[[ $stderr == "vlens trust: $T/cut.deb: "*damaged* ]] || fail "$stderr"
	# Nothing is stored of a package that is cut behind its kernel, or has one damaged member.
	rm -r "$T/store" "$T/deb/DEBIAN/md5sums" "$T/deb/boot/vmlinuz-too"
	mkdir -p "$T/deb/lib/modules/x"
	head -c 3000000 /dev/urandom >"$T/deb/lib/modules/x/last.ko"
	dpkg-deb --root-owner-group -Znone -b "$T/deb" "$T/module.deb" >/dev/null
	head -c -2000000 "$T/module.deb" >"$T/cut.deb"
	for package in module cut; do
		run --separate-stderr vlens trust add "$T/$package.deb"
		assert_same "1 " "$status $output"
		[[ $stderr == "vlens trust: $T/$package.deb: "*last.ko* ]] || fail "$stderr"
		assert_empty "$(ls -A "$T/store")"
	done
	# A directory adds all images and packages in it.
	mkdir "$T/many"
	mv "$T/good.deb" "$T/many"
	cp "$VLENS_TEST_RUN/g7/vmlinuz" "$T/many/vmlinuz-7"
	rm -r "$T/store"
	# A file that is not regular is skipped, under whatever name.
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$T/many/vmlinuz-socket"
	mkfifo "$T/many/vmlinuz-fifo"
	ln -s vmlinuz-7 "$T/many/vmlinuz-link"
	run --separate-stderr vlens trust add "$T/many"
	assert_same "0 " "$status $stderr"
	assert_same 2 "$(vlens trust list -J | jq '.kernels | length')"
	run --separate-stderr vlens trust add "$T/many/vmlinuz-socket"
	assert_same "1 " "$status $output"
	[[ $stderr == *"cannot read $T/many/vmlinuz-socket"* ]] || fail "$stderr"
}

@test "an rpm package is trusted by its checksums" {
	export VLENS_TRUST_DIR=$T/store
	"$VT_TESTS/lib/mkkernel" rpm "$VLENS_TEST_RUN/g61/vmlinuz" "$T/k.rpm"
	run --separate-stderr vlens trust add -J "$T/k.rpm"
	assert_same "0 " "$status $stderr"
	assert_same "kernel-core 1.2.3-4.fc99 SHA-256 verified; no signature in it" \
		"$(jq -r '.kernels[] | "\(.package) \(.version) \(.checked)"' <<<"$output")"
	printf x | dd of="$T/k.rpm" bs=1 seek=$(($(stat -c %s "$T/k.rpm") - 100)) conv=notrunc status=none
	run --separate-stderr vlens trust add "$T/k.rpm"
	assert_same 1 "$status"
	[[ $stderr == *"its checksum is not the one in its header"* ]] || fail "$stderr"
}

@test "what a command that was killed has left of a file is removed by the next one" {
	local image=$VLENS_TEST_RUN/g61/vmlinuz turn
	export VLENS_TRUST_DIR=$T/killed
	vlens trust add "$image" >/dev/null
	touch "$T"/killed/{0123.kernel,0123.origin,6.1.modules}.AbC123 "$T/killed/own.kernel.notes"
	# It waits for its turn.
	exec {turn}<"$T/killed"
	flock "$turn"
	vlens trust add "$image" >/dev/null &
	sleep 1
	[[ -e $T/killed/0123.kernel.AbC123 ]]
	flock -u "$turn"
	wait $!
	exec {turn}<&-
	run ls "$T/killed"
	[[ ${#lines[@]} -eq 3 && $output == *own.kernel.notes* ]] || fail "$output"
}

@test "kernels are listed with their time, and removed by build id, release or file" {
	local image=$VLENS_TEST_RUN/g61/vmlinuz
	export VLENS_TRUST_DIR=$T/store
	run --separate-stderr vlens trust list
	assert_same "0  no kernel is stored: vlens trust add FILE stores one" "$status $output $stderr"
	run --separate-stderr vlens trust list -J
	assert_same "0 0 " "$status $(jq '.kernels | length' <<<"$output") $stderr"
	vlens trust add "$image" "$VLENS_TEST_RUN/g510/vmlinuz" >/dev/null
	run --separate-stderr vlens trust list --no-headers -o added
	[[ ${#lines[@]} -eq 2 && ${lines[0]} =~ ^20[0-9-]+T[0-9:]+Z$ ]] || fail "$output"
	run --separate-stderr vlens trust remove 0123abcd "$T/nothing" ''
	assert_status 1
	[[ $stderr == *"has no kernel '0123abcd'"*"has no kernel '$T/nothing'"* ]] || fail "$stderr"
	assert_same 2 "$(vlens trust list -J | jq '.kernels | length')"
	run --separate-stderr vlens trust remove -J "$image"
	assert_same "0 6.1." "$status $(jq -r '.kernels[].release[:4]' <<<"$output")"
	run --separate-stderr vlens trust remove "$(stored 5.10 | cut -c1-12)"
	assert_same "0 " "$status $stderr"
	assert_empty "$(ls "$T/store")"
	vlens trust add "$image" >/dev/null
	vlens trust remove "$(vlens trust list --no-headers -o release)" >/dev/null
	assert_empty "$(ls "$T/store")"
	run --separate-stderr vlens trust remove
	assert_usage "vlens trust" "no kernel is named"
}

@test "the modules of a release go with its last kernel" {
	local id
	with_modules g61
	id=$(stored 6.1.)
	run -1 --separate-stderr vlens trust remove "${id:0:5}"
	[[ $stderr == *"has no kernel '${id:0:5}'; name 8 digits of a build id, or more: ${id:0:8}" ]] || fail "$stderr"
	run -1 --separate-stderr vlens trust remove 6.1.
	[[ $stderr == *"has no kernel '6.1.'; name the whole release: 6.1."*-amd64 ]] || fail "$stderr"
	cp -r "$VLENS_TRUST_DIR" "$T/copy"
	export VLENS_TRUST_DIR=$T/copy
	[[ -n $(find "$T/copy" -name '6.1.*.modules') ]]
	vlens trust remove "$(stored 6.1.)" >/dev/null
	assert_empty "$(stored 6.1.)$(find "$T/copy" -name '6.1.*.modules')"
}

@test "other users use the kernels of root, and cannot remove them" {
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr "$VT_TESTS/lib/in-overlay" "$VLENS_TEST_RUN" bash -c '
		unset VLENS_TRUST_DIR
		cp "$1/vlens" /usr/local/bin/vlens
		as() { HOME=/tmp/other setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
		install -d -o 65534 /tmp/other
		vlens trust add "$2" >/dev/null && as vlens trust list -J && as vlens trust remove "$2"
		' bash "$VLENS_BUILD" "$VLENS_TEST_RUN/g61/vmlinuz"
	[[ $status -ne 77 ]] || skip "$output"
	assert_same 6.1. "$(jq -r '.kernels[].release[:4]' <<<"$output")"
	[[ $status -eq 1 && $stderr == *"has no kernel '$VLENS_TEST_RUN/g61/vmlinuz'"* ]] || fail "$status $stderr"
}

@test "a file of a directory that may not be read is skipped, and named if there is no other" {
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr "$VT_TESTS/lib/in-overlay" "$VLENS_TEST_RUN" bash -c '
		unset VLENS_TRUST_DIR
		cp "$1/vlens" /usr/local/bin/vlens
		as() { HOME=/tmp/other setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
		install -d -o 65534 /tmp/other
		install -d -m 755 /tmp/boot
		install -m 600 "$2" /tmp/boot/vmlinuz-of-root
		as vlens trust add /tmp/boot && exit
		install -m 644 "$2" /tmp/boot/vmlinuz
		as vlens trust add -J /tmp/boot
		' bash "$VLENS_BUILD" "$VLENS_TEST_RUN/g61/vmlinuz"
	[[ $status -ne 77 ]] || skip "$output"
	assert_same "0 6.1." "$status $(jq -r '.kernels[].release[:4]' <<<"$output")"
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"cannot read /tmp/boot/vmlinuz-of-root: Permission denied"* ]] ||
		fail "$stderr"
}

@test "a file that is not a kernel, a missing command and a missing guest are errors" {
	run --separate-stderr vlens trust add "$VT_TESTS/57-trust.bats" /nonexistent
	assert_same 1 "$status"
	[[ $stderr == *"this is not a kernel"*"cannot read /nonexistent"* ]] || fail "$stderr"
	run --separate-stderr vlens trust
	assert_usage "vlens trust" "no command is named; the commands are add, list, remove and verify"
	run --separate-stderr vlens trust verify
	assert_usage "vlens trust" "no guest is named"
}
