/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_EXPORT_CONTAINER_H
#define VLENS_EXPORT_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#define VL_CONTAINER_MAX 80 /* bytes, with the NUL */

/*
 * The container that control group @path (@len bytes, a guest's) is of, as its runtime and its id
 * or name ("docker:3f2a…", "lxc:web"), in @buf. False: of none that is known.
 */
bool vl_container_of(const char *path, size_t len, char buf[VL_CONTAINER_MAX]);

#endif
