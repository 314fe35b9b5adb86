/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodings after the Intel SDM, volume 2. */
#include "dispatch.h"

#include <string.h>

/* More steps than any tree of comparisons has: it is a loop. */
#define MAX_STEPS 256

/* Flags of a comparison, as far as conditional jumps read them. */
struct flags {
	bool known, carry, zero, sign, overflow;
};

/*
 * Length of the instruction at @p if it does not change the number; else 0. Such are endbr64,
 * the nop of 4 bytes in its place in functions that are never an indirect target, and the nop
 * of 5 bytes at the place of a tracer's call.
 */
static size_t nothing(const unsigned char *p, size_t left)
{
	static const unsigned char displacement[4] = { 0, 1, 4, 0 };
	size_t n = 0;

	if (left >= 4 && !memcmp(p, "\xf3\x0f\x1e\xfa", 4))
		return 4;
	if (left >= 1 && (p[0] == 0x90 || p[0] == 0x55)) /* nop, push %rbp */
		return 1;
	if (left >= 2 && !memcmp(p, "\x66\x90", 2))
		return 2;
	if (left >= 3 && !memcmp(p, "\x48\x89\xe5", 3)) /* mov %rsp,%rbp */
		return 3;
	/* nopl, nopw: 0f 1f with any operand in memory. */
	while (n < left && n < 6 && (p[n] == 0x66 || p[n] == 0x2e))
		n++;
	if (left < n + 4 || p[n] != 0x0f || p[n + 1] != 0x1f || p[n + 2] >> 6 == 3)
		return 0;
	n += 3 + ((p[n + 2] & 7) == 4) + displacement[p[n + 2] >> 6];
	return n <= left ? n : 0;
}

static int32_t imm32(const unsigned char *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static struct flags compare(uint32_t a, uint32_t b)
{
	uint32_t d = a - b;

	return (struct flags){ .known = true,
			       .carry = a < b,
			       .zero = !d,
			       .sign = d >> 31,
			       .overflow = ((a ^ b) & (a ^ d)) >> 31 };
}

/* Is condition @cc (the low four bits of a jcc) met? */
static bool met(const struct flags *f, unsigned cc, bool *ok)
{
	const bool of[8] = {
		[0] = f->overflow,
		[1] = f->carry,
		[2] = f->zero,
		[3] = f->carry || f->zero,
		[4] = f->sign,
		[6] = f->sign != f->overflow,
		[7] = f->zero || f->sign != f->overflow,
	};

	/* The parity of a result (5) is not kept. */
	*ok = f->known && cc >> 1 != 5;
	return of[cc >> 1] != (cc & 1);
}

bool vl_switch_target(const unsigned char *code, size_t len, uint64_t va, uint32_t number,
		      uint64_t *ret)
{
	struct flags flags = { .known = false };
	uint64_t at = 0;

	for (unsigned step = 0; step < MAX_STEPS && at < len; step++) {
		const unsigned char *p = code + at;
		size_t left = len - at, n = nothing(p, left);
		uint64_t to = 0;
		bool jump = false, ok = true;

		if (n) {
			at += n;
			continue;
		}
		/* %esi is the number, and so is %eax where the compiler copied it. */
		if (left >= 3 && p[0] == 0x83 && (p[1] == 0xfe || p[1] == 0xf8)) {
			flags = compare(number, (uint32_t)(int8_t)p[2]);
			n = 3;
		} else if (left >= 6 && p[0] == 0x81 && (p[1] == 0xfe || p[1] == 0xf8)) {
			flags = compare(number, (uint32_t)imm32(p + 2));
			n = 6;
		} else if (left >= 5 && p[0] == 0x3d) {
			flags = compare(number, (uint32_t)imm32(p + 1));
			n = 5;
		} else if (left >= 2 && p[0] == 0x85 && (p[1] == 0xf6 || p[1] == 0xc0)) {
			flags = compare(number, 0);
			n = 2;
		} else if (left >= 2 && p[0] == 0x89 && p[1] == 0xf0) {
			n = 2; /* mov %esi,%eax */
		} else if (left >= 2 && (p[0] & 0xf0) == 0x70) {
			n = 2;
			jump = met(&flags, p[0] & 15, &ok);
			to = at + n + (uint64_t)(int8_t)p[1];
		} else if (left >= 6 && p[0] == 0x0f && (p[1] & 0xf0) == 0x80) {
			n = 6;
			jump = met(&flags, p[1] & 15, &ok);
			to = at + n + (uint64_t)(int64_t)imm32(p + 2);
		} else if (left >= 2 && p[0] == 0xeb) {
			n = 2;
			jump = true;
			to = at + n + (uint64_t)(int8_t)p[1];
		} else if (left >= 5 && (p[0] == 0xe9 || p[0] == 0xe8)) {
			n = 5;
			/* A call before any comparison is a tracer's. */
			jump = p[0] == 0xe9 || flags.known;
			to = at + n + (uint64_t)(int64_t)imm32(p + 1);
		} else {
			return false;
		}
		if (!ok)
			return false;
		if (jump && to >= len) {
			*ret = va + to;
			return true;
		}
		at = jump ? to : at + n;
	}
	return false;
}

enum vl_entry_kind vl_entry_kind(const unsigned char *code, size_t len, uint64_t va,
				 uint64_t *to_ret)
{
	uint64_t at = 0;

	*to_ret = 0;
	while (at + 12 <= len) {
		const unsigned char *p = code + at;
		size_t n = p[0] == 0x55 || p[0] == 0x48 ? 0 : nothing(p, len - at);

		if (n) {
			at += n;
			continue;
		}
		if (p[0] == 0xe9 || p[0] == 0xe8) {
			*to_ret = va + at + 5 + (uint64_t)(int64_t)imm32(p + 1);
			return p[0] == 0xe9 ? VL_ENTRY_JUMP : VL_ENTRY_CALL;
		}
		if (p[0] == 0xeb) {
			*to_ret = va + at + 2 + (uint64_t)(int8_t)p[1];
			return VL_ENTRY_JUMP;
		}
		if (p[0] == 0xcc)
			return VL_ENTRY_BREAK;
		/* jmp *mem, *reg; push imm32, ret; mov imm64,%rax with jmp *%rax or push, ret. */
		if ((p[0] == 0xff && (p[1] == 0x25 || (p[1] & 0xf8) == 0xe0)) ||
		    (p[0] == 0x68 && p[5] == 0xc3) ||
		    (p[0] == 0x48 && (p[1] & 0xf8) == 0xb8 &&
		     (p[10] == 0xff || (p[10] & 0xf8) == 0x50)))
			return VL_ENTRY_FAR;
		break;
	}
	return VL_ENTRY_PLAIN;
}
