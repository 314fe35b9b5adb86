/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of functions of objects in use: open files, inodes, dentries and sockets. Each object
 * has a pointer of its own, so one object can be changed and all others left alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../view/objects.h"
#include "hooks.h"

/*
 * Many objects share one table, so each table is checked once. A kernel with all of its drivers
 * has some hundreds in use. It is a hash table, so a quarter stays free.
 */
#define TABLES 4096U
#define TABLES_MAX (TABLES / 4 * 3)

struct seen {
	uint64_t table[TABLES]; /* 0: free */
	size_t nr;
};

/* Note @table; false: it was checked, or there are too many. */
static bool is_new(struct seen *s, uint64_t table)
{
	/* Tables are far apart: the bits above those of a cache line differ. */
	size_t at = table / 64 * 0x9e3779b97f4a7c15 >> 52;

	for (; s->table[at]; at = (at + 1) % TABLES)
		if (s->table[at] == table)
			return false;
	if (s->nr == TABLES_MAX)
		return false;
	s->table[at] = table;
	s->nr++;
	return true;
}

/* One pass over the objects. */
struct objects {
	struct vl_checker *c;
	struct seen seen;
};

static void check_table(struct objects *o, uint64_t at, const char *what, uint64_t table,
			enum vl_field size)
{
	struct vl_hook h = { "objects", at, what, 0, true };
	uint32_t bytes = vl_offset(o->c->l, size) & ~7U;
	uint64_t word;

	if (!table || !bytes || !is_new(&o->seen, table))
		return;
	/* The kernel can read each table that is in use: this object has been freed meanwhile. */
	if (vl_hook_word(o->c, table, &word) && vl_hook_word(o->c, table + bytes - 8, &word))
		vl_hook_table(o->c, &h, table, bytes);
}

/* ---- open files and sockets ---- */

static void check_socket(struct objects *o, uint64_t socket, const char *what)
{
	struct vl_checker *c = o->c;
	uint64_t ops, sk, prot, calls[4];
	const struct vl_part of_socket[] = { VL_PART(SOCKET_OPS, ops), VL_PART(SOCKET_SK, sk) };
	const struct vl_part of_sock[] = {
		VL_PART(SOCK_PROT, prot),	  VL_PART(SOCK_READY, calls[0]),
		VL_PART(SOCK_SPACE, calls[1]),	  VL_PART(SOCK_CHANGE, calls[2]),
		VL_PART(SOCK_DESTRUCT, calls[3]),
	};

	if (!vl_object(c->g, socket, of_socket, ARRAY_SIZE(of_socket)))
		return;
	check_table(o, socket, what, ops, VL_F_SIZE_PROTO_OPS);
	if (!vl_object(c->g, sk, of_sock, ARRAY_SIZE(of_sock)))
		return;
	check_table(o, sk, what, prot, VL_F_SIZE_PROTO);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		vl_hook_check(c, &(struct vl_hook){ "objects", sk, what, calls[i], false });
}

static void check_file(struct objects *o, const struct vl_file_task *p,
		       const struct vl_used_file *f)
{
	uint64_t ops, inode_ops, inode_fops, dentry_ops;
	uint16_t mode;
	const struct vl_part of_file[] = { VL_PART(FILE_OPS, ops) };
	const struct vl_part of_inode[] = {
		VL_PART(INODE_OP, inode_ops),
		VL_PART(INODE_FOP, inode_fops),
		VL_PART(INODE_MODE, mode),
	};
	const struct vl_part of_dentry[] = { VL_PART(DENTRY_OPS, dentry_ops) };
	char what[96];

	if (f->fd >= 0)
		snprintf(what, sizeof(what),
			 "descriptor %" PRId32 " of process %" PRId32 " (%.16s)", f->fd, p->pid,
			 p->comm);
	else
		snprintf(what, sizeof(what), "a file of process %" PRId32 " (%.16s)", p->pid,
			 p->comm);
	if (vl_object(o->c->g, f->at, of_file, 1))
		check_table(o, f->at, what, ops, VL_F_SIZE_FILE_OPS);
	if (vl_object(o->c->g, f->path.dentry, of_dentry, 1))
		check_table(o, f->path.dentry, what, dentry_ops, VL_F_SIZE_DENTRY_OPS);
	if (!vl_object(o->c->g, f->inode, of_inode, ARRAY_SIZE(of_inode)))
		return;
	check_table(o, f->inode, what, inode_ops, VL_F_SIZE_INODE_OPS);
	check_table(o, f->inode, what, inode_fops, VL_F_SIZE_FILE_OPS);
	if (f->at && S_ISSOCK(mode))
		check_socket(o, f->private, what);
}

static struct vl_error *check_opened(struct objects *o)
{
	struct vl_opened files;
	struct vl_error *err = vl_opened_collect(o->c->g, true, &files);

	for (size_t i = 0; i < files.nr; i++)
		check_file(o, &files.tasks[files.files[i].task], &files.files[i]);
	vl_opened_deinit(&files);
	return err;
}

/* ---- inodes in memory ---- */

struct inode {
	uint64_t at, ops, fops, mapping_ops, dentry_ops;
};

static void check_inodes(struct objects *o, uint64_t super)
{
	const struct vl_layout *l = o->c->l;
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = super + vl_offset(l, VL_F_SB_INODES),
		.node = vl_offset(l, VL_F_INODE_SB_NODE),
		.stride = sizeof(struct inode),
	};
	const struct inode *inode;
	struct vl_error *err;
	size_t nr;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct inode, at));
	vl_fields_add(&fs, VL_F_INODE_OP, offsetof(struct inode, ops), 8);
	vl_fields_add(&fs, VL_F_INODE_FOP, offsetof(struct inode, fops), 8);
	vl_fields_add_through(&fs, VL_F_INODE_MAPPING, VL_F_MAPPING_OPS,
			      offsetof(struct inode, mapping_ops), 8);
	if (vl_has(l, VL_F_INODE_DENTRY) && vl_has(l, VL_F_DENTRY_ALIAS) &&
	    vl_has(l, VL_F_DENTRY_OPS))
		fs.f[fs.nr++] = (struct vl_walk_field){
			.kind = VL_FIELD_BYTES,
			.derefs = 1,
			.size = 8,
			.out = offsetof(struct inode, dentry_ops),
			.offset = { l->offset[VL_F_INODE_DENTRY],
				    l->offset[VL_F_DENTRY_OPS] - l->offset[VL_F_DENTRY_ALIAS] },
		};
	err = vl_collect(o->c->g, &w, &fs, "the inodes", &nr);
	/* A busy guest makes and frees inodes all the time: what was read is checked. */
	vl_error_destroy(err);
	inode = w.records;
	for (size_t i = 0; i < nr; i++) {
		check_table(o, inode[i].at, "an inode", inode[i].ops, VL_F_SIZE_INODE_OPS);
		check_table(o, inode[i].at, "an inode", inode[i].fops, VL_F_SIZE_FILE_OPS);
		check_table(o, inode[i].at, "the pages of an inode", inode[i].mapping_ops,
			    VL_F_SIZE_MAPPING_OPS);
		check_table(o, inode[i].at, "a name of an inode", inode[i].dentry_ops,
			    VL_F_SIZE_DENTRY_OPS);
	}
	free(w.records);
}

static struct vl_error *check_supers(struct objects *o)
{
	struct vl_fields fs = { .layout = o->c->l };
	struct vl_walk w = vl_walk_list(o->c->g, "super_blocks", VL_F_SB_LIST, 8);
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(o->c->l, VL_F_SB_INODES) || !vl_has(o->c->l, VL_F_INODE_SB_NODE))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, 0);
	err = vl_collect(o->c->g, &w, &fs, "the file systems", &nr);
	for (size_t i = 0; i < nr; i++)
		check_inodes(o, ((const uint64_t *)w.records)[i]);
	free(w.records);
	return err;
}

struct vl_error *vl_check_objects(struct vl_checker *c)
{
	struct objects *o = calloc(1, sizeof(*o));
	struct vl_error *err;

	if (!o)
		return vl_error_nomem();
	o->c = c;
	err = vl_error_first(check_opened(o), check_supers(o));
	if (o->seen.nr == TABLES_MAX)
		vl_hook_incomplete(c, "objects", "the tables of functions");
	free(o);
	return err;
}
