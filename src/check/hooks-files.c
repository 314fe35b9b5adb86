/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of functions of files: /proc, file systems, terminals; and the kernel's helpers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "hooks.h"

/* ---- /proc ---- */

/* Entries of /proc without those of processes: each network namespace has some 100. */
#define ENTRIES_MAX (1U << 20)

struct entries {
	const struct vl_layout *l;
	uint64_t *v;
	size_t nr, cap;
	bool full;
};

static void add_entry(void *ctx, uint64_t node)
{
	struct entries *e = ctx;

	if (e->nr >= ENTRIES_MAX || !vl_grow(e->v, e->cap, e->nr, 256)) {
		e->full = true;
		return;
	}
	e->v[e->nr++] = node - vl_offset(e->l, VL_F_PDE_NODE);
}

static void check_entry(struct vl_checker *c, uint64_t entry)
{
	static const struct {
		enum vl_field at, size;
	} tables[] = {
		{ VL_F_PDE_OPS, VL_F_SIZE_PROC_OPS },
		{ VL_F_PDE_IOPS, VL_F_SIZE_INODE_OPS },
		/* A union: for some files it is a function, in the kernel's text. */
		{ VL_F_PDE_SEQ, VL_F_SIZE_SEQ_OPS },
	};
	char name[64] = "", what[96];
	uint64_t at, table;

	if (vl_has(c->l, VL_F_PDE_NAME) &&
	    vl_hook_word(c, entry + vl_offset(c->l, VL_F_PDE_NAME), &at))
		vl_read_string(c->g->reader, &c->g->space, at, name, sizeof(name));
	snprintf(what, sizeof(what), "/proc: %s", name);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		struct vl_hook h = { "files", entry, what, 0, true };

		if (!vl_has(c->l, tables[i].at) ||
		    !vl_hook_word(c, entry + vl_offset(c->l, tables[i].at), &table))
			continue;
		if (vl_place_runs(&c->places, table)) {
			h.fn = table;
			h.shown = false;
			vl_hook_check(c, &h);
		} else {
			vl_hook_table(c, &h, table, vl_offset(c->l, tables[i].size));
		}
	}
}

static void check_proc(struct vl_checker *c)
{
	struct entries e = { .l = c->l };
	uint64_t root = vl_symbol(c->k, "proc_root"), first;

	if (!root || !vl_has(c->l, VL_F_PDE_SUBDIR) || !vl_has(c->l, VL_F_PDE_NODE) ||
	    !vl_grow(e.v, e.cap, e.nr, 256))
		return;
	e.v[e.nr++] = root;
	for (size_t i = 0; i < e.nr && !e.full; i++) {
		check_entry(c, e.v[i]);
		/* The root of the tree (struct rb_root) is one pointer. */
		e.full |= !vl_hook_word(c, e.v[i] + vl_offset(c->l, VL_F_PDE_SUBDIR), &first) ||
			  !vl_tree_each(c->g, first, ENTRIES_MAX, add_entry, &e);
	}
	if (e.full)
		vl_hook_damaged(c, "files", "the tree of /proc");
	free(e.v);
}

/* ---- file systems ---- */

struct super {
	uint64_t at, ops, root;
};

static struct vl_error *check_systems(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_list(c->g, "super_blocks", VL_F_SB_LIST, sizeof(struct super));
	const struct super *s;
	struct vl_error *err;
	size_t nr;

	if (!w.head)
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct super, at));
	vl_fields_add(&fs, VL_F_SB_OP, offsetof(struct super, ops), 8);
	vl_fields_add(&fs, VL_F_SB_ROOT, offsetof(struct super, root), 8);
	err = vl_collect(c->g, &w, &fs, "the file systems", &nr);
	s = w.records;
	for (size_t i = 0; i < nr; i++) {
		struct vl_hook h = { "files", s[i].at, "a file system", 0, true };
		uint64_t inode, table;

		vl_hook_table(c, &h, s[i].ops, vl_offset(c->l, VL_F_SIZE_SB_OPS));
		h.what = "a file system's root";
		if (!s[i].root || !vl_has(c->l, VL_F_DENTRY_INODE) ||
		    !vl_hook_word(c, s[i].root + vl_offset(c->l, VL_F_DENTRY_INODE), &inode) ||
		    !inode)
			continue;
		if (vl_has(c->l, VL_F_INODE_OP) &&
		    vl_hook_word(c, inode + vl_offset(c->l, VL_F_INODE_OP), &table))
			vl_hook_table(c, &h, table, vl_offset(c->l, VL_F_SIZE_INODE_OPS));
		if (vl_has(c->l, VL_F_INODE_FOP) &&
		    vl_hook_word(c, inode + vl_offset(c->l, VL_F_INODE_FOP), &table))
			vl_hook_table(c, &h, table, vl_offset(c->l, VL_F_SIZE_FILE_OPS));
	}
	free(w.records);
	return err;
}

/* ---- terminals ---- */

/* Terminals of one driver: pty has up to 4096 (and more by a sysctl). */
#define TTYS_MAX 65536

struct driver {
	uint64_t at, ops, ttys;
	uint32_t num;
};

static void check_terminal(struct vl_checker *c, uint64_t tty)
{
	char name[64] = "";
	struct vl_hook h = { "terminals", tty, name, 0, true };
	uint64_t ldisc, table;

	if (vl_has(c->l, VL_F_TTY_NAME))
		vl_read_string(c->g->reader, &c->g->space, tty + vl_offset(c->l, VL_F_TTY_NAME),
			       name, sizeof(name));
	if (vl_has(c->l, VL_F_TTY_OPS) &&
	    vl_hook_word(c, tty + vl_offset(c->l, VL_F_TTY_OPS), &table))
		vl_hook_table(c, &h, table, vl_offset(c->l, VL_F_SIZE_TTY_OPS));
	if (vl_has(c->l, VL_F_TTY_LDISC) && vl_has(c->l, VL_F_LDISC_OPS) &&
	    vl_hook_word(c, tty + vl_offset(c->l, VL_F_TTY_LDISC), &ldisc) && ldisc &&
	    vl_hook_word(c, ldisc + vl_offset(c->l, VL_F_LDISC_OPS), &table))
		vl_hook_table(c, &h, table, vl_offset(c->l, VL_F_SIZE_LDISC_OPS));
}

static struct vl_error *check_terminals(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w =
		vl_walk_list(c->g, "tty_drivers", VL_F_TTYDRV_LIST, sizeof(struct driver));
	const struct driver *d;
	struct vl_error *err;
	size_t nr;

	if (!w.head)
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct driver, at));
	vl_fields_add(&fs, VL_F_TTYDRV_OPS, offsetof(struct driver, ops), 8);
	vl_fields_add(&fs, VL_F_TTYDRV_TTYS, offsetof(struct driver, ttys), 8);
	vl_fields_add(&fs, VL_F_TTYDRV_NUM, offsetof(struct driver, num), 4);
	err = vl_collect(c->g, &w, &fs, "the drivers of terminals", &nr);
	d = w.records;
	for (size_t i = 0; i < nr; i++) {
		uint32_t num = d[i].num < TTYS_MAX ? d[i].num : TTYS_MAX;
		_cleanup_free_ uint64_t *ttys = d[i].ttys && num ? calloc(num, 8) : NULL;

		vl_hook_table(c, &(struct vl_hook){ "terminals", d[i].at, "a driver", 0, true },
			      d[i].ops, vl_offset(c->l, VL_F_SIZE_TTY_OPS));
		if (!ttys || vl_read(c->g->reader, &c->g->space, d[i].ttys, ttys, 8UL * num))
			continue;
		for (uint32_t k = 0; k < num; k++)
			if (ttys[k])
				check_terminal(c, ttys[k]);
	}
	free(w.records);
	return err;
}

/* ---- programs that the kernel starts as root ---- */

static void check_helpers(struct vl_checker *c)
{
	static const struct {
		const char *symbol, *what, *usual[3];
	} helpers[] = {
		{ "modprobe_path",
		  "kernel.modprobe",
		  { "/sbin/modprobe", "/usr/sbin/modprobe", "/usr/bin/modprobe" } },
		{ "core_pattern", "kernel.core_pattern", { "core", "core.%p", "core" } },
		{ "poweroff_cmd",
		  "kernel.poweroff_cmd",
		  { "/sbin/poweroff", "/usr/sbin/poweroff", "/bin/systemctl poweroff" } },
		{ "reboot_cmd",
		  "kernel.reboot_cmd",
		  { "/sbin/reboot", "/usr/sbin/reboot", "/bin/systemctl reboot" } },
		{ "uevent_helper", "uevent_helper", { "", "", "" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(helpers); i++) {
		uint64_t va = vl_symbol(c->k, helpers[i].symbol);
		bool usual = false;
		char value[128];

		if (!va || vl_read_string(c->g->reader, &c->g->space, va, value, sizeof(value)))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(helpers[i].usual); k++)
			usual |= !strcmp(value, helpers[i].usual[k]);
		if (!usual)
			vl_check_show(c, &(struct vl_check_row){
						 .class = VL_CHECK_NOTE,
						 .check = "helpers",
						 .at = va,
						 .what = helpers[i].what,
						 .found = value,
					 });
	}
}

struct vl_error *vl_check_files(struct vl_checker *c)
{
	struct vl_error *err = check_systems(c);

	err = vl_error_first(err, check_terminals(c));
	check_proc(c);
	check_helpers(c);
	return err;
}
