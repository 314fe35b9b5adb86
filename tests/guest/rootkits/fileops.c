// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives one open file of a process a copy of its table of functions, in which one function is
 * ours. No other file is changed, and no table of the kernel. With where=1 it is the table of
 * the file's inode, with where=2 the operations of the file's socket.
 */
#include "lab.h"

#include <linux/fdtable.h>
#include <linux/net.h>
#include <linux/pid.h>
#include <net/sock.h>

LAB_LISTED;

static int pid;
module_param(pid, int, 0444);
static int fd;
module_param(fd, int, 0444);
static int where;
module_param(where, int, 0444);

static const void **slot; /* the pointer that was changed */
static const void *theirs;
static void *ours;

static loff_t lab_llseek(struct file *file, loff_t offset, int whence)
{
	return -ESPIPE;
}

static int lab_listen(struct socket *sock, int len)
{
	return -EOPNOTSUPP;
}

static int __init fileops_init(void)
{
	struct task_struct *task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	struct fdtable *table;
	struct file *file;
	size_t size = sizeof(struct file_operations);

	if (!task || !task->files)
		return -ESRCH;
	rcu_read_lock();
	table = rcu_dereference_raw(task->files->fdt);
	file = fd < (int)table->max_fds ? rcu_dereference_raw(table->fd[fd]) : NULL;
	rcu_read_unlock();
	if (!file || (where == 2 && !S_ISSOCK(file_inode(file)->i_mode)))
		return -EBADF;
	if (where == 2) {
		slot = (const void **)&((struct socket *)file->private_data)->ops;
		size = sizeof(struct proto_ops);
	} else if (where == 1) {
		slot = (const void **)&file_inode(file)->i_fop;
	} else {
		slot = (const void **)&file->f_op;
	}
	theirs = *slot;
	ours = kmemdup(theirs, size, GFP_KERNEL);
	if (!ours)
		return -ENOMEM;
	if (where == 2)
		((struct proto_ops *)ours)->listen = lab_listen;
	else
		((struct file_operations *)ours)->llseek = lab_llseek;
	WRITE_ONCE(*slot, ours);
	return 0;
}

static void __exit fileops_exit(void)
{
	WRITE_ONCE(*slot, theirs);
	lab_drain();
	kfree(ours);
}
module_init(fileops_init);
module_exit(fileops_exit);
