/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics of guests as text, in the format of OpenMetrics 1.0 or in that of Prometheus 0.0.4. */
#ifndef VLENS_EXPORT_FORMAT_H
#define VLENS_EXPORT_FORMAT_H

#include "rows.h"

/* The most samples of a guest's metric. */
#define VL_EXPORT_SAMPLES_MAX 16384

enum vl_export_format {
	VL_EXPORT_OPENMETRICS,
	VL_EXPORT_TEXT, /* Prometheus' own */
	/*
	 * The same for a file that node_exporter reads, which has these metrics of the host: their
	 * names have "vlens_" in front.
	 */
	VL_EXPORT_TEXTFILE,
};

struct vl_exported {
	const char *guest; /* the label; differs from those of all others */
	const struct vl_table *rows;
};

/* Text that grows. */
struct vl_growing {
	char *text; /* malloc'ed; without a NUL at its end */
	size_t len, cap;
	bool full; /* memory ran out: the text is not whole */
};

/*
 * Append the metrics of @nr guests to @out. A row is left out if it is not a sample of a known
 * metric, and so is a second one of a guest with the same metric and labels: a reader would refuse
 * all of the text.
 */
void vl_export_write(struct vl_growing *out, const struct vl_exported *guests, size_t nr,
		     enum vl_export_format format);

/* Append @text as the value of a label is written, without the quotes. */
void vl_export_label(struct vl_growing *out, const char *text, size_t len);

/* The Content-Type of @format. */
const char *vl_export_type(enum vl_export_format format);

#endif
