/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter does what its tables say: run here, over all numbers and the arguments that matter. */
#include <glob.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "redirect/run.h"
#include "tap.h"

#define BAD UINT32_MAX

/* Run @f on @d, as the kernel does (Documentation/networking/filter.rst). */
static uint32_t run(const struct vl_redirect_filter *f, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (uint32_t at = 0; at < f->nr; at++) {
		const struct sock_filter *i = &f->insns[at];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k % 4 || i->k + 4 > sizeof(*d))
				return BAD;
			memcpy(&a, (const char *)d + i->k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			at += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			return BAD;
		}
	}
	return BAD; /* it has no end */
}

static bool holds(const struct vl_condition *c, const struct seccomp_data *d)
{
	return ((uint32_t)d->args[c->arg] & c->mask) == c->value;
}

/* The tables, read row by row. */
static uint32_t expected(const struct seccomp_data *d)
{
	uint32_t otherwise = SECCOMP_RET_USER_NOTIF;
	bool known = false;

	if (d->arch != AUDIT_ARCH_X86_64)
		return SECCOMP_RET_USER_NOTIF;
	for (size_t i = 0; i < vl_native_nr; i++) {
		if (vl_native[i].nr != d->nr)
			continue;
		if (!vl_native[i].conditional || holds(&vl_native[i].when, d))
			return SECCOMP_RET_ALLOW;
		known = true;
	}
	for (int traced = 1; traced >= 0; traced--)
		for (size_t i = 0; i < vl_policy_nr; i++) {
			const struct vl_policy *row = &vl_policy[i];
			unsigned int nr = 0;

			if (row->nr != d->nr || (row->decision == TRACE) != traced)
				continue;
			while (nr < row->nr_cmp && holds(&row->cmp[nr], d))
				nr++;
			if (nr == row->nr_cmp)
				return traced ? SECCOMP_RET_TRACE : SECCOMP_RET_USER_NOTIF;
			/* Of a call that has only rows with conditions, the rest is native. */
			if (!known)
				otherwise = SECCOMP_RET_ALLOW;
		}
	return otherwise;
}

static uint32_t random32(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

/* A value that some condition compares with, or one beside it. */
static uint32_t interesting(uint64_t *state)
{
	uint32_t pick = random32(state);
	const struct vl_condition *c = NULL;

	if (pick & 1) {
		c = &vl_native[random32(state) % vl_native_nr].when;
	} else {
		const struct vl_policy *row = &vl_policy[random32(state) % vl_policy_nr];

		if (row->nr_cmp)
			c = &row->cmp[pick >> 1 & (row->nr_cmp - 1)];
	}
	if (!c || pick >> 28 == 0)
		return random32(state);
	return c->value | (random32(state) & ~c->mask & -(pick >> 27 & 1));
}

/* The arguments that a row of the table asks for, so that each row decides. */
static void satisfy(struct seccomp_data *d, const struct vl_condition *c, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		d->args[c[i].arg] = (d->args[c[i].arg] & ~(uint64_t)c[i].mask) | c[i].value;
}

static bool same(const struct vl_redirect_filter *f, const struct seccomp_data *d)
{
	uint32_t is = run(f, d), wanted = expected(d);

	if (is != wanted)
		printf("# call %d (%#llx, %#llx, %#llx): %#x and not %#x\n", d->nr,
		       (unsigned long long)d->args[0], (unsigned long long)d->args[1],
		       (unsigned long long)d->args[2], is, wanted);
	return is == wanted;
}

static void fill(struct seccomp_data *d, uint64_t *state)
{
	for (int i = 0; i < 6; i++)
		d->args[i] = (uint64_t)random32(state) << 32 | interesting(state);
}

#define ROUNDS 200

static void test_numbers(const struct vl_redirect_filter *f)
{
	struct seccomp_data d = { .arch = AUDIT_ARCH_X86_64 };
	uint64_t state = 1;
	bool good = true;

	for (int nr = -2; nr < VL_NR_MAX + 64 && good; nr++)
		for (int i = 0; i < ROUNDS && good; i++) {
			d.nr = nr;
			fill(&d, &state);
			good = same(f, &d);
		}
	d.nr = 0x40000000 | 1; /* x32 */
	ok(good && same(f, &d), "each number, with arguments at random");
	d = (struct seccomp_data){ .arch = AUDIT_ARCH_I386, .nr = 4 };
	ok(same(f, &d), "a call of another architecture");
}

static void test_rows(const struct vl_redirect_filter *f)
{
	struct seccomp_data d = { .arch = AUDIT_ARCH_X86_64 };
	uint64_t state = 2;
	size_t decided[3] = { 0 };
	bool good = true;

	for (size_t i = 0; i < vl_native_nr + vl_policy_nr && good; i++) {
		bool native = i < vl_native_nr;
		const struct vl_policy *row = &vl_policy[native ? 0 : i - vl_native_nr];

		d.nr = native ? vl_native[i].nr : row->nr;
		fill(&d, &state);
		satisfy(&d, native ? &vl_native[i].when : row->cmp,
			native ? vl_native[i].conditional : row->nr_cmp);
		good = same(f, &d);
		decided[0] += run(f, &d) == SECCOMP_RET_ALLOW;
		decided[1] += run(f, &d) == SECCOMP_RET_USER_NOTIF;
		decided[2] += run(f, &d) == SECCOMP_RET_TRACE;
	}
	ok(good, "each row, with arguments that meet its conditions");
	ok(decided[0] && decided[1] && decided[2], "%zu are native, %zu trap, %zu are traced",
	   decided[0], decided[1], decided[2]);
}

/* The last call of the newest kernel that we know, 7.3, and the numbers that no call has. */
#define LAST_CALL 472
#define IS_HOLE(nr) ((nr) > 336 && (nr) < 424)

static bool is_decided(int nr)
{
	bool decided = false;

	for (size_t i = 0; i < vl_native_nr; i++)
		decided |= vl_native[i].nr == nr;
	for (size_t i = 0; i < vl_policy_nr; i++)
		decided |= vl_policy[i].nr == nr;
	return decided;
}

/* Each call of the kernel, and each that libseccomp has a name for, has a row. */
static void test_decisions(void)
{
	unsigned calls = 0, undecided = 0;

	for (int nr = 0; nr < VL_NR_MAX; nr++) {
		_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
		bool is_call = name || (nr <= LAST_CALL && !IS_HOLE(nr));

		calls += is_call;
		undecided += is_call && !is_decided(nr);
		if (is_call && !is_decided(nr))
			printf("# call %d, %s, has no row\n", nr, name ? name : "unknown");
	}
	ok(calls > 380 && !undecided, "each of %u system calls has a row", calls);
	ok(!is_decided(337) && !is_decided(VL_NR_MAX - 1), "a number that no call has has none");
}

/* Count the calls that the header at @path names, and those of them without a row. */
static void read_header(const char *path, unsigned *calls, unsigned *undecided)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[256], name[64];
	int nr;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "#define __NR_%63[a-z0-9_] %d", name, &nr) != 2 ||
		    !strcmp(name, "syscalls"))
			continue;
		++*calls;
		if (is_decided(nr))
			continue;
		++*undecided;
		printf("# call %d, %s of %s, has no row\n", nr, name, path);
	}
}

/* The headers of this host, and those of other kernels that the tests have unpacked. */
static void test_headers(void)
{
	static const char generated[] = "arch/x86/include/generated/uapi/asm/unistd_64.h";
	const char *home = getenv("HOME"), *cache = getenv("VLENS_TEST_CACHE");
	char ours[512], theirs[512];
	unsigned calls = 0, undecided = 0;
	glob_t g = { 0 };

	snprintf(ours, sizeof(ours), "/usr/src/linux-headers-*/%s", generated);
	snprintf(theirs, sizeof(theirs), "%s%s/headers/*/usr/src/*/%s",
		 cache ? cache :
		 home  ? home :
			 "",
		 cache ? "" : "/.cache/vlens-tests", generated);
	glob("/usr/include/*/asm/unistd_64.h", 0, NULL, &g);
	glob(ours, GLOB_APPEND, NULL, &g);
	glob(theirs, GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++)
		read_header(g.gl_pathv[i], &calls, &undecided);
	ok(calls > 300 && !undecided, "each call of %zu headers has a row", g.gl_pathc);
	globfree(&g);
}

int main(void)
{
	struct vl_redirect_filter *f = NULL;

	if (ok(!vl_discard(vl_redirect_filter_create(&f)), "a filter of the tables")) {
		test_numbers(f);
		test_rows(f);
	}
	test_decisions();
	test_headers();
	vl_redirect_filter_destroy(f);
	return tap_end();
}
