/* SPDX-License-Identifier: GPL-2.0 */
/*
 * imee.ko's own declarations.
 *
 * An open file is a struct imee_file. Attached, it has a struct file of KVM's and an interval
 * notifier over the whole address space of the hypervisor's process. Users of the guest take it
 * by imee_get() and return it by imee_put(). Once it is dead (imee_die()) imee_get() fails, and
 * the last imee_put() drops KVM's file.
 *
 * Locks, outermost first: setup; a mmap_lock; fault_lock; lock. Neither setup nor fault_lock is
 * taken where the hypervisor's memory is invalidated.
 */
#ifndef IMEE_INTERNAL_H
#define IMEE_INTERNAL_H

#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "imee.h"

struct imee_watch_ring;

struct imee_file {
	struct mutex setup;	/* attaching, watches, and one sample of registers at a time */
	struct list_head files; /* in imee_files, once attached */
	bool attached;		/* set once, with smp_store_release */
	u32 flags;		/* IMEE_ATTACH_* */

	struct kvm *kvm;      /* by imee_get() only */
	struct file *vm_file; /* keeps kvm */
	refcount_t users;     /* of kvm and vm_file; one is the attachment's own until it dies */
	struct work_struct death;
	struct delayed_work orphan;

	/*
	 * Our areas are linked into it, so that pages of this guest, and of no other, can be
	 * taken out: the device's inode is shared by all files.
	 */
	struct address_space mapping;
	atomic_t areas; /* number of areas of memory in it */
	struct mmu_interval_notifier notifier;
	struct mutex
		fault_lock; /* from a page's insertion to the check that it is the guest's; zeros */
	spinlock_t lock;    /* the notifier's sequence; status; dead */
	bool dead;
	struct page *status_page;
	struct imee_status *status;

	struct xarray vcpus;		     /* of struct imee_vcpu, made on request */
	bool probing;			     /* holds a share in the probe */
	struct imee_watch_ring __rcu *watch; /* written under setup */
	u64 rings;			     /* number of rings so far; under setup */

	atomic64_t retries;
	atomic64_t huge;
	atomic64_t bytes_read;
	atomic64_t samples;
};

enum { IMEE_IDLE, IMEE_WANTED, IMEE_FILLING, IMEE_FILLED };

/* A vCPU that a file asked for. */
struct imee_vcpu {
	struct hlist_node node; /* in the hash of all files, by vcpu */
	struct imee_file *file;
	struct kvm_vcpu *vcpu;
	u32 index;
	void *vmcb;    /* SVM: once it was found; see svm.c */
	void *loaded;  /* VMX: likewise; see vmx.c */
	u64 entries;   /* written by the vCPU's thread only */
	u64 last_cr3;  /* of the watch, likewise */
	u64 last_ring; /* the serial of the ring that has it */
	int want;      /* IMEE_IDLE ...; by compare and swap where two may do it */
	struct completion done;
	struct imee_regs sample; /* the probe's, when IMEE_FILLED */
	struct imee_regs before; /* for comparing */
};

/* Resources held now by all files: shown in /sys/module/imee/parameters. */
struct imee_counts {
	atomic_long_t attachments, vm_files, mms, mappings, page_refs;
};
/*
 * The files are layers, each above those it uses: file.c and zap.c; slots.c; map.c; svm.c and
 * vmx.c; ring.c; vcpu.c; watch.c; attach.c; main.c.
 */

/* file.c */
extern struct imee_counts imee_counts;
/* The guest, or NULL when it is gone; not before f->attached. */
struct kvm *imee_get(struct imee_file *f);
void imee_put(struct imee_file *f);
/* 0, -ENOTCONN or -ESRCH. After 0 return *kvm by imee_put(). */
int imee_use(struct imee_file *f, struct kvm **kvm);
u32 imee_nr_vcpus(struct kvm *kvm);
void imee_die(struct imee_file *f);

/* zap.c */
/* Take the pages of [gpa, gpa + size) out of all mappings, but not private copies. */
void imee_zap(struct imee_file *f, u64 gpa, u64 size);
void imee_zap_all(struct imee_file *f);
/* Is this within imee_zap(), of any file? */
bool imee_in_zap(void);
/* Note the slots' @generation. True: it is a new one, and all pages were given up. */
bool imee_follow(struct imee_file *f, u64 generation);
/* Give up pages that are shown as zeros. */
void imee_drop_zeros(struct imee_file *f);

/* attach.c */
long imee_attach(struct imee_file *f, void __user *arg);
void imee_detach(struct imee_file *f);

/* slots.c */
struct imee_place {
	u64 generation;
	unsigned long hva; /* of the address that was asked for */
	u64 left;	   /* bytes from there to the slot's end */
};
/* Find the slot of @gpa; false: there is none. Sets place->generation in any case. */
bool imee_find(struct kvm *kvm, u64 gpa, struct imee_place *place);
u64 imee_generation(struct kvm *kvm);
/* Is [gpa, gpa + size) wholly in slots? */
bool imee_covered(struct kvm *kvm, u64 gpa, u64 size);
/* Take the pages that the slots have at [hva, last] out of all mappings. */
void imee_zap_hva(struct imee_file *f, unsigned long hva, unsigned long last);
long imee_get_slots(struct imee_file *f, void __user *arg);

/* map.c */
int imee_mmap(struct file *file, struct vm_area_struct *vma);
ssize_t imee_read(struct file *file, char __user *buf, size_t len, loff_t *pos);
extern struct page *imee_zero_page; /* made by main.c */
extern const struct mmu_interval_notifier_ops imee_notifier_ops;

/* vcpu.c */
int imee_probe_init(void);
void imee_probe_exit(void);
/* Take a share in the probe on kvm_entry; 0 or -EOPNOTSUPP. Under setup. */
int imee_probe_get(struct imee_file *f);
/* The vCPU @index, NULL if there is none, or an ERR_PTR. Under setup, guest in use. */
struct imee_vcpu *imee_vcpu(struct imee_file *f, struct kvm *kvm, u32 index);
/* When it returns the probe no longer looks at the file's vCPUs. */
void imee_vcpus_drop(struct imee_file *f);
void imee_vcpus_free(struct imee_file *f);
long imee_get_regs(struct imee_file *f, void __user *arg);

/* Is @reg in KVM's copy of the registers? */
static inline bool imee_cached(struct kvm_vcpu *vcpu, int reg)
{
	/* A u32; an array of longs in kernels with more than 32 registers. */
	return test_bit(reg, (unsigned long *)&vcpu->arch.regs_avail);
}

#ifdef HAVE_REG_RIP
#define IMEE_RIP VCPU_REG_RIP
#define IMEE_CR3 VCPU_REG_CR3
#define imee_rip(vcpu) ((vcpu)->arch.rip)
#else
#define IMEE_RIP VCPU_REGS_RIP
#define IMEE_CR3 VCPU_EXREG_CR3
#define imee_rip(vcpu) ((vcpu)->arch.regs[VCPU_REGS_RIP])
#endif

static inline bool imee_has_rip(struct kvm_vcpu *vcpu)
{
	return imee_cached(vcpu, IMEE_RIP);
}

static inline bool imee_has_rsp(struct kvm_vcpu *vcpu)
{
	return imee_cached(vcpu, VCPU_REGS_RSP);
}

/*
 * Is its state encrypted (SEV-ES), or closed to the host (TDX)? KVM's copies then mean nothing.
 */
static inline bool imee_protected(struct kvm_vcpu *vcpu)
{
#ifdef HAVE_PROTECTED
	return vcpu->arch.guest_state_protected;
#else
	return false;
#endif
}

/* svm.c */
/* Does the processor have AMD's virtualization? */
bool imee_svm(void);
/* Add the registers from the VMCB of a vCPU outside of its guest; see fill() in vcpu.c. */
void imee_svm_regs(struct imee_vcpu *v, struct imee_regs *regs, bool entering);
/* The guest's CR3 of its last exit or for its next entry; false: not known. */
bool imee_svm_cr3(struct imee_vcpu *v, u64 *cr3);

/* vmx.c */
/* The same by VMREAD; only in the vCPU's thread, just before it enters. */
void imee_vmx_regs(struct imee_vcpu *v, struct imee_regs *regs);
bool imee_vmx_cr3(struct imee_vcpu *v, u64 *cr3);
/* The same anywhere else, of a vCPU that is not in its guest; may sleep. */
void imee_vmx_regs_outside(struct imee_vcpu *v, struct imee_regs *regs);

/* ring.c */
/* Called in the vCPU's thread, just before it enters. */
void imee_ring_entry(struct imee_vcpu *v);
/* A new ring, or NULL. Under setup. */
struct imee_watch_ring *imee_ring_new(struct imee_file *f, u32 size);
/* Free the file's ring, for @ring or NULL. Under setup, or when nobody uses the file. */
void imee_ring_replace(struct imee_file *f, struct imee_watch_ring *ring);
/* Copy out up to @r->capacity values from number @r->next on. */
u32 imee_ring_copy(struct imee_watch_ring *ring, struct imee_cr3_read *r, struct imee_cr3 *list);

/* watch.c */
long imee_watch_cr3(struct imee_file *f, void __user *arg);
long imee_read_cr3(struct imee_file *f, void __user *arg);

#endif
