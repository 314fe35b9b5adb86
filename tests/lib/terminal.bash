# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded by those tests/*.bats that need a terminal, which is one of tmux: keys are
# typed, screens are read, and every step waits for what it is to show.

# shellcheck disable=SC2154 # bats sets variables

PATIENCE=90

tm() { tmux -L "vlens-$$-$BATS_TEST_NUMBER" -f /dev/null "$@"; }

# terminal [COLUMNS LINES]: a shell on it.
terminal() {
	tm new-session -d -x "${1:-120}" -y "${2:-36}" \
		"env PS1='\$ ' bash --norc --noprofile" 3>&- 4>&-
	tm set-option -g default-terminal screen-256color
	shows '^\$ *$' || fail "no shell"
}

terminal_end() { tm kill-server 2>/dev/null || true; }

screen() { tm capture-pane -p; }
keys() { tm send-keys "$@"; }
has() { screen | grep -qE -- "$1"; }
has_not() { ! screen | grep -qE -- "$1"; }
# shows PATTERN, hides PATTERN: in the end.
shows() { eventually "$PATIENCE" has "$1" || { screen >&2; fail "not shown: $1"; }; }
hides() { eventually "$PATIENCE" has_not "$1" || { screen >&2; fail "still shown: $1"; }; }
