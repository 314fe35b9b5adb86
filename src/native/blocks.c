/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emitted code: its blocks, the guest instructions that it belongs to, the links of blocks. */
#include "block.h"

#include <stdlib.h>

#include "../base/array.h"
#include "../base/bisect.h"

/* Bytes that are kept free for one block. */
#define BLOCK_ROOM 16384

/* --- tables of blocks and marks --- */

static size_t slot_of(const struct vl_executor_state *e, uint64_t va)
{
	return (va * 0x9e3779b97f4a7c15UL >> 20) & (e->cap_blocks - 1);
}

uint64_t vl_native_block(const struct vl_executor_state *e, uint64_t va)
{
	if (!e->cap_blocks)
		return 0;
	for (size_t i = slot_of(e, va); e->blocks[i].va; i = (i + 1) & (e->cap_blocks - 1))
		if (e->blocks[i].va == va)
			return e->blocks[i].code;
	return 0;
}

static void put_block(struct vl_executor_state *e, uint64_t va, uint64_t code)
{
	size_t i = slot_of(e, va);

	while (e->blocks[i].va)
		i = (i + 1) & (e->cap_blocks - 1);
	e->blocks[i] = (struct vl_native_entry){ va, code };
	e->nr_blocks++;
}

static bool room_for_block(struct vl_executor_state *e)
{
	struct vl_native_entry *old = e->blocks;
	size_t nr = e->cap_blocks;

	if (2 * (e->nr_blocks + 1) < nr)
		return true;
	e->blocks = calloc(nr ? 2 * nr : 4096, sizeof(*e->blocks));
	if (!e->blocks) {
		e->blocks = old;
		return false;
	}
	e->cap_blocks = nr ? 2 * nr : 4096;
	e->nr_blocks = 0;
	for (size_t i = 0; i < nr; i++)
		if (old[i].va)
			put_block(e, old[i].va, old[i].code);
	free(old);
	return true;
}

bool vl_native_put_block(struct vl_executor_state *e, uint64_t va, uint64_t code)
{
	if (!room_for_block(e))
		return false;
	put_block(e, va, code);
	return true;
}

bool block_mark(struct block *b, enum vl_native_state state)
{
	struct vl_executor_state *e = b->e;

	if (!vl_grow(e->marks, e->cap_marks, e->nr_marks, 16384))
		return false;
	e->marks[e->nr_marks++] =
		(struct vl_native_mark){ (uint32_t)((uint64_t)e->cursor - VL_NATIVE_CODE), state,
					 b->va };
	return true;
}

const struct vl_native_mark *vl_native_mark_at(const struct vl_executor_state *e, uint64_t code)
{
	size_t above;

	if (code < VL_NATIVE_CODE || code >= (uint64_t)e->cursor || !e->nr_marks)
		return NULL;
	above = vl_bisect(i, e->nr_marks, e->marks[i].code <= code - VL_NATIVE_CODE);
	return &e->marks[above ? above - 1 : 0];
}

/* --- replaced code --- */

/* The index of the first one at @va or above. */
static size_t first_replaced(const struct vl_executor_state *e, uint64_t va)
{
	return vl_bisect(i, e->nr_replaced, e->replaced[i].va < va);
}

bool vl_native_put_replaced(struct vl_executor_state *e, uint64_t va, const void *code, size_t len)
{
	size_t i = first_replaced(e, va);
	struct vl_native_replaced *r;

	if (!len || len > VL_CODE_MAX)
		return false;
	if (!vl_grow(e->replaced, e->cap_replaced, e->nr_replaced, 64))
		return false;
	r = &e->replaced[i];
	if (i == e->nr_replaced || r->va != va) {
		memmove(r + 1, r, (e->nr_replaced - i) * sizeof(*r));
		e->nr_replaced++;
	}
	r->va = va;
	r->len = len;
	memcpy(r->code, code, len);
	return true;
}

void vl_native_get_replaced(const struct vl_executor_state *e, uint64_t va, void *buf, size_t len)
{
	for (size_t i = first_replaced(e, va - VL_CODE_MAX);
	     i < e->nr_replaced && e->replaced[i].va < va + len; i++) {
		const struct vl_native_replaced *r = &e->replaced[i];
		uint64_t from = r->va > va ? r->va : va;
		uint64_t to = r->va + r->len < va + len ? r->va + r->len : va + len;

		if (from < to)
			memcpy((char *)buf + (from - va), r->code + (from - r->va), to - from);
	}
}

/* --- ways out --- */

void block_leave(struct block *b, enum vl_native_kind kind, uint64_t va)
{
	emit_set_va(b->e, CTL_VA, va);
	emit_set(b->e, CTL_KIND, kind);
	emit_jump_by(b->e, CTL_LEAVE, false);
	b->ended = true;
}

void block_except(struct block *b, unsigned vector, uint64_t va)
{
	/* For an exception CTL_PATCH holds the vector. */
	emit_set(b->e, CTL_PATCH, vector);
	block_leave(b, VL_NATIVE_EXCEPTION, va);
}

void block_refuse(struct block *b)
{
	b->refused = true;
	block_leave(b, VL_NATIVE_REFUSED, b->va);
}

void block_exit_here(struct block *b, uint64_t va)
{
	b->exits[b->nr_exits++] = (struct block_exit){ b->e->cursor, va };
	emit4(b->e, 0);
}

void block_jump_to(struct block *b, uint64_t va)
{
	emit1(b->e, 0xe9);
	block_exit_here(b, va);
}

/* Code in @b of its instruction at @va; 0: it has none, or a jump may not lead there. */
static uint64_t find_insn(const struct block *b, uint64_t va)
{
	size_t at = vl_bisect(i, b->nr_insns, b->insns[i].va < va);

	return at < b->nr_insns && b->insns[at].va == va && !b->insns[at].relies ?
		       b->insns[at].code :
		       0;
}

/*
 * Fill in the block's exits. Where there is no code yet, the exit leads to a stub that has it
 * translated and then fills in the displacement.
 */
static void finish(struct block *b)
{
	struct vl_executor_state *e = b->e;

	for (size_t i = 0; i < b->nr_exits; i++) {
		const struct block_exit *x = &b->exits[i];
		uint64_t code = vl_native_block(e, x->va);

		if (!code)
			code = find_insn(b, x->va);
		if (!code) {
			b->va = x->va;
			block_mark(b, VL_STATE_PLAIN);
			code = (uint64_t)e->cursor;
			emit_set_va(e, CTL_VA, x->va);
			emit_set(e, CTL_PATCH, (uint32_t)(uint64_t)x->at);
			emit_jump_by(e, CTL_MISS, false);
		}
		emit_fix(x->at, code);
	}
}

/* The guest has no code at @address, which can be in the middle of the instruction. */
static void fetch_fault(struct block *b, uint64_t address)
{
	emit_set_va(b->e, CTL_ADDRESS, address);
	block_except(b, 14, b->va);
	/* By the next call there may be code: translate again. */
	b->e->dirty = true;
}

/* Read @len bytes at @b's instruction, all in its page. */
static bool read_text(struct block *b, size_t len)
{
	uint64_t at = b->va - b->text_va;

	if (at > b->text_len || len > b->text_len - at) {
		b->text_len = VL_PAGE_SIZE - (b->va & (VL_PAGE_SIZE - 1));
		if (b->text_len > sizeof(b->text))
			b->text_len = sizeof(b->text);
		b->text_va = b->va;
		at = 0;
		if (!vl_native_read(b->e, b->va, b->text, b->text_len, true)) {
			b->text_len = 0;
			return false;
		}
	}
	memcpy(b->in, b->text + at, len);
	return true;
}

static bool fetch(struct block *b, const ZydisDecoder *decoder)
{
	struct vl_executor_state *e = b->e;
	size_t len = VL_PAGE_SIZE - (b->va & (VL_PAGE_SIZE - 1));
	ZyanStatus status;

	/* The instruction may end before a page that is not mapped. */
	if (len > INSN_MAX)
		len = INSN_MAX;
	if (!read_text(b, len)) {
		fetch_fault(b, b->va);
		return false;
	}
	status = ZydisDecoderDecodeFull(decoder, b->in, len, &b->d, b->o);
	if (status == ZYDIS_STATUS_NO_MORE_DATA && len < INSN_MAX) {
		if (!vl_native_read(e, b->va, b->in, INSN_MAX, true)) {
			fetch_fault(b, b->va + len);
			return false;
		}
		status = ZydisDecoderDecodeFull(decoder, b->in, INSN_MAX, &b->d, b->o);
	}
	if (ZYAN_SUCCESS(status))
		return true;
	block_except(b, 6, b->va);
	return false;
}

static bool is_verified(const struct block *b)
{
	const struct vl_vcpu_state *st = &b->e->st;

	return !st->control || st->control->is_code(st->ctx, b->va);
}

/* Is the last byte of the instruction verified code? */
static bool ends_verified(const struct block *b)
{
	const struct vl_vcpu_state *st = &b->e->st;

	return !st->control || b->va == st->return_va ||
	       st->control->is_code(st->ctx, b->va + b->d.length - 1);
}

/* Report translated code of modules by its first and last byte: the caller watches it. */
static void note(const struct vl_executor_state *e, uint64_t first, uint64_t last)
{
	if (!e->st.code_from || first < e->st.code_from)
		return;
	e->st.on_code(e->st.ctx, first);
	e->st.on_code(e->st.ctx, last);
}

/* Most blocks use a small part of the arrays: they are not cleared. */
static void begin(struct block *b, struct vl_executor_state *e, uint64_t va)
{
	b->e = e;
	b->va = va;
	b->nr_exits = b->nr_insns = b->text_len = 0;
	b->text_va = va;
	b->checked = 0;
	b->ended = b->refused = false;
}

uint64_t vl_native_code(struct vl_executor_state *e, uint64_t va)
{
	uint64_t code = vl_native_block(e, va);
	ZydisDecoder decoder;
	struct block b;

	if (code)
		return code;
	if (va < (1UL << 63)) {
		VL_CTL->why = "control leaves the kernel's text";
		return 0;
	}
	if (!vl_native_may_go_on(e, va))
		return 0;
	if ((uint64_t)e->cursor > VL_NATIVE_CODE + VL_NATIVE_CODE_SIZE - 2 * BLOCK_ROOM ||
	    !vl_native_put_block(e, va, (uint64_t)e->cursor)) {
		VL_CTL->why = "no room for more code";
		return 0;
	}
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	code = (uint64_t)e->cursor;
	begin(&b, e, va);
	while (!b.ended) {
		if (!block_mark(&b, VL_STATE_PLAIN)) {
			VL_CTL->why = "no memory";
			return 0;
		}
		/* Nothing is translated twice, and nothing that is not verified. */
		if (b.nr_insns == BLOCK_INSNS ||
		    (b.nr_insns && (vl_native_block(e, b.va) || !is_verified(&b)))) {
			block_jump_to(&b, b.va);
			break;
		}
		b.insns[b.nr_insns++] = (struct block_insn){ b.va, (uint64_t)e->cursor, false };
		if (!fetch(&b, &decoder))
			break;
		e->nr_insns++;
		if (!ends_verified(&b)) {
			block_jump_to(&b, b.va + b.d.length - 1);
			break;
		}
		block_translate(&b);
		block_checked(&b);
		b.va += b.d.length;
	}
	note(e, va, b.va > va ? b.va - 1 : va);
	finish(&b);
	return code;
}

uint64_t vl_native_return_code(struct vl_executor_state *e)
{
	struct block b = { .e = e, .va = e->st.return_va };

	if (!e->hlt_code && block_mark(&b, VL_STATE_PLAIN)) {
		e->hlt_code = (uint64_t)e->cursor;
		block_leave(&b, VL_NATIVE_RETURNED, 0);
	}
	return e->hlt_code;
}

void vl_native_reset(struct vl_executor_state *e)
{
	e->cursor = (unsigned char *)(unsigned long)VL_NATIVE_CODE;
	e->nr_marks = e->nr_text = e->nr_kept = 0;
	e->bound = false;
	if (e->nr_blocks) {
		memset(e->blocks, 0, e->cap_blocks * sizeof(*e->blocks));
		memset(VL_NATIVE_ENTRIES, 0, 65536 * sizeof(struct vl_native_entry));
	}
	e->nr_blocks = 0;
	e->dirty = false;
	e->hlt_code = 0;
	/* Code is made anew at the same addresses. */
	if (vl_native_is_kept(e))
		vl_native_forget_returns(e, true);
}
