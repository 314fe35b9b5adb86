/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared libraries that are loaded when they are first used: a run that needs none spends no time
 * on it, and does not fail where it is not installed.
 */
#ifndef VLENS_BASE_LIBRARY_H
#define VLENS_BASE_LIBRARY_H

#include <stddef.h>

#include "../error.h"

struct vl_library {
	const char *file; /* its soname */
	const char *name; /* in a message: "libdw, which reads DWARF" */
	const char *hint; /* how to get it */
};

/*
 * Load @lib for the life of this process, and store the addresses of its functions @names in @ret,
 * a struct of @nr pointers to functions in that order. VL_ERR_OS: @lib is not installed, or lacks
 * one of them.
 */
struct vl_error *vl_library_load(const struct vl_library *lib, const char *const *names, size_t nr,
				 void *ret);

#endif
