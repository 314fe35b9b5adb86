/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The taints of the kernel: by modules of others, unsigned or forced ones, and by faults. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/cleanup.h"

/*
 * The bits of tainted_mask and of struct module's taints, with their letters:
 * include/linux/panic.h.
 */
static const struct {
	char letter;
	const char *what;
	const char *of_module; /* the same, in a row about the module; NULL: as `what` */
} taints[] = {
	{ 'P', "a proprietary module", "proprietary" },
	{ 'F', "a module that was loaded by force", "loaded by force" },
	{ 'S', "a processor out of its specification", NULL },
	{ 'R', "a module that was removed by force", NULL },
	{ 'M', "a machine check", NULL },
	{ 'B', "a bad page", NULL },
	{ 'U', "a request of user space", NULL },
	{ 'D', "an oops or BUG", NULL },
	{ 'A', "an ACPI table that was replaced", NULL },
	{ 'W', "a warning", NULL },
	{ 'C', "a module of the staging tree", "of the staging tree" },
	{ 'I', "a fault of the firmware", NULL },
	{ 'O', "a module from out of the tree", "from out of the tree" },
	{ 'E', "a module that is not signed", "not signed" },
	{ 'L', "a soft lockup", NULL },
	{ 'K', "a live patch", NULL },
	{ 'X', "what the distribution defines", NULL },
	{ 'T', "a randomized layout of structures", NULL },
	{ 'N', "a test", NULL },
};

static void show(struct vl_checker *c, const char *what, uint64_t at, uint64_t mask, bool module)
{
	char letters[ARRAY_SIZE(taints) + 1] = "", found[VL_CHECK_TEXT] = "";
	size_t nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(taints); i++) {
		const char *text =
			module && taints[i].of_module ? taints[i].of_module : taints[i].what;

		if (!(mask >> i & 1))
			continue;
		letters[nr++] = taints[i].letter;
		/* Of a module, its row says that it is one. */
		vl_append(found, sizeof(found), "%s%s", *found ? ", " : ": ", text);
	}
	letters[nr] = '\0';
	/* Bits that later kernels have added. */
	if (mask >> ARRAY_SIZE(taints))
		vl_append(found, sizeof(found), "%s0x%llx", *found ? ", " : ": ",
			  (unsigned long long)(mask >> ARRAY_SIZE(taints) << ARRAY_SIZE(taints)));
	if (mask) {
		char text[VL_CHECK_TEXT + sizeof(letters)];

		snprintf(text, sizeof(text), "%s%s", letters, found);
		vl_check_show(c, &(struct vl_check_row){
					 .class = VL_CHECK_NOTE,
					 .check = "taints",
					 .at = at,
					 .what = what,
					 .found = text,
				 });
	}
}

struct vl_error *vl_check_taints(struct vl_checker *c)
{
	uint64_t at = vl_symbol(c->k, "tainted_mask"), mask;
	_cleanup_free_ struct vl_module *m = NULL;
	struct vl_error *err;
	size_t nr;

	if (at && !vl_read_u64(c->g->reader, &c->g->space, at, &mask))
		show(c, "the kernel", at, mask, false);
	err = vl_modules_listed(c->g, &m, &nr);
	for (size_t i = 0; i < nr; i++) {
		char what[VL_MODULE_NAME + 8];

		snprintf(what, sizeof(what), "module %.*s", VL_MODULE_NAME, m[i].name);
		show(c, what, m[i].module, m[i].taints, true);
	}
	return err;
}
