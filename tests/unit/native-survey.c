// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: native-survey GUEST
 *
 * Translates all functions of the guest's kernel, from its first instruction to its last, and
 * runs none. Prints what is refused, by kind: how often, and the first place; then how
 * many instructions of how many functions there were, and how many are no instructions. A kind is
 * a mnemonic, and what makes a kind of its own of some (kind_of()).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../src/kernel/kernel.h"
#include "../../src/native/block.h"
#include "../../src/host/target.h"
#include "../../src/attach/attach.h"

#define FUNCTION_MAX (1UL << 20)
/* Of the longest instruction, emitted, with room. */
#define EMITTED_MAX 4096

#define KIND_SIZE 32
#define KINDS 256

struct refused {
	char kind[KIND_SIZE];
	unsigned long nr;
	uint64_t first;
};

struct survey {
	const struct vl_kernel *k;
	struct vl_executor_state e;
	ZydisDecoder decoder;
	struct refused refused[KINDS];
	unsigned long functions, insns, odd;
	uint64_t first_odd;
	unsigned char emitted[EMITTED_MAX];
};

/*
 * Far control, registers that are not general ones, segments that no kernel's data are in, and
 * addresses of 32 bits: a plain instruction of the same mnemonic is not to be refused.
 */
static void kind_of(const struct block *b, char kind[KIND_SIZE])
{
	const char *what = "";

	if (b->d.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		what = "-far";
	for (unsigned i = 0; i < b->d.operand_count; i++) {
		const ZydisDecodedOperand *o = &b->o[i];

		if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_ES))
			what = "-segment";
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (o->reg.value == ZYDIS_REGISTER_RSP)
			what = "-rsp";
		else if (ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_SEGMENT)
			what = "-segment";
		else if (ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_CONTROL)
			what = "-control";
		else if (ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_DEBUG)
			what = "-debug";
	}
	if (b->d.address_width == 32)
		what = "-narrow";
	snprintf(kind, KIND_SIZE, "%s%s", ZydisMnemonicGetString(b->d.mnemonic), what);
}

static void refuse(struct survey *s, const struct block *b)
{
	char kind[KIND_SIZE];
	struct refused *r = s->refused;

	kind_of(b, kind);
	while (r->nr && strcmp(r->kind, kind))
		if (++r == s->refused + KINDS) {
			fprintf(stderr, "too many kinds are refused\n");
			exit(1);
		}
	if (!r->nr++) {
		memcpy(r->kind, kind, sizeof(kind));
		r->first = b->va;
	}
}

static void one(struct survey *s, struct block *b)
{
	s->e.cursor = s->emitted;
	s->e.nr_marks = 0;
	b->nr_exits = 0;
	b->ended = b->refused = false;
	block_translate(b);
	s->insns++;
	if (s->e.cursor > s->emitted + EMITTED_MAX) {
		fprintf(stderr, "too long at 0x%" PRIx64 "\n", b->va);
		exit(1);
	}
	if (b->refused)
		refuse(s, b);
}

static void function(struct survey *s, uint64_t va, const unsigned char *text, size_t len)
{
	struct block b = { .e = &s->e };
	size_t at = 0;

	s->functions++;
	while (at < len) {
		size_t n = len - at < INSN_MAX ? len - at : INSN_MAX;

		memset(b.in, 0, sizeof(b.in));
		memcpy(b.in, text + at, n);
		b.va = va + at;
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&s->decoder, b.in, n, &b.d, b.o))) {
			if (!s->odd++)
				s->first_odd = b.va;
			at++;
			continue;
		}
		one(s, &b);
		at += b.d.length;
	}
}

static struct vl_error *survey(struct survey *s, struct vl_snapshot *view,
			       const struct vl_attach *attach)
{
	uint64_t va = vl_symbol(s->k, "_text"), end = vl_symbol(s->k, "_etext"), next;
	unsigned char *text = malloc(FUNCTION_MAX);

	s->e.snapshot = view;
	s->e.pt = attach->pt;
	ZydisDecoderInit(&s->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (; text && va && va < end; va = next) {
		next = vl_symbol_after(s->k, va);
		if (!next || next > end)
			next = end;
		/* A hole between two sections is not mapped. */
		if (next - va <= FUNCTION_MAX &&
		    vl_snapshot_read(view, &attach->pt, va, text, next - va))
			function(s, va, text, next - va);
	}
	free(text);
	return text ? NULL : vl_error_nomem();
}

static void print(const struct survey *s)
{
	for (const struct refused *r = s->refused; r < s->refused + KINDS && r->nr; r++) {
		uint64_t off = 0;
		const char *name = vl_symbol_at(s->k, r->first, &off);

		printf("refused: %s %lu, first at %s+0x%" PRIx64 "\n", r->kind, r->nr,
		       name ? name : "?", off);
	}
	printf("%lu instructions of %lu functions, %lu bytes of none", s->insns, s->functions,
	       s->odd);
	if (s->odd) {
		uint64_t off = 0;
		const char *name = vl_symbol_at(s->k, s->first_odd, &off);

		printf(", first at %s+0x%" PRIx64, name ? name : "?", off);
	}
	putchar('\n');
}

/*
 * The table of what is barred, empty: a constant address is looked up when its instruction is
 * translated. Data in the text may look like one, at each place of the kernel other ones.
 */
static bool map_barred(void)
{
	void *at = vl_native_barred(0);

	return mmap(at, VL_NATIVE_NR_BARRED, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at;
}

int main(int argc, char **argv)
{
	struct vl_target_options to = { 0 };
	struct survey *s = calloc(1, sizeof(*s));
	struct vl_attach *attach = NULL;
	struct vl_target *target = NULL;
	struct vl_snapshot *view = NULL;
	struct vl_error *err;

	if (argc != 2 || !s || !map_barred())
		return 2;
	err = vl_target_open(argv[1], &to, &target);
	if (!err)
		err = vl_attach_make(target, false, &attach);
	if (!err)
		err = vl_snapshot_create(target, false, &view);
	if (!err) {
		s->k = attach->kernel;
		err = survey(s, view, attach);
	}
	if (!err)
		print(s);
	else
		fprintf(stderr, "native-survey: %s\n", err->message);
	vl_snapshot_destroy(view);
	vl_attach_destroy(attach);
	vl_target_close(target);
	free(s->e.marks);
	free(s);
	if (!err)
		return 0;
	vl_error_destroy(err);
	return 3;
}
