/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vpeek: memory as bytes, or as the kernel's types have it. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "parse.h"
#include "report.h"
#include "show.h"
#include "views.h"

#define DEFAULT_LENGTH 256
#define DEFAULT_ELEMENTS 16
#define MAX_DEPTH 16
#define LINE 16
#define PAGE 4096
/* All of it is one string in JSON. */
#define JSON_MAX (64U << 20)

struct peek {
	struct view_options o;
	char **also; /* guests of --guest */
	size_t nr_also;
	const char *what;
	uint64_t length; /* 0: not said */
	uint64_t elements;
	unsigned depth;
	pid_t as;
	bool many;
};

/* What one guest gave: text in `out`, or an object. */
struct result {
	FILE *out;
	char *text;
	size_t len;
	json_object *object;
};

/* ---- bytes ---- */

static void dump_line(FILE *f, uint64_t va, const unsigned char *p, size_t len)
{
	fprintf(f, "%016" PRIx64 " ", va);
	for (size_t i = 0; i < LINE; i++) {
		if (i < len)
			fprintf(f, "%s%02x", i == LINE / 2 ? "  " : " ", p[i]);
		else
			fputs(i == LINE / 2 ? "    " : "   ", f);
	}
	fputs("  |", f);
	for (size_t i = 0; i < len; i++)
		putc(p[i] < ' ' || p[i] > '~' ? '.' : p[i], f);
	fputs("|\n", f);
}

/* As hexdump -C has it: lines that repeat the one before are a star. */
static struct vl_error *dump_text(struct vl_types *t, uint64_t va, uint64_t length, FILE *f)
{
	unsigned char page[PAGE + LINE], last[LINE];
	bool have_last = false, starred = false;
	struct vl_error *err = NULL;
	size_t kept = 0; /* bytes of an unfinished line, at the front of page */

	while (length && !err) {
		size_t n = PAGE - (va & (PAGE - 1)), at = 0;
		enum vl_read_status status;

		if (n > length)
			n = length;
		status = vl_read(t->s->reader, &t->space, va, page + kept, n);
		if (status) {
			err = vl_read_error(status, vl_reader_fault(t->s->reader));
			n = 0;
		}
		va += n;
		length -= n;
		n += kept;
		/* The last line may be short; before an end that is none, too. */
		while (n - at >= LINE || (n > at && (err || !length))) {
			size_t len = n - at < LINE ? n - at : LINE;
			bool same = have_last && len == LINE && !memcmp(last, page + at, LINE);

			if (!same)
				dump_line(f, va - (n - at), page + at, len);
			else if (!starred)
				fputs("*\n", f);
			starred = same;
			memcpy(last, page + at, len);
			have_last = len == LINE;
			at += len;
		}
		kept = n - at;
		memmove(page, page + at, kept);
	}
	if (!err)
		fprintf(f, "%016" PRIx64 "\n", va);
	return err;
}

static struct vl_error *dump_json(struct vl_types *t, uint64_t va, uint64_t length, json_object *o)
{
	struct vl_error *err;
	unsigned char *buf;
	char *hex;

	if (length > JSON_MAX)
		return vl_error_new(VL_ERR_ARG, "more than %u MiB are too many for JSON",
				    JSON_MAX >> 20);
	buf = malloc(length + 1);
	hex = malloc(2 * length + 1);
	if (!buf || !hex) {
		free(buf);
		free(hex);
		return vl_error_nomem();
	}
	err = vl_read_error(vl_read(t->s->reader, &t->space, va, buf, length),
			    vl_reader_fault(t->s->reader));
	for (uint64_t i = 0; !err && i < length; i++)
		sprintf(hex + 2 * i, "%02x", buf[i]);
	if (!err)
		json_object_object_add(o, "bytes",
				       json_object_new_string_len(hex, (int)(2 * length)));
	free(buf);
	free(hex);
	return err;
}

/* ---- values as text ---- */

struct text {
	FILE *f;
	char *head; /* the line before all others; NULL once it is printed */
	unsigned level;
};

static void begin(struct text *x, const char *name)
{
	if (x->head) {
		print_clean(x->f, x->head, strlen(x->head), true, NULL);
		free(x->head);
		x->head = NULL;
	}
	fprintf(x->f, "%*s", (int)(4 * x->level), "");
	if (name)
		fprintf(x->f, ".%s = ", name);
}

static void end(struct text *x)
{
	fputs(x->level ? ",\n" : "\n", x->f);
}

static void quote(FILE *f, const char *text, size_t len)
{
	putc('"', f);
	print_clean(f, text, len, false, NULL);
	putc('"', f);
}

static void print_value(FILE *f, const struct vl_value *v)
{
	switch (v->kind) {
	case VL_VALUE_INT:
		fprintf(f, "%" PRId64, v->i);
		break;
	case VL_VALUE_UINT:
		fprintf(f, "%" PRIu64, v->u);
		break;
	case VL_VALUE_BOOL:
		fputs(v->u ? "true" : "false", f);
		break;
	case VL_VALUE_POINTER:
		fprintf(f, "0x%" PRIx64, v->u);
		if (v->text) {
			fputs(" <", f);
			print_clean(f, v->text, strlen(v->text), false, NULL);
			fprintf(f, v->offset ? "+0x%" PRIx64 ">" : ">", v->offset);
		}
		break;
	case VL_VALUE_ENUM:
		if (v->text)
			print_clean(f, v->text, strlen(v->text), false, NULL);
		fprintf(f, v->text ? " (%" PRId64 ")" : "%" PRId64, v->i);
		break;
	case VL_VALUE_STRING:
		quote(f, v->text, v->len);
		break;
	case VL_VALUE_FAULT:
		fprintf(f, "(cannot be read at 0x%" PRIx64 ": %s)", v->u, v->text);
		break;
	default:
		fputs(v->text, f);
		break;
	}
}

static void text_value(void *ctx, const char *name, const struct vl_value *v)
{
	struct text *x = ctx;

	begin(x, name);
	print_value(x->f, v);
	end(x);
}

static void text_open(void *ctx, const char *name, const char *type, bool array,
		      const struct vl_value *at)
{
	struct text *x = ctx;

	begin(x, name);
	if (at) {
		print_value(x->f, at);
		fprintf(x->f, " -> ");
		print_clean(x->f, type, strlen(type), false, NULL);
		putc(' ', x->f);
	}
	fputs(array ? "[\n" : "{\n", x->f);
	x->level++;
}

static void text_close(void *ctx, bool array)
{
	struct text *x = ctx;

	if (x->level)
		x->level--;
	fprintf(x->f, "%*s%c", (int)(4 * x->level), "", array ? ']' : '}');
	end(x);
}

static void text_more(void *ctx, uint64_t left)
{
	struct text *x = ctx;

	fprintf(x->f, "%*s(%" PRIu64 " more)\n", (int)(4 * x->level), "", left);
}

static const struct vl_peek_ops text_ops = { text_value, text_open, text_close, text_more };

/* ---- values as JSON ---- */

struct tree {
	json_object *top;
	unsigned level, beyond; /* beyond: levels that did not fit */
	json_object *stack[256];
};

static void put(struct tree *x, const char *name, json_object *o)
{
	json_object *parent = x->level ? x->stack[x->level - 1] : NULL;

	if (!parent)
		x->top = o;
	else if (json_object_is_type(parent, json_type_array))
		json_object_array_add(parent, o);
	else
		json_object_object_add(parent, name ? name : "value", o);
}

static json_object *value_json(const struct vl_value *v)
{
	char buf[32];

	switch (v->kind) {
	case VL_VALUE_INT:
		return json_object_new_int64(v->i);
	case VL_VALUE_UINT:
		return json_object_new_uint64(v->u);
	case VL_VALUE_BOOL:
		return json_object_new_boolean(v->u != 0);
	case VL_VALUE_POINTER:
		snprintf(buf, sizeof(buf), "0x%" PRIx64, v->u);
		return json_object_new_string(buf);
	case VL_VALUE_ENUM:
		return v->text ? show_json_text(v->text, strlen(v->text)) :
				 json_object_new_int64(v->i);
	case VL_VALUE_STRING:
		return show_json_text(v->text, v->len);
	default:
		return NULL;
	}
}

static void tree_value(void *ctx, const char *name, const struct vl_value *v)
{
	put(ctx, name, value_json(v));
}

static void tree_open(void *ctx, const char *name, const char *type, bool array,
		      const struct vl_value *at)
{
	struct tree *x = ctx;
	json_object *parent = x->level ? x->stack[x->level - 1] : NULL;
	json_object *o;

	(void)type, (void)at;
	if (x->level == sizeof(x->stack) / sizeof(x->stack[0])) {
		x->beyond++;
		return;
	}
	/* Members of a member without name are those of what it is in. */
	if (parent && !name && !array && json_object_is_type(parent, json_type_object)) {
		x->stack[x->level++] = parent;
		return;
	}
	o = array ? json_object_new_array() : json_object_new_object();
	put(x, name, o);
	x->stack[x->level++] = o;
}

static void tree_close(void *ctx, bool array)
{
	struct tree *x = ctx;

	(void)array;
	if (x->beyond)
		x->beyond--;
	else if (x->level)
		x->level--;
}

static void tree_more(void *ctx, uint64_t left)
{
	(void)ctx, (void)left;
}

static const struct vl_peek_ops tree_ops = { tree_value, tree_open, tree_close, tree_more };

/* ---- one guest ---- */

static void describe(json_object *o, const char *guest, const struct vl_place *place,
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

static struct vl_error *show_bytes(const struct peek *p, struct vl_types *t,
				   const struct vl_place *place, const char *guest,
				   struct result *r)
{
	uint64_t length = p->length ? p->length : DEFAULT_LENGTH;

	/* Refused as a whole; what comes after is read page by page. */
	if (length > VL_READ_MAX)
		return vl_read_error(VL_READ_TOO_LONG, place->va);
	if (place->va + (length - 1) < place->va)
		return vl_read_error(VL_READ_WRAPS, place->va);
	if (!p->o.json)
		return dump_text(t, place->va, length, r->out);
	r->object = json_object_new_object();
	describe(r->object, guest, place, p->what, NULL, length);
	return dump_json(t, place->va, length, r->object);
}

static struct vl_error *show_typed(const struct peek *p, struct vl_types *t, struct vl_place *place,
				   const char *guest, struct result *r)
{
	uint64_t size = vl_types_size(t, place->type);
	struct tree tree = { .top = NULL };
	char type[VL_TYPE_NAME];
	struct vl_error *err;
	struct text *text;

	place->nr = p->length;
	vl_types_name(t, place->type, type);
	if (p->o.json) {
		r->object = json_object_new_object();
		describe(r->object, guest, place, p->what, type, size);
		err = vl_peek_show(t, place, &tree_ops, &tree);
		json_object_object_add(r->object, "value", tree.top);
		return err;
	}
	text = calloc(1, sizeof(*text));
	if (!text)
		return vl_error_nomem();
	text->f = r->out;
	if (asprintf(&text->head, "%s: %s, %" PRIu64 " bytes at 0x%" PRIx64 "\n", p->what, type,
		     size, place->va) < 0)
		text->head = NULL;
	err = vl_peek_show(t, place, &text_ops, text);
	free(text->head);
	free(text);
	return err;
}

/* A guest whose kernel is not known has page tables all the same: those of a vCPU. */
static struct vl_error *use_vcpu(struct vl_subject *s, const struct vl_scan_options *o)
{
	struct vl_reader_options ro = { .engine = o->engine };
	struct vl_error *err;
	struct vl_vcpu *v;
	size_t nr;

	if (s->reader)
		return NULL;
	err = vl_target_vcpus(s->target, &v, &nr);
	if (err)
		return err;
	if (nr)
		s->space = vl_space_of(v[0].cr3, v[0].cr4);
	free(v);
	return vl_reader_open(s->target, NULL, &ro, &s->reader);
}

/* The address space of process @pid. */
static struct vl_error *use_process(struct vl_subject *s, pid_t pid, struct vl_space *ret)
{
	enum { PID, TASK };
	struct vl_error *err;
	struct vl_table t;
	uint64_t task = 0;

	vl_table_init(&t, vl_scan_pidlist.columns);
	err = vl_scan_pidlist.run(s, &t);
	for (size_t i = 0; !err && i < t.nr_rows; i++)
		if (vl_table_cell(&t, i, PID)->i == pid)
			task = vl_table_cell(&t, i, TASK)->u;
	vl_table_deinit(&t);
	if (!err && !task)
		err = vl_error_hint(
			vl_error_new(VL_ERR_ARG, "the guest has no process %d", (int)pid),
			"see vpslist GUEST for those it has");
	return err ? err : vl_read_error(vl_reader_task(s->reader, task, ret), task);
}

static void look(void *ctx, struct view_job *job)
{
	const struct peek *p = ctx;
	struct result *r = job->result;
	struct vl_subject *s = NULL;
	struct vl_place place;
	struct vl_types t;

	r->out = p->many ? open_memstream(&r->text, &r->len) : stdout;
	job->err = r->out ? vl_subject_open(job->spec, &p->o.scan, false, &s) : vl_error_nomem();
	if (!job->err)
		job->err = use_vcpu(s, &p->o.scan);
	if (!job->err) {
		vl_types_init(&t, s);
		t.elements = p->elements;
		t.depth = p->depth;
		job->err = vl_types_find(&t, p->what, &place);
		/* What its kernel is not known for is the reason for all that follows. */
		if (job->err && s->why) {
			vl_error_destroy(job->err);
			job->err = s->why;
			s->why = NULL;
		}
		if (!job->err && p->as)
			job->err = s->contact ? use_process(s, p->as, &t.space) :
						vl_error_new(VL_ERR_KERNEL,
							     "its processes are not known");
		if (!job->err)
			job->err = place.type ? show_typed(p, &t, &place, job->spec, r) :
						show_bytes(p, &t, &place, job->spec, r);
		vl_types_deinit(&t);
		view_note(job, s);
	}
	vl_subject_close(s);
	if (r->out && p->many)
		fclose(r->out);
}

/* ---- the command line ---- */

static bool take_number(const struct peek *p, const char *arg, uint64_t max, const char *what,
			uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(arg, &end, 0);
	if (!errno && end != arg && !*end && *arg != '-' && *ret <= max)
		return true;
	usage_report(p->o.applet->name, "'%s' is no %s", arg, what);
	return false;
}

static bool take(void *ctx, int key, char *arg)
{
	struct peek *p = ctx;
	uint64_t n;

	switch (key) {
	case 'g':
		p->also[p->nr_also++] = arg;
		return true;
	case VIEW_AS:
		if (!take_number(p, arg, INT_MAX, "process id", &n))
			return false;
		p->as = (pid_t)n;
		return true;
	case VIEW_DEPTH:
		if (!take_number(p, arg, MAX_DEPTH, "depth (0 to 16)", &n))
			return false;
		p->depth = (unsigned)n;
		return true;
	case VIEW_ELEMENTS:
		return take_number(p, arg, UINT64_MAX, "number of elements", &p->elements);
	default:
		return view_option(&p->o, key, arg);
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
	status = view_jobs(&p->o, p->also, p->nr_also, &jobs, &nr) ? 0 : STATUS_GUEST;
	results = calloc(nr + 1, sizeof(*results));
	for (size_t i = 0; results && i < nr; i++)
		jobs[i].result = &results[i];
	p->many = nr > 1 || p->o.all;
	if (results)
		view_each(jobs, nr, look, p);
	for (size_t i = 0; results && i < nr; i++) {
		if (results[i].object)
			json_object_array_add(list, results[i].object);
		if (p->many && !p->o.json && results[i].len) {
			print_clean(stdout, jobs[i].spec, strlen(jobs[i].spec), false, NULL);
			puts(":");
		}
		if (p->many && results[i].text)
			fwrite(results[i].text, 1, results[i].len, stdout);
		free(results[i].text);
	}
	if (p->o.json)
		show_json_print(top);
	else
		json_object_put(top);
	status = view_report(&p->o, jobs, nr, status);
	free(results);
	view_jobs_free(jobs, nr);
	return status;
}

/* GUEST, unless others name the guests; WHAT; LENGTH. */
static bool take_words(struct peek *p)
{
	const char *name = p->o.applet->name;
	size_t first = p->o.all || p->nr_also ? 0 : 1;

	if (p->o.all && p->nr_also) {
		usage_report(name, "--all and --guest are too many");
		return false;
	}
	if (first && !p->o.nr_words) {
		usage_report(name, "no guest is named");
		return false;
	}
	if (first)
		p->also[p->nr_also++] = p->o.words[0];
	if (p->o.nr_words == first) {
		usage_report(name, "no address or symbol is named");
		return false;
	}
	if (p->o.nr_words > first + 2) {
		usage_report(name, "'%s' is too many", p->o.words[first + 2]);
		return false;
	}
	p->what = p->o.words[first];
	if (p->o.nr_words == first + 1)
		return true;
	if (!take_number(p, p->o.words[first + 1], UINT64_MAX, "length", &p->length))
		return false;
	if (!p->length)
		usage_report(name, "a length of 0 shows nothing");
	return p->length;
}

int peek_run(const struct applet *a, const struct view *v, int argc, char **argv)
{
	struct peek p = { .o = { .applet = a }, .elements = DEFAULT_ELEMENTS };
	int status = a->usage_status;

	p.o.words = calloc((size_t)argc + 1, sizeof(*p.o.words));
	p.also = calloc((size_t)argc + 1, sizeof(*p.also));
	if (!p.o.words || !p.also) {
		error_report(a->name, NULL, vl_error_nomem());
	} else if (!parse_arguments(a->name, v->options, argc, argv, take, &p)) {
		status = a->usage_status;
	} else if (p.o.end == VIEW_END_HELP) {
		options_help(v->options, a->name, a->args, a->summary);
		printf("\nFor more details see %s(1).\n", a->name);
		status = 0;
	} else if (p.o.end == VIEW_END_VERSION) {
		print_version(a->name);
		status = 0;
	} else if (take_words(&p)) {
		status = run(&p);
	}
	free(p.o.words);
	free(p.also);
	return status;
}
