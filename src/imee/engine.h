/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface between the reader and its engines: the direct walk, the immersive vCPU, the
 * mappings of imee.ko. reader.c checks a request before an engine sees it: sizes are within bounds,
 * no address wraps, fields and their places in the record are sane. Engines check for canonical
 * addresses, as they follow pointers.
 */
#ifndef VLENS_IMEE_ENGINE_H
#define VLENS_IMEE_ENGINE_H

#include "../attach/attach.h"
#include "imee.h"

#define VL_RAW_WHY 160 /* bytes of a reason, its NUL included */

struct vl_raw_ops;

/* An engine over one target. Engines put this first in their own struct. */
struct vl_raw {
	const struct vl_raw_ops *ops;
};

struct vl_raw_ops {
	const char *name; /* for --engine and --stats */
	int best;	  /* the highest that rank() returns */

	/*
	 * The rank (VL_RANK_*) of this engine for @t: the larger the faster, 0 if it cannot
	 * serve. Must be cheap: no monitor, no VM. @why gets the reason, one line.
	 */
	int (*rank)(struct vl_target *t, const struct vl_attach *c, char why[VL_RAW_WHY]);

	/*
	 * Open the engine; @c may be NULL. VL_ERR_TARGET with a hint when it cannot serve here.
	 */
	struct vl_error *(*open)(struct vl_target *t, const struct vl_attach *c,
				 struct vl_raw **ret);
	void (*close)(struct vl_raw *e);

	/*
	 * The requests of imee.h. A failure returns the status, puts the address into *@fault,
	 * and clears @buf (but see string). A success may change *@fault. @len is 1 to
	 * VL_READ_MAX.
	 */
	enum vl_read_status (*read)(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				    void *buf, size_t len, uint64_t *fault);
	/* @buf gets the string and its NUL; UNENDED: @size bytes without one. */
	enum vl_read_status (*string)(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				      char *buf, size_t size, uint64_t *fault);
	/*
	 * Leave items whose status is not VL_READ_OK at the call: they were refused before. Set
	 * the status of all others. reader.c clears the buffers of those that failed.
	 */
	void (*gather)(struct vl_raw *e, const struct vl_space *s, struct vl_get *items, size_t nr);
	/* Fills all of *@ret. */
	void (*walk)(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
		     struct vl_walked *ret);
	/* NULL: reader.c repeats read(). */
	enum vl_read_status (*watch)(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				     unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
				     uint64_t *samples_ret, uint64_t *fault);
};

/* Ranks: the largest wins. */
#define VL_RANK_NONE 0
#define VL_RANK_SYSCALLS 10 /* direct over memory that cannot be mapped */
#define VL_RANK_KVM_SLOW 5  /* kvm where the processor's own virtualization is emulated */
#define VL_RANK_KVM 50
#define VL_RANK_MODULE 80
#define VL_RANK_MAPPED 100 /* direct over mapped RAM */

extern const struct vl_raw_ops vl_raw_direct;
extern const struct vl_raw_ops vl_raw_kvm;
extern const struct vl_raw_ops vl_raw_kmod;

/* The name of engine @i (from 0), static; NULL: there are no more. */
const char *vl_raw_name(size_t i);

/* The attach of @r, or NULL. */
const struct vl_attach *vl_reader_attach(const struct vl_reader *r);

#endif
