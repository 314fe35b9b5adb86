# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Runs once before and after all of tests/*.bats: where the programs under test
# are, folders of this run's own, and the end of all its guests.
#
# To keep guests between runs while writing tests, name a folder for them:
#     VLENS_TEST_RUN=/tmp/mine bats tests/30-live.bats
# With VLENS_TEST_DROP=1 besides, tests still stop those that no other test needs, as ./check has
# it: some of them keep the machine's CPUs busy.

setup_suite() {
	local tests=${BASH_SOURCE[0]%/*}
	export VLENS_BUILD=${VLENS_BUILD:-$tests/..}
	VLENS_BUILD=$(cd "$VLENS_BUILD" && pwd)
	if [[ ! -x $VLENS_BUILD/vps ]]; then
		echo "there is no vps in $VLENS_BUILD: build first, or set VLENS_BUILD" >&2
		return 1
	fi
	# The system's own programs first: a wrapper around python3 can take a second for each call.
	export PATH=$VLENS_BUILD:/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
	# Where the compiler is ccache: tests have homes of their own, in which nothing may appear.
	! command -v ccache >/dev/null || export CCACHE_DIR="${CCACHE_DIR:-$(ccache -k cache_dir)}"
	# The guests have these settings, too.
	export TZ=UTC LC_ALL=C
	unset LIBVIRT_DEFAULT_URI VIRSH_DEFAULT_CONNECT_URI COLUMNS PS_FORMAT

	# Not below BATS_SUITE_TMPDIR: QEMU under libvirt, which runs as another
	# user, must reach it, and the name of a socket may not be long.
	if [[ -n ${VLENS_TEST_RUN:-} ]]; then
		export VLENS_TEST_GIVEN=1
		[[ -n ${VLENS_TEST_DROP:-} ]] || export VLENS_TEST_KEEP=1
		mkdir -p "$VLENS_TEST_RUN"
	else
		VLENS_TEST_RUN=$(mktemp -d /tmp/vlens-bats.XXXXXX)
		chmod 755 "$VLENS_TEST_RUN"
	fi
	export VLENS_TEST_RUN
	export VLENS_CACHE_DIR=$BATS_SUITE_TMPDIR/cache VLENS_RUN_DIR=$BATS_SUITE_TMPDIR/run
	export VLENS_TRUST_DIR=$BATS_SUITE_TMPDIR/trusted VLENS_TYPES_DIR=$BATS_SUITE_TMPDIR/types
}

teardown_suite() {
	[[ -z ${VLENS_TEST_GIVEN:-} && -n ${VLENS_TEST_RUN:-} ]] || return 0
	"${BASH_SOURCE[0]%/*}/guest/stop" --all
	rm -rf "$VLENS_TEST_RUN"
}
