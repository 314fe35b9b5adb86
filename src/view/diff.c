/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same list by several ways: what hides from one shows in another. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../vmst/contact.h"
#include "../vmst/sys.h"
#include "collect.h"
#include "modules.h"

/*
 * On a running guest something can be on its way in or out at any moment, so a
 * difference counts only if it is there in every one of several looks.
 */
#define LOOKS 3
#define LOOK_NS 20000000L
/* Tries of one look, should the kernel not be able to answer at that moment. */
#define TRIES 8

#define MAX_WAYS 4

/* One thing (a process, a module) and the ways that show it. */
struct item {
	uint64_t key; /* a process id; 0: by its name */
	char name[VL_MODULE_NAME];
	uint64_t address; /* of its struct; 0: not known */
	unsigned shown;	  /* bit i: by way i */
	bool passing;	  /* on its way in or out: no difference counts */
};

struct items {
	struct item *v;
	size_t nr, cap;
	bool full;
};

struct kind;

/* A comparison that is going on. */
struct looker {
	struct vl_subject *s;
	struct vl_sys *sys;
	const struct kind *kind;
	struct vl_error *why[MAX_WAYS]; /* ways that could not be gone */
};

/* A way to the list. */
struct way {
	const char *name; /* "the task list" */
	bool kernel;	  /* the kernel answers: only in an epoch */
	struct vl_error *(*go)(struct looker *l, struct items *items, unsigned bit);
};

struct kind {
	const struct way *ways;
	size_t nr_ways;
	size_t first_column; /* of the ways; after them comes the mark */
	size_t name_column, address_column;
	int key_column; /* -1: none */
};

static void see(struct items *l, uint64_t key, const char *name, size_t len, uint64_t address,
		unsigned bit, bool passing)
{
	struct item *it;

	if (l->nr == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;

		it = reallocarray(l->v, cap, sizeof(*it));
		if (!it) {
			l->full = true;
			return;
		}
		l->v = it;
		l->cap = cap;
	}
	it = &l->v[l->nr++];
	*it = (struct item){ .key = key, .address = address, .shown = bit, .passing = passing };
	memcpy(it->name, name, len < sizeof(it->name) ? len : sizeof(it->name) - 1);
}

static int compare(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->key ? 0 : strcmp(x->name, y->name);
}

/* Make one item of all that are the same thing. */
static void merge(struct items *l)
{
	size_t nr = 0;

	if (l->nr)
		qsort(l->v, l->nr, sizeof(*l->v), compare);
	for (size_t i = 0; i < l->nr; i++) {
		struct item *it = &l->v[i], *last = nr ? &l->v[nr - 1] : NULL;

		if (!last || compare(last, it)) {
			l->v[nr++] = *it;
			continue;
		}
		last->shown |= it->shown;
		last->passing = last->passing || it->passing;
		if (!last->name[0])
			memcpy(last->name, it->name, sizeof(last->name));
		if (!last->address)
			last->address = it->address;
	}
	l->nr = nr;
}

/* ---- processes ---- */

/* Of the task list: as tasks.c, but only what is needed here. */
struct seen_task {
	uint64_t task;
	int32_t pid, exit_state;
	char comm[16];
};

#define OUT(type, member) offsetof(type, member), sizeof(((type *)0)->member)
/* include/linux/sched.h */
#define EXIT_DEAD 0x10

static struct vl_error *by_task_list(struct looker *k, struct items *items, unsigned bit)
{
	const struct vl_layout *l = vl_kernel_layout(k->s->contact->kernel);
	struct vl_fields fs = { .layout = l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(l, VL_F_TASK_TASKS),
		.stride = sizeof(struct seen_task),
	};
	const struct seen_task *t;
	struct vl_error *err;
	size_t nr;

	err = vl_need_symbol(k->s, "init_task", "the task list", &w.head);
	if (err)
		return err;
	w.head += w.node;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct seen_task, task));
	vl_fields_add(&fs, VL_F_TASK_TGID, OUT(struct seen_task, pid));
	vl_fields_add(&fs, VL_F_TASK_COMM, OUT(struct seen_task, comm));
	vl_fields_add(&fs, VL_F_TASK_EXIT_STATE, OUT(struct seen_task, exit_state));
	w.fields = fs.f;
	w.nr_fields = fs.nr;
	err = vl_collect(k->s, &w, "the task list", &nr);
	t = w.records;
	for (size_t i = 0; i < nr; i++)
		see(items, (uint64_t)(uint32_t)t[i].pid, t[i].comm, strnlen(t[i].comm, 16),
		    t[i].task, bit, t[i].exit_state & EXIT_DEAD);
	free(w.records);
	free(w.status);
	return err;
}

/* Of the ids: struct pid, and the task it is the process id (PIDTYPE_TGID) of. */
struct seen_pid {
	uint32_t nr;
	uint64_t link; /* pid->tasks[PIDTYPE_TGID].first: NULL if it leads no process */
	char comm[16];
};

/* enum pid_type, include/linux/pid_types.h; the links are hlist heads and nodes. */
#define PIDTYPE_TGID 1
#define HLIST_HEAD 8
#define HLIST_NODE 16

static struct vl_error *by_pids(struct looker *k, struct items *items, unsigned bit)
{
	const enum vl_field need[] = { VL_F_PIDNS_HEAD, VL_F_PID_TASKS,	    VL_F_PID_NUMBERS,
				       VL_F_UPID_NR,	VL_F_XA_SHIFT,	    VL_F_XA_SLOTS,
				       VL_F_XA_MARKS,	VL_F_TASK_PID_LINKS };
	const struct vl_layout *l = vl_kernel_layout(k->s->contact->kernel);
	int32_t link = (int32_t)vl_offset(l, VL_F_PID_TASKS) + PIDTYPE_TGID * HLIST_HEAD;
	int32_t node = (int32_t)vl_offset(l, VL_F_TASK_PID_LINKS) + PIDTYPE_TGID * HLIST_NODE;
	const struct vl_walk_field fields[] = {
		{ .kind = VL_FIELD_BYTES,
		  .size = 4,
		  .out = offsetof(struct seen_pid, nr),
		  .offset = { (int32_t)(vl_offset(l, VL_F_PID_NUMBERS) +
					vl_offset(l, VL_F_UPID_NR)) } },
		{ .kind = VL_FIELD_BYTES,
		  .size = 8,
		  .out = offsetof(struct seen_pid, link),
		  .offset = { link } },
		{ .kind = VL_FIELD_BYTES,
		  .derefs = 1,
		  .size = 16,
		  .out = offsetof(struct seen_pid, comm),
		  .offset = { link, (int32_t)vl_offset(l, VL_F_TASK_COMM) - node } },
	};
	struct vl_walk w = {
		.kind = VL_WALK_XARRAY,
		.xa_shift = vl_offset(l, VL_F_XA_SHIFT),
		.xa_slots = vl_offset(l, VL_F_XA_SLOTS),
		.xa_nr_slots = (vl_offset(l, VL_F_XA_MARKS) - vl_offset(l, VL_F_XA_SLOTS)) / 8,
		.fields = fields,
		.nr_fields = sizeof(fields) / sizeof(fields[0]),
		.stride = sizeof(struct seen_pid),
	};
	const struct seen_pid *p;
	struct vl_error *err;
	size_t nr;

	err = vl_need_fields(k->s, need, sizeof(need) / sizeof(need[0]), "the tree of ids");
	if (!err)
		err = vl_need_symbol(k->s, "init_pid_ns", "the tree of ids", &w.head);
	if (err)
		return err;
	w.head += vl_offset(l, VL_F_PIDNS_HEAD);
	err = vl_collect(k->s, &w, "the tree of ids", &nr);
	p = w.records;
	for (size_t i = 0; i < nr; i++)
		if (p[i].link)
			see(items, p[i].nr, p[i].comm, strnlen(p[i].comm, 16),
			    p[i].link - (uint64_t)node, bit, false);
	free(w.records);
	free(w.status);
	return err;
}

#define CALL(sys, name, ret, ...) \
	(sys)->ops->call(sys, name, (const struct vl_arg[]){ __VA_ARGS__ }, \
			 sizeof((const struct vl_arg[]){ __VA_ARGS__ }) / sizeof(struct vl_arg), \
			 ret)
#define CHUNK (256U << 10)
#define ANSWER_MAX (64U << 20)

/*
 * All that reading @path with @call ("read", "getdents64") gives, in the epoch that
 * is open. *@ret is malloc'ed.
 */
static struct vl_error *ask_kernel(struct vl_sys *sys, const char *path, const char *call,
				   char **ret, size_t *len_ret)
{
	struct vl_error *err;
	char *buf = NULL;
	int64_t fd, n;
	size_t len = 0;

	err = CALL(sys, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
		   VL_ARG_INT(O_RDONLY | O_CLOEXEC), VL_ARG_INT(0));
	if (!err && fd < 0)
		err = vl_error_new(VL_ERR_KERNEL, "cannot open %s in the guest: %s", path,
				   strerror((int)-fd));
	while (!err) {
		char *more = len < ANSWER_MAX ? realloc(buf, len + CHUNK) : NULL;

		if (!more) {
			err = vl_error_nomem();
			break;
		}
		buf = more;
		err = CALL(sys, call, &n, VL_ARG_INT(fd), VL_ARG_OUT(buf + len, CHUNK),
			   VL_ARG_INT(CHUNK));
		if (!err && n < 0)
			err = vl_error_new(VL_ERR_KERNEL, "cannot read %s in the guest: %s", path,
					   strerror((int)-n));
		if (err || !n)
			break;
		len += (size_t)n <= CHUNK ? (size_t)n : CHUNK;
	}
	if (err) {
		free(buf);
		return err;
	}
	*ret = buf;
	*len_ret = len;
	return NULL;
}

/* struct linux_dirent64: inode, offset, length of the entry, type, name. */
#define DIRENT_LEN 16
#define DIRENT_NAME 19

static struct vl_error *by_proc(struct looker *k, struct items *items, unsigned bit)
{
	struct vl_error *err;
	char *buf;
	size_t len;

	err = ask_kernel(k->sys, "/proc", "getdents64", &buf, &len);
	if (err)
		return err;
	for (size_t at = 0; at + DIRENT_NAME < len;) {
		const char *name = buf + at + DIRENT_NAME;
		uint16_t size;

		memcpy(&size, buf + at + DIRENT_LEN, 2);
		if (size <= DIRENT_NAME || size > len - at || !memchr(name, 0, size - DIRENT_NAME))
			break;
		if (isdigit((unsigned char)*name))
			see(items, strtoul(name, NULL, 10), "", 0, 0, bit, false);
		at += size;
	}
	free(buf);
	return NULL;
}

/* ---- modules ---- */

/* MODULE_STATE_LIVE; what is not is being loaded or unloaded. */
#define LIVE 0

/* What is at the address of a struct module, seen by another way than the list. */
static void see_module(struct looker *k, struct items *items, uint64_t module, unsigned bit)
{
	const struct vl_layout *l = vl_kernel_layout(k->s->contact->kernel);
	char name[VL_MODULE_NAME];
	uint32_t state;

	/* Whatever has no name of at least two characters is no module. */
	if (vl_read_string(k->s->reader, &k->s->space, module + vl_offset(l, VL_F_MOD_NAME), name,
			   sizeof(name)) ||
	    vl_read_u32(k->s->reader, &k->s->space, module + vl_offset(l, VL_F_MOD_STATE),
			&state) ||
	    !name[0] || state > 3)
		return;
	for (const char *p = name; *p; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return;
	see(items, 0, name, strlen(name), module, bit, state != LIVE);
}

static struct vl_error *by_list(struct looker *k, struct items *items, unsigned bit)
{
	struct vl_module *m;
	size_t nr;
	struct vl_error *err = vl_modules_listed(k->s, &m, &nr);

	for (size_t i = 0; i < nr; i++)
		see(items, 0, m[i].name, strnlen(m[i].name, VL_MODULE_NAME), m[i].module, bit,
		    m[i].state != LIVE);
	free(m);
	return err;
}

static struct vl_error *by_kobjects(struct looker *k, struct items *items, unsigned bit)
{
	uint64_t *m;
	size_t nr;
	struct vl_error *err = vl_modules_of_kobjects(k->s, &m, &nr);

	for (size_t i = 0; i < nr; i++)
		if (m[i])
			see_module(k, items, m[i], bit);
	free(m);
	return err;
}

static struct vl_error *by_memory(struct looker *k, struct items *items, unsigned bit)
{
	uint64_t *m;
	size_t nr;
	struct vl_error *err = vl_modules_in_memory(k->s, &m, &nr);

	for (size_t i = 0; i < nr; i++)
		see_module(k, items, m[i], bit);
	free(m);
	return err;
}

static struct vl_error *by_proc_modules(struct looker *k, struct items *items, unsigned bit)
{
	struct vl_error *err;
	char *buf;
	size_t len;

	err = ask_kernel(k->sys, "/proc/modules", "read", &buf, &len);
	if (err)
		return err;
	for (size_t at = 0; at < len;) {
		const char *line = buf + at, *eol = memchr(line, '\n', len - at);
		size_t n = eol ? (size_t)(eol - line) : len - at;
		const char *blank = memchr(line, ' ', n);

		if (blank)
			see(items, 0, line, (size_t)(blank - line), 0, bit, false);
		at += n + 1;
	}
	free(buf);
	return NULL;
}

/* ---- looks ---- */

static bool is_momentary(const struct vl_error *err)
{
	return err->code == VL_ERR_BLOCKED || err->code == VL_ERR_CRASHED;
}

/*
 * Go all ways once, in one epoch. Ways that cannot be gone are noted; so is, with
 * @final, that the kernel cannot answer at this moment, which is an error else.
 */
static struct vl_error *look_once(struct looker *k, struct items *items, bool final)
{
	struct vl_error *err = k->sys->ops->begin(k->sys);
	bool open = !err;

	if (err && !(final && is_momentary(err)))
		return err;
	for (size_t i = 0; i < k->kind->nr_ways; i++) {
		const struct way *way = &k->kind->ways[i];
		struct vl_error *why;

		if (way->kernel && !open) {
			why = err;
			err = NULL;
		} else {
			why = way->go(k, items, 1U << i);
		}
		if (why && is_momentary(why) && !final) {
			k->sys->ops->end(k->sys);
			return why;
		}
		vl_error_destroy(k->why[i]);
		k->why[i] = why;
	}
	vl_error_destroy(err);
	k->sys->ops->end(k->sys);
	return NULL;
}

static struct vl_error *look(struct looker *k, struct items *items)
{
	struct vl_error *err = NULL;

	for (unsigned try = 1; try <= TRIES; try++) {
		vl_error_destroy(err);
		items->nr = 0;
		items->full = false;
		err = look_once(k, items, try == TRIES || !vl_target_is_live(k->s->target));
		if (!err || !is_momentary(err))
			break;
	}
	if (!err && items->full)
		err = vl_error_nomem();
	if (!err)
		merge(items);
	return err;
}

/* The ways of @k that were gone, as bits. */
static unsigned gone(const struct looker *k)
{
	unsigned all = 0;

	for (size_t i = 0; i < k->kind->nr_ways; i++)
		if (!k->why[i])
			all |= 1U << i;
	return all;
}

static bool differs(const struct item *it, unsigned all)
{
	return !it->passing && (it->shown & all) != all;
}

static bool any_differs(const struct items *l, unsigned all)
{
	for (size_t i = 0; i < l->nr; i++)
		if (differs(&l->v[i], all))
			return true;
	return false;
}

/* Let pass what did not differ in the look before in the same way. */
static void confirm(struct items *now, const struct items *before, unsigned all)
{
	for (size_t i = 0; i < now->nr; i++) {
		struct item *it = &now->v[i];
		const struct item *was =
			before->nr ? bsearch(it, before->v, before->nr, sizeof(*it), compare) :
				     NULL;

		if (!was || !differs(was, all) || was->shown != it->shown)
			it->passing = true;
	}
}

/* What hides an item: "not in the task list, /proc". */
static void show_mark(struct vl_table *t, size_t column, const struct kind *kind,
		      const struct item *it, unsigned all)
{
	char text[256];
	size_t n = (size_t)snprintf(text, sizeof(text), "hidden from ");

	for (size_t i = 0, nr = 0; i < kind->nr_ways; i++)
		if (all & ~it->shown & 1U << i)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", nr++ ? ", " : "",
					      kind->ways[i].name);
	vl_table_str(t, column, text);
	t->nr_marked++;
}

static void show_items(struct vl_table *t, const struct looker *k, const struct items *l)
{
	const struct kind *kind = k->kind;
	unsigned all = gone(k);

	for (size_t i = 0; i < l->nr; i++) {
		const struct item *it = &l->v[i];

		vl_table_row(t);
		if (kind->key_column >= 0)
			vl_table_uint(t, (size_t)kind->key_column, it->key);
		if (it->name[0])
			vl_table_str(t, kind->name_column, it->name);
		if (it->address)
			vl_table_uint(t, kind->address_column, it->address);
		for (size_t w = 0; w < kind->nr_ways; w++)
			if (all & 1U << w)
				vl_table_uint(t, kind->first_column + w, it->shown >> w & 1);
		if (differs(it, all))
			show_mark(t, kind->first_column + kind->nr_ways, kind, it, all);
	}
}

static struct vl_error *run_diff(struct vl_subject *s, struct vl_sys *sys, const struct kind *kind,
				 struct vl_table *t)
{
	const struct timespec wait = { .tv_nsec = LOOK_NS };
	struct looker k = { .s = s, .sys = sys, .kind = kind };
	struct items now = { .v = NULL }, before = { .v = NULL };
	struct vl_error *err = look(&k, &now);

	for (unsigned i = 1; !err && i < LOOKS && vl_target_is_live(s->target); i++) {
		struct items was = now;

		if (!any_differs(&now, gone(&k)))
			break;
		nanosleep(&wait, NULL);
		now = before;
		before = was;
		err = look(&k, &now);
		if (!err)
			confirm(&now, &before, gone(&k));
	}
	if (!err)
		show_items(t, &k, &now);
	free(now.v);
	free(before.v);
	for (size_t i = 0; i < kind->nr_ways; i++) {
		if (!k.why[i])
			continue;
		if (err)
			vl_error_destroy(k.why[i]);
		else
			err = vl_error_prefix(k.why[i], "%s was not compared", kind->ways[i].name);
	}
	return err ? err : vl_table_end(t);
}

/* ---- what is offered ---- */

enum { P_PID, P_LIST, P_TREE, P_PROC, P_MARK, P_COMM, P_TASK };

static const struct vl_column process_columns[] = {
	[P_PID] = { "PID", VL_CELL_UINT, true, "process id" },
	[P_LIST] = { "LIST", VL_CELL_BOOL, true, "is it in the list of tasks" },
	[P_TREE] = { "TREE", VL_CELL_BOOL, true, "is it in the tree of process ids" },
	[P_PROC] = { "PROC", VL_CELL_BOOL, true, "does the kernel show it in /proc" },
	[P_MARK] = { "MARK", VL_CELL_TEXT, true, "what it is hidden from" },
	[P_COMM] = { "COMM", VL_CELL_TEXT, true, "name of its program, 15 bytes at most" },
	[P_TASK] = { "TASK", VL_CELL_HEX, false, "address of its task_struct" },
	{ 0 },
};

static const struct way process_ways[] = {
	{ "the task list", false, by_task_list },
	{ "the tree of ids", false, by_pids },
	{ "/proc", true, by_proc },
};

static struct vl_error *diff_processes(struct vl_subject *s, struct vl_sys *sys, struct vl_table *t)
{
	static const struct kind kind = {
		process_ways, 3, P_LIST, P_COMM, P_TASK, P_PID,
	};

	return run_diff(s, sys, &kind, t);
}

const struct vl_diff vl_diff_processes = { "processes", "processes", process_columns,
					   diff_processes };

enum { M_MODULE, M_LIST, M_SYSFS, M_MEMORY, M_PROC, M_MARK, M_STRUCT };

static const struct vl_column module_columns[] = {
	[M_MODULE] = { "MODULE", VL_CELL_TEXT, true, "name of the module" },
	[M_LIST] = { "LIST", VL_CELL_BOOL, true, "is it in the list of modules" },
	[M_SYSFS] = { "KOBJECT", VL_CELL_BOOL, true, "is it among the kobjects of modules" },
	[M_MEMORY] = { "MEMORY", VL_CELL_BOOL, true, "is it found in what is mapped" },
	[M_PROC] = { "PROC", VL_CELL_BOOL, true, "does the kernel show it in /proc/modules" },
	[M_MARK] = { "MARK", VL_CELL_TEXT, true, "what it is hidden from" },
	[M_STRUCT] = { "STRUCT", VL_CELL_HEX, false, "address of its struct module" },
	{ 0 },
};

static const struct way module_ways[] = {
	{ "the list of modules", false, by_list },
	{ "the kobjects", false, by_kobjects },
	{ "the mapped memory", false, by_memory },
	{ "/proc/modules", true, by_proc_modules },
};

static struct vl_error *diff_modules(struct vl_subject *s, struct vl_sys *sys, struct vl_table *t)
{
	static const struct kind kind = {
		module_ways, 4, M_LIST, M_MODULE, M_STRUCT, -1,
	};

	return run_diff(s, sys, &kind, t);
}

const struct vl_diff vl_diff_modules = { "modules", "modules", module_columns, diff_modules };
