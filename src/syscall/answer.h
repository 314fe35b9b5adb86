/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of results that come through struct vl_sys: they are untrusted. */
#ifndef VLENS_ANSWER_H
#define VLENS_ANSWER_H

#include "sys.h"

/*
 * Check @ret, the result of call @name: an honest kernel returns an error in [-4095, -1], or at
 * most the length of the buffer that is filled. Returns @ret, or -EIO if it is out of this
 * range: callers use it as a length.
 */
int64_t vl_sys_check(const char *name, const struct vl_arg *args, size_t nr, int64_t ret);

/*
 * How many bytes of @arg call @name has filled, if it returned @ret; at most arg->len.
 */
size_t vl_sys_filled(const char *name, const struct vl_arg *arg, int64_t ret);

/* Make a call through @sys; *@ret has passed vl_sys_check(). Use no other way. */
struct vl_error *vl_sys_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
			     size_t nr, int64_t *ret);

/* The same for open_read, or for the calls that it consists of if @sys has none. */
struct vl_error *vl_sys_open_read(struct vl_sys *sys, const char *path, int flags,
				  enum vl_reads reads, void *buf, size_t len, int64_t *fd_ret,
				  int64_t *n_ret);

/* An entry that getdents64 gives: linux/dirent.h, struct linux_dirent64. */
struct vl_dirent64 {
	uint64_t ino;
	int64_t off; /* position of the next entry */
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

/* State of a check for loops in a directory; all 0 at its beginning. */
struct vl_listed {
	int64_t off; /* of the entry that later ones are compared with */
	uint64_t name;
	uint64_t nr, turn;
};

/*
 * Add @len bytes of entries. Returns the position of the next entry, -EIO if they are
 * malformed, or -ELOOP if the directory leads back to itself, which is detected within three
 * rounds.
 */
int64_t vl_listed_add(struct vl_listed *l, const void *data, size_t len);

#define VL_SYS_CALL(sys, name, ret, ...) \
	vl_sys_call(sys, name, (const struct vl_arg[]){ __VA_ARGS__ }, \
		    sizeof((const struct vl_arg[]){ __VA_ARGS__ }) / sizeof(struct vl_arg), ret)

#endif
