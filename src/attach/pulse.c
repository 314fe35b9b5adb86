/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pulse.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../host/held.h"

/* A page table can end between the read of CR3 and the walk: so retry before giving up. */
#define MAX_CHECKS 8
/* The slowest tick is 10 ms (CONFIG_HZ=100); a busy CPU misses none. */
#define TICK_NS 2000000L
#define TICK_LOOKS 12
/* A larger step between two checks: the value is not a tick counter. */
#define TICKS_MOST 1000

/* How many vCPUs run our kernel, run another one, or have paging off. */
struct tally {
	size_t ours, others, off;
};

/*
 * Memory that is not mapped here is asked for, and a check needs some 40 entries and values of a
 * few pages. So each of these pages is asked for once, and kept until it must be read anew. Those
 * that the last check used are asked for together.
 */
struct check {
	const struct vl_attach *c;
	size_t nr;
	uint64_t gpas[VL_PULSE_PAGES];
	bool used[VL_PULSE_PAGES];
	unsigned char pages[VL_PULSE_PAGES][VL_PAGE_SIZE];
};

/* Read the pages anew that @l has. */
static void read_again(struct check *l)
{
	void *bufs[VL_PULSE_PAGES];

	for (size_t i = 0; i < l->nr; i++)
		bufs[i] = l->pages[i];
	if (l->nr && vl_discard(vl_target_read_pages(l->c->target, l->gpas, bufs, l->nr)))
		l->nr = 0;
}

/* An initializer would also clear the pages, which takes time. */
static void begin(struct check *l, const struct vl_attach *c)
{
	l->c = c;
	l->nr = c->nr_pulse;
	memcpy(l->gpas, c->pulse_gpas, sizeof(l->gpas));
	memset(l->used, 0, sizeof(l->used));
	read_again(l);
}

/* Keep the pages that @l used: the next check of @c asks for them together. */
static void learn(const struct check *l, struct vl_attach *c)
{
	c->nr_pulse = 0;
	for (size_t i = 0; i < l->nr; i++)
		if (l->used[i])
			c->pulse_gpas[c->nr_pulse++] = l->gpas[i];
}

/* Read @len bytes of one page. */
static bool read_page(struct check *l, uint64_t gpa, void *buf, size_t len)
{
	struct vl_target *t = l->c->target;
	uint64_t page = gpa & VL_PAGE_MASK;
	size_t i = 0;

	while (i < l->nr && l->gpas[i] != page)
		i++;
	if (i == VL_PULSE_PAGES || vl_target_page(t, page))
		return !vl_discard(vl_target_read(t, gpa, buf, len));
	if (i == l->nr) {
		if (vl_discard(vl_target_read(t, page, l->pages[i], VL_PAGE_SIZE)))
			return false;
		l->gpas[l->nr++] = page;
	}
	l->used[i] = true;
	memcpy(buf, l->pages[i] + (gpa - page), len);
	return true;
}

static bool read_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	return read_page(ctx, gpa, ret, sizeof(*ret));
}

/* ---- the kernel's own memory ---- */

/* Read a variable, which lies in one page. */
static bool read_symbol(struct check *l, const char *name, void *buf, size_t len)
{
	uint64_t va = vl_symbol(l->c->kernel, name);
	struct vl_xlat x;

	return va && va % VL_PAGE_SIZE + len <= VL_PAGE_SIZE &&
	       vl_translate(&l->c->pt, read_entry, l, va, &x) && read_page(l, x.gpa, buf, len);
}

static bool crashed(struct check *l)
{
	/* PANIC_CPU_INVALID is -1 (kernel/panic.c), and so is arch/x86/kernel/reboot.c's. */
	static const char *const cpus[] = { "panic_cpu", "crashing_cpu" };
	int32_t cpu;

	for (size_t i = 0; i < ARRAY_SIZE(cpus); i++)
		if (read_symbol(l, cpus[i], &cpu, sizeof(cpu)) && cpu != -1)
			return true;
	return false;
}

bool vl_pulse_crashed(const struct vl_attach *c)
{
	struct check l;

	begin(&l, c);
	return crashed(&l);
}

bool vl_pulse_captures(const struct vl_attach *c)
{
	uint64_t addr; /* ELFCORE_ADDR_MAX is -1: is_kdump_kernel(), include/linux/crash_dump.h */
	struct check l;

	begin(&l, c);
	return read_symbol(&l, "elfcorehdr_addr", &addr, sizeof(addr)) && addr != UINT64_MAX;
}

/* Does the kernel's memory say that it gave the machine up, or is about to? */
static bool gave_up(struct check *l)
{
	const struct vl_layout *layout = vl_kernel_layout(l->c->kernel);
	int32_t state;
	uint8_t kexec;

	return crashed(l) ||
	       (read_symbol(l, "kexec_in_progress", &kexec, sizeof(kexec)) && kexec) ||
	       (vl_has(layout, VL_F_SYSTEM_RUNNING) &&
		read_symbol(l, "system_state", &state, sizeof(state)) &&
		state > layout->offset[VL_F_SYSTEM_RUNNING]);
}

bool vl_pulse_holds(const struct vl_attach *c)
{
	unsigned char now[sizeof(c->probe)];

	return vl_target_read_virt(c->target, &c->pt, c->entry, now, sizeof(now)) &&
	       !memcmp(now, c->probe, sizeof(now));
}

/* Are the bytes at the entry, which is at @gpa, still those that were found there? */
static bool holds(struct check *l, uint64_t gpa)
{
	unsigned char now[sizeof(l->c->probe)];

	if (gpa % VL_PAGE_SIZE + sizeof(now) > VL_PAGE_SIZE)
		return vl_pulse_holds(l->c);
	return read_page(l, gpa, now, sizeof(now)) && !memcmp(now, l->c->probe, sizeof(now));
}

/* ---- the kernel that a vCPU runs ---- */

/* Each page table of a kernel, also a process's, maps the entry to the same place. */
static bool is_ours(struct check *l, uint64_t entry_gpa, uint64_t cr3, uint64_t cr4)
{
	struct vl_pgtable pt = vl_pgtable(cr3, cr4);
	struct vl_xlat x;

	return vl_translate(&pt, read_entry, l, l->c->entry, &x) && x.gpa == entry_gpa;
}

static void count(struct tally *t, struct check *l, uint64_t entry_gpa, uint64_t cr0, uint64_t cr3,
		  uint64_t cr4)
{
	if (!(cr0 & X86_CR0_PG))
		t->off++;
	else if (is_ours(l, entry_gpa, cr3, cr4))
		t->ours++;
	else
		t->others++;
}

/*
 * With @gave_up, vCPUs may stand where the old kernel left them, so one that runs another
 * kernel decides.
 */
static bool runs(const struct tally *t, bool gave_up)
{
	return t->ours && !(gave_up && t->others);
}

/* Judge by registers in the hypervisor process. *@known_ret: their place is known. */
static bool looks_alive(struct vl_attach *c, struct check *l, uint64_t entry_gpa, bool gave_up,
			bool *known_ret)
{
	struct tally t = { 0 };
	struct vl_held *now;
	bool same;
	size_t nr;

	*known_ret = vl_held_read(c->target, !c->checked, &now, &nr, &same);
	c->checked = true;
	if (!*known_ret)
		return false;
	/* Tables can have changed before these registers were read. */
	read_again(l);
	for (size_t i = 0; i < nr; i++)
		count(&t, l, entry_gpa, now[i].cr[0], now[i].cr[3], now[i].cr[4]);
	free(now);
	return runs(&t, gave_up) || (same && !gave_up);
}

/* Does the kernel's tick counter advance while we watch? */
static bool ticks(struct check *l)
{
	const struct timespec wait = { .tv_nsec = TICK_NS };
	uint64_t first, now;

	l->nr = 0;
	if (!read_symbol(l, "jiffies_64", &first, sizeof(first)))
		return false;
	for (unsigned i = 0; i < TICK_LOOKS; i++) {
		nanosleep(&wait, NULL);
		l->nr = 0;
		if (!read_symbol(l, "jiffies_64", &now, sizeof(now)))
			return false;
		if (now != first)
			return now - first < TICKS_MOST;
	}
	return false;
}

bool vl_pulse_ticks(const struct vl_attach *c)
{
	struct check l;

	begin(&l, c);
	return ticks(&l);
}

/* ---- a check of the pulse ---- */

/* Judge by registers from imee.ko or the monitor, then by the ticks. */
static struct vl_error *ask(struct vl_attach *c, struct check *l, uint64_t entry_gpa, bool gave_up,
			    bool *runs_ret)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	struct vl_error *err = NULL;
	bool alive = false;
	size_t nr = 0;

	for (unsigned i = 0; !err && !alive && i < 2; i++) {
		struct tally t = { 0 };

		free(vcpus);
		err = vl_target_vcpus(c->target, &vcpus, &nr);
		l->nr = 0;
		for (size_t i = 0; !err && i < nr; i++)
			count(&t, l, entry_gpa, vcpus[i].cr0, vcpus[i].cr3, vcpus[i].cr4);
		alive = !err && runs(&t, gave_up);
		if (!err && !t.others)
			break;
	}
	if (alive)
		vl_held_start(c->target);
	else if (!gave_up)
		alive = ticks(l);
	*runs_ret = alive;
	if (!err || alive) {
		vl_error_destroy(err);
		return NULL;
	}
	err->code = VL_ERR_TARGET;
	err = vl_error_prefix(err, "cannot tell whether the guest still runs this kernel");
	return err;
}

struct vl_error *vl_pulse_check(struct vl_attach *c, bool *runs_ret)
{
	struct check l;
	bool ended, known = true;
	struct vl_xlat x;

	*runs_ret = true;
	if (!vl_target_is_live(c->target))
		return NULL;
	begin(&l, c);
	if (!vl_translate(&c->pt, read_entry, &l, c->entry, &x) || !holds(&l, x.gpa)) {
		*runs_ret = false;
		return NULL;
	}
	ended = gave_up(&l);
	/* Without registers only the kernel's own memory says that it no longer runs. */
	if (!vl_target_has_vcpus(c->target)) {
		*runs_ret = !ended;
		if (!ended)
			learn(&l, c);
		return NULL;
	}
	for (unsigned i = 0; known && i < MAX_CHECKS; i++)
		if (looks_alive(c, &l, x.gpa, ended, &known)) {
			learn(&l, c);
			return NULL;
		}
	return ask(c, &l, x.gpa, ended, runs_ret);
}

void vl_pulse_start(struct vl_attach *c)
{
	if (vl_target_is_live(c->target))
		vl_held_start(c->target);
	c->checked = true;
}

size_t vl_pulse_successors(const struct vl_attach *c, struct vl_vcpu *vcpus, size_t nr)
{
	struct check l;
	struct vl_xlat x;
	size_t found = 0;

	begin(&l, c);
	if (!gave_up(&l) || !vl_translate(&c->pt, read_entry, &l, c->entry, &x))
		return 0;
	for (size_t i = 0; i < nr; i++) {
		struct vl_vcpu v = vcpus[i];

		if (!(v.cr0 & X86_CR0_PG) || is_ours(&l, x.gpa, v.cr3, v.cr4))
			continue;
		vcpus[i] = vcpus[found];
		vcpus[found++] = v;
	}
	return found;
}

/* The kernel's half of the address space. */
static bool is_high(uint64_t va)
{
	return va >> 63;
}

enum vl_life vl_pulse_life(struct vl_target *t)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	size_t nr;

	if (!vl_target_is_live(t) || vl_discard(vl_target_vcpus(t, &vcpus, &nr)))
		return VL_LIFE_UNKNOWN;
	return vl_pulse_life_of(vcpus, nr);
}

enum vl_life vl_pulse_life_of(const struct vl_vcpu *vcpus, size_t nr)
{
	enum vl_life life = VL_LIFE_FIRMWARE;

	for (size_t i = 0; i < nr; i++) {
		if (!(vcpus[i].cr0 & X86_CR0_PG))
			continue;
		if (is_high(vcpus[i].rip) || is_high(vcpus[i].idt_base))
			life = VL_LIFE_KERNEL;
		else if (life == VL_LIFE_FIRMWARE)
			life = VL_LIFE_LOW;
	}
	return life;
}
