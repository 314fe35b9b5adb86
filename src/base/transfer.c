/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transfer.h"

#include <errno.h>
#include <unistd.h>

size_t vl_get_at(int fd, void *buf, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done;
		if (!n)
			break;
		done += (size_t)n;
	}
	errno = 0;
	return done;
}

bool vl_get_whole(int fd, void *buf, size_t len, uint64_t at)
{
	return vl_get_at(fd, buf, len, at) == len;
}

/* A negative @at: where the file's offset is. */
static bool write_all(int fd, const char *buf, size_t len, off_t at)
{
	while (len) {
		ssize_t n = at < 0 ? write(fd, buf, len) : pwrite(fd, buf, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : EIO;
			return false;
		}
		buf += n;
		len -= (size_t)n;
		at = at < 0 ? at : at + n;
	}
	return true;
}

bool vl_put_whole(int fd, const void *buf, size_t len)
{
	return write_all(fd, buf, len, -1);
}

bool vl_put_whole_at(int fd, const void *buf, size_t len, uint64_t at)
{
	if (at > INT64_MAX) {
		errno = EFBIG;
		return false;
	}
	return write_all(fd, buf, len, (off_t)at);
}
