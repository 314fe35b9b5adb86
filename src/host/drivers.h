/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about a guest that its name alone answers. The table of drivers, one row for each
 * way to find a guest, is in drivers.c.
 */
#ifndef VLENS_HOST_DRIVERS_H
#define VLENS_HOST_DRIVERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "../error.h"

struct vl_target;

/* The kind of guest, for a user: "a libvirt domain". */
const char *vl_target_kind(const struct vl_target *t);

/*
 * May a keeper stay for the guest @spec? Not for a dump, which never changes and needs no
 * broker, and not for a name that may be a dump's.
 */
bool vl_spec_is_kept(const char *spec);

/* The process in @spec ("qemu:PID"); 0: it has none. */
pid_t vl_spec_pid(const char *spec);

/* Does @spec mean something else in another working directory? */
bool vl_spec_is_relative(const char *spec);

/*
 * The length of HOST in the spec "HOST:GUEST" or "USER@HOST:GUEST", a guest of another host, by a
 * name or an address ("[::1]") that ssh can be given; 0: @spec is no such spec. Neither part begins with a hyphen.
 */
size_t vl_spec_host(const char *spec);

/*
 * Would @name, a guest's own name, mean something else as a spec: an id, a UUID, a path, an
 * option, or a form with a prefix (qemu:PID) or a host? Such a guest is listed by its UUID.
 */
bool vl_name_is_taken(const char *name);

#endif
