/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaces libvirt.c when vlens is built without libvirt. */
#include "internal.h"

struct vl_error *vl_libvirt_open(struct vl_target *t, struct vl_spec *s)
{
	(void)t;
	s->no_such = true;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "no file \"%s\", and no libvirt domain: "
					  "this vlens is built without libvirt",
					  s->arg),
			     "name the guest as qemu:PID, qmp:SOCKET or by a dump file");
}

struct vl_error *vl_target_list(const char *uri, void (*fn)(void *ctx, const char *name), void *ctx)
{
	(void)uri, (void)fn, (void)ctx;
	return NULL;
}
