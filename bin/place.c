/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "place.h"

#include <string.h>

#include "base/number.h"
#include "vlens.h"

/* PID_MAX_LIMIT, include/linux/threads.h */
#define PID_LIMIT (4L << 20)
/* PROC_DYNAMIC_FIRST, fs/proc/generic.c: the first number of a namespace that was made later. */
#define NAMESPACE_FIRST 0xF0000000L
/* Those that the kernel makes as it boots: enum, include/linux/proc_ns.h. */
#define NAMESPACE_BOOT 0xEFFFFFF0L

enum place_kind place_kind(const char *word, uint32_t *number_ret)
{
	long n;

	_Static_assert(NAMESPACE_BOOT < NAMESPACE_FIRST, "numbers of namespaces");
	*number_ret = 0;
	if (!*word || *word == '-')
		return PLACE_BAD;
	/* An id can begin with a zero, a number cannot. */
	if (word[strspn(word, "0123456789")] || (*word == '0' && word[1]))
		return PLACE_CONTAINER;
	if (vl_number(word, 1, PID_LIMIT, &n)) {
		*number_ret = (uint32_t)n;
		return PLACE_PID;
	}
	if (vl_number(word, NAMESPACE_BOOT, UINT32_MAX, &n)) {
		*number_ret = (uint32_t)n;
		return PLACE_NAMESPACE;
	}
	/* An id may begin with digits only; it is longer than any of these numbers. */
	return strlen(word) >= 12 ? PLACE_CONTAINER : PLACE_BAD;
}

/* ---- cells by the names of their columns ---- */

static const struct vl_cell *cell(const struct vl_table *t, size_t row, const char *column)
{
	int i = vl_column_find(t->columns, column, strlen(column));

	return vl_table_cell(t, row, i < 0 ? t->nr_columns : (size_t)i);
}

static bool is_text(const struct vl_table *t, size_t row, const char *column, const char *text)
{
	const struct vl_cell *c = cell(t, row, column);

	return c->kind == VL_CELL_TEXT && c->text.len == strlen(text) &&
	       !memcmp(vl_table_bytes(t, c), text, c->text.len);
}

static bool begins(const struct vl_table *t, size_t row, const char *column, const char *text)
{
	const struct vl_cell *c = cell(t, row, column);

	return c->kind == VL_CELL_TEXT && c->text.len >= strlen(text) &&
	       !memcmp(vl_table_bytes(t, c), text, strlen(text));
}

/* ---- the search ---- */

/*
 * The row of the container @word: its whole id, or its name or first digits of its id if no other
 * container has such. The guest chooses names, so none counts more than an id.
 */
static struct vl_error *find_container(const struct vl_table *t, const char *word, size_t *row_ret)
{
	size_t whole = 0, fit = 0;

	for (size_t i = 0; i < t->nr_rows; i++) {
		bool is_whole = is_text(t, i, "FULL_ID", word);
		bool fits = is_text(t, i, "NAME", word) || begins(t, i, "FULL_ID", word);

		if (is_whole || (fits && !whole))
			*row_ret = i;
		whole += is_whole;
		fit += fits;
	}
	if (whole == 1 || fit == 1)
		return NULL;
	if (fit)
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "%zu containers are called '%s'", fit, word),
			"give more of its id; 'vps --containers -o full_id,name,pid' "
			"shows them");
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "the guest has no container '%s'", word),
			     "see 'vps --containers' for those it has");
}

static struct vl_error *find_namespace(const struct vl_table *t, uint32_t number, bool net_only,
				       size_t *row_ret)
{
	bool found = false;

	for (size_t i = 0; i < t->nr_rows; i++) {
		const struct vl_cell *net = cell(t, i, "NETNS"), *mnt = cell(t, i, "MNTNS");
		bool is = (net->kind == VL_CELL_UINT && net->u == number) ||
			  (!net_only && mnt->kind == VL_CELL_UINT && mnt->u == number);

		/* The list of processes is in the order in which they started. */
		if (is && !found)
			*row_ret = i;
		found = found || is;
	}
	if (found)
		return NULL;
	return vl_error_hint(
		vl_error_new(VL_ERR_ARG, "no process of the guest is in network %snamespace %u",
			     net_only ? "" : "or mount ", number),
		"see 'vpslist -o pid,%s' for those it has", net_only ? "netns" : "netns,mntns");
}

static struct vl_error *look(const struct request *r, const char *spec, const struct vl_scan *scan,
			     struct vl_table *t)
{
	const struct vl_guest_options go = { .target = r->scan.target, .uses = VL_GUEST_READ };
	struct vl_guest *g = NULL;
	struct vl_error *err = vl_guest_open(spec, &go, &g);

	if (!err)
		err = vl_guest_attach(g, true);
	if (!err)
		err = vl_guest_scan(g, scan, t);
	vl_guest_close(g);
	return err;
}

struct vl_error *place_find(const struct request *r, const char *spec, const char *word, bool net,
			    pid_t *pid_ret)
{
	uint32_t number;
	const enum place_kind kind = place_kind(word, &number);
	const struct vl_scan *scan =
		kind == PLACE_CONTAINER ? &vl_scan_containers : &vl_scan_pslist;
	const struct vl_cell *pid;
	struct vl_error *err;
	struct vl_table t;
	size_t row = 0;

	if (kind == PLACE_PID) {
		*pid_ret = (pid_t)number;
		return NULL;
	}
	vl_table_init(&t, scan->columns);
	err = look(r, spec, scan, &t);
	if (!err)
		err = kind == PLACE_CONTAINER ? find_container(&t, word, &row) :
						find_namespace(&t, number, net, &row);
	pid = cell(&t, row, "PID");
	if (!err && (pid->kind != VL_CELL_INT || pid->i < 1 || pid->i > PID_LIMIT))
		err = vl_error_new(VL_ERR_KERNEL, "the guest's '%s' has no process", word);
	if (!err)
		*pid_ret = (pid_t)pid->i;
	vl_table_deinit(&t);
	return err;
}
