// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: trust-probe GUEST KERNEL ROUNDS SEED
 *        trust-probe unpack FILE
 *        trust-probe break FILE ROUNDS SEED
 *        trust-probe index FILE ROUNDS SEED
 *
 * For tests/57-trust*.bats. Unpacks FILE (a vmlinuz) to stdout. Or breaks copies of FILE (a vmlinuz
 * or an unpacked kernel) at random, and opens them: prints "opened N refused N", or the first error
 * that has more than one line. Or opens FILE, a kernel of the store, by its index and without it:
 * prints what differs, or "same". Then it breaks copies of the index at random and uses what is
 * opened: prints "taken N left N", as often as the index was used and not, and what differs in one
 * that was used. Or reads the text of
 * GUEST, makes ROUNDS random changes of one byte in it, one after the other, and compares each time
 * with KERNEL (an unpacked image). Prints
 *
 * 	clean N			findings without a change
 * 	found CLASS N		changes that were found, by the class of the site
 * 	legal CLASS N		changes that make another legal form of a site
 * 	missed ADDRESS SYMBOL	a change of a byte that belongs to no site, and was not found
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/kernel/kernel.h"
#include "../../src/trust/image.h"
#include "../../src/trust/index.h"
#include "../../src/trust/internal.h"
#include "../../src/vlens.h"
#include "imee/engine.h"

#define AROUND 64

struct probe {
	struct vl_trust *t;
	unsigned char *text;
	uint64_t va;
	size_t len;
	size_t nr; /* of findings */
};

static int fail(struct vl_error *err)
{
	fprintf(stderr, "trust-probe: %s\n", err->message);
	vl_error_destroy(err);
	return 3;
}

static bool read_text(void *ctx, uint64_t va, void *buf, size_t len)
{
	const struct probe *p = ctx;

	if (va - p->va >= p->len || len > p->len - (va - p->va))
		return false;
	memcpy(buf, p->text + (va - p->va), len);
	return true;
}

static void found(void *ctx, const struct vl_trust_finding *f)
{
	(void)f;
	((struct probe *)ctx)->nr++;
}

/* The number of findings in @len bytes at offset @at of the text. */
static size_t check(struct probe *p, size_t at, size_t len)
{
	const struct vl_trust_memory memory = { read_text, p };

	p->nr = 0;
	vl_error_destroy(
		vl_trust_check(p->t, &memory, p->va + at, p->text + at, len, NULL, found, p));
	return p->nr;
}

/* The class of the byte at offset @at of the text. */
static enum vl_trust_class class_of(const struct probe *p, size_t at)
{
	const struct vl_trust *t = p->t;

	at += t->text.at;
	for (size_t n = vl_trust_cluster_from(t, at); n < t->nr_clusters; n++) {
		const struct vl_trust_cluster *c = &t->clusters[n];

		if (c->at > at)
			break;
		for (size_t i = c->first; i < c->first + c->nr; i++)
			if (at - t->sites[i].at < t->sites[i].len)
				return (enum vl_trust_class)t->sites[i].class;
	}
	return VL_TRUST_TEXT;
}

static uint64_t random_number(uint64_t *seed)
{
	/* xorshift64 */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void change(struct probe *p, unsigned rounds, uint64_t seed)
{
	size_t nr_found[VL_TRUST_CLASSES] = { 0 }, nr_legal[VL_TRUST_CLASSES] = { 0 };

	for (unsigned i = 0; i < rounds; i++) {
		size_t at = random_number(&seed) % p->len, from = at < AROUND ? 0 : at - AROUND;
		size_t len = p->len - from < 2 * AROUND ? p->len - from : 2 * AROUND;
		enum vl_trust_class class;
		unsigned char was;
		uint64_t offset;

		/* Most bytes are plain text: every second change is at a site. */
		if (i % 2 && p->t->nr_sites) {
			const struct vl_trust_site *s =
				&p->t->sites[random_number(&seed) % p->t->nr_sites];
			size_t place = s->at + random_number(&seed) % s->len - p->t->text.at;

			if (place >= p->len)
				continue;
			at = place;
			from = at < AROUND ? 0 : at - AROUND;
			len = p->len - from < 2 * AROUND ? p->len - from : 2 * AROUND;
		}
		was = p->text[at];
		p->text[at] = (unsigned char)(was ^ (1 + random_number(&seed) % 255));
		class = class_of(p, at);
		if (check(p, from, len))
			nr_found[class]++;
		else if (class != VL_TRUST_TEXT)
			nr_legal[class]++;
		else
			printf("missed 0x%" PRIx64 " %s\n", p->va + at,
			       vl_trust_symbol_at(p->t, p->va + at, &offset));
		p->text[at] = was;
	}
	for (unsigned k = 0; k < VL_TRUST_CLASSES; k++) {
		if (nr_found[k])
			printf("found %s %zu\n", vl_trust_class_name(k), nr_found[k]);
		if (nr_legal[k])
			printf("legal %s %zu\n", vl_trust_class_name(k), nr_legal[k]);
	}
}

/* Map a file; the program ends before it would be unmapped. */
static void *map(const char *path, size_t *len_ret)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	void *p;

	if (fd < 0 || fstat(fd, &st) ||
	    (p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
		fprintf(stderr, "trust-probe: cannot read %s\n", path);
		exit(3);
	}
	*len_ret = (size_t)st.st_size;
	close(fd);
	return p;
}

static int unpack(const char *path)
{
	unsigned char *elf;
	size_t len, elf_len;
	const void *file = map(path, &len);
	struct vl_error *err = vl_trust_unpack(file, len, VL_TRUST_IMAGE_MAX, &elf, &elf_len);

	if (err)
		return fail(err);
	fwrite(elf, 1, elf_len, stdout);
	free(elf);
	return 0;
}

/* Change some bytes of a copy, most of them in its first page or its last bytes, or cut it. */
static struct vl_error *open_broken(const unsigned char *file, size_t len, uint64_t *seed)
{
	unsigned char *copy = malloc(len), *elf = NULL;
	struct vl_trust *t = NULL;
	struct vl_error *err;
	size_t elf_len, some = len < 4096 ? len : 4096;

	memcpy(copy, file, len);
	for (uint64_t n = 1 + random_number(seed) % 8; n; n--) {
		size_t at = random_number(seed) % some;

		switch (random_number(seed) % 3) {
		case 0:
			at = len - 1 - at;
			break;
		case 1:
			at = random_number(seed) % len;
			break;
		}
		copy[at] = random_number(seed) % 2 ? 0xff : (unsigned char)random_number(seed);
	}
	if (random_number(seed) % 4 == 0)
		len = 1 + random_number(seed) % len;
	err = vl_trust_unpack(copy, len, VL_TRUST_IMAGE_MAX, &elf, &elf_len);
	free(copy);
	if (!err)
		err = vl_trust_open(elf, elf_len, &t);
	free(elf);
	if (!err)
		err = vl_trust_place(t, 0x1000000);
	vl_trust_close(t);
	return err;
}

static int break_file(const char *path, unsigned rounds, uint64_t seed)
{
	size_t len, opened = 0, refused = 0;
	const unsigned char *file = map(path, &len);

	for (unsigned i = 0; i < rounds; i++) {
		struct vl_error *err = open_broken(file, len, &seed);

		if (err && strchr(err->message, '\n'))
			return fail(err);
		opened += !err;
		refused += err != NULL;
		vl_error_destroy(err);
	}
	printf("opened %zu refused %zu\n", opened, refused);
	return 0;
}

/* --- the index of a stored kernel --- */

#define DELTA 0x1000000

/* Does not differ in what an index has? Says what does. */
static bool same(const char *what, const void *a, size_t a_len, const void *b, size_t b_len)
{
	bool same = a_len == b_len && !memcmp(a, b, a_len);

	if (!same)
		printf("%s differ\n", what);
	return same;
}

#define SAME(what, member, nr) \
	same(what, x->member, x->nr * sizeof(*x->member), y->member, y->nr * sizeof(*y->member))

/* Does one image that is moved at once have the bytes of one that is moved when it is used? */
static bool same_image(const struct vl_trust *x, const struct vl_trust *y)
{
	unsigned char a[1021], b[sizeof(a)];

	if (x->pending || !y->pending || x->len != y->len || x->va != y->va)
		return same("images", "a", 1, "b", 1);
	for (size_t at = 0, n; at < x->len; at += n) {
		n = x->len - at < sizeof(a) ? x->len - at : sizeof(a);
		if (!vl_trust_copy(x, x->va + at, a, n) || !vl_trust_copy(y, y->va + at, b, n) ||
		    !same("images", a, n, b, n))
			return false;
	}
	return !vl_trust_copy(y, y->va + y->len - 1, b, 2);
}

static bool same_index(const struct vl_trust *x, const struct vl_trust *y)
{
	return SAME("sites", sites, nr_sites) & SAME("clusters", clusters, nr_clusters) &
	       SAME("names", by_name, nr_by_name) &
	       SAME("addresses", symbols.addresses, symbols.nr) &
	       SAME("texts", symbols.text, symbols.text_len);
}

static bool same_trust(const struct vl_trust *x, const struct vl_trust *y, int fd)
{
	static struct vl_function a[VL_MAX_CLOCKS], b[VL_MAX_CLOCKS];
	struct vl_kernel *own = NULL, *kept = NULL;
	const void *own_bytes, *kept_bytes;
	size_t nr, kept_nr, len, kept_len;

	vl_error_destroy(vl_trust_symbols_make(x, -1, &own));
	vl_error_destroy(vl_trust_symbols_make(y, fd, &kept));
	if (!own || !kept || x->index || !y->index)
		return false;
	own_bytes = vl_kernel_bytes(own, &len);
	kept_bytes = vl_kernel_bytes(kept, &kept_len);
	nr = vl_trust_clocks(x, own, a);
	kept_nr = vl_trust_clocks(y, kept, b);
	return same_index(x, y) & same_image(x, y) &
	       same("symbols", own_bytes, len, kept_bytes, kept_len) &
	       same("clocks", a, nr * sizeof(*a), b, kept_nr * sizeof(*b)) &
	       (x->alt_form == y->alt_form && x->counter.at == y->counter.at &&
		x->counter.len == y->counter.len && nr != 0);
}

static bool read_zeros(void *ctx, uint64_t va, void *buf, size_t len)
{
	(void)ctx, (void)va;
	memset(buf, 0, len);
	return true;
}

static void count_one(void *ctx, const struct vl_trust_finding *f)
{
	*(size_t *)ctx += f->len;
}

/* Use what a broken index may have made of @t: it must not read outside of it. */
static void use(const struct vl_trust *t, int fd)
{
	static struct vl_function clocks[VL_MAX_CLOCKS];
	const struct vl_trust_memory memory = { read_zeros, NULL };
	struct vl_kernel *k = NULL;
	size_t len, found = 0;
	uint64_t va = vl_trust_text(t, &len), offset;
	unsigned char *text = calloc(1, len);

	vl_trust_check(t, &memory, va, text, len, NULL, count_one, &found);
	for (size_t i = 0; i < len; i += 4096)
		vl_trust_symbol_at(t, va + i, &offset);
	if (!vl_trust_symbols_make(t, fd, &k)) {
		vl_trust_clocks(t, k, clocks);
		vl_symbol(k, "entry_SYSCALL_64");
	}
	vl_kernel_destroy(k);
	free(text);
}

static int break_index(const char *path, unsigned rounds, uint64_t seed)
{
	size_t len, begin, taken = 0, left = 0;
	const unsigned char *file = map(path, &len);
	unsigned char *copy = malloc(len);
	struct vl_trust *whole, *t = NULL;
	int fd = open(path, O_RDONLY);
	struct vl_error *err = vl_trust_open(file, len, &whole);

	if (!err)
		err = vl_trust_open_file(fd, len, false, &t);
	if (!err)
		err = vl_trust_place(whole, DELTA);
	if (!err)
		err = vl_trust_place(t, DELTA);
	if (err)
		return fail(err);
	if (same_trust(whole, t, fd))
		printf("same\n");
	vl_trust_close(t);
	close(fd);
	begin = vl_trust_image_len(file, len);
	memcpy(copy, file, len);
	for (unsigned i = 0; i < rounds; i++) {
		size_t some = random_number(&seed) % 2 ? 4096 : len - begin;
		size_t size = random_number(&seed) % 8 ?
				      len :
				      begin + random_number(&seed) % (len - begin);

		for (unsigned n = 0; n < 1 + i % 2; n++) {
			size_t at = begin + random_number(&seed) % some;

			copy[at] = random_number(&seed) % 2 ? 0xff :
							      (unsigned char)random_number(&seed);
		}
		fd = memfd_create("broken", MFD_CLOEXEC);
		if (write(fd, copy, size) != (ssize_t)size)
			return 2;
		err = vl_trust_open_file(fd, size, false, &t);
		if (!err)
			err = vl_trust_place(t, DELTA);
		if (!err) {
			taken += t->index && same_index(whole, t);
			left += !t->index;
			use(t, fd);
		}
		if (!err || strncmp(err->message, "the kernel's image is damaged", 29) == 0)
			vl_error_destroy(err);
		else
			return fail(err);
		vl_trust_close(t);
		t = NULL;
		close(fd);
		memcpy(copy + begin, file + begin, len - begin);
	}
	printf("taken %zu left %zu\n", taken, left);
	vl_trust_close(whole);
	free(copy);
	return 0;
}

int main(int argc, char **argv)
{
	const struct vl_guest_options o = { .uses = VL_GUEST_READ };
	struct probe p = { .t = NULL };
	struct vl_reader *r;
	struct vl_guest *g;
	struct vl_space s;
	struct vl_error *err;
	const void *elf;
	size_t len;

	if (argc == 3 && !strcmp(argv[1], "unpack"))
		return unpack(argv[2]);
	if (argc != 5)
		return 2;
	if (!strcmp(argv[1], "break"))
		return break_file(argv[2], (unsigned)atoi(argv[3]), strtoull(argv[4], NULL, 0));
	if (!strcmp(argv[1], "index"))
		return break_index(argv[2], (unsigned)atoi(argv[3]), strtoull(argv[4], NULL, 0));
	elf = map(argv[2], &len);
	err = vl_trust_open(elf, len, &p.t);
	if (!err)
		err = vl_guest_open(argv[1], &o, &g);
	if (!err)
		err = vl_guest_reader(g, &r);
	if (!err)
		err = vl_trust_place(p.t, vl_reader_attach(r)->entry -
						  vl_trust_symbol(p.t, "entry_SYSCALL_64"));
	if (err)
		return fail(err);
	p.va = vl_trust_text(p.t, &p.len);
	p.text = malloc(p.len);
	s = vl_reader_kernel(r);
	if (!p.text || vl_read(r, &s, p.va, p.text, p.len) != VL_READ_OK)
		return fail(vl_error_new(VL_ERR_FAULT, "cannot read the text"));
	printf("clean %zu\n", check(&p, 0, p.len));
	change(&p, (unsigned)atoi(argv[3]), strtoull(argv[4], NULL, 0));
	free(p.text);
	vl_trust_close(p.t);
	vl_guest_close(g);
	return 0;
}
