/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of kvm-probe share. */
#ifndef VLENS_TESTS_KVM_PROBE_H
#define VLENS_TESTS_KVM_PROBE_H

#include "../../src/imee/kvm.h"
#include "../../src/imee/reader.h"
#include "../../src/vlens.h"

struct probe {
	struct vl_reader *direct, *kvm;
	struct vl_space s;
	unsigned long compared, refused, different, moved;
	unsigned long sizes[3]; /* pages seen of 4 KiB, 2 MiB, 1 GiB */
	uint64_t seed;
	bool agent;	/* the engine is kvm: its figures can be had */
	int vcpu_stats; /* KVM's own of the vCPU, or -1 */
	double span_ms; /* of one figure */
};

static inline struct vl_kvm_stats stats(const struct probe *p)
{
	struct vl_kvm_stats ret = { 0 };

	if (p->agent)
		vl_kvm_stats(p->kvm->engine, &ret);
	return ret;
}

/* Prints it; returns the program's status. */
int fail(struct vl_error *err);
double now_us(void);

/* The same bytes and statuses from both engines? Counted; the first ten are printed. */
void same(struct probe *p, const struct vl_space *s, uint64_t va, size_t len);

int32_t off(struct probe *p, enum vl_field f);

/* The commands; they return the program's status. */
int overlay(struct probe *p);
int walks(struct probe *p);
int busy(struct probe *p, unsigned seconds);
int polled(struct probe *p);

#endif
