/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "../base/transfer.h"
#include "../kernel/btf.h"
#include "../kernel/kernel.h"
#include "internal.h"
#include "trust/index-format.h"

#define PAGE 4096UL

/* Time to read the types of the image. They are trusted, but may be damaged. */
#define TYPES_NS 5000000000L

/* The first form of the foot has no checksum of the file in front of it. */
static const char magic[16] = "vlens index 2", magic_1[16] = "vlens index";

enum part { ADDRESSES, NAME_AT, TEXT, BY_NAME, SITES, CLUSTERS, CLOCKS, KERNEL, NR_PARTS };

struct head {
	char magic[16];
	uint64_t made; /* by a vlens with this source: vl_trust_maker() */
	uint64_t sum; /* of the head with a 0 here, and of all parts but KERNEL, which has checks */
	uint64_t len; /* of the image in memory */
	char build_id[VL_BUILD_ID_MAX + 1];
	struct vl_kallsyms tables;
	uint64_t base;
	uint64_t alt_form, counter_at, counter_len;
	struct {
		uint64_t at, len; /* in bytes, from the head; a multiple of 8 */
	} parts[NR_PARTS];
};

/* The end of the file. In front of it is the checksum of all that is in front of that. */
struct foot {
	char magic[16];
	uint64_t at;	/* of the head: whole pages */
	uint64_t image; /* the length of what is in front of it, without what fills the page */
};

uint64_t vl_trust_maker(void)
{
	return vl_hash_text(VLENS_VERSION "-" INDEX_FORMAT);
}

/* Is @foot that of a file of @len bytes? */
static bool is_foot(const struct foot *foot, size_t len)
{
	return (!memcmp(foot->magic, magic, sizeof(magic)) ||
		!memcmp(foot->magic, magic_1, sizeof(magic_1))) &&
	       foot->at % PAGE == 0 && foot->at < len - sizeof(*foot) && foot->image <= foot->at;
}

static bool find_foot(const unsigned char *file, size_t len, struct foot *ret)
{
	if (len < sizeof(*ret))
		return false;
	memcpy(ret, file + len - sizeof(*ret), sizeof(*ret));
	return is_foot(ret, len);
}

enum vl_trust_index_end vl_trust_index_there(int fd, size_t len)
{
	struct foot foot;

	if (len < sizeof(foot) + sizeof(uint64_t) ||
	    !vl_get_whole(fd, &foot, sizeof(foot), len - sizeof(foot)) || !is_foot(&foot, len))
		return VL_TRUST_INDEX_CUT;
	return memcmp(foot.magic, magic, sizeof(magic)) != 0 ? VL_TRUST_INDEX_NO_SUM :
							       VL_TRUST_INDEX_SUM;
}

/* --- the checksum of the file: that of the sums of its pieces --- */

#define PIECE (256UL << 10)

static uint64_t add_piece(uint64_t sum, const void *piece, size_t len)
{
	uint64_t one = vl_sum(piece, len);

	return vl_hash(sum, &one, sizeof(one));
}

static uint64_t sum_bytes(const unsigned char *bytes, size_t len)
{
	uint64_t sum = VL_HASH;

	for (size_t at = 0; at < len; at += PIECE)
		sum = add_piece(sum, bytes + at, len - at < PIECE ? len - at : PIECE);
	return sum;
}

/* It is read and not mapped: a file that is cut meanwhile must not end the process. */
struct vl_error *vl_trust_index_right(int fd, size_t len, bool *ret)
{
	_cleanup_free_ unsigned char *piece = malloc(PIECE);
	size_t end = len - sizeof(struct foot) - sizeof(uint64_t), n;
	uint64_t sum = VL_HASH, stored;

	if (!piece)
		return vl_error_nomem();
	for (size_t at = 0; at < end; at += n) {
		n = end - at < PIECE ? end - at : PIECE;
		if (!vl_get_whole(fd, piece, n, at))
			return vl_error_os(errno, "cannot read a stored kernel");
		sum = add_piece(sum, piece, n);
	}
	if (!vl_get_whole(fd, &stored, sizeof(stored), end))
		return vl_error_os(errno, "cannot read a stored kernel");
	*ret = sum == stored;
	return NULL;
}

size_t vl_trust_image_len(const void *file, size_t len)
{
	struct foot foot;

	return find_foot(file, len, &foot) ? foot.image : len;
}

/* The checksum of the index @h, whose parts are all there. */
static uint64_t sum_of(const struct head *h)
{
	struct head own = *h;
	uint64_t sum;

	own.sum = 0;
	sum = vl_sum(&own, sizeof(own));
	for (size_t i = 0; i < KERNEL; i++)
		sum ^= vl_sum((const unsigned char *)h + h->parts[i].at, h->parts[i].len) + i;
	return sum;
}

/* Are the parts of the index @h, @len bytes, there, and its checksum right unless it is @sound? */
static bool is_whole(const struct head *h, size_t len, bool sound)
{
	for (size_t i = 0; i < NR_PARTS; i++)
		if (h->parts[i].at > len || h->parts[i].len > len - h->parts[i].at)
			return false;
	return sound || sum_of(h) == h->sum;
}

/* --- making --- */

/* The fields of @t by its types. */
static struct vl_error *read_types(const struct vl_trust *t, struct vl_layout *ret)
{
	uint64_t start = vl_trust_symbol(t, "__start_BTF"), stop = vl_trust_symbol(t, "__stop_BTF");
	const unsigned char *btf = stop > start ? vl_trust_bytes(t, start, stop - start) : NULL;

	if (!btf)
		return vl_error_new(VL_ERR_ARG, "the trusted image has no BTF types");
	return vl_layout_from_btf(btf, stop - start, vl_deadline_in(TYPES_NS), ret);
}

static struct vl_error *make_kernel(const struct vl_trust *t, struct vl_kernel **ret)
{
	struct vl_layout layout;
	struct vl_error *err = read_types(t, &layout);

	return err ? err : vl_kernel_create(&t->symbols, &layout, ret);
}

static size_t up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

struct vl_error *vl_trust_index_make(const struct vl_trust *t, const void *image, size_t len,
				     unsigned char **ret, size_t *len_ret)
{
	const struct vl_symbols *s = &t->symbols;
	struct head h = {
		.made = vl_trust_maker(),
		.len = t->len,
		.tables = t->tables,
		.base = s->base,
		.alt_form = t->alt_form,
		.counter_at = t->counter.at,
		.counter_len = t->counter.len,
	};
	struct {
		const void *bytes;
		size_t len;
	} parts[NR_PARTS] = {
		[ADDRESSES] = { s->addresses, s->nr * sizeof(*s->addresses) },
		[NAME_AT] = { s->name_at, s->nr * sizeof(*s->name_at) },
		[TEXT] = { s->text, s->text_len },
		[BY_NAME] = { t->by_name, t->nr_by_name * sizeof(*t->by_name) },
		[SITES] = { t->sites, t->nr_sites * sizeof(*t->sites) },
		[CLUSTERS] = { t->clusters, t->nr_clusters * sizeof(*t->clusters) },
	};
	size_t at = up(len, PAGE), size = up(sizeof(h), 8);
	struct foot foot = { .at = at, .image = len };
	_cleanup_free_ struct vl_function *clocks = calloc(VL_MAX_CLOCKS, sizeof(*clocks));
	struct vl_kernel *k = NULL;
	unsigned char *file;
	uint64_t sum;

	if (!clocks)
		return vl_error_nomem();
	/* A kernel without types serves for comparisons. */
	if (!vl_discard(make_kernel(t, &k))) {
		parts[KERNEL].bytes = vl_kernel_bytes(k, &parts[KERNEL].len);
		parts[CLOCKS].bytes = clocks;
		parts[CLOCKS].len = sizeof(*clocks) * vl_trust_clocks(t, k, clocks);
	}
	memcpy(h.magic, magic, sizeof(magic));
	memcpy(h.build_id, t->build_id, sizeof(h.build_id));
	for (size_t i = 0; i < NR_PARTS; i++) {
		size = up(size, i == KERNEL ? PAGE : 8);
		h.parts[i].at = size;
		h.parts[i].len = parts[i].len;
		size += parts[i].len;
	}
	*len_ret = at + up(size, 8) + sizeof(sum) + sizeof(foot);
	file = calloc(1, *len_ret);
	if (!file) {
		vl_kernel_destroy(k);
		return vl_error_nomem();
	}
	memcpy(file, image, len);
	memcpy(file + at, &h, sizeof(h));
	for (size_t i = 0; i < NR_PARTS; i++)
		if (parts[i].len)
			memcpy(file + at + h.parts[i].at, parts[i].bytes, parts[i].len);
	h.sum = sum_of((const struct head *)(const void *)(file + at));
	memcpy(file + at, &h, sizeof(h));
	memcpy(foot.magic, magic, sizeof(magic));
	memcpy(file + *len_ret - sizeof(foot), &foot, sizeof(foot));
	at = *len_ret - sizeof(foot) - sizeof(sum);
	sum = sum_bytes(file, at);
	memcpy(file + at, &sum, sizeof(sum));
	vl_kernel_destroy(k);
	*ret = file;
	return NULL;
}

/* --- taking --- */

/*
 * The elements of part @i of the index at @h, each of @size bytes; NULL: it lies outside of @len
 * bytes.
 */
static const void *part(const struct head *h, size_t len, enum part i, size_t size, size_t *nr_ret)
{
	uint64_t at = h->parts[i].at, n = h->parts[i].len;

	*nr_ret = n / size;
	return at % 8 || n % size || at > len || n > len - at ? NULL :
								(const unsigned char *)h + at;
}

/* Set the members of @t to the parts of the index @h, @len bytes. */
static bool take_parts(struct vl_trust *t, const struct head *h, size_t len)
{
	struct vl_symbols *s = &t->symbols;
	size_t nr_addresses, nr_names;
	const uint64_t *addresses = part(h, len, ADDRESSES, sizeof(*s->addresses), &nr_addresses);

	s->name_at = (uint32_t *)part(h, len, NAME_AT, sizeof(*s->name_at), &nr_names);
	s->text = (char *)part(h, len, TEXT, 1, &s->text_len);
	t->by_name = (uint32_t *)part(h, len, BY_NAME, sizeof(*t->by_name), &t->nr_by_name);
	t->sites = (struct vl_trust_site *)part(h, len, SITES, sizeof(*t->sites), &t->nr_sites);
	t->clusters = (struct vl_trust_cluster *)part(h, len, CLUSTERS, sizeof(*t->clusters),
						      &t->nr_clusters);
	if (!addresses || !s->name_at || !s->text || !t->by_name || !t->sites || !t->clusters ||
	    nr_addresses != nr_names || nr_names > UINT32_MAX)
		return false;
	/* Symbols move with the image. */
	s->addresses = malloc(nr_addresses * sizeof(*addresses) + 1);
	if (!s->addresses)
		return false;
	memcpy(s->addresses, addresses, nr_addresses * sizeof(*addresses));
	s->nr = (uint32_t)nr_names;
	s->base = h->base;
	return true;
}

void vl_trust_index_drop(struct vl_trust *t)
{
	if (!t->index)
		return;
	free(t->symbols.addresses);
	memset(&t->symbols, 0, sizeof(t->symbols));
	t->by_name = NULL;
	t->sites = NULL;
	t->clusters = NULL;
	t->nr_by_name = t->nr_sites = t->nr_clusters = 0;
	munmap((void *)t->index, t->index_len);
	t->index = NULL;
}

bool vl_trust_index_take(struct vl_trust *t, int fd, const unsigned char *file, size_t len,
			 bool sound)
{
	const struct head *h;
	struct foot foot;
	void *p;

	if (!find_foot(file, len, &foot) || len - sizeof(foot) - foot.at < sizeof(*h))
		return false;
	h = (const struct head *)(const void *)(file + foot.at);
	if (memcmp(h->magic, magic, sizeof(magic)) != 0 || h->made != vl_trust_maker() ||
	    h->len != t->len || memcmp(h->build_id, t->build_id, sizeof(h->build_id)) != 0 ||
	    h->alt_form >= VL_TRUST_ALT_FORMS || !vl_trust_has(t, h->counter_at, h->counter_len))
		return false;
	t->index_len = len - foot.at;
	p = mmap(NULL, t->index_len, PROT_READ, MAP_PRIVATE, fd, (off_t)foot.at);
	if (p == MAP_FAILED)
		return false;
	t->index = h = p;
	t->index_at = foot.at;
	t->tables = h->tables;
	t->alt_form = h->alt_form;
	t->counter = (struct vl_trust_part){ h->counter_at, h->counter_len };
	if (is_whole(h, t->index_len - sizeof(foot), sound) &&
	    take_parts(t, h, t->index_len - sizeof(foot)))
		return true;
	vl_trust_index_drop(t);
	return false;
}

struct vl_error *vl_trust_symbols_make(const struct vl_trust *t, int fd, struct vl_kernel **ret)
{
	const struct head *h = t->index;
	size_t len;

	*ret = NULL;
	if (h && part(h, t->index_len - sizeof(struct foot), KERNEL, 1, &len) &&
	    h->parts[KERNEL].at % PAGE == 0)
		vl_kernel_map_part(fd, t->index_at + h->parts[KERNEL].at, len, t->symbols.base,
				   ret);
	return *ret ? NULL : make_kernel(t, ret);
}

size_t vl_trust_clocks(const struct vl_trust *t, const struct vl_kernel *k, struct vl_function *ret)
{
	const struct head *h = t->index;
	size_t nr = 0;
	const struct vl_function *stored =
		h ? part(h, t->index_len - sizeof(struct foot), CLOCKS, sizeof(*stored), &nr) :
		    NULL;

	if (!stored || !nr || nr > VL_MAX_CLOCKS)
		return vl_kernel_clocks(k, t->va + t->text.at, t->text.len, ret, VL_MAX_CLOCKS);
	for (size_t i = 0; i < nr; i++)
		ret[i] = (struct vl_function){ stored[i].va - t->link + t->va, stored[i].len };
	return nr;
}
