#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Images of memory that are cut short, or lack pages: the tools show what the file has, and print
# nothing wrong about the rest.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/images

setup_file() { images_begin; }

teardown_file() { images_end; }

setup() {
	T=$BATS_TEST_TMPDIR
}

@test "a raw image that is cut short: right, or the file is to blame; views show what is in it" {
	local size cut end refused=
	dump g7
	vps "$DUMPS/g7.elf" -ef >"$T/whole"
	"$VT_TESTS/lib/image" raw "$DUMPS/g7.elf" "$T/raw"
	size=$(stat -c %s "$T/raw")
	# Where the kernel has put what ps asks for differs from boot to boot.
	for cut in 4 8 12 14 16 18 20 24 48 64 80; do
		end=$((size - (cut << 20)))
		truncate -s "$end" "$T/raw"
		run --separate-stderr vps "$T/raw" -ef
		if [[ $status -eq 0 ]]; then
			assert_same "$(<"$T/whole")" "$output"
			continue
		fi
		assert_refused vps "$T/raw" "the file is cut short: it ends at byte $end of "
		[[ $stderr == *"vlens dump GUEST FILE; vps --partial shows what is in it" ]] ||
			fail "$stderr"
		refused=1
		break
	done
	[[ -n $refused ]] || fail "a third of the memory was cut off, and nothing was missed"
	run --separate-stderr vpslist "$T/raw"
	# The list may lie in the rest as a whole.
	if [[ $status -eq 0 ]]; then
		assert_same "$(vpslist "$DUMPS/g7.elf")" "$output"
	else
		assert_status 3
		[[ ${#lines[@]} -gt 10 && $stderr == *"the file is cut short: "* ]] || fail "${#lines[@]} lines: $stderr"
	fi
}

@test "--partial: what is there of a file that is cut short, in each format" {
	local form size end
	dump g7
	vps "$DUMPS/g7.elf" -ef >"$T/whole"
	for form in elf raw lime vmcore avml kdump-lzo xen vmss lime.gz; do
		if [[ $form == elf ]]; then
			cp "$DUMPS/g7.elf" "$T/elf"
			chmod u+w "$T/elf"
		elif [[ $form == *.gz ]]; then
			"$VT_TESTS/lib/image" lime "$DUMPS/g7.elf" "$T/lime"
			gzip -1 "$T/lime"
		else
			"$VT_TESTS/lib/image" "$form" "$DUMPS/g7.elf" "$T/$form"
		fi
		size=$(stat -c %s "$T/$form")
		# A little first: the answer is likely to be whole.
		for end in $((size - size / 512)) $((size - size / 10)); do
			truncate -s "$end" "$T/$form"
			run --separate-stderr vps --partial "$T/$form" -ef
			# What a raw image lacks is known by its kernel, whose page tables may be cut off.
			[[ $stderr =~ "vps: $T/$form: the file is cut short: "[0-9]+" of "[0-9]+" pages" ||
				($form == raw && $stderr == *"may lie in the rest; vmem shows"*) ]] ||
				fail "$form: $status $stderr"
			# The dump has registers: where they lead nowhere, the kernel is searched for.
			[[ $form != elf ]] ||
				assert_same "$(vpslist --partial --kernel=1 "$T/elf" 2>&1)" "$(vpslist --partial "$T/elf" 2>&1)"
			[[ $status -ne 0 ]] || assert_same "$(<"$T/whole")" "$output"
			[[ $status -eq 0 || $status -eq 3 ]] || fail "$form: $status $stderr"
			[[ $form == raw ]] || assert_partial "$T/$form"
		done
		rm "$T/$form"
	done
	# A file that has all of its memory needs no such option, and nothing is said.
	run --separate-stderr vps --partial "$DUMPS/g7.elf" -ef
	[[ $status -eq 0 && -z $stderr ]] || fail "$stderr"
	assert_same "$(<"$T/whole")" "$output"
}

# Pages are missing anywhere, as in a file that was copied in part. Its kernel's image is whole, so
# the kernel is known.
@test "a file with holes: what lies in one is absent, never 0, in each view; and that is said" {
	local seed share image
	dump g7
	image=$(vmem -J "$DUMPS/g7.elf" | jq -r '.memory[] | select(.what == "kernel image") | .phys' | head -1)
	for seed in 1 2 3; do
		share=$((seed * 10))
		"$VT_TESTS/lib/punch" "$DUMPS/g7.elf" "$T/punched" "$((SRANDOM >> 4))" "$share" \
			"$image-$(printf '%x' $((image + (64 << 20))))"
		"$VT_TESTS/lib/punch" --compare "$DUMPS/g7.elf" "$T/punched" vps vuname vfree vlsmod vuptime \
			vlsof vss vip vdmesg vpidlist vpslist vcredlist vcheck vsyscalldump "vtop -b -n 1" export \
			|| fail "share $share"
		# A program that would print 1970 ends instead, with what the kernel's code lacked.
		run --separate-stderr vdate --partial "$T/punched" +%s
		[[ $status -eq 0 && $output == "$(vdate "$DUMPS/g7.elf" +%s)" ]] ||
			[[ $status -eq 3 && -z $output && $stderr == "vdate: $T/punched: "* ]] || fail "$output $stderr"
	done
}

# What only some pages show is no finding: neither that a process is hidden, nor that code has no owner.
@test "a file with holes, also in its kernel: vcheck finds nothing, and says what it could not check" {
	local seed first kept tool n=0
	dump g7
	first=$(vmem -J "$DUMPS/g7.elf" | jq -r '.memory[] | select(.what == "kernel image") | .phys' | head -1)
	# Its text and constants, with the tables of symbols; its data may be missing.
	kept=$first-$(printf '%x' $((first + (33 << 20))))
	for seed in {1..12}; do
		[[ $n -lt 3 ]] || break
		"$VT_TESTS/lib/punch" "$DUMPS/g7.elf" "$T/punched" "$seed" 40 "$kept"
		run --separate-stderr vcheck --partial "$T/punched"
		assert_status 3
		# Without a page table that leads to its symbols the kernel is not known.
		[[ $stderr != *"it may lie in the part that the file lacks"* ]] || continue
		n=$((n + 1))
		[[ $output != *finding* && $output != *"no findings"* ]] || fail "$output"
		# Its types may be cut, too, and its symbols must not.
		[[ ${stderr_lines[-1]} == "vcheck: $T/punched: not all could be checked of "*" is not in the file; "* ]] ||
			fail "$stderr"
		for tool in "vsyscalldump --partial" "vtop -b -n 1 --partial" "vps --containers --partial" "vlens export --once"; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr $tool "$T/punched"
			[[ $status -eq 3 || $tool == vsyscalldump* ]] || fail "$tool: status $status"
			[[ $status -eq 0 || ${stderr_lines[-1]} == *"$T/punched: "*"; "* ]] || fail "$tool: $stderr"
		done
	done
	[[ $n -gt 0 ]] || fail "no such file was read"
	run --separate-stderr vwatch --duration 1 "$T/punched"
	assert_refused vwatch "$T/punched" "a file does not change"
}

@test "a file without the page of the interrupt table: that is said, and what to do" {
	local at
	dump g7
	at=$(vpeek -J "$DUMPS/g7.elf" idt_table 8 | jq -r '.places[0].address')
	at=$(vmem -J "$DUMPS/g7.elf" | jq -r '.memory[] | select(.what == "kernel image") | "\(.start) \(.phys)"' |
		while read -r start phys; do echo $((at - start + phys)); done)
	"$VT_TESTS/lib/punch" "$DUMPS/g7.elf" "$T/punched" 1 1001 "0-$(printf '%x' "$at")" \
		"$(printf '%x' $((at + 4096)))-ffffffff"
	run --separate-stderr vps "$T/punched" -ef
	assert_refused vps "$T/punched" "the file does not have the guest's interrupt table, or a page table on the way to it; vps --partial searches"
	run --separate-stderr vps --partial "$T/punched" -ef
	assert_refused vps "$T/punched" "the file does not have the guest's interrupt table, or a page table on the way to it; its kernel cannot be found without it; save the guest again"
}

@test "a LiME file that ends with a range, and lacks what is behind: its kernel knows" {
	local pages
	dump g7
	"$VT_TESTS/lib/image" lime "$DUMPS/g7.elf" "$T/lime"
	pages=$(($(stat -c %s "$T/lime") / 4096 - 16 * 256))
	truncate -s $((32 + pages * 4096)) "$T/lime"
	# The last address of the first range, in its header.
	python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("<Q", int(sys.argv[1]) * 4096 - 1))' "$pages" |
		dd of="$T/lime" bs=1 seek=16 conv=notrunc status=none
	run --separate-stderr vmem "$T/lime"
	[[ ${stderr_lines[0]} =~ ^"vmem: $T/lime: the file is cut short: $pages of "[0-9]+" pages; data in the rest are missing from this answer"$ ]] ||
		fail "$stderr"
	# A page table may lie in the rest, too.
	[[ $status -eq 0 || ($status -eq 3 && ${#stderr_lines[@]} -eq 2) ]] || fail "$status: $stderr"
	run --separate-stderr vps "$T/lime" -ef
	if [[ $status -eq 0 ]]; then
		assert_same "$(vps "$DUMPS/g7.elf" -ef)" "$output"
	else
		assert_refused vps "$T/lime" "the file is cut short: its memory ends at 0x"
	fi
	assert_partial_says "$T/lime"
}

@test "a cut file: vmem, vlist and vtop say how much of it is there" {
	local tool
	dump g7
	"$VT_TESTS/lib/image" raw "$DUMPS/g7.elf" "$T/raw"
	truncate -s -4M "$T/raw"
	for tool in vmem "vlist --partial" "vtop -b -n 1 --partial"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $tool "$T/raw"
		[[ $stderr =~ "$T/raw: the file is cut short: "[0-9]+" of "[0-9]+" pages" ]] || fail "$tool: $stderr"
	done
	# Where what is missing was, and how much that is.
	run --separate-stderr vmem -J "$T/raw"
	[[ $stderr =~ " cut short: "([0-9]+)" of "([0-9]+)" pages" ]] || fail "$stderr"
	assert_same "$(printf '"0x%x" %d' "$(stat -c %s "$T/raw")" $(((BASH_REMATCH[2] - BASH_REMATCH[1]) * 4)))" \
		"$(jq -r '.memory[] | select(.what == "RAM, not in the file") | "\(.start | tojson) \(.size)"' <<<"$output")"
	run --separate-stderr vlens dump "$T/raw" "$T/again"
	[[ $status -eq 0 && $stderr =~ "; the file that was read is cut short: "[0-9]+" of "[0-9]+" pages" ]] || fail "$stderr"
}

@test "each format: a wrong magic, a file that grows, bytes behind its end: one line, or the whole answer" {
	local form half size
	dump g7
	vps "$DUMPS/g7.elf" -ef >"$T/whole"
	for form in elf lime avml kdump-lzo kdump-lzo-flat xen vmss; do
		if [[ $form == elf ]]; then
			cp "$DUMPS/g7.elf" "$T/elf"
			chmod u+w "$T/elf"
		else
			"$VT_TESTS/lib/image" "$form" "$DUMPS/g7.elf" "$T/$form"
		fi
		size=$(stat -c %s "$T/$form") half=$((size / 2))
		# It grows while it is read.
		head -c "$half" "$T/$form" >"$T/grows"
		(for _ in 1 2 3 4; do
			sleep 0.02
			head -c $((size / 64))
		done && cat) < <(tail -c +$((half + 1)) "$T/$form") >>"$T/grows" 3>&- &
		run --separate-stderr vps "$T/grows" -ef
		wait $!
		[[ $status -eq 0 && $output == "$(<"$T/whole")" ]] || assert_refused vps "$T/grows" "is truncated: "
		assert_same "$(<"$T/whole")" "$(vps "$T/grows" -ef)"
		# A range that is expected there, or nothing that counts.
		echo behind >>"$T/grows"
		run --separate-stderr vps "$T/grows" -ef
		if [[ $form == lime || $form == avml ]]; then
			assert_refused vps "$T/grows" "is truncated: "
			assert_same "$(<"$T/whole")" "$(vps --partial "$T/grows" -ef)"
		else
			assert_same "$(<"$T/whole")" "$output"
		fi
		# Without its magic it is taken for memory alone, which begins elsewhere.
		printf XXXXXXXX | dd of="$T/$form" conv=notrunc status=none
		run --separate-stderr vps "$T/$form" -ef
		assert_refused vps "$T/$form" "the memory has "
		rm "$T/$form" "$T/grows"
	done
	head -c 1M /dev/urandom >"$T/encrypted.vmss"
	run --separate-stderr vps "$T/encrypted.vmss" -ef
	assert_refused vps "$T/encrypted.vmss" "the file is no state of a VMware machine, or that of an encrypted one; "
}

@test "a file without some pages of the kernel's types: refused; with --partial its code shows the fields" {
	local tool
	dump g7
	"$VT_TESTS/lib/image" holed "$DUMPS/g7.elf" "$T/holed" sched_dl_entity
	run --separate-stderr vps "$T/holed" -ef
	assert_refused vps "$T/holed" "the file does not have all of the kernel's types (BTF); vps --partial takes the fields of structures from its code"
	for tool in vlsmod vpslist; do
		run --separate-stderr "$tool" --partial "$T/holed"
		assert_status 0
		assert_same "$tool: $T/holed: the file does not have all of the kernel's types (BTF); its code shows where its structures have their fields" "$stderr"
		assert_same "$("$tool" "$DUMPS/g7.elf")" "$output"
	done
}

@test "--partial: vtop of a cut file ends, and so does a small file that claims a large memory" {
	dump g7
	"$VT_TESTS/lib/image" lime "$DUMPS/g7.elf" "$T/lime"
	truncate -s -12M "$T/lime"
	run --separate-stderr timeout 60 vtop -b -n 1 --partial "$T/lime"
	# It may have all that vtop shows.
	[[ $status -eq 0 || $status -eq 3 ]] || fail "$status: $output$stderr"
	[[ $stderr == *"vtop: $T/lime: the file is cut short: "* ]] || fail "$output$stderr"
	"$VT_TESTS/lib/image" avml "$DUMPS/g7.elf" "$T/avml"
	truncate -s 200K "$T/avml"
	# The end of the first range in the header, little endian: 2^45.
	printf '\xff\xff\xff\xff\xff\x1f\0\0' | dd of="$T/avml" bs=1 seek=16 conv=notrunc status=none
	run --separate-stderr timeout 60 vpslist --partial "$T/avml"
	assert_status 3
	[[ $stderr == *"the file is cut short: "* ]] || fail "$output$stderr"
}

@test "kdump-compressed by makedumpfile -d 31: free pages serve, and those of processes are no zeros" {
	dump g7
	"$VT_TESTS/lib/image" kdump-lzo-filtered "$DUMPS/g7.elf" "$T/filtered" "--tcp=127.0.0.1:4242"
	assert_same "$(vlsmod "$DUMPS/g7.elf")" "$(vlsmod "$T/filtered")"
	assert_same "$(vpslist "$DUMPS/g7.elf")" "$(vpslist "$T/filtered")"
	run --separate-stderr vps "$T/filtered" -ef
	assert_refused vps "$T/filtered" "the page at 0x"
	vps "$DUMPS/g7.elf" -ef >"$T/whole"
	run --separate-stderr vps --partial "$T/filtered" -ef
	assert_status 3
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"/cmdline had no answer: the page at 0x"*" is not in the file; "* ]] ||
		fail "$stderr"
	# Every other row is whole.
	assert_same "$(grep -v 4242 "$T/whole")" "$(grep -v '\[listener\]' <<<"$output")"
	assert_same "$(wc -l <"$T/whole")" "${#lines[@]}"
}

# As makedumpfile leaves out pages of processes: what is not there is no page of zeros.
@test "a file without a page of a process: refused, and other processes are shown" {
	dump g7
	"$VT_TESTS/lib/image" holed "$DUMPS/g7.elf" "$T/holed" "--tcp=127.0.0.1:4242"
	run --separate-stderr vps "$T/holed" -ef
	assert_refused vps "$T/holed" "the page at 0x"
	[[ $stderr == *" is not in the file; vps --partial goes on without it, and views of memory, as vpslist, show what is in the file" ]] || fail "$stderr"
	assert_same "$(vpslist "$DUMPS/g7.elf")" "$(vpslist "$T/holed")"
	assert_same "$(vcat "$DUMPS/g7.elf" /proc/1/cmdline)" "$(vcat "$T/holed" /proc/1/cmdline)"
}
