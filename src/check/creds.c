/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds credentials that the kernel cannot have given. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "hooks.h"
#include "tasks.h"

static int by_cred(const void *a, const void *b)
{
	const struct vl_checked_task *x = a, *y = b;

	if (x->cred != y->cred)
		return x->cred < y->cred ? -1 : 1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/*
 * copy_creds() gives each new process its own credentials; only threads share theirs. So the
 * kernel has not given two processes the same object.
 */
static void check_creds(struct vl_checker *c, struct vl_checked_task *t, size_t nr)
{
	uint64_t init = vl_symbol(c->k, "init_cred");
	char what[64], found[VL_CHECK_TEXT], other[64];

	qsort(t, nr, sizeof(*t), by_cred);
	for (size_t i = 0; i < nr; i++) {
		const struct vl_checked_task *same =
			i && t[i - 1].cred == t[i].cred ? &t[i - 1] : NULL;

		if (t[i].flags & PF_KTHREAD || !t[i].cred)
			continue;
		if (t[i].cred == init)
			snprintf(found, sizeof(found), "the kernel's own (init_cred)");
		else if (same)
			snprintf(found, sizeof(found), "those of %s",
				 vl_task_name(same, other, sizeof(other)));
		else
			continue;
		vl_check_show(c, &(struct vl_check_row){
					 .check = "credentials",
					 .at = t[i].at,
					 .what = vl_task_name(&t[i], what, sizeof(what)),
					 .expected = "credentials of its own",
					 .found = found,
				 });
	}
}

/*
 * A task acts with the credentials that are its own. While it works for the kernel it can have
 * others for a moment (override_creds()), which a later pass does not find.
 */
static void check_acting(struct vl_checker *c, const struct vl_checked_task *t, size_t nr)
{
	uint64_t init = vl_symbol(c->k, "init_cred");
	char what[64];

	for (size_t i = 0; i < nr; i++) {
		if (t[i].flags & PF_KTHREAD || !init || t[i].acts != init || t[i].cred == init)
			continue;
		vl_check_show(c, &(struct vl_check_row){
					 .check = "credentials",
					 .at = t[i].at,
					 .what = vl_task_name(&t[i], what, sizeof(what)),
					 .expected = "that it acts with its own",
					 .found = "it acts with the kernel's own (init_cred)",
				 });
	}
}

/*
 * What the kernel keeps of a program's start and of changes of credentials since then. It notes in
 * the process's memory (MMF_DUMPABLE, two bits) that the process must not be traced: at each change
 * of its user, or gain of capabilities, by a program's start or by a call (commit_creds()). The
 * value is fs.suid_dumpable, or 1 where credentials were never changed. Each process counts the
 * programs that it has executed, from its parent's number on, and keeps that
 * (task_struct.parent_exec_id).
 */
struct history {
	uint64_t init, groups; /* the kernel's first credentials, and their groups */
	uint64_t all;	       /* all capabilities that this kernel has */
	bool knows_changes;    /* MMF_DUMPABLE says whether credentials were changed */
	bool knows_programs;
};

/* include/linux/sched/coredump.h */
#define MMF_DUMPABLE 3U
#define SUID_DUMP_USER 1U

static void read_history(struct vl_checker *c, struct history *ret)
{
	uint64_t at = vl_symbol(c->k, "suid_dumpable");
	uint32_t value;

	*ret = (struct history){ .init = vl_symbol(c->k, "init_cred") };
	if (!ret->init)
		return;
	if (!vl_has(c->l, VL_F_CRED_GROUPS) ||
	    !vl_hook_word(c, ret->init + vl_offset(c->l, VL_F_CRED_GROUPS), &ret->groups))
		ret->groups = 0;
	if (!vl_has(c->l, VL_F_CRED_CAPPRM) ||
	    !vl_hook_word(c, ret->init + vl_offset(c->l, VL_F_CRED_CAPPRM), &ret->all) ||
	    ret->all & (ret->all + 1))
		ret->all = 0;
	ret->knows_changes =
		at && (vl_has(c->l, VL_F_MM_FLAGS) || vl_has(c->l, VL_F_EXEC_DUMPABLE)) &&
		!vl_read_u32(c->g->reader, &c->g->space, at, &value) && value != SUID_DUMP_USER;
	ret->knows_programs =
		vl_has(c->l, VL_F_TASK_SELF_EXEC) && vl_has(c->l, VL_F_TASK_PARENT_EXEC);
}

/* Has @t had the credentials that it has since its program's start, as far as the kernel knows? */
static bool is_unchanged(const struct vl_checked_task *t)
{
	return (t->mm_flags & MMF_DUMPABLE) == SUID_DUMP_USER;
}

/* Had @parent the user that it has when @t was born? */
static bool was_user(const struct history *h, const struct vl_checked_task *t,
		     const struct vl_checked_task *parent)
{
	return h->knows_changes && h->knows_programs && is_unchanged(parent) &&
	       t->parent_execs == parent->execs;
}

static int by_task(const void *a, const void *b)
{
	const struct vl_checked_task *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* The task at address @at, of the @nr tasks @t in the order of by_task(); NULL: none. */
static const struct vl_checked_task *task_at(const struct vl_checked_task *t, size_t nr,
					     uint64_t at)
{
	size_t i = vl_bisect(k, nr, t[k].at < at);

	return i < nr && t[i].at == at ? &t[i] : NULL;
}

/*
 * Why @t, which is root below the user's process @parent, did not become that by a program; NULL:
 * nothing shows that.
 *
 * A program with the set-user-ID bit keeps the groups of its user, or sets others; both are objects
 * of their own. Those of the kernel's first task (init_cred) are inherited, and never come back:
 * only prepare_kernel_cred() gives them anew, which exploits and rootkits call. But a server can
 * start a root process, and give up its own rights later. So the parent must have been the user's
 * when the child was born, or the child of a session to which a user logged in, or must have
 * changed its credentials itself.
 *
 * Other groups show nothing. Then a process of a user has become root by a program with the bit,
 * and has executed another one. So it has executed two programs at least.
 */
static const char *why_not(const struct vl_checker *c, const struct history *h,
			   const struct vl_checked_task *t, const struct vl_checked_task *parent)
{
	bool user = was_user(h, t, parent), known = h->knows_changes && h->knows_programs;

	if (t->groups == h->groups && parent->groups != h->groups &&
	    (user || !known || !is_unchanged(t) ||
	     (vl_has(c->l, VL_F_TASK_LOGINUID) && t->login && t->login != (uint32_t)-1)))
		return "user 0, with the groups of the kernel's first task";
	if (user && is_unchanged(t) && t->execs - t->parent_execs <= 1) {
		if (t->groups != parent->groups && t->groups && !t->nr_groups)
			return "user 0, with an empty list of groups of its own";
		return "user 0, and it has executed no program that could make it so";
	}
	return NULL;
}

/*
 * A child has its parent's credentials. It becomes root by a program with the set-user-ID bit, or
 * with capabilities. A parent that gave up its rights after its child was born executes the same
 * program, as in servers that separate their rights. A program that has become root by its bit and
 * executes another one leaves no trace of the bit.
 */
static void check_lineage(struct vl_checker *c, const struct history *h,
			  const struct vl_checked_task *t, size_t nr)
{
	if (!h->groups)
		return;
	for (size_t i = 0; i < nr; i++) {
		const struct vl_checked_task *parent = task_at(t, nr, t[i].parent);
		char what[64], expected[VL_CHECK_TEXT], other[64];
		const char *why;

		if (!parent || t[i].flags & (PF_KTHREAD | PF_EXITING) ||
		    parent->flags & (PF_KTHREAD | PF_EXITING) || t[i].euid || !parent->uid ||
		    !parent->euid || !parent->suid || t[i].mode & S_ISUID || !t[i].program ||
		    t[i].program == parent->program || !parent->groups ||
		    (t[i].groups == h->groups && parent->groups == h->groups))
			continue;
		why = why_not(c, h, &t[i], parent);
		snprintf(expected, sizeof(expected), "user %" PRIu32 ", as its parent, %s",
			 parent->euid, vl_task_name(parent, other, sizeof(other)));
		vl_check_show(c,
			      &(struct vl_check_row){
				      .class = why ? VL_CHECK_FINDING : VL_CHECK_NOTE,
				      .likely = true,
				      .unsure = !why,
				      .check = "credentials",
				      .at = t[i].at,
				      .what = vl_task_name(&t[i], what, sizeof(what)),
				      .expected = expected,
				      .found = why ? why : "user 0 without a set-user-ID program",
			      });
	}
}

/* ---- rights without their user ---- */

/* include/uapi/linux/capability.h: each of these is enough to become root. */
static const struct {
	unsigned bit;
	const char *name;
} mighty[] = {
	{ 1, "CAP_DAC_OVERRIDE" }, { 7, "CAP_SETUID" },	     { 16, "CAP_SYS_MODULE" },
	{ 17, "CAP_SYS_RAWIO" },   { 19, "CAP_SYS_PTRACE" }, { 21, "CAP_SYS_ADMIN" },
};

static void show_rights(struct vl_checker *c, const struct vl_checked_task *t, bool likely,
			const char *found, const char *expected)
{
	char what[64];

	vl_check_show(c, &(struct vl_check_row){
				 .check = "credentials",
				 .likely = likely,
				 .at = t->at,
				 .what = vl_task_name(t, what, sizeof(what)),
				 .expected = expected,
				 .found = found,
			 });
}

/* Has @t a right that only a change of credentials gives, but the kernel has not changed them? */
static void check_gain(struct vl_checker *c, const struct history *h,
		       const struct vl_checked_task *t)
{
	char found[VL_CHECK_TEXT], expected[64];
	uint64_t ns;

	if (!h->knows_changes || !is_unchanged(t) || !t->uid || !t->suid || t->mode & S_ISUID ||
	    !t->program)
		return;
	snprintf(expected, sizeof(expected), "the rights of user %" PRIu32, t->uid);
	/*
	 * A root process that leaves its other users, and goes on acting as root, keeps its
	 * capabilities. The kernel does not note that.
	 */
	if (!t->euid && (t->permitted || !vl_has(c->l, VL_F_CRED_CAPPRM)))
		return;
	if (!t->euid) {
		show_rights(c, t, true, "it acts as user 0, and no program made it so", expected);
		return;
	}
	if (!t->fsuid && vl_has(c->l, VL_F_CRED_FSUID)) {
		show_rights(c, t, true, "it opens files as user 0, and no program made it so",
			    expected);
		return;
	}
	/* Ambient capabilities stay when a program starts another one. */
	if (t->ambient || !vl_has(c->l, VL_F_CRED_NS) || !vl_has(c->l, VL_F_CRED_CAPAMB) ||
	    !vl_hook_word(c, h->init + vl_offset(c->l, VL_F_CRED_NS), &ns) || t->ns != ns)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(mighty); i++) {
		if (!(t->permitted >> mighty[i].bit & 1))
			continue;
		snprintf(found, sizeof(found), "%s capabilities (%s), and no program gave them",
			 t->permitted == h->all ? "all" : "root's", mighty[i].name);
		show_rights(c, t, true, found, expected);
		return;
	}
}

/*
 * The kernel keeps the capabilities that a process uses among those that it may use, and these
 * among those that there are. The user with whom it opens files follows the one that it acts as.
 */
static void check_rights(struct vl_checker *c, const struct history *h,
			 const struct vl_checked_task *t, size_t nr)
{
	bool known = vl_has(c->l, VL_F_CRED_CAPEFF) && vl_has(c->l, VL_F_CRED_CAPPRM);
	char found[VL_CHECK_TEXT], expected[VL_CHECK_TEXT];

	for (size_t i = 0; i < nr; i++) {
		if (t[i].flags & PF_KTHREAD || !t[i].cred)
			continue;
		if (known && t[i].effective & ~t[i].permitted) {
			snprintf(found, sizeof(found), "it uses the capabilities 0x%" PRIx64,
				 t[i].effective);
			snprintf(expected, sizeof(expected), "those that it may use, 0x%" PRIx64,
				 t[i].permitted);
			show_rights(c, &t[i], false, found, expected);
		} else if (h->all && t[i].permitted & ~h->all) {
			snprintf(found, sizeof(found), "the capabilities 0x%" PRIx64,
				 t[i].permitted);
			snprintf(expected, sizeof(expected),
				 "those that the kernel has, 0x%" PRIx64, h->all);
			show_rights(c, &t[i], false, found, expected);
		} else {
			check_gain(c, h, &t[i]);
		}
	}
}

/*
 * The kernel changes cred.user, the account of a user's processes, together with cred.uid
 * (set_user()), and only there. A rootkit that writes another uid seldom changes the account.
 */
static void check_accounts(struct vl_checker *c, const struct vl_checked_task *t, size_t nr)
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
					 .what = vl_task_name(&t[i], what, sizeof(what)),
					 .expected = expected,
					 .found = found,
				 });
	}
}

void vl_check_creds(struct vl_checker *c, struct vl_checked_task *t, size_t nr)
{
	struct history h;

	read_history(c, &h);
	check_accounts(c, t, nr);
	check_acting(c, t, nr);
	check_creds(c, t, nr);
	qsort(t, nr, sizeof(*t), by_task);
	check_lineage(c, &h, t, nr);
	check_rights(c, &h, t, nr);
}
