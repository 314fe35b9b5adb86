/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Constants of a guest, compared with those of an image made by hand. */
#include <stdlib.h>
#include <string.h>

#include "tap.h"
#include "base/array.h"
#include "trust/internal.h"

#define VA 0xffffffff81000000UL
#define RODATA 0x2000UL
#define INIT 0x2800UL /* of these, what the kernel writes while it boots */
#define INIT_END 0x2c00UL
#define LEN 0x4000UL
#define FUNCTION (VA + 0x100)
#define OTHER (VA + 0x200)
#define BOOT 0x3000UL /* code and data that are freed after the boot */

static unsigned char image[LEN], guest[LEN];
static uint64_t addresses[] = {
	VA + 0x100,    VA + 0x200, VA + RODATA, VA + INIT,
	VA + INIT_END, VA + BOOT,  VA + BOOT,	VA + LEN,
};
static char text[] = "function\0other\0__start_rodata\0__start_ro_after_init\0"
		     "__end_ro_after_init\0__end_rodata\0__init_begin\0__init_end";
static uint32_t name_at[ARRAY_SIZE(addresses)];
static int32_t list[] = { (int32_t)(VA + BOOT + 0x10) };
static struct vl_trust_section sections[] = { { ".text", { 0, 0x1000 }, true },
					      { ".rodata", { RODATA, BOOT - RODATA }, false } };
static struct vl_trust trust = {
	.link = VA,
	.va = VA,
	.bytes = image,
	.len = LEN,
	.sections = sections,
	.nr_sections = ARRAY_SIZE(sections),
	.text = { 0, 0x1000 },
	.placed = true,
	.lists = { [VL_TRUST_32] = list },
	.nr_list = { [VL_TRUST_32] = 1 },
	.symbols = { .nr = ARRAY_SIZE(addresses),
		     .base = VA,
		     .addresses = addresses,
		     .name_at = name_at,
		     .text = text,
		     .text_len = sizeof(text) },
};

static uint64_t last; /* the address of the last finding */

/* vl_trust_found_fn */
static void count(void *nr, const struct vl_trust_finding *f)
{
	++*(unsigned *)nr;
	last = f->va;
}

/* Findings with @now in the guest where the image has @own. */
static unsigned found(uint64_t at, const void *own, const void *now)
{
	unsigned nr = 0;

	memset(image + RODATA, 0, BOOT - RODATA);
	memcpy(image + at, own, 8);
	memcpy(guest, image, LEN);
	memcpy(guest + at, now, 8);
	vl_trust_check_constants(&trust, VA + RODATA, guest + RODATA, BOOT - RODATA, count, &nr);
	return nr;
}

static unsigned pointer(uint64_t at, uint64_t own, uint64_t now)
{
	return found(at, &own, &now);
}

int main(void)
{
	int32_t low = (int32_t)OTHER;

	for (size_t i = 0, at = 0; i < ARRAY_SIZE(addresses); i++) {
		name_at[i] = (uint32_t)at;
		at += strlen(text + at) + 1;
	}
	if (vl_discard(vl_trust_index(&trust)))
		return 99;
	ok(!pointer(RODATA, FUNCTION, FUNCTION), "what is equal");
	ok(pointer(RODATA + 8, FUNCTION, OTHER) == 1 && last == VA + RODATA + 8,
	   "another function");
	ok(pointer(RODATA, 44, 0) == 1, "a number that could be a comma");
	ok(!found(RODATA, "l3,mba\0", "l3\0mba\0"), "text that was cut at its comma");
	ok(found(RODATA, "l3,mba\0", "l3\0mbb\0") == 1, "and changed");
	ok(found(RODATA, "l3,mba\0", "l3;mba\0") == 1, "text with another character");
	ok(found(RODATA, "l3\0mba\0", "l3,mba\0") == 1, "text that was joined");
	ok(pointer(RODATA, 0xffffffff8100002c, 0xffffffff81000000) == 1,
	   "a pointer that has a comma's byte");
	ok(!pointer(INIT, 5, 6), "a number that the kernel sets while it boots");
	ok(pointer(INIT_END, 5, 6) == 1, "behind that part");
	ok(pointer(INIT, FUNCTION, OTHER) == 1, "there, a function that no code of the boot names");
	memcpy(image + BOOT + 0x10, &low, 4);
	ok(!pointer(INIT, FUNCTION, OTHER), "one that it names");
	ok(pointer(INIT, FUNCTION, VA + 0x300) == 1, "but no other");
	free(trust.by_name);
	return tap_end();
}
