/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one program behind all names: `vps GUEST …` through a link, or
 * `vlens ps GUEST …`. The table below is the list of applets; --list, help,
 * completion and the check of the manual read it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "report.h"
#include "base/near.h"
#include "views.h"

/* clang-format off */
static const struct applet applets[] = {
	{ "vps", model_run, "GUEST [ps's options...]",
	  "Show the processes of a virtual machine, as ps does inside it",
	  "ps", "procps", 1, NULL },
	{ "vuname", model_run, "GUEST [uname's options...]",
	  "Show the kernel of a virtual machine, as uname does inside it",
	  "uname", "coreutils", 1, NULL },
	{ "vfree", model_run, "GUEST [free's options...]",
	  "Show the memory use of a virtual machine, as free does inside it",
	  "free", "procps", 1, NULL },
	{ "vlsmod", model_run, "GUEST [lsmod's options...]",
	  "Show the kernel modules of a virtual machine, as lsmod does inside it",
	  "lsmod", "kmod", 1, NULL },
	{ "vuptime", model_run, "GUEST [uptime's options...]",
	  "Show how long a virtual machine has been up, as uptime does inside it",
	  "uptime", "procps", 1, NULL },
	{ "vlsof", model_run, "GUEST [lsof's options...]",
	  "List the open files of a virtual machine, as lsof does inside it",
	  "lsof", "lsof", 1, NULL },
	{ "vipcs", model_run, "GUEST [ipcs's options...]",
	  "Show the System V IPC of a virtual machine, as ipcs does inside it",
	  "ipcs", "util-linux", 1, NULL },
	{ "vss", model_run, "GUEST [ss's options...]",
	  "Show the sockets of a virtual machine, as ss does inside it",
	  "ss", "iproute2", 1, NULL },
	{ "vip", model_run, "GUEST [ip's options...]",
	  "Show the network of a virtual machine, as ip does inside it",
	  "ip", "iproute2", 1, NULL },
	{ "vnetstat", model_run, "GUEST [netstat's options...]",
	  "Show the connections of a virtual machine, as netstat does inside it",
	  "netstat", "net-tools", 3, NULL },
	{ "vifconfig", model_run, "GUEST [ifconfig's options...]",
	  "Show the interfaces of a virtual machine, as ifconfig does inside it",
	  "ifconfig", "net-tools", 1, NULL },
	{ "varp", model_run, "GUEST [arp's options...]",
	  "Show the neighbours of a virtual machine, as arp does inside it",
	  "arp", "net-tools", 3, NULL },
	{ "vdate", model_run, "GUEST [date's options...]",
	  "Show the clock of a virtual machine, as date does inside it",
	  "date", "coreutils", 1, NULL },
	{ "vdmesg", model_run, "GUEST [dmesg's options...]",
	  "Show the kernel log of a virtual machine, as dmesg does inside it",
	  "dmesg", "util-linux", 1, NULL },
	{ "vvmstat", model_run, "GUEST [vmstat's options...]",
	  "Show how busy a virtual machine is, as vmstat does inside it",
	  "vmstat", "procps", 1, NULL },
	{ "vpidstat", model_run, "GUEST [pidstat's options...]",
	  "Show what each process of a virtual machine uses, as pidstat does inside it",
	  "pidstat", "sysstat", 1, NULL },
	{ "vmpstat", model_run, "GUEST [mpstat's options...]",
	  "Show the CPUs of a virtual machine, as mpstat does inside it",
	  "mpstat", "sysstat", 1, NULL },
	{ "viostat", model_run, "GUEST [iostat's options...]",
	  "Show the disks of a virtual machine, as iostat does inside it",
	  "iostat", "sysstat", 1, NULL },
	{ "vls", ls_run, "GUEST [ls's options...] [PATH...]",
	  "List directories of a virtual machine, as ls does inside it",
	  "ls", "coreutils", 2, NULL },
	{ "vcat", cat_run, "GUEST PATH...",
	  "Print files of a virtual machine that its kernel has in memory",
	  NULL, NULL, 1, "path" },
	{ "vlist", NULL, "[GUEST...]",
	  "List the virtual machines of this host and what is known of each",
	  NULL, NULL, 1, NULL },
	{ "vmem", NULL, "GUEST...",
	  "Show the memory map of a virtual machine, of its hardware and of its kernel",
	  NULL, NULL, 1, NULL },
	{ "vpidlist", NULL, "GUEST...",
	  "List the process ids of a virtual machine, read from its memory",
	  NULL, NULL, 1, NULL },
	{ "vpslist", NULL, "GUEST...",
	  "List the processes of a virtual machine, read from its memory",
	  NULL, NULL, 1, NULL },
	{ "vcredlist", NULL, "GUEST...",
	  "List the credentials of a virtual machine's processes, read from its memory",
	  NULL, NULL, 1, NULL },
	{ "vtop", NULL, "[GUEST...]",
	  "Watch virtual machines and their processes, as htop does, from outside",
	  NULL, NULL, 1, NULL },
	{ "vsyscalldump", NULL, "GUEST...",
	  "Show and check the system calls of a virtual machine's kernel",
	  NULL, NULL, 1, NULL },
	{ "vpeek", NULL, "GUEST WHAT [LENGTH]",
	  "Show memory of a virtual machine, as bytes or by its kernel's types",
	  NULL, NULL, 1, NULL },
	{ "vexec", exec_run, "GUEST COMMAND [ARG...]",
	  "Run a program of this host that sees a virtual machine in its place",
	  NULL, NULL, 1, "command" },
};
/* clang-format on */

#define NR_APPLETS ARRAY_SIZE(applets)

/* The applet called @name: "vps", and "ps" where @bare. */
static const struct applet *find_applet(const char *name, bool bare)
{
	for (size_t i = 0; i < NR_APPLETS; i++)
		if (!strcmp(name, applets[i].name) || (bare && !strcmp(name, applets[i].name + 1)))
			return &applets[i];
	return NULL;
}

/* Under which name the guest's working set is kept: the program's. */
static const char *label_of(const struct session *s)
{
	const char *name = s->applet->program ? s->applet->program : s->applet->name;
	const char *slash;

	if (s->applet->needs && s->applet->run == exec_run)
		name = s->options.args[0];
	slash = strrchr(name, '/');
	return slash ? slash + 1 : name;
}

/* With --strict: say what was answered while the guest changed; the status of that. */
static int judge(const struct session *s, int status)
{
	const struct vl_answers *n = &s->stats.answers;
	_cleanup_error_ struct vl_error *err = NULL;

	if (!s->options.strict || !n->running)
		return status;
	err = vl_error_hint(vl_error_new(VL_ERR_BLOCKED,
					 "%" PRIu64 " of %" PRIu64
					 " answers may mix several moments, "
					 "as the guest changed meanwhile",
					 n->running, n->paused + n->validated + n->running),
			    "run it again, or allow longer pauses with --max-pause");
	error_report(s->applet->name, s->options.spec, err);
	return status ? status : STATUS_GUEST;
}

static int run_applet(const struct applet *a, int argc, char **argv)
{
	const struct view *view = view_find(a->name);
	struct session s = { .applet = a };
	int status;

	argv[0] = (char *)a->name;
	if (view && (!a->run || view_wanted(argc, argv)))
		return view->run(a, view, argc, argv);
	if (!options_parse(a, argc, argv, &s.options, &status))
		return status;
	report_dirs(a->name);
	s.options.guest.label = label_of(&s);
	status = a->run(&s);
	if (s.guest)
		vl_guest_stats(s.guest, &s.stats);
	/* Of an answer; an error says itself what the kernel is at. */
	if (!s.failed)
		report_fate(a->name, s.options.spec, s.stats.fate);
	if (s.options.stats && (s.guest || s.kept))
		print_stats(&s.stats, &s.redirect, s.kept);
	status = judge(&s, status);
	vl_guest_close(s.guest);
	return status;
}

/* --- vlens itself: the second way in --- */

enum {
	OPT_LIST = 0x100,
	OPT_HELP,
	OPT_VERSION,
};

static const struct argp_option vlens_options[] = {
	{ "list", OPT_LIST, NULL, 0, "print the names of the applets, one a line", 0 },
	{ "help", OPT_HELP, NULL, 0, "print this help", 0 },
	{ "version", OPT_VERSION, NULL, 0, "print the version and what is built in", 0 },
	{ 0 },
};

struct vlens_parse {
	int option; /* the first that ends the matter */
	int applet; /* index of the word that names the applet, or 0 */
};

static error_t parse_vlens(int key, char *arg, struct argp_state *state)
{
	struct vlens_parse *p = state->input;

	(void)arg;
	switch (key) {
	case OPT_LIST:
	case OPT_HELP:
	case OPT_VERSION:
		p->option = key;
		return ECANCELED;
	case ARGP_KEY_ARG:
		p->applet = state->next - 1;
		state->next = state->argc;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void vlens_help(void)
{
	options_help(vlens_options, "vlens", "APPLET [ARG...]",
		     "Look inside a running virtual machine, or a dump of one, from outside it");
	puts("\nApplets:");
	for (size_t i = 0; i < NR_APPLETS; i++)
		printf("  %-14s%s\n", applets[i].name, applets[i].summary);
	puts("\nCommands:");
	printf("  %-14s%s\n", "doctor",
	       "Check what works on this host, and with a virtual machine");
	printf("  %-14s%s\n", "help", "Show the options of one of these");
	puts("\nFor more details see vlens(1).");
}

/* What @name could have been meant to be is said. */
static int unknown_applet(const char *name)
{
	struct vl_near near;
	char *text;

	vl_near_init(&near, name, strlen(name));
	/* All are called by two names: the one that looks like what was written. */
	for (size_t i = 0; i < NR_APPLETS; i++) {
		if (*name != 'v' || applets[i].name[1] == 'v')
			vl_near_try(&near, applets[i].name + 1);
		if (*name == 'v')
			vl_near_try(&near, applets[i].name);
	}
	vl_near_try(&near, "doctor");
	vl_near_try(&near, "help");
	text = vl_near_text(&near);
	usage_report("vlens", "no applet '%s'%s%s", name, text ? "; " : "", text ? text : "");
	free(text);
	return 1;
}

static int run_command(int argc, char **argv);

/* "help", and "help NAME", which is "NAME --help". */
static int help_run(int argc, char **argv)
{
	char help[] = "--help";
	char *words[] = { argv[1], help, NULL };

	if (argc > 2) {
		usage_report("vlens", "help is about one applet");
		return 1;
	}
	if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help")) {
		vlens_help();
		return 0;
	}
	/* What is no word for anybody has no help. */
	if (!strcmp(argv[1], "keep") || !strcmp(argv[1], "complete"))
		return unknown_applet(argv[1]);
	return run_command(2, words);
}

static int run_command(int argc, char **argv)
{
	const struct applet *a = find_applet(argv[0], true);

	if (a)
		return run_applet(a, argc, argv);
	if (!strcmp(argv[0], "doctor"))
		return doctor_run(applets, NR_APPLETS, argc, argv);
	if (!strcmp(argv[0], "help"))
		return help_run(argc, argv);
	if (!strcmp(argv[0], "keep"))
		return keep_run(argc, argv);
	if (!strcmp(argv[0], "complete"))
		return complete_run(applets, NR_APPLETS, argc, argv);
	return unknown_applet(argv[0]);
}

static int run_vlens(int argc, char **argv)
{
	static const struct argp argp = {
		.options = vlens_options,
		.parser = parse_vlens,
	};
	struct vlens_parse p = { 0 };
	const char *foreign;
	char *why;

	argv[0] = (char *)"vlens";
	if (!options_check(vlens_options, argc, argv, &why, &foreign)) {
		usage_report("vlens", "%s", why ? why : "out of memory");
		free(why);
		return 1;
	}
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP | ARGP_NO_ERRS, NULL, &p);
	switch (p.option) {
	case OPT_LIST:
		for (size_t i = 0; i < NR_APPLETS; i++)
			puts(applets[i].name);
		return 0;
	case OPT_HELP:
		vlens_help();
		return 0;
	case OPT_VERSION:
		print_version("vlens");
		return 0;
	default:
		break;
	}
	if (!p.applet) {
		usage_report("vlens", "no applet is named");
		return 1;
	}
	return run_command(argc - p.applet, argv + p.applet);
}

/*
 * A standard descriptor that is closed would be the number of the next file that is opened:
 * of a dump, of a socket. It is taken by one that can be neither read nor written, which
 * gives EBADF as a closed one does.
 */
static void take_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd < 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	const struct applet *a;
	const char *name;
	int status;

	take_standard_descriptors();
	/*
	 * The width of characters and the language of errors. Numbers have a point everywhere, and
	 * each category that is loaded costs a file.
	 */
	setlocale(LC_CTYPE, "");
	setlocale(LC_MESSAGES, "");
	/* What goes wrong is one line, and one write: others may write there too. */
	setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
	/* A parent may have ignored it; a model's pipe must end it all the same. */
	signal(SIGPIPE, SIG_DFL);
	if (argc < 1) {
		fputs("vlens: called without a name\n", stderr);
		return 1;
	}
	name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	a = find_applet(name, false);
	if (a) {
		status = run_applet(a, argc, argv);
		return close_stdout(a->name, status);
	}
	status = run_vlens(argc, argv);
	return close_stdout("vlens", status);
}
