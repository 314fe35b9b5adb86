/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of the program, read and written from outside. A bad pointer is
 * the program's own fault and its own EFAULT.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "trap.h"

#define PAGE 4096u

static int transfer(struct vl_trap *t, uint64_t addr, void *buf, size_t len, bool write)
{
	struct iovec ours = { buf, len }, theirs = { (void *)(uintptr_t)addr, len };
	ssize_t n;

	if (!len)
		return 0;
	n = write ? process_vm_writev(t->tid, &ours, 1, &theirs, 1, 0) :
		    process_vm_readv(t->tid, &ours, 1, &theirs, 1, 0);
	if (n == (ssize_t)len)
		return 0;
	return n < 0 && errno == ESRCH ? -ESRCH : -EFAULT;
}

/* Read @len bytes at @addr of the program. */
int vl_mem_read(struct vl_trap *t, uint64_t addr, void *buf, size_t len)
{
	return transfer(t, addr, buf, len, false);
}

/* Write @len bytes to @addr of the program. */
int vl_mem_write(struct vl_trap *t, uint64_t addr, const void *buf, size_t len)
{
	if (!vl_validated(t->r))
		return -EAGAIN;
	/* Since the trap the task may have died, and another task may have its tid. */
	if (len && !vl_trap_valid(t))
		return -ESRCH;
	return transfer(t, addr, (void *)buf, len, true);
}

/*
 * Read the string at @addr, at most @size bytes with its NUL. It is read page by page: the page
 * after its end may not be mapped.
 */
int vl_mem_string(struct vl_trap *t, uint64_t addr, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t n = PAGE - (addr + done) % PAGE;
		int err;

		if (n > size - done)
			n = size - done;
		if (!done && n > 256)
			n = 256; /* most strings are short */
		err = vl_mem_read(t, addr + done, buf + done, n);
		if (err)
			return err;
		if (memchr(buf + done, 0, n))
			return 0;
		done += n;
	}
	return -ENAMETOOLONG;
}
