/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Credentials that the kernel has not given so, and kernel threads that run code without an owner.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "hooks.h"
#include "roots.h"

/* include/linux/sched.h */
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

struct task {
	uint64_t at, cred, function;
	uint64_t acts;		  /* the credentials that it acts with: task_struct.cred */
	uint64_t groups;	  /* its struct group_info */
	uint64_t stack, sp;	  /* its kernel stack, and the saved stack pointer */
	uint64_t pgd;		  /* its table of pages */
	uint64_t parent, program; /* its parent's task_struct; the inode of what it executes */
	int32_t pid;
	uint32_t flags, uid, euid, suid, account, nr_groups;
	uint16_t mode; /* of the program's file */
	char comm[16];
};

static int by_cred(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	if (x->cred != y->cred)
		return x->cred < y->cred ? -1 : 1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

static const char *name_of(const struct task *t, char *buf, size_t size)
{
	snprintf(buf, size, "process %" PRId32 " (%.16s)", t->pid, t->comm);
	return buf;
}

/*
 * copy_creds() gives each new process its own credentials; only threads share theirs. So the
 * kernel has not given two processes the same object.
 */
static void check_creds(struct vl_checker *c, struct task *t, size_t nr)
{
	uint64_t init = vl_symbol(c->k, "init_cred");
	char what[64], found[VL_CHECK_TEXT], other[64];

	qsort(t, nr, sizeof(*t), by_cred);
	for (size_t i = 0; i < nr; i++) {
		const struct task *same = i && t[i - 1].cred == t[i].cred ? &t[i - 1] : NULL;

		if (t[i].flags & PF_KTHREAD || !t[i].cred)
			continue;
		if (t[i].cred == init)
			snprintf(found, sizeof(found), "the kernel's own (init_cred)");
		else if (same)
			snprintf(found, sizeof(found), "those of %s",
				 name_of(same, other, sizeof(other)));
		else
			continue;
		vl_check_show(c, &(struct vl_check_row){
					 .check = "credentials",
					 .at = t[i].at,
					 .what = name_of(&t[i], what, sizeof(what)),
					 .expected = "credentials of its own",
					 .found = found,
				 });
	}
}

/*
 * A task acts with the credentials that are its own. While it works for the kernel it can have
 * others for a moment (override_creds()), which a later look does not find.
 */
static void check_acting(struct vl_checker *c, const struct task *t, size_t nr)
{
	uint64_t init = vl_symbol(c->k, "init_cred");
	char what[64];

	for (size_t i = 0; i < nr; i++) {
		if (t[i].flags & PF_KTHREAD || !init || t[i].acts != init || t[i].cred == init)
			continue;
		vl_check_show(c, &(struct vl_check_row){
					 .check = "credentials",
					 .at = t[i].at,
					 .what = name_of(&t[i], what, sizeof(what)),
					 .expected = "that it acts with its own",
					 .found = "it acts with the kernel's own (init_cred)",
				 });
	}
}

static int by_task(const void *a, const void *b)
{
	const struct task *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/*
 * A child has its parent's credentials. It becomes root by a program with the set-user-ID bit. Such
 * a program keeps the groups that its user has, or sets others; both are objects of their own.
 * Those of the kernel's first task (init_cred) are inherited, and never come back: who takes them
 * anew has them from prepare_kernel_cred(), as exploits and rootkits do. A parent that gave up its
 * rights after its child was born executes the same program, as in servers that separate their
 * rights. Programs with the bit that make a list of groups (su, sudo) put at least root's own group
 * into it: an empty list of its own is an exploit's, too. A program that has become root by its bit
 * and executes another one leaves no trace of the bit, so any other root below a user is a note.
 */
static void check_lineage(struct vl_checker *c, struct task *t, size_t nr)
{
	uint64_t init = vl_symbol(c->k, "init_cred"), groups;

	if (!init || !vl_has(c->l, VL_F_CRED_GROUPS) ||
	    !vl_hook_word(c, init + vl_offset(c->l, VL_F_CRED_GROUPS), &groups))
		return;
	qsort(t, nr, sizeof(*t), by_task);
	for (size_t i = 0; i < nr; i++) {
		char what[64], expected[VL_CHECK_TEXT], other[64];
		size_t at = vl_bisect(k, nr, t[k].at < t[i].parent);
		const struct task *parent = at < nr && t[at].at == t[i].parent ? &t[at] : NULL;

		bool initial = t[i].groups == groups, empty, odd;

		if (!parent || t[i].flags & (PF_KTHREAD | PF_EXITING) ||
		    parent->flags & (PF_KTHREAD | PF_EXITING) || t[i].euid || !parent->uid ||
		    !parent->euid || !parent->suid || t[i].mode & S_ISUID || !t[i].program ||
		    t[i].program == parent->program || !parent->groups ||
		    (initial && parent->groups == groups))
			continue;
		empty = vl_has(c->l, VL_F_GROUPS_NR) && t[i].groups && !t[i].nr_groups &&
			t[i].groups != parent->groups;
		odd = initial || empty;
		snprintf(expected, sizeof(expected), "user %" PRIu32 ", as its parent, %s",
			 parent->euid, name_of(parent, other, sizeof(other)));
		vl_check_show(
			c,
			&(struct vl_check_row){
				.class = odd ? VL_CHECK_FINDING : VL_CHECK_NOTE,
				.likely = true,
				.unsure = !odd,
				.check = "credentials",
				.at = t[i].at,
				.what = name_of(&t[i], what, sizeof(what)),
				.expected = expected,
				.found =
					initial ?
						"user 0, with the groups of the kernel's first task" :
					empty ? "user 0, with an empty list of groups of its own" :
						"user 0, and no set-user-ID bit says why",
			});
	}
}

/*
 * The kernel changes cred.user, the account of a user's processes, together with cred.uid
 * (set_user()), and only there. A rootkit that writes another uid seldom changes the account.
 */
static void check_accounts(struct vl_checker *c, const struct task *t, size_t nr)
{
	if (!vl_has(c->l, VL_F_CRED_USER) || !vl_has(c->l, VL_F_USER_UID))
		return;
	for (size_t i = 0; i < nr; i++) {
		char what[64], found[VL_CHECK_TEXT], expected[VL_CHECK_TEXT];

		if (t[i].flags & PF_KTHREAD || t[i].uid == t[i].account)
			continue;
		snprintf(found, sizeof(found), "user %" PRIu32, t[i].uid);
		snprintf(expected, sizeof(expected), "user %" PRIu32 ", whose account it has",
			 t[i].account);
		vl_check_show(c, &(struct vl_check_row){
					 .check = "credentials",
					 .at = t[i].at,
					 .what = name_of(&t[i], what, sizeof(what)),
					 .expected = expected,
					 .found = found,
				 });
	}
}

/*
 * A kernel thread must run code of the kernel or of a listed module. BPF, ftrace and kprobes have
 * no function that can be a thread's.
 */
static bool is_thread_code(const struct vl_checker *c, uint64_t va)
{
	enum vl_place_kind kind = vl_place_of(&c->places, va).kind;

	return kind == VL_PLACE_TEXT || (kind == VL_PLACE_MODULE && vl_place_runs(&c->places, va));
}

static void check_threads(struct vl_checker *c, const struct task *t, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		char what[64];

		if (!(t[i].flags & PF_KTHREAD) || !t[i].function ||
		    is_thread_code(c, t[i].function))
			continue;
		snprintf(what, sizeof(what), "kernel thread %" PRId32 " (%.16s)", t[i].pid,
			 t[i].comm);
		vl_check_show(c, &(struct vl_check_row){
					 .check = "kernel threads",
					 .at = t[i].at,
					 .what = what,
					 .expected = "code of the kernel or of a module",
					 .code = t[i].function,
				 });
	}
}

/* ---- the stacks ---- */

/* THREAD_SIZE, and that with KASAN: arch/x86/include/asm/page_64_types.h. */
#define STACK 16384U
#define STACK_MAX 32768U

/*
 * Does a call end at @va? By a register it has 2 to 7 bytes, see the opcode map of the Intel SDM.
 */
static bool is_behind_call(struct vl_checker *c, uint64_t va)
{
	unsigned char code[7];

	if (vl_read(c->g->reader, &c->g->space, va - sizeof(code), code, sizeof(code)))
		return false;
	if (code[2] == 0xe8)
		return true;
	/* ff /2, whose first byte is one of the six before. */
	for (size_t i = 0; i + 1 < sizeof(code); i++)
		if (code[i] == 0xff && (code[i + 1] >> 3 & 7) == 2)
			return true;
	return false;
}

/*
 * A kernel thread that sleeps returns to each function on its stack. So all of them have an owner,
 * whatever its structures say that it runs. The stack of a process that unloads a module can have
 * old addresses in that module, so processes are left out.
 */
static void check_stack(struct vl_checker *c, const struct task *t)
{
	uint64_t words[STACK_MAX / 8];
	uint64_t end = t->stack + (t->sp - t->stack > STACK ? STACK_MAX : STACK);
	size_t nr = (end - t->sp) / 8;
	char what[64];

	if (!t->stack || t->sp <= t->stack || t->sp - t->stack > STACK_MAX || t->sp % 8 ||
	    vl_read(c->g->reader, &c->g->space, t->sp, words, nr * 8))
		return;
	for (size_t i = 0; i < nr; i++) {
		enum vl_place_kind kind;

		if (!vl_place_runs(&c->places, words[i]))
			continue;
		kind = vl_place_of(&c->places, words[i]).kind;
		if ((kind != VL_PLACE_NOBODY && kind != VL_PLACE_HIDDEN &&
		     kind != VL_PLACE_CLAIMED) ||
		    !is_behind_call(c, words[i]) || (kind == VL_PLACE_NOBODY && !c->knows_classic))
			continue;
		snprintf(what, sizeof(what), "kernel thread %" PRId32 " (%.16s)", t->pid, t->comm);
		vl_check_show(c,
			      &(struct vl_check_row){
				      .check = "kernel threads",
				      .at = t->at,
				      .what = what,
				      .expected = "code of the kernel or of a module on its stack",
				      .code = words[i],
			      });
		return;
	}
}

static void check_memory(struct vl_checker *c, const struct task *t, size_t nr)
{
	struct vl_roots roots;
	char what[64];

	vl_roots_init(c, &roots);
	for (size_t i = 0; i < nr; i++) {
		if (t[i].flags & PF_KTHREAD)
			check_stack(c, &t[i]);
		if (t[i].pgd)
			vl_roots_check(c, &roots, t[i].at, t[i].pgd,
				       name_of(&t[i], what, sizeof(what)));
	}
	vl_roots_end(c, &roots);
}

struct vl_error *vl_check_tasks(struct vl_checker *c)
{
	/* The pointer to struct kthread; before 5.17 it was in set_child_tid. */
	enum vl_field at = vl_has(c->l, VL_F_TASK_WORKER_PRIVATE) ? VL_F_TASK_WORKER_PRIVATE :
								    VL_F_TASK_SET_CHILD_TID;
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = { .stride = sizeof(struct task) };
	struct vl_error *err;
	struct task *t;
	size_t nr;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct task, at));
	vl_fields_add(&fs, VL_F_TASK_TGID, offsetof(struct task, pid), 4);
	vl_fields_add(&fs, VL_F_TASK_FLAGS, offsetof(struct task, flags), 4);
	vl_fields_add(&fs, VL_F_TASK_COMM, offsetof(struct task, comm), 16);
	vl_fields_add(&fs, VL_F_TASK_REAL_CRED, offsetof(struct task, cred), 8);
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_UID, offsetof(struct task, uid),
			      4);
	if (vl_has(c->l, VL_F_TASK_REAL_CRED))
		fs.f[fs.nr++] = (struct vl_walk_field){
			.kind = VL_FIELD_BYTES,
			.derefs = 2,
			.size = 4,
			.out = offsetof(struct task, account),
			.offset = { c->l->offset[VL_F_TASK_REAL_CRED],
				    (int32_t)vl_offset(c->l, VL_F_CRED_USER),
				    (int32_t)vl_offset(c->l, VL_F_USER_UID) },
		};
	if (vl_has(c->l, VL_F_TASK_REAL_CRED) && vl_has(c->l, VL_F_CRED_GROUPS) &&
	    vl_has(c->l, VL_F_GROUPS_NR))
		fs.f[fs.nr++] = (struct vl_walk_field){
			.kind = VL_FIELD_BYTES,
			.derefs = 2,
			.size = 4,
			.out = offsetof(struct task, nr_groups),
			.offset = { c->l->offset[VL_F_TASK_REAL_CRED],
				    c->l->offset[VL_F_CRED_GROUPS], c->l->offset[VL_F_GROUPS_NR] },
		};
	vl_fields_add(&fs, VL_F_TASK_STACK, offsetof(struct task, stack), 8);
	vl_fields_add(&fs, VL_F_TASK_SP, offsetof(struct task, sp), 8);
	vl_fields_add_through(&fs, VL_F_TASK_MM, VL_F_MM_PGD, offsetof(struct task, pgd), 8);
	vl_fields_add(&fs, VL_F_TASK_CRED, offsetof(struct task, acts), 8);
	/* A thread other than the first can be the parent. */
	vl_fields_add_through(&fs, VL_F_TASK_REAL_PARENT, VL_F_TASK_LEADER,
			      offsetof(struct task, parent), 8);
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_EUID, offsetof(struct task, euid),
			      4);
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_SUID, offsetof(struct task, suid),
			      4);
	vl_fields_add_through(&fs, VL_F_TASK_REAL_CRED, VL_F_CRED_GROUPS,
			      offsetof(struct task, groups), 8);
	if (vl_has(c->l, VL_F_TASK_MM) && vl_has(c->l, VL_F_MM_EXE) &&
	    vl_has(c->l, VL_F_FILE_INODE)) {
		struct vl_walk_field program = {
			.kind = VL_FIELD_BYTES,
			.derefs = 2,
			.size = 8,
			.out = offsetof(struct task, program),
			.offset = { c->l->offset[VL_F_TASK_MM], c->l->offset[VL_F_MM_EXE],
				    c->l->offset[VL_F_FILE_INODE] },
		};

		fs.f[fs.nr++] = program;
		program.derefs = 3;
		program.size = 2;
		program.out = offsetof(struct task, mode);
		program.offset[3] = (int32_t)vl_offset(c->l, VL_F_INODE_MODE);
		fs.f[fs.nr++] = program;
	}
	vl_fields_add_through(&fs, at, VL_F_KTHREAD_FN, offsetof(struct task, function), 8);
	err = vl_collect_tasks(c->g, &w, &fs, &nr);
	t = w.records;
	if (nr) {
		check_threads(c, t, nr);
		check_memory(c, t, nr);
		check_accounts(c, t, nr);
		check_acting(c, t, nr);
		check_creds(c, t, nr);
		check_lineage(c, t, nr);
	}
	free(w.records);
	return err;
}

/* ---- restrictions that an intruder would turn off ---- */

struct vl_error *vl_check_limits(struct vl_checker *c)
{
	static const struct {
		const char *symbol, *what;
		uint32_t lifted;
	} limits[] = {
		{ "sysctl_unprivileged_userfaultfd", "vm.unprivileged_userfaultfd", 1 },
		{ "sysctl_unprivileged_bpf_disabled", "kernel.unprivileged_bpf_disabled", 0 },
		{ "sysctl_perf_event_paranoid", "kernel.perf_event_paranoid", (uint32_t)-1 },
		{ "kptr_restrict", "kernel.kptr_restrict", 0 },
		{ "sysctl_io_uring_disabled", "kernel.io_uring_disabled", 0 },
		{ "randomize_va_space", "kernel.randomize_va_space", 0 },
		{ "dmesg_restrict", "kernel.dmesg_restrict", 0 },
		{ "sysctl_protected_symlinks", "fs.protected_symlinks", 0 },
		{ "sysctl_protected_hardlinks", "fs.protected_hardlinks", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		uint64_t va = vl_symbol(c->k, limits[i].symbol);
		uint32_t value;
		char found[32];

		if (!va || vl_read_u32(c->g->reader, &c->g->space, va, &value) ||
		    value != limits[i].lifted)
			continue;
		snprintf(found, sizeof(found), "%" PRId32 ": not restricted", (int32_t)value);
		vl_check_show(c, &(struct vl_check_row){
					 .class = VL_CHECK_NOTE,
					 .check = "restrictions",
					 .at = va,
					 .what = limits[i].what,
					 .found = found,
				 });
	}
	return NULL;
}
