/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that the program was given, and its descriptors that stand for files of the guest. */
#ifndef VLENS_REDIRECT_FDS_H
#define VLENS_REDIRECT_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../error.h"
#include "rows.h"

struct vl_redirect;
struct vl_trap;

/* The table of files that were handed over to the program: struct vl_file. */

struct vl_file {
	enum { K_FREE, K_WHOLE, K_DIR, K_STREAM, K_SOCKET } kind;
	uint64_t dev, ino; /* of the memfd in the program: they identify it */
	bool unseen;	   /* the last collection did not find it open */
	uint64_t epoch;	   /* of the content, or of guest_fd */
	unsigned closings; /* those of vl_redirect when guest_fd was opened */
	char *path;
	const struct vl_path_row *row;
	int flags; /* of open */
	bool has_stat;
	struct stat st;
	char *listing; /* K_DIR: struct vl_dirent64s; K_SOCKET: answers */
	size_t listing_len;
	int listing_end;	    /* K_DIR: the -errno after the last entry; 0: the end */
	size_t pos;		    /* offset of the next entry or answer in listing */
	int64_t taken_ns;	    /* K_WHOLE: when its content was handed over */
	int64_t guest_fd;	    /* K_STREAM: valid in @epoch only */
	int64_t off;		    /* K_STREAM: in bytes; H_RECORDS: the next record's number;
				     * K_DIR: 1 after the first read */
	int whence;		    /* K_STREAM of records: where off 0 is, as lseek takes it */
	int domain, type, protocol; /* K_SOCKET */
};

/* The name of all memfds that are handed over. */
#define VL_MEMFD_NAME "vlens"
/* Is @name, as /proc shows it, that name? */
bool vl_memfd_name(const char *name);
/* The record of descriptor @fd of the trapping task, or NULL. */
struct vl_file *vl_fd_find(struct vl_trap *t, int fd);
/* The record of the memfd with @st, or NULL. */
struct vl_file *vl_record_find(struct vl_redirect *r, const struct stat *st);
/* A place for one more, zeroed; NULL: none. May free records of closed files. */
struct vl_file *vl_record_new(struct vl_redirect *r);
void vl_record_free(struct vl_redirect *r, struct vl_file *f);
void vl_records_deinit(struct vl_redirect *r);

/* The program's descriptors that stand for files of the guest. */

/*
 * Redirected descriptors have numbers of their own, so that the BPF filter can
 * tell them by a mask: 512..895 whole files (reads are native), 896..1023 streams
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
/* Close the pidfd that is kept for it. */
void vl_pidfd_close(struct vl_redirect *r);
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

/* Calls of the program that ask about a file. */

/*
 * The file if t->where is /proc/PID/fd/N or /proc/PID/fdinfo/N (*@info_ret), PID is how the
 * program sees itself, and N, *@fd_ret, is a descriptor of ours; else NULL.
 */
struct vl_file *vl_self_fd(struct vl_trap *t, bool *info_ret, int *fd_ret);

/* The standard input, output and error that the caller gave the program. */

/* Record the program's standard descriptors, before it starts. */
void vl_given_init(struct vl_redirect *r);
/* Is @st the stat of a file that the caller gave? */
bool vl_given(const struct vl_redirect *r, const struct stat *st);

#endif
