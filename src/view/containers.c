/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers, by the control groups of the processes. */
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "objects.h"
#include "sample.h"

#define NONE SIZE_MAX
/* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */
#define NODE_MAX 65
#define SHORT_ID 12

struct box {
	struct vl_container is;
	char path[VL_GROUP_PATH];	 /* the group of its first process */
	const struct vl_top_task *first; /* the process that started first */
	char node[NODE_MAX];
	uint32_t netns;
	uint64_t processes, rss, start;
	bool no_rss; /* that of a process could not be read */
	int32_t pid;
	char comm[16];
};

struct boxes {
	struct box *all;
	size_t nr, cap;
	size_t *of; /* by group: its index in `all`, or NONE */
	size_t nr_groups, cap_groups;
	bool full;
};

enum {
	BOX_RUNTIME,
	BOX_ID,
	BOX_NAME,
	BOX_PROCESSES,
	BOX_RSS,
	BOX_START,
	BOX_PID,
	BOX_COMM,
	BOX_POD,
	BOX_UNIT,
	BOX_FULL_ID,
	BOX_CGROUP,
	BOX_NETNS,
};

#define IN(member) VL_IN(struct box, member)

static const struct vl_column columns[] = {
	[BOX_RUNTIME] = { "RUNTIME", VL_CELL_TEXT, true,
			  .doc = "docker, podman, containerd, lxc ..." },
	[BOX_ID] = { "ID", VL_CELL_TEXT, true, .doc = "first 12 digits of its id" },
	[BOX_NAME] = { "NAME", VL_CELL_TEXT, true, .doc = "its name, else its own host name" },
	[BOX_PROCESSES] = { "PROCESSES", VL_CELL_UINT, true, "number of its processes",
			    IN(processes) },
	[BOX_RSS] = { "RSS_BYTES", VL_CELL_UINT, true,
		      "memory of its processes in RAM, in bytes; shared pages count for each",
		      IN(rss) },
	[BOX_START] = { "START", VL_CELL_SECONDS, true,
			"when its first process started, in seconds of uptime", IN(start) },
	[BOX_PID] = { "PID", VL_CELL_INT, true, "process id of its first process", IN(pid) },
	[BOX_COMM] = { "COMM", VL_CELL_TEXT, true, "name of that program, 15 bytes at most",
		       IN(comm) },
	[BOX_POD] = { "POD", VL_CELL_TEXT, false, "uid of its pod in Kubernetes", IN(is.pod),
		      .or_none = true, .json = true },
	[BOX_UNIT] = { "UNIT", VL_CELL_TEXT, false, "unit of systemd that it is in", IN(is.unit),
		       .or_none = true, .json = true },
	[BOX_FULL_ID] = { "FULL_ID", VL_CELL_TEXT, false, .doc = "all 64 digits of its id",
			  .json = true },
	[BOX_CGROUP] = { "CGROUP", VL_CELL_TEXT, false, "control group of its first process",
			 IN(path), .json = true },
	[BOX_NETNS] = { "NETNS", VL_CELL_UINT, false, "number of its network namespace", IN(netns),
			.or_none = true, .json = true },
	{ 0 },
};

/* The container of @g, which is new if it has not been seen; NONE: there is no memory. */
static size_t box_of(struct boxes *b, const struct vl_group *g)
{
	size_t i = 0;

	while (i < b->nr && (strcmp(b->all[i].is.runtime, g->container.runtime) != 0 ||
			     strcmp(b->all[i].is.id, g->container.id) != 0))
		i++;
	if (i < b->nr)
		return i;
	if (!vl_grow(b->all, b->cap, b->nr, 16)) {
		b->full = true;
		return NONE;
	}
	b->all[b->nr++] = (struct box){ .is = g->container };
	return i;
}

static void see_task(struct boxes *b, struct vl_groups *groups, const struct vl_top_task *p)
{
	const struct vl_group *g = vl_groups_find(groups, p->groups);
	struct box *box;

	if (!g)
		return;
	while (b->nr_groups < groups->nr) {
		const struct vl_group *new = &groups->all[b->nr_groups];

		if (!vl_grow(b->of, b->cap_groups, b->nr_groups, 64)) {
			b->full = true;
			return;
		}
		b->of[b->nr_groups++] = new->container.runtime ? box_of(b, new) : NONE;
	}
	if (b->of[g - groups->all] == NONE)
		return;
	box = &b->all[b->of[g - groups->all]];
	box->processes++;
	box->rss += p->res;
	box->no_rss |= p->lacks >> VL_TOP_LACKS_RES & 1;
	if (box->first && !(box->first->lacks >> VL_TOP_LACKS_START & 1) &&
	    (p->lacks >> VL_TOP_LACKS_START & 1 || box->first->start < p->start ||
	     (box->first->start == p->start && box->first->pid < p->pid)))
		return;
	box->first = p;
	memcpy(box->path, g->path, sizeof(box->path));
}

/* The namespaces of the first process, and its host name if that is not the guest's. */
static void read_spaces(struct vl_raw_guest *g, struct box *box)
{
	const struct vl_kernel *k = g->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t proxy, uts, net;
	const struct vl_part proxies[] = { VL_PART(TASK_NSPROXY, proxy) };
	const struct vl_part spaces[] = { VL_PART(NSPROXY_UTS, uts), VL_PART(NSPROXY_NET, net) };
	const struct vl_part inum[] = { VL_PART(NET_INUM, box->netns) };

	/* A process that has ended has no namespaces. */
	if (!vl_object(g, box->first->task, proxies, 1) ||
	    !vl_object(g, proxy, spaces, ARRAY_SIZE(spaces)))
		return;
	vl_object(g, net, inum, 1);
	if (uts && uts != vl_symbol(k, "init_uts_ns") && vl_has(l, VL_F_UTS_NODENAME))
		vl_read_string(g->reader, &g->space, uts + vl_offset(l, VL_F_UTS_NODENAME),
			       box->node, sizeof(box->node));
}

/* @part: of some processes it is not known in which container they are. */
static void show(struct vl_raw_guest *g, struct vl_table *t, struct box *box, bool part)
{
	const struct vl_container *c = &box->is;

	box->start = box->first->start;
	box->pid = box->first->pid;
	memcpy(box->comm, box->first->comm, sizeof(box->comm));
	read_spaces(g, box);
	vl_table_record(t, NULL, box);
	/* A part of a sum is no sum. */
	if (part)
		vl_table_none(t, BOX_PROCESSES);
	if (part || box->no_rss)
		vl_table_none(t, BOX_RSS);
	if (box->first->lacks >> VL_TOP_LACKS_START & 1)
		for (size_t i = BOX_START; i <= BOX_COMM; i++)
			vl_table_none(t, i);
	if (box->first->lacks >> VL_TOP_LACKS_COMM & 1)
		vl_table_none(t, BOX_COMM);
	vl_table_str(t, BOX_RUNTIME, c->runtime);
	if (c->named) {
		vl_table_str(t, BOX_NAME, c->id);
		return;
	}
	vl_table_text(t, BOX_ID, c->id, strnlen(c->id, SHORT_ID));
	vl_table_str(t, BOX_FULL_ID, c->id);
	vl_table_str(t, BOX_NAME, box->node[0] ? box->node : NULL);
}

static int by_start(const void *a, const void *b)
{
	const struct box *x = a, *y = b;
	uint64_t m = x->first ? x->first->start : 0, n = y->first ? y->first->start : 0;

	return (m > n) - (m < n);
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	/* Without one of these there is no path of a group. */
	const enum vl_field need[] = { VL_F_TASK_CGROUPS, VL_F_CSS_SET_DFL, VL_F_CGROUP_KN,
				       VL_F_KN_NAME };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "containers");
	struct vl_top_sample sample = { .at_ns = 0 };
	struct boxes boxes = { .all = NULL };
	struct vl_top *top;
	bool part;

	if (!err)
		err = vl_top_open(g, &top);
	if (err)
		return err;
	err = vl_top_sample(top, NULL, &sample);
	part = err != NULL;
	for (size_t i = 0; i < sample.nr_tasks; i++) {
		part |= sample.tasks[i].lacks >> VL_TOP_LACKS_GROUPS & 1;
		see_task(&boxes, &top->groups, &sample.tasks[i]);
	}
	if (boxes.nr)
		qsort(boxes.all, boxes.nr, sizeof(*boxes.all), by_start);
	for (size_t i = 0; i < boxes.nr; i++)
		if (boxes.all[i].first)
			show(g, t, &boxes.all[i], part);
	if (!err && boxes.full)
		err = vl_error_nomem();
	free(boxes.all);
	free(boxes.of);
	vl_top_sample_deinit(&sample);
	vl_top_close(top);
	return err ? err : vl_table_end(t);
}

const struct vl_scan vl_scan_containers = { "containers", "containers", columns, true,
					    run,	  NULL,		NULL };
