// SPDX-License-Identifier: GPL-2.0-only
/*
 * Says that its code is compiled BPF: it has an entry of its own in the list of such code. The
 * function that makes directories calls it, where a tracer would be called. It keeps no trace of a
 * module but its memory. With forged=1 there is also an entry in the table of programs, and the
 * function is called for each module instead.
 */
#include "lab.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/idr.h>
#include <linux/notifier.h>
#include <linux/rculist.h>
#include <linux/workqueue.h>

/* Its kobject points to a listed module only: that finds a hidden one. */
static void show(struct work_struct *unused)
{
	THIS_MODULE->mkobj.mod = THIS_MODULE;
}

static DECLARE_DELAYED_WORK(show_later, show);

/* As LAB_LISTED. The caller has a lock of the module that its kobject points to. */
static int set_listed(const char *text, const struct kernel_param *kp)
{
	int ret = lab_set_listed(text, kp);

	if (!ret && !list_empty(&THIS_MODULE->list))
		schedule_delayed_work(&show_later, msecs_to_jiffies(20));
	return ret;
}

static const struct kernel_param_ops listed_ops = { .set = set_listed };
module_param_cb(listed, &listed_ops, NULL, 0200);

static bool program;
module_param(program, bool, 0444);
static bool forged;
module_param(forged, bool, 0444);

void lab_claim_target(void);
asm(".text\n"
    ".globl lab_claim_target\n"
    "lab_claim_target:\n"
    "	xor %eax, %eax\n" /* NOTIFY_DONE */
    "	ret\n"
    "	int3\n");

static struct bpf_ksym ksym;
static unsigned long site;
static struct idr *programs;
static struct bpf_prog_aux aux;
static struct {
	struct bpf_prog prog;
	struct bpf_insn code[2];
} fake;
static int id;
static struct notifier_block block;

/* A program of two instructions: r0 = 0; exit. */
static int forge(void)
{
	static const struct bpf_insn code[] = { BPF_MOV64_IMM(BPF_REG_0, 0), BPF_EXIT_INSN() };

	programs = (void *)lab_symbol("prog_idr");
	if (!programs)
		return -ENOENT;
	aux.prog = &fake.prog;
	strcpy(aux.name, "lab");
	fake.prog.aux = &aux;
	fake.prog.len = ARRAY_SIZE(code);
	fake.prog.type = BPF_PROG_TYPE_KPROBE;
	fake.prog.jited = 1;
	fake.prog.jited_len = 64;
	*(void **)&fake.prog.bpf_func = lab_claim_target;
	memcpy(fake.prog.insnsi, code, sizeof(code));
	id = idr_alloc_cyclic(programs, &fake.prog, 1, INT_MAX, GFP_ATOMIC);
	aux.id = id;
	return id < 0 ? id : 0;
}

static int __init claim_init(void)
{
	struct list_head *list = (void *)lab_symbol("bpf_kallsyms");

	site = lab_ftrace_site("vfs_mkdir");
	if (!list || !site)
		return -ENOENT;
	if (forged && forge())
		return -ENOMEM;
	ksym.start = (unsigned long)lab_claim_target & PAGE_MASK;
	ksym.end = ksym.start + PAGE_SIZE;
	if (forged)
		ksym.start = (unsigned long)lab_claim_target;
	ksym.prog = program;
	strcpy(ksym.name, program ? "bpf_prog_6deef7357e7b4530" : "bpf_trampoline_6442462665");
	list_add_tail_rcu(&ksym.lnode, list);
	block.notifier_call = (notifier_fn_t)lab_claim_target;
	if (forged)
		register_module_notifier(&block);
	else
		lab_branch(site, 0xe8, (unsigned long)lab_claim_target);
	if (list_empty(&THIS_MODULE->list))
		THIS_MODULE->mkobj.mod = NULL;
	return 0;
}

static void __exit claim_exit(void)
{
	flush_delayed_work(&show_later);
	if (forged)
		unregister_module_notifier(&block);
	else
		lab_write((void *)site, lab_nop5, sizeof(lab_nop5));
	list_del_rcu(&ksym.lnode);
	if (forged)
		idr_remove(programs, id);
	synchronize_rcu();
	lab_drain();
}
module_init(claim_init);
module_exit(claim_exit);
