/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Migration streams made by hand, and what tests ask of them. */
#ifndef VLENS_STREAMS_H
#define VLENS_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/pages.h"
#include "host/target.h"

#define PAGE 4096
#define MIB (1UL << 20)
#define RAM_PAGES (16 * MIB / PAGE)

/* The folder of the test, and the file in it that is opened: streams_begin() makes it. */
extern char dir[], path[64];
void streams_begin(void);
/* Remove both; the status of the test. */
int streams_end(void);

/* A stream, in the order in which QEMU writes it. */
extern struct handmade_stream {
	unsigned char b[4 * MIB];
	size_t len;
} s;

/* The start of memory: @blocks are names, and sizes in pages; the last name is NULL. */
struct block {
	const char *name;
	uint64_t pages;
};

extern const struct block one_block[];
/* The description of the devices that put_devices() writes. */
extern const char description[];

/* The bytes of a memory without addresses; 0: it has addresses. */
uint64_t flat_size(const struct vl_target *t);
void put(const void *p, size_t n);
void put_at(size_t at, uint64_t v, int bytes);
void put8(unsigned v);
void put32(uint32_t v);
void put64(uint64_t v);
void put_name(const char *name);
void put_head(const char *machine);
void put_section(unsigned kind, uint32_t id, const char *name, uint32_t version);
void put_footer(uint32_t id);
void put_blocks(const struct block *blocks);
/* A page of @name (NULL: of the block of the last one), filled with @fill. */
void put_page(const char *name, uint64_t page, unsigned fill);
void put_filled(const char *name, uint64_t page, unsigned fill);
void begin_part(unsigned kind);
void end_part(void);
/* The rest of RAM, as zeros, and the end of memory. */
void put_end(void);
void put_segment(uint32_t selector, uint64_t base, uint32_t limit);
/* @low and @high: RAM below and above 4 GiB, in units of 64 KiB; @low without the first 16 MiB. */
void put_devices(unsigned low, unsigned high, const char *desc);
/* A whole stream: pages 0 to 7 have their number + 1 in each byte, but for 2 and 5. */
void make(void);
void save(const void *b, size_t len);
struct vl_target *opened_as(const char *what, const char *snapshot);
struct vl_target *opened(const char *what);
void refused_as(const char *what, const char *snapshot, const char *message);
void refused(const char *what, const char *message);
bool has(struct vl_target *t, uint64_t gpa, unsigned fill);
/* The same of a byte: the page may be one that is kept. */
bool has_byte(struct vl_target *t, uint64_t gpa, unsigned fill);
/* Where data are from @gpa on, in its range; 0: nowhere. */
uint64_t next_data(struct vl_target *t, uint64_t gpa);
bool has_pages(struct vl_target *t);

#endif
