/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that are named by their container or namespace. */
#ifndef VLENS_BIN_PLACE_H
#define VLENS_BIN_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "request.h"

/* How a word names a process. */
enum place_kind {
	PLACE_BAD,
	PLACE_PID,
	PLACE_NAMESPACE, /* the number of a network or mount namespace */
	PLACE_CONTAINER, /* the name of a container, or the first digits of its id */
};

/* The kind of @word; *@number_ret is its number, if it is one. */
enum place_kind place_kind(const char *word, uint32_t *number_ret);

/*
 * Set *@pid_ret to the first process of the container, or in the namespace, that @word names. It
 * is read from the memory of guest @spec. With @net the number of a namespace is a network's.
 */
struct vl_error *place_find(const struct request *r, const char *spec, const char *word, bool net,
			    pid_t *pid_ret);

#endif
