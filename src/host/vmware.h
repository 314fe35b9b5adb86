/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMware's suspended machines (.vmss) and snapshots (.vmsn): a state, and the memory beside it in a
 * file of the same name (.vmem), or in the state itself. The state says where the memory lies.
 */
#ifndef VLENS_HOST_VMWARE_H
#define VLENS_HOST_VMWARE_H

#include "dump.h"

/* Is @head, the first @len bytes of a file, that of a state? */
bool vl_vmware_is_state(const unsigned char *head, size_t len);

/* Has @path the name of a state? The error for a file of that name which is none. */
bool vl_vmware_is_named(const char *path);
struct vl_error *vl_vmware_not_state(void) __attribute__((returns_nonnull));

/* Load the state @path, which is the file of @d, and its memory, which becomes that file. */
struct vl_error *vl_vmware_load_state(struct vl_target *t, struct vl_dump *d, const char *path);

/*
 * Load the memory @path, the file of @d, as the state beside it says. *@done_ret is false if there
 * is none, or it names no place: then the memory is flat.
 */
struct vl_error *vl_vmware_load_memory(struct vl_target *t, struct vl_dump *d, const char *path,
				       bool *done_ret);

#endif
