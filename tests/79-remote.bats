#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests of other hosts, by ssh: HOST:GUEST, qemu+ssh:// and vlens fleet. All hosts are this one, where
# the tests run an sshd with keys and ports of its own.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # for other shells; bats: run sets variables

load lib/vlens
load lib/terminal

SSHD=/usr/sbin/sshd

setup_file() {
	[[ $(id -u) -eq 0 ]] || skip "not root"
	if [[ ! -x $SSHD ]]; then
		[[ ${CI:-} != true ]] || fail "openssh-server is not installed"
		skip "openssh-server is not installed"
	fi
	need_guest server
	export S=$BATS_FILE_TMPDIR
	ssh-keygen -q -t ed25519 -N '' -f "$S/key"
	ssh-keygen -q -t ed25519 -N '' -f "$S/hostkey"
	cp "$S/key.pub" "$S/authorized"
	mkdir -p /run/sshd
	local try
	for try in 1 2 3 4 5; do
		PORT=$((20000 + RANDOM % 20000 / 4 * 4))
		sshd_config >"$S/sshd_config"
		"$SSHD" -f "$S/sshd_config" -E "$S/sshd.log"
		eventually 10 test -s "$S/sshd.pid" && grep -q "port $((PORT + 1))" "$S/sshd.log" && break
		[[ $try -lt 5 ]] || fail "$(<"$S/sshd.log")"
		kill "$(cat "$S/sshd.pid")" 2>/dev/null || true
		rm -f "$S/sshd.pid"
	done
	export PORT
	# A host that takes connections, and says nothing.
	python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(3600)' "$((PORT + 2))" </dev/null >/dev/null 2>&1 3>&- 4>&- &
	echo $! >"$S/silent.pid"
	cat >"$S/config" <<-END
		Host far far2 bare silent closed
			HostName 127.0.0.1
			Port $PORT
			IdentityFile $S/key
			IdentitiesOnly yes
			UserKnownHostsFile $S/known
			StrictHostKeyChecking accept-new
			LogLevel ERROR
		Host *
			ConnectTimeout 20
	END
	sed -i '1i Host bare\n\tPort '"$((PORT + 1))"'\nHost silent\n\tPort '"$((PORT + 2))"'\nHost closed\n\tPort '"$((PORT + 3))" \
		"$S/config"
	export VLENS_SSH="ssh -F $S/config"
}

# One port leads to this build, the other to a host without vlens.
sshd_config() {
	cat <<-END
		Port $PORT
		Port $((PORT + 1))
		ListenAddress 127.0.0.1
		HostKey $S/hostkey
		AuthorizedKeysFile $S/authorized
		PidFile $S/sshd.pid
		PermitRootLogin prohibit-password
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		StrictModes no
		UsePAM no
		MaxStartups 100
		Match LocalPort $PORT
			SetEnv PATH=$VLENS_BUILD:/usr/bin:/bin VLENS_CACHE_DIR=$VLENS_CACHE_DIR VLENS_RUN_DIR=$VLENS_RUN_DIR
		Match LocalPort $((PORT + 1))
			SetEnv PATH=/nowhere:/usr/bin:/bin
	END
}

teardown_file() {
	[[ ! -e $S/sshd.pid ]] || kill "$(cat "$S/sshd.pid")" || true
	[[ ! -e $S/silent.pid ]] || kill "$(cat "$S/silent.pid")" || true
}

setup() {
	T=$BATS_TEST_TMPDIR
	g=$(guest server)
}

teardown() { terminal_end; }

# ---- one run ----------------------------------------------------------------

@test "host:guest: output, words and status are those of a run there" {
	local words=(a 'b c' "d'e" '' '$HOME' 'é' $'x\ny' '*' '!' '~' $'\\' '"' '`id`' '#' ';' '&' $'\t' '-n' 'x=y' '{a,b}')
	assert_same "$(vuname "$g" -a)" "$(vuname "far:$g" -a)"
	run --separate-stderr vexec "far:$g" sh -c 'printf "%s|" "$@"; echo oops >&2; exit 7' sh "${words[@]}"
	assert_status 7
	assert_same "$(printf '%s|' "${words[@]}")" "$output"
	assert_same oops "$stderr"
	assert_same "$(vpslist --no-headers -o pid,comm "$g" | grep -c .)" \
		"$(vlens pslist --no-headers -o pid,comm "far:$g" | grep -c .)"
	run --separate-stderr vps "root@far:$g" -C nginx -o comm=
	# The guest may have swapped out what some process was called with.
	[[ $status -eq 0 || ($status -eq 3 && $stderr == *"in the guest's swap space"*) ]] || { show_run; false; }
	[[ ${lines[0]} == nginx ]]
	# Of its own errors, too.
	run --separate-stderr vps far:no-such-guest
	assert_refused vps no-such-guest "no such domain" 3
	run --separate-stderr vps "far:$g" --no-such-option
	assert_status 1
}

@test "host:guest: several guests, -g of vpeek, names of this host" {
	run --separate-stderr vpslist --json "far:$g" "far:$g"
	assert_status 0
	assert_same 2 "$(jq '[.processes[] | select(.pid == 1)] | length' <<<"$output")"
	run --separate-stderr vpeek -g "far:$g" init_task.comm
	assert_status 0
	[[ $output == *swapper/0* ]]
	run --separate-stderr vpslist "far:$g" "far2:$g"
	assert_usage vpslist "two hosts"
	run --separate-stderr vpslist "far:$g" "$g"
	assert_usage vpslist "a guest of this host"
	run --separate-stderr vlens dump "far:$g" "$T/dump"
	assert_usage "vlens dump" "own host"
	# A file is a file, and a prefix a prefix.
	cd "$T"
	echo x >far:file
	run --separate-stderr vps far:file
	[[ $stderr != *ssh* && $status -eq 3 ]] || { show_run; false; }
	run --separate-stderr vps qemu:0
	[[ $stderr != *ssh* && $status -eq 3 ]] || { show_run; false; }
}

@test "qemu+ssh://: the tool runs there, and asks its libvirt" {
	assert_same "$(vuname "$g" -r)" "$(vuname -c qemu+ssh://far/system "$g" -r)"
	assert_same "$(vuname "$g" -r)" "$(vuname "--connect=qemu+ssh://root@far:$PORT/system?no_tty=1" "$g" -r)"
	assert_same "$(vuname "$g" -r)" "$(vuname "-cqemu+ssh://far/system?keyfile=$S/key" "$g" -r)"
	run --separate-stderr vlist --json -c qemu+ssh://far/session
	[[ $(jq '.guests | length' <<<"$output") -ge 1 ]] || { show_run; false; }
	run --separate-stderr vps -c 'qemu+ssh://far/system?proxy=x' "$g"
	assert_usage vps "keyfile, no_tty and socket"
	# With another transport it is libvirt's.
	run --separate-stderr vps -c test+unix:///default "$g"
	[[ ($status -eq 0 || $status -eq 3) && -n $output$stderr && $stderr != *ssh* ]] || { show_run; false; }
}

@test "no name is an option of ssh, or a command of a shell" {
	local name
	# With --all the first word is the program.
	run --separate-stderr vexec --all far:x
	[[ $status -ne 0 && $stderr == *"command not found"* ]] || { show_run; false; }
	for name in "-oProxyCommand=touch $T/bad:$g" "-F$T/bad:$g" "far;touch $T/bad:$g" 'far$(touch bad):g' \
		"-x@far:$g" "far:-h" "@far:$g" "a@b@far:$g"; do
		run --separate-stderr vps -- "$name"
		[[ $status -ne 0 && $stderr != *"ssh did not"* && ! -e $T/bad ]] || { show_run; fail "$name"; }
	done
	for name in -oProxyCommand=x 'far;id' '' 'a b' 'far$(id)' '[::1' -x@far; do
		run --separate-stderr vps -c "qemu+ssh://$name/system" "$g"
		assert_usage vps "another host"
		run --separate-stderr vlens fleet -- vps "$g"
		assert_usage "vlens fleet" "no host"
	done
	printf '%s\n' '-oProxyCommand=x' 'far;id' 'far2 ansible_host=-x' 'far3 ansible_user=-x' >"$T/hosts"
	run --separate-stderr vlens fleet -f "$T/hosts" -- vuname "$g"
	assert_status 3
	assert_same 4 "$(jq -s 'map(select(.exit == 3 and (.error | test("no name|hyphen")))) | length' <<<"$output")"
}

@test "input goes there, up to its end" {
	head -c 3000000 /dev/urandom >"$T/in"
	vexec "far:$g" sha256sum <"$T/in" >"$T/out"
	assert_same "$(sha256sum <"$T/in")" "$(<"$T/out")"
	assert_empty "$(vexec "far:$g" cat </dev/null)"
	# The command need not read it.
	run --separate-stderr vexec "far:$g" true <"$T/in"
	assert_status 0
	# Only vexec's program has it: the shell's own input is left alone.
	assert_same rest "$(printf 'rest\n' | { vuname "far:$g" -r >/dev/null; cat; })"
}

# runs MARK: a sleep of this number runs here, as a part of a run there.
runs() { pgrep -xf "sleep $1" >/dev/null; }
gone() { ! runs "$1"; }

# signalled SIGNAL STATUS: a signal to the tool ends the command there, and the tool.
signalled() {
	local mark=31.$RANDOM$RANDOM pid status=0
	env --default-signal=INT,QUIT vexec "far:$g" sleep "$mark" </dev/null >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 30 runs "$mark" || fail "$(<"$T/out")"
	kill "-$1" "$pid"
	eventually 10 gone "$mark" || fail "the command runs on"
	wait "$pid" || status=$?
	assert_same "$2" "$status"
}

@test "signals are passed: INT" { signalled INT 130; }
@test "signals are passed: TERM" { signalled TERM 143; }
@test "signals are passed: HUP" { signalled HUP 129; }
@test "a signal that the command handles: its status counts" {
	local pid status=0
	env --default-signal=INT vexec "far:$g" sh -c 'trap "echo got; exit 9" INT; echo up; while :; do sleep 0.1; done' \
		</dev/null >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 30 grep -q up "$T/out" || fail "$(<"$T/out")"
	kill -INT "$pid"
	wait "$pid" || status=$?
	assert_same 9 "$status"
	grep -q got "$T/out"
}

@test "a tool that is killed, or a connection that is lost, ends the command there" {
	local mark=32.$RANDOM$RANDOM pid status=0
	vexec "far:$g" sleep "$mark" </dev/null >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 30 runs "$mark" || fail "$(<"$T/out")"
	kill -KILL "$pid"
	eventually 15 gone "$mark" || fail "the command runs on"
	mark=33.$RANDOM$RANDOM
	vexec "far:$g" sleep "$mark" </dev/null >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 30 runs "$mark" || fail "$(<"$T/out")"
	kill -KILL "$(pgrep -P "$pid" -x ssh)"
	eventually 15 gone "$mark" || fail "the command runs on"
	wait "$pid" || status=$?
	[[ $status -eq 137 ]] || fail "status $status"
}

@test "hosts that cannot be reached, lack vlens, or hang" {
	run --separate-stderr vps "closed:$g"
	assert_status 3
	[[ -z $output && ${stderr_lines[-1]} == "vps: closed: ssh ended with status 255: it did not connect, the connection was lost, or the command there ended so; does 'ssh closed true' work?" ]] ||
		{ show_run; false; }
	! PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin command -v vlens >/dev/null || skip "vlens is installed here"
	run --separate-stderr vps "bare:$g"
	assert_status 3
	[[ $stderr == "vlens: bare: vlens is not installed there: the shell of ssh finds no "* ]] || { show_run; false; }
	# A second signal ends what has not connected.
	local pid status=0
	env --default-signal=INT vps "silent:$g" </dev/null >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 10 pgrep -P "$pid" -x ssh
	kill -INT "$pid"
	sleep 0.5
	kill -INT "$pid"
	eventually 5 test ! -e "/proc/$pid/exe" || fail "it waits on"
	wait "$pid" || status=$?
	[[ $status -gt 128 || $status -eq 3 ]] || fail "status $status"
	# ssh's own limit.
	VLENS_SSH="ssh -o ConnectTimeout=1 -F $S/config" run --separate-stderr vps "silent:$g"
	assert_status 3
}

@test "a terminal there: its size, keys, Ctrl-C and status" {
	command -v tmux >/dev/null || skip "tmux is not installed"
	terminal 110 40
	keys "vexec far:$g sh -c 'test -t 0 && test -t 1 && stty size'; echo status=\$?" Enter
	shows "status=0" || fail "$(screen)"
	shows "^40 110" || fail "$(screen)"
	keys "clear; vexec far:$g sh -c 'trap \"exit 9\" INT; echo up; sleep 100'; echo status=\$?" Enter
	# Not the words of the command.
	shows "^up" || fail "$(screen)"
	keys C-c
	shows "status=9" || fail "$(screen)"
	keys "clear; vtop far:$g; echo status=\$?" Enter
	shows "redis-server" || fail "$(screen)"
	keys q
	shows "status=0" || fail "$(screen)"
	keys "stty -a | grep -o ' echo '" Enter
	shows " echo " || fail "$(screen)"
}

# ---- vlens fleet ------------------------------------------------------------

@test "fleet: rows with their host, from all that answer; a row about each run" {
	run --separate-stderr vlens fleet --timeout 20 far far2 closed bare -- vps --json "$g"
	assert_status 3
	local host
	for host in far far2; do
		assert_same "[0,null]" "$(jq -cs "map(select(.host == \"$host\" and has(\"exit\")))[0] | [.exit, .error]" <<<"$output")"
		assert_same nginx "$(jq -r "select(.host == \"$host\" and .list == \"processes\" and .comm == \"nginx\").comm" <<<"$output" | head -n 1)"
		assert_same "$(jq -s "map(select(.host == \"$host\" and .list)) | length" <<<"$output")" \
			"$(jq "select(.host == \"$host\" and has(\"exit\")).rows" <<<"$output")"
	done
	assert_same '[3,"ssh ended with status 255: it did not connect, the connection was lost, or the command there ended so",0]' \
		"$(jq -c 'select(.host == "closed") | [.exit, .error, .rows]' <<<"$output")"
	[[ $(jq 'select(.host == "bare").exit' <<<"$output") -eq 3 && $stderr == *"fleet: bare: vlens: bare: vlens is not"* ]]
	# Every line is JSON, and has a host.
	assert_same "$(wc -l <<<"$output")" "$(jq -s 'map(select(.host)) | length' <<<"$output")"
}

@test "fleet: statuses: 0, marked is 1, and 3 is never hidden" {
	run --separate-stderr vlens fleet far far2 -- vuname "$g"
	assert_status 0
	run --separate-stderr vlens fleet far -- vps "$g" -C no-such-program
	assert_status 1
	run --separate-stderr vlens fleet far closed -- vps "$g" -C no-such-program
	assert_status 3
	run --separate-stderr vlens fleet far -- vps --diff --json --quiet "$g"
	[[ $status -le 1 ]] || { show_run; false; }
	assert_same "$status" "$(jq -s '.[-1].exit' <<<"$output")"
}

@test "fleet: lines of text, and objects of JSON one by one" {
	run --separate-stderr vlens fleet far -- vuname "$g" -r
	assert_status 0
	assert_same "$(vuname "$g" -r)" "$(jq -r 'select(.line).line' <<<"$output")"
	run --separate-stderr vlens fleet far -- vexec "$g" printf 'a\033[2J\nb'
	assert_same '"a\u001b[2J" "b"' "$(jq -c 'select(has("line")).line' <<<"$output" | xargs -d '\n')"
	# Rows come while the tool runs.
	vlens fleet --timeout 0 far -- vwatch --json --duration 20 "$g" >"$T/events" 2>"$T/err" 3>&- 4>&- &
	local pid=$!
	sleep 3
	in_guest server 'for i in 1 2 3 4 5 6 7 8; do sleep 1; done'
	eventually 15 grep -q '"host": *"far".*sleep' "$T/events" || { kill "$pid"; fail "$(<"$T/events")" "$(<"$T/err")"; }
	kill "$pid"
	wait "$pid" || true
}

@test "fleet: a host that hangs, a tool that does not end" {
	local start=$SECONDS mark=34.$RANDOM$RANDOM
	run --separate-stderr vlens fleet --timeout 10 silent far -- vuname "$g" -r
	assert_status 3
	[[ $((SECONDS - start)) -lt 60 ]]
	assert_same 'no end within 10 s' "$(jq -r 'select(.host == "silent").error' <<<"$output" | sed 's/ssh ended with.*/no end within 10 s/')"
	assert_same 0 "$(jq 'select(.host == "far" and has("exit")).exit' <<<"$output")"
	run --separate-stderr vlens fleet --timeout 4 far -- vexec "$g" sleep "$mark"
	assert_status 3
	assert_same '"no end within 4 s"' "$(jq .error <<<"$output")"
	eventually 15 gone "$mark" || fail "the command runs on"
}

@test "fleet: it ends when the reader of its output has gone, and the commands with it" {
	local mark=reader.$RANDOM$RANDOM
	timeout 60 vlens fleet --timeout=0 far -- vexec "$g" sh -c "while :; do echo $mark; sleep 0.1; done" 2>/dev/null |
		head -n 1 >"$T/out"
	[[ ${PIPESTATUS[0]} -eq 141 && $(<"$T/out") == *"$mark"* ]] || fail "${PIPESTATUS[*]} $(<"$T/out")"
	eventually 15 eval '! pgrep -f "$mark" >/dev/null' || fail "the command runs on"
}

@test "fleet: Ctrl-C ends the commands on all hosts" {
	local mark=35.$RANDOM$RANDOM pid status=0
	env --default-signal=INT vlens fleet far far2 -- vexec "$g" sleep "$mark" >"$T/out" 2>&1 3>&- 4>&- &
	pid=$!
	eventually 30 runs "$mark" || fail "$(<"$T/out")"
	eventually 30 eval '[[ $(pgrep -cxf "sleep '"$mark"'") -ge 2 ]]'
	kill -INT "$pid"
	eventually 10 gone "$mark" || fail "the commands run on"
	wait "$pid" || status=$?
	assert_same 130 "$status"
	assert_same 2 "$(grep -c 'stopped by a signal' "$T/out")"
}

@test "fleet: in parallel, as many as are asked for" {
	local start took
	run --separate-stderr vlens fleet far -- vuname "$g" -r
	assert_status 0
	start=${EPOCHREALTIME/./}
	run --separate-stderr vlens fleet --parallel 1 far far2 "root@far" -- vexec "$g" sleep 1
	assert_status 0
	took=$((${EPOCHREALTIME/./} - start))
	[[ $took -gt 3000000 ]] || fail "three seconds took $took us"
	assert_same 3 "$(jq -s 'length' <<<"$output")"
	local hosts=()
	for _ in 1 2 3 4 5 6 7 8; do hosts+=("far" "far2"); done
	run --separate-stderr vlens fleet "${hosts[@]}" -- vuname "$g" -r
	assert_status 0
	# A host that is named twice is one.
	assert_same 2 "$(jq -s 'map(select(has("exit"))) | length' <<<"$output")"
}

@test "fleet: an inventory of Ansible: INI, ranges, groups, variables" {
	cat >"$T/hosts" <<-END
		# hosts of the tests
		far
		web[1:2] ansible_host=far2 ansible_port=$PORT ; ansible_user=root

		[db]
		db-[a:b].example  ansible_host="127.0.0.1"
		[db:vars]
		ansible_port = $PORT
		ansible_user=root
		ansible_ssh_private_key_file=$S/key
		[away]
		gone ansible_port=$((PORT + 3)) ansible_host=far
		odd ansible_connection=winrm
		[prod:children]
		db
		away
		[prod:vars]
		ansible_port=1
		ansible_ssh_common_args=-oProxyJump=x
	END
	run --separate-stderr vlens fleet -f "$T/hosts" --group all -- vuname "$g" -r
	assert_status 3
	[[ $stderr == *"ansible_ssh_common_args are not read"* ]] || { show_run; false; }
	assert_same "db-a.example db-b.example far gone odd web1 web2" \
		"$(jq -rs 'map(select(has("exit")).host) | sort | join(" ")' <<<"$output")"
	assert_same "far web1 web2" "$(jq -rs 'map(select(.line).host) | sort | map(select(test("db") | not)) | join(" ")' <<<"$output")"
	assert_same "its ansible_connection is not ssh" "$(jq -r 'select(.host == "odd").error' <<<"$output")"
	run --separate-stderr vlens fleet -f "$T/hosts" --group web2 --group db -- vuname "$g" -r
	assert_same "db-a.example db-b.example web2" "$(jq -rs 'map(select(has("exit")).host) | sort | join(" ")' <<<"$output")"
	run --separate-stderr vlens fleet -f "$T/hosts" --group nowhere -- vuname "$g" -r
	assert_usage "vlens fleet" "no group or host 'nowhere'"
	# Groups that are in each other have an end.
	printf '[a:children]\nb\n[b:children]\na\nb\n[b]\nfar\n' >"$T/circle"
	run --separate-stderr vlens fleet -f "$T/circle" --group a -- vuname "$g" -r
	assert_status 0
	# From standard input: what ansible-inventory --list prints.
	jq -n --arg port "$PORT" '{_meta: {hostvars: {one: {ansible_host: "far", ansible_port: ($port | tonumber)}}},
		all: {children: ["ungrouped", "web"]}, web: {hosts: ["one"]}}' >"$T/hosts.json"
	run --separate-stderr vlens fleet -f - --group web -- vuname "$g" -r <"$T/hosts.json"
	assert_status 0
	assert_same one "$(jq -r 'select(.line).host' <<<"$output")"
	# YAML is Ansible's own.
	printf 'all:\n  hosts:\n    far:\n' >"$T/hosts.yml"
	mkdir "$T/bin"
	printf '#!/bin/sh\n[ "$*" = "--list -i %s" ] && cat %s\n' "$T/hosts.yml" "$T/hosts.json" >"$T/bin/ansible-inventory"
	chmod +x "$T/bin/ansible-inventory"
	PATH=$T/bin:$PATH run --separate-stderr vlens fleet -f "$T/hosts.yml" -- vuname "$g" -r
	assert_status 0
	command -v ansible-inventory >/dev/null || {
		run --separate-stderr vlens fleet -f "$T/hosts.yml" -- vuname "$g" -r
		[[ $status -eq 1 && $stderr == *"ansible-inventory reads such an inventory"* ]] || { show_run; false; }
	}
}

@test "fleet: what is wrong with the command line" {
	run --separate-stderr vlens fleet far
	assert_usage "vlens fleet" "no tool is named"
	run --separate-stderr vlens fleet far -- rm -rf /
	assert_usage "vlens fleet" "'rm' is no tool of vlens"
	run --separate-stderr vlens fleet far -- vlens fleet x -- vps
	assert_usage "vlens fleet" "'fleet' is no tool"
	run --separate-stderr vlens fleet --parallel 0 far -- vps
	assert_usage "vlens fleet" "'0' is not a number"
	run --separate-stderr vlens fleet --timeout x far -- vps
	assert_usage "vlens fleet" "'x' is not a number"
	run --separate-stderr vlens fleet -f "$T/none" -- vps
	[[ $status -eq 1 && $stderr == *"$T/none"* ]] || { show_run; false; }
}
