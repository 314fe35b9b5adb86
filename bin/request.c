/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "options.h"
#include "report.h"

/* ---- words ---- */

static bool is_long(const struct given *g)
{
	return g->word[1] == '-';
}

static const struct option_row *row_of(const struct given *g, unsigned scopes)
{
	return is_long(g) ? option_by_word(g->word, g->len + 2, scopes) :
			    option_by_key((unsigned char)*g->at, scopes);
}

/* All scopes of @a. Which of them apply is known when all options are read. */
static unsigned any_scope(const struct applet *a)
{
	return options_scopes(a, false) | options_scopes(a, true) |
	       (a->view.run ? SCOPE_SWITCHES : 0);
}

/* Add the options of argv[@i]. Returns the number of words that they take; 0: no memory. */
static int read_options(struct request *r, char **argv, int i)
{
	char *word = argv[i], *at = word + 1 + (word[1] == '-');
	int taken = 1;

	do {
		struct given *more = reallocarray(r->given, r->nr_given + 1, sizeof(*more)), *g;
		const struct option_row *o;
		char *rest;

		if (!more)
			return 0;
		r->given = more;
		g = &more[r->nr_given++];
		*g = (struct given){ word, at, 1, NULL };
		if (is_long(g))
			g->len = strcspn(at, "=");
		rest = at + g->len;
		o = row_of(g, any_scope(r->applet));
		if (is_long(g))
			g->value = *rest ? rest + 1 : NULL;
		else if (o && o->arg && *rest)
			g->value = rest;
		if (o && o->choice && o->choice->alone && !g->value && argv[i + 1] &&
		    *argv[i + 1] == '-') {
			g->value = (char *)o->choice->alone;
		} else if (o && o->arg && !g->value && argv[i + 1]) {
			g->value = argv[i + 1];
			taken++;
		}
		at = is_long(g) || !o || o->arg ? NULL : rest;
	} while (at && *at);
	return taken;
}

/* The first option that makes the applet read memory, by itself or by its value. NULL: none. */
static const struct given *asks_raw(const struct request *r)
{
	for (size_t i = 0; r->applet->view.run && i < r->nr_given; i++) {
		const struct given *g = &r->given[i];
		const struct option_row *o = row_of(g, any_scope(r->applet));
		const struct choice *c = o && g->value ? o->choice : NULL;

		if (row_of(g, SCOPE_SWITCHES))
			return g;
		if (c && c->reads)
			return option_value(c->name, g->value) >= (int)c->reads ? g : NULL;
	}
	return NULL;
}

/*
 * Does an option from argv[@i] on make the applet read memory? Words of a program that do so
 * cannot be told from ours: "--" stands in front of these.
 */
static bool asks_raw_later(struct request *r, char **argv, int i)
{
	const size_t before = r->nr_given;
	bool found;
	int taken = 1;

	for (; taken && argv[i] && strcmp(argv[i], "--") != 0; i += taken)
		taken = argv[i][0] == '-' && argv[i][1] ? read_options(r, argv, i) : 1;
	found = asks_raw(r);
	r->nr_given = before;
	return found;
}

bool request_read(struct request *r, const struct applet_table *t, const struct applet *a, int argc,
		  char **argv)
{
	bool ended = false;
	int taken = 1;

	*r = (struct request){
		.table = t,
		.applet = a,
		.keep = request_default_keep(),
		.dashes = SIZE_MAX,
	};
	r->words = calloc((size_t)argc + 1, sizeof(*r->words));
	r->raw = a->view.run && !a->run;
	for (int i = 1; r->words && taken && i < argc; i += taken) {
		taken = 1;
		if (ended || argv[i][0] != '-' || !argv[i][1]) {
			r->words[r->nr_words++] = argv[i];
			/* All words after the guest are the program's. */
			ended = ended || !(r->raw || asks_raw(r));
		} else if (!strcmp(argv[i], "--")) {
			ended = true;
			r->dashes = r->nr_words;
		} else {
			taken = read_options(r, argv, i);
			/* In the guest's place: all words behind it are the program's. */
			if (a->run && taken && !ended && request_has(r, OPT_ALL) &&
			    !asks_raw_later(r, argv, i + taken))
				ended = true;
		}
	}
	r->raw = r->raw || asks_raw(r);
	if (r->words && taken)
		return true;
	error_report(a->name, NULL, vl_error_nomem());
	return false;
}

void request_free(struct request *r)
{
	free(r->given);
	free(r->words);
}

bool request_has(const struct request *r, int key)
{
	for (size_t i = 0; i < r->nr_given; i++) {
		const struct option_row *o = row_of(&r->given[i], any_scope(r->applet));

		if (o && o->key == key)
			return true;
	}
	return false;
}

/* OPT_HELP or OPT_VERSION for -h or -V as the only word, where it is no other option; else 0. */
static int lone_letter(const struct request *r)
{
	const struct given *g = r->given;

	if (r->nr_given != 1 || r->nr_words || is_long(g) || g->at[1] ||
	    row_of(g, any_scope(r->applet)))
		return 0;
	return *g->at == 'h' ? OPT_HELP : *g->at == 'V' ? OPT_VERSION : 0;
}

bool request_is_about(const struct request *r)
{
	return request_has(r, OPT_HELP) || request_has(r, OPT_VERSION) || lone_letter(r);
}

int request_list(const struct request *r)
{
	return request_has(r, OPT_DIFF)	      ? OPT_DIFF :
	       request_has(r, OPT_CONTAINERS) ? OPT_CONTAINERS :
						0;
}

/* ---- all of it ---- */

/* The value of --trusted where it is a word of its own; NULL: it is none. */
static const char *trusted_word(const struct request *r)
{
	for (size_t i = 0; i < r->nr_given; i++) {
		const struct given *g = &r->given[i];
		const struct option_row *o = row_of(g, any_scope(r->applet));

		if (o && o->key == OPT_TRUSTED && !g->at[g->len] && g->value != o->choice->alone)
			return g->value;
	}
	return NULL;
}

static bool unknown(const struct request *r, const char *word)
{
	const char *name = r->applet->name, *program = r->applet->program;
	const char *kernel = r->nr_words ? NULL : trusted_word(r);
	const struct given *g = asks_raw(r);
	const struct option_row *without = g ? row_of(g, SCOPE_SWITCHES) : NULL;

	if (!program)
		usage_report(name, "unknown option '%s'", word);
	else if (kernel)
		usage_report(
			name,
			"'%s' is not an option of %s, and no guest is named before it: '%s' is the "
			"kernel of --%s; " REQUEST_STORED,
			word, name, kernel, option_name(OPT_TRUSTED), REQUEST_STORED_ARGS);
	else if (r->raw && without)
		usage_report(
			name,
			"'%s' is not an option of raw reads, which '--%s' asks for: leave one of "
			"the two out",
			word, without->name);
	else if (r->raw)
		usage_report(name, "'%s' is not an option of raw reads; those of %s need --%s=%s",
			     word, program, option_name(OPT_ENGINE), engine_name(0));
	else
		usage_report(name,
			     "'%s' is not an option of %s; options of %s go after the guest: "
			     "%s GUEST %s",
			     word, name, program, name, word);
	return false;
}

static bool check(const struct request *r, const struct given *g)
{
	const struct option_row *o = row_of(g, options_scopes(r->applet, r->raw));
	const char letter[] = { '-', *g->at, '\0' };
	const char *word = is_long(g) ? g->word : letter;

	if (!o)
		return unknown(r, r->raw ? word : g->word);
	if (!o->arg == !g->value)
		return true;
	usage_report(r->applet->name, "option '%.*s' %s argument", (int)g->len + 2, word,
		     o->arg ? "needs an" : "takes no");
	return false;
}

/* Report an option of raw reads where the guest's kernel answers. */
static bool raw_only(const struct request *r, const struct option_row *o)
{
	const struct applet *a = r->applet;

	if (o->scopes & SCOPE_SWITCHES)
		usage_report(a->name, "'--%s' is not for --%s=%s: it reads memory", o->name,
			     option_name(OPT_ENGINE), engine_name(0));
	else
		usage_report(a->name,
			     "'--%s' goes with --%s or --%s=%s; options of %s go after the guest",
			     o->name, option_name('J'), option_name(OPT_ENGINE),
			     engine_name(ENGINE_IMEE), a->program);
	return false;
}

static bool take_all(struct request *r, take_fn *take, void *ctx)
{
	const unsigned scopes = options_scopes(r->applet, r->raw);

	r->end = lone_letter(r);
	if (r->end)
		return true;
	/* Report an option of the program first: it is the likeliest mistake. */
	for (size_t i = 0; !r->raw && i < r->nr_given; i++)
		if (!check(r, &r->given[i]))
			return false;
	for (size_t i = 0; i < r->nr_given && (r->raw || !r->end); i++) {
		const struct given *g = &r->given[i];
		const struct option_row *o = row_of(g, scopes);

		if (r->raw && !check(r, g))
			return false;
		if (!r->raw && !(o->scopes & ~(SCOPE_EITHER | SCOPE_SWITCHES)))
			return raw_only(r, o);
		if (!take(r, ctx, o->key, g->value))
			return false;
	}
	if (r->end)
		return true;
	if (r->diff && r->containers)
		usage_report(r->applet->name,
			     "'--%s' and '--%s' are two lists: leave one of them out",
			     option_name(OPT_CONTAINERS), option_name(OPT_DIFF));
	else if (r->quiet && !r->diff)
		usage_report(r->applet->name, "'--%s' goes with --%s", option_name(OPT_QUIET),
			     option_name(OPT_DIFF));
	else if (r->unverified && !r->trusted)
		usage_report(r->applet->name, "'--%s' goes with --%s", option_name(OPT_UNVERIFIED),
			     option_name(OPT_TRUSTED));
	else
		return true;
	return false;
}

static void print_help(const struct request *r)
{
	const struct applet *a = r->applet;
	const struct vl_column *c = r->raw ? view_columns(&a->view, request_list(r)) : NULL;

	printf("Usage: %s [OPTION...] %s\n%s.\n", a->name,
	       r->raw && a->program ? "GUEST..." : a->args, a->summary);
	if (c)
		puts("\nColumns (* if none are asked for):");
	for (; c && c->name; c++)
		printf("  %c %-12s %s\n", c->shown || (r->trusted && c->trusted) ? '*' : ' ',
		       c->name, c->doc);
	if (a->view.scope & SCOPE_TOP)
		puts("\nKeys: F1 shows them.");
	options_list(options_scopes(a, r->raw));
	if (a->scope & SCOPE_VLENS)
		applets_help(r->table);
	fputs("\nFor more details see ", stdout);
	/* The page of "vlens doctor" is vlens-doctor(1). */
	for (const char *p = a->name; *p; p++)
		putchar(*p == ' ' ? '-' : *p);
	puts("(1).");
}

bool request_take(struct request *r, take_fn *take, void *ctx, int *status_ret)
{
	*status_ret = r->applet->usage_status;
	if (!take_all(r, take, ctx))
		return false;
	if (!r->end)
		return true;
	if (r->end == OPT_HELP || r->end == 'h')
		print_help(r);
	else if (r->end == OPT_VERSION || r->end == 'V')
		print_version(r->applet->name);
	for (size_t i = 0; r->end == OPT_LIST && i < r->table->nr_applets; i++)
		puts(r->table->applets[i].name);
	*status_ret = 0;
	return false;
}

void request_no_guest(const struct request *r)
{
	const char *kernel = trusted_word(r);

	if (kernel)
		usage_report(r->applet->name,
			     "no guest is named: '%s' is the kernel of --%s; " REQUEST_STORED,
			     kernel, option_name(OPT_TRUSTED), REQUEST_STORED_ARGS);
	else
		usage_report(r->applet->name, "no guest is named");
}

bool request_all_and_guest(const struct request *r)
{
	if (!r->nr_words || !r->all)
		return false;
	usage_report(r->applet->name, "--%s takes no guest, but '%s' is one", option_name(OPT_ALL),
		     r->words[0]);
	return true;
}

bool request_guest(struct request *r)
{
	const struct applet *a = r->applet;

	if (!r->all && (!r->nr_words || !*r->words[0])) {
		request_no_guest(r);
		return false;
	}
	r->spec = r->all ? NULL : r->words[0];
	r->args = r->words + (r->all ? 0 : 1);
	/* As with getopt, one "--" may stand between the guest and its arguments. */
	if (!a->program && *r->args && !strcmp(*r->args, "--"))
		r->args++;
	r->nr_args = (int)(r->nr_words - (size_t)(r->args - r->words));
	if (!a->needs || r->nr_args)
		return true;
	usage_report(a->name, "no %s is named", a->needs);
	return false;
}

struct vl_guest_options request_guest_options(const struct request *r)
{
	return (struct vl_guest_options){
		.target = r->scan.target,
		.engine = r->scan.engine,
		.as = r->as,
		.netns = r->netns,
		.executor = r->executor,
		.trusted = r->trusted,
		.unverified = r->unverified,
	};
}
