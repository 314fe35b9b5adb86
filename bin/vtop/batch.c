/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop -b: frames on stdout, as text or JSON. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../applet.h"
#include "base/clock.h"
#include "../report.h"
#include "base/number.h"
#include "top.h"

static void wait_answers(struct vtop *t)
{
	for (size_t i = 0; i < t->nr; i++) {
		struct top_guest *g = &t->guests[i];
		bool answered = false;
		uint64_t count;

		while (!answered) {
			pthread_mutex_lock(&g->lock);
			answered = g->answered;
			pthread_mutex_unlock(&g->lock);
			if (!answered) {
				struct pollfd fd = { t->event_fd, POLLIN, 0 };

				if (poll(&fd, 1, -1) > 0 &&
				    read(t->event_fd, &count, sizeof(count)) < 0)
					continue;
			}
		}
	}
}

/* ---- text ---- */

static size_t line_room(void)
{
	const char *columns = getenv("COLUMNS");
	long n;

	return columns && vl_number(columns, 1, LONG_MAX, &n) ? (size_t)n : 0;
}

static void put_line(const struct top_line *l, size_t room)
{
	size_t len = room ? text_fitting(l->text, room) : l->len;

	fwrite(l->text, 1, len, stdout);
	putchar('\n');
}

static void print_clean_text(struct vtop *t, const char *text)
{
	top_clean(&t->text, text, strlen(text));
	fputs(t->text.text ? t->text.text : "", stdout);
}

static void print_title(struct vtop *t, const struct top_guest *g)
{
	const struct vl_top_sample *s = g->sample;
	char up[TOP_TEXT], name[TOP_TITLE], load[TOP_COUNTS];

	fputs("vtop - ", stdout);
	top_guest_title(g, name, sizeof(name));
	print_clean_text(t, name);
	if (s) {
		fputs(" Linux ", stdout);
		print_clean_text(t, s->release);
		top_uptime(s->uptime, up);
		top_load(s, ", ", load);
		printf(", up %s, load average: %s", s->uptime ? up : "-", load);
	}
	printf(", %s%s%s\n", top_state_name(g->state), g->means[0] ? ": " : "", g->means);
}

static void known_bytes(bool known, uint64_t bytes, char buf[TOP_TEXT])
{
	if (known)
		top_bytes(bytes, buf);
	else
		snprintf(buf, TOP_TEXT, "-");
}

/* The share of lost ticks from which on it is shown, in tenths of a percent. */
#define TICKS_LOST 50

static void print_totals(const struct vl_top_sample *s)
{
	static const char *const names[VL_NR_USES] = { "us", "ni", "sy", "irq", "st" };
	char a[TOP_TEXT], b[TOP_TEXT], c[TOP_TEXT], d[TOP_TEXT], counts[TOP_COUNTS];

	top_counts(s, counts);
	puts(counts);
	top_tenths(s->busy, a);
	printf("%%CPU: %s, mean of %zu CPU%s", a, s->nr_cpus, s->nr_cpus == 1 ? "" : "s");
	for (size_t k = 0; s->nr_cpus && k < VL_NR_USES; k++) {
		int64_t sum = 0;

		for (size_t i = 0; i < s->nr_cpus; i++)
			sum += s->cpus[i].use[k] > 0 ? s->cpus[i].use[k] : 0;
		top_tenths(s->busy < 0 ? VL_TOP_UNKNOWN : (int32_t)(sum / (int64_t)s->nr_cpus), a);
		printf(", %s %s", a, names[k]);
	}
	if (s->lost >= TICKS_LOST) {
		top_tenths(s->lost, a);
		printf(", %s ticks lost", a);
	}
	known_bytes(s->mem.total, s->mem.total, a);
	known_bytes(s->mem.total, s->mem.free, b);
	known_bytes(s->mem.total && !s->no_available, s->mem.available, c);
	known_bytes(s->mem.total, s->mem.cache, d);
	printf("\nMem: %s total, %s free, %s available, %s cache\n", a, b, c, d);
	known_bytes(!s->no_swap, s->swap.total, a);
	known_bytes(!s->no_swap, s->swap.free, b);
	printf("Swap: %s total, %s free\n", a, b);
}

static void print_text(struct vtop *t, struct top_guest *g, size_t room)
{
	const struct vl_top_sample *s = g->sample;

	print_title(t, g);
	if (!s)
		return;
	print_totals(s);
	printf("Engine: imee/%s, read in %.0f us, paused %.3f ms\n\n", g->engine,
	       (double)s->cost_ns / VL_NSEC_PER_USEC, (double)g->paused_ns / VL_NSEC_PER_MSEC);
	if (!top_list_make(&t->list, s, &t->filter))
		return;
	top_line_header(t, s, &t->line);
	if (!t->show.no_headers)
		put_line(&t->line, room);
	for (size_t i = 0; i < t->list.nr; i++) {
		top_line_item(t, s, &t->list.items[i], &t->line);
		put_line(&t->line, room);
	}
}

/* ---- JSON ---- */

static void add_uint(json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_known(json_object *o, const char *key, bool known, uint64_t v)
{
	json_object_object_add(o, key, known ? json_object_new_uint64(v) : NULL);
}

static void add_text(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, show_json_text(text, strlen(text)));
}

static void add_fixed(json_object *o, const char *key, double v, int digits)
{
	char buf[40];

	snprintf(buf, sizeof(buf), "%.*f", digits, v);
	json_object_object_add(o, key, json_object_new_double_s(v, buf));
}

static void add_tenths(json_object *o, const char *key, int32_t v)
{
	if (v == VL_TOP_UNKNOWN)
		json_object_object_add(o, key, NULL);
	else
		add_fixed(o, key, (double)v / 10, 1);
}

static const char *name_of(const struct top_guest *g)
{
	return g->label.name[0] ? g->label.name : g->spec;
}

static json_object *processes_json(struct vtop *t, const struct top_guest *g)
{
	json_object *list = json_object_new_array();
	struct vl_table table;
	const struct show_part part = { .guest = name_of(g), .table = &table };

	vl_table_init(&table, vl_top_columns);
	if (g->sample && top_list_make(&t->list, g->sample, &t->filter))
		for (size_t i = 0; i < t->list.nr; i++)
			if (!t->list.items[i].sum)
				vl_top_row(g->sample, t->list.items[i].task, &table);
	for (size_t i = 0; i < table.nr_rows; i++) {
		json_object *o = json_object_new_object();

		show_json_row(&t->show, &part, i, o);
		json_object_array_add(list, o);
	}
	vl_table_deinit(&table);
	return list;
}

/* The sum of each group of the list that processes_json() made. */
static json_object *sums_json(const struct vtop *t, const struct vl_top_sample *s)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < t->list.nr_sums; i++) {
		const struct top_sum *sum = &t->list.sums[i];
		json_object *o = json_object_new_object();

		json_object_object_add(
			o, "container",
			sum->of.box_len ? show_json_text(s->text + sum->of.box, sum->of.box_len) :
					  NULL);
		add_uint(o, "processes", sum->processes);
		add_known(o, "threads", !vl_top_lacks(&sum->of, VL_TOP_THREADS),
			  (uint64_t)sum->of.threads);
		add_tenths(o, "cpu",
			   vl_top_lacks(&sum->of, VL_TOP_CPU) ? VL_TOP_UNKNOWN : sum->of.cpu);
		add_tenths(o, "mem",
			   vl_top_lacks(&sum->of, VL_TOP_MEM) ? VL_TOP_UNKNOWN : sum->of.mem);
		add_known(o, "res", !vl_top_lacks(&sum->of, VL_TOP_RES), sum->of.res);
		if (vl_top_lacks(&sum->of, VL_TOP_TIME))
			json_object_object_add(o, "time", NULL);
		else
			add_fixed(o, "time", (double)sum->of.cpu_ns / VL_NSEC_PER_SEC, 9);
		json_object_array_add(list, o);
	}
	return list;
}

static void add_totals(json_object *o, const struct vl_top_sample *s)
{
	static const char *const uses[VL_NR_USES] = { "user", "nice", "system", "irq", "steal" };
	json_object *cpus = json_object_new_array(), *load = json_object_new_array();

	add_text(o, "hostname", s->node);
	add_text(o, "kernel", s->release);
	if (s->uptime)
		add_fixed(o, "uptime", (double)s->uptime / VL_NSEC_PER_SEC, 2);
	else
		json_object_object_add(o, "uptime", NULL);
	for (size_t i = 0; i < 3; i++) {
		char buf[16];

		snprintf(buf, sizeof(buf), "%u.%02u", s->load[i] / 100, s->load[i] % 100);
		json_object_array_add(
			load,
			s->no_load ? NULL : json_object_new_double_s(s->load[i] / 100.0, buf));
	}
	json_object_object_add(o, "load", load);
	add_tenths(o, "cpu", s->busy);
	add_tenths(o, "lost", s->lost);
	for (size_t i = 0; i < s->nr_cpus; i++) {
		json_object *cpu = json_object_new_object();

		add_uint(cpu, "cpu", s->cpus[i].number);
		add_tenths(cpu, "busy", s->cpus[i].busy);
		for (size_t k = 0; k < VL_NR_USES; k++)
			add_tenths(cpu, uses[k], s->cpus[i].use[k]);
		for (size_t k = 0; k < VL_NR_USES; k++) {
			char key[24];

			snprintf(key, sizeof(key), "%s_seconds", uses[k]);
			add_fixed(cpu, key, (double)s->cpus[i].ns[k] / VL_NSEC_PER_SEC, 2);
		}
		add_tenths(cpu, "lost", s->cpus[i].lost);
		json_object_array_add(cpus, cpu);
	}
	json_object_object_add(o, "cpus", cpus);
	add_known(o, "mem_total", s->mem.total, s->mem.total);
	add_known(o, "mem_free", s->mem.total, s->mem.free);
	add_known(o, "mem_available", s->mem.total && !s->no_available, s->mem.available);
	add_known(o, "mem_cache", s->mem.total, s->mem.cache);
	add_known(o, "mem_shared", s->mem.total, s->mem.shared);
	add_known(o, "swap_total", !s->no_swap, s->swap.total);
	add_known(o, "swap_free", !s->no_swap, s->swap.free);
	add_known(o, "tasks", !s->no_counts, s->nr_tasks);
	add_known(o, "threads", !s->no_counts, s->nr_threads);
	add_known(o, "kthreads", !s->no_counts, s->nr_kernel);
	add_known(o, "running", !s->no_counts, s->nr_running);
	add_fixed(o, "read_us", (double)s->cost_ns / VL_NSEC_PER_USEC, 1);
}

static json_object *guest_json(struct vtop *t, const struct top_guest *g)
{
	json_object *o = json_object_new_object();
	char engine[32];

	const struct show_part part = {
		.guest = name_of(g),
		.at_ns = g->state == TOP_DUMP ? 0 : vl_clock_ns(CLOCK_REALTIME),
	};

	show_json_head(o, &part);
	add_text(o, "state", top_state_name(g->state));
	snprintf(engine, sizeof(engine), "imee/%s", g->engine);
	add_text(o, "engine", engine);
	add_fixed(o, "paused_ms", (double)g->paused_ns / VL_NSEC_PER_MSEC, 3);
	if (g->sample)
		add_totals(o, g->sample);
	json_object_object_add(o, "processes", processes_json(t, g));
	if (t->filter.grouped && g->sample)
		json_object_object_add(o, "containers", sums_json(t, g->sample));
	return o;
}

/* ---- frames ---- */

/* Report the error of a guest, once for each state. Returns whether it has one. */
static bool report(struct vtop *t, struct top_guest *g, enum top_state *last)
{
	bool fresh = g->err && (g->state != *last || g->err->code == VL_ERR_CRASHED);

	*last = g->err ? g->state : TOP_RUNNING;
	if (fresh)
		error_report(t->o->applet->name, g->spec, g->err);
	return g->err;
}

/* A user that the guest does not have is an error, as in top. Returns whether it has the user. */
static bool has_user(const struct vtop *t, const struct top_guest *g)
{
	const char *name = t->filter.user_name;
	struct vl_error *err;
	uint32_t uid;

	if (!name || !g->sample || vl_top_uid(g->sample, name, &uid))
		return true;
	err = g->sample->users ?
		      vl_error_hint(vl_error_new(VL_ERR_ARG, "the guest has no user '%s'", name),
				    "'vcat GUEST /etc/passwd' shows those it has") :
		      vl_error_hint(
			      vl_error_new(VL_ERR_ARG,
					   "the names of users are not in the guest's memory"),
			      "give the number of '%s'", name);
	error_report(t->o->applet->name, g->spec, err);
	vl_error_destroy(err);
	return false;
}

static bool print_frame(struct vtop *t, uint64_t frame, enum top_state *states)
{
	json_object *top = NULL, *list = NULL;
	size_t room = line_room();
	bool failed = false;

	if (t->o->json) {
		top = json_object_new_object();
		list = json_object_new_array();
		json_object_object_add(top, "guests", list);
	}
	for (size_t i = 0; i < t->nr; i++) {
		struct top_guest *g = &t->guests[i];

		pthread_mutex_lock(&g->lock);
		failed = report(t, g, &states[i]) || failed;
		failed = (!frame && !has_user(t, g)) || failed;
		if (list)
			json_object_array_add(list, guest_json(t, g));
		else {
			if (frame || i)
				putchar('\n');
			print_text(t, g, room);
		}
		pthread_mutex_unlock(&g->lock);
	}
	if (top)
		show_json_print(top);
	fflush(stdout);
	return !failed;
}

int top_batch(struct vtop *t)
{
	enum top_state *states = calloc(t->nr + 1, sizeof(*states));
	bool good = true;

	for (uint64_t frame = 0; states && (!t->iterations || frame < t->iterations); frame++) {
		const struct timespec ts = vl_ns_timespec(t->delay_ns);

		if (frame)
			nanosleep(&ts, NULL);
		top_ask(t);
		wait_answers(t);
		/* With no guest, text would be empty frames for ever. */
		if (!frame && top_all_failed(t) && !t->o->json)
			break;
		good = print_frame(t, frame, states);
		if (ferror(stdout) || (!frame && top_all_failed(t)))
			break;
	}
	free(states);
	return good ? 0 : STATUS_GUEST;
}
