/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPUs of a QEMU whose human monitor does not show them: from the notes of a dump of one
 * page. QEMU may have been taken over by its guest, so the dump is read in a box.
 */
#ifndef VLENS_HOST_QEMU_NOTES_H
#define VLENS_HOST_QEMU_NOTES_H

#include "qmp.h"
#include "target.h"

/* Let QEMU write the dump: *@fd_ret is the caller's. QEMU stops the vCPUs meanwhile. */
struct vl_error *vl_qemu_dump_notes(struct vl_qmp *qmp, int *fd_ret);

/* The vCPUs in the dump @fd, in the order of its notes. *@ret is malloc'ed. */
struct vl_error *vl_qemu_read_notes(struct vl_target *t, int fd, struct vl_vcpu **ret,
				    size_t *nr_ret);

#endif
