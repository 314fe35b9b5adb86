/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library.h"

#include <dlfcn.h>
#include <string.h>

static struct vl_error *missing(const struct vl_library *lib)
{
	const char *why = dlerror();

	return vl_error_hint(vl_error_new(VL_ERR_OS, "cannot load %s: %s", lib->name,
					  why ? why : "unknown reason"),
			     "%s", lib->hint);
}

struct vl_error *vl_library_load(const struct vl_library *lib, const char *const *names, size_t nr,
				 void *ret)
{
	void *handle = dlopen(lib->file, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);

	if (!handle)
		return missing(lib);
	for (size_t i = 0; i < nr; i++) {
		void *function = dlsym(handle, names[i]);

		if (!function)
			return missing(lib);
		/*
		 * POSIX requires that pointers to functions and to objects have one format:
		 * dlsym(3).
		 */
		memcpy((char *)ret + i * sizeof(function), &function, sizeof(function));
	}
	return NULL;
}
