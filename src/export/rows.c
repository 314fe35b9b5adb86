/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rows.h"

const struct vl_column vl_export_columns[] = {
	[VL_ROW_METRIC] = { "METRIC", VL_CELL_UINT, true, .doc = "number of the metric" },
	[VL_ROW_VALUE] = { "VALUE", VL_CELL_UINT, true, .doc = "its value" },
	[VL_ROW_LABEL] = { "LABEL1", VL_CELL_TEXT, true, .doc = "its labels" },
	{ "LABEL2", VL_CELL_TEXT, true, .doc = "" },
	{ "LABEL3", VL_CELL_TEXT, true, .doc = "" },
	{ "LABEL4", VL_CELL_TEXT, true, .doc = "" },
	{ "LABEL5", VL_CELL_TEXT, true, .doc = "" },
	{ "LABEL6", VL_CELL_TEXT, true, .doc = "" },
	[VL_ROW_PID] = { "PID", VL_CELL_INT, true, .doc = "process id" },
	[VL_ROW_START] = { "START", VL_CELL_SECONDS, true, .doc = "when it started" },
	[VL_ROW_RSS] = { "RSS_BYTES", VL_CELL_UINT, true, .doc = "its memory, in bytes" },
	[VL_ROW_VSZ] = { "VSZ_BYTES", VL_CELL_UINT, true, .doc = "its addresses, in bytes" },
	[VL_ROW_THREADS] = { "THREADS", VL_CELL_INT, true, .doc = "number of threads" },
	[VL_ROW_FILES] = { "FILES", VL_CELL_UINT, true, .doc = "number of open files" },
	{ 0 },
};

const struct vl_family vl_families[VL_NR_METRICS] = {
#define VL_METRIC_ROW(id, kind, unit, name, help, ...) \
	[VL_METRIC_##id] = { VL_METRIC_##kind, VL_METRIC_##unit, name, help, { __VA_ARGS__ } },
	VL_METRICS(VL_METRIC_ROW)
#undef VL_METRIC_ROW
};

void vl_sample_of(struct vl_table *t, enum vl_metric m, uint64_t value, const char *const *labels,
		  size_t nr)
{
	vl_table_row(t);
	vl_table_uint(t, VL_ROW_METRIC, m);
	vl_table_uint(t, VL_ROW_VALUE, value);
	for (size_t i = 0; i < nr; i++)
		vl_table_str(t, VL_ROW_LABEL + i, labels[i]);
}

void vl_sample(struct vl_table *t, enum vl_metric m, uint64_t value)
{
	vl_sample_of(t, m, value, NULL, 0);
}

struct vl_error *vl_export_kept(const struct vl_table *t, struct vl_error *err)
{
	if (!t->partial)
		return err;
	vl_error_destroy(err);
	return NULL;
}

void vl_export_cut(struct vl_table *t)
{
	if (t->nr_rows > VL_EXPORT_ROWS_MAX)
		t->nr_rows = VL_EXPORT_ROWS_MAX;
	for (size_t i = 0; i < t->nr_rows * t->nr_columns; i++) {
		struct vl_cell *c = &t->cells[i];

		if (c->kind == VL_CELL_TEXT && c->text.len > VL_EXPORT_LABEL_MAX)
			c->text.len = VL_EXPORT_LABEL_MAX;
	}
}
