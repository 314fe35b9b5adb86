/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "entry.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/array.h"
#include "held.h"
#include "internal.h"
#include "proc.h"

/* Bytes of constant data that are searched: QEMU has some 10 MiB of them. */
#define MOST (256UL << 20)

enum field { SEGS, TR, GDT, IDT, CR0, CR4, CS, EIP, STAR, LSTAR, CSTAR, FMASK, NR_FIELDS };

/* The rows of vmstate_x86_cpu that are needed, with the size that each must have. */
static const struct {
	const char *name;
	uint64_t size;
} fields[NR_FIELDS] = {
	[SEGS] = { "env.segs", sizeof(struct vl_held_segment) },
	[TR] = { "env.tr", sizeof(struct vl_held_segment) },
	[GDT] = { "env.gdt", sizeof(struct vl_held_segment) },
	[IDT] = { "env.idt", sizeof(struct vl_held_segment) },
	[CR0] = { "env.cr[0]", 8 },
	[CR4] = { "env.cr[4]", 8 },
	[CS] = { "env.sysenter_cs", 4 },
	[EIP] = { "env.sysenter_eip", 8 },
	[STAR] = { "env.star", 8 },
	[LSTAR] = { "env.lstar", 8 },
	[CSTAR] = { "env.cstar", 8 },
	[FMASK] = { "env.fmask", 8 },
};

/* The constant data of the hypervisor's program: all its mappings in one buffer. */
struct data {
	unsigned char *bytes;
	size_t len;
	struct vl_vma *vmas; /* of these, in this order */
	size_t nr;
};

/* The address in the process of byte @at of @d. */
static uint64_t address_of(const struct data *d, size_t at)
{
	for (size_t i = 0; i < d->nr; i++) {
		if (at < d->vmas[i].end - d->vmas[i].start)
			return d->vmas[i].start + at;
		at -= d->vmas[i].end - d->vmas[i].start;
	}
	return 0;
}

/*
 * Read the program's mappings that are not code: names are in its read-only data, and the table
 * is in data that the dynamic linker has relocated.
 */
static bool read_data(struct vl_target *t, struct data *d)
{
	char path[64];
	size_t nr, len = 0;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)t->pid);
	if (stat(path, &st) < 0 || vl_discard(vl_proc_maps(t->pid, &d->vmas, &nr)))
		return false;
	for (size_t i = 0; i < nr; i++) {
		const struct vl_vma *m = &d->vmas[i];

		if (m->executable || m->shared || m->ino != st.st_ino)
			continue;
		if (m->end - m->start > MOST - len)
			return false;
		len += m->end - m->start;
		d->vmas[d->nr++] = *m;
	}
	d->bytes = len ? malloc(len) : NULL;
	if (!d->bytes)
		return false;
	for (size_t i = 0; i < d->nr; i++) {
		size_t size = d->vmas[i].end - d->vmas[i].start;

		if (!vl_target_read_process(t, d->vmas[i].start, d->bytes + d->len, size))
			return false;
		d->len += size;
	}
	return true;
}

/*
 * The row (struct VMStateField) of @field at @row, @left bytes: its offset. The name is followed
 * by the offset and the size, with a hint between ("migration: add VMSTATE err_hint", 2.12).
 */
static bool parse_row(enum field field, const unsigned char *row, size_t left, uint64_t *ret)
{
	uint64_t w[4];

	if (left < sizeof(w))
		return false;
	memcpy(w, row, sizeof(w));
	if (w[2] == fields[field].size && w[1]) {
		*ret = w[1];
		return true;
	}
	*ret = w[2];
	return !w[1] && w[3] == fields[field].size;
}

/* Find the offset of @field. False: there is none, or it is ambiguous. */
static bool find_field(const struct data *d, enum field field, uint64_t *ret)
{
	const char *name = fields[field].name;
	const unsigned char *at = memmem(d->bytes, d->len, name, strlen(name) + 1);
	uint64_t va, word, offset;
	bool found = false;

	if (!at)
		return false;
	va = address_of(d, (size_t)(at - d->bytes));
	for (size_t i = 0; i + sizeof(word) <= d->len; i += sizeof(word)) {
		memcpy(&word, d->bytes + i, sizeof(word));
		if (word != va || !parse_row(field, d->bytes + i, d->len - i, &offset))
			continue;
		if (found && offset != *ret)
			return false;
		*ret = offset;
		found = true;
	}
	return found;
}

/*
 * The distances of the fields from env.segs, which held.h calls a place. The table must agree with
 * the order that held.h knows.
 */
static bool find_fields(struct vl_target *t, int64_t ret[NR_FIELDS])
{
	struct data d = { .len = 0 };
	uint64_t offset[NR_FIELDS];
	bool ok = read_data(t, &d);

	for (size_t i = 0; ok && i < NR_FIELDS; i++)
		ok = find_field(&d, (enum field)i, &offset[i]) && offset[i] < MOST;
	for (size_t i = 0; ok && i < NR_FIELDS; i++)
		ret[i] = (int64_t)(offset[i] - offset[SEGS]);
	free(d.bytes);
	free(d.vmas);
	return ok && ret[TR] == offsetof(struct vl_held, tr) &&
	       ret[GDT] == offsetof(struct vl_held, gdt) &&
	       ret[IDT] == offsetof(struct vl_held, idt) &&
	       ret[CR0] == offsetof(struct vl_held, cr[0]) &&
	       ret[CR4] == offsetof(struct vl_held, cr[4]);
}

static bool read_msrs(struct vl_target *t, uint64_t at, const int64_t offset[NR_FIELDS],
		      struct vl_entry *e)
{
	const struct {
		enum field field;
		uint64_t *to;
	} each[] = {
		{ EIP, &e->sysenter_eip }, { STAR, &e->star },	 { LSTAR, &e->lstar },
		{ CSTAR, &e->cstar },	   { FMASK, &e->fmask },
	};
	uint32_t cs;

	for (size_t i = 0; i < ARRAY_SIZE(each); i++)
		if (!vl_target_read_process(t, at + (uint64_t)offset[each[i].field], each[i].to,
					    sizeof(*each[i].to)))
			return false;
	if (!vl_target_read_process(t, at + (uint64_t)offset[CS], &cs, sizeof(cs)))
		return false;
	e->sysenter_cs = cs;
	return true;
}

/* The registers from the monitor or, if it cannot be asked, from another source. */
static struct vl_error *read_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	if (t->pid && !t->pause_depth && t->ops->vcpus && !vl_target_is_stopped(t) &&
	    !vl_discard(t->ops->vcpus(t, ret, nr_ret)))
		return NULL;
	return vl_target_vcpus(t, ret, nr_ret);
}

struct vl_error *vl_entry_read(struct vl_target *t, struct vl_entry **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	_cleanup_free_ uint64_t *at = NULL;
	int64_t offset[NR_FIELDS];
	struct vl_error *err;
	size_t nr;
	bool held;

	*ret = NULL;
	*nr_ret = 0;
	if (t->proxy)
		return t->proxy->entry(t->proxy->ctx, ret, nr_ret);
	err = read_vcpus(t, &vcpus, &nr);
	if (err)
		return err;
	*ret = calloc(nr + 1, sizeof(**ret));
	at = calloc(nr + 1, sizeof(*at));
	if (!*ret || !at) {
		free(*ret);
		*ret = NULL;
		return vl_error_nomem();
	}
	held = vl_held_places(t, vcpus, nr, at) && find_fields(t, offset);
	for (size_t i = 0; i < nr; i++) {
		struct vl_entry *e = &(*ret)[i];

		e->regs = vcpus[i];
		e->has_msrs = held && at[i] && read_msrs(t, at[i], offset, e);
	}
	*nr_ret = nr;
	return NULL;
}
