/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_native: translated code that is kept for another process. */
#include <string.h>

#include "native-run.h"
#include "tap.h"

static void take_kept(struct vl_executor_state *e, const void *kept, size_t size)
{
	e->st.kept = kept;
	e->st.kept_size = size;
	vl_native_take_kept(e);
}

/* What is kept is used over the text that it was made from, and over no other. */
void test_kept(struct fuzz *f)
{
	static const unsigned char code[] = { 0x75, 0x02, 0xff, 0xc3, 0xff, 0xc3, 0xf4 };
	static const unsigned char replaced[] = { 0x90, 0xf4 };
	static unsigned char buf[1 << 16];
	struct vl_executor_state *e = f->e;
	struct vl_native_mark marks[64];
	uint64_t emitted, insns;
	size_t size, nr_marks;
	bool sound = true;

	randomize(f);
	memcpy(f->code, code, sizeof(code));
	vl_native_reset(e);
	emitted = vl_native_code(e, CODE);
	insns = e->nr_insns;
	nr_marks = e->nr_marks < 64 ? e->nr_marks : 64;
	memcpy(marks, e->marks, nr_marks * sizeof(*marks));
	size = vl_executor_native.keep(e, buf, sizeof(buf));
	ok(size > sizeof(code) && !vl_executor_native.keep(e, buf, sizeof(buf)),
	   "translated code is kept once");
	run(f, &f->raw, emitted);

	vl_native_reset(e);
	memset((void *)emitted, 0xf4, 16);
	take_kept(e, buf, size);
	ok(vl_native_code(e, CODE) == emitted && e->nr_insns == insns,
	   "it is used, and not made again");
	run(f, &f->rewritten, emitted);
	ok(!memcmp(f->raw.gpr, f->rewritten.gpr, sizeof(f->raw.gpr)), "it does the same");
	ok(e->nr_marks == nr_marks && !memcmp(e->marks, marks, nr_marks * sizeof(*marks)),
	   "its marks are the same");
	ok(!vl_executor_native.keep(e, buf, sizeof(buf)), "and is not kept again");

	for (size_t n = 0; n < size; n += n < 512 ? 1 : 97) {
		vl_native_reset(e);
		take_kept(e, buf, n);
		sound &= !e->nr_blocks;
	}
	ok(sound, "a part of it is not used");
	for (size_t n = 0; n < size; n++) {
		buf[n] ^= 1;
		vl_native_reset(e);
		take_kept(e, buf, size);
		sound &= !e->nr_blocks;
		buf[n] ^= 1;
	}
	ok(sound, "nor one with a damaged byte");
	f->near[0] ^= 1;
	vl_native_reset(e);
	take_kept(e, buf, size);
	ok(vl_native_block(e, CODE), "another page of the text may change");
	f->code[VL_PAGE_SIZE - 1] ^= 1;
	vl_native_reset(e);
	take_kept(e, buf, size);
	ok(!e->nr_blocks && !e->nr_text && !e->nr_marks, "its own page may not");
	f->code[VL_PAGE_SIZE - 1] ^= 1;
	vl_native_put_replaced(e, CODE + 0x800, replaced, sizeof(replaced));
	vl_native_reset(e);
	take_kept(e, buf, size);
	ok(!e->nr_blocks, "nor the code that is replaced");
	e->nr_replaced = 0;
	*guest_leaf(f->guest, CODE) |= 1UL << 63;
	vl_native_reset(e);
	take_kept(e, buf, size);
	ok(!e->nr_blocks, "nor the right to execute it");
	*guest_leaf(f->guest, CODE) &= ~(1UL << 63);
	vl_native_reset(e);
}
