// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: native-survey GUEST
 *
 * Translates all functions of the guest's kernel, from its first instruction to its last, and
 * runs none. Prints what is refused, by mnemonic: how often, and the first place; then how
 * many instructions of how many functions there were, and how many are no instructions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/kernel/kernel.h"
#include "../../src/native/block.h"
#include "../../src/target/target.h"
#include "../../src/vmst/contact.h"

#define FUNCTION_MAX (1UL << 20)
/* Of the longest instruction, emitted, with room. */
#define EMITTED_MAX 4096

struct refused {
	unsigned long nr;
	uint64_t first;
};

struct survey {
	const struct vl_kernel *k;
	struct vl_engine e;
	ZydisDecoder decoder;
	struct refused refused[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	unsigned long functions, insns, odd;
	uint64_t first_odd;
	unsigned char emitted[EMITTED_MAX];
};

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
	if (b->refused) {
		struct refused *r = &s->refused[b->d.mnemonic];

		if (!r->nr++)
			r->first = b->va;
	}
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

static struct vl_error *survey(struct survey *s, struct vl_view *view,
			       const struct vl_contact *contact)
{
	uint64_t va = vl_symbol(s->k, "_text"), end = vl_symbol(s->k, "_etext"), next;
	unsigned char *text = malloc(FUNCTION_MAX);

	s->e.view = view;
	s->e.pt = contact->pt;
	ZydisDecoderInit(&s->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (; text && va && va < end; va = next) {
		next = vl_symbol_after(s->k, va);
		if (!next || next > end)
			next = end;
		/* A hole between two sections is not mapped. */
		if (next - va <= FUNCTION_MAX &&
		    vl_view_read(view, &contact->pt, va, text, next - va))
			function(s, va, text, next - va);
	}
	free(text);
	return text ? NULL : vl_error_nomem();
}

static void print(const struct survey *s)
{
	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		if (s->refused[m].nr) {
			uint64_t off = 0;
			const char *name = vl_symbol_at(s->k, s->refused[m].first, &off);

			printf("refused: %s %lu, first at %s+0x%" PRIx64 "\n",
			       ZydisMnemonicGetString((ZydisMnemonic)m), s->refused[m].nr,
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

int main(int argc, char **argv)
{
	struct vl_target_options to = { 0 };
	struct survey *s = calloc(1, sizeof(*s));
	struct vl_contact *contact = NULL;
	struct vl_target *target = NULL;
	struct vl_view *view = NULL;
	struct vl_error *err;

	if (argc != 2 || !s)
		return 2;
	err = vl_target_open(argv[1], &to, &target);
	if (!err)
		err = vl_contact_make(target, false, &contact);
	if (!err)
		err = vl_view_create(target, false, &view);
	if (!err) {
		s->k = contact->kernel;
		err = survey(s, view, contact);
	}
	if (!err)
		print(s);
	else
		fprintf(stderr, "native-survey: %s\n", err->message);
	vl_view_destroy(view);
	vl_contact_destroy(contact);
	vl_target_close(target);
	free(s->e.marks);
	free(s);
	if (!err)
		return 0;
	vl_error_destroy(err);
	return 3;
}
