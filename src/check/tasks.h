/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fields of each task that the checks read. */
#ifndef VLENS_CHECK_TASKS_H
#define VLENS_CHECK_TASKS_H

#include "check.h"

/* include/linux/sched.h */
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

struct vl_checked_task {
	uint64_t at, cred, function;
	uint64_t acts;		  /* the credentials that it acts with: task_struct.cred */
	uint64_t groups;	  /* its struct group_info */
	uint64_t stack, sp;	  /* its kernel stack, and the saved stack pointer */
	uint64_t pgd;		  /* its table of pages */
	uint64_t parent, program; /* its parent's task_struct; the inode of what it executes */
	int32_t pid;
	uint64_t permitted, effective, ambient; /* its capabilities */
	uint64_t ns;				/* the user namespace in which it has them */
	uint64_t mm_flags;
	/* Programs that it has executed, and that its parent had executed when it was born. */
	uint32_t execs, parent_execs;
	uint32_t login; /* the user that logged in */
	uint32_t flags, uid, euid, suid, fsuid, account, nr_groups;
	uint16_t mode; /* of the program's file */
	char comm[16];
	uint32_t lacks; /* the fields that could not be read, see vl_fields_note_lacks() */
};

/* "process PID (NAME)" in @buf. */
const char *vl_task_name(const struct vl_checked_task *t, char *buf, size_t size);

/* creds.c: the credentials of the @nr tasks @t, which it sorts. */
void vl_check_creds(struct vl_checker *c, struct vl_checked_task *t, size_t nr);

#endif
