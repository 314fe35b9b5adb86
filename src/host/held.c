/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "held.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "../base/dirs.h"
#include "internal.h"
#include "proc.h"

_Static_assert(sizeof(struct vl_held) == 280, "as in QEMU: no padding");

/*
 * Bytes read at once, and in all: a QEMU has some 30 MiB of its own memory, and more with many
 * disks.
 */
#define CHUNK (1UL << 20)
#define MOST (1UL << 30)
/* /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst: present, or swapped. */
#define PAGE_USED (3UL << 62)

#define CR0_PG (1UL << 31)
#define CR4_PGE (1UL << 7)

#define FORMAT "vlens-pulse-1"
/* Bytes of the file: 288 for each vCPU, and QEMU has at most 4096 vCPUs. */
#define FILE_MAX (2UL << 20)

/* The addresses of the registers, as the file has them. */
struct vl_held_place {
	char format[16];
	uint64_t nr;
	struct {
		uint64_t at; /* in the hypervisor process */
		struct vl_held was;
	} cpus[];
};

struct search {
	struct vl_target *t;
	const struct vl_vcpu *vcpus;
	size_t nr, left;
	uint64_t *at;
	bool twice;
	int pagemap;
	uint64_t *used, *buf; /* of one chunk: its entries of pagemap, its bytes */
};

/* Read the registers at @at in the process. */
static bool read_held(struct vl_target *t, uint64_t at, struct vl_held *ret)
{
	return vl_target_read_process(t, at, ret, sizeof(*ret));
}

/* CR4.PGE is off while the kernel flushes the TLB. CR2 and CR3 change all the time. */
static bool is_vcpu(const struct vl_held *h, const struct vl_vcpu *v)
{
	return h->idt.base == v->idt_base && h->idt.limit == v->idt_limit &&
	       h->gdt.base == v->gdt_base && h->gdt.limit == v->gdt_limit &&
	       h->tr.base == v->tr_base && h->tr.limit == v->tr_limit && h->cr[0] == v->cr0 &&
	       ((h->cr[4] ^ v->cr4) & ~CR4_PGE) == 0;
}

/* Check a place: the word of the process at @va has the value of a vCPU's IDT base. */
static void look_at(struct search *s, uint64_t va)
{
	uint64_t at = va - offsetof(struct vl_held, idt.base);
	struct vl_held h;

	if (!read_held(s->t, at, &h))
		return;
	for (size_t i = 0; i < s->nr; i++) {
		if (!(s->vcpus[i].cr0 & CR0_PG) || !is_vcpu(&h, &s->vcpus[i]))
			continue;
		s->twice |= s->at[i];
		s->left -= !s->at[i];
		s->at[i] = at;
	}
}

static bool is_idt(const struct search *s, uint64_t word)
{
	for (size_t i = 0; i < s->nr; i++)
		if (word == s->vcpus[i].idt_base && s->vcpus[i].cr0 & CR0_PG)
			return true;
	return false;
}

/* Search @len bytes at @va, at most one chunk. All their pages are in use. */
static void search_run(struct search *s, uint64_t va, size_t len)
{
	/* Linux gives all CPUs the same IDT: one comparison rules out most words. */
	uint64_t first = 0;

	for (size_t i = 0; i < s->nr && !first; i++)
		first = s->vcpus[i].cr0 & CR0_PG ? s->vcpus[i].idt_base : 0;
	if (!vl_target_read_process(s->t, va, s->buf, len))
		return;
	for (size_t i = 0; i < len / 8; i++)
		if (s->buf[i] >> 32 == first >> 32 && is_idt(s, s->buf[i]))
			look_at(s, va + 8 * i);
}

static bool is_ram(const struct vl_target *t, uint64_t va)
{
	for (size_t i = 0; i < t->nr_ram; i++)
		if (t->ram[i].hva && va >= t->ram[i].hva && va - t->ram[i].hva < t->ram[i].size)
			return true;
	return false;
}

/* Search the runs of pages in use of one chunk of a mapping. */
static void search_chunk(struct search *s, uint64_t va, uint64_t end)
{
	size_t pages = (end - va) / VL_PAGE_SIZE, from = 0;
	ssize_t n = pread(s->pagemap, s->used, pages * 8, (off_t)(va / VL_PAGE_SIZE * 8));

	if (n != (ssize_t)(pages * 8))
		return;
	for (size_t i = 0; i <= pages; i++) {
		if (i < pages && s->used[i] & PAGE_USED && !is_ram(s->t, va + i * VL_PAGE_SIZE))
			continue;
		if (i > from)
			search_run(s, va + from * VL_PAGE_SIZE, (i - from) * VL_PAGE_SIZE);
		from = i + 1;
	}
}

static void search_all(struct search *s, const struct vl_vma *vmas, size_t nr)
{
	uint64_t most = MOST;

	for (size_t i = 0; i < nr; i++) {
		const struct vl_vma *m = &vmas[i];

		/* Memory of malloc() is private, anonymous, writable and not executable. */
		if (m->ino || m->shared || !m->writable || m->executable)
			continue;
		for (uint64_t va = m->start; va < m->end && most; va += CHUNK) {
			uint64_t end = m->end - va < CHUNK ? m->end : va + CHUNK;

			/* The guest's RAM can be terabytes. */
			if (is_ram(s->t, va) && is_ram(s->t, end - 1))
				continue;
			search_chunk(s, va, end);
			most -= most < CHUNK ? most : CHUNK;
		}
	}
}

/*
 * Find the addresses at which the process holds the registers of the @nr vCPUs in @vcpus. @at[i]
 * is an address in the process, or 0 for a vCPU whose paging is off. Reads all of the process's
 * own memory without the guest's RAM: tens of milliseconds. False: it is no QEMU, or not each
 * vCPU was found exactly once.
 */
static bool find_held(struct vl_target *t, const struct vl_vcpu *vcpus, size_t nr, uint64_t *at)
{
	struct search s = { .t = t, .vcpus = vcpus, .nr = nr, .at = at };
	_cleanup_close_ int pagemap = -1;
	_cleanup_free_ struct vl_vma *vmas = NULL;
	_cleanup_free_ void *used = malloc(CHUNK / VL_PAGE_SIZE * 8), *buf = malloc(CHUNK);
	char path[64];
	size_t nr_vmas;

	memset(at, 0, nr * sizeof(*at));
	for (size_t i = 0; i < nr; i++)
		s.left += !!(vcpus[i].cr0 & CR0_PG);
	if (!t->pid || !used || !buf || !s.left)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)t->pid);
	pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || vl_discard(vl_proc_maps(t->pid, &vmas, &nr_vmas)))
		return false;
	s.pagemap = pagemap;
	s.used = used;
	s.buf = buf;
	search_all(&s, vmas, nr_vmas);
	return !s.left && !s.twice;
}

/* ---- the file of the places ---- */

static size_t size_of(uint64_t nr)
{
	return sizeof(struct vl_held_place) + nr * sizeof(((struct vl_held_place *)NULL)->cpus[0]);
}

static void save(struct vl_target *t)
{
	_cleanup_free_ char *path = vl_run_path("%s.pulse", vl_target_run_id(t));

	if (path)
		vl_error_destroy(vl_file_store(path, t->held, size_of(t->held->nr)));
}

static void load(struct vl_target *t)
{
	_cleanup_free_ char *path = vl_run_path("%s.pulse", vl_target_run_id(t));
	struct vl_held_place *p;
	char *text = NULL;
	size_t len = 0;

	free(t->held);
	t->held = NULL;
	if (!path || vl_discard(vl_file_load(path, FILE_MAX, &text, &len)))
		return;
	p = (struct vl_held_place *)text;
	if (len > sizeof(*p) && !strncmp(p->format, FORMAT, sizeof(p->format)) &&
	    p->nr <= FILE_MAX / sizeof(p->cpus[0]) && len == size_of(p->nr))
		t->held = p;
	else
		free(text);
}

bool vl_held_read(struct vl_target *t, bool anew, struct vl_held **ret, size_t *nr_ret,
		  bool *same_ret)
{
	const struct vl_held_place *p;
	struct vl_held *now;

	if (t->proxy)
		return t->proxy->held(t->proxy->ctx, anew, ret, nr_ret, same_ret);
	if (!t->held || anew)
		load(t);
	p = t->held;
	now = p && p->nr ? calloc(p->nr, sizeof(*now)) : NULL;
	if (!now)
		return false;
	*same_ret = true;
	for (uint64_t i = 0; i < p->nr; i++) {
		if (!read_held(t, p->cpus[i].at, &now[i])) {
			free(now);
			return false;
		}
		*same_ret = *same_ret && !memcmp(&now[i], &p->cpus[i].was, sizeof(now[i]));
	}
	*ret = now;
	*nr_ret = p->nr;
	return true;
}

void vl_held_start(struct vl_target *t)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	_cleanup_free_ uint64_t *at = NULL;
	struct vl_held_place *p;
	size_t nr;

	if (t->proxy) {
		t->proxy->held_start(t->proxy->ctx);
		return;
	}
	free(t->held);
	t->held = NULL;
	if (vl_discard(vl_target_vcpus(t, &vcpus, &nr)))
		return;
	p = calloc(1, size_of(nr));
	at = calloc(nr, sizeof(*at));
	if (!p || !at || !find_held(t, vcpus, nr, at)) {
		free(p);
		return;
	}
	strcpy(p->format, FORMAT);
	for (size_t i = 0; i < nr; i++)
		if (at[i] && read_held(t, at[i], &p->cpus[p->nr].was))
			p->cpus[p->nr++].at = at[i];
	t->held = p;
	save(t);
}

/* Are the registers of each vCPU still at one of the addresses that were kept? */
static bool still_held(struct vl_target *t, const struct vl_vcpu *vcpus, size_t nr, uint64_t *at)
{
	const struct vl_held_place *p = t->held;
	size_t left = 0;
	struct vl_held h;

	memset(at, 0, nr * sizeof(*at));
	for (size_t i = 0; i < nr; i++)
		left += !!(vcpus[i].cr0 & CR0_PG);
	if (!p || p->nr != left)
		return false;
	for (uint64_t k = 0; k < p->nr; k++) {
		if (!read_held(t, p->cpus[k].at, &h))
			return false;
		for (size_t i = 0; i < nr; i++) {
			if (!(vcpus[i].cr0 & CR0_PG) || at[i] || !is_vcpu(&h, &vcpus[i]))
				continue;
			at[i] = p->cpus[k].at;
			left--;
			break;
		}
	}
	return !left;
}

bool vl_held_places(struct vl_target *t, const struct vl_vcpu *vcpus, size_t nr, uint64_t *at)
{
	if (!t->held)
		load(t);
	return still_held(t, vcpus, nr, at) || find_held(t, vcpus, nr, at);
}
