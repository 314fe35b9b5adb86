// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a process the credentials of the kernel's first task: uid 0, shared with that task. With
 * how=1 it gets a copy of its own, as exploits make it; with how=2 it only acts with those of the
 * first task, and shows its own. With how=3 it gets a copy with a list of groups of its own, which
 * is empty.
 */
#include "lab.h"

#include <linux/cred.h>
#include <linux/pid.h>

static int pid;
module_param(pid, int, 0444);
static int how;
module_param(how, int, 0444);

static struct task_struct *task;
static const struct cred *cred, *real_cred, *theirs;

static const struct cred *fresh(struct task_struct *init)
{
	struct group_info *none = groups_alloc(0);
	struct cred *ret = prepare_kernel_cred(init);

	if (none && ret)
		set_groups(ret, none);
	return ret;
}

static int __init cred_init_lab(void)
{
	struct task_struct *init = (void *)lab_symbol("init_task");

	task = pid_task(find_get_pid(pid), PIDTYPE_PID);
	if (!task || !init)
		return -ESRCH;
	cred = task->cred;
	real_cred = task->real_cred;
	theirs = how == 1 ? prepare_kernel_cred(init) :
		 how == 3 ? fresh(init) :
			    get_cred(init->cred);
	if (!theirs)
		return -ENOMEM;
	rcu_assign_pointer(task->cred, get_cred(theirs));
	if (how != 2)
		rcu_assign_pointer(task->real_cred, get_cred(theirs));
	return 0;
}

static void __exit cred_exit_lab(void)
{
	rcu_assign_pointer(task->cred, cred);
	rcu_assign_pointer(task->real_cred, real_cred);
}
module_init(cred_init_lab);
module_exit(cred_exit_lab);
