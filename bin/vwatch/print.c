/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints a line or a JSON object for each event. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../applet.h"
#include "../report.h"
#include "../show.h"
#include "base/clock.h"
#include "vwatch.h"

#define SCHEMA 1 /* of the JSON objects: it changes when a key changes its meaning */
#define NAME_WIDTH 16

/* In the order of enum vl_watch_kind. */
static const char *const words[VL_NR_WATCH_KINDS] = {
	[VL_WATCH_START] = "start",   [VL_WATCH_EXEC] = "exec",
	[VL_WATCH_END] = "end",	      [VL_WATCH_ROOT] = "root",
	[VL_WATCH_LOADED] = "loaded", [VL_WATCH_UNLOADED] = "unloaded",
	[VL_WATCH_LISTEN] = "listen", [VL_WATCH_CLOSED] = "closed",
	[VL_WATCH_TEXT] = "text",
};

static bool has_pid(const struct vl_watch_event *e)
{
	return e->pid != 0;
}

/* Is the event about a process? That of a listener only has a process's number. */
static bool is_of_process(const struct vl_watch_event *e)
{
	return e->kind == VL_WATCH_START || e->kind == VL_WATCH_EXEC || e->kind == VL_WATCH_END ||
	       e->kind == VL_WATCH_ROOT;
}

/* ---- text ---- */

/* Print guest's bytes, sanitized, and blanks up to @width. */
static void put_padded(const char *text, size_t len, bool bracket, int width)
{
	char *clean = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&clean, &size);

	if (!f)
		return;
	if (bracket)
		fputc('[', f);
	print_clean(f, text, len, false, NULL);
	if (bracket)
		fputc(']', f);
	fclose(f);
	if (clean) {
		int room = width - (int)text_width(clean);

		printf("%s%*s", clean, room > 0 ? room : 0, "");
	}
	free(clean);
}

const char *watch_name(const struct watch_guest *g)
{
	return g->label.name[0] ? g->label.name : g->spec;
}

static void put_stamp(const struct vwatch *w, uint64_t at_ns)
{
	struct timespec ts = vl_ns_timespec(at_ns);
	struct tm tm;
	char buf[32];

	if (!w->stamps || !localtime_r(&ts.tv_sec, &tm))
		return;
	strftime(buf, sizeof(buf), "%H:%M:%S", &tm);
	printf("%s.%06ld ", buf, ts.tv_nsec / 1000);
}

static void put_head(struct vwatch *w)
{
	if (w->headed || w->o->json)
		return;
	w->headed = true;
	printf("%s%s%-8s %7s %7s %6s %-*s %s\n", w->stamps ? "TIME            " : "",
	       w->nr > 1 ? "GUEST            " : "", "EVENT", "PID", "PPID", "UID", NAME_WIDTH,
	       "NAME", "DETAIL");
}

static void put_guest(const struct watch_guest *g)
{
	if (g->watch->nr < 2)
		return;
	put_padded(watch_name(g), strlen(watch_name(g)), false, NAME_WIDTH);
	putchar(' ');
}

static void put_status(const struct vl_watch_event *e)
{
	int status = (int)e->status;
	const char *name;

	if (!(e->flags & VL_WATCH_STATUS))
		return;
	if (!WIFSIGNALED(status)) {
		printf("exit %d", WEXITSTATUS(status));
		return;
	}
	name = sigabbrev_np(WTERMSIG(status));
	printf("killed by %s%s%s", name ? "SIG" : "signal ", name ? name : "",
	       WCOREDUMP(status) ? ", core dumped" : "");
	if (!name)
		printf("%d", WTERMSIG(status));
}

static void print_line(struct watch_guest *g, const struct vl_watch_event *e)
{
	put_stamp(g->watch, e->at_ns);
	put_guest(g);
	printf("%-8s ", words[e->kind]);
	if (has_pid(e))
		printf("%7" PRId32 " ", e->pid);
	else
		printf("%7s ", "-");
	if (is_of_process(e))
		printf("%7" PRId32 " ", e->ppid);
	else
		printf("%7s ", "-");
	if (e->flags & VL_WATCH_IDS)
		printf("%6" PRIu32 " ", e->kind == VL_WATCH_ROOT ? e->euid : e->uid);
	else
		printf("%6s ", "-");
	put_padded(e->name, e->name_len, e->flags & VL_WATCH_KERNEL, NAME_WIDTH);
	putchar(' ');
	print_clean(stdout, e->text, e->text_len, false, NULL);
	if (e->flags & VL_WATCH_CUT)
		fputs("...", stdout);
	if (e->kind == VL_WATCH_END)
		put_status(e);
	putchar('\n');
}

/* ---- JSON ---- */

static void add_text(json_object *o, const char *key, const char *text, size_t len)
{
	json_object_object_add(o, key, show_json_text(text, len));
}

static void add_uint(json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static json_object *begin_json(const struct watch_guest *g, uint64_t at_ns, const char *word)
{
	struct timespec ts = vl_ns_timespec(at_ns);
	json_object *o = json_object_new_object();
	char day[32] = "", buf[64];
	struct tm tm;

	if (gmtime_r(&ts.tv_sec, &tm))
		strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, sizeof(buf), "%s.%06ldZ", day, ts.tv_nsec / 1000);
	add_uint(o, "schema", SCHEMA);
	add_text(o, "time", buf, strlen(buf));
	add_text(o, "guest", watch_name(g), strlen(watch_name(g)));
	add_text(o, "event", word, strlen(word));
	return o;
}

static void add_process(json_object *o, const struct vl_watch_event *e)
{
	char start[32];

	json_object_object_add(o, "ppid", json_object_new_int64(e->ppid));
	snprintf(start, sizeof(start), "%.9f", (double)e->start_ns / VL_NSEC_PER_SEC);
	json_object_object_add(
		o, "start", json_object_new_double_s((double)e->start_ns / VL_NSEC_PER_SEC, start));
	json_object_object_add(o, "kthread", json_object_new_boolean(e->flags & VL_WATCH_KERNEL));
	if (e->kind != VL_WATCH_END || !(e->flags & VL_WATCH_STATUS))
		return;
	if (WIFSIGNALED((int)e->status)) {
		add_uint(o, "signal", (uint64_t)WTERMSIG((int)e->status));
		json_object_object_add(o, "core",
				       json_object_new_boolean(WCOREDUMP((int)e->status)));
	} else {
		add_uint(o, "exit", (uint64_t)WEXITSTATUS((int)e->status));
	}
}

static void print_json(struct watch_guest *g, const struct vl_watch_event *e)
{
	json_object *o = begin_json(g, e->at_ns, words[e->kind]);
	bool program = e->kind == VL_WATCH_START || e->kind == VL_WATCH_EXEC;

	if (has_pid(e))
		json_object_object_add(o, "pid", json_object_new_int64(e->pid));
	if (e->flags & VL_WATCH_IDS) {
		add_uint(o, "uid", e->uid);
		add_uint(o, "euid", e->euid);
	}
	if (is_of_process(e))
		add_process(o, e);
	if (e->name_len)
		add_text(o, has_pid(e) ? "comm" : "name", e->name, e->name_len);
	if (e->text_len)
		add_text(o, program ? "args" : "detail", e->text, e->text_len);
	if (program)
		json_object_object_add(o, "args_truncated",
				       json_object_new_boolean(e->flags & VL_WATCH_CUT));
	show_json_line(o);
}

/* ---- all ---- */

static void flush(struct vwatch *w)
{
	const uint64_t one = 1;

	if (!fflush(stdout) && !ferror(stdout))
		return;
	w->quit = true;
	if (write(w->event_fd, &one, sizeof(one)) < 0)
		return;
}

void watch_print(struct watch_guest *g, const struct vl_watch_event *e, size_t nr)
{
	if (!nr)
		return;
	pthread_mutex_lock(&g->watch->lock);
	for (size_t i = 0; i < nr; i++) {
		if (g->watch->o->json)
			print_json(g, &e[i]);
		else
			print_line(g, &e[i]);
	}
	flush(g->watch);
	pthread_mutex_unlock(&g->watch->lock);
}

void watch_print_state(struct watch_guest *g, const char *word, const char *text)
{
	const uint64_t now = vl_clock_ns(CLOCK_REALTIME);

	pthread_mutex_lock(&g->watch->lock);
	put_head(g->watch);
	if (g->watch->o->json) {
		json_object *o = begin_json(g, now, word);

		if (text)
			add_text(o, "detail", text, strlen(text));
		show_json_line(o);
	} else {
		put_stamp(g->watch, now);
		put_guest(g);
		printf("%-8s %7s %7s %6s ", word, "-", "-", "-");
		put_padded(watch_name(g), strlen(watch_name(g)), false, NAME_WIDTH);
		putchar(' ');
		print_clean(stdout, text ? text : "", text ? strlen(text) : 0, false, NULL);
		putchar('\n');
	}
	flush(g->watch);
	pthread_mutex_unlock(&g->watch->lock);
}

void watch_print_sum(struct watch_guest *g, const struct vl_watch_figures *f)
{
	uint64_t seen = f->processes + f->threads;
	double percent = f->now_ns ? 100.0 * (double)f->cpu_ns / (double)f->now_ns : 0;

	if (!f->looks)
		return;
	if (g->watch->o->json) {
		json_object *o = begin_json(g, vl_clock_ns(CLOCK_REALTIME), "sum");
		char buf[32];

		snprintf(buf, sizeof(buf), "%.2f", percent);
		add_uint(o, "processes", f->processes);
		add_uint(o, "threads", f->threads);
		if (f->counts)
			add_uint(o, "made", f->made);
		add_uint(o, "looks", f->looks);
		add_uint(o, "walks", f->walks);
		add_uint(o, "dropped", f->dropped);
		json_object_object_add(o, "cpu_percent", json_object_new_double_s(percent, buf));
		show_json_line(o);
		fflush(stdout);
		return;
	}
	fprintf(stderr, "%s: %s: saw %" PRIu64, g->watch->o->applet->name, g->spec, seen);
	if (f->counts)
		fprintf(stderr, " of %" PRIu64, f->made > seen ? f->made : seen);
	fprintf(stderr,
		" starts (%" PRIu64 " of threads); %.2f%% of a CPU, %" PRIu64 " looks in %.1f s",
		f->threads, percent, f->looks, (double)f->now_ns / VL_NSEC_PER_SEC);
	if (f->dropped)
		fprintf(stderr, "; %" PRIu64 " events were too many", f->dropped);
	fputc('\n', stderr);
}
