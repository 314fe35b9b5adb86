#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The executor native, which rewrites the guest kernel's code for user mode: it gives the
# emulator's answers, it can rewrite all code that answers a question, and hostile code can
# only end its own process.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/clone

setup_file() {
	export DUMPS=$BATS_FILE_TMPDIR VLENS_KEEP=0
	make -s -C "$VLENS_BUILD" tests/unit/native-survey
	export POOR_HOST=$BATS_FILE_TMPDIR/poor-host.so
	"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -Wall -shared -fPIC -iquote "$VT_TESTS/../src" \
		-o "$POOR_HOST" "$VT_TESTS/unit/poor-host.c"
}

# engine_is ENGINE: --stats on $stderr names this executor.
engine_is() { grep -q "^engine: *vmst/$1" <<<"$stderr" || fail "$stderr"; }

setup() {
	T=$BATS_TEST_TMPDIR
}

# dump NAME: dumps the guest to $DUMPS/NAME.elf, if that is not there yet.
dump() {
	need_guest "$1"
	[[ ! -e $DUMPS/$1.elf ]] || return 0
	dump_guest "$1" "$DUMPS/$1.elf"
}

# Compares all answers in two rounds. The second one sees the memory that the first changed.
same_answers() {
	local emulated
	need_emulator
	dump "$1"
	ask_clone vmst/unicorn "$DUMPS/$1.elf" 2
	emulated=$(hashes "$output")
	ask_clone vmst/native "$DUMPS/$1.elf" 2
	assert_same "$emulated" "$(hashes "$output")"
}

# Instructions that may be refused, by their names in tests/unit/native-survey: those of the
# kernel's entry and task switch, of registers other than the general ones, of hypervisors and
# their guests, of protection keys and shadow stacks; those that ask the processor about
# itself; and string instructions of Zhaoxin's processors, whose addresses no prefix can fold.
ALLOWED='mov-(control|debug|segment|narrow)|(jmp|ret)-far|jmp-rsp|syscall|sysret|sysexit|iretq|swapgs|(rd|wr)[fg]sbase'
ALLOWED+='|[ls][gil]dt|ltr|str|lmsw|smsw|erets|eretu|lkgs|xsetbv|xsaves64|xrstors64|rdpkru|wrpkru|wrussq|wrssq'
ALLOWED+='|cpuid|lar|lsl|verr|rdpid|xgetbv|rdpmc|wbinvd|wbnoinvd|invlpgb|tlbsync|monitor|mwait|vm[a-z]+|invept|invvpid|skinit|clgi|stgi'
ALLOWED+='|encls|enclu|tdcall|seamcall|pvalidate|psmash|rmp[a-z]+'
ALLOWED+='|xsha[0-9]+|xcrypt[a-z]*|xstore|montmul'

whole_text() {
	local insns refused
	dump "$1"
	run "$VLENS_BUILD/tests/unit/native-survey" "$DUMPS/$1.elf"
	assert_status 0
	echo "# $1: $(tail -n 1 <<<"$output")" >&3
	insns=$(sed -n 's/ instructions of .*//p' <<<"$output")
	refused=$(awk '/^refused/ { n += $3 } END { print n + 0 }' <<<"$output")
	[[ $insns -gt 1000000 && $refused -lt $((insns / 8000)) ]] || fail "$output"
	! grep '^refused' <<<"$output" | grep -vE "^refused: ($ALLOWED) " || fail "not to be refused"
}

@test "5.10: the emulator's answers" { same_answers g510; }
@test "6.1: the emulator's answers" { same_answers g61; }
@test "five levels of page tables, 6.12: native is refused, and the emulator serves" {
	dump g612
	run --separate-stderr vuname --engine=vmst/native "$DUMPS/g612.elf" -n
	assert_status 3
	[[ $stderr == *"five levels"*"--engine=vmst chooses one that works"* ]] || fail "$stderr"
	if ! has_emulator; then
		run --separate-stderr vuname "$DUMPS/g612.elf" -n
		assert_status 3
		[[ $(grep -c '^vuname:' <<<"$stderr") -eq 1 && $stderr == *"five levels"* ]] || fail "$stderr"
		return
	fi
	run --separate-stderr vuname --stats "$DUMPS/g612.elf" -n
	assert_status 0
	engine_is unicorn
}
@test "7: the emulator's answers" { same_answers g7; }

@test "5.10: all of the kernel's text can be rewritten" { whole_text g510; }
@test "6.1: all of the kernel's text can be rewritten" { whole_text g61; }
@test "6.12: all of the kernel's text can be rewritten" { whole_text g612; }
@test "7: all of the kernel's text can be rewritten" { whole_text g7; }

# plant NAME HEX: makes the dump $T/NAME.elf, in which uname(2) is that code.
plant() {
	local at
	dump g61
	cp "$DUMPS/g61.elf" "$T/$1.elf"
	at=$(vcat "$DUMPS/g61.elf" /proc/kallsyms | awk '$3 == "__x64_sys_newuname" { print $1 }')
	# The first 64 bytes of the function, which the file has only once.
	vpeek --json "$DUMPS/g61.elf" "0x$at" 64 >"$T/bytes"
	python3 - "$T/$1.elf" "$T/bytes" "$2" <<-'EOF'
		import json, mmap, re, sys
		path, told, code = sys.argv[1:]
		text = json.dumps(json.load(open(told)))
		old = bytes.fromhex("".join(re.findall(r'"(?:bytes|hex)": "([0-9a-f ]+)"', text)).replace(" ", ""))
		assert len(old) == 64, text
		with open(path, "r+b") as f:
		    m = mmap.mmap(f.fileno(), 0)
		    at = m.find(old)
		    assert at >= 0 and m.find(old, at + 1) < 0
		    new = bytes.fromhex(code)
		    m[at:at + len(new)] = new
	EOF
}

# fails NAME PATTERN [ENGINE]: the tool has no output, and one line of its own says why.
fails() {
	run --separate-stderr vuname --engine="${3:-vmst/native}" "$T/$1.elf" -a
	[[ $status -ne 0 && -z $output && $(grep -c '^vuname:' <<<"$stderr") -eq 1 && $stderr == *$2* ]] ||
		{ show_run; fail "$1"; }
}

@test "planted code: a system call is refused" {
	plant syscall b83b0000000f05 # mov $59,%eax; syscall
	fails syscall "an instruction is not understood"
}

@test "planted code: a jump into our own pages" {
	plant jump 48c7c000002040ffe0 # mov $0x40200000,%rax; jmp *%rax
	fails jump "control leaves the kernel's text"
	plant call e8fbffff7f # call far away: the target is an address of the guest
	fails call "control leaves the kernel's text"
}

# Addresses that fold to the process's own pages: these are not memory of the guest.
@test "planted code: our own memory is not mapped" {
	# movabs $0xffff840040a00000,%rdi, which folds to where emitted code is; mov (%rdi),%rax; ret
	plant read 48bf0000a0400084ffff488b07c3
	fails read "took exception 14 (address 0xffff840040a00000)"
	# mov %rax,8(%rdi); ret
	plant write 48bf0000a0400084ffff48894708c3
	fails write "took exception 14 (address 0xffff840040a00008)"
	# movabs $0x7dfffffff000,%rdi; mov %rsp,%rsi; mov $8,%ecx; rep movsb; ret
	plant copy 48bf00f0ffffff7d00004889e6b908000000f3a4c3
	fails copy "took exception 14 (address 0x7dfffffff000)"
}

# Accesses by the stack pointer are not checked. The code: movabs $CODE,%rax;
# mov $0x40a00008,%esp; push %rax; push $0x40a00000; ret
over_code() { echo "48b8${1}bc0800a04050680000a040c3"; }

@test "planted code that overwrites emitted code can only end its own process" {
	plant execve "$(over_code 6a3b580f05ebfe90)" # push $59; pop %rax; syscall; 1: jmp 1b
	fails execve "made a forbidden system call"
	plant socket "$(over_code 6a29580f05ebfe90)"
	fails socket "made a forbidden system call"
	plant ptrace "$(over_code 6a65580f05ebfe90)"
	fails ptrace "made a forbidden system call"
	plant loop "$(over_code ebfe909090909090)"
	fails loop ""
}

@test "planted code: a stack that overflows, an endless call" {
	plant deep 4881ec0000020050c3 # sub $0x20000,%rsp; push %rax; ret
	fails deep "took exception 14"
	plant self e8fbffffff # 1: call 1b
	fails self "took exception 14"
}

@test "planted code: a loop without end" {
	plant loop ebfe # 1: jmp 1b
	fails loop "did not come to an end"
	plant wild 680000008148810c2400000000c3 # push $0xffffffff81000000; orq $0,(%rsp); ret
	fails wild ""
}

@test "an I/O port: no executor invents the answer of a device" {
	plant port bacf0c0000ec31c0c3 # mov $0xccf,%edx; in (%dx),%al; xor %eax,%eax; ret
	local engine
	for engine in vmst/native $(! has_emulator || echo vmst/unicorn); do
		run --separate-stderr vuname --engine="$engine" "$T/port.elf" -a
		[[ $status -ne 0 && -z $output && $(grep -c '^vuname:' <<<"$stderr") -eq 1 &&
			$stderr == *"uses an I/O port at __"*newuname* ]] || { show_run; fail "$engine"; }
	done
}

@test "cpuid: the emulator answers it, not this processor" {
	plant cpuid 31c00fa231c0c3 # xor %eax,%eax; cpuid; xor %eax,%eax; ret
	need_emulator
	run --separate-stderr vuname --stats "$T/cpuid.elf" -n
	engine_is unicorn
}

@test "a result that the kernel does not write has no bytes of an earlier one" {
	plant nothing 31c0c3 # xor %eax,%eax; ret
	local engine
	for engine in vmst/native $(! has_emulator || echo vmst/unicorn); do
		run --separate-stderr vexec --engine="$engine" "$T/nothing.elf" sh -c 'cat /proc/version; uname -snrvm'
		assert_status 0
		assert_same $'Linux version' "${lines[0]:0:13}"
		[[ ${lines[1]} != *[a-zA-Z0-9]* ]] || fail "$engine: ${lines[1]}"
	done
}

# little ADDRESS: its bytes as they lie in memory, in hex.
little() { printf '%016x' "$1" | fold -w2 | tac | tr -d '\n'; }

# other_engine NAME PATTERN: native fails, and the emulator serves, if there is one.
other_engine() {
	fails "$1" "$2"
	has_emulator || { fails "$1" "$2" vmst; return; }
	run --separate-stderr vuname --stats "$T/$1.elf" -n
	assert_status 0
	engine_is unicorn
}

@test "an instruction that native does not understand: the emulator serves" {
	plant swapgs 0f01f80f01f831c0c3 # swapgs; swapgs; xor %eax,%eax; ret
	other_engine swapgs "an instruction is not understood"
}

@test "a stack that is not the clone's" {
	local stack
	dump g61
	stack=$(vcat "$DUMPS/g61.elf" /proc/kallsyms | awk '$3 == "init_stack" { print $1 }')
	[[ $stack == ffffffff* ]]
	# mov %rsp,%rcx; movabs $STACK,%rsp; push %rcx; call 1f; pop %rsp; xor %eax,%eax; ret; 1: ret
	plant stack "4889e148bc$(little $((0x$stack + 8192)))51e8040000005c31c0c3c3"
	run --separate-stderr vuname --stats --engine=vmst/native "$T/stack.elf" -n
	assert_status 0
	engine_is native
}

@test "an instruction that this processor lacks: the emulator tries it" {
	plant lacks 0faac3 # rsm, which is for firmware alone; ret
	fails lacks "took exception 6"
	need_emulator
	run --separate-stderr vuname --stats "$T/lacks.elf" -n
	[[ $status -ne 0 && $(grep -c '^vuname:' <<<"$stderr") -eq 1 ]] || fail "$stderr"
	engine_is unicorn
}

@test "a host without FSGSBASE: native serves, by arch_prctl" {
	local with without
	dump g61
	run --separate-stderr env LD_PRELOAD="$POOR_HOST" POOR=fsgsbase vuname --stats "$DUMPS/g61.elf" -n
	assert_status 0
	engine_is native
	ask_clone vmst/native "$DUMPS/g61.elf" 2
	with=$(hashes "$output")
	LD_PRELOAD=$POOR_HOST POOR=fsgsbase ask_clone vmst/native "$DUMPS/g61.elf" 2
	without=$(hashes "$output")
	assert_same "$with" "$without"
}

@test "a host without FSGSBASE that refuses arch_prctl: the emulator serves" {
	dump g61
	run --separate-stderr env LD_PRELOAD="$POOR_HOST" POOR="fsgsbase arch_prctl" vuname \
		--engine=vmst/native "$DUMPS/g61.elf" -n
	assert_status 3
	[[ $stderr == *"no FSGSBASE"*"--engine=vmst chooses one that works"* ]] || fail "$stderr"
	need_emulator
	run --separate-stderr env LD_PRELOAD="$POOR_HOST" POOR="fsgsbase arch_prctl" vuname --stats \
		"$DUMPS/g61.elf" -n
	assert_status 0
	engine_is unicorn
}

@test "a host that refuses arch_prctl: native serves, by FSGSBASE" {
	grep -qw fsgsbase /proc/cpuinfo || skip "this host has no FSGSBASE"
	dump g61
	run --separate-stderr env LD_PRELOAD="$POOR_HOST" POOR=arch_prctl vuname --stats \
		--engine=vmst/native "$DUMPS/g61.elf" -n
	assert_status 0
	engine_is native
}

# ps_is TEXT: ps prints this. The kernel's workers come and go.
ps_is() {
	run --separate-stderr vps --stats "$(guest g61)" -eo pid,comm
	assert_status 0
	engine_is native
	assert_same "$(grep -v kworker <<<"$1")" "$(grep -v kworker <<<"$output")"
}

# spoil SEED | spoil all BYTES: changes 3000 bytes of a file of translated code, or its whole code,
# which is behind the texts' sums and the blocks (struct kept in src/native/keep.c).
spoil() {
	python3 -c 'import random, struct, sys
data = bytearray(sys.stdin.buffer.read())
texts, blocks, _, size = struct.unpack_from("4I", data, 24)
code = 48 + 16 * (texts + blocks)
if sys.argv[1] == "all":
    bad = sys.argv[2].encode().decode("unicode_escape").encode("latin-1")
    data[code:code + size] = (bad * size)[:size]
else:
    random.seed(int(sys.argv[1]))
    for _ in range(3000):
        data[code + random.randrange(size)] = random.randrange(256)
sys.stdout.buffer.write(data)' "$@"
}

# make_seal FILE: makes a program that puts the right checksum into such a file.
make_seal() {
	"${CC:-gcc}" -std=gnu11 -Wall -iquote "$VT_TESTS/../src" -x c -o "$1" - <<-'EOF'
		#include <stdio.h>
		#include "base/hash.h"
		int main(void)
		{
			static unsigned char file[64 << 20];
			size_t len = fread(file, 1, sizeof(file), stdin);
			uint64_t sum = len > 8 ? vl_sum(file + 8, len - 8) : 0;

			memcpy(file, &sum, sizeof(sum));
			return fwrite(file, 1, len, stdout) != len;
		}
	EOF
}

# is_replaced TEXT: the next run answers this, and replaces what is in $file.
is_replaced() {
	cp "$file" "$T/bad"
	ps_is "$1"
	is_other || fail "not written anew after: $bad"
}

is_other() { ! cmp -s "$file" "$T/bad"; }
no_keepers() { [[ -z $(ours vlens-keeper) ]]; }

@test "translated code is kept for the next run, and used over the same text only" {
	local file first bad tracing='cd /sys/kernel/tracing'
	need_guest g61
	export VLENS_RUN_DIR=$T/run
	mkdir -m 700 "$T/run"
	first=$(vps "$(guest g61)" -eo pid,comm)
	ps_is "$first"
	file=$(find "$T/run" -name '*.ps.code')
	[[ $(stat -c %a "$file") == 600 ]] || fail "no file, or others can read it: $file"
	ps_is "$first"
	cp "$file" "$T/good"
	make_seal "$T/seal"
	"$T/seal" <"$T/good" >"$T/sealed"
	cmp "$T/sealed" "$T/good" || fail "it has no checksum, or another one"
	# A file that makes no sense, or is cut short, is replaced.
	for bad in "head -c 4096 /dev/urandom" "head -c 100000 $T/good" "true"; do
		$bad >"$file"
		ps_is "$first"
		[[ $(stat -c %s "$file") -gt 100000 ]] || fail "not written anew after: $bad"
	done
	# So is one that is damaged.
	for bad in 1 2 3 4; do
		spoil "$bad" <"$T/good" >"$file"
		is_replaced "$first"
	done
	# So is one that has the right checksum, but whose code only faults, or never ends.
	for bad in '\xcc' '\x0f\x0b' '\xf4' '\xeb\xfe'; do
		spoil all "$bad" <"$T/good" | "$T/seal" >"$file"
		is_replaced "$first"
	done
	# That of an attack ends its run, but no other.
	spoil all '\x0f\x05' <"$T/good" | "$T/seal" >"$file"
	run --separate-stderr vps "$(guest g61)" -eo pid,comm
	assert_status 3
	[[ ! -e $file && $stderr == *"forbidden system call"* ]] || fail "$stderr"
	ps_is "$first"
	# A keeper's questions are answered, too, and it replaces the file.
	spoil all '\xcc' <"$T/good" | "$T/seal" >"$file"
	cp "$file" "$T/bad"
	VLENS_KEEP=3 ps_is "$first"
	grep -q '^keeper: *yes$' <<<"$stderr" || fail "no keeper: $stderr"
	eventually 10 is_other || fail "the keeper leaves the file"
	VLENS_KEEP=3 ps_is "$first"
	eventually 20 no_keepers || fail "it stays"
	# ftrace changes the text.
	cp "$file" "$T/good"
	in_guest g61 "mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; $tracing &&
		echo vfs_read >set_ftrace_filter && echo function >current_tracer"
	ps_is "$first"
	in_guest g61 "$tracing; echo nop >current_tracer; echo >set_ftrace_filter"
	! cmp -s "$file" "$T/good" || fail "the file is the one of the text before"
}
