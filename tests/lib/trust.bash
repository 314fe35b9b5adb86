# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Loaded by the tests of trusted kernels.
# shellcheck disable=SC2034 # the tests use them

GUESTS="g510 g61 g612 g7"

# For setup_file: the guests, and a store with their kernels.
trust_begin() {
	local name
	bats_require_minimum_version 1.5.0
	[[ -x $VLENS_BUILD/tests/unit/trust-probe ]] ||
		make -s -C "$VLENS_BUILD" tests/unit/trust-probe
	# shellcheck disable=SC2086 # words
	need_guest $GUESTS
	export VLENS_TRUST_DIR=$BATS_FILE_TMPDIR/trusted
	for name in $GUESTS; do
		vlens trust add "$VLENS_TEST_RUN/$name/vmlinuz" >/dev/null
	done
}

probe() { timeout 120 "$VLENS_BUILD/tests/unit/trust-probe" "$@"; }
stored() { vlens trust list -J | jq -r ".kernels[] | select(.release | startswith(\"$1\")) | .build_id"; }

# The rows of verify that are not about a whole text. The modules are not stored here.
findings() { jq "[.findings[] | select(.site != \".text\" and .site != \"module\")] | $1" -r; }

# with_modules NAME [MODULES]: a store with the kernel of guest NAME and all of its modules, or
# these only. It is made once.
with_modules() {
	export VLENS_TRUST_DIR=$BATS_FILE_TMPDIR/modules
	[[ -e $VLENS_TRUST_DIR/$1 ]] && return
	local kernel files=$T/modules-$1 file module
	local -A wanted=()
	kernel=$(guest_options "$1" | grep -oE -- '--kernel [^ ]+')
	kernel=$("$VT_TESTS/fetch-kernel" "${kernel#* }")
	if [[ $# -eq 1 ]]; then
		files=$kernel/root
	else
		mkdir "$files"
		for module in $2; do wanted[$module]=1; done
		while read -r file; do
			module=${file##*/} module=${module%%.ko*}
			[[ -z ${wanted[${module//-/_}]:-} ]] || cp "$file" "$files"
		done < <(find "$kernel/root" -name '*.ko*')
	fi
	vlens trust add "$kernel/vmlinuz" "$files" >/dev/null
	# However deep they lie, all of them.
	assert_same "$(find "$files" -name '*.ko*' | wc -l)" \
		"$(vlens trust list -J | jq --arg r "$(<"$kernel/release")" '.kernels[] | select(.release == $r) | .modules')"
	touch "$VLENS_TRUST_DIR/$1"
}
