/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the completion scripts ask, so that they never drift from the program:
 *
 *   vlens complete applets          every applet and its summary
 *   vlens complete options APPLET   the options before GUEST, one a line
 *   vlens complete model APPLET     the program whose options follow GUEST
 *   vlens complete guests           guests that run here
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "report.h"

static void list_options(void)
{
	for (const struct argp_option *o = shared_options; o->name; o++) {
		if (o->key > ' ' && o->key < 0x7f)
			printf("-%c\n", o->key);
		printf("--%s%s\n", o->name, o->arg ? "=" : "");
	}
}

static void print_name(void *ctx, const char *name)
{
	struct clean_state state = { 0 };

	(void)ctx;
	print_clean(stdout, name, strlen(name), false, &state);
	print_clean_end(stdout, &state);
	putchar('\n');
}

/* Is process @pid a QEMU that runs a machine? libvirt's are named by domain. */
static bool is_qemu(const char *pid)
{
	char path[64], comm[32] = "", arg[4096] = "";
	FILE *f;
	bool libvirt;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(comm, sizeof(comm), f))
		comm[0] = '\0';
	fclose(f);
	if (strncmp(comm, "qemu-system", 11) && strncmp(comm, "qemu-kvm", 8))
		return false;
	/* "-name guest=NAME,..." is how libvirt starts it. */
	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	libvirt = memmem(arg, fread(arg, 1, sizeof(arg), f), "\0guest=", 7);
	fclose(f);
	return !libvirt;
}

static void list_guests(void)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;

	vl_error_destroy(vl_target_list(NULL, print_name, NULL));
	if (!proc)
		return;
	while ((e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]) && is_qemu(e->d_name))
			printf("qemu:%s\n", e->d_name);
	closedir(proc);
}

int complete_run(const struct applet *applets, size_t nr, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *which = argc > 2 ? argv[2] : "";

	if (!strcmp(what, "guests")) {
		list_guests();
		return 0;
	}
	for (size_t i = 0; i < nr; i++) {
		const struct applet *a = &applets[i];

		if (!strcmp(what, "applets")) {
			printf("%s\n", a->name);
		} else if (!strcmp(which, a->name)) {
			if (!strcmp(what, "options"))
				list_options();
			else if (!strcmp(what, "model") && a->program)
				printf("%s\n", a->program);
			else if (strcmp(what, "model"))
				return 1;
			return 0;
		}
	}
	return strcmp(what, "applets") != 0;
}
