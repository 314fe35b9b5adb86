# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded after vlens.bash by tests of executors: runs tests/unit/clone-probe and parses
# its output.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

# ask_clone EXECUTOR GUEST ROUNDS: sets $output to the answers of a clone by that executor.
ask_clone() {
	[[ -x $VLENS_BUILD/tests/unit/clone-probe ]] ||
		make -s -C "$VLENS_BUILD" tests/unit/clone-probe
	run --separate-stderr timeout 120 "$VLENS_BUILD/tests/unit/clone-probe" "$@"
	assert_status 0
	[[ $output == "$1"* || $output == *$'\n'"$1"* ]] || fail "$output"
}

# The rounds of text $1, from the last round 1 on.
rounds() {
	awk '/^round 1:/ { text = "" } /^round/ { text = text $0 "\n" } END { printf "%s", text }' <<<"$1"
}

# The bytes and the hash of each round of text $1.
hashes() { rounds "$1" | sed 's/.* us, //'; }

# Checks the last round of $output, which is warm: a call costs one entry (a few more for a
# fault that is fixed up) and at most two VM exits.
few_exits() {
	local calls entries exits
	read -r calls entries exits < <(rounds "$output" | tail -n 1 |
		sed -E 's/^round [0-9]+: ([0-9]+) calls, ([0-9]+) entries, ([0-9]+) exits,.*/\1 \2 \3/')
	echo "# $calls calls of a clone on KVM: $entries entries, $exits VM exits" >&3
	[[ $calls -gt 100 && $entries -le $((calls + calls / 10)) ]] || fail "$output"
	kvm_counts || return 0
	[[ $exits -ge $entries && $exits -le $((2 * calls)) ]] || fail "$output"
}
