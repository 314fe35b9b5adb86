/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "workset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/dirs.h"

static char *file_path(const struct vl_contact *c, const char *label)
{
	char *path, *name = strdup(label);

	/* The label is a program's name, but may be any. */
	for (char *p = name; p && *p; p++)
		if (*p == '/')
			*p = '_';
	path = name ? vl_run_path("%s.%s.pages", vl_target_run_id(c->target), name) : NULL;
	free(name);
	return path;
}

/* Guest-physical memory of the kernel between two symbols: one run, as the
 * image is loaded in one piece. */
static struct vl_view_still between(const struct vl_contact *c, const char *first,
				    const char *last)
{
	uint64_t start = vl_symbol(c->kernel, first), end = vl_symbol(c->kernel, last);
	struct vl_xlat a, b;

	if (!start || end <= start ||
	    !vl_translate(&c->pt, vl_target_read_entry, c->target, start, &a) ||
	    !vl_translate(&c->pt, vl_target_read_entry, c->target, end - 1, &b) ||
	    b.gpa - a.gpa != end - 1 - start)
		return (struct vl_view_still){ 0, 0 };
	return (struct vl_view_still){ a.gpa & VL_PAGE_MASK, (end - start) & VL_PAGE_MASK };
}

void vl_workset_load(struct vl_workset *ws, const struct vl_contact *c, const char *label)
{
	char *path = file_path(c, label), *data = NULL;
	size_t len = 0;

	memset(ws, 0, sizeof(*ws));
	ws->still[0] = between(c, "_text", "_etext");
	ws->still[1] = between(c, "__start_rodata", "__end_rodata");
	if (!path || vl_discard(vl_file_load(path, VL_WORKSET_MAX * 8 + 8, &data, &len)))
		len = 0;
	free(path);
	ws->gpas = (uint64_t *)data;
	ws->nr = len / 8 <= VL_WORKSET_MAX ? len / 8 : 0;
	for (size_t i = 0; i < ws->nr; i++)
		if (ws->gpas[i] % VL_PAGE_SIZE || (i && ws->gpas[i] <= ws->gpas[i - 1]))
			ws->nr = 0;
}

void vl_workset_save(const struct vl_workset *ws, const struct vl_contact *c, const char *label)
{
	char *path = ws->changed ? file_path(c, label) : NULL;

	if (path)
		vl_error_destroy(vl_file_store(path, ws->gpas, ws->nr * 8));
	free(path);
}

static void clear(struct vl_workset *ws)
{
	ws->changed |= ws->nr > 0;
	ws->nr = 0;
}

void vl_workset_add(struct vl_workset *ws, const struct vl_view *v)
{
	uint64_t *touched, *all;
	size_t nr_touched, nr = 0, i = 0, k = 0;

	if (vl_discard(vl_view_touched(v, ws->still, VL_WORKSET_MAX, &touched, &nr_touched))) {
		clear(ws);
		return;
	}
	all = malloc((ws->nr + nr_touched + 1) * sizeof(*all));
	while (all && (i < ws->nr || k < nr_touched)) {
		if (k == nr_touched || (i < ws->nr && ws->gpas[i] < touched[k])) {
			all[nr++] = ws->gpas[i++];
		} else {
			if (i < ws->nr && ws->gpas[i] == touched[k])
				i++;
			all[nr++] = touched[k++];
		}
	}
	free(touched);
	if (!all || nr > VL_WORKSET_MAX) {
		free(all);
		clear(ws);
		return;
	}
	ws->changed |= nr != ws->nr;
	free(ws->gpas);
	ws->gpas = all;
	ws->nr = nr;
}

void vl_workset_deinit(struct vl_workset *ws)
{
	free(ws->gpas);
	ws->gpas = NULL;
	ws->nr = 0;
}
