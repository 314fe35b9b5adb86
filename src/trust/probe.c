/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The changes of the text by a kprobe. */
#include <string.h>

#include "trust.h"

/*
 * The code of an optimized probe is a copy of a template (arch/x86/kernel/kprobes/opt.c): its
 * start, then "movabs $probe, %rdi", and a call of optimized_callback().
 */
#define TEMPLATE_MAX 256
#define MOVABS_LEN 10
#define CALL_LEN 5

/* Is the code at @to that of the optimized probe at @va? */
static bool is_optimized(const struct vl_trust *t, const struct vl_trust_memory *memory,
			 int32_t addr, uint64_t to, uint64_t va)
{
	uint64_t start = vl_trust_symbol(t, "optprobe_template_entry");
	uint64_t filled = vl_trust_symbol(t, "optprobe_template_clac");
	uint64_t val = vl_trust_symbol(t, "optprobe_template_val");
	uint64_t call = vl_trust_symbol(t, "optprobe_template_call");
	unsigned char code[TEMPLATE_MAX];
	unsigned char own[TEMPLATE_MAX];
	uint64_t probe, at;
	int32_t distance;

	if (!filled)
		filled = val;
	if (!start || addr < 0 || filled <= start || val < filled || call < val + MOVABS_LEN ||
	    call - start + CALL_LEN > sizeof(code))
		return false;
	if (!vl_trust_copy(t, start, own, filled - start) ||
	    !memory->read(memory->ctx, to, code, call - start + CALL_LEN) ||
	    memcmp(code, own, filled - start) != 0)
		return false;
	memcpy(&probe, code + (val - start) + 2, sizeof(probe));
	memcpy(&distance, code + (call - start) + 1, sizeof(distance));
	return code[call - start] == 0xe8 &&
	       to + (call - start) + CALL_LEN + (uint64_t)(int64_t)distance ==
		       vl_trust_symbol(t, "optimized_callback") &&
	       memory->read(memory->ctx, probe + (uint64_t)addr, &at, 8) && at == va;
}

bool vl_trust_is_probe(const struct vl_trust *t, const struct vl_trust_memory *memory, int32_t addr,
		       const struct vl_trust_finding *f)
{
	unsigned char code[CALL_LEN];
	int32_t distance;

	if (f->found[0] == 0xcc)
		return f->len == 1;
	if (f->found[0] != 0xe9 || f->len > sizeof(code) ||
	    !memory->read(memory->ctx, f->va, code, sizeof(code)) || code[0] != 0xe9)
		return false;
	memcpy(&distance, code + 1, sizeof(distance));
	return is_optimized(t, memory, addr, f->va + CALL_LEN + (uint64_t)(int64_t)distance, f->va);
}
