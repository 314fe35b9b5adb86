/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vpeek: memory as bytes, or as values of the kernel's types. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "base/clock.h"
#include "base/number.h"
#include "peek.h"
#include "place.h"
#include "report.h"
#include "show.h"
#include "views.h"

#define DEFAULT_LENGTH 256
#define DEFAULT_ELEMENTS 16
#define MAX_DEPTH 16

struct peek {
	struct request *request;
	char **also; /* guests of --guest */
	size_t nr_also;
	const char *what;
	uint64_t length; /* 0: not given */
	uint64_t elements;
	unsigned depth;
	bool many;
};

/* The result of one guest: text in `out`, or an object. */
struct result {
	FILE *out;
	char *text;
	size_t len;
	json_object *object;
};

/* ---- one guest ---- */

static void describe(json_object *o, const char *guest, const struct vl_peek_found *place,
		     const char *what, const char *type, uint64_t size)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "0x%" PRIx64, place->va);
	json_object_object_add(o, "guest", show_json_text(guest, strlen(guest)));
	json_object_object_add(o, "what", show_json_text(what, strlen(what)));
	json_object_object_add(o, "address", json_object_new_string(buf));
	if (type)
		json_object_object_add(o, "type", show_json_text(type, strlen(type)));
	json_object_object_add(o, "size", json_object_new_uint64(size));
}

static struct vl_error *show_bytes(const struct peek *p, struct vl_guest *g,
				   const struct vl_peek_found *place, const char *guest,
				   struct result *r)
{
	uint64_t length = p->length ? p->length : DEFAULT_LENGTH;

	/* Check the whole range here: it is read page by page. */
	if (length > VL_READ_MAX)
		return vl_read_error(VL_READ_TOO_LONG, place->va);
	if (place->va + (length - 1) < place->va)
		return vl_read_error(VL_READ_WRAPS, place->va);
	if (!p->request->json)
		return peek_dump(g, place->va, length, r->out);
	r->object = json_object_new_object();
	describe(r->object, guest, place, p->what, NULL, length);
	return peek_dump_json(g, place->va, length, r->object);
}

static struct vl_error *show_typed(const struct peek *p, struct vl_guest *g,
				   const struct vl_peek_found *place, const char *guest,
				   struct result *r)
{
	struct peek_tree tree = { .top = NULL };
	struct peek_text *text;
	struct vl_error *err;

	if (p->request->json) {
		r->object = json_object_new_object();
		describe(r->object, guest, place, p->what, place->type, place->size);
		err = vl_guest_peek_values(g, p->length, &peek_tree_ops, &tree);
		json_object_object_add(r->object, "value", tree.top);
		return err;
	}
	text = calloc(1, sizeof(*text));
	if (!text)
		return vl_error_nomem();
	text->f = r->out;
	if (asprintf(&text->head, "%s: %s, %" PRIu64 " bytes at 0x%" PRIx64, p->what, place->type,
		     place->size, place->va) < 0)
		text->head = NULL;
	err = vl_guest_peek_values(g, p->length, &peek_text_ops, text);
	free(text->head);
	free(text);
	return err;
}

static void look(void *ctx, struct view_job *job)
{
	const struct peek *p = ctx;
	const struct vl_guest_options go = {
		.target = p->request->scan.target,
		.uses = VL_GUEST_READ,
		.engine = p->request->scan.engine,
		.explain = p->request->stats,
	};
	struct result *r = job->result;
	uint64_t begin = vl_now_ns();
	struct vl_peek_found place;
	struct vl_guest *g = NULL;
	pid_t as = p->request->as;

	r->out = p->many ? open_memstream(&r->text, &r->len) : stdout;
	job->err = r->out ? NULL : vl_error_nomem();
	if (!job->err && p->request->as_place)
		job->err = place_find(p->request, job->spec, p->request->as_place, false, &as);
	if (!job->err)
		job->err = vl_guest_open(job->spec, &go, &g);
	if (!job->err)
		job->err = vl_guest_attach(g, false);
	job->attach_ns = vl_now_ns() - begin;
	begin = vl_now_ns();
	if (!job->err)
		job->err = vl_guest_peek(g, p->what, as, p->elements, p->depth, &place);
	if (!job->err)
		job->err = place.typed ? show_typed(p, g, &place, job->spec, r) :
					 show_bytes(p, g, &place, job->spec, r);
	job->look_ns = vl_now_ns() - begin;
	job->pid = g ? vl_guest_pid(g) : 0;
	if (g && p->request->stats)
		view_note(job, g);
	view_end(job, g);
	if (r->out && p->many)
		fclose(r->out);
}

/* ---- the command line ---- */

static bool take_number(const struct peek *p, const char *arg, uint64_t max, const char *what,
			uint64_t *ret)
{
	if (vl_u64(arg, 0, max, ret))
		return true;
	usage_report(p->request->applet->name, "'%s' is no %s", arg, what);
	return false;
}

static bool take(struct request *r, void *ctx, int key, char *arg)
{
	struct peek *p = ctx;
	uint64_t n;

	switch (key) {
	case 'g':
		p->also[p->nr_also++] = arg;
		return true;
	case OPT_DEPTH:
		if (!take_number(p, arg, MAX_DEPTH, "depth (0 to 16)", &n))
			return false;
		p->depth = (unsigned)n;
		return true;
	case OPT_ELEMENTS:
		return take_number(p, arg, UINT64_MAX, "number of elements", &p->elements);
	default:
		return request_option(r, NULL, key, arg);
	}
}

static int run(struct peek *p)
{
	json_object *top = json_object_new_object(), *list = json_object_new_array();
	struct view_job *jobs = NULL;
	struct result *results;
	size_t nr = 0;
	int status;

	json_object_object_add(top, "places", list);
	status = view_jobs(p->request, p->also, p->nr_also, &jobs, &nr) ? 0 : STATUS_GUEST;
	results = calloc(nr + 1, sizeof(*results));
	for (size_t i = 0; results && i < nr; i++)
		jobs[i].result = &results[i];
	p->many = nr > 1 || p->request->all;
	if (results)
		view_each(jobs, nr, look, p);
	if (p->request->json || p->many)
		view_labels(jobs, nr);
	for (size_t i = 0; results && i < nr; i++) {
		/* A place that could not be read is left out. */
		if (jobs[i].err) {
			json_object_put(results[i].object);
		} else if (results[i].object) {
			/* In place of the spec. */
			json_object_object_add(
				results[i].object, "guest",
				show_json_text(view_name(&jobs[i]), strlen(view_name(&jobs[i]))));
			json_object_array_add(list, results[i].object);
		}
		if (p->many && !p->request->json && results[i].len) {
			const char *name = view_name(&jobs[i]);

			print_clean(stdout, name, strlen(name), false, NULL);
			puts(":");
		}
		if (p->many && results[i].text)
			fwrite(results[i].text, 1, results[i].len, stdout);
		free(results[i].text);
	}
	if (p->request->json)
		show_json_print(top);
	else
		json_object_put(top);
	status = view_report(p->request, jobs, nr, status);
	free(results);
	view_jobs_free(jobs, nr);
	return status;
}

/* The words: GUEST (not with --guest or --all), WHAT, LENGTH. */
static bool take_words(struct peek *p)
{
	const char *name = p->request->applet->name;
	size_t first = p->request->all || p->nr_also ? 0 : 1;

	if (p->request->all && p->nr_also) {
		usage_report(name, "--%s and --%s cannot be used together", option_name(OPT_ALL),
			     option_name('g'));
		return false;
	}
	if (first && !p->request->nr_words) {
		usage_report(name, "no guest is named");
		return false;
	}
	if (first)
		p->also[p->nr_also++] = p->request->words[0];
	if (p->request->nr_words == first) {
		usage_report(name, "no address or symbol is named");
		return false;
	}
	if (p->request->nr_words > first + 2) {
		usage_report(name, "'%s' is too many", p->request->words[first + 2]);
		return false;
	}
	p->what = p->request->words[first];
	if (p->request->nr_words == first + 1)
		return true;
	if (!take_number(p, p->request->words[first + 1], UINT64_MAX, "length", &p->length))
		return false;
	if (!p->length)
		usage_report(name, "a length of 0 shows nothing");
	return p->length;
}

int peek_run(struct request *r)
{
	struct peek p = { .request = r, .elements = DEFAULT_ELEMENTS };
	int status = r->applet->usage_status;

	p.also = calloc(r->nr_given + 1, sizeof(*p.also));
	if (!p.also)
		error_report(r->applet->name, NULL, vl_error_nomem());
	else if (request_take(r, take, &p, &status) && take_words(&p))
		status = run(&p);
	free(p.also);
	return status;
}
