/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pulse.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../target/held.h"
#include "../util/dirs.h"

#define PULSE_FORMAT "vlens-pulse-1"
/* Of the file: 288 bytes a vCPU, and QEMU has at most 4096. */
#define PULSE_MAX (2UL << 20)

/* A page table can end between the look at CR3 and the walk: looks before that counts. */
#define LOOKS 8
/* The slowest tick is 10 ms (CONFIG_HZ=100); a CPU that is busy misses none. */
#define TICK_NS 2000000L
#define TICK_LOOKS 12
/* More ticks than pass between two looks are no count of ticks. */
#define TICKS_MOST 1000

struct vl_pulse {
	char format[16];
	uint64_t nr;
	struct vl_pulse_cpu {
		uint64_t at; /* in the hypervisor process */
		struct vl_held was;
	} cpus[];
};

/* Of a look at vCPUs: how many run the kernel, and how many another one. */
struct tally {
	size_t ours, others, off;
};

static size_t size_of(uint64_t nr)
{
	return sizeof(struct vl_pulse) + nr * sizeof(struct vl_pulse_cpu);
}

static char *pulse_path(const struct vl_contact *c)
{
	return vl_run_path("%s.pulse", vl_target_run_id(c->target));
}

static void save(const struct vl_contact *c)
{
	char *path = pulse_path(c);

	if (path)
		vl_error_destroy(vl_file_store(path, c->pulse, size_of(c->pulse->nr)));
	free(path);
}

static void load(struct vl_contact *c)
{
	char *path = pulse_path(c), *text = NULL;
	struct vl_pulse *p;
	size_t len = 0;

	if (!path || vl_discard(vl_file_load(path, PULSE_MAX, &text, &len)))
		text = NULL;
	free(path);
	p = (struct vl_pulse *)text;
	if (p && len > sizeof(*p) && !strncmp(p->format, PULSE_FORMAT, sizeof(p->format)) &&
	    p->nr <= PULSE_MAX / sizeof(p->cpus[0]) && len == size_of(p->nr))
		c->pulse = p;
	else
		free(text);
}

void vl_pulse_destroy(struct vl_pulse *p)
{
	free(p);
}

/* ---- what the kernel's own memory says ---- */

static bool read_symbol(const struct vl_contact *c, const char *name, void *buf, size_t len)
{
	uint64_t va = vl_symbol(c->kernel, name);

	return va && vl_target_read_virt(c->target, &c->pt, va, buf, len);
}

bool vl_pulse_crashed(const struct vl_contact *c)
{
	/* PANIC_CPU_INVALID is -1 (kernel/panic.c), and so is arch/x86/kernel/reboot.c's. */
	static const char *const cpus[] = { "panic_cpu", "crashing_cpu" };
	int32_t cpu;

	for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
		if (read_symbol(c, cpus[i], &cpu, sizeof(cpu)) && cpu != -1)
			return true;
	return false;
}

bool vl_pulse_captures(const struct vl_contact *c)
{
	uint64_t addr; /* ELFCORE_ADDR_MAX is -1: is_kdump_kernel(), include/linux/crash_dump.h */

	return read_symbol(c, "elfcorehdr_addr", &addr, sizeof(addr)) && addr != UINT64_MAX;
}

/* Does the kernel say that it gave the machine away, or is about to? */
static bool gave_up(const struct vl_contact *c)
{
	const struct vl_layout *l = vl_kernel_layout(c->kernel);
	int32_t state;
	uint8_t kexec;

	return vl_pulse_crashed(c) ||
	       (read_symbol(c, "kexec_in_progress", &kexec, sizeof(kexec)) && kexec) ||
	       (vl_has(l, VL_F_SYSTEM_RUNNING) &&
		read_symbol(c, "system_state", &state, sizeof(state)) &&
		state > l->offset[VL_F_SYSTEM_RUNNING]);
}

/* ---- what a vCPU runs ---- */

/* The kernel's entry is where it is under every page table of its own, a process's, too. */
static bool is_ours(const struct vl_contact *c, uint64_t entry_gpa, uint64_t cr3, uint64_t cr4)
{
	struct vl_pgtable pt = vl_pgtable(cr3, cr4);
	struct vl_xlat x;

	return vl_translate(&pt, vl_target_read_entry, c->target, c->entry, &x) &&
	       x.gpa == entry_gpa;
}

static void count(struct tally *t, const struct vl_contact *c, uint64_t entry_gpa, uint64_t cr0,
		  uint64_t cr3, uint64_t cr4)
{
	if (!(cr0 & X86_CR0_PG))
		t->off++;
	else if (is_ours(c, entry_gpa, cr3, cr4))
		t->ours++;
	else
		t->others++;
}

/*
 * With @gave_up, CPUs that stand still where the old kernel left them say nothing: it is
 * the others that count.
 */
static bool runs(const struct tally *t, bool gave_up)
{
	return t->ours && !(gave_up && t->others);
}

/* By what the hypervisor process holds. */
static bool looks_alive(const struct vl_contact *c, uint64_t entry_gpa, bool gave_up)
{
	const struct vl_pulse *p = c->pulse;
	struct tally t = { 0 };
	bool same = p->nr;

	for (uint64_t i = 0; i < p->nr; i++) {
		struct vl_held now;

		if (!vl_held_read(c->target, p->cpus[i].at, &now))
			return false;
		same = same && !memcmp(&now, &p->cpus[i].was, sizeof(now));
		count(&t, c, entry_gpa, now.cr[0], now.cr[3], now.cr[4]);
		if (!gave_up && t.ours)
			return true;
	}
	return runs(&t, gave_up) || (same && !gave_up);
}

/* Do the kernel's ticks go on, under our eyes? */
static bool ticks(const struct vl_contact *c)
{
	const struct timespec wait = { .tv_nsec = TICK_NS };
	uint64_t first, now;

	if (!read_symbol(c, "jiffies_64", &first, sizeof(first)))
		return false;
	for (unsigned i = 0; i < TICK_LOOKS; i++) {
		nanosleep(&wait, NULL);
		if (!read_symbol(c, "jiffies_64", &now, sizeof(now)))
			return false;
		if (now != first)
			return now - first < TICKS_MOST;
	}
	return false;
}

/* ---- looks ---- */

static void start(struct vl_contact *c, const struct vl_vcpu *vcpus, size_t nr)
{
	struct vl_pulse *p = calloc(1, size_of(nr));
	uint64_t *at = calloc(nr, sizeof(*at));

	vl_pulse_destroy(c->pulse);
	c->pulse = NULL;
	if (p && at && vl_held_find(c->target, vcpus, nr, at)) {
		strcpy(p->format, PULSE_FORMAT);
		for (size_t i = 0; i < nr; i++)
			if (at[i] && vl_held_read(c->target, at[i], &p->cpus[p->nr].was))
				p->cpus[p->nr++].at = at[i];
		c->pulse = p;
		p = NULL;
		save(c);
	}
	free(at);
	free(p);
}

/* By the module or the monitor. */
static struct vl_error *ask(struct vl_contact *c, uint64_t entry_gpa, bool gave_up, bool *runs_ret)
{
	struct vl_vcpu *vcpus = NULL;
	struct vl_error *err = NULL;
	bool alive = false;
	size_t nr = 0;

	for (unsigned look = 0; !err && !alive && look < 2; look++) {
		struct tally t = { 0 };

		free(vcpus);
		err = vl_target_vcpus(c->target, &vcpus, &nr);
		for (size_t i = 0; !err && i < nr; i++)
			count(&t, c, entry_gpa, vcpus[i].cr0, vcpus[i].cr3, vcpus[i].cr4);
		alive = !err && runs(&t, gave_up);
		if (!err && !t.others)
			break;
	}
	if (alive)
		start(c, vcpus, nr);
	else if (!gave_up)
		alive = ticks(c);
	free(vcpus);
	*runs_ret = alive;
	if (!err || alive) {
		vl_error_destroy(err);
		return NULL;
	}
	err->code = VL_ERR_TARGET;
	err = vl_error_prefix(err, "cannot tell whether the guest still runs this kernel");
	return err;
}

struct vl_error *vl_pulse_look(struct vl_contact *c, bool *runs_ret)
{
	bool ended = false;
	struct vl_xlat x;

	*runs_ret = true;
	if (!vl_target_is_live(c->target))
		return NULL;
	if (!vl_translate(&c->pt, vl_target_read_entry, c->target, c->entry, &x)) {
		*runs_ret = false;
		return NULL;
	}
	if (!c->pulse)
		load(c);
	ended = gave_up(c);
	for (unsigned look = 0; c->pulse && look < LOOKS; look++)
		if (looks_alive(c, x.gpa, ended))
			return NULL;
	return ask(c, x.gpa, ended, runs_ret);
}

void vl_pulse_start(struct vl_contact *c)
{
	struct vl_vcpu *vcpus;
	size_t nr;

	if (!vl_target_is_live(c->target) || vl_discard(vl_target_vcpus(c->target, &vcpus, &nr)))
		return;
	start(c, vcpus, nr);
	free(vcpus);
}

size_t vl_pulse_successors(const struct vl_contact *c, struct vl_vcpu *vcpus, size_t nr)
{
	struct vl_xlat x;
	size_t found = 0;

	if (!gave_up(c) || !vl_translate(&c->pt, vl_target_read_entry, c->target, c->entry, &x))
		return 0;
	for (size_t i = 0; i < nr; i++) {
		struct vl_vcpu v = vcpus[i];

		if (!(v.cr0 & X86_CR0_PG) || is_ours(c, x.gpa, v.cr3, v.cr4))
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
	enum vl_life life = VL_LIFE_FIRMWARE;
	struct vl_vcpu *vcpus;
	size_t nr;

	if (!vl_target_is_live(t) || vl_discard(vl_target_vcpus(t, &vcpus, &nr)))
		return VL_LIFE_UNKNOWN;
	for (size_t i = 0; i < nr; i++) {
		if (!(vcpus[i].cr0 & X86_CR0_PG))
			continue;
		if (is_high(vcpus[i].rip) || is_high(vcpus[i].idt_base))
			life = VL_LIFE_KERNEL;
		else if (life == VL_LIFE_FIRMWARE)
			life = VL_LIFE_LOW;
	}
	free(vcpus);
	return life;
}
