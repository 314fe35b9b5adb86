# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded by the tests of images of memory, which are in the folder $DUMPS of each file.
# shellcheck disable=SC2154 # run sets variables

images_begin() {
	export DUMPS=$VLENS_TEST_RUN/${BATS_TEST_FILENAME##*/}.dumps
	mkdir -p "$DUMPS"
}
images_end() { rm -rf "$DUMPS"; }

dump() {
	need_guest "$1"
	[[ -e $DUMPS/$1.elf ]] || dump_guest "$1" "$DUMPS/$1.elf"
}

# assert_partial_says FILE: with --partial, a message says how much of the file is there.
assert_partial_says() {
	run --separate-stderr vpslist --partial "$1"
	[[ $status -eq 0 || $status -eq 3 ]]
	[[ $stderr =~ ^"vpslist: $1: the file is cut short: "([0-9]+)" of "([0-9]+)" pages" ]] || fail "$stderr"
	[[ ${BASH_REMATCH[1]} -gt 1000 && ${BASH_REMATCH[1]} -lt ${BASH_REMATCH[2]} ]]
}

# assert_partial FILE: a file that is cut short is refused, but with --partial.
assert_partial() {
	run --separate-stderr vpslist "$1"
	assert_status 3
	assert_partial_says "$1"
}
