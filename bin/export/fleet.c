/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All guests of the exporter: their list, and their metrics. */
#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#include "../applet.h"
#include "../report.h"
#include "../views.h"
#include "base/clock.h"

/* The interval of the search for new guests on this host. */
#define LIST_NS (15 * VL_NSEC_PER_SEC)

static struct export_guest *known(const struct export_fleet *f, const char *spec)
{
	for (size_t i = 0; i < f->nr; i++)
		if (!strcmp(f->guests[i]->spec, spec))
			return f->guests[i];
	return NULL;
}

static bool add(struct export_fleet *f, const char *spec)
{
	struct export_guest **more = reallocarray(f->guests, f->nr + 1, sizeof(*more));
	struct export_guest *g = more ? calloc(1, sizeof(*g)) : NULL;

	if (more)
		f->guests = more;
	if (!g || !(g->spec = strdup(spec))) {
		free(g);
		return false;
	}
	g->scan = &f->request->scan;
	g->top = f->top;
	g->listed = true;
	if (!export_guest_start(g)) {
		export_guest_stop(g, false);
		return false;
	}
	f->guests[f->nr++] = g;
	return true;
}

/* End the guests that are not in the list any more. */
static void drop_gone(struct export_fleet *f)
{
	size_t nr = 0;

	for (size_t i = 0; i < f->nr; i++)
		if (f->guests[i]->listed)
			f->guests[nr++] = f->guests[i];
		else
			export_guest_stop(f->guests[i], false);
	f->nr = nr;
}

bool fleet_find(struct export_fleet *f)
{
	struct view_job *jobs = NULL;
	bool good;
	size_t nr = 0;

	if (f->listed_at && (!f->request->all || vl_now_ns() - f->listed_at < LIST_NS))
		return true;
	good = view_jobs(f->request, f->request->words, f->request->nr_words, &jobs, &nr);
	if (!good)
		return false;
	f->listed_at = vl_now_ns();
	for (size_t i = 0; i < f->nr; i++)
		f->guests[i]->listed = false;
	for (size_t i = 0; i < nr && good; i++) {
		struct export_guest *g = known(f, jobs[i].spec);

		if (g)
			g->listed = true;
		else
			good = add(f, jobs[i].spec);
	}
	view_jobs_free(jobs, nr);
	if (!good)
		error_report(f->request->applet->name, NULL, vl_error_nomem());
	drop_gone(f);
	return good;
}

void fleet_end(struct export_fleet *f)
{
	for (size_t i = 0; i < f->nr; i++)
		export_guest_stop(f->guests[i], true);
	free(f->guests);
	f->guests = NULL;
	f->nr = 0;
}

/* Report @err of @g, unless it was the last one, too. Takes it over. */
static void report(const struct export_fleet *f, struct export_guest *g, struct vl_error *err)
{
	bool same = err && g->reported && !strcmp(g->reported, err->message);

	if (err && !same)
		error_report(f->request->applet->name, g->spec, err);
	if (!same) {
		free(g->reported);
		g->reported = err ? strdup(err->message) : NULL;
	}
	vl_error_destroy(err);
}

/* The value of a guest's label: its name if that is unique, else its spec. */
static const char *label_of(const struct export_fleet *f, size_t i)
{
	const char *name = f->guests[i]->name;

	for (size_t k = 0; k < f->nr; k++)
		if (k != i &&
		    (!strcmp(f->guests[k]->name, name) || !strcmp(f->guests[k]->spec, name)))
			return f->guests[i]->spec;
	return *name ? name : f->guests[i]->spec;
}

size_t fleet_scrape(struct export_fleet *f, uint64_t ns, enum vl_export_format format,
		    struct vl_growing *out)
{
	struct vl_exported *all = calloc(f->nr + 1, sizeof(*all));
	struct vl_table *tables = calloc(f->nr + 1, sizeof(*tables));
	uint64_t deadline = vl_now_ns() + ns;
	size_t failed = 0;

	out->full = !all || !tables;
	for (size_t i = 0; !out->full && i < f->nr; i++)
		export_guest_ask(f->guests[i]);
	for (size_t i = 0; !out->full && i < f->nr; i++) {
		struct vl_error *err = NULL;

		vl_table_init(&tables[i], vl_export_columns);
		export_guest_take(f->guests[i], deadline, &tables[i], &err);
		failed += err != NULL;
		report(f, f->guests[i], err);
	}
	for (size_t i = 0; !out->full && i < f->nr; i++)
		all[i] = (struct vl_exported){ label_of(f, i), &tables[i] };
	if (!out->full)
		vl_export_write(out, all, f->nr, format);
	for (size_t i = 0; tables && i < f->nr; i++)
		vl_table_deinit(&tables[i]);
	free(tables);
	free(all);
	return failed;
}
