#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A domain of qemu:///system with libvirt's defaults, so its memory is anonymous. libvirtd is
# started here if no service manager has started it.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

DOMAIN=vt-dom

setup_file() {
	[[ $(id -u) -eq 0 ]] || skip "only root can start libvirtd"
	"$VT_TESTS/guest/libvirtd" 3>&- 4>&-
	need_guest "$DOMAIN"
}

teardown_file() {
	drop_guest "$DOMAIN"
}

setup() {
	T=$BATS_TEST_TMPDIR
	# shellcheck disable=SC2317 # called by the tests
	virsh() { command virsh -q -c qemu:///system "$@"; }
}

assert_domain_runs() {
	eventually 5 not_stopped "$(guest_pid "$DOMAIN")" || fail "its process is stopped"
	[[ $(virsh domstate "$DOMAIN") == running ]] || fail "it is $(virsh domstate "$DOMAIN")"
}

@test "by name, id and UUID, with -c and without" {
	local g
	for g in "$DOMAIN" "$(virsh domid "$DOMAIN")" "$(virsh domuuid "$DOMAIN")"; do
		[[ $(vuname -c qemu:///system "$g" -n) == "$DOMAIN" ]]
		[[ $(vuname "$g" -n) == "$DOMAIN" ]]
	done
	# Other ways to say the same.
	[[ $(LIBVIRT_DEFAULT_URI=qemu:///system vlens uname "$DOMAIN" -n) == "$DOMAIN" ]]
	assert_domain_runs
}

@test "a domain that runs comes before another QEMU of its name" {
	bash -c 'exec -a qemu-system-x86_64 bash -c "while :; do sleep 1; done" "$@"' - -name "$DOMAIN" \
		3>&- 4>&- &
	fake=$!
	eventually 5 grep -qz -- -name "/proc/$fake/cmdline"
	run --separate-stderr vuname "$DOMAIN" -n
	kill "$fake"
	assert_same "$DOMAIN" "$output"
}

@test "qemu:PID of a domain is refused, with the domain's name: libvirt holds the monitor" {
	local qemu
	qemu=qemu:$(guest_pid "$DOMAIN")
	run --separate-stderr vuname "$qemu" -n
	assert_refused vuname "$qemu" "try the domain's name, $DOMAIN"
}

@test "the first attach, then other tools" {
	local cmd
	VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run same_text "$DOMAIN" "$DOMAIN" "ps -ef"
	for cmd in 'lsmod' 'uname -a'; do
		# shellcheck disable=SC2086 # words
		assert_same "$(in_guest "$DOMAIN" "$cmd")" "$(v${cmd%% *} "$DOMAIN" ${cmd#"${cmd%% *}"})"
	done
	[[ $(vcat "$DOMAIN" /tmp/known) == "known content" ]]
	[[ $(vfree "$DOMAIN" | awk '/^Mem/{print $2}') == "$(in_guest "$DOMAIN" free | awk '/^Mem/{print $2}')" ]]
	vuptime "$DOMAIN" | grep -q ' up '
	assert_domain_runs
}

@test "with libvirt's own suspend and resume" {
	[[ $(vuname --pause=suspend "$DOMAIN" -n) == "$DOMAIN" ]]
	assert_domain_runs
}

@test "a paused domain can be read, and stays paused" {
	virsh suspend "$DOMAIN"
	local how
	for how in auto freeze suspend none; do
		vps --pause="$how" "$DOMAIN" -ef >"$T/$how"
		grep -q ' /sbin/init$' "$T/$how"
		[[ $(virsh domstate "$DOMAIN") == paused ]]
	done
	virsh resume "$DOMAIN"
	assert_domain_runs
	[[ $(in_guest "$DOMAIN" 'hostname') == "$DOMAIN" ]]
}

@test "a domain whose name is a number" {
	virsh dumpxml "$DOMAIN" --inactive >"$T/xml"
	sed -i -e 's/<name>.*/<name>4242<\/name>/' -e '/<uuid>/d' "$T/xml"
	virsh define "$T/xml"
	run --separate-stderr vps 4242 -ef
	virsh undefine 4242
	assert_refused vps 4242 "shut off"
}

@test "a domain that is shut off" {
	virsh dumpxml "$DOMAIN" --inactive >"$T/xml"
	sed -i -e 's/<name>.*/<name>vt-off<\/name>/' -e '/<uuid>/d' "$T/xml"
	virsh define "$T/xml"
	run --separate-stderr vps vt-off -ef
	virsh undefine vt-off
	assert_refused vps vt-off "shut off"
	run --separate-stderr vps -c qemu:///system vt-none -ef
	assert_refused vps vt-none "no such domain"
}

@test "libvirtd is restarted between two runs" {
	local old i
	[[ -e /run/libvirtd.pid || -n $(pidof libvirtd) ]] || skip "no libvirtd: the modular daemons run"
	vuname "$DOMAIN" >/dev/null
	old=$(pgrep -o -x libvirtd) # its children have its name for a moment
	kill "$old"
	eventually 60 test ! -e "/proc/$old"
	# A cached attach needs no libvirt.
	[[ $(vuname "$DOMAIN" -n) == "$DOMAIN" ]]
	for i in 1 2; do
		"$VT_TESTS/guest/libvirtd" 3>&- 4>&-
		[[ $(vuname "$DOMAIN" -n) == "$DOMAIN" ]]
		[[ $i -eq 2 ]] || { kill -9 "$(pgrep -o -x libvirtd)" && sleep 0.5; }
	done
	assert_domain_runs
}

@test "libvirtd still runs after these tests" {
	"$VT_TESTS/guest/libvirtd" 3>&- 4>&-
	virsh list >/dev/null
	[[ $(virsh domstate "$DOMAIN") == running ]]
}

@test "a domain that ends while it is read is an error within a minute" {
	local i
	(sleep 0.3; command virsh -q -c qemu:///system destroy "$DOMAIN" >/dev/null) 3>&- &
	for i in {1..2000}; do
		run --separate-stderr timeout 60 vps "$DOMAIN" -ef
		[[ $status -eq 0 ]] || break
	done
	wait
	[[ $status -eq 3 && -n $stderr ]] || { show_run; fail "no error"; }
	run --separate-stderr timeout 60 vps "$DOMAIN" -ef
	assert_refused vps "$DOMAIN" "shut off"
}
