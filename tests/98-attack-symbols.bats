#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A kernel that lies about its symbols and types misleads about itself only, and a first
# attach to it ends. The tests change a dump, and restore it.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/raw

setup_file() {
	need_probes
	bats_require_minimum_version 1.5.0
	need_guest g61
	export DUMPS=$VLENS_TEST_RUN/attack-dumps
	rm -rf "$DUMPS"
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
	export D=$DUMPS/g61.elf
	dump_guest g61 "$D"
}

teardown_file() {
	rm -rf "$DUMPS"
}

setup() {
	T=$BATS_TEST_TMPDIR
	ENGINE=direct
	UNDO=$DUMPS/undo
	export VLENS_CACHE_DIR=$T/cache VLENS_RUN_DIR=$T/run
}

teardown() {
	restore
}

forge() { "$VT_TESTS/lib/forge" "$D" "$UNDO" "$@"; }

restore() {
	[[ ! -e $UNDO ]] || "$VT_TESTS/lib/forge" "$D" "$UNDO"
	rm -f "$UNDO"
}

# Makes the dump another guest: removes all that is known of its run.
another() {
	rm -rf "$VLENS_RUN_DIR"
}

# The build id that the guest claims to have.
build_id() { vlens doctor "$D" 2>&1 | sed -n 's/.*build id \([0-9a-f]*\).*/\1/p'; }

uname_symbol() { raw "$D" symbols | grep ' __x64_sys_newuname$'; }

# Two guests with one build id, and a symbol at different addresses.
@test "symbols of one guest are not used for another with the same build id" {
	honest=$(uname_symbol)
	said=$(vuname "$D" -a)
	[[ $said == Linux* ]]
	rm -rf "$VLENS_CACHE_DIR"
	another
	forge symbol __x64_sys_newuname
	forged=$(uname_symbol)
	[[ -n $forged && $forged != "$honest" ]]
	id=$(build_id)
	[[ $id =~ ^[0-9a-f]{40}$ ]]
	# Then an honest guest.
	restore
	another
	[[ $(build_id) == "$id" ]]
	[[ $(vuname "$D" -a) == "$said" ]]
	[[ $(uname_symbol) == "$honest" ]]
	# Then the lying guest again: it still has its own symbols.
	another
	forge symbol __x64_sys_newuname
	[[ $(uname_symbol) == "$forged" ]]
	[[ $(find "$VLENS_CACHE_DIR" -name '*.kernel' | wc -l) -eq 2 ]]
}

# refused KIND [ARGUMENT...]: the tool ends with status 3 and one line. By itself it takes at
# most 5 s; on a busy host longer.
refused() {
	another
	forge "$@"
	run --separate-stderr timeout 60 vuname "$D" -a
	assert_status 3
	[[ -z $output ]]
	[[ ${#stderr_lines[@]} -eq 1 ]]
	echo "$stderr"
}

# bare KIND: the tables are not believed. What the kernel exports serves, and one line says so.
bare() {
	another
	forge "$@"
	run --separate-stderr timeout 60 vuname "$D" -a
	assert_status 0
	[[ $output == "$said" && ${#stderr_lines[@]} -eq 1 && $stderr == *"no table of its symbols"* ]] || { show_run; false; }
}

@test "more symbols than names, names without end" {
	local said
	said=$(vuname "$D" -a)
	bare number
	restore
	bare names
}

@test "memory full of starts of marker tables, and full of token tables" {
	refused markers
	restore
	refused tokens
}

@test "types without end" {
	refused types
	restore
	refused strings
}

@test "page tables that lead to themselves" {
	image=$(vmem -J "$D" | jq -r '.memory[] | select(.what == "kernel image") | "\(.start) \(.phys)"')
	root=$(raw "$D" symbols | sed -n 's/ init_top_pgt$//p')
	refused tables "$((0x$root - ${image% *} + ${image#* }))"
}

# Only root, or the user, can write to these folders. Even so, no link in them is followed.
@test "links in the folders of kept files are not followed" {
	vuname "$D" -a
	key=$(basename "$VLENS_CACHE_DIR"/*.kernel .kernel)
	mv "$VLENS_CACHE_DIR/$key.kernel" "$T/elsewhere"
	echo mine >"$T/victim"
	ln -s "$T/victim" "$VLENS_CACHE_DIR/$key.kernel"
	for file in "$VLENS_RUN_DIR"/*.attach; do
		rm "$file"
		ln -s "$T/victim" "$file"
	done
	[[ $(vuname "$D" -a) == Linux* ]]
	[[ $(cat "$T/victim") == mine ]]
	[[ -f $VLENS_CACHE_DIR/$key.kernel && ! -L $VLENS_CACHE_DIR/$key.kernel ]]
	chmod 777 "$VLENS_CACHE_DIR"
	[[ $(vuname "$D" -a) == Linux* ]]
}

# planted AT ATTACK [APPLET]: runs it with hostile code in place of the search of the image, or
# of the parser of its symbols.
planted() {
	another
	rm -rf "$VLENS_CACHE_DIR" /tmp/evil
	[[ -e $DUMPS/evil.so ]] ||
		"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -Wall -shared -fPIC -O1 -o "$DUMPS/evil.so" \
			"$VT_TESTS/unit/evil-parser.c"
	run --separate-stderr timeout 60 env LD_PRELOAD="$DUMPS/evil.so" EVIL_AT="$1" \
		EVIL_ATTACK="$2" "${3:-vuname}" "$D"
	[[ ! -e /tmp/evil ]]
	echo "$stderr"
}

fails_with() {
	assert_status 3
	[[ -z $output && ${#stderr_lines[@]} -eq 1 && $stderr == *"$1"* ]]
}

@test "the search of a kernel's image, and the parser of its symbols, run in a box" {
	for at in image symbols; do
		for tool in vuname vpslist; do
			planted "$at" marks "$tool"
			assert_status 0
			[[ -n $output ]]
		done
		for attack in runs talks traces; do
			planted "$at" "$attack"
			fails_with "made a forbidden system call"
		done
	done
}

@test "a parser that crashes" {
	planted image dies
	fails_with "has died"
	planted symbols dies
	fails_with "has died"
}

@test "a parser that hangs" {
	planted image hangs
	fails_with "was not found within 5 s of CPU time"
}
