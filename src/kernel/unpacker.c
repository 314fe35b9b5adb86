/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unpacker.h"

#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../box/box.h"
#include "../host/file.h"
#include "../host/pages.h"
#include "../mem/paging.h"
#include "image.h"

#define UNPACKER_MEMORY (1UL << 30)

enum { OP_READ = 1 };

struct vl_unpacker {
	struct vl_target *target;
	struct vl_pgtable pt;
	bool is_virtual; /* addresses are read by pt */
	struct vl_box *box;
};

/* --- in the box --- */

static struct vl_error *unpacker_prepare(void *ctx, struct vl_box_fds *keep)
{
	struct vl_unpacker *u = ctx;
	const struct vl_ram *ram;
	bool fits;
	size_t nr;

	ram = vl_target_ram(u->target, &nr);
	fits = vl_box_keep(keep, vl_target_packed_fd(u->target));
	/* Tables may lie in ranges that are in the file as they are. */
	for (size_t i = 0; i < nr; i++)
		if (ram[i].fd >= 0 && (!i || ram[i].fd != ram[i - 1].fd))
			fits &= vl_box_keep(keep, ram[i].fd);
	vl_target_unpack(u->target);
	return fits ? NULL : vl_error_new(VL_ERR_OS, "too many files back the memory");
}

static bool read_memory(struct vl_unpacker *u, uint64_t address, void *buf, size_t len)
{
	return u->is_virtual ? vl_target_read_virt(u->target, &u->pt, address, buf, len) :
			       !vl_discard(vl_target_read(u->target, address, buf, len));
}

static void unpacker_main(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_unpacker *u = ctx;
	struct vl_message m;

	vl_target_share_waits(u->target, &wire->waits);
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		size_t len = m.value[1] < VL_WINDOW_MAIN ? m.value[1] : VL_WINDOW_MAIN;

		m.value[0] = m.op == OP_READ && read_memory(u, m.value[0], wire->window, len);
		vl_message_put_error(&m, NULL);
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

/* --- the broker --- */

struct vl_error *vl_unpacker_start(struct vl_target *t, const struct vl_pgtable *pt,
				   struct vl_unpacker **ret)
{
	struct vl_unpacker *u = calloc(1, sizeof(*u));
	const struct vl_box_options o = {
		.name = "vlens-unpacker",
		.does = "unpacks the guest's memory",
		.memory = UNPACKER_MEMORY,
		.prepare = unpacker_prepare,
		.work = unpacker_main,
		.ctx = u,
	};
	struct vl_error *err;

	*ret = NULL;
	if (!u)
		return vl_error_nomem();
	u->target = t;
	u->is_virtual = pt;
	if (pt)
		u->pt = *pt;
	err = vl_box_start(&o, &u->box);
	if (err) {
		free(u);
		return err;
	}
	vl_box_be_patient(u->box);
	*ret = u;
	return NULL;
}

void vl_unpacker_stop(struct vl_unpacker *u)
{
	if (!u)
		return;
	vl_box_stop(u->box);
	free(u);
}

struct vl_error *vl_unpacker_read(struct vl_unpacker *u, uint64_t address, void *buf, size_t len,
				  struct vl_deadline deadline)
{
	struct vl_message m = { .op = OP_READ, .value = { address, len } };
	struct vl_error *err;

	if (len > VL_WINDOW_MAIN)
		return vl_error_new(VL_ERR_ARG, "%zu bytes are read at once", len);
	err = vl_box_ask(u->box, &m, vl_left_ns(deadline), NULL, NULL);
	if (!err && m.error)
		err = vl_message_error(&m);
	if (!err && !m.value[0])
		err = vl_error_fault(address, "the page cannot be unpacked");
	if (!err)
		memcpy(buf, vl_box_wire(u->box)->window, len);
	return err;
}
