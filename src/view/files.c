/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files of processes, from their tables of descriptors. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/clock.h"
#include "../attach/attach.h"
#include "objects.h"

/* Limit of descriptors of one process: sysctl_nr_open, fs/file.c. */
#define MAX_FDS (1U << 20)
/* Pointers read at a time. */
#define CHUNK 512U
/* Limit of a path's components and crossed mounts. */
#define MAX_STEPS 512
#define NAME_MAX_LEN 255U

const enum vl_field vl_opened_fields[] = {
	VL_F_TASK_TASKS, VL_F_TASK_TGID,    VL_F_TASK_COMM,  VL_F_TASK_FILES,
	VL_F_FILES_FDT,	 VL_F_FDT_MAX,	    VL_F_FDT_FD,     VL_F_FILE_DENTRY,
	VL_F_FILE_INODE, VL_F_FILE_PRIVATE, VL_F_INODE_MODE, VL_NR_FIELDS,
};

const enum vl_field vl_name_fields[] = {
	VL_F_TASK_TASKS,    VL_F_TASK_TGID,    VL_F_TASK_COMM,	    VL_F_TASK_FILES,
	VL_F_TASK_FS,	    VL_F_TASK_MM,      VL_F_TASK_REAL_CRED, VL_F_CRED_EUID,
	VL_F_FILES_FDT,	    VL_F_FDT_MAX,      VL_F_FDT_FD,	    VL_F_FILE_DENTRY,
	VL_F_FILE_INODE,    VL_F_FILE_PRIVATE, VL_F_FILE_MNT,	    VL_F_FILE_POS,
	VL_F_FILE_FLAGS,    VL_F_FILE_MODE,    VL_F_FS_ROOT_DENTRY, VL_F_FS_ROOT_MNT,
	VL_F_FS_PWD_DENTRY, VL_F_FS_PWD_MNT,   VL_F_MM_EXE,	    VL_F_DENTRY_INODE,
	VL_F_DENTRY_PARENT, VL_F_DENTRY_NAME,  VL_F_DENTRY_LEN,	    VL_F_DENTRY_HASHED,
	VL_F_MOUNT_MNT,	    VL_F_MOUNT_PARENT, VL_F_MOUNT_POINT,    VL_F_VFSMOUNT_ROOT,
	VL_F_INODE_INO,	    VL_F_INODE_MODE,   VL_F_INODE_SIZE,	    VL_F_INODE_LINKS,
	VL_F_INODE_RDEV,    VL_F_INODE_SB,     VL_F_SB_DEV,	    VL_F_SB_TYPE,
	VL_F_FSTYPE_NAME,   VL_NR_FIELDS,
};

/* Returns the number of parts that were read; *@lacks_ret has those that could not be. */
static size_t read_parts(struct vl_raw_guest *g, uint64_t base, const struct vl_part *parts,
			 size_t nr, uint32_t *lacks_ret)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct vl_get gets[VL_PARTS_MAX];
	size_t of[VL_PARTS_MAX], n = 0, failed = 0;

	*lacks_ret = 0;
	for (size_t i = 0; i < nr && i < VL_PARTS_MAX; i++) {
		memset(parts[i].buf, 0, parts[i].len);
		if (!base || !vl_has(l, parts[i].field))
			continue;
		of[n] = i;
		gets[n++] = (struct vl_get){
			.va = base + vl_offset(l, parts[i].field),
			.buf = parts[i].buf,
			.len = (uint32_t)parts[i].len,
		};
	}
	failed = n ? vl_gather(g->reader, &g->space, gets, n) : 0;
	for (size_t i = 0; failed && i < n; i++)
		if (gets[i].status)
			*lacks_ret |= 1U << of[i];
	return n - failed;
}

bool vl_object(struct vl_raw_guest *g, uint64_t base, const struct vl_part *parts, size_t nr)
{
	uint32_t lacks;

	return read_parts(g, base, parts, nr, &lacks);
}

uint32_t vl_object_lacks(struct vl_raw_guest *g, uint64_t base, const struct vl_part *parts,
			 size_t nr)
{
	uint32_t lacks;

	read_parts(g, base, parts, nr, &lacks);
	return lacks;
}

/* ---- open files ---- */

static struct vl_used_file *add(struct vl_opened *f, size_t task, int32_t fd, enum vl_file_use use)
{
	if (!vl_grow(f->files, f->cap, f->nr, 256)) {
		f->full = true;
		return NULL;
	}
	f->files[f->nr] = (struct vl_used_file){ .task = task, .fd = fd, .use = (uint8_t)use };
	return &f->files[f->nr++];
}

/* A running guest changes meanwhile: that something cannot be read counts for files only. */
static void note_lack(const struct vl_raw_guest *g, struct vl_opened *f, bool lacks)
{
	f->lacks |= lacks && !vl_target_is_live(g->target);
}

static void add_file(struct vl_raw_guest *g, struct vl_opened *f, size_t task, int32_t fd,
		     enum vl_file_use use, uint64_t at)
{
	struct vl_used_file *file = add(f, task, fd, use);
	uint32_t lacks;

	if (!file)
		return;
	file->at = at;
	const struct vl_part parts[] = {
		VL_PART(FILE_DENTRY, file->path.dentry),
		VL_PART(FILE_MNT, file->path.mnt),
		VL_PART(FILE_INODE, file->inode),
		VL_PART(FILE_PRIVATE, file->private),
		VL_PART(FILE_POS, file->pos),
		VL_PART(FILE_FLAGS, file->flags),
		VL_PART(FILE_MODE, file->mode),
	};

	/* The file was closed meanwhile, or a dump lacks it. */
	lacks = vl_object_lacks(g, at, parts, ARRAY_SIZE(parts));
	note_lack(g, f, lacks);
	file->lacks_flags = lacks >> 4;
	if (!file->inode)
		f->nr--;
}

static void add_folder(struct vl_raw_guest *g, struct vl_opened *f, size_t task,
		       enum vl_file_use use, const struct vl_path *path)
{
	uint64_t inode;
	const struct vl_part parts[] = { VL_PART(DENTRY_INODE, inode) };
	struct vl_used_file *file;

	if (path->dentry)
		note_lack(g, f, vl_object_lacks(g, path->dentry, parts, 1));
	if (!path->dentry || !inode)
		return;
	file = add(f, task, -1, use);
	if (!file)
		return;
	file->path = *path;
	file->inode = inode;
}

static void collect_others(struct vl_raw_guest *g, struct vl_opened *f, size_t task)
{
	const struct vl_file_task *p = &f->tasks[task];
	struct vl_path root, pwd;
	uint64_t exe;
	const struct vl_part fs[] = {
		VL_PART(FS_ROOT_DENTRY, root.dentry),
		VL_PART(FS_ROOT_MNT, root.mnt),
		VL_PART(FS_PWD_DENTRY, pwd.dentry),
		VL_PART(FS_PWD_MNT, pwd.mnt),
	};
	const struct vl_part mm[] = { VL_PART(MM_EXE, exe) };

	note_lack(g, f, vl_object_lacks(g, p->fs, fs, ARRAY_SIZE(fs)));
	if (p->fs) {
		add_folder(g, f, task, VL_FILE_CWD, &pwd);
		add_folder(g, f, task, VL_FILE_ROOT, &root);
	}
	note_lack(g, f, vl_object_lacks(g, p->mm, mm, ARRAY_SIZE(mm)));
	if (exe)
		add_file(g, f, task, -1, VL_FILE_TEXT, exe);
}

static void collect_fds(struct vl_raw_guest *g, struct vl_opened *f, size_t task, uint64_t until_ns)
{
	uint64_t table, fds, chunk[CHUNK];
	uint32_t nr;
	const struct vl_part files[] = { VL_PART(FILES_FDT, table) };
	const struct vl_part fdt[] = { VL_PART(FDT_MAX, nr), VL_PART(FDT_FD, fds) };

	note_lack(g, f,
		  vl_object_lacks(g, f->tasks[task].files, files, ARRAY_SIZE(files)) ||
			  vl_object_lacks(g, table, fdt, ARRAY_SIZE(fdt)));
	/* These are 0 where they could not be read. */
	if (!f->tasks[task].files || !table || !vl_object(g, table, fdt, ARRAY_SIZE(fdt)) || !fds)
		return;
	nr = nr < MAX_FDS ? nr : MAX_FDS;
	for (uint32_t at = 0; at < nr && !f->full && vl_now_ns() < until_ns; at += CHUNK) {
		uint32_t n = nr - at < CHUNK ? nr - at : CHUNK;

		if (vl_read(g->reader, &g->space, fds + 8UL * at, chunk, 8UL * n)) {
			note_lack(g, f, true);
			return;
		}
		for (uint32_t i = 0; i < n; i++)
			if (chunk[i])
				add_file(g, f, task, (int32_t)(at + i), VL_FILE_FD, chunk[i]);
	}
}

#define OUT(member) \
	offsetof(struct vl_file_task, member), sizeof(((struct vl_file_task *)0)->member)

static struct vl_error *collect_tasks(struct vl_raw_guest *g, struct vl_opened *f)
{
	const enum vl_field need[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID,	 VL_F_TASK_FILES,
				       VL_F_FILES_FDT,	VL_F_FDT_MAX,	 VL_F_FDT_FD,
				       VL_F_FILE_INODE, VL_F_FILE_DENTRY };
	struct vl_fields fs = { .layout = vl_kernel_layout(g->attach->kernel) };
	struct vl_walk w = { .stride = sizeof(struct vl_file_task) };
	struct vl_error *err =
		vl_need_fields(g, need, ARRAY_SIZE(need), "what processes have open");

	if (err)
		return err;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct vl_file_task, task));
	vl_fields_add(&fs, VL_F_TASK_TGID, OUT(pid));
	vl_fields_add(&fs, VL_F_TASK_COMM, OUT(comm));
	vl_fields_add(&fs, VL_F_TASK_FILES, OUT(files));
	vl_fields_add(&fs, VL_F_TASK_FS, OUT(fs));
	vl_fields_add(&fs, VL_F_TASK_MM, OUT(mm));
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_EUID, OUT(uid));
	vl_fields_note_lacks(&fs, offsetof(struct vl_file_task, lacks));
	err = vl_collect_tasks(g, &w, &fs, &f->nr_tasks);
	err = vl_records_keep(&w, &fs, offsetof(struct vl_file_task, pid), "processes", err,
			      &f->nr_tasks);
	f->tasks = w.records;
	for (size_t i = 0; i < f->nr_tasks; i++) {
		struct vl_file_task *p = &f->tasks[i];

		p->lacks_comm = vl_record_lacks(&fs, p, offsetof(struct vl_file_task, comm));
		p->lacks_uid = vl_record_lacks(&fs, p, offsetof(struct vl_file_task, uid));
		note_lack(g, f, p->lacks);
	}
	note_lack(g, f, err);
	return err;
}

struct vl_error *vl_opened_collect(struct vl_raw_guest *g, bool all, struct vl_opened *ret)
{
	struct vl_error *err;

	*ret = (struct vl_opened){ .nr = 0 };
	err = collect_tasks(g, ret);
	for (size_t i = 0; i < ret->nr_tasks && !ret->full; i++) {
		if (all)
			collect_others(g, ret, i);
		collect_fds(g, ret, i, UINT64_MAX);
	}
	return !err && ret->full ? vl_error_nomem() : err;
}

struct vl_error *vl_opened_until(struct vl_raw_guest *g, uint64_t until_ns, struct vl_opened *ret)
{
	struct vl_error *err;

	*ret = (struct vl_opened){ .nr = 0 };
	err = collect_tasks(g, ret);
	for (size_t i = 0; i < ret->nr_tasks && !ret->full && vl_now_ns() < until_ns; i++)
		collect_fds(g, ret, i, until_ns);
	return !err && ret->full ? vl_error_nomem() : err;
}

void vl_opened_deinit(struct vl_opened *f)
{
	free(f->tasks);
	free(f->files);
	*f = (struct vl_opened){ .nr = 0 };
}

/* ---- inodes ---- */

void vl_inode_read(struct vl_raw_guest *g, uint64_t va, struct vl_inode *ret)
{
	uint64_t type = 0, name = 0;
	uint32_t lacks, of_sb;
	const struct vl_part parts[] = {
		VL_PART(INODE_INO, ret->number), VL_PART(INODE_MODE, ret->mode),
		VL_PART(INODE_SIZE, ret->size),	 VL_PART(INODE_LINKS, ret->links),
		VL_PART(INODE_RDEV, ret->rdev),	 VL_PART(INODE_SB, ret->sb),
	};
	const struct vl_part sb[] = { VL_PART(SB_DEV, ret->dev), VL_PART(SB_TYPE, type) };
	const struct vl_part kind[] = { VL_PART(FSTYPE_NAME, name) };

	*ret = (struct vl_inode){ .at = va };
	lacks = vl_object_lacks(g, va, parts, ARRAY_SIZE(parts));
	ret->lacks_number = lacks & 1;
	ret->lacks_mode = lacks >> 1 & 1;
	ret->lacks_size = lacks >> 2 & 3;
	ret->lacks_rdev = lacks >> 4 & 1;
	of_sb = vl_object_lacks(g, ret->sb, sb, ARRAY_SIZE(sb));
	ret->lacks_dev = lacks >> 5 & 1 || of_sb & 1;
	ret->lacks_fs = lacks >> 5 & 1 || of_sb >> 1 & 1 ||
			vl_object_lacks(g, type, kind, ARRAY_SIZE(kind));
	if (name && vl_read_string(g->reader, &g->space, name, ret->fs, sizeof(ret->fs)))
		ret->lacks_fs = !ret->fs[0];
}

/* ---- names ---- */

struct dentry {
	uint64_t parent, name, hashed;
	uint32_t len;
};

static bool read_dentry(struct vl_raw_guest *g, uint64_t at, struct dentry *d)
{
	const struct vl_part parts[] = {
		VL_PART(DENTRY_PARENT, d->parent),
		VL_PART(DENTRY_NAME, d->name),
		VL_PART(DENTRY_LEN, d->len),
		VL_PART(DENTRY_HASHED, d->hashed),
	};

	return vl_object(g, at, parts, ARRAY_SIZE(parts)) && d->name;
}

/* The struct mount around struct vfsmount @mnt, and its mount point. */
struct mount {
	uint64_t at, parent, point, root;
};

static bool read_mount(struct vl_raw_guest *g, uint64_t mnt, struct mount *m)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	const struct vl_part parts[] = {
		VL_PART(MOUNT_PARENT, m->parent),
		VL_PART(MOUNT_POINT, m->point),
	};
	const struct vl_part vfs[] = { VL_PART(VFSMOUNT_ROOT, m->root) };

	if (!mnt || !vl_has(l, VL_F_MOUNT_MNT))
		return false;
	m->at = mnt - vl_offset(l, VL_F_MOUNT_MNT);
	return vl_object(g, m->at, parts, ARRAY_SIZE(parts)) &&
	       vl_object(g, mnt, vfs, ARRAY_SIZE(vfs));
}

/* A name that is built from its end. */
struct name {
	char *buf;
	size_t at; /* offset of its first byte */
	bool cut;
};

static void put_before(struct name *n, const char *text, size_t len)
{
	if (len > n->at) {
		text += len - n->at;
		len = n->at;
		n->cut = true;
	}
	n->at -= len;
	memcpy(n->buf + n->at, text, len);
}

static bool put_part(struct vl_raw_guest *g, struct name *n, const struct dentry *d)
{
	char part[NAME_MAX_LEN + 1];
	size_t len = d->len < NAME_MAX_LEN ? d->len : NAME_MAX_LEN;

	if (vl_read(g->reader, &g->space, d->name, part, len))
		return false;
	put_before(n, part, strnlen(part, len));
	put_before(n, "/", 1);
	return !n->cut;
}

/* slash_name, fs/dcache.c: d_make_root() gives it to the root of each file system. */
static bool is_root(struct vl_raw_guest *g, const struct dentry *d)
{
	char name = 0;

	return d->len == 1 && !vl_read(g->reader, &g->space, d->name, &name, 1) && name == '/';
}

bool vl_path_name(struct vl_raw_guest *g, const struct vl_path *p, char *buf, size_t size,
		  bool *deleted_ret)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	struct name n = { .buf = buf, .at = size - 1 };
	uint64_t at = p->dentry;
	struct mount m = { 0 };
	struct dentry d;
	bool whole = false, known = false, mounted = read_mount(g, p->mnt, &m);

	buf[size - 1] = '\0';
	*deleted_ret = false;
	for (unsigned i = 0; i < MAX_STEPS; i++) {
		if (mounted && at == m.root) {
			whole = m.parent == m.at || !m.parent;
			if (whole)
				break;
			at = m.point;
			mounted = read_mount(g, m.parent + vl_offset(l, VL_F_MOUNT_MNT), &m);
			continue;
		}
		if (!read_dentry(g, at, &d))
			break;
		/* The root of a file system whose mount cannot be read. It is never hashed. */
		if (d.parent == at && is_root(g, &d)) {
			known |= at == p->dentry;
			break;
		}
		/* d_unlinked(), include/linux/dcache.h; without a folder it never had a name. */
		if (at == p->dentry) {
			*deleted_ret = !d.hashed;
			known = true;
		}
		if (!put_part(g, &n, &d))
			break;
		whole = d.parent == at;
		if (whole)
			break;
		at = d.parent;
	}
	if (!whole)
		put_before(&n, "...", 3);
	else if (n.at == size - 1)
		put_before(&n, "/", 1);
	memmove(buf, buf + n.at, size - n.at);
	return known;
}
