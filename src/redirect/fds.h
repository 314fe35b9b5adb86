/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's descriptors that stand for files of the guest. */
#ifndef VLENS_REDIRECT_FDS_H
#define VLENS_REDIRECT_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../error.h"
#include "records.h"

struct vl_trap;

/*
 * Redirected descriptors have numbers of their own, so that the BPF filter can
 * tell them by a mask: 512..895 snapshots (reads are native), 896..1023 streams
 * and directories (reads trap). The end is 1024, which is the usual soft limit
 * and the size of an fd_set.
 */
#define VL_FD_LO 512
#define VL_FD_STREAM 896
#define VL_FD_HI 1024
#define VL_FD_MASK 0xfffffe00u	      /* fd & mask == VL_FD_LO: 512..1023 */
#define VL_FD_STREAM_MASK 0xffffff80u /* fd & mask == VL_FD_STREAM: 896..1023 */

/* A descriptor to hand over. vl_fd_hand_over() always takes ownership of file.listing. */
struct vl_addfd {
	const void *data; /* content of the memfd */
	size_t len;
	struct vl_file file;
	const char *path;
	bool cloexec;
	int at; /* the number to take, or -1 */
};

/* Hand over @g as a new descriptor, and answer the trap with its number or an errno. */
struct vl_error *vl_fd_hand_over(struct vl_trap *t, struct vl_addfd *g);
/* Replace the content of record @f's memfd, open as @fd in the trapping task. 0 or -errno. */
int vl_fd_rewrite(struct vl_trap *t, int fd, const struct vl_file *f, const void *data, size_t len);
/*
 * Descriptor @fd of the trapping task has no record. True: it is a stand-in whose record was
 * dropped; t->ret is -EIO, and the call must not pass.
 */
bool vl_fd_lost(struct vl_trap *t, int fd);
/* Pass the call to the host's kernel, unless vl_fd_lost(). */
void vl_fd_pass(struct vl_trap *t, int fd);
/* Put @fd of ours into the task as @number (-1: any), and answer the trap with it. */
void vl_fd_add(struct vl_trap *t, int fd, int number, bool cloexec);
/* The trapping task's open file @fd as a descriptor of ours, or -errno. */
int vl_fd_borrow(struct vl_trap *t, int fd);
/* Duplicate redirected descriptor @fd of the task, to a number in the same range. */
struct vl_error *vl_fd_duplicate(struct vl_trap *t, int fd, bool cloexec);
/* The stat of a file with content @text that the guest does not have. */
struct stat vl_supplied_stat(const char *text);
/* Hand over an empty directory as t->where, opened with @flags. */
struct vl_error *vl_give_empty_folder(struct vl_trap *t, uint64_t flags);
/* Is @fd in the range of redirected descriptors? */
static inline bool vl_fd_ours(uint64_t fd)
{
	return (fd & VL_FD_MASK) == VL_FD_LO;
}

/* fcntl(fd, F_DUPFD or F_DUPFD_CLOEXEC, least) */
struct vl_error *vl_fd_duplicate_from(struct vl_trap *t);

#endif
