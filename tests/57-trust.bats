#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Trusted kernels: a guest's text is compared with the image of its build. Clean guests have no
# finding. Every change that is planted in a dump has one.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/trust

setup_file() {
	trust_begin
	export DUMPS=$VLENS_TEST_RUN/trust-dumps
	rm -rf "$DUMPS"
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
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

# little ADDRESS: the bytes of a pointer to it.
little() {
	local n i text=
	n=$(printf '%016x' "$1")
	for i in 14 12 10 8 6 4 2 0; do text+=${n:i:2}; done
	echo "$text"
}

# assert_finding STATUS STATE SITE ADDRESS: verify has exactly this finding.
assert_finding() {
	run --separate-stderr vlens trust verify -J "$D"
	assert_same "$1" "$status"
	assert_same "$2 $3 $(printf '0x%x' "$4")" \
		"$(findings '.[] | "\(.state) \(.site) \(.address)"' <<<"$output")"
}

@test "clean guests have no finding" {
	local name
	for name in $GUESTS; do
		run --separate-stderr vlens trust verify -J "$(guest "$name")"
		assert_same "$name: 0 " "$name: $status $stderr"
		assert_same "verified unverified" "$(jq -r '.findings[].state' <<<"$output" | uniq | xargs)"
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

@test "a constant table that leads to another function is found" {
	local at
	at=$(address proc_root_operations)
	# Its words are functions or 0: the first of them that is one.
	while [[ $(hex "$at" 8) != *ffffffff ]]; do at=$((at + 8)); done
	plant "$at" "$(little "$(address empty_dir_readdir)")"
	assert_finding 1 changed constants "$at"
	assert_same empty_dir_readdir "$(findings '.[0].to' <<<"$output")"
}

@test "a pointer that only the boot code sets is found when it leads elsewhere" {
	local at
	at=$(address delay_fn)
	plant "$at" "$(little "$(address empty_dir_readdir)")"
	assert_finding 1 changed constants "$at"
	# The kernel may have set this one.
	plant "$at" "$(little "$(address delay_tsc)")"
	run --separate-stderr vlens trust verify -J "$D"
	assert_same 0 "$status"
}

# cut_commas FILE WITH: puts the byte WITH in place of the commas in all words of the constants that
# are amidst text. Shorter text can be a part of the table of symbols.
cut_commas() {
	local start end
	start=$(address __start_rodata)
	end=$(address __start_ro_after_init)
	python3 - "$1" "$2" "$(hex $((start + 0x100000)) 4096)" $((end - start)) <<-'EOF'
		import mmap, sys
		f = open(sys.argv[1], "r+b")
		m = mmap.mmap(f.fileno(), 0)
		page = bytes.fromhex(sys.argv[3])
		at = m.find(page) - 0x100000
		assert at > 0 and m.find(page, at + 0x100001) < 0
		for i in range(at + 8, at + int(sys.argv[4]) - 8, 8):
		    word = m[i:i + 8]
		    if b"," in word and all(31 < c < 127 for c in m[i - 8:i + 16]):
		        m[i:i + 8] = word.replace(b",", bytes([int(sys.argv[2])]))
	EOF
}

@test "strings that the kernel cut by strsep() are no finding, and changed ones are" {
	local own
	cp "$D" "$T/cut.elf"
	cut_commas "$T/cut.elf" 0
	run --separate-stderr vlens trust verify -J "$T/cut.elf"
	assert_same "0 " "$status $(findings length <<<"$output" | grep -vx 0)"
	own=$(vps --trusted=auto "$D" -e)
	run --separate-stderr vps --trusted=auto "$T/cut.elf" -e
	assert_same "0 " "$status $stderr"
	assert_same "$own" "$output"
	cp "$D" "$T/changed.elf"
	cut_commas "$T/changed.elf" 88
	run --separate-stderr vlens trust verify -J "$T/changed.elf"
	assert_same 1 "$status"
	run --separate-stderr vps --trusted=auto "$T/changed.elf" -e
	# This is in memory that is used.
	[[ $status -eq 0 && $stderr == *": changed constant "* ]] || fail "$stderr"
	assert_same "$own" "$output"
}

@test "code behind the end of the text, in its last page, is found" {
	local at
	at=$(address _etext)
	[[ $((at & 4095)) -gt 0 && $((at & 4095)) -lt 4080 ]]
	plant $((at + 8)) 4831c0c3
	assert_finding 1 changed text $((at + 8))
}

@test "a call at a trace site that is no tracer's, a jump or an int3 there is a finding" {
	local at to
	at=$(address vfs_read)
	to=$(address filldir64)
	plant "$at" "$(call "$at" "$to")"
	assert_finding 1 changed trace "$at"
	assert_same filldir64 "$(findings '.[0].to' <<<"$output")"
	plant "$at" "e9$(call "$at" "$to" | cut -c3-)"
	assert_finding 1 changed trace "$at"
	plant "$at" cc
	assert_finding 1 changed trace "$at"
}

# jump_label: the address of the first jump label that lies in the text.
jump_label() {
	local start stop at table n i
	start=$(address _stext) stop=$(address _etext) at=$(address __start___jump_table)
	table=$(hex "$at" 16384)
	for ((i = 0; i < ${#table}; i += 32)); do
		n=$((0x${table:i+6:2}${table:i+4:2}${table:i+2:2}${table:i:2}))
		n=$((at + i / 2 + (n ^ 0x80000000) - 0x80000000))
		[[ $n -lt $start || $n -ge $stop ]] || break
	done
	echo "$n"
}

@test "an int3 is a change of the guest's own only while the guest's kernel is making it" {
	local site list vec rel
	site=$(jump_label)
	list=$(address bp_desc) vec=$(address tp_vec)
	plant "$site" cc
	assert_finding 1 changed jump-label "$site"
	run --separate-stderr vps --trusted=auto "$D" -e -o comm=
	assert_status 0
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: "*": changed jump-label ("* ]] || fail "$stderr"
	# The list of changes: its first one is this, and one CPU makes them.
	rel=$(little $((site - $(address _stext))))
	plant "$vec" "${rel:0:8}"
	# A jump by 16 bytes: disp, len, opcode.
	plant $((vec + 4)) 1000000005e9
	plant "$list" "$(little "$vec")0100000001000000"
	run --separate-stderr vlens trust verify -J "$D"
	assert_same "0 poke jump-label" "$status $(findings '.[] | "\(.state) \(.site)"' <<<"$output")"
	run --separate-stderr vcheck "$D"
	assert_status 0
	grep -qE '^note +trusted text ' <<<"$output" || fail "$output"
	run --separate-stderr vps --trusted=auto "$D" -e -o comm=
	assert_same "0 " "$status $stderr"
	grep -qx factory <<<"$output" || fail "$output"
	# The jump leads out of the kernel's text: who meets the int3 goes there.
	plant $((vec + 4)) 0000004005e9
	assert_finding 1 changed jump-label "$site"
	run --separate-stderr vps --trusted=auto "$D" -e -o comm=
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == *"trusted: "*": changed jump-label ("* ]] || fail "$stderr"
	plant $((vec + 4)) 10000000
	# It makes another change, or none.
	plant "$vec" "$(printf '%02x' $((0x${rel:0:2} ^ 1)))"
	assert_finding 1 changed jump-label "$site"
	plant "$vec" "${rel:0:2}"
	plant $((list + 12)) 00000000
	assert_finding 1 changed jump-label "$site"
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
	assert_same "0 attached" "$state $(findings '.[].state' <<<"$output" | sort -u)"
	jq -r '.findings[] | "\(.site) \(.symbol)"' <<<"$output" | grep -qE '^trace vfs_read(\+0x4)?$' || fail "$output"
	jq -r '.findings[] | "\(.site) \(.symbol)"' <<<"$output" | grep -q '^probe do_sys_openat2+0x' || fail "$output"
}

@test "static calls are no finding while the guest's kernel changes some hundred of them" {
	local states=""
	in_guest g612 'mkdir -p /tmp/d; mount -t debugfs none /tmp/d; cd /tmp; cp d/sched/preempt was || exit
		echo "while [ ! -e end ]; do echo full >d/sched/preempt; echo voluntary >d/sched/preempt; done" >flip
		sh flip >/dev/null 2>&1 &
		sleep 1'
	for _ in 1 2 3 4 5 6 7 8; do
		run --separate-stderr vlens trust verify -J "$(guest g612)"
		states+="$status $(findings '[.[] | "\(.state) \(.site)"] | unique[]' <<<"$output")"$'\n'
	done
	in_guest g612 'cd /tmp; touch end; while ps | grep -q "[s]h flip"; do sleep 1; done
		tr " " "\n" <was | sed -n "s/[()]//gp" >d/sched/preempt; umount d; rm end flip was'
	# The row with the number of the others has no site.
	! grep -qvxE '(0 )?(poke (static-call|trampoline|null))?' <<<"$states" || fail "$states"
}

@test "a tracer of many functions leaves room for findings" {
	in_guest g61 'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing &&
		echo "acpi_*" >set_ftrace_filter && echo function >current_tracer'
	run --separate-stderr vlens trust verify -J "$(guest g61)"
	in_guest g61 'cd /sys/kernel/tracing && echo nop >current_tracer && echo >set_ftrace_filter'
	assert_same "0 " "$status $stderr"
	assert_same "1024 some more" "$(findings 'map(select(.state == "attached")) |
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
	assert_same static-call "$(findings '.[1].site' <<<"$output")"
}

# word ADDRESS: the 8 bytes there, as a number.
word() {
	local bytes n=0 i
	bytes=$(hex "$1" 8)
	for i in 14 12 10 8 6 4 2 0; do n=$((n << 8 | 0x${bytes:i:2})); done
	echo "$n"
}

# entry_of ROOT ADDRESS: where the last entry is by which the tables of ROOT map ADDRESS.
entry_of() {
	local at=$1 shift entry direct
	direct=$(word "$(address page_offset_base)")
	for shift in 39 30 21 12; do
		at=$((at + ($2 >> shift & 511) * 8))
		entry=$(word "$at")
		[[ $((entry & 1)) -eq 1 ]] || return
		[[ $shift -ne 12 && $((entry & 0x80)) -eq 0 ]] || break
		at=$((direct + (entry & 0xffffffffff000)))
	done
	echo "$at"
}

# finding_of WHAT: vcheck has exactly one finding, about the tables of processes, with the text WHAT.
finding_of() {
	run --separate-stderr vcheck -J -o class,check,what,found "$D"
	assert_same 1 "$status"
	assert_same "page tables: the tables of isolated processes: $1" "$(jq -r '.checks[] |
		select(.class == "finding") | "\(.check): \(.what): \(.found)"' <<<"$output")"
}

@test "what the tables of isolated processes map of the kernel is what the kernel has there" {
	local user entry slot direct
	# g61 has page-table isolation: a second root is behind the first one.
	user=$(($(address init_top_pgt) + 0x1000))
	entry=$(entry_of "$user" "$(address entry_SYSCALL_64)")
	plant "$entry" "$(little $(($(word "$entry") | 2)))"
	finding_of "a page with more rights"
	plant "$entry" "$(little $(($(word "$entry") & ~2 ^ 0x200000)))"
	finding_of "another page"
	plant "$entry" "$(little $(($(word "$entry") ^ 0x200000)))"
	run vcheck "$D"
	assert_same 0 "$status"
	# All memory, for processes.
	direct=$(word "$(address page_offset_base)")
	slot=$((user + (direct >> 39 & 511) * 8))
	plant "$slot" "$(little "$(word $((slot - 0x1000)))")"
	run --separate-stderr vcheck -J -o class,check,what,found "$D"
	assert_same 1 "$status"
	assert_same "the tables of isolated processes: other memory of the kernel" "$(jq -r '.checks[] |
		select(.class == "finding") | "\(.what): \(.found)"' <<<"$output" | grep isolated)"
}

@test "the text of loaded modules is verified" {
	local name loaded
	for name in $GUESTS; do
		in_guest "$name" "for m in /lib/spare/*.ko* /lib/spare/nf_tables/*.ko*; do insmod \$m; done 2>/dev/null; :"
		loaded=$(in_guest "$name" "sed 's/ .*//' /proc/modules" | sort)
		# It has no code.
		[[ $name != g61 ]] || grep -qx cast_common <<<"$loaded" || fail "$loaded"
		# One kernel's thousands of modules are enough.
		if [[ $name == g61 ]]; then with_modules g61; else with_modules "$name" "$loaded"; fi
		run --separate-stderr vlens trust verify -J "$(guest "$name")"
		assert_same "$name: 0 " "$name: $status $stderr"
		assert_same "verified" "$(jq -r '.findings[].state' <<<"$output" | sort -u)"
		assert_same "$(xargs <<<"$loaded")" \
			"$(jq -r '.findings[1:][].symbol[1:-1]' <<<"$output" | sort | xargs)"
	done
}

@test "a change in a module's text is found, and so is another build" {
	local at bytes text
	with_modules g61
	run --separate-stderr vlens trust verify -J "$D"
	assert_same "0 verified" "$status $(jq -r '.findings[].state' <<<"$output" | sort -u)"
	text=$(jq -r '.findings[] | select(.symbol == "[bridge]") | .address' <<<"$output")
	bytes=$(vlens trust verify -J -o symbol,bytes "$D" | jq '.findings[] | select(.symbol == "[bridge]") | .bytes')
	at=$((text + 0x100))
	plant "$at" "$(printf '%02x' $((0x$(hex "$at" 1) ^ 0xff)))"
	run --separate-stderr vlens trust verify -J "$D"
	assert_same 1 "$status"
	jq -r '.findings[] | select(.state == "changed") | .symbol' <<<"$output" | grep -q '\[bridge\]$' || fail "$output"
	assert_same compared "$(jq -r '.findings[] | select(.symbol == "[bridge]") | .state' <<<"$output")"
	run vcheck "$D"
	assert_same 1 "$status"
	grep -qE '^finding +trusted text .*\[bridge\]' <<<"$output" || fail "$output"
	# Read-only data begin with the build id's note: its last byte is at 35.
	at=$((text + bytes + 35))
	plant "$at" "$(printf '%02x' $((0x$(hex "$at" 1) ^ 1)))"
	run --separate-stderr vlens trust verify -J "$D"
	assert_same 1 "$status"
	assert_same "changed the guest's module is of another build than the trusted one" \
		"$(jq -r '.findings[] | select(.symbol == "[bridge]") | "\(.state) \(.found)"' <<<"$output")"
}

@test "modules that have one name are findings, and none of them is verified" {
	local at
	with_modules g61
	at=$(vlsmod --json -o module,struct "$D" | jq -r '.modules[] | select(.module == "stp") | .struct')
	# The name follows the state and the links of the list.
	plant $((at + 24)) "$(printf 'bridge\0' | od -An -tx1 | tr -d ' ')"
	run --separate-stderr vlens trust verify -J "$D"
	assert_same 1 "$status"
	assert_same "$(printf 'changed the guest lists several modules of this name\n%.0s' 1 2)" \
		"$(jq -r '.findings[] | select(.symbol == "[bridge]") | "\(.state) \(.found)"' <<<"$output")"
}

@test "a guest of another build is refused, and the message names both builds" {
	local own other
	own=$(stored 6.1.) other=$(stored 5.10)
	VLENS_TRUST_DIR=$T/none run --separate-stderr vlens trust verify "$D"
	assert_same 3 "$status"
	[[ $stderr == *"no trusted kernel of the guest's build $own"*", Linux 6.1."*"linux-image-6.1."*"vlens trust add"* ]] || fail "$stderr"
	mkdir "$T/wrong"
	cp "$VLENS_TRUST_DIR/$other.kernel" "$T/wrong/$own.kernel"
	VLENS_TRUST_DIR=$T/wrong run --separate-stderr vlens trust verify "$D"
	assert_same 3 "$status"
	[[ $stderr == *"is of build $own, the trusted one of build $other"* ]] || fail "$stderr"
}

@test "an image without a relocation list is refused for a kernel that was moved" {
	local own
	own=$(stored 6.1.)
	"$VT_TESTS/lib/mkkernel" relocations "$VLENS_TRUST_DIR/$own.kernel" "$T/vmlinux"
	VLENS_TRUST_DIR=$T/still vlens trust add "$T/vmlinux" >/dev/null
	VLENS_TRUST_DIR=$T/still run --separate-stderr vlens trust verify "$D"
	assert_same 3 "$status"
	[[ $stderr == *"was moved by 0x"*"no relocation list"* ]] || fail "$stderr"
}

@test "--strict fails where a module is unverified" {
	run --separate-stderr vlens trust verify "$D"
	assert_same "0 " "$status $stderr"
	run --separate-stderr vlens trust verify --strict "$D"
	assert_same "1 " "$status $stderr"
	with_modules g61
	run --separate-stderr vlens trust verify --strict "$D"
	assert_same "0 " "$status $stderr"
}

@test "lost output is an error" {
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr bash -c 'exec vlens trust verify "$1" >/dev/full' bash "$D"
	assert_same 1 "$status"
	[[ $stderr == "vlens: write error: No space left on device" ]] || fail "$stderr"
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr bash -c 'mkfifo "$2" && exec 3<>"$2" 4>"$2" 3>&- && exec vlens trust verify "$1" >&4' \
		bash "$D" "$T/pipe"
	assert_same "141 " "$status $stderr"
}
