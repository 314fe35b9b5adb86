/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain at libvirt, and how it is found. These functions wait for libvirt with no end. */
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

/* libvirt's last error, on one line. */
struct vl_error *vl_domain_error(const struct vl_domain *d, const char *what);
struct vl_error *vl_domain_hinted(struct vl_error *err);

struct vl_error *vl_domain_connect(struct vl_domain *d);

/* By id, UUID or name; NULL: there is none. */
virDomainPtr vl_domain_lookup(const struct vl_domain *d, const char *spec);

/* Find the domain d->spec unless that has been done; see vl_libvirt_open() for @no_such_ret. */
struct vl_error *vl_domain_need(struct vl_domain *d, bool *no_such_ret);

/* Can it be read: is it QEMU's, does it run, and on this host? */
struct vl_error *vl_domain_check(const struct vl_domain *d);
struct vl_error *vl_domain_encrypted(const struct vl_domain *d);

/* Is process @pid the QEMU of the domain with this UUID? */
bool vl_domain_runs(pid_t pid, const char *uuid);
struct vl_error *vl_domain_pid(const struct vl_domain *d, pid_t *ret);

#endif
