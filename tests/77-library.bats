#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The installed libvlens, used by programs outside of this tree. Their items are those that the tools
# print as JSON, of a running server and of a dump of it.

# shellcheck disable=SC2016,SC2154 # commands for the guest; run sets variables

load lib/vlens

ID=3f2a0123456789abcdef0123456789abcdef0123456789abcdef0123456789ac

setup_file() {
	# Only root can make the server's file system.
	[[ $(id -u) -eq 0 ]] || skip "not root"
	[[ -e $VLENS_BUILD/Makefile ]] || skip "$VLENS_BUILD is no build directory"
	export T=$BATS_FILE_TMPDIR ROOT=$BATS_FILE_TMPDIR/root
	make -s -C "$VLENS_BUILD" DESTDIR="$ROOT" install >"$T/install.log" 2>&1 ||
		fail "$(tail "$T/install.log")"
	LIBDIR=$(dirname "$(find "$ROOT" -name libvlens.so)")
	export LIBDIR LD_LIBRARY_PATH=$LIBDIR
	# Of Debian's Python, for which it is built.
	PYTHONPATH=$(dirname "$(dirname "$(find "$ROOT" -path '*/vlens/__init__.py')")")
	export PYTHONPATH PATH=/usr/bin:$PATH PYTHONDONTWRITEBYTECODE=1
	build items "$VT_TESTS/lib/items.c"
	need_guest server
	# A container with a name that drives a terminal, and one that looks like Docker's.
	in_guest server "
		box() { mkdir -p \"\$1\"; setsid sh -c \"echo \\\$\\\$ >'\$1/cgroup.procs'; exec unshare -u sleep 8888\" \
			>/dev/null 2>&1 </dev/null & }
		cd /sys/fs/cgroup
		if [ ! -e system.slice/docker-$ID.scope ]; then
			box system.slice/docker-$ID.scope
			box \"lxc.payload.\$(printf '\\033[2Jbad')\"
			# A name that drives a terminal, and that HTML would take for its own.
			cp /bin/sleep \"\$(printf '/run/<i>&\\033[2J')\"
			setsid /run/'<i>'* 8889 >/dev/null 2>&1 </dev/null &
		fi
		until [ \$(pgrep -xfc 'sleep 8888') -ge 2 ] && pgrep -f '^/run/.* 8889'; do sleep 0.2; done
	"
	dump_guest server "$T/dump.elf"
}

teardown_file() {
	# Other tests count the containers of this guest.
	in_guest server "
		pkill -f '^/run/.* 8889'; rm /run/'<i>'*
		pkill -xf 'sleep 8888'
		while pgrep -xf 'sleep 8888' >/dev/null; do sleep 0.1; done
		cd /sys/fs/cgroup && rmdir system.slice/docker-$ID.scope lxc.payload.*bad
	" || true
}

# build NAME FILE...: a program with the installed library.
build() {
	local name=$1
	shift
	# shellcheck disable=SC2046 # words
	PKG_CONFIG_SYSROOT_DIR=$ROOT PKG_CONFIG_PATH=$LIBDIR/pkgconfig \
		bash -c 'cc -Wall -Wextra -Werror -o "$@" $(pkg-config --cflags --libs vlens)' \
		build "$T/$name" "$@"
}

# tool KIND GUEST: what the tool of that kind prints, all columns, one row a line.
tool() {
	local words columns
	case $1 in
	process) words=(vps) ;;
	socket) words=(vnetstat) ;;
	module) words=(vlsmod) ;;
	file) words=(vlsof) ;;
	memory) words=(vfree) ;;
	container) words=(vps --containers) ;;
	esac
	columns=$(vlens complete columns "${words[0]}" | paste -sd ,)
	[[ $1 != container ]] ||
		columns=runtime,name,processes,rss_bytes,start,pid,comm,pod,unit,full_id,cgroup,netns
	"${words[@]}" --json -o "$columns" "$2" |
		jq -cS '.[][] | del(.guest, .timestamp, .schema) | if .by then .by |= join(",") else . end' | sort
}

# library KIND FILE: the rows of that kind in the output of the program.
library() { jq -cS "select(.kind == \"$1\") | del(.kind)" "$2" | sort; }

# of_dump KIND LEAST: all rows, all members.
of_dump() {
	[[ -s $T/of-dump ]] || "$T/items" "$T/dump.elf" >"$T/of-dump"
	library "$1" "$T/of-dump" >"$T/ours"
	tool "$1" "$T/dump.elf" >"$T/theirs"
	[[ $(wc -l <"$T/ours") -ge $2 ]] || fail "only $(wc -l <"$T/ours") rows"
	diff "$T/theirs" "$T/ours" >&2
}

# of_guest KIND LEAST: the rows that the tool prints before and after.
of_guest() {
	local g
	g=$(guest server)
	tool "$1" "$g" >"$T/before"
	"$T/items" "$g" >"$T/all"
	tool "$1" "$g" >"$T/after"
	library "$1" "$T/all" >"$T/ours"
	comm -12 "$T/before" "$T/after" >"$T/still"
	[[ $(wc -l <"$T/still") -ge $2 ]] || fail "only $(wc -l <"$T/still") rows stay the same"
	[[ -z $(comm -23 "$T/still" "$T/ours") ]] ||
		fail "the library lacks" "$(comm -23 "$T/still" "$T/ours" | head -n 3)"
}

@test "items of a dump: processes" { of_dump process 60; }
@test "items of a dump: sockets" { of_dump socket 20; }
@test "items of a dump: modules" { of_dump module 10; }
@test "items of a dump: files" { of_dump file 100; }
@test "items of a dump: memory" { of_dump memory 1; }
@test "items of a dump: containers" { of_dump container 2; }

@test "items of a running guest: processes" { tries 3 of_guest process 40; }
@test "items of a running guest: sockets" { tries 3 of_guest socket 20; }
@test "items of a running guest: modules" { tries 3 of_guest module 10; }
@test "items of a running guest: files" { tries 3 of_guest file 100; }
@test "items of a running guest: containers" { tries 3 of_guest container 2; }
@test "items of a running guest: memory" {
	# Its free memory moves, and its total does not.
	local total
	total=$("$T/items" "$(guest server)" | jq 'select(.kind == "memory").total_bytes')
	assert_same "$(in_guest server 'free -b' | awk '/^Mem/ { print $2 }')" "$total"
}

@test "items: a guest that is not there is an error of one line" {
	run --separate-stderr "$T/items" no-such-guest
	assert_status 1
	[[ -z $output && ${#stderr_lines[@]} -eq 1 && $stderr == *"; "* ]] || { show_run; false; }
}

@test "the examples in C" {
	local example
	for example in "$VT_TESTS"/../examples/*.c; do
		build example "$example"
	done
	build processes "$VT_TESTS/../examples/processes.c"
	run --separate-stderr "$T/processes" "$T/dump.elf"
	assert_status 0
	assert_same "$(vps --json "$T/dump.elf" | jq -r '.processes[].pid')" "$(awk '{ print $1 }' <<<"$output")"
	[[ $output == *"nginx: master process"* ]]
}

# ---- Python -----------------------------------------------------------------

need_python() {
	[[ -n $PYTHONPATH ]] && return
	# CI installs what it needs.
	[[ ${CI:-} != true ]] || fail "the build has no Python module"
	skip "the build has no Python module"
}

@test "Python: all items and members of a dump, objects by type, errors, threads, HTML" {
	need_python
	[[ -s $T/of-dump ]] || "$T/items" "$T/dump.elf" >"$T/of-dump"
	run python3 "$VT_TESTS/lib/binding.py" "$T/dump.elf" "$T/of-dump" "$VT_TESTS/../src/libvlens.sym"
	[[ $status -eq 0 && $output == *OK ]] || { show_run; fail "$output"; }
}

# The listeners, as ss prints them in the guest: protocol, address, port.
heard() {
	in_guest server "ss -Htuln" | awk '$1 ~ /^(tcp|udp)$/ { n = split($5, a, ":"); port = a[n]
		address = substr($5, 1, length($5) - length(port) - 1); gsub(/[][]/, "", address)
		sub(/%.*/, "", address)
		print $1 (address ~ /:/ || address == "*" ? "6" : ""), address == "*" ? "::" : address, port }' | sort
}

@test "Python: examples/listeners.py of all guests" {
	need_python
	local g
	g=$(guest server)
	run --separate-stderr python3 "$VT_TESTS/../examples/listeners.py"
	[[ $status -eq 0 || $status -eq 3 ]] || { show_run; false; }
	assert_same "$(heard)" "$(awk -v g="$g" '$1 == g { print $2, $3, $4 }' <<<"$output" | sort)"
	grep -qE "^$g +tcp +0.0.0.0 +80 +[0-9]+ +nginx " <<<"$output" || { show_run; false; }
	run --separate-stderr python3 "$VT_TESTS/../examples/listeners.py" "$g" /no/such/dump
	assert_status 3
	[[ $stderr == "/no/such/dump: "* && ${#lines[@]} -gt 4 ]] || { show_run; false; }
}

@test "Python: examples/rss-alert.py" {
	need_python
	local g pid
	g=$(guest server)
	run --separate-stderr python3 "$VT_TESTS/../examples/rss-alert.py" "$g" --limit 100000
	assert_status 0
	[[ -z $output ]]
	# A process that eats memory, between two looks.
	python3 "$VT_TESTS/../examples/rss-alert.py" --limit 50 --interval 0.2 "$g" >"$T/alerts" 3>&- 4>&- &
	pid=$!
	in_guest server 'setsid perl -e "\$x = q(x) x 60000000; sleep 600" >/dev/null 2>&1 </dev/null &'
	eventually 60 grep -q '"comm": "perl"' "$T/alerts" || { kill "$pid"; fail "$(<"$T/alerts")"; }
	sleep 0.6
	kill "$pid"
	assert_same 1 "$(jq -s 'map(select(.comm == "perl" and .rss > 50 * 1048576)) | length' "$T/alerts")"
	run --separate-stderr python3 "$VT_TESTS/../examples/rss-alert.py" --limit 50 "$g"
	assert_status 1
	in_guest server 'pkill perl; true'
}

@test "Python: examples/task.py" {
	need_python
	local g pid parent
	g=$(guest server)
	pid=$(in_guest server 'pgrep -f "nginx: worker" | head -n 1')
	parent=$(in_guest server "ps -o ppid= -p $pid" | tr -d ' ')
	run --separate-stderr python3 "$VT_TESTS/../examples/task.py" "$g" "$pid"
	assert_status 0
	grep -qx 'comm         nginx' <<<"$output" || { show_run; false; }
	grep -qx 'uid          33' <<<"$output" || { show_run; false; }
	grep -qx 'arguments    nginx: worker process' <<<"$output" || { show_run; false; }
	grep -qx "parents      $parent (nginx) <- 1 (systemd) <- 0 (swapper/0)" <<<"$output" || { show_run; false; }
	grep -qx "areas        $(in_guest server "wc -l </proc/$pid/maps" | awk '{ print $1 - 1 }')" <<<"$output" ||
		grep -qx "areas        $(in_guest server "wc -l </proc/$pid/maps")" <<<"$output" || { show_run; false; }
	run --separate-stderr python3 "$VT_TESTS/../examples/task.py" "$g" 99999
	assert_status 1
}
