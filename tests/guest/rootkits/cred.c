// SPDX-License-Identifier: GPL-2.0-only
/* Gives a process the credentials of the kernel's first task: uid 0, shared with that task. */
#include "lab.h"

#include <linux/cred.h>
#include <linux/pid.h>

static int pid;
module_param(pid, int, 0444);

static struct task_struct *task;
static const struct cred *cred, *real_cred;

static int __init cred_init_lab(void)
{
	struct task_struct *init = (void *)lab_symbol("init_task");

	task = pid_task(find_get_pid(pid), PIDTYPE_PID);
	if (!task || !init)
		return -ESRCH;
	cred = task->cred;
	real_cred = task->real_cred;
	rcu_assign_pointer(task->cred, get_cred(init->cred));
	rcu_assign_pointer(task->real_cred, get_cred(init->cred));
	return 0;
}

static void __exit cred_exit_lab(void)
{
	rcu_assign_pointer(task->cred, cred);
	rcu_assign_pointer(task->real_cred, real_cred);
}
module_init(cred_init_lab);
module_exit(cred_exit_lab);
