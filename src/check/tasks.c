/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel threads that run code without an owner, the memory of processes, and restrictions. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../host/file.h"
#include "hooks.h"
#include "roots.h"
#include "tasks.h"

const char *vl_task_name(const struct vl_checked_task *t, char *buf, size_t size)
{
	snprintf(buf, size, "process %" PRId32 " (%.16s)", t->pid, t->comm);
	return buf;
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

static void check_threads(struct vl_checker *c, const struct vl_checked_task *t, size_t nr)
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
static void check_stack(struct vl_checker *c, const struct vl_checked_task *t)
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

static void check_memory(struct vl_checker *c, const struct vl_checked_task *t, size_t nr)
{
	struct vl_roots roots;
	char what[64];

	vl_roots_init(c, &roots);
	for (size_t i = 0; i < nr; i++) {
		if (t[i].flags & PF_KTHREAD)
			check_stack(c, &t[i]);
		if (t[i].pgd)
			vl_roots_check(c, &roots, t[i].at, t[i].pgd,
				       vl_task_name(&t[i], what, sizeof(what)));
	}
	vl_roots_end(c, &roots);
}

static void add_credentials(struct vl_fields *fs)
{
	static const struct {
		enum vl_field field;
		uint32_t out;
		size_t size;
	} parts[] = {
		{ VL_F_CRED_UID, offsetof(struct vl_checked_task, uid), 4 },
		{ VL_F_CRED_EUID, offsetof(struct vl_checked_task, euid), 4 },
		{ VL_F_CRED_SUID, offsetof(struct vl_checked_task, suid), 4 },
		{ VL_F_CRED_FSUID, offsetof(struct vl_checked_task, fsuid), 4 },
		{ VL_F_CRED_GROUPS, offsetof(struct vl_checked_task, groups), 8 },
		{ VL_F_CRED_CAPPRM, offsetof(struct vl_checked_task, permitted), 8 },
		{ VL_F_CRED_CAPEFF, offsetof(struct vl_checked_task, effective), 8 },
		{ VL_F_CRED_CAPAMB, offsetof(struct vl_checked_task, ambient), 8 },
		{ VL_F_CRED_NS, offsetof(struct vl_checked_task, ns), 8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		vl_fields_add_through(fs, VL_F_TASK_REAL_CRED, parts[i].field, parts[i].out,
				      parts[i].size);
}

/*
 * Where a file lacks memory, keep the tasks of which all fields could be read but those in the mask
 * @but: user 0 is no finding if its number is not in the file.
 */
static size_t keep_whole(const struct vl_checker *c, struct vl_checked_task *t, size_t nr,
			 uint32_t but)
{
	size_t kept = 0;

	if (vl_target_misses(c->g->target) == c->misses)
		return nr;
	for (size_t i = 0; i < nr; i++)
		if (!(t[i].lacks & ~but))
			t[kept++] = t[i];
	return kept;
}

struct vl_error *vl_check_tasks(struct vl_checker *c)
{
	/* The pointer to struct kthread; before 5.17 it was in set_child_tid. */
	enum vl_field at = vl_has(c->l, VL_F_TASK_WORKER_PRIVATE) ? VL_F_TASK_WORKER_PRIVATE :
								    VL_F_TASK_SET_CHILD_TID;
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = { .stride = sizeof(struct vl_checked_task) };
	struct vl_error *err;
	struct vl_checked_task *t;
	int function;
	size_t nr;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct vl_checked_task, at));
	vl_fields_add(&fs, VL_F_TASK_TGID, offsetof(struct vl_checked_task, pid), 4);
	vl_fields_add(&fs, VL_F_TASK_FLAGS, offsetof(struct vl_checked_task, flags), 4);
	vl_fields_add(&fs, VL_F_TASK_COMM, offsetof(struct vl_checked_task, comm), 16);
	vl_fields_add(&fs, VL_F_TASK_REAL_CRED, offsetof(struct vl_checked_task, cred), 8);
	add_credentials(&fs);
	/* Kernel 7 has that outside of the process's memory, in a word of its own. */
	if (vl_has(c->l, VL_F_EXEC_DUMPABLE))
		vl_fields_add_through(&fs, VL_F_TASK_EXEC_STATE, VL_F_EXEC_DUMPABLE,
				      offsetof(struct vl_checked_task, mm_flags), 4);
	else
		vl_fields_add_through(&fs, VL_F_TASK_MM, VL_F_MM_FLAGS,
				      offsetof(struct vl_checked_task, mm_flags), 8);
	vl_fields_add(&fs, VL_F_TASK_SELF_EXEC, offsetof(struct vl_checked_task, execs), 4);
	vl_fields_add(&fs, VL_F_TASK_PARENT_EXEC, offsetof(struct vl_checked_task, parent_execs),
		      4);
	vl_fields_add(&fs, VL_F_TASK_LOGINUID, offsetof(struct vl_checked_task, login), 4);
	if (vl_has(c->l, VL_F_TASK_REAL_CRED))
		fs.f[fs.nr++] = (struct vl_walk_field){
			.kind = VL_FIELD_BYTES,
			.derefs = 2,
			.size = 4,
			.out = offsetof(struct vl_checked_task, account),
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
			.out = offsetof(struct vl_checked_task, nr_groups),
			.offset = { c->l->offset[VL_F_TASK_REAL_CRED],
				    c->l->offset[VL_F_CRED_GROUPS], c->l->offset[VL_F_GROUPS_NR] },
		};
	vl_fields_add(&fs, VL_F_TASK_STACK, offsetof(struct vl_checked_task, stack), 8);
	vl_fields_add(&fs, VL_F_TASK_SP, offsetof(struct vl_checked_task, sp), 8);
	vl_fields_add_through(&fs, VL_F_TASK_MM, VL_F_MM_PGD, offsetof(struct vl_checked_task, pgd),
			      8);
	vl_fields_add(&fs, VL_F_TASK_CRED, offsetof(struct vl_checked_task, acts), 8);
	/* A thread other than the first can be the parent. */
	vl_fields_add_through(&fs, VL_F_TASK_REAL_PARENT, VL_F_TASK_LEADER,
			      offsetof(struct vl_checked_task, parent), 8);
	if (vl_has(c->l, VL_F_TASK_MM) && vl_has(c->l, VL_F_MM_EXE) &&
	    vl_has(c->l, VL_F_FILE_INODE)) {
		struct vl_walk_field program = {
			.kind = VL_FIELD_BYTES,
			.derefs = 2,
			.size = 8,
			.out = offsetof(struct vl_checked_task, program),
			.offset = { c->l->offset[VL_F_TASK_MM], c->l->offset[VL_F_MM_EXE],
				    c->l->offset[VL_F_FILE_INODE] },
		};

		fs.f[fs.nr++] = program;
		program.derefs = 3;
		program.size = 2;
		program.out = offsetof(struct vl_checked_task, mode);
		program.offset[3] = (int32_t)vl_offset(c->l, VL_F_INODE_MODE);
		fs.f[fs.nr++] = program;
	}
	function = vl_fields_add_through(&fs, at, VL_F_KTHREAD_FN,
					 offsetof(struct vl_checked_task, function), 8);
	vl_fields_note_lacks(&fs, offsetof(struct vl_checked_task, lacks));
	err = vl_collect_tasks(c->g, &w, &fs, &nr);
	t = w.records;
	if (nr) {
		check_threads(c, t, nr);
		check_memory(c, t, nr);
		/* Only threads of the kernel have that one. */
		nr = keep_whole(c, t, nr, function < 0 ? 0 : 1U << function);
		vl_check_creds(c, t, nr);
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
