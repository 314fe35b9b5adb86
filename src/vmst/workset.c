/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "workset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/dirs.h"

char *vl_workset_name(const char *label)
{
	char *name = strdup(label);

	/* The label is a program's name; it must not name another folder. */
	for (char *p = name; p && *p; p++)
		if (*p == '/')
			*p = '_';
	return name;
}

static char *file_path(struct vl_target *t, const char *label)
{
	_cleanup_free_ char *name = vl_workset_name(label);

	return name ? vl_run_path("%s.%s.pages", vl_target_run_id(t), name) : NULL;
}

/*
 * The guest-physical range between two symbols of the kernel, which is contiguous: the image is
 * loaded in one piece. Empty if it is not known.
 */
static struct vl_snapshot_still between(const struct vl_attach *attach, const char *first,
					const char *last)
{
	uint64_t start = vl_symbol(attach->kernel, first), end = vl_symbol(attach->kernel, last);
	struct vl_xlat a, b;

	if (!start || end <= start ||
	    !vl_translate(&attach->pt, vl_target_read_entry, attach->target, start, &a) ||
	    !vl_translate(&attach->pt, vl_target_read_entry, attach->target, end - 1, &b) ||
	    b.gpa - a.gpa != end - 1 - start)
		return (struct vl_snapshot_still){ 0, 0 };
	/*
	 * Whole pages: the next section starts on its own page, and patches in the last page
	 * must stay, too.
	 */
	end = (b.gpa | (VL_PAGE_SIZE - 1)) + 1;
	return (struct vl_snapshot_still){ a.gpa & VL_PAGE_MASK, end - (a.gpa & VL_PAGE_MASK) };
}

void vl_workset_find_still(struct vl_workset *ws, const struct vl_attach *attach)
{
	ws->still[0] = between(attach, "_text", "_etext");
	ws->still[1] = between(attach, "__start_rodata", "__end_rodata");
}

void vl_workset_load(struct vl_workset *ws, struct vl_target *t, const char *label)
{
	char *path = label ? file_path(t, label) : NULL, *data = NULL;
	size_t len = 0;

	memset(ws, 0, sizeof(*ws));
	if (!path || vl_discard(vl_file_load(path, VL_WORKSET_MAX * 8 + 8, &data, &len)))
		len = 0;
	free(path);
	ws->gpas = (uint64_t *)data;
	ws->nr = len / 8 <= VL_WORKSET_MAX ? len / 8 : 0;
	if (!vl_workset_sane(ws->gpas, ws->nr))
		ws->nr = 0;
}

bool vl_workset_sane(const uint64_t *gpas, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (gpas[i] % VL_PAGE_SIZE || (i && gpas[i] <= gpas[i - 1]))
			return false;
	return true;
}

void vl_workset_save(const struct vl_workset *ws, struct vl_target *t, const char *label)
{
	char *path = ws->changed ? file_path(t, label) : NULL;

	if (path)
		vl_error_destroy(vl_file_store(path, ws->gpas, ws->nr * 8));
	free(path);
}

void vl_workset_update(struct vl_workset *ws, const struct vl_snapshot *v)
{
	uint64_t *pages;
	size_t nr;

	if (vl_discard(vl_snapshot_pages(v, &pages, &nr)))
		return;
	if (nr > VL_WORKSET_MAX) {
		/* A working set only grows, so empty one that is too large. */
		ws->changed |= ws->nr > 0;
		ws->nr = 0;
		free(pages);
		return;
	}
	ws->changed |= nr != ws->nr || (nr && memcmp(pages, ws->gpas, nr * sizeof(*pages)));
	free(ws->gpas);
	ws->gpas = pages;
	ws->nr = nr;
}

void vl_workset_deinit(struct vl_workset *ws)
{
	free(ws->gpas);
	ws->gpas = NULL;
	ws->nr = 0;
}
