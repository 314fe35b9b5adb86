/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "system.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "../mem/paging32.h"

#define EFER_LMA (1UL << 10)
#define GATE_PAGE_FAULT 14
/* Bytes of the image that are searched below and above the handler; kernels have up to 60 MiB. */
#define REACH (64UL << 20)
/* Bytes read at once; a banner may cross two of them. */
#define CHUNK (64UL << 10)
#define BANNER_MAX 128

/* The address space of a vCPU. */
struct space {
	vl_read_phys_fn read;
	void *ctx;
	bool narrow; /* 32-bit */
	struct vl_pgtable pt;
	struct vl_pgtable32 pt32;
};

bool vl_system_read(void *target, uint64_t gpa, void *buf, size_t len)
{
	return !vl_discard(vl_target_read(target, gpa, buf, len));
}

/* vl_read_entry_fn */
static bool read_entry(void *space, uint64_t gpa, uint64_t *ret)
{
	const struct space *s = space;

	return s->read(s->ctx, gpa, ret, sizeof(*ret));
}

static bool translate(struct space *s, uint64_t va, struct vl_xlat *ret)
{
	return s->narrow ? vl_translate32(&s->pt32, read_entry, s, va, ret) :
			   vl_translate(&s->pt, read_entry, s, va, ret);
}

static bool read_virt(struct space *s, uint64_t va, void *buf, size_t len)
{
	char *out = buf;

	while (len) {
		struct vl_xlat x;
		size_t n;

		if (!translate(s, va, &x))
			return false;
		n = x.size - (va & (x.size - 1));
		if (n > len)
			n = len;
		if (!s->read(s->ctx, x.gpa, out, n))
			return false;
		out += n;
		va += n;
		len -= n;
	}
	return true;
}

/*
 * Read the page-fault gate. Intel SDM, volume 3, 6.11 and 6.14.1: 8 bytes, or 16 in long mode;
 * byte 5 has the present bit, 0, and the type.
 */
static bool read_gate(struct space *s, const struct vl_vcpu *v, uint64_t *handler_ret)
{
	size_t size = s->narrow ? 8 : 16;
	unsigned char g[16] = { 0 };

	if (!read_virt(s, v->idt_base + GATE_PAGE_FAULT * size, g, size))
		return false;
	*handler_ret = (uint64_t)g[0] | (uint64_t)g[1] << 8 | (uint64_t)g[6] << 16 |
		       (uint64_t)g[7] << 24 | (uint64_t)g[8] << 32 | (uint64_t)g[9] << 40 |
		       (uint64_t)g[10] << 48 | (uint64_t)g[11] << 56;
	/* An interrupt or trap gate. */
	return (g[5] & 0x9e) == 0x8e;
}

/*
 * Find the address space of @v, and its page-fault handler. Where the source of the registers has
 * no EFER, the gate decides: in long mode the tables that lead to it have other forms.
 */
static bool enter(struct space *s, const struct vl_vcpu *v, uint64_t *handler_ret)
{
	bool maybe32 = !(v->efer & EFER_LMA) && !((v->idt_base | v->gdt_base | v->rip) >> 32);
	/* Long mode needs PAE. */
	bool maybe64 = (v->cr4 & X86_CR4_PAE) && (!v->efer || (v->efer & EFER_LMA));
	struct vl_xlat x;

	if (!(v->cr0 & X86_CR0_PG))
		return false;
	s->pt = vl_pgtable(v->cr3, v->cr4);
	s->pt32 = vl_pgtable32(v->cr3, v->cr4);
	s->narrow = true;
	if (maybe32 && read_gate(s, v, handler_ret) && translate(s, *handler_ret, &x))
		return true;
	s->narrow = false;
	return maybe64 && read_gate(s, v, handler_ret) && translate(s, *handler_ret, &x);
}

/* What the image of a system has, followed by a release that begins with a digit. */
static const struct {
	const char *text, *name;
} banners[] = {
	/* Linux comes first, because its own texts have the names of the others. */
	{ "Linux version ", "Linux" },	    { "FreeBSD ", "FreeBSD" },
	{ "OpenBSD ", "OpenBSD" },	    { "NetBSD ", "NetBSD" },
	{ "DragonFly v", "DragonFly BSD" },
};

struct search {
	struct space space;
	size_t rank; /* index in banners of the best one; ARRAY_SIZE(banners): none */
	bool windows;
	struct vl_system *system;
};

/* Copy the release at @p, which ends at @end. */
static void take_release(const char *p, const char *end, char *ret, size_t size)
{
	size_t n = 0;

	while (p < end && n < size - 1 && (isalnum((unsigned char)*p) || strchr("._+~-", *p)) && *p)
		ret[n++] = *p++;
	ret[n] = '\0';
}

static void find_banners(struct search *f, const char *buf, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(banners) && i < f->rank; i++) {
		size_t n = strlen(banners[i].text);
		const char *p = buf;

		while ((p = memmem(p, len - (size_t)(p - buf), banners[i].text, n))) {
			/* The last bytes are searched again with those that follow. */
			if (p + BANNER_MAX > buf + len)
				break;
			p += n;
			if (!isdigit((unsigned char)*p))
				continue;
			f->rank = i;
			take_release(p, buf + len, f->system->release, sizeof(f->system->release));
			break;
		}
	}
}

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * Is there the kernel of Windows in the image at @va: a PE file whose export directory has its
 * name? PE format: the DOS header leads to the signature, the COFF header of 20 bytes, and the
 * optional header, whose data directories begin at 96, or 112 in the 64-bit form.
 */
static bool is_windows(struct space *s, uint64_t va)
{
	static const char kernel[] = "ntoskrnl.exe";
	unsigned char dos[64], pe[24 + 116], dir[16];
	char name[sizeof(kernel)];
	uint32_t at, exports;

	if (!read_virt(s, va, dos, sizeof(dos)) || memcmp(dos, "MZ", 2))
		return false;
	at = get32(dos + 60);
	if (at > VL_PAGE_SIZE || !read_virt(s, va + at, pe, sizeof(pe)) || memcmp(pe, "PE\0", 4))
		return false;
	exports = get32(pe + 24 + (pe[24 + 1] == 2 ? 112 : 96));
	return exports && read_virt(s, va + exports, dir, sizeof(dir)) &&
	       read_virt(s, va + get32(dir + 12), name, sizeof(name)) &&
	       !memcmp(name, kernel, sizeof(kernel));
}

/* Search the @len bytes at @va, which are contiguous at @gpa. */
static bool search_run(struct search *f, char *buf, uint64_t va, uint64_t gpa, uint64_t len,
		       size_t *kept)
{
	while (len) {
		size_t n = len < CHUNK ? len : CHUNK, whole;

		if (!f->space.read(f->space.ctx, gpa, buf + *kept, n))
			return false;
		whole = *kept + n;
		for (uint64_t page = va; page < va + n && !f->windows; page += VL_PAGE_SIZE)
			f->windows = !memcmp(buf + *kept + (page - va), "MZ", 2) &&
				     is_windows(&f->space, page);
		find_banners(f, buf, whole);
		*kept = whole < BANNER_MAX ? whole : BANNER_MAX;
		memmove(buf, buf + whole - *kept, *kept);
		va += n;
		gpa += n;
		len -= n;
	}
	return true;
}

/* Search the image around @handler. */
static void search(struct search *f, uint64_t handler, struct vl_deadline deadline)
{
	uint64_t last = f->space.narrow ? UINT32_MAX : UINT64_MAX;
	uint64_t page = handler & VL_PAGE_MASK, va = page > REACH ? page - REACH : 0;
	uint64_t end = last - page > REACH ? page + REACH : last & VL_PAGE_MASK;
	_cleanup_free_ char *buf = malloc(BANNER_MAX + CHUNK);
	size_t kept = 0;

	while (buf && va < end && f->rank && !vl_late(deadline)) {
		struct vl_xlat x;
		uint64_t n = VL_PAGE_SIZE;

		if (translate(&f->space, va, &x)) {
			n = x.size - (va & (x.size - 1));
			if (n > end - va)
				n = end - va;
			if (!search_run(f, buf, va, x.gpa, n, &kept))
				kept = 0;
		} else {
			kept = 0;
		}
		va += n;
	}
}

bool vl_system_find(vl_read_phys_fn read, void *ctx, const struct vl_vcpu *v,
		    struct vl_deadline deadline, struct vl_system *ret)
{
	struct search f = {
		.space = { .read = read, .ctx = ctx },
		.rank = ARRAY_SIZE(banners),
		.system = ret,
	};
	uint64_t handler;

	*ret = (struct vl_system){ .name = NULL };
	if (!enter(&f.space, v, &handler))
		return false;
	ret->is_32_bit = f.space.narrow;
	ret->pae = f.space.narrow && f.space.pt32.pae;
	search(&f, handler, deadline);
	if (f.windows)
		ret->name = "Windows";
	else if (f.rank < ARRAY_SIZE(banners))
		ret->name = banners[f.rank].name;
	if (f.windows)
		ret->release[0] = '\0';
	return ret->name || ret->is_32_bit;
}

struct vl_error *vl_system_error(const struct vl_system *s)
{
	bool linux_kernel = s->name && !strcmp(s->name, "Linux");
	const char *mode = !s->is_32_bit ? "" : s->pae ? "PAE" : "no PAE";
	bool more = *s->release || *mode;
	struct vl_error *err;

	if (linux_kernel && !s->is_32_bit)
		return NULL;
	if (!s->name)
		err = vl_error_new(VL_ERR_KERNEL, "the guest runs in 32-bit mode (%s)", mode);
	else
		err = vl_error_new(VL_ERR_KERNEL, "the guest runs %s%s%s%s%s%s%s%s",
				   s->is_32_bit ? "a 32-bit " : "", s->name,
				   s->is_32_bit ? linux_kernel ? " kernel" : " system" : "",
				   more ? " (" : "", s->release, *s->release && *mode ? ", " : "",
				   mode, more ? ")" : "");
	return vl_error_hint(err, "only 64-bit Linux guests are understood; vmem shows its RAM");
}

bool vl_system_mark(vl_read_phys_fn read, void *ctx, const struct vl_vcpu *v, uint64_t *ret)
{
	struct space s = { .read = read, .ctx = ctx };
	unsigned char code[VL_PAGE_SIZE];
	uint64_t handler;

	if (!enter(&s, v, &handler) || !read_virt(&s, handler & VL_PAGE_MASK, code, sizeof(code)))
		return false;
	*ret = vl_hash(vl_hash(VL_HASH, code, sizeof(code)), &handler, sizeof(handler));
	return true;
}
