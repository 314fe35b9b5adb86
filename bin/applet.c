/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lookups in a table of applets and commands. */
#include "applet.h"

#include <string.h>

const struct applet *applet_find(const struct applet_table *t, const char *name, bool bare)
{
	for (size_t i = 0; i < t->nr_applets; i++) {
		const struct applet *a = &t->applets[i];

		if (!strcmp(name, a->name) || (bare && !strcmp(name, a->name + 1)))
			return a;
	}
	return NULL;
}

const struct command *command_find(const struct applet_table *t, const char *name)
{
	const struct command *c = t->commands;

	while (c->name && strcmp(name, c->name) != 0)
		c++;
	return c->name ? c : NULL;
}

bool command_is_listed(const struct command *c)
{
	return c->applet || c->summary;
}

void applets_help(const struct applet_table *t)
{
	puts("\nApplets:");
	for (size_t i = 0; i < t->nr_applets; i++)
		printf("  %-14s%s\n", t->applets[i].name, t->applets[i].summary);
	puts("\nCommands:");
	for (const struct command *c = t->commands; c->name; c++)
		if (command_is_listed(c))
			printf("  %-14s%s\n", c->name, c->applet ? c->applet->summary : c->summary);
}

const struct vl_column *view_columns(const struct view *v, int key)
{
	if (v->diff && (key == OPT_DIFF || !v->scan))
		return v->diff->columns;
	if (v->containers && key == OPT_CONTAINERS)
		return v->containers->columns;
	return v->scan ? v->scan->columns : v->columns;
}
