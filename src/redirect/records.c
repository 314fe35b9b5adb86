/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of open files. The supervisor does not see close(2), so a full table is searched
 * for records of files that are no longer open anywhere in the program. The record of an open
 * file is never freed: its descriptor would be an empty file from then on.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/array.h"
#include "fds.h"
#include "tasks.h"
#include "trap.h"

static struct vl_file *record(struct vl_redirect *r, size_t i)
{
	return &r->files[i / VL_FILES_BLOCK][i % VL_FILES_BLOCK];
}

/* Free record @f and its place. */
void vl_record_free(struct vl_redirect *r, struct vl_file *f)
{
	free(f->path);
	free(f->listing);
	memset(f, 0, sizeof(*f));
	r->used_files--;
}

void vl_records_deinit(struct vl_redirect *r)
{
	/* Stop after the last record: most of the table was never touched. */
	for (size_t i = 0; r->used_files && i < r->nr_files; i++)
		if (record(r, i)->kind != K_FREE)
			vl_record_free(r, record(r, i));
	for (size_t i = 0; i < VL_FILES_BLOCKS; i++)
		free(r->files[i]);
}

struct vl_file *vl_record_find(struct vl_redirect *r, const struct stat *st)
{
	for (size_t i = 1; i <= r->nr_files; i++) { /* the newest first */
		struct vl_file *f = record(r, (r->next_file + r->nr_files - i) % r->nr_files);

		if (f->kind != K_FREE && f->ino == st->st_ino && f->dev == st->st_dev)
			return f;
	}
	return NULL;
}

/* The record of descriptor @fd of the trapping task, or NULL. */
struct vl_file *vl_fd_find(struct vl_trap *t, int fd)
{
	struct stat st;
	char link[64];

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, fd);
	if (stat(link, &st) || !S_ISREG(st.st_mode))
		return NULL;
	return vl_record_find(t->r, &st);
}

/* Is @name, as /proc shows it, that of a memfd of ours? */
bool vl_memfd_name(const char *name)
{
	return !strcmp(name, "/memfd:" VL_MEMFD_NAME " (deleted)");
}

/* Inode numbers of the memfds that are open in the program. */
struct open_memfds {
	uint64_t *ino;
	size_t nr, max;
	bool failed; /* the list may be incomplete */
};

static void note(struct open_memfds *o, uint64_t ino)
{
	if (vl_grow(o->ino, o->max, o->nr, 256))
		o->ino[o->nr++] = ino;
	else
		o->failed = true;
}

static void note_all(struct open_memfds *o, pid_t tid)
{
	char path[64], name[64];
	struct dirent *d;
	struct stat st;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)tid);
	dir = opendir(path);
	while (dir && (errno = 0, d = readdir(dir))) {
		n = readlinkat(dirfd(dir), d->d_name, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = 0;
		/* Only memfds are looked at: stat of another file may wait for its server. */
		if (vl_memfd_name(name) && !fstatat(dirfd(dir), d->d_name, &st, 0))
			note(o, st.st_ino);
	}
	/* ENOENT, ESRCH: the task has ended. */
	if (errno && errno != ENOENT && errno != ESRCH)
		o->failed = true;
	if (dir)
		closedir(dir);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Free the records of files that were open nowhere in two collections in a row. One is not
 * enough: a descriptor may be on its way through a socket, or change its number while the list
 * is read. No child is missed: its parent is stopped until the child is in the table.
 */
static void collect(struct vl_redirect *r)
{
	struct open_memfds o = { 0 };

	for (size_t i = 0; i < r->nr_tasks; i++)
		note_all(&o, r->tasks[i].tid);
	if (!o.failed && o.nr)
		qsort(o.ino, o.nr, sizeof(*o.ino), by_number);
	for (size_t i = 0; !o.failed && i < r->nr_files; i++) {
		struct vl_file *f = record(r, i);
		bool found = o.nr && bsearch(&f->ino, o.ino, o.nr, sizeof(*o.ino), by_number);

		if (f->kind != K_FREE && !found && f->unseen)
			vl_record_free(r, f);
		else
			f->unseen = !found;
	}
	free(o.ino);
}

/*
 * A free place for a record, which counts as used from now on; NULL: too many files are open,
 * or out of memory. The table grows if a collection leaves less than a quarter of it free, so
 * there are hundreds of files to one collection. Records do not move.
 */
struct vl_file *vl_record_new(struct vl_redirect *r)
{
	struct vl_file *f, **block = r->files + r->nr_files / VL_FILES_BLOCK;

	if (r->used_files == r->nr_files) {
		if (r->nr_files)
			collect(r);
		if (r->used_files >= r->nr_files / 4 * 3 && block < r->files + VL_FILES_BLOCKS)
			*block = calloc(VL_FILES_BLOCK, sizeof(**block));
		if (block < r->files + VL_FILES_BLOCKS && *block) {
			r->next_file = r->nr_files;
			r->nr_files += VL_FILES_BLOCK;
		}
		if (r->used_files == r->nr_files)
			return NULL;
	}
	do {
		f = record(r, r->next_file);
		r->next_file = (r->next_file + 1) % r->nr_files;
	} while (f->kind != K_FREE);
	r->used_files++;
	return f;
}
