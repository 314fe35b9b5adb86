/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trusted.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "poke.h"

void vl_trusted_filter(void *trusted, uint64_t gpa, unsigned char *page)
{
	struct vl_trusted *t = trusted;
	unsigned char guest[VL_PAGE_SIZE];
	uint64_t at = gpa - t->gpa, va;
	size_t len, n;

	if (gpa - t->constants.gpa < t->constants.size) {
		pthread_mutex_lock(&t->lock);
		t->nr_pages++;
		vl_trusted_take_constants(t, t->constants.va + (gpa - t->constants.gpa), page);
		pthread_mutex_unlock(&t->lock);
	}
	if (at >= t->size)
		return;
	if (vl_trusted_marked(t, at, page) == VL_MARK_RIGHT) {
		pthread_mutex_lock(&t->lock);
		t->nr_pages++;
		pthread_mutex_unlock(&t->lock);
		return;
	}
	va = vl_trust_text(t->trust, &len);
	n = len - at < VL_PAGE_SIZE ? len - at : VL_PAGE_SIZE;
	memcpy(guest, page, n);
	/* Behind the end of the text nothing may run. */
	memset(page + n, 0xcc, VL_PAGE_SIZE - n);
	vl_trusted_check(t, t->trust, va + at, guest, n, page);
}

struct again {
	struct vl_trusted *t;
	bool changed, attached;
	struct vl_trust_finding as; /* if attached */
};

static void found_again(void *ctx, const struct vl_trust_finding *f)
{
	struct again *a = ctx;

	if (f->kind == VL_TRUST_ATTACHED || f->kind == VL_TRUST_SWITCHED) {
		a->attached = true;
		a->as = *f;
	}
	a->changed |= f->kind == VL_TRUST_CHANGED ||
		      (f->kind == VL_TRUST_POKE && !vl_poke_lists(a->t->attach, f->va));
}

/* The number of lists in kprobe_table (include/linux/kprobes.h), and of probes that are read. */
#define PROBE_HEADS 64
#define PROBES_MAX 4096

/* The addresses of the guest's kprobes. */
struct probes {
	uint64_t at[PROBES_MAX]; /* in ascending order */
	size_t nr;
};

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Read them, as far as they can be read. */
static void read_probes(struct vl_trusted *t, struct probes *p)
{
	const struct vl_layout *l = vl_kernel_layout(t->attach->kernel);
	uint64_t table = vl_trust_symbol(t->trust, "kprobe_table"), next;

	p->nr = 0;
	if (!table || !vl_has(l, VL_F_KPROBE_ADDR) || !vl_has(l, VL_F_KPROBE_HLIST))
		return;
	for (uint64_t i = 0; i < PROBE_HEADS; i++) {
		bool good = vl_trusted_read(t, table + 8 * i, &next, 8);

		while (good && next && p->nr < PROBES_MAX) {
			uint64_t probe = next - (uint64_t)l->offset[VL_F_KPROBE_HLIST];

			good = vl_trusted_read(t, next, &next, 8) &&
			       vl_trusted_read(t, probe + (uint64_t)l->offset[VL_F_KPROBE_ADDR],
					       &p->at[p->nr], 8);
			p->nr += good;
		}
	}
	qsort(p->at, p->nr, sizeof(*p->at), by_value);
}

static bool is_probed(const struct probes *p, uint64_t va)
{
	size_t i = vl_bisect(k, p->nr, p->at[k] < va);

	return i < p->nr && p->at[i] == va;
}

/* The kernel or the module that has @va; NULL: neither. */
static const struct vl_trust *owner(const struct vl_trusted *t, uint64_t va)
{
	return t->set ? vl_trust_set_at(t->set, va) : t->trust;
}

/* Compare the guest at the place of finding @f again. */
static struct again look_again(struct vl_trusted *t, const struct vl_trust_finding *f)
{
	const struct vl_trust_memory memory = { vl_trusted_read, t };
	_cleanup_free_ unsigned char *now = malloc(f->len);
	const struct vl_trust *what = owner(t, f->va);
	struct again a = { .t = t };

	if (!what)
		return a;
	if (!now || !vl_trusted_read(t, f->va, now, f->len)) {
		a.changed = a.attached = true;
		a.as = *f;
		return a;
	}
	vl_error_destroy(vl_trust_check(what, &memory, f->va, now, f->len, NULL, found_again, &a));
	return a;
}

/* Drop the attachments that are gone. */
static void recheck_attached(struct vl_trusted *t, const struct probes *probes)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->nr_kept; i++) {
		struct vl_trust_finding *f = &t->attached[i];
		struct again a = { .t = t };

		if (f->class == VL_TRUST_PROBE) {
			a.attached = probes && is_probed(probes, f->va);
			a.as = *f;
		} else {
			a = look_again(t, f);
		}
		if (a.attached)
			t->attached[kept++] = a.as;
	}
	t->nr_attached -= t->nr_kept - kept;
	t->nr_kept = kept;
}

/* Time for which findings that were read again count as current, in ns. */
#define RECHECK_NS 100000000L

/* The caller holds the lock. */
static void recheck_found(struct vl_trusted *t)
{
	const struct vl_trust_memory memory = { vl_trusted_read, t };
	_cleanup_free_ struct probes *probes = malloc(sizeof(*probes));
	int32_t addr = vl_kernel_layout(t->attach->kernel)->offset[VL_F_KPROBE_ADDR];
	size_t kept = 0;

	/* Once for all findings: the guest can have many of both. */
	if (probes && (t->nr_found || t->nr_kept))
		read_probes(t, probes);
	recheck_attached(t, probes);
	for (size_t i = 0; i < t->nr_found; i++) {
		struct vl_trust_finding f = t->found[i];
		bool probed = probes && is_probed(probes, f.va) &&
			      vl_trust_is_probe(t->trust, &memory, addr, &f);

		if (!probed && look_again(t, &f).changed) {
			t->found[kept++] = f;
			continue;
		}
		t->nr_all--;
		f.class = VL_TRUST_PROBE;
		if (probed)
			vl_trusted_keep_attached(t, &f);
	}
	t->nr_found = kept;
	vl_trusted_recheck_slots(t);
}

void vl_trusted_recheck(struct vl_trusted *t)
{
	pthread_mutex_lock(&t->lock);
	if ((int64_t)vl_now_ns() - t->rechecked_ns >= RECHECK_NS) {
		recheck_found(t);
		t->rechecked_ns = (int64_t)vl_now_ns();
	}
	pthread_mutex_unlock(&t->lock);
}

/* --- words --- */

void vl_trusted_place(struct vl_trusted *t, uint64_t va, char *buf, size_t size)
{
	char module[VL_TRUSTED_NAME];
	uint64_t offset;
	const struct vl_trust *what = owner(t, va);
	const char *name = what ? vl_trust_symbol_at(what, va, &offset) : NULL;

	if (!name && vl_trusted_module_at(t, va, module))
		snprintf(buf, size, "0x%" PRIx64 " [%s]", va, module);
	else if (!name)
		snprintf(buf, size, "0x%" PRIx64, va);
	else
		snprintf(buf, size, offset ? "%s+0x%" PRIx64 : "%s", name, offset);
}

/*
 * The target of the call or jump of finding @f, in which only the displacement was changed. 0: @f
 * is another change, or the target is neither in a function nor in a module.
 */
static uint64_t retargeted(struct vl_trusted *t, const struct vl_trust_finding *f)
{
	const struct vl_trust *what = owner(t, f->va);
	char module[VL_TRUSTED_NAME];

	for (unsigned back = 1; what && back + f->len <= 5; back++) {
		uint64_t at = f->va - back, to;
		unsigned char own[5], now[5];
		int32_t disp;

		if (!vl_trust_copy(what, at, own, sizeof(own)) ||
		    (own[0] != 0xe8 && own[0] != 0xe9) ||
		    !vl_trusted_read(t, at, now, sizeof(now)) || now[0] != own[0])
			continue;
		memcpy(&disp, now + 1, sizeof(disp));
		to = at + 5 + (uint64_t)(int64_t)disp;
		if (vl_trust_is_entry(what, to) || vl_trusted_module_at(t, to, module))
			return to;
	}
	return 0;
}

uint64_t vl_trusted_findings(const struct vl_trusted *t)
{
	return t->nr_slots + t->nr_all;
}

static void describe_slot(struct vl_trusted *t, const struct vl_trusted_slot *s, char *buf,
			  size_t size)
{
	char at[80], to[80], own[80];

	vl_trusted_place(t, s->slot, at, sizeof(at));
	if (!vl_trust_is_entry(t->trust, s->initial)) {
		snprintf(buf, size, "%s: changed constant (0x%" PRIx64 ", not 0x%" PRIx64 ")", at,
			 s->found, s->initial);
		return;
	}
	vl_trusted_place(t, s->found, to, sizeof(to));
	vl_trusted_place(t, s->initial, own, sizeof(own));
	snprintf(buf, size, "%s: changed pointer (leads to %s, not to %s)", at, to, own);
}

void vl_trusted_describe(struct vl_trusted *t, size_t i, char *buf, size_t size)
{
	const struct vl_trust_finding *f;
	char at[80], to[80];
	uint64_t target;

	*buf = '\0';
	if (i < t->nr_slots)
		describe_slot(t, &t->slots[i], buf, size);
	if (i < t->nr_slots || i - t->nr_slots >= t->nr_found)
		return;
	f = &t->found[i - t->nr_slots];
	target = f->target ? f->target : retargeted(t, f);
	vl_trusted_place(t, f->va, at, sizeof(at));
	if (target)
		vl_trusted_place(t, target, to, sizeof(to));
	snprintf(buf, size, "%s: changed %s (%u byte%s%s%s)", at, vl_trust_class_name(f->class),
		 f->len, f->len == 1 ? "" : "s", target ? ", leads to " : "", target ? to : "");
}

/* --- the kernel of the image --- */

static struct vl_error *open_image(struct vl_trusted *t, int fd, size_t len, bool sound)
{
	const struct vl_attach *a = t->attach;
	struct vl_error *err = vl_trust_open_file(fd, len, sound, &t->trust);
	uint64_t entry;

	if (err)
		return err;
	if (strcmp(vl_trust_build_id(t->trust), a->build_id) != 0)
		return vl_error_new(
			VL_ERR_ARG,
			"the guest's kernel is of build %s, the trusted one of build %s",
			*a->build_id ? a->build_id : "(unknown)", vl_trust_build_id(t->trust));
	entry = vl_trust_symbol(t->trust, "entry_SYSCALL_64");
	if (!entry)
		return vl_error_new(VL_ERR_ARG, "the trusted image has no entry_SYSCALL_64");
	return vl_trust_place(t->trust, a->entry - entry);
}

/*
 * Find the text in the guest. Only the pages at its ends must be mapped where the image has them.
 */
static struct vl_error *find_text(struct vl_trusted *t)
{
	const struct vl_attach *a = t->attach;
	struct vl_xlat first, last;
	size_t len;

	t->va = vl_trust_text(t->trust, &len);
	t->size = (len + VL_PAGE_SIZE - 1) & VL_PAGE_MASK;
	if (t->va % VL_PAGE_SIZE || !len ||
	    !vl_translate(&a->pt, vl_target_read_entry, a->target, t->va, &first) ||
	    !vl_translate(&a->pt, vl_target_read_entry, a->target, t->va + len - 1, &last) ||
	    last.gpa - first.gpa != len - 1)
		return vl_error_hint(
			vl_error_fault(t->va, "the kernel's text is not mapped in one piece"),
			"the image is not where the guest's system call entry implies");
	t->gpa = first.gpa;
	vl_trusted_find_constants(t);
	return NULL;
}

/* The kernel's page table by the image's symbol, under the one that is known so far. */
static struct vl_error *find_tables(struct vl_attach *a, const struct vl_trusted *t)
{
	uint64_t pgd = vl_trust_symbol(t->trust, "init_top_pgt");
	struct vl_xlat x;

	/* Its name before 65ade2f872b4 ("x86/boot/64: Rename init_level4_pgt ..."). */
	if (!pgd)
		pgd = vl_trust_symbol(t->trust, "init_level4_pgt");
	if (!pgd || !vl_translate(&a->pt, vl_target_read_entry, a->target, pgd, &x))
		return vl_error_new(VL_ERR_KERNEL, "cannot find the kernel's page table");
	a->pt.root = x.gpa;
	return NULL;
}

bool vl_trusted_next(struct vl_trusted *t)
{
	size_t kept = 0, gone;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->nr_found; i++)
		if (t->found[i].va - t->va < t->size)
			t->found[kept++] = t->found[i];
	gone = t->nr_found - kept + t->nr_slots;
	t->nr_all -= t->nr_found - kept;
	t->nr_found = kept;
	kept = 0;
	for (size_t i = 0; i < t->nr_kept; i++)
		if (t->attached[i].va - t->va < t->size)
			t->attached[kept++] = t->attached[i];
	t->nr_attached -= t->nr_kept - kept;
	t->nr_kept = kept;
	t->nr_slots = 0;
	pthread_mutex_unlock(&t->lock);
	return gone;
}

struct vl_error *vl_trusted_compare(struct vl_trusted *t)
{
	if (t->current) {
		t->current = false;
		return NULL;
	}
	return vl_trusted_take_text(t->attach, t);
}

static struct vl_error *trust(struct vl_attach *a, struct vl_trusted *t, int fd,
			      const struct vl_trusted_kept *kept)
{
	struct vl_kernel *k = NULL;
	struct vl_error *err = find_tables(a, t);

	if (!err)
		err = find_text(t);
	if (!err)
		err = vl_trust_symbols_make(t->trust, fd, &k);
	if (err)
		return err;
	vl_kernel_destroy(a->kernel);
	a->kernel = k;
	vl_trusted_marks_take(t, kept);
	return vl_trusted_take_text(a, t);
}

struct vl_error *vl_attach_trust(struct vl_attach *a, int fd, size_t len,
				 const struct vl_trusted_kept *kept)
{
	struct vl_trusted *t = calloc(1, sizeof(*t));
	struct vl_error *err;

	if (!t)
		return vl_error_nomem();
	t->attach = a;
	pthread_mutex_init(&t->lock, NULL);
	t->pages = vl_trusted_pages_create();
	err = t->pages ? open_image(t, fd, len, kept->image) : vl_error_nomem();
	if (!err)
		err = trust(a, t, fd, kept);
	if (err) {
		vl_trusted_destroy(t);
		return err;
	}
	a->trusted = t;
	return NULL;
}

void vl_trusted_destroy(struct vl_trusted *t)
{
	if (!t)
		return;
	vl_trust_close(t->trust);
	pthread_mutex_destroy(&t->lock);
	free(t->pages);
	free(t->found);
	free(t->attached);
	free(t->ranges);
	free(t->marks);
	free(t);
}
