/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls: which function the kernel really calls for each number, and whether it is
 * the right one. Up to 6.8 that is in a table (sys_call_table). Since "x86/syscall: Don't force
 * use of indirect calls for system calls" (6.9, and stable kernels of the time) it is in a
 * switch (x64_sys_call), compiled to comparisons and jumps; the table is then for the tracing
 * of calls only.
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../attach/attach.h"
#include "../base/cleanup.h"
#include "../kernel/calls.h"
#include "collect.h"
#include "dispatch.h"
#include "modules.h"

enum { SC_NR, SC_NAME, SC_ADDRESS, SC_SYMBOL, SC_MARK, SC_VIA, SC_TABLE };

static const struct vl_column columns[] = {
	[SC_NR] = { "NR", VL_CELL_UINT, true, .doc = "number of the system call" },
	[SC_NAME] = { "NAME", VL_CELL_TEXT, true, .doc = "its name on x86-64" },
	[SC_ADDRESS] = { "ADDRESS", VL_CELL_HEX, true,
			 .doc = "address of what the kernel calls for it" },
	[SC_SYMBOL] = { "SYMBOL", VL_CELL_TEXT, true, .doc = "the function there" },
	[SC_MARK] = { "MARK", VL_CELL_TEXT, true, .doc = "what is not as expected" },
	[SC_VIA] = { "VIA", VL_CELL_TEXT, false, .doc = "how it is called: table, switch" },
	[SC_TABLE] = { "TABLE", VL_CELL_HEX, false, .doc = "the entry in sys_call_table" },
	{ 0 },
};

/* Limits of a table's entries and a function's bytes; more is no table, no function. */
#define MAX_CALLS 1024
#define MAX_SWITCH (256U << 10)
#define ENTRY_LEN 32

/* The first call of the x32 ABI, which older kernels have in the same table. */
#define X32_FIRST 512

struct check {
	struct vl_raw_guest *g;
	const struct vl_kernel *k;
	uint64_t stext, etext;
	struct vl_module *modules;
	size_t nr_modules;
	bool lacks_modules; /* the list could not be read */
	uint64_t table[MAX_CALLS], called[MAX_CALLS];
	/* Could the entry of the table, or what the kernel calls, not be read? */
	bool lacks_table[MAX_CALLS], lacks_called[MAX_CALLS];
	unsigned char entries[MAX_CALLS][ENTRY_LEN];
	enum vl_read_status status[MAX_CALLS]; /* of `entries` */
	size_t nr;
	bool by_switch;
};

#define NO_TABLE "the guest's sys_call_table is empty"

static struct vl_error *read_table(struct check *c)
{
	uint64_t start, end;
	size_t failed = 0;
	struct vl_error *err = vl_need_symbol(c->g, "sys_call_table", "the table", &start);

	if (err)
		return err;
	end = vl_symbol_after(c->k, start);
	c->nr = end > start ? (end - start) / 8 : 0;
	if (c->nr > MAX_CALLS)
		c->nr = MAX_CALLS;
	err = vl_read_error(vl_read(c->g->reader, &c->g->space, start, c->table, 8 * c->nr), start);
	/* Entry by entry: a file may have one page of the table and lack the next one. */
	for (size_t i = 0; err && i < c->nr; i++) {
		enum vl_read_status st =
			vl_read_u64(c->g->reader, &c->g->space, start + 8 * i, &c->table[i]);

		c->lacks_table[i] = st != VL_READ_OK;
		failed += c->lacks_table[i];
	}
	if (err && failed == c->nr)
		return err;
	vl_error_destroy(err);
	/* The next symbol is aligned: the last words may be padding. */
	while (c->nr && !c->table[c->nr - 1] && !c->lacks_table[c->nr - 1])
		c->nr--;
	return c->nr ? NULL : vl_error_new(VL_ERR_KERNEL, NO_TABLE);
}

/* Find the functions that the kernel calls: by its switch if it has one, else by the table. */
static struct vl_error *find_called(struct check *c)
{
	uint64_t start = vl_symbol(c->k, "x64_sys_call");
	uint64_t end = start ? vl_symbol_after(c->k, start) : 0;
	_cleanup_free_ unsigned char *code = NULL;
	struct vl_error *err;

	memcpy(c->called, c->table, sizeof(c->called));
	memcpy(c->lacks_called, c->lacks_table, sizeof(c->lacks_called));
	if (end <= start)
		return NULL;
	if (end - start > MAX_SWITCH)
		end = start + MAX_SWITCH;
	c->by_switch = true;
	/* The table is then for tracing only: it does not tell what is called. */
	memset(c->called, 0, sizeof(c->called));
	memset(c->lacks_called, true, sizeof(c->lacks_called));
	code = malloc(end - start);
	if (!code)
		return vl_error_nomem();
	err = vl_read_error(vl_read(c->g->reader, &c->g->space, start, code, end - start), start);
	if (err)
		return err;
	for (size_t i = 0; i < c->nr; i++)
		if (vl_switch_target(code, end - start, start, (uint32_t)i, &c->called[i]))
			c->lacks_called[i] = false;
		else if (!err)
			err = vl_error_hint(vl_error_new(VL_ERR_KERNEL,
							 "the switch over system calls "
							 "(x64_sys_call) is not understood for %zu",
							 i),
					    "the kernel may have been changed: see it with "
					    "vpeek GUEST x64_sys_call 4096");
	return err;
}

/*
 * The length of the instruction that counts a call, at the start of @code: sarq $5 to a variable of
 * the CPU. 0: it is not there. With retbleed=stuff the kernel calls functions by it: it writes it
 * into the padding before them (arch/x86/kernel/callthunks.c).
 */
static size_t counts_call(const unsigned char code[ENTRY_LEN])
{
	static const unsigned char relative[] = { 0x65, 0x48, 0xc1, 0x3d },
				   absolute[] = { 0x65, 0x48, 0xc1, 0x3c, 0x25 };

	if (!memcmp(code, relative, sizeof(relative)) && code[8] == 5)
		return 9;
	return !memcmp(code, absolute, sizeof(absolute)) && code[9] == 5 ? 10 : 0;
}

/* A call of the switch that leads to the counting of a function is a call of that function. */
static void skip_counting(struct check *c, size_t i)
{
	size_t len = counts_call(c->entries[i]);
	uint64_t offset, va = c->called[i] + len;

	if (!len || !vl_symbol_at(c->k, va, &offset) || offset)
		return;
	c->called[i] = va;
	c->status[i] =
		vl_read(c->g->reader, &c->g->space, va, c->entries[i], sizeof(c->entries[i]));
}

static void read_entries(struct check *c)
{
	struct vl_get *items = calloc(c->nr, sizeof(*items));

	for (size_t i = 0; items && i < c->nr; i++)
		items[i] = (struct vl_get){ .va = c->called[i],
					    .buf = c->entries[i],
					    .len = ENTRY_LEN };
	if (items)
		vl_gather(c->g->reader, &c->g->space, items, c->nr);
	for (size_t i = 0; items && i < c->nr; i++)
		c->status[i] = (enum vl_read_status)items[i].status;
	for (size_t i = 0; items && c->by_switch && i < c->nr; i++)
		if (c->status[i] == VL_READ_OK)
			skip_counting(c, i);
	free(items);
}

static bool in_text(const struct check *c, uint64_t va)
{
	return va >= c->stext && va < c->etext;
}

/* Describe the place of @va in @buf: "in module x", "outside of the kernel's text". */
static void where(const struct check *c, uint64_t va, char *buf, size_t size)
{
	const struct vl_module *m = vl_module_at(c->modules, c->nr_modules, va);

	if (in_text(c, va))
		snprintf(buf, size, "in the kernel's text");
	else if (m)
		snprintf(buf, size, "in module %.*s", VL_MODULE_NAME, m->name);
	else
		snprintf(buf, size, "outside of the kernel's text%s",
			 c->lacks_modules ? "" : " and of any module");
}

static bool is_at(const struct check *c, const char *prefix, const char *name, uint64_t va)
{
	char symbol[128];

	snprintf(symbol, sizeof(symbol), "%s%s", prefix, name);
	/* vl_symbol() also finds a copy with a suffix, which is another function. */
	return vl_symbol_is(c->k, symbol) && vl_symbol(c->k, symbol) == va;
}

/* Is the function at @va the handler of call @name? */
static bool is_handler(const struct check *c, const char *name, uint64_t va)
{
	return is_at(c, "__x64_sys_", vl_call_handler(name), va) ||
	       is_at(c, "__x64_sys_", name, va);
}

/* Is it the function of calls that this kernel is built without? */
static bool is_none(const struct check *c, uint64_t va)
{
	return is_at(c, "__x64_sys_", "ni_syscall", va) || is_at(c, "", "sys_ni_syscall", va);
}

/* Is @symbol the name of the handler of any call? */
static bool named_so(const char *symbol)
{
	static const char *const prefixes[] = { "__x64_sys_", "__x32_compat_sys_",
						"__x64_compat_sys_", "__ia32_compat_sys_",
						"compat_sys_" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strncmp(symbol, prefixes[i], strlen(prefixes[i])))
			return true;
	return false;
}

/* Describe in @buf what is wrong with the function of a call; false: nothing. */
static bool judge_target(const struct check *c, const char *name, const char *symbol,
			 uint64_t offset, uint64_t va, char *buf, size_t size)
{
	if (!in_text(c, va)) {
		where(c, va, buf, size);
		return true;
	}
	if (!symbol || offset) {
		snprintf(buf, size, "in the middle of a function");
		return true;
	}
	if (is_none(c, va) || (name && is_handler(c, name, va)))
		return false;
	if (name) {
		snprintf(buf, size, "not the function of %s", name);
		return true;
	}
	if (!named_so(symbol)) {
		snprintf(buf, size, "not the function of a system call");
		return true;
	}
	return false;
}

/* Describe in @buf what is wrong with the entry of call @i's function; false: nothing. */
static bool judge_entry(const struct check *c, size_t i, char *buf, size_t size)
{
	enum vl_entry_kind kind;
	const char *symbol;
	uint64_t to, offset;
	char place[128];

	/* A page that the file lacks is no finding; the view reports it at its end. */
	if (!vl_target_is_live(c->g->target) &&
	    (c->status[i] == VL_READ_NO_RAM || c->status[i] == VL_READ_GONE))
		return false;
	if (c->status[i] != VL_READ_OK) {
		snprintf(buf, size, "its code cannot be read");
		return true;
	}
	kind = vl_entry_kind(c->entries[i], ENTRY_LEN, c->called[i], &to);
	where(c, to, place, sizeof(place));
	symbol = in_text(c, to) ? vl_symbol_at(c->k, to, &offset) : NULL;
	switch (kind) {
	case VL_ENTRY_JUMP:
		if (in_text(c, to))
			return false; /* to another part of it, as compiled */
		snprintf(buf, size, "its entry jumps to 0x%" PRIx64 ", %s", to, place);
		return true;
	case VL_ENTRY_CALL:
		if (in_text(c, to) && (!symbol || strncmp(symbol, "ftrace_", 7)))
			return false;
		snprintf(buf, size, VL_CALL_TRACED " 0x%" PRIx64 ", %s", to, place);
		return true;
	case VL_ENTRY_BREAK:
		snprintf(buf, size, "a breakpoint is at its entry");
		return true;
	case VL_ENTRY_FAR:
		snprintf(buf, size, "its entry jumps away");
		return true;
	default:
		return false;
	}
}

static void show_call(const struct check *c, size_t i, struct vl_table *t)
{
	char *name =
		i < X32_FIRST ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)i) : NULL;
	uint64_t va = c->called[i], offset = 0;
	const char *symbol = in_text(c, va) ? vl_symbol_at(c->k, va, &offset) : NULL;
	char mark[512], exact[128];
	bool marked;

	vl_table_row(t);
	vl_table_uint(t, SC_NR, i);
	vl_table_str(t, SC_NAME, name);
	vl_table_str(t, SC_VIA, c->by_switch ? "switch" : "table");
	if (!c->lacks_table[i])
		vl_table_uint(t, SC_TABLE, c->table[i]);
	if (c->lacks_called[i]) {
		free(name);
		return;
	}
	vl_table_uint(t, SC_ADDRESS, va);
	/* One address can have several names: take the call's own. */
	if (name && symbol && is_at(c, "__x64_sys_", name, va)) {
		snprintf(exact, sizeof(exact), "__x64_sys_%s", name);
		symbol = exact;
	}
	if (symbol && offset)
		vl_table_printf(t, SC_SYMBOL, "%s+0x%" PRIx64, symbol, offset);
	else
		vl_table_str(t, SC_SYMBOL, symbol);
	marked = judge_target(c, name, symbol, offset, va, mark, sizeof(mark)) ||
		 judge_entry(c, i, mark, sizeof(mark));
	if (!marked && c->by_switch && !c->lacks_table[i] && c->table[i] != va) {
		char place[128];

		where(c, c->table[i], place, sizeof(place));
		snprintf(mark, sizeof(mark), "the table, not used, has 0x%" PRIx64 ", %s",
			 c->table[i], place);
		marked = true;
	}
	if (marked) {
		vl_table_str(t, SC_MARK, mark);
		t->nr_marked++;
	}
	free(name);
}

static struct vl_error *run_syscalls(struct vl_raw_guest *g, struct vl_table *t)
{
	struct check *c = calloc(1, sizeof(*c));
	struct vl_error *err, *odd = NULL;

	if (!c)
		return vl_error_nomem();
	c->g = g;
	c->k = g->attach->kernel;
	err = vl_need_symbol(g, "_stext", "the kernel's text", &c->stext);
	if (!err)
		err = vl_need_symbol(g, "_etext", "the kernel's text", &c->etext);
	if (!err)
		err = read_table(c);
	if (!err)
		odd = find_called(c);
	if (!err) {
		read_entries(c);
		/* Without modules an address is only "outside". */
		c->lacks_modules = vl_discard(vl_modules_listed(g, &c->modules, &c->nr_modules));
	}
	for (size_t i = 0; !err && i < c->nr; i++)
		show_call(c, i, t);
	free(c->modules);
	free(c);
	if (!err)
		err = odd;
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_syscalls = { "syscalls",	"syscalls",   columns, true,
					  run_syscalls, vl_scan_asks, NULL };
