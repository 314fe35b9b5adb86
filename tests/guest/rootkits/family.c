// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives the listening TCP socket of a process a family that /proc/net/tcp does not show. The socket
 * stays in the kernel's tables.
 */
#include "lab.h"

#include <linux/fdtable.h>
#include <linux/net.h>
#include <linux/pid.h>
#include <net/sock.h>
#include <net/tcp_states.h>

static int pid;
module_param(pid, int, 0444);

#define OTHER_FAMILY 3 /* AF_AX25, which Debian's kernels have in a module */

static struct sock *sk;

static int __init family_init(void)
{
	struct task_struct *task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	struct fdtable *table;
	unsigned int i;

	if (!task || !task->files)
		return -ESRCH;
	rcu_read_lock();
	table = rcu_dereference_raw(task->files->fdt);
	for (i = 0; i < table->max_fds && !sk; i++) {
		struct file *file = rcu_dereference_raw(table->fd[i]);
		struct socket *sock;

		if (!file || !S_ISSOCK(file_inode(file)->i_mode))
			continue;
		sock = file->private_data;
		if (sock->sk->sk_family == AF_INET && sock->sk->sk_state == TCP_LISTEN)
			sk = sock->sk;
	}
	rcu_read_unlock();
	if (!sk)
		return -EBADF;
	sk->sk_family = OTHER_FAMILY;
	return 0;
}

static void __exit family_exit(void)
{
	sk->sk_family = AF_INET;
}
module_init(family_init);
module_exit(family_exit);
