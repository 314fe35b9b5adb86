/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The BPF program, from the tables of policy.c and allow.c. libseccomp writes most of
 * it; we install it ourselves, because libseccomp 2.5 cannot ask for the flag that
 * keeps signals from interrupting a call that is being answered. What libseccomp cannot
 * say stands before it: calls beyond the tables, and calls of which some uses are
 * native and all others trap.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* Room for what stands before libseccomp's program. */
#define HEAD_MAX 1024

struct head {
	struct sock_filter insns[HEAD_MAX];
	uint32_t nr;
	bool full;
};

static void put(struct head *h, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	if (h->nr == HEAD_MAX)
		h->full = true;
	else
		h->insns[h->nr++] = (struct sock_filter){ code, yes, no, k };
}

static void load(struct head *h, size_t offset)
{
	put(h, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Return @action where the lower half of argument @arg is @value under @mask. */
static void put_case(struct head *h, unsigned int arg, uint32_t mask, uint32_t value, uint32_t action)
{
	load(h, offsetof(struct seccomp_data, args) + 8 * arg); /* little endian: the lower half */
	if (mask != ~0u)
		put(h, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	put(h, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	put(h, BPF_RET | BPF_K, action, 0, 0);
}

/* A call that is native, or goes to the tracer, under conditions, and traps otherwise. */
static bool has_cases(int nr)
{
	for (size_t i = 0; i < vl_native_nr; i++)
		if (vl_native[i].conditional && vl_native[i].nr == nr)
			return true;
	return false;
}

static void put_cases(struct head *h, int nr)
{
	uint32_t jump;

	load(h, offsetof(struct seccomp_data, nr));
	jump = h->nr;
	put(h, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 0);
	for (size_t i = 0; i < vl_native_nr; i++)
		if (vl_native[i].conditional && vl_native[i].nr == nr)
			put_case(h, vl_native[i].arg, vl_native[i].mask, vl_native[i].value,
				 SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < vl_policy_nr; i++) {
		const struct vl_policy *p = &vl_policy[i];

		if (p->decision == TRACE && p->nr == nr)
			put_case(h, p->cmp[0].arg, (uint32_t)p->cmp[0].datum_a,
				 (uint32_t)p->cmp[0].datum_b, SECCOMP_RET_TRACE);
	}
	if (h->full || h->nr - jump - 1 > UINT8_MAX)
		h->full = true;
	else
		h->insns[jump].jf = (uint8_t)(h->nr - jump - 1);
}

static void put_head(struct head *h)
{
	load(h, offsetof(struct seccomp_data, arch));
	put(h, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2);
	load(h, offsetof(struct seccomp_data, nr));
	/* Numbers of x32 are among those that are too high. */
	put(h, BPF_JMP | BPF_JGE | BPF_K, VL_NR_MAX, 0, 1);
	put(h, BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF, 0, 0);
	for (int nr = 0; nr < VL_NR_MAX; nr++)
		if (has_cases(nr))
			put_cases(h, nr);
}

static int add_rules(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < vl_policy_nr; i++) {
		const struct vl_policy *p = &vl_policy[i];
		uint32_t action = p->decision == TRACE ? SCMP_ACT_TRACE(0) : SCMP_ACT_NOTIFY;
		int err;

		if (p->decision == TRACE && has_cases(p->nr))
			continue;
		err = seccomp_rule_add_array(ctx, action, p->nr, p->nr_cmp, p->cmp);
		/* Two rows of one call may say the same twice. */
		if (err && err != -EEXIST)
			return err;
	}
	/* The supervisor says that it does not exist, and counts. */
	for (int nr = 0; nr < VL_NR_MAX; nr++) {
		int err = vl_call_is_known(nr) ? 0 : seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 0);

		if (err)
			return err;
	}
	return 0;
}

/* What libseccomp wrote into @fd, behind the head. */
static int join(struct vl_redirect_filter *f, const struct head *h, int fd)
{
	off_t size = lseek(fd, 0, SEEK_END);
	size_t head = h->nr * sizeof(h->insns[0]);

	if (size <= 0 || h->full)
		return -EIO;
	f->nr = h->nr + (uint32_t)(size / (off_t)sizeof(*f->insns));
	if (f->nr > BPF_MAXINSNS)
		return -E2BIG;
	f->insns = malloc(head + (size_t)size);
	if (!f->insns)
		return -ENOMEM;
	memcpy(f->insns, h->insns, head);
	return pread(fd, f->insns + h->nr, (size_t)size, 0) == size ? 0 : -EIO;
}

/*
 * Build the filter: what the tables list is native or goes to the supervisor, as all
 * else does: calls of another architecture (int 0x80, x32), which the tables do
 * not cover, do not exist.
 */
struct vl_error *vl_redirect_filter_create(struct vl_redirect_filter **ret)
{
	struct vl_redirect_filter *f = calloc(1, sizeof(*f));
	struct head *head = calloc(1, sizeof(*head));
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int err = -ENOMEM, fd = -1;

	if (!f || !head || !ctx)
		goto out;
	put_head(head);
	/* Another architecture does not get beyond the head. */
	err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!err)
		err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (!err)
		err = add_rules(ctx);
	if (err)
		goto out;
	fd = memfd_create("filter", MFD_CLOEXEC);
	err = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
	if (!err)
		err = join(f, head, fd);
out:
	if (fd >= 0)
		close(fd);
	if (ctx)
		seccomp_release(ctx);
	free(head);
	if (err) {
		vl_redirect_filter_destroy(f);
		return err == -ENOMEM ? vl_error_nomem() :
					vl_error_os(-err, "cannot build the system call filter");
	}
	*ret = f;
	return NULL;
}

void vl_redirect_filter_destroy(struct vl_redirect_filter *f)
{
	if (!f)
		return;
	free(f->insns);
	free(f);
}
