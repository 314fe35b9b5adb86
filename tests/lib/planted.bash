# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded by the tests that plant changes in dumps of guests: $D is the dump, and what is
# planted in it is taken back at the end of the test (teardown calls restore).

# For setup_file and teardown_file: the folder $DUMPS of this file's dumps.
dumps_begin() {
	export DUMPS=$VLENS_TEST_RUN/${BATS_TEST_FILENAME##*/}.dumps
	mkdir -p "$DUMPS"
	chmod 777 "$DUMPS"
}
dumps_end() { rm -rf "$DUMPS"; }

# dump NAME: dumps the guest to $DUMPS/NAME.elf, if that is not there yet.
dump() {
	need_guest "$1"
	[[ ! -e $DUMPS/$1.elf ]] || return 0
	dump_guest "$1" "$DUMPS/$1.elf"
	dump_root "$DUMPS/$1.elf" >"$DUMPS/$1.root"
}

# address WHAT: the address of a symbol or member in $D.
address() { vpeek -J "$D" "$1" 8 2>/dev/null | jq -r '.places[0].address'; }
# word ADDRESS: the 8 bytes there, as a number. (To bash a kernel address is negative.)
word() {
	local hex
	hex=$(vpeek -J "$D" "$(printf '0x%x' "$1")" 8 | jq -r '.places[0].bytes')
	echo "0x${hex:14:2}${hex:12:2}${hex:10:2}${hex:8:2}${hex:6:2}${hex:4:2}${hex:2:2}${hex:0:2}"
}
# le NUMBER: its 8 bytes, as hexadecimal text.
le() {
	local n
	n=$(printf '%016x' "$1")
	echo "${n:14:2}${n:12:2}${n:10:2}${n:8:2}${n:6:2}${n:4:2}${n:2:2}${n:0:2}"
}
# plant ADDRESS HEX: changes the dump, until the end of the test.
plant() {
	local was
	was=$("$VT_TESTS/lib/poke" "$D" "$(<"${D%.elf}.root")" "$(printf '0x%x' "$1")" "$2")
	undo+=("$(printf '0x%x' "$1") $was")
}
# use NAME: makes the dump of NAME the one to plant in.
use() {
	restore
	dump "$1"
	D=$DUMPS/$1.elf
}
# restore: takes back what was planted in $D.
restore() {
	local i
	for ((i = ${#undo[@]} - 1; i >= 0; i--)); do
		# shellcheck disable=SC2086 # two words
		"$VT_TESTS/lib/poke" "$D" "$(<"${D%.elf}.root")" ${undo[i]} >/dev/null
	done
	undo=()
}
# unlink ADDRESS: takes the list_head there out of its list.
unlink_entry() {
	local next prev
	next=$(word "$1")
	prev=$(word $(($1 + 8)))
	plant "$prev" "$(le "$next")"
	plant $((next + 8)) "$(le "$prev")"
}

task_of() { vpslist -J -o pid,task "$D" | jq -r ".processes[] | select(.pid == $1) | .task"; }
some_pid() { vpslist --no-headers -o pid,comm "$D" | awk '$2 == "sleeper" { print $1; exit }'; }
