/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What comes back through the port of sys.h, checked: it is a guest's word. */
#ifndef VLENS_ANSWER_H
#define VLENS_ANSWER_H

#include "sys.h"

/*
 * What a call @name returned, if a kernel that tells the truth can return it: an
 * error of [-4095, -1], or at most the length of the buffer that was to be filled;
 * else -EIO. It is a guest's word, and callers use it as a length.
 */
int64_t vl_sys_check(const char *name, const struct vl_arg *args, size_t nr, int64_t ret);

/*
 * So much of @arg, which call @name had to fill, is filled after it returned @ret; never more
 * than there is.
 */
size_t vl_sys_filled(const char *name, const struct vl_arg *arg, int64_t ret);

/* Make a call through the port. The only way: *@ret has passed vl_sys_check(). */
struct vl_error *vl_sys_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
			     size_t nr, int64_t *ret);

/* Likewise open_read of the port, or the two calls. */
struct vl_error *vl_sys_open_read(struct vl_sys *sys, const char *path, int flags, void *buf,
				  size_t len, int64_t *fd_ret, int64_t *n_ret);

/* linux/dirent.h: struct linux_dirent64, what getdents64 gives */
struct vl_dirent64 {
	uint64_t ino;
	int64_t off; /* where what follows this entry begins */
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

/* What was seen of a directory; all 0 at its beginning. */
struct vl_listed {
	int64_t off; /* of the entry that later ones are compared with */
	uint64_t name;
	uint64_t nr, turn;
};

/*
 * Add @len bytes of entries. Returns where what follows them begins, -EIO if they are no
 * entries, or -ELOOP if the directory leads back to itself, which shows before it was gone
 * around three times.
 */
int64_t vl_listed_add(struct vl_listed *l, const void *data, size_t len);

#define VL_SYS_CALL(sys, name, ret, ...) \
	vl_sys_call(sys, name, (const struct vl_arg[]){ __VA_ARGS__ }, \
		    sizeof((const struct vl_arg[]){ __VA_ARGS__ }) / sizeof(struct vl_arg), ret)

#endif
