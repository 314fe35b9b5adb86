/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A system call of the program that waits for its answer, and the program's memory. */
#ifndef VLENS_REDIRECT_TRAP_H
#define VLENS_REDIRECT_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../syscall/answer.h"
#include "rows.h"
#include "run.h"

/* A system call of the program that waits for its answer. */

/* The listing of a directory, as the guest gives it. */
struct vl_listing {
	char *data; /* struct vl_dirent64s; malloc'ed */
	size_t len, max;
	size_t validated; /* this many bytes stay when the call is retried */
	int64_t behind;	  /* the position in the directory after those */
	struct vl_listed seen;
	unsigned pieces;
	bool large; /* it is listed in pieces, also when the call is retried */
};

/* One system call of the program that waits for its answer. */
struct vl_trap {
	struct vl_redirect *r;
	const struct vl_policy *row;
	uint64_t id;
	pid_t tid;
	int nr;
	uint64_t args[6];
	uint64_t ip; /* of the code that called */
	/* the answer */
	int64_t ret;
	bool pass; /* let the host's kernel do it */
	bool sent; /* answered already */
	/* programs do not look if this call fails: without an answer the run ends */
	bool must;
	/* the fallback if the guest gives no answer */
	int tries;
	int fail_errno;
	vl_handler fallback;
	struct vl_where where; /* of the path argument, scratch of the handler */
	struct vl_listing listing;
};

/* A call in the guest; opens an epoch if there is none. */
struct vl_error *vl_guest(struct vl_redirect *r, const char *name, int64_t *ret,
			  const struct vl_arg *args, size_t nr);
#define VL_GUEST(r, name, ret, ...) \
	vl_guest(r, name, ret, (const struct vl_arg[]){ __VA_ARGS__ }, \
		 sizeof((const struct vl_arg[]){ __VA_ARGS__ }) / sizeof(struct vl_arg))
/* Likewise vl_sys_open_read(). */
struct vl_error *vl_guest_open_read(struct vl_redirect *r, const char *path, int flags,
				    enum vl_reads reads, void *buf, size_t len, int64_t *fd_ret,
				    int64_t *n_ret);
/* The identity that guest calls are made under. The first time it needs an epoch. */
struct vl_error *vl_self(struct vl_redirect *r, const struct vl_identity **ret);
struct vl_error *vl_epoch_begin(struct vl_redirect *r);
void vl_epoch_end(struct vl_redirect *r);
/*
 * May the guest's answers since the last check be handed on? Call this before the program, or
 * a record of ours, gets any part of them. False: the trap is handled again, whatever its
 * handler answers.
 */
bool vl_validated(struct vl_redirect *r);
/* Is the trapping task still waiting for this answer? */
bool vl_trap_valid(struct vl_trap *t);
/* Send the answer now. A second call does nothing. */
void vl_answer(struct vl_trap *t);

/* The program's memory. */

/* All return 0, -EFAULT, -ENAMETOOLONG, -ESRCH (the task is gone) or -EAGAIN (vl_validated()). */
int vl_mem_read(struct vl_trap *t, uint64_t addr, void *buf, size_t len);
int vl_mem_write(struct vl_trap *t, uint64_t addr, const void *buf, size_t len);
int vl_mem_string(struct vl_trap *t, uint64_t addr, char *buf, size_t size);

#endif
