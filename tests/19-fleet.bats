#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vlens fleet without other hosts: a script takes the place of ssh, and prints a host's output.

# shellcheck disable=SC2030,SC2031,SC2154,SC2217 # bats: run sets variables; sleep holds a pipe

load lib/vlens

setup() {
	T=$BATS_TEST_TMPDIR
	# The host's name is the word behind "--", and the name of a script here.
	cat >"$T/ssh" <<-'END'
		#!/bin/sh
		words=$*
		while [ "$1" != -- ]; do shift; done
		exec "${0%/*}/host.$2" "$words"
	END
	chmod +x "$T/ssh"
	export VLENS_SSH=$T/ssh
}

# host NAME: its script is standard input.
host() {
	cat >"$T/host.$1"
	chmod +x "$T/host.$1"
}

hosts_of() { jq -rs 'map(select(has("exit")).host) | sort | join(" ")' <<<"$output"; }

@test "rows of JSON: as they are, without what a host could forge" {
	host odd <<-'END'
		#!/bin/sh
		printf '{"processes":[{"pid":1,"host":"x","h\\u006fst":"y","list":{"a":[1]},"n":[1,{"list":2,"b":[]}]} ,\n'
		printf '{"list": [1,2], "z":-1.5e+3},7], "empty":[], "schema": 2,"last":[{"q":18446744073709551616}]}\n'
		printf '{"ev":1,"args":["a"]}\n{"none":[]}5 "x"'
	END
	run --separate-stderr vlens fleet odd -- vps --json x
	assert_status 0
	diff - <(head -n -1 <<<"$output") <<-'END'
		{"host":"odd","list":"processes","pid":1,"n":[1,{"list":2,"b":[]}]}
		{"host":"odd","list":"processes","z":-1.5e+3}
		{"host":"odd","list":"processes","value":7}
		{"host":"odd","schema":2}
		{"host":"odd","list":"last","q":18446744073709551616}
		{"host":"odd","ev":1,"args":["a"]}
		{"host":"odd","value":5}
		{"host":"odd","value":"x"}
	END
	assert_same '[0,null,8]' "$(jq -c '[.exit, .error, .rows]' <<<"${lines[-1]}")"
}

@test "a key that comes twice in a row is passed on once" {
	host twice <<-'END'
		#!/bin/sh
		printf '{"a":[{"pid":1,"p\\u0069d":2,"x":{"pid":3,"y":4},"x":[5]},{"pid":6}]}{"b":1,"c":2,"b":{"d":[7]},"c":8}'
	END
	run --separate-stderr vlens fleet twice -- vps --json x
	assert_status 0
	diff - <(head -n -1 <<<"$output") <<-'END'
		{"host":"twice","list":"a","pid":1,"x":{"pid":3,"y":4}}
		{"host":"twice","list":"a","pid":6}
		{"host":"twice","b":1,"c":2}
	END
	# A row with very many keys is left out, and that is said.
	host many <<-'END'
		#!/bin/sh
		python3 -c 'import json; print(json.dumps({"a": [{str(i): i for i in range(5000)}, {"pid": 1}]}))'
	END
	run --separate-stderr vlens fleet many -- vps --json x
	assert_status 3
	assert_same '{"host":"many","list":"a","pid":1}' "${lines[0]}"
	[[ ${lines[1]} == *"a row of its output is too long"* ]] || fail "${lines[1]}"
}

@test "vlens far says that the program itself ended with the status of a failed ssh" {
	# The end of its input would be the end of the connection.
	run --separate-stderr bash -c 'sleep 3 | vlens far -- sh -c "exit 255"'
	assert_status 255
	assert_same "vlens far: sh itself ended with status 255" "$stderr"
}

@test "no JSON of a host, and no byte that is not UTF-8, is passed on" {
	local bad
	host bad <<<$'#!/bin/sh\ncat "${0%/*}/bad"'
	for bad in '{"a":[{"b":NaN},{"c":1}]}' '{"a":[{"b":Infinity}]}' '{"a":01}' '{"a":1.}' '{"a":-}' '{"a":.5}' \
		'{"a":1,}' '{a:1}' "{'a':1}" '{"a":[1,]}' '{"a":"\x"}' '{"a":"\u12g4"}' '{"a" 1}' '[1 2]' '{"a":tru}' \
		$'{"a":"\n"}' '{"a":[{"b":1}' '{"a":"' '{"a":1}}' '[[[]]' "$(printf '[%.0s' {1..100})"; do
		printf '%s' "$bad" >"$T/bad"
		run --separate-stderr vlens fleet bad -- vps --json x
		python3 -c 'import json, sys
def no(text): raise ValueError(text)
for line in sys.stdin:
	assert json.loads(line, parse_constant=no)["host"] == "bad"' <<<"$output" || fail "$bad: $output"
		# What is text all along is no fault: a tool can say something before it prints.
		[[ $bad == '{"a":1}}' ]] || assert_same 3 "$status"
	done
	printf '{"a":[{"s":"\xff\xc3\xa9\xed\xa0\x80\xc3","u":"\\ud800z\\ud83d\\ude00\\udc00\\u202e\\u001b"}]}' >"$T/bad"
	run --separate-stderr vlens fleet bad -- vps --json x
	assert_status 0
	assert_same '{"host":"bad","list":"a","s":"\\xffé\\xed\\xa0\\x80\\xc3","u":"�z😀�\u202e\u001b"}' "${lines[0]}"
	printf 'warning: 1\n{"a":1}' >"$T/bad"
	run --separate-stderr vlens fleet bad -- vps --json x
	assert_same '"warning: 1" "{\"a\":1}"' "$(jq -c 'select(has("line")).line' <<<"$output" | paste -sd' ')"
}

# peak COMMAND...: runs it, and prints in KB the peak of memory of the largest process below it.
peak() {
	python3 - "$@" <<-'END'
		import resource, subprocess, sys
		subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False)
		print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
	END
}

@test "what a host sends takes no more memory than one row of it" {
	local kb
	host many <<<$'#!/bin/sh\nprintf \'{"a":[\'; yes "{},[]," | head -c 16000000; echo "{}]}"'
	kb=$(peak vlens fleet many -- vps --json x)
	[[ $kb -gt 0 && $kb -lt 60000 ]] || fail "$kb KB"
	# A row over the limit is left out, and said to be; the next one is there.
	host long <<<$'#!/bin/sh\nprintf \'{"a":[{"b":[\'; yes "{}," | head -c 16000000; echo "{}]},{\\"c\\":1}]}"'
	kb=$(peak vlens fleet long -- vps --json x)
	[[ $kb -gt 0 && $kb -lt 60000 ]] || fail "$kb KB"
	run --separate-stderr vlens fleet long -- vps --json x
	assert_status 3
	assert_same '{"host":"long","list":"a","c":1}' "${lines[0]}"
	[[ $(jq -r .error <<<"${lines[1]}") == *"too long"* ]] || { show_run; false; }
	# A line without an end.
	host line <<<$'#!/bin/sh\nhead -c 16000000 /dev/zero'
	kb=$(peak vlens fleet line -- vps x)
	[[ $kb -gt 0 && $kb -lt 60000 ]] || fail "$kb KB"
}

@test "a reader that does not read: hosts wait, are not late, and Ctrl-C ends all" {
	local pid status=0
	host endless <<<$'#!/bin/sh\nexec yes'
	host short <<<$'#!/bin/sh\nseq 20000'
	mkfifo "$T/pipe"
	sleep 100 <"$T/pipe" 3>&- 4>&- &
	local reader=$!
	env --default-signal=INT vlens fleet --timeout 2 endless short -- vps x >"$T/pipe" 2>"$T/err" 3>&- 4>&- &
	pid=$!
	eventually 20 pgrep -P "$pid" -x yes
	sleep 3
	pgrep -P "$pid" -x yes || fail "the host was ended while nobody read"
	[[ $(awk '/VmRSS/ { print $2 }' "/proc/$pid/status") -lt 60000 ]]
	kill -INT "$pid"
	eventually 15 test ! -e "/proc/$pid/exe" || fail "it does not end"
	wait "$pid" || status=$?
	assert_same 130 "$status"
	kill "$reader"
	# A reader that only comes late gets all.
	vlens fleet --timeout 2 short -- vps x | { sleep 4; jq -s '[length, .[-1].exit, .[-1].error] == [20001, 0, null]'; } >"$T/out"
	assert_same true "$(<"$T/out")"
}

@test "output that cannot be written: a line, and a status that says so" {
	host short <<<$'#!/bin/sh\necho hello'
	local status=0
	vlens fleet short -- vps x >/dev/full 2>"$T/err" || status=$?
	assert_same 3 "$status"
	assert_same "vlens fleet: write error: No space left on device" "$(<"$T/err")"
	status=0
	vlens fleet short -- vps x >&- 2>"$T/err" || status=$?
	assert_same 3 "$status"
	# And one tool on one host.
	status=0
	vuname short:x >/dev/full 2>"$T/err" || status=$?
	assert_same 1 "$status"
	assert_same "vuname: write error: No space left on device" "$(<"$T/err")"
	vuname short:x >"$T/out"
	assert_same hello "$(<"$T/out")"
}

@test "a signal while input waits that nobody reads" {
	local pid status=0
	host still <<<$'#!/bin/sh\nexec sleep 100.5'
	env --default-signal=INT vexec still:x cat </dev/zero >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 20 pgrep -P "$pid" -x sleep
	sleep 1
	kill -INT "$pid"
	eventually 10 test ! -e "/proc/$pid/exe" || fail "it does not end"
	wait "$pid" || status=$?
	assert_same 130 "$status"
}

@test "ssh's status 255 is named" {
	host lost <<<$'#!/bin/sh\nexit 255'
	run --separate-stderr vlens fleet lost -- vps x
	assert_status 3
	[[ $(jq -r .error <<<"$output") == "ssh ended with status 255: "* ]] || { show_run; false; }
	run --separate-stderr vps lost:x
	assert_status 3
	[[ $stderr == "vps: lost: ssh ended with status 255: "* ]] || { show_run; false; }
}

@test "each name and port is a host, and none is dropped" {
	local name
	for name in a b web1 ::1; do host "$name" <<<$'#!/bin/sh\necho "$1"'; done
	printf 'a:22\na:2222\na # comment\n[::1]:33\na:22\n' >"$T/list"
	run --separate-stderr vlens fleet -f "$T/list" -- vps x
	assert_status 0
	assert_same "[::1]:33 a a:22 a:2222" "$(hosts_of)"
	assert_same "33" "$(jq -r 'select(.host == "[::1]:33").line' <<<"$output" | grep -o -- '-p [0-9]*' | cut -c4-)"
	run --separate-stderr vlens fleet a:22 a:23 b -- vps x
	assert_same "a:22 a:23 b" "$(hosts_of)"
	# In an inventory the port is the host's variable, but there is only one.
	printf '[g]\na:22\nb:22\n[h]\na\na:23\nb ansible_port=24\n' >"$T/hosts"
	run --separate-stderr vlens fleet -f "$T/hosts" -- vps x
	assert_same "a a:23 b" "$(hosts_of)"
}

@test "a file of hosts with a fault is refused with its place" {
	local text
	refused() {
		run --separate-stderr vlens fleet -f "$T/hosts" -- vps x
		[[ $status -eq 1 && -z $output && $stderr == *"$1"* ]] || { show_run; fail "$text"; }
	}
	printf 'a\0b\nc\n' >"$T/hosts"
	refused "NUL"
	for text in '{"g":{"hosts":["a",null,"b"]}}' '{"g":{"hosts":["a",1]}}' '{"g":{"hosts":{"a":1}}}' \
		'{"g":{"children":[null]}}' '{"g":"a"}'; do
		echo "$text" >"$T/hosts"
		refused "lists of names"
	done
	for text in '{"g":["a"]} {"h":["b"]}' '{"g":["a"]'; do
		echo "$text" >"$T/hosts"
		refused "no JSON"
	done
	echo '{"g":["a\u0000b"]}' >"$T/hosts"
	refused "NUL"
	printf 'a\nweb[5:1]\n' >"$T/hosts"
	refused "line 2: no host is in that range"
	printf 'web[1:5:0]\n' >"$T/hosts"
	refused "line 1: no host is in that range"
	printf 'a x=%05000d\n' 1 >"$T/hosts"
	refused "line 1: a word is too long"
}

@test "ranges: with a step, of letters, and large ones" {
	printf 'web[01:10:4].x\ndb-[a:e:2]\nn[:2]\np[8:11]q[1:2]\n' >"$T/hosts"
	run --separate-stderr vlens fleet --parallel 1 -f "$T/hosts" -- vps x
	assert_same "db-a db-c db-e n0 n1 n2 p10q1 p10q2 p11q1 p11q2 p8q1 p8q2 p9q1 p9q2 web01.x web05.x web09.x" "$(hosts_of)"
	# Within seconds, where each name was compared with all others.
	printf 'web[1:99999]\n[g]\nweb[1:99999]\n' >"$T/hosts"
	run --separate-stderr timeout 60 vlens fleet -f "$T/hosts" --group none -- vps x
	assert_usage "vlens fleet" "no group or host 'none'"
	for text in 'web[1:100000000]' 'web[1:500][1:500]'; do
		echo "$text" >"$T/hosts"
		run --separate-stderr timeout 60 vlens fleet -f "$T/hosts" -- vps x
		[[ $status -eq 1 && $stderr == *"more than 100000 hosts"* ]] || { show_run; false; }
	done
}
