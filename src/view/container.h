/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The container and the unit of processes, by the path of their control group. */
#ifndef VLENS_CONTAINER_H
#define VLENS_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#define VL_CONTAINER_ID_MAX 129	   /* bytes, with the NUL */
#define VL_CONTAINER_UNIT_MAX 256  /* likewise: UNIT_NAME_MAX of systemd */
#define VL_CONTAINER_LABEL_MAX 160 /* likewise: the runtime, a character, the id */

/* All texts but the runtime's name are the guest's bytes, without a NUL. */
struct vl_container {
	const char *runtime; /* "docker", "podman" ...; NULL: it is of no container that is known */
	/* 64 hexadecimal digits; or, if `named`, the name of the container. */
	char id[VL_CONTAINER_ID_MAX];
	bool named;
	char pod[37];			  /* the uid of its pod in Kubernetes; "": none */
	char unit[VL_CONTAINER_UNIT_MAX]; /* unit of systemd, as ps -o unit has it; "": none */
};

/*
 * Read the path of a control group (@len bytes, a guest's) in the hierarchy of version 2, or in one
 * of version 1. If containers are nested it is the outermost one. False: it has neither a container
 * nor a unit; @ret is empty.
 */
bool vl_container_parse(const char *path, size_t len, struct vl_container *ret);

/*
 * The container in a word: its runtime, @sep and its name or the first 12 digits of its id. Empty
 * if there is none.
 */
void vl_container_label(const struct vl_container *c, char sep, char buf[VL_CONTAINER_LABEL_MAX]);

#endif
