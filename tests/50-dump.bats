#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Dumps: the tools print what they print of a running guest, as of the capture. The guest
# may be gone.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	export DUMPS=$VLENS_TEST_RUN/dumps
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
}

teardown_file() {
	rm -rf "$DUMPS"
	drop_guest vt-dom
}

setup() {
	T=$BATS_TEST_TMPDIR
}

# dump NAME: dumps the guest to $DUMPS/NAME.elf by QMP. Files beside it have the output of
# the guest's own programs from just before and after.
dump() {
	local name=$1
	need_guest "$name"
	[[ ! -e $DUMPS/$name.elf ]] || return 0
	in_guest "$name" 'ps -ef' >"$DUMPS/$name.ps"
	in_guest "$name" 'lsmod' >"$DUMPS/$name.lsmod"
	in_guest "$name" 'uname -a' >"$DUMPS/$name.uname"
	in_guest "$name" 'ps -eo pid,lstart --no-headers' >"$DUMPS/$name.lstart"
	in_guest "$name" 'cut -d" " -f1 /proc/uptime; date +%s' | xargs >"$DUMPS/$name.before"
	# Stop the guest while the dump is written: all of it is of one point in time.
	dump_guest "$name" "$DUMPS/$name.elf"
	in_guest "$name" 'cut -d" " -f1 /proc/uptime; date +%s' | xargs >"$DUMPS/$name.after"
	in_guest "$name" 'ps -ef' >"$DUMPS/$name.later"
}

# between BEFORE X AFTER: whether X is in that range, to a second.
between() {
	awk -v a="$1" -v x="$2" -v b="$3" 'BEGIN { exit !(a - 1 <= x && x <= b + 1) }' ||
		fail "$2 is not in $1 ... $3"
}

judge() {
	local d=$DUMPS/$1.elf up_a up_b now_a now_b
	dump "$1"
	vps "$d" -ef >"$T/vlens"
	"$VT_TESTS/lib/same.py" "ps -ef" "$DUMPS/$1.ps" "$T/vlens" "$DUMPS/$1.later" >&2 || fail "ps differs"
	assert_same "$(<"$DUMPS/$1.lsmod")" "$(vlsmod "$d")"
	assert_same "$(<"$DUMPS/$1.uname")" "$(vuname "$d" -a)"
	assert_same "known content" "$(vcat "$d" /tmp/known)"
	# Time is that of the capture.
	read -r up_a now_a <"$DUMPS/$1.before"
	read -r up_b now_b <"$DUMPS/$1.after"
	between "$up_a" "$(vcat "$d" /proc/uptime | cut -d' ' -f1)" "$up_b"
	between "$now_a" "$(vexec "$d" date +%s)" "$now_b"
	vps "$d" -eo pid,lstart --no-headers >"$T/lstart"
	local pid when other
	while read -r pid when; do
		other=$(awk -v pid="$pid" '$1 == pid { $1 = ""; print }' "$T/lstart")
		[[ -n $other ]] || continue
		near "$(date -d "$when" +%s)" "$(date -d "$other" +%s)" 1 ||
			fail "process $pid: $when, and in the dump $other"
	done < <(awk 'NR % 9 == 1' "$DUMPS/$1.lstart")
}

@test "QMP's dump-guest-memory: 5.10" { judge g510; }
@test "QMP's dump-guest-memory: 6.1, 2 CPUs, page-table isolation" { judge g61; }
@test "QMP's dump-guest-memory: 6.12, 5-level paging" {
	need_emulator
	judge g612
}

@test "a dump, with an empty cache and run folder" {
	dump g61
	VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run vps "$DUMPS/g61.elf" -ef >"$T/vlens"
	"$VT_TESTS/lib/same.py" "ps -ef" "$DUMPS/g61.ps" "$T/vlens" "$DUMPS/g61.later" >&2
}

@test "time stands still in a dump" {
	dump g61
	local d=$DUMPS/g61.elf a b
	a=$(vcat "$d" /proc/uptime; vuptime "$d"; vexec "$d" date +%s.%N; vps "$d" aux)
	sleep 2
	b=$(vcat "$d" /proc/uptime; vuptime "$d"; vexec "$d" date +%s.%N; vps "$d" aux)
	# The clock of a clone counts on from the capture, by far less than this.
	assert_same "$(sed '3s/\..*//' <<<"$a")" "$(sed '3s/\..*//' <<<"$b")"
}

@test "a dump by a relative name, and one that cannot be written to" {
	dump g61
	cd "$DUMPS"
	[[ $(vuname ./g61.elf -n) == g61 ]]
	# A name with no slash may be a domain's; there is none of this name.
	[[ $(vuname -c test:///default g61.elf -n) == g61 ]]
	chmod 444 g61.elf
	[[ $(vuname ./g61.elf -n) == g61 ]]
	chmod 644 g61.elf
}

# A dump's epoch does not end: what is left open in it stays open.
@test "thousands of questions about interfaces, on sockets of two families" {
	dump g61
	# shellcheck disable=SC2016 # perl expands these
	[[ $(vexec "$DUMPS/g61.elf" perl -MSocket=:all -e '
		socket(A, AF_INET, SOCK_DGRAM, 0) && socket(B, AF_INET6, SOCK_DGRAM, 0) or die;
		for (1 .. 1500) {
			for my $s (*A, *B) {
				my $r = pack("a16 x24", "lo");
				ioctl($s, 0x8913, $r) or die "$_: $!"; # SIOCGIFFLAGS
			}
		}
		print "all"') == all ]]
}

@test "a dump is not written to" {
	dump g61
	local before
	before=$(sha256sum <"$DUMPS/g61.elf"; stat -c '%s %Y' "$DUMPS/g61.elf")
	vps "$DUMPS/g61.elf" -ef >/dev/null
	vlsmod "$DUMPS/g61.elf" >/dev/null
	assert_same "$before" "$(sha256sum <"$DUMPS/g61.elf"; stat -c '%s %Y' "$DUMPS/g61.elf")"
}

@test "a truncated dump" {
	dump g61
	local size part
	size=$(stat -c %s "$DUMPS/g61.elf")
	for part in $((size - 100)) $((size / 2)) 1000000 3000; do
		cp --reflink=auto --sparse=always "$DUMPS/g61.elf" "$T/cut"
		truncate -s "$part" "$T/cut"
		run --separate-stderr timeout 60 vps "$T/cut" -ef
		assert_refused vps "$T/cut" "truncated"
	done
}

@test "a dump whose memory is garbage" {
	dump g61
	local size
	size=$(stat -c %s "$DUMPS/g61.elf")
	cp --sparse=always "$DUMPS/g61.elf" "$T/bad"
	# All but the headers and the notes.
	dd if=/dev/urandom of="$T/bad" bs=1M seek=1 count=$((size / 1048576 - 2)) conv=notrunc status=none
	run --separate-stderr timeout 60 vps "$T/bad" -ef
	assert_refused vps "$T/bad" ""
	rm "$T/bad"
}

# Each process that is planted has a list of threads that does not come back to its beginning.
@test "a dump whose lists have no end: one costs its budget, many end the run" {
	dump g61
	local d=$T/torn.elf root one at by nr start took how
	local -x VLENS_TRUST_DIR=$T/trusted
	le() { printf '%016x' "$1" | tac -rs .. | tr -d '\n'; }
	value() { vpeek -J "$d" "$1" | jq -r '.places[0].value'; }
	cp --reflink=auto --sparse=always "$DUMPS/g61.elf" "$d"
	vlens trust add "$VLENS_TEST_RUN/g61/vmlinuz" >/dev/null
	root=$(dump_root "$d")
	one=$(vpeek -J "$d" init_pid_ns.child_reaper.thread_node | jq -r '.places[0].address')
	at=$(value init_task.tasks.next)
	by=$((one - at))
	for ((nr = 1; nr <= 20; nr++)); do
		at=$(value "$at:list_head.next")
		"$VT_TESTS/lib/poke" "$d" "$root" "$(printf '0x%x' $((at + by)))" "$(le $((at + by)))" >/dev/null
		[[ $nr -eq 1 || $nr -eq 20 ]] || continue
		for how in "" --trusted=auto; do
			start=${EPOCHREALTIME/./}
			run --separate-stderr vps ${how:+"$how"} "$d" -ef
			took=$((${EPOCHREALTIME/./} - start))
			assert_status 3
			[[ $stderr == *"did not come to an end"* ]] || fail "$how: $stderr"
			# 1.5 s for the first endless call, 0.5 s for the next ones; before, each took 7.5 s.
			[[ $took -lt 6000000 ]] || fail "$how, $nr endless: $took us"
			[[ $nr -ne 1 || ${#lines[@]} -gt 50 ]] || fail "$how: what can be answered is not"
			[[ $nr -ne 20 || $stderr == *"as its memory makes no sense: "* ]] || fail "$how: $stderr"
			[[ ${#stderr_lines[@]} -le 2 ]] || fail "$how: $stderr"
		done
	done
	rm "$d"
}

# Some 9,000 reads of a page each.
@test "a dump on a slow file system is read, however long that takes" {
	[[ $(id -u) -eq 0 && -c /dev/fuse ]] || skip "only root can mount by FUSE"
	dump g61
	mkdir "$T/slow"
	"$VT_TESTS/lib/slow" "$T/slow" "$DUMPS/g61.elf" 6 >"$T/mounted" 3>&- &
	local pid=$! start=$SECONDS
	eventually 20 grep -q mounted "$T/mounted"
	VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run run --separate-stderr vuname "$T/slow/g61.elf" -a
	kill "$pid"
	wait "$pid" || true
	assert_status 0
	assert_same "$(<"$DUMPS/g61.uname")" "$output"
	[[ $((SECONDS - start)) -gt 31 ]] || fail "it was not slow: $((SECONDS - start)) s"
}

@test "virsh dump --memory-only, after the domain is gone" {
	[[ $(id -u) -eq 0 ]] || skip "only root can start libvirtd"
	"$VT_TESTS/guest/libvirtd" 3>&- 4>&-
	need_guest vt-dom
	local d=$DUMPS/domain.elf up_a up_b
	in_guest vt-dom 'ps -ef' >"$T/guest"
	in_guest vt-dom 'lsmod' >"$T/lsmod"
	up_a=$(in_guest vt-dom 'cut -d" " -f1 /proc/uptime')
	virsh -q -c qemu:///system dump --memory-only vt-dom "$d" >/dev/null
	up_b=$(in_guest vt-dom 'cut -d" " -f1 /proc/uptime')
	in_guest vt-dom 'ps -ef' >"$T/later"
	drop_guest vt-dom
	vps "$d" -ef >"$T/vlens"
	"$VT_TESTS/lib/same.py" "ps -ef" "$T/guest" "$T/vlens" "$T/later" >&2
	assert_same "$(<"$T/lsmod")" "$(vlsmod "$d")"
	between "$up_a" "$(vcat "$d" /proc/uptime | cut -d' ' -f1)" "$up_b"
	run --separate-stderr vps --stats "$d" -ef
	assert_status 0
	[[ $(stat_of paused "$stderr") == 0.000 ]]
}

@test "a saved domain of an unknown version is refused with advice" {
	cd "$T"
	{ printf 'LibvirtQemudSave'; head -c 65536 /dev/zero; } >save
	run --separate-stderr vps ./save -ef
	assert_refused vps ./save "saved domain"
	[[ $stderr == *"restore it, then: vlens dump GUEST FILE"* ]]
}
