#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# --json of the applets that mirror a program: they read these rows from raw memory. The
# tests compare them with the output of the guest's own programs.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup() {
	T=$BATS_TEST_TMPDIR
}

# make_state NAME: opens files and sockets of many kinds in the guest, once.
make_state() {
	if in_guest "$1" '[ -e /run/json-state ]'; then return; fi
	in_guest "$1" 'ip link set lo up; touch /run/json-state
		mkdir -p /tmp/deep/er; echo x >/tmp/deep/er/file; mount -t tmpfs none /mnt; echo y >/mnt/in-mount
		(exec 5>/tmp/gone; rm /tmp/gone; exec 6<>/tmp/deep/er/file 7</mnt/in-mount 8</proc/1/status 9</mnt
			cd /mnt; exec sleep 100000) </dev/null >/dev/null 2>&1 &
		(sleep 100000 | cat) </dev/null >/dev/null 2>&1 &
		nc -l -p 5556 </dev/null >/dev/null 2>&1 &'
	eventually 60 listens "$1" 5556
}
# make_time_wait NAME: closes a connection, of which one side is in TIME_WAIT for a minute.
make_time_wait() {
	in_guest "$1" 'nc -l -p 5555 </dev/null >/dev/null 2>&1 &'
	eventually 60 listens "$1" 5555
	in_guest "$1" 'nc ::1 5555 </dev/null >/dev/null 2>&1; true'
}
listens() { in_guest "$1" 'ss -tln' | grep -q ":$2 "; }

# ---- uname, free, lsmod -----------------------------------------------------

# Sorts the list of users in the fourth word of each line.
users_sorted() {
	while read -r module size used by; do
		echo "$module $size $used $(tr , '\n' <<<"$by" | sort | paste -sd ,)"
	done
}

whole() {
	need_guest "$1"
	local g
	g=$(guest "$1")
	assert_same "$(in_guest "$1" 'uname -s; uname -n; uname -r; uname -v; uname -m')" \
		"$(vuname --json "$g" | jq -r '.kernels[0] | .sysname, .nodename, .release, .version, .machine')"
	# The users of a module have no fixed order: lsmod has that of a directory.
	assert_same "$(in_guest "$1" lsmod | awk 'NR > 1 { print $1, $2, $3, $4 ? $4 : "null" }' | users_sorted)" \
		"$(vlsmod --json "$g" | jq -r '.modules[] | "\(.module) \(.size) \(.used) \(if .by == [] then null else .by | join(",") end)"' | users_sorted)"
	in_guest "$1" 'free -b' >"$T/free"
	vfree --json "$g" >"$T/json"
	[[ $(jq '.memory | length' "$T/json") == 1 ]]
	[[ $(jq '.memory[0].total_bytes' "$T/json") == "$(awk '/^Mem/ { print $2 }' "$T/free")" ]]
	# The other values may differ by 4 MiB.
	awk '/^Mem/ { print $3, $4, $5, $6, $7 } /^Swap/ { print $2, $3, $4 }' "$T/free" | tr '\n' ' ' >"$T/theirs"
	jq -r '.memory[0] | [.used_bytes, .free_bytes, .shared_bytes, .cache_bytes, .available_bytes,
		.swap_total_bytes, .swap_used_bytes, .swap_free_bytes]
		| join(" ")' "$T/json" | tr '\n' ' ' >"$T/ours"
	paste -d ' ' "$T/theirs" "$T/ours" | awk '{
		for (i = 1; i <= 8; i++) { d = $i - $(i + 8); if (d < -4194304 || d > 4194304) bad = 1 }
		exit NF != 16 || bad }' || fail "free: $(cat "$T/theirs" "$T/ours")"
}

@test "vuname, vfree, vlsmod --json: what the guest says, 5.10" { whole g510; }
@test "vuname, vfree, vlsmod --json: what the guest says, 6.1" { whole g61; }
@test "vuname, vfree, vlsmod --json: what the guest says, 7" { whole g7; }

# ---- ps ---------------------------------------------------------------------

processes() {
	need_guest "$1"
	local g
	g=$(guest "$1")
	vps --json "$g" >"$T/json"
	# Compare processes that sleep until the end.
	in_guest "$1" 'ps -C sleeper -o pid=,ppid=,ruid=,s=,nlwp=,vsz=,rss=,comm=,args=' |
		awk '{ $6 *= 1024; $7 *= 1024; print }' >"$T/theirs"
	jq -r '.processes[] | select(.comm == "sleeper")
		| "\(.pid) \(.ppid) \(.uid) \(.s) \(.threads) \(.vsz_bytes) \(.rss_bytes) \(.comm) \(.args)"' \
		"$T/json" >"$T/ours"
	[[ -s $T/theirs ]]
	assert_same "$(<"$T/theirs")" "$(<"$T/ours")"
	jq -e '.processes[] | select(.pid == 2) | .comm == "kthreadd" and .args == null and .rss_bytes == 0' "$T/json"
	# Numbers are no strings in JSON.
	[[ $(jq -r '[.processes[] | .pid, .start, .time | type] | unique[]' "$T/json") == number ]]
}

@test "vps --json: what the guest's ps says, 5.10" { processes g510; }
@test "vps --json: what the guest's ps says, 6.1" { processes g61; }
@test "vps --json: what the guest's ps says, 7" { processes g7; }

# ---- sockets ----------------------------------------------------------------

# The sockets of the guest's ss: protocol, state, queues, addresses, process.
guest_sockets() {
	in_guest "$1" 'ss -tuanpO' | awk 'NR > 1 {
		state = $2; sub(/ESTAB/, "ESTABLISHED", state); sub(/TIME-WAIT/, "TIME_WAIT", state)
		if (state == "UNCONN") state = "null"
		# For a listener, ss prints the limit of its queue there.
		send = state == "LISTEN" ? 0 : $4
		gsub(/[][]/, "", $5); gsub(/[][]/, "", $6)
		pid = "null"; if (match($0, /pid=[0-9]+/)) pid = substr($0, RSTART + 4, RLENGTH - 4)
		print $1, state, $3, send, $5, $6, pid }' | sed 's/:\*/:0/g; s/ \*:/ :::/g' | sort
}

same_sockets() {
	make_time_wait "$1"
	guest_sockets "$1" >"$T/theirs"
	vnetstat --json -o proto,state,recv_q,send_q,local,lport,peer,pport,pid,comm,uid,inode,fd,type,holders,netns \
		"$2" >"$T/json"
	jq -r '.sockets[] | select(.proto | test("^(tcp|udp)6?$"))
		| "\(.proto | sub("6$"; "")) \(.state) \(.recv_q) \(.send_q) \(.local):\(.lport) \(.peer):\(.pport) \(.pid)"' \
		"$T/json" | sort >"$T/ours"
	assert_same "$(<"$T/theirs")" "$(<"$T/ours")"
}

sockets() {
	need_guest "$1"
	make_state "$1"
	local g line
	g=$(guest "$1")
	# The socket in TIME_WAIT may end between the two lists.
	tries 3 same_sockets "$1" "$g"
	# The socket of make_time_wait is listed, and belongs to no process.
	grep -q '^tcp TIME_WAIT .* null$' "$T/ours" || fail "no TIME_WAIT: $(<"$T/ours")"
	jq -e '.sockets[] | select(.lport == 5556) | .proto == "tcp6" and .local == "::" and .comm == "nc"' "$T/json"
	# Inodes, users and the network namespace are those of /proc.
	in_guest "$1" 'cat /proc/net/tcp /proc/net/udp' | awk '$1 ~ /^[0-9]+:$/ && $10 { print $8, $10 }' | sort >"$T/theirs"
	jq -r '.sockets[] | select((.proto == "tcp" or .proto == "udp") and .inode) | "\(.uid) \(.inode)"' \
		"$T/json" | sort >"$T/ours"
	assert_same "$(<"$T/theirs")" "$(<"$T/ours")"
	line=$(in_guest "$1" 'readlink /proc/1/ns/net')
	jq -e --arg ns "$line" '.sockets[] | select(.lport == 4242 and .state == "LISTEN") | "net:[\(.netns)]" == $ns' \
		"$T/json"
	# Unix: by inode and path.
	in_guest "$1" 'cat /proc/net/unix' | awk 'NR > 1 { print $7, $8 ? $8 : "null" }' | sort >"$T/theirs"
	jq -r '.sockets[] | select(.proto == "unix") | "\(.inode) \(.local)"' "$T/json" | sort >"$T/ours"
	assert_same "$(<"$T/theirs")" "$(<"$T/ours")"
	jq -e '.sockets[] | select(.local == "/tmp/factory.sock" and .state == "LISTEN")
		| .type == "stream" and .holders == 1 and .fd > 2' "$T/json"
}

@test "vnetstat --json: what the guest's ss says, 5.10" { sockets g510; }
@test "vnetstat --json: what the guest's ss says, 6.1" { sockets g61; }
@test "vnetstat --json: what the guest's ss says, 7" { sockets g7; }

# ---- files ------------------------------------------------------------------

# lsof's fields, as "PID FD TYPE NODE NAME", of processes that stay.
guest_files() {
	in_guest "$1" 'lsof -nP -F pcftin 2>/dev/null' | awk '
		function out() { if (f != "" && name ~ "^(sleep|sleeper|cat|listener|init|container-init)$")
			print pid, f, type, node, n; f = "" }
		/^p/ { out(); pid = substr($0, 2) } /^c/ { name = substr($0, 2) }
		/^f/ { out(); f = substr($0, 2); type = node = n = "-" } /^t/ { type = substr($0, 2) }
		/^i/ { node = substr($0, 2) } /^n/ { n = substr($0, 2) } END { out() }' |
		grep -E '^[0-9]+ ([0-9]+|cwd|rtd|txt) '
}

files() {
	need_guest "$1"
	make_state "$1"
	local g
	g=$(guest "$1")
	# lsof names sockets differently. The tests of vnetstat compare them.
	guest_files "$1" | grep -vE ' (IPv4|IPv6|unix) ' | sed 's/ -1* / - /; s/^\(.* FIFO [0-9]*\) pipe$/\1 pipe/' |
		sort >"$T/theirs"
	vlsof --json -o pid,comm,use,fd,type,node,name,mode,deleted,pos,size,device "$g" >"$T/json"
	jq -r '.files[] | select(.comm | test("^(sleep|sleeper|cat|listener|init|container-init)$"))
		| select(.type | test("^(IPv4|IPv6|unix)$") | not)
		| "\(.pid) \(if .use == "fd" then .fd else .use end) \(.type) \(.node) \(if .type == "FIFO" and (.name | test("^pipe:")) then "pipe" else .name end)"' \
		"$T/json" | sort >"$T/ours"
	[[ $(wc -l <"$T/theirs") -gt 100 ]]
	assert_same "$(<"$T/theirs")" "$(<"$T/ours")"
	jq -e '.files[] | select(.name == "/tmp/gone (deleted)") | .deleted and .fd == 5 and .mode == "w"' "$T/json"
	jq -e '.files[] | select(.name == "/tmp/deep/er/file") | .mode == "u" and .size == 2' "$T/json"
	jq -e '.files[] | select(.name == "/mnt/in-mount" and .fd == 7) | .deleted == false' "$T/json"
	jq -e '.files[] | select(.use == "cwd" and .name == "/mnt") | .type == "DIR"' "$T/json"
	jq -e '[.files[] | select(.name | test("^pipe:\\["))] | length >= 2' "$T/json"
	jq -e '.files[] | select(.name == "127.0.0.1:4242 (LISTEN)") | .type == "IPv4"' "$T/json"
	jq -e '.files[] | select(.name == "/dev/null") | .device == "1,3" and .type == "CHR"' "$T/json"
}

@test "vlsof --json: what the guest's lsof says, 5.10" { files g510; }
@test "vlsof --json: what the guest's lsof says, 6.1" { files g61; }
@test "vlsof --json: what the guest's lsof says, 7" { files g7; }

# ---- all of them ------------------------------------------------------------

RAW=(vps vlsmod vlsof vnetstat vfree vuname vss vip vdmesg vuptime)

@test "several guests, one of which is not there; columns, order, text" {
	need_guest g61 g7
	local a first second
	first=$(guest g61) second=$(guest g7)
	for a in "${RAW[@]}"; do
		run --separate-stderr "$a" --json "$first" qemu:1 "$second"
		assert_status 3
		[[ ${#stderr_lines[@]} -eq 1 && $stderr == "$a: qemu:1: "* ]] || fail "$a: $stderr"
		assert_same "$(printf '%s\n' "$(guest_label g61)" "$(guest_label g7)" | sort)" \
			"$(jq -r '[.[][].guest] | unique[]' <<<"$output" | sort)"
		run --separate-stderr "$a" -J qemu:1
		assert_status 3
		[[ $(jq -c '[.[]]' <<<"$output") == '[[]]' ]] || fail "$a: $output"
		# The table has as many rows as the JSON.
		run --separate-stderr "$a" --engine=imee --no-headers "$first"
		assert_status 0
		[[ ${#lines[@]} -eq $("$a" --json "$first" | jq '.[] | length') ]] || [[ $a != vuname && $a != vfree && $a != vlsmod ]]
		run --separate-stderr "$a" --json "$first" -zz
		assert_status "$( [[ $a == vnetstat ]] && echo 3 || echo 1)"
		[[ $stderr == *"leave one of the two out"* ]] || fail "$a: $stderr"
		run --separate-stderr "$a" --no-headers "$first"
		[[ $status -ne 0 && $stderr == *"goes with --json"* ]] || fail "$a: $stderr"
		run --separate-stderr "$a" --engine=vmst --json "$first"
		[[ $status -ne 0 && -z $output && $stderr == *"vmst"* ]] || fail "$a: $stderr"
	done
	[[ $(vuname --json --all | jq --arg g "$(guest_label g7)" '[.kernels[] | select(.guest == $g)] | length') == 1 ]]
	[[ $(vnetstat --engine=imee --no-headers -o lport --sort -lport "$first" | head -n 1) -gt 4242 ]]
}

@test "a guest has one name, whatever it was called" {
	need_guest g61
	local g name
	g=$(guest g61) name=$(guest_label g61)
	assert_same "$name" "$(vuname -J "$g" | jq -r '.kernels[0].guest')"
	assert_same "$name" "$(vlist -J "$g" | jq -r '.guests[0].guest')"
	assert_same "$name" "$(vpeek -J "$g" init_task.comm | jq -r '.places[0].guest')"
	assert_same "$name" "$(vtop -b -J -n 1 "$g" | jq -r '.guests[0].guest')"
	assert_same "$name" "$(vwatch --json --duration 1 "$g" | head -n 1 | jq -r .guest)"
	assert_same "$name" "$(vpidlist -o guest=,pid= "$g" | awk 'NR == 1 { print $1 }')"
	assert_same "$name" "$(vuname -J "qmp:$VLENS_TEST_RUN/g61/qmp.sock" | jq -r '.kernels[0].guest')"
	# That is the label of vlens export, which looks at the guests that it exports.
	assert_same g61 "$(vlens export --once "$g" | sed -n 's/^vlens_guest_up{guest="\([^"]*\)"} 1$/\1/p')"
	# Another QEMU of the same name: the name is no answer.
	(exec -a qemu-system-x86_64 sh -c 'sleep 60; :' -name g61 -qmp unix:/no) 3>&- &
	sleep 0.3
	[[ $name != g61 ]] || assert_same "$g" "$(vuname -J "$g" | jq -r '.kernels[0].guest')"
	kill $!
}

@test "numbers up to 2^53, strings beyond, and lists" {
	need_guest g61
	local g
	g=$(guest g61)
	in_guest g61 'truncate -s 9007199254740992 /tmp/exact; truncate -s 9007199254740993 /tmp/beyond
		(exec 5</tmp/exact 6</tmp/beyond; exec sleep 100000) </dev/null >/dev/null 2>&1 &'
	eventually 30 sees_exact "$g"
	assert_same '[["beyond","string","9007199254740993"],["exact","number","9007199254740992"]]' \
		"$(vlsof -J "$g" | jq -c '[.files[] | select(.name | . == "/tmp/exact" or . == "/tmp/beyond") |
			[(.name | sub("/tmp/"; "")), (.size | type), (.size | tostring)]] | sort')"
	in_guest g61 'pkill -f "^sleep 100000"; rm -f /tmp/exact /tmp/beyond /run/json-state'
	# Users of a module.
	vlsmod -J "$g" | jq -e '.modules | all(.by | type == "array") and (map(select(.module == "llc"))[0].by | sort) == ["bridge", "stp"]' ||
		fail "$(vlsmod -J "$g" | jq -c '.modules[] | [.module, .by]')"
	assert_same "$(in_guest g61 lsmod | awk '$1 == "stp" { print $4 }')" \
		"$(vlsmod --engine=imee --no-headers -o module,by "$g" | awk '$1 == "stp" { print $2 }')"
}
sees_exact() { vlsof -J "$1" | jq -e '.files[] | select(.name == "/tmp/beyond")' >/dev/null; }

# ---- uptime, ss, dmesg, ip ----------------------------------------------------

more_views() {
	need_guest "$1"
	local g up boot
	g=$(guest "$1")
	up=$(in_guest "$1" 'cut -d" " -f1 /proc/uptime')
	vuptime -J "$g" >"$T/up"
	jq -e --argjson up "$up" '.uptime[0] | .uptime >= $up - 5 and .uptime < $up + 120 and
		(.load_one | type) == "number" and .load_fifteen <= 100' "$T/up" || fail "$up: $(<"$T/up")"
	boot=$(in_guest "$1" "awk '/^btime/ { print \$2 }' /proc/stat")
	near "$boot" "$(jq '.uptime[0].booted' "$T/up")" 2
	# The same sockets as netstat's view, with their namespaces.
	assert_same "$(vnetstat -J "$g" | jq -c '.sockets[] | select(.lport == 4242) | del(.timestamp)')" \
		"$(vss -J "$g" | jq -c '.sockets[] | select(.lport == 4242) | del(.timestamp)')"
	assert_same "$(in_guest "$1" 'readlink /proc/1/ns/net')" \
		"net:[$(vss --engine=imee --no-headers -o lport,state,netns "$g" | awk '$1 == 4242 && $2 == "LISTEN" { print $3 }')]"
	# The log, but for what is written meanwhile.
	in_guest "$1" 'echo "<30>vlens: of a daemon" >/dev/kmsg; dmesg -r' >"$T/raw"
	vdmesg -J "$g" >"$T/dmesg"
	sed -n 's/^<\([0-9]*\)>\[ *\([0-9.]*\)\] \(.*\)$/\1 \2 \3/p' "$T/raw" | head -n 200 >"$T/theirs"
	[[ $(wc -l <"$T/theirs") -eq 200 ]]
	jq -r '.dmesg[] | "\(.priority) \(.time) \(.msg | split("\n")[0])"' "$T/dmesg" |
		awk '{ $2 = sprintf("%.6f", $2); print }' | head -n 200 >"$T/ours"
	assert_same "$(awk '{ $2 = $2; print }' "$T/theirs")" "$(awk '{ $2 = $2; print }' "$T/ours")"
	jq -e '.dmesg | map(.seq) | . == sort and length == (unique | length)' "$T/dmesg"
	jq -e '.dmesg[] | select(.msg == "vlens: of a daemon") | .facility == "daemon" and .level == "info" and .priority == 30' "$T/dmesg"
	# Interfaces: one with addresses of both kinds, and one in a namespace of its own.
	in_guest "$1" '[ -e /sys/class/net/vj0 ] || { ip link add vj0 type dummy && ip addr add 192.0.2.7/24 dev vj0 &&
		ip addr add 198.51.100.1/32 dev vj0 && ip addr add 2001:db8::7/64 dev vj0 nodad; ip link set vj0 up; ip link add vj1 type dummy; }'
	vip -J "$g" >"$T/links"
	in_guest "$1" 'ip -o link show vj0; ip -o addr show vj0' >"$T/ip"
	# One that is not up is down, whatever its operstate is.
	assert_same "$(in_guest "$1" 'ip -o link' | sed -n 's/^[0-9]*: \(vj[01]\)[:@].* state \([A-Z]*\) .*/\1 \2/p' | sort)" \
		"$(jq -r '.interfaces[] | select(.ifname | . == "vj0" or . == "vj1") | "\(.ifname) \(.operstate)"' "$T/links" | sort)"
	jq -r '.interfaces[] | select(.ifname == "vj0") | .addresses[] | select(startswith("fe80") | not)' "$T/links" | sort >"$T/ours"
	assert_same "$(awk '$3 ~ /^inet/ && $4 !~ /^fe80/ { print $4 }' "$T/ip" | sort)" "$(<"$T/ours")"
	[[ $(wc -l <"$T/ours") -eq 3 ]]
	assert_same "$(sed -n '1s/.*<\(.*\)>.*/\1/p' "$T/ip")" "$(jq -r '.interfaces[] | select(.ifname == "vj0").flags | join(",")' "$T/links")"
	assert_same "$(sed -n '1s,.*link/ether \([0-9a-f:]*\).*,\1,p' "$T/ip")" "$(jq -r '.interfaces[] | select(.ifname == "vj0").address' "$T/links")"
	jq -e '.interfaces[] | select(.ifname == "lo") | .mtu == 65536 and .link_type == "loopback" and (.flags | index("LOOPBACK"))' "$T/links"
	assert_same "$(in_guest "$1" 'ls /sys/class/net' | sort)" \
		"$(jq -r --argjson ns "$(in_guest "$1" 'readlink /proc/1/ns/net' | tr -dc 0-9)" '.interfaces[] | select(.netns == $ns).ifname' "$T/links" | sort)"
}

@test "vuptime, vss, vdmesg, vip --json: what the guest says, 5.10" { more_views g510; }
@test "vuptime, vss, vdmesg, vip --json: what the guest says, 6.1" { more_views g61; }
@test "vuptime, vss, vdmesg, vip --json: what the guest says, 7" { more_views g7; }

@test "a dump gives the same JSON as its guest" {
	need_guest g7
	local a d=$T/d.elf
	make_state g7
	qmp g7 stop >/dev/null
	for a in "${RAW[@]}"; do
		"$a" --json "$(guest g7)" >"$T/$a"
	done
	chmod 777 "$T"
	qmp g7 dump-guest-memory "{\"paging\": false, \"protocol\": \"file:$d\"}" >/dev/null
	qmp g7 cont >/dev/null
	for a in "${RAW[@]}"; do
		# They differ in their names, and a file has no time.
		assert_same "$(jq 'del(.[][] | .guest, .timestamp)' "$T/$a")" \
			"$("$a" --json "$d" | jq 'del(.[][] | .guest, .timestamp)')"
		[[ $("$a" --json "$d" | jq -c '[.[][].timestamp] | unique') == '[null]' ]]
	done
	rm -f "$d"
}

@test "the one-liners for jq in the manual do what they say" {
	need_guest g61
	export VLENS_TRUST_DIR=$BATS_TEST_TMPDIR/trusted
	vlens trust add "$VLENS_TEST_RUN/g61/vmlinuz" >/dev/null
	local page line n=0
	for page in "$VT_TESTS"/../man/*.1; do
		while IFS= read -r line; do
			# As man shows it: \(aq is ', \(dq is ", \- is -, \e is \.
			line=${line#.B }
			# Hosts are needed for that: 79-remote.bats.
			[[ $line != vlens\ fleet* ]] || continue
			line=${line//\\(aq/\'} line=${line//\\(dq/\"} line=${line//\\-/-} line=${line//\\e/\\}
			line=${line//web1/$(guest g61)}
			# Other guests of this machine come and go: --all becomes this guest, twice.
			[[ $line == vtop* || $line == vlist* || $line == vlens* ]] || line=${line//--all/$(guest g61) $(guest g61)}
			run --separate-stderr timeout 120 bash -c "set -o pipefail; $line"
			[[ $status -eq 0 || $line == vlens\ doctor* || $line == vtop* || $line == vlist* ]] || fail "${page##*/}: $line: $status: $stderr"
			[[ $stderr != *jq:* ]] || fail "${page##*/}: $line: $stderr"
			# This guest has no systemd.
			[[ -n $output || $line == *deleted* || $line == *doctor* || $line == vunits* ]] || fail "${page##*/}: $line: says nothing"
			n=$((n + 1))
		done < <(grep -E '^\.B v.*\| jq ' "$page")
	done
	[[ $n -ge 10 ]] || fail "only $n"
}
