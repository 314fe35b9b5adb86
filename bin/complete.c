/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `vlens complete`: completion scripts ask it, so they cannot drift from the program.
 *
 *   vlens complete applets          every applet and its summary
 *   vlens complete commands         the other commands of vlens
 *   vlens complete helped           the names that "vlens help" takes
 *   vlens complete options APPLET   its options, those before GUEST, one a line
 *   vlens complete valued APPLET    those of them that take a value, one a line
 *   vlens complete columns APPLET   the names that its -o takes, one a line
 *   vlens complete values APPLET OPTION  the values that the option takes, one a line
 *   vlens complete verbs APPLET     what its first word can be, one a line; else it is a guest
 *   vlens complete model APPLET     the program whose options follow GUEST
 *   vlens complete guests           names of the guests that run here
 *   vlens complete prefixes         prefixes of a guest's name that a path follows
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "report.h"

/* Print the options of @a in front of GUEST; with @valued only those with a value. */
static void list_options(const struct applet *a, bool valued)
{
	const unsigned scopes = options_scopes(a, !a->run);

	for (const struct option_row *o = option_rows; o->name; o++) {
		if (!(o->scopes & scopes) || (valued && !o->arg))
			continue;
		if (o->key < OPT_ENGINE)
			printf("-%c\n", o->key);
		printf("--%s%s\n", o->name, o->arg && !valued ? "=" : "");
	}
}

static void list_columns(const struct applet *a)
{
	const struct vl_column *c = view_columns(&a->view, 0);

	for (; c && c->name; c++)
		puts(c->name);
}

static void list_verbs(const struct applet *a)
{
	for (const char *const *v = a->verbs; v && *v; v++)
		puts(*v);
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

/* Print the values that @option of @a takes. */
static void list_values(const struct applet *a, const char *option)
{
	const struct option_row *o =
		option_by_word(option, strlen(option), options_scopes(a, !a->run));
	const char *uri = getenv("LIBVIRT_DEFAULT_URI"), *name;

	if (!o)
		return;
	if (o->key == 'o' || o->key == 's' || o->key == OPT_SORT)
		list_columns(a);
	if (o->key == 'g')
		list_guests();
	if (o->key == 'c' && uri)
		print_name(uri);
	for (size_t i = 0; o->choice && (name = o->choice->name(i)); i++)
		/* The engines behind imee only read memory: they need a view. */
		if (o->key != OPT_ENGINE || a->view.run || i <= ENGINE_IMEE)
			puts(name);
}

int complete_run(const struct applet_table *t, int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *which = argc > 2 ? argv[2] : "";
	const bool helped = !strcmp(what, "helped");
	const struct command *c;
	const struct applet *a;

	if (!strcmp(what, "guests")) {
		list_guests();
		return 0;
	}
	if (!strcmp(what, "prefixes")) {
		for (size_t i = 0; vl_host_path_prefix(i); i++)
			puts(vl_host_path_prefix(i));
		return 0;
	}
	if (helped || !strcmp(what, "commands")) {
		for (c = t->commands; c->name; c++)
			if (helped ? c->applet != NULL : command_is_listed(c))
				puts(c->name);
		if (!helped)
			return 0;
	}
	if (helped || !strcmp(what, "applets")) {
		for (size_t i = 0; i < t->nr_applets; i++)
			puts(t->applets[i].name);
		return 0;
	}
	c = command_find(t, which);
	a = c ? c->applet : applet_find(t, which, false);
	if (!a)
		return 1;
	if (!strcmp(what, "options") || !strcmp(what, "valued"))
		list_options(a, *what == 'v');
	else if (!strcmp(what, "values"))
		list_values(a, argc > 3 ? argv[3] : "");
	else if (!strcmp(what, "columns"))
		list_columns(a);
	else if (!strcmp(what, "verbs"))
		list_verbs(a);
	else if (!strcmp(what, "model") && a->program)
		puts(a->program);
	else
		return strcmp(what, "model") != 0;
	return 0;
}
