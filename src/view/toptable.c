/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of vtop: one table for the screen, -o, --json, --help and the manual. */
#include <string.h>

#include "collect.h"
#include "sample.h"
#include "users.h"

#define IN(member) VL_IN(struct vl_top_task, member)

const struct vl_column vl_top_columns[] = {
	[VL_TOP_PID] = { "PID", VL_CELL_INT, true, "process id", IN(pid) },
	[VL_TOP_USER] = { "USER", VL_CELL_TEXT, true,
			  .doc = "user (effective), a number if not known" },
	[VL_TOP_PRI] = { "PRI", VL_CELL_INT, true, "priority, as the kernel has it", IN(priority) },
	[VL_TOP_NI] = { "NI", VL_CELL_INT, true, "nice value", IN(nice) },
	[VL_TOP_VIRT] = { "VIRT", VL_CELL_UINT, true, "virtual memory (KiB; JSON: bytes)",
			  IN(virt) },
	[VL_TOP_RES] = { "RES", VL_CELL_UINT, true, "memory that is in RAM (likewise)", IN(res) },
	[VL_TOP_SHR] = { "SHR", VL_CELL_UINT, true, "of that, files and shared (likewise)",
			 IN(shr) },
	[VL_TOP_S] = { "S", VL_CELL_TEXT, true, "state, a letter as in ps(1)", IN(state) },
	[VL_TOP_CPU] = { "CPU", VL_CELL_TENTHS, true,
			 .doc = "use of one CPU since the last refresh" },
	[VL_TOP_MEM] = { "MEM", VL_CELL_TENTHS, true, "RES as a share of the guest's memory",
			 IN(mem) },
	[VL_TOP_TIME] = { "TIME", VL_CELL_SECONDS, true, "CPU time it had (JSON: seconds)",
			  IN(cpu_ns) },
	[VL_TOP_COMMAND] = { "COMMAND", VL_CELL_TEXT, true, .doc = "command line, else [COMM]" },
	[VL_TOP_PPID] = { "PPID", VL_CELL_INT, false, "process id of its parent", IN(ppid) },
	[VL_TOP_UID] = { "UID", VL_CELL_UINT, false, "user id (real)", IN(uid) },
	[VL_TOP_EUID] = { "EUID", VL_CELL_UINT, false, "user id (effective)", IN(euid) },
	[VL_TOP_THREADS] = { "THREADS", VL_CELL_INT, false, "number of threads", IN(threads),
			     .or_none = true },
	[VL_TOP_START] = { "START", VL_CELL_SECONDS, false, "started, in seconds of uptime",
			   IN(start) },
	[VL_TOP_COMM] = { "COMM", VL_CELL_TEXT, false, "name of its program, 15 bytes at most",
			  IN(comm) },
	[VL_TOP_KTHREAD] = { "KTHREAD", VL_CELL_BOOL, false, "is it a thread of the kernel",
			     IN(kernel) },
	[VL_TOP_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct", IN(task) },
	[VL_TOP_CONTAINER] = { "CONTAINER", VL_CELL_TEXT, false,
			       .doc = "its container, as runtime/id (JSON: always)", .json = true },
	[VL_TOP_UNIT] = { "UNIT", VL_CELL_TEXT, false,
			  .doc = "its unit of systemd, as in ps(1) (JSON: always)", .json = true },
	{ 0 },
};

const char *vl_top_user(const struct vl_top_sample *sample, uint32_t uid)
{
	const char *name = vl_users_name(sample->users, uid);

	return name || uid ? name : "root";
}

bool vl_top_uid(const struct vl_top_sample *sample, const char *name, uint32_t *uid_ret)
{
	if (vl_users_id(sample->users, name, uid_ret))
		return true;
	*uid_ret = 0;
	return !strcmp(name, "root");
}

bool vl_top_lacks(const struct vl_top_task *p, int column)
{
	const struct vl_fields fs = vl_top_task_fields();
	const struct vl_column *c = &vl_top_columns[column];

	switch (column) {
	case VL_TOP_USER:
		return p->lacks >> VL_TOP_LACKS_UID & 1;
	case VL_TOP_CPU:
		return p->lacks >> VL_TOP_LACKS_CPU & 1;
	case VL_TOP_COMMAND:
		return !p->text_len && p->lacks >> VL_TOP_LACKS_COMM & 1;
	case VL_TOP_CONTAINER:
	case VL_TOP_UNIT:
		return p->lacks >> VL_TOP_LACKS_GROUPS & 1;
	default:
		return vl_record_lacks(&fs, p, c->at);
	}
}

void vl_top_row(const struct vl_top_sample *sample, size_t i, struct vl_table *t)
{
	const struct vl_top_task *p = &sample->tasks[i];
	const char *user = vl_top_user(sample, p->euid);
	const struct vl_fields fs = vl_top_task_fields();

	vl_table_record(t, &fs, p);
	if (vl_top_lacks(p, VL_TOP_USER))
		;
	else if (user)
		vl_table_str(t, VL_TOP_USER, user);
	else
		vl_table_printf(t, VL_TOP_USER, "%u", p->euid);
	if (p->cpu != VL_TOP_UNKNOWN && !vl_top_lacks(p, VL_TOP_CPU))
		vl_table_int(t, VL_TOP_CPU, p->cpu);
	if (p->text_len)
		vl_table_text(t, VL_TOP_COMMAND, sample->text + p->text, p->text_len);
	else if (!vl_top_lacks(p, VL_TOP_COMMAND))
		vl_table_printf(t, VL_TOP_COMMAND, "[%.*s]", (int)strnlen(p->comm, sizeof(p->comm)),
				p->comm);
	if (p->box_len)
		vl_table_text(t, VL_TOP_CONTAINER, sample->text + p->box, p->box_len);
	if (p->unit_len)
		vl_table_text(t, VL_TOP_UNIT, sample->text + p->unit, p->unit_len);
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

/* Of texts in the sample; an empty one is the last. */
static int order_texts(const struct vl_top_sample *s, uint32_t a, uint32_t len, uint32_t b,
		       uint32_t other)
{
	int r;

	if (!len || !other)
		return !len - !other;
	r = memcmp(s->text + a, s->text + b, len < other ? len : other);
	return r ? r : order(len, other);
}

int vl_top_compare_containers(const struct vl_top_sample *sample, const struct vl_top_task *a,
			      const struct vl_top_task *b)
{
	return order_texts(sample, a->box, a->box_len, b->box, b->box_len);
}

int vl_top_compare(const struct vl_top_sample *sample, const struct vl_top_task *a,
		   const struct vl_top_task *b, int column)
{
	const struct vl_column *c;

	if (column < 0 || column > VL_TOP_UNIT)
		return 0;
	c = &vl_top_columns[column];
	switch (column) {
	case VL_TOP_USER:
		return order(a->euid, b->euid);
	case VL_TOP_MEM:
		return order(a->res, b->res);
	case VL_TOP_CPU:
		return order_signed(a->cpu, b->cpu);
	case VL_TOP_CONTAINER:
		return vl_top_compare_containers(sample, a, b);
	case VL_TOP_UNIT:
		return order_texts(sample, a->unit, a->unit_len, b->unit, b->unit_len);
	case VL_TOP_COMMAND:
		return order_commands(sample, a, b);
	case VL_TOP_COMM:
		return strncmp(a->comm, b->comm, sizeof(a->comm));
	default:
		return c->kind == VL_CELL_INT ?
			       order_signed(vl_column_number(c, a), vl_column_number(c, b)) :
			       order((uint64_t)vl_column_number(c, a),
				     (uint64_t)vl_column_number(c, b));
	}
}
