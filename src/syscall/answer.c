/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "../base/array.h"
#include "answer.h"
#include "../base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* MAX_ERRNO, include/linux/err.h */
#define MAX_ERRNO 4095

/*
 * Calls whose value is unrelated to the size of the buffer that they fill. All others return 0,
 * an error, or the number of bytes filled.
 */
static const struct {
	const char *name;
	int64_t max;
	const char *note;
} values[] = {
	{ "ioctl", INT_MAX, "depends on the command" },
	{ "msgctl", INT_MAX, "an index or an identifier" },
	{ "semctl", INT_MAX, "an index, an identifier or a semaphore's value" },
	{ "shmctl", INT_MAX, "an index or an identifier" },
	{ "time", INT64_MAX, "seconds" },
	{ "times", INT64_MAX, "clock ticks" },
	{ "lseek", INT64_MAX, "a position" },
};

int64_t vl_sys_check(const char *name, const struct vl_arg *args, size_t nr, int64_t ret)
{
	/*
	 * Calls whose value is a descriptor, a pid, a count or a user id. User ids take all 32
	 * bits.
	 */
	int64_t max = UINT32_MAX;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		if (!strcmp(values[i].name, name))
			break;
	if (i < ARRAY_SIZE(values)) {
		max = values[i].max;
	} else {
		size_t room = 0;
		bool fills = false;

		for (size_t k = 0; k < nr; k++)
			if (args[k].buf && (args[k].kind == VL_OUT || args[k].kind == VL_INOUT)) {
				fills = true;
				room = args[k].len > room ? args[k].len : room;
			}
		if (fills)
			max = room < INT64_MAX ? (int64_t)room : INT64_MAX;
	}
	return ret < -MAX_ERRNO || ret > max ? -EIO : ret;
}

/* Calls whose value is the number of bytes that they have put into their one buffer. */
static const char *const counts[] = { "read", "pread64", "getdents64", "readlink", "readlinkat" };

size_t vl_sys_filled(const char *name, const struct vl_arg *arg, int64_t ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (!strcmp(counts[i], name))
			return ret <= 0 ? 0 : (uint64_t)ret < arg->len ? (size_t)ret : arg->len;
	return arg->len;
}

struct vl_error *vl_sys_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
			     size_t nr, int64_t *ret)
{
	struct vl_error *err = sys->ops->call(sys, name, args, nr, ret);

	if (!err)
		*ret = vl_sys_check(name, args, nr, *ret);
	return err;
}

/* The calls behind openat() in vl_sys_ops.open_read(). */
static struct vl_error *read_open(struct vl_sys *sys, int64_t fd, enum vl_reads reads, char *buf,
				  size_t len, int64_t *ret)
{
	const char *name = reads == VL_READS_LIST ? "getdents64" : "read";
	size_t done = 0;
	struct vl_error *err;
	int64_t n = 0;

	if (reads == VL_READS_LIST) {
		if (len < sizeof(struct stat)) {
			*ret = -EINVAL;
			return NULL;
		}
		done = sizeof(struct stat);
		err = VL_SYS_CALL(sys, "newfstat", &n, VL_ARG_INT(fd), VL_ARG_OUT(buf, done));
		if (err)
			return err;
	}
	while (n >= 0 && done < len) {
		err = VL_SYS_CALL(sys, name, &n, VL_ARG_INT(fd), VL_ARG_OUT(buf + done, len - done),
				  VL_ARG_INT(len - done));
		if (err)
			return err;
		done += n > 0 ? (size_t)n : 0;
		if (!n || reads == VL_READS_ONCE)
			break;
	}
	*ret = n < 0 ? n : n && reads == VL_READS_LIST ? -EINVAL : (int64_t)done;
	return NULL;
}

struct vl_error *vl_sys_open_read(struct vl_sys *sys, const char *path, int flags,
				  enum vl_reads reads, void *buf, size_t len, int64_t *fd_ret,
				  int64_t *n_ret)
{
	const struct vl_arg open[] = { VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path), VL_ARG_INT(flags),
				       VL_ARG_INT(0) };
	const struct vl_arg read[] = { VL_ARG_INT(-1), VL_ARG_OUT(buf, len), VL_ARG_INT(len) };
	struct vl_error *err;

	*n_ret = -EBADF;
	if (!sys->ops->open_read) {
		err = vl_sys_call(sys, "openat", open, 4, fd_ret);
		if (err || *fd_ret < 0)
			return err;
		return read_open(sys, *fd_ret, reads, buf, len, n_ret);
	}
	err = sys->ops->open_read(sys, path, flags, reads, buf, len, fd_ret, n_ret);
	if (!err) {
		*fd_ret = vl_sys_check("openat", open, 4, *fd_ret);
		*n_ret = *fd_ret < 0 ? -EBADF : vl_sys_check("read", read, 3, *n_ret);
	}
	return err;
}

/* Brent's algorithm: the entry to compare with is replaced after 1, 2, 4, 8 ... others. */
int64_t vl_listed_add(struct vl_listed *l, const void *data, size_t len)
{
	int64_t ret = 0;

	for (size_t at = 0; at < len;) {
		const struct vl_dirent64 *d = (const void *)((const char *)data + at);
		uint64_t name;

		if (len - at < sizeof(*d) || d->reclen <= sizeof(*d) || d->reclen > len - at)
			return -EIO;
		name = vl_hash(VL_HASH, d->name, strnlen(d->name, d->reclen - sizeof(*d)));
		if (l->turn && d->off == l->off && name == l->name)
			return -ELOOP;
		if (l->nr++ == l->turn) {
			l->turn = 2 * l->turn + 1;
			l->nr = 0;
			l->off = d->off;
			l->name = name;
		}
		ret = d->off;
		at += d->reclen;
	}
	return ret;
}
