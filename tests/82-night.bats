#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A night shift: an alert of a real Prometheus names a process that eats memory in a container of a
# real server (tests/guest/mkserver). It is found, watched while it restarts, and nothing is hidden.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	[[ $(id -u) -eq 0 ]] || skip "not root"
	command -v prometheus >/dev/null || skip "no prometheus: apt install prometheus"
	need_guest server
	# A port that nobody else of this machine's tests takes.
	export PORT=$((20000 + ($$ + 500) % 9000))
	export ID
	ID=$(printf 'ea7%.0s' {1..21})0
}

setup() {
	g=$(guest server)
	T=$BATS_TEST_TMPDIR
}

teardown() {
	local pid
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	in_guest server "pkill -f [n]ight-eater; rmdir /sys/fs/cgroup/docker-$ID.scope" >/dev/null 2>&1 || true
}
started=()

# eater MIB: starts a process in a container of the guest that has so much memory, and a listener.
eater() {
	in_guest server "mkdir -p /sys/fs/cgroup/docker-$ID.scope; (echo 0 >/sys/fs/cgroup/docker-$ID.scope/cgroup.procs; \
		exec perl -MIO::Socket::INET -e '\$s = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1:7777\"); open F, \"/etc/hostname\"; \
		\$x = \"x\" x ($1 << 20); sleep 1 while 1' night-eater) </dev/null >/dev/null 2>&1 &"
}

fires() {
	curl -sf "$PROM/api/v1/alerts" | jq -e \
		'.data.alerts[] | select(.labels.alertname == "GuestProcessEatsMemory" and .state == "firing" and .labels.guest == "server")' >/dev/null
}

@test "night shift: from the alert to the process, its container, sockets and files, and its restart" {
	local pid new
	PROM=http://127.0.0.1:$((PORT + 1))
	vlens export --listen=127.0.0.1:"$PORT" "$g" 2>"$T/serve.err" 3>&- 4>&- &
	started+=($!)
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
	run fires
	[[ $status -ne 0 ]] || fail "the alert fires before"
	eater 280
	eventually 60 fires || fail "$(curl -s "$PROM/api/v1/alerts")"

	# The process and its container.
	vtop -b -n 1 -J -s -res "$g" >"$T/top" || fail "vtop"
	pid=$(jq -r '.guests[0].processes | max_by(.res).pid' "$T/top")
	assert_same "perl docker/${ID:0:12}" \
		"$(jq -r --argjson pid "$pid" '.guests[0].processes[] | select(.pid == $pid) | (.command | split(" ")[0]) + " " + .container' "$T/top")"
	assert_same "$pid" "$(vps --containers -J "$g" | jq --arg id "$ID" '.containers[] | select(.full_id == $id).pid')"

	# Its sockets and files.
	vss "$g" -Htlnp | grep -q "127.0.0.1:7777 .*pid=$pid," || fail "$(vss "$g" -Htlnp)"
	vlsof -J "$g" | jq -e --argjson pid "$pid" '.files[] | select(.pid == $pid and .name == "/etc/hostname")' >/dev/null ||
		fail "no file"

	# Its restart.
	vwatch --json --events=process "$g" >"$T/events" 2>"$T/watch.err" 3>&- 4>&- &
	started+=($!)
	eventually 30 grep -q '"watched"' "$T/events" || fail "$(<"$T/watch.err")"
	in_guest server "kill $pid"
	eater 10
	new=$(in_guest server "pgrep -f '[n]ight-eater' | head -n 1")
	eventually 30 grep -q "\"exec\".*\"pid\": *$new\b" "$T/events" || fail "$(<"$T/events")"
	jq -se --argjson pid "$pid" 'any(.event == "end" and .pid == $pid)' "$T/events" >/dev/null || fail "no end"

	# Nothing is hidden.
	run --separate-stderr vps --diff --quiet "$g"
	assert_status 0
	run --separate-stderr vlsmod --diff --quiet "$g"
	assert_status 0
}
