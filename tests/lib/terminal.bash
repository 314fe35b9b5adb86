# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded by the tests/*.bats that need a terminal: tmux types keys and reads screens, and
# every step waits for its result on the screen.

# shellcheck disable=SC2154 # bats sets variables

PATIENCE=90

tm() { tmux -L "vlens-$$-$BATS_TEST_NUMBER" -f /dev/null "$@"; }

# terminal [COLUMNS LINES]: starts a terminal with a shell.
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
# shows PATTERN, hides PATTERN: waits until it is on the screen, is not.
shows() { eventually "$PATIENCE" has "$1" || { screen >&2; fail "not shown: $1"; }; }
hides() { eventually "$PATIENCE" has_not "$1" || { screen >&2; fail "still shown: $1"; }; }
