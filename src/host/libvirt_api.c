/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libvirt.h"

#include <stddef.h>

#include "../base/array.h"
#include "../base/library.h"

/* Without a function of ours libvirt prints every error to stderr. */
static void quiet(void *data, virErrorPtr err)
{
	(void)data;
	(void)err;
}

#define HINT \
	"install libvirt's client libraries, or name the guest as qemu:PID, qmp:SOCKET or by a " \
	"dump file"

struct vl_error *vl_libvirt_load(struct vl_libvirt_api *ret)
{
	static const struct vl_library library = { "libvirt.so.0", "libvirt", HINT };
	static const struct vl_library qemu = { "libvirt-qemu.so.0", "libvirt", HINT };
	static const char *const command = "virDomainQemuMonitorCommand";
#define F(name) "vir" #name,
	static const char *const names[] = { VL_LIBVIRT_FUNCTIONS(F) };
#undef F
	struct vl_error *err = vl_library_load(&library, names, ARRAY_SIZE(names), ret);

	if (!err)
		err = vl_library_load(&qemu, &command, 1, &ret->DomainQemuMonitorCommand);
	if (err) {
		err->code = VL_ERR_TARGET;
		return err;
	}
	ret->SetErrorFunc(NULL, quiet);
	return NULL;
}
