/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time for which tasks waited for a resource, as /proc/pressure has it (PSI). */
#include "../base/array.h"
#include "collect.h"

/* The totals in ns, by enum psi_states; "some" is waiting, "full" is stalled. */
static const struct {
	enum vl_field state;
	enum vl_metric metric;
} totals[] = {
	{ VL_F_PSI_CPU_SOME, VL_METRIC_PSI_CPU },
	{ VL_F_PSI_IO_SOME, VL_METRIC_PSI_IO },
	{ VL_F_PSI_IO_FULL, VL_METRIC_PSI_IO_FULL },
	{ VL_F_PSI_MEM_SOME, VL_METRIC_PSI_MEM },
	{ VL_F_PSI_MEM_FULL, VL_METRIC_PSI_MEM_FULL },
	{ VL_F_PSI_IRQ_FULL, VL_METRIC_PSI_IRQ_FULL },
};

void vl_export_pressure(struct vl_collector *c)
{
	uint64_t group = vl_symbol(c->k, "psi_system");
	uint32_t disabled = 1;

	/* With psi=0 the kernel has the variable, and counts nothing: a static key. */
	if (!group || !vl_has(c->l, VL_F_PSI_TOTAL) ||
	    !vl_export_read(c, vl_symbol(c->k, "psi_disabled"), &disabled, sizeof(disabled)) ||
	    disabled)
		return;
	/* The first row is that of the averages (PSI_AVGS), which /proc/pressure shows. */
	for (size_t i = 0; i < ARRAY_SIZE(totals); i++) {
		uint64_t ns;

		if (vl_has(c->l, totals[i].state) &&
		    vl_export_read(c,
				   group + vl_offset(c->l, VL_F_PSI_TOTAL) +
					   8 * (uint64_t)vl_offset(c->l, totals[i].state),
				   &ns, sizeof(ns)))
			vl_sample(c->t, totals[i].metric, ns);
	}
}
