/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table of symbols, its cache on disk, and what damage does to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/kernel/kernel.h"
#include "../../src/base/dirs.h"
#include "base/array.h"
#include "tap.h"

#define BASE 0xffffffff81000000UL
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ELSE "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define NO_KEY "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"

/* By address, as they are in a kernel. */
static const struct {
	uint64_t address;
	const char *name;
} symbols[] = {
	{ 0, "fixed_percpu_data" },
	{ 0x1fb80, "current_task" },
	{ BASE, "_text" },
	{ BASE + 0x100, "helper.isra.0" },
	{ BASE + 0x180, "helper.isra.0.cold" },
	{ BASE + 0x200, "schedule" },
	{ BASE + 0x200, "schedule_alias" },
	{ BASE + 0x300, "twice" },
	{ BASE + 0x400, "twice" },
	{ BASE + 0x800000, "entry_SYSCALL_64" },
	{ BASE + 0x1000000, "init_task" },
};

#define NR ARRAY_SIZE(symbols)

static struct vl_kernel *make(void)
{
	struct vl_symbols from = { .nr = NR, .base = BASE };
	uint64_t addresses[NR];
	uint32_t name_at[NR];
	struct vl_kernel *k = NULL;
	struct vl_layout layout;
	struct vl_error *err;
	char text[1024];

	for (size_t i = 0; i < NR; i++) {
		addresses[i] = symbols[i].address;
		name_at[i] = (uint32_t)from.text_len;
		strcpy(text + from.text_len, symbols[i].name);
		from.text_len += strlen(symbols[i].name) + 1;
	}
	from.addresses = addresses;
	from.name_at = name_at;
	from.text = text;
	memset(&layout, 0xff, sizeof(layout));
	layout.offset[VL_F_TASK_PID] = 1234;
	err = vl_kernel_create(&from, &layout, &k);
	ok(!err, "made of a table");
	vl_error_destroy(err);
	return k;
}

static void test_key(void)
{
	unsigned char image[256], btf[64] = { 1 }, code[64] = { 2 };
	struct vl_kernel_types types = { .btf = { btf, sizeof(btf) } };
	struct vl_kallsyms_tables k = { .names = { image, 100 },
					.tokens = { image + 100, 50 },
					.offsets = { image + 160, 40 } };
	char first[VL_KEY_MAX + 1], now[VL_KEY_MAX + 1];
	bool differ = true;

	for (size_t i = 0; i < sizeof(image); i++)
		image[i] = (unsigned char)i;
	vl_kernel_key(&k, &types, first);
	ok(vl_is_key(first), "a key");
	for (size_t i = 0; i < 200; i++) {
		bool counts = i < 150 || i >= 160;

		image[i] ^= 1;
		vl_kernel_key(&k, &types, now);
		differ = differ && !strcmp(first, now) == !counts;
		image[i] ^= 1;
	}
	ok(differ, "every byte of the tables makes another key");
	btf[63] ^= 1;
	vl_kernel_key(&k, &types, now);
	ok(strcmp(first, now), "every byte of the types does");
	btf[63] ^= 1;
	k.form = VL_KALLSYMS_BASE;
	vl_kernel_key(&k, &types, now);
	ok(strcmp(first, now), "how addresses are made does");
	k.form = VL_KALLSYMS_PERCPU;
	k.names.len--;
	k.tokens = (struct vl_kallsyms_bytes){ image + 99, 51 };
	vl_kernel_key(&k, &types, now);
	ok(strcmp(first, now), "where one table ends and the next begins does");
	types = (struct vl_kernel_types){ .text = { code, sizeof(code) } };
	vl_kernel_key(&k, &types, first);
	code[63] ^= 1;
	vl_kernel_key(&k, &types, now);
	ok(strcmp(first, now), "without types every byte of the code does");
	code[63] ^= 1;
	types.text_va = 16;
	vl_kernel_key(&k, &types, now);
	ok(strcmp(first, now), "its place does");
	types.text_va = 0;
	types.base = 16;
	vl_kernel_key(&k, &types, now);
	ok(strcmp(first, now), "and that of the symbols does");
}

/* Is @text refused? */
static bool is_refused(const char *text, size_t len)
{
	struct vl_layout l;
	struct vl_error *err = vl_layout_parse(text, len, &l);
	bool refused = err && err->code == VL_ERR_KERNEL && err->hint;

	vl_error_destroy(err);
	return refused;
}

static void test_offsets(void)
{
	struct vl_layout l, again;
	struct vl_error *err;
	size_t len, nr_good = 0;
	char *text, *at;

	memset(&l, 0, sizeof(l));
	memset(&again, 0, sizeof(again));
	for (int i = 0; i < VL_NR_FIELDS; i++)
		l.offset[i] = i % 3 ? 8 * i : VL_NO_FIELD;
	l.offset[VL_F_TASK_PID] = 1234;
	l.offset[VL_F_TASK_TASKS] = INT32_MAX;
	err = vl_layout_end(&l);
	if (!err)
		err = vl_layout_print(&l, &text, &len);
	ok(!err, "offsets as a text");
	err = vl_layout_parse(text, len, &again);
	ok(!err && !memcmp(&l, &again, sizeof(l)), "and back");
	for (size_t n = 0; n < len; n++)
		nr_good += !is_refused(text, n);
	ok(!nr_good, "cut short anywhere it is refused");
	text[strlen("vlens-offsets-1 ")] ^= 1;
	ok(is_refused(text, len), "of other fields, too");
	text[strlen("vlens-offsets-1 ")] ^= 1;
	at = strstr(text, " 1234\n");
	memcpy(at, " -234\n", 6);
	ok(is_refused(text, len), "a negative offset, too");
	memcpy(at, " 12x4\n", 6);
	ok(is_refused(text, len), "and what is no number");
	free(text);
}

static void damage(const char *path, off_t at, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || pwrite(fd, bytes, n, at) != (ssize_t)n)
		ok(false, "cannot damage %s: %s", path, strerror(errno));
	close(fd);
}

static struct vl_error *store(const struct vl_kernel *k)
{
	size_t len;
	const void *bytes = vl_kernel_bytes(k, &len);

	return vl_kept_store(NULL, VL_KEPT_KERNEL, ID, bytes, len);
}

static bool loads(uint64_t base)
{
	struct vl_kernel *k;

	vl_kernel_load(NULL, ID, base, &k);
	if (!k)
		return false;
	/* Its content must not lead outside of the file. */
	vl_symbol(k, "schedule");
	vl_symbol_after(k, base);
	vl_kernel_destroy(k);
	return true;
}

/* Other things in the place of our file. */
static void test_files(const char *path, const struct vl_kernel *k)
{
	char other[200], cmd[500], *text;
	struct vl_error *err;
	size_t len;

	snprintf(other, sizeof(other), "%s.elsewhere", path);
	ok(!rename(path, other) && !symlink(other, path) && !loads(BASE), "a link is not followed");
	err = store(k);
	ok(!err && loads(BASE) && !access(other, F_OK), "storing replaces it");
	vl_error_destroy(err);
	ok(!chmod(path, 0666) && !loads(BASE), "one that others may write to is not taken");
	ok(!chmod(path, 0600) && loads(BASE), "ours is");
	if (!geteuid()) {
		ok(!chown(path, 65534, 0) && !loads(BASE), "somebody else's is not taken");
		ok(!chown(path, 0, 0) && loads(BASE), "ours again");
	}
	err = vl_file_load(path, 100, &text, &len);
	ok(err != NULL, "nor one that is too long");
	vl_error_destroy(err);
	snprintf(cmd, sizeof(cmd), "rm -f %s && mkfifo -m 600 %s", path, path);
	ok(!system(cmd) && !loads(BASE), "a FIFO keeps nobody waiting");
	snprintf(cmd, sizeof(cmd), "rm -f %s && mkdir %s", path, path);
	ok(!system(cmd) && !loads(BASE), "a folder is no file");
	err = store(k);
	ok(err != NULL, "and is not replaced");
	vl_error_destroy(err);
}

int main(void)
{
	char dir[] = "/tmp/vlens-test-XXXXXX", path[160], cmd[200];
	struct vl_kernel *k, *again;
	uint64_t off;
	const char *name;
	int nr_damaged = 0, nr_refused = 0;

	if (!mkdtemp(dir))
		return 99;
	setenv("VLENS_CACHE_DIR", dir, 1);
	snprintf(path, sizeof(path), "%s/" ID ".kernel", dir);

	test_key();
	test_offsets();
	k = make();
	if (!k)
		return tap_end();
	ok(vl_symbol(k, "_text") == 0xffffffff81000000UL, "a symbol");
	ok(vl_symbol(k, "current_task") == 0x1fb80, "a per-CPU offset is not moved");
	ok(vl_symbol(k, "init_task") == 0xffffffff82000000UL, "the last");
	ok(vl_symbol(k, "helper") == 0xffffffff81000100UL,
	   "a compiler's suffix, not the cold part");
	ok(!vl_symbol(k, "sched"), "a mere prefix is none");
	ok(vl_symbol_nth(k, "twice", 0) == BASE + 0x300 &&
		   vl_symbol_nth(k, "twice", 1) == BASE + 0x400 && !vl_symbol_nth(k, "twice", 2),
	   "several of one name, in the order of their addresses");
	ok(vl_symbol_after(k, 0xffffffff81000100UL) == 0xffffffff81000180UL, "the next symbol");
	name = vl_symbol_at(k, 0xffffffff81000190UL, &off);
	ok(name && !strcmp(name, "helper.isra.0.cold") && off == 0x10, "whose an address is");
	ok(!vl_symbol_at(k, 0xffffffff80ffffffUL, &off), "nobody's");
	ok(!vl_symbol_after(k, 0xffffffff82000000UL), "nothing behind the last");

	ok(!store(k), "store");
	vl_kernel_load(NULL, ID, BASE + 0x1000000, &again);
	ok(again && vl_symbol(again, "_text") == BASE + 0x1000000, "load, moved by KASLR");
	ok(again && vl_symbol(again, "current_task") == 0x1fb80, "per-CPU offsets stay");
	ok(again && vl_kernel_layout(again)->offset[VL_F_TASK_PID] == 1234, "layouts are kept");
	vl_kernel_destroy(again);
	vl_kernel_load(NULL, ELSE, BASE, &again);
	ok(!again, "another key is not there");
	vl_kernel_load(NULL, "../" ID, BASE, &again);
	ok(!again && !vl_is_key("") && !vl_is_key(ID "0") && !vl_is_key(NO_KEY) && vl_is_key(ID),
	   "what is no key opens nothing");

	damage(path, 0, "X", 1);
	ok(!loads(BASE), "another format is not taken");
	vl_error_destroy(store(k));
	ok(loads(BASE), "stored again");
	damage(path, 24, "\0\0\0\0\0\0\0", 8); /* struct table: fields */
	ok(!loads(BASE), "a layout of other fields is not taken");
	vl_error_destroy(store(k));
	ok(!truncate(path, 200) && !loads(BASE), "a file cut short is not taken");
	ok(!truncate(path, 0) && !loads(BASE), "nor an empty one");
	vl_error_destroy(store(k));
	for (off_t at = 8; at < 4000; at += 4) {
		struct stat st;

		if (stat(path, &st) || at + 4 > st.st_size)
			break;
		damage(path, at, "\xff\xff\xff\x7f", 4);
		nr_refused += !loads(BASE);
		nr_damaged++;
		vl_error_destroy(store(k));
	}
	ok(nr_refused && nr_refused < nr_damaged,
	   "damaged tables lead nowhere outside of themselves");
	vl_error_destroy(store(k));
	test_files(path, k);
	vl_kernel_destroy(k);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 99 : tap_end();
}
