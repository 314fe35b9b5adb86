#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The command line: the tests that need no guest.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens

applets() { vlens --list; }

@test "every applet has --help on stdout, with status 0" {
	local a
	for a in $(applets); do
		run --separate-stderr "$a" --help
		assert_status 0
		[[ -z $stderr ]]
		[[ ${lines[0]} == "Usage: $a [OPTION...] "?(\[)GUEST* ]]
		[[ $output == *$'\nOptions:\n'* ]]
		# --help and --version are the last options; a reference to the manual page follows.
		[[ ${lines[-3]} == *--help* && ${lines[-2]} == *--version* ]]
		[[ ${lines[-1]} == "For more details see $a(1)." ]]
	done
}

@test "every applet has --version" {
	local a
	for a in $(applets); do
		run --separate-stderr "$a" --version
		assert_status 0
		[[ -z $stderr && ${#lines[@]} -eq 2 ]]
		[[ ${lines[0]} =~ ^$a\ from\ vlens\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
		[[ ${lines[1]} == *unicorn\ 2.* || ${lines[1]} == *-unicorn* ]]
	done
}

@test "vlens itself: --help names every applet, --version, --list" {
	local a
	run --separate-stderr vlens --help
	assert_status 0
	for a in $(applets); do
		grep -q "^  $a " <<<"$output"
	done
	run --separate-stderr vlens --version
	assert_status 0
	[[ ${lines[0]} =~ ^vlens\ [0-9.]+$ ]]
	assert_same "$(vlens complete applets | sort)" "$(vlens --list | sort)"
	assert_same "$(vlens -h)" "$(vlens --help)"
	assert_same "$(vlens -V)" "$(vlens --version)"
}

@test "multicall: by link, as vlens vps and as vlens ps" {
	assert_same "$(vps --help)" "$(vlens vps --help)"
	assert_same "$(vps --help)" "$(vlens ps --help)"
	(exec -a /some/where/vuname vlens --version) | grep -q '^vuname from vlens'
}

@test "vps with no guest is a usage error" {
	run --separate-stderr vps
	assert_usage vps "no guest is named"
	run --separate-stderr vps ''
	assert_usage vps "no guest is named"
}

@test "vps -ef web1 says where ps's options go" {
	run --separate-stderr vps -ef web1
	assert_usage vps "vps GUEST -ef"
}

@test "vlens help is --help, of vlens and of each applet" {
	assert_same "$(vlens --help)" "$(vlens help)"
	assert_same "$(vlens --help)" "$(vlens help help)"
	assert_same "$(vlens doctor --help)" "$(vlens help doctor)"
	local a
	for a in $(vlens --list); do
		assert_same "$($a --help)" "$(vlens help "$a")"
		assert_same "$($a --help)" "$(vlens help "${a#v}")"
	done
	assert_same "$(vlens --version)" "$(vlens help --version)"
	assert_same "$(vlens -V)" "$(vlens help -V)"
	assert_same "$(vlens --help)" "$(vlens help -h)"
	run -1 --separate-stderr vlens help ps uname
	assert_usage vlens "help is about one applet"
	run -1 --separate-stderr vlens help complete
	assert_usage vlens "no applet 'complete'"
}

@test "-o, or --sort, of a column that is not there lists those that are, in every view" {
	local a view option columns n=0
	for a in $(vlens complete helped); do
		columns=$(vlens complete columns "$a" | tr '[:upper:]' '[:lower:]' | paste -sd, | sed 's/,/, /g')
		[[ -n $columns ]] || continue
		view=$a
		[[ $a == v* ]] || view="vlens $a"
		[[ -z $(vlens complete verbs "$a") ]] || view+=" list"
		[[ -z $(vlens complete model "$a") ]] || view+=" --json"
		# Those of a command, and of vtop, are more than one view's.
		for option in -o --output= --sort=; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr $view ${option}nosuch web1
			[[ $status -ne 0 && $stderr == *'specifier "nosuch"; the columns are guest, '* ]] || fail "$view $option: $stderr"
			[[ $a == trust || $stderr == *"; the columns are guest, ${columns#guest, }"$'\n'* ]] || fail "$view $option: $stderr, not $columns"
		done
		n=$((n + 1))
	done
	[[ $n -ge 20 ]] || fail "$n views"
	for view in "vps --diff" "vps --containers" "vlsmod --diff" "vnetstat --diff" "vlens trust verify"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $view -o nosuch web1
		[[ $status -ne 0 && $stderr == *'specifier "nosuch"; the columns are guest, '* ]] || fail "$view: $stderr"
	done
}

@test "a misspelt applet is refused, with the nearest name" {
	run -1 --separate-stderr vlens lsmd web1
	assert_usage vlens "no applet 'lsmd'; did you mean lsmod?"
	run -1 --separate-stderr vlens vpslst
	assert_usage vlens "no applet 'vpslst'; did you mean vpslist?"
	run -1 --separate-stderr vlens help doctr
	assert_usage vlens "no applet 'doctr'; did you mean doctor?"
	run -1 --separate-stderr vlens nosuchapplet
	assert_usage vlens "no applet 'nosuchapplet'"
	# What is no applet is perhaps a program.
	run --separate-stderr vlens diff web1
	assert_usage vlens "no applet 'diff'; 'vexec GUEST diff' runs that program of this host"
	for name in systemctl vsystemctl; do
		run --separate-stderr vlens "$name" web1
		assert_usage vlens "no applet '$name'; 'vunits GUEST' lists the units that run"
	done
	run --separate-stderr vlens journalctl web1
	assert_usage vlens "no applet 'journalctl'; did you mean journal?"
}

@test "an unknown option is a usage error, with the status of the program that the applet mirrors" {
	run --separate-stderr vps --nonsense web1
	assert_usage vps "--nonsense"
	run --separate-stderr vls --nonsense web1
	assert_usage vls "--nonsense" 2
	run --separate-stderr vexec --nonsense web1 true
	assert_usage vexec "--nonsense"
	run --separate-stderr vlens --nonsense
	assert_usage vlens "--nonsense"
	run --separate-stderr vlens nonsense
	assert_usage vlens "nonsense"
	run --separate-stderr vlens
	assert_usage vlens "no applet is named"
}

@test "--all in the place of the guest: each line has its guest, the worst status" {
	need_guest g61 g7
	local name
	run --separate-stderr vuname --all -n
	[[ $status -eq 0 || ($status -eq 3 && -n $stderr) ]] || fail "$status: $stderr"
	for name in g61 g7; do
		grep -qx "$(guest_label $name): $name" <<<"$output" || fail "no $name: $output"
	done
	# All words behind it are the program's; a status of the program.
	run --separate-stderr vexec --all sh -c 'echo out; echo err >&2; exit 5'
	[[ $status -eq 5 || $status -eq 3 ]] || fail "status $status"
	for name in g61 g7; do
		grep -qx "$(guest_label $name): out" <<<"$output" || fail "$output"
		grep -qx "$(guest_label $name): err" <<<"$stderr" || fail "$stderr"
	done
	# A program of which more than a pipe holds is whole, and a keeper that stays holds nothing up.
	run --separate-stderr timeout 100 vexec --keep=30 --all seq 1 30000
	[[ $(grep -c "^$(guest_label g61): " <<<"$output") -eq 30000 ]] || fail "$status: ${#lines[@]} lines"
	# One that prints without end is shown all the same, and ends with its reader.
	[[ $(timeout 60 vexec --all sh -c 'while :; do echo more; done' | head -n 1) == *": more" ]]
	# What reads memory is as it was.
	run --separate-stderr vps --all --json -o pid
	[[ $output == *'"processes"'* ]] || fail "$output"
	run --separate-stderr vps --all --engine=imee
	[[ ${lines[0]} == "GUEST "* ]] || fail "$output"
	run --separate-stderr vexec --all
	assert_usage vexec "no command is named"
}

@test "options of the model go behind the guest" {
	run --separate-stderr vss -t web1
	assert_usage vss "options of ss go after the guest: vss GUEST -t"
}

@test "--trusted takes the next word, which is never the guest" {
	run --separate-stderr vps --trusted web1
	assert_usage vps "'web1' is not a file: --trusted takes a kernel"
	[[ $stderr == *"--trusted=auto takes the stored kernel"* ]] || fail "$stderr"
	run --separate-stderr vps --trusted "$VT_TESTS/10-cli.bats"
	assert_usage vps "no guest is named: '$VT_TESTS/10-cli.bats' is the kernel of --trusted"
	run --separate-stderr vps --diff --trusted "$VT_TESTS/10-cli.bats"
	assert_usage vps "no guest is named: '$VT_TESTS/10-cli.bats' is the kernel of --trusted"
	run --separate-stderr vps --trusted srv -ef
	assert_usage vps "'-ef' is not an option of vps, and no guest is named before it: 'srv' is the kernel of --trusted"
	[[ $stderr != *"after the guest"* ]] || fail "$stderr"
	run --separate-stderr vps --diff --trusted "$VT_TESTS/10-cli.bats" -ef
	assert_usage vps "no guest is named before it: '$VT_TESTS/10-cli.bats' is the kernel of --trusted"
	run --separate-stderr vps --trusted=srv -ef
	assert_usage vps "'-ef' is not an option of vps; options of ps go after the guest"
	run --separate-stderr vps --trusted=auto
	assert_usage vps "no guest is named"
	[[ $stderr != *"kernel of"* ]] || fail "$stderr"
	run --separate-stderr vps --trusted --stats
	assert_usage vps "no guest is named"
	[[ $stderr != *"kernel of"* ]] || fail "$stderr"
}

@test "an option that would have no effect is a usage error" {
	run --separate-stderr vps --allow-unverified web1
	assert_usage vps "'--allow-unverified' goes with --trusted"
	run --separate-stderr vps --diff --allow-unverified web1
	assert_usage vps "'--allow-unverified' goes with --trusted"
	run --separate-stderr vlens trust list --all
	assert_usage "vlens trust" "'--all' is an option of verify"
	run --separate-stderr vlens trust add --stats x
	assert_usage "vlens trust" "'--stats' is an option of verify"
	run --separate-stderr vlens trust verify --pause=none x
	assert_usage "vlens trust" "unknown option '--pause=none'"
}

@test "options: a missing or wrong value, and an abbreviation, are usage errors" {
	run --separate-stderr vps --connect
	assert_usage vps "needs an argument"
	run --separate-stderr vps --as 5000000 web1
	assert_usage vps "'5000000' is not the id of a process, a container or a namespace"
	run --separate-stderr vps --as 0 web1
	assert_usage vps "0"
	run --separate-stderr vps --pause=sometimes web1
	assert_usage vps "auto, freeze, suspend or none"
	run --separate-stderr vps --engine=crystal web1
	assert_usage vps "vmst, vmst/kvm"
	run --separate-stderr vdate --engine=imee web1
	assert_usage vdate "vmst"
	run --separate-stderr vps --stats=yes web1
	assert_usage vps "takes no argument"
	# An abbreviation that works once has to work in every later version.
	run --separate-stderr vps --sta web1
	assert_usage vps "--sta"
	run --separate-stderr vcat web1
	assert_usage vcat "no path"
	run --separate-stderr vexec web1
	assert_usage vexec "no command"
}

@test "all options together select raw reads or a program, in any order and spelling" {
	run --separate-stderr vps -Jo NOSUCH web1
	assert_usage vps 'unknown user-defined format specifier "NOSUCH"'
	run --separate-stderr vps --keep 5 --json web1
	assert_usage vps "'--keep' is not an option of raw reads"
	# The message names both options, so that its advice does not lead to another error.
	for a in --json --diff; do
		run --separate-stderr vps $a -e web1
		assert_usage vps "'-e' is not an option of raw reads, which '$a' asks for: leave one of the two out"
		run --separate-stderr vps $a web1 -e
		assert_usage vps "'-e' is not an option of raw reads, which '$a' asks for: leave one of the two out"
	done
	run --separate-stderr vps -o --json --json web1
	assert_usage vps 'unknown user-defined format specifier "--json"'
	run --separate-stderr vps --engine=vmst --json web1
	assert_usage vps "'--json' is not for --engine=vmst"
}

@test "usage errors print no control characters" {
	run --separate-stderr vps $'--a\e[31mb\n' web1
	assert_status 1
	[[ $stderr != *$'\e'* && ${#stderr_lines[@]} -eq 2 ]]
}

@test "--help and --version to a full disk: status 1" {
	[[ -c /dev/full ]] || skip "there is no /dev/full"
	local a
	for a in vlens $(applets); do
		run --separate-stderr bash -c "exec $a --help >/dev/full"
		assert_status 1
		[[ $stderr == "$a: write error: No space left on device" ]]
		run --separate-stderr bash -c "exec $a --version >/dev/full"
		assert_status 1
	done
}

@test "closed standard descriptors do not change the status" {
	run --separate-stderr bash -c 'exec vps nowhere -ef >&-'
	assert_status 3
	run --separate-stderr bash -c 'exec vps --nonsense nowhere <&- >&- 2>&-'
	assert_status 1
}

@test "make install: the program, its links, manual pages, completion, the library" {
	[[ -e $VLENS_BUILD/Makefile ]] || skip "$VLENS_BUILD is no build directory"
	local root=$BATS_TEST_TMPDIR/root a bin to
	make -s -C "$VLENS_BUILD" DESTDIR="$root" install >"$BATS_TEST_TMPDIR/log" 2>&1 ||
		fail "$(tail "$BATS_TEST_TMPDIR/log")"
	bin=$(find "$root" -name vlens -path '*/bin/*')
	[[ -x $bin ]]
	for a in $(applets); do
		to=vlens
		! grep -qE "\{ (MIRROR\(\"${a#v}\"|.name = \"$a\", .run = (ls|exec)_run)" \
			"$VT_TESTS/../bin/applets.c" || to=vlens-front
		[[ -L ${bin%/*}/$a && $(readlink "${bin%/*}/$a") == "$to" ]]
		[[ -e $(find "$root" -path "*/man1/$a.1*") ]]
		[[ -e $(find "$root" -path "*bash-completion/completions/$a") ]]
	done
	[[ -e $(find "$root" -name vlens.h) ]]
	[[ -e $(find "$root" -name vlens.pc) ]]
	# The installed program runs with the installed library, outside of the build directory.
	run --separate-stderr env LD_LIBRARY_PATH="$(dirname "$(find "$root" -name libvlens.so)")" \
		"${bin%/*}/vps" --version
	assert_status 0
	make -s -C "$VLENS_BUILD" DESTDIR="$root" uninstall >/dev/null
	[[ -z $(find "$root" ! -type d) ]] || fail "uninstall leaves: $(find "$root" ! -type d)"
}

@test "commit-msg: what a commit's text must have" {
	local text f=$BATS_TEST_TMPDIR/msg
	for text in 'Add a test' 'vlens dump: Add a test' 'README, manual: Add a test' 'Pass on what is read' \
		'Read it without a prefix: one, two'; do
		printf '%s\n\nIt was not tested.\n# a comment\n' "$text" >"$f"
		"$VT_TESTS/../build-aux/commit-msg" "$f"
	done
	for text in 'add a test' 'vps: add a test' 'Added a test' 'vps: Adds a test' 'Adding a test' 'Add a test.' \
		"Add a test $(printf '%070d' 0)" ''; do
		printf '%s\n\nIt was not tested.\n' "$text" >"$f"
		run "$VT_TESTS/../build-aux/commit-msg" "$f"
		[[ $status -eq 1 && $output == "commit-msg: "* ]] || fail "$text"
	done
	for text in '' $'\n' $'\n\n# a comment' $'\n\nSigned-off-by: A <a@b>' $'\nIt was not tested.'; do
		printf 'Add a test%s\n' "$text" >"$f"
		run "$VT_TESTS/../build-aux/commit-msg" "$f"
		[[ $status -eq 1 && $output == "commit-msg: "* ]] || fail "$text"
	done
}

@test "-h and -V, alone, are --help and --version of every applet and command" {
	local name words long letter
	for name in vps vfree vls vexec vlist vtop vwatch vcheck vpeek vpslist "vlens dump" "vlens doctor" "vlens fleet" \
		"vlens export" "vlens types" "vlens trust" vlens; do
		read -ra words <<<"$name"
		for long in h:--help V:--version; do
			letter=-${long%%:*}
			run --separate-stderr "${words[@]}" "$letter"
			[[ $status -eq 0 && -z $stderr ]] || { show_run; fail "$name $letter"; }
			assert_same "$("${words[@]}" "${long#*:}")" "$output"
		done
	done
	# Beside a guest a letter would look like one of the program's.
	run --separate-stderr vfree -h no-such-guest
	assert_usage vfree "options of free go after the guest"
	run --separate-stderr vpslist -h no-such-guest
	assert_usage vpslist "unknown option '-h'"
	assert_same "$(vlens --help)" "$(vlens help -h)"
}
