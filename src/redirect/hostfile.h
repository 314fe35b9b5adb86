/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of the host: the supervisor opens, queries and changes them for the program. */
#ifndef VLENS_REDIRECT_HOSTFILE_H
#define VLENS_REDIRECT_HOSTFILE_H

#include <stdint.h>

#include "../error.h"

struct vl_trap;
struct vl_where;

/* Open the host's file t->where, as open(2) with @flags and @mode. */
struct vl_error *vl_host_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
/* Answer the trap, a query of the host's file t->where. */
void vl_host_query(struct vl_trap *t);
/* Is t->where a directory of the host? 0 or -errno. */
int vl_host_is_dir(struct vl_trap *t);

/* folder.c: open(t->where, flags, mode) for writing, or to create the file, in --host-files. */
void vl_folder_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
/*
 * Make the trapped call, which changes t->where. @other, if not NULL, is the path that it moves
 * or links to t->where. Both are in the folder. 0 or -errno.
 */
int vl_folder_change(struct vl_trap *t, const struct vl_where *other);

#endif
