#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Containers of a real server: control groups with the names that the runtimes give them, and
# namespaces. The tools' answers are compared with the guest's own.

# shellcheck disable=SC2016,SC2154 # commands for the guest; run sets variables

load lib/vlens
load lib/terminal

ID=3f2a0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab
POD=5d4f37a1-0c11-4d2e-9a53-6f0f1c0e7b21

# In the guest: box GROUP HOSTNAME makes the group, and in it a container with two processes.
make_boxes() {
	in_guest server "
		[ ! -e /sys/fs/cgroup/lxc.payload.db ] || exit 0
		cat >/run/box <<-'SCRIPT'
			mkdir -p \"\$1\" && echo \$\$ >\"\$1/cgroup.procs\" || exit
			exec unshare --uts --net --pid --fork sh -c \"hostname '\$2'; sleep 7777 & exec sleep 7777\"
		SCRIPT
		box() { setsid sh /run/box \"\$@\" >/dev/null 2>&1 </dev/null & }
		cd /sys/fs/cgroup
		box system.slice/docker-$ID.scope web
		box libpod_parent/libpod-a${ID#?} pod
		box kubepods.slice/kubepods-pod${POD//-/_}.slice/cri-containerd-b${ID#?}.scope app
		box lxc.payload.db dbhost
		box 'machine.slice/systemd-nspawn@a\\x2db.service' nhost
		box \"lxc.payload.\$(printf '\\033[2Jevil')\" ehost
		mkdir -p /run/v1
		mountpoint -q /run/v1 || mount -t cgroup -o freezer none /run/v1
		box /run/v1/docker/c${ID#?} old
		until [ \$(pgrep -xfc 'sleep 7777') -ge 14 ]; do sleep 0.2; done
	"
}

setup_file() {
	[[ $(id -u) -eq 0 ]] || skip "not root"
	need_guest server
	make_boxes
}

setup() {
	g=$(guest server)
}

teardown() {
	terminal_end
}

# The row of the container in the group $1 of the guest, by the guest's own account.
row() {
	in_guest server "
		pids=\$(sort -n /sys/fs/cgroup/$1/cgroup.procs)
		ps -o rss= -p \"\$(echo \$pids | tr ' ' ,)\" |
			awk -v first=\"\$(echo \$pids | cut -d' ' -f1)\" '{ n++; sum += \$1 } END { print n, sum * 1024, first }'"
}

@test "containers: runtime, id, name, processes, memory and first process" {
	local name group n rss first list
	run --separate-stderr vps --containers --no-headers -o runtime,id,name,processes,pid,comm,rss_bytes "$g"
	assert_status 0
	list=$(awk '{ print $1, $2, $3, $4, $5, $6 }' <<<"$output")
	for name in "docker 3f2a01234567 web:system.slice/docker-$ID.scope" \
		"podman af2a01234567 pod:libpod_parent/libpod-a${ID#?}" \
		"containerd bf2a01234567 app:kubepods.slice/kubepods-pod${POD//-/_}.slice/cri-containerd-b${ID#?}.scope" \
		"lxc - db:lxc.payload.db"; do
		group=${name#*:} name=${name%:*}
		read -r n rss first < <(row "$group")
		grep -qx "$name $n $first unshare" <<<"$list" || fail "no $name $n $first: $list"
		near "$rss" "$(awk -v n="$name" 'index($0, n " ") == 1 { print $7 }' <<<"$(xargs -L1 <<<"$output")")" 1000000
	done
	# A name is unescaped; a control character is shown.
	grep -q '^nspawn - a-b 3 ' <<<"$list" || fail "$list"
	grep -qF 'lxc - ^[[2Jevil 3 ' <<<"$list" || fail "$list"
}

@test "containers: in a hierarchy of version 1, though the unified one knows the service" {
	run --separate-stderr vps --containers -J "$g"
	assert_status 0
	jq -e --arg id "c${ID#?}" '.containers[] | select(.full_id == $id) |
		.runtime == "docker" and .id == "cf2a01234567" and .name == "old" and .processes == 3
		and .cgroup == "/docker/" + $id and .unit == "vlens-agent.service"' <<<"$output" || fail "$output"
	jq -e --arg pod "$POD" '.containers[] | select(.runtime == "containerd").pod == $pod' <<<"$output"
}

# Without threads of the kernel and the agent's processes, which come and go.
units() { awk '$2 !~ /^(-|vlens-agent.service)$/ { print $1, $2 }' | sort -n; }
same_units() {
	assert_same "$(in_guest server "ps -e -o pid,unit:200 --no-headers" | units)" \
		"$(vpslist --no-headers -o pid,unit "$g" | units)"
}

@test "containers: each process has the unit that ps prints in the guest" {
	tries 3 same_units
	[[ $(vpslist --no-headers -o unit "$g" | grep -c 'postgresql@15-main.service\|nginx.service') -ge 5 ]]
}

@test "containers: the column of processes, in text and JSON" {
	local pid
	pid=$(in_guest server "sort -n /sys/fs/cgroup/lxc.payload.db/cgroup.procs | head -n 1")
	run --separate-stderr vps --engine=imee --no-headers -o pid,container,unit "$g"
	assert_status 0
	assert_same "$pid lxc/db -" "$(xargs -L1 <<<"$output" | grep "^$pid ")"
	assert_same "$(vps -J "$g" | jq -r '.processes[] | select(.container) | [.pid, .container] | @tsv' | sort)" \
		"$(vpslist -J "$g" | jq -r '.processes[] | select(.container) | [.pid, .container] | @tsv' | sort)"
	assert_same 7 "$(vpslist -J "$g" | jq '[.processes[].container] - [null] | unique | length')"
	run vpslist "$g"
	[[ ${lines[0]} == *PID* && ${lines[0]} != *CONTAINER* ]] || fail "the text has it, too"
}

@test "containers: vtop in a pipe, and grouped by the key C" {
	local map='[.processes[] | select(.container) | [.pid, .container, .unit]] | sort'
	assert_same "$(vps -J "$g" | jq -c "$map")" "$(vtop -b -J -n 1 "$g" | jq -c ".guests[0] | $map")"
	# Each container once, none of them behind the processes that have none.
	run --separate-stderr vtop -b -n 1 --no-headers -s container -o container=,unit=,pid= "$g"
	assert_status 0
	assert_same 8 "$(sed '1,/^Engine/d; /^$/d' <<<"$output" | awk '{ print $1 }' | uniq | wc -l)"
	# A sum in front of each.
	run --separate-stderr vtop -b -n 1 --no-headers --group -o container=,res=,threads=,command= "$g"
	assert_status 0
	assert_same "lxc/db 3 processes" "$(awk '$1 == "lxc/db" && /processes/ { print $1, $4, $5 }' <<<"$output")"
	vtop -b -J -n 1 --group "$g" | jq -e '.guests[0] | (.containers | length) == 8 and
		(.containers[-1].container == null) and (.containers[] | select(.container == "lxc/db").processes == 3) and
		(.processes as $p | [.containers[] | . as $c |
			($p | map(select(.container == $c.container)) | map(.res) | add) == $c.res] | all)'
	command -v tmux >/dev/null || skip "tmux is not installed"
	terminal
	keys "clear; vtop -d 0.2 $g; echo status=\$?" Enter
	shows ' PID .*COMMAND'
	hides CONTAINER
	keys C
	shows 'CONTAINER .*COMMAND'
	shows 'containerd/bf2a0123.*unshare'
	shows 'containerd/bf2a0123.*3 processes'
	keys C
	hides CONTAINER
	keys q
	shows 'status=0'
}

@test "containers: vlens export has the same ones" {
	run --separate-stderr vlens export --once --top=100 "$g"
	assert_status 0
	assert_same "$(vps --containers -J "$g" | jq -r '.containers[] | select(.full_id) | .runtime + ":" + .id' | sort)" \
		"$(grep -o '^vlens_cgroup_processes{.*container="[a-z]*:.f2a01234567"' <<<"$output" | sed 's/.*container="//; s/"//' | sort)"
}

# The namespace of the container in group $1, by the guest's own account: namespace $1 $2.
namespace() { in_guest server "readlink /proc/\$(head -n 1 /sys/fs/cgroup/$1/cgroup.procs)/ns/$2" | tr -dc 0-9; }

@test "containers: --as by the name, by the first digits of the id, by a namespace" {
	local word net
	net=$(namespace lxc.payload.db net)
	assert_same "$net" "$(vps --containers -J "$g" | jq '.containers[] | select(.name == "db").netns')"
	for word in db "$net"; do assert_same dbhost "$(vuname --as="$word" "$g" -n)"; done
	for word in 3f2 "$ID" web; do assert_same web "$(vuname --as="$word" "$g" -n)"; done
	[[ $(vip --as=web "$g" -o link | wc -l) -eq 1 && $(vip "$g" -o link | wc -l) -gt 1 ]]
	# Only its network, with all else of the guest's own.
	for word in db "$net"; do
		assert_same 1 "$(vip --netns="$word" "$g" -o link | wc -l)"
		assert_same "$(vuname "$g" -n)" "$(vuname --netns="$word" "$g" -n)"
		assert_same "$(in_guest server "nsenter -t \$(head -n 1 /sys/fs/cgroup/lxc.payload.db/cgroup.procs) -n ss -Htln | wc -l")" \
			"$(vss --netns="$word" "$g" -Htln | wc -l)"
	done
	# All processes that share a mount namespace with the first one.
	assert_same "$(in_guest server 'readlink /proc/1/ns/mnt' | tr -dc 0-9)" \
		"$(vpslist --no-headers -o mntns --sort pid "$g" | head -n 1 | tr -d ' ')"
	run --separate-stderr vuname --as=nobody "$g"
	assert_refused vuname "$g" "the guest has no container 'nobody'"
	run --separate-stderr vuname --as=4026539999 "$g"
	assert_refused vuname "$g" "in network or mount namespace 4026539999"
	run --separate-stderr vpeek --as=nobody "$g" 0x400000
	assert_status 3
	[[ $stderr == *"the guest has no container 'nobody'"* ]] || fail "$stderr"
	# Two of one name.
	in_guest server 'setsid sh /run/box /sys/fs/cgroup/lxc.payload.web x >/dev/null 2>&1 </dev/null &
		until [ "$(wc -l </sys/fs/cgroup/lxc.payload.web/cgroup.procs)" -ge 3 ]; do sleep 0.2; done' 2>/dev/null
	run --separate-stderr vuname --as=web "$g"
	in_guest server 'kill -9 $(cat /sys/fs/cgroup/lxc.payload.web/cgroup.procs); sleep 0.5; rmdir /sys/fs/cgroup/lxc.payload.web'
	assert_refused vuname "$g" "2 containers are called 'web'"
}

@test "containers: no name that the guest chooses counts more than an id" {
	local short=${ID:0:12} other=system.slice/docker-d${ID#?}.scope
	in_guest server "
		cd /sys/fs/cgroup
		setsid sh /run/box $other $short >/dev/null 2>&1 </dev/null &
		until [ \$(grep -c . $other/cgroup.procs 2>/dev/null || echo 0) -ge 3 ]; do sleep 0.2; done
		sleep 1"
	run --separate-stderr vuname --as="$short" "$g" -n
	assert_refused vuname "$g" "2 containers are called '$short'"
	assert_same web "$(vuname --as="$ID" "$g" -n)"
	in_guest server "echo 1 >/sys/fs/cgroup/$other/cgroup.kill"
	# Digits only, with a zero in front: no process.
	run --separate-stderr vuname --as=0123 "$g"
	assert_refused vuname "$g" "no container '0123'"
}

@test "containers: a process in groups below its container's, however deep" {
	local pid
	pid=$(in_guest server "sort -n /sys/fs/cgroup/lxc.payload.db/cgroup.procs | tail -n 1")
	in_guest server "
		d=/sys/fs/cgroup/lxc.payload.db
		for i in \$(seq 60); do d=\$d/deep-group-\$i; mkdir \$d; done
		echo $pid >\$d/cgroup.procs"
	run --separate-stderr vpslist --no-headers -o pid,container "$g"
	in_guest server "
		echo $pid >/sys/fs/cgroup/lxc.payload.db/cgroup.procs
		find /sys/fs/cgroup/lxc.payload.db -mindepth 1 -depth -type d -exec rmdir {} +"
	assert_status 0
	grep -qx "$pid *lxc/db" < <(sed 's/^ *//; s/ *$//' <<<"$output") || fail "$(grep "^ *$pid " <<<"$output")"
}

@test "JSON: each row has its guest, the time and the version of the schema" {
	local a before after
	before=$(date +%s)
	for a in vps vpslist vnetstat vlsof vlsmod vfree vuname vlist "vps --containers" "vpslist -o pid"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr $a -J "$g"
		assert_status 0
		after=$(($(date +%s) + 1))
		jq -e --arg g "$(guest_label server)" --argjson from "$before" --argjson to "$after" \
			'[.[][] | .guest == $g and .schema == 2 and .timestamp >= $from and .timestamp <= $to] |
			length > 0 and all' <<<"$output" >/dev/null || fail "$a: ${output:0:300}"
	done
	jq -e '.guests[0] | .schema == 2 and .timestamp > 1000000000 and .guest != null and .cpus[0].user_seconds > 0' \
		<<<"$(vtop -b -J -n 1 "$g")" >/dev/null
}

@test "JSON: when a process started in seconds of the epoch, and a long command line" {
	local pid start
	in_guest server 'setsid sleep $(seq 7000 7500) >/dev/null 2>&1 </dev/null & setsid sleep $(seq 7000 7100) >/dev/null 2>&1 </dev/null & sleep 1'
	run --separate-stderr vps -J "$g"
	assert_status 0
	assert_same $'false 504\ntrue 1024' "$(jq -r '.processes[] | select((.args // "") | startswith("sleep 7000 7001"))
		| "\(.args_truncated) \(.args | length | if . < 1024 then 504 else . end)"' <<<"$output" | sort)"
	pid=$(in_guest server 'pgrep -xf "sleep 7777" | head -n 1')
	# ps takes the second of the boot from two clocks, each cut to a second.
	start=$(in_guest server "date -d \"\$(ps -o lstart= -p $pid)\" +%s")
	near "$start" "$(jq ".processes[] | select(.pid == $pid).started" <<<"$output")" 2.5
	near "$start" "$(vpslist -J "$g" | jq ".processes[] | select(.pid == $pid).started")" 2.5
	in_guest server 'pkill -f "^sleep 7000"'
	jq -e '.processes[] | select(.comm == "kthreadd").args_truncated == null' <<<"$output"
}

# The kernel's image is whole, so the kernel is known.
@test "containers and units of a dump with holes: no sum of a part, no first process that may be another" {
	local share dump=$BATS_TEST_TMPDIR/dump image
	dump_guest server "$dump"
	image=$(vmem -J "$dump" | jq -r '.memory[] | select(.what == "kernel image") | .phys' | head -n 1)
	for share in 3 20; do
		"$VT_TESTS/lib/punch" "$dump" "$dump.punched" "$((SRANDOM >> 4))" "$share" \
			"$image-$(printf '%x' $((image + (64 << 20))))"
		"$VT_TESTS/lib/punch" --compare "$dump" "$dump.punched" vunits "vps --containers" || fail "share $share"
	done
}

@test "containers: a wrong use is refused" {
	run --separate-stderr vps --containers --diff "$g"
	assert_usage vps "'--containers' and '--diff' are two lists"
	run --separate-stderr vuname --containers "$g"
	assert_usage vuname "'--containers' is not an option"
	run --separate-stderr vps --engine=vmst --containers "$g"
	assert_usage vps "'--containers' is not for --engine=vmst"
	run --separate-stderr vps --containers "$g" -ef
	assert_usage vps "'-e' is not an option of raw reads, which '--containers' asks for"
	vps --containers --help | grep -q 'RUNTIME'
}
