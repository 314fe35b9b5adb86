/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine and its agent over a guest made by hand: a dump with a few pages
 * of page tables in it. All answers are compared with the direct engine's. Without
 * a KVM that can be used only the page itself is looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "tap.h"

/* What the guest does to its tables is seen at once. */
static void test_changes(uint64_t root, int levels)
{
	uint64_t *e = entry(root, SMALL + 600 * VL_PAGE_SIZE, levels, 1), word, other;
	unsigned good = 0;

	for (unsigned i = 0; i < 50; i++) {
		memcpy(&other, ram + DATA_GPA + i * VL_PAGE_SIZE + 8, sizeof(other));
		*(volatile uint64_t *)e = (DATA_GPA + i * VL_PAGE_SIZE) | LEAF;
		good += !vl_read_u64(kvm, &space, SMALL + 600 * VL_PAGE_SIZE + 8, &word) &&
			word == other;
	}
	*e = 0;
	ok(good == 50, "a page that moves: %u of 50 reads follow", good);
}

/* The agent's code becomes a loop: the request is ended, and served without the vCPU. */
static void test_hang(void)
{
	struct vl_kvm *k = (struct vl_kvm *)kvm->engine;
	unsigned char *code = (unsigned char *)k->page;
	const int32_t back = -AGENT_VARS;

	memset(code, 0x90, AGENT_VARS - 5);
	code[AGENT_VARS - 5] = 0xe9;
	memcpy(code + AGENT_VARS - 4, &back, sizeof(back));
	atomic_store(&k->limit_ms, 200);
	different = 0;
	same(TEXT, 8);
	ok(!different && atomic_load(&k->broken), "an agent that loops is ended");
	same(TEXT, 8);
	ok(!different, "and reads go on without it");
}

/*
 * Can an immersive vCPU have 5 levels here? Some KVMs offer them and do not walk them: then the
 * engine does not open for a guest of 5 levels, and says so.
 */
static bool has_five(uint64_t root, char why[VL_RAW_WHY])
{
	struct vl_attach attach = { .target = target, .entry = TEXT + 0x3000, .pt = { root, 5 } };
	struct vl_reader_options o = { "kvm" };
	struct vl_reader *five = NULL;
	struct vl_error *err = vl_reader_open(target, &attach, &o, &five);
	bool known = !err || strstr(err->message, "does not walk 5 levels") ||
		     strstr(err->message, "no page tables of 5 levels") ||
		     strstr(err->message, "this host's processor has 4");

	snprintf(why, VL_RAW_WHY, "%s", err ? err->message : "");
	ok(known, "a guest of 5 levels: %s", err ? why : "served");
	vl_error_destroy(err);
	vl_reader_close(five);
	return five;
}

/* @mirrored: also where the processor could walk the guest's own tables. */
static void test_machine(bool mirrored)
{
	struct vl_error *err;
	struct vl_target_options options = { 0 };
	struct vl_reader_options d = { "direct" }, k = { "kvm" };
	uint64_t four, five, empty;
	struct vl_attach attach = { 0 };
	struct vl_kvm *machine;
	char why[VL_RAW_WHY];

	memset(ram, 0, RAM_SIZE);
	next_table = 0x10000;
	four = make_root(4);
	five = make_root(5);
	empty = next_table;
	next_table += VL_PAGE_SIZE;
	for (uint64_t at = TEXT_GPA; at < RAM_SIZE; at += 8)
		put64(at, random_u64());
	for (uint64_t at = 0; at < HIGH_SIZE; at += 8)
		memcpy(high + at, &at, sizeof(at));
	err = vl_target_open(path, &options, &target);
	if (!ok(!err, "the dump opens: %s", err ? err->message : "well"))
		return;
	if (!vl_raw_kvm.rank(target, NULL, why)) {
		skip("the kvm engine", "%s", why);
		vl_target_close(target);
		return;
	}
	err = vl_reader_open(target, NULL, &d, &direct);
	ok(!err, "the direct engine opens");
	attach.target = target;
	attach.entry = TEXT + 0x3000;
	attach.pt = (struct vl_pgtable){ four, 4 };
	err = vl_reader_open(target, &attach, &k, &kvm);
	if (err) {
		/* Only for what the host cannot do. */
		if (strstr(err->message, "does not run here"))
			skip("the kvm engine", "%s", err->message);
		else
			ok(false, "the kvm engine opens: %s", err->message);
		return;
	}
	machine = (struct vl_kvm *)kvm->engine;
	space = (struct vl_space){ four, 4 };
	if (mirrored)
		vl_error_destroy(vl_kvm_mirror(kvm->engine));
	test_reads("4 levels");
	test_overlay();
	test_strings();
	test_gather();
	test_walks();
	test_xarray();
	test_watch();
	/* In a dump the mirror does not look for changes: see test_mirror.c. */
	if (!machine->mirror)
		test_changes(four, 4);
	/* A root without a place for the agent, then a good one again. */
	space.root = empty;
	same(USER, 8);
	space.root = RAM_SIZE * 2;
	same(USER, 8);
	space.root = four;
	different = 0;
	same(TEXT, 8);
	ok(!different, "after roots that are none a good one is read again");
	if (has_five(five, why)) {
		space = (struct vl_space){ five, 5 };
		test_reads("5 levels");
		ok(!different, "5 levels");
	} else {
		skip("5 levels", "%s", why);
	}
	space = (struct vl_space){ four, 4 };
	err = vl_kvm_poll(kvm->engine, 100000);
	ok(!err, "poll mode");
	test_reads("polled");
	test_overlay();
	test_hang();
	vl_reader_close(kvm);
	vl_reader_close(direct);
	vl_target_close(target);
}

int main(void)
{
	uint32_t fault = vl_agent_fault;

	ok(fault && fault < AGENT_VARS, "faults are handled within the code");
	ok(vl_agent_page[AGENT_VARS - 1] == 0xcc, "the code has room");
	if (ok(make_dump(), "a guest is made"))
		for (int mirrored = 0; mirrored < 2; mirrored++)
			test_machine(mirrored);
	unlink(path);
	return tap_end();
}
