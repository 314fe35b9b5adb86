/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unicorn_api.h"

#include "../base/array.h"
#include "../base/library.h"

struct vl_error *vl_unicorn_load(struct vl_unicorn_api *ret)
{
	static const struct vl_library library = {
		.file = "libunicorn.so.2",
		.name = "Unicorn",
		.hint = "install Unicorn's library, 2.1 or later (on Debian: libunicorn2t64)",
	};
#define F(name) "uc_" #name,
	static const char *const names[] = { VL_UNICORN_FUNCTIONS(F) };
#undef F

	return vl_library_load(&library, names, ARRAY_SIZE(names), ret);
}
