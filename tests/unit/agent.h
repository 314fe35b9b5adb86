/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_agent: a guest made by hand, the two engines over it, and what its files share. */
#ifndef VLENS_TESTS_AGENT_H
#define VLENS_TESTS_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imee/kvm.h"
#include "imee/reader.h"

#define RAM_SIZE (16UL << 20)
#define HIGH_GPA 0x100000000UL /* a second range */
#define HIGH_SIZE (2UL << 20)

/* Guest-virtual addresses. */
#define DIRECT_MAP 0xffff888000000000UL /* pages of 2 MiB: all of the RAM, and one more */
#define GIANT 0xffff888800000000UL	/* one page of 1 GiB, of which 16 MiB are RAM */
#define HIGH_MAP 0xffff888100000000UL	/* a page of 2 MiB over the second range */
#define SMALL 0xffffc90000000000UL	/* 512 pages of 4 KiB, see make_small() */
#define TEXT 0xffffffff81000000UL	/* a page of 2 MiB, executable */
#define USER 0x400000UL

/* Guest-physical addresses. */
#define TEXT_GPA 0x400000UL
#define DATA_GPA 0x800000UL

#define LEAF (X86_PTE_P | X86_PTE_A | X86_PTE_D)

/* agent-guest.c: the dump, whose two ranges are mapped at @ram and @high. */
extern char path[];
extern unsigned char *ram, *high;
extern uint64_t next_table; /* where the next page table goes */
bool make_dump(void);

/* The tables of one root; returns it. */
uint64_t make_root(int levels);

/* The entry of @level @to for @va, below the table @root of level @from. */
uint64_t *entry(uint64_t root, uint64_t va, int from, int to);
void put64(uint64_t gpa, uint64_t v);
uint64_t random_u64(void);

extern struct vl_target *target;
extern struct vl_reader *direct, *kvm;
extern struct vl_space space;
struct vl_kvm_stats stats(void);

/* To be called when the test has changed the dump: the direct engine reads each page once. */
void changed(void);

/* Read by both engines, and count what was compared and what was different. */
extern unsigned compared, different;
void same(uint64_t va, size_t len);

/* agent-reads.c */
void test_reads(const char *what);
void test_overlay(void);
void test_strings(void);
void test_gather(void);
void test_watch(void);

/* agent-walks.c */
void test_walks(void);
void test_xarray(void);

#endif
