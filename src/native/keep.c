/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps emitted code for a later process. To translate the code of one ps takes as long as to run
 * it three times.
 *
 * Emitted code has no address of ours but those of layout.h, so it can be used in any process of
 * the same program. It is bound to what it was made from: the state of the vCPU, the code that is
 * replaced, and each page of text that was read. If one of these differs, none of it is used.
 *
 * The kept code comes from a process that ran the guest's code, so the guest may have made it. It
 * is used only where the guest's code runs anyway.
 */
#include "native.h"

#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/hash.h"
#include "mem/still.h"

/*
 * The kept file begins with this. The pages of text, the blocks, the code and the marks
 * (put_marks()) follow.
 */
struct kept {
	uint64_t sum;	 /* of all behind it: against damage only */
	uint64_t origin; /* origin_of() */
	uint64_t hlt_code;
	uint32_t nr_text, nr_blocks, nr_marks, code_size, marks_size;
};

/* Keep it again when it has grown by this share. */
#define GROWTH 32

_Static_assert(VL_STATE_RETURN < 8, "a state has STATE_BITS");

bool vl_native_note_text(struct vl_executor_state *e, uint64_t page)
{
	size_t at = vl_bisect(i, e->nr_text, e->text[i].va < page);
	unsigned char bytes[VL_PAGE_SIZE];

	if (at < e->nr_text && e->text[at].va == page)
		return true;
	if (!vl_native_read(e, page, bytes, sizeof(bytes), false) ||
	    !vl_grow(e->text, e->cap_text, e->nr_text, 256))
		return false;
	memmove(&e->text[at + 1], &e->text[at], (e->nr_text - at) * sizeof(*e->text));
	e->text[at] = (struct vl_native_text){ page, vl_page_sum(bytes) };
	e->nr_text++;
	return true;
}

/* --- origin --- */

struct object {
	uint64_t hash; /* of its build id; 0: it has none */
};

static uint64_t hash_build_id(const unsigned char *notes, size_t len)
{
	for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= len;) {
		const ElfW(Nhdr) *n = (const void *)(notes + at);
		const unsigned char *name = (const unsigned char *)(n + 1);
		const unsigned char *desc = name + (n->n_namesz + 3U) / 4 * 4;

		if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == sizeof("GNU") &&
		    !memcmp(name, "GNU", sizeof("GNU")))
			return vl_hash(VL_HASH, desc, n->n_descsz);
		at = (size_t)(desc - notes) + (n->n_descsz + 3U) / 4 * 4;
	}
	return 0;
}

/* dl_iterate_phdr(): find the object that this code is in. */
static int find_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	uint64_t here = (uint64_t)find_object;
	struct object *o = ctx;
	bool is_ours = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		is_ours |=
			p->p_type == PT_LOAD && here - (info->dlpi_addr + p->p_vaddr) < p->p_memsz;
	}
	for (int i = 0; is_ours && !o->hash && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_NOTE)
			o->hash = hash_build_id((const void *)(info->dlpi_addr + p->p_vaddr),
						p->p_memsz);
	}
	return is_ours;
}

static uint64_t add(uint64_t hash, uint64_t word)
{
	return vl_hash(hash, &word, sizeof(word));
}

/* All that code is made from but the guest's text: this program's code too. 0: not known. */
static uint64_t origin_of(const struct vl_executor_state *e)
{
	const struct vl_vcpu_state *st = &e->st;
	struct object o = { 0 };
	uint64_t h;

	dl_iterate_phdr(find_object, &o);
	if (!o.hash)
		return 0;
	h = add(add(add(o.hash, st->cr0), st->cr3), st->cr4);
	h = add(add(add(h, st->stack_va), st->stack_size), st->return_va);
	h = add(add(h, st->code_from), vl_native_is_kept(e));
	for (size_t i = 0; i < VL_NR_USE_RETURN; i++)
		h = add(h, st->use_return[i]);
	for (size_t i = 0; i < e->nr_replaced; i++) {
		const struct vl_native_replaced *r = &e->replaced[i];

		h = vl_hash(add(add(h, r->va), r->len), r->code, r->len);
	}
	return h ? h : 1;
}

/* --- to keep it --- */

static void *put(unsigned char **at, const void *data, size_t size)
{
	memcpy(*at, data, size);
	*at += size;
	return *at;
}

/* A number, seven bits a byte, the lowest first; all bytes but the last have the highest bit. */
#define NUMBER_MAX 10

static void put_number(unsigned char **at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*(*at)++ = (unsigned char)(v | 0x80);
	*(*at)++ = (unsigned char)v;
}

static bool get_number(const unsigned char **at, const unsigned char *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
		unsigned char byte = *(*at)++;

		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

/*
 * Two numbers for each mark: how far its code is behind that of the last one, and its state; and
 * how far its address is, the sign in the lowest bit. Most marks take three bytes.
 */
#define STATE_BITS 3

static bool put_marks(const struct vl_native_mark *marks, size_t nr, unsigned char **at,
		      const unsigned char *end)
{
	struct vl_native_mark last = { 0 };

	for (size_t i = 0; i < nr; last = marks[i++]) {
		int64_t by = (int64_t)(marks[i].va - last.va);

		if (end - *at < 2 * NUMBER_MAX)
			return false;
		put_number(at,
			   (uint64_t)(marks[i].code - last.code) << STATE_BITS | marks[i].state);
		put_number(at, (uint64_t)by << 1 ^ (uint64_t)(by >> 63));
	}
	return true;
}

static bool get_marks(struct vl_native_mark *marks, size_t nr, const unsigned char *at,
		      const unsigned char *end)
{
	struct vl_native_mark last = { 0 };

	for (size_t i = 0; i < nr; i++) {
		uint64_t code, by;

		if (!get_number(&at, end, &code) || !get_number(&at, end, &by))
			return false;
		last.code += (uint32_t)(code >> STATE_BITS);
		last.state = code & ((1U << STATE_BITS) - 1);
		last.va += by >> 1 ^ -(by & 1);
		marks[i] = last;
	}
	return at == end;
}

/* The checksum of @k, with all that is kept behind it: @size bytes. */
static uint64_t sum_of(const struct kept *k, size_t size)
{
	return vl_sum(&k->origin, size - offsetof(struct kept, origin));
}

size_t vl_native_keep(struct vl_executor_state *e, void *buf, size_t size)
{
	struct kept k = { .hlt_code = e->hlt_code };
	unsigned char *at = buf, *marks;
	size_t len;

	if (e->dirty || e->bound || e->nr_blocks <= e->nr_kept + e->nr_kept / GROWTH)
		return 0;
	k.origin = origin_of(e);
	k.nr_text = (uint32_t)e->nr_text;
	k.nr_blocks = (uint32_t)e->nr_blocks;
	k.nr_marks = (uint32_t)e->nr_marks;
	k.code_size = (uint32_t)((uint64_t)e->cursor - VL_NATIVE_CODE);
	if (!k.origin || sizeof(k) + k.nr_text * sizeof(*e->text) +
					 k.nr_blocks * sizeof(*e->blocks) + k.code_size >
				 size)
		return 0;
	at += sizeof(k);
	put(&at, e->text, e->nr_text * sizeof(*e->text));
	for (size_t i = 0; i < e->cap_blocks; i++)
		if (e->blocks[i].va)
			put(&at, &e->blocks[i], sizeof(*e->blocks));
	marks = put(&at, (void *)VL_NATIVE_CODE, k.code_size);
	if (!put_marks(e->marks, e->nr_marks, &at, (unsigned char *)buf + size))
		return 0;
	k.marks_size = (uint32_t)(at - marks);
	memcpy(buf, &k, sizeof(k));
	len = (size_t)(at - (unsigned char *)buf);
	k.sum = sum_of(buf, len);
	memcpy(buf, &k.sum, sizeof(k.sum));
	e->nr_kept = e->nr_blocks;
	return len;
}

/* --- to use it --- */

/* May the code of @page be used? It is reported as translated code is. */
static bool is_allowed(struct vl_executor_state *e, uint64_t page)
{
	const struct vl_vcpu_state *st = &e->st;

	if (st->control && !st->control->is_code(st->ctx, page))
		return false;
	if (st->code_from && page + VL_PAGE_SIZE > st->code_from)
		st->on_code(st->ctx, page < st->code_from ? st->code_from : page);
	return true;
}

/* Is @text a well-formed list, of pages whose code may be used? */
static bool is_allowed_text(struct vl_executor_state *e, const struct vl_native_text *text,
			    size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (text[i].va % VL_PAGE_SIZE || (i && text[i].va <= text[i - 1].va) ||
		    !is_allowed(e, text[i].va))
			return false;
	return true;
}

/* The same as same_text(), for a page that is read as translation reads it. */
static bool same_page(struct vl_executor_state *e, const struct vl_native_text *text)
{
	unsigned char bytes[VL_PAGE_SIZE];

	return vl_native_read(e, text->va, bytes, 1, true) &&
	       vl_native_read(e, text->va, bytes, sizeof(bytes), false) &&
	       vl_page_sum(bytes) == text->sum;
}

/*
 * Does the guest have the text that the code was made from? Pages of the kernel's image are not
 * copied.
 */
static bool same_text(struct vl_executor_state *e, const struct vl_native_text *text, size_t nr)
{
	uint64_t *gpas = calloc(2 * nr + 1, sizeof(*gpas)), *sums = gpas + nr, gpa;
	size_t *at = calloc(nr + 1, sizeof(*at)), nr_still = 0;
	bool same = gpas && at && is_allowed_text(e, text, nr);

	for (size_t i = 0; same && i < nr; i++)
		if (vl_native_text_page(e, text[i].va, &gpa) &&
		    vl_snapshot_is_still(e->snapshot, gpa)) {
			at[nr_still] = i;
			gpas[nr_still++] = gpa;
		} else {
			same = same_page(e, &text[i]);
		}
	same = same && vl_snapshot_sum_still(e->snapshot, gpas, nr_still, sums);
	for (size_t i = 0; same && i < nr_still; i++)
		same = sums[i] == text[at[i]].sum;
	free(gpas);
	free(at);
	return same;
}

/* Are blocks and marks within the code, and in verified code? */
static bool are_sound(const struct vl_executor_state *e, const struct kept *k,
		      const struct vl_native_entry *blocks)
{
	const struct vl_native_mark *marks = e->marks;
	const struct vl_vcpu_state *st = &e->st;

	for (size_t i = 0; i < k->nr_blocks; i++)
		if (!blocks[i].va || blocks[i].code - VL_NATIVE_CODE >= k->code_size)
			return false;
	for (size_t i = 0; i < k->nr_marks; i++)
		if (marks[i].code > k->code_size || (i && marks[i].code < marks[i - 1].code) ||
		    (st->control && marks[i].va != st->return_va &&
		     !st->control->is_code(st->ctx, marks[i].va)))
			return false;
	return !k->hlt_code || k->hlt_code - VL_NATIVE_CODE < k->code_size;
}

static bool take(struct vl_executor_state *e, const struct kept *k, const unsigned char *at)
{
	const struct vl_native_text *text = (const void *)at;
	const struct vl_native_entry *blocks = (const void *)(text + k->nr_text);
	const unsigned char *code = (const void *)(blocks + k->nr_blocks);
	const unsigned char *marks = code + k->code_size;

	free(e->marks);
	e->marks = malloc(k->nr_marks * sizeof(*e->marks) + 1);
	e->nr_marks = e->cap_marks = e->marks ? k->nr_marks : 0;
	if (!e->marks || !get_marks(e->marks, k->nr_marks, marks, marks + k->marks_size) ||
	    !are_sound(e, k, blocks) || !same_text(e, text, k->nr_text))
		return false;
	/* Pages that were read just now are among these. */
	free(e->text);
	e->text = malloc(k->nr_text * sizeof(*text) + 1);
	e->nr_text = e->cap_text = e->text ? k->nr_text : 0;
	if (!e->text)
		return false;
	memcpy(e->text, text, k->nr_text * sizeof(*text));
	for (size_t i = 0; i < k->nr_blocks; i++)
		if (!vl_native_put_block(e, blocks[i].va, blocks[i].code))
			return false;
	memcpy((void *)VL_NATIVE_CODE, code, k->code_size);
	e->cursor += k->code_size;
	e->hlt_code = k->hlt_code;
	e->nr_kept = e->nr_blocks;
	return true;
}

void vl_native_take_kept(struct vl_executor_state *e)
{
	const struct kept *k = e->st.kept;
	size_t size = e->st.kept_size;

	e->st.kept = NULL;
	if (!k || size < sizeof(*k) || k->code_size > VL_NATIVE_CODE_SIZE / 2 ||
	    size - sizeof(*k) != k->nr_text * sizeof(*e->text) + k->nr_blocks * sizeof(*e->blocks) +
					 k->code_size + k->marks_size ||
	    k->nr_marks > k->marks_size || k->origin != origin_of(e) || k->sum != sum_of(k, size))
		return;
	if (!take(e, k, (const unsigned char *)(k + 1)))
		vl_native_reset(e);
}
