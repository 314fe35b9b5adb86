/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The exporter's text: a name of a guest's is one label, and no guest makes it unreadable. */
#include <stdlib.h>
#include <string.h>

#include "../../src/base/array.h"
#include "../../src/base/hash.h"
#include "../../src/export/choose.h"
#include "../../src/export/format.h"
#include "../../src/view/scan.h"
#include "tap.h"

static const char *const guest = "web\"1";

/* The text of @t, with a NUL; for free(). */
static char *text_of(const struct vl_table *t, enum vl_export_format format)
{
	struct vl_growing out = { .text = NULL };
	const struct vl_exported one = { guest, t };

	vl_export_write(&out, &one, 1, format);
	out.text = realloc(out.text, out.len + 1);
	out.text[out.len] = '\0';
	return out.text;
}

static bool has(const struct vl_table *t, enum vl_export_format format, const char *line)
{
	char *text = text_of(t, format);
	bool found = strstr(text, line);

	if (!found)
		printf("# not there: %s\n# in: %s\n", line, text);
	free(text);
	return found;
}

static bool labels_to(const char *text, size_t len, const char *want)
{
	struct vl_growing out = { .text = NULL };
	bool same;

	vl_export_label(&out, text, len);
	same = out.len == strlen(want) && !memcmp(out.text, want, out.len);
	if (!same)
		printf("# %.*s\n", (int)out.len, out.text);
	free(out.text);
	return same;
}

static void test_labels(void)
{
	char many[1000];

	ok(labels_to("nginx: worker", 13, "nginx: worker"), "plain text stays");
	ok(labels_to("a\"b\\c", 5, "a\\\"b\\\\c"), "a quote and a backslash are escaped");
	ok(labels_to("a\nb", 3, "a\\\\x0ab"), "a newline ends no line");
	ok(labels_to("a\0b", 3, "a\\\\x00b"), "a NUL is shown");
	ok(labels_to("\x1b[2J", 4, "\\\\x1b[2J"), "a control character is shown");
	ok(labels_to("\xc3\xa9\xff\xc3", 4, "\xc3\xa9\\\\xff\\\\xc3"),
	   "UTF-8 stays, other bytes not");
	ok(labels_to("\xe2\x80\xae", 3, "\\\\xe2\\\\x80\\\\xae"), "a direction mark is shown");
	ok(labels_to("\\x01", 4, "\\\\x5cx01") && labels_to("\x01", 1, "\\\\x01"),
	   "a text that looks like a control character is written in another way");
	memset(many, 'x', sizeof(many));
	many[VL_EXPORT_LABEL_MAX] = '\0';
	ok(labels_to(many, VL_EXPORT_LABEL_MAX, many), "a long one is whole up to its limit");
	ok(labels_to(many, sizeof(many), many), "and cut behind it");
}

static void test_formats(void)
{
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	VL_SAMPLE(&t, CPU, 1500000001, "0", "user");
	vl_sample(&t, VL_METRIC_LOAD1, 5);
	vl_sample(&t, VL_METRIC_UP, 1);
	ok(has(&t, VL_EXPORT_OPENMETRICS,
	       "# TYPE node_cpu_seconds counter\n"
	       "node_cpu_seconds_total{guest=\"web\\\"1\",cpu=\"0\","
	       "mode=\"user\"} 1.500000001\n"),
	   "OpenMetrics names a counter's family without _total");
	ok(has(&t, VL_EXPORT_OPENMETRICS, "\n# EOF\n"), "it has an end");
	ok(has(&t, VL_EXPORT_TEXT,
	       "# TYPE node_cpu_seconds_total counter\n"
	       "node_cpu_seconds_total{"),
	   "Prometheus' text names it with _total");
	ok(!has(&t, VL_EXPORT_TEXT, "# EOF"), "and has no end");
	ok(has(&t, VL_EXPORT_TEXTFILE, "\nvlens_node_cpu_seconds_total{") &&
		   has(&t, VL_EXPORT_TEXTFILE, "\nvlens_guest_up{"),
	   "in a file for node_exporter all names are our own");
	ok(has(&t, VL_EXPORT_TEXT, "node_load1{guest=\"web\\\"1\"} 0.05\n"), "hundredths");
	vl_table_deinit(&t);
}

/* How often @what is in the text of @t. */
static size_t count(const struct vl_table *t, const char *what)
{
	char *text = text_of(t, VL_EXPORT_TEXT);
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	free(text);
	return n;
}

static void test_guests(void)
{
	char a[400], b[400];
	struct vl_growing out = { .text = NULL };
	struct vl_table t;
	const struct vl_exported two[] = { { a, &t }, { b, &t } };

	memset(a, 'p', sizeof(a));
	memcpy(b, a, sizeof(a));
	a[399] = b[399] = '\0';
	b[398] = 'q';
	vl_table_init(&t, vl_export_columns);
	vl_sample(&t, VL_METRIC_UP, 1);
	vl_export_write(&out, two, 2, VL_EXPORT_TEXT);
	ok(memmem(out.text, out.len, a, 399) && memmem(out.text, out.len, b, 399),
	   "the name of a guest is whole");
	free(out.text);
	vl_table_deinit(&t);
}

static void test_limits(void)
{
	char number[24], deep[VL_EXPORT_LABEL_MAX + 8];
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	for (int i = 0; i < 3; i++)
		VL_SAMPLE(&t, CPU, 7, "0", "user");
	VL_SAMPLE(&t, CPU, 7, "0", "us");
	ok(count(&t, "\nnode_cpu_seconds_total{") == 2, "a sample that is there is left out");
	vl_sample(&t, VL_NR_METRICS + 5, 1);
	vl_table_row(&t);
	ok(count(&t, "{") == 2, "a row of no metric is left out");
	/* They differ only behind what is shown of a label. */
	memset(deep, 'y', sizeof(deep));
	deep[sizeof(deep) - 1] = '\0';
	VL_SAMPLE(&t, CPU, 7, deep);
	deep[sizeof(deep) - 2] = 'z';
	VL_SAMPLE(&t, CPU, 7, deep);
	ok(count(&t, "yyyy\"}") == 1, "and one that looks the same");
	/* This metric has no labels. */
	VL_SAMPLE(&t, TAINTED, 1, "a");
	VL_SAMPLE(&t, TAINTED, 1, "b");
	ok(count(&t, "\nvlens_guest_tainted{") == 1,
	   "a label that is not shown makes no difference");
	for (int i = 0; i < VL_EXPORT_SAMPLES_MAX + 100; i++) {
		snprintf(number, sizeof(number), "%d", i);
		VL_SAMPLE(&t, CPU, 7, number, "user");
	}
	ok(count(&t, "\nnode_cpu_seconds_total{") == VL_EXPORT_SAMPLES_MAX,
	   "a metric of a guest has a limit");
	vl_table_deinit(&t);
}

static void add_process(struct vl_table *t, int pid, const char *comm, uint64_t cpu, uint64_t rss)
{
	vl_table_row(t);
	vl_table_uint(t, VL_ROW_METRIC, VL_METRIC_PROCESS);
	vl_table_uint(t, VL_ROW_VALUE, cpu);
	vl_table_str(t, VL_ROW_LABEL, comm);
	vl_table_int(t, VL_ROW_PID, pid);
	vl_table_uint(t, VL_ROW_START, 1);
	vl_table_uint(t, VL_ROW_RSS, rss);
	vl_table_int(t, VL_ROW_THREADS, 1);
}

static void test_choice(void)
{
	struct vl_chooser c = { .last = NULL };
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	for (int i = 1; i <= 1000; i++)
		add_process(&t, i, "crowd", (uint64_t)i, 2000 - (uint64_t)i);
	ok(vl_choose(&c, &t, 3) && count(&t, "namegroup_cpu_seconds_total{") == 6,
	   "three by CPU time and three by memory");
	ok(has(&t, VL_EXPORT_TEXT, "num_procs{guest=\"web\\\"1\",groupname=\"crowd\"} 1000\n"),
	   "all of a name are counted");
	vl_table_clear(&t);
	for (int i = 1; i <= 1000; i++)
		add_process(&t, i, "crowd", (uint64_t)i + (i == 500 ? 100 : 0), 2000 - (uint64_t)i);
	ok(vl_choose(&c, &t, 3) &&
		   has(&t, VL_EXPORT_TEXT, "groupname=\"crowd\",pid=\"500\"} 0.000000600"),
	   "one that runs now is chosen, too");
	vl_table_clear(&t);
	add_process(&t, 1, "init", 5, 5);
	ok(vl_choose(&c, &t, 0) && !count(&t, "namedprocess"), "or none at all");
	vl_table_deinit(&t);
	vl_chooser_deinit(&c);
}

/* A figure beyond its limit is left out; the rest stays. */
static void test_plausible(void)
{
	struct vl_error *err;
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	/* A page counts as often as it is mapped: 128 TiB of a small guest. */
	add_process(&t, 7, "mapper", 1, 1UL << 47);
	err = vl_plausible_table(NULL, &t);
	ok(!err && !t.partial && vl_table_cell(&t, 0, VL_ROW_RSS)->u == 1UL << 47,
	   "memory that is mapped many times is no error");
	add_process(&t, 8, "liar", 1, 1UL << 60);
	err = vl_plausible_table(NULL, &t);
	ok(err && t.partial && vl_table_cell(&t, 1, VL_ROW_RSS)->kind == VL_CELL_NONE,
	   "a figure that no kernel has is left out");
	ok(!vl_export_kept(&t, err) && t.nr_rows == 2, "and the rest is exported");
	vl_table_clear(&t);
	err = vl_export_kept(&t, vl_error_new(VL_ERR_KERNEL, "no"));
	ok(err, "any other error is one");
	vl_error_destroy(err);
	vl_table_deinit(&t);
}

/* What a worker that was taken over may give: texts that overlap, each as long as all of it. */
static void test_cut(void)
{
	struct vl_table t;
	char *big = malloc(8UL << 20);
	struct vl_chooser c = { .last = NULL };

	memset(big, 'x', 8UL << 20);
	vl_table_init(&t, vl_export_columns);
	for (size_t i = 0; i <= VL_EXPORT_ROWS_MAX; i++)
		add_process(&t, (int)i, "p", 1, 1);
	vl_table_text(&t, VL_ROW_LABEL, big, 8UL << 20);
	for (size_t i = 0; i < VL_EXPORT_ROWS_MAX; i++) {
		struct vl_cell *row = &t.cells[i * t.nr_columns];

		row[VL_ROW_LABEL + 1] =
			(struct vl_cell){ VL_CELL_TEXT,
					  .text = { t.text_len - (8U << 20) + (uint32_t)i,
						    (8U << 20) - (uint32_t)i } };
	}
	vl_export_cut(&t);
	ok(t.nr_rows == VL_EXPORT_ROWS_MAX &&
		   vl_table_cell(&t, 5, VL_ROW_LABEL + 1)->text.len == VL_EXPORT_LABEL_MAX,
	   "rows and texts of a worker have a limit");
	ok(vl_choose(&c, &t, 10) && vl_choose_groups(&t, 10), "and what is left is soon read");
	vl_chooser_deinit(&c);
	vl_table_deinit(&t);
	free(big);
}

static void add_grouped(struct vl_table *t, int pid, const char *group, uint64_t rss)
{
	add_process(t, pid, "p", 1, rss);
	vl_table_str(t, VL_ROW_LABEL + 1, group);
	if (!strcmp(group, "/g7"))
		vl_table_str(t, VL_ROW_LABEL + 2, "lxc:web");
}

static void test_groups(void)
{
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	for (int i = 1; i <= 300; i++) {
		char group[32];

		snprintf(group, sizeof(group), "/g%d", i % 30);
		add_grouped(&t, i, group, i % 30 == 7 ? 500 : 1);
	}
	add_process(&t, 999, "none", 1, 9999);
	ok(vl_choose_groups(&t, 1) &&
		   has(&t, VL_EXPORT_TEXT,
		       "vlens_cgroup_memory_bytes{guest=\"web\\\"1\",cgroup=\"/g7\","
		       "container=\"lxc:web\"} 5000\n"),
	   "the sum of a group's memory, with its container");
	ok(count(&t, "\nvlens_cgroup_processes{") <= 3, "of the first groups only");
	vl_table_deinit(&t);
}

/* Paths whose hashes have the same low bits make no look slow: most of them are left out. */
static void test_collisions(void)
{
	char group[32];
	struct vl_table t;

	vl_table_init(&t, vl_export_columns);
	for (int i = 0, nr = 0; nr < 200; i++) {
		snprintf(group, sizeof(group), "/g%d", i);
		if (vl_hash(VL_HASH, group, strlen(group)) & 511)
			continue;
		add_grouped(&t, ++nr, group, 1);
	}
	ok(vl_choose_groups(&t, 1000) && count(&t, "\nvlens_cgroup_processes{") == 64,
	   "of paths with one hash the first 64 are shown");
	vl_table_deinit(&t);
}

int main(void)
{
	test_labels();
	test_formats();
	test_guests();
	test_limits();
	test_choice();
	test_plausible();
	test_cut();
	test_groups();
	test_collisions();
	return tap_end();
}
