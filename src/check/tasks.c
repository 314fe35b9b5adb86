/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Credentials that processes share, and kernel threads that run code without an owner. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "check.h"

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

struct task {
	uint64_t at, cred, kthread, function;
	int32_t pid;
	uint32_t flags;
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

/* A kernel thread must run code with an owner. */
static void check_threads(struct vl_checker *c, const struct task *t, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		char what[64], found[VL_CHECK_TEXT], owner[VL_CHECK_TEXT];

		if (!(t[i].flags & PF_KTHREAD) || !t[i].function ||
		    vl_check_is_code(c, t[i].function))
			continue;
		snprintf(what, sizeof(what), "kernel thread %" PRId32 " (%.16s)", t[i].pid,
			 t[i].comm);
		vl_check_show(c, &(struct vl_check_row){
					 .check = "kernel threads",
					 .at = t[i].at,
					 .what = what,
					 .expected = "code of the kernel or of a module",
					 .found = vl_check_describe(c, t[i].function, found),
					 .owner = vl_check_owner(c, t[i].function, owner),
				 });
	}
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
	vl_fields_add_through(&fs, at, VL_F_KTHREAD_FN, offsetof(struct task, function), 8);
	err = vl_collect_tasks(c->g, &w, &fs, &nr);
	t = w.records;
	if (nr) {
		check_threads(c, t, nr);
		check_creds(c, t, nr);
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
