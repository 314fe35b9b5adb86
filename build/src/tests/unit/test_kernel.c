/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Symbols from kallsyms text, their cache on disk, and what damage does to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/kernel/kernel.h"
#include "tap.h"

#define ENTRY 0xffffffff81800000UL
#define ID "0123456789abcdef"

static const char text[] = "0000000000000000 A fixed_percpu_data\n"
			   "000000000001fb80 A current_task\n"
			   "ffffffff81000000 T _text\n"
			   "ffffffff81800000 T entry_SYSCALL_64\n"
			   "ffffffff81000100 t helper.isra.0\n"
			   "ffffffff81000180 t helper.isra.0.cold\n"
			   "ffffffff81000200 t schedule\n"
			   "ffffffff81000200 T schedule_alias\n"
			   "nonsense\n"
			   "zzzzzzzzzzzzzzzz T bad\n"
			   "ffffffffc0000000 t in_module\t[module]\n"
			   "ffffffff82000000 D init_task";

static const char hidden[] = "0000000000000000 T _text\n0000000000000000 T x\n";

static struct vl_kernel *make(const char *from, size_t len, struct vl_error **err)
{
	static const unsigned char image[0x1000];
	struct vl_kernel *k = NULL;
	struct vl_layout layout;

	memset(&layout, 0xff, sizeof(layout));
	layout.offset[VL_F_TASK_PID] = 1234;
	*err = vl_kernel_create(from, len, &layout, ENTRY, image, sizeof(image),
				0xffffffff81000000UL, &k);
	return k;
}

static void damage(const char *path, off_t at, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || pwrite(fd, bytes, n, at) != (ssize_t)n)
		ok(false, "cannot damage %s: %s", path, strerror(errno));
	close(fd);
}

static bool loads(uint64_t entry)
{
	struct vl_kernel *k;

	vl_kernel_load(ID, entry, &k);
	if (!k)
		return false;
	/* Whatever it holds must not lead outside of it. */
	vl_symbol(k, "schedule");
	vl_symbol_after(k, entry);
	vl_kernel_destroy(k);
	return true;
}

int main(void)
{
	char dir[] = "/tmp/vlens-test-XXXXXX", path[128], cmd[160];
	struct vl_kernel *k, *again;
	struct vl_error *err;
	uint64_t off;
	const char *name;

	if (!mkdtemp(dir))
		return 99;
	setenv("VLENS_CACHE_DIR", dir, 1);
	snprintf(path, sizeof(path), "%s/" ID ".kernel", dir);

	k = make(text, sizeof(text) - 1, &err);
	ok(k && !err, "kallsyms text is read");
	if (!k)
		return tap_end();
	ok(vl_symbol(k, "_text") == 0xffffffff81000000UL, "a symbol");
	ok(vl_symbol(k, "current_task") == 0x1fb80, "a per-CPU offset is not moved");
	ok(vl_symbol(k, "init_task") == 0xffffffff82000000UL, "a last line without newline");
	ok(vl_symbol(k, "helper") == 0xffffffff81000100UL, "a compiler's suffix, not the cold part");
	ok(!vl_symbol(k, "in_module"), "symbols of modules are left out");
	ok(!vl_symbol(k, "bad") && !vl_symbol(k, "sched"), "neither nonsense nor a mere prefix");
	ok(vl_symbol_after(k, 0xffffffff81000100UL) == 0xffffffff81000180UL, "the next symbol");
	name = vl_symbol_at(k, 0xffffffff81000190UL, &off);
	ok(name && !strcmp(name, "helper.isra.0.cold") && off == 0x10, "whose an address is");
	ok(!vl_symbol_at(k, 0xffffffff80ffffffUL, &off), "nobody's");
	ok(!vl_symbol_after(k, 0xffffffff82000000UL), "nothing behind the last");

	ok(!vl_kernel_store(k, ID), "store");
	vl_kernel_load(ID, ENTRY + 0x1000000, &again);
	ok(again && vl_symbol(again, "_text") == 0xffffffff82000000UL, "load, moved by KASLR");
	ok(again && vl_symbol(again, "current_task") == 0x1fb80, "per-CPU offsets stay");
	ok(again && vl_kernel_layout(again)->offset[VL_F_TASK_PID] == 1234, "layouts are kept");
	vl_kernel_destroy(again);
	vl_kernel_load("feedface", ENTRY, &again);
	ok(!again, "another build id is not there");

	damage(path, 0, "X", 1);
	ok(!loads(ENTRY), "another format is not taken");
	vl_error_destroy(vl_kernel_store(k, ID));
	ok(loads(ENTRY), "stored again");
	ok(!truncate(path, 200) && !loads(ENTRY), "a file cut short is not taken");
	ok(!truncate(path, 0) && !loads(ENTRY), "nor an empty one");
	vl_error_destroy(vl_kernel_store(k, ID));
	for (off_t at = 8; at < 4000; at += 4) {
		struct stat st;

		if (stat(path, &st) || at + 4 > st.st_size)
			break;
		damage(path, at, "\xff\xff\xff\x7f", 4);
		loads(ENTRY);
	}
	ok(true, "damaged tables lead nowhere outside of themselves");
	vl_kernel_destroy(k);

	k = make(hidden, sizeof(hidden) - 1, &err);
	ok(!k && err && err->code == VL_ERR_KERNEL, "hidden addresses are an error");
	vl_error_destroy(err);
	k = make("", 0, &err);
	ok(!k && err, "no text is an error");
	vl_error_destroy(err);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 99 : tap_end();
}
