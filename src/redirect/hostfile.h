/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of the host, opened and asked about in the program's place. */
#ifndef VLENS_REDIRECT_HOSTFILE_H
#define VLENS_REDIRECT_HOSTFILE_H

#include <stdint.h>

#include "../error.h"

struct vl_trap;

struct vl_error *vl_host_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
void vl_host_query(struct vl_trap *t);
int vl_host_is_dir(struct vl_trap *t);

#endif
