/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the completion scripts ask, so that they never drift from the program:
 *
 *   vlens complete applets          every applet and its summary
 *   vlens complete commands         what vlens can do besides
 *   vlens complete helped           what "vlens help" has something about
 *   vlens complete options APPLET   its options, those before GUEST, one a line
 *   vlens complete valued APPLET    those of them that take a value, one a line
 *   vlens complete columns APPLET   what its -o can show, one a line
 *   vlens complete engines APPLET   what its --engine can be, one a line
 *   vlens complete model APPLET     the program whose options follow GUEST
 *   vlens complete guests           what guests that run here can be called
 *   vlens complete prefixes         what a guest's name begins with when a path follows
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "report.h"
#include "views.h"

static void list_options(const struct argp_option *o)
{
	for (; o->name; o++) {
		if (o->key > ' ' && o->key < 0x7f)
			printf("-%c\n", o->key);
		printf("--%s%s\n", o->name, o->arg ? "=" : "");
	}
}

static void list_valued(const struct argp_option *o)
{
	for (; o->name; o++) {
		if (o->arg && o->key > ' ' && o->key < 0x7f)
			printf("-%c\n", o->key);
		if (o->arg)
			printf("--%s\n", o->name);
	}
}

static void list_columns(const struct applet *a)
{
	const struct view *v = view_find(a->name);
	const struct vl_column *c = !v ? NULL : v->scan ? v->scan->columns : v->columns;

	for (; c && c->name; c++)
		puts(c->name);
}

static void list_engines(const struct applet *a)
{
	for (size_t i = 0; (a->program || a->run) && vmst_engines[i]; i++)
		puts(vmst_engines[i]);
	puts("imee");
	for (size_t i = 0; view_find(a->name) && view_engines[i]; i++)
		puts(view_engines[i]);
}

static void print_name(const char *name)
{
	struct clean_state state = { 0 };

	print_clean(stdout, name, strlen(name), false, &state);
	print_clean_end(stdout, &state);
	putchar('\n');
}

static void list_guests(void)
{
	char **names;
	size_t nr;

	if (vl_discard(vl_host_guest_names(NULL, &names, &nr)))
		return;
	for (size_t i = 0; i < nr; i++)
		print_name(names[i]);
	vl_host_guests_free(names, nr);
}

int complete_run(const struct applet *applets, size_t nr, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *which = argc > 2 ? argv[2] : "";

	if (!strcmp(what, "guests")) {
		list_guests();
		return 0;
	}
	if (!strcmp(what, "prefixes")) {
		for (size_t i = 0; vl_host_path_prefix(i); i++)
			puts(vl_host_path_prefix(i));
		return 0;
	}
	if (!strcmp(what, "commands")) {
		puts("doctor\nhelp");
		return 0;
	}
	if (!strcmp(what, "helped"))
		puts("doctor");
	if (!strcmp(which, "doctor") && (!strcmp(what, "options") || !strcmp(what, "valued"))) {
		(*what == 'o' ? list_options : list_valued)(doctor_options);
		return 0;
	}
	for (size_t i = 0; i < nr; i++) {
		const struct applet *a = &applets[i];

		if (!strcmp(what, "applets") || !strcmp(what, "helped")) {
			printf("%s\n", a->name);
		} else if (!strcmp(which, a->name)) {
			if (!strcmp(what, "options"))
				list_options(options_of(a));
			else if (!strcmp(what, "valued"))
				list_valued(options_of(a));
			else if (!strcmp(what, "columns"))
				list_columns(a);
			else if (!strcmp(what, "engines"))
				list_engines(a);
			else if (!strcmp(what, "model") && a->program)
				printf("%s\n", a->program);
			else if (strcmp(what, "model"))
				return 1;
			return 0;
		}
	}
	return strcmp(what, "applets") && strcmp(what, "helped");
}
