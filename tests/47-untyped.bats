#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests whose kernel has no types: views with offsets from its code, and with types that a user adds.

# shellcheck disable=SC2030,SC2031,SC2154 # bats: a test is a subshell, run sets variables

load lib/vlens
load lib/planted

setup_file() { dumps_begin; }

teardown_file() {
	dumps_end
}

setup() {
	T=$BATS_TEST_TMPDIR
}

teardown() { restore; }

# hide_types NAME: the dump of NAME, without the types that its kernel carries, also in a cache.
hide_types() {
	local btf
	use "$1"
	btf=$(address __start_BTF)
	plant "$btf" 0000
	export VLENS_CACHE_DIR=$T/cache-$1 VLENS_RUN_DIR=$T/run-$1
}

# told DUMP FOLDER ASK...: what raw views and the questions say of it, in files of the folder.
told() {
	local dump=$1 folder=$2 ask
	shift 2
	mkdir -p "$folder"
	vpslist -J "$dump" | jq .processes >"$folder/processes"
	vcredlist -J "$dump" | jq .credentials >"$folder/credentials"
	vuname --engine=direct -J "$dump" | jq .kernels >"$folder/kernels"
	for ask; do
		# shellcheck disable=SC2086 # words
		timeout 120 ${ask%% *} "$dump" ${ask#"${ask%% *}"} >"$folder/${ask//[ \/]/_}" || fail "$ask"
	done
}

# shown DUMP FOLDER: what the views say that show what a kernel's code tells of its types.
shown() {
	local tool
	for tool in "vps --engine=direct" "vfree --engine=direct" "vtop -b -n1"; do
		# shellcheck disable=SC2086 # words
		timeout 120 $tool "$1" >"$2/${tool//[ \/]/_}" || fail "$tool"
	done
	# How long it took.
	sed -i '/^Engine:/d' "$2/vtop_-b_-n1"
}

@test "a guest without types: what its code shows is as with types, the rest is refused" {
	local name ask
	for name in g510 g61 g7; do
		use "$name"
		ask=("vps -ef" "vuname -a" vuptime vlsmod vfree "vnetstat -an" "vcat /proc/1/status")
		told "$D" "$T/with" "${ask[@]}"
		shown "$D" "$T/with"
		hide_types "$name"
		told "$D" "$T/without" "${ask[@]}"
		shown "$D" "$T/without"
		diff -r "$T/with" "$T/without"
		untyped "$D"
		# The other ways are compared.
		run --separate-stderr vps --diff "$D"
		assert_status 3
		[[ $output == *"kthreadd"* && $stderr == *"the cgroups could not be compared: "*"no BTF types"* ]] ||
			{ show_run; fail "not one line"; }
	done
}

# untyped DUMP: vcheck makes the checks that need no types, and names the others.
untyped() {
	run --separate-stderr vcheck "$1"
	[[ $status -eq 3 && $output == *restrictions* && ${#stderr_lines[@]} -eq 1 &&
		$stderr == "vcheck: $1: "*"no BTF types, so these could not be checked: "* ]] || fail "$output$stderr"
}

# views DUMP FOLDER: what the views that need types say of it, in files of the folder.
views() {
	local dump=$1 folder=$2 tool
	mkdir -p "$folder"
	for tool in "vcheck -J" "vcredlist -J" "vps --engine=direct -J" "vps --diff -J" "vlsof -J"; do
		# shellcheck disable=SC2086 # words
		timeout 120 $tool "$dump" >"$folder/${tool//[ \/]/_}" || fail "$tool"
	done
}

@test "a guest without types: with types that were added, all works as with its own" {
	local id tool
	export VLENS_TYPES_DIR=$T/types VLENS_CACHE_DIR=$T/cache-own VLENS_RUN_DIR=$T/run-own
	use g61
	views "$D" "$T/with"
	vpeek "$D" init_task:task_struct.comm >"$T/with/peek"
	hide_types g61
	# What is known of it now says that there are none.
	untyped "$D"
	[[ $stderr == *"vlens types add FILE"* ]] || fail "$stderr"
	# Those of another build are not used.
	need_guest g7
	vlens types add "$VLENS_TEST_RUN/g7/vmlinuz"
	untyped "$D"
	id=$(vlens types add -J "$VLENS_TEST_RUN/g61/vmlinuz" | jq -r '.types[].build_id')
	views "$D" "$T/added"
	vpeek "$D" init_task:task_struct.comm >"$T/added/peek"
	diff -r "$T/with" "$T/added"
	# BTF alone.
	cp "$T/types/$id.types" "$T/btf"
	run --separate-stderr vlens types remove "${id:0:8}"
	assert_status 0
	run --separate-stderr vlens types list --no-headers -o build_id
	assert_status 0
	[[ -n $output && $output != *"$id"* ]] || fail "$output"
	run --separate-stderr vlens types add "$T/btf"
	assert_status 1
	[[ $stderr == *"BTF alone does not name its kernel"*"--build-id=ID"* ]] || fail "$stderr"
	run --separate-stderr vlens types add --build-id="$id" "$T/btf"
	assert_status 0
	VLENS_CACHE_DIR=$T/cache-alone VLENS_RUN_DIR=$T/run-alone views "$D" "$T/alone"
	rm "$T/with/peek"
	diff -r "$T/with" "$T/alone"
	# Of DWARF only the offsets are stored: these are the same as BTF's.
	make -s -C "$VLENS_BUILD" tests/unit/derive-probe
	"$VLENS_BUILD/tests/unit/derive-probe" "$VLENS_TEST_RUN/g61/vmlinuz" --offsets >"$T/types/$id.types"
	assert_same "$id offsets" "$(vlens types list --no-headers -o build_id,form | grep "$id" | tr -s ' ')"
	export VLENS_CACHE_DIR=$T/cache-offsets VLENS_RUN_DIR=$T/run-offsets
	views "$D" "$T/offsets"
	diff -r "$T/with" "$T/offsets"
	run --separate-stderr vpeek "$D" init_task:task_struct.comm
	assert_status 3
	[[ $stderr == *"build id $id: vlens types add FILE"* ]] || fail "$stderr"
	cp "$T/btf" "$T/types/$id.types"
	# A stored file that was damaged is no reason to guess.
	truncate -s 100000 "$T/types/$id.types"
	export VLENS_CACHE_DIR=$T/cache-short VLENS_RUN_DIR=$T/run-short
	run --separate-stderr vcheck "$D"
	assert_status 3
	[[ $stderr == *"types"* ]] || fail "$stderr"
}

@test "types from DWARF: every offset is the compiler's" {
	local file
	export VLENS_TYPES_DIR=$T/types
	cat >"$T/kernel.c" <<-END
		struct list_head { struct list_head *next, *prev; };
		typedef struct { long pad; struct { int flags; }; } thread_info_t;
		struct task_struct;
		struct task_struct {
			char pad[40];
			thread_info_t thread_info;
			union { struct { int spare, pid; }; long both; };
			int tgid;
			struct list_head tasks;
		};
		enum zone_watermarks { WMARK_MIN, WMARK_LOW = 5 };
		struct task_struct init_task;
		enum zone_watermarks mark;
		char *text = "task_struct";
	END
	for options in -gdwarf-4 -gdwarf-5 "-gdwarf-5 -gz"; do
		rm -rf "$T/types"
		# shellcheck disable=SC2086 # words
		gcc $options -shared -fPIC -Wl,--build-id -o "$T/vmlinux.debug" "$T/kernel.c"
		run --separate-stderr vlens types add --no-headers -o form "$T/vmlinux.debug"
		assert_status 0
		assert_same offsets "$output"
		file=$(echo "$T"/types/*.types)
		diff - <(grep -E '^(task_struct\.(|pid|tgid|tasks|thread_info\.flags|comm)|enum zone_watermarks\.WMARK_LOW) ' "$file" | sort) <<-END
			enum zone_watermarks.WMARK_LOW 5
			task_struct. 88
			task_struct.comm -
			task_struct.pid 60
			task_struct.tasks 72
			task_struct.tgid 64
			task_struct.thread_info.flags 48
		END
	done
	# Debug information is longer than any image that is trusted.
	rm -rf "$T/types"
	cp "$T/vmlinux.debug" "$T/vmlinux.long"
	truncate -s 600M "$T/vmlinux.long"
	run --separate-stderr vlens types add "$T/vmlinux.long"
	assert_status 0
	[[ -s $file ]] || fail "nothing is stored"
	run --separate-stderr vlens trust add "$T/vmlinux.long"
	assert_status 1
	[[ $stderr == *"longer than any kernel"* ]] || fail "$stderr"
	rm "$T/vmlinux.long"
	strip -g "$T/vmlinux.debug"
	run --separate-stderr vlens types add "$T/vmlinux.debug"
	assert_status 1
	[[ $stderr == *"it has no types"* ]] || fail "$stderr"
	echo 'int nothing;' >"$T/kernel.c"
	gcc -g -shared -fPIC -Wl,--build-id -o "$T/vmlinux.debug" "$T/kernel.c"
	run --separate-stderr vlens types add "$T/vmlinux.debug"
	assert_status 1
	[[ $stderr == *"no struct task_struct"* || $stderr == *"has no types"* ]] || fail "$stderr"
}

@test "types that cannot be used are not added, and one line says why" {
	local file=$T/vmlinuz btf id
	export VLENS_TYPES_DIR=$T/types
	need_guest g61
	cp "$VLENS_TEST_RUN/g61/vmlinuz" "$file"
	id=$(vlens types add -J "$file" | jq -r '.types[].build_id')
	btf=$T/btf
	cp "$T/types/$id.types" "$btf"
	vlens types remove "$id"
	truncate -s 3000000 "$file"
	truncate -s 100000 "$btf"
	echo "this is no kernel" >"$T/text"
	: >"$T/empty"
	# name of the file, options, what is wrong with it
	while IFS='|' read -r name options why; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr vlens types add $options "$T/$name"
		assert_status 1
		assert_empty "$output"
		[[ ${stderr_lines[0]} == "vlens types: "*"$why"* ]] || fail "$name: $stderr"
	done <<-END
		vmlinuz||cut short
		btf|--build-id=$id|BTF
		text||not a kernel
		empty||is empty
		missing||No such file
		text|--build-id=web1|not a build id
	END
	run --separate-stderr vlens types add --build-id=0123456789abcdef "$VLENS_TEST_RUN/g61/vmlinuz"
	assert_status 1
	[[ $stderr == *"of another build, $id"* ]] || fail "$stderr"
	run --separate-stderr vlens types remove "${id:0:7}"
	assert_status 1
	assert_same 0 "$(vlens types list -J | jq '.types | length')"
}

@test "a guest without types: vmem and the bytes of vpeek still work" {
	hide_types g61
	run --separate-stderr vmem -J "$D"
	assert_status 0
	jq -e '.memory[] | select(.what == "RAM")' <<<"$output"
	run --separate-stderr vpeek "$D" init_task 16
	assert_status 0
	run --separate-stderr vpeek "$D" init_task:task_struct
	assert_status 3
}
