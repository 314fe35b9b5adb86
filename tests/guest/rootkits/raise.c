// SPDX-License-Identifier: GPL-2.0-only
/*
 * Raises what a process may do, by writing to its credentials, and leaves its user: what=0 the
 * capabilities that it uses, what=1 all of its capabilities, what=2 the user that it acts as,
 * what=3 the user as whom it opens files, what=4 capabilities that no kernel has.
 */
#include "lab.h"

#include <linux/cred.h>
#include <linux/pid.h>

static int pid;
module_param(pid, int, 0444);
static int what;
module_param(what, int, 0444);

static struct cred *cred;
static struct cred theirs;

static int __init raise_init(void)
{
	struct task_struct *task = pid_task(find_get_pid(pid), PIDTYPE_TGID);
	const struct task_struct *init = (void *)lab_symbol("init_task");

	if (!task || !init)
		return -ESRCH;
	cred = (struct cred *)task->real_cred;
	theirs = *cred;
	if (what <= 1)
		cred->cap_effective = init->cred->cap_permitted;
	if (what == 1)
		cred->cap_permitted = init->cred->cap_permitted;
	if (what == 2)
		cred->euid = GLOBAL_ROOT_UID;
	if (what == 3)
		cred->fsuid = GLOBAL_ROOT_UID;
	if (what == 4) {
		memset(&cred->cap_permitted, 0xff, sizeof(cred->cap_permitted));
		memset(&cred->cap_effective, 0xff, sizeof(cred->cap_effective));
	}
	return 0;
}

static void __exit raise_exit(void)
{
	cred->cap_effective = theirs.cap_effective;
	cred->cap_permitted = theirs.cap_permitted;
	cred->euid = theirs.euid;
	cred->fsuid = theirs.fsuid;
}
module_init(raise_init);
module_exit(raise_exit);
