/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Containers, by the control groups of the processes. */
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "grouped.h"

/* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */
#define NODE_MAX 65
#define SHORT_ID 12

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

#define IN(member) VL_IN(struct vl_grouped, member)

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
	[BOX_NETNS] = { "NETNS", VL_CELL_UINT, false, .doc = "number of its network namespace",
			.json = true },
	{ 0 },
};

static bool has(const struct vl_container *c)
{
	return c->runtime;
}

static bool same(const struct vl_container *c, const struct vl_container *other)
{
	return !strcmp(c->runtime, other->runtime) && !strcmp(c->id, other->id);
}

/*
 * The number of the network namespace of @p (0: it is not known), and the host name of @p if that
 * is not the guest's.
 */
static uint32_t read_spaces(struct vl_raw_guest *g, const struct vl_top_task *p,
			    char node[NODE_MAX])
{
	const struct vl_kernel *k = g->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t proxy, uts, net;
	uint32_t netns;
	const struct vl_part proxies[] = { VL_PART(TASK_NSPROXY, proxy) };
	const struct vl_part spaces[] = { VL_PART(NSPROXY_UTS, uts), VL_PART(NSPROXY_NET, net) };
	const struct vl_part inum[] = { VL_PART(NET_INUM, netns) };

	*node = '\0';
	/* A process that has ended has no namespaces. */
	if (!vl_object(g, p->task, proxies, 1) || !vl_object(g, proxy, spaces, ARRAY_SIZE(spaces)))
		return 0;
	if (uts && uts != vl_symbol(k, "init_uts_ns") && vl_has(l, VL_F_UTS_NODENAME))
		vl_read_string(g->reader, &g->space, uts + vl_offset(l, VL_F_UTS_NODENAME), node,
			       NODE_MAX);
	return vl_object(g, net, inum, 1) ? netns : 0;
}

static void show(struct vl_raw_guest *g, struct vl_table *t, const struct vl_top_sample *sample,
		 const struct vl_grouped *box)
{
	const struct vl_container *c = &box->is;
	char node[NODE_MAX];
	uint32_t netns = read_spaces(g, box->first, node);

	(void)sample;
	if (netns)
		vl_table_uint(t, BOX_NETNS, netns);
	vl_table_str(t, BOX_RUNTIME, c->runtime);
	if (c->named) {
		vl_table_str(t, BOX_NAME, c->id);
		return;
	}
	vl_table_text(t, BOX_ID, c->id, strnlen(c->id, SHORT_ID));
	vl_table_str(t, BOX_FULL_ID, c->id);
	vl_table_str(t, BOX_NAME, *node ? node : NULL);
}

static struct vl_error *run(struct vl_raw_guest *g, struct vl_table *t)
{
	static const size_t first[] = { BOX_START, BOX_PID, BOX_COMM, BOX_NETNS, BOX_CGROUP };
	static const struct vl_grouping by = {
		.what = "containers",
		.has = has,
		.same = same,
		.processes = BOX_PROCESSES,
		.threads = VL_GROUPED_NONE,
		.rss = BOX_RSS,
		.cpu = VL_GROUPED_NONE,
		.comm = BOX_COMM,
		.first = first,
		.nr_first = ARRAY_SIZE(first),
		.show = show,
	};

	return vl_grouped_run(g, t, &by);
}

const struct vl_scan vl_scan_containers = { "containers", "containers", columns, true,
					    run,	  NULL,		NULL };
