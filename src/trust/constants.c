/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares the guest's constants with the image's, and the bytes behind the text. */
#include "../base/array.h"
#include "forms.h"
#include "internal.h"

#define PAGE 4096UL

/* A finding about the @len bytes at @va: the image has @own, the guest has @guest. */
static struct vl_trust_finding differs(uint64_t va, size_t len, enum vl_trust_class class,
				       const unsigned char *own, const unsigned char *guest)
{
	struct vl_trust_finding f = {
		.va = va, .len = (uint32_t)len, .class = class, .kind = VL_TRUST_CHANGED
	};
	size_t shown = len < VL_TRUST_SHOWN ? len : VL_TRUST_SHOWN;

	memcpy(f.expected, own, shown);
	memcpy(f.found, guest, shown);
	return f;
}

static bool is_function(const struct vl_trust *t, uint64_t va)
{
	return va - t->va - t->text.at < t->text.len && vl_trust_is_entry(t, va);
}

/* movq $NUMBER, PLACE(%rip): its first bytes, and the places of its 32-bit operands. */
#define STORE "\x48\xc7\x05"
#define STORE_LEN 11
#define STORE_PLACE 3
#define STORE_NUMBER 7

/* Does the instruction whose immediate operand is at offset @at store to @slot? */
static bool stores(const struct vl_trust *t, size_t at, uint64_t slot)
{
	size_t start = at - STORE_NUMBER;

	unsigned char code[STORE_LEN];

	return at >= STORE_NUMBER && vl_trust_has(t, start, STORE_LEN) &&
	       !memcmp(t->bytes + start, STORE, STORE_PLACE) &&
	       vl_trust_copy(t, t->va + start, code, sizeof(code)) &&
	       t->va + start + STORE_LEN + (uint64_t)(int64_t)vl_trust_i32(code + STORE_PLACE) ==
		       slot;
}

/* Lists of functions in the data that the kernel frees after the boot. */
static const struct {
	const char *start, *stop;
} lists[] = {
	{ "__start_mcount_loc", "__stop_mcount_loc" },
	{ "__start_kprobe_blacklist", "__stop_kprobe_blacklist" },
	{ "__start_error_injection_whitelist", "__stop_error_injection_whitelist" },
};

static bool is_listed(const struct vl_trust *t, uint64_t va)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (va >= vl_trust_symbol(t, lists[i].start) &&
		    va < vl_trust_symbol(t, lists[i].stop))
			return true;
	return false;
}

/*
 * May the kernel have changed the pointer at @slot to @now while it booted? Then the image refers
 * to that function in code or data that are freed after the boot, or in an instruction that writes
 * to the slot.
 */
static bool is_initialized(const struct vl_trust *t, uint64_t slot, uint64_t now)
{
	uint64_t init = vl_trust_symbol(t, "__init_begin") - t->va;
	uint64_t init_len = vl_trust_symbol(t, "__init_end") - t->va - init;

	for (size_t i = 0; i < t->nr_list[VL_TRUST_32]; i++) {
		uint64_t at = (uint64_t)(int64_t)t->lists[VL_TRUST_32][i] - t->link;

		if (vl_trust_has(t, at, 4) &&
		    (uint64_t)(int64_t)vl_trust_i32(t->bytes + at) + t->pending == now &&
		    (at - init < init_len || stores(t, at, slot)))
			return true;
	}
	for (size_t i = 0; i < t->nr_list[VL_TRUST_64]; i++) {
		uint64_t at = (uint64_t)(int64_t)t->lists[VL_TRUST_64][i] - t->link;

		if (at - init < init_len && vl_trust_has(t, at, 8) &&
		    vl_trust_u64(t->bytes + at) + t->pending == now && !is_listed(t, t->va + at))
			return true;
	}
	return false;
}

/* May the word at @slot, in the part that the kernel writes while it boots, be @now? */
static bool is_legal(const struct vl_trust *t, uint64_t slot, uint64_t own, uint64_t now)
{
	/* A vmlinux has no lists of references, so allow any. */
	return !is_function(t, own) || !now || !t->nr_list[VL_TRUST_32] ||
	       is_initialized(t, slot, now);
}

/*
 * resctrl cuts its own string on Skylake ("x86/intel_rdt: Add command line parameter to control RDT
 * features"). Neither a pointer is text, nor a number of one byte.
 */
bool vl_trust_is_cut_text(const unsigned char own[8], const unsigned char now[8])
{
	unsigned letters = 0;

	for (size_t i = 0; i < 8; i++) {
		if (own[i] >= 0x80 || (own[i] != now[i] && (own[i] != ',' || now[i])))
			return false;
		letters += own[i] >= ' ';
	}
	return letters > 1;
}

void vl_trust_check_constants(const struct vl_trust *t, uint64_t va, const void *guest, size_t len,
			      vl_trust_found_fn *found, void *ctx)
{
	size_t all, init_len;
	uint64_t init, start = vl_trust_constants(t, &all, &init, &init_len);
	unsigned char buf[PAGE];
	const unsigned char *page = NULL;

	if (!start || va < start || va - start > all || len > all - (va - start))
		return;
	for (size_t i = 0; i + 8 <= len; i += 8) {
		const unsigned char *now = (const unsigned char *)guest + i, *own;
		struct vl_trust_finding f;

		if (i % PAGE == 0)
			page = vl_trust_own(t, va + i - t->va, len - i < PAGE ? len - i : PAGE,
					    buf);
		own = page + i % PAGE;
		if (!memcmp(own, now, 8) || vl_trust_is_cut_text(own, now))
			continue;
		if (va + i + 8 > init && va + i < init + init_len &&
		    is_legal(t, va + i, vl_trust_u64(own), vl_trust_u64(now)))
			continue;
		f = differs(va + i, 8, VL_TRUST_DATA, own, now);
		f.target = vl_trust_u64(now) >> 63 ? vl_trust_u64(now) : 0;
		found(ctx, &f);
	}
}

void vl_trust_check_tail(const struct vl_trust *t, const struct vl_trust_memory *memory,
			 vl_trust_found_fn *found, void *ctx)
{
	size_t end = t->text.at + t->text.len, len = -(t->va + end) % PAGE;
	unsigned char now[PAGE];

	if (vl_trust_has(t, end, len) && memory->read(memory->ctx, t->va + end, now, len))
		vl_trust_compare(t, memory, end, now, len, NULL, found, ctx);
}
