// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: module-probe MODULE-GUEST MONITOR-GUEST
 *
 * What the kernel module imee.ko makes of a guest, for tests/nested, as TAP: the same guest
 * named twice, as kvm:PID and as qemu:PID. Its registers by the module against those of the
 * monitor, all of its RAM, page by page, against the hypervisor's memory; then what both ways
 * take from nothing known to the first byte read. VLENS_RUN_DIR must be empty.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../src/imee/engine.h"
#include "../../src/mem/paging.h"
#include "../../src/base/dirs.h"
#include "../../src/vlens.h"
#include "base/clock.h"
#include "tap.h"

#define RUNS 15

static void die(struct vl_error *err)
{
	printf("Bail out! %s%s%s\n", err->message, err->hint ? "; " : "",
	       err->hint ? err->hint : "");
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t v[RUNS])
{
	qsort(v, RUNS, sizeof(*v), by_value);
	return v[RUNS / 2];
}

/* Remove the files that were kept of the guest. */
static void forget(struct vl_target *t)
{
	char *path = vl_run_path("%s.ram", vl_target_run_id(t));

	if (path)
		unlink(path);
	free(path);
}

/*
 * From nothing known: open, registers of all vCPUs, the byte at RIP of the first through its
 * own tables. Returns nanoseconds.
 */
static uint64_t first_byte(const char *spec, bool no_kmod)
{
	struct vl_target_options opts = { .no_kmod = no_kmod };
	uint64_t start = vl_now_ns(), spent;
	struct vl_reader *r = NULL;
	struct vl_vcpu *v = NULL;
	struct vl_target *t;
	struct vl_error *err;
	struct vl_space s;
	uint8_t byte;
	size_t nr;

	err = vl_target_open(spec, &opts, &t);
	if (!err)
		err = vl_target_vcpus(t, &v, &nr);
	if (!err)
		err = vl_reader_open(t, NULL, NULL, &r);
	if (err)
		die(err);
	s = vl_space_of(v[0].cr3, v[0].cr4);
	/* In user mode the page may be absent; the time is the same. */
	(void)vl_read_u8(r, &s, v[0].rip, &byte);
	spent = vl_now_ns() - start;
	forget(t);
	free(v);
	vl_reader_close(r);
	vl_target_close(t);
	return spent;
}

static void compare_times(const char *module, const char *monitor)
{
	uint64_t m[RUNS], o[RUNS];

	for (int i = 0; i < RUNS; i++) {
		m[i] = first_byte(module, false);
		o[i] = first_byte(monitor, true);
	}
	printf("# attach, registers, first byte: module %.3f ms, monitor %.3f ms (medians of %d): "
	       "%.0f times\n",
	       (double)median(m) / 1e6, (double)median(o) / 1e6, RUNS,
	       (double)median(o) / (double)median(m));
}

/* Registers that do not change while a kernel runs. */
static void compare_registers(struct vl_target *a, struct vl_target *b)
{
	struct vl_vcpu *x = NULL, *y = NULL;
	size_t nx = 0, ny = 0;
	struct vl_error *err = vl_target_vcpus(a, &x, &nx);

	if (!err)
		err = vl_target_vcpus(b, &y, &ny);
	if (err)
		die(err);
	ok(nx == ny && nx, "%zu vCPUs, as the monitor says", nx);
	for (size_t i = 0; i < nx && i < ny; i++) {
		/* CR0.TS and the MP bit's kin change with the FPU; CR4.OSXSAVE and all do not. */
		ok(x[i].idt_base == y[i].idt_base && x[i].idt_limit == y[i].idt_limit &&
			   x[i].gdt_base == y[i].gdt_base && x[i].gdt_limit == y[i].gdt_limit &&
			   x[i].tr == y[i].tr && x[i].tr_base == y[i].tr_base &&
			   x[i].cr4 == y[i].cr4 && (x[i].cr0 ^ y[i].cr0) <= 8,
		   "vCPU %zu: CR0, CR4, IDT, GDT, TR as the monitor has them", i);
		ok(x[i].cr3 && !(x[i].cr3 >> 52) && x[i].rip && x[i].rsp,
		   "vCPU %zu: CR3 %" PRIx64 ", RIP %" PRIx64, i, x[i].cr3, x[i].rip);
	}
	free(x);
	free(y);
}

/* With the guest held: every page of RAM by the module's mapping and from the process. */
static void compare_memory(struct vl_target *a, struct vl_target *b)
{
	unsigned char mine[VL_PAGE_SIZE], theirs[VL_PAGE_SIZE];
	uint64_t pages = 0, wrong = 0;
	const struct vl_ram *ram;
	struct vl_error *err;
	size_t nr;

	vl_target_set_budget(b, &(struct vl_pause_budget){ true, 900000000, UINT64_MAX });
	err = vl_target_pause(b);
	if (err)
		die(err);
	ram = vl_target_ram(b, &nr);
	for (size_t i = 0; i < nr; i++)
		for (uint64_t at = 0; at < ram[i].size; at += VL_PAGE_SIZE) {
			err = vl_target_read(b, ram[i].gpa + at, theirs, sizeof(theirs));
			if (!err)
				err = vl_target_read(a, ram[i].gpa + at, mine, sizeof(mine));
			if (err)
				die(err);
			pages++;
			wrong += memcmp(mine, theirs, sizeof(mine)) != 0;
			if (pages % 256 == 0) {
				vl_error_destroy(vl_target_resume(b));
				err = vl_target_pause(b);
				if (err)
					die(err);
			}
		}
	vl_error_destroy(vl_target_resume(b));
	ok(pages && !wrong, "%" PRIu64 " pages of RAM by the module, %" PRIu64 " of them wrong",
	   pages, wrong);
}

int main(int argc, char **argv)
{
	struct vl_target_options without = { .no_kmod = true };
	struct vl_target *a, *b;
	struct vl_reader *r;
	struct vl_reader_options o = { .engine = "module" };
	struct vl_error *err;

	if (argc != 3) {
		fprintf(stderr, "module-probe: needs kvm:PID and qemu:PID\n");
		return 2;
	}
	err = vl_target_open(argv[1], NULL, &a);
	if (!err)
		err = vl_target_open(argv[2], &without, &b);
	if (err)
		die(err);
	err = vl_reader_open(a, NULL, &o, &r);
	ok(!err, "the engine module serves: %s", err ? err->message : "yes");
	if (!err)
		vl_reader_close(r);
	vl_error_destroy(err);
	compare_registers(a, b);
	compare_memory(a, b);
	forget(a);
	vl_target_close(a);
	vl_target_close(b);
	compare_times(argv[1], argv[2]);
	return tap_end();
}
