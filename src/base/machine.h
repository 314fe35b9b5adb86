/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine of our own on /dev/kvm, with one vCPU. imee/kvm and vmst/kvm share it.
 * Its speed and its limits depend on the host's KVM: enum vl_machine_kind.
 */
#ifndef VLENS_BASE_MACHINE_H
#define VLENS_BASE_MACHINE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "../error.h"

struct vl_machine {
	int kvm, vm, vcpu; /* -1: none */
	struct kvm_run *run;
	size_t run_size;
};

#define VL_MACHINE_NONE \
	{ \
		-1, -1, -1, NULL, 0 \
	}

/* Interrupts KVM_RUN, and nothing else: see vl_machine_signal_begin(). */
#define VL_MACHINE_SIGNAL SIGURG

enum vl_machine_kind {
	VL_MACHINE_TWO_LEVELS, /* the processor walks the guest's page tables, and KVM's */
	VL_MACHINE_SHADOW,     /* KVM makes page tables from the guest's: they go stale */
	VL_MACHINE_EMULATED,   /* neither Intel's nor AMD's: in software, slow and incomplete */
};

/* Facts about the host's KVM, looked up early for a process that loses the right to do so. */
struct vl_machine_host {
	int kvm; /* /dev/kvm, -1: none; a machine has a descriptor of its own */
	enum vl_machine_kind kind;
	/*
	 * The processor treats its walk of a guest's page tables as writes to them. AMD's do
	 * (APM volume 2, 15.25.5), Intel's with accessed and dirty flags for EPT (SDM
	 * volume 3, "EPT violations"). Over read-only memory KVM then emulates instruction
	 * by instruction, and hangs on exceptions (seen with kvm_amd of Linux 6.1 to 7.2).
	 */
	bool walks_write;
	char why[96]; /* why there is no descriptor, one line */
};

/* The kind of KVM here, by the parameters of its modules; opens nothing. */
enum vl_machine_kind vl_machine_kind(void);

/* Fill @h. With @open, also open /dev/kvm, for the caller to close. */
void vl_machine_probe(struct vl_machine_host *h, bool open);

/*
 * A boolean parameter of KVM's module for a processor ("kvm_intel"): 'Y' or 'N'; 0: the module or
 * the parameter does not exist.
 */
char vl_machine_parameter(const char *module, const char *name);

/* Open /dev/kvm and check its version. -1: the reason is in @why, of @size bytes. */
int vl_machine_open(char *why, size_t size);

/*
 * Make a machine without memory. @m is VL_MACHINE_NONE before, and again after an error.
 * @host: use its descriptor; NULL: open /dev/kvm.
 */
struct vl_error *vl_machine_create(struct vl_machine *m, const struct vl_machine_host *host);
void vl_machine_close(struct vl_machine *m);

/* Set memory slot @slot; @size 0 removes it. False: errno says why. */
bool vl_machine_slot(const struct vl_machine *m, unsigned slot, uint64_t gpa, uint64_t size,
		     const void *host, bool readonly);

/* All CPUID entries that KVM supports here; *@ret is malloc'ed. */
struct vl_error *vl_machine_cpuid(const struct vl_machine *m, struct kvm_cpuid2 **ret);

/* The entry of a leaf in @c; NULL: none. */
struct kvm_cpuid_entry2 *vl_machine_leaf(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index);

/* The width of a guest-physical address in bits, by @c. */
unsigned vl_machine_phys_bits(struct kvm_cpuid2 *c);

/* Flat 64-bit code and data segments at CPL 0, as a descriptor would have them. */
struct kvm_segment vl_machine_code(uint16_t selector);
struct kvm_segment vl_machine_data(uint16_t selector);

/* The same as descriptors, marked as used (Intel SDM volume 3, 3.4.5). */
#define VL_MACHINE_GDT_CODE 0x00af9b000000ffffUL
#define VL_MACHINE_GDT_DATA 0x00cf93000000ffffUL

/* Have VL_MACHINE_SIGNAL alone interrupt KVM_RUN. False: errno says why. */
bool vl_machine_signal_mask(const struct vl_machine *m);

/*
 * Around KVM_RUN: between the two calls a VL_MACHINE_SIGNAL is blocked, so that no handler of
 * the program is called; it still interrupts KVM_RUN. With @sent, a pending one is consumed.
 */
bool vl_machine_signal_begin(sigset_t *old);
void vl_machine_signal_end(const sigset_t *old, bool sent);

/* Consume a pending VL_MACHINE_SIGNAL, which would interrupt the next KVM_RUN, too. */
void vl_machine_signal_take(void);

/* VM exits that KVM has counted, with those that it served itself; 0: KVM has no count. */
uint64_t vl_machine_exits(const struct vl_machine *m);

#endif
