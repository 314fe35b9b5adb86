/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of the program that ask about a file. */
#ifndef VLENS_REDIRECT_QUERY_H
#define VLENS_REDIRECT_QUERY_H

#include <stdbool.h>

#include "records.h"

struct vl_trap;

/*
 * The file if t->where is /proc/PID/fd/N or /proc/PID/fdinfo/N (*@info_ret), PID is how the
 * program sees itself, and N, *@fd_ret, is a descriptor of ours; else NULL.
 */
struct vl_file *vl_self_fd(struct vl_trap *t, bool *info_ret, int *fd_ret);

#endif
