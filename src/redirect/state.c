/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that ask about the machine and are forwarded as their row describes. Some of them could
 * also change it: those are checked first.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "../base/array.h"
#include "handlers.h"
#include "refuse.h"
#include "trap.h"
#include "sanitize.h"
#include "tasks.h"

/* The largest fixed structure: struct new_utsname, 390 bytes. */
#define FIXED 512

/* Fill @arg from argument @i of the program: 0 or -errno for it. */
static int fetch(struct vl_trap *t, size_t i, char buf[FIXED], struct vl_arg *arg)
{
	const struct vl_argspec *a = &t->row->args[i];
	uint64_t v = t->args[i];
	int err = 0;

	*arg = VL_ARG_INT(v);
	switch (a->kind) {
	case A_PID:
		if (vl_pid_own((int)v))
			*arg = VL_ARG_INT(0);
		break;
	case A_DIRFD:
		*arg = VL_ARG_INT(AT_FDCWD);
		break;
	case A_PATH:
		*arg = VL_ARG_STR(t->where.path);
		break;
	case A_STR:
		err = vl_mem_string(t, v, buf, FIXED);
		if (!err)
			*arg = VL_ARG_STR(buf);
		break;
	case A_IN:
	case A_INOUT:
		err = v ? vl_mem_read(t, v, buf, a->n) : 0;
		if (v && !err)
			*arg = a->kind == A_IN ? VL_ARG_IN(buf, a->n) : VL_ARG_INOUT(buf, a->n);
		break;
	case A_OUT:
		if (v)
			*arg = VL_ARG_OUT(buf, a->n);
		break;
	case A_OUTLEN:
	case A_OUTRET:
	case A_OUTIDS: {
		size_t len = (uint32_t)t->args[a->n] * (a->kind == A_OUTIDS ? 4ull : 1ull);

		if (len > VL_CHUNK)
			len = VL_CHUNK;
		memset(t->r->chunk, 0, len);
		if (v && len)
			*arg = VL_ARG_OUT(t->r->chunk, len);
		break;
	}
	default:
		break;
	}
	return err;
}

/* Give argument @i back to the program. */
static int give_back(struct vl_trap *t, size_t i, const struct vl_arg *arg, int64_t ret)
{
	size_t len = arg->len;

	if (arg->kind != VL_OUT && arg->kind != VL_INOUT)
		return 0;
	if (t->row->args[i].kind == A_OUTRET)
		len = ret;
	if (t->row->args[i].kind == A_OUTIDS)
		len = 4 * ret;
	return vl_mem_write(t, t->args[i], arg->buf, len < arg->len ? len : arg->len);
}

/* Make the call in the guest with the arguments that the row describes. */
struct vl_error *vl_h_forward(struct vl_trap *t)
{
	char bufs[6][FIXED];
	struct vl_arg args[6];
	struct vl_error *error;
	int64_t ret;
	size_t nr;

	for (nr = 0; nr < 6 && t->row->args[nr].kind != A_NONE; nr++) {
		t->ret = fetch(t, nr, bufs[nr], &args[nr]);
		if (t->ret)
			return NULL;
	}
	for (size_t i = 0; i < nr; i++) { /* a length may not exceed its buffer */
		const struct vl_argspec *a = &t->row->args[i];

		if (a->kind >= A_OUTLEN && a->kind <= A_OUTIDS && t->args[a->n] > VL_CHUNK)
			args[a->n].value = VL_CHUNK / (a->kind == A_OUTIDS ? 4 : 1);
	}
	error = vl_guest(t->r, t->row->call ? t->row->call : t->row->name, &ret, args, nr);
	if (error)
		return error;
	/* The result is a count of ids: more than fit cannot be true. */
	for (size_t i = 0; i < nr && ret > 0; i++)
		if (t->row->args[i].kind == A_OUTIDS && args[i].buf &&
		    (uint64_t)ret > args[i].len / 4)
			ret = -EIO;
	t->ret = ret = vl_sanitize_answer(t, args, ret);
	/* A pid that the guest does not know may be one of the program's own. */
	if (ret == -ESRCH)
		for (size_t i = 0; i < nr; i++)
			t->pass |= t->row->args[i].kind == A_PID &&
				   vl_task_find(t->r, (int)t->args[i]);
	for (size_t i = 0; i < nr && ret >= 0; i++) {
		int err = give_back(t, i, &args[i], ret);

		if (err)
			t->ret = err;
	}
	return NULL;
}

/*
 * The clocks that are the guest's. All others (CPU time, and clocks of devices) are the
 * program's. CLOCK_MONOTONIC is, too: programs make deadlines with it (futex, clock_nanosleep,
 * poll loops), which the host's kernel compares with its own clock. With the guest's values they
 * would expire at once or never. All that shows the guest's uptime (BOOTTIME, sysinfo,
 * /proc/uptime) is the guest's.
 */
static const struct {
	int clock;
	const char *note;
} guest_clocks[] = {
	{ CLOCK_REALTIME, "the date" },
	{ CLOCK_REALTIME_COARSE, "the date" },
	{ CLOCK_REALTIME_ALARM, "the date" },
	{ CLOCK_TAI, "the date" },
	{ CLOCK_BOOTTIME, "uptime" },
	{ CLOCK_BOOTTIME_ALARM, "uptime" },
	{ CLOCK_MONOTONIC_RAW, "uptime, and nobody waits by it" },
};

/*
 * dmesg -T subtracts CLOCK_MONOTONIC from CLOCK_BOOTTIME: the time that the machine was
 * suspended. The pair must be of one machine. A task that reads the uptime and then at once the
 * other clock, in one epoch, makes no deadline.
 */
static bool is_pair(struct vl_trap *t)
{
	struct vl_redirect *r = t->r;
	/* Some epochs end with their answer: then the next one counts, too. */
	bool pair = (int)t->args[0] == CLOCK_MONOTONIC && r->uptime_tid == t->tid &&
		    r->sys->epoch - r->uptime_epoch <= !r->sys->open;

	r->uptime_tid = (int)t->args[0] == CLOCK_BOOTTIME ? t->tid : 0;
	return pair;
}

/* clock_gettime, clock_getres */
struct vl_error *vl_h_clock(struct vl_trap *t)
{
	struct vl_error *err;

	if (t->nr == __NR_clock_gettime && is_pair(t))
		return vl_h_forward(t);
	/* The CPU time of process ~(clock >> 3), as clock_getcpuclockid(3) has it; 0: its own. */
	if ((int)t->args[0] < 0 && ~((int)t->args[0] >> 3) &&
	    !vl_task_find(t->r, ~((int)t->args[0] >> 3)))
		return vl_h_forward(t);
	for (size_t i = 0; i < ARRAY_SIZE(guest_clocks); i++)
		if (guest_clocks[i].clock == (int)t->args[0]) {
			/* date(1) would print 1970. */
			t->must = t->nr == __NR_clock_gettime;
			err = vl_h_forward(t);
			t->r->uptime_epoch = t->r->sys->epoch;
			return err;
		}
	t->pass = true;
	return NULL;
}

/* adjtimex(tx), clock_adjtime(clock, tx): a question if tx->modes is 0 */
struct vl_error *vl_h_adjtime(struct vl_trap *t)
{
	struct timex tx;

	t->ret = vl_mem_read(t, t->args[t->nr == __NR_clock_adjtime ? 1 : 0], &tx, sizeof(tx));
	if (t->ret)
		return NULL;
	if (!tx.modes)
		return vl_h_forward(t);
	vl_deny(t);
	return NULL;
}

/* syslog(type, buf, len): only types that leave the log as it is */
struct vl_error *vl_h_syslog(struct vl_trap *t)
{
	switch ((int)t->args[0]) {
	case 3:	 /* SYSLOG_ACTION_READ_ALL */
	case 10: /* SYSLOG_ACTION_SIZE_BUFFER */
	case 9:	 /* SYSLOG_ACTION_SIZE_UNREAD */
		return vl_h_forward(t);
	default:
		vl_deny(t);
		return NULL;
	}
}

/* prlimit64(pid, resource, new, old): of a process of the guest; the program's own are native */
struct vl_error *vl_h_prlimit(struct vl_trap *t)
{
	if (!t->args[2])
		return vl_h_forward(t);
	vl_deny(t);
	return NULL;
}

/*
 * A call that changes a process is allowed for the program's own only. For all processes of a
 * group or of a user it is denied: some of those are the host's.
 */
struct vl_error *vl_h_own(struct vl_trap *t)
{
	/* linux/resource.h: PRIO_PROCESS; linux/ioprio.h: IOPRIO_WHO_PROCESS */
	if ((t->nr == __NR_setpriority && (int)t->args[0] != 0) ||
	    (t->nr == __NR_ioprio_set && (int)t->args[0] != 1)) {
		vl_deny(t);
		return NULL;
	}
	for (size_t i = 0; i < 6; i++) {
		int pid = t->args[i];

		if (t->row->args[i].kind != A_PID)
			continue;
		if (pid && !vl_task_find(t->r, pid)) {
			vl_deny(t);
			return NULL;
		}
	}
	t->pass = true;
	return NULL;
}

/* prctl(option, …): an option that is not native gets EINVAL, as if the kernel had none. */
struct vl_error *vl_h_prctl(struct vl_trap *t)
{
	/* Programs set it to protect secrets. It is ignored: the supervisor reads their memory. */
	if ((int)t->args[0] != PR_SET_DUMPABLE)
		vl_deny_as(t, EINVAL);
	return NULL;
}
