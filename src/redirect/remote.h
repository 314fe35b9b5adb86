/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's memory. */
#ifndef VLENS_REDIRECT_REMOTE_H
#define VLENS_REDIRECT_REMOTE_H

#include <stddef.h>
#include <stdint.h>

struct vl_trap;

/* All return 0, -EFAULT, -ENAMETOOLONG, -ESRCH (the task is gone) or -EAGAIN (vl_settled()). */
int vl_mem_read(struct vl_trap *t, uint64_t addr, void *buf, size_t len);
int vl_mem_write(struct vl_trap *t, uint64_t addr, const void *buf, size_t len);
int vl_mem_string(struct vl_trap *t, uint64_t addr, char *buf, size_t size);

#endif
