/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Views that have a row for all processes whose control groups mean the same: containers, units. */
#ifndef VLENS_GROUPED_H
#define VLENS_GROUPED_H

#include "groups.h"
#include "objects.h"
#include "sample.h"

struct vl_grouped {
	struct vl_container is;		 /* what the group of its first process shows */
	char path[VL_GROUP_PATH];	 /* that group */
	const struct vl_top_task *first; /* the process that started first */
	uint64_t processes, threads, rss, cpu;
	/* Of that process: */
	uint64_t start;
	int32_t pid;
	char comm[16];
	uint32_t lacks; /* bits (1 << VL_TOP_LACKS_...) of what of a process could not be read */
};

struct vl_grouping {
	const char *what; /* the rows, for errors */
	/* Is a group that shows @c in a row, and in the same one as a group that shows @other? */
	bool (*has)(const struct vl_container *c);
	bool (*same)(const struct vl_container *c, const struct vl_container *other);
	/* The columns that stay empty where what they are computed from could not be read. */
	size_t processes, threads, rss, cpu, comm;
	/* Those about the first process, which stay empty where it is not known which one it is. */
	const size_t *first;
	size_t nr_first;
	/* Fill in the other cells of the last row of @t. */
	void (*show)(struct vl_raw_guest *g, struct vl_table *t, const struct vl_top_sample *sample,
		     const struct vl_grouped *row);
};

/* A column that the view does not have. */
#define VL_GROUPED_NONE SIZE_MAX

/* Run such a view: the columns of @t have their places in struct vl_grouped. */
struct vl_error *vl_grouped_run(struct vl_raw_guest *g, struct vl_table *t,
				const struct vl_grouping *by);

#endif
