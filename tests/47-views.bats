#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Views of raw memory, compared with the output of the guest's own programs, and run on
# dumps in which the tests plant the changes of a rootkit.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	export DUMPS=$VLENS_TEST_RUN/view-dumps
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
}

teardown_file() {
	rm -rf "$DUMPS"
	drop_guest busy reset vt-dom
}

setup() {
	T=$BATS_TEST_TMPDIR
}

# ---- dumps to plant in ------------------------------------------------------

# dump NAME: dumps the guest to $DUMPS/NAME.elf, if that is not there yet.
dump() {
	need_guest "$1"
	[[ ! -e $DUMPS/$1.elf ]] || return 0
	dump_guest "$1" "$DUMPS/$1.elf"
	dump_root "$DUMPS/$1.elf" >"$DUMPS/$1.root"
}

# address WHAT: the address of a symbol or member in $D.
address() { vpeek -J "$D" "$1" 8 2>/dev/null | jq -r '.places[0].address'; }
# word ADDRESS: the 8 bytes there, as a number. (To bash a kernel address is negative.)
word() {
	local hex
	hex=$(vpeek -J "$D" "$(printf '0x%x' "$1")" 8 | jq -r '.places[0].bytes')
	echo "0x${hex:14:2}${hex:12:2}${hex:10:2}${hex:8:2}${hex:6:2}${hex:4:2}${hex:2:2}${hex:0:2}"
}
# le NUMBER: its 8 bytes, as hexadecimal text.
le() {
	local n
	n=$(printf '%016x' "$1")
	echo "${n:14:2}${n:12:2}${n:10:2}${n:8:2}${n:6:2}${n:4:2}${n:2:2}${n:0:2}"
}
# plant ADDRESS HEX: changes the dump, until the end of the test.
plant() {
	local was
	was=$("$VT_TESTS/lib/poke" "$D" "$(<"${D%.elf}.root")" "$(printf '0x%x' "$1")" "$2")
	undo+=("$(printf '0x%x' "$1") $was")
}
# use NAME: makes the dump of NAME the one to plant in.
use() {
	restore
	dump "$1"
	D=$DUMPS/$1.elf
}
# restore: takes back what was planted in $D.
restore() {
	local i
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
		# shellcheck disable=SC2086 # two words
		"$VT_TESTS/lib/poke" "$D" "$(<"${D%.elf}.root")" ${undo[i]} >/dev/null
	done
	undo=()
}
teardown() { restore; }
# unlink ADDRESS: takes the list_head there out of its list.
unlink_entry() {
	local next prev
	next=$(word "$1")
	prev=$(word $(($1 + 8)))
	plant "$prev" "$(le "$next")"
	plant $((next + 8)) "$(le "$prev")"
}

task_of() { vpslist -J -o pid,task "$D" | jq -r ".processes[] | select(.pid == $1) | .task"; }
some_pid() { vpslist --no-headers -o pid,comm "$D" | awk '$2 == "sleeper" { print $1; exit }'; }

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
	assert_same "" "$(comm -13 "$T/symbols" "$T/called")"
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
		"[\"running\",1,512,\"$(in_guest vt-dom 'uname -r')\"]" ]]
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

# ---- comparisons ------------------------------------------------------------

@test "--diff: a guest that hides nothing" {
	local name
	for name in g510 g61 g7; do
		need_guest "$name"
		run --separate-stderr vps --diff "$(guest "$name")"
		assert_status 0
		[[ ${#lines[@]} -gt 80 && -z $stderr ]]
		run --separate-stderr vlsmod --diff "$(guest "$name")"
		assert_status 0
		grep -q ^dummy <<<"$output"
	done
}

@test "--diff: a guest that forks all the time raises no alarm" {
	need_guest busy
	for _ in 1 2 3 4 5; do
		run --separate-stderr vps --diff "$(guest busy)"
		assert_status 0
	done
	drop_guest busy
}

@test "a process unlinked from the task list is found" {
	local name
	for name in g510 g61 g7; do
		use "$name"
		local pid task
		pid=$(some_pid)
		task=$(task_of "$pid")
		run --separate-stderr vps --diff "$D"
		assert_status 0
		unlink_entry "$(address "$task:task_struct.tasks")"
		[[ $(vpidlist --no-headers "$D" | grep -cx " *$pid") == 0 ]]
		run --separate-stderr vps --diff -J "$D"
		assert_status 1
		[[ $(jq -c '[.processes[] | select(.mark) | [.pid, .list, .tree, .proc, .mark, .comm]]' <<<"$output") == \
			"[[$pid,false,true,true,\"hidden from the task list\",\"sleeper\"]]" ]]
		teardown
	done
}

@test "--diff --quiet: only marked rows, a line about all guests, and a status for cron" {
	use g61
	local pid task
	pid=$(some_pid)
	task=$(task_of "$pid")
	run --separate-stderr vps --diff --quiet "$D"
	assert_status 0
	assert_same "1 guest: nothing marked" "$output"
	unlink_entry "$(address "$task:task_struct.tasks")"
	run --separate-stderr vps --diff --quiet --no-headers -o pid,mark "$D"
	assert_status 1
	assert_same "$pid hidden from the task list,1 guest: 1 marked in 1" "$(xargs -L1 <<<"$output" | paste -sd,)"
	# A guest that is marked does not hide one that failed.
	run --separate-stderr vps --diff --quiet --no-headers -o pid "$D" qemu:1
	assert_status 3
	assert_same "$pid,2 guests: 1 marked in 1, 1 not compared" "$(xargs -L1 <<<"$output" | paste -sd,)"
	[[ $stderr == "vps: qemu:1: "* ]] || fail "$stderr"
	run --separate-stderr vps --diff --quiet -J "$D"
	assert_status 1
	assert_same "[$pid]" "$(jq -c '[.processes[].pid]' <<<"$output")"
	run --separate-stderr vps --quiet "$D"
	assert_usage vps "'--quiet' goes with --diff"
}

@test "a process taken out of the tree of ids is found, and is missing in /proc" {
	use g61
	local pid node shift index
	pid=$(some_pid)
	node=$(($(vpeek -J "$D" init_pid_ns.idr.idr_rt.xa_head | jq -r '.places[0].value') & ~3))
	while :; do
		shift=$(vpeek -J "$D" "$(printf '0x%x' "$node"):xa_node.shift" | jq '.places[0].value')
		index=$((pid >> shift & 63))
		[[ $shift -gt 0 ]] || break
		node=$(($(word "$(address "$(printf '0x%x' "$node"):xa_node.slots[$index]")") & ~3))
	done
	plant "$(address "$(printf '0x%x' "$node"):xa_node.slots[$index]")" 0000000000000000
	run --separate-stderr vps --diff --no-headers -o pid,list,tree,proc,mark "$D"
	assert_status 1
	grep -qE "^ *$pid +1 +0 +0 hidden from the tree of ids, /proc$" <<<"$output"
	[[ $(grep -c hidden <<<"$output") == 1 ]]
	# EXIT_DEAD: one that has ended has no memory.
	plant "$(address "$(task_of "$pid"):task_struct.exit_state")" 10000000
	run --separate-stderr vps --diff --no-headers -o pid,list,tree,proc,mark "$D"
	assert_status 1
	grep -qE "^ *$pid +1 +0 +0 hidden from the tree of ids, /proc$" <<<"$output"
}

@test "a module unlinked from the list, and from sysfs, is found" {
	local name
	for name in g510 g61 g7; do
		use "$name"
		local module
		module=$(vlsmod --engine=imee -J -o module,struct "$D" |
			jq -r '.modules[] | select(.module == "dummy") | .struct')
		unlink_entry "$(address "$module:module.list")"
		run --separate-stderr vlsmod --diff -J "$D"
		assert_status 1
		[[ $(jq -c '[.modules[] | select(.mark) | [.module, .list, .kobject, .memory, .proc]]' <<<"$output") == \
			'[["dummy",false,true,true,false]]' ]]
		unlink_entry "$(address "$module:module.mkobj.kobj.entry")"
		run --separate-stderr vlsmod --diff --no-headers "$D"
		assert_status 1
		grep -qE '^dummy +0 +0 +1 +0 hidden from the list of modules, the kobjects, /proc/modules$' \
			<<<"$output"
		teardown
	done
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

# ---- hooks ------------------------------------------------------------------

@test "a system call that leads elsewhere is marked" {
	use g510
	local table
	table=$(address sys_call_table)
	# kill (62) goes to getpid's function; read (0) into a module.
	plant $((table + 62 * 8)) "$(le "$(word $((table + 39 * 8)))")"
	plant "$table" "$(le "$(vlsmod --engine=imee -J "$D" | jq -r '.modules[] | select(.module == "dummy") | .address')")"
	run --separate-stderr vsyscalldump --no-headers -o nr,name,mark "$D"
	assert_status 1
	grep -qE '^ *62 kill +not the function of kill$' <<<"$output"
	grep -qE '^ *0 read +in module dummy$' <<<"$output"
	[[ $(awk '$3 != "-"' <<<"$output" | wc -l) == 2 ]]
}

@test "a table that is not used, and a function with a jump at its entry, are marked" {
	use g61
	local table kill
	table=$(address sys_call_table)
	kill=$(address __x64_sys_kill)
	plant $((table + 8)) "$(le "$(word "$table")")"
	plant "$kill" "e9$(le $((0xffffffffc0000000 - kill - 5)) | cut -c1-8)"
	run --separate-stderr vsyscalldump --no-headers -o nr,name,mark "$D"
	assert_status 1
	grep -qE '^ *62 kill +its entry jumps to 0xffffffffc0000000, outside' <<<"$output"
	grep -qE '^ *1 write +the table, not used, has' <<<"$output"
	[[ $(awk '$3 != "-"' <<<"$output" | wc -l) == 2 ]]
}

@test "a probe in a running guest is marked while it is there" {
	local name tracing='mount -t tracefs none /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing'
	for name in g510 g61 g7; do
		need_guest "$name"
		in_guest "$name" "$tracing && echo 'p:vlens __x64_sys_kill' >kprobe_events && echo 1 >events/kprobes/vlens/enable"
		run --separate-stderr vsyscalldump --no-headers -o nr,name,mark "$(guest "$name")"
		in_guest "$name" "$tracing && echo 0 >events/kprobes/vlens/enable; echo >kprobe_events"
		assert_status 1
		[[ $(awk '$3 != "-" { print $1, $2 }' <<<"$output") == "62 kill" ]]
		run --separate-stderr vsyscalldump "$(guest "$name")"
		assert_status 0
	done
}

# ---- bad input --------------------------------------------------------------

@test "the walk of a list that loops, or runs into garbage, ends" {
	use g61
	local tasks
	tasks=$(address "$(task_of "$(some_pid)"):task_struct.tasks")
	plant "$tasks" "$(le "$tasks")"
	run --separate-stderr timeout 60 vpslist "$D"
	assert_status 3
	[[ $stderr == *"the task list loops at "* && ${#lines[@]} -gt 20 ]]
	plant "$tasks" "$(le 0x00dead0000000100)"
	run --separate-stderr timeout 60 vpslist -J "$D"
	assert_status 3
	[[ $stderr == *"the task list runs into garbage after"* ]]
	jq -e '.processes | length > 20' <<<"$output"
}

@test "a loop in the kernel's list of /proc: the tools end, and name vpslist" {
	local name pids nr
	for name in g510 g7; do
		use "$name"
		mapfile -t pids < <(vpslist --no-headers -o pid,comm "$D" | awk '$2 == "sleeper" { print $1 }')
		# The kernel continues after the number in the id: a smaller one makes a loop.
		nr=$(address "$(task_of "${pids[10]}"):task_struct.thread_pid->numbers[0].nr")
		plant "$nr" "$(le "${pids[0]}" | cut -c1-8)"
		run --separate-stderr vls "$D" /proc
		assert_status 2
		[[ -z $output && $stderr == *"leads back to itself"*"'vpslist'"* ]]
		run --separate-stderr vps "$D" -e
		assert_status 1
		[[ $stderr == *"leads back to itself"*"'vpslist'"* ]]
		run --separate-stderr vps --diff "$D"
		assert_status 3
		[[ $stderr == *"/proc could not be compared: the guest's list of /proc leads back to itself" ]]
		[[ $(vpslist --no-headers -o pid "$D" | grep -cxE " *(${pids[0]}|${pids[10]})") == 2 ]]
		teardown
	done
}

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

@test "names that a guest chose drive no terminal, in text and in JSON" {
	use g61
	local pid task comm tool
	pid=$(some_pid)
	task=$(task_of "$pid")
	comm=$(($(address init_task.comm) - $(address init_task)))
	# ESC [ 2 J, DEL, CSI as a byte and as UTF-8, right-to-left override, a line feed.
	plant $((task + comm)) 1b5b324a7f9bc29be280ae0a41000000
	for tool in "vpslist" "vpslist -J" "vcredlist" "vcredlist -J" "vps --diff" "vps --diff -J" \
		"vps --engine=imee" "vtop -b -o pid,comm -n 1" "vtop -b -J -o pid,comm -n 1"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $tool "$D"
		assert_status 0
		LC_ALL=C grep -qF '[2J' <<<"$output" || fail "$tool: the name is not shown"
		! LC_ALL=C grep -qP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|(?<![\xc2-\xf4\x80-\xbf])[\x80-\x9f]|\xe2\x80\xae' \
			<<<"$output" || fail "$tool: control bytes: $(LC_ALL=C grep -aF '[2J' <<<"$output" | od -c)"
	done
	# JSON keeps the name itself, in escapes.
	vpslist -J "$D" | jq -e ".processes[] | select(.pid == $pid) |
		.comm == \"\\u001b[2J\\u007f\\\\x9b\\u009b\\u202e\\nA\""
	vpeek -J "$D" "$(printf '0x%x' $((task + comm))):char[16]" 16 | jq -e .
}

@test "dumps broken at random: an end, no crash, no control byte, valid JSON" {
	dump g61
	run --separate-stderr timeout 900 "$VT_TESTS/fuzz" --build "$VLENS_BUILD" --rounds 8 --seconds 120 \
		--seed 20 "$DUMPS/g61.elf"
	assert_status 0
	[[ $output == *" 0 failures" ]]
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

# hide_types NAME: the dump of NAME, without the types that its kernel carries, also in a cache.
hide_types() {
	local btf
	use "$1"
	btf=$(address __start_BTF)
	plant "$btf" 0000
	export VLENS_CACHE_DIR=$T/cache-$1 VLENS_RUN_DIR=$T/run-$1
}

# told DUMP FOLDER ASK...: what raw views and the questions say of it, in files of the folder.
told() {
	local dump=$1 folder=$2 ask
	shift 2
	mkdir -p "$folder"
	vpslist -J "$dump" | jq .processes >"$folder/processes"
	vcredlist -J "$dump" | jq .credentials >"$folder/credentials"
	vuname --engine=direct -J "$dump" | jq .kernels >"$folder/kernels"
	for ask; do
		# shellcheck disable=SC2086 # words
		timeout 120 ${ask%% *} "$dump" ${ask#"${ask%% *}"} >"$folder/${ask//[ \/]/_}" || fail "$ask"
	done
}

# shown DUMP FOLDER: what the views say that show what a kernel's code tells of its types.
shown() {
	local tool
	for tool in "vps --engine=direct" "vfree --engine=direct" "vtop -b -n1"; do
		# shellcheck disable=SC2086 # words
		timeout 120 $tool "$1" >"$2/${tool//[ \/]/_}" || fail "$tool"
	done
	# How long it took.
	sed -i '/^Engine:/d' "$2/vtop_-b_-n1"
}

@test "a guest without types: what its code shows is as with types, the rest is refused" {
	local name ask
	for name in g510 g61 g7; do
		use "$name"
		ask=("vps -ef" "vuname -a" vuptime vlsmod vfree "vnetstat -an" "vcat /proc/1/status")
		told "$D" "$T/with" "${ask[@]}"
		shown "$D" "$T/with"
		hide_types "$name"
		told "$D" "$T/without" "${ask[@]}"
		shown "$D" "$T/without"
		diff -r "$T/with" "$T/without"
		untyped "$D"
		# The other ways are compared.
		run --separate-stderr vps --diff "$D"
		assert_status 3
		[[ $output == *"kthreadd"* && $stderr == *"the cgroups could not be compared: "*"no BTF types"* ]] ||
			{ show_run; fail "not one line"; }
	done
}

# untyped DUMP: vcheck makes the checks that need no types, and names the others.
untyped() {
	run --separate-stderr vcheck "$1"
	[[ $status -eq 3 && $output == *restrictions* && ${#stderr_lines[@]} -eq 1 &&
		$stderr == "vcheck: $1: "*"no BTF types, so these could not be checked: "* ]] || fail "$output$stderr"
}

# views DUMP FOLDER: what the views that need types say of it, in files of the folder.
views() {
	local dump=$1 folder=$2 tool
	mkdir -p "$folder"
	for tool in "vcheck -J" "vcredlist -J" "vps --engine=direct -J" "vps --diff -J" "vlsof -J"; do
		# shellcheck disable=SC2086 # words
		timeout 120 $tool "$dump" >"$folder/${tool//[ \/]/_}" || fail "$tool"
	done
}

@test "a guest without types: with types that were added, all works as with its own" {
	local id tool
	export VLENS_TYPES_DIR=$T/types VLENS_CACHE_DIR=$T/cache-own VLENS_RUN_DIR=$T/run-own
	use g61
	views "$D" "$T/with"
	vpeek "$D" init_task:task_struct.comm >"$T/with/peek"
	hide_types g61
	# What is known of it now says that there are none.
	untyped "$D"
	[[ $stderr == *"vlens types add FILE"* ]] || fail "$stderr"
	# Those of another build are not used.
	need_guest g7
	vlens types add "$VLENS_TEST_RUN/g7/vmlinuz"
	untyped "$D"
	id=$(vlens types add -J "$VLENS_TEST_RUN/g61/vmlinuz" | jq -r '.types[].build_id')
	views "$D" "$T/added"
	vpeek "$D" init_task:task_struct.comm >"$T/added/peek"
	diff -r "$T/with" "$T/added"
	# BTF alone.
	cp "$T/types/$id.types" "$T/btf"
	run --separate-stderr vlens types remove "${id:0:8}"
	assert_status 0
	run --separate-stderr vlens types list --no-headers -o build_id
	[[ $output != *"$id"* ]] || fail "$output"
	run --separate-stderr vlens types add "$T/btf"
	assert_status 1
	[[ $stderr == *"BTF alone does not name its kernel"*"--build-id=ID"* ]] || fail "$stderr"
	run --separate-stderr vlens types add --build-id="$id" "$T/btf"
	assert_status 0
	VLENS_CACHE_DIR=$T/cache-alone VLENS_RUN_DIR=$T/run-alone views "$D" "$T/alone"
	rm "$T/with/peek"
	diff -r "$T/with" "$T/alone"
	# Of DWARF only the offsets are stored: these are the same as BTF's.
	make -s -C "$VLENS_BUILD" tests/unit/derive-probe
	"$VLENS_BUILD/tests/unit/derive-probe" "$VLENS_TEST_RUN/g61/vmlinuz" --offsets >"$T/types/$id.types"
	assert_same "$id offsets" "$(vlens types list --no-headers -o build_id,form | grep "$id" | tr -s ' ')"
	export VLENS_CACHE_DIR=$T/cache-offsets VLENS_RUN_DIR=$T/run-offsets
	views "$D" "$T/offsets"
	diff -r "$T/with" "$T/offsets"
	run --separate-stderr vpeek "$D" init_task:task_struct.comm
	assert_status 3
	cp "$T/btf" "$T/types/$id.types"
	# A stored file that was damaged is no reason to guess.
	truncate -s 100000 "$T/types/$id.types"
	export VLENS_CACHE_DIR=$T/cache-short VLENS_RUN_DIR=$T/run-short
	run --separate-stderr vcheck "$D"
	assert_status 3
	[[ $stderr == *"types"* ]] || fail "$stderr"
}

@test "types from DWARF: every offset is the compiler's" {
	local file
	export VLENS_TYPES_DIR=$T/types
	cat >"$T/kernel.c" <<-END
		struct list_head { struct list_head *next, *prev; };
		typedef struct { long pad; struct { int flags; }; } thread_info_t;
		struct task_struct;
		struct task_struct {
			char pad[40];
			thread_info_t thread_info;
			union { struct { int spare, pid; }; long both; };
			int tgid;
			struct list_head tasks;
		};
		enum zone_watermarks { WMARK_MIN, WMARK_LOW = 5 };
		struct task_struct init_task;
		enum zone_watermarks mark;
		char *text = "task_struct";
	END
	for options in -gdwarf-4 -gdwarf-5 "-gdwarf-5 -gz"; do
		rm -rf "$T/types"
		# shellcheck disable=SC2086 # words
		gcc $options -shared -fPIC -Wl,--build-id -o "$T/vmlinux.debug" "$T/kernel.c"
		run --separate-stderr vlens types add --no-headers -o form "$T/vmlinux.debug"
		assert_status 0
		assert_same offsets "$output"
		file=$(echo "$T"/types/*.types)
		diff - <(grep -E '^(task_struct\.(|pid|tgid|tasks|thread_info\.flags|comm)|enum zone_watermarks\.WMARK_LOW) ' "$file" | sort) <<-END
			enum zone_watermarks.WMARK_LOW 5
			task_struct. 88
			task_struct.comm -
			task_struct.pid 60
			task_struct.tasks 72
			task_struct.tgid 64
			task_struct.thread_info.flags 48
		END
	done
	# Debug information is longer than any image that is trusted.
	rm -rf "$T/types"
	cp "$T/vmlinux.debug" "$T/vmlinux.long"
	truncate -s 600M "$T/vmlinux.long"
	run --separate-stderr vlens types add "$T/vmlinux.long"
	assert_status 0
	[[ -s $file ]] || fail "nothing is stored"
	run --separate-stderr vlens trust add "$T/vmlinux.long"
	assert_status 1
	[[ $stderr == *"longer than any kernel"* ]] || fail "$stderr"
	rm "$T/vmlinux.long"
	strip -g "$T/vmlinux.debug"
	run --separate-stderr vlens types add "$T/vmlinux.debug"
	assert_status 1
	[[ $stderr == *"it has no types"* ]] || fail "$stderr"
	echo 'int nothing;' >"$T/kernel.c"
	gcc -g -shared -fPIC -Wl,--build-id -o "$T/vmlinux.debug" "$T/kernel.c"
	run --separate-stderr vlens types add "$T/vmlinux.debug"
	assert_status 1
	[[ $stderr == *"no struct task_struct"* || $stderr == *"has no types"* ]] || fail "$stderr"
}

@test "types that cannot be used are not added, and one line says why" {
	local file=$T/vmlinuz btf id
	export VLENS_TYPES_DIR=$T/types
	need_guest g61
	cp "$VLENS_TEST_RUN/g61/vmlinuz" "$file"
	id=$(vlens types add -J "$file" | jq -r '.types[].build_id')
	btf=$T/btf
	cp "$T/types/$id.types" "$btf"
	vlens types remove "$id"
	truncate -s 3000000 "$file"
	truncate -s 100000 "$btf"
	echo "this is no kernel" >"$T/text"
	: >"$T/empty"
	# name of the file, options, what is wrong with it
	while IFS='|' read -r name options why; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr vlens types add $options "$T/$name"
		assert_status 1
		assert_same "" "$output"
		[[ ${stderr_lines[0]} == "vlens types: "*"$why"* ]] || fail "$name: $stderr"
	done <<-END
		vmlinuz||cut short
		btf|--build-id=$id|BTF
		text||not a kernel
		empty||is empty
		missing||No such file
		text|--build-id=web1|not a build id
	END
	run --separate-stderr vlens types add --build-id=0123456789abcdef "$VLENS_TEST_RUN/g61/vmlinuz"
	assert_status 1
	[[ $stderr == *"of another build, $id"* ]] || fail "$stderr"
	run --separate-stderr vlens types remove "${id:0:7}"
	assert_status 1
	assert_same 0 "$(vlens types list -J | jq '.types | length')"
}

@test "a guest without types: vmem and the bytes of vpeek still work" {
	hide_types g61
	run --separate-stderr vmem -J "$D"
	assert_status 0
	jq -e '.memory[] | select(.what == "RAM")' <<<"$output"
	run --separate-stderr vpeek "$D" init_task 16
	assert_status 0
	run --separate-stderr vpeek "$D" init_task:task_struct
	assert_status 3
}

@test "a list without rows is its header, and an empty list in JSON" {
	need_guest g61
	run --separate-stderr vps --containers "$(guest g61)"
	assert_status 0
	assert_same "RUNTIME ID NAME PROCESSES RSS_BYTES START PID COMM" "$output"
	assert_same "" "$stderr"
	assert_same "" "$(vps --containers --no-headers "$(guest g61)")"
	assert_same 0 "$(vps --containers -J "$(guest g61)" | jq '.containers | length')"
	# A guest that cannot be read has no list at all.
	run --separate-stderr vps --containers /no/such
	assert_refused vps /no/such "no such file"
}
