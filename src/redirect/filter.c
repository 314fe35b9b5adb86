/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the BPF program of the tables in policy.c and allow.c. libseccomp would take three
 * milliseconds for it. The program is a binary tree over call numbers, because the kernel runs
 * it for each number when it is installed, and for each call afterwards.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "run.h"

#define NOTIFY SECCOMP_RET_USER_NOTIF

struct program {
	struct sock_filter insns[BPF_MAXINSNS];
	uint32_t nr;
	bool full;
	const struct vl_condition *loaded; /* the accumulator has what it tests; NULL: other */
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	if (p->nr == BPF_MAXINSNS)
		p->full = true;
	else
		p->insns[p->nr++] = (struct sock_filter){ code, yes, no, k };
}

static void load(struct program *p, size_t offset)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(struct program *p, uint32_t action)
{
	put(p, BPF_RET | BPF_K, action, 0, 0);
}

/* Test the lower half of an argument. Returns the place of the test, which has no jump yet. */
static uint32_t put_condition(struct program *p, const struct vl_condition *c)
{
	if (!p->loaded || p->loaded->arg != c->arg || p->loaded->mask != c->mask) {
		load(p, offsetof(struct seccomp_data, args) + 8 * c->arg); /* little endian */
		if (c->mask != UINT32_MAX)
			put(p, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
	}
	p->loaded = c;
	put(p, BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, 0);
	return p->nr - 1;
}

/* Return @action if all @nr conditions hold; else go on behind the return. */
static void put_case(struct program *p, const struct vl_condition *c, size_t nr, uint32_t action)
{
	uint32_t tests[ARRAY_SIZE(((struct vl_policy *)NULL)->cmp)];

	for (size_t i = 0; i < nr; i++)
		tests[i] = put_condition(p, &c[i]);
	put_return(p, action);
	for (size_t i = 0; i < nr; i++)
		p->insns[tests[i]].jf = (uint8_t)(p->nr - tests[i] - 1);
	/* Behind several tests it depends on which of them failed. */
	if (nr > 1)
		p->loaded = NULL;
}

/* Does call @nr have one action, whatever its arguments are? Then *@ret is that action. */
static bool is_plain(int nr, uint32_t *ret)
{
	bool conditional = false, native = false;

	for (size_t i = 0; i < vl_native_nr; i++)
		if (vl_native[i].nr == nr) {
			native = true;
			conditional |= vl_native[i].conditional;
		}
	*ret = native ? SECCOMP_RET_ALLOW : NOTIFY; /* in no table: the supervisor counts it */
	for (size_t i = 0; i < vl_policy_nr; i++)
		if (vl_policy[i].nr == nr) {
			*ret = vl_policy[i].decision == TRACE ? SECCOMP_RET_TRACE : NOTIFY;
			conditional |= vl_policy[i].nr_cmp;
		}
	return !conditional;
}

static uint32_t action_of(const struct vl_policy *p)
{
	return p->decision == TRACE ? SECCOMP_RET_TRACE : NOTIFY;
}

/* The order of rows: native under a condition, to the tracer, to the supervisor. */
static void put_call(struct program *p, int nr)
{
	uint32_t otherwise = SECCOMP_RET_ALLOW;

	p->loaded = NULL; /* the number of the call */
	for (size_t i = 0; i < vl_native_nr; i++)
		if (vl_native[i].conditional && vl_native[i].nr == nr) {
			put_case(p, &vl_native[i].when, 1, SECCOMP_RET_ALLOW);
			otherwise = NOTIFY;
		}
	for (int traced = 1; traced >= 0; traced--)
		for (size_t i = 0; i < vl_policy_nr; i++) {
			const struct vl_policy *row = &vl_policy[i];

			if (row->nr != nr || (row->decision == TRACE) != traced)
				continue;
			put_case(p, row->cmp, row->nr_cmp, action_of(row));
			if (!row->nr_cmp)
				return;
		}
	put_return(p, otherwise);
}

/*
 * The numbers from @first up to the next range. If @plain, all have @action; else it is one
 * number, and put_call() emits its tests.
 */
struct range {
	int first;
	bool plain;
	uint32_t action;
};

static size_t make_ranges(struct range ret[VL_NR_MAX + 1])
{
	size_t nr = 0;

	for (int i = 0; i < VL_NR_MAX; i++) {
		struct range r = { .first = i };

		r.plain = is_plain(i, &r.action);
		if (!nr || !r.plain || !ret[nr - 1].plain || ret[nr - 1].action != r.action)
			ret[nr++] = r;
	}
	/* Higher numbers, x32's among them: the supervisor answers ENOSYS. */
	if (!ret[nr - 1].plain || ret[nr - 1].action != NOTIFY)
		ret[nr++] = (struct range){ VL_NR_MAX, true, NOTIFY };
	return nr;
}

/* Make the test at @at jump to the end of the program so far if it holds. */
static void jump_from(struct program *p, uint32_t at)
{
	uint32_t len = p->nr - at - 1;

	if (len <= UINT8_MAX) {
		p->insns[at].jt = (uint8_t)len;
		return;
	}
	/* Too far for 8 bits: insert a long jump behind the test, which the other case skips. */
	put_return(p, 0);
	if (p->full)
		return;
	memmove(&p->insns[at + 2], &p->insns[at + 1], len * sizeof(p->insns[0]));
	p->insns[at + 1] = (struct sock_filter){ BPF_JMP | BPF_JA, 0, 0, len };
	p->insns[at].jf = 1;
}

static void put_ranges(struct program *p, const struct range *r, size_t nr)
{
	size_t mid = nr / 2;
	uint32_t at;

	if (nr == 1) {
		if (r->plain)
			put_return(p, r->action);
		else
			put_call(p, r->first);
		return;
	}
	at = p->nr;
	put(p, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)r[mid].first, 0, 0);
	put_ranges(p, r, mid);
	if (!p->full)
		jump_from(p, at);
	put_ranges(p, r + mid, nr - mid);
}

/*
 * Build the filter. A call is native, traced or the supervisor's, as the tables say. A call
 * that they do not have goes to the supervisor, too, and fails with ENOSYS, as do calls of
 * another architecture (int 0x80, x32).
 */
struct vl_error *vl_redirect_filter_create(struct vl_redirect_filter **ret)
{
	struct vl_redirect_filter *f = calloc(1, sizeof(*f));
	struct program *p = calloc(1, sizeof(*p));
	struct range ranges[VL_NR_MAX + 1];
	struct vl_error *err = NULL;

	if (f && p) {
		load(p, offsetof(struct seccomp_data, arch));
		put(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
		put_return(p, NOTIFY);
		load(p, offsetof(struct seccomp_data, nr));
		put_ranges(p, ranges, make_ranges(ranges));
		f->nr = p->nr;
		f->insns = malloc(p->nr * sizeof(*f->insns));
	}
	if (!f || !f->insns)
		err = vl_error_nomem();
	else if (p->full)
		err = vl_error_os(E2BIG, "cannot build the system call filter");
	else
		memcpy(f->insns, p->insns, p->nr * sizeof(*f->insns));
	free(p);
	if (err)
		vl_redirect_filter_destroy(f);
	else
		*ret = f;
	return err;
}

void vl_redirect_filter_destroy(struct vl_redirect_filter *f)
{
	if (!f)
		return;
	free(f->insns);
	free(f);
}

char *vl_redirect_number_name(int nr)
{
	char *name;
	int n;

	/* libseccomp may be older than the tables. */
	for (size_t i = 0; i < vl_policy_nr; i++)
		if (vl_policy[i].nr == nr)
			return strdup(vl_policy[i].name);
	name = nr < 0 ? NULL : seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
	if (name)
		return name;
	n = nr < 0 ? asprintf(&name, "a 32-bit call") : asprintf(&name, "number %d", nr);
	return n < 0 ? NULL : name;
}
