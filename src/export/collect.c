/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "collect.h"

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"

bool vl_export_read(const struct vl_collector *c, uint64_t va, void *buf, size_t len)
{
	return va && !vl_read(c->g->reader, &c->g->space, va, buf, len);
}

uint64_t vl_export_word(const struct vl_collector *c, uint64_t va)
{
	uint64_t v = 0;

	return vl_export_read(c, va, &v, sizeof(v)) ? v : 0;
}

static const char *const uts_symbols[] = { "init_uts_ns", NULL };
static const char *const load_symbols[] = { "avenrun", NULL };
static const char *const taint_symbols[] = { "tainted_mask", NULL };
static const char *const psi_symbols[] = { "psi_system", "psi_disabled", NULL };
static const char *const tcp_symbols[] = { "tcp_hashinfo", NULL };
static const char *const net_symbols[] = { "init_net", "snmp4_ipextstats_list", NULL };
static const char *const module_symbols[] = { "modules", "module_kset", NULL };
static const char *const tree_symbols[] = { "init_task", "init_pid_ns", NULL };

static const enum vl_field clock_fields[] = { VL_F_TK_MONO,	   VL_F_TKR_BASE,
					      VL_F_TKR_XTIME_NSEC, VL_F_TKR_SHIFT,
					      VL_F_TK_OFFS_BOOT,   VL_NR_FIELDS };
static const enum vl_field uts_fields[] = { VL_F_UTS_RELEASE, VL_F_UTS_NODENAME, VL_NR_FIELDS };
static const enum vl_field boot_fields[] = { VL_F_TK_OFFS_REAL, VL_F_TK_OFFS_BOOT, VL_NR_FIELDS };
static const enum vl_field file_fields[] = { VL_F_TASK_FILES, VL_F_FILES_FDT, VL_F_FDT_MAX,
					     VL_F_FDT_OPEN, VL_NR_FIELDS };
static const enum vl_field group_fields[] = { VL_F_TASK_CGROUPS, VL_F_CSS_SET_DFL, VL_F_CGROUP_KN,
					      VL_F_KN_NAME, VL_NR_FIELDS };

/*
 * The parts of a pass. A part is left out if its fields or variables are not known for sure; it is
 * then a sample of VL_METRIC_MISSING. @fn is NULL if another part reads its fields one by one.
 */
static const struct part {
	const char *what; /* in words */
	void (*fn)(struct vl_collector *c);
	const enum vl_field *fields;
	const char *const *symbols;
} parts[] = {
	{ "names", vl_export_names, uts_fields, uts_symbols },
	{ "uptime", vl_export_clock, clock_fields, vl_no_symbols },
	{ "clock", NULL, boot_fields, vl_no_symbols },
	{ "load", vl_export_load, vl_scan_asks, load_symbols },
	{ "memory", vl_export_memory, vl_memory_fields, vl_totals_symbols },
	{ "taints", vl_export_taint, vl_scan_asks, taint_symbols },
	{ "modules", vl_export_modules, vl_export_module_fields, module_symbols },
	{ "hidden processes", vl_export_hidden, vl_export_tree_fields, tree_symbols },
	{ "pressure", vl_export_pressure, NULL, psi_symbols },
	{ "TCP states", vl_export_tcp, vl_export_tcp_fields, tcp_symbols },
	{ "IP traffic", vl_export_traffic, NULL, net_symbols },
	{ "CPU time", vl_export_cpus, vl_cpu_fields, vl_totals_symbols },
	{ "open files", NULL, file_fields, vl_no_symbols },
	{ "control groups", NULL, group_fields, vl_no_symbols },
};

/* Can @p be read? If not, a sample says why. */
static bool bears(struct vl_collector *c, const struct part *p)
{
	_cleanup_error_ struct vl_error *err = vl_scan_bears(c->g, p->fields, p->what);

	if (!err)
		err = vl_symbols_bear(c->g, p->symbols, p->what);
	if (err)
		VL_SAMPLE(c->t, MISSING, 1, p->what, err->message);
	return !err;
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	struct vl_collector c = { .g = g, .k = g->attach->kernel, .t = t };
	struct vl_error *err = vl_scan_bears(g, vl_top_fields, "processes");

	if (!err)
		err = vl_symbols_bear(g, vl_task_symbols, "processes");
	if (!err)
		err = vl_top_open(g, &c.top);
	if (err)
		return err;
	c.l = vl_kernel_layout(c.k);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (bears(&c, &parts[i]) && parts[i].fn)
			parts[i].fn(&c);
	vl_export_tasks(&c);
	vl_top_close(c.top);
	vl_sample(t, VL_METRIC_COST, vl_clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	return c.err ? c.err : vl_table_end(t);
}

const struct vl_scan vl_scan_export = { "export", "metrics",	vl_export_columns, true,
					run,	  vl_scan_asks, vl_no_symbols };
