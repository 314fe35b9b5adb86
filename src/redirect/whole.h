/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files and listings of the guest, read in one piece. */
#ifndef VLENS_REDIRECT_WHOLE_H
#define VLENS_REDIRECT_WHOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_redirect;
struct vl_trap;

/* A larger regular file is read piece by piece. */
#define VL_SNAPSHOT_MAX (64u << 20)

struct vl_error *vl_read_whole(struct vl_redirect *r, int64_t fd, const char *path, bool once,
			       char **data, size_t *len, int64_t *err);
struct vl_error *vl_open_whole(struct vl_redirect *r, const char *path, int flags, bool once,
			       int64_t *fd, char **data, size_t *len, int64_t *err);
/* What a program gets after the last entry if vl_list_whole() ended with @err: 0 or -errno. */
int vl_listing_end(int64_t err);
struct vl_error *vl_list_whole(struct vl_trap *t, int64_t *fd, const char *path, char **data,
			       size_t *len, int64_t *err);

#endif
