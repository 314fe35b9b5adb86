/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entries of the CPUs into the kernel: the tables of interrupts and segments, and the MSRs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../host/entry.h"
#include "check.h"

#define CR0_WP (1UL << 16)
#define CR0_PG (1UL << 31)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)
#define CR4_FRED (1UL << 32)
#define NX (1UL << 63)

static bool is_kernel(uint64_t va)
{
	return va >> 63;
}

/* ---- gates ---- */

#define VECTORS 256
#define PRESENT 0x80

struct gate {
	uint16_t low, segment;
	uint8_t ist, type;
	uint16_t middle;
	uint32_t high, reserved;
};

static bool find_exec(void *ctx, const struct vl_leaf *leaf)
{
	*(bool *)ctx = !(leaf->flags & NX);
	return false;
}

bool vl_check_is_freed(struct vl_checker *c, uint64_t va)
{
	bool exec = false;

	if (va < vl_symbol(c->k, "_sinittext") || va >= vl_symbol(c->k, "_einittext"))
		return false;
	vl_pages_each(c->g->target, &c->g->space, va, va, find_exec, &exec);
	return !exec;
}

/* May a gate lead to @to? Vectors that nothing uses still lead to the boot code. */
static bool is_target(struct vl_checker *c, uint64_t to)
{
	return vl_place_of(&c->places, to).kind == VL_PLACE_TEXT || vl_check_is_freed(c, to);
}

/* Check the gates of the IDT at @table. */
static struct vl_error *check_gates(struct vl_checker *c, uint64_t table)
{
	struct gate gates[VECTORS];
	enum vl_read_status s = vl_read(c->g->reader, &c->g->space, table, gates, sizeof(gates));

	for (size_t i = 0; !s && i < VECTORS; i++) {
		const struct gate *g = &gates[i];
		uint64_t to = g->low | (uint64_t)g->middle << 16 | (uint64_t)g->high << 32;
		char what[32];

		if (!(g->type & PRESENT) || is_target(c, to))
			continue;
		snprintf(what, sizeof(what), "vector %zu", i);
		vl_check_show(c, &(struct vl_check_row){
					 .check = "interrupts",
					 .at = table + i * sizeof(*g),
					 .what = what,
					 .expected = "the kernel's own code",
					 .code = to,
				 });
	}
	return vl_read_error(s, table);
}

/* ---- the tables that the vCPUs use ---- */

/* Do @a and @b lie in the same place of the guest's memory? */
static bool is_same(struct vl_checker *c, uint64_t a, uint64_t b)
{
	uint64_t x, y;

	return !vl_reader_where(c->g->reader, &c->g->space, a, &x, NULL) &&
	       !vl_reader_where(c->g->reader, &c->g->space, b, &y, NULL) && x == y;
}

static void show_table(struct vl_checker *c, size_t cpu, const char *table, uint64_t base,
		       const char *expected)
{
	char what[64];

	snprintf(what, sizeof(what), "%s of vCPU %zu", table, cpu);
	vl_check_show(c, &(struct vl_check_row){
				 .check = "interrupts",
				 .at = base,
				 .what = what,
				 .expected = expected,
				 .code = base,
			 });
}

/* Kernels read the IDT at an address of its own (cpu_entry_area), in the same page. */
static struct vl_error *check_idt(struct vl_checker *c, const struct vl_entry *e, size_t nr)
{
	uint64_t table, seen = 0;
	struct vl_error *err = vl_need_symbol(c->g, "idt_table", "the table of interrupts", &table);

	if (!err)
		err = check_gates(c, table);
	for (size_t i = 0; !err && i < nr; i++) {
		uint64_t base = e[i].regs.idt_base;

		if (!is_kernel(base) || is_same(c, base, table))
			continue;
		show_table(c, i, "IDT", base, "idt_table");
		/* Linux has one table for all CPUs. */
		if (base != seen)
			err = check_gates(c, base);
		seen = base;
	}
	return err;
}

/* CONFIG_NR_CPUS is at most this (arch/x86/Kconfig). */
#define CPUS_MAX 8192
/* Segment descriptors, Intel SDM volume 3, 3.4.5: present; code or data, not a system's. */
#define DESC_PRESENT (1UL << 47)
#define DESC_USER (1UL << 44)
#define DESC_TYPE(d) ((d) >> 40 & 0xf)
#define CALL_GATE 0xc
#define GDT_MAX 8192

/* No kernel has call gates, which lead from user mode to an address of their own. */
static void check_segments(struct vl_checker *c, size_t cpu, const struct vl_vcpu *v)
{
	size_t nr = (v->gdt_limit + 1UL) / 8;
	uint64_t desc[512];

	for (size_t i = 0; i < nr && i < GDT_MAX; i++) {
		char what[64];
		size_t k = i % ARRAY_SIZE(desc), left = nr - i;

		if (!k && vl_read(c->g->reader, &c->g->space, v->gdt_base + 8 * i, desc,
				  8 * (left < ARRAY_SIZE(desc) ? left : ARRAY_SIZE(desc))))
			return;
		if (!(desc[k] & DESC_PRESENT) || desc[k] & DESC_USER)
			continue;
		if (DESC_TYPE(desc[k]) != CALL_GATE) {
			i++; /* a system's descriptor has 16 bytes */
			continue;
		}
		snprintf(what, sizeof(what), "GDT of vCPU %zu, segment 0x%zx", cpu, 8 * i);
		vl_check_show(c, &(struct vl_check_row){
					 .check = "interrupts",
					 .at = v->gdt_base + 8 * i,
					 .what = what,
					 .expected = "no call gate",
					 .found = "a call gate",
				 });
	}
}

/* Is @base the GDT of one of the guest's CPUs? Its numbers of CPUs need not be the vCPUs'. */
static bool is_gdt(struct vl_checker *c, uint64_t base, const uint64_t *offsets, size_t nr)
{
	uint64_t gdt = vl_symbol(c->k, "gdt_page");

	for (size_t i = 0; i < nr; i++)
		if (is_same(c, base, gdt + offsets[i]))
			return true;
	return false;
}

static struct vl_error *check_gdt(struct vl_checker *c, const struct vl_entry *e, size_t nr)
{
	_cleanup_free_ uint64_t *offsets = NULL;
	size_t nr_cpus = nr < CPUS_MAX ? nr : CPUS_MAX;
	enum vl_read_status s;
	bool up = vl_kernel_is_up(c->k);
	uint64_t at = 0;
	struct vl_error *err =
		up ? NULL : vl_need_symbol(c->g, "__per_cpu_offset", "its CPUs", &at);

	if (err || !nr || !vl_symbol_is(c->k, "gdt_page"))
		return err;
	offsets = calloc(nr_cpus, sizeof(*offsets));
	if (!offsets)
		return vl_error_nomem();
	s = up ? VL_READ_OK :
		 vl_read(c->g->reader, &c->g->space, at, offsets, nr_cpus * sizeof(*offsets));
	for (size_t i = 0; !s && i < nr; i++) {
		const struct vl_vcpu *v = &e[i].regs;

		if (!is_kernel(v->gdt_base) || !is_kernel(v->idt_base))
			continue;
		if (!is_gdt(c, v->gdt_base, offsets, nr_cpus))
			show_table(c, i, "GDT", v->gdt_base, "the gdt_page of a CPU");
		check_segments(c, i, v);
	}
	return vl_read_error(s, at);
}

/* ---- MSRs ---- */

/* __USER32_CS and __KERNEL_CS, arch/x86/include/asm/segment.h. */
#define STAR_SEGMENTS 0x00230010UL
/* The flags that a system call must clear: TF, IF, DF, IOPL, NT, AC (syscall_init()). */
#define FMASK 0x47700UL

static void show_msr(struct vl_checker *c, size_t cpu, const char *name, const char *expected,
		     uint64_t value)
{
	char what[64], number[32];

	snprintf(what, sizeof(what), "%s of vCPU %zu", name, cpu);
	snprintf(number, sizeof(number), "0x%" PRIx64, value);
	vl_check_show(c, &(struct vl_check_row){
				 .check = "system call entry",
				 .what = what,
				 .expected = expected,
				 .code = is_kernel(value) ? value : 0,
				 .found = is_kernel(value) ? NULL : number,
			 });
}

/* Is @value the address of one of these symbols? */
static bool is_one_of(const struct vl_checker *c, uint64_t value, const char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		if (value == vl_symbol(c->k, names[i]))
			return true;
	return false;
}

static void check_msrs(struct vl_checker *c, size_t cpu, const struct vl_entry *e)
{
	/* "x86/entry: Rename ignore_sysret()" (6.7) */
	static const char *const compat[] = { "entry_SYSCALL_compat", "entry_SYSCALL32_ignore",
					      "ignore_sysret", NULL },
				 *const sysenter[] = { "entry_SYSENTER_compat", NULL };

	if (e->lstar != c->g->attach->entry)
		show_msr(c, cpu, "LSTAR", "entry_SYSCALL_64", e->lstar);
	/* "x86/cpu: Don't write CSTAR MSR on Intel CPUs" (5.16) */
	if (e->cstar && !is_one_of(c, e->cstar, compat))
		show_msr(c, cpu, "CSTAR", "entry_SYSCALL_compat", e->cstar);
	if (e->sysenter_eip && !is_one_of(c, e->sysenter_eip, sysenter))
		show_msr(c, cpu, "SYSENTER_EIP", "entry_SYSENTER_compat", e->sysenter_eip);
	if (e->star >> 32 != STAR_SEGMENTS)
		show_msr(c, cpu, "STAR", "the segments 0x10 and 0x23", e->star);
	if ((e->fmask & FMASK) != FMASK)
		show_msr(c, cpu, "SFMASK", "at least 0x47700", e->fmask);
}

static void check_calls(struct vl_checker *c, const struct vl_entry *e, size_t nr)
{
	size_t unknown = 0;

	for (size_t i = 0; i < nr; i++) {
		const struct vl_vcpu *v = &e[i].regs;

		/* A CPU that Linux has not started has no entry yet. */
		if (!(v->cr0 & CR0_PG) || !is_kernel(v->idt_base))
			continue;
		/* Under FRED the kernel does not set LSTAR ("x86/fred: ...", 6.9). */
		if (e[i].has_msrs && !(v->cr4 & CR4_FRED))
			check_msrs(c, i, &e[i]);
		else
			unknown++;
	}
	if (unknown)
		vl_check_show(
			c,
			&(struct vl_check_row){
				.class = VL_CHECK_NOTE,
				.unsure = true,
				.check = "system call entry",
				.what = "LSTAR and the other MSRs",
				.found = vl_target_is_live(c->g->target) ?
						 "not checked: the hypervisor does not give them" :
						 "not checked: they are not in the file",
			});
}

/* ---- control registers ---- */

/* X86_FEATURE_SMEP and X86_FEATURE_SMAP: bits of this word, arch/x86/include/asm/cpufeatures.h. */
#define CAPS_WORD 9
#define CAPS_SMEP (1U << 7)
#define CAPS_SMAP (1U << 20)

/*
 * The bits of CR4 that the kernel turns on while it starts and then keeps: by the features of its
 * CPU, by those that it does not let anyone change (cr4_pinned_bits), and by the other CPUs. A
 * guest that was started with "nosmap" has the feature in none of them.
 */
static uint64_t kept_bits(struct vl_checker *c, const struct vl_entry *e, size_t nr)
{
	uint64_t cpu = vl_symbol(c->k, "boot_cpu_data"), at = vl_symbol(c->k, "cr4_pinned_bits");
	uint64_t pinned = 0;
	uint32_t caps = 0;

	if (cpu && vl_has(c->l, VL_F_CPU_CAPS) &&
	    vl_read_u32(c->g->reader, &c->g->space,
			cpu + vl_offset(c->l, VL_F_CPU_CAPS) + CAPS_WORD * sizeof(caps), &caps))
		caps = 0;
	if (at && vl_read_u64(c->g->reader, &c->g->space, at, &pinned))
		pinned = 0;
	if (caps & CAPS_SMEP)
		pinned |= CR4_SMEP;
	if (caps & CAPS_SMAP)
		pinned |= CR4_SMAP;
	for (size_t i = 0; i < nr; i++)
		pinned |= e[i].regs.cr4;
	return pinned & (CR4_SMEP | CR4_SMAP);
}

static void show_bit(struct vl_checker *c, size_t cpu, const char *name, uint64_t value,
		     const char *without)
{
	char what[64], found[VL_CHECK_TEXT];

	snprintf(what, sizeof(what), "%s of vCPU %zu", name, cpu);
	snprintf(found, sizeof(found), "off (0x%" PRIx64 "): %s", value, without);
	vl_check_show(c, &(struct vl_check_row){
				 .check = "protection",
				 .what = what,
				 .expected = "on, as the kernel sets it when it starts",
				 .found = found,
			 });
}

/*
 * Bits of the control registers that protect the kernel from itself and from programs. The kernel
 * turns none of them off again.
 */
static void check_control(struct vl_checker *c, const struct vl_entry *e, size_t nr)
{
	uint64_t kept = kept_bits(c, e, nr);

	for (size_t i = 0; i < nr; i++) {
		const struct vl_vcpu *v = &e[i].regs;

		/* A CPU that Linux has not started. */
		if (!(v->cr0 & CR0_PG) || !is_kernel(v->idt_base))
			continue;
		if (!(v->cr0 & CR0_WP))
			show_bit(c, i, "CR0.WP", v->cr0,
				 "the kernel can write its read-only memory");
		if (kept & ~v->cr4 & CR4_SMEP)
			show_bit(c, i, "CR4.SMEP", v->cr4,
				 "the kernel can execute the memory of processes");
		if (kept & ~v->cr4 & CR4_SMAP)
			show_bit(c, i, "CR4.SMAP", v->cr4,
				 "the kernel can read the memory of processes anywhere");
	}
}

static void show_no_vcpus(struct vl_checker *c)
{
	vl_check_show(
		c, &(struct vl_check_row){
			   .class = VL_CHECK_NOTE,
			   .unsure = true,
			   .check = "system call entry",
			   .what = "the registers of the vCPUs",
			   .found = vl_target_is_live(c->g->target) ?
					    "not checked: without the module they are not known" :
					    "not checked: they are not in the file",
		   });
}

struct vl_error *vl_check_entry(struct vl_checker *c)
{
	_cleanup_free_ struct vl_entry *e = NULL;
	struct vl_error *err = NULL;
	size_t nr = 0;

	if (vl_target_has_vcpus(c->g->target))
		err = vl_entry_read(c->g->target, &e, &nr);
	else
		show_no_vcpus(c);
	if (!err)
		err = check_idt(c, e, nr);
	if (!err)
		err = check_gdt(c, e, nr);
	if (!err) {
		check_calls(c, e, nr);
		check_control(c, e, nr);
	}
	return err;
}
