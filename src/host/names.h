/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of guests: which of them say what else they could be, and which are near. */
#ifndef VLENS_HOST_NAMES_H
#define VLENS_HOST_NAMES_H

#include <stdbool.h>

#include "../error.h"

/*
 * Could a guest's own name be taken for something else where a guest is named: an id, a UUID, a
 * path, an option, qemu:PID and its kin? Such a guest is listed by its UUID.
 */
bool vl_name_is_taken(const char *name);

/*
 * @err says that there is no guest @spec (at libvirt's @uri): add what is near, and where all are
 * shown. Returns @err.
 */
struct vl_error *vl_name_unknown(struct vl_error *err, const char *spec, const char *uri);

#endif
