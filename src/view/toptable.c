/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of vtop: one table for the screen, -o, --json, --help and the manual. */
#include <string.h>

#include "top.h"
#include "users.h"

const struct vl_column vl_top_columns[] = {
	[VL_TOP_PID] = { "PID", VL_CELL_INT, true, "process id" },
	[VL_TOP_USER] = { "USER", VL_CELL_TEXT, true, "user (effective), a number if not known" },
	[VL_TOP_PRI] = { "PRI", VL_CELL_INT, true, "priority, as the kernel has it" },
	[VL_TOP_NI] = { "NI", VL_CELL_INT, true, "nice value" },
	[VL_TOP_VIRT] = { "VIRT", VL_CELL_UINT, true, "virtual memory (KiB; JSON: bytes)" },
	[VL_TOP_RES] = { "RES", VL_CELL_UINT, true, "memory that is in RAM (likewise)" },
	[VL_TOP_SHR] = { "SHR", VL_CELL_UINT, true, "of that, files and shared (likewise)" },
	[VL_TOP_S] = { "S", VL_CELL_TEXT, true, "state, a letter as in ps(1)" },
	[VL_TOP_CPU] = { "CPU", VL_CELL_TENTHS, true, "use of one CPU since the last refresh" },
	[VL_TOP_MEM] = { "MEM", VL_CELL_TENTHS, true, "RES as a share of the guest's memory" },
	[VL_TOP_TIME] = { "TIME", VL_CELL_SECONDS, true, "CPU time it had (JSON: seconds)" },
	[VL_TOP_COMMAND] = { "COMMAND", VL_CELL_TEXT, true, "command line, else [COMM]" },
	[VL_TOP_PPID] = { "PPID", VL_CELL_INT, false, "process id of its parent" },
	[VL_TOP_UID] = { "UID", VL_CELL_UINT, false, "user id (real)" },
	[VL_TOP_EUID] = { "EUID", VL_CELL_UINT, false, "user id (effective)" },
	[VL_TOP_THREADS] = { "THREADS", VL_CELL_INT, false, "number of threads" },
	[VL_TOP_START] = { "START", VL_CELL_SECONDS, false, "started, in seconds of uptime" },
	[VL_TOP_COMM] = { "COMM", VL_CELL_TEXT, false, "name of its program, 15 bytes at most" },
	[VL_TOP_KTHREAD] = { "KTHREAD", VL_CELL_BOOL, false, "is it a thread of the kernel" },
	[VL_TOP_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct" },
	{ 0 },
};

const char *vl_top_user(const struct vl_top_sample *sample, uint32_t uid)
{
	const char *name = vl_users_name(sample->users, uid);

	return name || uid ? name : "root";
}

void vl_top_row(const struct vl_top_sample *sample, size_t i, struct vl_table *t)
{
	const struct vl_top_task *p = &sample->tasks[i];
	size_t comm_len = strnlen(p->comm, sizeof(p->comm));
	const char *user = vl_top_user(sample, p->euid);

	vl_table_row(t);
	vl_table_int(t, VL_TOP_PID, p->pid);
	if (user)
		vl_table_str(t, VL_TOP_USER, user);
	else
		vl_table_printf(t, VL_TOP_USER, "%u", p->euid);
	vl_table_int(t, VL_TOP_PRI, p->priority);
	vl_table_int(t, VL_TOP_NI, p->nice);
	vl_table_uint(t, VL_TOP_VIRT, p->virt);
	vl_table_uint(t, VL_TOP_RES, p->res);
	vl_table_uint(t, VL_TOP_SHR, p->shr);
	vl_table_text(t, VL_TOP_S, &p->state, 1);
	if (p->cpu != VL_TOP_UNKNOWN)
		vl_table_int(t, VL_TOP_CPU, p->cpu);
	vl_table_int(t, VL_TOP_MEM, p->mem);
	vl_table_uint(t, VL_TOP_TIME, p->cpu_ns);
	if (p->text_len)
		vl_table_text(t, VL_TOP_COMMAND, sample->text + p->text, p->text_len);
	else
		vl_table_printf(t, VL_TOP_COMMAND, "[%.*s]", (int)comm_len, p->comm);
	vl_table_int(t, VL_TOP_PPID, p->ppid);
	vl_table_uint(t, VL_TOP_UID, p->uid);
	vl_table_uint(t, VL_TOP_EUID, p->euid);
	if (p->threads)
		vl_table_int(t, VL_TOP_THREADS, p->threads);
	vl_table_uint(t, VL_TOP_START, p->start);
	vl_table_text(t, VL_TOP_COMM, p->comm, comm_len);
	vl_table_uint(t, VL_TOP_KTHREAD, p->kernel);
	vl_table_uint(t, VL_TOP_TASK, p->task);
}

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int order_signed(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int order_commands(const struct vl_top_sample *s, const struct vl_top_task *a,
			  const struct vl_top_task *b)
{
	const char *x = a->text_len ? s->text + a->text : a->comm;
	const char *y = b->text_len ? s->text + b->text : b->comm;
	size_t nx = a->text_len ? a->text_len : strnlen(a->comm, sizeof(a->comm));
	size_t ny = b->text_len ? b->text_len : strnlen(b->comm, sizeof(b->comm));
	int r = memcmp(x, y, nx < ny ? nx : ny);

	return r ? r : order(nx, ny);
}

int vl_top_compare(const struct vl_top_sample *sample, const struct vl_top_task *a,
		   const struct vl_top_task *b, int column)
{
	switch (column) {
	case VL_TOP_PID:
		return order_signed(a->pid, b->pid);
	case VL_TOP_USER:
	case VL_TOP_EUID:
		return order(a->euid, b->euid);
	case VL_TOP_PRI:
		return order_signed(a->priority, b->priority);
	case VL_TOP_NI:
		return order_signed(a->nice, b->nice);
	case VL_TOP_VIRT:
		return order(a->virt, b->virt);
	case VL_TOP_RES:
	case VL_TOP_MEM:
		return order(a->res, b->res);
	case VL_TOP_SHR:
		return order(a->shr, b->shr);
	case VL_TOP_S:
		return order_signed(a->state, b->state);
	case VL_TOP_CPU:
		return order_signed(a->cpu, b->cpu);
	case VL_TOP_TIME:
		return order(a->cpu_ns, b->cpu_ns);
	case VL_TOP_COMMAND:
		return order_commands(sample, a, b);
	case VL_TOP_PPID:
		return order_signed(a->ppid, b->ppid);
	case VL_TOP_UID:
		return order(a->uid, b->uid);
	case VL_TOP_THREADS:
		return order_signed(a->threads, b->threads);
	case VL_TOP_START:
		return order(a->start, b->start);
	case VL_TOP_COMM:
		return strncmp(a->comm, b->comm, sizeof(a->comm));
	case VL_TOP_KTHREAD:
		return order(a->kernel, b->kernel);
	case VL_TOP_TASK:
		return order(a->task, b->task);
	default:
		return 0;
	}
}
