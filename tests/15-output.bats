#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Pipes, full disks, widths, locales and colours, for every applet, without a guest.
# 51-output-dump.bats judges the output about a guest.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

# Every command that vlens has, one a line.
callers() {
	vlens --list
	vlens complete commands | sed 's/^/vlens /'
	echo vlens
}

@test "a closed pipe ends every command by SIGPIPE, without a message" {
	local a
	while read -ra a; do
		open_broken_pipe
		run --separate-stderr bash -c 'exec "$@" >&'"$W" bash "${a[@]}" --help
		exec {W}>&-
		assert_status 141
		[[ -z $stderr ]] || fail "${a[*]}: $stderr"
	done < <(callers)
}

@test "a closed pipe ends vps by SIGPIPE also if its parent ignores SIGPIPE" {
	open_broken_pipe
	run --separate-stderr bash -c "trap '' PIPE; exec vps --help >&$W"
	exec {W}>&-
	assert_status 141
}

@test "a full disk is status 1 and a message" {
	[[ -c /dev/full ]] || skip "there is no /dev/full"
	local a
	while read -ra a; do
		run --separate-stderr bash -c 'exec "$@" >/dev/full' bash "${a[@]}" --help
		assert_status 1
		[[ $stderr == *": write error: No space left on device" ]] || fail "${a[*]}: $stderr"
	done < <(callers)
	local there
	export LIBVIRT_DEFAULT_URI=test:///default
	for a in "vlens doctor" "vlens doctor --json" "vlist" "vlist --json" "vlens --list"; do
		# shellcheck disable=SC2206 # words
		a=($a)
		run "${a[@]}"
		there=$status
		run --separate-stderr bash -c 'exec "$@" >/dev/full' bash "${a[@]}"
		# Its own error comes first.
		assert_status $((there ? there : 1))
		[[ $stderr == *": write error: No space left on device" ]] || fail "${a[*]}: $stderr"
	done
}

@test "closed standard input does not change the help" {
	local a
	while read -ra a; do
		run --separate-stderr bash -c 'exec "$@" <&-' bash "${a[@]}" --help
		assert_status 0
		assert_same "$("${a[@]}" --help)" "$output"
	done < <(callers)
}

@test "help is ASCII, at most 100 columns wide, the same in every locale and terminal width" {
	local a plain
	while read -ra a; do
		plain=$(LC_ALL=C "${a[@]}" --help)
		assert_same "$plain" "$(LC_ALL=C.UTF-8 COLUMNS=20 "${a[@]}" --help)"
		assert_same "$plain" "$(TERM=dumb NO_COLOR=1 "${a[@]}" --help)"
		! LC_ALL=C grep -q '[^ -~]' <<<"$plain" || fail "${a[*]}: not ASCII"
		[[ $(wc -L <<<"$plain") -le 100 ]] || fail "${a[*]}: a line of $(wc -L <<<"$plain")"
	done < <(callers)
}

@test "output to a pipe has no colours" {
	local a
	while read -ra a; do
		run env TERM=xterm-256color CLICOLOR_FORCE= "${a[@]}" --help
		[[ $output == Usage:* && $output != *$'\e'* ]] || fail "${a[*]}: $output"
		run env TERM=xterm-256color "${a[@]}" --nonsense
		[[ $output == *"--help' for more information."* && $output != *$'\e'* ]] || fail "${a[*]}: $output"
	done < <(callers)
}

# on_terminal COMMAND...: runs it on a terminal and prints its output.
on_terminal() { script -qec "$*" /dev/null </dev/null; }

@test "output to a terminal has colours, except with NO_COLOR or TERM=dumb" {
	command -v script >/dev/null || skip "script is not installed"
	run env TERM=xterm bash -c "$(declare -f on_terminal); on_terminal vlens doctor"
	[[ $output == *$'\e[32mok'* ]]
	run env TERM=xterm NO_COLOR= bash -c "$(declare -f on_terminal); on_terminal vlens doctor"
	[[ $output == *$'\e[32mok'* ]]
	run env TERM=xterm NO_COLOR=1 bash -c "$(declare -f on_terminal); on_terminal vlens doctor"
	[[ $output == *unicorn* && $output != *$'\e'* ]]
	run env TERM=dumb bash -c "$(declare -f on_terminal); on_terminal vlens doctor"
	[[ $output == *unicorn* && $output != *$'\e'* ]]
}

@test "guest names that are not ASCII, or not valid UTF-8, in messages" {
	LC_ALL=C.UTF-8 run --separate-stderr vps -c test:///default 'gäst→' -ef
	assert_status 3
	[[ $stderr == "vps: gäst→: "* ]]
	LC_ALL=C run --separate-stderr vps -c test:///default 'gäst→' -ef
	assert_status 3
	if LC_ALL=C grep -q '[^ -~]' <<<"$stderr"; then fail "$stderr"; fi
	LC_ALL=C.UTF-8 run --separate-stderr vps -c test:///default $'g\xff\xfe' -ef
	assert_status 3
	[[ $stderr == 'vps: g\xff\xfe: '* ]]
}

@test "JSON is valid also if the guest does not exist" {
	local a
	for a in vpslist vpidlist vcredlist vmem vsyscalldump vlist; do
		run --separate-stderr "$a" --json -c test:///default nosuch
		assert_status 3
		jq -e 'type == "object"' <<<"$output" >/dev/null
		[[ $stderr == "$a: nosuch: "* ]]
	done
}
