/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares a guest's text with the image: bytes that differ must be a legal form of a site. */
#include <emmintrin.h>

#include "../base/array.h"
#include "code.h"
#include "forms.h"
#include "insn.h"
#include "internal.h"

/* Differing bytes at most this far apart are one finding. */
#define GAP 8

static const unsigned char nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };

struct check {
	struct vl_trust_context context;
	size_t at, len; /* the range, in bytes from the image's start */
	size_t moved;	/* the end of the bytes of the image that context.own has */
	const unsigned char *guest;
	unsigned char *out; /* or NULL */
	vl_trust_found_fn *found;
	void *ctx;
};

static void report(const struct check *c, size_t at, size_t len, enum vl_trust_class class,
		   enum vl_trust_kind kind, const unsigned char *guest)
{
	const struct vl_trust *t = c->context.t;
	struct vl_trust_finding f = {
		.va = t->va + at, .len = (uint32_t)len, .class = class, .kind = kind
	};
	size_t shown = len < VL_TRUST_SHOWN ? len : VL_TRUST_SHOWN;
	struct vl_insn i;

	vl_trust_copy(t, f.va, f.expected, shown);
	memcpy(f.found, guest, shown);
	if (vl_insn(f.found, shown, f.va, &i))
		f.target = i.target;
	c->found(c->ctx, &f);
}

/* Copy @len @bytes to offset @at of the trusted bytes, as far as that is in the range. */
static void give(const struct check *c, size_t at, const unsigned char *bytes, size_t len)
{
	size_t skip = at < c->at ? c->at - at : 0, end = c->at + c->len;

	if (!c->out || skip >= len || at + skip >= end)
		return;
	if (len > end - at)
		len = end - at;
	memcpy(c->out + (at + skip - c->at), bytes + skip, len - skip);
}

static unsigned differs_16(const unsigned char *a, const unsigned char *b)
{
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)a);
	__m128i y = _mm_loadu_si128((const __m128i *)(const void *)b);

	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) ^ 0xffff;
}

/*
 * The index of the first byte from @at on in which @a and @b differ; @len: none. Bytes that differ
 * are near each other: to call memcmp() for each takes longer.
 */
static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t at,
			       size_t len)
{
	unsigned differs;

	for (; at < len && len - at >= 16; at += 16) {
		differs = differs_16(a + at, b + at);
		if (differs)
			return at + (unsigned)__builtin_ctz(differs);
	}
	while (at < len && a[at] == b[at])
		at++;
	return at;
}

/*
 * Report the bytes from @at on, the first of which differs, and which belong to no site up to @end.
 * Returns the end of what was reported: of bytes that are not far apart.
 */
static size_t report_text(const struct check *c, size_t at, size_t end)
{
	const unsigned char *own = c->context.own + (at - c->context.own_at);
	const unsigned char *guest = c->guest + (at - c->at);
	size_t len = end - at, last = 0, next = 0;

	while (next < len && next - last <= GAP) {
		last = next;
		next = first_difference(own, guest, next + 1, len);
	}
	report(c, at, last + 1, VL_TRUST_TEXT, VL_TRUST_CHANGED, guest);
	return at + last + 1;
}

/*
 * Judge the sites of @cluster that begin at offset @at and are at most @room bytes long. Returns
 * the first form that is not illegal. *@ret is its site, else the first such site, or NULL.
 */
static enum vl_trust_form judge(const struct check *c, const struct vl_trust_cluster *cluster,
				size_t at, const unsigned char *guest, size_t room,
				const struct vl_trust_site **ret)
{
	const struct vl_trust *t = c->context.t;
	const struct vl_trust_site *s = t->sites + cluster->first, *end = s + cluster->nr;
	enum vl_trust_form form;

	*ret = NULL;
	for (; s < end && s->at <= at; s++) {
		if (s->at != at || s->len > room)
			continue;
		if (!*ret)
			*ret = s;
		form = vl_trust_form(&c->context, s, guest, t->va + at);
		if (form != VL_TRUST_ILLEGAL) {
			*ret = s;
			return form;
		}
	}
	return VL_TRUST_ILLEGAL;
}

/*
 * Has the guest switched the site @s at offset @at, which has two legal forms? A kernel before 5.13
 * chooses its nops at boot ("x86: Remove dynamic NOP selection").
 */
static bool is_switched(const struct check *c, const struct vl_trust_site *s, size_t at,
			const unsigned char *guest, const unsigned char *own)
{
	const uint64_t va = c->context.t->va + at;
	const struct vl_code is = { guest, s->len, va }, was = { own, s->len, va };

	return s->class == VL_TRUST_JUMP_LABEL && memcmp(guest, own, s->len) &&
	       vl_code_is_nop(&is, 0, false) != vl_code_is_nop(&was, 0, false) &&
	       vl_trust_switch_at(c->context.t, va);
}

/* What forms are reported as. */
static const enum vl_trust_kind kinds[] = {
	[VL_TRUST_ATTACHMENT] = VL_TRUST_ATTACHED,
	[VL_TRUST_BREAK] = VL_TRUST_POKE,
	[VL_TRUST_UPDATING] = VL_TRUST_UPDATE,
};

/* Judge a whole cluster; @guest has its bytes. */
static void check_cluster(const struct check *c, const struct vl_trust_cluster *cluster,
			  const unsigned char *guest)
{
	const unsigned char *own = c->context.own + (cluster->at - c->context.own_at);
	size_t i = 0, differs;

	while (i < cluster->len) {
		size_t at = cluster->at + i, room = cluster->len - i;
		const struct vl_trust_site *s;
		enum vl_trust_form form = judge(c, cluster, at, guest + i, room, &s);

		switch (form) {
		case VL_TRUST_LEGAL:
			if (is_switched(c, s, at, guest + i, own + i))
				report(c, at, s->len, s->class, VL_TRUST_SWITCHED, guest + i);
			else
				give(c, at, guest + i, s->len);
			i += s->len;
			break;
		case VL_TRUST_ATTACHMENT:
		case VL_TRUST_BREAK:
		case VL_TRUST_UPDATING:
			if (s->class == VL_TRUST_TRACE)
				give(c, at, nop5, sizeof(nop5));
			report(c, at, s->len, s->class, kinds[form], guest + i);
			i += s->len;
			break;
		case VL_TRUST_ILLEGAL:
			/* A later site of the cluster may explain the difference. */
			if (guest[i] == own[i]) {
				i++;
				break;
			}
			differs = i;
			while (s == NULL && i && guest[i - 1] == own[i - 1] && differs - i < 16) {
				i--;
				judge(c, cluster, cluster->at + i, guest + i, cluster->len - i, &s);
			}
			at = cluster->at + i;
			if (s && i + s->len > differs) {
				if (s->class == VL_TRUST_TRACE)
					give(c, at, nop5, sizeof(nop5));
				report(c, at, s->len, s->class, VL_TRUST_CHANGED, guest + i);
				i += s->len;
			} else {
				report(c, cluster->at + differs, 1, VL_TRUST_TEXT, VL_TRUST_CHANGED,
				       guest + differs);
				i = differs + 1;
			}
			break;
		}
	}
}

/*
 * Judge @cluster, which may reach over the ends of the range. All of it is among context.own. A
 * running guest may change the bytes meanwhile, so they are copied first.
 */
static void visit(const struct check *c, const struct vl_trust_cluster *cluster)
{
	const struct vl_trust_memory *m = c->context.memory;
	unsigned char buf[VL_TRUST_CLUSTER_MAX];
	size_t end = cluster->at + cluster->len;

	if (cluster->at >= c->at && end <= c->at + c->len) {
		memcpy(buf, c->guest + (cluster->at - c->at), cluster->len);
		check_cluster(c, cluster, buf);
		return;
	}
	/* If memory cannot be read, bytes outside of the range count as equal. */
	memcpy(buf, c->context.own + (cluster->at - c->context.own_at), cluster->len);
	if (!m->read(m->ctx, c->context.t->va + cluster->at, buf, cluster->len))
		for (size_t i = 0; i < cluster->len; i++)
			if (cluster->at + i - c->at < c->len)
				buf[i] = c->guest[cluster->at + i - c->at];
	check_cluster(c, cluster, buf);
}

/* The forms of most sites of a running kernel. */
static const struct {
	uint8_t class, len;
	uint64_t code; /* its bytes, the lowest first */
} usual[] = {
	{ VL_TRUST_TRACE, 5, 0x0000441f0f },
	{ VL_TRUST_RETURN, 5, 0xccccccccc3 },
	{ VL_TRUST_LOCK, 1, 0x3e },
};

/* Is @cluster one site in the range that has its usual form? It is legal: forms.c. */
static bool is_usual(const struct check *c, const struct vl_trust_cluster *cluster)
{
	const struct vl_trust_site *s = c->context.t->sites + cluster->first;
	uint64_t code;

	if (cluster->nr != 1 || cluster->at < c->at || cluster->at + sizeof(code) > c->at + c->len)
		return false;
	memcpy(&code, c->guest + (s->at - c->at), sizeof(code));
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++) {
		if (usual[i].class != s->class)
			continue;
		if (usual[i].len != s->len || (code & ((1UL << 8 * s->len) - 1)) != usual[i].code)
			return false;
		give(c, s->at, (const unsigned char *)&code, s->len);
		return true;
	}
	return false;
}

/* Compare the range from offset @at on, as far as the image's bytes were moved. Returns its end. */
static size_t compare_moved(const struct check *c, size_t at)
{
	const struct vl_trust *t = c->context.t;
	size_t n = vl_trust_cluster_from(t, at), end = c->moved;

	if (end > c->at + c->len)
		end = c->at + c->len;
	while (at < end && (at += first_difference(c->context.own + (at - c->context.own_at),
						   c->guest + (at - c->at), 0, end - at)) < end) {
		const struct vl_trust_cluster *cluster;
		size_t next = c->context.own_at + c->context.own_len;

		while (n < t->nr_clusters && t->clusters[n].at + t->clusters[n].len <= at)
			n++;
		cluster = t->clusters + n;
		if (n < t->nr_clusters && cluster->at <= at) {
			if (!is_usual(c, cluster))
				visit(c, cluster);
			at = cluster->at + cluster->len;
			continue;
		}
		if (n < t->nr_clusters && cluster->at < next)
			next = cluster->at;
		if (next > c->at + c->len)
			next = c->at + c->len;
		at = report_text(c, at, next);
	}
	return at;
}

/* Bytes that are moved at a time. A cluster may begin before them and end behind them. */
#define MOVED 16384
#define AROUND VL_TRUST_CLUSTER_MAX

void vl_trust_compare(const struct vl_trust *t, const struct vl_trust_memory *memory, size_t at,
		      const void *guest, size_t len, void *out, vl_trust_found_fn *found, void *ctx)
{
	unsigned char buf[AROUND + MOVED + AROUND];
	struct check c = {
		.context = { .t = t, .memory = memory },
		.at = at,
		.len = len,
		.guest = guest,
		.out = out,
		.found = found,
		.ctx = ctx,
	};
	size_t end = at + len;

	while (at < end) {
		size_t from = at < AROUND ? 0 : at - AROUND, to = at + MOVED + AROUND;

		c.moved = at + MOVED;
		if (to > end + AROUND)
			to = end + AROUND;
		if (to > t->len)
			to = t->len;
		c.context.own = vl_trust_own(t, from, to - from, buf);
		c.context.own_at = from;
		c.context.own_len = to - from;
		if (out)
			memcpy(c.out + (at - c.at), c.context.own + (at - from),
			       (to < end ? to : end) - at);
		at = compare_moved(&c, at);
	}
}

struct vl_error *vl_trust_check(const struct vl_trust *t, const struct vl_trust_memory *memory,
				uint64_t va, const void *guest, size_t len, void *out,
				vl_trust_found_fn *found, void *ctx)
{
	size_t at = va - t->va;

	if (!t->placed || at < t->text.at || at - t->text.at > t->text.len ||
	    len > t->text.len - (at - t->text.at))
		return vl_error_new(VL_ERR_ARG,
				    "the range is not in the text of the trusted image");
	vl_trust_compare(t, memory, at, guest, len, out, found, ctx);
	return NULL;
}

const char *vl_trust_kind_name(enum vl_trust_kind kind)
{
	static const char *const names[] = {
		[VL_TRUST_CHANGED] = "changed",	  [VL_TRUST_ATTACHED] = "attached",
		[VL_TRUST_POKE] = "poke",	  [VL_TRUST_UPDATE] = "poke",
		[VL_TRUST_SWITCHED] = "switched",
	};

	return names[kind];
}
