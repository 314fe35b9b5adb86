#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Many tools at once; monitors that are busy, in other namespaces, or hostile.

# shellcheck disable=SC2154 # run sets variables

setup_file() {
	bats_require_minimum_version 1.5.0
}

setup() {
	load lib/vlens
	T=$BATS_TEST_TMPDIR
}

teardown() {
	[[ ! -e $T/pids ]] || xargs -r kill -9 <"$T/pids" 2>/dev/null || true
}

# Gives the tools an empty cache and an empty run folder.
cold() {
	rm -rf "$T/cache" "$T/run"
	export VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run
}

# at_once GUEST...: runs twenty tools of all kinds at the same time, on the guests in turn. All
# have to answer.
at_once() {
	local i guest tool guests=("$@") tools=(
		"vps -ef" "vfree" "vlsmod" "vuname -a" "vpslist" "vuptime" "vls /tmp"
		"vcat /proc/cmdline" "vss -tln" "vsyscalldump" "vdate" "vmem" "vexec hostname"
		"vps --keep=0 -e" "vps --pause=suspend -e" "vps --json" "vlist" "vtop -bn1"
		"vpeek init_task.pid" "vfree --keep=0"
	)
	local jobs=()
	for i in "${!tools[@]}"; do
		guest=${guests[i % ${#guests[@]}]}
		# shellcheck disable=SC2206 # words
		tool=(${tools[i]})
		case ${tool[*]} in
		v*' --'* | 'vtop '*) tool=("${tool[0]}" "${tool[1]}" "$guest" "${tool[@]:2}") ;;
		*) tool=("${tool[0]}" "$guest" "${tool[@]:1}") ;;
		esac
		timeout 120 "${tool[@]}" >"$T/$i.out" 2>"$T/$i.err" 3>&- &
		jobs[i]=$!
	done
	for i in "${!tools[@]}"; do
		wait "${jobs[i]}" || fail "${tools[i]}: status $?" "$(cat "$T/$i.err")"
		[[ -s $T/$i.out ]] || fail "${tools[i]}: prints nothing"
	done
}

# ---- many at once -------------------------------------------------------------

@test "twenty tools at once, of a guest that none of them knows" {
	need_guest g61
	cold
	at_once "$(guest g61)"
	cold
	at_once "$(guest g61)" "qmp:$VLENS_TEST_RUN/g61/qmp.sock" "qmp:$VLENS_TEST_RUN/g61/qmp2.sock"
	assert_runs g61 5
}

@test "twenty tools at once, of a guest that is known" {
	need_guest g61
	vuname "$(guest g61)" >/dev/null
	at_once "$(guest g61)" "qmp:$VLENS_TEST_RUN/g61/qmp.sock"
	assert_runs g61 5
}

@test "a second contact by the socket does not connect to it" {
	need_guest g61
	vuname "qmp:$VLENS_TEST_RUN/g61/qmp.sock" >/dev/null
	occupy "$VLENS_TEST_RUN"/g61/qmp{,2}.sock
	[[ $(vuname --keep=0 "qmp:$VLENS_TEST_RUN/g61/qmp.sock" -n) == g61 ]]
	[[ $(vpeek "qmp:$VLENS_TEST_RUN/g61/qmp.sock" init_task.pid) == *0* ]]
}

@test "one monitor is somebody else's: the second is asked" {
	need_guest g61
	occupy "$VLENS_TEST_RUN/g61/qmp.sock"
	cold
	[[ $(vuname "$(guest g61)" -n) == g61 ]]
	cold
	[[ $(vuname "qmp:$VLENS_TEST_RUN/g61/qmp.sock" -n) == g61 ]]
}

# Thirty tools at the same time on a guest that cannot be opened.
thirty_at_once() {
	local i jobs=()
	for i in {0..29}; do
		timeout 200 vuname "$1" -n 2>"$T/$i.err" 3>&- &
		jobs[i]=$!
	done
	for i in {0..29}; do
		wait "${jobs[i]}" && fail "$i: it has an answer"
	done
	return 0
}

@test "both monitors are somebody else's: one line, soon" {
	need_guest g61
	local guest start
	occupy "$VLENS_TEST_RUN"/g61/qmp{,2}.sock
	for guest in "$(guest g61)" "qmp:$VLENS_TEST_RUN/g61/qmp.sock"; do
		cold
		start=$SECONDS
		run --separate-stderr timeout 60 vuname "$guest" -n
		assert_refused vuname "$guest" "the monitor is busy with another client, process "
		[[ $((SECONDS - start)) -le 30 ]]
	done
	# Thirty tools share their waits for the monitors.
	local i
	cold
	start=$SECONDS
	thirty_at_once "qemu:$(guest_pid g61)"
	for i in {0..29}; do
		grep -q "the monitor is busy" "$T/$i.err"
	done
	# One after the other they would wait for 66 s. The limit includes the time to start them.
	[[ $((SECONDS - start)) -le 45 ]]
	occupied_no_more
	assert_runs g61 5
}

# ---- what is left behind ------------------------------------------------------

@test "a first attach removes files of guests and keepers that are gone, but no lock in use" {
	need_guest g61
	cold
	local boot run gone="" kept="" file key=0123456789abcdef
	boot=$(head -c 8 /proc/sys/kernel/random/boot_id)
	run=qemu-$$-1-$boot # another process, by its start time
	mkdir -m 700 "$T/run"
	for file in "$run".{ram,attach,pulse} "$run"-first.lock qemu-999999999-5-$boot.ram \
		qemu-1-0-00000000.ram keep-$key.{0,1}.lock keep-$key.1.sock domain-$key.lock; do
		touch "$T/run/$file"
		gone+=" $file"
	done
	printf '%-255s\n' "$$ $run 0 0 0" >"$T/run/monitor-unix-1-2-3.4.lock"
	printf 'vlens-domain 1\nx\n\n\n%s %s u\n' $$ "$run" >"$T/run/$key.dom"
	gone+=" monitor-unix-1-2-3.4.lock $key.dom"
	for file in "$run"-held.lock keep-$key.2.lock monitor-unix-5-6-7.8.lock; do
		cp "$T/run/monitor-unix-1-2-3.4.lock" "$T/run/$file"
		kept+=" $file"
	done
	(for file in $kept; do exec {fd}<"$T/run/$file"; flock "$fd"; done; touch "$T/locked"
		exec sleep 600 3>&-) &
	echo $! >>"$T/pids"
	disown
	eventually 60 test -e "$T/locked"
	[[ $(vuname "$(guest g61)" -n) == g61 ]]
	for file in $gone; do
		[[ ! -e $T/run/$file ]] || fail "$file is still there"
	done
	for file in $kept; do
		[[ -e $T/run/$file ]] || fail "$file is gone"
	done
}

@test "the cache has a limit, and drops the files that were not used for the longest time" {
	need_guest g61
	cold
	local old new own key
	mkdir -m 755 "$T/cache"
	old=$(printf a%.0s {1..64}) new=$(printf b%.0s {1..64})
	truncate -s 120M "$T/cache"/{"$old","$new"}.kernel
	truncate -s 140M "$T/cache"/{"$old","$new"}.btf
	touch -d "2 days ago" "$T/cache/$old".*
	touch -d "yesterday" "$T/cache/$new".*
	[[ $(vuname "$(guest g61)" -n) == g61 ]]
	key=("$T/cache"/*.kernel)
	[[ ! -e $T/cache/$old.kernel && ! -e $T/cache/$old.btf ]]
	[[ -e $T/cache/$new.kernel && -e $T/cache/$new.btf ]]
	for own in "${key[@]}"; do
		[[ $own == *$new.kernel || -e ${own%.kernel}.btf ]]
	done
	[[ ${#key[@]} -eq 2 ]]
}

# ---- elsewhere ----------------------------------------------------------------

# apart UNSHARE-OPTIONS -- QEMU-OPTIONS: starts a QEMU ($apart) with no guest in it, in
# namespaces of its own, in which its folder is $T/apart.
apart() {
	local options=()
	while [[ $1 != -- ]]; do options+=("$1"); shift; done
	shift
	mkdir -p "$T/apart"
	# shellcheck disable=SC2016 # that shell's own
	unshare "${options[@]}" --mount --propagation private sh -c '
		mount -t tmpfs none "$1" && cd "$1" && shift && exec "$@"' - "$T/apart" \
		qemu-system-x86_64 -S -m 32 -display none -nodefaults "$@" 3>&- &
	child=$!
	disown
	eventually 60 find_apart "$child"
	echo "$apart" >>"$T/pids"
	eventually 60 sees "qemu:$apart"
}

# sees GUEST: its memory is found. (There is no kernel in it.)
sees() { vmem "$@" 2>"$T/stderr" | grep -q ' 32\.0M\|RAM\|ram'; }

# Its process: the child, or the child's child where there is a namespace for pids.
find_apart() {
	local pid
	for pid in "$1" $(pgrep -P "$1"); do
		[[ $(readlink "/proc/$pid/exe") != */qemu-system-x86_64 ]] || { apart=$pid; return; }
	done
	return 1
}

@test "a QEMU in a mount namespace of its own: its socket, its RAM's file" {
	cold
	apart -- -qmp "unix:$T/apart/qmp,server=on,wait=off" -machine pc,memory-backend=m \
		-object "memory-backend-file,id=m,size=32M,share=on,mem-path=$T/apart/ram"
	[[ ! -e $T/apart/qmp ]]
	vmem "qemu:$apart" >"$T/vmem" 2>/dev/null || true
	cat "$T/vmem"
	grep -q "apart/ram, at 0x0" "$T/vmem"
	cold
	sees "qmp:/proc/$apart/root$T/apart/qmp"
}

@test "a QEMU in a mount namespace: a relative path, and links that lead out of it" {
	local root guest
	apart -- -qmp unix:qmp,server=on,wait=off
	root=/proc/$apart/root$T/apart guest=qemu:$apart
	# On the host the same path is another socket.
	"$VT_TESTS/lib/listen" "$T/other" greeting >"$T/listens" 3>&- &
	echo $! >>"$T/pids"
	disown
	eventually 60 test -s "$T/listens"
	mv "$root/qmp" "$root/real"
	ln -s "$T/other" "$root/qmp"
	cold
	run --separate-stderr timeout 60 vmem "$guest"
	assert_refused vmem "$guest" "socket"
	rm "$root/qmp"
	ln -s real "$root/qmp"
	cold
	sees "$guest"
}

@test "a QEMU in namespaces of its own for processes and the network" {
	cold
	apart --pid --fork --net -- -qmp "unix:$T/apart/qmp,server=on,wait=off"
	sees "qemu:$apart"
	kill -9 "$apart"
	# In a new network namespace the loopback is down, but abstract sockets work.
	cold
	apart --net -- -qmp unix:vlens-test,abstract=on,server=on,wait=off
	sees "qemu:$apart"
	assert_same net "$(readlink "/proc/$apart/ns/net" | tr -d '[]:0-9')"
	[[ $(readlink /proc/self/ns/net) != $(readlink "/proc/$apart/ns/net") ]]
}

@test "a QEMU in a user namespace of its own, as of a container without root" {
	cold
	apart --user --map-root-user --pid --fork -- -qmp "unix:$T/apart/qmp,server=on,wait=off"
	assert_same user "$(readlink "/proc/$apart/ns/user" | tr -d '[]:0-9')"
	[[ $(readlink /proc/self/ns/user) != $(readlink "/proc/$apart/ns/user") ]]
	[[ ! -e $T/apart/qmp ]]
	cold
	sees "qemu:$apart"
	cold
	sees "pid:$apart"
}

@test "QMP over TCP" {
	local port guest
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cold
	apart -- -qmp "tcp:127.0.0.1:$port,server=on,wait=off"
	for guest in "qemu:$apart" "qmp:127.0.0.1:$port" "qmp:tcp:localhost:$port"; do
		cold
		sees "$guest"
	done
	guest=qmp:192.0.2.1:$port
	run --separate-stderr vmem "$guest"
	assert_refused vmem "$guest" "not this host's loopback"
	kill -9 "$apart"
	guest=qmp:127.0.0.1:$port
	run --separate-stderr vmem "$guest"
	assert_refused vmem "$guest" "no QEMU of this host listens"
}

# ---- monitors that do not answer ------------------------------------------------

@test "a hypervisor that somebody stopped: one line, soon, and it stays stopped" {
	local guest
	apart -- -qmp "unix:$T/apart/qmp,server=on,wait=off"
	guest=qemu:$apart
	cold
	kill -STOP "$apart"
	run --separate-stderr timeout 60 vmem "$guest"
	assert_refused vmem "$guest" "process $apart, is stopped"
	[[ $(process_state "$apart") == T ]]
	guest=qmp:/proc/$apart/root$T/apart/qmp
	run --separate-stderr timeout 60 vmem "$guest"
	assert_refused vmem "$guest" "process $apart, is stopped"
	kill -CONT "$apart"
	sees "qemu:$apart"
}

@test "a monitor that sends without end: one line, soon, and within 1 GB of memory" {
	local mode guest=qmp:$T/mon
	cold
	for mode in endless flood events; do
		"$VT_TESTS/lib/listen" "$T/mon" "$mode" >"$T/listens" 3>&- &
		echo $! >>"$T/pids"
		disown
		eventually 60 test -s "$T/listens"
		run --separate-stderr timeout 60 bash -c "ulimit -v 1000000; exec vmem $guest"
		assert_refused vmem "$guest" ""
		occupied_no_more
		rm -f "$T/listens" "$T/mon"
	done
}

@test "a FIFO or a folder in place of a socket, a FIFO in place of a dump: one line each" {
	local guest=qmp:$T/fifo
	mkfifo "$T/fifo"
	run --separate-stderr timeout 60 vmem "$guest"
	assert_refused vmem "$guest" "not a socket"
	guest=qmp:$T
	run --separate-stderr timeout 60 vmem "$guest"
	assert_refused vmem "$guest" "not a socket"
	guest=$T/fifo
	run --separate-stderr timeout 60 vmem "$guest"
	assert_refused vmem "$guest" "not a regular file"
}

@test "somebody else's guest: one line, for its process and for its socket" {
	need_guest g61
	local guest user=(setpriv --reuid 54321 --regid 54321 --clear-groups env -i "PATH=$PATH"
		"VLENS_RUN_DIR=/tmp/vlens-none" "VLENS_CACHE_DIR=/tmp/vlens-none")
	"${user[@]}" test -x "$VLENS_BUILD/vps" || skip "other users cannot enter the build's folder"
	guest=$(guest g61)
	run --separate-stderr "${user[@]}" vmem "$guest"
	assert_refused vmem "$guest" "permission"
	chmod 700 "$VLENS_TEST_RUN/g61/qmp.sock"
	guest=qmp:$VLENS_TEST_RUN/g61/qmp.sock
	run --separate-stderr "${user[@]}" vmem "$guest"
	assert_refused vmem "$guest" "permission"
}

@test "twenty tools, half of them killed in the middle: the others answer, the guest runs" {
	need_guest g61
	local i jobs=() tools=("vps -ef" "vfree" "vlsmod" "vpslist" "vuptime") tool
	cold
	for i in {0..19}; do
		# shellcheck disable=SC2206 # words
		tool=(${tools[i % 5]})
		timeout 120 "${tool[0]}" "$(guest g61)" "${tool[@]:1}" >"$T/$i.out" 2>"$T/$i.err" 3>&- &
		jobs[i]=$!
	done
	for i in {0..19..2}; do
		sleep 0.0$((RANDOM % 10))
		pkill -9 -P "${jobs[i]}" || true
		kill -9 "${jobs[i]}" 2>/dev/null || true
	done
	for i in {1..19..2}; do
		wait "${jobs[i]}" || fail "${tools[i % 5]}: status $?" "$(cat "$T/$i.err")"
		[[ -s $T/$i.out ]]
	done
	assert_runs g61 5
	at_once "$(guest g61)"
}

# ---- names ----------------------------------------------------------------------

@test "a QEMU that libvirt does not manage goes by its name, as vlist shows it" {
	local name=vlens-$$-name guest
	# No domain of libvirt's has this name. Without libvirt nobody could say so.
	"$VT_TESTS/guest/libvirtd" 3>&- 4>&-
	apart -- -name "$name" -qmp unix:qmp,server=on,wait=off
	cold
	vlist | grep -q "^$name "
	sees "$name"
	sees "qemu:$name"
	vlens doctor "$name" | grep -q " kind .* a QEMU without libvirt, $name, process $apart, "
	guest=vlens-$$-nmae
	run --separate-stderr vps "$guest" -e
	assert_refused vps "$guest" "no such domain"
	[[ $stderr == *"did you mean $name?"*vlist* ]] || fail "$stderr"
	# With -c, only that libvirt is asked.
	guest=$name
	run --separate-stderr vps -c test:///default "$guest" -e
	assert_refused vps "$guest" "no such domain on test:///default"
	[[ $stderr != *"did you mean"* ]] || fail "$stderr"
	# A name that two QEMUs have is ambiguous.
	echo "$apart" >"$T/first"
	apart -- -name "$name" -qmp unix:qmp,server=on,wait=off
	guest=$name
	run --separate-stderr vps "$guest" -e
	assert_refused vps "$guest" "QEMUs have this name"
	[[ $stderr == *"qemu:$apart"* && $stderr == *"qemu:$(<"$T/first")"* ]] || fail "$stderr"
}

@test "a misspelt domain: the message has a near match of libvirt's" {
	VLENS_RUN_DIR=$T/run run --separate-stderr vps -c test:///default tset -e
	[[ $(echo "$T"/run/domain-*) == "$T/run/domain-*" ]] || fail "$(ls "$T/run")"
	assert_refused vps tset "no such domain"
	[[ $stderr == *"did you mean test?"*vlist* ]] || fail "$stderr"
	run --separate-stderr vps -c test:///default somethingelse -e
	assert_refused vps somethingelse "no such domain"
	[[ $stderr != *"did you mean"* ]]
}
