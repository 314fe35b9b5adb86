/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several guests at once: their list, threads over them, and the report. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "base/cleanup.h"
#include "report.h"
#include "views.h"

/* Threads mostly wait: for libvirt, a monitor, a disk. */
#define MAX_THREADS 16

static struct view_job *jobs_of_host(const struct request *r, size_t *nr_ret)
{
	_cleanup_error_ struct vl_error *err = NULL;
	struct view_job *jobs;
	char **names = NULL;

	*nr_ret = 0;
	err = vl_host_guests(r->scan.target.uri, &names, nr_ret);
	if (err) {
		error_report(r->applet->name, NULL, err);
		return NULL;
	}
	jobs = calloc(*nr_ret + 1, sizeof(*jobs));
	for (size_t i = 0; jobs && i < *nr_ret; i++) {
		jobs[i].spec = names[i];
		names[i] = NULL;
	}
	vl_host_guests_free(names, *nr_ret);
	return jobs;
}

bool view_jobs(const struct request *r, char *const *words, size_t nr, struct view_job **ret,
	       size_t *nr_ret)
{
	report_dirs(r->applet->name);
	if (r->all) {
		*ret = jobs_of_host(r, nr_ret);
		return *ret;
	}
	*ret = calloc(nr + 1, sizeof(**ret));
	*nr_ret = nr;
	for (size_t i = 0; *ret && i < nr; i++)
		(*ret)[i].spec = strdup(words[i]);
	return *ret;
}

void view_report_none(const struct request *r)
{
	error_report(r->applet->name, NULL,
		     vl_error_hint(vl_error_new(VL_ERR_TARGET, "no guest runs here"),
				   "name one: a domain, qemu:PID, or a dump's path"));
}

void view_jobs_free(struct view_job *jobs, size_t nr)
{
	for (size_t i = 0; jobs && i < nr; i++) {
		vl_error_destroy(jobs[i].err);
		vl_guest_leave(jobs[i].guest);
		free((char *)jobs[i].spec);
		free(jobs[i].label);
		view_forget(&jobs[i]);
	}
	free(jobs);
}

struct pool {
	struct view_job *jobs;
	size_t nr;
	atomic_size_t next;
	void (*fn)(void *ctx, struct view_job *job);
	void *ctx;
};

static void *work(void *arg)
{
	struct pool *p = arg;
	size_t i;

	while ((i = atomic_fetch_add(&p->next, 1)) < p->nr)
		p->fn(p->ctx, &p->jobs[i]);
	return NULL;
}

void view_each(struct view_job *jobs, size_t nr, void (*fn)(void *ctx, struct view_job *job),
	       void *ctx)
{
	struct pool p = { .jobs = jobs, .nr = nr, .fn = fn, .ctx = ctx };
	pthread_t threads[MAX_THREADS];
	size_t n = 0;

	/* This thread works, too, so a single guest starts no other. */
	while (n + 1 < nr && n < MAX_THREADS && !pthread_create(&threads[n], NULL, work, &p))
		n++;
	work(&p);
	while (n)
		pthread_join(threads[--n], NULL);
}

void view_labels(struct view_job *jobs, size_t nr)
{
	struct vl_host_label *labels = calloc(nr + 1, sizeof(*labels));

	for (size_t i = 0; labels && i < nr; i++)
		labels[i] = (struct vl_host_label){ .spec = jobs[i].spec, .pid = jobs[i].pid };
	if (labels)
		vl_host_labels(labels, nr);
	for (size_t i = 0; labels && i < nr; i++)
		if (labels[i].name[0])
			jobs[i].label = strdup(labels[i].name);
	free(labels);
}

const char *view_name(const struct view_job *job)
{
	return job->label ? job->label : job->spec;
}

void view_note(struct view_job *job, struct vl_guest *g)
{
	struct vl_stats stats;

	if (vl_guest_reader_stats(g, &job->stats)) {
		job->reason = strdup(job->stats.reason);
		job->others = strdup(job->stats.others);
	}
	vl_guest_stats(g, &stats);
	job->paused_ns = stats.paused_ns;
	job->trusted = stats.trusted;
}

void view_end(struct view_job *job, struct vl_guest *g)
{
	if (g)
		vl_guest_dismiss(g);
	vl_guest_close(job->guest);
	job->guest = g;
}

void view_forget(struct view_job *job)
{
	free(job->reason);
	free(job->others);
	job->reason = job->others = NULL;
	job->stats = (struct vl_reader_stats){ NULL };
	job->attach_ns = 0;
}

static void print_us(const char *key, uint64_t ns)
{
	fprintf(stderr, "%-16s%" PRIu64 ".%03" PRIu64 " us\n", key, ns / 1000, ns % 1000);
}

static void print_line(const char *key, const char *text)
{
	if (!text || !*text)
		return;
	fprintf(stderr, "%-16s", key);
	print_clean(stderr, text, strlen(text), false, NULL);
	putc('\n', stderr);
}

static void print_job_stats(const struct view_job *job)
{
	fputs("guest:          ", stderr);
	print_clean(stderr, job->spec, strlen(job->spec), false, NULL);
	fprintf(stderr, "\nengine:         %s\n", job->stats.engine ? job->stats.engine : "none");
	print_line("reason:", job->reason);
	print_line("others:", job->others);
	print_us("attach:", job->attach_ns);
	print_us("engine ready:", job->stats.open_ns);
	print_us("look:", job->look_ns);
	fprintf(stderr, "requests:       %" PRIu64 "\n", job->stats.requests);
	print_us("paused:", job->paused_ns);
	print_trusted(&job->trusted);
}

int view_report(const struct request *r, struct view_job *jobs, size_t nr, int status)
{
	for (size_t i = 0; i < nr; i++) {
		if (!jobs[i].err)
			continue;
		error_report(r->applet->name, jobs[i].spec, jobs[i].err);
		status = STATUS_GUEST;
	}
	for (size_t i = 0; i < nr; i++)
		report_trusted(r->applet->name, jobs[i].spec, &jobs[i].trusted);
	/* Else an error of the write is close_stdout()'s to report. */
	if (r->stats)
		fflush(stdout);
	for (size_t i = 0; r->stats && i < nr; i++)
		print_job_stats(&jobs[i]);
	return status;
}
