# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Sourced after common.sh: Debian packages of other releases, to unpack.
# A private set of package lists lives in the cache folder, so the machine's
# own apt configuration and lists stay as they are.
#
#   vt_apt_refresh           brings the private lists up to date (once a day)
#   vt_apt TOOL ARGS...      runs apt-get, apt-cache ... over the private lists
#   vt_apt_stamp             path of a file whose time is that of the lists

VT_APT=$VT_CACHE/apt

vt_apt_stamp() { printf '%s/stamp\n' "$VT_APT"; }

# Prints where this machine gets its packages from: "main URI", and perhaps "security URI". Without
# fetched lists the codename is empty, and the release that the sources name is used.
vt_apt_mirrors() {
	local own
	own=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(RELEASE)' \
		'Created-By: Packages' | awk -v own="$own" '
		{ name = NF > 2 ? $2 : $NF }
		name == own && !m { m = $1 }
		name == own "-security" && !s { s = $1 }
		END { if (m) print "main", m; if (s) print "security", s }'
}

vt_apt() {
	local tool=$1
	shift
	# apt also reads the machine's apt.conf.d, which may have a proxy. The
	# command line is read last, so these options win.
	"$tool" -qq \
		-o Dir::Etc::sourcelist="$VT_APT/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::lists="$VT_APT/lists" \
		-o Dir::Cache="$VT_APT" \
		-o Dir::Cache::pkgcache=pkgcache.bin \
		-o Dir::Cache::srcpkgcache=srcpkgcache.bin \
		-o APT::Sandbox::User="$(id -un)" \
		-o APT::Update::Post-Invoke::=true \
		-o Acquire::Languages=none \
		-o Acquire::Retries=3 \
		"$@"
}

# vt_apt_sources SUITE...: writes a sources.list of these suites.
vt_apt_sources() {
	local suite uri key=/usr/share/keyrings/debian-archive-keyring.gpg opts=
	[[ ! -e $key ]] || opts="[signed-by=$key] "
	for suite; do
		uri=$VT_MAIN_URI
		[[ $suite != *-security ]] || uri=$VT_SECURITY_URI
		[[ -z $uri ]] || printf 'deb %s%s %s main\n' "$opts" "$uri" "$suite"
	done >"$VT_APT/sources.list"
}

vt_apt_refresh() {
	local stamp suites suite good=()
	stamp=$(vt_apt_stamp)
	suites=(bullseye bullseye-updates bullseye-security
		bookworm bookworm-updates bookworm-security bookworm-backports
		trixie trixie-updates trixie-security trixie-backports sid)
	vt_lock "$VT_APT/lock" 8
	# Lists of other suites count as old.
	if [[ -e $stamp && -n $(find "$stamp" -mmin -1440) &&
		$(<"$stamp") == "${suites[*]}" ]]; then
		exec 8>&-
		return 0
	fi
	VT_MAIN_URI=$(vt_apt_mirrors | sed -n 's/^main //p')
	VT_SECURITY_URI=$(vt_apt_mirrors | sed -n 's/^security //p')
	[[ -n $VT_MAIN_URI ]] ||
		vt_die "this machine's apt sources name no mirror of its own release"
	mkdir -p "$VT_APT/lists/partial" "$VT_APT/archives/partial"
	vt_apt_sources "${suites[@]}"
	if ! vt_apt apt-get update >"$VT_APT/update.log" 2>&1; then
		# One suite that the mirror lacks fails the whole update:
		# find the suites that it has.
		for suite in "${suites[@]}"; do
			vt_apt_sources "$suite"
			if vt_apt apt-get update -o APT::Get::List-Cleanup=0 \
				>>"$VT_APT/update.log" 2>&1; then
				good+=("$suite")
			fi
		done
		if [[ ${#good[@]} -eq 0 ]]; then
			vt_apt_sources "${suites[@]}"
			if [[ -e $stamp ]]; then
				printf '%s: cannot refresh the package lists; using those of %s\n' \
					"${0##*/}" "$(date -r "$stamp" +%F)" >&2
				exec 8>&-
				return 0
			fi
			cat "$VT_APT/update.log" >&2
			vt_die "cannot fetch package lists from $VT_MAIN_URI"
		fi
		vt_apt_sources "${good[@]}"
	fi
	echo "${suites[*]}" >"$stamp"
	exec 8>&-
}
