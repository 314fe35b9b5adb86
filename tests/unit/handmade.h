/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest made by hand, for the executors behind vcpu/vcpu.h: some RAM, and page tables. */
#ifndef VLENS_TESTS_HANDMADE_H
#define VLENS_TESTS_HANDMADE_H

#include <stdbool.h>
#include <stdint.h>

#include "native/executor.h"
#include "vmst/executors.h"

#define RAM_SIZE (1UL << 20)

/* The clone's own memory begins with the page tables: cr3 is OWN_GPA. */
#define OWN_GPA 0x100000000UL
#define OWN_SIZE (1UL << 20)
/* Its first pages are the tables. */
#define OWN_TABLES 16

struct guest {
	unsigned char *own;
	unsigned next_table;
	struct vl_target *target;
	struct vl_snapshot *view; /* shared */
};

/* False: the reason was printed. */
bool guest_make(struct guest *g);
void guest_unmake(struct guest *g);

void *guest_page(struct guest *g, unsigned page);

/* The lowest entry of the tables for @va, which is made if there is none. */
uint64_t *guest_leaf(struct guest *g, uint64_t va);
void guest_map(struct guest *g, uint64_t va, uint64_t gpa);

/* The first word of the page at @gpa. */
uint64_t guest_pattern(uint64_t gpa);

#endif
