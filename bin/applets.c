/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of applets and commands. --list, help, completion and the check of the
 * manual read it.
 */
#include "applet.h"

#include "base/array.h"
#include "front.h"

/* clang-format off */
/* An applet that mirrors @model, a program of @of. Its name has a "v" in front. */
#define MIRROR(model, of, status, purpose) \
	.name = "v" model, .run = model_run, .args = "GUEST [" model "'s options...]", \
	.summary = purpose ", as " model " does inside it", .program = model, .package = of, \
	.usage_status = status, .scope = SCOPE_MIRRORED

/* An applet that only reads memory. */
#define READER(title, words, purpose) \
	.name = title, .args = words, .summary = purpose, .usage_status = 1

#ifdef VL_FRONT
/* The whole program has the tables. */
#define TABLE(what) .view = { .run = front_view, .scope = SCOPE_RAW }
#define TABLE_AND_DIFF(what, how) TABLE(what)
#define TABLE_DIFF_CONTAINERS(what, how, containers) TABLE(what)
#else
/* A table that is read from memory. */
#define TABLE(what) .view = { .run = view_run, .scope = SCOPE_RAW, .scan = &(what) }
#define TABLE_AND_DIFF(what, how) \
	.view = { .run = view_run, .scope = SCOPE_RAW, .scan = &(what), .diff = &(how) }
#define TABLE_DIFF_CONTAINERS(what, how, inside) \
	.view = { .run = view_run, .scope = SCOPE_RAW, .scan = &(what), .diff = &(how), \
		  .containers = &(inside) }
#endif

static const struct applet applets[] = {
	{ MIRROR("ps", "procps", 1, "Show the processes of a virtual machine"),
	  TABLE_DIFF_CONTAINERS(vl_scan_ps, vl_diff_processes, vl_scan_containers) },
	{ MIRROR("uname", "coreutils", 1, "Show the kernel of a virtual machine"),
	  TABLE(vl_scan_uname) },
	{ MIRROR("free", "procps", 1, "Show the memory use of a virtual machine"),
	  TABLE(vl_scan_free) },
	{ MIRROR("lsmod", "kmod", 1, "Show the kernel modules of a virtual machine"),
	  TABLE_AND_DIFF(vl_scan_modules, vl_diff_modules) },
	{ MIRROR("uptime", "procps", 1, "Show how long a virtual machine has been up"),
	  TABLE(vl_scan_uptime) },
	{ MIRROR("lsof", "lsof", 1, "List the open files of a virtual machine"),
	  TABLE(vl_scan_files) },
	{ MIRROR("ipcs", "util-linux", 1, "Show the System V IPC of a virtual machine") },
	{ MIRROR("ss", "iproute2", 1, "Show the sockets of a virtual machine"),
	  TABLE(vl_scan_sockets) },
	{ MIRROR("ip", "iproute2", 1, "Show the network of a virtual machine"),
	  TABLE(vl_scan_links) },
	{ MIRROR("netstat", "net-tools", 3, "Show the connections of a virtual machine"),
	  TABLE_AND_DIFF(vl_scan_sockets, vl_diff_sockets) },
	{ MIRROR("ifconfig", "net-tools", 1, "Show the interfaces of a virtual machine") },
	{ MIRROR("arp", "net-tools", 3, "Show the neighbours of a virtual machine") },
	{ MIRROR("date", "coreutils", 1, "Show the clock of a virtual machine") },
	{ MIRROR("dmesg", "util-linux", 1, "Show the kernel log of a virtual machine"),
	  TABLE(vl_scan_kmsg) },
	{ .name = "vjournal", .run = model_run, .args = "GUEST [journalctl's options...]",
	  .summary = "Show the journal of a virtual machine, as journalctl does inside it",
	  .program = "journalctl", .package = "systemd", .usage_status = 1,
	  .scope = SCOPE_MIRRORED },
	{ MIRROR("vmstat", "procps", 1, "Show how busy a virtual machine is") },
	{ MIRROR("pidstat", "sysstat", 1, "Show what each process of a virtual machine uses") },
	{ MIRROR("mpstat", "sysstat", 1, "Show the CPUs of a virtual machine") },
	{ MIRROR("iostat", "sysstat", 1, "Show the disks of a virtual machine") },
	{ .name = "vls", .run = ls_run, .args = "GUEST [ls's options...] [PATH...]",
	  .summary = "List directories of a virtual machine, as ls does inside it",
	  .program = "ls", .package = "coreutils", .usage_status = 2, .scope = SCOPE_MIRRORED },
#ifndef VL_FRONT
	{ .name = "vcat", .run = cat_run, .args = "GUEST PATH...",
	  .summary = "Print files of a virtual machine that its kernel has in memory",
	  .usage_status = 1, .needs = "path", .scope = SCOPE_MIRRORED },
	{ READER("vlist", "[GUEST...]",
		 "List the virtual machines of this host and what is known of each"),
	  .view = { .run = list_run, .scope = SCOPE_RAW, .columns = vl_list_columns } },
	{ READER("vmem", "GUEST...",
		 "Show the memory map of a virtual machine, of its hardware and of its kernel"),
	  TABLE(vl_scan_memory) },
	{ READER("vpidlist", "GUEST...",
		 "List the process ids of a virtual machine, read from its memory"),
	  TABLE(vl_scan_pidlist) },
	{ READER("vpslist", "GUEST...",
		 "List the processes of a virtual machine, read from its memory"),
	  TABLE(vl_scan_pslist) },
	{ READER("vcredlist", "GUEST...",
		 "List the credentials of a virtual machine's processes, read from its memory"),
	  TABLE(vl_scan_credlist) },
	{ READER("vtop", "[GUEST...]",
		 "Watch virtual machines and their processes, as htop does, from outside"),
	  .view = { .run = top_run, .scope = SCOPE_TOP, .columns = vl_top_columns } },
	{ READER("vwatch", "GUEST...",
		 "Watch what starts, ends and changes in virtual machines, as it happens"),
	  .view = { .run = watch_run, .scope = SCOPE_WATCH } },
	{ READER("vunits", "GUEST...",
		 "List the units of a virtual machine's systemd that have processes"),
	  TABLE(vl_scan_units) },
	{ READER("vsyscalldump", "GUEST...",
		 "Show and check the system calls of a virtual machine's kernel"),
	  TABLE(vl_scan_syscalls) },
	{ READER("vcheck", "GUEST...",
		 "Check a virtual machine's kernel for what hides or changes something in it"),
	  .view = { .run = view_run, .scope = SCOPE_RAW | SCOPE_CHECK | SCOPE_ATTACHED,
		    .diff = &vl_diff_check } },
	{ READER("vpeek", "GUEST WHAT [LENGTH]",
		 "Show memory of a virtual machine, as bytes or by its kernel's types"),
	  .view = { .run = peek_run, .scope = SCOPE_PEEK } },
#endif
	{ .name = "vexec", .run = exec_run, .args = "GUEST COMMAND [ARG...]",
	  .summary = "Run a program of this host that sees a virtual machine in its place",
	  .usage_status = 1, .needs = "command", .scope = SCOPE_MIRRORED | SCOPE_EXEC },
};

#ifndef VL_FRONT
static const struct applet doctor = {
	READER("vlens doctor", "[GUEST...]",
	       "Check what works on this host, and with a virtual machine"),
	.view = { .run = doctor_run, .scope = SCOPE_DOCTOR },
};

static const struct applet dump = {
	READER("vlens dump", "GUEST FILE",
	       "Save a virtual machine's memory and registers in a file"),
	.view = { .run = dump_run, .scope = SCOPE_DUMP },
};

static const struct applet export = {
	READER("vlens export", "--once | --listen=ADDRESS | --textfile=FILE [GUEST...]",
	       "Export metrics of virtual machines for Prometheus"),
	.view = { .run = export_run, .scope = SCOPE_EXPORT },
};

static const struct applet fleet = {
	READER("vlens fleet", "[HOST...] -- TOOL [ARG...]",
	       "Run a tool of vlens on many hosts, by ssh, and print lines of JSON"),
	.view = { .run = fleet_run, .scope = SCOPE_FLEET },
};

static const struct applet trust = {
	READER("vlens trust", "add FILE... | list | remove KERNEL... | verify GUEST...",
	       "Keep trusted kernels, and compare virtual machines with them"),
	.verbs = trust_verbs,
	.view = { .run = trust_run, .scope = SCOPE_TRUST | SCOPE_CHECK, .scan = &vl_scan_trust },
};

static const struct applet types = {
	READER("vlens types", "add FILE... | list | remove BUILD-ID...",
	       "Keep types of kernels whose memory has none"),
	.verbs = types_verbs,
	.view = { .run = types_run, .scope = SCOPE_TYPES, .columns = types_columns },
};
#endif
/* clang-format on */

static const struct command commands[] = {
#ifndef VL_FRONT
	{ .name = "doctor", .applet = &doctor },
	{ .name = "dump", .applet = &dump },
	{ .name = "export", .applet = &export },
	{ .name = "fleet", .applet = &fleet },
	{ .name = "trust", .applet = &trust },
	{ .name = "types", .applet = &types },
	{ .name = "help", .run = help_run, .summary = "Show the options of one of these" },
	{ .name = "far", .run = far_run },
	{ .name = "keep", .run = keep_run },
	{ .name = "complete", .run = complete_run },
#endif
	{ 0 },
};

const struct applet_table applet_table = {
	.applets = applets,
	.nr_applets = ARRAY_SIZE(applets),
	.commands = commands,
};
