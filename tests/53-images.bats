#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Images of memory without registers: the kernel is found in the memory, and the tools say what
# they say of a dump of the same point in time that has registers.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/images

setup_file() { images_begin; }

teardown_file() { images_end; }

setup() {
	T=$BATS_TEST_TMPDIR
}

# answers FILE: a text from each kind of view, and from programs.
answers() {
	vps "$1" -ef && vlsmod "$1" && vlsof "$1" && vuptime "$1" && vuname "$1" -a && vpslist "$1"
}

same_in() {
	local form
	dump "$1"
	answers "$DUMPS/$1.elf" >"$T/elf"
	[[ $(wc -l <"$T/elf") -gt 200 ]]
	shift
	for form; do
		"$VT_TESTS/lib/image" "$form" "$DUMPS/$GUEST.elf" "$T/$form"
		answers "$T/$form" >"$T/text" || fail "$form is not read"
		cmp "$T/elf" "$T/text" || fail "$form: $(diff "$T/elf" "$T/text" | head)"
		rm "$T/$form"
	done
}

@test "5.10: raw, LiME, ELF without registers, the core of a process, a state of VMware" {
	GUEST=g510 same_in g510 raw lime vmcore core vmss
}
@test "6.12, five levels of page tables: raw, LiME" { GUEST=g612 same_in g612 raw lime; }
@test "7: raw, LiME, ELF without registers, a Xen core" { GUEST=g7 same_in g7 raw lime vmcore xen; }

@test "6.1: kdump-compressed as by QEMU, from a standing guest" {
	need_guest g61
	qmp g61 stop >/dev/null
	qmp g61 dump-guest-memory "{\"paging\": false, \"protocol\": \"file:$T/kdump\", \"format\": \"kdump-zlib\"}" >/dev/null
	dump_guest g61 "$DUMPS/g61.elf"
	answers "$DUMPS/g61.elf" >"$T/text.elf"
	answers "$T/kdump" >"$T/text.kdump"
	cmp "$T/text.elf" "$T/text.kdump" || fail "$(diff "$T/text.elf" "$T/text.kdump" | head)"
	# QEMU writes it flattened: cut short, it has its headers and the first pages.
	truncate -s -1M "$T/kdump"
	assert_partial "$T/kdump"
	rm "$T/kdump"
}

# What differs between these formats is how a page is found, so one long answer shows it.
@test "6.1: kdump-compressed in all ways, AVML, compressed files: the same text" {
	local form file
	dump g61
	vps "$DUMPS/g61.elf" -ef >"$T/elf"
	for form in lzo snappy-flat zstd-holes none zlib-crash avml; do
		[[ $form == avml ]] || form=kdump-$form
		"$VT_TESTS/lib/image" "$form" "$DUMPS/g61.elf" "$T/$form"
		vps "$T/$form" -ef >"$T/text" || fail "$form is not read"
		cmp "$T/elf" "$T/text" || fail "$form: $(diff "$T/elf" "$T/text" | head)"
		assert_same "$(vlsmod "$DUMPS/g61.elf")" "$(vlsmod "$T/$form")"
		assert_same "$(vlsof "$DUMPS/g61.elf")" "$(vlsof "$T/$form")"
		assert_same "$(vuptime "$DUMPS/g61.elf")" "$(vuptime "$T/$form")"
	done
	# A compressed file of a compressed format: as nested as it gets.
	for file in "gzip -1" "zstd -1" "lz4 -1"; do
		command -v "${file% *}" >/dev/null || continue
		$file -c "$T/kdump-lzo" >"$T/packed"
		assert_same "$(cat "$T/elf")" "$(vps "$T/packed" -ef)"
	done
	# These take 10 s each for as much; that it is a kdump of no kernel shows only when it is read.
	"$VT_TESTS/lib/liar" kdump-good "$T/packed"
	run --separate-stderr vuname "$T/packed"
	form=$stderr
	[[ $form == *"no Linux kernel was found"* ]] || fail "$form"
	for file in "xz -0" "bzip2 -1"; do
		command -v "${file% *}" >/dev/null || continue
		"$VT_TESTS/lib/liar" kdump-good "$T/lie"
		$file -c "$T/lie" >"$T/packed"
		run --separate-stderr vuname "$T/packed"
		assert_same "$form" "$stderr"
	done
	[[ $(find "$VLENS_CACHE_DIR" -name 'dump-*.unpacked' | wc -l) -ge 3 ]]
	rm -f "$VLENS_CACHE_DIR"/dump-*.unpacked "$T"/kdump-* "$T"/avml
}

@test "packed files that are damaged, or lie: one line each, and no memory" {
	local kind why
	"$VT_TESTS/lib/liar" --list >"$T/kinds"
	while read -r kind why; do
		"$VT_TESTS/lib/liar" "$kind" "$T/lies"
		run --separate-stderr prlimit --rss=$((1 << 28)) vuname "$T/lies"
		[[ $status -eq 3 && ${#stderr_lines[@]} -eq 1 && $stderr == *"$why"*"; "* ]] || fail "$kind: $status $stderr"
	done <"$T/kinds"
	[[ $(wc -l <"$T/kinds") -gt 50 ]]
}

@test "a tool that is ended while it unpacks a file leaves none of it" {
	mkdir -p "$VLENS_CACHE_DIR"
	python3 -c 'import os, sys; os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)' "$VLENS_CACHE_DIR" 2>/dev/null ||
		skip "this file system has no files without a name"
	yes | head -c 1500M | gzip -1 >"$T/packed"
	local tool pid part i
	for tool in "vuname $T/packed" "vlens dump $T/packed $T/out"; do
		part=''
		# shellcheck disable=SC2086 # words
		$tool >/dev/null 2>&1 3>&- &
		pid=$!
		for ((i = 0; i < 100 && ! ${#part}; i++)); do
			sleep 0.05
			part=$(find "$VLENS_CACHE_DIR" -name 'dump-*.part')
		done
		[[ -n $part ]] || fail "nothing is unpacked"
		sleep 0.3
		kill "$pid" || fail "it ended before it was told to"
		wait "$pid" || true
		[[ $(stat -c %s "$part") == 0 && -z $(find "$VLENS_CACHE_DIR" -name 'dump-*.unpacked') ]]
		rm -f "$part"
	done
	rm "$T/packed"
}

@test "compressed files that are damaged, or too large, or hold nothing: one line each" {
	local name why
	head -c 5M /dev/urandom >"$T/noise"
	gzip -1 <"$T/noise" >"$T/whole"
	head -c 2M "$T/whole" >"$T/cut"
	echo hello | gzip >"$T/text"
	gzip -c /dev/null >"$T/empty"
	printf '\x1f\x8bxxxxxxxxxxxxxxxxxxxx' >"$T/none"
	head -c 256M /dev/zero | gzip -1 >"$T/zeros"
	gzip -c "$T/zeros" >"$T/twice"
	# The last byte but five is of the checksum.
	{ head -c -6 "$T/whole"; printf %b "\\x$(printf %02x $((0x$(tail -c 6 "$T/whole" | head -c 1 | od -An -tx1 | tr -d ' ') ^ 1)))"
		tail -c 5 "$T/whole"; } >"$T/wrong"
	# Members, and zeros behind them, are one file; anything else is none.
	{ head -c 100M /dev/zero | gzip -1; gzip -1 <"$T/noise"; head -c 1000 /dev/zero; } >"$T/members"
	cat "$T/whole" "$T/noise" >"$T/more"
	while read -r name why; do
		run --separate-stderr vuname "$T/$name"
		[[ $status -eq 3 && ${#stderr_lines[@]} -eq 1 && $stderr == *"$why"*"; "* ]] || fail "$name: $status $stderr"
	done <<-EOF
		whole looks encrypted or compressed
		cut it is damaged
		wrong its bytes are wrong: incorrect data check
		members looks encrypted or compressed
		more incorrect header check
		none compressed by gzip
		text the file is not a memory dump
		empty the file is empty
		zeros nothing but zeros
		twice compressed by gzip
	EOF
	run --separate-stderr vuname --partial "$T/wrong"
	[[ $status -eq 3 && $stderr == *"its bytes are wrong"* ]] || fail "$status $stderr"
	# Zeros take no space, and what was not unpacked leaves nothing.
	[[ $(du -sm "$VLENS_CACHE_DIR" | cut -f1) -lt 100 ]]
	[[ -z $(find "$VLENS_CACHE_DIR" -name 'dump-*.part') ]]
	rm -f "$VLENS_CACHE_DIR"/dump-*.unpacked
	[[ $(id -u) -eq 0 ]] || return 0
	mkdir "$T/small"
	mount -t tmpfs -o size=2m,mode=755 tmpfs "$T/small"
	VLENS_CACHE_DIR=$T/small run --separate-stderr vuname "$T/whole"
	umount "$T/small"
	[[ $status -eq 3 && $stderr == *"has no space for what is in it; "*VLENS_CACHE_DIR* ]] || fail "$stderr"
}

@test "6.1: the core of its QEMU, as of gcore" {
	dump g61
	qmp g61 stop >/dev/null
	gcore -o "$T/core" "$(guest_pid g61)" >/dev/null 2>&1
	dump_guest g61 "$T/elf"
	answers "$T/elf" >"$T/text.elf"
	answers "$T"/core.* >"$T/text.core"
	cmp "$T/text.elf" "$T/text.core" || fail "$(diff "$T/text.elf" "$T/text.core" | head)"
	rm "$T"/core.* "$T/elf"
}

# At one point in time: an ELF dump, a migration stream, and two internal snapshots of a disk image.
streams() {
	need_guest g61
	[[ ! -e $DUMPS/stream ]] || return 0
	qmp g61 stop >/dev/null
	qmp g61 dump-guest-memory "{\"paging\": false, \"protocol\": \"file:$DUMPS/moment.elf\"}" >/dev/null
	"$VT_TESTS/lib/image" qcow2 - "$DUMPS/disk.qcow2"
	qmp g61 blockdev-add "{\"driver\": \"qcow2\", \"node-name\": \"snap\", \"file\":
		{\"driver\": \"file\", \"filename\": \"$DUMPS/disk.qcow2\"}}" >/dev/null
	snapshot one
	cp "$DUMPS/disk.qcow2" "$DUMPS/one.qcow2"
	snapshot two
	qmp g61 blockdev-del '{"node-name": "snap"}' >/dev/null
	qmp g61 migrate "{\"uri\": \"exec:cat >$DUMPS/stream.part\"}" >/dev/null
	eventually 60 in_state migrate completed
	qmp g61 cont >/dev/null
	mv "$DUMPS/stream.part" "$DUMPS/stream"
}

snapshot() {
	local jobs
	qmp g61 snapshot-save "{\"job-id\": \"$1\", \"tag\": \"$1\", \"vmstate\": \"snap\",
		\"devices\": [\"snap\"]}" >/dev/null
	eventually 60 in_state jobs concluded
	jobs=$(qmp g61 query-jobs)
	[[ $jobs != *error* ]] || fail "$jobs"
	qmp g61 job-dismiss "{\"id\": \"$1\"}" >/dev/null
}

in_state() { [[ $(qmp g61 "query-$1") == *'"status": "'"$2"'"'* ]]; }

# qemu_notes DUMP: the notes with all registers of each CPU.
qemu_notes() {
	readelf -nW "$1" 2>/dev/null | grep -E '^ *QEMU '
}

@test "a migration stream, a saved domain and the snapshot of a disk image say what an ELF dump says" {
	local form
	streams
	answers "$DUMPS/moment.elf" >"$T/elf"
	[[ $(wc -l <"$T/elf") -gt 200 ]]
	"$VT_TESTS/lib/image" save "$DUMPS/stream" "$T/save"
	for form in "$DUMPS/stream" "$T/save" "$DUMPS/one.qcow2"; do
		answers "$form" >"$T/text" || fail "$form is not read"
		cmp "$T/elf" "$T/text" || fail "$form: $(diff "$T/elf" "$T/text" | head)"
	done
	"$VT_TESTS/lib/image" save-zstd "$DUMPS/stream" "$T/save-zstd"
	assert_same "$(vps "$DUMPS/moment.elf" -ef)" "$(vps "$T/save-zstd" -ef)"
	# The registers are in it: a dump of it has those that QEMU writes.
	run --separate-stderr vlens dump "$DUMPS/stream" "$T/dump"
	[[ $status -eq 0 && $stderr != *register* ]] || fail "$stderr"
	assert_same "$(qemu_notes "$DUMPS/moment.elf")" "$(qemu_notes "$T/dump")"
	[[ $(qemu_notes "$T/dump") == *" description data: 01 00 00 00 b8 01 "* ]] || fail "no registers"
	rm "$T/dump"
	# All is checked as in an ELF dump.
	run --separate-stderr vcheck "$DUMPS/stream"
	assert_status 0
	assert_same "$(vcheck "$DUMPS/moment.elf")" "$output"
	[[ $output != *"registers of the vCPUs"* ]]
}

@test "a migration stream without a description of its devices: the kernel is found" {
	streams
	"$VT_TESTS/lib/image" undescribed "$DUMPS/stream" "$T/plain"
	assert_same "$(vps "$DUMPS/moment.elf" -ef)" "$(vps "$T/plain" -ef)"
}

@test "several snapshots in a disk image: all are named, --snapshot chooses" {
	streams
	run --separate-stderr vuname "$DUMPS/disk.qcow2" -a
	assert_status 3
	[[ $stderr == *"has 2 snapshots with memory: 1 one ("*"), 2 two ("*"; choose one, as by --snapshot=1" ]] ||
		fail "$stderr"
	assert_same "$(vps "$DUMPS/moment.elf" -ef)" "$(vps --snapshot=two "$DUMPS/disk.qcow2" -ef)"
	assert_same "$(vpslist "$DUMPS/moment.elf")" "$(vpslist --snapshot 1 "$DUMPS/disk.qcow2")"
	run --separate-stderr vps --snapshot=two "$DUMPS/moment.elf" -ef
	assert_refused vps "$DUMPS/moment.elf" "leave out --snapshot"
	run --separate-stderr vuname --snapshot=three "$DUMPS/disk.qcow2"
	assert_status 3
	[[ $stderr == *"no snapshot 'three' with memory; the disk image has 1 one ("* ]] || fail "$stderr"
}

@test "a stream that is cut off: one line, status 3" {
	streams
	head -c 20M "$DUMPS/stream" >"$T/cut"
	run --separate-stderr vps "$T/cut" -ef
	assert_status 3
	[[ $stderr == *"the stream is truncated: it ends at 20971520 bytes"*"is it still being written"* ]] || fail "$stderr"
	assert_partial "$T/cut"
}

@test "vcheck of an image: no finding, and a note that the registers are not in it" {
	dump g7
	"$VT_TESTS/lib/image" lime "$DUMPS/g7.elf" "$T/lime"
	run --separate-stderr vcheck "$T/lime"
	assert_status 0
	[[ $output == *"not checked: they are not in the file"* && ${lines[-1]} == "no findings"* ]] || fail "$output"
	run --separate-stderr vcheck --strict "$T/lime"
	assert_status 1
}

# in_a_process FLAT TEXT: hypervisors that have this memory are read as the file. q35 has 2 GiB
# below 4 GiB.
in_a_process() {
	local kind pid
	for kind in firecracker cloud-hypervisor crosvm nodes; do
		"$VT_TESTS/lib/hypervisor" "$kind" "$1" 0x80000000 >"$T/ready" 3>&- &
		pid=$!
		disown
		eventually 60 grep -q ready "$T/ready"
		vps "pid:$pid" -e -o pid,ppid,user,comm >"$T/text.$kind" || true
		kill -9 "$pid"
		grep -q init "$T/text.$kind" || fail "$kind: $(head "$T/text.$kind")"
		cmp <(vps "$1" -e -o pid,ppid,user,comm) "$T/text.$kind" || fail "$kind: $(head "$T/text.$kind")"
	done
}

# Memory that does not fit below 4 GiB follows at once in the file.
@test "5 GiB, with what is above 4 GiB behind what is below: where it lies is found, or not answered" {
	local form
	"$VT_TESTS/guest/start" --name i5 --mem 5120 --procs 60 >/dev/null 3>&- 4>&-
	dump_guest i5 "$T/elf"
	"$VT_TESTS/guest/stop" i5 3>&- 4>&-
	answers "$T/elf" >"$T/text.elf"
	for form in flat core raw; do
		"$VT_TESTS/lib/image" "$form" "$T/elf" "$T/$form"
		answers "$T/$form" >"$T/text.$form" || fail "$form is not read"
		cmp "$T/text.elf" "$T/text.$form" || fail "$form differs"
		# What is known of the file is enough for the next tool.
		assert_same "$(vuptime "$T/elf")" "$(vuptime "$T/$form")"
		[[ $form == raw ]] || [[ $(vmem -J "$T/$form" | jq '[.memory[] | select(.what == "RAM")] | length') -eq 2 ]]
		[[ $form != flat ]] || in_a_process "$T/flat" "$T/text.elf"
		rm "$T/$form"
	done
	"$VT_TESTS/lib/image" odd "$T/elf" "$T/odd"
	run --separate-stderr vuname "$T/odd"
	assert_status 3
	[[ $stderr == *"ELF and LiME have addresses" ]] || fail "$stderr"
	rm "$T/elf" "$T/odd"
}

@test "memory without a kernel: one line, status 3, nothing hangs" {
	head -c 16M /dev/urandom >"$T/random"
	run --separate-stderr vps "$T/random" -ef
	assert_status 3
	[[ $stderr == *"the memory looks encrypted or compressed"* ]] || fail "$stderr"
	truncate -s 64G "$T/sparse"
	printf '\1' | dd of="$T/sparse" bs=1 seek=100 conv=notrunc status=none
	run --separate-stderr vps "$T/sparse" -ef
	assert_status 3
	[[ $stderr == *"no Linux kernel was found in this memory"* ]] || fail "$stderr"
}

@test "the search of a file that takes minutes ends on a signal" {
	# A kdump-compressed file that claims to have 2^30 pages; where they are described is a hole.
	python3 - "$T/pages" <<-'E'
		import struct, sys
		names = b"".join(n.ljust(65, b"\0") for n in (b"Linux", b"n", b"r", b"v", b"x86_64", b"d"))
		with open(sys.argv[1], "wb") as f:
		    f.write(b"KDUMP   " + struct.pack("<i", 6) + names + bytes(22) +
		            struct.pack("<IIiII", 1, 4096, 1, 65536, 1 << 30))
		    f.seek(4096)
		    f.write(struct.pack("<QiiQQQQQQQQQQQ", *[0] * 13, 1 << 30))
		    f.seek(8192)
		    for _ in range(256):
		        f.write(b"\xff" * (1 << 20))
		    f.truncate(1 << 42)
	E
	run --separate-stderr timeout -k 60 5 vuname "$T/pages"
	# 124: it ended by SIGTERM; 137: it had to be killed.
	assert_status 124
	[[ -z $output$stderr ]]
}

@test "pages with the shape of page tables, thousands of them: an end" {
	python3 - "$T/shapes" <<-'EOF'
		import struct, sys
		# Each leads to all others, at all levels.
		page = bytes(2048) + b"".join(struct.pack("<Q", (i * 4096) | 0x63) for i in range(1, 257))
		open(sys.argv[1], "wb").write(page * 8192)
	EOF
	run --separate-stderr vps "$T/shapes" -ef
	assert_status 3
	[[ $stderr == *"no Linux kernel was found in this memory"* ]] || fail "$stderr"
}

# A program of the guest can write such pages all over the memory that it gets.
@test "thousands of pages with the shape of a kernel's table beside it: the kernel is found" {
	dump g7
	"$VT_TESTS/lib/image" raw "$DUMPS/g7.elf" "$T/raw"
	python3 - "$T/raw" <<-'EOF'
		import os, random, struct, sys
		PAGE, RUN = 4096, 8192
		random.seed(1)
		with open(sys.argv[1], "r+b") as f:
		    pages = os.fstat(f.fileno()).st_size // PAGE
		    free = [not any(f.read(PAGE)) for _ in range(pages)]
		    nr = run = 0
		    for page in range(pages):
		        run = run + 1 if free[page] else 0
		        # Only in large runs of zeros, which nothing uses.
		        if run < RUN or random.random() > 0.5:
		            continue
		        f.seek(page * PAGE)
		        f.write(bytes(2048) + b"".join(struct.pack("<Q", random.randrange(pages) * PAGE | 0x67)
		                                       for _ in range(256)))
		        nr += 1
		    assert nr > 10000, nr
	EOF
	assert_same "$(vuname "$DUMPS/g7.elf" -a)" "$(vuname "$T/raw" -a)"
	assert_same "$(vps "$DUMPS/g7.elf" -e)" "$(vps "$T/raw" -e)"
}

@test "one kernel: --kernel=1 is it, and there is no second" {
	dump g7
	"$VT_TESTS/lib/image" raw "$DUMPS/g7.elf" "$T/raw"
	assert_same "$(vuname "$T/raw" -a)" "$(vuname --kernel=1 "$T/raw" -a)"
	rm -rf "$VLENS_RUN_DIR"
	assert_same "$(vuname "$DUMPS/g7.elf" -a)" "$(vuname --kernel=1 "$T/raw" -a)"
	run --separate-stderr vuname --kernel=2 "$T/raw" -a
	assert_status 3
	[[ $stderr == *"the memory holds one kernel: 7"*"; leave out --kernel" ]] || fail "$stderr"
	run --separate-stderr vuname --kernel=0 "$T/raw" -a
	assert_usage vuname "'0' is not the number of a kernel"
}

# As after a crash, where the capture kernel runs and the dead one is still there.
@test "two kernels: both are named, --kernel chooses, also where both are of one build" {
	local other release
	dump g7
	dump g61
	for other in g61 g7; do
		"$VT_TESTS/lib/image" two "$DUMPS/g7.elf" "$T/two" "$DUMPS/$other.elf"
		release=$(vuname "$DUMPS/$other.elf" -r)
		run --separate-stderr vuname "$T/two" -r
		assert_status 3
		[[ $stderr == *"the memory holds 2 kernels: 1: $(vuname "$DUMPS/g7.elf" -r), 2: $release; choose one"* ]] ||
			fail "$stderr"
		assert_same "$(vps "$DUMPS/g7.elf" -e)" "$(vps --kernel=1 "$T/two" -e)"
		assert_same "$(vuname "$DUMPS/$other.elf" -a)" "$(vuname --kernel=2 "$T/two" -a)"
		assert_same "$(vpslist "$DUMPS/$other.elf")" "$(vpslist --kernel=2 "$T/two")"
		run --separate-stderr vuname --kernel=3 "$T/two" -r
		assert_status 3
		[[ $stderr == *"there is no kernel 3: the memory holds 2: 1: "*", 2: $release; choose one of them, as by --kernel=1" ]] ||
			fail "$stderr"
		rm "$T/two"
	done
}
