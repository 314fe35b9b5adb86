#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vlens export: its metrics compared with the guest's own answers, a real Prometheus that reads
# them, and bad requests to the web server.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # names of Grafana's variables; bats: a test is a
# subshell, run sets variables

load lib/vlens

setup_file() {
	need_guest g61
	# Ports that nobody else of this machine's tests takes.
	export PORT=$((20000 + $$ % 9000))
	export URL=http://127.0.0.1:$PORT
}

setup() {
	T=$BATS_TEST_TMPDIR
	G=$(guest g61)
}

teardown() {
	local pid
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
}
started=()

# serve [OPTION...] GUEST...: starts the exporter and waits until it answers.
serve() {
	vlens export --listen=127.0.0.1:"$PORT" "$@" 2>"$T/serve.err" 3>&- 4>&- &
	started+=($!)
	eventually 10 curl -sf -o /dev/null "$URL/metrics" || fail "$(<"$T/serve.err")"
}

# value METRIC [LABELS]: the value of the first such sample in $T/metrics.
value() { grep -m1 "^$1{.*${2:-}.*} " "$T/metrics" | sed 's/.*} //'; }

@test "--once has the guest's own figures" {
	vlens export --once "$G" >"$T/metrics"
	assert_same "# EOF" "$(tail -n 1 "$T/metrics")"
	assert_same 1 "$(value vlens_guest_up)"
	assert_same 1 "$(value vlens_guest_state 'state="running"')"
	assert_same 0 "$(value vlens_guest_hidden_processes)"
	assert_same 0 "$(value vlens_guest_hidden_modules)"
	assert_same "$(vlsmod "$G" | tail -n +2 | wc -l)" "$(value vlens_guest_modules)"
	grep -q "release=\"$(vuname "$G" -r)\"" "$T/metrics"
	assert_same "$(vfree -J -o total_bytes "$G" | jq '.memory[0].total_bytes')" "$(value node_memory_MemTotal_bytes)"
	assert_same "$(vpidlist --no-headers "$G" | wc -l)" "$(value node_processes_pids)"
	# Time moves on between two looks.
	boot=$(vcat "$G" /proc/stat | awk '$1 == "btime" { print $2 }')
	ours=$(value node_boot_time_seconds | cut -d. -f1)
	[[ $((ours - boot)) -le 1 && $((boot - ours)) -le 1 ]] || fail "boot: $ours, not $boot"
	# What the guest has named stays in its label.
	grep -qF 'groupname="\\x1b[2J\\x0aevil\\x09\\x7f"' "$T/metrics" || ! vps "$G" -e | grep -q evil
	assert_same 0 "$(value vlens_guest_paused_seconds_total | cut -d. -f1)"
}

# netstat NAME: a counter of the line IpExt of guest $name.
netstat() {
	in_guest "$name" "grep ^IpExt: /proc/net/netstat" | awk -v want="$1" \
		'NR == 1 { for (i = 1; i <= NF; i++) if ($i == want) at = i } NR == 2 { print $at }'
}

@test "--once has the figures of other kernels, and of a dump" {
	for name in g510 g612 g7; do
		need_guest "$name"
		vlens export --once "$(guest "$name")" >"$T/metrics"
		in_guest "$name" "cat /proc/meminfo /proc/stat; grep -c . /proc/modules" >"$T/own"
		assert_same "$(awk '$1 == "MemTotal:" { print $2 * 1024 }' "$T/own")" "$(value node_memory_MemTotal_bytes)"
		boot=$(awk '$1 == "btime" { print $2 }' "$T/own")
		ours=$(value node_boot_time_seconds | cut -d. -f1)
		[[ $((ours - boot)) -le 1 && $((boot - ours)) -le 1 ]] || fail "$name: boot: $ours, not $boot"
		assert_same "$(tail -n 1 "$T/own")" "$(value vlens_guest_modules)"
		# The factory sends a little over the loopback when it begins.
		[[ $(netstat OutOctets) -gt 0 ]]
		assert_same "$(netstat InOctets)" "$(value node_netstat_IpExt_InOctets)"
		assert_same "$(netstat OutOctets)" "$(value node_netstat_IpExt_OutOctets)"
		# A kernel whose listeners cannot be counted says nothing of any state.
		listen=$(value node_tcp_connection_states 'state="listen"' || true)
		[[ -z $listen && $name == g510 ]] || assert_same "$(in_guest "$name" "cat /proc/net/tcp /proc/net/tcp6" |
			awk '$4 == "0A"' | wc -l)" "$listen"
	done
	dump_guest g7 "$T/d.elf"
	vlens export --once "$T/d.elf" >"$T/dumped"
	assert_same 1 "$(grep -c '^vlens_guest_state{.*state="dump"} 1$' "$T/dumped")"
	for metric in node_memory_MemTotal_bytes node_boot_time_seconds node_netstat_IpExt_OutOctets; do
		assert_same "$(grep "^$metric{" "$T/metrics" | cut -d' ' -f2)" \
			"$(grep "^$metric{" "$T/dumped" | cut -d' ' -f2)"
	done
}

@test "the number of series has a limit" {
	vlens export --once --top=2 "$G" >"$T/metrics"
	[[ $(grep -c ^namedprocess_namegroup_cpu_seconds_total "$T/metrics") -le 10 ]]
	vlens export --once --top=0 "$G" >"$T/metrics"
	run grep -c ^namedprocess "$T/metrics"
	assert_same 0 "$output"
}

@test "a guest that is not there is not up, and the reason is printed" {
	run --separate-stderr vlens export --once "$G" "$T/none.elf"
	assert_status 3
	[[ $output == *"vlens_guest_up{guest=\"$T/none.elf\"} 0"* && $output == *"vlens_guest_up{guest=\"g61\"} 1"* ]] ||
		fail "$output"
	[[ ${#stderr_lines[@]} -eq 1 && $stderr == "vlens export: $T/none.elf: "* ]] || fail "$stderr"
}

@test "an output that is full or closed is an error" {
	run --separate-stderr bash -c "vlens export --once $G >/dev/full"
	assert_status 1
	[[ ${#stderr_lines[@]} -eq 1 ]] || fail "$stderr"
	run bash -c "set -o pipefail; vlens export --once $G | head -n 1"
	assert_same 1 "${#lines[@]}"
	run --separate-stderr vlens export --textfile="$T/no/t.prom" "$G"
	assert_status 1
	[[ $stderr == "vlens export: cannot write "* ]] || fail "$stderr"
}

@test "a command line that makes no sense is refused" {
	run --separate-stderr vlens export
	assert_usage "vlens export" "one of --once, --listen and --textfile"
	run --separate-stderr vlens export --once --listen=:1
	assert_usage "vlens export" "one of --once, --listen and --textfile"
	run --separate-stderr vlens export --once --top=-1
	assert_usage "vlens export" "'-1' is not a number of processes"
	for address in nothing 127.0.0.1:99999 127.0.0.1: unix: "[::1"; do
		run --separate-stderr timeout 10 vlens export --listen="$address"
		assert_status 1
		[[ ${#stderr_lines[@]} -eq 1 && $stderr == "vlens export: "* ]] || fail "$address: $stderr"
	done
	run --separate-stderr timeout 10 vlens export --listen=0.0.0.0:"$PORT"
	assert_status 1
	[[ $stderr == *"can be reached from other hosts"*"--web-config"* ]] || fail "$stderr"
}

@test "promtool finds nothing but node_exporter's own names" {
	command -v promtool >/dev/null || skip "no promtool: apt install prometheus"
	serve "$G"
	curl -sf "$URL/metrics" >"$T/metrics"
	run promtool check metrics <"$T/metrics"
	for line in "${lines[@]}"; do
		[[ $line == node_memory_*camelCase* || $line == node_netstat_*camelCase* ]] || fail "$line"
	done
	vlens export --textfile="$T/t.prom" "$G"
	run promtool check metrics <"$T/t.prom"
	[[ $output != *"error while linting"* && $output != *parsing* ]] || fail "$output"
	run grep -c -E '^(node|namedprocess)_' "$T/t.prom"
	assert_same 0 "$output"
	promtool check rules "$VT_TESTS/../contrib/vlens.rules.yml"
}

# prometheus_start: a Prometheus that reads the exporter each second, at $PROM.
prometheus_start() {
	PROM=http://127.0.0.1:$((PORT + 1))
	sed 's/for: [0-9]*m/for: 0s/' "$VT_TESTS/../contrib/vlens.rules.yml" >"$T/rules.yml"
	cat >"$T/prometheus.yml" <<-END
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: [$T/rules.yml]
		scrape_configs:
		  - job_name: vlens
		    static_configs: [{targets: ["127.0.0.1:$PORT"]}]
	END
	prometheus --config.file="$T/prometheus.yml" --storage.tsdb.path="$T/tsdb" \
		--web.listen-address="${PROM#http://}" >"$T/prometheus.log" 2>&1 3>&- 4>&- &
	started+=($!)
	eventually 30 curl -sf -o /dev/null "$PROM/-/ready" || fail "$(<"$T/prometheus.log")"
}

# query EXPRESSION: the answer of Prometheus.
query() { curl -sf "$PROM/api/v1/query" --data-urlencode "query=$1"; }
has_value() { [[ $(query "$1" | jq -r '.data.result[0].value[1]') == "$2" ]]; }
fires() { curl -sf "$PROM/api/v1/alerts" | jq -e --arg name "$1" \
	'.data.alerts[] | select(.labels.alertname == $name and .state == "firing")' >/dev/null; }

@test "a Prometheus reads it, answers a query, and an alert fires" {
	command -v prometheus >/dev/null || skip "no prometheus: apt install prometheus"
	serve "$G"
	prometheus_start
	eventually 20 has_value 'vlens_guest_up{guest="g61"}' 1 || fail "$(query vlens_guest_up)"
	eventually 20 has_value 'count(count by (cpu) (node_cpu_seconds_total{guest="g61"}))' 2
	# Each expression of the dashboard is one that Prometheus understands.
	jq -r '.panels[].targets[].expr' "$VT_TESTS/../contrib/vlens.json" >"$T/exprs"
	while read -r expr; do
		expr=${expr//'$guest'/.*}
		expr=${expr//'$__rate_interval'/1m}
		expr=${expr//'$__range'/1h}
		query "$expr" | jq -e '.status == "success"' >/dev/null || fail "$expr"
	done <"$T/exprs"
	[[ $(wc -l <"$T/exprs") -gt 15 ]]
	run fires GuestPaused
	[[ $status -ne 0 ]] || fail "it fires before"
	qmp g61 stop
	eventually 20 fires GuestPaused || { qmp g61 cont; fail "$(curl -s "$PROM/api/v1/alerts")"; }
	qmp g61 cont
}

@test "the dashboard is one" {
	jq -e '.title and .uid and (.schemaVersion >= 36) and (.panels | length > 10) and
		([.panels[].id] | unique | length) == (.panels | length) and
		all(.panels[]; .gridPos.x + .gridPos.w <= 24 and (.targets | length) > 0 and .type)' \
		"$VT_TESTS/../contrib/vlens.json" >/dev/null
}

@test "the server stands bad requests, slow clients and many of them" {
	serve "$G"
	before=$(curl -s -o /dev/null -w '%{http_code}' "$URL/metrics")
	assert_same 200 "$before"
	assert_same 404 "$(curl -s -o /dev/null -w '%{http_code}' "$URL/etc/passwd")"
	assert_same 405 "$(curl -s -X DELETE -o /dev/null -w '%{http_code}' "$URL/metrics")"
	assert_same 405 "$(curl -s -d x=y -o /dev/null -w '%{http_code}' "$URL/metrics")"
	python3 - "$PORT" <<-'END'
		import os, socket, sys
		def connect():
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
		    s.settimeout(5)
		    return s
		for bad in (b"\0" * 4096, b"GARBAGE\r\n\r\n", os.urandom(60000), b"GET /metrics HTTP/9.9\r\n\r\n",
		            b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\n\r\n",
		            b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		            b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n"):
		    s = connect()
		    try:
		        s.sendall(bad)
		        s.recv(4096)
		    except OSError:
		        pass
		    s.close()
		# Clients that never end their request, and one that does not take the answer.
		slow = [connect() for _ in range(30)]
		for s in slow:
		    s.sendall(b"GET /metrics HTTP/1.1\r\n")
		s = connect()
		s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		s.close()
		s = connect()
		s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		assert b"200 OK" in s.recv(4096)
	END
	assert_same 200 "$(curl -s -m 10 -o /dev/null -w '%{http_code}' "$URL/metrics")"
	# However often it is asked, the guest is read once a second.
	for _ in {1..20}; do curl -sf "$URL/metrics" | grep -m1 ^vlens_guest_scrape_cpu; done | sort -u >"$T/costs"
	[[ $(wc -l <"$T/costs") -le 5 ]] || fail "$(<"$T/costs")"
	kill -TERM "${started[0]}"
	wait "${started[0]}" || fail "status $?"
	run cat "$T/serve.err"
	assert_empty "$output"
}

# web PID: the process id of the exporter's web server.
web() {
	local pid
	for pid in $(pgrep -P "$1"); do
		[[ $(<"/proc/$pid/comm") != vlens-web ]] || echo "$pid"
	done
}

@test "the web server has no right, and nothing of what its caller had open" {
	serve "$G" 9<"$BATS_TEST_FILENAME"
	pid=$(web "${started[0]}")
	[[ -n $pid ]] || fail "$(ps -ef)"
	run awk '/^(CapInh|CapPrm|CapEff|CapAmb|Seccomp|NoNewPrivs):/ { print $2 }' "/proc/$pid/status"
	assert_same "0000000000000000 0000000000000000 0000000000000000 0000000000000000 1 2" "$(xargs <<<"$output")"
	ls -l "/proc/$pid/fd" >"$T/fds"
	assert_same 3 "$(grep -c ' [012] -> /dev/null$' "$T/fds")"
	run grep -v -e /dev/null -e 'socket:' -e 'anon_inode:' -e 'memfd:' -e ^total "$T/fds"
	assert_empty "$output"
}

@test "the reason why a guest cannot be read is printed once, between tries, too" {
	serve qemu:1
	for _ in {1..6}; do
		curl -sf -o /dev/null "$URL/metrics"
		sleep 0.6
	done
	assert_same 1 "$(wc -l <"$T/serve.err")"
}

@test "a file that is none is not replaced, and a busy socket not waited for" {
	mkfifo "$T/fifo"
	ln -s nowhere "$T/link"
	for bad in "$T/fifo" "$T/link" "$T"; do
		run --separate-stderr vlens export --textfile="$bad" "$G"
		assert_status 1
		[[ $stderr == *"is not a regular file"* ]] || fail "$stderr"
	done
	[[ -p $T/fifo && -L $T/link ]]
	python3 - "$T/busy" "$G" <<-'END'
		import socket, subprocess, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen(0)
		waiting = []
		for _ in range(4):
		    c = socket.socket(socket.AF_UNIX)
		    c.setblocking(False)
		    try:
		        c.connect(sys.argv[1])
		    except BlockingIOError:
		        pass
		    waiting.append(c)
		r = subprocess.run(["vlens", "export", "--listen=unix:" + sys.argv[1], sys.argv[2]],
		                   timeout=10, stderr=subprocess.PIPE)
		assert r.returncode == 1 and b"in use" in r.stderr, r
	END
}

# ended PID...: none of these processes runs. One that nobody has waited for yet has ended.
ended() {
	local pid state
	for pid; do
		state=$(process_state "$pid" 2>/dev/null) || continue
		[[ $state == Z ]] || return 1
	done
}

@test "a guest that the user may not look into is denied, not gone" {
	need_guest g61
	local user=(setpriv --reuid 54321 --regid 54321 --clear-groups env -i "PATH=$PATH" "VLENS_RUN_DIR=/tmp/vlens-none"
		"VLENS_CACHE_DIR=/tmp/vlens-none")
	"${user[@]}" test -x "$VLENS_BUILD/vlens" || skip "other users cannot enter the build's folder"
	run --separate-stderr "${user[@]}" vlens export --once "$(guest g61)"
	[[ $stderr == *"no permission"* ]] || { show_run; false; }
	assert_same 1 "$(grep -c '^vlens_guest_state{.*state="denied"} 1$' <<<"$output")"
	assert_same 1 "$(grep -c '^vlens_guest_state{.*} 1$' <<<"$output")"
	# One that is not there is gone.
	run --separate-stderr vlens export --once qmp:/nowhere/qmp.sock
	assert_same 1 "$(grep -c '^vlens_guest_state{.*state="gone"} 1$' <<<"$output")"
}

@test "many scrapes at once, a guest that dies, and no process that outlives the exporter" {
	local children signal status
	need_guest victim
	for signal in TERM KILL; do
		serve "$(guest victim)"
		seq 20 | xargs -P 20 -I{} curl -s -o /dev/null -w '%{http_code}\n' "$URL/metrics" >"$T/codes"
		assert_same "20 200" "$(sort "$T/codes" | uniq -c | xargs)"
		children=$(pgrep -P "${started[-1]}")
		[[ $(wc -w <<<"$children") -ge 2 ]] || fail "children: $children"
		if [[ $signal == KILL ]]; then
			kill -KILL "$(guest_pid victim)"
			is_gone() { curl -sf "$URL/metrics" | grep -q '^vlens_guest_state{.*state="gone"} 1$'; }
			eventually 20 is_gone || fail "$(curl -s "$URL/metrics")"
			curl -sf "$URL/metrics" >"$T/metrics"
			assert_same 0 "$(value vlens_guest_up)"
			run grep -c '^node_' "$T/metrics"
			assert_same 0 "$output"
		fi
		kill -"$signal" "${started[-1]}"
		status=0
		wait "${started[-1]}" || status=$?
		[[ $signal == KILL || $status -eq 0 ]] || fail "status $status"
		# shellcheck disable=SC2086 # words
		eventually 10 ended $children || fail "$(ps -o pid,ppid,stat,comm -p "${children//$'\n'/,}")"
	done
	"$VT_TESTS/guest/stop" victim 3>&- 4>&-
}

@test "a unix socket is for the owner and the group, and goes with the exporter" {
	vlens export --listen=unix:"$T/sock" "$G" 2>"$T/serve.err" 3>&- 4>&- &
	started+=($!)
	eventually 10 curl -sf --unix-socket "$T/sock" -o /dev/null http://vlens/metrics || fail "$(<"$T/serve.err")"
	assert_same 660 "$(stat -c %a "$T/sock")"
	kill -KILL "${started[0]}"
	wait "${started[0]}" || true
	# What it leaves behind is no obstacle.
	vlens export --listen=unix:"$T/sock" "$G" 2>"$T/serve.err" 3>&- 4>&- &
	started+=($!)
	eventually 10 curl -sf --unix-socket "$T/sock" -o /dev/null http://vlens/metrics || fail "$(<"$T/serve.err")"
	kill -TERM "${started[1]}"
	wait "${started[1]}"
	[[ ! -e $T/sock ]]
	# A SIGHUP that is ignored ends nothing.
	nohup vlens export --listen=unix:"$T/sock" "$G" >/dev/null 2>"$T/serve.err" 3>&- 4>&- &
	started+=($!)
	eventually 10 curl -sf --unix-socket "$T/sock" -o /dev/null http://vlens/metrics || fail "$(<"$T/serve.err")"
	kill -HUP "${started[2]}"
	sleep 1
	curl -sf --unix-socket "$T/sock" -o /dev/null http://vlens/metrics || fail "it has ended"
	kill -TERM "${started[2]}"
	wait "${started[2]}"
}

@test "TLS and users, by the exporters' web configuration" {
	command -v htpasswd >/dev/null || skip "no htpasswd: apt install apache2-utils"
	# With a key of RSA, which TLS 1.1 can use, too.
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/k.pem" \
		-out "$T/c.pem" -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
	printf 'tls_server_config:\n  cert_file: c.pem\n  key_file: k.pem\nbasic_auth_users:\n  prom: %s\n' \
		"$(htpasswd -nbBC 11 prom secret | cut -d: -f2)" >"$T/web.yml"
	vlens export --listen=:"$PORT" --web-config="$T/web.yml" "$G" 2>"$T/serve.err" 3>&- 4>&- &
	started+=($!)
	code() { curl -s --cacert "$T/c.pem" -o /dev/null -w '%{http_code}' "$@" "https://localhost:$PORT/metrics"; }
	right() { [[ $(code -u prom:secret) == 200 ]]; }
	eventually 10 right || fail "$(<"$T/serve.err")"
	assert_same 401 "$(code)"
	assert_same 401 "$(code -u prom:wrong)"
	assert_same 401 "$(code -u other:secret)"
	tls() { openssl s_client -connect "localhost:$PORT" "$1" -cipher ALL:@SECLEVEL=0 </dev/null 2>&1; }
	[[ $(tls -tls1_2) == *"New, TLSv1.2, Cipher is E"* ]]
	[[ $(tls -tls1_1) == *"Cipher is (NONE)"* && $(tls -tls1) == *"Cipher is (NONE)"* ]]
	run curl -s -o /dev/null -w '%{http_code}' "http://localhost:$PORT/metrics"
	assert_same 000 "$output"
	# Wrong passwords wait for each other; one that is known to be right does not.
	seq 24 | xargs -P 24 -I{} curl -s --cacert "$T/c.pem" -u prom:{} -o /dev/null -w '%{http_code}\n' \
		"https://localhost:$PORT/metrics" >"$T/codes" &
	sleep 0.5
	assert_same 200 "$(code -u prom:secret -m 2)"
	wait $!
	assert_same "401 503" "$(sort -u "$T/codes" | xargs)"
	for bad in 'tls_server_config: {client_ca_file: x}' 'a: [' 'basic_auth_users: {a: plain}' \
		'tls_server_config: {cert_file: c.pem}' 'tls_server_config: {cert_file: none, key_file: k.pem}' '- x'; do
		echo "$bad" >"$T/bad.yml"
		run --separate-stderr timeout 10 vlens export --listen=127.0.0.1:1 --web-config="$T/bad.yml" "$G"
		assert_status 1
		[[ ${#stderr_lines[@]} -eq 1 ]] || fail "$bad: $stderr"
	done
}
