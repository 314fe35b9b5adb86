/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct engine's internal header, with the walk through the guest's page tables, which is
 * inlined.
 *
 * RAM that can be mapped lies at one base, each byte at its guest-physical address from there,
 * so that an address becomes a pointer by one addition. Requests share that mapping and nothing
 * else: each one translates its addresses afresh, from the tables in the guest's memory.
 */
#ifndef VLENS_IMEE_DIRECT_H
#define VLENS_IMEE_DIRECT_H

#include <string.h>

#include "../mem/paging.h"
#include "engine.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Internal: the page is not at hand and was noted as wanted (backing.c). */
#define DIRECT_WANTED VL_NR_READ_STATUS

enum direct_kind {
	DIRECT_MAPPED, /* at base + gpa, the guest's own pages */
	DIRECT_STILL,  /* a dump: at base + gpa once read; it does not change */
	DIRECT_LIVE,   /* cannot be mapped: read by a system call, held for one request */
};

struct direct_piece {
	uint64_t gpa, size;
	enum direct_kind kind;
	int fd; /* the file behind it, the target's, at fd_offset; -1: none */
	uint64_t fd_offset;
};

#define DIRECT_GUESSES 32
#define DIRECT_FRAMES 512   /* pages held within a request; a power of two */
#define DIRECT_WAYS 4	    /* frames that a page can be in */
#define DIRECT_BATCH 64	    /* pages of a long read that are asked for at once */
#define DIRECT_WANTS 128    /* pages that are fetched by one call */
#define DIRECT_ENTRIES 4096 /* guesses of where a table is; a power of two */

/* The last known value of an entry: a prediction (expect.c), never a translation. */
struct direct_entry_was {
	uint64_t key, entry;
};

struct vl_kmod;

struct vl_direct {
	struct vl_raw raw;
	const unsigned char *base;
	/* The two largest mapped runs (below and above 4 GiB); size 0: none. */
	struct {
		uint64_t gpa, size;
	} fast[2];
	/*
	 * The last difference of pointer and virtual address in each 512 GiB of the address
	 * space: see direct_guess().
	 */
	uint64_t guess[DIRECT_GUESSES];
	struct vl_target *t;
	bool wide;		     /* the processor moves a line as fast as a word: copy.c */
	struct vl_kmod *kmod;	     /* maps RAM that has no mappable file; or NULL */
	struct direct_piece *pieces; /* sorted by gpa */
	size_t nr_pieces;
	uint64_t span;	   /* bytes at base */
	void *reserved;	   /* the reservation around base, 2 MiB larger; or NULL */
	uint64_t *present; /* STILL: a bit for each page of the span that was read */
	/* LIVE: the pages of this request. */
	bool has_live;
	unsigned char *frames;
	struct direct_entry_was *entries; /* DIRECT_ENTRIES of them, behind the frames */
	uint64_t tags[DIRECT_FRAMES];	  /* gpa of the page | 1 if it is of this request, else 0 */
	uint16_t used[DIRECT_FRAMES];	  /* frames to be reset */
	size_t nr_used;
	unsigned way;	 /* the next victim in a set */
	bool collecting; /* note missing pages as wanted, do not fetch them */
	uint64_t wanted[DIRECT_WANTS];
	size_t nr_wanted;
};

/* ---- backing.c ---- */

struct vl_error *direct_map(struct vl_direct *d);
void direct_unmap(struct vl_direct *d);

/*
 * Pointer to the byte at @gpa, valid to the end of its page; NULL with the reason in *@st. For
 * addresses outside of fast[].
 */
const unsigned char *direct_slow(struct vl_direct *d, uint64_t gpa, enum vl_read_status *st);

/* LIVE: pointer to the byte at @gpa if its page is at hand; else the page is noted as wanted. */
const unsigned char *direct_have(struct vl_direct *d, uint64_t gpa);

/* Is the page at @gpa at a fixed address? A LIVE page is a copy, held for one request. */
bool direct_stays(const struct vl_direct *d, uint64_t gpa);

/* Begin a request: forget the pages of the last one. */
void direct_forget(struct vl_direct *d);
static inline void direct_begin(struct vl_direct *d)
{
	if (unlikely(d->has_live))
		direct_forget(d);
}

/* Read @nr pages (up to DIRECT_WANTS), by few calls; false when one cannot be read. */
bool direct_read_pages(struct vl_direct *d, const uint64_t *gpas, void *const *bufs, size_t nr);

/* Fetch the wanted pages; false: there are none. */
bool direct_fetch(struct vl_direct *d);

/* ---- expect.c ---- */

/* Note as wanted the missing pages that a read of @len bytes at @va probably needs. */
void direct_expect(struct vl_direct *d, const struct vl_space *s, uint64_t va, size_t len);

/* Likewise, and fetch them, unless pages are being collected. */
void direct_at_hand(struct vl_direct *d, const struct vl_space *s, uint64_t va, size_t len);

/* ---- direct.c ---- */

/* As vl_raw_ops.open; @kmod (may be NULL) maps RAM that has no mappable file. */
struct vl_error *direct_open(struct vl_target *t, struct vl_kmod *kmod, struct vl_raw **ret);

/* Implements vl_reader_where(). */
enum vl_read_status direct_where(struct vl_direct *d, const struct vl_space *s, uint64_t va,
				 uint64_t *gpa_ret, uint64_t *size_ret);

/* ---- kmod.c ---- */

/* The direct engine within a module engine. After use the caller checks vl_kmod_sound(). */
struct vl_direct *vl_kmod_walk(struct vl_raw *e);

/* ---- chain.c ---- */

void direct_walk(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
		 struct vl_walked *ret);

/* ---- the page tables ---- */

/*
 * The functions below accept NULL as @st. They then use mapped RAM only and give no reason; if
 * they fail the caller starts again with an @st.
 */
static inline __attribute__((always_inline)) void direct_say(enum vl_read_status *st,
							     enum vl_read_status why)
{
	if (st)
		*st = why;
}

static inline __attribute__((always_inline)) const unsigned char *
direct_host(struct vl_direct *d, uint64_t gpa, enum vl_read_status *st)
{
	/* A barrier: the compiler loads again rather than save registers, see read_op(). */
	if (!st)
		__asm__ volatile("" ::: "memory");
	/* Without a branch: which run it is cannot be predicted. */
	if (likely((gpa - d->fast[0].gpa < d->fast[0].size) |
		   (gpa - d->fast[1].gpa < d->fast[1].size)))
		return d->base + gpa;
	return st ? direct_slow(d, gpa, st) : NULL;
}

/* As in a processor the address is bits 51 to 12; one beyond RAM is NO_RAM. */
static inline __attribute__((always_inline)) bool direct_entry(struct vl_direct *d, uint64_t table,
							       uint64_t va, int level,
							       uint64_t *ret,
							       enum vl_read_status *st)
{
	const unsigned char *p;

	p = direct_host(d, (table & X86_PTE_ADDR) + 8 * vl_pgtable_index(va, level), st);
	if (unlikely(!p))
		return false;
	*ret = *(const volatile uint64_t *)p;
	if (unlikely(!(*ret & X86_PTE_P))) {
		direct_say(st, VL_READ_NOT_PRESENT);
		return false;
	}
	return true;
}

/* Address bits of a large leaf below its size that must be 0; bit 12 is PAT. */
#define LEAF_RESERVED(size) (((size)-1) & X86_PTE_ADDR & ~(1UL << 12))

/*
 * Translate @va by the tables of @s as they are now, after Intel SDM volume 3, 4.5. *@size_ret
 * is the page's size. False with the reason in *@st.
 */
static inline __attribute__((always_inline)) bool
direct_lookup(struct vl_direct *d, const struct vl_space *s, uint64_t va, uint64_t *gpa_ret,
	      uint64_t *size_ret, enum vl_read_status *st)
{
	uint64_t e = s->root;
	int sign = s->levels == 5 ? 7 : 16;

	if (unlikely((uint64_t)((int64_t)(va << sign) >> sign) != va)) {
		direct_say(st, VL_READ_NONCANONICAL);
		return false;
	}
	if (unlikely(s->levels == 5)) {
		if (unlikely(!direct_entry(d, e, va, 5, &e, st)))
			return false;
		if (unlikely(e & X86_PTE_PS))
			goto reserved;
	}
	if (unlikely(!direct_entry(d, e, va, 4, &e, st)))
		return false;
	if (unlikely(e & X86_PTE_PS))
		goto reserved;
	if (unlikely(!direct_entry(d, e, va, 3, &e, st)))
		return false;
	if (e & X86_PTE_PS) {
		*size_ret = 1UL << 30;
	} else {
		if (unlikely(!direct_entry(d, e, va, 2, &e, st)))
			return false;
		if (e & X86_PTE_PS) {
			*size_ret = 1UL << 21;
		} else {
			if (unlikely(!direct_entry(d, e, va, 1, &e, st)))
				return false;
			*size_ret = VL_PAGE_SIZE;
			*gpa_ret = (e & X86_PTE_ADDR) | (va & (VL_PAGE_SIZE - 1));
			return true;
		}
	}
	if (unlikely(e & LEAF_RESERVED(*size_ret)))
		goto reserved;
	*gpa_ret = (e & X86_PTE_ADDR & ~(*size_ret - 1)) | (va & (*size_ret - 1));
	return true;
reserved:
	direct_say(st, VL_READ_RESERVED);
	return false;
}

static inline enum vl_read_status direct_translate(struct vl_direct *d, const struct vl_space *s,
						   uint64_t va, uint64_t *gpa_ret,
						   uint64_t *size_ret)
{
	enum vl_read_status st = VL_READ_NO_RAM;

	return direct_lookup(d, s, va, gpa_ret, size_ret, &st) ? VL_READ_OK : st;
}

/*
 * Return @p, the pointer to the byte at virtual @va, without a data dependency on the walk.
 *
 * The loads of a walk depend on each other, and a read by @p depends on the last of them. So
 * the pointer is guessed, too, and the guess is returned when the walk confirms it: the
 * processor predicts that branch and reads ahead while it walks. Most of a kernel is mapped
 * contiguously, so most guesses are right. Every address is walked. *@guess is the last
 * difference of pointer and address.
 */
static inline __attribute__((always_inline)) const unsigned char *
direct_guess(uint64_t *guess, uint64_t va, const unsigned char *p)
{
	uint64_t guessed = va + *guess, same = guessed;

	/* Hide from the compiler that both are equal: it would use @p. */
	__asm__("" : "+r"(same));
	if (likely((uintptr_t)p == guessed))
		return (const unsigned char *)(uintptr_t)same;
	*guess = (uintptr_t)p - va;
	return p;
}

/*
 * Pointer to the byte at virtual @va, valid to the end of its 4 KiB; NULL with the reason in
 * *@st.
 */
static inline __attribute__((always_inline)) const unsigned char *
direct_at(struct vl_direct *d, const struct vl_space *s, uint64_t va, enum vl_read_status *st)
{
	const unsigned char *p;
	uint64_t gpa, size;

	if (unlikely(!direct_lookup(d, s, va, &gpa, &size, st)))
		return NULL;
	p = direct_host(d, gpa, st);
	if (unlikely(!p))
		return NULL;
	return direct_guess(&d->guess[(va >> 39) % DIRECT_GUESSES], va, p);
}

/* Are @len bytes at @gpa all in mapped RAM, one run of it? */
static inline bool direct_in_run(const struct vl_direct *d, uint64_t gpa, uint64_t len)
{
	uint64_t end = gpa + (len - 1);

	return ((gpa - d->fast[0].gpa < d->fast[0].size) &
		(end - d->fast[0].gpa < d->fast[0].size)) |
	       ((gpa - d->fast[1].gpa < d->fast[1].size) &
		(end - d->fast[1].gpa < d->fast[1].size));
}

/* One load each, at any alignment, so that the guest's writes do not tear an aligned word. */
typedef uint64_t direct_u64 __attribute__((aligned(1), may_alias));
typedef uint32_t direct_u32 __attribute__((aligned(1), may_alias));
typedef uint16_t direct_u16 __attribute__((aligned(1), may_alias));

static inline uint64_t direct_load(const unsigned char *p)
{
	return *(const volatile direct_u64 *)p;
}

/* Bytes of a cache line. */
#define DIRECT_LINE 64

/* ---- copy.c ---- */

/* May direct_copy_lines() be called here? */
bool direct_has_lines(void);

/*
 * Copy @len bytes, at least DIRECT_LINE. Returns VL_READ_OK, so that callers can end in a tail
 * call.
 */
enum vl_read_status direct_copy_lines(void *to, const unsigned char *from, size_t len);

/*
 * Copy within one page; with @wide (direct_has_lines()) long copies go line by line. Returns
 * VL_READ_OK.
 */
static inline __attribute__((always_inline)) enum vl_read_status
direct_copy(void *to, const unsigned char *p, size_t len, bool wide)
{
	switch (len) {
	case 8:
		*(direct_u64 *)to = *(const volatile direct_u64 *)p;
		return VL_READ_OK;
	case 4:
		*(direct_u32 *)to = *(const volatile direct_u32 *)p;
		return VL_READ_OK;
	case 2:
		*(direct_u16 *)to = *(const volatile direct_u16 *)p;
		return VL_READ_OK;
	case 1:
		*(unsigned char *)to = *(const volatile unsigned char *)p;
		return VL_READ_OK;
	}
	if (len >= DIRECT_LINE && wide)
		return direct_copy_lines(to, p, len);
	memcpy(to, p, len);
	return VL_READ_OK;
}

/* A read of any length, page by page; translate.c. */
enum vl_read_status direct_pages(struct vl_direct *d, const struct vl_space *s, uint64_t va,
				 void *buf, size_t len, uint64_t *fault);

static inline __attribute__((always_inline)) enum vl_read_status
direct_read(struct vl_direct *d, const struct vl_space *s, uint64_t va, void *buf, size_t len,
	    uint64_t *fault)
{
	enum vl_read_status st = VL_READ_NO_RAM;
	const unsigned char *p;

	if (unlikely(len > VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1))))
		return direct_pages(d, s, va, buf, len, fault);
	p = direct_at(d, s, va, &st);
	if (unlikely(!p)) {
		*fault = va;
		return st;
	}
	return direct_copy(buf, p, len, d->wide);
}

#endif
