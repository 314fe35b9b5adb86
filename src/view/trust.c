/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's kernel, compared with the trusted image of its build. */
#include "collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../attach/attach.h"
#include "../base/cleanup.h"
#include "../base/array.h"
#include "../trust/trust.h"

enum { TR_STATE, TR_ADDRESS, TR_SYMBOL, TR_SITE, TR_FOUND, TR_EXPECTED, TR_TO, TR_BYTES, TR_LEGAL };

static const struct vl_column columns[] = {
	[TR_STATE] = { "STATE", VL_CELL_TEXT, true,
		       "verified, compared, changed (a finding), attached (no alarm), moment" },
	[TR_ADDRESS] = { "ADDRESS", VL_CELL_HEX, true, "where it is" },
	[TR_SYMBOL] = { "SYMBOL", VL_CELL_TEXT, true, "function there, in the trusted image" },
	[TR_SITE] = { "SITE", VL_CELL_TEXT, true, "kind of site; text: not a site" },
	[TR_FOUND] = { "FOUND", VL_CELL_TEXT, true, "the guest's bytes" },
	[TR_EXPECTED] = { "EXPECTED", VL_CELL_TEXT, true, "the image's bytes" },
	[TR_TO] = { "TO", VL_CELL_TEXT, true, "target of the call or jump that was found" },
	[TR_BYTES] = { "BYTES", VL_CELL_UINT, false, "number of bytes" },
	[TR_LEGAL] = { "LEGAL", VL_CELL_TEXT, false, "the legal forms there, in words" },
	{ 0 },
};

/* Most findings that are shown. A guest of another build would have hundreds of thousands. */
#define FINDINGS_MAX 4096
#define ATTACHED_MAX 1024
/* How often a site that is being changed is read again, and the time between two reads. */
#define AGAIN 20
#define AGAIN_NS 1000000L

struct run {
	struct vl_raw_guest *g;
	struct vl_trust *t;
	struct vl_trust_finding *found;
	size_t nr, cap;
	uint64_t all;	    /* number of findings, without attachments */
	uint64_t attached;  /* number of attachments */
	size_t nr_attached; /* of these, those in found[] */
	bool full;
};

static bool read_guest(void *ctx, uint64_t va, void *buf, size_t len)
{
	const struct run *r = ctx;

	return vl_read(r->g->reader, &r->g->space, va, buf, len) == VL_READ_OK;
}

static void note(void *ctx, const struct vl_trust_finding *f)
{
	struct run *r = ctx;

	/* A tracer of all functions has tens of thousands of attachments. */
	if (f->kind == VL_TRUST_ATTACHED) {
		r->attached++;
		if (r->nr_attached == ATTACHED_MAX)
			return;
		r->nr_attached++;
	} else {
		r->all++;
		if (r->nr - r->nr_attached == FINDINGS_MAX)
			return;
	}
	if (vl_grow(r->found, r->cap, r->nr, 64))
		r->found[r->nr++] = *f;
	else
		r->full = true;
}

/* --- the image --- */

static struct vl_error *no_image(const char *build_id)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG,
					  "there is no trusted kernel of the guest's build %s",
					  *build_id ? build_id : "(unknown)"),
			     "add the guest's vmlinuz or its package: vlens trust add FILE");
}

static struct vl_error *open_image(struct run *r)
{
	const struct vl_attach *a = r->g->attach;
	_cleanup_close_ int fd = -1;
	struct vl_error *err;
	uint64_t entry;
	size_t size;
	void *elf;

	err = vl_kept_open(r->g->target, VL_KEPT_TRUSTED, a->build_id, &fd, &size);
	if (err) {
		bool absent = err->os_errno == 2 || err->code == VL_ERR_ARG;

		if (!absent)
			return err;
		vl_error_destroy(err);
		return no_image(a->build_id);
	}
	elf = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (elf == MAP_FAILED)
		return vl_error_nomem();
	err = vl_trust_open(elf, size, &r->t);
	munmap(elf, size);
	if (err)
		return err;
	if (strcmp(vl_trust_build_id(r->t), a->build_id) != 0)
		return vl_error_new(
			VL_ERR_ARG,
			"the guest's kernel is of build %s, the trusted one of build %s",
			a->build_id, vl_trust_build_id(r->t));
	entry = vl_trust_symbol(r->t, "entry_SYSCALL_64");
	if (!entry)
		return vl_error_new(VL_ERR_ARG, "the trusted image has no entry_SYSCALL_64");
	return vl_trust_place(r->t, a->entry - entry);
}

/* --- the comparison --- */

/* Read the whole text and compare it. */
static struct vl_error *compare(struct run *r)
{
	const struct vl_trust_memory memory = { read_guest, r };
	_cleanup_free_ unsigned char *text = NULL;
	uint64_t va;
	size_t len;

	va = vl_trust_text(r->t, &len);
	text = malloc(len + 1);
	if (!text)
		return vl_error_nomem();
	if (!read_guest(r, va, text, len))
		return vl_error_hint(
			vl_error_fault(va, "the kernel's text cannot be read"),
			"the image is not where the guest's system call entry implies");
	return vl_trust_check(r->t, &memory, va, text, len, NULL, note, r);
}

/* Read and compare again what differed: a running guest may have been changing it. */
static struct vl_error *compare_again(struct run *r)
{
	const struct vl_trust_memory memory = { read_guest, r };
	struct vl_trust_finding *before = r->found;
	size_t nr = r->nr;
	struct vl_error *err = NULL;

	r->found = NULL;
	r->nr = r->cap = 0;
	r->all = 0;
	r->attached -= r->nr_attached;
	r->nr_attached = 0;
	for (size_t i = 0; !err && i < nr; i++) {
		_cleanup_free_ unsigned char *now = malloc(before[i].len);

		if (before[i].kind == VL_TRUST_ATTACHED)
			note(r, &before[i]);
		else if (!now)
			err = vl_error_nomem();
		else if (read_guest(r, before[i].va, now, before[i].len))
			err = vl_trust_check(r->t, &memory, before[i].va, now, before[i].len, NULL,
					     note, r);
	}
	free(before);
	return err;
}

static bool has_moment(const struct run *r)
{
	for (size_t i = 0; i < r->nr; i++)
		if (r->found[i].kind == VL_TRUST_MOMENT)
			return true;
	return false;
}

static struct vl_error *look(struct run *r)
{
	const struct timespec wait = { .tv_nsec = AGAIN_NS };
	struct vl_error *err = compare(r);

	/* So many findings are another kernel's. Do not read them again. */
	if (err || !vl_target_is_live(r->g->target) || r->all > FINDINGS_MAX)
		return err;
	for (unsigned i = 0; !err && r->nr && i < AGAIN && (!i || has_moment(r)); i++) {
		nanosleep(&wait, NULL);
		err = compare_again(r);
	}
	return err;
}

/* --- probes --- */

/* The number of lists in kprobe_table: include/linux/kprobes.h, kernel/kprobes.c. */
#define PROBE_HEADS 64
/* The length of an optimized probe's jump, in bytes. Other probes are an int3. */
#define PROBE_JUMP 5

/* The addresses of the guest's kprobes that can be read; malloc'ed. */
static uint64_t *read_probes(const struct run *r, size_t *nr_ret)
{
	const struct vl_layout *l = vl_kernel_layout(r->g->attach->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.head = vl_trust_symbol(r->t, "kprobe_table"),
		.nr_heads = PROBE_HEADS,
		.head_stride = 8,
		.node = vl_offset(l, VL_F_KPROBE_HLIST),
		.stride = 8,
	};

	*nr_ret = 0;
	if (!w.head || !vl_has(l, VL_F_KPROBE_ADDR))
		return NULL;
	vl_fields_add(&fs, VL_F_KPROBE_ADDR, 0, 8);
	vl_error_destroy(vl_collect(r->g, &w, &fs, "the kprobes", nr_ret));
	return w.records;
}

static bool looks_probed(const struct vl_trust_finding *f)
{
	return f->kind != VL_TRUST_ATTACHED &&
	       (f->found[0] == 0xcc || (f->found[0] == 0xe9 && f->len <= PROBE_JUMP));
}

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Turn findings at the addresses of the guest's kprobes into attachments. */
static void name_probes(struct run *r)
{
	_cleanup_free_ uint64_t *probes = NULL;
	size_t nr = 0, i = 0;

	while (i < r->nr && !looks_probed(&r->found[i]))
		i++;
	if (i < r->nr)
		probes = read_probes(r, &nr);
	if (nr)
		qsort(probes, nr, sizeof(*probes), by_address);
	for (; nr && i < r->nr; i++)
		if (looks_probed(&r->found[i]) &&
		    bsearch(&r->found[i].va, probes, nr, sizeof(*probes), by_address)) {
			r->found[i].kind = VL_TRUST_ATTACHED;
			r->found[i].class = VL_TRUST_PROBE;
		}
}

/* --- the table --- */

static void show_bytes(struct vl_table *t, size_t column, const unsigned char *bytes, size_t len)
{
	char text[3 * VL_TRUST_SHOWN + 4] = "";
	size_t n = len < VL_TRUST_SHOWN ? len : VL_TRUST_SHOWN;

	for (size_t i = 0; i < n; i++)
		snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
	snprintf(text + 3 * n - 1, 4, "%s", len > n ? "…" : "");
	vl_table_str(t, column, text);
}

static void show_place(struct vl_table *t, size_t column, const struct run *r, uint64_t va)
{
	uint64_t offset;
	const char *name = vl_trust_symbol_at(r->t, va, &offset);

	if (!name)
		vl_table_printf(t, column, "0x%lx", (unsigned long)va);
	else if (offset)
		vl_table_printf(t, column, "%s+0x%lx", name, (unsigned long)offset);
	else
		vl_table_str(t, column, name);
}

static void show(struct vl_table *t, const struct run *r)
{
	uint64_t va;
	size_t len;

	va = vl_trust_text(r->t, &len);
	vl_table_row(t);
	vl_table_str(t, TR_STATE, r->all ? "compared" : "verified");
	vl_table_uint(t, TR_ADDRESS, va);
	show_place(t, TR_SYMBOL, r, va);
	vl_table_str(t, TR_SITE, ".text");
	vl_table_uint(t, TR_BYTES, len);
	for (size_t i = 0; i < r->nr; i++) {
		const struct vl_trust_finding *f = &r->found[i];

		vl_table_row(t);
		vl_table_str(t, TR_STATE, vl_trust_kind_name(f->kind));
		vl_table_uint(t, TR_ADDRESS, f->va);
		show_place(t, TR_SYMBOL, r, f->va);
		vl_table_str(t, TR_SITE, vl_trust_class_name(f->class));
		show_bytes(t, TR_FOUND, f->found, f->len);
		show_bytes(t, TR_EXPECTED, f->expected, f->len);
		if (f->target)
			show_place(t, TR_TO, r, f->target);
		vl_table_uint(t, TR_BYTES, f->len);
		vl_table_str(t, TR_LEGAL, vl_trust_class_expects(f->class));
		t->nr_marked += f->kind != VL_TRUST_ATTACHED;
	}
	if (r->attached == r->nr_attached)
		return;
	vl_table_row(t);
	vl_table_str(t, TR_STATE, vl_trust_kind_name(VL_TRUST_ATTACHED));
	vl_table_printf(t, TR_FOUND, "%lu more", (unsigned long)(r->attached - r->nr_attached));
}

static struct vl_error *trust_run(struct vl_raw_guest *g, struct vl_table *t)
{
	struct run r = { .g = g };
	struct vl_error *err = open_image(&r);

	if (!err)
		err = look(&r);
	if (!err)
		name_probes(&r);
	if (!err)
		show(t, &r);
	if (!err && r.full)
		err = vl_error_nomem();
	if (!err && r.all > FINDINGS_MAX)
		err = vl_error_new(VL_ERR_KERNEL, "only %d of %lu findings are shown", FINDINGS_MAX,
				   (unsigned long)r.all);
	vl_trust_close(r.t);
	free(r.found);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_trust = {
	.name = "trust",
	.plural = "findings",
	.columns = columns,
	.need_kernel = true,
	.run = trust_run,
};
