/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the program asks about a file. */
#ifndef VLENS_REDIRECT_QUERY_H
#define VLENS_REDIRECT_QUERY_H

#include <stdbool.h>

#include "records.h"

struct vl_trap;

/* Is t->where a descriptor of ours, named by a pid that is the program's to itself? */
struct vl_file *vl_self_fd(struct vl_trap *t, bool *info_ret, int *fd_ret);

#endif
