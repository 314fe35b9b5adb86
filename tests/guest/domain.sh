# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables are those of tests/guest/start
#
# Sourced by start: the libvirt domain of a test guest.

xml_escape() {
	local text=${1//&/&amp;}
	text=${text//</&lt;}
	printf '%s' "${text//\'/&apos;}"
}

# Translates QEMU's name of a CPU model (max,la57=off) to libvirt's XML.
cpu_xml() {
	local features model policy word
	IFS=, read -r model features <<<"$cpu,"
	case $model in
	max) printf "<cpu mode='maximum'>" ;;
	host) printf "<cpu mode='host-passthrough'>" ;;
	*) printf "<cpu mode='custom' match='exact' check='none'><model>%s</model>" "$model" ;;
	esac
	for word in ${features//,/ }; do
		policy=require
		case $word in
		-* | *=off) policy=disable ;;
		esac
		word=${word#[-+]}
		printf "<feature policy='%s' name='%s'/>" "$policy" "${word%%=*}"
	done
	printf '</cpu>\n'
}

memory_xml() {
	case $backing in
	anon) ;;
	memfd) echo "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>" ;;
	file) echo "<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>" ;;
	hugetlbfs) echo "<memoryBacking><hugepages/><access mode='shared'/></memoryBacking>" ;;
	esac
}

domain_xml() {
	local type=qemu
	[[ $accel != kvm ]] || type=kvm
	cat <<-END
		<domain type='$type'>
		<name>$name</name>
		<memory unit='MiB'>$mem</memory>
		<vcpu>$smp</vcpu>
		$(memory_xml)
		<os>
		<type arch='x86_64' machine='$machine'>hvm</type>
		<kernel>$dir/vmlinuz</kernel>
		<initrd>$dir/initrd</initrd>
		<cmdline>$(xml_escape "$cmdline")</cmdline>
		</os>
		<features><acpi/><apic/></features>
		$(cpu_xml)
		<on_reboot>destroy</on_reboot>
		<devices>
		<serial type='file'><source path='$dir/console.log' append='on'/><target port='0'/></serial>
		<serial type='unix'><source mode='bind' path='$dir/agent.sock'/><target port='1'/></serial>
		<memballoon model='none'/>
		</devices>
		</domain>
	END
}
