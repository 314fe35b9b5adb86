/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A module's file: where it is loaded, how it is linked, what is found in it. */
#include <stdlib.h>
#include <string.h>

#include "made-module.h"
#include "tap.h"

#define DATA_VA 0xffffffffc0102000UL
#define RODATA_VA 0xffffffffc0101000UL
#define PAGE 4096

/* Where a guest with parts of their own (6.4) has it: .data, and struct module behind it. */
static const struct vl_trust_loaded apart = {
	.module = DATA_VA + 64,
	.areas = { { TEXT_VA, PAGE }, { DATA_VA, PAGE }, { RODATA_VA, PAGE } },
};
/* The same of an older one: text, constants and data follow each other. */
static const struct vl_trust_loaded together = {
	.module = DATA_VA + 64,
	.areas = { { TEXT_VA, PAGE } },
	.together = true,
};

/* --- a guest --- */

struct guest {
	unsigned char text[PAGE];
	size_t nr;
	struct vl_trust_finding last;
};

static bool read_guest(void *ctx, uint64_t va, void *buf, size_t len)
{
	const struct guest *g = ctx;

	if (va - TEXT_VA >= PAGE || len > PAGE - (va - TEXT_VA))
		return false;
	memcpy(buf, g->text + (va - TEXT_VA), len);
	return true;
}

static void found(void *ctx, const struct vl_trust_finding *f)
{
	struct guest *g = ctx;

	g->nr++;
	g->last = *f;
}

static size_t check(const struct vl_trust *t, struct guest *g, void *out)
{
	const struct vl_trust_memory memory = { read_guest, g };
	size_t len;
	uint64_t va = vl_trust_text(t, &len);

	g->nr = 0;
	vl_error_destroy(vl_trust_check(t, &memory, va, g->text, len, out, found, g));
	return g->nr;
}

static bool fails(struct vl_error *err, const char *with)
{
	bool right = err && strstr(err->message, with);

	if (err && !right)
		printf("# %s\n", err->message);
	vl_error_destroy(err);
	return right;
}

static void test_text(const struct vl_trust *kernel)
{
	static const unsigned char returns[] = { 0xc3, 0xcc, 0xcc, 0xcc, 0xcc };
	unsigned char out[PAGE];
	struct vl_trust_set *set;
	struct guest g = { .nr = 0 };
	struct vl_trust *t;
	struct made m;
	int64_t target;

	make_module(&m, "exported", 1);
	ok(!vl_trust_module_open(m.bytes, m.len, &t), "a module is opened");
	ok(!strcmp(vl_trust_module_name(t), "made_by_hand"), "its name has '_' for '-'");
	ok(!strcmp(vl_trust_module_release(t), "6.1-test"), "its release is known");
	ok(!vl_trust_set_create(kernel, &set) && !vl_trust_set_add(set, t, &apart),
	   "it is laid out where the guest has it");
	ok(!vl_trust_link(t), "it is linked");
	memcpy(g.text, t->bytes, PAGE);
	target = vl_trust_i32(g.text + AT_CALL + 1) + AT_CALL + 5;
	ok(TEXT_VA + (uint64_t)target == KERNEL_VA + 0x20, "its call leads to the kernel");
	ok(vl_trust_i32(g.text + AT_DATA + 3) == (int32_t)(DATA_VA + 12),
	   "its data are where the guest has them");
	ok(!check(t, &g, NULL), "the guest's text is verified");
	g.text[AT_LOCK] = 0x3e;
	memcpy(g.text + AT_RETURN, returns, sizeof(returns));
	ok(!check(t, &g, out), "legal forms are verified");
	ok(!memcmp(out, g.text, PAGE), "and are the trusted bytes");
	put32(g.text + AT_INIT + 1, vl_trust_i32(g.text + AT_INIT + 1) + 0x5000);
	ok(!check(t, &g, NULL), "the freed init part may have been anywhere");
	g.text[1] ^= 1;
	ok(check(t, &g, out) == 1 && g.last.va == TEXT_VA + 1 && out[1] == made_text[1],
	   "a changed byte is found, and the trusted one is given");
	g.text[1] ^= 1;
	g.text[PAGE - 1] = 1;
	ok(check(t, &g, NULL) == 1 && g.last.va == TEXT_VA + PAGE - 1,
	   "code behind the sections is found");
	g.text[PAGE - 1] = 0;
	put32(g.text + AT_CALL + 1, vl_trust_i32(g.text + AT_CALL + 1) - 0x10);
	ok(check(t, &g, NULL) == 1, "a call of another function is found");
	ok(vl_trust_is_entry(t, KERNEL_VA + 0x20) && vl_trust_is_entry(t, TEXT_VA) &&
		   !vl_trust_is_entry(t, TEXT_VA + 4),
	   "entries are functions of the kernel and of the module");
	ok(vl_trust_set_at(set, TEXT_VA + 9) == t && vl_trust_set_at(set, KERNEL_VA) == kernel &&
		   !vl_trust_set_at(set, DATA_VA),
	   "the owner of an address is found");
	vl_trust_set_destroy(set);
}

/* The kernel's image as a guest has it. */
static bool read_image(void *ctx, uint64_t va, void *buf, size_t len)
{
	if (va - KERNEL_VA > K_LEN || len > K_LEN - (va - KERNEL_VA))
		return false;
	memcpy(buf, (unsigned char *)ctx + (va - KERNEL_VA), len);
	return true;
}

/* Behind the text, in its last page, can be more code, as .head.text is since 6.16. */
static void test_tail(void)
{
	static const unsigned char endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const unsigned char sealed[] = { 0x66, 0x0f, 0x1f, 0x00 };
	unsigned char image[K_LEN];
	const struct vl_trust_memory memory = { read_image, image };
	struct vl_trust *t = make_kernel();
	struct guest g = { .nr = 0 };

	t->text.len = 0x800;
	memcpy(t->bytes + 0xa00, endbr, sizeof(endbr));
	t->sites = calloc(1, sizeof(*t->sites));
	t->clusters = calloc(1, sizeof(*t->clusters));
	t->nr_sites = t->nr_clusters = 1;
	t->sites[0] = (struct vl_trust_site){ .at = 0xa00, .len = 4, .class = VL_TRUST_ENDBR };
	t->clusters[0] = (struct vl_trust_cluster){ 0xa00, 4, 0, 1 };
	memcpy(image, t->bytes, K_LEN);
	memcpy(image + 0xa00, sealed, sizeof(sealed));
	vl_trust_check_tail(t, &memory, found, &g);
	ok(!g.nr, "a legal form behind the text is verified");
	image[0xa04] = 1;
	vl_trust_check_tail(t, &memory, found, &g);
	ok(g.nr == 1 && g.last.va == KERNEL_VA + 0xa04 && g.last.len == 1,
	   "a changed byte behind the text is found");
	free_kernel(t);
}

static void test_places(const struct vl_trust *kernel)
{
	struct vl_trust_loaded wrong = apart;
	struct vl_trust *t, *other;
	struct vl_trust_set *set;
	struct made m;

	make_module(&m, "exported", 1);
	vl_error_destroy(vl_trust_set_create(kernel, &set));
	vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &t));
	wrong.module += 64;
	ok(fails(vl_trust_set_add(set, t, &wrong), "another layout"),
	   "struct module at another place is refused");
	wrong = apart;
	wrong.areas[VL_TRUST_AREA_TEXT].size = 2 * PAGE;
	ok(fails(vl_trust_set_add(set, t, &wrong), "another layout"),
	   "text of another size is refused");
	wrong.areas[VL_TRUST_AREA_TEXT].size = TEXT_LEN - 1;
	ok(fails(vl_trust_set_add(set, t, &wrong), "another layout"),
	   "text that is too short is refused");
	ok(!vl_trust_set_add(set, t, &together) && !vl_trust_link(t),
	   "parts that follow each other are laid out");
	ok(vl_trust_i32(t->bytes + AT_DATA + 3) == (int32_t)(DATA_VA + 12),
	   "and the data are behind the constants");
	vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &other));
	ok(fails(vl_trust_set_add(set, other, &together), "two modules"),
	   "two modules at one place are refused");
	vl_trust_close(other);
	vl_trust_set_remove(set, t);
	make_module(&m, "nobody_has_it", 1);
	vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &t));
	ok(!vl_trust_set_add(set, t, &apart) &&
		   fails(vl_trust_link(t), "no trusted kernel or module exports nobody_has_it"),
	   "a symbol that nobody exports is named");
	vl_trust_set_destroy(set);
}

static void test_broken(const struct vl_trust *kernel)
{
	size_t linked = 0, refused = 0;
	uint64_t seed = 42;
	struct made m, broken;

	make_module(&m, "exported", 1);
	for (int i = 0; i < ROUNDS; i++) {
		struct guest g = { .nr = 0 };
		struct vl_trust_set *set;
		struct vl_trust *t = NULL;
		struct vl_error *err;
		/* An exact copy: a sanitizer sees each read behind its end. */
		unsigned char *copy;
		size_t len;

		memcpy(&broken, &m, sizeof(m));
		len = damage(broken.bytes, m.len, &seed);
		copy = malloc(len);
		memcpy(copy, broken.bytes, len);
		err = vl_trust_set_create(kernel, &set);
		if (!err)
			err = vl_trust_module_open(copy, len, &t);
		free(copy);
		if (!err) {
			err = vl_trust_set_add(set, t, i % 2 ? &apart : &together);
			if (err)
				vl_trust_close(t);
		}
		if (!err)
			err = vl_trust_link(t);
		if (!err) {
			memcpy(g.text, made_text, TEXT_LEN);
			check(t, &g, NULL);
		}
		linked += !err;
		refused += err != NULL;
		vl_error_destroy(err);
		vl_trust_set_destroy(set);
	}
	printf("# linked %zu, refused %zu\n", linked, refused);
	ok(linked > 100 && refused > 100, "no broken module does harm");
}

int main(void)
{
	struct vl_trust *kernel = make_kernel();

	test_text(kernel);
	test_tail();
	test_places(kernel);
	test_broken(kernel);
	free_kernel(kernel);
	return tap_end();
}
