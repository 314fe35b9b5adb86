/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which processes of a guest are exported: the first few by CPU time, by CPU time since the last
 * look, by memory, by threads and by open files. So the number of series has a limit.
 */
#ifndef VLENS_EXPORT_CHOOSE_H
#define VLENS_EXPORT_CHOOSE_H

#include "rows.h"

/* The processes of the last pass. */
struct vl_chooser {
	struct vl_chosen_cpu {
		int64_t pid;
		uint64_t start, cpu;
	} * last; /* malloc'ed, by process id */
	size_t nr;
};

void vl_chooser_deinit(struct vl_chooser *c);

/*
 * Add to @t, which has the rows of a pass, the samples of the @top first processes by each of these
 * measures. False: out of memory.
 */
bool vl_choose(struct vl_chooser *c, struct vl_table *t, size_t top);

/*
 * The same for control groups: the sums of the first @top of them by processes, memory, threads
 * and open files.
 */
bool vl_choose_groups(struct vl_table *t, size_t top);

#endif
