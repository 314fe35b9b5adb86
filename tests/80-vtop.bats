#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vtop in a pipe, compared with the output of the guest's own programs.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup() {
	T=$BATS_TEST_TMPDIR
}

# same_processes NAME SLACK: RSS may differ by SLACK KiB, as the counters of some kernels are
# that inexact. The states R, I and D count as S: they change from one reading to the next.
same_processes() {
	need_guest "$1" || return
	in_guest "$1" 'ps -eo pid,ppid,state,ni,vsz,rss,nlwp,comm --no-headers' |
		awk '$8 !~ /^(kworker|ps$|sh$)|evil/ { sub(/[RID]/, "S", $3)
			print $1, $2, $3, $4, $5, $6, $7, substr($8, 1, 15) }' | sort -n >"$T/guest"
	vtop -b -J -n 1 -o pid,ppid,s,ni,virt,res,threads,comm "$(guest "$1")" |
		jq -r '.guests[0].processes[] | select(.comm | test("evil") | not) | [.pid, .ppid, .s, .ni, .virt / 1024, .res / 1024,
			.threads, .comm] | map(tostring) | join(" ")' |
		awk '$8 !~ /^(kworker|ps$|sh$)|evil/ { sub(/[RID]/, "S", $3)
			print $1, $2, $3, $4, $5, $6, $7, $8 }' | sort -n >"$T/vlens"
	[[ $(wc -l <"$T/guest") -gt 60 ]] || fail "a short list" || return
	# A real-time process has no nice value in ps.
	awk -v slack="$2" 'NR == FNR { rss[$1] = $6; $6 = ""; if ($4 == "-") $4 = 0; was[$1] = $0; next }
		!($1 in was) { next }
		{ n++; d = $6 - rss[$1]; $6 = "" }
		d > slack || -d > slack { print "RSS of " $1 " is off by " d; bad = 1 }
		$0 != was[$1] { print "< " was[$1]; print "> " $0; bad = 1 }
		END { print n + 0 " compared"; exit bad || n < 60 }' "$T/guest" "$T/vlens" || return
	# Both lists have the same processes.
	assert_same "$(cut -d' ' -f1,8 "$T/guest")" "$(cut -d' ' -f1,8 "$T/vlens")"
}

@test "processes: what ps shows, 5.10" { tries 3 same_processes g510 0; }
@test "processes: what ps shows, 6.1" { tries 3 same_processes g61 0; }
@test "processes: what ps shows, 6.12" { tries 3 same_processes g612 400; }
@test "processes: what ps shows, 7" { tries 3 same_processes g7 800; }

@test "command lines: what ps shows" {
	need_guest g61
	# shellcheck disable=SC2016 # for the guest's shell
	in_guest g61 'for p in /proc/[0-9]*; do
		printf "%s " ${p#/proc/}; tr "\0\n" " ?" <$p/cmdline 2>/dev/null | cut -c1-1000; echo
		done' | grep -aE '^[0-9]+ (sleeper|factory|nice|listener|long)' | sed 's/ *$//' | sort -n >"$T/guest"
	vtop -b -J -n 1 -o pid,command "$(guest g61)" |
		jq -r '.guests[0].processes[] | "\(.pid) \(.command[:1000])"' |
		grep -E '^[0-9]+ (sleeper|factory|nice|listener|long)' | sed 's/ *$//' | sort -n >"$T/vlens"
	[[ $(wc -l <"$T/guest") -gt 20 ]]
	assert_same "$(<"$T/guest")" "$(<"$T/vlens")"
}

totals() {
	need_guest "$1"
	tries 3 same_totals "$1"
}

same_totals() {
	in_guest "$1" 'cat /proc/meminfo; cut -d" " -f1 /proc/uptime; uname -rn; nproc' >"$T/guest"
	vtop -b -J -n 1 "$(guest "$1")" | jq '.guests[0]' >"$T/vlens"
	k() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" "$T/guest"; }
	j() { jq -r "$1" "$T/vlens"; }
	[[ $(j .mem_total) -eq $(($(k MemTotal) * 1024)) ]] &&
		near "$(j '.mem_free / 1024')" "$(k MemFree)" 6000 &&
		near "$(j '.mem_available / 1024')" "$(k MemAvailable)" 6000 &&
		near "$(j '.mem_shared / 1024')" "$(k Shmem)" 600 &&
		[[ $(j .swap_total) -eq $(($(k SwapTotal) * 1024)) ]] &&
		near "$(j .uptime)" "$(grep -xE '[0-9]+\.[0-9]+' "$T/guest")" 8 &&
		[[ "$(j .hostname) $(j .kernel)" == "$(grep -E '^[a-z0-9]+ [0-9]+\.' "$T/guest")" ]] &&
		[[ $(j '.cpus | length') == "$(tail -n 1 "$T/guest")" ]] &&
		[[ $(j '.state') == running ]] && return
	fail "$(cat "$T/guest" "$T/vlens")"
}

@test "totals: what the guest says, 5.10" { totals g510; }
@test "totals: what the guest says, 6.1" { totals g61; }
@test "totals: what the guest says, 6.12" { totals g612; }
@test "totals: what the guest says, 7" { totals g7; }

# Ticks of all CPUs that were not idle, by the guest's own count.
ticks() { in_guest "$1" "awk '/^cpu / { print \$2 + \$3 + \$4 + \$7 + \$8 }' /proc/stat"; }

# On a busy host a vCPU does not run now and then: its kernel counts fewer ticks, and counts a
# process's time late. So one frame of three has to be right about the process. The CPUs are
# compared with the ticks that the guest counted meanwhile, over a longer time.
shares() {
	local before after
	before=$(ticks "$1")
	vtop -b -J -n 4 -d 1 -p "$2" "$(guest "$1")" >"$T/out"
	after=$(ticks "$1")
	jq -es --argjson all $((after - before)) 'map(.guests[0]) | ([range(1; length) as $i
		| (.[$i].uptime - .[$i - 1].uptime) * ([.[$i].cpus[] | .busy * (100 - (.lost // 0)) / 100] | add)] | add) as $seen
		| [$seen, $all, .[1:][].processes[0].cpu],
		  (any(.[1:][].processes[0].cpu; . > 60 and . < 112) and $seen > $all / 4 and $seen < $all * 1.1 + 20)' \
		"$T/out" >"$T/judged"
}

busy_process() {
	need_guest "$1"
	local pid
	pid=$(in_guest "$1" 'sh -c "while :; do :; done" >/dev/null 2>&1 & echo $!')
	tries 5 shares "$1" "$pid" || fail "ticks seen and counted, its CPU: $(<"$T/judged")"
	in_guest "$1" "kill $pid"
	# The first frame has no rates.
	[[ $(jq -rs '.[0].guests[0] | "\(.cpu) \(.processes[0].cpu) \(.cpus[0].busy)"' "$T/out") == "null null null" ]]
	[[ $(jq -s '[.[1:][].guests[0].cpus[].busy] | max <= 100' "$T/out") == true ]] || fail "a CPU has more than all"
}

@test "a busy process takes a CPU, 6.1" { busy_process g61; }
@test "a busy process takes a CPU, 7" { busy_process g7; }

@test "a guest whose CPUs do not run all the time is as busy as it says, and ticks are lost" {
	need_guest spin
	local pid
	pid=$(guest_pid spin)
	vtop -b -J -n 2 -d 4 -p 1 "$(guest spin)" >"$T/out" &
	sleep 1
	kill -STOP "$pid"
	sleep 2
	kill -CONT "$pid"
	wait %1
	jq -es '.[1].guests[0] | .cpu == 100 and .lost > 20 and ([.cpus[] | .busy == 100 and .lost > 20] | all)' \
		"$T/out" >/dev/null || fail "$(jq -c '.guests[0].cpus' "$T/out")"
	[[ $(vtop -b -n 1 "$(guest spin)") == *"%CPU: -, mean of 2 CPUs, - us"* ]]
	drop_guest spin
}

@test "frames of text: rates from the second on, sorted, chosen" {
	need_guest g61
	local g
	g=$(guest g61)
	run -0 --separate-stderr vtop -b -n 2 -d 0.3 -s pid "$g"
	[[ $(grep -c '^vtop - ' <<<"$output") -eq 2 ]]
	[[ $(grep -E '^ +1 root' <<<"$output" | awk '{ print $9 }' | paste -sd ' ') =~ ^-\ [0-9]+\.[0-9]$ ]]
	sed -n '/^ *PID/,/^$/p' <<<"$output" | awk 'NR > 1 && NF { print $1 }' | head -n 50 | sort -cn
	# There is no pause after the first attach.
	grep -q 'paused 0.000 ms' <<<"$(vtop -b -n 1 "$g")"
	run -0 --separate-stderr vtop -b -n 1 -p 1,2 -o pid=P,comm,uid:9 --no-headers "$g"
	[[ $(tail -n 2 <<<"$output" | awk '{ print $1 ":" $2 ":" $3 }' | sort | paste -sd ' ') == "1:init:0 2:kthreadd:0" ]]
	run -0 --separate-stderr vtop -b -n 1 -u 4242 -o euid "$g"
	[[ $(sed '1,/EUID/d' <<<"$output" | sort -u | tr -d ' ') == 4242 ]]
	assert_same "$(sed '1,/EUID/d' <<<"$output" | wc -l)" \
		"$(vtop -b -n 1 -u alice -o euid "$g" | sed '1,/EUID/d' | wc -l)"
	run --separate-stderr vtop -b -n 1 -u nosuchuser "$g"
	assert_status 3
	[[ $stderr == "vtop: $g: the guest has no user 'nosuchuser'; "* ]] || { show_run; fail "not said"; }
	# One way to count, in text and in JSON.
	run -0 --separate-stderr vtop -b -n 1 "$g"
	[[ $output == *$'\n'"Tasks: $(vtop -b -J -n 1 "$g" |
		jq -r '.guests[0] | "\(.tasks) total, \(.kthreads) kthr, \(.threads) thr; "')"[0-9]*" running"* ]] ||
		{ show_run; fail "other counts"; }
	assert_same "$(vps "$g" -e --no-headers | wc -l)" "$(vtop -b -J -n 1 "$g" | jq '.guests[0].tasks')"
	COLUMNS=60 run -0 --separate-stderr vtop -b -n 1 "$g"
	[[ $(sed '1,/^ *PID/d' <<<"$output" | wc -L) -le 60 ]]
	# Users have the guest's names, which are read without a pause.
	run -0 --separate-stderr vtop -b -n 1 -u 4242 -o euid,user --no-headers "$g"
	[[ $(tail -n 1 <<<"$output" | xargs) == "4242 alice" && $output == *"paused 0.000 ms"* ]] || { show_run; fail "no name"; }
	# -s -time sorts by time, descending.
	vtop -b -J -n 1 -s -time -o time "$g" | jq -e '[.guests[0].processes[].time] | . == (sort | reverse)'
	# Every frame is flushed, and a closed pipe ends vtop.
	timeout 60 vtop -b -d 0.1 "$g" | head -n 3 | grep -q '^vtop - '
}

@test "several guests, one of which does not exist" {
	need_guest g61 g7
	run --separate-stderr vtop -b -J -n 1 -o pid "$(guest g61)" "$(guest g7)" /no/such
	assert_status 3
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == "vtop: /no/such: no such file"* ]]
	[[ $(jq -r '.guests | map(.state) | join(" ")' <<<"$output") == "running running gone" ]]
	[[ $(jq '.guests[1].processes | length' <<<"$output") -gt 60 ]]
	run --separate-stderr vtop -b -n 1 /no/such
	assert_refused vtop /no/such "no such file"
}

@test "usage errors" {
	run --separate-stderr vtop -d x g
	assert_usage vtop "no number of seconds from 0.01 to 86400: 'x'"
	for delay in 0 0.009 -1 86401 nan ''; do
		run --separate-stderr vtop -d "$delay" g
		assert_usage vtop "no number of seconds from 0.01 to 86400: '$delay'"
	done
	run --separate-stderr vtop -n 0 g
	assert_usage vtop "no number of iterations: '0'"
	run --separate-stderr vtop -p 1,x g
	assert_usage vtop "no list of process ids: '1,x'"
	for user in '' 4294967296 -1; do
		run --separate-stderr vtop -u "$user" g
		assert_usage vtop "no name or id of a user of the guest: '$user'"
	done
	run --separate-stderr vtop --tree --group g
	assert_usage vtop "'--tree' and '--group' are two orders"
	run --separate-stderr vtop -s nothing g
	assert_usage vtop 'unknown sort specifier "nothing"; the columns are guest, pid, user'
	run --separate-stderr vtop -o nothing g
	assert_usage vtop 'unknown user-defined format specifier "nothing"'
	run --separate-stderr vtop --json g
	assert_usage vtop "--json is for -b"
	run --separate-stderr vtop --all g
	assert_usage vtop "--all takes no guest, but 'g' is one"
	# Without -b it needs a terminal.
	run --separate-stderr vtop g </dev/null
	assert_status 1
	[[ $stderr == "vtop: standard input is not a terminal; use -b to print to a pipe" ]]
}
