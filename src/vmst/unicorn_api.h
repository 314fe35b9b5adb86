/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unicorn is loaded when an executor needs it. Loading and relocating its 20 MB takes 5 ms
 * (measured), which a tool without a clone does not spend.
 */
#ifndef VLENS_VMST_UNICORN_API_H
#define VLENS_VMST_UNICORN_API_H

#include <unicorn/unicorn.h>

#include "../error.h"

/* The functions we use, under Unicorn's names less "uc_". */
#define VL_UNICORN_FUNCTIONS(F) \
	F(close) \
	F(context_alloc) \
	F(context_free) \
	F(context_restore) \
	F(context_save) \
	F(ctl) \
	F(emu_start) \
	F(emu_stop) \
	F(hook_add) \
	F(mem_map_ptr) \
	F(open) \
	F(reg_read) \
	F(reg_read_batch) \
	F(reg_write) \
	F(reg_write_batch) \
	F(strerror)

struct vl_unicorn_api {
#define F(name) __typeof__(&uc_##name) name;
	VL_UNICORN_FUNCTIONS(F)
#undef F
};

/* Load it; it is never unloaded. The error says that it is not installed. */
struct vl_error *vl_unicorn_load(struct vl_unicorn_api *ret);

#endif
