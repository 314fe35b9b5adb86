/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mirror of those page table entries that are in use, for processors that treat their own
 * walk of a guest's page tables as a write to them (AMD APM volume 2, 15.25.5; Intel SDM volume
 * 3, "EPT violations", with accessed and dirty flags for EPT): the guest's tables are read-only
 * to us, and such a processor cannot walk them there.
 *
 * The mirror has one page for each table, at guest-physical addresses of ours. An entry in it
 * is the guest's: a leaf is unchanged, any other has the address of the next table's mirror.
 * Entries are filled in when an address needs them; all others are not present. Data are not
 * mirrored: a leaf leads to the guest's own page.
 *
 * No stale entry is used. Each one is recorded with its place in the guest's memory, and
 * compared with that before a request and after it. A request whose entries changed is retried.
 * So every read went through entries that the guest had before and after it, as with a software
 * walk.
 *
 * Only the accessed and dirty flags are the mirror's own; the processor sets them.
 */
#ifndef VLENS_IMEE_MIRROR_H
#define VLENS_IMEE_MIRROR_H

#include "direct.h"

#define MIRROR_TABLES 2048   /* pages of 4 KiB, which are touched when they are needed */
#define MIRROR_ENTRIES 16384 /* at a time */
#define MIRROR_USED 2048     /* used entries of one request; beyond that all count as used */
/* A request that compares all entries begins with this many at most. */
#define MIRROR_ALL 4096
#define MIRROR_HASH (2 * MIRROR_TABLES)

/* Internal: no room for another entry. */
#define MIRROR_FULL (VL_NR_READ_STATUS + 2)

typedef uint64_t mirror_page[512];

struct mirror_table {
	uint64_t key;		       /* its guest-physical address | its level */
	const volatile uint64_t *live; /* the guest's own */
	/* Recorded entries, without the flags that processors set; 0: none. */
	uint64_t known[512];
};

struct mirror {
	struct vl_direct *walk; /* tables in RAM that it has not mapped are not mirrored */
	mirror_page *pages;	/* what the processor walks; not owned */
	uint64_t gpa;		/* their guest-physical address */
	/* Memory of ours that no entry may lead to, guest-physical. */
	uint64_t own, own_size;
	struct mirror_table *tables;
	unsigned nr_tables;
	uint32_t *entries, *used; /* table << 9 | index */
	unsigned nr_entries, nr_used;
	uint16_t hash[MIRROR_HASH]; /* table + 1, or 0 */
	bool all;		    /* all entries count as used */
	/*
	 * running: the processor serves a request, so entries may be added but not changed.
	 * changed: the guest changed one meanwhile.
	 */
	bool running, changed;
};

/* @pages: MIRROR_TABLES of them, zeroed, at @gpa; they and @walk must outlive it. */
struct vl_error *mirror_init(struct mirror *m, struct vl_direct *walk, mirror_page *pages,
			     uint64_t gpa);
void mirror_deinit(struct mirror *m);

/*
 * Begin a request. @all: it is not known which entries it will use. Returns the guest-physical
 * address of the mirror of the root of @s, or 0: there is no RAM at the root.
 */
uint64_t mirror_begin(struct mirror *m, const struct vl_space *s, bool all);

/*
 * Translate @va by the rules of direct_translate(), and mirror its entries as used. Also
 * returns MIRROR_FULL, and VL_READ_NO_RAM for a page that reaches into our own memory.
 */
enum vl_read_status mirror_map(struct mirror *m, const struct vl_space *s, uint64_t va,
			       uint64_t *gpa_ret);

/*
 * End a request: are the entries that it used unchanged? If not it is retried, from
 * mirror_begin() on.
 */
bool mirror_holds(struct mirror *m);

#endif
