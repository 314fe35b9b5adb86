/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System V IPC: status calls go to the guest; all others change something, and are refused. */
#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "../base/array.h"
#include "handlers.h"
#include "refuse.h"
#include "trap.h"

/* Since Linux 4.17: linux/shm.h, linux/sem.h, linux/msg.h. */
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* How many bytes command @cmd of call @nr writes. */
struct ipc_command {
	int nr, cmd, bytes;
};

static const struct ipc_command commands[] = {
	{ __NR_shmctl, IPC_STAT, sizeof(struct shmid_ds) },
	{ __NR_shmctl, SHM_STAT, sizeof(struct shmid_ds) },
	{ __NR_shmctl, SHM_STAT_ANY, sizeof(struct shmid_ds) },
	{ __NR_shmctl, IPC_INFO, sizeof(struct shminfo) },
	{ __NR_shmctl, SHM_INFO, sizeof(struct shm_info) },
	{ __NR_semctl, IPC_STAT, sizeof(struct semid_ds) },
	{ __NR_semctl, SEM_STAT, sizeof(struct semid_ds) },
	{ __NR_semctl, SEM_STAT_ANY, sizeof(struct semid_ds) },
	{ __NR_semctl, IPC_INFO, sizeof(struct seminfo) },
	{ __NR_semctl, SEM_INFO, sizeof(struct seminfo) },
	{ __NR_semctl, GETVAL, 0 },
	{ __NR_semctl, GETPID, 0 },
	{ __NR_semctl, GETNCNT, 0 },
	{ __NR_semctl, GETZCNT, 0 },
	{ __NR_semctl, GETALL, VL_CHUNK }, /* depends on the set: getall_bytes() */
	{ __NR_msgctl, IPC_STAT, sizeof(struct msqid_ds) },
	{ __NR_msgctl, MSG_STAT, sizeof(struct msqid_ds) },
	{ __NR_msgctl, MSG_STAT_ANY, sizeof(struct msqid_ds) },
	{ __NR_msgctl, IPC_INFO, sizeof(struct msginfo) },
	{ __NR_msgctl, MSG_INFO, sizeof(struct msginfo) },
};

/* The bytes that GETALL of semaphore set @id writes; 0: t->ret is the error. */
static struct vl_error *getall_bytes(struct vl_trap *t, int id, size_t *ret)
{
	struct semid_ds ds = { 0 };
	struct vl_error *err;
	int64_t n;

	err = VL_GUEST(t->r, "semctl", &n, VL_ARG_INT(id), VL_ARG_INT(0), VL_ARG_INT(IPC_STAT),
		       VL_ARG_OUT(&ds, sizeof(ds)));
	/* The program's buffer has the size of the set in its last status call. */
	if (!err && n >= 0 && (id != t->r->sem_id || ds.sem_nsems > t->r->sem_len))
		n = -EIO;
	*ret = ds.sem_nsems * sizeof(unsigned short);
	if (err || n < 0) {
		t->ret = n;
		*ret = 0;
	}
	return err;
}

/* shmctl(id, cmd, buf), semctl(id, n, cmd, arg), msgctl(id, cmd, buf) */
struct vl_error *vl_h_ipcctl(struct vl_trap *t)
{
	const struct ipc_command *c = NULL;
	bool sem = t->nr == __NR_semctl;
	int cmd = t->args[sem ? 2 : 1];
	uint64_t addr = t->args[sem ? 3 : 2];
	struct vl_arg args[4], buf;
	struct vl_error *err;
	int64_t ret;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].nr == t->nr && commands[i].cmd == cmd)
			c = &commands[i];
	if (!c) {
		vl_deny(t);
		return NULL;
	}
	len = c->bytes;
	if (sem && cmd == GETALL) {
		err = getall_bytes(t, t->args[0], &len);
		if (len > VL_CHUNK) {
			t->ret = -ENOMEM;
			len = 0;
		}
		if (err || !len)
			return err;
	}
	buf = len ? VL_ARG_OUT(t->r->chunk, len) : VL_ARG_INT(0);
	for (size_t i = 0; i < 3; i++)
		args[i] = VL_ARG_INT(t->args[i]);
	args[sem ? 3 : 2] = buf;
	err = vl_guest(t->r, t->row->name, &ret, args, sem ? 4 : 3);
	if (err)
		return err;
	t->ret = ret;
	if (ret >= 0 && sem && len == sizeof(struct semid_ds)) {
		t->r->sem_id = cmd == IPC_STAT ? (int)t->args[0] : ret;
		t->r->sem_len = ((struct semid_ds *)(void *)t->r->chunk)->sem_nsems;
	}
	if (ret >= 0 && len) {
		int e = vl_mem_write(t, addr, t->r->chunk, len);

		if (e)
			t->ret = e;
	}
	return NULL;
}

/* shmget(key, size, flags), semget(key, nr, flags), msgget(key, flags) */
struct vl_error *vl_h_ipcget(struct vl_trap *t)
{
	int flags = t->args[t->nr == __NR_msgget ? 1 : 2];

	if ((int)t->args[0] != IPC_PRIVATE && !(flags & IPC_CREAT))
		return vl_h_forward(t);
	vl_deny(t);
	return NULL;
}
