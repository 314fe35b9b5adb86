/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the BPF program of the tables in policy.c and allow.c. libseccomp would take three
 * milliseconds for it. The program is a binary tree over call numbers, because the kernel runs
 * it for each number when it is installed, and for each call afterwards. It is made from its end,
 * so that all that a test leads to is there already, and tests can share it: the kernel compiles
 * the program for each process, and takes 0.2 us for an instruction.
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

/* A place in the program; from BPF_MAXINSNS on: a return of that action. */
enum { ALLOW = BPF_MAXINSNS, NOTIFY, TRACED, END };
static const uint32_t actions[] = { SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE };

struct program {
	struct sock_filter insns[BPF_MAXINSNS]; /* the program is at the end */
	uint32_t at;				/* its first instruction so far */
	uint32_t returns[END - ALLOW];		/* the first return of each action */
	bool full;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	if (p->at)
		p->insns[--p->at] = (struct sock_filter){ code, yes, no, k };
	else
		p->full = true;
}

static void put_load(struct program *p, size_t offset)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/*
 * The place of @to, or of a return or jump like it: one that the next instruction but one can lead
 * to, by 8 bits.
 */
static uint32_t reach(struct program *p, uint32_t to)
{
	uint32_t at = to < ALLOW ? to : p->returns[to - ALLOW];

	if (at - p->at < UINT8_MAX)
		return at;
	if (to < ALLOW) {
		put(p, BPF_JMP | BPF_JA, to - p->at, 0, 0);
	} else {
		put(p, BPF_RET | BPF_K, actions[to - ALLOW], 0, 0);
		p->returns[to - ALLOW] = p->at;
	}
	return p->at;
}

/* Emit a test of the accumulator that leads to @yes or @no. Returns its place. */
static uint32_t put_test(struct program *p, uint16_t test, uint32_t k, uint32_t yes, uint32_t no)
{
	yes = reach(p, yes);
	no = reach(p, no);
	put(p, BPF_JMP | BPF_K | test, k, (uint8_t)(yes - p->at), (uint8_t)(no - p->at));
	return p->at;
}

/* Conditions that must all hold for @to. */
struct condition_case {
	const struct vl_condition *c;
	size_t nr;
	uint32_t to;
};

/*
 * Test the lower half of an argument. @before: the condition that was tested last, whatever led
 * here; NULL: that differs.
 */
static uint32_t put_condition(struct program *p, const struct vl_condition *c,
			      const struct vl_condition *before, uint32_t yes, uint32_t no)
{
	uint32_t at = put_test(p, BPF_JEQ, c->value, yes, no);

	if (before && before->arg == c->arg && before->mask == c->mask)
		return at;
	if (c->mask != UINT32_MAX)
		put(p, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
	put_load(p, offsetof(struct seccomp_data, args) + 8 * c->arg); /* little endian */
	return p->at;
}

static uint32_t put_case(struct program *p, const struct condition_case *k,
			 const struct vl_condition *before, uint32_t otherwise)
{
	uint32_t to = k->to;

	for (size_t i = k->nr; i--;)
		to = put_condition(p, &k->c[i], i ? &k->c[i - 1] : before, to, otherwise);
	return to;
}

static uint32_t to_of(const struct vl_policy *p)
{
	return p->decision == TRACE ? TRACED : NOTIFY;
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
	*ret = native ? ALLOW : NOTIFY; /* in no table: the supervisor counts it */
	for (size_t i = 0; i < vl_policy_nr; i++)
		if (vl_policy[i].nr == nr) {
			*ret = to_of(&vl_policy[i]);
			conditional |= vl_policy[i].nr_cmp;
		}
	return !conditional;
}

/* The most cases that a call has. */
#define CASES 256

/*
 * The cases of call @nr, in the order of rows: native under a condition, to the tracer, to the
 * supervisor. All other calls lead to *@otherwise_ret.
 */
static size_t find_cases(int nr, struct condition_case ret[CASES], uint32_t *otherwise_ret)
{
	size_t n = 0;

	*otherwise_ret = ALLOW;
	for (size_t i = 0; i < vl_native_nr && n < CASES; i++)
		if (vl_native[i].conditional && vl_native[i].nr == nr) {
			ret[n++] = (struct condition_case){ &vl_native[i].when, 1, ALLOW };
			*otherwise_ret = NOTIFY;
		}
	for (int traced = 1; traced >= 0; traced--)
		for (size_t i = 0; i < vl_policy_nr && n < CASES; i++) {
			const struct vl_policy *row = &vl_policy[i];

			if (row->nr != nr || (row->decision == TRACE) != traced)
				continue;
			if (!row->nr_cmp) {
				*otherwise_ret = to_of(row);
				return n;
			}
			ret[n++] = (struct condition_case){ row->cmp, row->nr_cmp, to_of(row) };
		}
	return n;
}

static uint32_t put_call(struct program *p, int nr)
{
	struct condition_case cases[CASES];
	uint32_t to;
	size_t n = find_cases(nr, cases, &to);

	p->full |= n == CASES;
	while (n && cases[n - 1].to == to)
		n--;
	while (n--)
		to = put_case(p, &cases[n], n && cases[n - 1].nr == 1 ? cases[n - 1].c : NULL, to);
	return to;
}

/*
 * The numbers from @first up to the next range. If @plain, all lead to @to; else it is one
 * number, and put_call() puts its tests.
 */
struct range {
	int first;
	bool plain;
	uint32_t to;
};

static size_t make_ranges(struct range ret[VL_NR_MAX + 1])
{
	size_t nr = 0;

	for (int i = 0; i < VL_NR_MAX; i++) {
		struct range r = { .first = i };

		r.plain = is_plain(i, &r.to);
		if (!nr || !r.plain || !ret[nr - 1].plain || ret[nr - 1].to != r.to)
			ret[nr++] = r;
	}
	/* Higher numbers, x32's among them: the supervisor answers ENOSYS. */
	if (!ret[nr - 1].plain || ret[nr - 1].to != NOTIFY)
		ret[nr++] = (struct range){ VL_NR_MAX, true, NOTIFY };
	return nr;
}

static uint32_t put_ranges(struct program *p, const struct range *r, size_t nr)
{
	size_t mid = nr / 2;
	uint32_t from_mid;

	if (nr == 1)
		return r->plain ? r->to : put_call(p, r->first);
	from_mid = put_ranges(p, r + mid, nr - mid);
	return put_test(p, BPF_JGE, (uint32_t)r[mid].first, from_mid, put_ranges(p, r, mid));
}

static void put_program(struct program *p)
{
	struct range ranges[VL_NR_MAX + 1];

	p->at = BPF_MAXINSNS;
	for (size_t i = 0; i < ARRAY_SIZE(p->returns); i++)
		p->returns[i] = UINT32_MAX; /* out of reach */
	put_ranges(p, ranges, make_ranges(ranges));
	put_load(p, offsetof(struct seccomp_data, nr));
	put_test(p, BPF_JEQ, AUDIT_ARCH_X86_64, p->at, NOTIFY);
	put_load(p, offsetof(struct seccomp_data, arch));
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
	struct vl_error *err = NULL;

	if (f && p) {
		put_program(p);
		f->nr = BPF_MAXINSNS - p->at;
		f->insns = malloc(f->nr * sizeof(*f->insns));
	}
	if (!f || !f->insns)
		err = vl_error_nomem();
	else if (p->full)
		err = vl_error_os(E2BIG, "cannot build the system call filter");
	else
		memcpy(f->insns, p->insns + p->at, f->nr * sizeof(*f->insns));
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
