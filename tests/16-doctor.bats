#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vlens doctor: the tests that need no guest.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

# state CHECK [AREA]: the state of this check in the last JSON output.
state() {
	jq -r --arg c "$1" --arg a "${2:-host}" \
		'.checks[] | select(.check == $c and .area == $a) | .state' <<<"$output"
}

@test "the checks of the host, as a table and as JSON" {
	run --separate-stderr vlens doctor
	[[ $status -le 1 && -z $stderr ]]
	grep -qE '^  (ok|warning|problem) +unicorn +' <<<"$output"
	grep -qE '^[0-9]+ problems?, [0-9]+ warnings?$' <<<"$output"
	[[ $output != *$'\e'* ]]
	run --separate-stderr vlens doctor --json
	[[ $status -le 1 && -z $stderr ]]
	jq -e '.checks | length > 10 and all(has("area") and has("check") and has("state")
		and has("finding") and has("advice"))' <<<"$output" >/dev/null
	local check
	for check in user ptrace userfaultfd seccomp box confinement native unicorn "run directory"; do
		[[ $check != unicorn || $(vps --version) != *-unicorn* ]] || continue
		[[ $(state "$check") == ok || $(id -u) -ne 0 ]] || fail "$check is $(state "$check")"
	done
	jq -e '.checks[] | select(.check == "trusted").finding | test("kernel")' <<<"$output" >/dev/null
	# Each check that is not ok has advice.
	jq -e '.checks | all(.state == "ok" or .advice != null)' <<<"$output" >/dev/null
}

# A file of that name that is none, found before the library.
@test "a library that unpacks dumps is missing: a warning with advice, and the error of such a dump" {
	local file name advice
	python3 - "$BATS_TEST_TMPDIR/lime" <<-'EOF'
		import struct, sys
		body = b"\xff\x06\0\0sNaPpY" + struct.pack("<II", 1 | 4100 << 8, 0) + bytes(4096)
		open(sys.argv[1], "wb").write(struct.pack("<4sIQQQ", b"AVML", 2, 0, 4095, 0) + body + struct.pack("<Q", len(body)))
	EOF
	run --separate-stderr vlens doctor --json
	[[ $(state compression) == ok ]] || fail "$output"
	while read -r file name advice; do
		mkdir "$BATS_TEST_TMPDIR/$name"
		: >"$BATS_TEST_TMPDIR/$name/$file"
		LD_LIBRARY_PATH=$BATS_TEST_TMPDIR/$name run --separate-stderr vlens doctor --json
		[[ $status -le 1 && $(state compression) == warning ]] || fail "$output"
		jq -e --arg f "$file" --arg a "$advice" '.checks[] | select(.check == "compression") |
			(.finding | contains($f)) and (.advice | contains($a))' <<<"$output" >/dev/null || fail "$output"
	done <<-EOF
		liblzo2.so.2 lzo install liblzo2
		libsnappy.so.1 snappy install libsnappy
		libarchive.so.13 archive install libarchive
	EOF
	LD_LIBRARY_PATH=$BATS_TEST_TMPDIR/snappy run --separate-stderr vuname "$BATS_TEST_TMPDIR/lime"
	assert_status 3
	[[ $stderr == *"the image of AVML is compressed: cannot load libsnappy: "*"; install libsnappy (on Debian: libsnappy1v5)" ]] ||
		fail "$stderr"
}

@test "--color: always, never, and a wrong value" {
	run vlens doctor --color=always
	[[ $output == *$'\e[32mok'* ]]
	run vlens doctor --color=never
	[[ $output == *"ok "* && $output != *$'\e'* ]]
	run --separate-stderr vlens doctor --color=mauve
	assert_usage "vlens doctor" "auto, always or never"
}

@test "a guest that does not exist: status 3, and a problem in the table" {
	run --separate-stderr vlens doctor --json -c test:///default nosuch
	assert_status 3
	[[ $(state reached nosuch) == problem ]]
	run --separate-stderr vlens doctor -c test:///default "$VT_TESTS/check-docs"
	assert_status 3
	[[ $output == *"not a memory dump"* && $output == *"-> make one with: vlens dump"* ]]
}

@test "a dump of zeros: the file is a dump, but no kernel is found in it" {
	"$VT_TESTS/lib/mkdump" zeros "$BATS_TEST_TMPDIR/zeros"
	run --separate-stderr vlens doctor --json "$BATS_TEST_TMPDIR/zeros"
	assert_status 3
	[[ $(state kind "$BATS_TEST_TMPDIR/zeros") == ok ]]
	[[ $(state attach "$BATS_TEST_TMPDIR/zeros") == problem ]]
	[[ $(state programs "$BATS_TEST_TMPDIR/zeros") == problem ]]
}

@test "a libvirt that cannot be reached is a warning with advice" {
	run --separate-stderr vlens doctor --json -c 'qemu+unix:///system?socket=/nonexistent'
	[[ $(state libvirt) == warning ]]
	jq -e '.checks[] | select(.check == "libvirt").advice | test("libvirtd")' <<<"$output"
}

@test "unusable directories: the run directory is a problem, the cache a warning" {
	: >"$BATS_TEST_TMPDIR/file"
	VLENS_RUN_DIR=$BATS_TEST_TMPDIR/file VLENS_CACHE_DIR=$BATS_TEST_TMPDIR/file/none \
		run --separate-stderr vlens doctor --json
	assert_status 1
	[[ $(state "run directory") == problem && $(state cache) == warning ]]
}

@test "a missing program is a warning that names its package" {
	command -v unshare >/dev/null && unshare -m true 2>/dev/null || skip "no mount namespace"
	local lsof
	lsof=$(command -v lsof) || skip "lsof is not installed anyway"
	# shellcheck disable=SC2016 # for the inner shell
	run --separate-stderr unshare -m sh -c 'mount --bind /dev/null "$1" && exec vlens doctor --json' \
		sh "$(readlink -f "$lsof")"
	[[ $(state lsof programs) == warning ]]
	jq -e '.checks[] | select(.check == "lsof").advice == "install the package lsof"' <<<"$output"
}

@test "a user who is not root gets a warning" {
	[[ $(id -u) -eq 0 ]] || skip "only root can become somebody else"
	local dir
	dir=$(mktemp -d "$VLENS_TEST_RUN/private.XXXXXX")
	chmod 755 "$dir"
	mkdir -m 1777 "$dir/tmp"
	install -m 755 "$VLENS_BUILD/vlens" "$dir/vlens"
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups env \
		HOME="$dir/tmp" VLENS_CACHE_DIR="$dir/tmp/c" VLENS_RUN_DIR="$dir/tmp/r" \
		"$dir/vlens" doctor --json
	[[ $(state user) == warning ]]
	jq -e '.checks[] | select(.check == "user").advice | test("root")' <<<"$output"
}

@test "--help, --version, and an unknown option" {
	run --separate-stderr vlens doctor --help
	assert_status 0
	[[ ${lines[0]} == "Usage: vlens doctor [OPTION...] [GUEST...]" ]]
	[[ ${lines[-1]} == "For more details see vlens-doctor(1)." ]]
	run --separate-stderr vlens doctor --version
	assert_status 0
	run --separate-stderr vlens doctor --nonsense
	assert_usage "vlens doctor" "--nonsense"
	run --separate-stderr bash -c 'exec vlens doctor --help >/dev/full'
	assert_status 1
}
