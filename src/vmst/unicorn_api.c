/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unicorn_api.h"

#include <dlfcn.h>

static struct vl_error *missing(void)
{
	const char *why = dlerror();

	return vl_error_hint(
		vl_error_new(VL_ERR_OS, "cannot load Unicorn: %s", why ? why : "unknown reason"),
		"install Unicorn's library, 2.1 or later (on Debian: libunicorn2t64)");
}

struct vl_error *vl_unicorn_load(struct vl_unicorn_api *ret)
{
	void *lib = dlopen("libunicorn.so.2", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);

	if (!lib)
		return missing();
#define F(name) \
	*(void **)&ret->name = dlsym(lib, "uc_" #name); \
	if (!ret->name) \
		return missing();
	VL_UNICORN_FUNCTIONS(F)
#undef F
	return NULL;
}
