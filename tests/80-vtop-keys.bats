#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vtop on a terminal of tmux, with typed keys and screens that are read. Every step waits for its
# screen.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/terminal

setup_file() {
	command -v tmux >/dev/null || skip "tmux is not installed"
}

teardown_file() {
	drop_guest victim reset
}

teardown() {
	terminal_end
}

# vtop_on ARGUMENTS...: starts vtop in the terminal, and waits for its list.
vtop_on() {
	[[ -n ${STARTED:-} ]] || terminal
	STARTED=1
	keys "clear; vtop -d 0.2 $*; echo status=\$?" Enter
	shows ' PID .*COMMAND'
}

# The values of column number $1 (from 1) in the list.
column() { screen | sed '1,/ PID .*COMMAND/d; $d' | awk -v c="$1" 'NF > 5 { print $c }'; }
is_sorted() { [[ $(column "$1" | wc -l) -gt 3 ]] && column "$1" | sort -c "${@:2}" 2>/dev/null; }
sorted() { eventually "$PATIENCE" is_sorted "$@" || { screen >&2; fail "not sorted: $*"; }; }

@test "keys: sorting and its menu, inverting" {
	need_guest g61
	vtop_on "$(guest g61)"
	keys N
	sorted 1 -n
	keys I
	sorted 1 -nr
	keys M
	sorted 10 -nr
	keys P
	sorted 9 -nr
	keys T
	keys I
	shows '0:00.00 '
	keys F6
	shows '^Sort by'
	keys Home Enter
	hides '^Sort by'
	sorted 1 -n
	# Left of PID there is nothing, right of it the user.
	keys '<'
	sorted 1 -n
	keys '>'
	sorted 2
	keys .
	shows '^Sort by'
	keys Escape
	hides '^Sort by'
	keys q
	shows 'status=0'
}

@test "keys: moving up, down and sideways" {
	need_guest g61
	vtop_on -s pid "$(guest g61)"
	shows ' kthreadd|\[kthreadd\]'
	keys End
	hides '\[kthreadd\]'
	keys Home
	shows '\[kthreadd\]'
	keys PageDown PageDown
	hides '\[kthreadd\]'
	keys PageUp PageUp PageUp
	shows '\[kthreadd\]'
	keys Right Right
	hides ' PID '
	keys Left Left Left
	shows ' PID '
	# Down to the third, and its details are those of process 3.
	keys Home Down Down Enter
	shows '^Process 3: '
	keys Escape
	shows ' PID .*COMMAND'
	keys F10
	shows 'status=0'
}

@test "keys: tree, threads of the kernel, names, users" {
	need_guest g61
	vtop_on -s pid "$(guest g61)"
	shows '\[kthreadd\]'
	keys K
	hides '\[kthreadd\]'
	shows 'no kthreads'
	keys t
	shows '(├─|\|-) (factory|listener)'
	# A filter keeps the parents in the tree.
	keys F4
	keys -l 'number=2'
	keys Enter
	hides 'factory agent /dev'
	shows 'factory make'
	shows '([└├]─|[`|]-) sleeper --number=2'
	keys F4 C-u Enter
	shows '(├─|\|-) (factory|listener)'
	keys F5
	hides '(├─|\|-) (factory|listener)'
	shows 'factory agent /dev'
	keys c
	hides 'factory agent /dev'
	keys c
	shows 'factory agent /dev'
	keys u
	shows '^Processes of user'
	shows '^ *(alice \(4242\)|4242) '
	keys Down Down Enter
	hides '^Processes of user'
	hides 'factory agent /dev'
	shows 'stopped'
	shows 'user 4242'
	keys u Home Enter
	shows 'factory agent /dev'
	keys q
	shows 'status=0'
}

only_sleepers() { [[ $(column 12 | sort -u) == sleeper ]]; }

@test "keys: search and filter" {
	need_guest g61
	vtop_on -s pid "$(guest g61)"
	keys /
	shows '^Search:'
	keys -l LISTENER
	keys Enter
	hides '^Search:'
	keys Enter
	shows '127.0.0.1:4242 -> '
	keys BSpace
	shows ' PID .*COMMAND'
	keys F3
	keys -l 'sleeper --number=1'
	keys F3 Enter n Enter
	# The third that has it: 1, 10, 11.
	shows '^Process [0-9]+: '
	keys End
	shows 'paused the guest'
	keys Escape
	keys F4
	shows '^Filter:'
	keys -l 'number=2x'
	keys BSpace Enter
	shows 'filter: number=2'
	hides '\[kthreadd\]'
	eventually "$PATIENCE" only_sleepers
	keys \\
	keys C-u Enter
	shows '\[kthreadd\]'
	keys /
	keys -l 'no such thing'
	keys Enter
	shows 'Nothing found: no such thing'
	keys q
	shows 'status=0'
}

@test "keys: help; top's keys that change a process do nothing" {
	need_guest g61
	vtop_on -s pid "$(guest g61)"
	local key
	for key in F1 h '?'; do
		keys "$key"
		shows '^vtop: keys'
		shows 'F6 \. +choose a column'
		keys Escape
		shows ' PID .*COMMAND'
	done
	for key in F9 k F7 F8 ']' '[' a i; do
		keys "$key"
		shows 'it changes nothing in a guest'
		keys Space
		hides 'it changes nothing in a guest'
	done
	# --help points to the table of keys.
	vtop --help | grep -q 'F1 shows them'
	keys F
	shows 'Following process 1'
	keys C-l
	shows ' PID .*COMMAND'
	keys q
	shows 'status=0'
}

@test "details of a process: files, sockets, environment, maps" {
	need_guest g61
	local pid
	pid=$(factory_pid g61 listener)
	vtop_on -p "$pid" "$(guest g61)"
	keys Enter
	shows "^Process $pid: "
	shows 'tcp +127.0.0.1:4242 -> 0.0.0.0:0 +LISTEN'
	shows 'unix +/tmp/factory.sock'
	shows ' 0 +/dev/null'
	shows 'FACTORY_ROLE=listener'
	keys PageDown
	shows '/sbin/init|\[heap\]|\[stack\]'
	keys End
	shows 'paused the guest for [0-9]+\.[0-9]+ ms'
	keys r
	shows 'FACTORY_ROLE=listener'
	assert_runs g61 5
	keys q
	shows 'status=0'
}

@test "several guests: into one and back" {
	need_guest g61 g7
	terminal 130 30
	keys "vtop -d 0.2 $(guest g61) $(guest g7); echo status=\$?" Enter
	shows '^GUEST +STATE'
	shows "g61 \\($(guest g61)\\) +running +2 +[0-9.]+ .* 6\\.1"
	shows "g7 \\($(guest g7)\\) +running +2 +[0-9.]+ .* 7\\."
	shows '2 guests, 2 running'
	keys Down Enter
	shows '^g7 \(qemu:[0-9]+\)'
	shows ' PID .*COMMAND'
	keys Escape
	shows '^GUEST +STATE'
	keys Up Enter
	shows '^g61 \(qemu:[0-9]+\)'
	keys BSpace
	shows '^GUEST +STATE'
	keys F1
	shows '^vtop: keys'
	keys q
	shows '^GUEST +STATE'
	keys q
	shows 'status=0'
}

@test "a hostile name does not reach the terminal" {
	need_guest g61
	local pid
	pid=$(factory_pid g61 escape)
	vtop_on -p "$pid" -o pid,comm,command "$(guest g61)"
	shows '\^\[\[2J\^Jevil'
	shows ' PID '
	run ! grep -q $'\033\\[31mred' <<<"$(tm capture-pane -pe)"
	run -0 vtop -b -n 1 -p "$pid" -o comm,command "$(guest g61)"
	[[ $output != *$'\033'* && $output == *'^[[2J^Jevil'* ]]
	vtop -b -J -n 1 -p "$pid" -o comm "$(guest g61)" | jq -e '.guests[0].processes[0].comm | startswith("\u001b[2J\nevil")'
}

@test "resize, small and large" {
	need_guest g61
	vtop_on -s pid "$(guest g61)"
	local size
	for size in 80x24 40x10 20x5 3x2 1x1 200x60; do
		tm resize-window -x "${size%x*}" -y "${size#*x}"
		[[ ${size#*x} -lt 10 ]] || shows ' PID '
		keys Down Up
	done
	shows 'COMMAND'
	[[ $(screen | grep -c .) -gt 50 ]]
	keys q
	shows 'status=0'
}

# Waits: the first screen may have no colour yet.
coloured() { eventually "$PATIENCE" has_colour || fail "no colour"; }
has_colour() { tm capture-pane -pe | grep -qE $'\033\\[([0-9]+;)*[34][0-7][;m]'; }

@test "NO_COLOR, vt100, ASCII; a terminal that cannot be drawn on is refused" {
	need_guest g61
	local g
	g=$(guest g61)
	vtop_on -s pid "$g"
	coloured
	keys q
	shows 'status=0'
	keys 'export NO_COLOR=1' Enter
	vtop_on -s pid "$g"
	shows '\[kthreadd\]'
	run ! has_colour
	keys q
	shows 'status=0'
	keys 'unset NO_COLOR; export TERM=vt100' Enter
	vtop_on -s pid --tree "$g"
	shows '(\|-|`-) factory'
	run ! has_colour
	keys F1
	shows '^vtop: keys'
	keys q q
	shows 'status=0'
	local term
	for term in dumb no-such-terminal ''; do
		keys "clear; TERM=$term vtop $g; echo status=\$?" Enter
		shows 'status=1'
		shows "vtop cannot draw on a terminal of type '$term'; set TERM to the terminal's type, or use -b"
	done
}

@test "UTF-8: lines of the tree, widths" {
	need_guest g61
	terminal
	keys 'export LC_ALL=C.UTF-8' Enter
	STARTED=1 vtop_on --tree "$(guest g61)"
	keys K
	shows '├─ listener'
	keys q
	shows 'status=0'
}

# The modes of the terminal, by stty. The mark tells this call's line from an earlier call's.
modes() {
	local mark=modes-$RANDOM
	keys "clear; stty -a | grep -oE -- '-?(icanon|echo|isig|icrnl|onlcr)\\b' | paste -sd ' '; echo $mark" Enter
	shows "^$mark"
	screen | grep -E 'icanon' | tail -n 1
}

# Guards that were there before this test ($GUARDS_BEFORE), a keeper's for example, may stay.
no_new_guards() { ! guards | grep -vxF "${GUARDS_BEFORE:-none}"; }

@test "Ctrl-Z and Ctrl-C leave the terminal as it was" {
	need_guest g61
	local before GUARDS_BEFORE
	GUARDS_BEFORE=$(guards)
	terminal
	STARTED=1
	before=$(modes)
	vtop_on -s pid "$(guest g61)"
	keys C-z
	shows 'Stopped'
	[[ $(modes) == "$before" ]]
	keys fg Enter
	shows ' PID .*COMMAND'
	keys t
	keys C-c
	shows '^\$ *$'
	hides ' PID .*COMMAND'
	[[ $(modes) == "$before" ]]
	# The same after a kill that can be caught.
	vtop_on -s pid "$(guest g61)"
	kill -TERM "$(pgrep -f "^vtop -d 0.2 -s pid $(guest g61)\$")"
	shows 'Terminated'
	[[ $(modes) == "$before" ]]
	eventually 20 no_new_guards || fail "guards are left"
}

@test "vtop ends after -n iterations, and at once without its guest" {
	need_guest g61
	terminal
	keys "vtop -n 3 -d 0.1 $(guest g61); echo status=\$?" Enter
	shows 'status=0'
	keys "clear; vtop /no/such; echo status=\$?" Enter
	shows 'vtop: /no/such: no such file'
	shows 'status=3'
}

# ---- guests that come and go ------------------------------------------------

@test "a guest that is paused, and dies" {
	need_guest victim
	local g
	g=$(guest victim)
	vtop_on "$g"
	shows 'paused: [0-9.]+ ms +running'
	qmp victim stop >/dev/null
	shows 'ms +paused'
	qmp victim cont >/dev/null
	shows 'ms +running'
	kill -KILL "$(guest_pid victim)"
	shows 'ms +gone: '
	# What was seen last is still there, and keys work.
	shows ' PID .*COMMAND'
	keys F1
	shows '^vtop: keys'
	keys Escape q
	shows 'status=0'
}

@test "a guest that is reset is picked up again" {
	need_guest reset
	local g
	g=$(guest reset)
	vtop_on "$g"
	shows 'ms +running'
	qmp reset set-action '{"reboot": "reset"}' >/dev/null
	qmp reset system_reset >/dev/null
	PATIENCE=60 shows 'ms +booting'
	PATIENCE=240 shows 'ms +running, opened again'
	shows 'Up: 00:0[0-9]:'
	keys q
	shows 'status=0'
}
