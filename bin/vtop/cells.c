/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of vtop as text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/append.h"
#include "base/clock.h"
#include "view/collect.h"
#include "../report.h"
#include "top.h"

#define KIB 1024UL

const struct top_format top_formats[] = {
	[VL_TOP_PID] = { "PID", 5, false },
	[VL_TOP_USER] = { "USER", 8, true },
	[VL_TOP_PRI] = { "PRI", 3, false },
	[VL_TOP_NI] = { "NI", 3, false },
	[VL_TOP_VIRT] = { "VIRT", 6, false },
	[VL_TOP_RES] = { "RES", 6, false },
	[VL_TOP_SHR] = { "SHR", 6, false },
	[VL_TOP_S] = { "S", 1, true },
	[VL_TOP_CPU] = { "%CPU", 5, false },
	[VL_TOP_MEM] = { "%MEM", 4, false },
	[VL_TOP_TIME] = { "TIME+", 8, false },
	[VL_TOP_COMMAND] = { "COMMAND", 15, true },
	[VL_TOP_PPID] = { "PPID", 5, false },
	[VL_TOP_UID] = { "UID", 5, false },
	[VL_TOP_EUID] = { "EUID", 5, false },
	[VL_TOP_THREADS] = { "THR", 4, false },
	[VL_TOP_START] = { "START", 9, false },
	[VL_TOP_COMM] = { "COMM", 15, true },
	[VL_TOP_KTHREAD] = { "K", 1, false },
	[VL_TOP_TASK] = { "TASK", 18, false },
	[VL_TOP_CONTAINER] = { "CONTAINER", 20, true },
	[VL_TOP_UNIT] = { "UNIT", 20, true },
};

void top_tenths(int32_t tenths, char buf[TOP_TEXT])
{
	if (tenths == VL_TOP_UNKNOWN)
		snprintf(buf, TOP_TEXT, "-");
	else
		snprintf(buf, TOP_TEXT, "%" PRId32 ".%" PRId32, tenths / 10, tenths % 10);
}

/* Three significant digits. */
void top_bytes(uint64_t bytes, char buf[TOP_TEXT])
{
	static const char units[] = "KMGTPE";
	double v = (double)bytes / (double)KIB;
	size_t unit = 0;

	while (v >= 1000 && unit + 2 < sizeof(units)) {
		v /= (double)KIB;
		unit++;
	}
	snprintf(buf, TOP_TEXT, "%.*f%c",
		 !unit || v >= 99.95 ? 0 :
		 v >= 9.995	     ? 1 :
				       2,
		 v, units[unit]);
}

/* KiB up to five digits, as in top. */
void top_kib(uint64_t bytes, char buf[TOP_TEXT])
{
	if (bytes < 100000 * KIB)
		snprintf(buf, TOP_TEXT, "%" PRIu64, bytes / KIB);
	else
		top_bytes(bytes, buf);
}

void top_time(uint64_t ns, char buf[TOP_TEXT])
{
	uint64_t s = ns / VL_NSEC_PER_SEC, centi = ns % VL_NSEC_PER_SEC / (VL_NSEC_PER_SEC / 100);

	if (s < 6000)
		snprintf(buf, TOP_TEXT, "%" PRIu64 ":%02" PRIu64 ".%02" PRIu64, s / 60, s % 60,
			 centi);
	else if (s < 360000)
		snprintf(buf, TOP_TEXT, "%" PRIu64 "h%02" PRIu64 ":%02" PRIu64, s / 3600,
			 s / 60 % 60, s % 60);
	else
		snprintf(buf, TOP_TEXT, "%" PRIu64 "h", s / 3600);
}

void top_uptime(uint64_t ns, char buf[TOP_TEXT])
{
	uint64_t s = ns / VL_NSEC_PER_SEC;

	*buf = '\0';
	if (s >= 86400)
		vl_append(buf, TOP_TEXT, "%" PRIu64 "d ", s / 86400);
	vl_append(buf, TOP_TEXT, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600 % 24,
		  s / 60 % 60, s % 60);
}

void top_counts(const struct vl_top_sample *s, char buf[TOP_COUNTS])
{
	snprintf(buf, TOP_COUNTS, "Tasks: %zu %s, %zu kthr, %zu thr; %zu running", s->nr_tasks,
		 s->no_counts ? "known" : "total", s->nr_kernel, s->nr_threads, s->nr_running);
}

void top_load(const struct vl_top_sample *s, const char *between, char buf[TOP_COUNTS])
{
	*buf = '\0';
	for (size_t i = 0; i < 3; i++) {
		vl_append(buf, TOP_COUNTS, "%s", i ? between : "");
		if (s->no_load)
			vl_append(buf, TOP_COUNTS, "-");
		else
			vl_append(buf, TOP_COUNTS, "%u.%02u", s->load[i] / 100, s->load[i] % 100);
	}
}

static bool reserve(struct top_text *t, size_t len)
{
	char *more;

	if (t->cap > len)
		return true;
	more = realloc(t->text, len * 2 + 256);
	if (!more)
		return false;
	t->text = more;
	t->cap = len * 2 + 256;
	return true;
}

static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] >= 0x7f)
			return false;
	return true;
}

void top_clean(struct top_text *t, const char *text, size_t len)
{
	size_t size;
	char *buf;
	FILE *f;

	t->len = 0;
	/* Escapes are up to four times as long. */
	if (!reserve(t, len * 4 + 1))
		return;
	t->text[0] = '\0';
	if (is_plain(text, len)) {
		memcpy(t->text, text, len);
		t->text[len] = '\0';
		t->len = len;
		return;
	}
	f = open_memstream(&buf, &size);
	if (!f)
		return;
	print_clean(f, text, len, false, NULL);
	if (fclose(f))
		return;
	if (size <= len * 4) {
		memcpy(t->text, buf, size + 1);
		t->len = size;
	}
	free(buf);
}

static void set(struct top_text *t, const char *text)
{
	top_clean(t, text, strlen(text));
}

/* Kernel threads and processes without arguments are in brackets, as in ps. */
static void set_command(struct top_text *t, const struct vl_top_sample *s,
			const struct vl_top_task *p, bool comm)
{
	char buf[sizeof(p->comm) + 3];
	int len = (int)strnlen(p->comm, sizeof(p->comm));

	if (p->text_len && !comm) {
		top_clean(t, s->text + p->text, p->text_len);
		return;
	}
	if (comm) {
		top_clean(t, p->comm, (size_t)len);
		return;
	}
	snprintf(buf, sizeof(buf), "[%.*s]", len, p->comm);
	set(t, buf);
}

/* A text of the sample. */
static void set_text(struct top_text *t, const struct vl_top_sample *s, uint32_t at, uint32_t len)
{
	if (len)
		top_clean(t, s->text + at, len);
	else
		set(t, "-");
}

void top_cell(struct top_text *t, const struct vl_top_sample *s, const struct vl_top_task *p,
	      int column, bool comm)
{
	const struct vl_column *c = &vl_top_columns[column];
	struct vl_cell cell = { .kind = c->kind };
	char buf[TOP_TEXT];

	if (vl_top_lacks(p, column)) {
		set(t, "-");
		return;
	}
	switch (column) {
	case VL_TOP_USER:
		if (vl_top_user(s, p->euid)) {
			set(t, vl_top_user(s, p->euid));
			return;
		}
		snprintf(buf, sizeof(buf), "%" PRIu32, p->euid);
		break;
	case VL_TOP_PRI:
		/* As in top: RT for the highest real-time priority and the deadline class. */
		if (p->priority < -99)
			snprintf(buf, sizeof(buf), "RT");
		else
			snprintf(buf, sizeof(buf), "%" PRId32, p->priority);
		break;
	case VL_TOP_VIRT:
		top_kib(p->virt, buf);
		break;
	case VL_TOP_RES:
		top_kib(p->res, buf);
		break;
	case VL_TOP_SHR:
		top_kib(p->shr, buf);
		break;
	case VL_TOP_S:
		snprintf(buf, sizeof(buf), "%c", p->state);
		break;
	case VL_TOP_CPU:
		top_tenths(p->cpu, buf);
		break;
	case VL_TOP_MEM:
		top_tenths(p->mem, buf);
		break;
	case VL_TOP_TIME:
		top_time(p->cpu_ns, buf);
		break;
	case VL_TOP_COMMAND:
		set_command(t, s, p, comm);
		return;
	case VL_TOP_COMM:
		set_command(t, s, p, true);
		return;
	case VL_TOP_CONTAINER:
		set_text(t, s, p->box, p->box_len);
		return;
	case VL_TOP_UNIT:
		set_text(t, s, p->unit, p->unit_len);
		return;
	default:
		cell.i = vl_column_number(c, p);
		vl_cell_format(&cell, buf);
		break;
	}
	set(t, buf);
}
