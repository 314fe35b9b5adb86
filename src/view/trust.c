/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest's kernel, compared with the trusted image of its build. */
#include "collect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../attach/poke.h"
#include "../base/cleanup.h"
#include "../base/array.h"
#include "../trust/store.h"
#include "modules.h"
#include "stubs.h"
#include "trustmods.h"

enum { TR_STATE, TR_ADDRESS, TR_SYMBOL, TR_SITE, TR_FOUND, TR_EXPECTED, TR_TO, TR_BYTES, TR_LEGAL };

static const struct vl_column columns[] = {
	[TR_STATE] = { "STATE", VL_CELL_TEXT, true,
		       "verified, compared, unverified, changed (a finding), attached (no alarm), "
		       "poke" },
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
/*
 * How often a site that is being changed is read again, and the time between two reads, which
 * doubles: some 0.5 s in all. The kernel changes a site in microseconds, but on a busy host it may
 * not run for longer than that.
 */
#define AGAIN 20
#define AGAIN_NS 1000000L
#define AGAIN_MAX_NS 32000000L
/* A guest that has counted more timer interrupts than these runs. A paused one counts none. */
#define TICKS 8
#define JUMP 0xe9
#define INT3 0xcc

struct run {
	struct vl_raw_guest *g;
	struct vl_trust *t;
	struct vl_trusted_modules mods;
	struct vl_stubs stubs;
	struct vl_trust_finding *found;
	size_t nr, cap;
	uint64_t all;		 /* number of findings, without attachments */
	uint64_t attached;	 /* number of attachments, and of calls that are being changed */
	size_t nr_attached;	 /* of these, those in found[] */
	enum vl_trust_kind last; /* of these, the last one that is not in found[] */
	bool full;
	uint64_t began; /* ticks() at the first look */
	/* The text that is compared. Thousands of its sites depend on other places in it. */
	const unsigned char *text;
	uint64_t text_va;
	size_t text_len; /* 0: none */
};

static bool read_guest(void *ctx, uint64_t va, void *buf, size_t len)
{
	const struct run *r = ctx;
	uint64_t at = va - r->text_va;

	if (at < r->text_len && len <= r->text_len - at) {
		memcpy(buf, r->text + at, len);
		return true;
	}
	return vl_read(r->g->reader, &r->g->space, va, buf, len) == VL_READ_OK;
}

static bool in_module(const struct run *r, uint64_t va)
{
	for (size_t i = 0; i < r->mods.nr; i++)
		if (vl_module_at(&r->mods.v[i].m, 1, va))
			return true;
	return false;
}

/* Does attachment @f lead to what may be attached there? */
static bool is_known(const struct run *r, const struct vl_trust_finding *f)
{
	const struct vl_stub *stub = vl_stub_at(&r->stubs, f->target);
	bool bpf = stub && stub->kind != VL_STUB_FTRACE;

	if (f->class == VL_TRUST_TRACE)
		/* Only BPF jumps: a dispatcher does, and a trampoline can be reached so. */
		return f->found[0] == JUMP ? bpf : vl_stub_traces(r->g, &r->stubs, f->target);
	return bpf || in_module(r, f->target) || vl_trust_is_entry(r->t, f->target);
}

static void note(void *ctx, const struct vl_trust_finding *found)
{
	struct vl_trust_finding one = *found, *f = &one;
	struct run *r = ctx;

	/* An attachment there does not concern the text. */
	if (f->kind == VL_TRUST_SWITCHED)
		return;
	/*
	 * An attachment that is being made may not be in the kernel's lists yet: read the site
	 * again.
	 */
	if (f->kind == VL_TRUST_ATTACHED && !is_known(r, f))
		f->kind = VL_TRUST_POKE;
	/* A tracer of all functions has tens of thousands of attachments. */
	if (f->kind == VL_TRUST_ATTACHED || f->kind == VL_TRUST_UPDATE) {
		r->attached++;
		r->last = f->kind;
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

static struct vl_error *open_image(struct run *r)
{
	const struct vl_attach *a = r->g->attach;
	char release[VL_RELEASE_SIZE];
	_cleanup_close_ int fd = -1;
	struct vl_error *err;
	uint64_t entry;
	size_t size;

	/* The broker compares its checksum. */
	err = vl_is_build_id(a->build_id) ?
		      vl_kept_open(r->g->target, VL_KEPT_TRUSTED, a->build_id, &fd, &size) :
		      NULL;
	if (fd < 0 && (!err || err->os_errno == ENOENT)) {
		vl_error_destroy(err);
		vl_attach_release(a, release);
		return vl_trust_absent(a->build_id, release);
	}
	if (!err)
		err = vl_trust_open_file(fd, size, false, &r->t);
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

/* Read the whole text of @t, the kernel or a module, and compare it. */
static struct vl_error *compare(struct run *r, const struct vl_trust *t)
{
	const struct vl_trust_memory memory = { read_guest, r };
	_cleanup_free_ unsigned char *text = NULL;
	struct vl_error *err;
	uint64_t va;
	size_t len;

	va = vl_trust_text(t, &len);
	/* A module can have constants and no code. */
	if (!len)
		return NULL;
	text = malloc(len + 1);
	if (!text)
		return vl_error_nomem();
	if (!read_guest(r, va, text, len))
		return vl_error_fault(va, "the text cannot be read");
	r->text = text;
	r->text_va = va;
	r->text_len = len;
	err = vl_trust_check(t, &memory, va, text, len, NULL, note, r);
	r->text_len = 0;
	return err;
}

/* Read the constants of the kernel, and compare them. */
static struct vl_error *compare_constants(struct run *r)
{
	_cleanup_free_ unsigned char *data = NULL;
	size_t len = 0, init_len;
	uint64_t init, va = vl_trust_constants(r->t, &len, &init, &init_len);

	data = malloc(len + 1);
	if (!data)
		return vl_error_nomem();
	if (va && !read_guest(r, va, data, len))
		return vl_error_fault(va, "the constants cannot be read");
	if (va)
		vl_trust_check_constants(r->t, va, data, len, note, r);
	return NULL;
}

static struct vl_error *compare_kernel(struct run *r)
{
	const struct vl_trust_memory memory = { read_guest, r };
	struct vl_error *err = compare(r, r->t);

	if (!err)
		vl_trust_check_tail(r->t, &memory, note, r);
	return err ? err : compare_constants(r);
}

static struct vl_error *compare_all(struct run *r)
{
	struct vl_error *err = compare_kernel(r);

	if (err && err->code == VL_ERR_FAULT)
		vl_error_hint(vl_error_prefix(err, "the kernel"),
			      "the image is not where the guest's system call entry implies");
	for (size_t i = 0; !err && i < r->mods.nr; i++) {
		struct vl_trusted_module *m = &r->mods.v[i];

		if (!m->trust)
			continue;
		err = compare(r, m->trust);
		if (!err || err->code != VL_ERR_FAULT)
			continue;
		/* The module can have been removed meanwhile. */
		m->why = vl_taken(err);
		m->trust = NULL;
	}
	return err;
}

/* Compare @now, the @len bytes at @va, where there was a finding before. */
static struct vl_error *compare_place(struct run *r, uint64_t va, const void *now, size_t len)
{
	const struct vl_trust_memory memory = { read_guest, r };
	const struct vl_trust *t = vl_trust_set_at(r->mods.set, va);
	size_t text_len;
	uint64_t text = vl_trust_text(t, &text_len);

	if (t != r->t || va - text < text_len)
		return vl_trust_check(t, &memory, va, now, len, NULL, note, r);
	if (va - text - text_len < VL_PAGE_SIZE)
		vl_trust_check_tail(t, &memory, note, r);
	else
		vl_trust_check_constants(t, va, now, len, note, r);
	return NULL;
}

/* Read and compare again what differed: a running guest may have been changing it. */
static struct vl_error *compare_again(struct run *r)
{
	struct vl_trust_finding *before = r->found;
	size_t nr = r->nr;
	struct vl_error *err;

	vl_stubs_deinit(&r->stubs);
	err = vl_stubs_collect(r->g, &r->stubs);
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
			err = compare_place(r, before[i].va, now, before[i].len);
	}
	free(before);
	return err;
}

static bool has_poke(const struct run *r)
{
	for (size_t i = 0; i < r->nr; i++)
		if (r->found[i].kind == VL_TRUST_POKE)
			return true;
	return false;
}

/* The guest's count of timer interrupts; 0: it is not known. */
static uint64_t ticks(const struct run *r)
{
	uint64_t va = vl_trust_symbol(r->t, "jiffies_64"), n;

	return va && vl_read(r->g->reader, &r->g->space, va, &n, sizeof(n)) == VL_READ_OK ? n : 0;
}

static struct vl_error *look(struct run *r)
{
	struct timespec wait = { .tv_nsec = AGAIN_NS };
	struct vl_error *err;

	r->began = ticks(r);
	err = compare_all(r);

	/* With so many findings it is another kernel. Do not read them again. */
	if (err || !vl_target_is_live(r->g->target) || r->all > FINDINGS_MAX)
		return err;
	for (unsigned i = 0; !err && r->nr && i < AGAIN && (!i || has_poke(r)); i++) {
		nanosleep(&wait, NULL);
		if (wait.tv_nsec < AGAIN_MAX_NS)
			wait.tv_nsec *= 2;
		err = compare_again(r);
	}
	return err;
}

/*
 * A branch out of the kernel that persists over all passes is a finding, not a transient state. An
 * int3 is a finding, too, where the kernel is not changing its text, and where the guest runs: it
 * does not stay in the middle of a change.
 */
static void name_attachments(struct run *r)
{
	bool runs = has_poke(r) && ticks(r) - r->began > TICKS;

	for (size_t i = 0; i < r->nr; i++)
		if (r->found[i].kind == VL_TRUST_POKE &&
		    (runs || r->found[i].found[0] != INT3 ||
		     !vl_poke_lists(r->g->attach, r->found[i].va)))
			r->found[i].kind = VL_TRUST_CHANGED;
}

/* --- probes --- */

/* The number of lists in kprobe_table: include/linux/kprobes.h, kernel/kprobes.c. */
#define PROBE_HEADS 64

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

/* Can the table of probes explain a finding? */
static bool may_be_probed(const struct vl_trust_finding *f)
{
	return f->kind != VL_TRUST_ATTACHED && (f->found[0] == 0xcc || f->found[0] == 0xe9);
}

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Turn findings at the addresses of the guest's kprobes into attachments. */
static void name_probes(struct run *r)
{
	const struct vl_trust_memory memory = { read_guest, r };
	int32_t addr = vl_kernel_layout(r->g->attach->kernel)->offset[VL_F_KPROBE_ADDR];
	_cleanup_free_ uint64_t *probes = NULL;
	size_t nr = 0, i = 0;

	while (i < r->nr && !may_be_probed(&r->found[i]))
		i++;
	if (i < r->nr)
		probes = read_probes(r, &nr);
	if (nr)
		qsort(probes, nr, sizeof(*probes), by_address);
	for (; nr && i < r->nr; i++)
		if (may_be_probed(&r->found[i]) &&
		    bsearch(&r->found[i].va, probes, nr, sizeof(*probes), by_address) &&
		    vl_trust_is_probe(r->t, &memory, addr, &r->found[i])) {
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
	const struct vl_trust *at = vl_trust_set_at(r->mods.set, va);
	bool in_module = at && at != r->t;
	const char *open = in_module ? " [" : "", *close = in_module ? "]" : "";
	const char *module = in_module ? vl_trust_module_name(at) : "";
	uint64_t offset;
	const char *name = at ? vl_trust_symbol_at(at, va, &offset) : NULL;

	if (!name && in_module)
		vl_table_printf(t, column, "0x%lx [%s]", (unsigned long)va, module);
	else if (!name)
		vl_table_printf(t, column, "0x%lx", (unsigned long)va);
	else if (offset)
		vl_table_printf(t, column, "%s+0x%lx%s%s%s", name, (unsigned long)offset, open,
				module, close);
	else
		vl_table_printf(t, column, "%s%s%s%s", name, open, module, close);
}

/* The image's bytes, or the function that its pointer leads to. */
static void show_expected(struct vl_table *t, const struct run *r, const struct vl_trust_finding *f)
{
	uint64_t own;

	memcpy(&own, f->expected, sizeof(own));
	if (f->class == VL_TRUST_DATA && vl_trust_is_entry(r->t, own))
		show_place(t, TR_EXPECTED, r, own);
	else
		show_bytes(t, TR_EXPECTED, f->expected, f->len);
}

/* Is there a finding, which is not an attachment, in the text of @t? */
static bool has_finding(const struct run *r, const struct vl_trust *t)
{
	uint64_t va;
	size_t len;

	va = vl_trust_text(t, &len);
	for (size_t i = 0; i < r->nr; i++)
		if (r->found[i].kind == VL_TRUST_CHANGED && r->found[i].va - va < len)
			return true;
	return false;
}

/* A row for the whole text of @t. */
static void show_text(struct vl_table *table, const struct run *r, const struct vl_trust *t)
{
	uint64_t va;
	size_t len;

	va = vl_trust_text(t, &len);
	vl_table_row(table);
	vl_table_str(table, TR_STATE, has_finding(r, t) ? "compared" : "verified");
	vl_table_uint(table, TR_ADDRESS, va);
	if (t == r->t)
		show_place(table, TR_SYMBOL, r, va);
	else
		vl_table_printf(table, TR_SYMBOL, "[%s]", vl_trust_module_name(t));
	vl_table_str(table, TR_SITE, ".text");
	vl_table_uint(table, TR_BYTES, len);
}

/* A row for a module that is not compared. */
static void show_unverified(struct vl_table *t, const struct vl_trusted_module *m)
{
	vl_table_row(t);
	vl_table_str(t, TR_STATE, m->differs ? vl_trust_kind_name(VL_TRUST_CHANGED) : "unverified");
	vl_table_uint(t, TR_ADDRESS, m->m.areas[0].base);
	vl_table_printf(t, TR_SYMBOL, "[%.*s]", VL_MODULE_NAME, m->m.name);
	vl_table_str(t, TR_SITE, "module");
	if (m->why)
		vl_table_str(t, TR_FOUND, m->why->message);
	vl_table_uint(t, TR_BYTES, m->m.together ? m->m.core_text : m->m.areas[0].size);
	vl_table_str(t, TR_LEGAL, "the module of the kernel's release that was added");
	t->nr_marked += m->differs;
	t->nr_unsure += !m->differs;
}

static void show(struct vl_table *t, const struct run *r)
{
	show_text(t, r, r->t);
	for (size_t i = 0; i < r->mods.nr; i++) {
		if (r->mods.v[i].trust)
			show_text(t, r, r->mods.v[i].trust);
		else
			show_unverified(t, &r->mods.v[i]);
	}
	for (size_t i = 0; i < r->nr; i++) {
		const struct vl_trust_finding *f = &r->found[i];

		vl_table_row(t);
		vl_table_str(t, TR_STATE, vl_trust_kind_name(f->kind));
		vl_table_uint(t, TR_ADDRESS, f->va);
		show_place(t, TR_SYMBOL, r, f->va);
		vl_table_str(t, TR_SITE, vl_trust_class_name(f->class));
		show_bytes(t, TR_FOUND, f->found, f->len);
		show_expected(t, r, f);
		if (f->target)
			show_place(t, TR_TO, r, f->target);
		vl_table_uint(t, TR_BYTES, f->len);
		vl_table_str(t, TR_LEGAL, vl_trust_class_expects(f->class));
		t->nr_marked += f->kind == VL_TRUST_CHANGED;
	}
	if (r->attached == r->nr_attached)
		return;
	vl_table_row(t);
	vl_table_str(t, TR_STATE, vl_trust_kind_name(r->last));
	vl_table_printf(t, TR_FOUND, "%lu more", (unsigned long)(r->attached - r->nr_attached));
}

static struct vl_error *trust_run(struct vl_raw_guest *g, struct vl_table *t)
{
	struct run r = { .g = g };
	struct vl_error *err = vl_need_booted(g, "it was not verified");

	if (!err)
		err = open_image(&r);
	if (!err)
		err = vl_trusted_modules_init(g, r.t, &r.mods);
	if (!err)
		err = vl_stubs_collect(g, &r.stubs);
	if (!err)
		err = look(&r);
	if (!err)
		name_attachments(&r);
	if (!err)
		name_probes(&r);
	if (!err)
		show(t, &r);
	if (!err && r.full)
		err = vl_error_nomem();
	if (!err && r.all > FINDINGS_MAX)
		err = vl_error_new(VL_ERR_KERNEL, "only %d of %lu findings are shown", FINDINGS_MAX,
				   (unsigned long)r.all);
	vl_stubs_deinit(&r.stubs);
	vl_trusted_modules_deinit(&r.mods);
	vl_trust_close(r.t);
	free(r.found);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_trust = {
	.name = "trust",
	.plural = "findings",
	.columns = columns,
	.need_kernel = true,
	.fields = vl_scan_asks,
	.run = trust_run,
};
