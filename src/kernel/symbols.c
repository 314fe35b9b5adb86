/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Symbols: one flat table, the same in memory and on disk, sorted by name, with a second index
 * by address.
 */
#include "../base/bisect.h"
#include "data.h"
#include "derive.h"
#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC "vlens-kc"

struct symbol {
	int64_t value; /* relative to the base, unless absolute */
	uint32_t name; /* offset in names */
	uint32_t absolute;
};

/*
 * Followed by symbols[nr], by_address[nr] (indices, in the order of the values, the absolute
 * symbols last), names[names_size].
 */
struct table {
	char magic[8];
	uint32_t nr, nr_placed, names_size, bare;
	uint64_t fields;  /* vl_fields_hash() of the build that made it */
	uint64_t few;	  /* of a kernel of few symbols: its vl_data_hash(); else 0 */
	uint64_t derived; /* of one whose fields were derived: its vl_derive_hash(); else 0 */
	struct vl_layout layout;
} __attribute__((aligned(8))); /* the alignment of the symbols behind it */

struct vl_kernel {
	uint64_t base;
	struct table *t;
	size_t size;
	bool mapped;
	const struct symbol *symbols;
	const uint32_t *by_address;
	const char *names;
};

/* Smaller values are per-CPU offsets or plain numbers, which KASLR does not move. */
#define KERNEL_HALF 0xffff800000000000UL

static size_t table_size(uint32_t nr, uint32_t names_size)
{
	return sizeof(struct table) + (size_t)nr * (sizeof(struct symbol) + sizeof(uint32_t)) +
	       names_size;
}

static void set_parts(struct vl_kernel *k)
{
	k->symbols = (const struct symbol *)(k->t + 1);
	k->by_address = (const uint32_t *)(k->symbols + k->t->nr);
	k->names = (const char *)(k->by_address + k->t->nr);
}

static const char *name_of(const struct vl_kernel *k, const struct symbol *s)
{
	/* The table comes from a file and can be damaged: check the offset. */
	return s->name < k->t->names_size ? k->names + s->name : "";
}

static uint64_t value_of(const struct vl_kernel *k, const struct symbol *s)
{
	return s->absolute ? (uint64_t)s->value : k->base + (uint64_t)s->value;
}

/* A sort key: most comparisons end within the first 8 bytes of the names. */
struct order {
	uint64_t prefix;
	uint32_t name, symbol;
};

static uint64_t prefix_of(const char *name)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++) {
		v = v << 8 | (unsigned char)*name;
		name += *name != 0;
	}
	return v;
}

static int by_name(const void *a, const void *b, void *names)
{
	const struct order *x = a, *y = b;
	int order;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	order = strcmp((char *)names + x->name, (char *)names + y->name);
	/* Symbols of the same name stay in the order of their addresses. */
	return order ? order : x->symbol < y->symbol ? -1 : 1;
}

/* Is it a function of the timekeeping code, which reads a clocksource? */
static bool reads_clock(const char *name)
{
	if (!strstr(name, "time"))
		return !strncmp(name, "get_device_system_crosststamp", 29);
	return strstr(name, "ktime_") || strstr(name, "timekeeping_") ||
	       strstr(name, "getboottime");
}

/*
 * rdtsc_ordered() (arch/x86/include/asm/tsc.h) is rdtsc, lfence; rdtsc or rdtscp, at the start
 * of a slot of 5 bytes. Soon after, the halves of the result are joined: shl $0x20 of the
 * register that has the upper one.
 */
static bool is_tsc_read(const unsigned char *p, size_t left)
{
	size_t n = !memcmp(p, "\x0f\xae\xe8\x0f\x31", 5) ? 5 :
		   !memcmp(p, "\x0f\x31", 2)		 ? 2 :
		   !memcmp(p, "\x0f\x01\xf9", 3)	 ? 3 :
							   0;

	for (size_t i = n; n && i + 4 <= left && i < n + 16; i++)
		if ((p[i] & 0xfe) == 0x48 && p[i + 1] == 0xc1 && (p[i + 2] & 0xf8) == 0xe0 &&
		    p[i + 3] == 0x20)
			return true;
	return false;
}

size_t vl_kernel_clocks(const struct vl_kernel *k, uint64_t va, size_t len, struct vl_function *ret,
			size_t max)
{
	size_t nr = 0;

	for (uint32_t i = 0; i < k->t->nr && nr < max; i++) {
		const struct symbol *s = &k->symbols[i];
		uint64_t start, end;

		if (s->absolute || !reads_clock(name_of(k, s)))
			continue;
		start = value_of(k, s);
		end = vl_symbol_after(k, start);
		if (start >= va && end >= start && end - va <= len && end - start <= 4096)
			ret[nr++] = (struct vl_function){ start, end - start };
	}
	return nr;
}

void vl_tsc_find(const unsigned char *code, size_t len, uint64_t va, uint64_t ret[VL_MAX_TSC_SITES])
{
	size_t nr = 0;

	while (nr < VL_MAX_TSC_SITES && ret[nr])
		nr++;
	for (size_t at = 0; at + 8 < len && nr < VL_MAX_TSC_SITES; at++) {
		if (!is_tsc_read(code + at, len - at))
			continue;
		ret[nr++] = va + at;
		at += 4;
	}
}

void vl_kernel_find_tsc_sites(const struct vl_kernel *k, const unsigned char *image, size_t len,
			      uint64_t va, uint64_t ret[VL_MAX_TSC_SITES])
{
	struct vl_function clocks[VL_MAX_CLOCKS];
	size_t nr = vl_kernel_clocks(k, va, len, clocks, VL_MAX_CLOCKS);

	memset(ret, 0, VL_MAX_TSC_SITES * sizeof(*ret));
	for (size_t i = 0; i < nr; i++)
		vl_tsc_find(image + (clocks[i].va - va), clocks[i].len, clocks[i].va, ret);
}

struct vl_error *vl_kernel_create(const struct vl_symbols *from, const struct vl_layout *layout,
				  struct vl_kernel **ret)
{
	struct vl_kernel *k = calloc(1, sizeof(*k));
	struct order *order = malloc(from->nr * sizeof(*order));
	struct symbol *symbols;
	uint32_t *index;

	if (k) {
		k->size = table_size(from->nr, (uint32_t)from->text_len);
		k->t = calloc(1, k->size);
	}
	if (!k || !k->t || !order) {
		vl_kernel_destroy(k);
		free(order);
		return vl_error_nomem();
	}
	memcpy(k->t->magic, MAGIC, sizeof(k->t->magic));
	k->t->nr = from->nr;
	k->t->names_size = (uint32_t)from->text_len;
	k->t->fields = vl_fields_hash();
	k->t->layout = *layout;
	k->base = from->base;
	set_parts(k);
	memcpy((char *)k->names, from->text, from->text_len);
	for (uint32_t i = 0; i < from->nr; i++)
		order[i] = (struct order){ prefix_of(k->names + from->name_at[i]), from->name_at[i],
					   i };
	qsort_r(order, from->nr, sizeof(*order), by_name, (char *)k->names);
	symbols = (struct symbol *)k->symbols;
	index = (uint32_t *)k->by_address;
	for (uint32_t i = 0; i < from->nr; i++) {
		uint64_t value = from->addresses[order[i].symbol];
		bool absolute = value < KERNEL_HALF;

		symbols[i] = (struct symbol){ (int64_t)(absolute ? value : value - k->base),
					      order[i].name, absolute };
		k->t->nr_placed += !absolute;
	}
	/* @from is in the order of addresses, so the absolute symbols come first. */
	for (uint32_t i = 0; i < from->nr; i++) {
		uint32_t at = order[i].symbol, nr_absolute = from->nr - k->t->nr_placed;

		index[at < nr_absolute ? k->t->nr_placed + at : at - nr_absolute] = i;
	}
	free(order);
	*ret = k;
	return NULL;
}

void vl_kernel_destroy(struct vl_kernel *k)
{
	if (!k)
		return;
	if (k->mapped)
		munmap(k->t, k->size);
	else
		free(k->t);
	free(k);
}

struct vl_error *vl_kernel_load_btf(struct vl_target *t, const char *key, void **ret,
				    size_t *len_ret)
{
	char *text;
	struct vl_error *err = vl_kept_load(t, VL_KEPT_BTF, key, &text, len_ret);

	if (!err)
		*ret = text;
	return err;
}

/* A truncated or overwritten file must not make us read past its end. */
static bool table_sane(const struct table *t, size_t size)
{
	return size >= sizeof(*t) && !memcmp(t->magic, MAGIC, sizeof(t->magic)) &&
	       t->fields == vl_fields_hash() && (!t->few || t->few == vl_data_hash()) &&
	       (!t->derived || t->derived == vl_derive_hash()) && t->nr_placed <= t->nr &&
	       t->names_size && table_size(t->nr, t->names_size) == size &&
	       !((const char *)t)[size - 1];
}

const void *vl_kernel_bytes(const struct vl_kernel *k, size_t *len_ret)
{
	*len_ret = k->size;
	return k->t;
}

void vl_kernel_map_part(int fd, uint64_t at, size_t size, uint64_t base, struct vl_kernel **ret)
{
	void *p = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, (off_t)at) : MAP_FAILED;
	struct vl_kernel *k;

	*ret = NULL;
	if (p == MAP_FAILED)
		return;
	k = calloc(1, sizeof(*k));
	if (!k || !table_sane(p, size)) {
		free(k);
		munmap(p, size);
		return;
	}
	k->t = p;
	k->size = size;
	k->mapped = true;
	k->base = base;
	set_parts(k);
	*ret = k;
}

void vl_kernel_map(int fd, size_t size, uint64_t base, struct vl_kernel **ret)
{
	vl_kernel_map_part(fd, 0, size, base, ret);
	close(fd);
}

void vl_kernel_load(struct vl_target *t, const char *key, uint64_t base, struct vl_kernel **ret)
{
	size_t size;
	int fd;

	*ret = NULL;
	if (!vl_discard(vl_kept_open(t, VL_KEPT_KERNEL, key, &fd, &size)))
		vl_kernel_map(fd, size, base, ret);
}

/* The first symbol whose name is not less than @name. Copies with a suffix follow it. */
static size_t first_not_less(const struct vl_kernel *k, const char *name)
{
	return vl_bisect(i, k->t->nr, strcmp(name_of(k, &k->symbols[i]), name) < 0);
}

const char *vl_symbol_name(const struct vl_kernel *k, size_t i)
{
	return i < k->t->nr ? name_of(k, &k->symbols[i]) : NULL;
}

const char *vl_symbol_placed(const struct vl_kernel *k, size_t i, uint64_t *address_ret)
{
	size_t nr_absolute = k->t->nr - k->t->nr_placed;
	uint32_t at;

	if (i >= k->t->nr)
		return NULL;
	at = k->by_address[i < nr_absolute ? k->t->nr_placed + i : i - nr_absolute];
	if (at >= k->t->nr)
		return NULL;
	*address_ret = value_of(k, &k->symbols[at]);
	return name_of(k, &k->symbols[at]);
}

bool vl_symbol_is(const struct vl_kernel *k, const char *name)
{
	size_t i = first_not_less(k, name);

	return i < k->t->nr && !strcmp(name_of(k, &k->symbols[i]), name);
}

uint64_t vl_symbol_nth(const struct vl_kernel *k, const char *name, size_t nth)
{
	size_t lo = first_not_less(k, name), len = strlen(name);

	for (; lo < k->t->nr; lo++) {
		const char *n = name_of(k, &k->symbols[lo]);

		if (strncmp(n, name, len))
			break;
		/* ".cold" is another part of the same function. */
		if (n[len] && (n[len] != '.' || strstr(n + len, ".cold")))
			continue;
		if (!nth--)
			return value_of(k, &k->symbols[lo]);
	}
	return 0;
}

uint64_t vl_symbol(const struct vl_kernel *k, const char *name)
{
	return vl_symbol_nth(k, name, 0);
}

bool vl_kernel_is_up(const struct vl_kernel *k)
{
	/* The second is code, which a kernel with symbols of its code only has, too. */
	return !vl_symbol(k, "__per_cpu_offset") && !vl_symbol(k, "start_secondary");
}

/* Index in by_address of the first placed symbol above @va. */
static size_t above(const struct vl_kernel *k, uint64_t va)
{
	return vl_bisect(i, k->t->nr_placed,
			 k->by_address[i] < k->t->nr &&
				 value_of(k, &k->symbols[k->by_address[i]]) <= va);
}

uint64_t vl_symbol_after(const struct vl_kernel *k, uint64_t va)
{
	size_t i = above(k, va);

	if (i >= k->t->nr_placed || k->by_address[i] >= k->t->nr)
		return 0;
	return value_of(k, &k->symbols[k->by_address[i]]);
}

const char *vl_symbol_at(const struct vl_kernel *k, uint64_t va, uint64_t *offset_ret)
{
	size_t i = above(k, va);

	if (!i || k->by_address[i - 1] >= k->t->nr)
		return NULL;
	*offset_ret = va - value_of(k, &k->symbols[k->by_address[i - 1]]);
	return name_of(k, &k->symbols[k->by_address[i - 1]]);
}

const char *vl_symbol_percpu(const struct vl_kernel *k, uint64_t offset, uint64_t *offset_ret)
{
	uint32_t first = k->t->nr_placed;
	size_t i;

	if (offset >= KERNEL_HALF)
		return vl_symbol_at(k, offset, offset_ret);
	i = vl_bisect(n, k->t->nr - first,
		      k->by_address[first + n] < k->t->nr &&
			      value_of(k, &k->symbols[k->by_address[first + n]]) <= offset);
	if (!i || k->by_address[first + i - 1] >= k->t->nr)
		return NULL;
	*offset_ret = offset - value_of(k, &k->symbols[k->by_address[first + i - 1]]);
	return name_of(k, &k->symbols[k->by_address[first + i - 1]]);
}

void vl_kernel_set_layout(struct vl_kernel *k, const struct vl_layout *layout)
{
	k->t->layout = *layout;
	k->t->derived = layout->derived ? vl_derive_hash() : 0;
}

void vl_kernel_set_few(struct vl_kernel *k, bool bare)
{
	k->t->few = vl_data_hash();
	k->t->bare = bare;
}

bool vl_kernel_is_bare(const struct vl_kernel *k)
{
	return k->t->bare;
}

bool vl_kernel_has_few(const struct vl_kernel *k)
{
	return k->t->few;
}

const struct vl_layout *vl_kernel_layout(const struct vl_kernel *k)
{
	return &k->t->layout;
}

uint64_t vl_kernel_timekeeper(const struct vl_kernel *k)
{
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t at = vl_symbol(k, "tk_core");

	/* Newer kernels have several timekeepers (TIMEKEEPERS_MAX); the core one is the first. */
	if (!at)
		at = vl_symbol(k, "timekeeper_data");
	return !at || l->timekeeper == VL_NO_FIELD ? 0 : at + (uint64_t)l->timekeeper;
}
