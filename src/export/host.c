/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest as a whole: its names, clock, load, memory, taint and modules. */
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../attach/pulse.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../view/modules.h"
#include "collect.h"

/* ---- names ---- */

#define UTS_LEN 65 /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */

void vl_export_names(struct vl_collector *c)
{
	/* In the order of the labels of VL_METRIC_UNAME. */
	static const enum vl_field fields[] = { VL_F_UTS_SYSNAME,  VL_F_UTS_RELEASE,
						VL_F_UTS_VERSION,  VL_F_UTS_MACHINE,
						VL_F_UTS_NODENAME, VL_F_UTS_DOMAINNAME };
	uint64_t uts = vl_symbol(c->k, "init_uts_ns");
	char text[ARRAY_SIZE(fields)][UTS_LEN];
	const char *labels[ARRAY_SIZE(fields)];

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		labels[i] = NULL;
		if (!uts || !vl_has(c->l, fields[i]))
			continue;
		vl_read_string(c->g->reader, &c->g->space, uts + vl_offset(c->l, fields[i]),
			       text[i], UTS_LEN);
		labels[i] = text[i];
	}
	if (labels[1] && *labels[1])
		vl_sample_of(c->t, VL_METRIC_UNAME, 1, labels, ARRAY_SIZE(labels));
}

/* ---- clock ---- */

void vl_export_clock(struct vl_collector *c)
{
	uint64_t booted, uptime;

	vl_sample(c->t, VL_METRIC_PANICKED, vl_pulse_crashed(c->g->attach));
	if (!vl_raw_guest_uptime(c->g, &uptime))
		return;
	vl_sample(c->t, VL_METRIC_UPTIME, uptime);
	if (!vl_raw_guest_booted(c->g, &booted) || booted > UINT64_MAX - uptime)
		return;
	vl_sample(c->t, VL_METRIC_BOOT_TIME, booted);
	vl_sample(c->t, VL_METRIC_CLOCK, booted + uptime);
}

/* ---- load and memory ---- */

static void sample_totals(struct vl_collector *c, bool memory)
{
	struct vl_top_sample s = { .at_ns = 0 };
	/* A figure beyond its limits is unknown. */
	bool wrong = vl_discard(vl_totals_sample(&c->top->totals, NULL, &s));

	if (!memory && !wrong)
		for (unsigned i = 0; i < 3; i++)
			vl_sample(c->t, VL_METRIC_LOAD1 + i, s.load[i]);
	if (memory && s.mem.total) {
		vl_sample(c->t, VL_METRIC_MEM_TOTAL, s.mem.total);
		vl_sample(c->t, VL_METRIC_MEM_FREE, s.mem.free);
		vl_sample(c->t, VL_METRIC_MEM_AVAILABLE, s.mem.available);
		vl_sample(c->t, VL_METRIC_MEM_SHMEM, s.mem.shared);
		vl_sample(c->t, VL_METRIC_CACHE, s.mem.cache);
		if (vl_symbol(c->k, "total_swap_pages")) {
			vl_sample(c->t, VL_METRIC_SWAP_TOTAL, s.swap.total);
			vl_sample(c->t, VL_METRIC_SWAP_FREE, s.swap.free);
		}
	}
	vl_top_sample_deinit(&s);
}

void vl_export_load(struct vl_collector *c)
{
	sample_totals(c, false);
}

void vl_export_memory(struct vl_collector *c)
{
	sample_totals(c, true);
}

/* ---- taint and modules ---- */

const enum vl_field vl_export_module_fields[] = { VL_F_MOD_LIST,   VL_F_MOD_NAME,   VL_F_KSET_LIST,
						  VL_F_KOBJ_ENTRY, VL_F_MKOBJ_KOBJ, VL_F_MKOBJ_MOD,
						  VL_NR_FIELDS };

void vl_export_taint(struct vl_collector *c)
{
	uint64_t mask;

	if (vl_export_read(c, vl_symbol(c->k, "tainted_mask"), &mask, sizeof(mask)))
		vl_sample(c->t, VL_METRIC_TAINTED, mask);
}

static bool is_listed(const struct vl_module *m, size_t nr, uint64_t at)
{
	for (size_t i = 0; i < nr; i++)
		if (m[i].module == at)
			return true;
	return false;
}

/* The number of modules with a kobject that are not in the list; *@nr_ret: of those in it. */
static bool count_hidden(struct vl_collector *c, size_t *nr_ret, size_t *hidden_ret)
{
	_cleanup_free_ struct vl_module *m = NULL;
	_cleanup_free_ uint64_t *objects = NULL;
	size_t nr;

	*hidden_ret = 0;
	if (vl_discard(vl_modules_of_kobjects(c->g, &objects, &nr)) ||
	    vl_discard(vl_modules_listed(c->g, &m, nr_ret)))
		return false;
	/* The kobject of a built-in module has no struct module. */
	for (size_t i = 0; i < nr; i++)
		*hidden_ret += objects[i] && !is_listed(m, *nr_ret, objects[i]);
	return true;
}

void vl_export_modules(struct vl_collector *c)
{
	size_t nr, hidden, again;

	if (!count_hidden(c, &nr, &hidden))
		return;
	/* A module that is being loaded or removed is in only one of the two. */
	if (hidden && count_hidden(c, &nr, &again))
		hidden = again < hidden ? again : hidden;
	vl_sample(c->t, VL_METRIC_MODULES, nr);
	vl_sample(c->t, VL_METRIC_HIDDEN_MODULES, hidden);
}
