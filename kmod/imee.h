/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/imee: a running KVM guest, seen from another process of the host.
 *
 * This header is the whole interface between imee.ko and user
 * space; imee(4) has the same for readers, with an example.
 *
 * One open file is one attachment: open the device, attach it to a guest with
 * IMEE_ATTACH, use it, close it. Closing (or dying) detaches; nothing else
 * does, and a file attaches only once. Mappings keep the attachment until they are unmapped.
 * Nothing here writes the guest's memory, its registers or the hypervisor's
 * memory.
 *
 * "Guest physical" addresses are those of KVM's memory slots in address space 0
 * (address space 1 is seen by a CPU in system management mode).
 *
 * Besides the ioctls:
 *
 *   mmap(fd, offset = guest physical address)
 *	Guest memory. The range must lie wholly within memory slots, as they are at
 *	that moment (slots may touch). MAP_SHARED is read only. MAP_PRIVATE may be
 *	writable: what is written there is a private copy, of that page only. Every
 *	page is taken when it is first touched, and given up, before its owner can
 *	reuse it, when the hypervisor unmaps, moves, discards, swaps, migrates or
 *	merges it; the next touch takes what is there then. A page without memory
 *	behind it (never mapped, unmapped, or of a device) raises SIGBUS, or, with
 *	IMEE_ATTACH_ZERO, reads as zeros and is counted in imee_status.holes.
 *	A page that is touched is faulted in as by a read of the hypervisor itself;
 *	but what the hypervisor serves by userfaultfd and has not served yet is no
 *	memory here (pread() waits for it). Encrypted memory (SEV) shows encrypted.
 *	A memory slot that goes or moves takes no page from its owner, so a mapping
 *	shows the hypervisor's memory that was there until the next IMEE_GET_SLOTS,
 *	page fault or invalidation notices, when all pages are given up and
 *	imee_status.generation changes.
 *	A huge page with all of its 2 MiB in one slot and in the mapping is taken as one
 *	in a shared mapping, on kernels that can (6.12 and later, some of them unless
 *	transparent huge pages are off). It is given up as one: where a part of it goes,
 *	the rest comes back by small pages. The address must equal the guest's modulo
 *	2 MiB; the kernel chooses such an address where the caller chooses none.
 *	A mapping can be a memory slot of another KVM machine; but KVM, up to 6.12 at
 *	least, refuses pages of a huge page (KVM_RUN: EFAULT), but for the first of each.
 *	A mapping is not inherited by fork(), not dumped, and the kernel refuses to pin its pages
 *	(O_DIRECT, process_vm_readv(2) by others); read(2) and write(2) from and to it work.
 *	  EINVAL    not wholly within slots, or an offset that wraps
 *	  EPERM     MAP_SHARED with PROT_WRITE (EACCES where the device was opened
 *		    read only), or PROT_EXEC; afterwards, by mprotect(2): EACCES
 *	  EDEADLK   the guest is one of the calling process itself
 *	  ENOTCONN  not attached
 *	  ESRCH     the guest is gone
 *
 *   mmap(fd, length = one page, offset = IMEE_STATUS_OFFSET, PROT_READ, MAP_SHARED)
 *	struct imee_status. Can be had once attached. Errors as above.
 *
 *   pread(fd, buffer, length, offset = guest physical address)
 *	Guest memory, copied, with no mapping. Returns less than length where memory
 *	ends, and at a signal.
 *	  EFAULT    nothing at the first byte, or a bad buffer
 *	  EINVAL    the offset is not a guest physical address (2^52 or more)
 *	  EINTR     a signal came before the first byte
 *	  ENOTCONN  not attached
 *	  ESRCH     the guest is gone
 *
 * Common to all ioctls:
 *	  EFAULT    a pointer is bad
 *	  EINVAL    a reserved field or an unknown flag is not 0; a known command's
 *		    number with another size or direction
 *	  ENOTTY    no such command
 *	  ENOTCONN  not attached (all but IMEE_GET_VERSION and IMEE_ATTACH)
 *	  ESRCH     the guest is gone: its process has ended, or has closed all that
 *		    keeps it. Final; mappings show no memory any more.
 *
 * All numbers are in the host's byte order; structures have no padding.
 */
#ifndef IMEE_H
#define IMEE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define IMEE_DEVICE "/dev/imee"

/*
 * Rises when something here changes that a program can notice. A program built
 * for version N works with any imee.ko whose IMEE_GET_VERSION gives N or more:
 * commands keep their meaning, and a structure that grows gets a new command.
 */
#define IMEE_VERSION 1

/* Where mmap() finds struct imee_status; above any guest physical address. */
#define IMEE_STATUS_OFFSET (1ULL << 62)

#define IMEE_IOC 0xb5

/*
 * The interface's version, IMEE_VERSION of imee.ko, as the ioctl's result.
 * The argument is ignored.
 */
#define IMEE_GET_VERSION _IO(IMEE_IOC, 0x00)

/* --- Attaching ------------------------------------------------------------- */

/* Missing memory reads as zeros, and is counted, instead of raising SIGBUS. */
#define IMEE_ATTACH_ZERO (1U << 0)

struct imee_attach {
	__s32 vm_fd;	   /* in: a descriptor "anon_inode:kvm-vm", by pidfd_getfd(2); it */
			   /* may, and should, be closed once this has returned: a guest's */
			   /* resources stay as long as anybody has such a descriptor */
	__u32 flags;	   /* in: IMEE_ATTACH_* */
	__s32 pid;	   /* out: the process that made the guest, in the caller's */
			   /* pid namespace; 0: not in it */
	__u32 vcpus;	   /* out: number of vCPUs now */
	__u64 reserved[2]; /* 0 */
};

/*
 * Attach this file to a guest.
 *   EBADF     vm_fd is not open
 *   EBUSY     this file is attached already
 *   EDEADLK   the guest is one of the calling process itself
 *   EINVAL    vm_fd is not that of a KVM guest of this host's kvm_amd or kvm_intel
 *   EINTR     a signal came
 *   ENOMEM
 *   EPERM     the guest was made by another user, and the caller lacks
 *	       CAP_SYS_PTRACE over it
 *   ESRCH     the guest's process is ending, or has ended
 */
#define IMEE_ATTACH _IOWR(IMEE_IOC, 0x01, struct imee_attach)

/* --- Memory ---------------------------------------------------------------- */

#define IMEE_SLOT_READONLY (1U << 0) /* the guest cannot write it: ROM, flash */
#define IMEE_SLOT_INTERNAL (1U << 1) /* KVM's own (APIC page, task state): no RAM */
#define IMEE_SLOT_PRIVATE (1U << 2)  /* part or all is in a guest_memfd: such pages */
				     /* are not at hva, and cannot be read here */

struct imee_slot {
	__u64 gpa;   /* first byte, guest physical; a multiple of 4096 */
	__u64 size;  /* bytes; a multiple of 4096, not 0 */
	__u64 hva;   /* its address in the hypervisor's process */
	__u32 flags; /* IMEE_SLOT_* */
	__u16 as_id; /* 0; 1: as seen in system management mode */
	__u16 id;    /* the number that the hypervisor gave it */
};

struct imee_slots {
	__u64 slots;	  /* in: address of an array of struct imee_slot; may be 0 */
			  /* when capacity is 0 */
	__u32 capacity;	  /* in: its number of elements */
	__u32 count;	  /* out: number of slots, perhaps more than capacity; */
			  /* the first of them are in the array */
	__u64 generation; /* out: changes whenever slots do */
	__u64 reserved;	  /* 0 */
};

/*
 * The memory slots of one moment, by address space, then address. With the same
 * generation they have not changed, and are not being changed. Capacity 0 is the
 * cheap way to ask whether slots have changed. Pages of mappings that show an
 * earlier generation, and pages shown as zeros, are given up.
 *   ENOMEM
 */
#define IMEE_GET_SLOTS _IOWR(IMEE_IOC, 0x02, struct imee_slots)

/*
 * The page at IMEE_STATUS_OFFSET. Written by the kernel at any moment, each field
 * by itself; read each once. With IMEE_ATTACH_ZERO, data read from a mapping are the
 * guest's if "dead" and "zeros" are both 0 afterwards (the reader orders these
 * loads). When zeros is 1, call IMEE_GET_SLOTS, which gives such pages up, and read
 * again; pread() says which bytes are not there.
 */
struct imee_status {
	__u32 version;	     /* IMEE_VERSION of imee.ko */
	__u32 dead;	     /* 1: the guest is gone (ESRCH) */
	__u64 generation;    /* of the slots, as of the last time imee.ko looked */
	__u64 holes;	     /* pages shown as zeros so far (IMEE_ATTACH_ZERO) */
	__u64 invalidations; /* times that pages of the guest may have been given up */
	__u64 faults;	     /* pages brought into mappings so far, a huge one as one */
	__u64 zeros;	     /* 1: some page of a mapping may be shown as zeros */
			     /* (IMEE_ATTACH_ZERO); until the next IMEE_GET_SLOTS */
	__u64 reserved[2];
};

/* --- Registers ------------------------------------------------------------- */

/* imee_regs.valid: which fields are valid. */
#define IMEE_REGS_GPR (1ULL << 0) /* gpr, rip */
#define IMEE_REGS_RFLAGS (1ULL << 1)
#define IMEE_REGS_CR0 (1ULL << 2)
#define IMEE_REGS_CR3 (1ULL << 3)
#define IMEE_REGS_CR4 (1ULL << 4)
#define IMEE_REGS_EFER (1ULL << 5)
#define IMEE_REGS_GS (1ULL << 6)	/* gs_base, and fs_base */
#define IMEE_REGS_KERNEL_GS (1ULL << 7) /* kernel_gs_base */
#define IMEE_REGS_LSTAR (1ULL << 8)	/* lstar */
#define IMEE_REGS_TABLES (1ULL << 9)	/* idt_*, gdt_* */
#define IMEE_REGS_TR (1ULL << 10)
#define IMEE_REGS_CS_SS (1ULL << 11) /* cs, ss */
#define IMEE_REGS_CPL (1ULL << 12)
#define IMEE_REGS_TSC (1ULL << 13) /* tsc_offset, tsc_ratio, tsc_shift */
#define IMEE_REGS_CR2 (1ULL << 14)

/* imee_regs.state: where the vCPU was. */
#define IMEE_VCPU_RUNNING 1 /* executing: sampled between an exit and the next entry */
#define IMEE_VCPU_HALTED 2  /* KVM holds it until an interrupt comes, or it was never started */
#define IMEE_VCPU_STOPPED 3 /* its thread is not in KVM: paused, or at work for the device model */
#define IMEE_VCPU_SCHEDULED 4 /* in KVM, not executing: its thread waits for a CPU or a page */

/* imee_regs.flags */
#define IMEE_VCPU_NESTED (1U << 0) /* it runs a guest of its own; valid fields are of that guest */

struct imee_segment {
	__u64 base;
	__u32 limit;
	__u16 selector;
	__u16 attr; /* bits 0-7: descriptor bits 40-47; bits 8-11: descriptor bits 52-55 */
};

struct imee_regs {
	__u32 vcpu;	  /* in: which, from 0 to the number of vCPUs less 1 */
	__u32 timeout_us; /* in: longest wait; 0: 100000 */
	__u64 valid;	  /* out: IMEE_REGS_*; other fields are 0. All below is out. */
	__u32 state;	  /* IMEE_VCPU_* */
	__u32 flags;	  /* IMEE_VCPU_NESTED */
	__u32 vcpu_id;	  /* the vCPU's APIC id, as given to KVM_CREATE_VCPU */
	__u32 cpl;	  /* privilege level, 0 to 3 */
	__u64 gpr[16];	  /* rax rcx rdx rbx rsp rbp rsi rdi r8-r15 */
	__u64 rip;
	__u64 rflags;
	__u64 cr0;
	__u64 cr2;
	__u64 cr3;
	__u64 cr4;
	__u64 efer;
	__u64 fs_base;
	__u64 gs_base;
	__u64 kernel_gs_base;
	__u64 lstar;
	__u64 idt_base;
	__u64 gdt_base;
	__u32 idt_limit;
	__u32 gdt_limit;
	struct imee_segment cs;
	struct imee_segment ss;
	struct imee_segment tr;
	/* The guest's TSC is ((host TSC * tsc_ratio) >> tsc_shift) + tsc_offset, modulo 2^64. */
	__u64 tsc_offset;
	__u64 tsc_ratio;
	__u32 tsc_shift;
	__u32 reserved32;  /* 0 */
	__u64 host_tsc;	   /* of the CPU that sampled, at that moment */
	__u64 host_ns;	   /* CLOCK_MONOTONIC of that moment */
	__u64 entries;	   /* entries of this vCPU into the guest, seen so far by this file */
	__u64 reserved[4]; /* 0 */
};

/*
 * The registers of a vCPU, at a moment after the call was made, with no pause: a
 * vCPU that executes leaves the guest once, as at any interrupt of the host, and
 * is sampled by its own thread on the way back; any other is read where KVM keeps
 * it. reserved* must be 0.
 *   EAGAIN      no sample within timeout_us: the vCPU neither entered the guest
 *		 nor held still
 *   EINTR       a signal came first
 *   EINVAL      no such vCPU
 *   ENOMEM
 *   EOPNOTSUPP  this kernel's KVM has no kvm_entry tracepoint, and the vCPU runs
 */
#define IMEE_GET_REGS _IOWR(IMEE_IOC, 0x03, struct imee_regs)

/* --- CR3 watch ------------------------------------------------------------- */

#define IMEE_WATCH_MAX 4096

struct imee_watch {
	__u32 size;	/* in: values to keep, 1 to IMEE_WATCH_MAX; 0: end the watch */
	__u32 reserved; /* 0 */
};

/*
 * Begin to record the CR3 of all vCPUs, or start over with none recorded, or end. A
 * value is recorded when a vCPU enters the guest with another CR3 than that of its
 * last record. With nested paging a guest loads CR3 without leaving, so these are
 * samples at entries (hundreds to thousands a second on a busy vCPU): a value
 * that was loaded and replaced between two exits is not seen.
 *   EINVAL      size is too large
 *   ENOMEM
 *   EOPNOTSUPP  this kernel's KVM has no kvm_entry tracepoint
 */
#define IMEE_WATCH_CR3 _IOW(IMEE_IOC, 0x04, struct imee_watch)

struct imee_cr3 {
	__u64 cr3;	/* with all its bits */
	__u64 host_tsc; /* when it was first seen at this entry */
	__u64 host_ns;	/* CLOCK_MONOTONIC */
	__u32 vcpu;	/* which, from 0 */
	__u32 reserved;
};

struct imee_cr3_read {
	__u64 values;	/* in: address of an array of struct imee_cr3 */
	__u32 capacity; /* in: its number of elements */
	__u32 count;	/* out: number of elements filled, oldest first */
	__u64 next;	/* in: number of the first value wanted; 0: the oldest kept. */
			/* out: number behind the last value returned: for the next call */
	__u64 lost;	/* out: values from the in-number on that were overwritten */
};

/*
 * Read the recorded values; they stay until they are overwritten. Values are numbered
 * from 0 since the watch began; a number not reached yet gives count 0.
 *   EINVAL    no watch
 *   ENOMEM
 */
#define IMEE_READ_CR3 _IOWR(IMEE_IOC, 0x05, struct imee_cr3_read)

/* --- What it costs --------------------------------------------------------- */

struct imee_stats {
	/* Of this file. */
	__u32 dead;	     /* as in struct imee_status */
	__u32 vcpus;	     /* number of vCPUs now */
	__u64 generation;    /* of the slots, now */
	__u64 holes;	     /* as in struct imee_status */
	__u64 invalidations; /* as in struct imee_status */
	__u64 faults;	     /* as in struct imee_status */
	__u64 retries;	     /* pages not brought in, as the hypervisor changed some meanwhile */
	__u64 huge;	     /* of faults, those of 2 MiB at once */
	__u64 bytes_read;    /* by pread() */
	__u64 samples;	     /* of registers */
	/* Of imee.ko; the same are in /sys/module/imee/parameters. */
	__u64 attachments; /* files attached now */
	__u64 vm_files;	   /* references to KVM's files held now */
	__u64 mms;	   /* address spaces of hypervisors watched now */
	__u64 mappings;	   /* areas mapped now */
	__u64 page_refs;   /* references to pages held now: 0 but for moments */
	__u64 reserved[4];
};

/* Statistics. Also answers when the guest is gone (dead is 1). */
#define IMEE_GET_STATS _IOR(IMEE_IOC, 0x06, struct imee_stats)

#endif
