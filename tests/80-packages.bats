#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A release: its archive builds from a read-only source. Its Debian packages pass lintian, and
# are installed, used on a dump and removed, in a throw-away copy of this system.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens

setup_file() {
	export T=$BATS_FILE_TMPDIR
	chmod 755 "$T"
}

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
	[[ -e $VLENS_BUILD/Makefile ]] || skip "$VLENS_BUILD is no build directory"
}

# in_copy SCRIPT: runs it in a throw-away copy of this system, in which $T is the real folder.
in_copy() {
	run --separate-stderr "$VT_TESTS/lib/in-overlay" "$T" \
		env T="$T" VLENS_CACHE_DIR="$T/cache" VLENS_RUN_DIR="$T/run" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		bash -euc "$1"
	[[ $status -ne 77 ]] || skip "$output"
	assert_status 0
}

@test "make distcheck: out of the tree, over a source that is read-only" {
	need xz
	# Its tests are left out: this build's own run is the same.
	make -s -j"$(nproc)" -C "$VLENS_BUILD" distcheck TESTS= DISTCHECK_CONFIGURE_FLAGS=CFLAGS=-O0 \
		>"$T/distcheck.log" 2>&1 || fail "$(tail -n 30 "$T/distcheck.log")"
	mkdir "$T/build"
	mv "$VLENS_BUILD"/vlens-*.tar.xz "$T/build"
}

@test "the archive has all that is needed to test it" {
	local archive=("$T"/build/vlens-*.tar.xz)
	[[ -s ${archive[0]} ]] || skip "there is no archive"
	local file known=$T/known
	tar -tf "${archive[0]}" | sed 's,^[^/]*/,,' | sort >"$known"
	for file in check demo autogen.sh .ci/run debian/rules examples/processes.c \
		tests/matrix tests/guest/start; do
		grep -qxF "$file" "$known" || fail "$file is not in the archive"
	done
	# Everything that git knows of, but for git's own files.
	git -C "$VT_TESTS/.." rev-parse 2>/dev/null || return 0
	while IFS= read -r file; do
		grep -qxF "$file" "$known" || fail "$file is not in the archive"
	done < <(git -C "$VT_TESTS/.." ls-files | grep -v '^\.git')
}

@test "Debian packages: vlens, libvlens0, libvlens-dev, python3-vlens, vlens-dkms" {
	need dpkg-buildpackage dh dh_dkms dh_python3
	local archive=("$T"/build/vlens-*.tar.xz)
	[[ -s ${archive[0]} ]] || skip "there is no archive"
	tar -C "$T/build" -xf "${archive[0]}"
	cd "$T"/build/vlens-*/ || return
	DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)" dpkg-buildpackage -b -uc -us \
		>"$T/package.log" 2>&1 || fail "$(tail -n 30 "$T/package.log")"
	[[ $(cd .. && echo *.deb) == libvlens-dev_*_amd64.deb\ libvlens0_*_amd64.deb\ python3-vlens_*_amd64.deb\ vlens-dkms_*_amd64.deb\ vlens_*_amd64.deb ]]
}

@test "lintian has nothing against them" {
	need lintian
	[[ -s $(echo "$T"/build/*.changes) ]] || skip "there are no packages"
	run lintian --fail-on error,warning --allow-root "$T"/build/*.changes
	assert_status 0
}

@test "vlens-dkms: its files are enough to build the module" {
	local package=("$T"/build/vlens-dkms_*.deb) source
	[[ -s ${package[0]} ]] || skip "there is no package"
	dpkg-deb -x "${package[0]}" "$T/dkms"
	source=$(echo "$T"/dkms/usr/src/vlens-*)
	[[ $(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$source/dkms.conf") == "${source##*-}" ]]
	grep -q imee "$T"/dkms/usr/lib/udev/rules.d/*.rules
	"$VT_TESTS/fetch-headers" --build 6.1 "$source" "$T/module" >"$T/module.log" 2>&1 ||
		fail "$(cat "$T/module.log")"
	[[ $(modinfo -F vermagic "$T/module/imee.ko") == 6.1.* ]]
}

@test "installed: the tools on a dump, the library for a program, then removed" {
	[[ -s $(echo "$T"/build/*.changes) ]] || skip "there are no packages"
	need_guest installed
	dump_guest installed "$T/dump.elf"
	local release
	release=$(in_guest installed 'uname -r')
	# shellcheck disable=SC2016 # for the copy's shell
	in_copy '
		dpkg -i "$T"/build/{vlens,libvlens*,python3-vlens}_*.deb >/dev/null
		vlens --version
		vuname "$T/dump.elf" -r
		vps "$T/dump.elf" -e --no-headers | grep -c .
		vpslist --json "$T/dump.elf" | grep -c "\"pid\""
		vlens doctor "$T/dump.elf" >/dev/null
		man -w vps vlens.7 vlens-doctor libvlens.3 | grep -c .
		test -e /usr/share/bash-completion/completions/vps
		test -e /usr/share/fish/vendor_completions.d/vps.fish
		test -e /usr/share/zsh/vendor-completions/_vlens
		# A program is built with the installed library, without the source.
		cp /usr/share/doc/libvlens-dev/examples/processes.c "$T"
		cd "$T"
		cc -Wall -Wextra -Werror -o processes processes.c $(pkg-config --cflags --libs vlens)
		ldd processes | grep -q "libvlens.so.0 => /"
		./processes dump.elf >listed || ./processes ./dump.elf >listed
		grep -c . listed
		# So does a script with the installed module.
		python3 -c "import vlens; print(len(vlens.Guest(\"./dump.elf\").processes()))"
		python3 /usr/share/doc/python3-vlens/examples/task.py ./dump.elf 1 | grep -c "^comm  *init\|^comm  *busybox"
		dpkg -L vlens libvlens0 libvlens-dev python3-vlens | sort -u >files
		dpkg --purge vlens libvlens-dev python3-vlens libvlens0 >/dev/null
		while read -r file; do
			test -d "$file" || test ! -e "$file" || { echo "left: $file"; exit 1; }
		done <files
		test ! -e /var/cache/vlens
		! dpkg -s vlens 2>/dev/null
	'
	[[ ${lines[0]} == "vlens "* && ${lines[2]} == "$release" ]] || { show_run; false; }
	# The three lists are of one point in time.
	[[ ${lines[3]} -gt 50 && ${lines[3]} -eq ${lines[4]} && ${lines[6]} -eq ${lines[3]} ]] ||
		{ show_run; fail "lists differ"; }
	[[ ${lines[7]} -eq ${lines[3]} && ${lines[8]} -eq 1 ]] || { show_run; fail "Python differs"; }
	[[ ${lines[5]} -eq 4 ]] || { show_run; fail "manual pages are missing"; }
	# Nothing was installed in this system.
	[[ ! -e /usr/share/zsh/vendor-completions/_vlens ]] || dpkg -s vlens >/dev/null
}
