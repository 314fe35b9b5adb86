/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes that release a variable's resource on every way out of its scope. Such a variable
 * is set when it is declared, or before the first return. vl_taken() takes a value out that is
 * returned or handed on.
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
#define _cleanup_fclose_ _cleanup_(vl_fclosep) /* ignores the result of fclose() */
#define _cleanup_closedir_ _cleanup_(vl_closedirp)
#define _cleanup_error_ _cleanup_(vl_error_destroyp)

/* Returns the pointer @p and sets @p to NULL: its scope no longer owns it. */
#define vl_taken(p) \
	__extension__({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})

/* The same for a descriptor, which becomes -1. */
static inline int vl_taken_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
