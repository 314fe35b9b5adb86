/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Collects the metrics of a guest in one pass, in the worker: by raw reads, without a question and
 * without a pause. A metric that the guest's kernel lacks, or keeps in a way that is not known, is
 * left out.
 */
#ifndef VLENS_EXPORT_COLLECT_H
#define VLENS_EXPORT_COLLECT_H

#include "../view/sample.h"
#include "rows.h"

/* Shared by the parts of a pass. */
struct vl_collector {
	struct vl_raw_guest *g;
	const struct vl_kernel *k;
	const struct vl_layout *l;
	struct vl_top *top;   /* the kernel's CPUs, and the fields of its processes */
	struct vl_table *t;   /* gets the rows */
	struct vl_error *err; /* why the processes could not be listed */
};

/* The parts: each has a file. */
void vl_export_names(struct vl_collector *c);
void vl_export_clock(struct vl_collector *c);
void vl_export_load(struct vl_collector *c);
void vl_export_memory(struct vl_collector *c);
void vl_export_taint(struct vl_collector *c);
void vl_export_modules(struct vl_collector *c);
void vl_export_cpus(struct vl_collector *c);
void vl_export_hidden(struct vl_collector *c);
void vl_export_pressure(struct vl_collector *c);
void vl_export_tcp(struct vl_collector *c);
void vl_export_traffic(struct vl_collector *c);
void vl_export_tasks(struct vl_collector *c);

/* What these parts read, up to VL_NR_FIELDS. */
extern const enum vl_field vl_export_module_fields[], vl_export_tree_fields[],
	vl_export_tcp_fields[];

/* Read @len bytes of the kernel; false: @va is 0, or cannot be read. */
bool vl_export_read(const struct vl_collector *c, uint64_t va, void *buf, size_t len);
/* The word there, or 0. */
uint64_t vl_export_word(const struct vl_collector *c, uint64_t va);

#endif
