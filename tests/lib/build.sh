# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Sourced by ./check and ./demo in the top folder: builds in .check/.
#
#   build_set_up           installs packages, copies the source to .check/src
#   build FOLDER FLAG...   configures .check/FOLDER, makes all
#
# build_deps are words for build-aux/install-deps.
# CONFIGURE_FLAGS in the environment are more words for ./configure.

BUILD_WORK=$PWD/.check
build_deps=()

# The same source is compiled several times: in .check/, for the packages, in other checkouts.
# ccache comes first in PATH. $CC would not do: tests use it as the name of one program.
export PATH=/usr/lib/ccache:$PATH CCACHE_BASEDIR=$BUILD_WORK CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
# configure and libtool start thousands of processes, which dash does faster than bash.
[[ ! -x /bin/dash ]] || export CONFIG_SHELL=/bin/dash

build_die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# Copies the tree without the files that git ignores. So a tree that is configured in place does no
# harm, and a source file that git ignores is missing in the build.  Times are kept, so that make
# builds only changed files.
build_copy_source() {
	local file
	mkdir -p "$BUILD_WORK/src"
	if ! git -c safe.directory='*' ls-files -co --exclude-standard \
		>"$BUILD_WORK/files.all" 2>/dev/null; then
		# A release tree has no git: take all its files.
		find . \( -name .check -o -name .git \) -prune -o -type f -printf '%P\n' \
			>"$BUILD_WORK/files.all"
	fi
	while IFS= read -r file; do
		[[ ! -f $file ]] || printf '%s\n' "$file"
	done <"$BUILD_WORK/files.all" | sort >"$BUILD_WORK/files.new"
	if [[ -e $BUILD_WORK/files ]]; then
		comm -23 "$BUILD_WORK/files" "$BUILD_WORK/files.new" |
			(cd "$BUILD_WORK/src" && xargs -r -d '\n' rm -f)
	fi
	cpio --quiet -pdm "$BUILD_WORK/src" <"$BUILD_WORK/files.new" 2>/dev/null ||
		build_die "cannot copy the source to $BUILD_WORK/src"
	mv "$BUILD_WORK/files.new" "$BUILD_WORK/files"
}

build_set_up() {
	if command -v dpkg-query >/dev/null; then
		build-aux/install-deps "${build_deps[@]}" </dev/null || build_die "not all that is needed is there"
	fi
	build_copy_source
	[[ -e $BUILD_WORK/src/configure ]] ||
		(cd "$BUILD_WORK/src" && ./autogen.sh >/dev/null 2>"$BUILD_WORK/autogen.log") ||
		build_die "autogen.sh failed: $(tail -n 5 "$BUILD_WORK/autogen.log")"
}

build() {
	local dir=$BUILD_WORK/$1 words
	shift
	words="$* ${CONFIGURE_FLAGS:-}"
	mkdir -p "$dir"
	if [[ ! -e $dir/Makefile || $(cat "$dir/.flags" 2>/dev/null) != "$words" ]]; then
		# shellcheck disable=SC2086 # words
		(cd "$dir" && ../src/configure -q $words) || build_die "configure failed"
		echo "$words" >"$dir/.flags"
	fi
	make -s -C "$dir" -j"$(nproc)" all || build_die "make failed"
}
