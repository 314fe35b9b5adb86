/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "process.h"

#include <errno.h>
#include <sys/ioctl.h>

/* struct procmap_query, linux/fs.h. */
struct query {
	uint64_t size, flags, addr;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define QUERY _IOWR('f', 17, struct query)

int vl_procmap_query(int fd, uint64_t flags, uint64_t addr, struct vl_procmap *ret)
{
	struct query q = { .size = sizeof(q), .flags = flags, .addr = addr };

	if (ioctl(fd, QUERY, &q))
		return -errno;
	*ret =
		(struct vl_procmap){ q.start, q.end,   q.vma_flags, q.offset,
				     q.inode, q.major, q.minor };
	return 0;
}
