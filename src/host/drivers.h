/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be told of a guest by how it is named: the table of drivers, one row for each way to
 * find a guest, is in drivers.c.
 */
#ifndef VLENS_HOST_DRIVERS_H
#define VLENS_HOST_DRIVERS_H

#include <stdbool.h>

#include "../error.h"

struct vl_target;

/* Which kind of guest @t is, for a user: "a libvirt domain". */
const char *vl_target_kind(const struct vl_target *t);

/*
 * May a keeper stay for the guest @spec? Not for a dump, which never changes and is read
 * without anybody's help; nor for a name that may be a dump's.
 */
bool vl_spec_is_kept(const char *spec);

/* Does @spec mean something else in another working directory? */
bool vl_spec_is_relative(const char *spec);

/*
 * Could a guest's own name be taken for something else where a guest is named: an id, a UUID, a
 * path, an option, qemu:PID and its kin? Such a guest is listed by its UUID.
 */
bool vl_name_is_taken(const char *name);

#endif
