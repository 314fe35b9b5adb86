// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts code into the image of a compiled BPF program of the guest's own: behind its last
 * instruction, or with body=1 over its instructions. The code behind it is called for each module;
 * that in the body leads to this module.
 */
#include "lab.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/notifier.h>
#include <linux/rculist.h>

LAB_LISTED;

static bool body;
module_param(body, bool, 0444);

/* Bytes before the body: the places for ftrace, endbr64 and the frame. */
#define BEFORE 16

void lab_planted_target(void);
asm(".text\n"
    ".globl lab_planted_target\n"
    "lab_planted_target:\n"
    "	ret\n"
    "	int3\n");

static struct notifier_block block;
static u8 *site;
static u8 theirs[5];

static int __init planted_init(void)
{
	static const u8 code[] = { 0x31, 0xc0, 0xc3 }; /* xor %eax,%eax; ret: NOTIFY_DONE */
	struct list_head *list = (void *)lab_symbol("bpf_kallsyms");
	struct bpf_ksym *k;
	struct bpf_prog *prog = NULL;

	if (!list)
		return -ENOENT;
	list_for_each_entry(k, list, lnode) if (k->prog) prog =
		container_of(k, struct bpf_prog_aux, ksym)->prog;
	if (!prog)
		return -ENOENT;
	site = (u8 *)prog->bpf_func + (body ? BEFORE : prog->jited_len + 1);
	memcpy(theirs, site, sizeof(theirs));
	if (body) {
		lab_branch((unsigned long)site, 0xe8, (unsigned long)lab_planted_target);
		return 0;
	}
	lab_write(site, code, sizeof(code));
	block.notifier_call = (notifier_fn_t)site;
	return register_module_notifier(&block);
}

static void __exit planted_exit(void)
{
	if (!body)
		unregister_module_notifier(&block);
	lab_write(site, theirs, sizeof(theirs));
	lab_drain();
}
module_init(planted_init);
module_exit(planted_exit);
