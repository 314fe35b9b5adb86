/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Credentials that the kernel has not given so. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../attach/attach.h"
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
 * others for a moment (override_creds()), which a later look does not find.
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

static int by_task(const void *a, const void *b)
{
	const struct vl_checked_task *x = a, *y = b;

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
static void check_lineage(struct vl_checker *c, struct vl_checked_task *t, size_t nr)
{
	uint64_t init = vl_symbol(c->k, "init_cred"), groups;

	if (!init || !vl_has(c->l, VL_F_CRED_GROUPS) ||
	    !vl_hook_word(c, init + vl_offset(c->l, VL_F_CRED_GROUPS), &groups))
		return;
	qsort(t, nr, sizeof(*t), by_task);
	for (size_t i = 0; i < nr; i++) {
		char what[64], expected[VL_CHECK_TEXT], other[64];
		size_t at = vl_bisect(k, nr, t[k].at < t[i].parent);
		const struct vl_checked_task *parent =
			at < nr && t[at].at == t[i].parent ? &t[at] : NULL;

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
			 parent->euid, vl_task_name(parent, other, sizeof(other)));
		vl_check_show(
			c,
			&(struct vl_check_row){
				.class = odd ? VL_CHECK_FINDING : VL_CHECK_NOTE,
				.likely = true,
				.unsure = !odd,
				.check = "credentials",
				.at = t[i].at,
				.what = vl_task_name(&t[i], what, sizeof(what)),
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
	check_accounts(c, t, nr);
	check_acting(c, t, nr);
	check_creds(c, t, nr);
	check_lineage(c, t, nr);
}
