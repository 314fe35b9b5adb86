/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel module imee.ko, where this host has it: a guest on KVM, whoever its
 * hypervisor is, by its kvm-vm descriptor. It tells where the guest's RAM is, maps it
 * whatever backs it, and has the vCPUs' registers, with no monitor and no pause. See
 * kmod/imee.h and imee(4).
 */
#ifndef VLENS_HOST_KMOD_H
#define VLENS_HOST_KMOD_H

#include <stdatomic.h>

#include "../../kmod/imee.h"
#include "target.h"

/* One attachment to one guest. */
struct vl_kmod {
	int fd;					   /* of the device */
	const volatile struct imee_status *status; /* written by the module */
	unsigned int nr_vcpus;
};

/*
 * Attach to the guest of process @pid (@pidfd: the same process, or -1). On success
 * *@ret is owned by the caller. VL_ERR_TARGET: no module, no right to it, or the
 * process has no guest on KVM; why, and what to do.
 */
struct vl_error *vl_kmod_attach(pid_t pid, int pidfd, struct vl_kmod **ret);
void vl_kmod_detach(struct vl_kmod *m);

/*
 * In a process that was forked from the one that attached: have the attachment there, too,
 * as mappings do not pass a fork. False: it is not to be had.
 */
bool vl_kmod_inherit(struct vl_kmod *m);

/*
 * Does process @pid have a guest on KVM? Its kvm-vm descriptor, or -errno; -ENOENT:
 * it has none.
 */
int vl_kmod_find_vm(pid_t pid);

/* Is the module loaded, whether it may be used or not? */
bool vl_kmod_present(void);

/* The memory slots, by address; *@ret is malloc'ed. */
struct vl_error *vl_kmod_slots(struct vl_kmod *m, struct imee_slot **ret, size_t *nr_ret);

/*
 * Map guest-physical [@gpa, @gpa + @size) at @at (NULL: anywhere), readable. Where a page
 * cannot be had zeros are read, and vl_kmod_sound() tells. NULL: it cannot be mapped.
 */
void *vl_kmod_map(struct vl_kmod *m, void *at, uint64_t gpa, uint64_t size);

/*
 * Is what was read of mappings so far the guest's memory? False when a page could not be
 * had, until vl_kmod_renew(), or the guest has ended. No system call: a look at a page.
 */
static inline bool vl_kmod_sound(const struct vl_kmod *m)
{
	/* What was read before is read before; the processor keeps loads in order. */
	atomic_signal_fence(memory_order_seq_cst);
	return !m->status->dead && !m->status->zeros;
}

/*
 * The attachment to @t's guest, owned by the target and made when it is first asked for;
 * NULL: there is none, and *@why_ret (may be NULL), the target's, says why.
 */
struct vl_kmod *vl_target_module(struct vl_target *t, const struct vl_error **why_ret);

/* Pages that could not be had are asked for again; false: the guest has ended. */
bool vl_kmod_renew(struct vl_kmod *m);

/* The registers of all vCPUs, as vl_target_vcpus(). */
struct vl_error *vl_kmod_vcpus(struct vl_kmod *m, struct vl_vcpu **ret, size_t *nr_ret);

/* Does @is hold for more than half of @t's RAM, by bytes? */
bool vl_ram_most(const struct vl_target *t, bool (*is)(const struct vl_ram *));

/*
 * Is it the kernel module that maps @t's RAM, rather than the files behind it? Both never
 * map into one process: when the host takes a page out of such a file it holds the lock of
 * that file's mappings (i_mmap_rwsem) while the module waits for that of its own, and to
 * make a virtual machine in this process the kernel takes the locks of all its areas
 * (mm_take_all_locks()), perhaps the other way round. Files do where they can be mapped
 * and hold the larger part; what else there is, is then read by system calls.
 */
bool vl_ram_by_module(struct vl_target *t);

#endif
