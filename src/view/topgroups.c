/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The container and the unit of each process of a sample. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "sample.h"

/* The texts of a group, which all its processes share. */
struct texts {
	uint32_t box, box_len, unit, unit_len;
};

static bool add(struct vl_top_sample *s, const char *text, uint32_t *at_ret, uint32_t *len_ret)
{
	size_t len = strlen(text);

	if (!vl_top_room(s, len))
		return false;
	memcpy(s->text + s->text_len, text, len);
	*at_ret = (uint32_t)s->text_len;
	*len_ret = (uint32_t)len;
	s->text_len += len;
	return true;
}

static struct texts texts_of(struct vl_top_sample *s, const struct vl_group *g)
{
	char label[VL_CONTAINER_LABEL_MAX];
	struct texts ret = { .box = 0 };

	vl_container_label(&g->container, '/', label);
	if (*label)
		add(s, label, &ret.box, &ret.box_len);
	if (g->container.unit[0])
		add(s, g->container.unit, &ret.unit, &ret.unit_len);
	return ret;
}

void vl_top_containers(struct vl_top *t, struct vl_top_sample *ret)
{
	_cleanup_free_ struct texts *all = NULL;
	size_t nr = 0, cap = 0;

	vl_groups_clear(&t->groups);
	for (size_t i = 0; i < ret->nr_tasks; i++) {
		struct vl_top_task *p = &ret->tasks[i];
		const struct vl_group *g = vl_groups_find(&t->groups, p->groups);
		const struct texts *of;

		if (!g) {
			p->lacks |= p->groups ? 1U << VL_TOP_LACKS_GROUPS : 0;
			continue;
		}
		/* New groups are the last ones; some of those before could not be read. */
		while (nr < t->groups.nr) {
			if (!vl_grow(all, cap, nr, 64))
				return;
			all[nr] = texts_of(ret, &t->groups.all[nr]);
			nr++;
		}
		of = &all[g - t->groups.all];
		p->box = of->box;
		p->box_len = of->box_len;
		p->unit = of->unit;
		p->unit_len = of->unit_len;
	}
}
