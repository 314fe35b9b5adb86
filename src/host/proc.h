/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts from /proc about the hypervisor process. */
#ifndef VLENS_HOST_PROC_H
#define VLENS_HOST_PROC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/* One line of /proc/PID/maps. */
struct vl_vma {
	uint64_t start, end; /* end exclusive */
	uint64_t offset;     /* of start in the file */
	uint64_t dev, ino;   /* ino 0: no file */
	bool shared, writable, executable;
};

/*
 * Read a whole file, at most @max bytes, relative to @dirfd. *@ret is
 * malloc'ed and ends with a NUL that *@len_ret (may be NULL) does not count.
 * Returns 0 or -errno; -EFBIG when there is more.
 */
int vl_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *len_ret);

/*
 * Parse the text of a process's stat file (proc(5)): its state letter and start time. The name in
 * it may contain anything. False: the text has another form.
 */
bool vl_parse_stat(const char *text, char *state_ret, uint64_t *start_ret);

/*
 * The text of @path, up to @size - 1 bytes, by one read: enough for files of /proc that the
 * kernel makes in one piece, not for lists. Returns 0 or -errno.
 */
int vl_proc_line(const char *path, char *buf, size_t size);

/* State letter and start time of process @pid. Returns 0 or -errno. */
int vl_proc_stat(pid_t pid, char *state_ret, uint64_t *start_ret);

/* The ids of all processes, in ascending order; returns how many. *@ret is malloc'ed, or NULL. */
size_t vl_proc_pids(pid_t **ret);

/* Parse the text of a maps file; *@ret is malloc'ed, in the order of the text. */
struct vl_error *vl_parse_maps(const char *text, struct vl_vma **ret, size_t *nr_ret);

/* The mappings of process @pid. VL_ERR_TARGET when they may not be read. */
struct vl_error *vl_proc_maps(pid_t pid, struct vl_vma **ret, size_t *nr_ret);

/* The mappings of one process, looked up one by one. */
struct vl_maps {
	pid_t pid;
	int fd;
	struct vl_vma *all; /* NULL: each lookup asks the kernel */
	size_t nr;
};

/* Open the mappings of process @pid; errors as vl_proc_maps(). Close @m after an error, too. */
struct vl_error *vl_maps_open(struct vl_maps *m, pid_t pid);
/* Read all mappings now, as on a host whose kernel has no lookup of one (before Linux 6.11). */
struct vl_error *vl_maps_read(struct vl_maps *m);
/* Find the mapping that holds address @va; *@found_ret: there is one. */
struct vl_error *vl_maps_find(struct vl_maps *m, uint64_t va, struct vl_vma *ret, bool *found_ret);
void vl_maps_close(struct vl_maps *m);

/*
 * Open for reading the file that @vma of process @pid maps. Returns a
 * descriptor or -errno.
 */
int vl_proc_open_mapped(pid_t pid, const struct vl_vma *vma);

/*
 * Are all threads of @pid stopped? Then none of them can run guest code before a SIGCONT. Returns
 * 1, 0, or -errno.
 */
int vl_proc_all_stopped(pid_t pid);

/* Is a stop of @pid under way? On a busy host some time passes until all threads have stopped. */
bool vl_proc_is_stopping(pid_t pid);

/* @err is about a permission that the user lacks: its os_errno says so. Returns @err. */
static inline __attribute__((returns_nonnull)) struct vl_error *
vl_target_denied(struct vl_error *err)
{
	/* The object for no memory is shared. */
	if (err->code != VL_ERR_NOMEM)
		err->os_errno = EACCES;
	return err;
}

/* The error for a process that cannot be read, by errno @err. */
struct vl_error *vl_proc_denied(pid_t pid, int err) __attribute__((returns_nonnull));

/* The error for a hypervisor that is stopped, and so does not answer. */
struct vl_error *vl_proc_stopped(pid_t pid) __attribute__((returns_nonnull));

/* vl_proc_stopped() if it is stopped, else NULL. The caller must know that no tool freezes it. */
struct vl_error *vl_proc_check_stopped(pid_t pid);

#endif
