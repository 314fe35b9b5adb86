/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares the modules in their list, in their kobjects, in mapped memory and in /proc/modules. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "diff.h"

/* MODULE_STATE_LIVE. In any other state a module is being loaded or unloaded. */
#define LIVE 0

/* Add the struct module at @module, which was not found in the list: check it first. */
static void see_module(struct vl_comparison *k, struct vl_diff_items *items, uint64_t module,
		       unsigned bit)
{
	const struct vl_layout *l = vl_kernel_layout(k->g->attach->kernel);
	char name[VL_MODULE_NAME];
	uint32_t state;

	/* It must have a state and a printable name. */
	if (vl_read_string(k->g->reader, &k->g->space, module + vl_offset(l, VL_F_MOD_NAME), name,
			   sizeof(name)) ||
	    vl_read_u32(k->g->reader, &k->g->space, module + vl_offset(l, VL_F_MOD_STATE),
			&state) ||
	    !name[0] || state > 3)
		return;
	for (const char *p = name; *p; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return;
	vl_diff_see(items, 0, name, strlen(name), module, bit, state != LIVE);
}

static struct vl_error *by_list(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	_cleanup_free_ struct vl_module *m = NULL;
	size_t nr;
	struct vl_error *err = vl_modules_listed(k->g, &m, &nr);

	for (size_t i = 0; i < nr; i++)
		vl_diff_see(items, 0, m[i].name, strnlen(m[i].name, VL_MODULE_NAME), m[i].module,
			    bit, m[i].state != LIVE);
	return err;
}

static struct vl_error *by_kobjects(struct vl_comparison *k, struct vl_diff_items *items,
				    unsigned bit)
{
	_cleanup_free_ uint64_t *m = NULL;
	size_t nr;
	struct vl_error *err = vl_modules_of_kobjects(k->g, &m, &nr);

	for (size_t i = 0; i < nr; i++)
		if (m[i])
			see_module(k, items, m[i], bit);
	return err;
}

static struct vl_error *by_memory(struct vl_comparison *k, struct vl_diff_items *items,
				  unsigned bit)
{
	_cleanup_free_ uint64_t *m = NULL;
	size_t nr;
	struct vl_error *err = vl_modules_in_memory(k->g, &m, &nr);

	for (size_t i = 0; i < nr; i++)
		see_module(k, items, m[i], bit);
	return err;
}

static struct vl_error *by_proc_modules(struct vl_comparison *k, struct vl_diff_items *items,
					unsigned bit)
{
	struct vl_error *err;
	char *buf;
	size_t len;

	err = vl_diff_ask(k->sys, "/proc/modules", "read", &buf, &len);
	if (err)
		return err;
	for (size_t at = 0; at < len;) {
		const char *line = buf + at, *eol = memchr(line, '\n', len - at);
		size_t n = eol ? (size_t)(eol - line) : len - at;
		const char *blank = memchr(line, ' ', n);

		if (blank)
			vl_diff_see(items, 0, line, (size_t)(blank - line), 0, bit, false);
		at += n + 1;
	}
	free(buf);
	return NULL;
}

enum { M_MODULE, M_LIST, M_SYSFS, M_MEMORY, M_PROC, M_OWN, M_MARK, M_STRUCT };

static const struct vl_column module_columns[] = {
	[M_MODULE] = { "MODULE", VL_CELL_TEXT, true, .doc = "name of the module" },
	[M_LIST] = { "LIST", VL_CELL_BOOL, true, .doc = "is it in the list of modules" },
	[M_SYSFS] = { "KOBJECT", VL_CELL_BOOL, true, .doc = "is it among the kobjects of modules" },
	[M_MEMORY] = { "MEMORY", VL_CELL_BOOL, true, .doc = "is it found in mapped memory" },
	[M_PROC] = { "PROC", VL_CELL_BOOL, true,
		     .doc = "does the kernel show it in /proc/modules" },
	[M_OWN] = { "OWN", VL_CELL_BOOL, false,
		    .doc = "with --trusted: does the guest's own code show it there",
		    .trusted = true },
	[M_MARK] = { "MARK", VL_CELL_TEXT, true, .doc = "what it is hidden from" },
	[M_STRUCT] = { "STRUCT", VL_CELL_HEX, false, .doc = "address of its struct module" },
	{ 0 },
};

/* The fields that the ways read, up to VL_NR_FIELDS. */
static const enum vl_field list_fields[] = { VL_F_MOD_LIST, VL_F_MOD_NAME, VL_F_MOD_STATE,
					     VL_NR_FIELDS };
static const enum vl_field kobject_fields[] = {
	VL_F_KSET_LIST, VL_F_KOBJ_ENTRY, VL_F_MKOBJ_KOBJ, VL_F_MKOBJ_MOD,
	VL_F_MOD_NAME,	VL_F_MOD_STATE,	 VL_NR_FIELDS,
};
static const enum vl_field memory_fields[] = { VL_F_MOD_MKOBJ_MOD, VL_F_MOD_NAME, VL_F_MOD_STATE,
					       VL_NR_FIELDS };

static const struct vl_diff_way module_ways[] = {
	{ "the list of modules", false, false, false, by_list, list_fields },
	{ "the kobjects", false, false, false, by_kobjects, kobject_fields },
	{ "the mapped memory", false, false, false, by_memory, memory_fields },
	{ "/proc/modules", true, false, false, by_proc_modules, NULL },
	{ "the guest's own /proc/modules", true, true, false, by_proc_modules, NULL },
};

static struct vl_error *diff_modules(struct vl_raw_guest *g, struct vl_sys *sys, struct vl_table *t)
{
	static const struct vl_diff_kind kind = {
		module_ways, ARRAY_SIZE(module_ways), M_LIST, M_MODULE, M_STRUCT, -1,
	};
	_cleanup_free_ struct vl_module *m = NULL;
	size_t nr;
	/* If the list loops, the kernel's /proc/modules would never end. */
	struct vl_error *err = vl_modules_listed(g, &m, &nr);

	if (err)
		return err;
	return vl_diff_run(g, sys, &kind, t);
}

const struct vl_diff vl_diff_modules = { "modules", "modules", module_columns, diff_modules, NULL };
