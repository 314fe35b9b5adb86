/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a scope owns ends with it, on each way out: behind one of these a variable is set when it is
 * declared, or before the first return. What is returned or handed on is taken out first.
 */
#ifndef VLENS_BASE_CLEANUP_H
#define VLENS_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../error.h"

static inline void vl_freep(void *p)
{
	free(*(void **)p);
}

static inline void vl_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void vl_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void vl_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static inline void vl_error_destroyp(struct vl_error **err)
{
	vl_error_destroy(*err);
}

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _cleanup_free_ _cleanup_(vl_freep)
#define _cleanup_close_ _cleanup_(vl_closep)   /* a descriptor; -1: none */
#define _cleanup_fclose_ _cleanup_(vl_fclosep) /* where what fclose() says does not matter */
#define _cleanup_closedir_ _cleanup_(vl_closedirp)
#define _cleanup_error_ _cleanup_(vl_error_destroyp)

/* The pointer @p, which its scope owns no longer. */
#define vl_taken(p) \
	__extension__({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})

/* The same of a descriptor. */
static inline int vl_taken_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
