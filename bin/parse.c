/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parse.h"

#include <string.h>

#include "applet.h"
#include "report.h"

static const struct argp_option *find(const struct argp_option *table, const char *name, size_t len)
{
	for (; table->name; table++)
		if (strlen(table->name) == len && !memcmp(table->name, name, len))
			return table;
	return NULL;
}

static const struct argp_option *find_key(const struct argp_option *table, char c)
{
	for (; table->name; table++)
		if (table->key == c)
			return table;
	return NULL;
}

struct line {
	const char *applet;
	const char *model; /* the program that the applet else mirrors; or NULL */
	int argc, next;
	char **argv;
	parse_fn *fn;
	void *ctx;
};

static bool unknown(const struct line *l, const char *option)
{
	if (l->model)
		usage_report(l->applet,
			     "'%s' is no option of raw reads; those of %s need --engine=vmst",
			     option, l->model);
	else
		usage_report(l->applet, "unknown option '%s'", option);
	return false;
}

/* The argument of an option that has none in its own word. */
static bool next_word(struct line *l, const char *option, int len, char **ret)
{
	if (l->next == l->argc) {
		usage_report(l->applet, "option '%.*s' needs an argument", len, option);
		return false;
	}
	*ret = l->argv[l->next++];
	return true;
}

static bool parse_long(struct line *l, const struct argp_option *table, char *word)
{
	size_t len = strcspn(word + 2, "=");
	const struct argp_option *o = find(table, word + 2, len);
	char *arg = word[2 + len] ? word + 2 + len + 1 : NULL;

	if (!o)
		return unknown(l, word);
	if (arg && !o->arg) {
		usage_report(l->applet, "option '%.*s' takes no argument", (int)len + 2, word);
		return false;
	}
	if (!arg && o->arg && !next_word(l, word, (int)len + 2, &arg))
		return false;
	return l->fn(l->ctx, o->key, arg);
}

static bool parse_short(struct line *l, const struct argp_option *table, char *word)
{
	for (char *c = word + 1; *c; c++) {
		const struct argp_option *o = find_key(table, *c);
		char option[] = { '-', *c, '\0' }, *arg = NULL;

		if (!o)
			return unknown(l, option);
		if (!o->arg) {
			if (!l->fn(l->ctx, o->key, NULL))
				return false;
			continue;
		}
		arg = c + 1;
		if (!*arg && !next_word(l, option, 2, &arg))
			return false;
		return l->fn(l->ctx, o->key, arg);
	}
	return true;
}

bool parse_arguments(const struct applet *a, const struct argp_option *table, int argc, char **argv,
		     parse_fn *fn, void *ctx)
{
	struct line l = { .applet = a->name,
			  .model = a->program,
			  .argc = argc,
			  .next = 1,
			  .argv = argv,
			  .fn = fn,
			  .ctx = ctx };
	bool options = true;

	while (l.next < argc) {
		char *word = argv[l.next++];

		if (!options || word[0] != '-' || !word[1]) {
			if (!fn(ctx, ARGP_KEY_ARG, word))
				return false;
		} else if (!strcmp(word, "--")) {
			options = false;
		} else if (!(word[1] == '-' ? parse_long(&l, table, word) :
					      parse_short(&l, table, word))) {
			return false;
		}
	}
	return true;
}
