#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vlens dump: saves a guest's memory in a file.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() { need_guest g61 g510; }

setup() {
	T=$BATS_TEST_TMPDIR
	G=$(guest g61)
}

teardown() {
	# shellcheck disable=SC2016 # the guest's shell expands it
	[[ ! -e $T/sweep ]] || in_guest g61 'kill $(cat /tmp/busy); rm /tmp/busy /tmp/sweep /tmp/ready'
	! mountpoint -q "$T/small" 2>/dev/null || umount "$T/small"
}

# same_memory A B: compares the memory that two ELF dumps have in common, and the registers.
same_memory() {
	python3 - "$1" "$2" <<'PYTHON'
import struct, sys

def load(path):
    f = open(path, "rb")
    head = f.read(64)
    assert head[:5] == b"\x7fELF\x02" and struct.unpack_from("<H", head, 16)[0] == 4, path
    phoff, = struct.unpack_from("<Q", head, 32)
    loads, notes = [], []
    for i in range(struct.unpack_from("<H", head, 56)[0]):
        f.seek(phoff + 56 * i)
        kind, _, off, _, gpa, size = struct.unpack_from("<IIQQQQ", f.read(56))
        if kind == 1:
            loads.append((gpa, size, off))
        elif kind == 4:
            f.seek(off)
            b, at = f.read(size), 0
            while at < size:
                n, d, t = struct.unpack_from("<III", b, at)
                name = b[at + 12:at + 12 + n].rstrip(b"\0")
                at += 12 + (n + 3 & ~3)
                notes.append((name, t, b[at:at + d]))
                at += d + 3 & ~3
            assert at == size, path
    return f, loads, notes

(f, loads, n), (g, others, m) = map(load, sys.argv[1:])
compared = 0
for gpa, size, off in loads:
    for a, s, o in others:
        at, end = max(gpa, a), min(gpa + size, a + s)
        while at < end:
            k = min(1 << 20, end - at)
            f.seek(off + at - gpa)
            g.seek(o + at - a)
            assert f.read(k) == g.read(k), f"memory at {at:#x} differs"
            compared += k
            at += k
assert compared >= 300 << 20, compared
for what in b"CORE", b"QEMU":
    a, b = ([d for name, _, d in x if name == what] for x in (n, m))
    assert len(a) == len(b) > 0, what
    for x, y in zip(a, b):
        if what == b"CORE":
            # On TCG, QEMU's notes lack the flags that it has not computed yet.
            assert x[112:256] == y[112:256] and x[264:328] == y[264:328], "NT_PRSTATUS differs"
        else:
            x, y = bytearray(x), bytearray(y)
            for flags in range(160, 392, 24):
                x[flags] = y[flags] = 0  # bits of the base, which the monitor does not show
            assert x[8:144] == y[8:144] and x[152:432] == y[152:432], "the QEMU note differs"
PYTHON
}

# note FILE NAME: the text of a note.
note() { readelf -nW "$1" 2>/dev/null | grep -q "^ *$2 "; }

nothing_left() {
	local left
	left=$(ls -A "$1")
	[[ -z $left ]] || fail "left behind: $left"
}

@test "of a guest that stands still, each way gives the memory and the registers of QMP's dump" {
	local way at
	qmp g61 stop >/dev/null
	qmp g61 dump-guest-memory "{\"paging\": false, \"protocol\": \"file:$T/qmp.elf\"}" >/dev/null
	for way in short none whole; do
		run --separate-stderr vlens dump --pause=$way "$G" "$T/$way.elf"
		qmp g61 query-status | grep -q paused || fail "it runs"
		[[ $status -eq 0 && -z $output ]] || fail "$status: $output $stderr"
		[[ $stderr == "vlens dump: $G: "*" pages, "*" of them not zeros; paused already"* ]] || fail "$stderr"
		[[ $stderr != *older* && ($way == whole || $stderr == *"; 0 changed between "*) ]] || fail "$stderr"
		strings "$T/$way.elf" | grep -qx 'registers: of the pause'
	done
	same_memory "$T/short.elf" "$T/qmp.elf"
	vlens dump --pause=none --zstd "$G" "$T/packed.zst" 2>/dev/null
	vlens dump --pause=none "$G" - 2>/dev/null | cat >"$T/piped.elf"
	qmp g61 cont >/dev/null
	zstd -tq "$T/packed.zst"
	zstd -dcq "$T/packed.zst" >"$T/unpacked.elf"
	# Behind the notes all are the same.
	at=$(($(readelf -lW "$T/short.elf" | awk '$1 == "LOAD" { print $2; exit }')))
	for way in none whole unpacked piped; do cmp -i $at "$T/$way.elf" "$T/short.elf"; done
	# The tables at the end lead to each frame.
	python3 - "$T/packed.zst" <<'PYTHON'
import struct, sys
b = open(sys.argv[1], "rb").read()
nr, flags, magic = struct.unpack("<IBI", b[-9:])
assert magic == 0x8f92eab1 and not flags
table = b[-9 - 8 * nr:-9]
assert struct.unpack("<II", b[-17 - 8 * nr:-9 - 8 * nr]) == (0x184d2a5e, 8 * nr + 9)
at = 0
for packed, unpacked in struct.iter_unpack("<II", table):
    assert b[at:at + 4] == b"\x28\xb5\x2f\xfd", at
    at += packed
assert at == len(b) - 17 - 8 * nr
PYTHON
	# The tools print the same of both.
	local tool
	for tool in "vps -ef" vlsmod vuptime "vlsof -c init"; do
		# shellcheck disable=SC2086 # words
		assert_same "$(${tool%% *} "$T/qmp.elf" ${tool#"${tool%% *}"})" \
			"$(${tool%% *} "$T/short.elf" ${tool#"${tool%% *}"})"
	done
	readelf -lnW "$T/short.elf" >"$T/readelf" 2>"$T/warnings"
	[[ ! -s $T/warnings ]] || fail "$(<"$T/warnings")"
	note "$T/short.elf" VMCOREINFO || fail "no VMCOREINFO"
	# crash(8) takes a file for another kind where a segment has an alignment.
	[[ -z $(awk '$1 == "LOAD" && $NF != "0"' "$T/readelf") ]] || fail "$(<"$T/readelf")"
	note "$T/short.elf" VLENS
	strings "$T/short.elf" | grep -qx 'changed-pages: 0'
}

@test "a running guest: its file, its holes, the figures, and it runs on" {
	local way name
	for name in g61 g510; do
		for way in short none whole; do
			run --separate-stderr vlens dump --stats --pause=$way "$(guest $name)" "$T/$name-$way"
			[[ $status -eq 0 ]] || fail "$stderr"
			[[ $(stat -c '%a %U' "$T/$name-$way") == "600 $(id -un)" ]]
			vps "$T/$name-$way" -ef | grep -q '\[kthreadd\]'
			case $way in
			none) [[ $stderr == *"; not paused;"* && $stderr == *" changed between "* ]] ;;
			whole) [[ $stderr == *"; paused for "* && $stderr != *" changed "* ]] ;;
			short) awk '/^paused:/ { exit !($NF == "ms" && $(NF - 1) <= 15) }' <<<"$stderr" ;;
			esac || fail "$stderr"
		done
		in_guest "$name" true
	done
	# Blocks of the file against pages that are not zeros.
	local used
	used=$(sed -n 's/.* pages, \([0-9]*\) of them.*/\1/p' <<<"$stderr")
	[[ $(stat -c %b "$T/g510-whole") -le $((used * 8 + 4096)) ]] || fail "no holes"
}

@test "a pause is as long as allowed, or it is tried again; one that is too short copies nothing" {
	local most=4 try
	for try in 1 2 3; do
		# The last one is too short: the process takes longer to stop.
		[[ $try -ne 3 ]] || most=0.66
		run --separate-stderr vlens dump -f --stats --max-pause=$most,9 "$G" "$T/f"
		[[ $status -eq 0 ]] || fail "$stderr"
		awk -v most=$most '/^paused:/ { exit !($(NF - 1) <= most + 2) }' <<<"$stderr" || fail "$stderr"
		[[ $stderr != *"; paused "* || $stderr == *" were copied;"* ||
			$stderr == *", too short to copy anything: it is as with --pause=none; "* ]] || fail "$stderr"
		[[ $stderr != *"; paused "[23]" times"* || $stderr == *" ms at most and "*" ms in all, "* ]] || fail "$stderr"
		if [[ $stderr == *"too short"* ]]; then
			[[ $stderr != *" copied;"* ]] || fail "$stderr"
			# Another one would be for nothing, too.
			[[ $most == 4 ]] || assert_same 1 "$(stat_of pauses "$stderr")"
			strings "$T/f" | grep -qx 'pause: none'
		fi
	done
}

@test "of a busy guest, a long pause leaves no page changed; else the line says how to have fewer" {
	local seed=$((SRANDOM >> 4)) more="(none do with --pause=whole, and fewer with a longer --max-pause)"
	gcc -Wall -Wextra -O1 -static -nostdlib -fno-stack-protector -fno-tree-loop-distribute-patterns \
		-s -DSEED="$seed" -o "$T/sweep" "$VT_TESTS/lib/sweep.c"
	in_guest g61 "echo $(gzip -9c "$T/sweep" | base64 -w0) | base64 -d | gzip -dc >/tmp/sweep; chmod +x /tmp/sweep
		(while :; do /bin/true; done) >/dev/null 2>&1 & echo \$! >/tmp/busy
		/tmp/sweep >/tmp/ready 2>&1 & echo \$! >>/tmp/busy
		until [ -s /tmp/ready ]; do sleep 0.1; done"
	run --separate-stderr vlens dump --max-pause=20000,20000 "$G" "$T/long"
	[[ $status -eq 0 && $stderr == *"; paused for "*", in which "[1-9]*" were copied; 0 changed between their copy and the end; "* ]] ||
		fail "$stderr"
	"$VT_TESTS/lib/sweep.py" "$T/long" "$seed"
	vlens dump --pause=whole "$G" "$T/whole" 2>/dev/null
	"$VT_TESTS/lib/sweep.py" "$T/whole" "$seed"
	strings "$T/long" | grep -qx 'changed-pages: 0'
	vps "$T/long" -ef | grep -q '\[kthreadd\]'
	run --separate-stderr vlens dump --pause=none "$G" "$T/none"
	[[ $status -eq 0 && $stderr == *"; not paused; "[1-9]*" changed between their copy and the end (none do with --pause=whole);"* ]] ||
		fail "$stderr"
	run --separate-stderr vlens dump "$G" "$T/short"
	[[ $status -eq 0 && ($stderr == *"; 0 changed between their copy and the end; "* || $stderr == *" changed "*" the end $more; "*) ]] ||
		fail "$stderr"
}

@test "a whole dump ends with its pause: --max-pause, a slow reader of a pipe" {
	local how
	run --separate-stderr vlens dump --pause=whole --max-pause=3 "$G" "$T/f"
	[[ $status -eq 3 && ! -e $T/f && $stderr == "vlens dump: $G: the guest was held for 3 ms, which --max-pause allows, and runs again before all was copied; allow more with --max-pause=MS,MS, or use --pause=short" ]] ||
		fail "$status $stderr"
	for how in short whole; do
		run --separate-stderr vlens dump --pause=$how --max-pause=0 "$G" "$T/f"
		[[ $status -eq 3 && $stderr == *"the guest may not be paused any longer; allow it with --max-pause=MS,MS, or use --pause=none" ]] ||
			fail "$status $stderr"
	done
	# Nobody reads any more: the run ends with the pause.
	mkfifo "$T/pipe"
	vlens dump --pause=whole "$G" - >"$T/pipe" 2>"$T/err" 3>&- &
	exec 9<"$T/pipe"
	head -c 100000 <&9 >/dev/null
	until qmp g61 query-status | grep -q paused; do sleep 0.1; done
	until qmp g61 query-status | grep -q '"running": true'; do sleep 0.1; done
	status=0
	wait $! || status=$?
	exec 9<&-
	[[ $status -eq 3 ]] || fail "$status"
	[[ $(<"$T/err") == *": the guest was held for "*" ms, which is the limit, and runs again before all was copied; allow more with --max-pause=MS,MS, write to a file, or use --pause=short" ]] ||
		fail "$(<"$T/err")"
}

@test "memory that the guest has never touched stays so" {
	local pid before
	pid=$(guest_pid g510)
	before=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")
	vlens dump --pause=none "$(guest g510)" "$T/a" 2>/dev/null
	[[ $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status") -le $((before + 8192)) ]]
}

@test "a file is not replaced, but with --force; and none is left by an error" {
	local what
	mkdir "$T/d"
	echo mine >"$T/d/f"
	run --separate-stderr vlens dump "$G" "$T/d/f"
	[[ $status -eq 1 && $stderr == *"File exists; --force replaces a file" ]] || fail "$stderr"
	ln -s nowhere "$T/d/l"
	run --separate-stderr vlens dump "$G" "$T/d/l"
	[[ $status -eq 1 && $(readlink "$T/d/l") == nowhere ]]
	vlens dump -f --pause=none "$G" "$T/d/f" 2>/dev/null
	[[ $(head -c 4 "$T/d/f") == $'\x7fELF' && $(stat -c %a "$T/d/f") == 600 ]]
	rm "$T/d/f" "$T/d/l"
	mkfifo "$T/fifo"
	for what in "$T" "$T/" "$T/d/no/f" "$T/d/f/"; do
		run --separate-stderr vlens dump "$G" "$what"
		[[ $status -eq 1 && $stderr == "vlens dump: cannot make $what: "* ]] || fail "$what: $stderr"
	done
	for what in "$T/fifo" "-f $T/fifo" /dev/full "-f /dev/full"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr vlens dump "$G" $what
		[[ $status -eq 1 && $stderr == "vlens dump: ${what#-f } is not a regular file; - writes to standard output"* ]] ||
			fail "$stderr"
	done
	for what in 1 2; do
		run --separate-stderr vlens dump --kernel=$what "$G" "$T/d/f"
		[[ $status -eq 3 && $stderr == *": a running guest has one kernel; leave out --kernel" ]] || fail "$stderr"
	done
	run --separate-stderr vlens dump "$G" ''
	[[ $status -eq 1 && $stderr == *"no file is named"* ]] || fail "$stderr"
	run --separate-stderr vlens dump no-such-guest "$T/d/f"
	[[ $status -eq 3 ]] || fail "$stderr"
	run --separate-stderr vlens dump "$G"
	[[ $status -eq 1 && $stderr == *"no file is named"* ]]
	run --separate-stderr vlens dump --pause=freeze "$G" "$T/d/f"
	[[ $status -eq 1 && $stderr == *"no pause 'freeze': short, none or whole"* ]] || fail "$stderr"
	nothing_left "$T/d"
}

@test "no room: before, and while it is written; a full device; a closed pipe" {
	local way
	mkdir "$T/small"
	mount -t tmpfs -o size=8m none "$T/small"
	run --separate-stderr vlens dump "$G" "$T/small/f"
	[[ $status -eq 1 && $stderr == *"no room for "*" MiB are free; --zstd makes"* ]] || fail "$stderr"
	# shellcheck disable=SC2016 # the inner shell expands these
	run --separate-stderr bash -c 'vlens dump "$1" - >"$2"' - "$G" "$T/small/f"
	[[ $status -eq 1 && $stderr == *"no room for standard output: it takes "* ]] || fail "$stderr"
	rm "$T/small/f"
	run --separate-stderr vlens dump --zstd "$G" "$T/small/f"
	[[ $status -eq 1 && $stderr == *"No space left on device; another file system"* ]] || fail "$stderr"
	nothing_left "$T/small"
	# shellcheck disable=SC2016 # the inner shell expands these
	run --separate-stderr bash -c 'vlens dump "$1" - >/dev/full' - "$G"
	[[ $status -eq 1 && $stderr == *"cannot write to standard output: No space left"* ]] || fail "$stderr"
	# shellcheck disable=SC2016
	run --separate-stderr bash -c 'ulimit -f 2048; vlens dump "$1" "$2"' - "$G" "$T/f"
	[[ $status -eq 1 && $stderr == *"File too large"* && ! -e $T/f ]] || fail "$stderr"
	# shellcheck disable=SC2016
	run --separate-stderr bash -c 'set -o pipefail; vlens dump --pause=whole "$1" - | head -c 9 >/dev/null' - "$G"
	[[ $status -eq 141 && -z $stderr ]] || fail "$status $stderr"
	in_guest g61 true
}

ended() { [[ ! -e /proc/$1 || $(cut -d ' ' -f 3 "/proc/$1/stat") == Z ]]; }

@test "killed midway: no file, and the guest runs" {
	local signal pid
	mkdir "$T/d"
	# A slow reader keeps the run in its pause; a file is written too fast.
	for signal in TERM KILL; do
		mkfifo "$T/pipe-$signal"
		vlens dump --pause=whole --max-pause=60000,60000 "$G" - >"$T/pipe-$signal" 2>/dev/null 3>&- &
		pid=$!
		exec 9<"$T/pipe-$signal"
		head -c 100000 <&9 >/dev/null
		until qmp g61 query-status | grep -q paused; do sleep 0.1; done
		kill -$signal "$pid"
		# The reader takes nothing more, and is not waited for.
		eventually 2 ended "$pid"
		wait "$pid" || true
		exec 9<&-
		until qmp g61 query-status | grep -q '"running": true'; do sleep 0.1; done
	done
	vlens dump "$G" "$T/d/f" 2>/dev/null 3>&- &
	pid=$!
	sleep 0.2
	kill -KILL "$pid"
	wait "$pid" || true
	rm -f "$T/d/f"
	nothing_left "$T/d"
	in_guest g61 true
}

@test "files are converted: registers are copied, or the line says that there are none" {
	local d=$T/a.elf
	vlens dump --pause=whole "$G" "$d" 2>/dev/null
	run --separate-stderr vlens dump --zstd "$d" "$T/b.zst"
	[[ $status -eq 0 && $stderr != *register* && $stderr != *paused* && $stderr != *changed* ]] || fail "$stderr"
	zstd -dcq "$T/b.zst" >"$T/b.elf"
	same_memory "$d" "$T/b.elf"
	"$VT_TESTS/lib/image" lime "$d" "$T/a.lime" || skip "no images"
	run --separate-stderr vlens dump "$T/a.lime" "$T/c.elf"
	[[ $status -eq 0 && $stderr == *"; no registers: the file has memory only" ]] || fail "$stderr"
	assert_same "$(vps "$d" -e)" "$(vps "$T/c.elf" -e)"
	# Only a process without rights may unpack it.
	"$VT_TESTS/lib/image" kdump-lzo "$d" "$T/a.kdump"
	run --separate-stderr vlens dump "$T/a.kdump" "$T/d.elf"
	[[ $status -eq 0 && $stderr != *register* ]] || fail "$stderr"
	same_memory "$d" "$T/d.elf"
}

# As if pages had changed while the file was made, and a process had ended whose page table its
# registers name.
age() {
	python3 - "$1" <<'PYTHON'
import re, struct, sys
with open(sys.argv[1], "r+b") as f:
    head = bytearray(f.read(1 << 20))
    at = head.index(b"\nchanged-pages: 0\n") + len(b"\nchanged-pages: ")
    head[at] = ord("7")
    notes = [m.end() for m in re.finditer(rb"\x05\x00{3}[\xb0\xb8]\x01\x00{6}QEMU\x00{4}", head)]
    assert notes
    for at in notes:  # QEMUCPUState: two words, 18 registers, 10 segments of 24 bytes, CR0 to CR4
        struct.pack_into("<Q", head, at + 8 + 18 * 8 + 240 + 3 * 8, 0)
    f.seek(0)
    f.write(head)
PYTHON
}

@test "a file of several points in time: what is marked is likely, and registers that lead nowhere are no end" {
	local d=$T/file.elf root table
	vlens dump --pause=whole "$G" "$d" 2>/dev/null
	root=$(dump_root "$d")
	table=$(vcat "$d" /proc/kallsyms | awk '$3 == "sys_call_table" { print "0x" $1 }')
	"$VT_TESTS/lib/poke" "$d" "$root" "$table" 0000000000000000 >/dev/null
	run --separate-stderr vcheck --no-headers -o SURE "$d"
	assert_status 1
	[[ $output == certain* && $stderr != *changed* ]] || { show_run; false; }
	age "$d"
	[[ $(vuname "$d" -n) == g61 ]]
	run --separate-stderr vcheck --no-headers -o SURE "$d"
	assert_status 1
	[[ $output == likely* && $stderr == *"$d: 7 pages of the file changed while it was made"*"--pause=whole"* ]] ||
		{ show_run; false; }
	run --separate-stderr vps --diff "$d"
	assert_status 0
	[[ -z $stderr ]]
	run --separate-stderr vlens doctor "$d"
	[[ $output == *"warning  memory "*"7 pages changed while it was made"* ]] || { show_run; false; }
	vlens dump "$d" "$T/again.elf" 2>/dev/null
	[[ $(vpslist --no-headers -o pid "$T/again.elf") == "$(vpslist --no-headers -o pid "$d")" ]]
	run --separate-stderr vlens doctor "$T/again.elf"
	[[ $output == *"7 pages changed while it was made"* ]]
}

# lead FILE FROM TO: all pointers to FROM in FILE lead to TO.
lead() {
	python3 - "$@" <<-'PYTHON'
		import mmap, struct, sys
		with open(sys.argv[1], "r+b") as f:
		    data, (was, now) = mmap.mmap(f.fileno(), 0), (struct.pack("<Q", int(a, 16)) for a in sys.argv[2:])
		    at = data.find(was)
		    while at >= 0:
		        data[at:at + 8] = now
		        at = data.find(was, at + 1)
	PYTHON
}

@test "a file of several moments: timers that lead to no code are a note" {
	local d=$T/file.elf symbols
	vlens dump --pause=whole "$G" "$d" 2>/dev/null
	chmod u+w "$d"
	symbols=$(vcat "$d" /proc/kallsyms | awk '$3 == "delayed_work_timer_fn" || $3 == "jiffies_64" { print $3, $1 }' | sort)
	# shellcheck disable=SC2086 # two names with their addresses
	set -- $symbols
	[[ $1 == delayed_work_timer_fn && $3 == jiffies_64 ]] || fail "$symbols"
	lead "$d" "$2" "$4"
	run --separate-stderr vcheck --no-headers -o CLASS,CHECK "$d"
	assert_status 1
	grep -qE '^finding +timers' <<<"$output" || fail "$output"
	age "$d"
	run --separate-stderr vcheck --no-headers -o CLASS,CHECK,FOUND "$d"
	grep -qE '^note +timers +[0-9]+ lead to no code' <<<"$output" || fail "$output"
	! grep -qE '^finding +timers' <<<"$output" || fail "$output"
}
