#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vwatch prints the events that a guest has, and no others: on the oldest and the newest kernel, with
# memory that is mapped, and with memory that is read by system calls.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() {
	[[ -z ${WATCH:-} ]] || kill "$WATCH" 2>/dev/null || true
}

teardown_file() {
	drop_guest reset
}

# watch NAME [OPTION...]: starts vwatch on a guest, and waits until it watches.
watch() {
	local name=$1
	shift
	vwatch --json "$@" "$(guest "$name")" >"$T/events" 2>"$T/errors" 3>&- 4>&- &
	WATCH=$!
	eventually 60 grep -qs '"event":"watched"' "$T/events" || { cat "$T/errors" >&2; fail "no watch"; }
}

# has FILTER: an event for which jq's FILTER holds.
has() { jq -e -s "any(.[]; $1)" "$T/events" >/dev/null; }
appears() { eventually 60 has "$1" || { cat "$T/events" >&2; fail "no event: $1"; }; }
end_watch() {
	kill -INT "$WATCH"
	wait "$WATCH" || true
	WATCH=
}

# ---- processes --------------------------------------------------------------

process_appears() {
	local pid
	need_guest "$1" || return
	watch "$1" || return
	# Each step waits until the one before it was seen, however seldom the watch looks.
	pid=$(in_guest "$1" 'rm -f /tmp/go
		sh -c "until [ -e /tmp/go ]; do sleep 1; done; exec sleep 600" </dev/null >/dev/null 2>&1 & echo $!')
	appears ".event == \"start\" and .pid == $pid"
	in_guest "$1" 'touch /tmp/go'
	appears ".event == \"exec\" and .pid == $pid and .args == \"sleep 600\" and .comm == \"sleep\""
	in_guest "$1" "kill -9 $pid"
	appears ".event == \"end\" and .pid == $pid"
	end_watch
	has '.event == "sum" and .processes > 0' || { cat "$T/events" >&2; fail "no sum"; }
	# The same process is not told twice.
	[[ $(jq -s "[.[] | select(.pid == $pid and .event == \"start\")] | length" "$T/events") == 1 ]]
	[[ $(jq -s "[.[] | select(.pid == $pid and .event == \"end\")] | length" "$T/events") == 1 ]]
}

@test "A process appears when it starts, executes and ends (5.10, by system calls)" { process_appears g510; }
@test "A process appears when it starts, executes and ends (7)" { process_appears g7; }

# A forking guest: each pid that was told is one that there was, and starts come before ends.
forks() {
	need_guest "$1" || return
	watch "$1" --cpu=20 --events=process || return
	in_guest "$1" 'factory burst 25 500000 4' >"$T/made"
	sleep 1
	end_watch
	read -r made _ <"$T/made"
	jq -s '[.[] | select(.comm == "burst" and .event == "start")] | map(.pid) | length as $n |
		[$n, (unique | length)] | @tsv' -r "$T/events" >"$T/count"
	read -r starts unique <"$T/count"
	echo "made $made, saw $starts" >&2
	[[ $starts -eq $unique ]] || fail "a start twice"
	# The burst itself is one of that name.
	[[ $starts -le $((made + 1)) ]] || fail "more than were made"
	[[ $starts -ge $((made * 8 / 10)) ]] || fail "fewer than 80 %"
	jq -s -e '[.[] | select(.comm == "burst" and .event == "end")] | map(.pid) | length == (unique | length)' \
		"$T/events" >/dev/null || fail "an end twice"
	jq -s -e '[.[] | select(.event == "sum")][0] | .made >= .processes' "$T/events" >/dev/null ||
		fail "more starts than the kernel counted"
}

@test "Processes of a forking guest are seen, each once (5.10, by system calls)" { forks g510; }
@test "Processes of a forking guest are seen, each once (7)" { forks g7; }

# What a quiet guest does in 20 s is told by its own /proc: no process may be told that it does
# not have, and none that it has may be told to have ended.
quiet() {
	need_guest "$1" || return
	watch "$1" || return
	sleep 20
	end_watch
	in_guest "$1" 'cd /proc; ls -d [0-9]*' | sort >"$T/pids"
	# Threads of the kernel come and go by themselves.
	jq -r 'select(.pid and (.kthread | not)) | [.event, .pid, .comm] | @tsv' "$T/events" >"$T/told"
	[[ ! -s $T/told ]] || { cat "$T/told" >&2; fail "events of processes"; }
	jq -r 'select(.event == "end") | .pid' "$T/events" | sort | comm -12 - "$T/pids" >"$T/alive"
	[[ ! -s $T/alive ]] || { cat "$T/events" >&2; fail "they have not ended"; }
	jq -r 'select(.event | test("loaded|listen|closed|root|reboot|gone|lost"))' "$T/events" >"$T/other"
	[[ ! -s $T/other ]] || { cat "$T/other" >&2; fail "other events"; }
}

@test "A quiet guest has no events but those of its kernel's threads (5.10)" { quiet g510; }
@test "A quiet guest has no events but those of its kernel's threads (7)" { quiet g7; }

# ---- other events -----------------------------------------------------------

# All listeners that were made have an event, with their process.
all_listen() {
	jq -r 'select(.event == "listen" and .comm == "factory" and (.detail | test(":50"))) | "\(.detail) \(.pid)"' \
		"$T/events" | sort >"$T/seen"
	cmp -s "$T/made" "$T/seen"
}

others() {
	local pid listener
	need_guest "$1" || return
	watch "$1" || return
	# It listens until it is seen, however seldom the watch looks.
	listener=$(in_guest "$1" 'factory listen 4321 600 </dev/null >/dev/null 2>&1 & echo $!')
	appears ".event == \"listen\" and .detail == \"tcp 127.0.0.1:4321\" and .comm == \"factory\" and .pid == $listener"
	in_guest "$1" "kill $listener"
	appears '.event == "closed" and .detail == "tcp 127.0.0.1:4321"'
	# Many at once, each with its owner.
	# shellcheck disable=SC2016 # the guest's
	in_guest "$1" 'i=5000; while [ $i -lt 5040 ]; do
		factory listen $i 600 </dev/null >/dev/null 2>&1 & echo "tcp 127.0.0.1:$i $!"; i=$((i+1)); done' | sort >"$T/made"
	eventually 60 all_listen || { diff "$T/made" "$T/seen" >&2; fail "not all listeners"; }
	in_guest "$1" "kill $(awk '{ print $NF }' "$T/made" | tr '\n' ' ')"
	pid=$(in_guest "$1" 'factory rise 3')
	appears ".event == \"root\" and .pid == $pid and .comm == \"rise\" and .uid == 0"
	end_watch
}

@test "A uid that becomes 0 and a listener appear (5.10)" { others g510; }
@test "A uid that becomes 0 and a listener appear (7)" { others g7; }

module_appears() {
	local module
	need_guest "$1" || return
	# shellcheck disable=SC2016 # awk's
	module=$(in_guest "$1" 'lsmod | awk "NR > 1 && \$3 == 0 { print \$1 }" | grep -m 1 -x "veth\|dummy\|bridge"')
	[[ -n $module ]] || skip "no module that can be unloaded"
	watch "$1" || return
	in_guest "$1" "rmmod $module" >&2
	appears ".event == \"unloaded\" and .name == \"$module\" and .detail == null"
	in_guest "$1" "modprobe $module || insmod \$(find / -xdev -name $module.ko | head -1)" >&2
	appears ".event == \"loaded\" and .name == \"$module\""
	end_watch
}

@test "A module appears when it is loaded and unloaded (5.10)" { module_appears g510; }
@test "A module appears when it is loaded and unloaded (7)" { module_appears g7; }

# traced FILTER: tracing goes on and off, and there is such an event.
traced() {
	# shellcheck disable=SC2016 # the guest's shell
	in_guest g61 'e=/sys/kernel/tracing/events/sched/sched_switch/enable
		echo 1 >$e; sleep 2; echo 0 >$e; sleep 2'
	has "$1"
}

@test "Text appears when the kernel changes it, with its symbol" {
	need_guest g61 || return
	in_guest g61 'mount -t tracefs none /sys/kernel/tracing 2>/dev/null; ls /sys/kernel/tracing/events/sched/sched_switch/enable' ||
		skip "no tracefs"
	watch g61 --events=text --cpu=30 || return
	# Again and again: a change counts once the watch has a copy of that text.
	eventually 120 traced '.event == "text" and (.detail | test("^(jump label|static call): "))' ||
		{ cat "$T/events" >&2; fail "no event"; }
	end_watch
}

# ---- the guest's end, the command line --------------------------------------

watched_twice() { [[ $(grep -c '"event":"watched"' "$T/events") -ge 2 ]]; }

@test "A worker that dies is told with the reason, and is no reboot" {
	need_guest g61 || return
	watch g61 --events=process || return
	pkill -KILL -P "$WATCH"
	appears '.event == "lost" and (.detail | test("died|ended"))'
	eventually 60 watched_twice || { cat "$T/events" >&2; fail "not watched again"; }
	end_watch
	! has '.event == "reboot"' || { cat "$T/events" >&2; fail "a reboot"; }
}

@test "A guest that is reset, and one that ends, are told" {
	need_guest reset || return
	watch reset --events=process || return
	qmp reset set-action '{"reboot": "reset"}' >/dev/null
	qmp reset system_reset >/dev/null
	appears '.event == "reboot" or .event == "lost"'
	eventually 300 watched_twice || { cat "$T/events" >&2; fail "not watched again"; }
	[[ $(jq -s '[.[] | select(.event == "end" and (.kthread | not))] | length' "$T/events") == 0 ]] ||
		fail "processes ended with the old kernel"
	# Also where guests are kept.
	"$VT_TESTS/guest/stop" reset 3>&- 4>&-
	appears '.event == "gone"'
	status=0
	wait "$WATCH" || status=$?
	WATCH=
	assert_status 3
}

@test "vwatch: bad options, no guest, a file, lost output, signals" {
	run --separate-stderr vwatch
	assert_usage vwatch "guest"
	run --separate-stderr vwatch --cpu=0 x
	assert_usage vwatch "percentage"
	run --separate-stderr vwatch --duration=never x
	assert_usage vwatch "time"
	run --separate-stderr vwatch --events=nothing x
	assert_usage vwatch "list of"
	run --separate-stderr vwatch ""
	assert_status 3
	[[ $stderr == "vwatch: no guest given; name "* ]] || { show_run; fail "not one clear line"; }
	run --separate-stderr vwatch pid:999999999
	assert_status 3
	need_guest g61 || return
	run --separate-stderr vwatch --duration=1 "$(guest g61)"
	assert_status 0
	[[ $output == "EVENT "*"NAME"* && $stderr == "vwatch: "*" saw "*" starts"* ]] || { show_run; fail "no text"; }
	run bash -c "vwatch --duration=20 '$(guest g61)' >/dev/full"
	assert_status 1
	watch g61
	kill -TERM "$WATCH"
	status=0
	wait "$WATCH" || status=$?
	WATCH=
	assert_status 143
	# A SIGHUP that is ignored stays so: the later signal ends it.
	(
		trap "" HUP
		watch g61
		kill -HUP "$WATCH"
		sleep 1
		kill -TERM "$WATCH"
		status=0
		wait "$WATCH" || status=$?
		assert_status 143
	)
}
