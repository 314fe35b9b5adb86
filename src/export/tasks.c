/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes: a row for each, and their numbers. */
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../view/groups.h"
#include "collect.h"

#define PF_KTHREAD 0x00200000U /* include/linux/sched.h */

/* The data of a process that lie behind its task_struct. */
struct process {
	const struct task_record *r;
	struct linked f;
	struct vl_top_task p; /* of vl_top_memory(): its memory */
	uint64_t files, fdt, open, groups;
	uint32_t max_files;
	size_t nr_files;
	bool has_files;
};

static void get(const struct vl_collector *c, struct vl_get *gets, size_t *nr, uint64_t base,
		enum vl_field f, void *buf, uint32_t len)
{
	if (base && vl_has(c->l, f))
		gets[(*nr)++] = (struct vl_get){
			.va = base + vl_offset(c->l, f),
			.buf = buf,
			.len = len,
		};
}

/* ---- open files ---- */

/* Limit of descriptors of one process that are counted: 8 KiB of bits. */
#define MAX_FILES 65536U

/* Count the open files of a process with a table of @p->max_files: the bits that are set. */
static void count_files(const struct vl_collector *c, struct process *p)
{
	uint64_t bits[MAX_FILES / 64];
	size_t words = p->max_files / 64;

	if (!words || words > ARRAY_SIZE(bits) ||
	    !vl_export_read(c, p->open, bits, words * sizeof(*bits)))
		return;
	for (size_t i = 0; i < words; i++)
		p->nr_files += (size_t)__builtin_popcountll(bits[i]);
	p->has_files = true;
}

/* The tables of open files: three requests for all processes. */
static void read_files(const struct vl_collector *c, struct process *all, size_t nr,
		       struct vl_get *gets)
{
	size_t n = 0;

	for (size_t i = 0; i < nr; i++)
		get(c, gets, &n, all[i].files, VL_F_FILES_FDT, &all[i].fdt, 8);
	vl_gather(c->g->reader, &c->g->space, gets, n);
	n = 0;
	for (size_t i = 0; i < nr; i++) {
		get(c, gets, &n, all[i].fdt, VL_F_FDT_MAX, &all[i].max_files, 4);
		get(c, gets, &n, all[i].fdt, VL_F_FDT_OPEN, &all[i].open, 8);
	}
	vl_gather(c->g->reader, &c->g->space, gets, n);
	for (size_t i = 0; i < nr; i++)
		count_files(c, &all[i]);
}

/* ---- one row each ---- */

static char letter_of(const struct task_record *r)
{
	return vl_task_letter(r->state | (uint32_t)r->state_long, r->exit_state);
}

static void add_process(struct vl_collector *c, struct vl_groups *groups, struct process *p)
{
	const struct task_record *r = p->r;
	const struct vl_group *group = vl_groups_find(groups, p->groups);
	char in[VL_CONTAINER_LABEL_MAX];
	struct vl_table *t = c->t;

	p->p.mm = r->mm;
	vl_top_memory(c->top, &p->p, &p->f);
	vl_table_row(t);
	vl_table_uint(t, VL_ROW_METRIC, VL_METRIC_PROCESS);
	vl_table_uint(t, VL_ROW_VALUE, vl_top_cpu_time(c->top, r, &p->f));
	vl_table_text(t, VL_ROW_LABEL, r->comm, strnlen(r->comm, sizeof(r->comm)));
	if (group) {
		vl_container_label(&group->container, ':', in);
		vl_table_str(t, VL_ROW_LABEL + 1, group->path);
		vl_table_str(t, VL_ROW_LABEL + 2, *in ? in : NULL);
	}
	vl_table_int(t, VL_ROW_PID, r->pid);
	vl_table_uint(t, VL_ROW_START, r->start);
	vl_table_int(t, VL_ROW_THREADS, p->f.threads);
	if (r->mm) {
		vl_table_uint(t, VL_ROW_RSS, p->p.res);
		vl_table_uint(t, VL_ROW_VSZ, p->p.virt);
	}
	if (p->has_files)
		vl_table_uint(t, VL_ROW_FILES, p->nr_files);
}

static void add_counts(struct vl_collector *c, const struct process *all, size_t nr)
{
	static const char letters[] = "RSDTtXZPI";
	size_t count[sizeof(letters)] = { 0 }, threads = 0;

	for (size_t i = 0; i < nr; i++) {
		const char *at = strchr(letters, letter_of(all[i].r));

		count[at ? at - letters : 0]++;
		threads += all[i].f.threads > 0 ? (size_t)all[i].f.threads : 0;
	}
	for (size_t i = 0; letters[i]; i++) {
		char state[] = { letters[i], '\0' };

		if (count[i])
			VL_SAMPLE(c->t, PROCESSES, count[i], state);
	}
	vl_sample(c->t, VL_METRIC_PIDS, nr);
	vl_sample(c->t, VL_METRIC_THREADS, threads);
}

static void add_all(struct vl_collector *c, const struct task_record *r, size_t nr)
{
	_cleanup_free_ struct process *all = calloc(nr + 1, sizeof(*all));
	_cleanup_free_ struct vl_get *gets = calloc((nr + 1) * (FAR_GETS + 2), sizeof(*gets));
	struct vl_groups groups;
	size_t n = 0;

	if (!all || !gets) {
		c->t->full = true;
		return;
	}
	for (size_t i = 0; i < nr; i++) {
		all[i].r = &r[i];
		vl_top_get_linked(c->top, &r[i], &all[i].f, gets, &n);
		get(c, gets, &n, r[i].task, VL_F_TASK_FILES, &all[i].files, 8);
		get(c, gets, &n, r[i].task, VL_F_TASK_CGROUPS, &all[i].groups, 8);
	}
	/* An item that cannot be read is zeros: its process is about to end. */
	vl_gather(c->g->reader, &c->g->space, gets, n);
	read_files(c, all, nr, gets);
	vl_groups_init(&groups, c->g);
	for (size_t i = 0; i < nr && i < VL_EXPORT_PROCESSES_MAX; i++)
		add_process(c, &groups, &all[i]);
	vl_groups_deinit(&groups);
	add_counts(c, all, nr);
}

void vl_export_tasks(struct vl_collector *c)
{
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(c->l, VL_F_TASK_TASKS),
		.head = c->top->init + vl_offset(c->l, VL_F_TASK_TASKS),
		.stride = sizeof(struct task_record),
	};
	size_t nr;

	c->err = vl_collect(c->g, &w, &c->top->fields, "the task list", &nr);
	if (!c->err)
		add_all(c, w.records, nr);
	free(w.records);
}
