/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Usage: derive-probe FILE
 *        derive-probe FILE FUNCTION...
 *        derive-probe FILE --all
 *
 * For tests/derive. FILE is a kernel, unpacked or not. Derives the offsets of fields from its
 * code, and compares them with those of its own types. Prints
 *
 *	equal FIELD OFFSET
 *	none FIELD OFFSET		not derived; OFFSET is that of the types
 *	WRONG FIELD OFFSET DERIVED
 *
 * for each field that the types have, and as WRONG what they do not have and was derived. With a
 * FUNCTION, prints the lines that its code gives (src/kernel/trace.h); --all: those of all
 * functions of at most SMALL bytes, to look for witnesses. --bare, before a FUNCTION: the lines of
 * a kernel without a table of symbols, with the names that addresses have; before --compare: all
 * names that are found then, in the same form; before --fields: the fields.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "kernel/data.h"
#include "kernel/derive.h"
#include "kernel/exports.h"
#include "trust/image.h"

#define LIMIT_NS 60000000000UL
#define SMALL 1024

static const char *const names[] = {
#define NAME(id, type, path) #id,
	VL_FIELDS(NAME)
#undef NAME
};

static int fail(struct vl_error *err)
{
	fprintf(stderr, "derive-probe: %s\n", err->message);
	vl_error_destroy(err);
	return 3;
}

static void show(void *ctx, const char *line)
{
	(void)ctx;
	puts(line);
}

static struct vl_error *open_kernel(const char *path, struct vl_trust **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	unsigned char *elf;
	struct vl_error *err;
	size_t len;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return vl_error_new(VL_ERR_ARG, "cannot open %s", path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return vl_error_new(VL_ERR_ARG, "cannot map %s", path);
	err = vl_trust_unpack(p, (size_t)st.st_size, VL_TRUST_IMAGE_MAX, &elf, &len);
	munmap(p, (size_t)st.st_size);
	if (err)
		return err;
	err = vl_trust_open(elf, len, ret);
	free(elf);
	return err;
}

static int compare(const struct vl_kernel *k, const struct vl_text *text)
{
	const struct vl_layout *types = vl_kernel_layout(k);
	struct vl_layout derived;
	struct vl_error *err = vl_derive(k, text, vl_deadline_in(LIMIT_NS), &derived);

	if (err)
		return fail(err);
	for (int i = 0; i < VL_NR_FIELDS; i++) {
		int32_t want = types->offset[i], got = derived.offset[i];

		if (want == got && want != VL_NO_FIELD)
			printf("equal %s %d\n", names[i], want);
		else if (got == VL_NO_FIELD && want != VL_NO_FIELD)
			printf("none %s %d\n", names[i], want);
		else if (got != want)
			printf("WRONG %s %d %d\n", names[i], want, got);
	}
	if (types->timekeeper != derived.timekeeper)
		printf("%s TK_AT %d %d\n", derived.timekeeper == VL_NO_FIELD ? "none" : "WRONG",
		       types->timekeeper, derived.timekeeper);
	return 0;
}

static void show_function(const struct vl_kernel *k, const struct vl_text *text, bool plain,
			  const char *name, uint64_t va)
{
	printf("# %s\n", name);
	vl_trace(k, text, vl_kernel_layout(k)->offset[VL_F_HOT_TASK], plain, va, show, NULL);
}

/* --- data --- */

/* Copy of the symbols @s without those of data, but for the one that is named. */
static struct vl_error *code_only(const struct vl_kernel *k, const struct vl_symbols *s,
				  bool with_first, struct vl_symbols *ret)
{
	const uint64_t start = vl_symbol(k, "_stext"), end = vl_symbol(k, "_etext");
	static const char *const first[] = { "current_task", "__per_cpu_offset", "this_cpu_off",
					     "pcpu_hot" };

	*ret = (struct vl_symbols){ .base = s->base, .text_len = s->text_len };
	ret->addresses = malloc(s->nr * sizeof(*ret->addresses));
	ret->name_at = malloc(s->nr * sizeof(*ret->name_at));
	ret->text = malloc(s->text_len);
	if (!ret->addresses || !ret->name_at || !ret->text)
		return vl_error_nomem();
	memcpy(ret->text, s->text, s->text_len);
	for (uint32_t i = 0; i < s->nr; i++) {
		uint64_t va = s->addresses[i];
		bool take = va >= start && va <= end;

		for (size_t n = 0; with_first && n < ARRAY_SIZE(first); n++)
			take |= !strcmp(s->text + s->name_at[i], first[n]);
		if (!take)
			continue;
		ret->addresses[ret->nr] = va;
		ret->name_at[ret->nr++] = s->name_at[i];
	}
	return NULL;
}

/* Is the variable of witness @i of @round one that an earlier witness has, too? */
static bool is_again(size_t round, size_t i)
{
	const char *name = vl_data_rounds[round].list[i].symbol;

	for (size_t r = 0; r <= round; r++)
		for (size_t n = 0; n < (r < round ? vl_data_rounds[r].nr : i); n++)
			if (!strcmp(vl_data_rounds[r].list[n].symbol, name))
				return true;
	return false;
}

/*
 * Where @k has the variable @name. One that is a part of a structure, or has another name there, is
 * found by the name that it has in other kernels.
 */
static uint64_t place_of(const struct vl_kernel *k, const char *name)
{
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t hot = vl_symbol(k, "pcpu_hot");

	if (hot && !strcmp(name, "current_task"))
		return hot + (uint64_t)l->offset[VL_F_HOT_TASK];
	if (hot && !strcmp(name, "__preempt_count"))
		return hot + (uint64_t)l->offset[VL_F_HOT_PREEMPT];
	/* There was one timekeeper (vl_kernel_timekeeper()). */
	if (!vl_symbol_is(k, name) && !strcmp(name, "timekeeper_data"))
		return vl_symbol(k, "tk_core");
	return vl_symbol(k, name);
}

static void compare_one(const struct vl_kernel *k, const struct vl_kernel *found, size_t round,
			size_t i)
{
	const char *name = vl_data_rounds[round].list[i].symbol;
	uint64_t want = place_of(k, name), got = vl_symbol(found, name);

	if (is_again(round, i))
		return;
	if (got && want == got)
		printf("equal %s\n", name);
	else if (got)
		printf("WRONG %s %lx %lx\n", name, want, got);
	else if (want)
		printf("none %s\n", name);
}

/* The variables that are found by the code alone, against the symbols. */
static int compare_data(const struct vl_kernel *k, const struct vl_symbols *all,
			const struct vl_text *text)
{
	const struct vl_layout *l = vl_kernel_layout(k);
	struct vl_symbols s;
	struct vl_kernel *found;
	struct vl_error *err = code_only(k, all, false, &s);

	if (!err)
		err = vl_data_add(&s, text, NULL, vl_deadline_in(LIMIT_NS));
	if (!err)
		err = vl_data_add(&s, text, l, vl_deadline_in(LIMIT_NS));
	if (!err)
		err = vl_kernel_create(&s, l, &found);
	if (err)
		return fail(err);
	for (size_t r = 0; r < VL_DATA_ROUNDS; r++)
		for (size_t i = 0; i < vl_data_rounds[r].nr; i++)
			compare_one(k, found, r, i);
	vl_kernel_destroy(found);
	vl_symbols_deinit(&s);
	return 0;
}

/* All lines of the code alone; @first: those of the second round. */
static int show_plain(const struct vl_kernel *k, const struct vl_symbols *all,
		      const struct vl_text *text, bool first)
{
	struct vl_symbols s;
	struct vl_kernel *code;
	struct vl_error *err = code_only(k, all, first, &s);
	uint64_t va, last = 0;
	const char *name;

	if (!err)
		err = vl_kernel_create(&s, vl_kernel_layout(k), &code);
	if (err)
		return fail(err);
	for (size_t i = 0; (name = vl_symbol_placed(k, i, &va)); i++)
		printf("@ %s %lx\n", name, va);
	for (size_t i = 0; (name = vl_symbol_placed(code, i, &va)); i++) {
		if (va != last && va >= text->va && va - text->va < text->len &&
		    vl_symbol_after(code, va) - va <= SMALL) {
			printf("# %s\n", name);
			vl_trace(code, text,
				 first ? vl_kernel_layout(k)->offset[VL_F_HOT_TASK] : VL_NO_FIELD,
				 true, va, show, NULL);
		}
		last = va;
	}
	return 0;
}

/* --- exports --- */

/*
 * What is found without a table of symbols, against that table. The bytes of the image are those of
 * the file, in which addresses are not those of a running kernel, but right for its own place.
 */
static struct vl_error *find_exports(const struct vl_text *all, const struct vl_text *text,
				     struct vl_symbols *ret)
{
	struct vl_exports e;

	if (!vl_exports_find(all->bytes, all->len, all->va, text, vl_deadline_in(LIMIT_NS), &e))
		return vl_error_new(VL_ERR_KERNEL, "no exported symbols are found");
	vl_exports_find_bugs(all->bytes, all->len, all->va, text, vl_deadline_in(LIMIT_NS), &e);
	if (!vl_exports_decode(&e, text, ret))
		return vl_error_new(VL_ERR_KERNEL, "the exported symbols are not understood");
	return NULL;
}

static bool has_at(const struct vl_kernel *k, const char *name, uint64_t va)
{
	uint64_t at;

	for (size_t n = 0; (at = vl_symbol_nth(k, name, n)); n++)
		if (at == va)
			return true;
	return vl_symbol_is(k, name) && !va;
}

/* Show @line with the names of the functions at addresses that it has. */
static void show_named(void *ctx, const char *line)
{
	const struct vl_kernel *k = ctx;
	uint64_t offset = 1;
	const char *name;

	for (; *line; line++) {
		putchar(*line);
		if (*line != ' ' && *line != '&' && *line != '%')
			continue;
		name = strncmp(line + 1, "0x", 2) != 0 ? NULL :
		       *line == '%' ? vl_symbol_percpu(k, strtoul(line + 1, NULL, 16), &offset) :
				      vl_symbol_at(k, strtoul(line + 1, NULL, 16), &offset);
		if (name)
			printf("<%s+%lu>", name, offset);
	}
	putchar('\n');
}

/* The kernel that is made without a table of symbols; the fields are those of its types. */
static struct vl_error *make_bare(const struct vl_kernel *k, const struct vl_text *all,
				  const struct vl_text *text, struct vl_kernel **ret)
{
	const struct vl_layout *l = vl_kernel_layout(k);
	struct vl_symbols s;
	struct vl_error *err = find_exports(all, text, &s);

	if (!err)
		err = vl_data_add(&s, text, NULL, vl_deadline_in(LIMIT_NS));
	if (!err)
		err = vl_data_add(&s, text, l, vl_deadline_in(LIMIT_NS));
	if (!err)
		err = vl_kernel_create(&s, l, ret);
	vl_symbols_deinit(&s);
	return err;
}

/* Each name that the bare kernel has, against all symbols. */
static void compare_bare(const struct vl_kernel *k, const struct vl_kernel *bare)
{
	static const struct vl_data_round *const tables[] = { vl_data_rounds, vl_data_bare };
	const char *name, *last = "";
	uint64_t got;

	for (size_t i = 0; (name = vl_symbol_name(bare, i)); i++) {
		got = vl_symbol(bare, name);
		if (!strcmp(name, VL_NAMELESS) || !strcmp(name, last))
			continue;
		last = name;
		if (place_of(k, name) == got || has_at(k, name, got))
			printf("equal %s\n", name);
		else
			printf("WRONG %s %lx %lx\n", name, vl_symbol(k, name), got);
	}
	for (size_t t = 0; t < 2 * VL_DATA_ROUNDS; t++)
		for (size_t i = 0; i < tables[t & 1][t / 2].nr; i++) {
			name = tables[t & 1][t / 2].list[i].symbol;
			if (!vl_symbol(bare, name) && vl_symbol(k, name))
				printf("none %s\n", name);
		}
}

static void show_bare(const struct vl_kernel *k, const struct vl_kernel *bare,
		      const struct vl_text *text, const char *name)
{
	printf("# %s\n", name);
	vl_trace(bare, text, vl_kernel_layout(k)->offset[VL_F_HOT_TASK], true, vl_symbol(k, name),
		 show_named, (void *)k);
}

static void show_all(const struct vl_kernel *k, const struct vl_text *text)
{
	uint64_t va, end = vl_symbol(k, "_etext"), last = 0;
	const char *name;

	for (size_t i = 0; (name = vl_symbol_placed(k, i, &va)); i++) {
		if (va >= text->va && va < end && va != last &&
		    vl_symbol_after(k, va) - va <= SMALL)
			show_function(k, text, false, name, va);
		last = va;
	}
}

static void show_offsets(const struct vl_layout *l)
{
	char *text;
	size_t len;

	if (!vl_layout_print(l, &text, &len))
		fwrite(text, 1, len, stdout);
	free(text);
}

int main(int argc, char **argv)
{
	struct vl_text text, code;
	struct vl_layout types;
	struct vl_kernel *k, *bare = NULL;
	struct vl_trust *t;
	struct vl_error *err = argc > 1 ? open_kernel(argv[1], &t) :
					  vl_error_new(VL_ERR_ARG, "no kernel is named");
	uint64_t start, stop;
	int status = 0;

	if (err)
		return fail(err);
	start = vl_trust_symbol(t, "__start_BTF");
	stop = vl_trust_symbol(t, "__stop_BTF");
	err = stop > start ? vl_layout_from_btf(vl_trust_bytes(t, start, stop - start),
						stop - start, vl_deadline_in(LIMIT_NS), &types) :
	      argc > 2	   ? NULL :
			     vl_error_new(VL_ERR_KERNEL, "the kernel has no types");
	if (!err)
		err = vl_kernel_create(vl_trust_symbols(t), &types, &k);
	if (err)
		return fail(err);
	text.va = vl_trust_range(t, &text.len);
	text.bytes = vl_trust_bytes(t, text.va, text.len);
	code = (struct vl_text){ text.bytes, vl_symbol(k, "_etext") - text.va, text.va };
	if (argc == 2)
		status = compare(k, &text);
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--all"))
			show_all(k, &text);
		else if (!strcmp(argv[i], "--data"))
			status = compare_data(k, vl_trust_symbols(t), &code);
		else if (!strncmp(argv[i], "--plain", 7))
			status = show_plain(k, vl_trust_symbols(t), &code, argv[i][7]);
		else if (!strcmp(argv[i], "--offsets"))
			show_offsets(&types);
		else if (!strcmp(argv[i], "--bare"))
			err = make_bare(k, &text, &code, &bare);
		else if (bare && !strcmp(argv[i], "--compare"))
			compare_bare(k, bare);
		else if (bare && !strcmp(argv[i], "--fields"))
			status = compare(bare, &code);
		else if (bare)
			show_bare(k, bare, &code, argv[i]);
		else if (vl_symbol(k, argv[i]))
			show_function(k, &text, false, argv[i], vl_symbol(k, argv[i]));
	}
	vl_kernel_destroy(bare);
	vl_kernel_destroy(k);
	vl_trust_close(t);
	return err ? fail(err) : status;
}
