/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libvirt.h"

#include <dlfcn.h>
#include <stddef.h>

/* Without a function of ours libvirt prints every error to stderr. */
static void quiet(void *data, virErrorPtr err)
{
	(void)data;
	(void)err;
}

static struct vl_error *missing(void)
{
	const char *why = dlerror();

	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "cannot load libvirt: %s",
					  why ? why : "unknown reason"),
			     "install libvirt's client libraries, or name the guest as qemu:PID, "
			     "qmp:SOCKET or by a dump file");
}

struct vl_error *vl_libvirt_load(struct vl_libvirt_api *ret)
{
	const int flags = RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE;
	void *lib = dlopen("libvirt.so.0", flags);
	void *qemu = lib ? dlopen("libvirt-qemu.so.0", flags) : NULL;

	if (!qemu)
		return missing();
#define F(name) \
	*(void **)&ret->name = dlsym(lib, "vir" #name); \
	if (!ret->name) \
		return missing();
	VL_LIBVIRT_FUNCTIONS(F)
#undef F
	*(void **)&ret->DomainQemuMonitorCommand = dlsym(qemu, "virDomainQemuMonitorCommand");
	if (!ret->DomainQemuMonitorCommand)
		return missing();
	ret->SetErrorFunc(NULL, quiet);
	return NULL;
}
