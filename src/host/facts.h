/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the headers of a dump say: where its memory lies, and the vCPUs' registers. A pass in a box
 * collects it into an index. The process with rights reads the index.
 */
#ifndef VLENS_HOST_FACTS_H
#define VLENS_HOST_FACTS_H

#include "dump.h"
#include "index.h"

/* Whole pages of memory. */
struct vl_fact_range {
	uint64_t gpa, size;
	uint64_t at; /* where they lie in the file; VL_NOWHERE: they are made when they are read */
};
#define VL_NOWHERE UINT64_MAX

/* More ranges than any dump has: one with paging has a million segments. */
#define VL_FACT_RANGES_MAX (4UL << 20)

struct vl_facts {
	struct {
		uint64_t machine; /* of the registers: EM_X86_64, EM_386 */
		uint64_t moved;	  /* as vl_target_moved() */
		uint64_t flat;	  /* 1: the one range has no address */
	} head;
	struct vl_fact_range *ranges; /* malloc'ed, as the next one */
	size_t nr, room;
	struct vl_registers *registers;
	size_t nr_vcpus;
};

void vl_facts_deinit(struct vl_facts *f);

/* ---- the pass ---- */

/* Add a range that begins on a page; what is behind its last whole page is left out. */
struct vl_error *vl_facts_add(struct vl_facts *f, uint64_t gpa, uint64_t size, uint64_t at);
/* Append all to @ix. */
struct vl_error *vl_facts_put(const struct vl_facts *f, struct vl_index *ix);
/* Append registers only. */
struct vl_error *vl_registers_put(const struct vl_registers *r, size_t nr, struct vl_index *ix);

/* ---- with rights ---- */

/*
 * Take the facts from @ix, and check that the file of @d can have them. The ranges become the RAM
 * of @t, which is finished; the registers become those of @d.
 */
struct vl_error *vl_facts_take(struct vl_target *t, struct vl_dump *d, struct vl_index *ix);
/* Take registers only, @max at most, and check them. *@ret is malloc'ed. */
struct vl_error *vl_registers_take(struct vl_index *ix, size_t max, struct vl_registers **ret,
				   size_t *nr_ret);

#endif
