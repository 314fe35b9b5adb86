/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares a guest's text with the image: bytes that differ must be a legal form of a site. */
#include "forms.h"
#include "insn.h"
#include "internal.h"

/* Differing bytes at most this far apart are one finding. */
#define GAP 8

static const unsigned char nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };

struct check {
	struct vl_trust_look look;
	size_t at, len; /* the range, in bytes from the image's start */
	const unsigned char *guest;
	unsigned char *out; /* or NULL */
	vl_trust_found_fn *found;
	void *ctx;
};

static void report(const struct check *c, size_t at, size_t len, enum vl_trust_class class,
		   enum vl_trust_kind kind, const unsigned char *guest)
{
	const struct vl_trust *t = c->look.t;
	struct vl_trust_finding f = {
		.va = t->va + at, .len = (uint32_t)len, .class = class, .kind = kind
	};
	size_t shown = len < VL_TRUST_SHOWN ? len : VL_TRUST_SHOWN;
	struct vl_insn i;

	memcpy(f.expected, t->bytes + at, shown);
	memcpy(f.found, guest, shown);
	if (vl_insn(guest, len, f.va, &i))
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

/* The index of the first byte from @at on in which @a and @b differ; @len: none. */
static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t at,
			       size_t len)
{
	/* Bytes that differ are near each other: to call memcmp() for each takes longer. */
	for (; at < len && len - at >= 4 * sizeof(uint64_t); at += 4 * sizeof(uint64_t)) {
		uint64_t differs = 0;

		for (size_t i = 0; i < 4; i++)
			differs |= vl_trust_u64(a + at + 8 * i) ^ vl_trust_u64(b + at + 8 * i);
		if (differs)
			break;
	}
	for (; at < len && len - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		uint64_t differs = vl_trust_u64(a + at) ^ vl_trust_u64(b + at);

		if (differs)
			return at + (size_t)__builtin_ctzl(differs) / 8;
	}
	while (at < len && a[at] == b[at])
		at++;
	return at;
}

/* Report the bytes from @at to @end, which belong to no site, in pieces. */
static void report_text(const struct check *c, size_t at, size_t end, const unsigned char *guest)
{
	const unsigned char *own = c->look.t->bytes + at;
	size_t len = end - at, i = first_difference(own, guest, 0, len);

	while (i < len) {
		size_t last = i, next = i;

		while (next < len && next - last <= GAP) {
			last = next;
			next = first_difference(own, guest, next + 1, len);
		}
		report(c, at + i, last + 1 - i, VL_TRUST_TEXT, VL_TRUST_CHANGED, guest + i);
		i = next;
	}
}

/*
 * Judge the sites of @cluster that begin at offset @at and are at most @room bytes long. Returns
 * the first form that is not illegal. *@ret is its site, else the first such site, or NULL.
 */
static enum vl_trust_form judge(const struct check *c, const struct vl_trust_cluster *cluster,
				size_t at, const unsigned char *guest, size_t room,
				const struct vl_trust_site **ret)
{
	const struct vl_trust *t = c->look.t;
	const struct vl_trust_site *s = t->sites + cluster->first, *end = s + cluster->nr;
	enum vl_trust_form form;

	*ret = NULL;
	for (; s < end && s->at <= at; s++) {
		if (s->at != at || s->len > room)
			continue;
		if (!*ret)
			*ret = s;
		form = vl_trust_form(&c->look, s, guest, t->va + at);
		if (form != VL_TRUST_ILLEGAL) {
			*ret = s;
			return form;
		}
	}
	return VL_TRUST_ILLEGAL;
}

/* Judge a whole cluster; @guest has its bytes. */
static void check_cluster(const struct check *c, const struct vl_trust_cluster *cluster,
			  const unsigned char *guest)
{
	const struct vl_trust *t = c->look.t;
	const unsigned char *own = t->bytes + cluster->at;
	size_t i = 0, differs;

	while (i < cluster->len) {
		size_t at = cluster->at + i, room = cluster->len - i;
		const struct vl_trust_site *s;
		enum vl_trust_form form = judge(c, cluster, at, guest + i, room, &s);

		switch (form) {
		case VL_TRUST_LEGAL:
			give(c, at, guest + i, s->len);
			i += s->len;
			break;
		case VL_TRUST_ATTACHMENT:
		case VL_TRUST_BREAK:
			if (s->class == VL_TRUST_TRACE)
				give(c, at, nop5, sizeof(nop5));
			report(c, at, s->len, s->class,
			       form == VL_TRUST_BREAK ? VL_TRUST_MOMENT : VL_TRUST_ATTACHED,
			       guest + i);
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

/* Judge @cluster, which may reach over the ends of the range. */
static void visit(const struct check *c, const struct vl_trust_cluster *cluster)
{
	const struct vl_trust_memory *m = c->look.memory;
	unsigned char buf[VL_TRUST_CLUSTER_MAX];
	size_t end = cluster->at + cluster->len;

	if (cluster->at >= c->at && end <= c->at + c->len) {
		check_cluster(c, cluster, c->guest + (cluster->at - c->at));
		return;
	}
	/* If memory cannot be read, bytes outside of the range count as equal. */
	memcpy(buf, c->look.t->bytes + cluster->at, cluster->len);
	if (!m->read(m->ctx, c->look.t->va + cluster->at, buf, cluster->len))
		for (size_t i = 0; i < cluster->len; i++)
			if (cluster->at + i - c->at < c->len)
				buf[i] = c->guest[cluster->at + i - c->at];
	check_cluster(c, cluster, buf);
}

void vl_trust_compare(const struct vl_trust *t, const struct vl_trust_memory *memory, size_t at,
		      const void *guest, size_t len, void *out, vl_trust_found_fn *found, void *ctx)
{
	struct check c = {
		.look = { t, memory },
		.at = at,
		.len = len,
		.guest = guest,
		.out = out,
		.found = found,
		.ctx = ctx,
	};
	size_t i = 0, n = vl_trust_cluster_from(t, at);
	const unsigned char *own = t->bytes + at;

	if (out)
		memcpy(out, own, len);
	while ((i = first_difference(own, c.guest, i, len)) < len) {
		const struct vl_trust_cluster *cluster;
		size_t next = len;

		while (n < t->nr_clusters && t->clusters[n].at + t->clusters[n].len <= c.at + i)
			n++;
		cluster = t->clusters + n;
		if (n < t->nr_clusters && cluster->at <= c.at + i) {
			visit(&c, cluster);
			i = cluster->at + cluster->len - c.at;
			if (i > len)
				break;
			continue;
		}
		if (n < t->nr_clusters && cluster->at < c.at + len)
			next = cluster->at - c.at;
		report_text(&c, c.at + i, c.at + next, c.guest + i);
		i = next;
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
		[VL_TRUST_CHANGED] = "changed",
		[VL_TRUST_ATTACHED] = "attached",
		[VL_TRUST_MOMENT] = "moment",
	};

	return names[kind];
}
