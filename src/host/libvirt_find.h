/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain at libvirt, and finding it. These functions wait for libvirt without a timeout. */
#ifndef VLENS_HOST_LIBVIRT_FIND_H
#define VLENS_HOST_LIBVIRT_FIND_H

#include <stdbool.h>
#include <sys/types.h>

#include "libvirt_api.h"

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

#endif
