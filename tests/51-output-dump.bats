#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The output of every applet: to a pipe that closes, to a full disk, with other widths,
# locales and colours, with standard input closed. The guest is a dump: no value changes.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

setup_file() {
	export D=$VLENS_TEST_RUN/output-dumps/g61.elf
	mkdir -p "${D%/*}"
	chmod 777 "${D%/*}"
	need_guest g61
	dump_guest g61 "$D"
	vuname "$D" >/dev/null
}

teardown_file() {
	rm -rf "${D%/*}"
}

# behind APPLET, before APPLET: the arguments after the guest, and before it.
behind() {
	case $1 in
	vps) echo "-ef" ;;
	vuname) echo "-a" ;;
	vlsof) echo "-p 1" ;;
	vss | vnetstat) echo "-tln" ;;
	vip) echo "-br addr" ;;
	vifconfig) echo "-a" ;;
	varp) echo "-n" ;;
	vls) echo "/proc/1" ;;
	vcat) echo "/proc/version" ;;
	vexec) echo "uname -r" ;;
	vpeek) echo "linux_banner 64" ;;
	esac
}
before() {
	case $1 in
	vtop) echo "-b -n 1" ;;
	esac
}

# Sets words: the whole command line of applet $1.
call() {
	# shellcheck disable=SC2046,SC2207 # words
	words=("$1" $(before "$1") "$D" $(behind "$1"))
}

# The applets that take a dump: vwatch watches a guest that runs.
of_dumps() {
	vlens --list | grep -vx vwatch
}

# Those of them that mirror no program of the host.
ours() {
	local a
	for a in $(of_dumps); do
		[[ -n $(vlens complete model "$a") || $a == vexec ]] || echo "$a"
	done
}

@test "every applet prints something, with status 0, and nothing on stderr" {
	local a
	for a in $(of_dumps); do
		call "$a"
		run --separate-stderr "${words[@]}"
		# varp: its table may be empty, and arp then says so.
		[[ $status -eq 0 && -n $output ]] || [[ $a == varp || $a == vsyscalldump ]] ||
			{ show_run; fail "${words[*]}"; }
		[[ $output != *$'\e'* ]] || fail "$a: an escape to a pipe"
	done
}

@test "standard input closed: the output is the same" {
	local a
	for a in $(ours) vps vlsmod vuname; do
		call "$a"
		# The time of a read differs from run to run.
		assert_same "$a: $("${words[@]}" 2>&1 | sed 's/in [0-9.]* us/in - us/')" \
			"$a: $(bash -c 'exec "$@" <&- 2>&1' bash "${words[@]}" | sed 's/in [0-9.]* us/in - us/')"
	done
}

# broken COMMAND...: runs it with its output to a pipe that nobody reads.
broken() {
	open_broken_pipe
	run --separate-stderr bash -c 'exec "$@" >&'"$W" bash "$@"
	exec {W}>&-
}

@test "vtop of a dump: the use of its CPUs is unknown (null)" {
	run --separate-stderr vtop -b -n 2 -d 0.1 --json "$D"
	assert_status 0
	[[ $(jq -s 'map(.guests[]) | length' <<<"$output") -eq 2 ]]
	[[ $(jq -sc 'map(.guests[].cpu) | unique' <<<"$output") == "[null]" ]] || { show_run; fail cpu; }
}

@test "a pipe that nobody reads ends an applet by SIGPIPE, silently" {
	local a
	for a in $(ours); do
		call "$a"
		broken "${words[@]}"
		[[ -z $stderr ]] || { show_run; fail "$a"; }
		assert_status 141
	done
}

@test "a full disk is status 1 and a message" {
	[[ -c /dev/full ]] || skip "there is no /dev/full"
	local a
	for a in $(ours); do
		call "$a"
		run --separate-stderr bash -c 'exec "$@" >/dev/full' bash "${words[@]}"
		assert_status 1
		[[ $stderr == *"$a: write error"* ]] || { show_run; fail "$a"; }
	done
}

@test "a broken pipe or a full disk: a mirrored program has the status that it has on the host" {
	[[ -c /dev/full ]] || skip "there is no /dev/full"
	local a model there
	for a in vps vuname vfree vuptime vdate vls vip; do
		model=$(vlens complete model "$a")
		call "$a"
		run bash -c 'exec "$@" >/dev/full' bash "$model" "${words[@]:2}"
		there=$status
		run --separate-stderr bash -c 'exec "$@" >/dev/full' bash "${words[@]}"
		assert_status "$there"
		broken "$model" "${words[@]:2}"
		there=$status
		broken "${words[@]}"
		assert_status "$there"
	done
}

@test "COLUMNS: tables keep to it, and have no bound in a pipe" {
	local a
	for a in vpslist vcredlist vlist; do
		call "$a"
		[[ $(COLUMNS=60 "${words[@]}" -o PID,COMM 2>/dev/null | wc -L) -le 60 ]]
	done
	local wide narrow
	wide=$(vlist -o NAME,SPEC,NOTE,SPEC "$D")
	narrow=$(COLUMNS=$((${#D} + 20)) vlist --no-headers -o STATE,SPEC,SPEC "$D")
	[[ $(wc -L <<<"$wide") -gt $((2 * ${#D})) ]] || fail "$wide"
	[[ $(wc -L <<<"$narrow") -le $((${#D} + 20)) ]] || fail "$narrow"
	# An invalid value is ignored, and JSON has no width.
	assert_same "$(vpslist "$D")" "$(COLUMNS=wide vpslist "$D")"
	assert_same "$(vpslist "$D")" "$(COLUMNS=-3 vpslist "$D")"
	assert_same "$(vpslist --json "$D")" "$(COLUMNS=10 vpslist --json "$D")"
}

@test "locales: the same rows in each, ASCII in C; JSON does not depend on them" {
	local a c
	for a in $(ours); do
		call "$a"
		c=$(LC_ALL=C "${words[@]}")
		[[ -z $(LC_ALL=C grep '[^ -~]' <<<"$c" | LC_ALL=C tr -d '\t') || $a == vcat ]] ||
			fail "$a: not ASCII in C"
		assert_same "$(wc -l <<<"$c")" "$(LC_ALL=C.UTF-8 "${words[@]}" | wc -l)"
	done
	for a in vpslist vmem vlist; do
		assert_same "$(LC_ALL=C "$a" --json "$D")" "$(LC_ALL=C.UTF-8 "$a" --json "$D")"
	done
}

@test "colour: none with NO_COLOR, on a terminal too" {
	command -v script >/dev/null || skip "script is not installed"
	local a
	for a in $(ours) vps; do
		[[ $a != vtop ]] || continue
		call "$a"
		run env NO_COLOR=1 TERM=xterm script -qec "${words[*]}" /dev/null
		[[ -n $output && $output != *$'\e['[0-9]* ]] || fail "$a: $output"
	done
}
