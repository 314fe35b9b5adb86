/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration of a migration stream: its machine and what it was made with. */
#include <string.h>

#include "../base/array.h"
#include "stream-pass.h"

/* QEMU's names of its machines that are PCs. */
static const char *const pcs[] = { "pc", "q35", "isapc", "microvm", "xenfv", "nitro" };

static struct vl_error *check_machine(const char *machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(pcs); i++)
		if (!strncmp(machine, pcs[i], strlen(pcs[i])))
			return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "the stream is of a machine '%s', which is not a PC",
					  machine),
			     "only x86-64 guests are understood");
}

static struct vl_error *take_capabilities(struct vl_cursor *c)
{
	struct vl_error *err;
	uint32_t nr;
	char name[256];

	err = vl_take32(c, &nr);
	while (!err && nr--) {
		err = vl_take_name(c, name);
		if (err)
			break;
		if (!strcmp(name, "mapped-ram"))
			c->mapped = true;
		else if (!strcmp(name, "x-ignore-shared"))
			err = vl_error_hint(vl_error_new(VL_ERR_TARGET,
							 "the stream was made with "
							 "x-ignore-shared: the guest's memory "
							 "is not in it"),
					    "the memory is in the file of its memory backend");
	}
	return err;
}

struct vl_error *vl_take_configuration(struct vl_cursor *c)
{
	const unsigned char *p;
	struct vl_error *err;
	uint32_t len, bits, version;
	char name[256];

	err = vl_take32(c, &len);
	if (err)
		return err;
	if (!len || len >= sizeof(c->machine))
		return vl_damaged_at(c, "its machine's name is invalid");
	err = vl_take(c, len, &p);
	if (err)
		return err;
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return vl_damaged_at(c, "its machine's name is invalid");
	memcpy(c->machine, p, len);
	err = check_machine(c->machine);
	while (!err) {
		err = vl_take(c, 1, &p);
		if (err || *p != VM_SUBSECTION)
			break;
		err = vl_take_name(c, name);
		err = err ? err : vl_take32(c, &version);
		if (err)
			break;
		if (!strcmp(name, "configuration/capabilities")) {
			err = take_capabilities(c);
		} else if (!strcmp(name, "configuration/uuid")) {
			err = vl_skip(c, 16);
		} else if (!strcmp(name, "configuration/target-page-bits")) {
			err = vl_take32(c, &bits);
			if (!err && bits != 12)
				err = vl_stream_not_read("pages that are not of 4 KiB",
							 "only x86-64 guests are understood");
		} else {
			err = vl_damaged_at(c, "its configuration has an unknown kind");
		}
	}
	if (!err)
		c->at--;
	return err;
}
