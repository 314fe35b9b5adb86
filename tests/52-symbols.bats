#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Dumps whose kernels have symbols of their code only (no CONFIG_KALLSYMS_ALL), or none: tests/lib/forge
# removes them. Tools that find the addresses in another way must print the same, and all others
# refuse.

# shellcheck disable=SC2154 # run sets variables

load lib/vlens
load lib/guests

setup_file() {
	export DUMPS=$VLENS_TEST_RUN/symbol-dumps
	mkdir -p "$DUMPS"
}

teardown_file() {
	rm -rf "$DUMPS"
}

setup() {
	T=$BATS_TEST_TMPDIR
	export VLENS_TYPES_DIR=$T/types
}

# forged NAME KIND...: a dump of NAME, D, and a copy that is forged, F.
forged() {
	local name=$1
	shift
	D=$DUMPS/$name.elf F=$DUMPS/forged.elf
	need_guest "$name"
	[[ -e $D ]] || dump_guest "$name" "$D"
	cp --sparse=always "$D" "$F"
	chmod u+w "$F"
	for kind; do
		"$VT_TESTS/lib/forge" "$F" "$T/undo" "$kind"
	done
	export VLENS_CACHE_DIR=$T/cache-$name VLENS_RUN_DIR=$T/run-$name
	# On a busy machine the first attach can take longer than it may.
	for _ in {1..10}; do
		vpslist "$F" >/dev/null 2>"$T/first" || ! grep -q 'not found within' "$T/first" || continue
		break
	done
}

# rows NAME: the rows of that name of JSON, without the name of their guest.
rows() { jq ".$1 | map(del(.guest))"; }

# said DUMP FOLDER: what the kernel and the views say, in files of the folder.
said() {
	local dump=$1 folder=$2 ask
	mkdir -p "$folder"
	for ask in "vps -ef" "vuname -a" vuptime vfree vlsmod "vnetstat -an" "vss -an" "vip addr" vipcs vdmesg \
		"vls -l /" "vcat /proc/1/status" "vcat /proc/meminfo" vlsof "vifconfig -a"; do
		# shellcheck disable=SC2086 # words
		timeout 120 ${ask%% *} "$dump" ${ask#"${ask%% *}"} >"$folder/${ask//[ \/]/_}" || fail "$ask"
	done
	vpslist -J "$dump" | rows processes >"$folder/processes"
	vpidlist -J "$dump" | rows processes >"$folder/tasks"
	vcredlist -J "$dump" | rows credentials >"$folder/credentials"
	vuname --engine=direct -J "$dump" | rows kernels >"$folder/kernels"
}

# totals DUMP FOLDER: the views whose fields all kernels show in their code.
totals() {
	vps --engine=direct -J "$1" | rows processes >"$2/ps"
	vfree --engine=direct -J "$1" | rows memory >"$2/memory"
	vtop -b -n 1 "$1" | grep -v "^vtop -\|^Engine:" >"$2/top"
}

# metrics DUMP FILE: the samples of a scrape, without the guest's name, the control groups and what this
# host needed.
metrics() {
	vlens export --once "$1" | grep -v '^#\|^vlens_guest_scrape\|^vlens_guest_info' |
		sed 's/guest="[^"]*"//; s/,cgroup="[^"]*"//; s/,container="[^"]*"//' >"$2"
}

# types_too DUMP FOLDER: the views that need types.
types_too() {
	vlsmod --engine=direct -J "$1" | rows modules >"$2/modules"
	vnetstat --engine=direct -J "$1" | rows sockets >"$2/sockets"
	vlsof --engine=direct -J "$1" | rows files >"$2/files"
	vip --engine=direct -J "$1" | rows interfaces >"$2/interfaces"
	[[ -s $2/interfaces ]] || fail "no interfaces"
}

@test "symbols of code only: the same is said as with all symbols" {
	local name tool
	for name in g510 g61 g7; do
		forged "$name" data
		said "$D" "$T/all"
		totals "$D" "$T/all"
		types_too "$D" "$T/all"
		said "$F" "$T/few"
		totals "$F" "$T/few"
		types_too "$F" "$T/few"
		diff -r "$T/all" "$T/few"
		for tool in vcheck "vps --diff" vsyscalldump; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr $tool "$F"
			assert_refused "${tool%% *}" "$F" "symbols of its code only"
		done
		# Its RAM is shown, and nothing of its kernel.
		run --separate-stderr vmem "$F"
		[[ $output == *RAM* && $output != *kernel* && $stderr == *"symbols of its code only"* ]] ||
			fail "$output $stderr"
		rm -rf "$T/all" "$T/few"
	done
}

@test "neither types nor symbols of data: the same is said as with both" {
	local name
	for name in g510 g61 g7; do
		forged "$name" data untyped
		said "$D" "$T/all"
		totals "$D" "$T/all"
		said "$F" "$T/few"
		totals "$F" "$T/few"
		[[ $(wc -l <"$T/few/top") -gt 50 && -s $T/few/ps && -s $T/few/memory ]] || fail "$name"
		types_too "$D" "$T/all"
		types_too "$F" "$T/few"
		diff -r "$T/all" "$T/few"
		rm -rf "$T/all" "$T/few"
	done
}

@test "no types: lists are compared by the ways that need none, and the doctor says what there is" {
	local name at
	for name in g61 g7; do
		forged "$name" untyped
		run --separate-stderr vps --diff -J "$F"
		[[ $status -eq 3 && $stderr == *"no BTF types"*"vlens types add FILE"* ]] || fail "$stderr"
		vps --diff -J "$D" | jq '.processes[] | [.pid, .list, .tree, .proc, .mark, .comm]' >"$T/all"
		jq '.processes[] | [.pid, .list, .tree, .proc, .mark, .comm]' <<<"$output" | diff "$T/all" -
		[[ $(jq '[.processes[].cgroup] | unique | length' <<<"$output") -eq 1 ]] || fail "cgroup"
		for tool in vlsmod vnetstat; do
			"$tool" --diff -J "$D" | jq 'map_values(map(del(.guest)))' >"$T/all"
			"$tool" --diff -J "$F" | jq 'map_values(map(del(.guest)))' | diff "$T/all" -
		done
		# The metrics are those of a kernel with types, but for two parts, and say what is missing.
		metrics "$D" "$T/all"
		metrics "$F" "$T/few"
		grep -v 'node_pressure\|node_netstat_IpExt' "$T/all" |
			diff - <(grep -v vlens_guest_missing "$T/few")
		assert_same "IP traffic,pressure" "$(sed -n 's/^vlens_guest_missing.*part="\([^"]*\)",reason="the guest.*no BTF types.*/\1/p' "$T/few" | sort -f | paste -sd,)"
		! grep vlens_guest_missing "$T/all" || fail "missing"
		# The checks that need no types are made.
		run --separate-stderr vcheck "$F"
		[[ $status -eq 3 && $output == *restrictions* && ${#stderr_lines[@]} -eq 1 &&
			$stderr == *"no BTF types, so these could not be checked: "*"BPF, "*"vlens types add FILE"* ]] ||
			fail "$output$stderr"
		! grep -q '^finding' <<<"$output" || fail "$output"
		at=$(vpeek -J "$D" idt_table 8 | jq -r '.places[0].address')
		"$VT_TESTS/lib/poke" "$F" "$(dump_root "$D")" "$(printf '0x%x' $((at + 16 * 4 + 4)))" 00 >/dev/null
		"$VT_TESTS/lib/poke" "$F" "$(dump_root "$D")" "$(printf '0x%x' $((at + 16 * 4 + 6)))" 3412 >/dev/null
		run --separate-stderr vcheck -o class,check,what "$F"
		[[ $status -eq 3 ]] && grep -q '^finding *interrupts *vector 4' <<<"$output" || fail "$output$stderr"
		run vlens doctor "$F"
		[[ $output == *"kernel         Linux "*"types          it has none: its code shows "* &&
			$output == *"enough is known for vnetstat"* ]] || fail "$output"
	done
}

@test "no symbols at all: the same is said as with all, and that there are none" {
	local name tool
	for name in g510 g61 g7; do
		forged "$name" symbols
		said "$D" "$T/all"
		totals "$D" "$T/all"
		types_too "$D" "$T/all"
		said "$F" "$T/none"
		totals "$F" "$T/none"
		types_too "$F" "$T/none" 2>"$T/refused"
		# A view may be refused, for a variable that no code shows which is found.
		if [[ -s $T/refused ]]; then
			[[ $name == g7 && $(<"$T/refused") == *"does not show where tcp_hashinfo is"* ]] ||
				fail "$(<"$T/refused")"
			rm "$T/all/sockets" "$T/none/sockets"
		fi
		diff -r "$T/all" "$T/none"
		run --separate-stderr vuname --stats "$F"
		[[ $stderr == *"its kernel has no table of its symbols"* &&
			$stderr == *"symbols:        exported ones"* ]] || fail "$stderr"
		run vlens doctor "$F"
		[[ $output == *"those that it exports"* && $output =~ build\ id\ [0-9a-f]{40} ]] || fail "$output"
		for tool in vcheck "vps --diff" vsyscalldump; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr $tool "$F"
			assert_refused "${tool%% *}" "$F" "no table of its symbols"
		done
		rm -rf "$T/all" "$T/none"
	done
}

@test "neither symbols nor types: types that are added serve" {
	forged g61 symbols untyped
	run --separate-stderr vuname "$F"
	assert_refused vuname "$F" "vlens types add FILE"
	vlens types add "$("$VT_TESTS/fetch-kernel" 6.1)/vmlinuz"
	said "$D" "$T/all"
	said "$F" "$T/none"
	diff -r "$T/all" "$T/none"
}

@test "neither symbols nor a table of system calls: the guest is refused, and that is remembered" {
	forged g61 symbols calls
	run --separate-stderr vuname "$F" -a
	assert_refused vuname "$F" "no table of its symbols"
	ls "$VLENS_RUN_DIR"/*.refusal
	run --separate-stderr vpslist "$F"
	assert_refused vpslist "$F" "no table of its symbols"
}

# as_in_guest KERNEL [OPTION...]: all is said of a guest with one that was built as in the guest
# itself. Options are those of tests/guest/start. The guest runs on.
as_in_guest() {
	local release=$1 F
	"$VT_TESTS/guest/start" --name "$1" --kernel "$1" --backing memfd "${@:2}" >/dev/null 3>&- 4>&-
	F=$(guest "$1")
	same_as_guest "$1" "uname -a" "ps -ef" "ps aux" "uptime" "free" "lsmod" "lsof" "lsof -p 1" "netstat -an" \
		"ss -xa" "ip addr" "ipcs" "dmesg" "cat /proc/1/status" "vmstat -s"
	# What the views read of its memory is what its own programs say.
	release=$(in_guest "$1" "uname -r")
	[[ $(vuname --engine=direct -J "$F" | jq -r '.kernels[0].release') == "$release" ]] || fail "$release"
	in_guest "$1" "ls /proc" | grep -x '[0-9]*' | sort -n >"$T/pids"
	vpslist -J "$F" | jq -r '.processes[] | .pid' | sort -n >"$T/listed"
	# The shell in the guest that lists them has ended.
	[[ $(comm -13 "$T/pids" "$T/listed" | wc -l) -eq 0 && $(comm -23 "$T/pids" "$T/listed" | wc -l) -le 3 ]] ||
		fail "$(diff "$T/pids" "$T/listed")"
	[[ $(vpidlist -J "$F" | jq '.processes | length') -ge $(wc -l <"$T/listed") ]] || fail vpidlist
}

# need_built KERNEL: skips a test whose kernel (tests/build-kernel) is not in the cache folder; sets K.
need_built() {
	K=$(compgen -G "${VLENS_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vlens-tests}/kernels/$1-*/release") ||
		skip "its kernel takes minutes to build: tests/build-kernel $1"
	K=${K%/release}
	export VLENS_CACHE_DIR=$T/cache-$1 VLENS_RUN_DIR=$T/run-$1
}

@test "one CPU, neither types nor symbols of data: the same is said as in the guest itself" {
	need_built small
	as_in_guest small
	drop_guest small
}

@test "one CPU, no symbols at all, types that are added: the same is said as in the guest itself" {
	need_built bare
	vlens types add "$K/vmlinux"
	SAME_WITHOUT='its kernel has no table of its symbols (CONFIG_KALLSYMS)' as_in_guest bare
	drop_guest bare
}

@test "several CPUs, all symbols, no types: the same is said as in the guest itself" {
	need_built nobtf
	as_in_guest nobtf --smp 2
	drop_guest nobtf
}

# trusted_in KERNEL: a run with trusted code says the same, and nothing was changed in the guest.
trusted_in() {
	local F
	F=$(guest "$1")
	vps --trusted=auto "$F" -eo pid,ppid,uid,comm >"$T/trusted" 2>"$T/findings"
	[[ ! -s $T/findings ]] || fail "$(<"$T/findings")"
	vps "$F" -eo pid,ppid,uid,comm >"$T/plain"
	# Kernel threads come and go, and have their work in their names.
	diff <(grep -v ' ps$\| kworker/' "$T/plain") <(grep -v ' ps$\| kworker/' "$T/trusted")
	vlens trust verify -J "$F" >"$T/verified" || fail "$(<"$T/verified")"
	[[ $(jq -r '[.findings[].state] | unique | join(" ")' "$T/verified") == verified ]] ||
		fail "$(<"$T/verified")"
	vcheck "$F" >"$T/checked" || fail "$(<"$T/checked")"
	[[ $(<"$T/checked") == *"compared with the trusted kernel"*"modules: 2 of 2"* ]] ||
		fail "$(<"$T/checked")"
}

@test "clang's checks of types, by kCFI and by FineIBT: the same is said, and no finding is made of them" {
	need_built kcfi
	export VLENS_TRUST_DIR=$T/trust
	vlens trust add "$K/vmlinuz" "$K/root"
	as_in_guest kcfi --smp 2 --cpu max --append cfi=kcfi
	[[ $(in_guest kcfi dmesg) == *"Using kCFI"* ]]
	trusted_in kcfi
	drop_guest kcfi
	"$VT_TESTS/guest/start" --name kcfi --kernel kcfi --backing memfd --cpu max --append cfi=fineibt \
		>/dev/null 3>&- 4>&-
	[[ $(in_guest kcfi dmesg) == *"Using FineIBT"* ]]
	same_as_guest kcfi "ps -ef" "lsmod" "netstat -an" "cat /proc/1/status"
	trusted_in kcfi
	drop_guest kcfi
	# The kernel writes over the code that counts calls, in front of functions in assembly.
	"$VT_TESTS/guest/start" --name kcfi --kernel kcfi --backing memfd --cpu Skylake-Server \
		--append "cfi=fineibt retbleed=stuff spectre_v2=retpoline" >/dev/null 3>&- 4>&-
	[[ $(in_guest kcfi dmesg) == *"Mitigation: Stuffing"*"Using FineIBT"* ]]
	trusted_in kcfi
	drop_guest kcfi
}
