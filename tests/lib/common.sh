# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for the scripts that source this
#
# Sourced by the test scripts: folders, locks, errors.
#
#   VLENS_TEST_CACHE  files that are expensive to make and safe to keep: package
#                     lists, unpacked kernels, initramfs images
#   VLENS_TEST_RUN    files of running guests: sockets, logs, pid files. QEMU
#                     under libvirt runs as another user, so all users must be
#                     able to enter this folder; a home folder will not do.

# An ordinary user's PATH may lack the folders of depmod, modprobe and losetup.
PATH=$PATH:/usr/sbin:/sbin

VT_CACHE=${VLENS_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/vlens-tests}
VT_RUN=${VLENS_TEST_RUN:-/tmp/vlens-test-run.$(id -u)}
# The folder tests/.
VT_TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

vt_die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# vt_usage: the comment block at the head of the calling script is its help.
vt_usage() {
	sed -n '/^# Usage:/,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

# vt_lock FILE FD: takes a lock, and holds it until FD closes, at the latest with the script.
vt_lock() {
	mkdir -p "$(dirname "$1")"
	eval "exec $2>>\"\$1\""
	flock "$2"
}

# vt_image NAME ENDING FILE...: the path of an image in the cache that is made of these files. Their
# hash is in its name, so working copies that differ in them do not make it anew for each other.
# Removes images of the same name that nobody asked for in two weeks.
vt_image() {
	local name=$1 ending=$2 image
	shift 2
	image=$(sha256sum "$@" | sed 's|  .*/|  |' | sha256sum | cut -c1-12)
	image=$VT_CACHE/images/$name-$image$ending
	[[ ! -e $image ]] || touch "$image"
	find "$VT_CACHE/images" -maxdepth 1 -name "$name-????????????$ending" -mtime +14 -delete
	printf '%s\n' "$image"
}

# The state folder of one guest.  A guest's name is used for files and domains.
vt_guest_dir() {
	[[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_.-]{0,30}$ ]] || vt_die "bad guest name '$1'"
	printf '%s/%s\n' "$VT_RUN" "$1"
}

# vt_same_priority PID: a guest is a session of its own. Gives it the priority of this one, where
# the kernel shares out its time by sessions.
vt_same_priority() {
	local ours
	ours=$(sed -n 's/.* nice //p' /proc/self/autogroup 2>/dev/null)
	[[ ${ours:-0} -eq 0 ]] || echo "$ours" 2>/dev/null >"/proc/$1/autogroup" || :
}
