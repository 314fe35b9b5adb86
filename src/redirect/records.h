/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of files that were handed over to the program: struct vl_file. */
#ifndef VLENS_REDIRECT_RECORDS_H
#define VLENS_REDIRECT_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "rows.h"

struct vl_file {
	enum { K_FREE, K_SNAPSHOT, K_DIR, K_STREAM, K_SOCKET } kind;
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
	int64_t taken_ns;	    /* K_SNAPSHOT: when its content was handed over */
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

#endif
