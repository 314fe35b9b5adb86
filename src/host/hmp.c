/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hmp.h"

#include <inttypes.h>
#include <string.h>

#include "../base/array.h"
#include "../base/number.h"
#include "internal.h"

/* More flat ranges or vCPUs than any QEMU machine has. */
#define RANGES_MAX 4096
#define VCPUS_MAX 4096

/* Copy the line at @p into @buf without its line end; returns the next line. */
static const char *next_line(const char *p, char *buf, size_t size)
{
	size_t full = strcspn(p, "\n"), len = full;

	if (len && p[len - 1] == '\r')
		len--;
	if (len >= size)
		len = size - 1;
	memcpy(buf, p, len);
	buf[len] = '\0';
	return p + full + (p[full] == '\n');
}

/*
 * One line of a flat view, QEMU softmmu/memory.c mtree_print_flatview():
 *   "  START-END (prio N, [nv-]TYPE): NAME[ @OFFSET][ KVM]"
 * with START, END (inclusive) and OFFSET of 16 hex digits; START may have more.
 */
static bool parse_flat_line(const char *line, struct vl_hmp_range *r)
{
	char type[16], name[256];
	uint64_t start, last;
	char *at, *end;
	int prio;

	if (sscanf(line, " %" SCNx64 "-%" SCNx64 " (prio %d, %15[^)]): %255[^\n]", &start, &last,
		   &prio, type, name) != 5 ||
	    last < start || start > UINT64_MAX - VL_PAGE_SIZE)
		return false;
	if (!strcmp(type, "rom"))
		r->rom = true;
	else if (!strcmp(type, "ram") || !strcmp(type, "nv-ram"))
		r->rom = false;
	else
		return false;
	end = name + strlen(name);
	/* The last word is the accelerator that has the range mapped. */
	if (end - name > 4 && !strcmp(end - 4, " KVM"))
		*(end -= 4) = '\0';
	r->offset = 0;
	at = end - name > 18 ? end - 18 : NULL;
	if (at && at[0] == ' ' && at[1] == '@' && vl_u64(at + 2, 16, UINT64_MAX, &r->offset))
		*at = '\0';
	/* Display memory belongs to a device. QEMU calls it vga.vram, qxl.vram, … */
	if (strstr(name, "vram"))
		return false;
	snprintf(r->name, sizeof(r->name), "%.*s", (int)sizeof(r->name) - 1, name);
	/* Whole pages only (tpm-ppi is 1 KiB of RAM). */
	r->gpa = (start + VL_PAGE_SIZE - 1) & ~(VL_PAGE_SIZE - 1);
	last = (last + 1) & ~(VL_PAGE_SIZE - 1);
	if (last <= r->gpa)
		return false;
	r->size = last - r->gpa;
	r->offset += r->gpa - start;
	return true;
}

/* Drop ranges of regions that are ROM everywhere; merge neighbours. Returns how many are left. */
static size_t tidy(struct vl_hmp_range *v, size_t nr)
{
	size_t out = 0;

	for (size_t i = 0; i < nr; i++) {
		struct vl_hmp_range *prev = out ? &v[out - 1] : NULL;
		bool keep = !v[i].rom;

		for (size_t j = 0; !keep && j < nr; j++)
			keep = !v[j].rom && !strcmp(v[j].name, v[i].name);
		if (!keep)
			continue;
		if (prev && prev->gpa + prev->size == v[i].gpa &&
		    prev->offset + prev->size == v[i].offset && !strcmp(prev->name, v[i].name)) {
			prev->size += v[i].size;
			/* A run of both kinds is RAM in part. */
			prev->rom = prev->rom && v[i].rom;
			continue;
		}
		v[out++] = v[i];
	}
	return out;
}

struct vl_error *vl_hmp_mtree(const char *text, struct vl_hmp_range **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_hmp_range *v = NULL;
	bool here = false, seen = false;
	size_t nr = 0;
	char line[512];

	v = calloc(RANGES_MAX, sizeof(*v));
	if (!v)
		return vl_error_nomem();
	while (*text && nr < RANGES_MAX) {
		text = next_line(text, line, sizeof(line));
		if (!strncmp(line, "FlatView #", 10)) {
			if (seen)
				break;
		} else if (!strncmp(line, " AS \"memory\",", 13)) {
			seen = here = true;
		} else if (here && parse_flat_line(line, &v[nr])) {
			nr++;
		}
	}
	nr = tidy(v, nr);
	if (!nr)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the monitor shows no guest memory"),
			"see what `info mtree -f` prints; QEMU 2.10 or later is needed");
	*ret = v;
	v = NULL;
	*nr_ret = nr;
	return NULL;
}

struct vl_error *vl_hmp_gpa2hva(const char *text, uint64_t *ret)
{
	/* QEMU monitor/misc.c: "Host virtual address for 0x0 (pc.ram) is 0x7f…" */
	const char *p = strstr(text, ") is ");

	if (p && !strncmp(text, "Host virtual address", 20)) {
		p += 5;
		if (vl_take_u64(&p, 0, UINT64_MAX, ret) && *ret)
			return NULL;
	}
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET,
			     "the monitor gives no host address for guest memory: %.*s",
			     (int)strcspn(text, "\r\n"), text),
		"QEMU 2.10 or later is needed (monitor command gpa2hva)");
}

/* The value after "NAME=" at the start of the line or after a blank. */
static bool field(const char *line, const char *name, uint64_t *ret)
{
	size_t len = strlen(name);

	for (const char *p = line; (p = strstr(p, name)); p += len) {
		const char *v = p + len;

		if (p != line && p[-1] != ' ')
			continue;
		while (*v == ' ')
			v++;
		if (*v != '=')
			continue;
		v++;
		return vl_take_u64(&v, 16, UINT64_MAX, ret);
	}
	return false;
}

/* "CS =0010 0000000000000000 ffffffff 00af9b00 …": selector, base, limit. */
static bool segment(const char *line, const char *name, uint16_t *sel_ret, uint64_t *base_ret,
		    uint32_t *limit_ret)
{
	unsigned int sel, limit;
	uint64_t base;

	if (strncmp(line, name, 3) ||
	    sscanf(line + 3, "=%x %" SCNx64 " %x", &sel, &base, &limit) != 3)
		return false;
	if (sel_ret)
		*sel_ret = (uint16_t)sel;
	if (base_ret)
		*base_ret = base;
	if (limit_ret)
		*limit_ret = limit;
	return true;
}

/* "GDT=     fffffe0000001000 0000007f" */
static bool table(const char *line, const char *name, uint64_t *base_ret, uint32_t *limit_ret)
{
	return !strncmp(line, name, 4) &&
	       sscanf(line + 4, " %" SCNx64 " %" SCNx32, base_ret, limit_ret) == 2;
}

/*
 * When a vCPU runs 32-bit code in long mode, QEMU prints its segment bases cut to 32 bits
 * (target/i386/cpu-dump.c cpu_x86_dump_seg_cache()), but the GDT's base in full. Linux keeps
 * TSS and GDT of a CPU in one cpu_entry_area, well within 4 GiB. So take the upper half that
 * brings TR nearest to the GDT.
 */
static void complete_tr(struct vl_vcpu *c)
{
	uint64_t near = (c->gdt_base & ~0xffffffffULL) | (c->tr_base & 0xffffffff);

	if (c->tr_base >> 32 || !(c->gdt_base >> 32))
		return;
	if (near > c->gdt_base && near - c->gdt_base > 0x80000000)
		near -= 1ULL << 32;
	else if (near < c->gdt_base && c->gdt_base - near > 0x80000000)
		near += 1ULL << 32;
	c->tr_base = near;
}

enum {
	GOT_RIP = 1,
	GOT_CS = 2,
	GOT_GS = 4,
	GOT_TR = 8,
	GOT_GDT = 16,
	GOT_IDT = 32,
	GOT_CR = 64,
	GOT_ALL = 127
};

/* Parse the registers of one line; target/i386/cpu-dump.c x86_cpu_dump_state(). */
static int registers_line(const char *line, struct vl_vcpu *c)
{
	uint64_t v;
	int got = 0;

	if (field(line, "RIP", &c->rip) || field(line, "EIP", &c->rip))
		got |= GOT_RIP;
	if (field(line, "RFL", &c->rflags) || field(line, "EFL", &c->rflags) ||
	    field(line, "RSP", &c->rsp) || field(line, "ESP", &c->rsp) ||
	    field(line, "EFER", &c->efer))
		return got;
	if (segment(line, "CS ", &c->cs, NULL, NULL))
		return GOT_CS;
	if (segment(line, "SS ", &c->ss, NULL, NULL))
		return 0;
	if (segment(line, "GS ", NULL, &c->gs_base, NULL))
		return GOT_GS;
	if (segment(line, "TR ", &c->tr, &c->tr_base, &c->tr_limit))
		return GOT_TR;
	if (table(line, "GDT=", &c->gdt_base, &c->gdt_limit))
		return GOT_GDT;
	if (table(line, "IDT=", &c->idt_base, &c->idt_limit))
		return GOT_IDT;
	if (field(line, "CR0", &c->cr0) && field(line, "CR3", &c->cr3) && field(line, "CR4", &v)) {
		c->cr4 = v;
		return GOT_CR;
	}
	return got;
}

struct vl_error *vl_hmp_registers(const char *text, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_vcpu *v = NULL;
	size_t nr = 0;
	char line[512];
	int got = GOT_ALL;

	while (*text) {
		text = next_line(text, line, sizeof(line));
		if (!strncmp(line, "CPU#", 4)) {
			struct vl_vcpu *more;

			if (got != GOT_ALL || nr == VCPUS_MAX)
				break;
			more = reallocarray(v, nr + 1, sizeof(*v));
			if (!more)
				return vl_error_nomem();
			v = more;
			memset(&v[nr++], 0, sizeof(*v));
			got = 0;
		} else if (nr) {
			got |= registers_line(line, &v[nr - 1]);
		}
	}
	if (!nr || got != GOT_ALL)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the monitor shows no x86 registers"),
			"only x86-64 guests are understood; see `info registers -a`");
	for (size_t i = 0; i < nr; i++)
		complete_tr(&v[i]);
	*ret = v;
	v = NULL;
	*nr_ret = nr;
	return NULL;
}

/* General registers, as the monitor calls them: in 64-bit code with an R in front, else an E. */
static const struct {
	const char *name;
	size_t at;
} general[] = {
	{ "AX", offsetof(struct vl_registers, rax) },
	{ "BX", offsetof(struct vl_registers, rbx) },
	{ "CX", offsetof(struct vl_registers, rcx) },
	{ "DX", offsetof(struct vl_registers, rdx) },
	{ "SI", offsetof(struct vl_registers, rsi) },
	{ "DI", offsetof(struct vl_registers, rdi) },
	{ "SP", offsetof(struct vl_registers, rsp) },
	{ "BP", offsetof(struct vl_registers, rbp) },
	{ "8", offsetof(struct vl_registers, r8) },
	{ "9", offsetof(struct vl_registers, r9) },
	{ "10", offsetof(struct vl_registers, r10) },
	{ "11", offsetof(struct vl_registers, r11) },
	{ "12", offsetof(struct vl_registers, r12) },
	{ "13", offsetof(struct vl_registers, r13) },
	{ "14", offsetof(struct vl_registers, r14) },
	{ "15", offsetof(struct vl_registers, r15) },
	{ "IP", offsetof(struct vl_registers, rip) },
	{ "FL", offsetof(struct vl_registers, rflags) },
};

static const struct {
	const char *name;
	size_t at;
} segments[] = {
	{ "CS ", offsetof(struct vl_registers, cs) },  { "DS ", offsetof(struct vl_registers, ds) },
	{ "ES ", offsetof(struct vl_registers, es) },  { "FS ", offsetof(struct vl_registers, fs) },
	{ "GS ", offsetof(struct vl_registers, gs) },  { "SS ", offsetof(struct vl_registers, ss) },
	{ "LDT", offsetof(struct vl_registers, ldt) }, { "TR ", offsetof(struct vl_registers, tr) },
};

static void all_of_line(const char *line, struct vl_registers *r)
{
	static const char *const control[] = { "CR0", "CR1", "CR2", "CR3", "CR4" };
	char name[8];
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(general); i++) {
		snprintf(name, sizeof(name), "R%s", general[i].name);
		if (!field(line, name, &v)) {
			*name = 'E';
			if (!field(line, name, &v))
				continue;
		}
		memcpy((char *)r + general[i].at, &v, sizeof(v));
	}
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
		struct vl_register_segment s = { 0 };

		if (!strncmp(line, segments[i].name, 3) &&
		    sscanf(line + 3, "=%" SCNx32 " %" SCNx64 " %" SCNx32 " %" SCNx32, &s.selector,
			   &s.base, &s.limit, &s.flags) == 4)
			memcpy((char *)r + segments[i].at, &s, sizeof(s));
	}
	if (table(line, "GDT=", &v, &r->gdt.limit))
		r->gdt.base = v;
	if (table(line, "IDT=", &v, &r->idt.limit))
		r->idt.base = v;
	for (size_t i = 0; i < ARRAY_SIZE(control); i++)
		if (field(line, control[i], &v))
			r->cr[i] = v;
}

struct vl_error *vl_hmp_all_registers(const char *text, struct vl_registers **ret, size_t *nr_ret)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	_cleanup_free_ struct vl_registers *v = NULL;
	size_t nr, n = 0;
	struct vl_error *err = vl_hmp_registers(text, &vcpus, &nr);
	char line[512];

	if (err)
		return err;
	v = calloc(nr, sizeof(*v));
	if (!v)
		return vl_error_nomem();
	while (*text && n <= nr) {
		text = next_line(text, line, sizeof(line));
		if (!strncmp(line, "CPU#", 4))
			n++;
		else if (n && n <= nr)
			all_of_line(line, &v[n - 1]);
	}
	for (size_t i = 0; i < nr; i++) {
		v[i].version = VL_REGISTERS_VERSION;
		v[i].size = VL_REGISTERS_OLD;
		v[i].tr.base = vcpus[i].tr_base;
	}
	*ret = vl_taken(v);
	*nr_ret = nr;
	return NULL;
}
