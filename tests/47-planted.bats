#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Views and comparisons of dumps in which the tests plant the changes of a rootkit, and damage.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/planted

setup_file() { dumps_begin; }

teardown_file() {
	dumps_end
	drop_guest busy
}

teardown() { restore; }

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
