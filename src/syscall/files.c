/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"

#define DEFAULT_TRIES 4
/* Retries because the guest changed during the read, before the read fails. */
#define MAX_MISSED 64

/* Bytes of one read: well within the window that a clone has for user buffers. */
#define CHUNK (512u << 10)

/* Open @path at @offset in the open epoch. A kernel's errno goes to @ret->error. */
static struct vl_error *open_at(struct vl_sys *sys, const char *path, uint64_t offset,
				int64_t *fd_ret, struct vl_file_piece *ret)
{
	struct vl_error *err;
	int64_t pos = 0;

	/* O_NONBLOCK: an open of a FIFO, or a read of /proc/kmsg, must not wait. */
	err = VL_SYS_CALL(sys, "openat", fd_ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
			  VL_ARG_INT(O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), VL_ARG_INT(0));
	/* Not pread(): some long files of /proc lack it. All of them have lseek() and read(). */
	if (!err && *fd_ret >= 0 && offset)
		err = VL_SYS_CALL(sys, "lseek", &pos, VL_ARG_INT(*fd_ret), VL_ARG_INT(offset),
				  VL_ARG_INT(SEEK_SET));
	if (!err && (*fd_ret < 0 || pos < 0))
		ret->error = (int)-(*fd_ret < 0 ? *fd_ret : pos);
	return err;
}

/* One try, in one epoch. It need not close the file: descriptors end with the epoch. */
static struct vl_error *read_once(struct vl_sys *sys, const char *path, uint64_t offset, char *buf,
				  size_t size, struct vl_file_piece *ret)
{
	struct vl_error *err = sys->ops->begin(sys);
	int64_t fd, n;

	if (err)
		return err;
	err = open_at(sys, path, offset, &fd, ret);
	while (!err && !ret->error && !ret->end && ret->len < size) {
		size_t want = size - ret->len < CHUNK ? size - ret->len : CHUNK;

		err = VL_SYS_CALL(sys, "read", &n, VL_ARG_INT(fd), VL_ARG_OUT(buf + ret->len, want),
				  VL_ARG_INT(want));
		if (err)
			break;
		if (n < 0)
			ret->error = (int)-n;
		else if (!n)
			ret->end = true;
		else
			ret->len += (size_t)n <= want ? (size_t)n : want;
	}
	if (!err && sys->ops->validate)
		err = sys->ops->validate(sys);
	sys->ops->end(sys);
	return err;
}

/* Outside of /proc and /sys, a read that would sleep waits for a disk: say so. */
static struct vl_error *on_disk(const struct vl_sys *sys, const char *path, struct vl_error *err)
{
	if (err->code != VL_ERR_BLOCKED || sys->missed || !strncmp(path, "/proc/", 6) ||
	    !strncmp(path, "/sys/", 5))
		return err;
	vl_error_destroy(err);
	return vl_error_new(VL_ERR_BLOCKED, "on the guest's disk, not in its memory");
}

struct vl_error *vl_file_read(struct vl_sys *sys, const char *path, uint64_t offset,
			      const struct vl_file_options *opts, void *buf, size_t size,
			      struct vl_file_piece *ret)
{
	int tries = opts && opts->tries > 0 ? opts->tries : DEFAULT_TRIES;
	unsigned int retries = 0, missed = 0;
	struct vl_error *err;

	for (;;) {
		*ret = (struct vl_file_piece){ .retries = retries };
		err = read_once(sys, path, offset, buf, size, ret);
		if (!err || (err->code != VL_ERR_BLOCKED && err->code != VL_ERR_CRASHED))
			return err;
		/*
		 * The bytes before the failure are valid. The next piece begins at the call
		 * that failed, with a new number of tries.
		 */
		if (ret->len && !sys->missed) {
			vl_error_destroy(err);
			return NULL;
		}
		/* A change of the guest is not a failure of the call. Epochs limit such retries. */
		if (sys->missed ? ++missed > MAX_MISSED : !--tries)
			return on_disk(sys, path, err);
		vl_error_destroy(err);
		retries++;
	}
}
