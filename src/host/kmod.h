/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests by imee.ko, where this host has it. It takes the guest of any
 * hypervisor on KVM by the kvm-vm descriptor. It lists the guest's RAM, maps it whatever backs
 * it, and reads the vCPUs' registers, with no monitor and no pause. See kmod/imee.h and imee(4).
 */
#ifndef VLENS_HOST_KMOD_H
#define VLENS_HOST_KMOD_H

#include <stdatomic.h>

#include "../../kmod/imee.h"
#include "registers.h"

/* One attachment to one guest. */
struct vl_kmod {
	int fd;					   /* of the device */
	const volatile struct imee_status *status; /* written by imee.ko */
	unsigned int nr_vcpus;
};

/*
 * Attach to the guest of process @pid (@pidfd: the same process, or -1). On success
 * *@ret is owned by the caller. VL_ERR_TARGET, with a hint: no imee.ko, no right to it, or the
 * process has no guest on KVM.
 */
struct vl_error *vl_kmod_attach(pid_t pid, int pidfd, struct vl_kmod **ret);
void vl_kmod_detach(struct vl_kmod *m);

/*
 * Make the attachment usable in a process that was forked from the one that attached: the status
 * page, like all mappings of imee.ko, does not pass a fork. False: it cannot be mapped.
 */
bool vl_kmod_inherit(struct vl_kmod *m);

/*
 * The kvm-vm descriptor of process @pid, as a number there, or -errno. -ENOENT: it has no guest
 * on KVM.
 */
int vl_kmod_find_vm(pid_t pid);

/* The number of vCPUs that process @pid has on KVM, by its descriptors; 0: not known. */
unsigned int vl_kmod_count_vcpus(pid_t pid);

/* Is imee.ko loaded? We may still have no right to use it. */
bool vl_kmod_present(void);

/* The memory slots, by address; *@ret is malloc'ed. */
struct vl_error *vl_kmod_slots(struct vl_kmod *m, struct imee_slot **ret, size_t *nr_ret);

/*
 * Map guest-physical [@gpa, @gpa + @size) at @at (NULL: anywhere), readable. A page that
 * imee.ko cannot get reads as zeros, and vl_kmod_sound() is then false. NULL: it cannot be mapped.
 */
void *vl_kmod_map(struct vl_kmod *m, void *at, uint64_t gpa, uint64_t size);

/*
 * Was all that was read from mappings so far the guest's memory? False after a page read as
 * zeros, until vl_kmod_renew(), and when the guest has ended. No system call: reads the status
 * page.
 */
static inline bool vl_kmod_sound(const struct vl_kmod *m)
{
	/* Earlier reads must come before this one; the processor keeps loads in order. */
	atomic_signal_fence(memory_order_seq_cst);
	return !m->status->dead && !m->status->zeros;
}

/*
 * The attachment to @t's guest, owned by the target and made by the first call. NULL: there is
 * none; *@why_ret (@why_ret may be NULL), owned by the target, says why.
 */
struct vl_kmod *vl_target_kmod(struct vl_target *t, const struct vl_error **why_ret);

/* Have imee.ko try again pages that it could not get; false: the guest has ended. */
bool vl_kmod_renew(struct vl_kmod *m);

/* The registers of all vCPUs, as vl_target_vcpus(). */
struct vl_error *vl_kmod_vcpus(struct vl_kmod *m, struct vl_vcpu **ret, size_t *nr_ret);
/* The same with all registers that imee.ko has: 0 for ds, es and ldt. */
struct vl_error *vl_kmod_registers(struct vl_kmod *m, struct vl_registers **ret, size_t *nr_ret);

/* Does @is hold for more than half of @t's RAM, by bytes? */
bool vl_ram_most(const struct vl_target *t, bool (*is)(const struct vl_ram *));

/*
 * Is @t's RAM mapped by imee.ko? Else it is mapped from the files behind it. One
 * process never has mappings of both. When the host takes a page out of such a file, it holds
 * the lock of that file's mappings (i_mmap_rwsem) while imee.ko waits for the lock of its
 * own. When a virtual machine is made in this process, the kernel takes the locks of all its
 * areas (mm_take_all_locks()), perhaps in the opposite order. Files are used if they can be
 * mapped and hold more than half of the RAM; system calls then read the rest.
 */
bool vl_ram_by_kmod(struct vl_target *t);

#endif
