/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt, loaded when a domain is first named. Linked, it would cost every run of every tool some
 * 15 ms (measured, version 9.0), and hosts with bare QEMUs or dumps only would need it, too.
 */
#ifndef VLENS_HOST_LIBVIRT_API_H
#define VLENS_HOST_LIBVIRT_API_H

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "error.h"

/* The functions we use, by libvirt's names without "vir". */
#define VL_LIBVIRT_FUNCTIONS(F) \
	F(ConnectOpen) \
	F(ConnectClose) \
	F(ConnectGetType) \
	F(ConnectGetURI) \
	F(ConnectListAllDomains) \
	F(DomainLookupByID) \
	F(DomainLookupByUUIDString) \
	F(DomainLookupByName) \
	F(DomainGetID) \
	F(DomainGetInfo) \
	F(DomainGetName) \
	F(DomainGetUUIDString) \
	F(DomainGetState) \
	F(DomainGetXMLDesc) \
	F(DomainSuspend) \
	F(DomainResume) \
	F(DomainFree) \
	F(GetLastError) \
	F(ResetLastError) \
	F(SetErrorFunc)

struct vl_libvirt_api {
#define F(name) __typeof__(&vir##name) name;
	VL_LIBVIRT_FUNCTIONS(F)
#undef F
	__typeof__(&virDomainQemuMonitorCommand) DomainQemuMonitorCommand;
};

/*
 * Load libvirt, and silence its own messages. It is never unloaded. The error says that it is not
 * installed.
 */
struct vl_error *vl_libvirt_load(struct vl_libvirt_api *ret);

#endif
