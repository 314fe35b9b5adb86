/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt: the library, which is loaded when it is needed; questions with a timeout; its last
 * answers.
 */
#ifndef VLENS_HOST_LIBVIRT_H
#define VLENS_HOST_LIBVIRT_H

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

struct vl_target;

/*
 * libvirt, loaded when a domain is first named. Linked, it would cost every run of every tool some
 * 15 ms (measured, version 9.0), and hosts with bare QEMUs or dumps only would need it, too.
 */

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

/* A domain at libvirt, and finding it. These functions wait for libvirt without a timeout. */

struct vl_domain {
	struct vl_libvirt_api vir;
	virConnectPtr conn; /* NULL: not connected (yet) */
	virDomainPtr dom;
	char *uri; /* as given, or NULL */
	char *spec;
};

/* An error "@what: libvirt's last error", on one line. */
struct vl_error *vl_domain_error(const struct vl_domain *d, const char *what);
/* Set the hint to try virsh; returns @err. */
struct vl_error *vl_domain_hinted(struct vl_error *err);

struct vl_error *vl_domain_connect(struct vl_domain *d);

/* By id, UUID or name; NULL: there is none. */
virDomainPtr vl_domain_lookup(const struct vl_domain *d, const char *spec);

/*
 * Find the domain d->spec unless that has been done. *@no_such_ret is set after an error that
 * means that there is no such domain, or no libvirt.
 */
struct vl_error *vl_domain_need(struct vl_domain *d, bool *no_such_ret);

/* An error unless the domain is QEMU's and runs on this host. */
struct vl_error *vl_domain_check(const struct vl_domain *d);
/* An error if the domain's memory is encrypted. */
struct vl_error *vl_domain_encrypted(const struct vl_domain *d);

/* Is process @pid the QEMU of the domain with this UUID? */
bool vl_domain_runs(pid_t pid, const char *uuid);
/* The QEMU process of the domain. */
struct vl_error *vl_domain_pid(const struct vl_domain *d, pid_t *ret);

/*
 * A cache of the process that a domain's name meant last time. A question to libvirt costs some
 * 20 ms, most of it for loading the library. An entry is valid as long as its process lives.
 */

/*
 * The process and UUID that @spec had on @uri (NULL: the default). The caller checks that the
 * process's run id is *@run_ret. False: not known. A @spec of digits alone is never found: it
 * may be the id of a new domain, and an id goes before a name.
 */
bool vl_domcache_find(const char *spec, const char *uri, pid_t *pid_ret, char run_ret[64],
		      char uuid_ret[40]);

/* Remember the process that @t is bound to under @spec. Best effort. */
void vl_domcache_store(struct vl_target *t, const char *spec, const char *uri, const char *uuid);

/* The lock for looking a domain up at libvirt; see vl_run_lock(). Waits 20 s at most. */
int vl_domcache_lock(const char *spec, const char *uri);
/* Release @lock, if it is one. Its file is removed if nothing is stored under that name. */
void vl_domcache_unlock(const char *spec, const char *uri, int lock);

/* A timeout for calls into a library that has none. */

/*
 * Run @fn(@arg) in a thread of its own, and wait @ms milliseconds at most. False: timeout. The
 * thread goes on and owns @arg with all that it points to; when @fn returns, the thread calls
 * @left(@arg). If no thread can be started, @fn runs in the caller, without a timeout.
 */
bool vl_bounded(void (*fn)(void *arg), void *arg, unsigned int ms, void (*left)(void *arg));

#endif
