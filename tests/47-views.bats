#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Views of raw memory, compared with the output of the guest's own programs; their tables and errors.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/planted

setup_file() { dumps_begin; }

teardown_file() {
	dumps_end
	drop_guest busy reset vt-dom
}

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() { restore; }

# ---- what the guest says ----------------------------------------------------

same_processes() {
	need_guest "$1"
	tries 3 same_lists "$1"
}

same_lists() {
	local g
	g=$(guest "$1")
	# Leave out the command itself and kernel workers, which come and go, and the states
	# of kernel threads, which change at any time.
	in_guest "$1" 'ps -eo pid,ppid,state,nlwp,comm --no-headers' |
		awk '$5 !~ /^(kworker|ps$|sh$)|evil/ { print $1, $2, ($2 == 2 ? "-" : $3), $4, substr($5, 1, 15) }' |
		sort -n >"$T/guest"
	vpslist --no-headers -o pid,ppid,s,threads,comm "$g" |
		awk '$5 !~ /^(kworker|ps$|sh$)|evil/ { print $1, $2, ($2 == 2 ? "-" : $3), $4, $5 }' |
		sort -n >"$T/vlens"
	[[ $(wc -l <"$T/guest") -gt 60 ]] || fail "a short list" || return
	assert_same "$(<"$T/guest")" "$(<"$T/vlens")" || return
	# vpidlist has the same pids.
	assert_same "$(cut -d' ' -f1 "$T/vlens")" \
		"$(vpidlist --no-headers "$g" | tr -d ' ' | sort -n | grep -xf <(cut -d' ' -f1 "$T/vlens"))" || return
	# Start times, in clock ticks.
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest "$1" 'for p in 1 2 3; do sed "s/.*) //" /proc/$p/stat | cut -d" " -f20; done' >"$T/ticks"
	vpslist --no-headers -o start "$g" | head -n 3 | tr -d . >"$T/start"
	assert_same "$(<"$T/ticks")" "$(sed 's/^ *0*//' "$T/start")"
}

@test "vpslist, vpidlist: what ps shows, 5.10" { same_processes g510; }
@test "vpslist, vpidlist: what ps shows, 6.1" { same_processes g61; }
@test "vpslist, vpidlist: what ps shows, 7" { same_processes g7; }

same_credentials() {
	need_guest "$1"
	tries 3 same_rights "$1"
}

same_rights() {
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest "$1" 'for p in /proc/[0-9]*; do awk -v p=${p#/proc/} "
		/^Name:/ { n = \$2 } /^Uid:/ { u = \$2 \" \" \$3 \" \" \$4 \" \" \$5 }
		/^Gid:/ { g = \$2 \" \" \$3 \" \" \$4 \" \" \$5 }
		/^Cap(Inh|Prm|Eff|Bnd|Amb):/ { c = c \" \" \$2 }
		END { print p, u, g c, substr(n, 1, 15) }" $p/status 2>/dev/null; done' |
		grep -vE ' (kworker.*|sh|awk|.*evil.*)$' | sort -n >"$T/guest"
	vcredlist --no-headers -o pid,uid,euid,suid,fsuid,gid,egid,sgid,fsgid,capinh,capprm,capeff,capbnd,capamb,comm \
		"$(guest "$1")" | while read -r p a b c d e f g h i j k l m n; do
		printf '%s %s %s %s %s %s %s %s %s %016x %016x %016x %016x %016x %s\n' \
			"$p" "$a" "$b" "$c" "$d" "$e" "$f" "$g" "$h" "$i" "$j" "$k" "$l" "$m" "$n"
	done | grep -vE ' (kworker.*|sh|awk|.*evil.*)$' | sort -n >"$T/vlens"
	[[ $(wc -l <"$T/guest") -gt 60 ]] || fail "a short list" || return
	assert_same "$(<"$T/guest")" "$(<"$T/vlens")"
}

@test "vcredlist: what /proc/PID/status shows, 5.10" { same_credentials g510; }
@test "vcredlist: what /proc/PID/status shows, 6.1" { same_credentials g61; }
@test "vcredlist: what /proc/PID/status shows, 7" { same_credentials g7; }

same_calls() {
	need_guest "$1"
	local g
	g=$(guest "$1")
	run --separate-stderr vsyscalldump --no-headers -o nr,via,address,symbol,mark "$g"
	assert_status 0
	[[ ${#lines[@]} -gt 400 ]]
	[[ $(awk '{ print $2 }' <<<"$output" | sort -u) == "$2" ]]
	in_guest "$1" 'grep -E " [tTwW] (__x(64|32)_|sys_ni_|compat_)" /proc/kallsyms | grep -v "\["' |
		awk '{ print "0x" $1, $3 }' | sort -u >"$T/symbols"
	awk '{ print $3, $4 }' <<<"$output" | sort -u >"$T/called"
	assert_empty "$(comm -13 "$T/symbols" "$T/called")"
	[[ $(awk '$1 == 39 { print $4 }' <<<"$output") == __x64_sys_getpid ]]
}

@test "vsyscalldump: by the table, 5.10" { same_calls g510 table; }
@test "vsyscalldump: by the switch, 6.1" { same_calls g61 switch; }
@test "vsyscalldump: by the switch, 6.12" { same_calls g612 switch; }
@test "vsyscalldump: by the switch, 7" { same_calls g7 switch; }

@test "vlsmod --engine=imee: what lsmod shows" {
	local name
	for name in g510 g61 g7; do
		need_guest "$name"
		assert_same "$(in_guest "$name" lsmod | awk 'NR > 1 { print $1, $2, $3 }' | sort)" \
			"$(vlsmod --engine=imee --no-headers -o module,size,used "$(guest "$name")" |
				awk '{ print $1, $2, $3 }' | sort)"
	done
}

# only_others_failed APPLET GUEST...: the run was right, or its errors are of other guests: those of
# this host may come, go, boot or not be Linux. Each has a line on stderr.
only_others_failed() {
	local applet=$1 name
	[[ ($status -eq 0 && -z $stderr) || ($status -eq 3 && $stderr == "$applet: "*": "*) ]] ||
		{ show_run; fail "status"; }
	for name in "${@:2}"; do
		[[ $stderr != *"$applet: $name: "* ]] || { show_run; fail "$name"; }
	done
}

@test "vlist: all guests of the host, with state, release, size and uptime" {
	need_guest g61
	vuname "$(guest g61)" -r >/dev/null
	local row before
	before=$(in_guest g61 'cut -d" " -f1 /proc/uptime')
	run --separate-stderr vlist -J
	only_others_failed vlist "$(guest g61)"
	row=$(jq -c ".guests[] | select(.id == \"$(guest g61)\")" <<<"$output")
	[[ $(jq -r .name <<<"$row") == g61 ]]
	[[ $(jq -r .state <<<"$row") == running ]]
	[[ $(jq -r .release <<<"$row") == "$(in_guest g61 'uname -r')" ]]
	[[ $(jq .vcpus <<<"$row") == 2 && $(jq .ram <<<"$row") == 512 ]]
	# The uptime is that of the last tick. An idle guest has no tick for some seconds.
	between $((${before%.*} - 5)) "$(jq .uptime <<<"$row")" \
		"$(in_guest g61 'cut -d" " -f1 /proc/uptime')"
	# vlist makes a first attach.
	VLENS_RUN_DIR=$T/none run --separate-stderr vlist -J "$(guest g61)"
	assert_status 0
	[[ $(jq -r '.guests[0].release' <<<"$output") == "$(in_guest g61 'uname -r')" ]]
	[[ $(jq -r '.guests[0].note' <<<"$output") == null ]]
	# --engine chooses the engine, and --stats has the figures of the attach.
	run --separate-stderr vlist --stats --engine=direct "$(guest g61)"
	assert_status 0
	[[ $stderr == *"engine:         direct"*"reason:         asked for; "*"attach:         "[1-9]* ]]
	[[ $stderr != *"requests:       0"* ]]
}

@test "vlist, vpslist: a libvirt domain" {
	[[ $(id -u) -eq 0 ]] || skip "only root can start libvirtd"
	need_guest vt-dom
	vuname vt-dom -r >/dev/null
	run --separate-stderr vlist -J
	only_others_failed vlist "vt-dom"
	[[ $(jq -c '.guests[] | select(.name == "vt-dom") | [.state, .vcpus, .ram, .release]' <<<"$output") == \
		"[\"running\",1,512,\"$(in_guest vt-dom 'uname -r')\"]" ]] || { show_run; fail "vt-dom's row"; }
	vpslist --no-headers -o pid,comm vt-dom | grep -qE '^ *1 init$'
	vps --diff vt-dom >/dev/null
	virsh -q -c qemu:///system suspend vt-dom
	[[ $(vlist --no-headers -o state vt-dom) == paused ]]
	virsh -q -c qemu:///system resume vt-dom
	drop_guest vt-dom
}

@test "vmem: the RAM, and where the kernel is" {
	need_guest g61
	run --separate-stderr vmem -J "$(guest g61)"
	assert_status 0
	[[ $(jq -r '.memory[0].backing' <<<"$output") == "/memfd:memory-backend-memfd (deleted), at 0x0" ]]
	[[ $(jq '[.memory[] | select(.space == "phys") | .size] | add' <<<"$output") == $((512 * 1024)) ]]
	local text
	text=$(jq -r '.memory[] | select(.what == "kernel text") | .start' <<<"$output")
	[[ ${text#0x} == "$(in_guest g61 "awk '\$3 == \"_stext\" { print \$1 }' /proc/kallsyms")" ]]
	jq -e '.memory[] | select(.what == "direct map")' <<<"$output"
	jq -e '.memory[] | select(.what == "modules")' <<<"$output"
}

@test "vpeek: names of types and members from a hostile BTF drive no terminal" {
	use g61
	cp "$D" "$T/forged.elf"
	python3 - "$T/forged.elf" <<-'EOF'
		import mmap, sys
		f = open(sys.argv[1], "r+b")
		m = mmap.mmap(f.fileno(), 0)
		for old, new in (b"\0new_utsname\0", b"\0n\x1b[31m\nname\0"), (b"\0nodename\0", b"\0\x1b[31m\nde\0"):
		    assert len(old) == len(new)
		    at = m.find(old)
		    assert at >= 0
		    while at >= 0:
		        m[at:at + len(old)] = new
		        at = m.find(old, at + 1)
	EOF
	run vpeek "$T/forged.elf" init_uts_ns.name
	assert_status 0
	[[ ${lines[0]} == "init_uts_ns.name: struct n^[[31m^Jname, "* && $output == *".^[[31m^Jde = "* ]] ||
		fail "$output"
	run vpeek -J "$T/forged.elf" init_uts_ns.name
	assert_status 0
	[[ $output != *$'\e'* && $output == *'\u001b[31m'* ]] || fail "$output"
}

@test "vpeek: bytes, types, members, pointers" {
	need_guest g61
	local g
	g=$(guest g61)
	[[ $(vpeek "$g" linux_banner 16 | head -n 1) == *"|Linux version 6.|" ]]
	[[ $(vpeek -J "$g" init_task.comm | jq -r '.places[0].value') == swapper/0 ]]
	[[ $(vpeek -J "$g" init_uts_ns.name.nodename | jq -r '.places[0].value') == g61 ]]
	[[ $(vpeek -J "$g" 'init_task->real_cred.uid.val' | jq '.places[0].value') == 0 ]]
	[[ $(vpeek -J "$g" init_pid_ns.child_reaper.comm | jq -r '.places[0].value') == init ]]
	[[ $(vpeek -J --depth 1 "$g" 'init_task.real_cred' | jq '.places[0].value.uid.val') == 0 ]]
	[[ $(vpeek "$g" 'boot_cpu_data.x86_vendor_id') == *'"AuthenticAMD"'* || \
		$(vpeek "$g" 'boot_cpu_data.x86_vendor_id') == *'"GenuineIntel"'* ]]
	# An address with a type, a bitfield, an element of an array, a per-CPU variable.
	local cred
	cred=$(vpeek -J "$g" init_cred | jq -r '.places[0].address')
	[[ $(vpeek -J "$g" "$cred:cred.cap_effective" | jq -c '.places[0].type') == '"kernel_cap_t"' ]]
	[[ $(vpeek -J "$g" 'init_task.in_execve' | jq '.places[0].value') == 0 ]]
	[[ $(vpeek -J "$g" 'init_task.comm[1]' | jq '.places[0].value') == "$(printf %d "'w")" ]]
	[[ $(vpeek -J "$g" 'runqueues@1.cpu' | jq '.places[0].value') == 1 ]]
	[[ $(vpeek -J "$g" 'runqueues@0.cpu' | jq '.places[0].value') == 0 ]]
	# An index beyond the end of an array, or of something that is no array, is refused.
	local what
	for what in 'comm[16]' 'comm[999999999]' 'comm[18446744073709551615]'; do
		run --separate-stderr vpeek "$g" "init_task.$what"
		assert_status 3
		[[ $stderr == *"is outside of char[16]; its last element is [15]" ]] || { show_run; fail "$what"; }
	done
	for what in 'init_task[0]' 'init_task.tasks[1]' 'init_task.pid[0]'; do
		run --separate-stderr vpeek "$g" "$what"
		assert_status 3
		[[ $stderr == *"needs an array"* ]] || { show_run; fail "$what"; }
	done
	run --separate-stderr vpeek "$g" 'init_task.files[99999999999999999]'
	assert_status 3
	[[ $stderr == *"beyond the end of the address space" ]] || { show_run; fail "too far"; }
	[[ $(vpeek -J "$g" "$cred:cred[0].uid.val" | jq '.places[0].value') == 0 ]]
	# A flexible array member (gid[]) has elements.
	[[ $(vpeek -J "$g" 'init_task.cred.group_info.gid[0].val' | jq '.places[0].size') == 4 ]]
	# Types as C spells them.
	[[ $(vpeek -J "$g" 'jiffies:unsigned long' | jq -c '.places[0] | [.type, .size]') == \
		'["long unsigned int",8]' ]]
	[[ $(vpeek -J "$g" "$(vpeek -J "$g" init_task.comm | jq -r '.places[0].address'):short" | jq -c '.places[0] | [.type, .value]') == \
		"[\"short int\",$(($(printf %d "'w") * 256 + $(printf %d "'s")))]" ]]
	# --as: the first bytes of a process's program.
	local pid start
	pid=$(in_guest g61 'sed -n "s/^[a-z]* //p" /run/factory/pids | head -n 1')
	start=0x$(in_guest g61 "head -n 1 /proc/$pid/maps | cut -d- -f1")
	[[ $(vpeek --as "$pid" "$g" "$start" 4 | head -n 1) == *"|.ELF|" ]]
}

# ---- several guests ---------------------------------------------------------

@test "several guests at once, and one that fails" {
	need_guest g61 g7
	run --separate-stderr vpslist "$(guest g61)" qemu:1 "$(guest g7)"
	assert_status 3
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == "vpslist: qemu:1: "* ]]
	[[ ${lines[0]} == "GUEST "* ]]
	grep -qE "^$(guest_label g61) +1 " <<<"$output"
	grep -qE "^$(guest_label g7) +1 " <<<"$output"
	run --separate-stderr vpidlist -J "$(guest g61)" "$(guest g7)"
	assert_status 0
	[[ $(jq -r '[.processes[].guest] | unique | length' <<<"$output") == 2 ]]
	[[ $(jq -r '[.processes[] | select(.pid == 1)] | length' <<<"$output") == 2 ]]
	run --separate-stderr vpeek -g "$(guest g61)" -g "$(guest g7)" init_task.comm
	assert_status 0
	[[ $(grep -c '"swapper/0"' <<<"$output") == 2 ]]
	[[ $(vps --engine=imee --no-headers -o guest,pid --sort -guest,pid \
		"$(guest g61)" "$(guest g7)" | awk '{ print $1 }' | uniq | wc -l) == 2 ]]
}

@test "a program that has written a title over its arguments: as the guest shows it" {
	local pid args title
	need_guest g61 g7
	for name in g61 g7; do
		for title in "sshd: short" "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"; do
			pid=$(in_guest "$name" "factory title '$title'")
			args=$(in_guest "$name" "tr '\\0' ' ' </proc/$pid/cmdline | sed 's/ *$//'")
			[[ $args == "$title"* ]]
			assert_same "$args" "$(vps --json "$(guest "$name")" |
				jq -r --argjson pid "$pid" '.processes[] | select(.pid == $pid).args')"
			in_guest "$name" "kill -9 $pid"
		done
	done
}

@test "--all on a host without a guest is no answer" {
	local cmd
	# Another PID namespace, and no socket of libvirt's: nothing of this host's guests is seen.
	for cmd in "vpidlist --all" "vcheck --all" "vps --diff --all" "vlens trust verify --all"; do
		run --separate-stderr env -u LIBVIRT_DEFAULT_URI unshare -fpm --mount-proc bash -c "
			[[ ! -d /run/libvirt ]] || mount -t tmpfs none /run/libvirt
			$cmd"
		[[ $status -eq 3 && $stderr == *": no guest runs here; name one: "* ]] ||
			fail "$cmd: $status $stderr"
	done
}

@test "--all: all guests of the host, and a line for each that fails" {
	need_guest g61 g7
	run --separate-stderr vpidlist --all
	only_others_failed vpidlist "$(guest g61)" "$(guest g7)"
	[[ ${lines[0]} == "GUEST "*PID ]]
	grep -qE "^$(guest_label g61) +1$" <<<"$output"
	grep -qE "^$(guest_label g7) +1$" <<<"$output"
	run --separate-stderr vpidlist --all -J
	[[ $(jq "[.processes[] | select(.pid == 1 and
		(.guest == \"$(guest_label g61)\" or .guest == \"$(guest_label g7)\"))] | length" <<<"$output") == 2 ]]
}

has_booted() { vpslist --no-headers -o comm "$1" 2>/dev/null | grep -q '^sleeper'; }

has_not_booted() { ! has_booted "$1"; }

@test "a guest that was reset is attached anew" {
	need_guest reset
	local g
	g=$(guest reset)
	has_booted "$g"
	sleep 5
	qmp reset set-action '{"reboot": "reset"}' >/dev/null
	qmp reset system_reset >/dev/null
	# Its memory is intact until the firmware and the new kernel overwrite it.
	eventually 60 has_not_booted "$g"
	eventually 300 has_booted "$g"
	local before up
	before=$(in_guest reset 'cut -d" " -f1 /proc/uptime')
	up=$(vlist -J "$g" | jq '.guests[0].uptime')
	between $((${before%.*} - 5)) "$up" "$(in_guest reset 'cut -d" " -f1 /proc/uptime')"
	drop_guest reset
}

# ---- tables and errors ---------------------------------------------------------

@test "vpeek: what cannot be read, or does not exist" {
	need_guest g61
	local g want
	g=$(guest g61)
	while IFS='|' read -r what want; do
		# shellcheck disable=SC2086 # WHAT and LENGTH
		run --separate-stderr vpeek "$g" $what
		[[ $status -eq 3 ]] || { show_run; fail "$what: status $status"; }
		[[ $stderr == "vpeek: $g: "*"$want"* && ${#stderr_lines[@]} -eq 1 ]] ||
			{ show_run; fail "$what"; }
	done <<-END
		0x1234567890123456|not a canonical address
		0xffffffffffffff00 512|beyond the end
		init_top_pgt 0x40000001|more than
		0x10|
		init_tsk|no symbol 'init_tsk'; did you mean init_task
		init_task:task_strct|no type 'task_strct'; did you mean task_struct
		init_task.comn|no member 'comn' in struct task_struct; did you mean comm
		init_task.comm.x|has no members
		linux_banner.x|is not known
		runqueues.cpu|each CPU has its own
		runqueues@4096.cpu|no CPU 4096
		init_task.mm->pgd|is NULL
		init_task@|no CPU
		init_task:|no type
		init_task[1|no ']'
		init_task!|not understood
	END
	run --separate-stderr vpeek -J "$g" 0x10
	assert_status 3
	[[ $(jq -c . <<<"$output") == '{"places":[]}' ]]
	# The bytes before a missing page are shown, and stderr has the page's address.
	local last
	last=$(vmem -J "$g" | jq -r '.memory[] | select(.what == "modules") | .last')
	run --separate-stderr vpeek "$g" "$(printf '0x%x' $((last - 31)))" 64
	assert_status 3
	[[ ${lines[0]} == "$(printf '%016x' $((last - 31)))"* ]]
	[[ $stderr == *"$(printf '0x%x' $((last + 1))): not present" ]]
}

@test "usage errors" {
	run --separate-stderr vpslist
	assert_usage vpslist "no guest is named"
	run --separate-stderr vpslist -o pid,nonsense g
	assert_usage vpslist 'error: unknown user-defined format specifier "nonsense"; the columns are guest, pid, ppid,'
	run --separate-stderr vpslist --sort nonsense g
	assert_usage vpslist 'unknown sort specifier "nonsense"; the columns are guest, pid, ppid,'
	run --separate-stderr vpslist --engine=vmst g
	assert_usage vpslist "only raw reads"
	run --separate-stderr vpslist --nonsense g
	assert_usage vpslist "unknown option '--nonsense'"
	run --separate-stderr vpslist --all g
	assert_usage vpslist "--all takes no guest"
	run --separate-stderr vpeek g
	assert_usage vpeek "no address or symbol"
	run --separate-stderr vpeek g init_task 0
	assert_usage vpeek "shows nothing"
	run --separate-stderr vps --engine=imee g -ef
	assert_usage vps "those of ps need --engine=vmst"
	run --separate-stderr vdate --engine=imee g
	assert_usage vdate "only the engine vmst"
}

@test "JSON is valid without a row, and when no guest can be read" {
	run --separate-stderr vpslist -J qemu:1
	assert_status 3
	[[ $(jq -c . <<<"$output") == '{"processes":[]}' ]]
	run --separate-stderr vlist -J ./nothing-here
	assert_status 3
	[[ $(jq -c . <<<"$output") == '{"guests":[]}' ]]
	local tool
	for tool in vpidlist vcredlist vsyscalldump vmem "vps --diff" "vps --engine=imee" "vlsmod --diff" \
		"vlsmod --engine=imee"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $tool -J qemu:1
		assert_status 3
		jq -e 'length == 1 and .[] == []' <<<"$output"
	done
	run --separate-stderr vpeek -J qemu:1 linux_banner
	assert_status 3
	[[ $(jq -c . <<<"$output") == '{"places":[]}' ]]
	# A domain without a QEMU is listed, too.
	run --separate-stderr vlist -J -c test:///default
	assert_status 3
	[[ $(jq -r '.guests[] | select(.name == "test") | .note' <<<"$output") == *"no QEMU is behind"* ]]
}

@test "columns: headers, widths, order, one page of text" {
	need_guest g61
	local g
	g=$(guest g61)
	[[ $(vpslist -o pid=,comm= "$g" | head -n 1) =~ ^\ *1\ init$ ]]
	[[ $(vpslist -o pid=Process,comm:30,s "$g" | head -n 1) == "Process COMM                           S" ]]
	[[ $(vpslist --no-headers -o pid --sort -pid "$g" | head -n 1) -gt 50 ]]
	[[ $(COLUMNS=12 vpslist -o pid,comm "$g" | awk '{ if (length > n) n = length } END { print n }') == 12 ]]
}

@test "a list without rows is its header, and an empty list in JSON" {
	need_guest g61
	run --separate-stderr vps --containers "$(guest g61)"
	assert_status 0
	assert_same "RUNTIME ID NAME PROCESSES RSS_BYTES START PID COMM" "$output"
	assert_empty "$stderr"
	assert_empty "$(vps --containers --no-headers "$(guest g61)")"
	assert_same 0 "$(vps --containers -J "$(guest g61)" | jq '.containers | length')"
	# A guest that cannot be read has no list at all.
	run --separate-stderr vps --containers /no/such
	assert_refused vps /no/such "no such file"
}
